# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which GPUs a cluster has, from nodes and Pods on a real API server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.gpus import (
    GpuNode,
    Resource,
    describe,
    idle,
    products,
    table,
    unknown_products,
    without_gpu,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest
from tests.lab import pretended

NODES = BUILT_IN["", "Node"]
PODS = BUILT_IN["", "Pod"]
GPUS = ["nvidia.com/gpu*", "nvidia.com/mig-*"]
T4 = {"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.count": "4", "nvidia.com/gpu.memory": "15360"}
SLICED = {
    "nvidia.com/gpu.product": "NVIDIA-A10-SHARED",
    "nvidia.com/gpu.count": "2",
    "nvidia.com/gpu.replicas": "4",
    "nvidia.com/gpu.sharing-strategy": "time-slicing",
}
FARM = {
    "info-t4": (T4, {"nvidia.com/gpu": "4"}),
    "info-sliced": (SLICED, {"nvidia.com/gpu": "8"}),
    "info-ill": (T4, {}),
    "info-plain": ({}, {}),
}


def container(name: str, gpus: int = 0, **more: Any) -> Manifest:
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {"name": name, "image": "none", "resources": {"limits": limits}, **more}


def pod(name: str, namespace: str, **spec: Any) -> Manifest:
    meta = {"name": name, "namespace": namespace}
    given = {"nodeName": "info-t4", "automountServiceAccountToken": False, "tolerations": [pretended.toleration()]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": given | spec}


@pytest.fixture
def farm(cluster: Cluster, namespace: str) -> Iterator[str]:
    """Nodes with GPUs whole, shared and gone, and Pods that have some; yields the Pods' namespace."""
    for name, (labels, resources) in FARM.items():
        cluster.request("POST", NODES.path(), body=pretended.node(name, labels=labels, resources=resources))
    before = [container("before", 3), container("beside", 1, restartPolicy="Always")]
    pods = [
        pod("one", namespace, containers=[container("a", 1)]),
        pod("three", namespace, containers=[container("a", 1), container("b")], initContainers=before),
    ]
    for body in pods:
        end = time.monotonic() + 20
        while cluster.get(BUILT_IN["", "ServiceAccount"], namespace, "default") is None:
            assert time.monotonic() < end
            time.sleep(0.1)
        cluster.request("POST", PODS.path(namespace), body=body)
    yield namespace
    for body in pods:
        cluster.request("DELETE", PODS.path(namespace, body["metadata"]["name"]), query={"gracePeriodSeconds": "0"})
    for name in FARM:
        cluster.request("DELETE", NODES.path("", name))


def look(cluster: Cluster) -> dict[str, GpuNode]:
    nodes = [node for node in cluster.list(NODES) if node["metadata"]["name"] in FARM]
    return {node.name: node for node in describe(nodes, cluster.list(PODS), GPUS)}


def test_who_has_which_gpus(cluster: Cluster, farm: str) -> None:
    found = look(cluster)
    assert set(found) == {"info-t4", "info-sliced", "info-ill"}
    t4 = found["info-t4"]
    # what starts before needs 3 at once, what runs then 1 + 1
    assert t4.resources == {"nvidia.com/gpu": Resource(capacity=4, allocatable=4, used=1 + 3)}
    assert (t4.product, t4.gpus, t4.memory_mib, t4.sharing) == ("Tesla-T4", 4, 15360, "none")
    assert t4.users == {farm: 4}
    assert found["info-sliced"].replicas == 4
    assert products(found.values()) == {"NVIDIA-A10-SHARED": 1, "Tesla-T4": 2}


def test_a_node_without_gpus_is_waited_for_while_it_is_ready(cluster: Cluster, farm: str) -> None:
    end = time.monotonic() + 20
    nodes = [cluster.get(NODES, "", name) or {} for name in ("info-t4", "info-plain")]
    while without_gpu(nodes, GPUS) != ["info-plain"]:
        assert time.monotonic() < end
        nodes = [cluster.get(NODES, "", name) or {} for name in ("info-t4", "info-plain")]
    nodes[1]["spec"]["unschedulable"] = True
    assert without_gpu(nodes, GPUS) == []
    assert farm


def test_nodes_that_should_offer_gpus_and_do_not_are_named() -> None:
    selector = {"nvidia.com/gpu.present": "true"}
    assert idle(selector, [], 3) == []
    assert "No node has nvidia.com/gpu.present=true" in idle(selector, [], 0)[0]
    (warning,) = idle(selector, [f"gpu-{number}" for number in range(12)], 100)
    assert "12 of 100 nodes offer no GPU: gpu-0, " in warning
    assert "gpu-9, ..." in warning


def test_an_ill_gpu_that_is_shared_may_be_several() -> None:
    whole = GpuNode("a", ready=True, gpus=4, resources={"nvidia.com/gpu": Resource(4, 3, 2)})
    assert (whole.suspects, whole.resources["nvidia.com/gpu"].free) == (1, 1)
    sliced = {"nvidia.com/gpu": Resource(capacity=8, allocatable=5, used=0)}
    assert GpuNode("b", ready=True, gpus=2, sharing="time-slicing", replicas=4, resources=sliced).suspects == 2
    assert GpuNode("c", ready=True, resources=sliced).suspects == 3


def test_a_person_reads_a_table(cluster: Cluster, farm: str) -> None:
    lines = list(table([look(cluster)["info-t4"], look(cluster)["info-ill"]]))
    assert [line.split() for line in lines[:1]] == [
        ["node", "product", "sharing", "offered", "free", "unhealthy", "used", "by"]
    ]
    assert lines[1].split()[-5:] == ["4", "0", "0", farm, "4"]
    assert lines[2].split()[-4:] == ["0", "0", "0", "nobody"]
    assert list(table([])) == []
    many = [GpuNode(f"n{number}", ready=True) for number in range(45)]
    assert list(table(many))[-1] == "and 5 more nodes"


def test_a_product_that_no_node_has_is_named_with_those_that_there_are(cluster: Cluster, farm: str) -> None:
    nodes = look(cluster).values()
    (warning,) = unknown_products(
        [
            ["Tesla-T4"],
            ["NVIDIA-A10", "NVIDIA-A10-SHARED"],
            ["NVIDIA-H100", "NVIDIA-H100-SHARED"],
            ["NVIDIA-H100", "NVIDIA-H100-SHARED"],
        ],
        nodes,
    )
    assert "No node has the GPU product NVIDIA-H100 or NVIDIA-H100-SHARED" in warning
    assert "NVIDIA-A10-SHARED (1), Tesla-T4 (2)" in warning
    assert "none: no node has the label" in unknown_products([["X"]], [])[0]
    assert farm
