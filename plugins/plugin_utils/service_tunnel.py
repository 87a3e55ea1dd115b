# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A way to a Service from outside the cluster's network: through the API server, as kubectl port-forward has it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.service_contract import ServiceError

SERVICE: Final = BUILT_IN["", "Service"]
POD: Final = BUILT_IN["", "Pod"]
#: What is passed on at a time.
CHUNK_BYTES: Final = 2**20


class Tunnel:
    """A local port; each connection to it becomes one to the target. Use it as a context manager.

    Args:
        connect: Makes a connection to the target.

    Attributes:
        failure: Why the last connection could not be made; None where it could.
    """

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self.failure: SonicError | None = None
        self._connect = connect
        self._listener = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        """The local address, ``host:port``."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it is closed: the end
            while True:
                near, _address = self._listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near:
            try:
                far = self._connect()
            except SonicError as error:
                self.failure = error
                return
            self.failure = None
            with contextlib.closing(far):
                back = threading.Thread(target=_pump, args=(far, near), daemon=True)
                back.start()
                _pump(near, far)
                back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes from `source`, until it ends; then end both."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def backend_of(cluster: Cluster, namespace: str, name: str, port: int) -> tuple[str, int]:
    """Return a ready Pod behind a Service, and its port for a port of the Service.

    Raises:
        ServiceError: There is no such Service or port, or no ready Pod.
    """
    service = cluster.get(SERVICE, namespace, name)
    if service is None:
        raise ServiceError(f"There is no Service {namespace}/{name}.")
    ports = {entry["port"]: entry.get("targetPort", entry["port"]) for entry in service["spec"]["ports"]}
    if port not in ports:
        raise ServiceError(f"The Service {namespace}/{name} has no port {port}, but {', '.join(map(str, ports))}.")
    selector = ",".join(f"{key}={value}" for key, value in service["spec"].get("selector", {}).items())
    ready = [pod for pod in cluster.list(POD, namespace, labels=selector) if is_ready(pod)]
    if not selector or not ready:
        raise ServiceError(
            f"The Service {namespace}/{name} has no ready Pod.", f"See: kubectl get pods --namespace {namespace}"
        )
    return ready[0]["metadata"]["name"], _number_of(ready[0], ports[port])


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Return whether a Pod serves and is not about to end."""
    conditions = {entry["type"]: entry["status"] for entry in pod["status"].get("conditions") or []}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _number_of(pod: Mapping[str, Any], port: int | str) -> int:
    """Return the number of a Pod's port, which may be given by name."""
    if isinstance(port, int):
        return port
    containers = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]
    named = {entry.get("name"): entry["containerPort"] for box in containers for entry in box.get("ports") or []}
    number: int = named[port]
    return number
