# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Triton itself, the one in the lab's image, with the arguments that the role gives it and a model of the lab."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab import recipes
from tests.lab.settings import SOURCE, home, versions
from tests.unit.roles.harness import Role
from tests.unit.roles.test_drain import free_port, get, wait_for

MODEL = "identity"
POD = "cms-triton-gpu-0"


@dataclass(frozen=True)
class Server:
    """A running Triton.

    Args:
        http: Its port for HTTP.
        grpc: Its port for gRPC.
        log: What it says.
    """

    http: int
    grpc: int
    log: Path


@contextmanager
def triton(folder: Path, variables: Mapping[str, Any], *arguments: str) -> Iterator[Server]:
    """Run a Triton that serves the model `MODEL`.

    Args:
        folder: For its files.
        variables: What the inventory says.
        arguments: More arguments than the role's.
    """
    container = _container(variables)
    server = Server(free_port(), free_port(), folder / "triton.log")
    ports = {"http": server.http, "grpc": server.grpc, "metrics": free_port()}
    given = [one for one in container["args"][1:] if one.split("=")[0].removesuffix("-port").lstrip("-") not in ports]
    repository = folder / "models"
    repository.mkdir()
    (repository / MODEL).symlink_to(SOURCE / "models" / MODEL)
    tree = _tree()
    command = [
        str(tree / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
        *(one for one in given if not one.startswith("--model-repository=")),
        *(f"--{name}-port={port}" for name, port in ports.items()),
        f"--model-repository={repository}",
        f"--backend-directory={tree / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name=unit-{server.http}",
        *arguments,
    ]
    with server.log.open("w") as log:
        process = subprocess.Popen(command, env=_environment(container), stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(lambda: get(server.http, f"/v2/models/{MODEL}/ready") == 200)
        yield server
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _container(variables: Mapping[str, Any]) -> dict[str, Any]:
    pools = [{"name": "gpu", "gpu": {"count": 0}}]
    sources = [{"name": "cms", "type": "pvc", "claim": "models"}]
    role = Role("triton", {"sonic_pools": pools, "triton_model_sources": sources, **variables})
    (deployment,) = (one for one in role.objects() if one["kind"] == "Deployment")
    container: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return container


def _environment(container: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment that the kubelet makes, with the Python of the backend."""
    environment = {"PATH": "/usr/bin:/bin"}
    for variable in container.get("env", []):
        value = POD if "valueFrom" in variable else variable["value"]
        environment[variable["name"]] = value.replace("$(POD_NAME)", environment.get("POD_NAME", ""))
    return environment


def _tree() -> Path:
    """Return where Triton is, unpacked once."""
    try:
        ctypes.CDLL(f"libpython{versions().python}.so.1.0")
    except OSError:
        pytest.fail(f"Triton's Python backend needs libpython{versions().python}: run `make lab-packages`.")
    tree = home() / f"triton-{versions().wheels['nvidia-pytriton']}"
    if not tree.exists():
        with tempfile.TemporaryDirectory(dir=home()) as work:
            _unpack(Path(work) / "tree")
            with contextlib.suppress(OSError):  # somebody else was faster
                (Path(work) / "tree").rename(tree)
    return tree


def _unpack(tree: Path) -> None:
    for name in ("nvidia-pytriton", "numpy"):
        with zipfile.ZipFile(recipes.wheel(name)) as archive:
            archive.extractall(tree)
    server = tree / "pytriton" / "tritonserver"
    stub = server / "python_backend_stubs" / versions().python / "triton_python_backend_stub"
    backend = tree / "backends" / "python"
    backend.mkdir(parents=True)
    # their libraries are found relative to where they are: links; and the models find numpy beside the backend
    for file in (*(server / "backends" / "python").iterdir(), stub, tree / "numpy", tree / "numpy.libs"):
        (backend / file.name).symlink_to(os.path.relpath(file, backend))
    for program in (server / "bin" / "tritonserver", stub):
        program.chmod(0o755)
