# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rules read of Envoy, Envoy writes: with the role's configuration, after an inference and one that failed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from urllib.request import urlopen

import grpc
import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.objectives import BUCKETS_MS
from tests.tools.serving import serve
from tests.unit.roles.proxy import Proxy, Quiet, envoy
from tests.unit.roles.test_drain import get, wait_for
from tests.unit.roles.test_running import INFER, client, serve_grpc
from tests.unit.rules.test_rules import ALL, rules

#: Shown once such an answer was given, by method and status; one that has status 14 is given below.
BY_STATUS = re.compile(r"envoy_cluster_grpc_Model(Stream)?Infer_(\d+|success|failure|upstream_rq_time_\w+)")
#: What Envoy adds up for histograms by itself every five seconds.
FLUSH_SECONDS = 6


def text_of(proxy: Proxy) -> str:
    with urlopen(f"http://127.0.0.1:{proxy.admin}/stats/prometheus") as answer:
        return str(answer.read().decode())


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What Prometheus reads of an Envoy that has held a request, refused one and served both protocols."""
    folder = tmp_path_factory.mktemp("envoy")
    with (
        envoy(folder, {"envoy_hold_requests": 1}) as proxy,
        client(proxy) as infer,
        serve_grpc() as one,
        serve(Quiet) as other,
    ):
        held = infer.future(b"1", timeout=30)
        wait_for(lambda: proxy.stat("cluster.hold.upstream_rq_active") == 1)
        with pytest.raises(grpc.RpcError):
            infer(b"2", timeout=30)
        proxy.announce("triton_grpc", [one])
        proxy.announce("triton_http", [other])
        assert held.result() == b"1"
        wait_for(lambda: get(proxy.port, INFER) == 200)
        time.sleep(FLUSH_SECONDS)
        yield text_of(proxy)


def test_envoy_has_what_the_rules_read(exposed: str) -> None:
    written = set(re.findall(r"^(\w+)\{", exposed, re.MULTILINE))
    read = {name for rule in rules(objectives=ALL) for name in re.findall(r"\benvoy_\w+(?=\{)", rule["expr"])}
    assert {name for name in read if not BY_STATUS.fullmatch(name)} - written == set()
    assert {name for name in read if BY_STATUS.fullmatch(name)} & written == {
        f"envoy_cluster_grpc_ModelInfer_{what}"
        for what in ("14", "success", "failure", "upstream_rq_time_bucket", "upstream_rq_time_count")
    }


def test_envoy_has_the_labels_that_the_rules_select_by(exposed: str) -> None:
    names = {"envoy_cluster_name", "envoy_http_conn_manager_prefix"}
    selected = {
        (name, value)
        for rule in rules(objectives=ALL)
        for name, values in re.findall(r'(envoy_\w+)=~?"([^"]+)"', rule["expr"])
        for value in values.split("|")
        if name in names
    }
    assert selected <= set(re.findall(r'(envoy_\w+)="([^"]+)"', exposed))


def test_envoy_counts_by_the_bounds_of_objectives(exposed: str) -> None:
    bounds = re.findall(
        r'envoy_http_downstream_rq_time_bucket\{envoy_http_conn_manager_prefix="service",le="([\d.]+)"', exposed
    )
    assert tuple(float(bound) for bound in bounds) == BUCKETS_MS


def test_what_a_circuit_breaker_refuses_is_counted_once(exposed: str) -> None:
    overflows = re.findall(r'rq_(?:active|pending)_overflow\{envoy_cluster_name="hold"\} (\d+)', exposed)
    unavailable = re.findall(r"ModelInfer_14\{.*envoy_cluster_name=\"service_grpc\"\} (\d+)", exposed)
    assert (sorted(overflows), unavailable) == (["0", "1"], ["1"])
