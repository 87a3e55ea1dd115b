# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong on a site ends with its reason in one screen."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Access, Cluster
from tests.system.instance import QUICK, Instance
from tests.system.playbook import Run

pytestmark = pytest.mark.timeout(600)

#: Lines that a terminal shows at once.
SCREEN: Final = 50
#: Within so many seconds what can never start is reported, from when the API server knows it.
REPORTED_SECONDS: Final = 30
SITE: Final = "hep.sonic.site"
INSTANCE: Final = Instance("failures", 30803)


def seconds_since(kubeconfig: Path, reason: str, words: str) -> float:
    """Return how long the API server has known of an event, within a second."""
    with Cluster(Access(kubeconfig=str(kubeconfig))) as cluster:
        events = cluster.list(BUILT_IN["", "Event"], INSTANCE.name)
    times = [one["firstTimestamp"] for one in events if one["reason"] == reason and words in one["message"]]
    return (datetime.now(UTC) - datetime.fromisoformat(min(times))).total_seconds()


def reason(run: Run) -> str:
    """Return what a failed run shows of its reason: from the error to the end."""
    assert run.status != 0, run.output
    shown = run.output[run.output.index("[ERROR]") :]
    shown = shown.partition("\nfatal: ")[0]
    assert len(shown.splitlines()) <= SCREEN, shown
    assert "Traceback" not in run.output
    return shown


def test_a_wrong_image_name_is_named(instance: Instance, kubeconfig: Path) -> None:
    image = "10.200.0.1:5000/tritonn:26.07"
    run = instance.run(SITE, triton_image=image, **QUICK)
    shown = reason(run)
    assert image in shown
    assert "ImagePull" in shown or "cannot be pulled" in shown
    assert seconds_since(kubeconfig, "Failed", image) < REPORTED_SECONDS


def test_a_missing_model_is_named(instance: Instance, kubeconfig: Path) -> None:
    models = [{"name": "particlenet_AK8_PT"}]
    shown = reason(instance.run(SITE, sonic_models=models, triton_startup_seconds=20, **QUICK))
    assert "its startupProbe asks: GET /v2/models/particlenet_AK8_PT/ready" in shown
    assert seconds_since(kubeconfig, "Killing", "failed startup probe") < REPORTED_SECONDS


def test_a_typing_error_in_a_variable_is_named_before_anything_is_done(instance: Instance) -> None:
    run = instance.run(SITE, triton_imagee="x", envoy_replicass=3, **QUICK)
    shown = reason(run)
    assert "triton_imagee" in shown
    assert "did you mean triton_image?" in shown
    assert "envoy_replicass" in shown
    assert not run.applied()


def test_missing_rights_are_named(instance: Instance, kubeconfig: Path, tmp_path: Path) -> None:
    instance.must("hep.sonic.cluster", **QUICK)  # the namespace, with the account that may do nothing
    shown = reason(instance.run(SITE, sonic_kubeconfig=str(powerless(kubeconfig, instance.name, tmp_path)), **QUICK))
    assert f"system:serviceaccount:{instance.name}:default" in shown
    assert "cannot" in shown


def test_two_who_set_the_number_of_servers_are_refused(instance: Instance, kubeconfig: Path) -> None:
    instance.must("hep.sonic.cluster", **QUICK)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{instance.name}-triton-gpu"}
    body = {"metadata": {"name": "somebody"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}
    with Cluster(Access(kubeconfig=str(kubeconfig))) as cluster:
        scalers = cluster.resource("autoscaling/v2", "HorizontalPodAutoscaler")
        assert scalers is not None
        cluster.request("POST", scalers.path(instance.name), body=body)
        try:
            run = instance.run("hep.sonic.service", **QUICK)
        finally:
            cluster.request("DELETE", scalers.path(instance.name, "somebody"))
    assert "somebody in the namespace failures" in reason(run)
    assert {task.result["summary"] for task in run.applied()} <= {"nothing to do"}  # but for what is removed


def test_an_api_server_that_is_not_there_is_named(instance: Instance, kubeconfig: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"https://127.0.0.1:{server.getsockname()[1]}"
    config = yaml.safe_load(kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = address
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    run = instance.run(SITE, sonic_kubeconfig=str(path))
    shown = reason(run)
    assert address in shown
    assert "Connection refused" in shown
    assert run.seconds < 30


def powerless(kubeconfig: Path, namespace: str, folder: Path) -> Path:
    """Return the kubeconfig of a ServiceAccount that may do nothing."""
    with Cluster(Access(kubeconfig=str(kubeconfig))) as cluster:
        path = BUILT_IN["", "ServiceAccount"].path(namespace, "default") + "/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = cluster.request("POST", path, body=body).body["status"]["token"]
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    written = folder / "powerless"
    written.write_text(json.dumps(config))
    return written
