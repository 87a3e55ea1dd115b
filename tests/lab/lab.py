"""A lab as a whole: what `up`, `down` and `status` do, in their order."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab import cgroups, dns, images, machine, network, ports, programs
from tests.lab.api import Api, Object, load_objects
from tests.lab.control import EASY, FIXED_PORTS, PORT_ROLES, QUICK, ControlPlane
from tests.lab.errors import LabError
from tests.lab.node import CGROUP, DNS, PORTS, REGISTRY, Node, registry
from tests.lab.processes import POLL, Daemon, Processes
from tests.lab.progress import Progress, duration
from tests.lab.settings import SOURCE, home
from tests.lab.state import Form, State, boot_id

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_LOOPBACK: Final = "127.0.0.1"

#: What each form needs, in the order in which it is needed first.
_CONTROL_PROGRAMS: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
_NODE_PROGRAMS: Final = (*_CONTROL_PROGRAMS[:-1], "kubelet", "kube-proxy", "coredns", "kwok", "kubectl")
#: Images that need no program of ours.
_EARLY_IMAGES: Final = ("pause", "envoy", "triton", "python")


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
        with self._exclusive():
            state = self._settle(form, nodes, dns_cache)
            control = self._control(state)
            if state.form == "node":
                self._up_node(control, state)
            else:
                programs.ensure(_CONTROL_PROGRAMS, self._progress)
                self._start_control(control, state)
        self._progress.say(f"lab {self.name} is up: {control.kubeconfig}")

    def down(self) -> None:
        """Stop the lab and remove everything it left; its logs, too."""
        if not self.directory.exists():
            self._progress.say(f"there is no lab {self.name}")
            return
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
        for daemon in self._daemons(control, state):
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
            present = None
        if present and form and form != present.form:
            raise LabError(
                f"lab {self.name} has the form {present.form}",
                f"Remove it with `python -m tests.lab down --name {self.name}`, or choose another name.",
            )
        form = form or (present.form if present else "control")
        if form == "node":
            machine.refuse_unless_root()
            machine.refuse_missing_programs()
            machine.claim(self.directory)
        if present is None:
            self._purge()
            if form == "node":
                self._clean_machine()
            state = State(form, self._choose_ports(form), nodes or 1, dns_cache or 0)
            self.directory.mkdir(mode=0o700)
            if form == "node":
                network.refuse_overlap()
                state.sysctls = network.settings()
        else:
            state = present
            state.nodes = nodes or present.nodes
            state.dns_cache = present.dns_cache if dns_cache is None else dns_cache
        state.save(self.directory)
        return state

    def _clean_machine(self) -> None:
        """Remove what a lab left whose folder is gone; the machine's fixed addresses are ours."""
        cgroups.kill(CGROUP)
        cgroups.remove(CGROUP)
        network.remove()

    def _choose_ports(self, form: Form) -> dict[str, int]:
        if form == "node":
            return dict(FIXED_PORTS)
        others = [State.load(directory) for directory in self.directory.parent.iterdir() if directory.is_dir()]
        promised = {port for state in others if state for port in state.ports.values()}
        return ports.choose(self.name, PORT_ROLES, _LOOPBACK, promised)

    def _control(self, state: State) -> ControlPlane:
        real = state.form == "node"
        return ControlPlane(
            directory=self.directory,
            name=self.name,
            address=network.ADDRESS if real else _LOOPBACK,
            ports=state.ports,
            timing=QUICK if real else EASY,
            has_nodes=real,
        )

    def _nodes(self, control: ControlPlane, state: State) -> list[Node]:
        if state.form != "node":
            return []
        return [Node(index, control) for index in range(1, state.nodes + 1)]

    def _daemons(self, control: ControlPlane, state: State) -> list[Daemon]:
        """Return everything that runs when all is well."""
        nodes = self._nodes(control, state)
        daemons = [control.etcd(), control.apiserver(), *control.controllers(), control.kwok()]
        if nodes:
            daemons.append(registry(control))
        for node in nodes:
            daemons += [node.containerd(), *node.agents()]
        return daemons

    def _up_node(self, control: ControlPlane, state: State) -> None:
        with ThreadPoolExecutor(1) as background:
            # images need the network and the disk, programs the processor: the two do not slow each other down
            pulling = background.submit(images.ensure, _EARLY_IMAGES, self._progress)
            programs.ensure(_NODE_PROGRAMS, self._progress)
            pulling.result()
        images.ensure(images.IMAGES, self._progress)

        nodes = self._nodes(control, state)
        network.ensure()
        self._refuse_taken_ports(state)
        pull = registry(control)
        self._processes.ensure([pull])
        self._processes.wait_ready([pull])
        references = self._push_images()
        control.prepare()
        for node in nodes:
            node.prepare(references["pause"])
        containerds = [node.containerd() for node in nodes]
        self._processes.ensure(containerds)
        self._start_control(control, state)
        self._processes.wait_ready(containerds)
        agents = [agent for node in nodes for agent in node.agents()]
        started = self._processes.ensure(agents)
        api = control.api()
        dns.apply(api, image=references["coredns"], node=nodes[0].name, address=DNS, cache=state.dns_cache)
        self._copy_models()
        self._processes.wait_ready(agents)
        self._remove_surplus_nodes(control, state)
        self._wait_nodes(api, nodes)
        if started:
            self._progress.say(f"ready: {', '.join(node.name for node in nodes)}")
        dns.wait_effective(api)
        keeps = f"keeps answers {state.dns_cache} s" if state.dns_cache else "keeps nothing"
        self._progress.say(f"the cluster's DNS answers and {keeps}")

    def _start_control(self, control: ControlPlane, state: State) -> None:
        self._refuse_taken_ports(state)
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
        # pods are refused until their namespace has its service account
        _wait(lambda: api.has("/api/v1/namespaces/default/serviceaccounts/default"), "the first service account")
        if started:
            self._progress.say(f"started {', '.join(started)}")

    def _push_images(self) -> dict[str, str]:
        """Bring all images into the registry and return the references by which pods use them."""
        references = {}
        for name in images.IMAGES:
            layout = images.layout(name)
            layout.push(REGISTRY, name)
            references[name] = f"{REGISTRY}/{name}@{layout.digest}"
        (self.directory / "images.json").write_text(json.dumps(references, indent=2) + "\n", encoding="utf-8")
        return references

    def _copy_models(self) -> None:
        """Put the models where pods mount them; a folder that is mounted stays the same folder."""
        target = self.directory / "models"
        shutil.copytree(
            SOURCE / "models", target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.md")
        )
        for path in [target, *target.rglob("*")]:
            # whatever the umask: the server's user has to read them
            path.chmod(0o755 if path.is_dir() else 0o644)

    def _wait_nodes(self, api: Api, nodes: list[Node]) -> None:
        for node in nodes:
            path = f"/api/v1/nodes/{node.name}"
            _wait(lambda path=path: api.has(path) and _is_ready(api.get(path)), f"{node.name} to be ready")

    def _remove_surplus_nodes(self, control: ControlPlane, state: State) -> None:
        """Remove the real nodes of an earlier `up` that asked for more."""
        for index in sorted(_node_indices(self.directory)):
            if index > state.nodes:
                node = Node(index, control)
                node.remove(self._processes)
                control.api().delete(f"/api/v1/nodes/{node.name}")
                self._progress.say(f"{node.name} is gone")

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
        address = network.ADDRESS if state.form == "node" else _LOOPBACK
        wanted = dict(state.ports)
        if state.form == "node":
            wanted |= {f"node-1/{role}": port for role, port in PORTS.items()} | {"registry": 5000}
        for role, port in wanted.items():
            if role not in running and ports.is_taken(address, port):
                raise LabError(
                    f"port {port}, which {role} of lab {self.name} needs, is taken by {ports.holder(port)}",
                    "Stop that process, or `down` this lab and start it again with other ports.",
                )

    def _purge(self) -> None:
        """End every process of the lab and remove all it left, whatever state it is in."""
        state = State.load(self.directory)
        if os.geteuid() == 0:
            control = self._control(state or State("node", dict(FIXED_PORTS), 1, 0))
            indices = _node_indices(self.directory)
            for index in indices:
                Node(index, control).remove(self._processes)
            if indices:
                network.remove()
        # nothing is worth a clean exit: the data is about to be removed
        self._processes.stop({process.name for process in self._processes.all()}, grace=0)
        if state:
            network.restore(state.sysctls)
        if self.directory.exists():
            shutil.rmtree(self.directory)
        machine.release(self.directory)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Let one command at a time change the lab, and only its owner's."""
        self._refuse_strangers()
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        with (self.directory.parent / f".{self.name}.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LabError(f"another command is changing lab {self.name}", "Wait until it is done.") from error
            yield


def _node_indices(directory: Path) -> list[int]:
    """Return the numbers of the real nodes that a lab has, or had when it was interrupted."""
    return [int(entry.name.removeprefix("node-")) for entry in (directory / "nodes").glob("node-*")]


def _is_ready(node: Object) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _wait(done: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise LabError(f"waited {duration(seconds)} for {what} in vain")
        time.sleep(POLL)
