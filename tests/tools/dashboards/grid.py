# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the panels of a dashboard are, as Grafana's own library places them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.tools.dashboards.model import Board, Panel

#: The columns of a dashboard.
COLUMNS: Final = 24


@dataclass(frozen=True)
class Cell:
    """Where a panel is drawn, in the dashboard's grid from its upper left corner."""

    panel: Panel
    x: int
    y: int


@dataclass(frozen=True)
class Title:
    """Where the title of a row is drawn."""

    text: str
    y: int


def layout(board: Board) -> tuple[list[Cell], list[Title], int]:
    """Return where panels and titles are, and how high it all is, in rows of the grid."""
    cells, titles, top = [], [], 0
    for row in board.rows:
        titles.append(Title(row.title, top))
        top += 1
        x, lowest = 0, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, top, lowest = 0, top + lowest, 0
            cells.append(Cell(panel, x, top))
            x, lowest = x + panel.width, max(lowest, panel.height)
        top += lowest
    return cells, titles, top
