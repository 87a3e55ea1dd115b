# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine `hpa`: a real API server accepts what it declares. Nobody here serves the metric: nothing is scaled."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from tests.unit.playbooks.inventory import INSTANCE, inventory_of, play


def test_the_api_server_accepts_the_autoscaler(tmp_path: Path, kubeconfig: Path, cluster: Cluster) -> None:
    namespaces = BUILT_IN["", "Namespace"]
    if cluster.get(namespaces, "", INSTANCE) is None:
        cluster.request("POST", namespaces.path(), body={"metadata": {"name": INSTANCE}})
    scaled = {"sonic_autoscaler": "hpa", "sonic_pools": [{"name": "gpu", "min": 1, "max": 4, "target_in_flight": 2}]}
    run = play("hep.sonic.service", inventory_of(tmp_path, kubeconfig, {}, scaled), "--check", "--diff")
    assert run.status == 0, run.output
    applied = [entry for task in run.applied() for entry in task.result["objects"]]
    assert {
        "kind": "HorizontalPodAutoscaler",
        "namespace": INSTANCE,
        "name": f"{INSTANCE}-triton-gpu",
        "action": "created",
    } in applied
    assert not run.tasks[-1].result.get("warnings")
