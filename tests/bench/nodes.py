# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A large site: a thousand pretended nodes with GPUs, their labels, and a pool of five hundred servers on them."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Access, Cluster
from tests.bench.apply import control_plane
from tests.bench.process import Cost, measure
from tests.lab import pretended
from tests.tools.common import ROOT, step

NODES: Final = 1000
SERVERS: Final = 500
GPUS: Final = 4
INSTANCE: Final = "bench"
RULES: Final = [
    {
        "name": "t4",
        "nodes": {"resources": ["nvidia.com/gpu"]},
        "labels": {"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.count": str(GPUS)},
        "annotations": {"example.org/bought": "2024"},
        "taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}],
    }
]
TOLERATIONS: Final = [pretended.toleration(), {"key": "nvidia.com/gpu", "operator": "Exists"}]
#: What the example's instance is given besides: everything runs on pretended nodes.
VARIABLES: Final[Mapping[str, Any]] = {
    "sonic_pools": [
        {"name": "t4", "replicas": SERVERS, "gpu": {"product": "Tesla-T4"}, "tolerations": TOLERATIONS},
    ],
    "sonic_instance": INSTANCE,
    "triton_model_sources": [{"name": "own", "type": "nfs", "server": "nfs.example.org", "path": "/models"}],
    "triton_pod_security": "privileged",
    "envoy_tolerations": TOLERATIONS,
    "sonic_discovery_seconds": 1,
    "triton_rollout_step": "100%",
}


class Site:
    """The nodes and the playbooks of the bench.

    Args:
        kubeconfig: The API server.
        folder: Where to write plays.
    """

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self._folder = folder
        self._access = {"kubeconfig": str(kubeconfig)}
        self._environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        }

    def populate(self, cluster: Cluster) -> None:
        """Make the nodes and the namespace."""
        resources = {"nvidia.com/gpu": str(GPUS)}
        bodies = [pretended.node(f"gpu-{number:04}", resources=resources) for number in range(NODES)]
        path = BUILT_IN["", "Node"].path()
        cluster.map(lambda body: cluster.request("POST", path, body=body), bodies)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": INSTANCE}}
        cluster.request("POST", BUILT_IN["", "Namespace"].path(), body=namespace)

    def label(self) -> Cost:
        """Label the nodes."""
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
            "tasks": [{"hep.sonic.label_nodes": {"rules": RULES, **self._access}}],
        }
        path = self._folder / "label.json"
        path.write_text(json.dumps([play]), encoding="utf-8")
        return self._run(str(path))

    def deploy(self) -> Cost:
        """Deploy the instance."""
        variables = json.dumps(
            {
                **VARIABLES,
                "sonic_kubeconfig": self._access["kubeconfig"],
                "sonic_context": "",
                "sonic_namespace": INSTANCE,
            }
        )
        return self._run("hep.sonic.service", "-i", "inventories/example", "-e", variables)

    def _run(self, *arguments: str) -> Cost:
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        return measure([program, *arguments], self._environment)


def figures(cost: Cost) -> dict[str, float]:
    """Return a cost as it is kept."""
    return {"wall": round(cost.wall, 1), "cpu": round(cost.cpu, 1), "memory_mib": round(cost.memory_mib)}


def measure_nodes() -> dict[str, Any]:
    """Return what the labels and the servers cost at first, and when nothing is to be done."""
    with control_plane() as kubeconfig, tempfile.TemporaryDirectory() as folder:
        site = Site(kubeconfig, Path(folder))
        with Cluster(Access(kubeconfig=str(kubeconfig))) as cluster, step(f"{NODES} pretended nodes"):
            site.populate(cluster)
        return {
            "nodes": NODES,
            "servers": SERVERS,
            "label_new": figures(site.label()),
            "label_unchanged": figures(site.label()),
            "deploy_new": figures(site.deploy()),
            "deploy_unchanged": figures(site.deploy()),
        }
