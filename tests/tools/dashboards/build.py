# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Grafana's JSON of a dashboard, by Grafana's own library."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tests.tools.common import ROOT
from tests.tools.dashboards.model import Board, Panel, Query, Shape
from tests.tools.dashboards.variables import CHOICES, DATASOURCE, SHARED, Choice

Shaped = TypeVar("Shaped", timeseries.Panel, stat.Panel, table.Panel)

FOLDER: Final = ROOT / "roles/monitoring/files/dashboards"
#: All our dashboards have it, and link to each other by it.
TAG: Final = "hep-sonic"
SOURCE: Final = common.DataSourceRef(type_val="prometheus", uid=f"${{{DATASOURCE}}}")
#: Names of a panel's queries: A, B, ...
FIRST: Final = ord("A")


def path_of(board: Board) -> Path:
    """Return where the JSON of a dashboard is kept."""
    return FOLDER / f"{board.name}.json"


def text_of(board: Board) -> str:
    """Return the JSON of a dashboard, the same for the same dashboard."""
    content = json.loads(JSONEncoder().encode(_dashboard(board).build()))
    for link in content["links"]:
        del link["placement"]  # the library knows one only, which is a menu where nobody looks
    return json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def _dashboard(board: Board) -> builders.Dashboard:
    made = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(f"{board.description} docs/dashboards.md of hep.sonic says how to read it.")
        .tags([TAG])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(_siblings())
        .with_variable(builders.DatasourceVariable(DATASOURCE).label("Data source").type("prometheus"))
    )
    for name in (*SHARED, *board.variables):
        made.with_variable(_variable(CHOICES[name]))
    number = 0
    for row in board.rows:
        number += 1
        made.with_row(builders.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            made.with_panel(SHAPES[panel.shape](panel, number))
    return made


def _siblings() -> builders.DashboardLink:
    link = builders.DashboardLink("hep.sonic").type(dashboard.DashboardLinkType.DASHBOARDS)
    return link.tags([TAG]).include_vars(True).keep_time(True)


def _variable(choice: Choice) -> builders.QueryVariable:
    made = (
        builders.QueryVariable(choice.name)
        .label(choice.title)
        .datasource(SOURCE)
        .query(choice.query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(choice.several)
        .include_all(choice.several)
    )
    if choice.several:
        # without servers there is nothing to choose from, and all is still all
        made.all_value(".*").current(dashboard.VariableOption(selected=True, text=["All"], value=["$__all"]))
    return made


def _query(query: Query, number: int) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(chr(FIRST + number)).expr(query.expr).legend_format(query.legend)


def _framed(made: Shaped, panel: Panel, number: int) -> Shaped:
    """Return a panel of any shape with what all of them have."""
    return (
        made.id(number)
        .title(panel.title)
        .description(panel.description)
        .datasource(SOURCE)
        .height(panel.height)
        .span(panel.width)
        .unit(panel.unit.grafana)
        .no_value(panel.nothing)
    )


def _lines(panel: Panel, number: int) -> Builder[dashboard.Panel]:
    stacked = panel.shape is Shape.STACK
    legend = common_builders.VizLegendOptions().show_legend(True).display_mode(common.LegendDisplayMode.LIST)
    tooltip = (
        common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    made = (
        _framed(timeseries.Panel(), panel, number)
        .legend(legend.placement(common.LegendPlacement.BOTTOM))
        .tooltip(tooltip)
        .line_width(1)
        .fill_opacity(30 if stacked else 5)
        .show_points(common.VisibilityMode.NEVER)
        .targets([_query(query, index) for index, query in enumerate(panel.queries)])
    )
    if stacked:
        made.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if panel.unit.least is not None:
        made.min(panel.unit.least)
    if panel.unit.most == 1:
        made.max(1)
    return made


def _number(panel: Panel, number: int) -> Builder[dashboard.Panel]:
    steps = [dashboard.Threshold(value=value, color=colour) for value, colour in panel.levels]
    thresholds = builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)
    return (
        _framed(stat.Panel(), panel, number)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.AREA)
        .thresholds(thresholds)
        .targets([_query(query, index) for index, query in enumerate(panel.queries)])
    )


def _table(panel: Panel, number: int) -> Builder[dashboard.Panel]:
    """Return a table that has the newest values of all queries side by side, a line for each Pod."""
    columns = {f"Value #{chr(FIRST + index)}": query.legend for index, query in enumerate(panel.queries)}
    tidy = {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": columns}
    made = (
        _framed(table.Panel(), panel, number)
        .targets(
            [_query(query, index).instant().format(PromQueryFormat.TABLE) for index, query in enumerate(panel.queries)]
        )
        .with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(dashboard.DataTransformerConfig(id_val="organize", options=tidy))
    )
    for query in panel.queries:
        if query.unit:
            made.override_by_name(query.legend, [dashboard.DynamicConfigValue("unit", query.unit.grafana)])
    return made


SHAPES: Final[Mapping[Shape, Callable[[Panel, int], Builder[dashboard.Panel]]]] = {
    Shape.LINES: _lines,
    Shape.STACK: _lines,
    Shape.NUMBER: _number,
    Shape.TABLE: _table,
}
