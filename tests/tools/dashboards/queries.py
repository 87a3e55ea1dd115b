# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Queries as a Prometheus takes them, and its answers as series: values only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from tests.tools.dashboards.model import Unit

#: The ``result`` of what a Prometheus answers: a vector or a matrix.
Answer = Sequence[Mapping[str, Any]]

VARIABLE: Final = re.compile(r"\$(\w+)|\$\{(\w+)\}")
LABEL: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
#: Rounding, and counters that are read a moment apart.
TOLERANCE: Final = 0.01


@dataclass(frozen=True)
class Chosen:
    """What was chosen at the top of a dashboard.

    Args:
        namespace: The instance's namespace.
        instance: Its name.
        scrape_interval: Seconds between two readings of a metric, as the data source says.
        step: Seconds between two points of a graph.
        pool: A regular expression of pools.
        model: A model.
    """

    namespace: str
    instance: str
    scrape_interval: int
    step: int = 15
    pool: str = ".*"
    model: str = ""

    @property
    def variables(self) -> Mapping[str, str]:
        """The values of Grafana's variables, its own among them."""
        return {
            "namespace": self.namespace,
            "instance": self.instance,
            "pool": self.pool,
            "model": self.model,
            # as Grafana has it: four readings at least, so that two are in the window even where one fails
            "__rate_interval": f"{max(self.step + self.scrape_interval, 4 * self.scrape_interval)}s",
            "__interval": f"{self.step}s",
        }

    def fill(self, expr: str) -> str:
        """Return a query with the values of its variables.

        Raises:
            KeyError: There is no such variable.
        """
        variables = self.variables

        def value(match: re.Match[str]) -> str:
            name = match[1] or match[2]
            # $1 is label_replace's
            return match[0] if name.isdigit() else variables[name]

        return VARIABLE.sub(value, expr)


@dataclass(frozen=True)
class Series:
    """A line of a graph.

    Args:
        name: What the legend calls it.
        times: When, in seconds since the epoch.
        values: What was measured then; no NaN, no infinity.
    """

    name: str
    times: tuple[float, ...]
    values: tuple[float, ...]


def name_of(legend: str, labels: Mapping[str, str]) -> str:
    """Return a legend with the values of its labels; what a series lacks is left out."""
    return " ".join(LABEL.sub(lambda match: labels.get(match[1], ""), legend).split())


def series_of(result: Answer, legend: str) -> list[Series]:
    """Return what a Prometheus answered, without what is no number; the greatest come first.

    Args:
        result: Its answer.
        legend: The legend of the query.
    """
    found = []
    for one in result:
        samples = one["values"] if "values" in one else [one["value"]]
        points = [(float(time), float(value)) for time, value in samples if isfinite(float(value))]
        if points:
            times, values = zip(*points, strict=True)
            found.append(Series(name_of(legend, one["metric"]), times, values))
    return sorted(found, key=lambda series: (-max(series.values), series.name))


def outside(series: Iterable[Series], unit: Unit) -> list[str]:
    """Return what cannot be in a unit, in words."""
    least = float("-inf") if unit.least is None else unit.least
    most = float("inf") if unit.most is None else unit.most
    return [
        f"{one.name} is {value:g}, which is not between {least:g} and {most:g}"
        for one in series
        for value in sorted({min(one.values), max(one.values)})
        if not least - TOLERANCE <= value <= most + TOLERANCE
    ]
