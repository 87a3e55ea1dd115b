# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be chosen at the top of a dashboard: Grafana's variables, each by the labels that there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.tools.dashboards.promql import INSTANCE, POOL

#: The variable that names the data source.
DATASOURCE: Final = "datasource"
#: Only an Envoy of this collection has it: other meshes have Envoys, too.
ENDPOINT: Final = "envoy_http_downstream_rq_active"
ENDPOINT_OF: Final = 'envoy_http_conn_manager_prefix="service"'


@dataclass(frozen=True)
class Choice:
    """A variable.

    Args:
        name: Its name.
        title: What the dashboard calls it.
        series: Whose label is offered.
        several: Whether one may choose several, or all.
    """

    name: str
    title: str
    series: str
    several: bool = False

    @property
    def query(self) -> str:
        """Return Grafana's query for the values."""
        return f"label_values({self.series}, {self.name})"


#: What every dashboard has.
SHARED: Final = ("namespace", "instance")
CHOICES: Final[dict[str, Choice]] = {
    choice.name: choice
    for choice in (
        Choice("namespace", "Namespace", f"{ENDPOINT}{{{ENDPOINT_OF}}}"),
        Choice("instance", "Instance", f'{ENDPOINT}{{{ENDPOINT_OF},namespace="$namespace"}}'),
        Choice("pool", "Pool", f'up{{job="triton",{INSTANCE}}}', several=True),
        Choice("model", "Model", f"nv_inference_request_success{{{POOL}}}"),
    )
}
