# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From no server to five hundred: the real KEDA and Envoys of the lab, and servers on pretended nodes."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Access, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import field_at
from tests.faults.conftest import LAB, change_lab, keep_dns
from tests.faults.processes import pids
from tests.faults.site import INSTANCE, NAMESPACE, NODE, POD, Pod, Site
from tests.faults.stream import Stream
from tests.faults.test_autoscaling import scaled, servers, wait_for_nobody, watch
from tests.faults.test_faults import client
from tests.lab import pretended

SERVERS: Final = 500
GPUS: Final = 4
#: More than all servers are wanted for; they stay held, as pretended servers answer nobody.
REQUESTS: Final = 700
#: For each of two Envoys.
HELD: Final = 380
#: Seconds for all servers to run.
PATIENCE: Final = 300.0


def variables() -> dict[str, Any]:
    """Return the variables of the instance."""
    given = scaled(0)
    (pool,) = given["sonic_pools"]
    placed = {"node_selector": {"type": "kwok"}, "tolerations": [pretended.toleration()]}
    return {
        **given,
        "sonic_pools": [{**pool, **placed, "max": SERVERS, "target_in_flight": 1}],
        "envoy_hold_requests": HELD,
        "envoy_hold_seconds": round(PATIENCE) + 60,
        "verify_wake": False,
    }


@contextmanager
def nodes(cluster: Cluster) -> Iterator[None]:
    """Have pretended nodes with a GPU for each server."""
    names = [f"pretended-{number:03}" for number in range(SERVERS // GPUS)]
    resources = {"nvidia.com/gpu": str(GPUS)}
    bodies = [pretended.node(name, resources=resources) for name in names]
    cluster.map(lambda body: cluster.request("POST", NODE.path(), body=body), bodies)
    try:
        yield
    finally:
        cluster.map(lambda name: cluster.request("DELETE", NODE.path("", name)), names)


def peak_mib(pod: Pod, program: str) -> float:
    """Return the most memory that a Pod's process ever had."""
    (pid,) = pids(pod.uid, program)
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return round(int(found[1]) / 1024)


def memory(site: Site) -> dict[str, float]:
    """Return the most memory of who scales, and of an Envoy."""
    selector = "app.kubernetes.io/name=keda-operator"
    operator = Pod.of(site.cluster.list(POD, "keda", labels=selector)[0])
    return {"keda_mib": peak_mib(operator, "keda"), "envoy_mib": peak_mib(site.serving("envoy")[0], "envoy")}


def climb(site: Site) -> Mapping[str, float]:
    """Send requests, and return after how many seconds the servers were wanted, and ran.

    That they are ready is not asked: the lab takes a node for lost after 10 s without a sign of life, which those
    of pretended nodes are late with on a busy machine, and kwok never makes a server ready again.
    """
    held = Stream("held", "identity", rate=1000, count=REQUESTS, deadline=PATIENCE, connections=8)
    with tempfile.TemporaryDirectory() as folder, client(site.target, [held], Path(folder)), watch(site) as watched:
        start = time.monotonic()
        site.wait(lambda: field_at(servers(site), ["status", "replicas"]) == SERVERS, PATIENCE)
        site.wait(lambda: running(site) >= SERVERS, PATIENCE)
        all_run = time.monotonic() - start
    return {
        "first_wanted": round(watched.first(lambda wanted, _ready: wanted > 0), 1),
        "all_wanted": round(watched.first(lambda wanted, _ready: wanted == SERVERS), 1),
        "first_ready": round(watched.first(lambda _wanted, ready: ready > 0), 1),
        "all_run": round(all_run, 1),
    }


def running(site: Site) -> int:
    """Return how many servers run; looking costs as much as a second of the cluster's time."""
    time.sleep(1)
    selector = "app.kubernetes.io/name=triton"
    return len(site.cluster.list(POD, NAMESPACE, labels=selector, fields="status.phase=Running"))


def measure_scale() -> dict[str, Any]:
    """Return how long the way up takes, and what it costs."""
    change_lab()
    with Cluster(Access(kubeconfig=str(LAB / "kubeconfig"))) as cluster, nodes(cluster):
        site = Site(cluster, keep_dns)
        try:
            site.deploy(variables())
            wait_for_nobody(site)
            before = memory(site)
            figures = climb(site)
            return {"servers": SERVERS, "requests": REQUESTS, **figures, "before": before, "after": memory(site)}
        finally:
            INSTANCE.remove()
