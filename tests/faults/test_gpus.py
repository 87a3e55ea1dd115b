# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GPUs, offered and described by NVIDIA's own software over a stand-in for its library, while servers have them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.gpus import GpuNode, describe
from tests.faults.conftest import LAB
from tests.faults.faults import FAULTS
from tests.faults.results import tell
from tests.faults.site import INSTANCE, NAMESPACE, NODE, POD, Site
from tests.faults.test_faults import COMMON, client, prepare
from tests.lab.gpus import COUNT, KINDS, raise_xid

GPU: Final = "nvidia.com/gpu"
CHOICE: Final = "nvidia.com/device-plugin.config"
#: The node whose GPUs are shared and fail. The other one has servers all the time.
VICTIM: Final = "node-2"
DRIVER_ROOT: Final = LAB / "nodes" / VICTIM / "driver"
PLUGIN_NAMESPACE: Final = "nvidia-device-plugin"
#: A GPU that has fallen off the bus.
XID: Final = 79
#: Where the device plugin's Pods find that they have a GPU.
ASKS: Final = (
    'import os, pathlib; pathlib.Path("/dev/termination-log").write_text(os.environ["NVIDIA_VISIBLE_DEVICES"])'
)
RULES: Final[list[dict[str, Any]]] = [
    {"name": "real nodes", "nodes": {"names": ["node-*"]}, "labels": {"nvidia.com/gpu.present": "true"}},
    {"name": "shared", "nodes": {"names": [VICTIM]}, "labels": {CHOICE: "shared"}},
]
#: Nothing of the instance changes here; it is deployed as for this fault.
LIKE: Final = FAULTS["b"]

pytestmark = pytest.mark.timeout(400)


def look(cluster: Cluster, name: str) -> GpuNode:
    """Return what a node offers now."""
    node = cluster.get(NODE, "", name)
    assert node is not None
    (found,) = describe([node], [], [GPU])
    return found


def offers(site: Site, name: str, product: str, count: int, unhealthy: int = 0) -> None:
    """Wait until a node offers so many GPUs of a product, and labels say so, too."""

    def so() -> bool:
        node = look(site.cluster, name)
        resource = node.resources.get(GPU)
        if resource is None:
            return False
        return (node.product, resource.allocatable, resource.unhealthy) == (product, count, unhealthy)

    site.wait(so, 60)


def plugins(cluster: Cluster) -> list[Mapping[str, Any]]:
    """Return the Pods of the device plugin on the victim."""
    pods = cluster.list(POD, PLUGIN_NAMESPACE, fields=f"spec.nodeName={VICTIM}")
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def restart_plugin(site: Site) -> None:
    """Let the device plugin of the victim start anew, as an operator does after a GPU was replaced."""
    before = {pod["metadata"]["uid"] for pod in plugins(site.cluster)}
    for pod in plugins(site.cluster):
        site.cluster.request("DELETE", POD.path(PLUGIN_NAMESPACE, pod["metadata"]["name"]))
    site.wait(lambda: {pod["metadata"]["uid"] for pod in plugins(site.cluster)}.isdisjoint(before), 60)


@contextmanager
def broken(site: Site, gpu: int) -> Iterator[None]:
    """Let a GPU of the victim fail, and be replaced afterwards."""
    raise_xid(DRIVER_ROOT, gpu, XID)
    try:
        yield
    finally:
        restart_plugin(site)


def product(index: int) -> str:
    """Return how labels call the GPUs of a node."""
    return KINDS[index - 1].name.replace(" ", "-")


def test_labels_say_what_gpus_nodes_have(site: Site) -> None:
    for index in (1, 2):
        name = f"node-{index}"
        offers(site, name, product(index), COUNT)
        node = look(site.cluster, name)
        assert (node.gpus, node.memory_mib, node.sharing) == (COUNT, KINDS[index - 1].memory_mib, "none")


def test_a_pod_that_asks_for_a_gpu_is_told_which(site: Site) -> None:
    prepare(site, LIKE, COMMON)
    name = "asks-for-a-gpu"
    container = {
        "name": "main",
        "image": json.loads((LAB / "images.json").read_text(encoding="utf-8"))["python"],
        "command": ["python3", "-c", ASKS],
        "resources": {"limits": {GPU: "1"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    site.cluster.request("POST", POD.path(NAMESPACE), body=body)

    def found() -> Mapping[str, Any]:
        return site.cluster.get(POD, NAMESPACE, name) or {"status": {}}

    try:
        site.wait(lambda: found()["status"].get("phase") == "Succeeded", 60)
        words = found()["status"]["containerStatuses"][0]["state"]["terminated"]["message"]
        assert words.startswith(f"GPU-0000000{found()['spec']['nodeName'].removeprefix('node-')}-")
    finally:
        site.cluster.request("DELETE", POD.path(NAMESPACE, name), query={"gracePeriodSeconds": "0"})


def test_a_gpu_that_fails_is_taken_away_and_no_request_notices(site: Site, tmp_path: Path) -> None:
    prepare(site, LIKE, COMMON)
    with client(site.target, COMMON.streams(LIKE), tmp_path) as finish:
        with broken(site, gpu=3):
            offers(site, VICTIM, product(2), COUNT - 1, unhealthy=1)
            assert look(site.cluster, VICTIM).suspects == 1
        offers(site, VICTIM, product(2), COUNT)
        seen = finish()
    for summary in tell("gpu", "a GPU fails and is replaced", COMMON.name, seen).values():
        assert summary.failed == 0


def test_gpus_are_shared_by_a_label_and_one_that_fails_then_may_be_several(site: Site) -> None:
    try:
        INSTANCE.must("hep.sonic.cluster", gpu_node_labels_rules=RULES)
        offers(site, VICTIM, f"{product(2)}-SHARED", 2 * COUNT)
        node = look(site.cluster, VICTIM)
        assert (node.sharing, node.replicas, node.gpus) == ("time-slicing", 2, COUNT)
        offers(site, "node-1", product(1), COUNT)
        with broken(site, gpu=5):
            # the trap of version 0.19.0: the other half of the sick GPU is still handed out
            offers(site, VICTIM, f"{product(2)}-SHARED", 2 * COUNT - 1, unhealthy=1)
            assert look(site.cluster, VICTIM).suspects == 1
    finally:
        INSTANCE.must("hep.sonic.cluster")
    offers(site, VICTIM, product(2), COUNT)
