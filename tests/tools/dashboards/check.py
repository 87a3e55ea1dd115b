# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a Prometheus can fill a dashboard: each query is taken, has data, and its values can be in its unit."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

from tests.tools.dashboards.model import Board, Need, Panel, Query
from tests.tools.dashboards.prometheus import QueryError
from tests.tools.dashboards.queries import Answer, Chosen, outside, series_of


class Source(Protocol):
    """What answers queries, such as a `Prometheus`."""

    def range(self, expr: str, start: float, end: float, step: float) -> Answer: ...


@dataclass(frozen=True)
class Checker:
    """Asks for a dashboard's data over some time.

    Args:
        source: Who is asked.
        chosen: For which instance.
        start: From when, in seconds since the epoch.
        end: Until when.
        lacking: Where no data come from in this place, so that none are missed.
    """

    source: Source
    chosen: Chosen
    start: float
    end: float
    lacking: Collection[Need] = ()

    def problems(self, board: Board) -> list[str]:
        """Return what is wrong, in words."""
        return [
            f"{board.name}, {panel.title}, {query.legend}: {problem}"
            for panel in board.panels
            for query in panel.queries
            for problem in self._problems_of(panel, query)
        ]

    def shown(self, board: Board) -> list[str]:
        """Return which panels have data."""
        return [panel.title for panel in board.panels if any(self._answer(query) for query in panel.queries)]

    def _problems_of(self, panel: Panel, query: Query) -> Iterator[str]:
        try:
            series = series_of(self._answer(query), query.legend)
        except QueryError as error:
            yield f"refused: {error}"
            return
        if not series and not query.seldom and query.need not in self.lacking:
            yield "no data"
        yield from outside(series, panel.unit_of(query))

    def _answer(self, query: Query) -> Answer:
        return self.source.range(self.chosen.fill(query.expr), self.start, self.end, self.chosen.step)
