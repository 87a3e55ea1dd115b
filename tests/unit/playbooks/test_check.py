# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster lacks, or has already, is told before anything is changed on it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import RequestError
from tests.lab import pretended
from tests.tools.common import ROOT
from tests.unit.playbooks.inventory import INSTANCE, inventory_of, play

NAMESPACES: Final = BUILT_IN["", "Namespace"]
NODES: Final = BUILT_IN["", "Node"]
#: Where what role keda downloads was released.
RELEASES: Final = "https://raw.githubusercontent.com/"


@dataclass(frozen=True)
class Refused:
    """Variables that a cluster without anything on it cannot take, and what is said of them."""

    words: tuple[str, ...]
    clusters: Mapping[str, Any] = field(default_factory=dict)
    instances: Mapping[str, Any] = field(default_factory=dict)


SCALED: Final = {"sonic_autoscaler": "keda", "sonic_pools": [{"name": "gpu", "min": 0, "max": 4}]}
REFUSED: Final[Mapping[str, Refused]] = {
    "no KEDA where the site has one": Refused(
        ("keda_mode is existing", "it does not know ScaledObjects", "set keda_mode to install"),
        clusters={"keda_mode": "existing"},
    ),
    "no KEDA at all": Refused(
        ("autoscaler_engine is keda", "has no KEDA", "Set keda_mode of the cluster to install"), instances=SCALED
    ),
    "no GPUs where the site offers some": Refused(
        ("nvidia_device_plugin_mode is existing", "no node of the cluster offers a GPU"),
        clusters={"nvidia_device_plugin_mode": "existing"},
    ),
    "another file than the one that was released": Refused(
        ("is not the file that", "wanted is", "sonic_mirrors"),
        clusters={"keda_mode": "install", "sonic_mirrors": {}},
        instances=SCALED,
    ),
}


def released() -> list[str]:
    """Return the URLs that role keda downloads."""
    variables = yaml.safe_load((ROOT / "roles/keda/vars/main/definitions.yml").read_text())
    return [one["url"] for one in variables["__keda_definitions"]]


def versions(cluster: Cluster) -> dict[str, str]:
    """Return what changes when a namespace or a node does."""
    found = [*cluster.list(NAMESPACES), *cluster.list(NODES)]
    return {obj["metadata"]["name"]: obj["metadata"]["resourceVersion"] for obj in found}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_what_a_cluster_cannot_take_is_refused_before_a_change(
    tmp_path: Path, kubeconfig: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, case: Refused
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    clusters = dict(case.clusters)
    if "sonic_mirrors" in clusters:
        for url in released():
            file = tmp_path / url.removeprefix(RELEASES)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("kind: Another\n")
        clusters["sonic_mirrors"] = {RELEASES: f"{tmp_path}/"}
    before = versions(cluster)
    run = play("hep.sonic.site", inventory_of(tmp_path, kubeconfig, clusters, case.instances))
    assert run.status != 0
    for words in case.words:
        assert words in run.tasks[-1].result["msg"]
    assert versions(cluster) == before
    assert not run.applied()


def test_who_sets_the_number_of_servers_already_is_named_before_a_change(
    tmp_path: Path, kubeconfig: Path, cluster: Cluster
) -> None:
    cluster.request("POST", NAMESPACES.path(), body={"metadata": {"name": INSTANCE}})
    scalers = cluster.resource("autoscaling/v2", "HorizontalPodAutoscaler")
    assert scalers is not None
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{INSTANCE}-triton-gpu"}
    body = {"metadata": {"name": "somebody"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}
    cluster.request("POST", scalers.path(INSTANCE), body=body)
    inventory = inventory_of(tmp_path, kubeconfig, {}, {"sonic_pools": [{"name": "gpu", "replicas": 2}]})
    try:
        before = versions(cluster)
        run = play("hep.sonic.site", inventory)
        assert "somebody in the namespace sonic-cms" in run.tasks[-1].result["msg"]
        assert versions(cluster) == before
    finally:
        cluster.request("DELETE", scalers.path(INSTANCE, "somebody"))
    assert play("hep.sonic.check", inventory).status == 0
    assert versions(cluster) == before


def test_a_second_device_plugin_is_refused_and_a_first_one_is_not_warned_of(
    tmp_path: Path, kubeconfig: Path, cluster: Cluster
) -> None:
    labels = {"nvidia.com/gpu.present": "true"}
    inventory = inventory_of(tmp_path, kubeconfig, {"nvidia_device_plugin_mode": "install"}, {})
    run = play("hep.sonic.check", inventory)
    assert run.status == 0, run.output
    assert "offer" not in run.output.replace("Look whether GPUs are offered already", "")
    node = pretended.node("gpu-theirs", labels=labels, resources={"nvidia.com/gpu": "4"})
    cluster.request("POST", NODES.path(), body=node)
    try:
        run = play("hep.sonic.check", inventory)
    finally:
        cluster.request("DELETE", NODES.path("", "gpu-theirs"))
    assert "1 nodes offer GPUs already (gpu-theirs)" in run.tasks[-1].result["msg"]


def test_a_device_plugin_on_nodes_that_a_rule_is_about_to_label_is_a_second_one(
    tmp_path: Path, kubeconfig: Path, cluster: Cluster
) -> None:
    rule = {"name": "t4", "nodes": {"names": ["gpu-*"]}, "labels": {"nvidia.com/gpu.present": "true"}}
    clusters = {"nvidia_device_plugin_mode": "install", "gpu_node_labels_rules": [rule]}
    cluster.request("POST", NODES.path(), body=pretended.node("gpu-theirs", resources={"nvidia.com/gpu": "4"}))
    cluster.request("POST", NODES.path(), body=pretended.node("other", resources={"nvidia.com/gpu": "4"}))
    try:
        run = play("hep.sonic.site", inventory_of(tmp_path, kubeconfig, clusters, {}))
        left = cluster.list(NODES, labels="nvidia.com/gpu.present")
    finally:
        cluster.request("DELETE", NODES.path("", "gpu-theirs"))
        cluster.request("DELETE", NODES.path("", "other"))
    assert not left
    assert not run.applied()
    assert "1 nodes offer GPUs already (gpu-theirs)" in run.tasks[-1].result["msg"]


@pytest.fixture
def scaled_object(cluster: Cluster) -> Iterator[None]:
    """A ScaledObject in the cluster, of a KEDA that somebody installed."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "scaledobjects.keda.sh"},
        "spec": {
            "group": "keda.sh",
            "scope": "Namespaced",
            "names": {"kind": "ScaledObject", "plural": "scaledobjects"},
            "versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    definitions = BUILT_IN["apiextensions.k8s.io", "CustomResourceDefinition"]
    cluster.request("POST", definitions.path(), body=definition)
    body = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "theirs"}}
    path = "/apis/keda.sh/v1alpha1/namespaces/default/scaledobjects"
    for _try in range(100):  # until the API server serves the kind
        try:
            cluster.request("POST", path, body=body)
            break
        except RequestError:
            time.sleep(0.1)
    yield
    cluster.request("DELETE", definitions.path("", "scaledobjects.keda.sh"))
    while cluster.get(definitions, "", "scaledobjects.keda.sh"):
        time.sleep(0.1)


@pytest.mark.usefixtures("scaled_object")
def test_a_second_keda_is_refused_before_a_change(tmp_path: Path, kubeconfig: Path, cluster: Cluster) -> None:
    before = versions(cluster)
    run = play("hep.sonic.site", inventory_of(tmp_path, kubeconfig, {"keda_mode": "install"}, {}))
    assert "the cluster has a KEDA already" in run.tasks[-1].result["msg"], run.output
    assert versions(cluster) == before


@pytest.mark.usefixtures("scaled_object")
def test_a_keda_in_use_is_not_removed_and_nothing_else_is_changed(
    tmp_path: Path, kubeconfig: Path, cluster: Cluster
) -> None:
    cluster.request("POST", NAMESPACES.path(), body={"metadata": {"name": "records"}})
    cluster.request("POST", BUILT_IN["", "Secret"].path("records"), body={"metadata": {"name": "sonic-release-keda"}})
    before = versions(cluster)
    clusters = {"keda_mode": "none", "sonic_system_namespace": "records"}
    run = play("hep.sonic.site", inventory_of(tmp_path, kubeconfig, clusters, {}))
    assert "it scales default/theirs" in run.tasks[-1].result["msg"], run.output
    assert "hep.sonic.service" in run.tasks[-1].result["msg"]
    assert versions(cluster) == before


def test_what_one_cluster_cannot_take_keeps_the_others_as_they_are(
    tmp_path: Path, kubeconfig: Path, cluster: Cluster
) -> None:
    before = versions(cluster)
    run = play("hep.sonic.site", inventory_of(tmp_path, kubeconfig, {}, {}, {"anvil": {"keda_mode": "existing"}}))
    assert run.status != 0
    assert any("keda_mode is existing" in task.result.get("msg", "") for task in run.tasks)
    assert versions(cluster) == before
    assert not run.applied()


def test_nothing_is_deployed_where_the_cluster_could_not_be_prepared(
    tmp_path: Path, kubeconfig: Path, cluster: Cluster
) -> None:
    cluster.request("POST", NAMESPACES.path(), body={"metadata": {"name": "somebodys"}})
    others: dict[str, Any] = {"anvil": {"preflight_namespaces": []}}
    run = play("hep.sonic.site", inventory_of(tmp_path, kubeconfig, {}, {"sonic_namespace": "somebodys"}, others))
    assert run.status != 0
    assert "The cluster geddes could not be prepared" in run.tasks[-1].result["msg"], run.output
    assert {task.host for task in run.applied()} <= {"geddes", "anvil"}
