# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many servers there should be; several dashboards show it."""

from __future__ import annotations

from typing import Final

from tests.tools.dashboards.model import Need, Query
from tests.tools.dashboards.promql import DEPLOYMENTS, INSTANCE

#: By the demand and the pools' targets, and by what was made of that.
WANTED: Final = (
    Query(f"sonic:servers_needed:sum{{{INSTANCE}}}", "needed for the demand", Need.RULES),
    Query(f"sum(kube_deployment_spec_replicas{{{DEPLOYMENTS}}})", "wanted", Need.KUBE_STATE_METRICS),
)
