# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drains an Envoy before it stops: the sidecar of its Pod. Python's standard library only; the image is a stock one.

When a Pod is deleted, the kubelet runs the preStop hooks of its containers side by side:

* the sidecar's own (``drain``) moves the clients away, waits for their requests, and leaves a file when that is done;
* Envoy's asks the sidecar (``serve``), which answers when the file is there; only then is Envoy told to end.

So it takes the kubelet's right to run a command to drain an Envoy; the port that a neighbour can reach does nothing.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: Seconds between two looks, at Envoy or at the file.
INTERVAL = 0.2

#: Seconds for which connections without requests are waited for, once their clients have been asked to leave.
IDLE_SECONDS = 15.0

#: What of Envoy's statistics says how much is left: on the listener that clients call.
REQUESTS = "http.service.downstream_rq_active"
CONNECTIONS = "http.service.downstream_cx_active"


def log(message: str) -> None:
    """Write a line to the container's log."""
    print(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "message": message}), flush=True)


@dataclass(frozen=True)
class Admin:
    """Envoy's admin interface.

    Args:
        port: Its port on 127.0.0.1.
    """

    port: int

    def _ask(self, method: str, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def drain_listeners(self) -> None:
        """Ask clients to leave, more of them the longer it lasts, without closing anything."""
        self._ask("POST", "/drain_listeners?graceful&skip_exit")

    def fail_health(self) -> None:
        """Answer questions for readiness with no, and ask every client to leave with its next answer."""
        self._ask("POST", "/healthcheck/fail")

    def active(self) -> tuple[int, int]:
        """Return how many requests and how many connections of clients there are."""
        stats = json.loads(self._ask("GET", f"/stats?format=json&filter=^({REQUESTS}|{CONNECTIONS})$"))["stats"]
        values = {stat["name"]: int(stat["value"]) for stat in stats if "name" in stat}
        return values[REQUESTS], values[CONNECTIONS]


@dataclass(frozen=True)
class Times:
    """How long each part of a drain may take, in seconds.

    Args:
        deregister: Until no new client is sent here.
        drain: In which Envoy asks its clients to leave.
        request: That the longest request takes.
    """

    deregister: float
    drain: float
    request: float


def drain(admin: Admin, times: Times) -> str:
    """Move the clients of an Envoy away and wait until their requests are answered.

    Returns:
        How it ended.

    Raises:
        OSError, http.client.HTTPException, ValueError, KeyError: Envoy does not answer, or not as it should.
    """
    # Until the Service has forgotten this Envoy, a client that leaves may well come back.
    time.sleep(times.deregister)
    admin.drain_listeners()
    time.sleep(times.drain)
    admin.fail_health()
    started = time.monotonic()
    requests = connections = -1
    while connections:
        waited = time.monotonic() - started
        if not requests and waited >= IDLE_SECONDS:
            return f"{connections} connections without requests are left"
        if waited >= times.request:
            return f"{requests} requests on {connections} connections are cut off: the time for the longest is over"
        time.sleep(INTERVAL)
        # A busy Envoy may take its time to answer; one that is gone refuses.
        with suppress(TimeoutError):
            requests, connections = admin.active()
    return "no client is left"


class Handler(BaseHTTPRequestHandler):
    """Answers the kubelet: ``/ready`` at once, ``/drained`` when Envoy is."""

    server: Server

    def do_GET(self) -> None:
        """Answer one request."""
        if self.path == "/drained":
            while not self.server.drained.exists():
                time.sleep(INTERVAL)
            log(self.server.drained.read_text())
        elif self.path != "/ready":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class gives it
        """Write nothing: the kubelet asks every other second."""


class Server(ThreadingHTTPServer):
    """The sidecar's HTTP server.

    Args:
        port: Where it listens.
        drained: The file that says that Envoy is drained.
    """

    daemon_threads = True

    def __init__(self, port: int, drained: Path) -> None:
        super().__init__(("", port), Handler)
        self.drained = drained


def stop(*_: object) -> None:
    """End at once: a process with the number 1 ignores SIGTERM by itself."""
    sys.exit(0)


def main() -> None:
    """Parse the command line and do what it says."""
    parser = argparse.ArgumentParser(description="Drains an Envoy before it stops.")
    parser.add_argument("--admin-port", type=int, required=True, help="Envoy's admin interface")
    parser.add_argument("--port", type=int, required=True, help="where /ready and /drained are answered")
    parser.add_argument("--deregister-seconds", type=float, required=True, help="until no new client is sent here")
    parser.add_argument("--drain-seconds", type=float, required=True, help="Envoy's --drain-time-s")
    parser.add_argument("--request-seconds", type=float, required=True, help="that the longest request takes")
    parser.add_argument("--drained", type=Path, default=Path("/tmp/drained"), help="file that says so")  # noqa: S108 - a volume of its own
    parser.add_argument("action", choices=["serve", "drain"])
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    if options.action == "serve":
        Server(options.port, options.drained).serve_forever()
    times = Times(options.deregister_seconds, options.drain_seconds, options.request_seconds)
    try:
        result = drain(Admin(options.admin_port), times)
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        # It is gone, or as good as: there is nothing to wait for.
        result = f"Envoy does not answer: {error!r}"
    # in one step: the other process must not read half of it
    written = options.drained.with_suffix(".new")
    written.write_text(f"Drained: {result}")
    written.replace(options.drained)


if __name__ == "__main__":
    main()
