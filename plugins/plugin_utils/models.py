# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Models: where their files come from, and which of them a server must have to be ready."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.options import Spec, fill

Manifest = dict[str, Any]

#: The options of an element of ``triton_model_sources``; the role ``triton`` documents them.
SOURCE_SPEC: Final[Spec] = {
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "required": True, "choices": ["cvmfs", "hostPath", "nfs", "pvc"]},
    "mount_path": {"type": "str"},
    "repositories": {"type": "list", "elements": "str", "default": ["."]},
    "claim": {"type": "str"},
    "path": {"type": "str"},
    "server": {"type": "str"},
}
SOURCE_CONSTRAINTS: Final = {
    "required_if": [
        ("type", "pvc", ("claim",)),
        ("type", "hostPath", ("path",)),
        ("type", "nfs", ("server", "path")),
    ],
    "mutually_exclusive": [("claim", "path")],
}
CVMFS: Final = "/cvmfs"

#: A model is a folder, and stands in paths that a probe asks for.
MODEL_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")

#: Seconds that one question whether a model is ready may take.
PROBE_TIMEOUT: Final = 5


def _sources(sources: Sequence[Any]) -> Iterator[Manifest]:
    names: Counter[str] = Counter()
    for index, source in enumerate(sources):
        where = f"triton_model_sources[{index}]"
        filled = fill(source, SOURCE_SPEC, where, **SOURCE_CONSTRAINTS)
        names[filled["name"]] += 1
        if names[filled["name"]] > 1:
            raise SonicError(f"{where}.name: another source is named {filled['name']!r}, too.")
        if not filled["mount_path"]:
            filled["mount_path"] = CVMFS if filled["type"] == "cvmfs" else f"/models/{filled['name']}"
        if filled["type"] == "cvmfs" and not filled["claim"] and not filled["path"]:
            filled["path"] = CVMFS
        yield filled


def _volume(source: Manifest) -> Manifest:
    if source["claim"]:
        return {"persistentVolumeClaim": {"claimName": source["claim"], "readOnly": True}}
    if source["type"] == "nfs":
        return {"nfs": {"server": source["server"], "path": source["path"], "readOnly": True}}
    # Directory: a node without it must not start a server on a folder that Docker or the kubelet made, empty
    return {"hostPath": {"path": source["path"], "type": "Directory"}}


def model_volumes(sources: Sequence[Any]) -> list[Manifest]:
    """Return the volumes of a Pod that reads its models from `sources` (``triton_model_sources``).

    Raises:
        SonicError: A source does not fit its type.
    """
    return [{"name": f"models-{source['name']}", **_volume(source)} for source in _sources(sources)]


def model_mounts(sources: Sequence[Any]) -> list[Manifest]:
    """Return where the volumes of `model_volumes` are mounted."""
    return [
        {
            "name": f"models-{source['name']}",
            "mountPath": source["mount_path"],
            "readOnly": True,
            # automount brings a CVMFS repository when it is first asked for, after the container has started
            **({"mountPropagation": "HostToContainer"} if source["type"] == "cvmfs" else {}),
        }
        for source in _sources(sources)
    ]


def model_repositories(sources: Sequence[Any]) -> list[str]:
    """Return the folders that Triton reads as model repositories, in the order of `sources`."""
    return [
        str(PurePosixPath(source["mount_path"], repository))
        for source in _sources(sources)
        for repository in source["repositories"]
    ]


def required_models(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the models without which a server is not ready.

    Args:
        models: The value of ``sonic_models``.

    Raises:
        SonicError: A name is missing, twice there, or none that Triton can serve.
    """
    names = [str(model.get("name") or "") for model in models]
    for index, name in enumerate(names):
        if not MODEL_NAME.fullmatch(name):
            raise SonicError(
                f"sonic_models[{index}].name is {name!r}.", "A model is named with letters, digits, '_', '.' and '-'."
            )
        if name in names[:index]:
            raise SonicError(f"sonic_models[{index}]: another model is named {name!r}, too.")
    return [name for name, model in zip(names, models, strict=True) if model.get("required", True)]


def ready_check(names: Sequence[str], port: int) -> Manifest:
    """Return the handler of a probe that succeeds when all models of `names` are ready.

    Triton has no question for several models. Its image has curl, so that no shell is needed.

    Args:
        names: Names of models; none asks whether the server itself is ready.
        port: Triton's HTTP port.
    """
    if len(names) > 1:
        urls = [f"http://127.0.0.1:{port}/v2/models/{name}/ready" for name in names]
        # --fail-early: without it, the last model alone decides. --noproxy: a site's proxy is not for 127.0.0.1
        options = ["--fail", "--fail-early", "--silent", "--show-error", "--noproxy", "*"]
        return {"exec": {"command": ["curl", *options, "--max-time", str(PROBE_TIMEOUT), *urls]}}
    path = f"/v2/models/{names[0]}/ready" if names else "/v2/health/ready"
    return {"httpGet": {"path": path, "port": port}}
