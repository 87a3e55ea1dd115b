# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `--check --diff` says is what then happens, on every ansible-core of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.lab.network import ADDRESS
from tests.system.playbook import Run, run_playbook
from tests.tools.venv import cores

pytestmark = pytest.mark.timeout(600)

FIRST_PORT: Final = 30821
#: Servers end soon where no request takes long and the DNS keeps no names.
QUICK: Final = {"sonic_discovery_seconds": 2, "sonic_longest_request": 30}
#: A change of objects of both roles, of which some roll their Pods.
CHANGED: Final = {"envoy_access_log": "all", "triton_extra_labels": {"example.org/tier": "test"}}
#: A release and what happens to its objects.
Story = dict[str, list[Mapping[str, str]]]


@dataclass(frozen=True)
class Instance:
    """An instance of the lab's inventory under a name and on a port of its own, and the ansible-core that makes it."""

    name: str
    port: int
    programs: Path

    def run(self, playbook: str, *options: str, **variables: Any) -> Run:
        """Run a playbook for this instance and end the test where it fails."""
        own = {
            "sonic_instance": f"{{{{ '{self.name}' if 'instances' in group_names else inventory_hostname }}}}",
            "envoy_exposure": {"mode": "nodeport", "node_port": self.port, "allow_plaintext": True},
            "verify_endpoint": f"{ADDRESS}:{self.port}",
        }
        run = run_playbook(playbook, *options, variables={**own, **QUICK, **variables}, programs=self.programs)
        assert run.status == 0, run.output
        return run


@pytest.fixture(params=enumerate(cores().items()), ids=lambda param: f"core {param[1][0]}")
def instance(request: pytest.FixtureRequest) -> Iterator[Instance]:
    """An instance that does not exist yet, for each ansible-core, and is removed afterwards."""
    index, (series, programs) = request.param
    instance = Instance(f"check-{series.replace('.', '-')}", FIRST_PORT + index, programs)
    instance.run("molecule/shared/destroy.yml")
    yield instance
    instance.run("molecule/shared/destroy.yml")


def story(run: Run) -> Story:
    """Return what the run did, or would do, to each object."""
    return {f"{task.host} {task.name}": task.result["objects"] for task in run.applied()}


def differences(run: Run) -> dict[str, Any]:
    """Return the differences the run showed."""
    return {f"{task.host} {task.name}": task.result.get("diff") for task in run.applied()}


def changes(run: Run) -> set[str]:
    """Return what was done; `kept` are namespaces of other instances."""
    return {entry["action"] for objects in story(run).values() for entry in objects} - {"unchanged", "kept"}


def test_check_mode_tells_what_then_happens(instance: Instance) -> None:
    announced = instance.run("hep.sonic.site", "--check", "--diff")
    again = instance.run("hep.sonic.site", "--check", "--diff")
    assert story(again) == story(announced), "a run in check mode left something behind"

    done = instance.run("hep.sonic.site", "--diff")
    assert story(announced) == story(done)
    assert differences(announced) == differences(done)
    assert changes(done) == {"created"}
    assert changes(instance.run("hep.sonic.site", "--check")) == set()

    announced = instance.run("hep.sonic.site", "--check", "--diff", **CHANGED)
    done = instance.run("hep.sonic.site", "--diff", **CHANGED)
    assert story(announced) == story(done)
    assert differences(announced) == differences(done)
    assert changes(done) == {"configured"}
