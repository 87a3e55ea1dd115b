# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What breaks, as data: each fault, what it takes to bring it about, and what must hold meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import RequestError
from tests.faults.processes import pids
from tests.faults.site import COMPONENTS, Pod, Site
from tests.lab.network import uplink

#: The node that is drained or lost; the lab's DNS and the host's own network are on the other one.
VICTIM: Final = "node-2"
KEPT: Final = "node-1"
#: Longer than any Pod may take to leave.
LEAVE_SECONDS: Final = 150.0

#: Brings a fault about while the requests flow; what follows the yield mends it after the last request.
Injection = Callable[[Site], AbstractContextManager[None]]


def victim_triton(site: Site) -> Pod:
    """Return a Triton of the node whose loss is survivable: the same one for every fault."""
    return site.serving("triton", VICTIM)[0]


@contextmanager
def delete_triton(site: Site) -> Iterator[None]:
    """Delete a Triton Pod and wait until it is gone."""
    pod = victim_triton(site)
    site.delete(pod)
    site.wait(lambda: site.gone(pod), LEAVE_SECONDS)
    yield


@contextmanager
def kill_triton(site: Site) -> Iterator[None]:
    """Kill a tritonserver process."""
    (pid,) = pids(victim_triton(site).uid, "tritonserver")
    os.kill(pid, signal.SIGKILL)
    yield


@contextmanager
def stop_triton(site: Site) -> Iterator[None]:
    """Stop a tritonserver process for ten seconds: it keeps its connections and says nothing."""
    (pid,) = pids(victim_triton(site).uid, "tritonserver")
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(10)
    finally:
        os.kill(pid, signal.SIGCONT)
    yield


def roll(component: str, change: Callable[[], Mapping[str, Any]]) -> Injection:
    """Return the injection that deploys a change and waits until the Pods of before are gone."""

    @contextmanager
    def inject(site: Site) -> Iterator[None]:
        before = site.pods(component)
        site.change(change())
        assert not {pod.uid for pod in before} & {pod.uid for pod in site.serving(component)}
        site.wait(lambda: all(site.gone(pod) for pod in before), LEAVE_SECONDS)
        yield

    return inject


def new_environment() -> Mapping[str, Any]:
    """Return an environment that no Triton had before."""
    return {"triton_extra_env": [{"name": "ROLLED", "value": str(time.time_ns())}]}


def new_limit() -> Mapping[str, Any]:
    """Return a configuration that no Envoy had before."""
    return {"envoy_max_requests": 10000 + time.time_ns() % 1000000}


@contextmanager
def replace_pool(site: Site) -> Iterator[None]:
    """Deploy another pool in the place of the only one, and wait until its servers are gone."""
    assert site.variables is not None
    (pool,) = site.variables["sonic_pools"]
    before = site.pods("triton")
    site.change({"sonic_pools": [{**pool, "name": "another"}]})
    site.wait(lambda: all(site.gone(pod) for pod in before), LEAVE_SECONDS)
    yield
    site.forget("sonic_pools")


@contextmanager
def drain_node(site: Site) -> Iterator[None]:
    """Drain a node as kubectl does: close it, evict every Pod, wait until they are gone."""
    site.cordon(VICTIM, closed=True)
    try:
        moved = [pod for component in COMPONENTS for pod in site.serving(component, VICTIM)]
        waiting = list(moved)
        end = time.monotonic() + LEAVE_SECONDS
        while waiting:
            assert time.monotonic() < end, f"never evicted: {waiting}"
            waiting = [pod for pod in waiting if not evicted(site, pod)]
        site.wait(lambda: all(site.gone(pod) for pod in moved), LEAVE_SECONDS)
        yield
    finally:
        site.cordon(VICTIM, closed=False)


def evicted(site: Site, pod: Pod) -> bool:
    """Ask for an eviction; return whether it was granted."""
    try:
        site.evict(pod)
    except RequestError as error:
        if error.status != 429:
            raise
        time.sleep(1)
        return False
    return True


@contextmanager
def lose_node(site: Site) -> Iterator[None]:
    """Cut a node's only link until the cluster has replaced its Pods."""
    wanted = len(site.serving("triton"))
    link(up=False)
    try:
        site.wait(lambda: len(site.serving("triton", KEPT)) == wanted, LEAVE_SECONDS)
        yield
    finally:
        link(up=True)
        site.wait(lambda: site.node_is_well(VICTIM), LEAVE_SECONDS)


def link(*, up: bool) -> None:
    """Connect or disconnect the node that is lost."""
    subprocess.run(["ip", "link", "set", uplink(2), "up" if up else "down"], check=True)


@dataclass(frozen=True)
class Fault:
    """A fault and what must hold while it happens.

    Args:
        title: What it is, for the table.
        inject: Brings it about, and mends it.
        slow_requests: Whether requests of 60 s are under way.
        longest_ms: No request may take longer.
        variables: What the instance is deployed with, besides its inventory.
        spread: Whether the Envoys are on both nodes.
    """

    title: str
    inject: Injection
    slow_requests: bool = False
    longest_ms: float = 20000
    variables: Mapping[str, Any] = field(default_factory=dict)
    spread: bool = True


#: In an order in which each finds the Pods where it needs them, as far as possible.
FAULTS: Final[Mapping[str, Fault]] = {
    "g": Fault(
        "a node with a Triton and no Envoy is lost",
        lose_node,
        longest_ms=2000,
        variables={"envoy_node_selector": {"kubernetes.io/hostname": KEPT}},
        spread=False,
    ),
    "a": Fault("a Triton pod is deleted", delete_triton, slow_requests=True),
    "b": Fault("tritonserver is killed with SIGKILL", kill_triton),
    "e": Fault("a Triton process is stopped for 10 s", stop_triton, longest_ms=2000),
    "f": Fault("a node is drained", drain_node, slow_requests=True),
    "d": Fault("Envoy rolls to a new configuration", roll("envoy", new_limit), slow_requests=True),
    "c": Fault("Triton rolls to a new configuration", roll("triton", new_environment), slow_requests=True),
    "h": Fault("the only pool is replaced by another", replace_pool),
}
