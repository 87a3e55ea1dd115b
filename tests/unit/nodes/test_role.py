# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role ``gpu_node_labels`` as a playbook runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from tests.lab import pretended
from tests.unit.conftest import ROOT

NODES = BUILT_IN["", "Node"]
RULES = [{"name": "t4", "nodes": {"names": ["role-*"]}, "labels": {"nvidia.com/gpu.product": "Tesla-T4"}}]


@pytest.fixture
def node(cluster: Cluster) -> Iterator[str]:
    cluster.request("POST", NODES.path(), body=pretended.node("role-1"))
    yield "role-1"
    cluster.request("DELETE", NODES.path("", "role-1"))


def run(folder: Path, kubeconfig: Path, *options: str, **variables: Any) -> tuple[int, str]:
    """Run the role; return the status and the output."""
    play = {"hosts": "clusters", "connection": "local", "gather_facts": False, "roles": ["hep.sonic.gpu_node_labels"]}
    playbook, inventory = folder / "playbook.yml", folder / "hosts.yml"
    playbook.write_text(yaml.safe_dump([play]))
    inventory.write_text(yaml.safe_dump({"clusters": {"hosts": {"here": {}}}}))
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [str(program), str(playbook), "-i", str(inventory), "--extra-vars", json.dumps(variables), *options],
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
            "ANSIBLE_NOCOLOR": "true",
            "K8S_AUTH_KUBECONFIG": str(kubeconfig),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def product(cluster: Cluster, node: str) -> Any:
    found = cluster.get(NODES, "", node)
    assert found is not None
    return found["metadata"]["labels"].get("nvidia.com/gpu.product")


def test_check_mode_tells_what_then_happens_once(tmp_path: Path, kubeconfig: Path, cluster: Cluster, node: str) -> None:
    status, output = run(tmp_path, kubeconfig, "--check", "--diff", gpu_node_labels_rules=RULES)
    assert status == 0, output
    assert "nodes: 1 configured" in output
    assert "+  nvidia.com/gpu.product: Tesla-T4" in output
    assert product(cluster, node) is None
    for changes in ("changed=1", "changed=0"):
        status, output = run(tmp_path, kubeconfig, gpu_node_labels_rules=RULES)
        assert status == 0, output
        assert changes in output
        assert product(cluster, node) == "Tesla-T4"
    status, output = run(tmp_path, kubeconfig)  # an inventory that does not speak of labels
    assert status == 0, output
    assert product(cluster, node) == "Tesla-T4"
    status, output = run(tmp_path, kubeconfig, gpu_node_labels_mode="none")
    assert status == 0, output
    assert product(cluster, node) is None


def test_what_is_no_text_is_not_made_one(tmp_path: Path, kubeconfig: Path, node: str) -> None:
    taints = [{"key": "nvidia.com/gpu", "value": True}]
    status, output = run(tmp_path, kubeconfig, gpu_node_labels_rules=[{**RULES[0], "taints": taints}])
    assert status != 0, node
    assert "the value of the taint nvidia.com/gpu is true" in " ".join(output.split())


@pytest.mark.parametrize(("mode", "rules"), [("rules", []), ("none", RULES), ("unmanaged", RULES)])
def test_rules_and_the_mode_must_fit(tmp_path: Path, kubeconfig: Path, mode: str, rules: list[Any]) -> None:
    status, output = run(tmp_path, kubeconfig, gpu_node_labels_mode=mode, gpu_node_labels_rules=rules)
    assert status != 0
    assert f"gpu_node_labels_mode is {mode}" in output


def test_a_tenant_cannot_write_nodes(tmp_path: Path, kubeconfig: Path) -> None:
    status, output = run(tmp_path, kubeconfig, sonic_scope="namespace", gpu_node_labels_rules=RULES)
    assert status != 0
    assert "tenants cannot write nodes" in output
    status, output = run(tmp_path, kubeconfig, sonic_scope="namespace")
    assert status == 0, output
    assert "changed=0" in output
