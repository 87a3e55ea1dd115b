# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The traces of requests, with Envoy and Triton themselves and a place where traces are sent to."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2

from tests.tools.serving import serve
from tests.unit.roles.inference import MODEL, POD, Server, triton
from tests.unit.roles.proxy import Config, Proxy, Quiet, envoy
from tests.unit.roles.spans import Sink, Span, sink
from tests.unit.roles.test_drain import free_port, wait_for
from tests.unit.roles.test_running import held

INFER = f"/v2/models/{MODEL}/infer"
MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
#: What a client may send to have its own way.
WISHES = {
    "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
    "tracestate": "client=1",
    "x-envoy-force-trace": "true",
    "x-client-trace-id": "1",
    "x-request-id": "00000000-0000-9000-8000-000000000000",
}
#: Seconds after which all spans have come.
SETTLED = 1.5


@pytest.fixture(scope="module")
def place() -> Iterator[Sink]:
    with sink() as running:
        yield running


@pytest.fixture(scope="module")
def server(place: Sink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Triton that sends at once."""
    variables = {"sonic_tracing_sampling": 100, "sonic_tracing_endpoint": place.url}
    often = "--trace-config=opentelemetry,bsp_schedule_delay=200"
    with triton(tmp_path_factory.mktemp("triton"), variables, often) as running:
        yield running


@pytest.fixture
def spans(place: Sink) -> Sink:
    """The place, empty."""
    time.sleep(SETTLED)
    place.spans.clear()
    return place


def at_once(config: Config) -> None:
    """Let Envoy send its spans at once."""
    (layer,) = config["layered_runtime"]["layers"]
    layer["static_layer"]["tracing.opentelemetry.flush_interval_ms"] = 200


def traced(place: Sink, percent: float) -> dict[str, object]:
    return {"sonic_tracing_sampling": percent, "sonic_tracing_endpoint": place.url}


def infer_http(proxy: Proxy, headers: Mapping[str, str] | None = None) -> int:
    """Ask for an inference by HTTP, and return the answer's status."""
    tensor = {"name": "INPUT0", "shape": [2], "datatype": "FP32", "data": [1, 2]}
    with closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)) as connection:
        connection.request("POST", INFER, json.dumps({"inputs": [tensor]}), dict(headers or {}))
        return connection.getresponse().status


def infer_grpc(proxy: Proxy, headers: Mapping[str, str] | None = None) -> int:
    """Ask for an inference by gRPC, and return the answer's status as HTTP has it."""
    request = service_pb2.ModelInferRequest(model_name=MODEL, raw_input_contents=[bytes(8)])
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[2])
    with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
        infer = channel.unary_unary(MODEL_INFER, response_deserializer=service_pb2.ModelInferResponse.FromString)
        answer = infer(request.SerializeToString(), timeout=30, metadata=list((headers or {}).items()))
    return 200 if answer.model_name == MODEL else 500


BOTH = pytest.mark.parametrize("infer", [infer_http, infer_grpc])


def announce(proxy: Proxy, server: Server) -> None:
    """Let Envoy know of the server, and wait until it finds it healthy."""
    for cluster, port in (("triton_grpc", server.grpc), ("triton_http", server.http)):
        proxy.announce(cluster, [port])
    for cluster in ("triton_grpc", "triton_http"):
        wait_for(lambda name=cluster: proxy.stat(f"cluster.{name}.membership_healthy") == 1)  # type: ignore[misc]


def named(spans: Sequence[Span], name: str) -> Span:
    (span,) = (span for span in spans if span.name == name)
    return span


def collect(place: Sink) -> list[list[Span]]:
    """Wait until nothing more comes, and return the spans of each trace."""
    seen = -1
    while len(place.spans) > seen:
        seen = len(place.spans)
        time.sleep(SETTLED)
    traces: dict[str, list[Span]] = {}
    for span in place.spans:
        traces.setdefault(span.trace, []).append(span)
    return list(traces.values())


def check_connected(trace: Sequence[Span]) -> None:
    """Check that everything in a trace is a part of the request as Envoy saw it."""
    parents = {span.parent for span in trace} - {span.identity for span in trace}
    assert parents == {""}
    assert named(trace, "ingress").parent == ""


def whole(traces: list[list[Span]], infer: Callable[..., int]) -> list[list[Span]]:
    """Return the traces that end at the computation: all of HTTP, and most of gRPC.

    Triton 2.51 reads a traceparent of gRPC up to the next zero in memory. Where that is not at its end, it takes it for
    none, and Envoy's part of the trace is all that there is.
    """
    found = [trace for trace in traces if any(span.service == "cms-triton" for span in trace)]
    assert len(found) == len(traces) if infer is infer_http else found != []
    return found


def check_server(trace: Sequence[Span]) -> None:
    """Check what Triton has to say of a request: when it came, that it waited in the queue, and how it was computed."""
    request, received, queued, computed = (named(trace, name) for name in ("ingress", "InferRequest", MODEL, "compute"))
    assert [received.parent, queued.parent, computed.parent] == [request.identity, received.identity, queued.identity]
    assert "QUEUE_START" in queued.events
    assert {"COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"} <= set(computed.events)
    assert queued.start <= computed.start < computed.end <= queued.end


def check_traces(traces: list[list[Span]], infer: Callable[..., int]) -> list[list[Span]]:
    """Check what is in every trace, and return those that end at the computation."""
    for trace in traces:
        check_connected(trace)
    found = whole(traces, infer)
    for trace in found:
        check_server(trace)
    return found


@BOTH
def test_a_request_leaves_one_trace_from_envoy_to_the_computation(
    infer: Callable[..., int], spans: Sink, server: Server, tmp_path: Path
) -> None:
    with envoy(tmp_path, traced(spans, 100), at_once) as proxy:
        announce(proxy, server)
        assert [infer(proxy) for _ in range(5)] == [200] * 5
        traces = collect(spans)
    assert len(traces) == 5
    for trace in check_traces(traces, infer):
        resource = named(trace, "compute").resource
        place = [resource[key] for key in ("k8s.pod.name", "k8s.namespace.name", "hep.sonic.pool")]
        assert place == [POD, "cms", "gpu"]


@BOTH
def test_requests_that_waited_leave_one_trace_each(
    infer: Callable[..., int], spans: Sink, server: Server, tmp_path: Path
) -> None:
    with envoy(tmp_path, traced(spans, 100), at_once) as proxy, ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(infer, proxy) for _ in range(5)]
        wait_for(lambda: held(proxy) == 5)
        announce(proxy, server)
        assert [answer.result() for answer in answers] == [200] * 5
        traces = collect(spans)
    assert len(traces) == 5
    for trace in check_traces(traces, infer):
        (waited,) = (span for span in trace if span.name.startswith("router service_"))
        assert waited.start < named(trace, "InferRequest").start < waited.end


class Failing(Quiet):
    """A server that is healthy, and answers no inference."""

    def reply(self) -> None:
        self.answer(503 if self.command == "POST" else 200)


def in_turn(config: Config) -> None:
    """Let Envoy send its spans at once, and ask servers in turn whatever they answer."""
    at_once(config)
    (cluster,) = (one for one in config["static_resources"]["clusters"] if one["name"] == "triton_http")
    cluster["outlier_detection"] = {"consecutive_5xx": 1000}


def test_a_request_that_was_repeated_leaves_one_trace(spans: Sink, server: Server, tmp_path: Path) -> None:
    variables = {**traced(spans, 100), "envoy_balancing": {"policy": "round_robin"}}
    with serve(Failing) as failing, envoy(tmp_path, variables, in_turn) as proxy:
        proxy.announce("triton_http", [failing, server.http])
        wait_for(lambda: proxy.stat("cluster.triton_http.membership_healthy") == 2)
        assert [infer_http(proxy) for _ in range(4)] == [200] * 4
        traces = collect(spans)
    assert len(traces) == 4
    for trace in traces:
        check_connected(trace)
        check_server(trace)
    attempts = [sum(span.name == "router service_http egress" for span in trace) for trace in traces]
    assert max(attempts) == 2


def test_envoy_alone_decides_what_is_traced(spans: Sink, server: Server, tmp_path: Path) -> None:
    with envoy(tmp_path, traced(spans, 50), at_once) as proxy:
        announce(proxy, server)
        for infer in (infer_http, infer_grpc):
            spans.spans.clear()
            assert [infer(proxy, WISHES) for _ in range(20)] == [200] * 20
            traces = collect(spans)
            for trace in traces:
                check_connected(trace)
            assert 0 < len(traces) < 20
            assert whole(traces, infer)
            assert WISHES["traceparent"].split("-")[1] not in {span.trace for span in spans.spans}


def test_what_does_not_come_through_envoy_leaves_no_trace(spans: Sink, server: Server, tmp_path: Path) -> None:
    assert infer_http(Proxy(server.http, 0, tmp_path)) == 200
    with envoy(tmp_path, traced(spans, 0), at_once) as proxy:
        announce(proxy, server)
        assert (infer_http(proxy), infer_grpc(proxy)) == (200, 200)
        assert collect(spans) == []


def test_requests_are_answered_while_nobody_takes_traces(tmp_path: Path) -> None:
    variables = {"sonic_tracing_sampling": 100, "sonic_tracing_endpoint": f"http://127.0.0.1:{free_port()}"}
    with triton(tmp_path, variables) as server, envoy(tmp_path, variables, at_once) as proxy:
        announce(proxy, server)
        took = []
        for _ in range(40):
            start = time.monotonic()
            assert (infer_http(proxy), infer_grpc(proxy)) == (200, 200)
            took.append(time.monotonic() - start)
            time.sleep(0.05)
        assert proxy.stat("cluster.traces.upstream_cx_connect_fail") > 0
    assert sorted(took)[len(took) // 2] < 0.1
    assert max(took) < 1  # no request waited for the place
