# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a dashboard consists of: rows of panels, each with its queries, their unit, and where the data come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Need(StrEnum):
    """Where the data of a query come from."""

    ENVOY = "envoy"
    TRITON = "triton"
    #: KEDA's operator, read with ``honor_labels``: its ``namespace`` is that of the ScaledObject.
    KEDA = "keda"
    KUBE_STATE_METRICS = "kube_state_metrics"
    DCGM = "dcgm"
    #: Triton with GPUs.
    GPU = "gpu"
    #: Recording rules of the instance.
    RULES = "rules"


#: What a panel says where there is nothing to show because nothing happened.
QUIET: Final = "It did not happen in this time"
#: What it says instead of "No data" otherwise.
NOTHING: Final[dict[Need, str]] = {
    Need.ENVOY: "Nothing was asked of this instance, or its Envoys are not read",
    Need.TRITON: "No server was read: there is none, or nobody asked it",
    Need.KEDA: "KEDA is not read here, or does not scale this instance",
    Need.KUBE_STATE_METRICS: "kube-state-metrics is not read here",
    Need.DCGM: "No dcgm-exporter measures the GPUs of this instance",
    Need.GPU: "These servers compute on CPUs: they report no GPU",
    Need.RULES: "This instance has no objectives, or nobody asked it",
}


@dataclass(frozen=True)
class Unit:
    """A unit, and what its values can be.

    Args:
        grafana: Grafana's name of it.
        least: The least value; None where there is none.
        most: The greatest value; None where there is none.
    """

    grafana: str
    least: float | None = 0.0
    most: float | None = None


COUNT: Final = Unit("short")
CHANGE: Final = Unit("short", least=None)
PER_SECOND: Final = Unit("cps")
SECONDS: Final = Unit("s")
SHARE: Final = Unit("percentunit", most=1.0)
#: What is left of a budget: less than nothing when it is overdrawn.
REST: Final = Unit("percentunit", least=None, most=1.0)
BYTES: Final = Unit("bytes")
BYTES_PER_SECOND: Final = Unit("binBps")
WATTS: Final = Unit("watt")
JOULES: Final = Unit("joule")
CELSIUS: Final = Unit("celsius", most=150.0)
#: 1 or 0.
YES_NO: Final = Unit("bool_yes_no", most=1.0)


class Shape(StrEnum):
    """How a panel shows its data."""

    LINES = "lines"
    #: Lines on top of each other: their sum means something.
    STACK = "stack"
    #: The newest value, large.
    NUMBER = "number"
    #: The newest values, a line for each Pod and a column for each query.
    TABLE = "table"


@dataclass(frozen=True)
class Query:
    """A query of a panel.

    Args:
        expr: PromQL, with Grafana's variables.
        legend: What its series are called, with labels in double braces.
        need: Where its data come from.
        seldom: Whether there is nothing to show until something happened that need not happen.
        unit: Its unit, where that is not the panel's, as in the columns of a table.
    """

    expr: str
    legend: str
    need: Need = Need.ENVOY
    seldom: bool = False
    unit: Unit | None = None


@dataclass(frozen=True)
class Panel:
    """A panel.

    Args:
        title: Its title, unique in its dashboard.
        description: How to read it and what to do, in a sentence.
        unit: The unit of its values.
        queries: What it shows.
        shape: How it shows that.
        width: Of the 24 columns of a dashboard.
        levels: The value from which on it has a colour, for numbers; ascending, the first colour holds below.
    """

    title: str
    description: str
    unit: Unit
    queries: tuple[Query, ...]
    shape: Shape = Shape.LINES
    width: int = 8
    levels: tuple[tuple[float | None, str], ...] = ((None, "blue"),)

    @property
    def needs(self) -> frozenset[Need]:
        """Where its data come from."""
        return frozenset(query.need for query in self.queries)

    @property
    def nothing(self) -> str:
        """What it says where it has nothing to show."""
        expected = [query.need for query in self.queries if not query.seldom]
        return NOTHING[expected[0]] if expected else QUIET

    def unit_of(self, query: Query) -> Unit:
        """Return the unit of one of its queries."""
        return query.unit or self.unit

    @property
    def height(self) -> int:
        """In rows of Grafana's grid, of 30 pixels each."""
        return 4 if self.shape is Shape.NUMBER else 8


@dataclass(frozen=True)
class Row:
    """Panels that answer one question, which is the title."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """A dashboard.

    Args:
        name: The end of its uid, and of its file's name.
        title: Its title.
        description: The question that it answers, in a sentence.
        rows: What it shows.
        variables: What can be chosen besides the instance: names of `variables.CHOICES`.
    """

    name: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[str, ...] = ()

    @property
    def uid(self) -> str:
        return f"hep-sonic-{self.name}"

    @property
    def panels(self) -> Iterator[Panel]:
        """All panels, from the top."""
        return (panel for row in self.rows for panel in row.panels)
