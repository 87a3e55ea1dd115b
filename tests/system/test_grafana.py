# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Grafana as the API server takes it, Pod Security included; its image cannot be had here, so nothing of it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest
import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.objects import MASK
from tests.system.playbook import Task, run_playbook
from tests.tools.dashboards.boards import BOARDS

pytestmark = pytest.mark.timeout(300)

#: The lab's Prometheus is there, under Pod Security `restricted`.
PLACE: Final = {"monitoring_grafana_namespace": "monitoring"}


def applied(variables: Mapping[str, Any]) -> Task:
    """Return what a run of the cluster would do for Grafana; other tests share the cluster, so nothing is written."""
    run = run_playbook("hep.sonic.cluster", "--check", "--diff", variables=variables)
    assert run.status == 0, run.output
    (task,) = (task for task in run.applied() if "Grafana" in task.name)
    return task


def names(task: Task, kind: str) -> set[str]:
    return {entry["name"] for entry in task.result["objects"] if entry["kind"] == kind and entry["action"] == "created"}


def test_the_api_server_takes_a_grafana_and_its_secrets_are_not_shown() -> None:
    # in a namespace that is there: the API server looks at nothing in one that is not
    task = applied(PLACE | {"monitoring_grafana_mode": "bundled", "monitoring_adopt": True})
    assert names(task, "ConfigMap") == {"grafana", *(board.uid for board in BOARDS)}
    for kind in ("Secret", "Service", "Deployment", "NetworkPolicy"):
        assert names(task, kind) == {"grafana"}
    (secret,) = (entry["after"] for entry in task.result["diff"] if entry["after_header"].startswith("Secret "))
    assert set(yaml.safe_load(secret)["data"]) == {"admin-password", "secret-key"}
    assert all(value.startswith(MASK) for value in yaml.safe_load(secret)["data"].values())


def test_the_api_server_takes_the_dashboards_for_a_grafana_of_the_site() -> None:
    task = applied(PLACE | {"monitoring_grafana_mode": "existing"})
    assert {entry["kind"] for entry in task.result["objects"]} == {"ConfigMap"}
    assert names(task, "ConfigMap") == {board.uid for board in BOARDS}
