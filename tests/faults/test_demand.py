# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers that follow the demand, for longer and while other things break: the soak's part."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.faults.faults import VICTIM, new_limit
from tests.faults.processes import pids
from tests.faults.results import record, tell
from tests.faults.site import Site
from tests.faults.staircase import Staircase
from tests.faults.stream import OK, Stream, Summary
from tests.faults.test_autoscaling import (
    DEPLOYMENT,
    LARGEST,
    SERVICE_SECONDS,
    SOURCES,
    TARGET,
    scaled,
    servers,
    wait_for_nobody,
    watch,
)
from tests.faults.test_faults import client

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

#: Clients of the staircase at its top, and seconds on each of its steps.
CLIENTS: Final = 10
STEP_SECONDS: Final = 15.0
#: Requests a second of one client, so that one is in flight.
ONE_IN_FLIGHT: Final = 1 / SERVICE_SECONDS
#: Seconds for which something is away.
AWAY_SECONDS: Final = 60.0
ROUNDS: Final = 20
#: Where an Envoy itself takes requests.
SERVICE_PORT: Final = 8001


def steady(clients: int, **options: bool) -> Stream:
    """Return the requests of so many clients, each with one in flight."""
    rate = clients * ONE_IN_FLIGHT
    return Stream(f"{clients} in flight", "paced", rate=rate, service_seconds=SERVICE_SECONDS, **options)


def infer(channel: grpc.Channel) -> service_pb2.ModelInferResponse:
    """Ask the model that gives back what it got, and wait for two minutes at most."""
    request = service_pb2.ModelInferRequest(model_name="identity")
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[1])
    request.raw_input_contents.append(bytes(4))
    return service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=120)


def test_servers_follow_a_staircase(site: Site, tmp_path: Path) -> None:
    steps = 2 * CLIENTS - 1
    streams = [
        Stream(
            f"client {number + 1}",
            "paced",
            rate=ONE_IN_FLIGHT,
            start=number * STEP_SECONDS,
            count=round((steps - 2 * number) * STEP_SECONDS * ONE_IN_FLIGHT),
            service_seconds=SERVICE_SECONDS,
            connections=1,
        )
        for number in range(CLIENTS)
    ]
    site.deploy(scaled(1))
    site.wait(lambda: len(site.serving("triton")) == 1 == servers(site)["spec"]["replicas"], 120)
    # Little's law: ten clients of half a second each keep five servers of two requests busy, of which there are four
    top = (CLIENTS - 1) * STEP_SECONDS
    with client(site.target, streams, tmp_path) as finish, watch(site) as watched:
        start = time.monotonic()
        time.sleep(top + STEP_SECONDS)
        peak = servers(site)["spec"]["replicas"]
        site.repeat()
        repeated = servers(site)["spec"]["replicas"]
        time.sleep(max(0.0, start + steps * STEP_SECONDS + 20 - time.monotonic()))
        seen = finish()
    requests = [request for stream in seen.values() for request in stream]
    summary = Summary.of(requests)
    staircase = Staircase(requests, watched.seen, SERVICE_SECONDS, TARGET, LARGEST)
    print(f"1 to {CLIENTS} to 1 clients: {summary}; written to {staircase.write()}")
    record("stairs", f"1 to {CLIENTS} to 1 clients", "KEDA", "all clients", summary)
    assert summary.failed == 0
    assert peak == repeated == LARGEST
    assert max(wanted for moment, wanted, _ready in watched.seen if moment > top) == LARGEST
    assert watched.last[0] == 1


def test_requests_that_trickle_in_meet_servers_that_leave(site: Site, tmp_path: Path) -> None:
    site.deploy(scaled(0))
    wait_for_nobody(site)
    # the last server goes 5 s after the last request: each of these comes at another moment of that
    streams = [
        Stream(f"round {number}", "identity", rate=1, start=number * 25 + 0.25 * number, count=1, deadline=60)
        for number in range(ROUNDS)
    ]
    with client(site.target, streams, tmp_path) as finish, watch(site) as watched:
        time.sleep(ROUNDS * 25.25 + 10)
        seen = finish()
    requests = [request for stream in seen.values() for request in stream]
    summary = Summary.of(requests)
    sizes = [wanted for _moment, wanted, _ready in watched.seen]
    falls = sum(before > after == 0 for before, after in itertools.pairwise(sizes))
    print(f"{ROUNDS} requests while servers leave, {falls} times to zero: {summary}")
    record("race", "requests while the last server leaves", "KEDA", "one at a time", summary)
    assert (summary.sent, summary.failed) == (ROUNDS, 0)
    assert falls >= ROUNDS // 2


@contextmanager
def without(site: Site, deployment: str) -> Iterator[None]:
    """Have no Pod of a Deployment, as namespace/name, for a while; the playbook brings it back."""
    site.scale(DEPLOYMENT.path(*deployment.split("/")), 0)
    try:
        yield
    finally:
        site.repeat()


@pytest.mark.parametrize(
    ("source", "part", "least"),
    [
        ("envoy", "keda/keda-operator", 1),
        ("envoy", "keda/keda-metrics-apiserver", 1),
        ("prometheus", "monitoring/prometheus", 1),
        ("prometheus", "monitoring/prometheus", 0),
    ],
)
def test_servers_stay_while_who_scales_is_away(site: Site, tmp_path: Path, source: str, part: str, least: int) -> None:
    load = steady(LARGEST * TARGET + 2)
    patient = replace(load, name="until the servers are there", deadline=120)
    folders = tmp_path / "patient", tmp_path / "load"
    for folder in folders:
        folder.mkdir()
    # longer than it takes to notice that nobody answers
    site.deploy(scaled(least, source) | {"autoscaler_zero_seconds": 20})
    with client(site.target, [patient], folders[0]) as finish_patient:
        site.wait(lambda: len(site.serving("triton")) == LARGEST, 120)
        with client(site.target, [load], folders[1]) as finish:
            (requests,) = finish_patient().values()
            with watch(site) as watched, without(site, part):
                time.sleep(AWAY_SECONDS)
            seen = finish()
    assert all(request.outcome == OK for request in requests)
    summaries = tell("keda", f"{part.partition('/')[2]} is away for a minute", SOURCES[source], seen)
    assert {wanted for _moment, wanted, _ready in watched.seen} == {LARGEST}
    assert summaries[load.name].failed == 0


def test_one_server_comes_while_nobody_can_say_whether_it_is_asked_for(site: Site) -> None:
    site.deploy(scaled(0, "prometheus"))
    wait_for_nobody(site)
    with watch(site) as watched, without(site, "monitoring/prometheus"):
        time.sleep(AWAY_SECONDS)
    assert {wanted for _moment, wanted, _ready in watched.seen} == {0, 1}
    wait_for_nobody(site)


def test_one_of_two_envoys_stops_for_a_minute(site: Site, tmp_path: Path) -> None:
    # 4.8 in flight in all: three servers have a third of their time to spare, so that nothing queues up by itself
    busy = 3
    plain = Stream("a client as it is", "paced", rate=2.4, service_seconds=SERVICE_SECONDS)
    probing = replace(plain, name="keepalive 1 s + 1 s", keepalive=True)
    quick = replace(probing, name="keepalive, and 1 s to connect", quick_connect=True)
    repeating = replace(quick, name="that, and asked again", repeats=True)
    # as on a site, where it is 300 s: servers are not taken away for what a minute does not show
    site.deploy(scaled(1) | {"autoscaler_scale_down_seconds": round(2 * AWAY_SECONDS)})
    with client(site.target, [plain, probing, quick, repeating], tmp_path) as finish:
        site.wait(lambda: len(site.serving("triton")) >= busy, 120)
        (pid,) = pids(site.serving("envoy", VICTIM)[0].uid, "envoy")
        os.kill(pid, signal.SIGSTOP)
        try:
            with watch(site) as watched:
                time.sleep(AWAY_SECONDS)
        finally:
            os.kill(pid, signal.SIGCONT)
        time.sleep(5)
        seen = finish()
    summaries = tell("envoy", "one of two Envoys is stopped for a minute", "KEDA", seen)
    wanted = [wanted for _moment, wanted, _ready in watched.seen]
    print(f"{busy} servers before, {min(wanted)} to {max(wanted)} wanted in that minute")
    assert min(wanted) >= busy
    assert summaries[repeating.name].failed == 0
    site.wait(lambda: len(site.serving("envoy")) == 2, 120)


def test_envoys_roll_while_requests_are_held(site: Site, tmp_path: Path) -> None:
    held = Stream("held at the Envoys that go", "identity", rate=100, count=20, deadline=300)
    later = Stream("sent later", "identity", rate=100, count=20, deadline=300)
    folders = tmp_path / "held", tmp_path / "later"
    for folder in folders:
        folder.mkdir()
    site.deploy(scaled(0))
    wait_for_nobody(site)
    site.deploy(scaled(0) | {"autoscaler_paused": True, "verify_wake": False})
    with client(site.target, [held], folders[0]) as finish_held:
        time.sleep(2)
        site.change(new_limit())
        with client(site.target, [later], folders[1]) as finish_later:
            time.sleep(2)
            site.deploy(scaled(0))
            site.wait(lambda: bool(site.serving("triton")), 120)
            seen = finish_later() | finish_held()
    summaries = tell("roll", "Envoys roll while requests are held", "KEDA", seen)
    assert {name: summary.failed for name, summary in summaries.items()} == {held.name: 0, later.name: 0}


def test_a_server_is_started_for_what_an_envoy_gets_while_it_leaves(site: Site) -> None:
    site.deploy(scaled(0))
    wait_for_nobody(site)
    leaving = site.serving("envoy")[0]
    with grpc.insecure_channel(f"{leaving.address}:{SERVICE_PORT}") as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
        site.delete(leaving)
        time.sleep(2)  # the cluster has taken it out of its Service, and it still takes what its connections bring
        answer = infer(channel)
    assert list(answer.raw_output_contents) == [bytes(4)]


def test_a_job_of_cmssw_starts_from_zero(site: Site) -> None:
    site.deploy(scaled(0))
    wait_for_nobody(site)
    model, start = "particlenet_AK4_PT", time.monotonic()
    with grpc.insecure_channel(site.target) as channel:
        triton = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        server = triton.ServerMetadata(service_pb2.ServerMetadataRequest(), timeout=120)
        first = time.monotonic() - start
        index = triton.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=120)
        config = triton.ModelConfig(service_pb2.ModelConfigRequest(name=model), timeout=120)
        metadata = triton.ModelMetadata(service_pb2.ModelMetadataRequest(name=model), timeout=120)
        answer = infer(channel)
    print(f"the first call answered after {first:.1f} s, all five after {time.monotonic() - start:.1f} s")
    assert server.name == "triton"
    assert model in {entry.name for entry in index.models}
    assert config.config.name == metadata.name == model
    assert list(answer.raw_output_contents) == [bytes(4)]
