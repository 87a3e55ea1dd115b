# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a client is told to send, what it saw, and what that amounts to: values only."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

#: The outcome of a request whose answer came and was the right one.
OK: Final = "OK"
#: The outcome of a request whose answer came and was not its own.
WRONG: Final = "wrong answer"


@dataclass(frozen=True)
class Stream:
    """Requests at fixed times, whatever becomes of those before: an open loop, until the client is told to stop.

    Args:
        name: What the results call it.
        model: The model to ask: a key of `client.MODELS`.
        rate: Requests a second.
        count: How many there are at most; None for no limit.
        start: When the first is due, in seconds after the client's start.
        values: FP32 numbers in each request.
        deadline: Seconds after which a request counts as failed.
        service_seconds: How long the server is to take for each, where the model can be told.
        connections: TCP connections, used in turn.
        keepalive: Whether connections are probed: a ping a second, given up after another.
        quick_connect: Whether a new connection is given up after a second, and tried again at once.
        repeats: Whether the client asks again, up to four times, where it is told that the service is UNAVAILABLE.
    """

    name: str
    model: str
    rate: float
    count: int | None = None
    start: float = 0.0
    values: int = 16
    deadline: float = 20.0
    service_seconds: float = 0.0
    connections: int = 4
    keepalive: bool = False
    quick_connect: bool = False
    repeats: bool = False


@dataclass(frozen=True)
class Request:
    """What became of one request.

    Args:
        due: When it was to be sent, in seconds after the client's start.
        late: Seconds between that and the moment it was sent: how far behind its schedule the client itself was.
        latency: Seconds between the moment it was due and its end.
        outcome: OK, WRONG, or the gRPC status with its message.
    """

    due: float
    late: float
    latency: float
    outcome: str


@dataclass(frozen=True)
class Summary:
    """A stream in figures; times in milliseconds.

    Args:
        sent: Requests sent.
        failed: Those without their right answer.
        p50: Median latency of those with their right answer, from the moment each was due.
        p99: Its 99th percentile.
        maximum: Its maximum.
        silence: The longest time without a right answer, between two of them.
        late: How far the client itself was behind its schedule, at most.
        outcomes: Outcome of failed requests → how many.
    """

    sent: int
    failed: int
    p50: float
    p99: float
    maximum: float
    silence: float
    late: float
    outcomes: Mapping[str, int]

    @classmethod
    def of(cls, requests: Sequence[Request]) -> Self:
        """Summarize the requests of one stream."""
        good = [request for request in requests if request.outcome == OK]
        latencies = sorted(request.latency for request in good)
        ends = sorted(request.due + request.latency for request in good)
        return cls(
            sent=len(requests),
            failed=len(requests) - len(good),
            p50=_milliseconds(_percentile(latencies, 50)),
            p99=_milliseconds(_percentile(latencies, 99)),
            maximum=_milliseconds(latencies[-1] if latencies else 0.0),
            silence=_milliseconds(max((after - before for before, after in itertools.pairwise(ends)), default=0.0)),
            late=_milliseconds(max((request.late for request in requests), default=0.0)),
            outcomes=Counter(request.outcome for request in requests if request.outcome != OK),
        )

    def __str__(self) -> str:
        failures = "".join(f"; {count} x {outcome}" for outcome, count in self.outcomes.items())
        return (
            f"{self.failed} of {self.sent} failed, p50 {self.p50:g} ms, p99 {self.p99:g} ms, max {self.maximum:g} ms, "
            f"silence {self.silence:g} ms, client late {self.late:g} ms{failures}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        return asdict(self) | {"outcomes": dict(self.outcomes)}


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
