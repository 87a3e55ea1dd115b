# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks an inference service what its users will ask; documented in plugins/modules/check_service.py."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from ansible_collections.hep.sonic.plugins.plugin_utils.action_base import Params, Result, SonicAction
from ansible_collections.hep.sonic.plugins.plugin_utils.client import ACCESS_SPEC, Access, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest
from ansible_collections.hep.sonic.plugins.plugin_utils.render import to_plain
from ansible_collections.hep.sonic.plugins.plugin_utils.service import (
    ENDPOINTS,
    MISSING_PACKAGE,
    Report,
    Tls,
    check_service,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.service_contract import (
    Address,
    Problem,
    ServiceError,
    parse_contracts,
    usage_lines,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.service_tunnel import POD, Tunnel, backend_of, is_ready

Spec = Mapping[str, Mapping[str, Any]]

TENSOR_SPEC: Final[Spec] = {
    "name": {"type": "str", "required": True},
    "datatype": {"type": "str", "required": True},
    "dims": {"type": "list", "elements": "int", "required": True},
}
CHECK_SPEC: Final[Spec] = {
    "batch": {"type": "int", "default": 1},
    "inputs": {"type": "dict"},
    "outputs": {"type": "dict"},
}
MODEL_SPEC: Final[Spec] = {
    "name": {"type": "str", "required": True},
    "required": {"type": "bool", "default": True},
    "max_batch_size": {"type": "int"},
    "inputs": {"type": "list", "elements": "dict", "options": TENSOR_SPEC},
    "outputs": {"type": "list", "elements": "dict", "options": TENSOR_SPEC},
    "check": {"type": "dict", "options": CHECK_SPEC},
}
TLS_SPEC: Final[Spec] = {
    "enabled": {"type": "bool", "default": True},
    "ca_cert": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "server_name": {"type": "str"},
}
SERVICE_SPEC: Final[Spec] = {
    "namespace": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
}
SERVERS_SPEC: Final[Spec] = {
    "namespace": {"type": "str", "required": True},
    "selector": {"type": "str", "required": True},
}
CHECK_SERVICE_SPEC: Final[Spec] = {
    "endpoint": {"type": "str", "required": True},
    "name": {"type": "str"},
    "via": {"type": "str", "choices": ["direct", "api"], "default": "direct"},
    "service": {"type": "dict", "options": SERVICE_SPEC},
    "protocols": {"type": "list", "elements": "str", "choices": list(ENDPOINTS), "default": list(ENDPOINTS)},
    "models": {"type": "list", "elements": "dict", "options": MODEL_SPEC, "default": []},
    "tls": {
        "type": "dict",
        "options": TLS_SPEC,
        "required_together": [("client_cert", "client_key")],
    },
    "timeout": {"type": "int", "default": 60},
    "wait": {"type": "bool", "default": False},
    "settle": {"type": "int", "default": 0},
    "wake": {"type": "bool", "default": True},
    "servers": {"type": "dict", "options": SERVERS_SPEC},
}


class ActionModule(SonicAction):
    """Compare one inference service with what is declared of it."""

    argument_spec: ClassVar[Spec] = {**CHECK_SERVICE_SPEC, **ACCESS_SPEC}
    constraints: ClassVar[Mapping[str, Any]] = {"required_if": [("via", "api", ["service"])]}

    def execute(self, params: Params, task_vars: Mapping[str, Any]) -> Result:
        del task_vars
        if MISSING_PACKAGE is not None:
            raise ServiceError(
                f"The Python package {MISSING_PACKAGE.name} is missing on the controller.",
                "Install the collection's requirements: pip install -r requirements.txt",
            )
        address = parse_address(params)
        contracts = parse_contracts(to_plain(params["models"]))
        if self.check_mode:
            return {"skipped": True, "endpoint": str(address), "msg": "The service is not asked in check mode."}
        if not params["wake"] and params["servers"] and not pods_of(Access.from_params(params), **params["servers"]):
            text = f"{params['name'] or address}: at zero, not woken (verify_wake: true asks it, which starts a server)"
            summary = [text, f"  endpoint       {address}"]
            for line in summary:
                self.progress(line)
            return {"changed": False, "endpoint": str(address), "servers": 0, "summary": summary}
        with way_to(address, params) as (url, tls):
            report = check_service(
                url,
                tls,
                params["protocols"],
                contracts,
                timeout=params["timeout"],
                wait=params["wait"],
                settle=params["settle"],
                progress=self.progress,
            )
        name = params["name"] or str(address)
        result = describe(name, address, report)
        if wrong := report.problems(required=True):
            return result | {"failed": True, "msg": explain(name, address, report, wrong)}
        if params["servers"]:
            result["servers"] = sum(map(is_ready, pods_of(Access.from_params(params), **params["servers"])))
        result["summary"] = summarize(name, address, result)
        for line in result["summary"]:
            self.progress(line)
        return result | {"warnings": [report.line(problem) for problem in report.problems(required=False)]}


def parse_address(params: Params) -> Address:
    """Return the endpoint that the options name.

    Raises:
        ServiceError: It is not ``host:port``.
    """
    tls = params["tls"] or {}
    try:
        parts = urlsplit(f"//{params['endpoint']}")
        if parts.hostname and parts.port and parts.netloc == params["endpoint"]:
            return Address(parts.hostname, parts.port, bool(tls.get("enabled")), tls.get("ca_cert") or "")
    except ValueError:  # the port is no number
        pass
    raise ServiceError(f"endpoint is {params['endpoint']!r}.", "Write it as host:port, such as sonic.example.org:8001.")


def parse_tls(params: Params) -> Tls:
    """Return how to speak TLS.

    Raises:
        ServiceError: A file does not exist.
    """
    tls = Tls(**params["tls"]) if params["tls"] else Tls()
    for option in ("ca_cert", "client_cert", "client_key"):
        path = getattr(tls, option)
        if path and not Path(path).is_file():
            raise ServiceError(f"tls.{option} is {path}, which does not exist.")
    return tls


@contextmanager
def way_to(address: Address, params: Params) -> Iterator[tuple[str, Tls]]:
    """Yield the address to connect to, and how to speak TLS there.

    Raises:
        SonicError: At the end, if the last attempt failed on the way, not at the service.
    """
    tls = parse_tls(params)
    if params["via"] == "direct":
        yield str(address), tls
        return
    with Cluster(Access.from_params(params)) as cluster:
        namespace, name = params["service"]["namespace"], params["service"]["name"]

        def connect() -> socket.socket:
            pod, port = backend_of(cluster, namespace, name, address.port)
            return cluster.forward(namespace, pod, port)

        with Tunnel(connect) as tunnel:
            # the certificate carries the name that users write, not the tunnel's
            yield tunnel.url, replace(tls, server_name=tls.server_name or address.host)
            if tunnel.failure:
                raise tunnel.failure


def describe(name: str, address: Address, report: Report) -> Result:
    """Return what the task returns whether the service is as declared or not."""
    result: Result = {
        "changed": False,
        "endpoint": str(address),
        "models": [
            {
                "name": model.contract.name,
                "ok": report.ok(model.contract.name),
                "version": model.version,
                "answer_ms": {protocol: round(ms, 1) for protocol, ms in model.answer_ms.items()},
            }
            for model in report.models.values()
        ],
        "problems": [
            report.line(problem) for required in (True, False) for problem in report.problems(required=required)
        ],
    }
    if report.first_answer_ms is not None:
        result["first_answer_ms"] = round(report.first_answer_ms, 1)
    answered = next((model for model in report.models.values() if report.ok(model.contract.name)), None)
    if answered:
        result["usage"] = usage_lines(
            name, address, model=answered.contract.name, version=answered.version, shapes=answered.shapes
        )
    return result


def explain(name: str, address: Address, report: Report, wrong: Sequence[Problem]) -> str:
    """Return the message of a failed check: every difference, then what to do."""
    label = name if name == str(address) else f"{name} ({address})"
    answers = any(problem.model for problem in wrong)
    head = f"{label} does not answer{' as declared' if answers else ''}:"
    remedies = dict.fromkeys(problem.remedy for problem in wrong if problem.remedy)
    return "\n".join([head, *(f"  {report.line(problem)}" for problem in wrong), *remedies])


def pods_of(access: Access, namespace: str, selector: str) -> list[Manifest]:
    """Return the Pods of a selector."""
    with Cluster(access) as cluster:
        return list(cluster.list(POD, namespace, labels=selector))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def summarize(name: str, address: Address, result: Mapping[str, Any]) -> list[str]:
    """Return the lines that a person is shown when the service answers as declared."""
    parts = [counted(result["servers"], "server")] if "servers" in result else []
    parts.append(f"{counted(sum(model['ok'] for model in result['models']), 'model')} ready")
    if "first_answer_ms" in result:
        parts.append(f"{result['first_answer_ms']:.0f} ms first answer")
    encryption = "TLS" if address.tls else "plaintext"
    lines = [f"{name}: {', '.join(parts)}", f"gRPC and HTTP  {address} ({encryption})"]
    return lines + [f"{client:<13}  {line}" for client, line in result.get("usage", {}).items()]
