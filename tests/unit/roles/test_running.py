# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an Envoy with the role's configuration does with requests: it repeats them, and holds them without a server."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest

from tests.tools.serving import serve
from tests.unit.roles.proxy import Config, Proxy, Quiet, envoy
from tests.unit.roles.test_drain import get, wait_for

INFER = "/v2/models/identity/infer"
HEALTH = "/grpc.health.v1.Health/Check"
MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
#: HealthCheckResponse.
SERVING = b"\x08\x01"
MIB = 2**20


class Busy(Quiet):
    """A server that takes its time, and says with its status at which attempt Envoy asked it."""

    def reply(self) -> None:
        time.sleep(0.05)
        self.answer(200 + int(self.headers["x-envoy-attempt-count"]))


class Broken(Quiet):
    """A server that breaks off each request."""

    def reply(self) -> None:
        self.close_connection = True


def unlearning(config: Config) -> None:
    """Let Envoy learn nothing about a server, from its health or from earlier requests."""
    (cluster,) = (one for one in config["static_resources"]["clusters"] if one["name"] == "triton_http")
    del cluster["health_checks"], cluster["outlier_detection"]


def test_a_repetition_goes_to_another_server_however_idle_the_broken_one_is(tmp_path: Path) -> None:
    with serve(Broken) as broken, serve(Busy) as busy, envoy(tmp_path, change=unlearning) as proxy:
        proxy.announce("triton_http", [broken, busy])
        wait_for(lambda: proxy.stat("cluster.triton_http.membership_total") == 2)
        with ThreadPoolExecutor(8) as pool:
            attempts = [status - 200 for status in pool.map(lambda _: get(proxy.port, INFER), range(200))]
    assert 2 in attempts  # some were sent to the broken one at first
    assert set(attempts) <= {1, 2}


class Identity(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """A gRPC server that is healthy, and answers every call with what it got."""

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _context: SERVING if call.method == HEALTH else request
        )


@contextmanager
def serve_grpc() -> Iterator[int]:
    """Run a gRPC server, and yield its port."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers([Identity()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None)


@contextmanager
def client(proxy: Proxy) -> Iterator[grpc.UnaryUnaryMultiCallable]:
    """Yield what asks for an inference: bytes for bytes."""
    unlimited = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
    with grpc.insecure_channel(f"127.0.0.1:{proxy.port}", options=unlimited) as channel:
        yield channel.unary_unary(MODEL_INFER)


def held(proxy: Proxy) -> int:
    """Return how many requests wait for a server."""
    return proxy.stat("cluster.waiting.upstream_rq_active")


def test_requests_wait_for_the_first_server(tmp_path: Path) -> None:
    payloads = [f"{number}".encode() for number in range(20)]
    with envoy(tmp_path) as proxy, client(proxy) as infer, serve_grpc() as server:
        calls = [infer.future(payload, timeout=30) for payload in payloads]
        wait_for(lambda: held(proxy) == len(calls))
        assert proxy.stat("http.service.downstream_rq_active") == len(calls)  # the demand
        proxy.announce("triton_grpc", [server])
        start = time.monotonic()
        assert [call.result() for call in calls] == payloads
        assert time.monotonic() - start < 2
        assert held(proxy) == 0


def test_a_request_by_http_waits_too(tmp_path: Path) -> None:
    with envoy(tmp_path) as proxy, serve(Quiet) as server, ThreadPoolExecutor(1) as pool:
        status = pool.submit(get, proxy.port, INFER)
        wait_for(lambda: held(proxy) == 1)
        proxy.announce("triton_http", [server])
        assert status.result() == 200


def test_a_large_request_waits_with_its_client(tmp_path: Path) -> None:
    payload = bytes(64 * MIB)
    with envoy(tmp_path) as proxy, client(proxy) as infer, serve_grpc() as server:
        before = proxy.stat("server.memory_allocated")
        calls = [infer.future(payload, timeout=60) for _ in range(8)]
        wait_for(lambda: held(proxy) == len(calls))
        time.sleep(1)
        each = (proxy.stat("server.memory_allocated") - before) / len(calls)
        assert each < MIB  # what envoy_hold_requests counts on
        proxy.announce("triton_grpc", [server])
        assert all(call.result() == payload for call in calls)


def test_after_its_time_a_request_is_told_why(tmp_path: Path) -> None:
    with envoy(tmp_path, {"envoy_hold_seconds": 2}) as proxy, client(proxy) as infer:
        start = time.monotonic()
        with pytest.raises(grpc.RpcError) as failure:
            infer(b"", timeout=30)
        assert 2 <= time.monotonic() - start < 3  # once, not again and again
        assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
        assert failure.value.details() == "No server is ready, and none became ready within 2 s."
        with closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)) as connection:
            connection.request("GET", INFER)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (503, b"No server is ready, and none became ready within 2 s.")


def test_one_request_too_many_is_refused_at_once(tmp_path: Path) -> None:
    with envoy(tmp_path, {"envoy_hold_requests": 3}) as proxy, client(proxy) as infer:
        calls = [infer.future(b"", timeout=60) for _ in range(3)]
        wait_for(lambda: held(proxy) == proxy.stat("cluster.hold.upstream_rq_active") == 3)
        start = time.monotonic()
        with pytest.raises(grpc.RpcError) as failure:
            infer(b"", timeout=30)
        took = time.monotonic() - start
        assert [call.done() for call in calls] == [False] * 3
        assert failure.value.details() == "As many requests wait or run here as may. Try again later."
        assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
        assert took < 0.5
        for call in calls:
            call.cancel()


def test_what_is_denied_does_not_wait(tmp_path: Path) -> None:
    with envoy(tmp_path) as proxy:
        with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
            load = channel.unary_unary("/inference.GRPCInferenceService/RepositoryModelLoad")
            with pytest.raises(grpc.RpcError) as failure:
                load(b"", timeout=30)
        assert failure.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_request_whose_only_server_is_gone_waits_for_the_next(tmp_path: Path) -> None:
    with envoy(tmp_path) as proxy, client(proxy) as infer:
        with serve_grpc() as server:
            proxy.announce("triton_grpc", [server])
            assert infer(b"1", timeout=30) == b"1"
        call = infer.future(b"2", timeout=30)
        wait_for(lambda: held(proxy) == 1)
        with serve_grpc() as server:
            proxy.announce("triton_grpc", [server])
            assert call.result() == b"2"


class Pressure:
    """How full the memory is, by a file instead of by Envoy's own size.

    Args:
        folder: Where the file is.
    """

    NAME = "envoy.resource_monitors.injected_resource"
    MESSAGE = "type.googleapis.com/envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig"

    def __init__(self, folder: Path) -> None:
        self._file = folder / "pressure"
        self.set(0)

    def set(self, share: float) -> None:
        """Say how much of the memory is used."""
        new = self._file.with_suffix(".new")
        new.write_text(str(share))
        new.replace(self._file)

    def __call__(self, config: Config) -> None:
        manager = config["overload_manager"]
        heap = manager["resource_monitors"][0]["name"]
        injected = {"@type": self.MESSAGE, "filename": str(self._file)}
        manager["resource_monitors"][0] = {"name": self.NAME, "typed_config": injected}
        for action in manager["actions"]:
            for trigger in action["triggers"]:
                assert trigger["name"] == heap
                trigger["name"] = self.NAME


def test_what_waits_is_answered_though_memory_is_short(tmp_path: Path) -> None:
    pressure = Pressure(tmp_path)
    with envoy(tmp_path, change=pressure) as proxy, client(proxy) as infer, serve_grpc() as server:
        call = infer.future(b"1", timeout=30)
        wait_for(lambda: held(proxy) == 1)
        pressure.set(0.9)
        wait_for(lambda: proxy.stat("overload.envoy.overload_actions.stop_accepting_requests.active") == 1)
        with pytest.raises(grpc.RpcError) as failure:
            infer(b"2", timeout=30)
        assert failure.value.details() == "envoy overloaded"
        time.sleep(0.5)
        assert proxy.stat("http.waiting.downstream_rq_overload_close") == 0  # it would ask again at once, without end
        proxy.announce("triton_grpc", [server])
        assert call.result() == b"1"
