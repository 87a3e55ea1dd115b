# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs, since when, with how much memory, and what is ill."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.lab import dns
from tests.lab.errors import LabError
from tests.lab.parts import Parts
from tests.lab.processes import Processes
from tests.lab.progress import duration
from tests.lab.state import State

_MIB: Final = 2**20


@dataclass(frozen=True)
class DaemonStatus:
    """One daemon.

    Attributes:
        name: Its name.
        pid: Its process; None if it does not run.
        seconds: How long it has been running.
        memory: Resident memory in bytes.
        trouble: What is wrong; empty if nothing is.
    """

    name: str
    pid: int | None
    seconds: float
    memory: int
    trouble: str


@dataclass(frozen=True)
class Status:
    """A lab.

    Attributes:
        state: The choices it was made with; None if there is no lab.
        server: URL of its API server.
        daemons: What should run.
        cluster: What should be well in the cluster, each with what is wrong or an empty string.
    """

    state: State | None
    server: str = ""
    daemons: tuple[DaemonStatus, ...] = ()
    cluster: tuple[tuple[str, str], ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether there is a lab and nothing in it is ill."""
        troubles = [daemon.trouble for daemon in self.daemons] + [trouble for _, trouble in self.cluster]
        return self.state is not None and not any(troubles)


def look(parts: Parts, state: State, processes: Processes) -> Status:
    """Look at everything that belongs to a lab."""
    running = processes.daemons()
    found = []
    for daemon in parts.daemons():
        if process := running.get(daemon.name):
            age = time.time() - process.started
            found.append(DaemonStatus(daemon.name, process.pid, age, process.memory, daemon.probe()))
        else:
            found.append(DaemonStatus(daemon.name, None, 0.0, 0, "does not run"))
    return Status(state, parts.control.server, tuple(found), tuple(_look_at_cluster(parts)))


def _look_at_cluster(parts: Parts) -> Iterator[tuple[str, str]]:
    """Yield what the API server knows of the nodes and the DNS; without real nodes there is neither."""
    if not parts.nodes:
        return
    try:
        api = parts.control.api()
        for node in parts.nodes:
            yield node.name, node.trouble(api)
        yield "DNS", dns.trouble(api)
    except (LabError, OSError) as error:
        yield "cluster", str(error)


def render(name: str, status: Status) -> str:
    """Return what `status` prints."""
    if status.state is None:
        return f"there is no lab {name}"
    since = duration(time.time() - status.state.created)
    lines = [
        f"lab {name} ({status.state.describe()}), up since {since}, {status.server}",
        f"  {'PROCESS':<24} {'PID':>8} {'SINCE':>7} {'MEMORY':>9}  STATE",
    ]
    for daemon in status.daemons:
        pid = daemon.pid or "-"
        memory = f"{daemon.memory // _MIB} MiB"
        lines.append(
            f"  {daemon.name:<24} {pid:>8} {duration(daemon.seconds):>7} {memory:>9}  {_verdict(daemon.trouble)}"
        )
    total = sum(daemon.memory for daemon in status.daemons)
    lines.append(f"  {len(status.daemons)} processes, {total // _MIB} MiB")
    lines += [f"  {part:<24} {_verdict(trouble)}" for part, trouble in status.cluster]
    return "\n".join(lines)


def _verdict(trouble: str) -> str:
    return f"ILL: {trouble}" if trouble else "ok"
