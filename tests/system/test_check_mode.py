# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `--check --diff` says is what then happens, on the newest ansible-core; all other commands run on the oldest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from tests.system.instance import QUICK, Instance
from tests.system.playbook import Run
from tests.tools.venv import cores

pytestmark = pytest.mark.timeout(600)

PORT: Final = 30821
#: A change of objects of both roles, of which some roll their Pods.
CHANGED: Final = {"envoy_access_log": "all", "triton_extra_labels": {"example.org/tier": "test"}}
#: A release and what happens to its objects.
Story = dict[str, list[Mapping[str, str]]]


@pytest.fixture
def instance() -> Iterator[Instance]:
    """An instance that does not exist yet, and is removed afterwards."""
    instance = Instance("check", PORT, list(cores().values())[-1])
    instance.remove()
    yield instance
    instance.remove(wait=False)


def story(run: Run) -> Story:
    """Return what the run did, or would do, to each object; `kept` are namespaces of other tests, which come and go."""
    return {
        f"{task.host} {task.name}": [entry for entry in task.result["objects"] if entry["action"] != "kept"]
        for task in run.applied()
    }


def differences(run: Run) -> dict[str, Any]:
    """Return the differences the run showed."""
    return {f"{task.host} {task.name}": task.result.get("diff") for task in run.applied()}


def changes(run: Run) -> set[str]:
    """Return what was done."""
    return {entry["action"] for objects in story(run).values() for entry in objects} - {"unchanged"}


def test_check_mode_tells_what_then_happens(instance: Instance) -> None:
    announced = instance.must("hep.sonic.site", "--check", "--diff", **QUICK)
    again = instance.must("hep.sonic.site", "--check", "--diff", **QUICK)
    assert story(again) == story(announced), "a run in check mode left something behind"

    done = instance.must("hep.sonic.site", "--diff", **QUICK)
    assert story(announced) == story(done)
    assert differences(announced) == differences(done)
    assert changes(done) == {"created"}
    assert changes(instance.must("hep.sonic.site", "--check", **QUICK)) == set()

    announced = instance.must("hep.sonic.service", "--check", "--diff", **QUICK, **CHANGED)
    done = instance.must("hep.sonic.service", "--diff", **QUICK, **CHANGED)
    assert story(announced) == story(done)
    assert differences(announced) == differences(done)
    assert changes(done) == {"configured"}
