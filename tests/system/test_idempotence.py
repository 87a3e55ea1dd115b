# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A second run of the site finds nothing to do, and is quick to find it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.instance import QUICK, Instance

pytestmark = pytest.mark.timeout(600)

#: `make bench` measures it; this is what a busy machine is allowed.
SECONDS = 10.0


@pytest.fixture
def instance() -> Iterator[Instance]:
    """An instance that is there already."""
    instance = Instance("idempotence", 30804)
    instance.must("hep.sonic.site", **QUICK)
    yield instance
    instance.remove()


def test_a_second_run_changes_nothing_and_is_quick(instance: Instance) -> None:
    run = instance.must("hep.sonic.site", **QUICK)
    assert not [f"{task.host} {task.name}" for task in run.tasks if task.changed]
    assert run.applied()
    assert run.seconds < SECONDS
