# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for all dashboards: current, readable, valid, and of one instance only."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from tests.tools.common import ROOT
from tests.tools.dashboards.boards import BOARDS
from tests.tools.dashboards.build import TAG, path_of, text_of
from tests.tools.dashboards.grid import COLUMNS, layout
from tests.tools.dashboards.model import NOTHING, QUIET, SECONDS, SHARE, Board, Need, Panel, Query
from tests.tools.dashboards.queries import Chosen
from tests.tools.dashboards.variables import CHOICES, SHARED
from tests.unit.dashboards.selectors import Selector, selectors

CHOSEN: Final = Chosen("physics", "cms", scrape_interval=15, pool="gpu|cpu", model="tagger")
PLACE: Final = 'namespace="physics"'
#: What tells of GPUs and nodes, whosever they are: joined with what tells which are the instance's.
SHARED_THINGS: Final = re.compile(r"DCGM_\w+|kube_node_\w+")
QUERIES: Final = [
    pytest.param(board, panel, query, id=f"{board.name}, {panel.title}, {query.legend}")
    for board in BOARDS
    for panel in board.panels
    for query in panel.queries
]
#: What SuperSONIC's dashboard shows, and the metric that it comes from; two panels of ours come from other metrics: the
#: number of servers, which it takes from GPUs, and the time at the proxy, which has another prefix there.
SUPERSONIC: Final = (
    ("overview", "nv_inference_compute_infer_duration_us", SECONDS),
    ("overview", "nv_inference_queue_duration_us", SECONDS),
    ("overview", "nv_inference_compute_input_duration_us", SECONDS),
    ("overview", "nv_inference_compute_output_duration_us", SECONDS),
    ("overview", "envoy_http_downstream_rq_time_sum", SECONDS),
    ("overview", "nv_inference_count", None),
    ("overview", "up", None),
    ("gpus", "nv_gpu_utilization", SHARE),
    ("gpus", "nv_gpu_power_usage", None),
    ("gpus", "nv_gpu_power_limit", None),
    ("gpus", "nv_gpu_memory_used_bytes", None),
    ("gpus", "nv_gpu_memory_total_bytes", None),
)

every_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
every_query = pytest.mark.parametrize(("board", "panel", "query"), QUERIES)


def committed(board: Board) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path_of(board).read_text(encoding="utf-8"))
    return content


def drawn(board: Board) -> Iterator[dict[str, Any]]:
    """Yield the panels of the JSON that show data."""
    return (panel for panel in committed(board)["panels"] if panel["type"] != "row")


def role(name: str) -> Any:
    return yaml.safe_load((ROOT / "roles/monitoring" / name).read_text(encoding="utf-8"))


def test_the_role_has_them_all() -> None:
    names = [board.name for board in BOARDS]
    assert role("vars/main/grafana.yml")["__monitoring_grafana_boards"] == names
    volumes = role("manifests/grafana-deployment.yml")["spec"]["template"]["spec"]["volumes"]
    (sources,) = (volume["projected"]["sources"] for volume in volumes if "projected" in volume)
    assert [source["configMap"]["name"] for source in sources] == [f"hep-sonic-{name}" for name in names]


@every_board
def test_the_json_is_current(board: Board) -> None:
    assert path_of(board).read_text(encoding="utf-8") == text_of(board), "run: make docs"


def test_there_is_no_json_without_a_dashboard() -> None:
    folder = path_of(BOARDS[0]).parent
    assert {path.name for path in folder.iterdir()} == {path_of(board).name for board in BOARDS}


def test_names_are_unique() -> None:
    assert max(Counter(board.uid for board in BOARDS).values()) == 1
    assert max(Counter(board.title for board in BOARDS).values()) == 1


@every_board
def test_panels_have_titles_of_their_own_and_a_sentence_each(board: Board) -> None:
    assert max(Counter(panel.title for panel in board.panels).values()) == 1
    sentences = [board.description, *(panel.description for panel in board.panels)]
    assert [text for text in sentences if not re.fullmatch(r"[A-Z0-9].{20,}[.?]", text) or ". " in text] == []


@every_board
def test_it_is_set_up_as_it_must_be(board: Board) -> None:
    content = committed(board)
    assert content["uid"] == f"hep-sonic-{board.name}"
    assert content["tags"] == [TAG]
    assert content["refresh"]
    assert [link["type"] for link in content["links"]] == ["dashboards"]
    assert [variable["name"] for variable in content["templating"]["list"]] == ["datasource", *SHARED, *board.variables]
    # a data source of one's own choice, never of one name
    assert {variable["type"] for variable in content["templating"]["list"][:1]} == {"datasource"}
    sources = re.findall(r'"uid": "([^"]*)"', path_of(board).read_text(encoding="utf-8"))
    assert set(sources) == {"${datasource}", board.uid}


@every_board
def test_panels_fill_their_rows_and_are_where_the_picture_has_them(board: Board) -> None:
    cells, _titles, _height = layout(board)
    assert [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in drawn(board)] == [
        (cell.x, cell.y) for cell in cells
    ]
    assert all(cell.x + cell.panel.width <= COLUMNS for cell in cells)


@every_board
def test_a_panel_without_data_says_why(board: Board) -> None:
    texts = [panel["fieldConfig"]["defaults"]["noValue"] for panel in drawn(board)]
    assert set(texts) <= {*NOTHING.values(), QUIET}
    for panel, text in zip(board.panels, texts, strict=True):
        if panel.needs == {Need.GPU}:
            assert "CPU" in text


@every_query
def test_a_query_is_promql(board: Board, panel: Panel, query: Query) -> None:
    assert selectors(CHOSEN.fill(query.expr)), f"{board.name}, {panel.title}: {query.expr}"


@every_query
def test_a_query_sees_the_chosen_instance_only(board: Board, panel: Panel, query: Query) -> None:
    del panel
    expr = CHOSEN.fill(query.expr)
    for selector in selectors(expr):
        if SHARED_THINGS.fullmatch(selector.metric):
            (joined,) = re.findall(r" and on \(\w+\) (.+)", expr)
            assert all(is_ours(one) for one in selectors(joined))
        else:
            assert is_ours(selector), selector
    used = set(re.findall(r"\$([a-z]+)\b", query.expr))
    assert used <= {*SHARED, *board.variables}


def is_ours(selector: Selector) -> bool:
    """Return whether a selector selects what belongs to the instance, by its labels or by its name."""
    named = any(re.search(r'=~"(\(keda-hpa-\)\?)?cms-triton-', matcher) for matcher in selector.matchers)
    return PLACE in selector.matchers and (named or 'instance="cms"' in selector.matchers)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("cms-triton-gpu", True),
        ("cms-triton-a-b", True),
        ("keda-hpa-cms-triton-gpu", True),
        ("cms-triton-triton-gpu", False),  # of the instance cms-triton
        ("cms-triton-new-triton-gpu", False),  # of the instance cms-triton-new
        ("keda-hpa-cms-triton-triton-gpu", False),
        ("acms-triton-gpu", False),
    ],
)
def test_names_of_another_instance_are_not_ours(name: str, *, ours: bool) -> None:
    expr = "kube_horizontalpodautoscaler_spec_max_replicas"
    (query,) = (
        query.expr for board in BOARDS for panel in board.panels for query in panel.queries if expr in query.expr
    )
    (selector,) = selectors(CHOSEN.fill(query))
    labels = {"namespace": "physics", "horizontalpodautoscaler": name}
    assert selector.selects(expr, labels, frozenset()) is ours


@every_query
def test_a_window_follows_the_scrape_interval(board: Board, panel: Panel, query: Query) -> None:
    del board, panel
    windows = re.findall(r"\[(.*?)\]", query.expr) + re.findall(r"offset (\S+?)[\s)]", query.expr)
    assert set(windows) <= {"$__rate_interval"}


def test_choices_are_labels_of_what_belongs_to_the_collection() -> None:
    for choice in CHOICES.values():
        found = selectors(CHOSEN.fill(choice.series))
        assert found
        assert choice.name in SHARED or all(is_ours(selector) for selector in found)


@pytest.mark.parametrize(("name", "metric", "unit"), SUPERSONIC)
def test_what_supersonic_shows_is_there(name: str, metric: str, unit: object) -> None:
    (board,) = (board for board in BOARDS if board.name == name)
    units = {
        panel.unit
        for panel in board.panels
        for query in panel.queries
        if metric in {selector.metric for selector in selectors(CHOSEN.fill(query.expr))}
    }
    assert units
    assert unit is None or unit in units
