# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The site's Prometheus Operator: a real API server with its real definitions. Nobody here reads the metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from tests.lab.programs import sources
from tests.unit.playbooks.inventory import INSTANCE, inventory_of, play

DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MODULE: Final = "github.com/prometheus-operator/prometheus-operator"
KINDS: Final = ("podmonitors", "prometheusrules")
VARIABLES: Final = {"monitoring_mode": "operator", "monitoring_operator_labels": {"release": "site"}}


def definition(kind: str) -> dict[str, Any]:
    """Return the definition of a kind as the operator's release has it."""
    folder = sources("prometheus_operator", MODULE) / "example/prometheus-operator-crd"
    found: dict[str, Any] = yaml.load(
        (folder / f"monitoring.coreos.com_{kind}.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
    )
    return found


@pytest.fixture
def operator(cluster: Cluster) -> Iterator[None]:
    """The definitions of a Prometheus Operator, as a site has them."""
    bodies = [definition(kind) for kind in KINDS]
    for body in bodies:
        cluster.request("POST", DEFINITIONS, body=body)
    end = time.monotonic() + 30
    while any(cluster.resource("monitoring.coreos.com/v1", body["spec"]["names"]["kind"]) is None for body in bodies):
        assert time.monotonic() < end
        time.sleep(0.2)
    yield
    for body in bodies:
        cluster.request("DELETE", f"{DEFINITIONS}/{body['metadata']['name']}")


def test_a_cluster_without_the_operator_is_refused_before_a_change(tmp_path: Path, kubeconfig: Path) -> None:
    run = play("hep.sonic.site", inventory_of(tmp_path, kubeconfig, VARIABLES, {}), "--check")
    assert run.status != 0
    assert not run.applied()
    assert "the cluster does not know PodMonitors and PrometheusRules" in run.output
    assert "set monitoring_mode of the cluster to bundled" in " ".join(run.output.split())


@pytest.mark.usefixtures("operator")
def test_the_api_server_takes_what_the_operator_is_told(tmp_path: Path, kubeconfig: Path, cluster: Cluster) -> None:
    namespaces = BUILT_IN["", "Namespace"]
    if cluster.get(namespaces, "", INSTANCE) is None:
        cluster.request("POST", namespaces.path(), body={"metadata": {"name": INSTANCE}})
    run = play("hep.sonic.service", inventory_of(tmp_path, kubeconfig, VARIABLES, {}), "--check", "--diff")
    assert run.status == 0, run.output
    objects = [entry for task in run.applied() for entry in task.result["objects"]]
    assert {
        (entry["kind"], entry["name"]) for entry in objects if entry["kind"] in {"PodMonitor", "PrometheusRule"}
    } == {("PodMonitor", f"{INSTANCE}-envoy"), ("PodMonitor", f"{INSTANCE}-triton"), ("PrometheusRule", INSTANCE)}
    (rules,) = (
        entry["after"]
        for task in run.applied()
        for entry in task.result["diff"]
        if entry["after_header"].startswith("PrometheusRule ")
    )
    assert "alert: SonicServerFailing" in rules
