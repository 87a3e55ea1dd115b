# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers of a Prometheus as what a picture shows: texts and equal lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib.ticker import EngFormatter

from tests.tools.dashboards.model import Panel, Unit
from tests.tools.dashboards.queries import Answer, Series

#: How a picture writes Grafana's units.
SUFFIXES: Final = {
    "s": "s",
    "cps": "/s",
    "bytes": "B",
    "binBps": "B/s",
    "watt": "W",
    "joule": "J",
    "celsius": "°C",
}


def number(value: float, unit: Unit) -> str:
    """Return a value with its unit, in three digits."""
    if unit.grafana == "percentunit":
        return f"{100 * value:.4g} %"
    if unit.grafana == "bool_yes_no":
        return "yes" if value else "no"
    return EngFormatter(unit=SUFFIXES.get(unit.grafana, ""))(float(f"{value:.3g}")).strip()


def stack(lines: Sequence[Series]) -> tuple[tuple[float, ...], list[tuple[float, ...]]]:
    """Return the moments of all lines together, and each line's values at them; 0 where a line has none."""
    times = tuple(sorted({moment for line in lines for moment in line.times}))
    known = [dict(zip(line.times, line.values, strict=True)) for line in lines]
    return times, [tuple(values.get(moment, 0.0) for moment in times) for values in known]


def cells_of(panel: Panel, columns: Sequence[Answer]) -> list[list[str]]:
    """Return the lines of a table, a Pod in each: its name, and the value of each query or nothing.

    Args:
        panel: The panel.
        columns: What each of its queries gave, as vectors.
    """
    found: dict[str, dict[int, float]] = {}
    for index, vector in enumerate(columns):
        for sample in vector:
            found.setdefault(sample["metric"].get("pod", ""), {})[index] = float(sample["value"][1])
    units = [panel.unit_of(query) for query in panel.queries]
    return [
        [pod, *(number(values[index], unit) if index in values else "" for index, unit in enumerate(units))]
        for pod, values in sorted(found.items())
    ]
