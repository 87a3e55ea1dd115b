# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the client does where nothing answers; real servers are asked in molecule and tests/system."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.service import Report, Tls, check_service
from ansible_collections.hep.sonic.plugins.plugin_utils.service_contract import Problem, parse_contracts

PROTOCOLS = ("grpc", "http")
CONTRACTS = parse_contracts([{"name": "tagger"}, {"name": "optional", "required": False}])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Yield a port where connections are taken and nothing is ever said: a hung server."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    """Return a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def ask(
    port: int, *, timeout: float, wait: bool = False, settle: float = 0, tls: bool = False
) -> tuple[Report, list[str]]:
    shown: list[str] = []
    report = check_service(
        f"127.0.0.1:{port}",
        Tls(enabled=tls),
        PROTOCOLS,
        CONTRACTS,
        timeout=timeout,
        wait=wait,
        settle=settle,
        progress=shown.append,
    )
    return report, shown


def lines(report: Report) -> Sequence[str]:
    return [report.line(problem) for problem in report.problems(required=True)]


def test_a_closed_port_is_reported_for_both_protocols_at_once(closed_port: int) -> None:
    report, shown = ask(closed_port, timeout=10)
    assert [line.split(":")[0] for line in lines(report)] == ["by gRPC", "by HTTP"]
    assert all("Connection refused" in line for line in lines(report))
    assert report.transient
    assert not shown


@pytest.mark.parametrize("tls", [False, True])
def test_the_timeout_bounds_a_server_that_says_nothing(silent_port: int, tls: bool) -> None:
    start = time.monotonic()
    report, _shown = ask(silent_port, timeout=1, tls=tls)
    assert time.monotonic() - start < 3
    assert lines(report)[-1].endswith("no answer in time")


def test_waiting_says_why_once_and_ends_with_the_timeout(closed_port: int) -> None:
    start = time.monotonic()
    report, shown = ask(closed_port, timeout=3, wait=True)
    assert 1 < time.monotonic() - start < 4
    assert len(shown) == 1
    assert shown[0].startswith(f"waiting for 127.0.0.1:{closed_port}: by gRPC: UNAVAILABLE")
    assert lines(report)


@pytest.fixture
def plaintext_port() -> Iterator[int]:
    """Yield a port that answers whoever comes with plain HTTP, and so no TLS."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("settle", [0, 2])
def test_what_does_not_pass_by_itself_is_asked_again_while_servers_of_before_may_answer(
    plaintext_port: int, settle: float
) -> None:
    start = time.monotonic()
    report, shown = ask(plaintext_port, timeout=20, wait=True, settle=settle, tls=True)
    assert not report.transient
    assert settle <= time.monotonic() - start < settle + 5
    assert len(shown) == bool(settle)


def test_a_difference_by_both_protocols_is_one_line() -> None:
    report = Report(CONTRACTS, ["gRPC", "HTTP"])
    both, one = Problem("tagger", "wrong shape."), Problem("tagger", "wrong type.")
    for protocol in ("gRPC", "HTTP"):
        report.add(protocol, both)
    report.add("HTTP", one)
    assert lines(report) == ["tagger: wrong shape.", "tagger: by HTTP: wrong type."]
    assert not report.ok("tagger")


def test_what_is_wrong_with_an_optional_model_does_not_fail_the_service() -> None:
    report = Report(CONTRACTS, ["gRPC", "HTTP"])
    report.add("gRPC", Problem("optional", "the server does not have it."))
    assert lines(report) == []
    assert [problem.model for problem in report.problems(required=False)] == ["optional"]
    assert not report.transient


def test_only_what_may_pass_by_itself_is_waited_for() -> None:
    report = Report(CONTRACTS, ["gRPC"])
    report.add("gRPC", Problem("tagger", "it is not ready: LOADING.", transient=True))
    assert report.transient
    report.add("gRPC", Problem("tagger", "max_batch_size is 4 on the server, declared 8."))
    assert not report.transient
