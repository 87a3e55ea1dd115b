# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Prometheus of the site's own, outside of what is managed: the real one, asked before anything is changed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from tests.system.playbook import Run
from tests.unit.playbooks.inventory import CLUSTER, inventory_of, play
from tests.unit.playbooks.test_check import versions
from tests.unit.roles.test_drain import free_port
from tests.unit.site_prometheus import PASSWORD, TOKEN, USERNAME, Site, site_prometheus

DEPLOYMENTS = BUILT_IN["apps", "Deployment"]


@dataclass(frozen=True)
class Refused:
    """What differs from variables that fit the site, and what is said of it; `{port}` is one where nobody is."""

    changes: dict[str, Any]
    words: tuple[str, ...]
    options: tuple[str, ...] = ()


REFUSED = {
    "wrong password": Refused(
        {"monitoring_prometheus_password": "hunter-two"},
        ("does not let us in", "and monitoring_prometheus_password"),
        ("-vvv",),
    ),
    "wrong CA": Refused({"monitoring_prometheus_ca": "{other_ca}"}, ("was not signed by monitoring_prometheus_ca",)),
    "wrong path": Refused(
        {"monitoring_prometheus_url": "{url}/graph"}, ("monitoring_prometheus_url", "status 404"), ("--check",)
    ),
    "nobody there": Refused(
        {"monitoring_prometheus_url": "https://127.0.0.1:{port}"}, ("monitoring_prometheus_url", "cannot be reached")
    ),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a Prometheus."""
    with site_prometheus(tmp_path_factory.mktemp("site")) as running:
        yield running


def with_password(site: Site) -> dict[str, Any]:
    """Return the variables of a cluster of the site."""
    return {
        "preflight_adopt": True,  # other tests have left the instance's namespace
        "monitoring_mode": "external",
        "monitoring_prometheus_url": site.url,
        "monitoring_prometheus_ca": site.ca,
        "monitoring_prometheus_username": USERNAME,
        "monitoring_prometheus_password": PASSWORD,
    }


def grafana() -> dict[str, Any]:
    """Return the variables of a Grafana beside it."""
    destinations = [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
    return {"monitoring_grafana_mode": "bundled", "monitoring_grafana_allowed_destinations": destinations}


def assert_secret(run: Run, *secrets: str) -> None:
    """Fail where a run shows what lets somebody in, in any form."""
    shown = run.output + json.dumps([task.result for task in run.tasks], default=str)
    for secret in secrets:
        assert secret not in shown
        assert base64.b64encode(secret.encode()).decode() not in shown


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_answer_is_refused_before_a_change(
    tmp_path: Path, kubeconfig: Path, cluster: Cluster, site: Site, case: Refused
) -> None:
    values = {"other_ca": site.other_ca, "url": site.url, "port": free_port()}
    changes = {name: text.format(**values) for name, text in case.changes.items()}
    clusters = with_password(site) | changes
    before = versions(cluster)
    run = play("hep.sonic.site", inventory_of(tmp_path, kubeconfig, clusters, {}), *case.options)
    assert run.status != 0
    for words in case.words:
        assert words in run.tasks[-1].result["msg"]
    assert versions(cluster) == before
    assert not run.applied()
    assert_secret(run, PASSWORD, clusters["monitoring_prometheus_password"])


def test_a_token_and_what_grafana_is_told_of_it_are_shown_nowhere(tmp_path: Path, kubeconfig: Path, site: Site) -> None:
    clusters = {
        "preflight_adopt": True,
        "monitoring_mode": "external",
        "monitoring_prometheus_url": site.token_url,
        "monitoring_prometheus_ca": site.ca,
        "monitoring_prometheus_token": TOKEN,
        **grafana(),
    }
    run = play("hep.sonic.cluster", inventory_of(tmp_path, kubeconfig, clusters, {}), "--check", "--diff", "-vvv")
    assert run.status == 0, run.output
    applied = [entry for task in run.applied() for entry in task.result["objects"]]
    assert ("Secret", "grafana") in {(entry["kind"], entry["name"]) for entry in applied}
    assert "Bearer $__file{/etc/grafana/secrets/prometheus-token}" in run.output
    assert_secret(run, TOKEN)


def test_a_former_one_of_ours_goes(tmp_path: Path, kubeconfig: Path, cluster: Cluster, site: Site) -> None:
    bundled = {
        "preflight_adopt": True,
        "monitoring_mode": "bundled",
        "monitoring_wait_timeout": 1,
        "monitoring_prometheus_storage": "1Gi",
    }
    (tmp_path / "before").mkdir()
    run = play("hep.sonic.cluster", inventory_of(tmp_path / "before", kubeconfig, bundled, {}))
    assert run.status != 0  # nobody here runs its Pods
    assert cluster.get(DEPLOYMENTS, "monitoring", "prometheus"), run.output
    run = play("hep.sonic.cluster", inventory_of(tmp_path, kubeconfig, with_password(site), {}))
    assert run.status == 0, run.output
    assert cluster.get(DEPLOYMENTS, "monitoring", "prometheus") is None
    (removed,) = (task.result["objects"] for task in run.applied() if "Remove the Prometheus" in task.name)
    actions = {(entry["kind"], entry["name"]): entry["action"] for entry in removed}
    assert actions["Deployment", "prometheus"] == "deleted"
    assert actions["PersistentVolumeClaim", "prometheus"] == "kept"
    assert "(item=PersistentVolumeClaim prometheus)" in run.output
    assert {task.host for task in run.applied()} == {CLUSTER}
