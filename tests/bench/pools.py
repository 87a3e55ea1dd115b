# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two pools of different speed behind one endpoint: by the fewest requests in flight, and in turns."""

from __future__ import annotations

import re
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Access, Cluster
from tests.faults.conftest import LAB, change_lab, keep_dns
from tests.faults.site import INSTANCE, POD, Site
from tests.faults.stream import Stream, Summary
from tests.faults.test_faults import POOL, client

FACTOR: Final = 4.0
FAST_TARGET, SLOW_TARGET = 4, 1
SERVERS: Final = 2
SECONDS: Final = 0.1
#: Three quarters of what all can do: four at a time each, on quick ones 40 requests a second, on slow ones 10.
RATE: Final = 75
DURATION: Final = 30
METRICS_PORT: Final = 8002


@dataclass(frozen=True)
class Way:
    """How requests are spread over the pools.

    Args:
        policy: The policy of ``envoy_balancing``.
        slow_target: The slow pool's ``target_in_flight``: its weight beside the fast one's.
    """

    policy: str
    slow_target: int = SLOW_TARGET


#: The chart that we replace knows no pools: each server gets the same.
WAYS: Final = {
    "least_request": Way("least_request"),
    "weighted_round_robin": Way("round_robin"),
    "round_robin": Way("round_robin", slow_target=FAST_TARGET),
}


def deployment(way: Way) -> Mapping[str, Any]:
    """Return the variables of both pools."""
    common = {**POOL, "replicas": SERVERS}
    slow = {"extra_env": [{"name": "PACED_FACTOR", "value": str(FACTOR)}], "target_in_flight": way.slow_target}
    return {
        "sonic_pools": [
            {**common, "name": "fast", "target_in_flight": FAST_TARGET},
            {**common, "name": "slow", **slow},
        ],
        "envoy_balancing": {"policy": way.policy},
        "sonic_discovery_seconds": 2,
    }


def answered(site: Site, pool: str) -> int:
    """Return how many requests the servers of a pool have answered."""
    selector = f"app.kubernetes.io/name=triton,app.kubernetes.io/instance={INSTANCE.name},hep.sonic/pool={pool}"
    total = 0
    for pod in site.cluster.list(POD, INSTANCE.name, labels=selector):
        url = f"http://{pod['status']['podIP']}:{METRICS_PORT}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
        found = re.findall(r'^nv_inference_request_success\{model="paced",version="1"\} (\d+)$', text, re.MULTILINE)
        total += sum(map(int, found))
    return total


def measure_way(site: Site, name: str) -> dict[str, float]:
    """Deploy in a way, send requests, and return what became of them."""
    site.deploy(deployment(WAYS[name]))
    site.settle({"triton": 2 * SERVERS, "envoy": 2}, spread=False)
    before = {pool: answered(site, pool) for pool in ("fast", "slow")}
    stream = Stream(name, "paced", rate=RATE, count=RATE * DURATION, service_seconds=SECONDS)
    with tempfile.TemporaryDirectory() as folder, client(site.target, [stream], Path(folder)) as finish:
        time.sleep(DURATION + 5)
        (requests,) = finish().values()
    summary = Summary.of(requests)
    shares = {pool: answered(site, pool) - count for pool, count in before.items()}
    return {
        "p50": summary.p50,
        "p99": summary.p99,
        "failed": summary.failed,
        "fast_share": round(shares["fast"] / sum(shares.values()), 3),
    }


def measure_pools() -> dict[str, Any]:
    """Return what clients see of each way."""
    change_lab()
    with Cluster(Access(kubeconfig=str(LAB / "kubeconfig"))) as cluster:
        site = Site(cluster, keep_dns)
        found = {name: measure_way(site, name) for name in WAYS}
    INSTANCE.remove()
    return {
        "factor": FACTOR,
        "fast_target": FAST_TARGET,
        "slow_target": SLOW_TARGET,
        "rate": RATE,
        "seconds": SECONDS,
        "duration": DURATION,
        **found,
    }
