# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a staircase of clients saw, against time: as CSV, and as a picture for docs/faults.md."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib as mpl

from tests.faults.stream import Request
from tests.tools.common import HOME, ROOT

mpl.use("svg")
from matplotlib import pyplot as plt

FILE: Final = HOME / "faults" / "staircase.csv"
PICTURE: Final = ROOT / "docs" / "images" / "staircase.svg"
COLUMNS: Final = (
    "second",
    "in_flight",
    "wanted_by_littles_law",
    "servers_wanted",
    "servers_ready",
    "p50_ms",
    "max_ms",
    "answers",
)


@dataclass(frozen=True)
class Staircase:
    """The clients' requests and the servers.

    Args:
        requests: Of all clients.
        servers: Seconds after the start, servers wanted, servers ready.
        service_seconds: How long a server takes for a request.
        target: Requests in flight that a server is wanted for.
        largest: The most servers.
    """

    requests: Sequence[Request]
    servers: Sequence[tuple[float, int, int]]
    service_seconds: float
    target: int
    largest: int

    def rows(self) -> list[tuple[float, ...]]:
        """Return a row a second, of `COLUMNS`."""
        end = max(request.due + request.latency for request in self.requests)
        return [self._row(second) for second in range(math.ceil(end))]

    def _row(self, second: int) -> tuple[float, ...]:
        due = sum(second <= request.due < second + 1 for request in self.requests)
        # the mean of the second, not a moment of it: the clients' beats meet there
        overlaps = (
            min(request.due + request.latency, second + 1) - max(request.due, second) for request in self.requests
        )
        flying = round(sum(overlap for overlap in overlaps if overlap > 0), 2)
        done = [request for request in self.requests if second <= request.due + request.latency < second + 1]
        latencies = sorted(1000 * request.latency for request in done) or [math.nan]
        wanted, ready = next((pair[1:] for pair in self.servers if pair[0] >= second + 0.5), self.servers[-1][1:])
        # Little's law: the rate of arrivals, times the time that each takes, is what is in flight
        law = min(self.largest, max(1, math.ceil(due * self.service_seconds / self.target)))
        return second, flying, law, wanted, ready, latencies[len(latencies) // 2], latencies[-1], len(done)

    def write(self) -> Path:
        """Write both; return where the figures are."""
        rows = self.rows()
        FILE.parent.mkdir(parents=True, exist_ok=True)
        with FILE.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
        seconds, flying, law, wanted, ready, p50, longest, answers = zip(*rows, strict=True)
        figure, (top, middle, bottom) = plt.subplots(3, sharex=True, figsize=(9, 8), layout="constrained")
        top.step(seconds, flying, where="post", color="0.6", label="requests in flight")
        top.step(seconds, law, where="post", color="tab:green", linestyle=":", label="servers by Little's law")
        top.step(seconds, wanted, where="post", color="tab:orange", label="servers wanted")
        top.step(seconds, ready, where="post", color="tab:blue", label="servers ready")
        top.legend(loc="upper left", fontsize="small")
        middle.plot(seconds, p50, color="tab:blue", label="median")
        middle.plot(seconds, longest, color="tab:red", linewidth=0.8, label="longest")
        middle.set_ylabel("latency (ms)")
        middle.set_ylim(bottom=0)
        middle.legend(loc="upper left", fontsize="small")
        bottom.step(seconds, answers, where="post", color="tab:blue")
        bottom.set_ylabel("answers a second")
        bottom.set_ylim(bottom=0)
        bottom.set_xlabel("seconds")
        figure.savefig(PICTURE, metadata={"Date": None})
        plt.close(figure)
        return FILE
