# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All dashboards."""

from __future__ import annotations

from typing import Final

from tests.tools.dashboards.autoscaler import AUTOSCALER
from tests.tools.dashboards.gpus import GPUS
from tests.tools.dashboards.model import Board
from tests.tools.dashboards.models import MODELS
from tests.tools.dashboards.overview import OVERVIEW
from tests.tools.dashboards.proxy import PROXY

BOARDS: Final[tuple[Board, ...]] = (OVERVIEW, MODELS, GPUS, AUTOSCALER, PROXY)
