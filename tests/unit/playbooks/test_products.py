# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pools and the GPUs that there are, on a pretended node."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from tests.lab import pretended
from tests.unit.playbooks.inventory import inventory_of, play

NODES = BUILT_IN["", "Node"]


def test_who_asks_for_a_product_that_no_node_has_is_warned(tmp_path: Path, kubeconfig: Path, cluster: Cluster) -> None:
    labels, resources = {"nvidia.com/gpu.product": "Tesla-T4"}, {"nvidia.com/gpu": "4"}
    cluster.request("POST", NODES.path(), body=pretended.node("gpus", labels=labels, resources=resources))
    pool = {"name": "gpu", "gpu": {"product": "NVIDIA-H100-80GB-HBM3"}}
    try:
        run = play("hep.sonic.service", inventory_of(tmp_path, kubeconfig, {}, {"sonic_pools": [pool]}), "--check")
    finally:
        cluster.request("DELETE", NODES.path("", "gpus"))
    assert run.status == 0, run.output
    assert "No node has the GPU product NVIDIA-H100-80GB-HBM3" in run.output
    assert "Tesla-T4" in run.output
