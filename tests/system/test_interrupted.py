# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that was cut off leaves nothing that the next run does not complete."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Access, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import drop_server_fields
from tests.system.instance import QUICK, Instance
from tests.system.playbook import LAB_INVENTORY
from tests.tools.common import ROOT
from tests.tools.processes import kill_tree

pytestmark = pytest.mark.timeout(600)

SITE: Final = "hep.sonic.site"
INSTANCE: Final = Instance("interrupted", 30806)
#: Where a run is killed: when it shows this.
MOMENTS: Final = (
    "TASK [hep.sonic.triton : Apply the Triton servers]",  # its requests are under way
    "interrupted-triton-gpu 0/2 ready",  # it waits for what it has written, and has not come to the Envoys
)
KINDS: Final = (
    ("", "ConfigMap"),
    ("", "Service"),
    ("", "PersistentVolumeClaim"),
    ("apps", "Deployment"),
    ("policy", "PodDisruptionBudget"),
)


@pytest.fixture(scope="module")
def undisturbed(kubeconfig: Path) -> dict[str, Any]:
    """The objects of the instance after a run that nothing disturbed."""
    INSTANCE.must(SITE, **QUICK)
    return objects(kubeconfig, INSTANCE)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_was_killed_is_completed_by_the_next(
    moment: str, undisturbed: Mapping[str, Any], instance: Instance, kubeconfig: Path
) -> None:
    kill_when_it_shows(moment, instance)
    instance.must("hep.sonic.service", **QUICK)
    assert objects(kubeconfig, instance) == undisturbed
    if moment == MOMENTS[0]:  # the same state needs nothing more, however it came to be
        again = instance.must("hep.sonic.service", **QUICK)
        assert not [task.name for task in again.tasks if task.changed]


def kill_when_it_shows(line: str, instance: Instance) -> None:
    """Run the site and kill it, with all its processes, when its output has this: nobody gives up its Lease."""
    variables = json.dumps({**instance.variables, **QUICK})
    command = [str(instance.programs / "ansible-playbook"), SITE, "-i", LAB_INVENTORY, "-e", variables]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert any(line in shown for shown in process.stdout), f"never seen: {line}"
        kill_tree(process.pid)


def objects(kubeconfig: Path, instance: Instance) -> dict[str, Any]:
    """Return the instance's objects, without what differs each time they are created."""
    found = {}
    with Cluster(Access(kubeconfig=str(kubeconfig))) as cluster:
        for key in KINDS:
            for obj in cluster.list(BUILT_IN[key], instance.name, labels=f"app.kubernetes.io/part-of={instance.name}"):
                kept = drop_server_fields(obj)
                kept["metadata"].get("annotations", {}).pop("deployment.kubernetes.io/revision", None)
                for field in ("clusterIP", "clusterIPs"):
                    kept.get("spec", {}).pop(field, None)
                found[f"{obj['kind']} {obj['metadata']['name']}"] = kept
    assert found
    return found
