# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab as a whole: what `up` and `down` do, in their order."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final

from tests.lab import dns, files, gpus, images, machine, network, ports, programs
from tests.lab.api import Api, load_objects
from tests.lab.control import ENFORCER, FIXED_PORTS, PORT_ROLES, ControlPlane
from tests.lab.errors import LabError
from tests.lab.lock import exclusive
from tests.lab.node import REGISTRY, Node, prepare_registry, registry
from tests.lab.parts import LOOPBACK, Parts
from tests.lab.processes import POLL, Processes
from tests.lab.progress import Progress, duration
from tests.lab.recipes import PROGRAM_IMAGES, RECIPES
from tests.lab.settings import SOURCE, home
from tests.lab.state import Form, State, boot_id
from tests.lab.status import Status, look

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")

#: What is built last: it takes the longest, and the first inference needs none of it.
_GPU: Final = ("nvidia-device-plugin", "gpu-feature-discovery", "nfd-master")
#: What tests of rules, and of who is told, ask.
_JUDGES: Final = ("promtool", "alertmanager")
_MONITORING: Final = ("prometheus", *_JUDGES)
_KEDA: Final = ("keda", "keda-adapter", "keda-admission-webhooks")
#: What each form needs, in the order in which it is needed first.
_CONTROL_PLANE: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_PROGRAMS: Final[Mapping[Form, tuple[str, ...]]] = {
    "control": (*_CONTROL_PLANE, "kwok", *_JUDGES),
    "node": (*_CONTROL_PLANE, "kubelet", "kube-proxy", "coredns", "kwok", "kubectl", *_GPU, *_MONITORING, *_KEDA),
}
#: What a bare lab does without.
_DISPENSABLE: Final = frozenset({"kwok", "kubectl", *_GPU, *_MONITORING, *_KEDA})
#: Images that need no program of ours.
_EARLY_IMAGES: Final = ("pause", "envoy", "triton", "python")


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

    def up(
        self, form: Form | None = None, nodes: int | None = None, dns_cache: int | None = None, *, bare: bool = False
    ) -> None:
        """Start the lab, or repair it, or change it to these choices.

        Args:
            form: `control` or `node`; None for what it is, `control` if there is none.
            nodes: Number of real nodes; None for as many as there are, 1 if there is no lab.
            dns_cache: Seconds for which its DNS keeps answers, 0 for none; None for what it is.
            bare: Whether to do without what takes long to build, unless the lab has it already.

        Raises:
            LabError: It cannot be started; the message says why.
        """
        self._refuse_strangers()
        with self._exclusive():
            self._processes = Processes(self.directory)
            state = self._settle(form, nodes, dns_cache, bare=bare)
            parts = Parts.of(self.directory, state)
            build(state.form, self._progress, bare=state.bare)
            if state.form == "node":
                self._start_nodes(parts, state)
            else:
                self._start_control(parts)
        if self._processes.started:
            self._progress.say(f"started {', '.join(sorted(self._processes.started))}")
        self._progress.say(f"lab {self.name} is up: {self.kubeconfig}")

    def down(self) -> None:
        """Stop the lab and remove everything it left; its logs, too.

        Raises:
            LabError: It belongs to another user.
        """
        self._refuse_strangers()
        with self._exclusive():
            if not self.directory.exists():
                # an `up` may have been ended between its claim and its folder
                machine.release(self.directory)
                self._progress.say(f"there is no lab {self.name}")
                return
            self._purge()
        self._progress.say(f"lab {self.name} is gone")

    def status(self) -> Status:
        """Look at everything that belongs to the lab."""
        state = State.load(self.directory)
        if state is None:
            return Status(state=None)
        return look(Parts.of(self.directory, state), state, self._processes)

    def log(self, daemon: str) -> Path:
        """Return the log of a daemon.

        Raises:
            LabError: There is none.
        """
        path = self._processes.log(daemon)
        if not path.exists():
            present = sorted(file.stem for file in path.parent.glob("*.log")) if path.parent.exists() else []
            raise LabError(f"{daemon} has no log in lab {self.name}", f"There are: {', '.join(present) or 'none'}.")
        return path

    def _settle(self, form: Form | None, nodes: int | None, dns_cache: int | None, *, bare: bool) -> State:
        """Return the state to bring about: what is there, changed by what is asked for; and clear the way for it."""
        present = State.load(self.directory)
        form = self._settle_form(present, form, nodes)
        nodes = nodes or (present.nodes if present else int(form == "node"))
        if dns_cache is None:
            dns_cache = present.dns_cache if present else 0
        if present and present.boot == boot_id():
            if form == "node":
                machine.claim(self.directory)
            state = dataclasses.replace(present, nodes=nodes, dns_cache=dns_cache, bare=present.bare and bare)
        else:
            if present:
                self._progress.say("the machine was restarted since: beginning anew")
            self._purge()
            state = dataclasses.replace(self._begin(form, nodes, dns_cache), bare=bare)
        state.save(self.directory)
        return state

    def _settle_form(self, present: State | None, form: Form | None, nodes: int | None) -> Form:
        """Return the form to bring about.

        Raises:
            LabError: It cannot be had.
        """
        if present and form and form != present.form:
            raise LabError(
                f"lab {self.name} has the form {present.form}",
                f"Remove it with `python -m tests.lab down --name {self.name}`, or choose another name.",
            )
        form = form or (present.form if present else "control")
        if form == "control" and nodes is not None:
            raise LabError(
                "the form `control` has no real nodes",
                "Leave --nodes out and create pretended ones (docs/lab.md), or use `--form node`.",
            )
        if form == "node":
            machine.refuse_unless_root()
            machine.refuse_missing_programs()
            if nodes is not None and nodes < 1:
                raise LabError(f"a cluster cannot have {nodes} nodes")
        return form

    def _begin(self, form: Form, nodes: int, dns_cache: int) -> State:
        """Make room for a new lab and return its state."""
        if form == "control":
            others = [State.load(directory) for directory in self.directory.parent.iterdir() if directory.is_dir()]
            promised = {port for state in others if state for port in state.ports.values()}
            state = State(form, ports.choose(self.name, PORT_ROLES, LOOPBACK, promised), nodes, dns_cache)
        else:
            machine.claim(self.directory)
            machine.clean()
            network.load_modules()
            network.refuse_overlap()
            state = State(form, dict(FIXED_PORTS), nodes, dns_cache, sysctls=network.settings())
        # its keys are in it
        self.directory.mkdir(mode=0o700)
        return state

    def _start_control(self, parts: Parts) -> None:
        """Start or repair the control plane."""
        control = parts.control
        self._refuse_taken_ports(parts)
        control.prepare()
        base = [control.etcd(), control.apiserver()]
        self._processes.ensure(base)
        self._processes.wait_ready(base)
        if not self._processes.started.isdisjoint(daemon.name for daemon in base):
            self._progress.say(f"API server ready at {control.server}")
            # After a restart of the API server alone, the controllers' informers are refused for a moment and back off
            # for more than a minute.
            self._processes.stop([daemon.name for daemon in control.controllers()], grace=5)
        api = control.api()
        for obj in load_objects(SOURCE / "objects" / "control.yml", {}):
            api.apply(obj)
        rest = control.controllers()
        self._processes.ensure(rest)
        self._processes.wait_ready(rest)
        _wait_well(partial(_trouble_with_pods, api), "the namespace `default`")

    def _start_nodes(self, parts: Parts, state: State) -> None:
        """Start or repair the control plane, the registry, the nodes and the DNS."""
        control, nodes = parts.control, parts.nodes
        network.ensure()
        self._refuse_taken_ports(parts)
        prepare_registry(control)
        store = registry(control)
        self._processes.ensure([store])
        self._processes.wait_ready([store])
        references = self._push_images(bare=state.bare)
        files.mirror(SOURCE / "models", self.directory / "models")
        for node in nodes:
            node.prepare(references["pause"])
            if not state.bare:
                gpus.install(node.driver_root, node.index)
        # containerd starts while etcd and the API server do
        containerds = [node.containerd() for node in nodes]
        self._processes.ensure(containerds)
        self._start_control(parts)
        self._processes.wait_ready(containerds)
        for node in nodes:
            node.clear_stale_rules(self._processes)
        api = control.api()
        for obj in load_objects(SOURCE / "objects" / "policies.yml", {}):
            api.apply(obj)
        agents = [parts.enforcer(), *(agent for node in nodes for agent in node.agents())]
        self._processes.ensure(agents)
        dns.apply(api, image=references["coredns"], node=nodes[0].name, cache=state.dns_cache)
        self._remove_surplus_nodes(control, api, state.nodes)
        self._processes.wait_ready(agents)
        for node in nodes:
            _wait_well(partial(node.trouble, api), node.name)
        self._progress.say(f"ready: {', '.join(node.name for node in nodes)}")
        _wait_well(partial(dns.trouble, api), "the cluster's DNS")
        self._progress.say(f"the cluster's DNS answers and keeps answers {state.dns_cache} s")

    def _push_images(self, *, bare: bool) -> dict[str, str]:
        """Bring all images into the registry and return the references by which pods use them."""
        references = {}
        for name in images_of(bare=bare):
            layout = images.layout(name)
            layout.push(REGISTRY, name)
            references[name] = f"{REGISTRY}/{name}@{layout.digest}"
        files.write(self.directory / "images.json", json.dumps(references, indent=2) + "\n")
        return references

    def _remove_surplus_nodes(self, control: ControlPlane, api: Api, wanted: int) -> None:
        """Remove the real nodes of an earlier `up` that asked for more."""
        for index in _node_indices(self.directory):
            if index > wanted:
                node = Node(index, control)
                node.remove(self._processes)
                api.delete(f"/api/v1/nodes/{node.name}")
                self._progress.say(f"{node.name} is gone")

    def _refuse_strangers(self) -> None:
        """Refuse to touch the lab of another user: its processes could be neither seen nor stopped."""
        if self.directory.exists() and self.directory.stat().st_uid != os.geteuid():
            owner = pwd.getpwuid(self.directory.stat().st_uid).pw_name
            raise LabError(
                f"lab {self.name} belongs to user {owner}",
                f"Choose another name, or let {owner} run `python -m tests.lab down --name {self.name}`.",
            )

    def _refuse_taken_ports(self, parts: Parts) -> None:
        running = self._processes.daemons()
        for daemon, port in parts.ports().items():
            if daemon not in running and ports.is_taken(parts.control.address, port):
                raise LabError(
                    f"port {port}, which {daemon} of lab {self.name} needs, is taken by {ports.holder(port)}",
                    "Stop that process first."
                    if parts.nodes
                    else f"Stop that process, or let the lab choose other ports: `python -m tests.lab down --name "
                    f"{self.name}`, then `up`.",
                )

    def _purge(self) -> None:
        """End every process of the lab and remove all it left, whatever state it is in."""
        # it would write rules that have just been removed
        self._processes.stop([ENFORCER], grace=5)
        state = State.load(self.directory)
        indices = _node_indices(self.directory)
        if indices or (state and state.form == "node"):  # the bridge comes before the first node
            control = Parts.of(self.directory, state or State("node", dict(FIXED_PORTS), 1, 0)).control
            for index in indices:
                Node(index, control).remove(self._processes)
            network.remove()
        self._processes.kill()
        if state and state.boot == boot_id():
            network.restore(state.sysctls)
        files.remove(self.directory)
        machine.release(self.directory)

    def _exclusive(self) -> AbstractContextManager[None]:
        """Let one command at a time change the lab."""
        lock = self.directory.parent / f".{self.name}.lock"
        return exclusive(lock, f"another command is changing lab {self.name}", self._progress)


def build(form: Form, progress: Progress, *, bare: bool = False) -> None:
    """Build what a form needs and is not there yet.

    Args:
        form: Which.
        progress: Where to tell what happens.
        bare: Whether to leave out what it can do without.

    Raises:
        LabError: Something to build with is missing, or a build failed.
    """
    names = [name for name in _PROGRAMS[form] if not (bare and name in _DISPENSABLE)]
    if form == "control":
        programs.ensure(names, progress)
        return
    machine.refuse_unless_root()
    machine.refuse_missing_programs()
    with ThreadPoolExecutor(1) as background:
        # images need the network and the disk, programs the processor: the two hardly slow each other down
        early = background.submit(images.ensure, _EARLY_IMAGES, progress)
        programs.ensure(names, progress)
        early.result()
    images.ensure(images_of(bare=bare), progress)


def images_of(*, bare: bool) -> list[str]:
    """Return the images of a lab, bare or not."""
    later = {name for name, image in PROGRAM_IMAGES.items() if not _DISPENSABLE.isdisjoint(image.programs)}
    return [name for name in RECIPES if not (bare and name in later)]


def _node_indices(directory: Path) -> list[int]:
    """Return the numbers of the real nodes that a lab has, or had when it was interrupted."""
    return sorted(int(entry.name.removeprefix("node-")) for entry in (directory / "nodes").glob("node-*"))


def _trouble_with_pods(api: Api) -> str:
    """Return why the API server would refuse a pod in the namespace `default`; an empty string if it would not."""
    has_account = api.has("/api/v1/namespaces/default/serviceaccounts/default")
    return "" if has_account else "it has no service account"


def _wait_well(trouble: Callable[[], str], what: str, seconds: float = 120.0) -> None:
    """Wait until nothing is wrong with something.

    Raises:
        LabError: Something still is, after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while text := trouble():
        if time.monotonic() > deadline:
            raise LabError(f"{what} is not ready after {duration(seconds)}: {text}")
        time.sleep(POLL)
