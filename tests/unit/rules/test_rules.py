# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of an instance's objectives and of the catalogue of alerts, as tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.objectives import BURNS, fill_objectives
from ansible_collections.hep.sonic.plugins.plugin_utils.pools import fill_pools
from ansible_collections.hep.sonic.plugins.plugin_utils.promql import LEAST_READINGS, Scope
from ansible_collections.hep.sonic.plugins.plugin_utils.rules import alerts_left_out, catalogue
from tests.tools.common import ROOT
from tests.unit.roles.harness import Role
from tests.unit.rules.promtool import OPTIONS, groups

AVAILABILITY = {"name": "answered", "kind": "availability", "target": 99.9}
LATENCY = {"name": "fast", "kind": "latency", "target": 99, "threshold_seconds": 1}
OF_A_MODEL = {"name": "fast-pn", "kind": "latency", "target": 99, "threshold_seconds": 0.3, "model": "pn"}
COLD_START = {"name": "woken", "kind": "cold_start", "target": 95, "threshold_seconds": 60}
ALL = [AVAILABILITY, LATENCY, OF_A_MODEL, COLD_START]
EVERY = "1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000"
BOUNDS = ", ".join(f"{float(bound) / 1000:g}" for bound in ["0.5", *EVERY.split(", ")])

#: What differs from the options of a healthy instance, for every kind of rule there is.
SITUATIONS: Mapping[str, Mapping[str, Any]] = {
    "all objectives": {"objectives": ALL},
    "often read": {"objectives": ALL, "scrape_interval": 1},
    "seldom read": {"objectives": ALL, "scrape_interval": 75},
    "a fixed number of servers": {"autoscaler": "none", "pools": [{"name": "gpu", "replicas": 3}]},
    "nobody's number of servers": {"autoscaler": "none", "pools": [{"name": "gpu"}]},
    "two pools": {"pools": [{"name": "t4", "min": 0, "max": 16}, {"name": "a100", "min": 0, "max": 4}]},
}
every_situation = pytest.mark.parametrize("options", SITUATIONS.values(), ids=SITUATIONS)


def rules(**options: Any) -> Iterator[dict[str, Any]]:
    for group in groups(**options):
        yield from group["rules"]


def alerts(**options: Any) -> set[str]:
    return {rule["alert"] for rule in rules(**options) if "alert" in rule}


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (
            [{**AVAILABILITY, "target": 100}],
            "[0].target is 100, which nobody keeps: every single fault would break it.",
        ),
        ([{**AVAILABILITY, "target": 999.0}], "[0].target is 999, which nobody keeps"),
        ([{**AVAILABILITY, "target": 0}], "[0].target is 0: it promises nothing. Write a percentage, such as 99.9."),
        ([{**AVAILABILITY, "target": -1}], "[0].target is -1: it promises nothing."),
        ([{**AVAILABILITY, "kind": "speed"}], "[0]: value of kind must be one of: availability, latency, cold_start"),
        ([{**AVAILABILITY, "name": "All of it"}], "[0].name is 'All of it', which no Kubernetes object can be called."),
        ([AVAILABILITY, LATENCY, AVAILABILITY], " has 2 objectives named 'answered'. Give each a name of its own."),
        ([{**AVAILABILITY, "window_days": 0}], "[0].window_days is 0. Write 1 to 90 days; 30 is usual."),
        ([{**AVAILABILITY, "window_days": 365}], "[0].window_days is 365."),
        ([{**AVAILABILITY, "least_bad": 0}], "[0].least_bad is 0: it must be at least 1."),
        (
            [{**AVAILABILITY, "threshold_seconds": 1}],
            "[0].threshold_seconds is set, which has no meaning for availability",
        ),
        ([{**AVAILABILITY, "model": "pn"}], "[0].model is set, but availability is not known for each model."),
        ([{**COLD_START, "model": "pn"}], "[0].model is set, but cold_start is not known for each model."),
        (
            [{**LATENCY, "threshold_seconds": None}],
            "[0].threshold_seconds is None. Say how many seconds a good latency takes at most.",
        ),
        ([{**OF_A_MODEL, "model": 'p"n'}], "[0].model is 'p\"n', which no model is called. Write its name."),
        ([{**OF_A_MODEL, "threshold_seconds": -0.1}], "[0].threshold_seconds is -0.1."),
        (
            [AVAILABILITY, {**LATENCY, "threshold_seconds": 2}],
            f"[1].threshold_seconds is 2, which Envoy does not count by. Write 1 or 2.5; it counts by {BOUNDS} s.",
        ),
        ([{**LATENCY, "threshold_seconds": 0.0001}], "which Envoy does not count by. Write 0.0005; it counts by"),
        ([{**LATENCY, "threshold_seconds": 9000}], "which Envoy does not count by. Write 3600; it counts by"),
        (
            [{**COLD_START, "threshold_seconds": 600}],
            "[0].threshold_seconds is 600, but a request waits for 300 s at most (envoy_hold_seconds)",
        ),
    ],
    ids=str,
)
def test_an_objective_that_cannot_be_kept_is_refused(objectives: list[Any], message: str) -> None:
    with pytest.raises(SonicError) as caught:
        fill_objectives(objectives, 300)
    assert message in " ".join(str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("target", "alarms"),
    [
        (99.9, [0.0144, 0.006, 0.001]),
        (99, [0.144, 0.06, 0.01]),
        (80, [0.9, 0.9, 0.2]),  # of a fifth that may be bad, three times as much is nearly all
        (5, [0.95, 0.95, 0.95]),
    ],
)
def test_the_pace_at_which_a_budget_is_used_up(target: float, alarms: list[float]) -> None:
    (objective,) = fill_objectives([{**AVAILABILITY, "target": target}], 300)
    assert [objective.alarm(burn) for burn in BURNS] == pytest.approx(alarms)


def test_where_little_goes_wrong_nobody_is_woken() -> None:
    found = {one.name: one.least_bad for one in fill_objectives([*ALL, {**LATENCY, "name": "x", "least_bad": 3}], 300)}
    assert found == {"answered": 10, "fast": 10, "fast-pn": 10, "woken": 1, "x": 3}


@pytest.mark.parametrize(
    ("seconds", "bounds"),
    [(0.0005, '"0[.]5"'), (0.25, '"250|250[.]0"'), (60, '"60000|60000[.]0"'), (1800, '"1800000|1[.]8e[+]06"')],
)
def test_a_bound_is_found_however_it_is_written(seconds: float, bounds: str) -> None:
    found = {
        rule["record"]: rule["expr"]
        for rule in rules(objectives=[{**LATENCY, "threshold_seconds": seconds}])
        if "record" in rule
    }
    assert f"le=~{bounds}" in found["sonic:objective_bad_requests:rate"]


@every_situation
def test_selectors_name_the_instance(options: Mapping[str, Any]) -> None:
    elsewhere = ("kube_node_status_", "vector", "keda_", "DCGM_", "kube_pod_info", "kubelet_")
    for rule in rules(**options):
        for metric, matchers in re.findall(r"([\w:]+)\{([^}]*)\}", rule["expr"]):
            if not metric.startswith("kube_node"):
                assert 'namespace="physics"' in matchers
            if not metric.startswith(elsewhere):
                assert 'instance="cms"' in matchers
        assert rule["labels"].items() >= {"namespace": "physics", "instance": "cms"}.items()


@every_situation
def test_every_window_holds_enough_readings(options: Mapping[str, Any]) -> None:
    interval = options.get("scrape_interval", 15)
    for rule in rules(**options):
        for window in re.findall(r"\[(\d+)s\]", rule["expr"]) + re.findall(r"^(\d+)s$", rule.get("for", "")):
            assert int(window) >= LEAST_READINGS * interval
    assert [group["interval"] for group in groups(**options) if not group["name"].endswith("objectives")] == 2 * [
        f"{interval}s"
    ]


@every_situation
def test_nothing_is_left_to_fill_in(options: Mapping[str, Any]) -> None:
    assert [rule for rule in rules(**options) if "${" in yaml.safe_dump(rule)] == []


@every_situation
def test_a_record_that_is_read_is_written(options: Mapping[str, Any]) -> None:
    written = {rule["record"] for rule in rules(**options) if "record" in rule}
    assert {name for rule in rules(**options) for name in re.findall(r"\bsonic:[\w:]+", rule["expr"])} <= written


@every_situation
def test_alerts_tell_whom_to_call_and_what_to_do(options: Mapping[str, Any]) -> None:
    for rule in rules(**options):
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert rule["annotations"]["runbook_url"] == f"https://example.org/runbooks/{rule['alert']}.md"
            assert rule["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        ({}, []),
        (
            {"sources": ["envoy", "triton"]},
            [
                "SonicAutoscalerSourceSilent (keda)",
                "SonicScaledObjectFallback (keda)",
                "SonicGpuUnhealthy (dcgm)",
                "SonicGpusFewer (kube_state_metrics)",
                "SonicVolumeNearlyFull (kubelet)",
            ],
        ),
        # what an instance has not need not be watched
        (
            {
                "sources": ["envoy", "triton", "dcgm"],
                "autoscaler": "none",
                "claims": [],
                "disabled": ["SonicGpusFewer"],
            },
            [],
        ),
        (
            {"sources": ["envoy", *OPTIONS["sources"][2:]], "autoscaler": "none", "objectives": ALL},
            [
                "SonicLatencyBudgetBurn (triton)",
                "SonicServerNotReady (triton)",
                "SonicServerFailing (triton)",
                "SonicModelRepositoryUnreadable (triton)",
                "SonicServerMetricsMissing (triton)",
            ],
        ),
    ],
)
def test_what_cannot_be_evaluated_is_left_out_and_told(options: Mapping[str, Any], left_out: list[str]) -> None:
    given = {**OPTIONS, "instance": "cms", "claims": ["models"], **options}
    assert alerts_left_out({**given, "pools": fill_pools(given["pools"], 2.0)}) == left_out
    partly = {"SonicLatencyBudgetBurn"}  # the one objective of two that can be
    assert {name.partition(" ")[0] for name in left_out} & alerts(**options) - partly == set()


def test_an_alert_is_left_out_where_nobody_wants_it() -> None:
    every = alerts()
    assert alerts(disabled=["SonicRetriesHigh"]) == every - {"SonicRetriesHigh"}
    with pytest.raises(SonicError, match=r"has 'SonicRetryHigh', and .*\nDid you mean SonicRetriesHigh\?"):
        groups(disabled=["SonicRetryHigh"])
    with pytest.raises(SonicError, match="There are SonicAvailabilityBudgetBurn, "):
        groups(disabled=["17"])


def test_each_objective_has_its_alerts() -> None:
    burning = [rule for rule in rules(objectives=ALL) if rule.get("alert", "").endswith("BudgetBurn")]
    assert {rule["labels"]["objective"] for rule in burning} == {objective["name"] for objective in ALL}
    assert [rule["labels"]["severity"] for rule in burning] == len(ALL) * ["page", "page", "ticket"]
    assert not any(name.endswith("BudgetBurn") for name in alerts(objectives=[]))


@pytest.mark.parametrize(
    ("pools", "autoscaler", "needed"),
    [
        ([{"name": "a", "replicas": 3}, {"name": "b", "replicas": 2}], "none", "vector(5)"),
        ([{"name": "a"}], "none", None),
        ([{"name": "a", "replicas": 0}], "none", None),
        ([{"name": "a", "min": 0, "max": 4}], "keda", "clamp(ceil(DEMAND / 16), 0, 4)"),
        (
            [
                {"name": "a", "min": 0, "max": 16, "target_in_flight": 8},
                {"name": "b", "max": 4, "target_in_flight": 32},
            ],
            "hpa",
            "clamp(ceil(DEMAND / 16), 0, 16) + clamp(ceil(DEMAND / 64), 1, 4)",
        ),
    ],
)
def test_how_many_servers_are_needed(pools: list[Any], autoscaler: str, needed: str | None) -> None:
    found = {rule["record"]: rule["expr"] for rule in rules(pools=pools, autoscaler=autoscaler) if "record" in rule}
    expr = found.get("sonic:servers_needed:sum")
    assert (expr and expr.replace(found["sonic:requests_in_flight:sum"], "DEMAND")) == needed


def test_a_rate_is_of_the_instance_alone() -> None:
    assert (
        Scope("physics", "cms", 15).rate("a", 'b="c"', 8)
        == 'sum(rate(a{namespace="physics",instance="cms",b="c"}[120s]))'
    )


def test_what_prometheus_fills_in_reaches_it() -> None:
    (applied,) = Role("monitoring", {"monitoring_cluster_mode": "bundled"}, entry_point="instance").objects()
    (file,) = applied["data"].values()
    told = {
        rule["annotations"]["summary"]
        for group in yaml.safe_load(file)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert "{{ $labels.pod }} runs, and has none of its models." in told


@pytest.mark.parametrize(
    ("variable", "role"),
    [
        ("monitoring_start_seconds", "triton"),
        ("monitoring_hold_seconds", "envoy"),
        ("monitoring_hold_requests", "envoy"),
        ("monitoring_poll_seconds", "autoscaler"),
    ],
)
def test_what_another_role_decides_is_its_own_default(variable: str, role: str) -> None:
    defaults = {
        name: yaml.safe_load((ROOT / f"roles/{name}/defaults/main.yml").read_text()) for name in ("monitoring", role)
    }
    name, default = re.findall(r"{{ (\w+) \| default\((\d+)\) }}", defaults["monitoring"][variable])[0]
    assert defaults[role][name] == int(default)


def test_the_runbooks_are_where_the_collection_is() -> None:
    home = yaml.safe_load((ROOT / "galaxy.yml").read_text()).get("repository")
    base = yaml.safe_load((ROOT / "roles/monitoring/defaults/main.yml").read_text())["monitoring_runbook_base"]
    assert base == (f"{home}/blob/main/docs/runbooks" if home else "docs/runbooks")


def test_the_catalogue_names_each_alert_once() -> None:
    names = [alert["alert"] for alert in catalogue()]
    assert len(names) == len(set(names))
