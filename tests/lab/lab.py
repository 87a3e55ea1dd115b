"""A lab as a whole: what `up`, `down` and `status` do, in their order."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab import ports, programs
from tests.lab.api import load_objects
from tests.lab.control import EASY, FIXED_PORTS, PORT_ROLES, QUICK, ControlPlane
from tests.lab.errors import LabError
from tests.lab.processes import Daemon, Processes
from tests.lab.progress import Progress
from tests.lab.settings import SOURCE, home
from tests.lab.state import Form, State, boot_id

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class DaemonStatus:
    """What `status` shows of one daemon.

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
    """What `status` shows.

    Attributes:
        form: Form of the lab; None if there is no lab of this name.
        server: URL of its API server.
        seconds: How long it has existed.
        daemons: All its daemons.
    """

    form: Form | None
    server: str = ""
    seconds: float = 0.0
    daemons: tuple[DaemonStatus, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether there is a lab and nothing in it is ill."""
        return self.form is not None and not any(daemon.trouble for daemon in self.daemons)


class Lab:
    """One lab.

    Args:
        name: Its name; any number of labs of form `control` run side by side.
        progress: Where to tell what happens.

    Raises:
        LabError: The name cannot be one.
    """

    def __init__(self, name: str, progress: Progress) -> None:
        if not _NAME.fullmatch(name):
            raise LabError(
                f'"{name}" cannot be a lab\'s name',
                "Use up to 32 small letters, digits and dashes, beginning and ending with a letter or digit.",
            )
        self.name = name
        self.directory = home() / "labs" / name
        self._progress = progress
        self._processes = Processes(self.directory)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, whether the lab runs or not."""
        return self.directory / "kubeconfig"

    def up(self, form: Form | None = None, nodes: int | None = None, dns_cache: int | None = None) -> None:
        """Start the lab, or repair it, or change it to these choices.

        Args:
            form: `control` or `node`; None for what it is, `control` if there is none.
            nodes: Number of real nodes; None for as many as there are.
            dns_cache: Seconds for which its DNS keeps answers; None for what it is.

        Raises:
            LabError: It cannot be started; the message says why.
        """
        self._refuse_strangers()
        with self._exclusive():
            state = self._settle(form, nodes, dns_cache)
            control = self._control(state)
            programs.ensure(["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"], self._progress)
            self._refuse_taken_ports(state)
            self._start_control(control)
            self._progress.say(f"lab {self.name} is up: {control.kubeconfig}")

    def down(self) -> None:
        """Stop the lab and remove everything it left; its logs, too."""
        if not self.directory.exists():
            self._progress.say(f"there is no lab {self.name}")
            return
        self._refuse_strangers()
        with self._exclusive():
            self._purge()
        self._progress.say(f"lab {self.name} is gone")

    def status(self) -> Status:
        """Look at everything that belongs to the lab."""
        state = State.load(self.directory)
        if state is None:
            return Status(form=None)
        control = self._control(state)
        running = self._processes.daemons()
        found = []
        for daemon in self._daemons(control):
            process = running.get(daemon.name)
            if process is None:
                found.append(DaemonStatus(daemon.name, None, 0.0, 0, "does not run"))
            else:
                age = time.time() - process.started
                found.append(DaemonStatus(daemon.name, process.pid, age, process.memory, daemon.probe()))
        return Status(state.form, control.server, time.time() - state.created, tuple(found))

    def log(self, daemon: str) -> Path:
        """Return a daemon's log.

        Raises:
            LabError: There is none.
        """
        path = self._processes.log(daemon)
        if not path.exists():
            present = sorted(file.stem for file in path.parent.glob("*.log")) if path.parent.exists() else []
            raise LabError(f"{daemon} has no log in lab {self.name}", f"There are: {', '.join(present) or 'none'}.")
        return path

    def _settle(self, form: Form | None, nodes: int | None, dns_cache: int | None) -> State:
        """Return the state to bring about: what is there, changed by what is asked for."""
        present = State.load(self.directory)
        if present and present.boot != boot_id():
            self._progress.say("the machine was restarted since: beginning anew")
            form, nodes = form or present.form, nodes or present.nodes
            dns_cache = present.dns_cache if dns_cache is None else dns_cache
            self._purge()
            present = None
        if present and form and form != present.form:
            raise LabError(
                f"lab {self.name} has the form {present.form}",
                f"Remove it with `python -m tests.lab down --name {self.name}`, or choose another name.",
            )
        if present is None:
            form = form or "control"
            state = State(form, self._choose_ports(form), nodes or 1, dns_cache or 0)
        else:
            state = present
            state.nodes = nodes or present.nodes
            state.dns_cache = present.dns_cache if dns_cache is None else dns_cache
        state.save(self.directory)
        return state

    def _choose_ports(self, form: Form) -> dict[str, int]:
        if form == "node":
            return dict(FIXED_PORTS)
        others = [State.load(directory) for directory in self.directory.parent.iterdir() if directory.is_dir()]
        promised = {port for state in others if state for port in state.ports.values()}
        return ports.choose(self.name, PORT_ROLES, _LOOPBACK, promised)

    def _control(self, state: State) -> ControlPlane:
        return ControlPlane(
            directory=self.directory,
            name=self.name,
            address=_LOOPBACK,
            ports=state.ports,
            timing=QUICK if state.form == "node" else EASY,
            has_nodes=state.form == "node",
        )

    def _daemons(self, control: ControlPlane) -> list[Daemon]:
        return [control.etcd(), control.apiserver(), *control.controllers(), control.kwok()]

    def _start_control(self, control: ControlPlane) -> None:
        control.prepare()
        base = [control.etcd(), control.apiserver()]
        started = self._processes.ensure(base)
        self._processes.wait_ready(base)
        if started:
            self._progress.say(f"API server ready at {control.server}")
            # After a restart of the API server alone, the controllers' informers are refused for a moment and back off
            # for more than a minute.
            self._processes.stop(daemon.name for daemon in control.controllers())
        api = control.api()
        for obj in load_objects(SOURCE / "objects" / "control.yml", {}):
            api.apply(obj)
        rest = [*control.controllers(), control.kwok()]
        started += self._processes.ensure(rest)
        self._processes.wait_ready(rest)
        if started:
            self._progress.say(f"started {', '.join(started)}")

    def _refuse_strangers(self) -> None:
        """Refuse to touch the lab of another user: its processes could be neither seen nor stopped."""
        if self.directory.exists() and self.directory.stat().st_uid != os.geteuid():
            owner = pwd.getpwuid(self.directory.stat().st_uid).pw_name
            raise LabError(
                f"lab {self.name} belongs to user {owner}",
                f"Choose another name, or let {owner} run `python -m tests.lab down --name {self.name}`.",
            )

    def _refuse_taken_ports(self, state: State) -> None:
        running = self._processes.daemons()
        for role, port in state.ports.items():
            if role not in running and ports.is_taken(_LOOPBACK, port):
                raise LabError(
                    f"port {port}, which {role} of lab {self.name} needs, is taken by {ports.holder(port)}",
                    "Stop that process, or `down` this lab and start it again with other ports.",
                )

    def _purge(self) -> None:
        """End every process of the lab and remove its folder."""
        daemons = {process.name for process in self._processes.all()}
        # nothing is worth a clean exit: the data is about to be removed
        self._processes.stop(daemons, grace=0)
        for entry in self.directory.iterdir():
            if entry.name == ".lock":
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Let one command at a time change the lab."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.directory / ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LabError(f"another command is changing lab {self.name}", "Wait until it is done.") from error
            yield
