# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Envoy itself has every metric that dashboards ask of it, with the labels that they ask for."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import grpc

from tests.tools.dashboards.boards import BOARDS
from tests.tools.dashboards.model import Need
from tests.tools.dashboards.queries import Chosen
from tests.unit.dashboards.selectors import selectors, series
from tests.unit.roles.proxy import Proxy, envoy
from tests.unit.roles.test_drain import wait_for
from tests.unit.roles.test_running import client, held, serve_grpc

CHOSEN: Final = Chosen("physics", "cms", scrape_interval=15)
#: What Prometheus adds to each series.
ADDED: Final = frozenset({"namespace", "instance", "pool", "pod"})
DENIED: Final = "/inference.GRPCInferenceService/RepositoryModelLoad"


def metrics(proxy: Proxy) -> str:
    with urlopen(f"http://127.0.0.1:{proxy.admin}/stats/prometheus") as answer:
        text: str = answer.read().decode()
    return text


def ask_for_what_is_denied(proxy: Proxy) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
        call = channel.unary_unary(DENIED).future(b"", timeout=30)
        assert call.exception() is not None


def test_envoy_has_what_is_asked_of_it(tmp_path: Path) -> None:
    with envoy(tmp_path) as proxy, client(proxy) as infer, serve_grpc() as server:
        call = infer.future(b"held", timeout=30)
        wait_for(lambda: held(proxy) == 1)
        proxy.announce("triton_grpc", [server])
        assert call.result() == b"held"
        assert infer(b"now", timeout=30) == b"now"
        ask_for_what_is_denied(proxy)
        # histograms are merged for the page every five seconds
        wait_for(lambda: "envoy_http_downstream_rq_time_sum" in metrics(proxy), 15)
        there = list(series(metrics(proxy)))
    missing = {
        f"{board.name}, {panel.title}: {selector}"
        for board in BOARDS
        for panel in board.panels
        for query in panel.queries
        if query.need is Need.ENVOY and not query.seldom
        for selector in selectors(CHOSEN.fill(query.expr))
        if selector.metric.startswith("envoy_") and not is_a_failure(selector.metric)
        if not any(selector.selects(name, labels, ADDED) for name, labels in there)
    }
    assert missing == set()


def is_a_failure(metric: str) -> bool:
    """Return whether it counts inferences with one of gRPC's codes: there is none before the first."""
    return metric.rpartition("_")[2].isdigit()


def test_how_long_was_waited_is_told_with_the_answer(tmp_path: Path) -> None:
    with envoy(tmp_path) as proxy, client(proxy) as infer, serve_grpc() as server:
        call = infer.future(b"held", timeout=30)
        wait_for(lambda: held(proxy) == 1)
        time.sleep(1)
        proxy.announce("triton_grpc", [server])
        assert call.result() == b"held"
        wait_for(lambda: 'time_count{envoy_http_conn_manager_prefix="hold"} 1' in metrics(proxy), 15)
        page = metrics(proxy)
    listener, servers, all_of_it = (
        float(value)
        for metric in (
            'envoy_http_downstream_rq_time_sum{envoy_http_conn_manager_prefix="hold"}',
            'envoy_cluster_upstream_rq_time_sum{envoy_cluster_name="triton_grpc"}',
            'envoy_http_downstream_rq_time_sum{envoy_http_conn_manager_prefix="service"}',
        )
        for value in re.findall(rf"^{re.escape(metric)} (\S+)$", page, re.MULTILINE)
    )
    assert 900 < listener - servers < all_of_it


def test_what_waits_is_told_while_it_waits(tmp_path: Path) -> None:
    with envoy(tmp_path) as proxy, client(proxy) as infer:
        calls = [infer.future(b"", timeout=30) for _number in range(3)]
        wait_for(lambda: held(proxy) == len(calls))
        time.sleep(0.1)
        page = metrics(proxy)
        for call in calls:
            call.cancel()
    assert 'envoy_cluster_upstream_rq_active{envoy_cluster_name="waiting"} 3' in page
    assert 'envoy_http_downstream_rq_active{envoy_http_conn_manager_prefix="service"} 3' in page
