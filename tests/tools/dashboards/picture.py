# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draw a dashboard as a Prometheus has it: the same rows, panels and queries, without a Grafana.

    python -m tests.tools.dashboards.picture --prometheus http://127.0.0.1:9090 --namespace cms --instance cms

The picture is docs/images/dashboard-<name>.svg.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill, shorten
from typing import Final

import matplotlib as mpl

from tests.tools.common import ROOT, fail, say
from tests.tools.dashboards.boards import BOARDS
from tests.tools.dashboards.figures import cells_of, number, stack
from tests.tools.dashboards.grid import COLUMNS, layout
from tests.tools.dashboards.model import CHANGE, COUNT, YES_NO, Board, Panel, Shape
from tests.tools.dashboards.prometheus import Prometheus
from tests.tools.dashboards.queries import Chosen, Series, series_of

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

#: Of the grid.
COLUMN_INCHES, ROW_INCHES = 0.6, 0.32
#: Lines that a panel names; a picture has no pointer to ask for the others.
NAMED: Final = 8
#: Units in which there is nothing between two whole numbers.
WHOLE: Final = (COUNT, CHANGE, YES_NO)
#: Characters of a name.
LONGEST: Final = 50


@dataclass(frozen=True)
class Painter:
    """Draws panels.

    Args:
        prometheus: Where the data are.
        chosen: Of which instance.
        start: From when, in seconds since the epoch.
        end: Until when.
    """

    prometheus: Prometheus
    chosen: Chosen
    start: float
    end: float

    def draw(self, panel: Panel, axes: Axes) -> None:
        """Draw a panel."""
        axes.set_title(panel.title, loc="left", fontweight="bold")
        if panel.shape is Shape.TABLE:
            self._table(panel, axes)
        elif panel.shape is Shape.NUMBER:
            self._number(panel, axes)
        else:
            self._lines(panel, axes)

    def _series(self, panel: Panel) -> list[Series]:
        return [
            one
            for query in panel.queries
            for one in series_of(
                self.prometheus.range(self.chosen.fill(query.expr), self.start, self.end, self.chosen.step),
                query.legend,
            )
        ]

    def _lines(self, panel: Panel, axes: Axes) -> None:
        lines = self._series(panel)
        if not lines:
            _say(axes, panel.nothing)
            return
        if panel.shape is Shape.STACK:
            times, values = stack(lines)
            axes.stackplot(times, values, labels=[_short(line.name) for line in lines], alpha=0.7)
        else:
            for index, line in enumerate(lines):
                label = _short(line.name) if index < NAMED else None
                axes.plot(line.times, line.values, linewidth=0.9, label=label)
        if panel.unit.least is not None:
            # where all is 0, an axis of its own would make much of nothing
            axes.set_ylim(bottom=panel.unit.least, top=None if any(any(line.values) for line in lines) else 1)
        if panel.unit in WHOLE:
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: number(value, panel.unit)))
        axes.set_xlim(self.start, self.end)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda moment, _position: _clock(moment)))
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize=5.5, framealpha=0.6)

    def _number(self, panel: Panel, axes: Axes) -> None:
        lines = self._series(panel)
        if not lines:
            _say(axes, panel.nothing)
            return
        value = lines[0].values[-1]
        colour = [name for level, name in panel.levels if level is None or value >= level][-1]
        axes.fill_between(lines[0].times, lines[0].values, color=f"tab:{colour}", alpha=0.15)
        axes.set_ylim(bottom=min(0.0, *lines[0].values))
        axes.axis("off")
        axes.text(0.5, 0.5, number(value, panel.unit), transform=axes.transAxes, ha="center", va="center", fontsize=15)

    def _table(self, panel: Panel, axes: Axes) -> None:
        columns = [self.prometheus.instant(self.chosen.fill(query.expr), self.end) for query in panel.queries]
        axes.axis("off")
        rows = cells_of(panel, columns)
        if not rows:
            _say(axes, panel.nothing)
            return
        table = axes.table(rows, colLabels=["pod", *(query.legend for query in panel.queries)], loc="upper left")
        table.auto_set_column_width(list(range(len(panel.queries) + 1)))


def _clock(moment: float) -> str:
    return time.strftime("%H:%M", time.gmtime(moment))


def _short(name: str) -> str:
    return shorten(name, LONGEST, placeholder="…") or name[:LONGEST]


def _say(axes: Axes, text: str) -> None:
    axes.axis("off")
    axes.text(0.5, 0.5, fill(text, 32), transform=axes.transAxes, ha="center", va="center", color="0.5")


def draw(board: Board, painter: Painter, path: Path) -> None:
    """Draw a dashboard into a file."""
    cells, titles, height = layout(board)
    with plt.rc_context({"svg.fonttype": "none", "font.size": 7, "axes.titlesize": 8, "svg.hashsalt": "hep.sonic"}):
        figure = plt.figure(figsize=(COLUMNS * COLUMN_INCHES, height * ROW_INCHES))
        for title in titles:
            figure.text(0.01, 1 - (title.y + 0.75) / height, title.text, fontsize=10, fontweight="bold")
        for cell in cells:
            left, width = cell.x / COLUMNS, cell.panel.width / COLUMNS
            bottom = 1 - (cell.y + cell.panel.height) / height
            box = (left + 0.035, bottom + 0.9 / height, width - 0.045, (cell.panel.height - 2.1) / height)
            painter.draw(cell.panel, figure.add_axes(box))
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def main() -> None:
    """Draw a dashboard of a running instance."""
    parser = argparse.ArgumentParser(description="Draw a dashboard as a Prometheus has it.")
    parser.add_argument("--prometheus", required=True, metavar="URL")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--model", default="", help="for the dashboard of models")
    parser.add_argument("--board", default="overview", choices=[board.name for board in BOARDS])
    parser.add_argument("--minutes", type=int, default=30, help="until now (30)")
    parser.add_argument("--scrape-interval", type=int, default=15, help="seconds (15)")
    given = parser.parse_args()
    (board,) = (board for board in BOARDS if board.name == given.board)
    if "model" in board.variables and not given.model:
        fail("This dashboard shows one model.", "Name it: --model <name>.")
    end = time.time()
    # as many points as a graph of Grafana has pixels, and no more than there are readings
    step = max(given.scrape_interval, given.minutes * 60 // 240)
    chosen = Chosen(given.namespace, given.instance, given.scrape_interval, step, model=given.model)
    path = ROOT / "docs/images" / f"dashboard-{board.name}.svg"
    draw(board, Painter(Prometheus(given.prometheus), chosen, end - 60 * given.minutes, end), path)
    say(f"{path.relative_to(ROOT)} written")


if __name__ == "__main__":
    main()
