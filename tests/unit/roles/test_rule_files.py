# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sidecar that brings the rules of instances to a Prometheus, with the rights that the role gives it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest
from tests.unit.gate import Gate
from tests.unit.roles.account import credentials
from tests.unit.roles.harness import ROLES, Role
from tests.unit.roles.test_drain import wait_for

PROGRAM = ROLES / "monitoring" / "files" / "rules.py"
CONFIG_MAPS = BUILT_IN["", "ConfigMap"]


def rules(name: str, text: str, label: str = "prometheus") -> Manifest:
    """Return a ConfigMap as the entry point ``instance`` makes it."""
    return {"metadata": {"name": f"{name}-rules", "labels": {"hep.sonic/rules": label}}, "data": {f"{name}.yml": text}}


def files(folder: Path) -> dict[str, str]:
    """Return what Prometheus would read."""
    return {path.name: path.read_text() for path in folder.glob("*.yml")}


def objects_of(namespace: str) -> list[Manifest]:
    """Return what the role applies for instances in a namespace, which is Prometheus' own, too."""
    given = {"monitoring_mode": "bundled", "monitoring_namespace": namespace}
    return Role("monitoring", {**given, "monitoring_instance_namespaces": [namespace]}).objects()


@pytest.fixture
def gate(cluster: Cluster, kubeconfig: Path, namespace: str, tmp_path: Path) -> Iterator[Gate]:
    """The way of a running sidecar to the API server; it has no right in the other namespace that it is told of."""
    credentials(cluster, kubeconfig, namespace, objects_of(namespace), tmp_path)
    way = Gate(cluster.server)
    options = [f"--folder={tmp_path}", f"--credentials={tmp_path}", "default", namespace]
    process = subprocess.Popen(
        [sys.executable, "-I", str(PROGRAM), *options],
        env=os.environ | {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(way.port)},
    )
    yield way
    process.terminate()
    process.wait()


def test_rules_come_change_and_go(gate: Gate, cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    del gate
    for body in (rules("cms", "one"), rules("atlas", "two"), rules("theirs", "three", label="mimir")):
        cluster.request("POST", CONFIG_MAPS.path(namespace), body=body)
    cms, atlas = (f"{namespace}_{name}-rules_{name}.yml" for name in ("cms", "atlas"))
    wait_for(lambda: files(tmp_path) == {cms: "one", atlas: "two"}, seconds=15)
    cluster.request("PUT", CONFIG_MAPS.path(namespace, "cms-rules"), body=rules("cms", "four"))
    cluster.request("DELETE", CONFIG_MAPS.path(namespace, "atlas-rules"))
    wait_for(lambda: files(tmp_path) == {cms: "four"}, seconds=15)
