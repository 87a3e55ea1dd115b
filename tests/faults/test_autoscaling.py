# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers come and go with the requests, from none and back, and no request notices."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Resource
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest, field_at
from tests.faults.results import record, tell
from tests.faults.site import INSTANCE, NAMESPACE, POD, Site
from tests.faults.stream import Stream, Summary
from tests.faults.test_faults import POOL, client

DEPLOYMENT: Final = BUILT_IN["apps", "Deployment"]
SCALED_OBJECTS: Final = Resource("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects", namespaced=True)
#: A model that takes half a second: by Little's law, twice as many requests a second are in flight.
SERVICE_SECONDS: Final = 0.5
TARGET: Final = 2
LARGEST: Final = 4
#: Where KEDA asks, and what the table of results calls it.
SOURCES: Final = {"envoy": "KEDA", "prometheus": "KEDA, by way of Prometheus"}
#: Seconds from the first request to a wanted server; a Prometheus reads every two seconds.
RAISED_SECONDS: Final = {"envoy": 2.0, "prometheus": 6.0}


def scaled(least: int, source: str = "envoy") -> dict[str, Any]:
    """Return the variables of an instance that is scaled, in little time.

    Args:
        least: The least number of servers.
        source: Where KEDA asks, of `SOURCES`.
    """
    pool = {name: value for name, value in POOL.items() if name != "replicas"}
    return {
        "sonic_autoscaler": "keda",
        "sonic_pools": [{**pool, "min": least, "max": LARGEST, "target_in_flight": TARGET}],
        "autoscaler_zero_seconds": 5,
        "autoscaler_failures": 1,
        "autoscaler_scale_down_seconds": 5,
        "autoscaler_scale_down_period": 1,
        "autoscaler_source": source,
    }


@dataclass
class Watch:
    """When the number of servers changed: seconds after the client's start → wanted, ready."""

    seen: list[tuple[float, int, int]] = field(default_factory=list)

    def first(self, condition: Callable[[int, int], bool], after: float = 0.0) -> float:
        """Return when the wanted and the ready servers were so for the first time after a moment."""
        return next(moment for moment, wanted, ready in self.seen if moment >= after and condition(wanted, ready))

    @property
    def last(self) -> tuple[int, int]:
        """The wanted and the ready servers at the end."""
        _moment, wanted, ready = self.seen[-1]
        return wanted, ready


def servers(site: Site) -> Manifest:
    """Return the Deployment of the pool."""
    found = site.cluster.get(DEPLOYMENT, NAMESPACE, f"{INSTANCE.name}-triton-{POOL['name']}")
    assert found is not None
    return found


@contextmanager
def watch(site: Site) -> Iterator[Watch]:
    """Look at the number of servers all the time."""
    watched, stop, start = Watch(), threading.Event(), time.monotonic()

    def look() -> None:
        while not stop.is_set():
            deployment = servers(site)
            ready = field_at(deployment, ["status", "readyReplicas"]) or 0
            watched.seen.append((time.monotonic() - start, deployment["spec"]["replicas"], ready))
            stop.wait(0.05)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watched
    finally:
        stop.set()
        thread.join()


def wait_for_nobody(site: Site) -> None:
    """Wait until the last server has gone."""
    site.wait(lambda: not servers(site)["spec"]["replicas"] and not site.pods("triton"), 120)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("source", ["envoy", pytest.param("prometheus", marks=pytest.mark.soak)])
def test_the_first_request_starts_a_server_and_waits_for_it(site: Site, tmp_path: Path, source: str) -> None:
    burst = Stream("50 at once", "identity", rate=1000, count=50, deadline=120)
    site.deploy(scaled(0, source))
    wait_for_nobody(site)
    with client(site.target, [burst], tmp_path) as finish, watch(site) as watched:
        time.sleep(1)  # all are sent
        (requests,) = finish().values()
    summary = Summary.of(requests)
    raised = watched.first(lambda wanted, _ready: wanted > 0)
    ready = watched.first(lambda _wanted, ready: ready > 0)
    last = max(request.due + request.latency for request in requests)
    print(
        f"50 requests on no server, {source}: {summary}; a server wanted after {raised:.2f} s, the first ready after "
        f"{ready:.2f} s, the last request answered {last - ready:.2f} s later"
    )
    record("zero", "requests on no server", SOURCES[source], burst.name, summary)
    assert (summary.sent, summary.failed) == (50, 0)
    assert raised <= RAISED_SECONDS[source]
    assert last - ready <= 1.0
    wait_for_nobody(site)


def follow_a_step(site: Site, folder: Path, variables: Mapping[str, Any], variant: str) -> tuple[float, float]:
    """Let the load of a service grow eightfold and end; no request fails, and a run of `site` changes nothing.

    Args:
        site: The service.
        folder: Where the client may write.
        variables: The variables of the instance, with one server at least and `LARGEST` at most.
        variant: What the table of results calls it.

    Returns:
        After how many seconds more servers were wanted, and all of them ready.
    """
    step = 10.0
    streams = [
        Stream("one in flight", "paced", rate=2, service_seconds=SERVICE_SECONDS),
        Stream("seven more", "paced", rate=14, start=step, service_seconds=SERVICE_SECONDS),
    ]
    site.deploy(variables)
    site.wait(lambda: len(site.serving("triton")) == 1 == servers(site)["spec"]["replicas"], 120)
    with client(site.target, streams, folder) as finish, watch(site) as watched:
        time.sleep(step + 25)
        before = servers(site)
        site.repeat()
        after = servers(site)
        seen = finish()
    wanted = watched.first(lambda wanted, _ready: wanted > 1, step) - step
    ready = watched.first(lambda _wanted, ready: ready == LARGEST, step) - step
    for summary in tell("step", "the load grows eightfold", variant, seen).values():
        assert summary.failed == 0
    print(f"{variant}: more servers wanted {wanted:.2f} s after the step, all {LARGEST} ready after {ready:.2f} s")
    assert watched.first(lambda wanted, _ready: wanted > 1) >= step  # one was enough before
    assert before["spec"]["replicas"] == after["spec"]["replicas"] == LARGEST
    assert before["metadata"]["generation"] == after["metadata"]["generation"]
    site.wait(lambda: servers(site)["spec"]["replicas"] == 1, 60)
    return wanted, ready


@pytest.mark.timeout(400)
@pytest.mark.parametrize("source", ["envoy", pytest.param("prometheus", marks=pytest.mark.soak)])
def test_servers_follow_a_step_of_the_load(site: Site, tmp_path: Path, source: str) -> None:
    wanted, ready = follow_a_step(site, tmp_path, scaled(1, source), SOURCES[source])
    assert wanted <= 6
    assert ready <= 20


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_the_occupancy_is_that_of_all_requests(site: Site, tmp_path: Path) -> None:
    # less than one server computes at a time, so that none waits
    load = Stream("one and a half in flight", "paced", rate=3, service_seconds=SERVICE_SECONDS)
    site.deploy(scaled(1, "prometheus") | {"autoscaler_query": "occupancy"})
    (scaler,) = site.cluster.list(SCALED_OBJECTS, NAMESPACE)
    (trigger,) = scaler["spec"]["triggers"]
    (prometheus,) = site.cluster.list(POD, "monitoring", labels="app.kubernetes.io/name=prometheus")
    asked = urlencode({"query": trigger["metadata"]["query"]})
    with client(site.target, [load], tmp_path) as finish:
        time.sleep(25)  # longer than the window of the query
        with urllib.request.urlopen(f"http://{prometheus['status']['podIP']}:9090/api/v1/query?{asked}") as answer:
            (found,) = json.load(answer)["data"]["result"]
        finish()
    # what is in flight, over what a server computes at a time
    assert 0.8 <= float(found["value"][1]) <= 1.5


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_a_farm_that_nobody_asks_is_given_its_time_when_it_is_taken_up(site: Site) -> None:
    pool = {name: value for name, value in POOL.items() if name != "replicas"}
    site.deploy({"sonic_pools": [{**pool, "replicas": 1}]})
    site.deploy(scaled(0) | {"autoscaler_zero_seconds": 15})
    with watch(site) as watched:
        time.sleep(5)
    assert {wanted for _moment, wanted, _ready in watched.seen} == {1}
    wait_for_nobody(site)


@pytest.mark.timeout(400)
def test_whoever_scales_leaves_the_farm_as_it_is(site: Site, tmp_path: Path) -> None:
    # more than all servers are wanted for, so that no chance takes one away;
    # and until the servers are there, requests queue up
    load = Stream("ten in flight", "paced", rate=20, deadline=60, service_seconds=SERVICE_SECONDS)
    pool = {name: value for name, value in POOL.items() if name != "replicas"}
    site.deploy(scaled(1))
    with client(site.target, [load], tmp_path) as finish:
        site.wait(lambda: len(site.serving("triton")) == LARGEST, 120)
        with watch(site) as watched:
            site.deploy({"sonic_pools": [pool]})
            site.deploy(scaled(1))
        (requests,) = finish().values()
    assert {wanted for _moment, wanted, _ready in watched.seen} == {LARGEST}
    summary = Summary.of(requests)
    print(f"from KEDA to nothing and back: {summary}")
    assert summary.failed == 0
