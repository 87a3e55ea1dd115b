# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An open-loop gRPC client, a process of its own: ``python -m tests.faults.client TARGET PLAN RESULT``.

Every request has a payload of its own and every answer is compared with it. Nothing is retried, not even what gRPC
itself would send again unseen: what fails on the way is counted. Only a stream that says so is asked again, by this
client. Prints ``started`` when the first request is due, and goes on until its standard input ends; then it waits for
what is under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from tritonclient.grpc import service_pb2

from tests.faults.stream import OK, WRONG, Request, Stream

METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
OPTIONS: Final = [
    ("grpc.use_local_subchannel_pool", 1),  # else channels to one target share a connection
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
]
KEEPALIVE: Final = [
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", 1000),
    # from gRPC 1.59 on, else a minute where the peer's kernel lives and its process does not
    ("grpc.http2.ping_timeout_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]
#: The time that a connection may take to stand is this one, too; 20 s by default.
QUICK_CONNECT: Final = [("grpc.min_reconnect_backoff_ms", 1000), ("grpc.initial_reconnect_backoff_ms", 100)]
#: Seconds before a stream that repeats asks again; in all, longer than the lab knows a dead Envoy.
PAUSES: Final = (1.0, 2.0, 4.0, 5.0)
#: Its own, by which it goes before all that runs on the lab; only root may have that, as the lab's nodes do.
PRIORITY: Final = -15
#: Seconds after its deadline at which a call is given up: gRPC does not end one that it is writing to a connection that
#: is dead, and without a keepalive TCP takes a quarter of an hour to notice.
GRACE: Final = 5.0
#: Seconds for all connections to stand before the first request is due.
CONNECT_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Model:
    """The tensors of a model that gives back what it got.

    Args:
        payload: The input that comes back.
        echo: The output that it comes back in.
        seconds: The input that says how long to take; empty where the model has none.
    """

    payload: str
    echo: str
    seconds: str = ""


#: The models of tests/lab/models that a stream can use.
MODELS: Final = {
    "identity": Model("INPUT0", "OUTPUT0"),
    "paced": Model("INPUT0", "OUTPUT0", "SERVICE_SECONDS"),
}


class Sender:
    """Sends one stream.

    Args:
        stream: What to send.
        channels: The connections.
    """

    def __init__(self, stream: Stream, channels: Sequence[grpc.aio.Channel]) -> None:
        self.stream = stream
        self.requests: list[Request] = []
        self._model = MODELS[stream.model]
        self._filler = bytes(4 * (stream.values - 1))
        self._calls = [
            channel.unary_unary(
                METHOD,
                request_serializer=service_pb2.ModelInferRequest.SerializeToString,
                response_deserializer=service_pb2.ModelInferResponse.FromString,
            )
            for channel in channels
        ]

    async def run(self, start: float, stop: asyncio.Event) -> None:
        """Send each request when it is due until `stop`; return when the last is answered or given up."""
        numbers = itertools.count() if self.stream.count is None else range(self.stream.count)
        async with asyncio.TaskGroup() as group:
            for number in numbers:
                due = start + self.stream.start + number / self.stream.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if stop.is_set():
                    break
                group.create_task(self._send(number, due, start))

    async def _send(self, number: int, due: float, start: float) -> None:
        sent = time.monotonic()
        end = sent + self.stream.deadline
        outcome = await self._ask(number, end)
        for pause in PAUSES if self.stream.repeats else ():
            if not outcome.startswith(grpc.StatusCode.UNAVAILABLE.name) or time.monotonic() + pause > end:
                break
            await asyncio.sleep(pause)
            outcome = await self._ask(number, end)
        self.requests.append(Request(due - start, sent - due, time.monotonic() - due, outcome))

    async def _ask(self, number: int, end: float) -> str:
        """Send a request once, and return what became of it until a moment."""
        payload = self._payload(number)
        seconds = end - time.monotonic()
        call = self._calls[number % len(self._calls)](self._request(payload), timeout=seconds)
        answered = asyncio.ensure_future(call)
        if not (await asyncio.wait([answered], timeout=seconds + GRACE))[0]:
            answered.add_done_callback(lambda late: late.cancelled() or late.exception())  # else asyncio complains
            return f"not ended by gRPC {GRACE:g} s after its deadline"
        try:
            answer = await answered
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        return OK if list(answer.raw_output_contents) == [payload] else WRONG

    def _payload(self, number: int) -> bytes:
        return struct.pack("<f", number) + self._filler

    def _request(self, payload: bytes) -> Any:
        request = service_pb2.ModelInferRequest(model_name=self.stream.model)
        request.inputs.add(name=self._model.payload, datatype="FP32", shape=[self.stream.values])
        request.raw_input_contents.append(payload)
        if self._model.seconds:
            request.inputs.add(name=self._model.seconds, datatype="FP32", shape=[1])
            request.raw_input_contents.append(struct.pack("<f", self.stream.service_seconds))
        request.outputs.add(name=self._model.echo)
        return request


async def send(target: str, streams: Sequence[Stream], stop: asyncio.Event) -> dict[str, list[Request]]:
    """Send all streams at once until `stop`; return the stream's name → its requests."""
    senders = []
    for stream in streams:
        options = [
            *OPTIONS,
            *(KEEPALIVE if stream.keepalive else []),
            *(QUICK_CONNECT if stream.quick_connect else []),
        ]
        channels = [grpc.aio.insecure_channel(target, options=options) for _connection in range(stream.connections)]
        senders.append(Sender(stream, channels))
        ready = (channel.channel_ready() for channel in channels)
        await asyncio.wait_for(asyncio.gather(*ready), CONNECT_SECONDS)
    start = time.monotonic()
    print("started", flush=True)
    await asyncio.gather(*(sender.run(start, stop) for sender in senders))
    return {sender.stream.name: sender.requests for sender in senders}


async def send_until_told(target: str, streams: Sequence[Stream], result: Path) -> None:
    """Send all streams until the standard input ends, and write what became of each request."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(sys.stdin)  # what has ended stays readable
        stop.set()

    loop.add_reader(sys.stdin, end)
    requests = await send(target, streams, stop)
    seen = {name: [asdict(request) for request in stream] for name, stream in requests.items()}
    result.write_text(json.dumps(seen), encoding="utf-8")
    os._exit(0)  # calls that were given up hold all else up


def main() -> None:
    """Carry out a plan (a JSON list of streams)."""
    target, plan, result = sys.argv[1:]
    # what measures must not wait for what is measured
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    streams = [Stream(**stream) for stream in json.loads(Path(plan).read_text(encoding="utf-8"))]
    asyncio.run(send_until_told(target, streams, Path(result)))


if __name__ == "__main__":
    main()
