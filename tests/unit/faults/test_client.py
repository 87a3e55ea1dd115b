# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client of tests/faults sees what it is there to see: each failure is put into the server on purpose."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.faults.client import send
from tests.faults.stream import OK, WRONG, Request, Stream, Summary


class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Gives back what it got, except for the requests 3 (another's answer), 5 (refused) and 7 (too late)."""

    async def ModelInfer(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802 - KServe's name
        payload = request.raw_input_contents[0]
        (number,) = struct.unpack_from("<f", payload)
        if number == 3:
            payload = struct.pack("<f", 4) + payload[4:]
        if number == 5:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no healthy upstream")
        if number == 7:
            await asyncio.sleep(5)
        return service_pb2.ModelInferResponse(raw_output_contents=[payload])


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def sent(*streams: Stream) -> dict[str, list[Request]]:
    async def run() -> dict[str, list[Request]]:
        async with serving() as target:
            return await send(target, streams, asyncio.Event())

    return asyncio.run(run())


def test_a_wrong_a_refused_and_a_late_answer_are_failures() -> None:
    requests = sent(Stream("main", "identity", rate=200, count=20, deadline=0.5))["main"]
    outcomes = Counter(request.outcome.partition(":")[0] for request in requests)
    assert outcomes == {
        OK: 17,
        WRONG: 1,
        "UNAVAILABLE": 1,
        "DEADLINE_EXCEEDED": 1,
    }


def test_a_late_answer_does_not_delay_the_requests_after_it() -> None:
    requests = sent(Stream("main", "identity", rate=100, count=50, deadline=0.5))["main"]
    after = [request for request in requests if request.due > 0.075]
    assert len(after) == 42
    assert max(request.late for request in after) < 0.2
    assert max(request.latency for request in after) < 0.3


def test_latency_counts_from_the_moment_a_request_was_due() -> None:
    requests = sent(Stream("main", "identity", rate=20, count=3, start=0.2))["main"]
    dues = [round(request.due, 3) for request in sorted(requests, key=lambda request: request.due)]
    assert dues == [0.2, 0.25, 0.3]
    assert all(request.latency >= request.late >= 0 for request in requests)


def test_an_endless_stream_ends_when_it_is_told_to() -> None:
    async def run() -> dict[str, list[Request]]:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.5, stop.set)
        async with serving() as target:
            return await send(target, [Stream("main", "identity", rate=20, start=0.1, deadline=0.1)], stop)

    assert 1 <= len(asyncio.run(run())["main"]) <= 10


def test_streams_run_side_by_side() -> None:
    requests = sent(
        Stream("main", "identity", rate=100, count=3, keepalive=True),
        Stream("long", "paced", rate=1, count=1, service_seconds=0.1, values=1000),
    )
    assert {name: len(seen) for name, seen in requests.items()} == {"main": 3, "long": 1}
    assert all(request.outcome == OK for seen in requests.values() for request in seen)


def test_a_summary_counts_failures_and_the_longest_silence() -> None:
    requests = [
        *(Request(due=number / 10, late=0.001, latency=0.01, outcome=OK) for number in range(10)),
        Request(due=1.0, late=0.002, latency=0.5, outcome="UNAVAILABLE: gone"),
        Request(due=1.1, late=0.001, latency=0.9, outcome=OK),
    ]
    summary = Summary.of(requests)
    assert (summary.sent, summary.failed) == (12, 1)
    assert (summary.p50, summary.p99, summary.maximum) == (10.0, 900.0, 900.0)
    assert summary.silence == 1090.0
    assert summary.late == 2.0
    assert summary.outcomes == {"UNAVAILABLE: gone": 1}
    assert "1 of 12 failed" in str(summary)


def test_a_summary_of_failures_alone_has_no_latencies() -> None:
    summary = Summary.of([Request(due=0, late=0, latency=1, outcome=WRONG)])
    assert (summary.failed, summary.maximum, summary.silence) == (1, 0.0, 0.0)
