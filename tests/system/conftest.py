# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of whole commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.lab import Lab
from tests.lab.progress import Progress


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The administrator's access to the lab."""
    return Lab("lab", Progress(None)).kubeconfig
