# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An instance that is watched: nothing is told while it is well, and of a fault what it is and nothing else.

Told is who listens on this machine, by the lab's Alertmanager.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from tests.faults.processes import pids
from tests.faults.site import INSTANCE, LONGEST_SECONDS, NAMESPACE, POD, Site
from tests.faults.stream import Stream
from tests.faults.test_autoscaling import scaled
from tests.faults.test_faults import POOL, client
from tests.system.instance import QUICK, Instance
from tests.tools.webhook import Told, listen

pytestmark = [pytest.mark.soak, pytest.mark.timeout(400)]

#: The lab reads its metrics every 2 s: ten readings, and as many again until Prometheus has found all.
QUIET_SECONDS: Final = 20.0
#: A server that fails fires within its window of twenty readings, the four for which it must be so, and two turns; all
#: else here sooner.
FIRES_SECONDS: Final = 60.0
#: For so long a server may be unready before that is told: it may be one that ends, and finishes the longest request.
CHANGE_SECONDS: Final = LONGEST_SECONDS + 60
SMALL: Final = Stream("small", "identity", rate=20)
TWO_SERVERS: Final = {"sonic_pools": [{**POOL, "replicas": 2}]}
#: For so long Alertmanager waits for more of the same kind, and as long again between two messages of it.
GROUP_SECONDS: Final = 30.0
#: The servers of each instance, and the requests a second that its clients send.
READY: Final = f'sonic:servers_ready:max{{namespace="{NAMESPACE}"}}'
RATE: Final = (
    "sum by (instance) (rate(envoy_http_downstream_rq_total"
    f'{{namespace="{NAMESPACE}",envoy_http_conn_manager_prefix="service"}}[20s]))'
)
#: Where the lab's receiver is (inventories/lab).
RECEIVER: Final = ("10.210.0.1", 9094)


def ask(site: Site, path: str) -> Any:
    """Return what the lab's Prometheus answers."""
    (pod,) = site.cluster.list(POD, "monitoring", labels="app.kubernetes.io/name=prometheus")
    with urllib.request.urlopen(f"http://{pod['status']['podIP']}:9090/api/v1/{path}", timeout=10) as answer:
        return json.load(answer)["data"]


def rules(site: Site) -> dict[str, str]:
    """Return the rules of the instance, each with its health."""
    groups = ask(site, "rules")["groups"]
    ours = [group for group in groups if group["file"].startswith(f"/rules/{NAMESPACE}_")]
    return {rule["name"]: rule["health"] for group in ours for rule in group["rules"]}


def alerts(site: Site) -> list[dict[str, str]]:
    """Return the labels of all alerts of the namespace that fire."""
    found = [alert["labels"] for alert in ask(site, "alerts")["alerts"] if alert["state"] == "firing"]
    return [labels for labels in found if labels.get("namespace") == NAMESPACE]


def firing(site: Site) -> set[str]:
    """Return the alerts of the instance that fire."""
    return {labels["alertname"] for labels in alerts(site)}


def by_instance(site: Site, query: str) -> dict[str, float]:
    """Return the value of a query for each instance of the namespace."""
    found = ask(site, f"query?{urlencode({'query': query})}")["result"]
    return {entry["metric"]["instance"]: float(entry["value"][1]) for entry in found}


@pytest.fixture
def told() -> Iterator[queue.Queue[Told]]:
    """What this machine is told."""
    with listen(*RECEIVER) as (_port, messages):
        yield messages


@contextmanager
def break_model(site: Site) -> Iterator[None]:
    """Kill the process of a model: its server says that it is healthy, and fails all that it gets."""
    victim, _other = site.serving("triton")
    for pid in pids(victim.uid, "triton_python_b"):  # as the kernel shortens the name
        os.kill(pid, signal.SIGKILL)
    try:
        yield
    finally:
        site.delete(victim, at_once=True)


@contextmanager
def stop_server(site: Site) -> Iterator[None]:
    """Stop a server's process: it says nothing more."""
    (pid,) = pids(site.serving("triton")[0].uid, "tritonserver")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def nothing(_site: Site) -> Iterator[None]:
    """Let the requests do it."""
    yield


@dataclass(frozen=True)
class Trouble:
    """Something that is to be told, and what tells it.

    Args:
        alert: Its alert, of which this machine is told.
        variables: What the instance is deployed with.
        inject: Brings it about.
        stream: The requests meanwhile.
        shown: What fires besides, and is told to nobody.
        seconds: How long the alert may take to fire.
    """

    alert: str
    variables: Mapping[str, Any]
    inject: Callable[[Site], AbstractContextManager[None]] = nothing
    stream: Stream = SMALL
    shown: frozenset[str] = frozenset()
    seconds: float = FIRES_SECONDS


TROUBLES: Final[Mapping[str, Trouble]] = {
    # what it fails is asked of the other one
    "a model's process dies": Trouble(
        "SonicServerFailing", TWO_SERVERS, break_model, shown=frozenset({"SonicRetriesHigh"})
    ),
    "a server's process is stopped": Trouble(
        "SonicServerNotReady",
        {**TWO_SERVERS, "triton_startup_seconds": 60, "triton_hang_seconds": 600},
        stop_server,
        seconds=CHANGE_SECONDS + FIRES_SECONDS,
    ),
    # a server computes four at a time, of half a second: one request a second more than it can
    "the queue of the last server fills": Trouble(
        "SonicPoolAtMaximum",
        scaled(1) | {"sonic_pools": [{**scaled(1)["sonic_pools"][0], "max": 1}], "monitoring_objectives": []},
        stream=Stream("more than one server can", "paced", rate=9, service_seconds=0.5, deadline=60),
    ),
    # twenty in flight, and an Envoy may have four
    "more requests than an Envoy may have": Trouble(
        "SonicCircuitBreakerOpen",
        {**TWO_SERVERS, "envoy_max_requests": 4, "monitoring_objectives": []},
        stream=Stream("more than may be", "paced", rate=40, service_seconds=0.5),
    ),
}


def test_nothing_is_told_while_all_is_well(site: Site, tmp_path: Path) -> None:
    prepare(site, TWO_SERVERS)
    with client(site.target, [SMALL], tmp_path) as finish:
        time.sleep(QUIET_SECONDS)
        assert firing(site) == set()
        finish()


def test_two_instances_of_a_namespace_do_not_mix(site: Site, tmp_path: Path, told: queue.Queue[Told]) -> None:
    other = Instance("faults-b", 30831)
    # the claim of the models is there, and the first one's
    own: dict[str, Any] = {"sonic_pools": [{**POOL, "replicas": 1}], "triton_extra_objects": []}
    beside = {**QUICK, "sonic_namespace": NAMESPACE, **own}
    prepare(site, TWO_SERVERS)
    other.must("hep.sonic.service", **beside)
    try:
        site.wait(lambda: by_instance(site, READY) == {INSTANCE.name: 2, other.name: 1}, FIRES_SECONDS)
        with client(site.target, [SMALL], tmp_path) as finish:
            with break_model(site):
                site.wait(lambda: firing(site) != set(), FIRES_SECONDS)
                assert next_fire(told).instance == INSTANCE.name
                rates = by_instance(site, RATE)
                assert {alert["instance"] for alert in alerts(site)} == {INSTANCE.name}
            finish()
    finally:
        other.must("hep.sonic.remove", confirm="sonic-lab", **beside)
    assert rates[INSTANCE.name] > SMALL.rate / 2
    assert rates[other.name] < 1  # it has been verified, and nobody asks it


@pytest.mark.parametrize("name", TROUBLES)
def test_a_trouble_is_told_and_nothing_else(site: Site, tmp_path: Path, told: queue.Queue[Told], name: str) -> None:
    trouble = TROUBLES[name]
    prepare(site, trouble.variables)
    with client(site.target, [trouble.stream], tmp_path) as finish:
        with trouble.inject(site):
            began = time.monotonic()
            site.wait(lambda: firing(site) != set(), trouble.seconds)
            fires = time.monotonic() - began
            first = next_fire(told)
            print(f"{name}: fires after {fires:.0f} s, is told after {time.monotonic() - began:.0f} s")
            time.sleep(GROUP_SECONDS)
            fired = firing(site)
        finish()
    assert fired - trouble.shown == {trouble.alert}
    messages = [first, *(one for one in iter_now(told) if one.status == "firing")]  # one for each Pod that it is of
    assert {(one.instance, one.alert) for one in messages} == {(NAMESPACE, trouble.alert)}
    site.wait(lambda: firing(site) == set(), 2 * FIRES_SECONDS)


def next_fire(told: queue.Queue[Told]) -> Told:
    """Return the next thing that is told to fire; what is told to be over is of the test before."""
    while (one := told.get(timeout=2 * GROUP_SECONDS)).status != "firing":
        pass
    return one


def iter_now(told: queue.Queue[Told]) -> Iterator[Told]:
    """Yield what has been told since."""
    while not told.empty():
        yield told.get()


def prepare(site: Site, variables: Mapping[str, Any]) -> None:
    """Deploy the instance, and wait until its rules are evaluated and nothing fires any more."""
    site.deploy(variables)
    site.wait(lambda: set(rules(site).values()) == {"ok"} and not firing(site), 2 * FIRES_SECONDS)
