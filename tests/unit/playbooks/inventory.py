# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An inventory of one cluster and one instance, and the collection's playbooks on it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.system.playbook import Run, run_playbook

#: Of the environment that runs these tests, and so of its ansible-core.
PROGRAMS: Final = Path(sys.executable).parent
CLUSTER: Final = "geddes"
INSTANCE: Final = "sonic-cms"


def inventory_of(
    folder: Path,
    kubeconfig: Path,
    clusters: Mapping[str, Any],
    instances: Mapping[str, Any],
    others: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write the inventory of a cluster and an instance on it; return its folder.

    Args:
        folder: Where to write it.
        kubeconfig: The access to the cluster.
        clusters: Variables of the cluster.
        instances: Variables of the instance.
        others: More clusters, by name, each with its variables; the same API server answers for them.
    """
    values: dict[str, dict[str, Any]] = {
        "clusters": {"sonic_kubeconfig": str(kubeconfig), **clusters},
        "instances": {"triton_model_sources": [{"name": "own", "type": "pvc", "claim": "models"}], **instances},
    }
    values["instances"]["sonic_cluster"] = CLUSTER
    inventory = folder / "inventory"
    (inventory / "group_vars").mkdir(parents=True)
    hosts: dict[str, Any] = {
        "clusters": {"hosts": {CLUSTER: {}, **(others or {})}},
        "instances": {"hosts": {INSTANCE: {}}},
    }
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))
    for group, variables in values.items():
        (inventory / f"group_vars/{group}.yml").write_text(yaml.safe_dump(variables))
    return inventory


def play(playbook: str, inventory: Path, *options: str) -> Run:
    """Run a playbook on it, whatever comes of it."""
    return run_playbook(playbook, *options, inventory=str(inventory), programs=PROGRAMS)
