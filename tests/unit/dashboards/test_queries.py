# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Queries filled in, and what a Prometheus answers as lines, columns and texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.tools.dashboards.figures import cells_of, number, stack
from tests.tools.dashboards.grid import layout
from tests.tools.dashboards.model import (
    BYTES,
    COUNT,
    PER_SECOND,
    REST,
    SECONDS,
    SHARE,
    YES_NO,
    Board,
    Panel,
    Query,
    Row,
    Shape,
    Unit,
)
from tests.tools.dashboards.queries import Chosen, Series, name_of, outside, series_of

CHOSEN: Final = Chosen("physics", "cms", scrape_interval=15, step=15, pool="gpu|cpu", model="tagger")


@pytest.mark.parametrize(
    ("expr", "filled"),
    [
        ('up{namespace="$namespace",instance="$instance"}', 'up{namespace="physics",instance="cms"}'),
        ('up{pool=~"$pool",model="${model}"}', 'up{pool=~"gpu|cpu",model="tagger"}'),
        ("rate(a[$__rate_interval])", "rate(a[60s])"),
        ('label_replace(a, "x", "$1", "y", "(.+)")', 'label_replace(a, "x", "$1", "y", "(.+)")'),
    ],
)
def test_variables_are_filled_in(expr: str, filled: str) -> None:
    assert CHOSEN.fill(expr) == filled


@pytest.mark.parametrize(("scrape", "step", "window"), [(2, 2, "8s"), (15, 15, "60s"), (15, 120, "135s")])
def test_the_window_is_grafanas(scrape: int, step: int, window: str) -> None:
    assert Chosen("n", "i", scrape, step).fill("$__rate_interval") == window


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(KeyError, match="nobody"):
        CHOSEN.fill("up{a='$nobody'}")


@pytest.mark.parametrize(
    ("legend", "labels", "name"),
    [
        ("held", {}, "held"),
        ("{{pod}}", {"pod": "cms-triton-gpu-1"}, "cms-triton-gpu-1"),
        ("used {{ pod }} {{gpu_uuid}}", {"pod": "a"}, "used a"),
    ],
)
def test_a_legend_has_the_labels_of_its_series(legend: str, labels: Mapping[str, str], name: str) -> None:
    assert name_of(legend, labels) == name


def test_a_matrix_becomes_series_the_greatest_first() -> None:
    matrix = [
        {"metric": {"pod": "a"}, "values": [[10, "1"], [20, "NaN"], [30, "2"]]},
        {"metric": {"pod": "b"}, "values": [[10, "5"], [20, "+Inf"]]},
        {"metric": {"pod": "c"}, "values": [[10, "NaN"]]},
    ]
    assert series_of(matrix, "{{pod}}") == [Series("b", (10.0,), (5.0,)), Series("a", (10.0, 30.0), (1.0, 2.0))]


def test_a_vector_becomes_series_of_one_value() -> None:
    assert series_of([{"metric": {}, "value": [10, "0.5"]}], "all") == [Series("all", (10.0,), (0.5,))]


@pytest.mark.parametrize(
    ("unit", "values", "wrong"),
    [
        (SHARE, (0.0, 1.005), 0),
        (SHARE, (0.5, 50.0), 1),
        (SHARE, (50.0, 50.0), 1),
        (SECONDS, (-1.0, 3.0), 1),
        (REST, (-3.0, 1.0), 0),
        (COUNT, (0.0, 1e9), 0),
    ],
)
def test_values_outside_their_unit_are_told(unit: Unit, values: tuple[float, ...], wrong: int) -> None:
    assert len(outside([Series("x", tuple(range(len(values))), values)], unit)) == wrong


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.9987, SHARE, "99.87 %"),
        (0.0123, SECONDS, "12.3 ms"),
        (0.0, SECONDS, "0 s"),
        (1234.0, PER_SECOND, "1.23 k/s"),
        (8e9, BYTES, "8 GB"),
        (4.0, COUNT, "4"),
        (1.0, YES_NO, "yes"),
    ],
)
def test_values_are_written_with_their_unit(value: float, unit: Unit, text: str) -> None:
    assert number(value, unit) == text


def test_lines_on_top_of_each_other_have_the_same_moments() -> None:
    lines = [Series("a", (1.0, 2.0), (5.0, 6.0)), Series("b", (2.0, 3.0), (7.0, 8.0))]
    assert stack(lines) == ((1.0, 2.0, 3.0), [(5.0, 6.0, 0.0), (0.0, 7.0, 8.0)])


def table() -> Panel:
    queries = (Query("a", "answering"), Query("b", "time", unit=SECONDS))
    return Panel("Servers", "Each of them, with what it does now.", COUNT, queries, Shape.TABLE, 16)


def test_a_table_has_a_line_for_each_pod() -> None:
    columns: list[list[dict[str, Any]]] = [
        [{"metric": {"pod": "b"}, "value": [1, "1"]}, {"metric": {"pod": "a"}, "value": [1, "0"]}],
        [{"metric": {"pod": "b"}, "value": [1, "0.01"]}],
    ]
    assert cells_of(table(), columns) == [["a", "0", ""], ["b", "1", "10 ms"]]


def test_panels_go_to_the_next_line_where_one_is_full() -> None:
    number_panel = Panel("One", "A number of something that is counted.", COUNT, (), Shape.NUMBER, 12)
    rows = (Row("First?", (number_panel, number_panel, table())), Row("Second?", (table(),)))
    cells, titles, height = layout(Board("x", "X", "What is it?", rows))
    assert [(cell.x, cell.y) for cell in cells] == [(0, 1), (12, 1), (0, 5), (0, 14)]
    assert [title.y for title in titles] == [0, 13]
    assert height == 22
