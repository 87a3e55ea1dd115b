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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults.processes import pids
from tests.faults.site import NAMESPACE, POD, Site
from tests.faults.stream import Stream
from tests.faults.test_faults import POOL, client
from tests.tools.webhook import Told, listen

pytestmark = [pytest.mark.soak, pytest.mark.timeout(400)]

#: The lab reads its metrics every 2 s: ten readings, and as many again until Prometheus has found all.
QUIET_SECONDS: Final = 20.0
#: A server that fails fires within its window of twenty readings, the four for which it must be so, and two turns.
FIRES_SECONDS: Final = 60.0
#: For so long Alertmanager waits for more of the same kind, and as long again between two messages of it.
GROUP_SECONDS: Final = 30.0
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


def firing(site: Site) -> set[str]:
    """Return the alerts of the instance that fire."""
    alerts = ask(site, "alerts")["alerts"]
    return {
        alert["labels"]["alertname"]
        for alert in alerts
        if alert["state"] == "firing" and alert["labels"].get("namespace") == NAMESPACE
    }


@pytest.fixture
def told() -> Iterator[queue.Queue[Told]]:
    """What this machine is told."""
    with listen(*RECEIVER) as (_port, messages):
        yield messages


@pytest.fixture(scope="module")
def watched(site: Site) -> Site:
    """The instance with two servers, once its rules are evaluated."""
    site.deploy({"sonic_pools": [{**POOL, "replicas": 2}]})
    site.settle({"triton": 2, "envoy": 2}, spread=False)
    site.wait(lambda: set(rules(site).values()) == {"ok"}, 60)
    return site


def test_nothing_is_told_while_all_is_well(watched: Site, tmp_path: Path) -> None:
    load = Stream("small", "identity", rate=20)
    with client(watched.target, [load], tmp_path) as finish:
        time.sleep(QUIET_SECONDS)
        assert firing(watched) == set()
        finish()


def test_a_server_that_fails_and_says_that_it_is_well_is_told(
    watched: Site, tmp_path: Path, told: queue.Queue[Told]
) -> None:
    victim, _other = watched.serving("triton")
    load = Stream("small", "identity", rate=20)
    try:
        with client(watched.target, [load], tmp_path) as finish:
            for pid in pids(victim.uid, "triton_python_b"):  # as the kernel shortens the name of a model's process
                os.kill(pid, signal.SIGKILL)
            watched.wait(lambda: firing(watched) != set(), FIRES_SECONDS)
            first = told.get(timeout=2 * GROUP_SECONDS)
            time.sleep(GROUP_SECONDS)
            fired = firing(watched)
            finish()
    finally:
        watched.delete(victim, at_once=True)
    # what it fails is asked of the other one, which fires besides, and is told to nobody
    assert fired - {"SonicRetriesHigh"} == {"SonicServerFailing"}
    assert (first.instance, first.alert, first.status) == (NAMESPACE, "SonicServerFailing", "firing")
    assert told.empty()
    watched.wait(lambda: firing(watched) == set(), 2 * FIRES_SECONDS)
