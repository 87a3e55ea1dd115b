# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's service: how soon it is there, what an unchanged deployment costs, what Envoy adds to a request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Access, Cluster
from tests.faults.processes import pids
from tests.lab.lab import Lab
from tests.lab.progress import Progress
from tests.lab.state import State
from tests.system.playbook import run_playbook
from tests.tools.common import ROOT

INSTANCE: Final = "sonic-lab"
ROUNDS: Final = 5
#: Requests to each of the two targets: as many blocks as this, of so many requests.
BLOCKS, REQUESTS = 40, 250
TICKS: Final = os.sysconf("SC_CLK_TCK")


def site() -> float:
    """Deploy the lab's service; return the seconds.

    Raises:
        SystemExit: It failed.
    """
    run = run_playbook("hep.sonic.site")
    if run.status:
        sys.exit(run.output)
    return run.seconds


def measure_start() -> dict[str, Any]:
    """Start the lab from nothing, everything built before, and deploy until an inference was verified."""
    lab = Lab("lab", Progress(None))
    before = State.load(lab.directory)
    lab.down()
    nodes = before.nodes if before else 2
    start = time.monotonic()
    lab.up("node", nodes=nodes, dns_cache=before.dns_cache if before else 0)
    up = time.monotonic() - start
    deployed = site()
    return {"nodes": nodes, "lab_up": round(up, 1), "site": round(deployed, 1), "total": round(up + deployed, 1)}


def measure_site() -> dict[str, Any]:
    """Deploy what is there already."""
    site()
    seconds = [site() for _round in range(ROUNDS)]
    return {"wall": round(median(seconds), 2), "all": [round(second, 2) for second in seconds]}


def measure_proxy() -> dict[str, Any]:
    """Ask one Triton, directly and through an Envoy, one request at a time."""
    lab = Lab("lab", Progress(None))
    with Cluster(Access(kubeconfig=str(lab.kubeconfig))) as cluster:
        triton, envoy = (_pod(cluster, component) for component in ("triton", "envoy"))
    direct, proxied = (f"{pod['status']['podIP']}:8001" for pod in (triton, envoy))
    (pid,) = pids(envoy["metadata"]["uid"], "envoy")
    idle = _idle_cpu(pid)
    before, start = _cpu_seconds(pid), time.monotonic()
    command = [sys.executable, "-m", "tests.bench.latency", direct, proxied, str(BLOCKS), str(REQUESTS)]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    cpu = _cpu_seconds(pid) - before - idle * (time.monotonic() - start)
    seconds = json.loads(output)
    without, through = percentiles(seconds[direct]), percentiles(seconds[proxied])
    return {
        "requests": BLOCKS * REQUESTS,
        "direct_ms": without,
        "envoy_ms": through,
        "added_ms": {key: round(through[key] - without[key], 3) for key in without},
        "envoy_cpu_ms": round(cpu * 1000 / ((BLOCKS + 1) * REQUESTS), 3),
    }


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50 and p99 in milliseconds."""
    ordered = sorted(seconds)
    return {f"p{percent}": round(ordered[len(ordered) * percent // 100] * 1000, 3) for percent in (50, 99)}


def _pod(cluster: Cluster, component: str) -> Mapping[str, Any]:
    """Return a Pod of the first node: a request to it crosses no other link."""
    selector = f"app.kubernetes.io/name={component},app.kubernetes.io/instance={INSTANCE}"
    return cluster.list(BUILT_IN["", "Pod"], INSTANCE, labels=selector, fields="spec.nodeName=node-1")[0]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _idle_cpu(pid: int) -> float:
    """Return the CPU seconds a second of a process that nobody asks anything."""
    before, start = _cpu_seconds(pid), time.monotonic()
    time.sleep(5)
    return (_cpu_seconds(pid) - before) / (time.monotonic() - start)
