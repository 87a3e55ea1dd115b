# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever single thing breaks, no request fails and none waits long for a server that is dead."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.faults.faults import FAULTS, KEPT, VICTIM, Fault, lose_node
from tests.faults.results import tell
from tests.faults.site import Site
from tests.faults.stream import Request, Stream, Summary
from tests.tools.common import ROOT

#: Seconds of undisturbed requests before the fault; with large tensors, the first ones take several seconds each, until
#: servers and Envoys have touched the memory that they need.
LEAD_SECONDS, LEAD_SECONDS_TENSORS = 4.0, 20.0
#: Seconds of requests after its end.
TAIL_SECONDS: Final = 3.0
RATE: Final = 100.0
#: Seconds in which requests flow, at least: time for 2,000, for 50 large ones.
LEAST_SECONDS, LEAST_SECONDS_TENSORS = 22.0, 71.0
#: A client that is further behind its own schedule measures itself.
LATE_MS: Final = 500.0
#: It shares its processors with the servers, and copies and compares 128 MiB for each large tensor.
LATE_MS_TENSORS: Final = 3000.0
MIB: Final = 2**20


#: The pool of the lab's inventory.
POOL: Final = yaml.safe_load((ROOT / "inventories/lab/group_vars/instances/sonic.yml").read_text())["sonic_pools"][0]


#: What large tensors take: with one server left, twenty of them may be in memory at a time, in Envoy, in Triton and in
#: its model. The lab's own 2 GiB for a Triton and 768 MiB for an Envoy were too little: the kernel ended them.
LARGE_POOL: Final = {"resources": {"requests": {"cpu": "100m", "memory": "4Gi"}}}
LARGE: Final = {"triton_shm_size": "2Gi", "envoy_resources": {"requests": {"cpu": "100m", "memory": "3Gi"}}}


@dataclass(frozen=True)
class Variant:
    """The circumstances of a fault.

    Args:
        name: What the results call it.
        dns_cache: Seconds for which the cluster's DNS keeps answers.
        discovery: The site's ``sonic_discovery``.
        discovery_seconds: The site's ``sonic_discovery_seconds``.
        tritons: Number of servers.
        envoys: Number of Envoys.
        tensors: Whether requests are 64 MiB large, one a second, instead of small ones.
        slow_seconds: How long the slow requests take that are under way.
        turns: How often each fault is brought about in the soak, one after another.
    """

    name: str
    dns_cache: int = 30
    discovery: str = "eds"
    discovery_seconds: int = 5
    tritons: int = 2
    envoys: int = 2
    tensors: bool = False
    slow_seconds: int = 60
    turns: int = 1

    def streams(self, fault: Fault) -> list[Stream]:
        """Return the requests that flow through a fault."""
        # the 16 MiB are numbers of four bytes
        large = Stream("64 MiB, 1/s", "identity", rate=1, values=16 * MIB)
        streams = [large if self.tensors else Stream("small, 100/s", "identity", rate=RATE)]
        if fault.slow_requests:
            name, seconds = f"{self.slow_seconds} s", self.slow_seconds
            slow = Stream(name, "paced", rate=4, count=4, start=1, deadline=seconds + 30, service_seconds=seconds)
            streams.append(slow)
        return streams

    def least_seconds(self, fault: Fault) -> float:
        """Return for how long requests flow at least."""
        seconds = LEAST_SECONDS_TENSORS if self.tensors else LEAST_SECONDS
        return max(seconds, self.slow_seconds + LEAD_SECONDS) if fault.slow_requests else seconds

    def deployment(self, fault: Fault) -> dict[str, Any]:
        """Return the variables to deploy the instance with."""
        return {
            "sonic_discovery": self.discovery,
            "sonic_discovery_seconds": self.discovery_seconds,
            "sonic_pools": [{**POOL, "replicas": self.tritons, **(LARGE_POOL if self.tensors else {})}],
            "envoy_replicas": self.envoys,
            **(LARGE if self.tensors else {}),
            **fault.variables,
        }


#: Quick enough to be tested always; what only takes longer, and the repeats, are in the soak.
COMMON: Final = Variant("2 Tritons, 2 Envoys, EDS", slow_seconds=20)
SOAK: Final = (
    Variant("2 Tritons, 2 Envoys, EDS, repeated", turns=3),
    Variant("2 Tritons, 2 Envoys, EDS, large tensors", tensors=True),
    Variant("3 Tritons, 3 Envoys, EDS", tritons=3, envoys=3),
    Variant("2 Tritons, 2 Envoys, DNS cached 30 s", discovery="dns", discovery_seconds=35, turns=3),
    Variant("2 Tritons, 2 Envoys, DNS uncached", dns_cache=0, discovery="dns", discovery_seconds=10),
)

Seen = dict[str, list[Request]]


@contextmanager
def client(target: str, streams: Sequence[Stream], folder: Path) -> Iterator[Callable[[], Seen]]:
    """Start a client, and yield what stops it and returns what it saw."""
    plan, result = folder / "plan.json", folder / "result.json"
    plan.write_text(json.dumps([asdict(stream) for stream in streams]), encoding="utf-8")
    command = [sys.executable, "-m", "tests.faults.client", target, str(plan), str(result)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n", "the client could not connect"

        def finish() -> Seen:
            process.communicate()  # closes its input
            assert process.returncode == 0
            seen = json.loads(result.read_text(encoding="utf-8"))
            return {name: [Request(**request) for request in requests] for name, requests in seen.items()}

        try:
            yield finish
        finally:
            process.kill()


def prepare(site: Site, fault: Fault, variant: Variant) -> None:
    """Deploy the instance as a fault needs it, and wait until it serves."""
    site.keep_dns(variant.dns_cache)
    site.deploy(variant.deployment(fault))
    site.settle({"triton": variant.tritons, "envoy": variant.envoys}, spread=fault.spread)


def strike(site: Site, key: str, variant: Variant, folder: Path) -> dict[str, Summary]:
    """Let requests flow, break something, and return what became of each stream."""
    fault = FAULTS[key]
    prepare(site, fault, variant)
    with client(site.target, variant.streams(fault), folder) as finish:
        start = time.monotonic()
        time.sleep(LEAD_SECONDS_TENSORS if variant.tensors else LEAD_SECONDS)
        with fault.inject(site):
            flowed = time.monotonic() - start
            time.sleep(max(TAIL_SECONDS, variant.least_seconds(fault) - flowed))
            seen = finish()
    return tell(key, fault.title, variant.name, seen)


def check(key: str, variant: Variant, summaries: Mapping[str, Summary]) -> None:
    """Compare what happened with what is wanted: nothing."""
    for name, summary in summaries.items():
        assert summary.failed == 0, f"{name}: {summary}"
        assert summary.late < (LATE_MS_TENSORS if variant.tensors else LATE_MS), f"{name}: {summary}"
    if variant.tensors:
        assert summaries["64 MiB, 1/s"].sent >= 50
    else:
        assert summaries["small, 100/s"].sent >= 2000
        assert summaries["small, 100/s"].maximum <= FAULTS[key].longest_ms


def cases() -> Iterator[Any]:
    """Yield each fault once, and for the long run each under all circumstances, turn after turn."""
    for key in FAULTS:
        yield pytest.param(key, COMMON, id=key)
    for variant in SOAK:
        for turn in range(1, variant.turns + 1):
            for key in FAULTS:
                yield pytest.param(key, variant, id=f"{key}, {variant.name}, {turn}", marks=pytest.mark.soak)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("key", "variant"), list(cases()))
def test_no_request_fails(key: str, variant: Variant, site: Site, tmp_path: Path) -> None:
    check(key, variant, strike(site, key, variant, tmp_path))


#: What a client can do about the loss of the Envoy it is connected to.
CLIENTS: Final = (
    Stream("a client as it is", "identity", rate=50),
    Stream("keepalive 1 s + 1 s", "identity", rate=50, keepalive=True),
    Stream("keepalive, and 1 s to connect", "identity", rate=50, keepalive=True, quick_connect=True),
    Stream("that, and asked again", "identity", rate=50, keepalive=True, quick_connect=True, repeats=True),
)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_client_that_notices_leaves_a_lost_envoy(site: Site, tmp_path: Path) -> None:
    title = "a node with an Envoy is lost"
    fault = Fault(title, lose_node)
    prepare(site, fault, COMMON)
    assert site.serving("envoy", VICTIM)
    assert site.serving("envoy", KEPT)
    with client(site.target, CLIENTS, tmp_path) as finish:
        time.sleep(LEAD_SECONDS)
        with lose_node(site):
            time.sleep(20)
            seen = finish()
    summaries = tell("g2", title, COMMON.name, seen)
    assert summaries[CLIENTS[-1].name].failed == 0
