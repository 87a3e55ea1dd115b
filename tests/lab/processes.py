# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's long-running programs: started detached, found again, stopped.

There are no pid files. Each program carries the lab's folder, its own name and a fingerprint of its command line in its
environment, where /proc shows them: a number that the kernel has given to somebody else can never be mistaken for ours,
and what a killed `up` left behind is found like everything else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.lab.errors import LabError
from tests.lab.progress import duration
from tests.lab.shell import run

#: Asks a daemon whether it works; returns what is wrong, or an empty string.
Probe = Callable[[], str]

_LAB: Final = "HEP_SONIC_LAB"
_NAME: Final = "HEP_SONIC_DAEMON"
_FINGERPRINT: Final = "HEP_SONIC_FINGERPRINT"
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: Starts a program and prints its number: in a session of its own, so that Ctrl-C does not reach it, and as no child
#: of ours.
_STARTER: Final = 'setsid "$@" </dev/null >"$0" 2>&1 & echo $!'
#: What a process that becomes a daemon runs before it is the daemon; and containerd's shims, which inherit its
#: environment and outlive it.
_NOT_THE_DAEMON: Final = re.compile(r"setsid|nsenter|containerd-shim.*")
#: Seconds that `up` waits for a daemon that ran before to work again.
_PATIENCE: Final = 10.0
#: Seconds between two looks at something that is about to become ready.
POLL: Final = 0.05


@dataclass(frozen=True)
class Daemon:
    """A program that runs for as long as the lab.

    Attributes:
        name: Unique in the lab: `etcd`, `node-2/kubelet`.
        argv: Program (absolute path) and arguments.
        probe: Tells whether it works.
        files: Files it reads at its start: when one of them changes, it has to be started anew.
        enter: Words before `argv` that enter the node's namespaces.
        grace: Seconds it has for a clean end when it is replaced; 0 for none.
        environment: Variables that it needs.
    """

    name: str
    argv: tuple[str, ...]
    probe: Probe
    files: tuple[Path, ...] = ()
    enter: tuple[str, ...] = ()
    grace: float = 10.0
    environment: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return what changes when a running copy would have to be replaced."""
        variables = (f"{name}={text}" for name, text in self.environment.items())
        digest = hashlib.sha256("\0".join((*variables, *self.enter, *self.argv)).encode())
        digest.update(str(Path(self.argv[0]).stat().st_mtime_ns).encode())
        for path in self.files:
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Running:
    """A live process of the lab.

    Attributes:
        pid: Its number.
        name: The daemon's name; helpers that a daemon started have it, too.
        fingerprint: Of the daemon that it was started as.
        leader: Whether this is the daemon itself rather than a helper of it.
        started: When, in seconds since the epoch.
        memory: Resident memory in bytes.
    """

    pid: int
    name: str
    fingerprint: str
    leader: bool
    started: float
    memory: int


class Processes:
    """The processes of one lab.

    Args:
        directory: The lab's folder: mark of its processes, their working directory, and place of their logs.

    Attributes:
        started: Names of the daemons that this object has started.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.started: set[str] = set()

    def log(self, name: str) -> Path:
        """Return where a daemon's output goes."""
        return self._directory / "logs" / f"{name.replace('/', '-')}.log"

    def all(self) -> list[Running]:
        """Return every live process of the lab, helpers included."""
        return [found for pid in pids() if (found := self._look(pid))]

    def daemons(self) -> dict[str, Running]:
        """Return the live daemons by name."""
        return {process.name: process for process in self.all() if process.leader}

    def ensure(self, daemons: Iterable[Daemon]) -> None:
        """Start each daemon that does not run as described, replacing one that runs differently."""
        for daemon in daemons:
            if self.retire(daemon):
                self._start(daemon)

    def retire(self, daemon: Daemon) -> bool:
        """End a daemon that runs otherwise than described, and return whether it has to be started."""
        present = self.daemons().get(daemon.name)
        if present and present.fingerprint == daemon.fingerprint():
            return False
        self.stop([daemon.name], grace=daemon.grace)
        return True

    def wait_ready(self, daemons: Sequence[Daemon], seconds: float = 60.0) -> None:
        """Wait until every daemon's probe is content, replacing one that ran before but does not work.

        Raises:
            LabError: One has ended, or is not ready so many seconds after its start; with the last lines of its log.
        """
        for daemon in daemons:
            began = time.monotonic()
            while trouble := daemon.probe():
                waited = time.monotonic() - began
                alive = daemon.name in self.daemons()
                if daemon.name not in self.started and (not alive or waited > _PATIENCE):
                    self.stop([daemon.name], grace=0)
                    self._start(daemon)
                    began = time.monotonic()
                    continue
                if not alive or waited > seconds:
                    what = f"is not ready after {duration(seconds)} ({trouble})" if alive else "has ended"
                    raise LabError(f"{daemon.name} {what}; its log's last lines:\n{self.tail(daemon.name)}")
                time.sleep(POLL)

    def stop(self, names: Iterable[str], *, grace: float) -> None:
        """End daemons, but not helpers that they started: containers outlive their containerd.

        Args:
            names: Whom; those that do not run are fine.
            grace: Seconds between SIGTERM and SIGKILL; 0 for SIGKILL at once.
        """
        running = self.daemons()
        self._end([running[name].pid for name in names if name in running], grace)

    def kill(self) -> None:
        """Kill every process of the lab, helpers included. Nothing is worth a clean exit: the data goes, too."""
        self._end([process.pid for process in self.all()], 0)

    def tail(self, name: str, lines: int = 15) -> str:
        """Return the last lines of a daemon's log."""
        try:
            text = self.log(name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    def _start(self, daemon: Daemon) -> None:
        log = self.log(daemon.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists():
            # what a daemon said before it died is what one wants to read after `up` has repaired the lab
            log.replace(log.with_suffix(".previous.log"))
        pid = run(
            ["sh", "-c", _STARTER, log, *daemon.enter, *daemon.argv],
            directory=self._directory,
            # nothing of the caller's environment: no secrets in /proc, and the same start from every shell
            environment={
                "PATH": _PATH,
                _LAB: str(self._directory),
                _NAME: daemon.name,
                _FINGERPRINT: daemon.fingerprint(),
                **daemon.environment,
            },
            detached=True,
        )
        self.started.add(daemon.name)
        # While a process is about to run another program, /proc shows no environment: on a busy machine that takes a
        # while, and must not be taken for the daemon's end.
        while daemon.name not in self.daemons() and _is_alive(int(pid)):
            time.sleep(0.002)

    def _look(self, pid: int) -> Running | None:
        """Return the process if it is alive and ours."""
        try:
            # before the environment: the daemon's own program comes with the daemon's environment or with none yet
            executable = Path(f"/proc/{pid}/exe").readlink().name
            marks = _environment(pid)
            if marks.get(_LAB) != str(self._directory):
                return None
            fields = stat(pid)
            name = marks[_NAME]
        except (OSError, KeyError):
            return None
        state, session, ticks, pages = fields[0], int(fields[3]), int(fields[19]), int(fields[21])
        if state in "ZX":
            return None
        return Running(
            pid=pid,
            name=name,
            fingerprint=marks.get(_FINGERPRINT, ""),
            leader=session == pid and not _NOT_THE_DAEMON.fullmatch(executable),
            started=_boot_time() + ticks / os.sysconf("SC_CLK_TCK"),
            memory=pages * os.sysconf("SC_PAGE_SIZE"),
        )

    def _end(self, numbers: Iterable[int], grace: float) -> None:
        end(numbers, grace, lambda pid: self._look(pid) is not None)


def end(numbers: Iterable[int], grace: float, ours: Callable[[int], bool]) -> None:
    """End processes and wait until they are gone.

    Args:
        numbers: Their process numbers.
        grace: Seconds between SIGTERM and SIGKILL; 0 for SIGKILL at once.
        ours: Tells whether a number still means the process that was chosen; asked once the process is held by a
            descriptor, so that no signal can reach a newcomer with the same number.
    """
    handles: dict[int, int] = {}
    try:
        for pid in numbers:
            with contextlib.suppress(ProcessLookupError):
                handles[pid] = os.pidfd_open(pid)
        chosen = {handle for pid, handle in handles.items() if ours(pid)}
        if grace and chosen:
            chosen = _signal_and_wait(chosen, signal.SIGTERM, grace)
        if chosen:
            # a killed process is gone within milliseconds, or hangs in the kernel for good
            _signal_and_wait(chosen, signal.SIGKILL, 10.0)
    finally:
        for handle in handles.values():
            os.close(handle)


def _signal_and_wait(handles: set[int], number: signal.Signals, seconds: float) -> set[int]:
    """Signal processes and return the handles of those that still live after so many seconds."""
    alive = set(handles)
    poller = select.poll()
    for handle in handles:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        poller.register(handle, select.POLLIN)
    deadline = time.monotonic() + seconds
    while alive and (left := deadline - time.monotonic()) > 0:
        for handle, _event in poller.poll(left * 1000):
            poller.unregister(handle)
            alive.discard(handle)
    return alive


def pids() -> list[int]:
    """Return the numbers of all processes of the machine."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - a tenth of Path.iterdir's time


def stat(pid: int) -> list[str]:
    """Return what /proc tells of a process after its name: its state is the first field."""
    # the name may hold blanks and parentheses: fields are counted from the last one
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _is_alive(pid: int) -> bool:
    try:
        return stat(pid)[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _environment(pid: int) -> Mapping[str, str]:
    """Return the environment that a process was started with; empty if it may not be read."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return {}
    pairs = (entry.partition("=") for entry in raw.decode(errors="replace").split("\0"))
    return {name: text for name, _, text in pairs}


def _boot_time() -> float:
    """Return when the machine was started, in seconds since the epoch."""
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise LabError("/proc/stat does not say when the machine was started")
