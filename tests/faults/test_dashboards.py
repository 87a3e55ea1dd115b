# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dashboards while requests flow: every panel has its data, in its unit, and no other instance is in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.faults.site import INSTANCE, NAMESPACE, POD, Site
from tests.faults.stream import Stream
from tests.faults.test_autoscaling import SERVICE_SECONDS, scaled
from tests.faults.test_faults import client
from tests.tools.common import ROOT
from tests.tools.dashboards.boards import BOARDS
from tests.tools.dashboards.check import Checker
from tests.tools.dashboards.model import Board, Need
from tests.tools.dashboards.prometheus import Prometheus
from tests.tools.dashboards.queries import Chosen

#: What the lab has not: GPUs that compute, or a program that needs the rights of a whole cluster.
LACKING: Final = frozenset({Need.GPU, Need.DCGM, Need.KUBE_STATE_METRICS})
#: Seconds of requests: several windows of a rate.
LOAD_SECONDS: Final = 60.0
LOAD: Final = [
    Stream("small", "identity", rate=50),
    # by Little's law, three in flight
    Stream("slow", "paced", rate=3 / SERVICE_SECONDS, service_seconds=SERVICE_SECONDS, deadline=60),
]

pytestmark = [pytest.mark.soak, pytest.mark.timeout(400)]

every_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)


def scrape_interval() -> int:
    """Return the lab's ``sonic_scrape_interval``."""
    text = (ROOT / "inventories/lab/group_vars/clusters/monitoring.yml").read_text(encoding="utf-8")
    variables: dict[str, Any] = yaml.safe_load(text)
    return int(variables["sonic_scrape_interval"])


def chosen(instance: str) -> Chosen:
    """Return the choice of an instance in the namespace of the tests."""
    interval = scrape_interval()
    return Chosen(NAMESPACE, instance, interval, interval, model="identity")


@pytest.fixture(scope="module")
def measured(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Checker:
    """The lab's Prometheus, and the time of the load."""
    folder: Path = tmp_path_factory.mktemp("load")
    site.deploy(scaled(1))
    with client(site.target, LOAD, folder) as finish:
        start = time.time()
        time.sleep(LOAD_SECONDS)
        end = time.time()
        finish()
    (pod,) = site.cluster.list(POD, "monitoring", labels="app.kubernetes.io/name=prometheus")
    url = f"http://{pod['status']['podIP']}:9090"
    print(f"--prometheus {url} --namespace {NAMESPACE} --instance {INSTANCE.name}")
    # not the first seconds: a rate needs two readings
    return Checker(Prometheus(url), chosen(INSTANCE.name), start + LOAD_SECONDS / 2, end, LACKING)


@every_board
def test_every_panel_has_its_data(measured: Checker, board: Board) -> None:
    assert measured.problems(board) == []


@every_board
def test_who_is_not_there_has_none(measured: Checker, board: Board) -> None:
    nobody = Checker(measured.source, chosen("nobody"), measured.start, measured.end)
    assert nobody.shown(board) == []
