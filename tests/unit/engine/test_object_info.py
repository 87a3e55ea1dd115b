# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``hep.sonic.object_info`` in a playbook: what it tells of a Secret."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from tests.system.playbook import run_playbook

#: What ``kubectl apply`` leaves in a Secret: its values once more.
LEFT = json.dumps({"data": {"password": "UzNjcmV0"}})


def test_a_secret_is_told_without_its_values(
    tmp_path: Path, kubeconfig: Path, cluster: Cluster, namespace: str
) -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": LEFT, "example.org/note": "kept"}
    body = {"metadata": {"name": "s", "annotations": annotations}, "data": {"password": "UzNjcmV0"}}
    cluster.request("POST", BUILT_IN["", "Secret"].path(namespace), body=body)
    task = {"hep.sonic.object_info": {"kind": "Secret", "namespace": namespace, "kubeconfig": str(kubeconfig)}}
    playbook, inventory = tmp_path / "play.yml", tmp_path / "hosts.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"localhost": {"ansible_connection": "local"}}}}))
    run = run_playbook(str(playbook), "-vvv", inventory=str(inventory), programs=Path(sys.executable).parent)
    (secret,) = run.tasks[-1].result["objects"]
    assert secret["metadata"]["annotations"] == {"example.org/note": "kept"}
    assert "UzNjcmV0" not in run.output
