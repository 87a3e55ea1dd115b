# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tunnel passes bytes on both ways; that the API server does, too, is seen in tests/system."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import AccessError
from ansible_collections.hep.sonic.plugins.plugin_utils.service_tunnel import Tunnel, is_ready


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that gives back what it gets, to any number of connections."""

    def give_back(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    def serve() -> None:
        while True:
            try:
                connection, _address = server.accept()
            except OSError:
                return
            threading.Thread(target=give_back, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()
        server.shutdown(socket.SHUT_RDWR)


def connect(tunnel: Tunnel) -> socket.socket:
    host, _colon, port = tunnel.url.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=5)


def receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := connection.recv(size)):
        data += more
    return data


def test_bytes_go_both_ways_on_several_connections(echo: tuple[str, int]) -> None:
    large = bytes(range(256)) * 4096
    with Tunnel(lambda: socket.create_connection(echo)) as tunnel, connect(tunnel) as one, connect(tunnel) as other:
        other.sendall(b"other")
        threading.Thread(target=one.sendall, args=(large,), daemon=True).start()
        assert receive(one, len(large)) == large
        assert receive(other, 5) == b"other"
        assert tunnel.failure is None


def test_why_no_connection_can_be_made_is_kept(echo: tuple[str, int]) -> None:
    refusals = [AccessError("no right to create pods/portforward")]

    def refuse_once() -> socket.socket:
        if refusals:
            raise refusals.pop()
        return socket.create_connection(echo)

    with Tunnel(refuse_once) as tunnel:
        with connect(tunnel) as refused:
            assert refused.recv(1) == b""
        assert str(tunnel.failure) == "no right to create pods/portforward"
        with connect(tunnel) as served:
            served.sendall(b"x")
            assert receive(served, 1) == b"x"
        assert tunnel.failure is None


@pytest.mark.parametrize(
    ("status", "metadata", "ready"),
    [
        ({"conditions": [{"type": "Ready", "status": "True"}]}, {}, True),
        ({"conditions": [{"type": "Ready", "status": "False"}]}, {}, False),
        ({"conditions": [{"type": "Ready", "status": "True"}]}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}, False),
        ({}, {}, False),
    ],
)
def test_a_pod_that_is_about_to_end_is_not_ready(
    status: Mapping[str, Any], metadata: Mapping[str, Any], ready: bool
) -> None:
    assert is_ready({"metadata": metadata, "status": status}) is ready
