# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers that follow the demand on a cluster without KEDA: Kubernetes' own autoscaler and prometheus-adapter."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import RequestError
from ansible_collections.hep.sonic.plugins.plugin_utils.release.readiness import is_true
from tests.faults.conftest import LAB
from tests.faults.site import CLUSTER, INSTANCE, POD, SERVICE, Site
from tests.faults.test_autoscaling import follow_a_step, scaled
from tests.faults.test_faults import POOL
from tests.lab import programs
from tests.lab.network import ADDRESS
from tests.lab.progress import Progress
from tests.tools.common import ROOT

#: Where the adapter runs, and where the API server looks for it.
PORT: Final = 30899
NAMESPACE: Final = "monitoring"
NAME: Final = "prometheus-adapter"
API: Final = "v1beta1.external.metrics.k8s.io"


def rules() -> str:
    """Return the adapter's configuration as the role's README has it."""
    text = (ROOT / "roles/autoscaler/README.md").read_text(encoding="utf-8")
    found = re.search(r"```yaml\n(externalRules:.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def registration() -> list[tuple[str, Mapping[str, Any]]]:
    """Return what leads the API server to the adapter: the path of each object's collection, and the object."""
    metadata = {"name": NAME, "namespace": NAMESPACE}
    slice_of = {"metadata": metadata | {"labels": {"kubernetes.io/service-name": NAME}}, "addressType": "IPv4"}
    endpoints = [{"addresses": [ADDRESS], "conditions": {"ready": True}}]
    group = {"group": "external.metrics.k8s.io", "groupPriorityMinimum": 100, "version": "v1beta1"}
    where = {"service": {"name": NAME, "namespace": NAMESPACE}, "versionPriority": 100, "insecureSkipTLSVerify": True}
    return [
        (SERVICE.path(NAMESPACE), {"metadata": metadata, "spec": {"ports": [{"name": "https", "port": 443}]}}),
        (
            f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices",
            slice_of | {"endpoints": endpoints, "ports": [{"name": "https", "port": PORT}]},
        ),
        ("/apis/apiregistration.k8s.io/v1/apiservices", {"metadata": {"name": API}, "spec": group | where}),
    ]


def is_available(cluster: Cluster) -> bool:
    """Return whether the API server gets its external metrics from somebody."""
    try:
        found = cluster.request("GET", f"/apis/apiregistration.k8s.io/v1/apiservices/{API}").body
    except RequestError:
        return False
    return is_true(found, "Available")


@contextmanager
def adapter(site: Site, folder: Path) -> Iterator[None]:
    """Run prometheus-adapter on this machine, for the lab's API server."""
    programs.ensure([NAME], Progress(None))
    (prometheus,) = site.cluster.list(POD, NAMESPACE, labels="app.kubernetes.io/name=prometheus")
    config = folder / "rules.yml"
    config.write_text(rules(), encoding="utf-8")
    kubeconfigs = [f"--{use}-kubeconfig={LAB}/kubeconfig" for use in ("lister", "authentication", "authorization")]
    command = [
        str(programs.path(NAME)),
        *kubeconfigs,
        f"--prometheus-url=http://{prometheus['status']['podIP']}:9090/",
        f"--config={config}",
        f"--bind-address={ADDRESS}",
        f"--secure-port={PORT}",
        f"--cert-dir={folder}",
        "--metrics-relist-interval=2s",
        "--metrics-max-age=1m",
    ]
    objects = registration()
    with (folder / "adapter.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            for path, body in objects:
                site.cluster.request("POST", path, body=body)
            site.wait(lambda: is_available(site.cluster), 60)
            yield
        finally:
            process.terminate()
            for path, body in reversed(objects):
                site.cluster.request("DELETE", f"{path}/{body['metadata']['name']}")


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_servers_follow_a_step_of_the_load_without_keda(site: Site, tmp_path: Path) -> None:
    site.deploy({"sonic_pools": [{**POOL, "replicas": 1}]})
    INSTANCE.must("hep.sonic.cluster", keda_mode="none", **CLUSTER)
    try:
        site.wait(lambda: not is_available(site.cluster), 60)
        with adapter(site, tmp_path):
            variables = scaled(1) | {"sonic_autoscaler": "hpa", "keda_mode": "none"}
            follow_a_step(site, tmp_path, variables, "HPA, by way of prometheus-adapter")
            site.deploy({"sonic_pools": [{**POOL, "replicas": 1}], "keda_mode": "none"})
    finally:
        INSTANCE.must("hep.sonic.cluster", **CLUSTER)
