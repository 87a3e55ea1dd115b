# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of a dashboard that a Prometheus cannot fill."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from tests.tools.dashboards.check import Checker
from tests.tools.dashboards.model import PER_SECOND, SHARE, Board, Need, Panel, Query, Row
from tests.tools.dashboards.prometheus import QueryError
from tests.tools.dashboards.queries import Answer, Chosen

QUERIES: Final = (
    Query("well", "a"),
    Query("none", "b"),
    Query("none", "c", seldom=True),
    Query("none", "d", Need.GPU),
    Query("wrong", "e"),
    Query("50", "f"),
    Query("50", "g", unit=PER_SECOND),
)
BOARD: Final = Board(
    "one",
    "One",
    "How is it?",
    (Row("Well?", (Panel("All", "What is asked.", SHARE, QUERIES), Panel("No", "What is not.", SHARE, QUERIES[1:2]))),),
)


@dataclass
class Recorded:
    """Answers that were written down, and what was asked."""

    asked: list[tuple[float, float, float]] = field(default_factory=list)

    def range(self, expr: str, start: float, end: float, step: float) -> Answer:
        self.asked.append((start, end, step))
        if expr == "wrong":
            raise QueryError("parse error")
        values: dict[str, list[dict[str, Any]]] = {
            "well": [{"metric": {}, "values": [[1, "0.5"]]}],
            "50": [{"metric": {}, "values": [[1, "50"]]}],
        }
        return values.get(expr, [])


def test_what_is_missing_refused_or_impossible_is_told() -> None:
    source = Recorded()
    checker = Checker(source, Chosen("n", "i", 2, 2), 10, 20, {Need.GPU})
    assert checker.problems(BOARD) == [
        "one, All, b: no data",
        "one, All, e: refused: parse error",
        "one, All, f: f is 50, which is not between 0 and 1",
        "one, No, b: no data",
    ]
    assert set(source.asked) == {(10, 20, 2)}


def test_panels_with_data_are_told() -> None:
    board = Board("one", "One", "How is it?", (Row("Well?", (BOARD.rows[0].panels[1],)),))
    assert Checker(Recorded(), Chosen("n", "i", 2, 2), 10, 20).shown(board) == []
    well = Panel("Well", "What is well.", SHARE, QUERIES[:1])
    assert Checker(Recorded(), Chosen("n", "i", 2, 2), 10, 20).shown(
        Board("two", "Two", "How is it?", (Row("Well?", (well,)),))
    ) == ["Well"]
