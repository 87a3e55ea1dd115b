# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of whole commands share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.lab import Lab
from tests.lab.progress import Progress
from tests.system.instance import Instance


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The administrator's access to the lab."""
    return Lab("lab", Progress(None)).kubeconfig


@pytest.fixture(scope="module")
def own_instance(request: pytest.FixtureRequest) -> Iterator[Instance]:
    """The module's INSTANCE; nothing of it is left behind."""
    own: Instance = request.module.INSTANCE
    yield own
    own.remove(wait=False)


@pytest.fixture
def instance(own_instance: Instance) -> Instance:
    """The module's INSTANCE, which does not exist yet."""
    own_instance.remove()
    return own_instance
