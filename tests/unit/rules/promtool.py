# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prometheus' own judge of rules, and two instances in one namespace that are well, for cases to make ill."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.pools import fill_pools
from ansible_collections.hep.sonic.plugins.plugin_utils.rules import rule_groups
from tests.lab import programs
from tests.lab.progress import Progress

NAMESPACE: Final = "physics"
#: The one that falls ill, and the one beside it that must not be told of it.
ILL, WELL = "cms", "atlas"
RUNBOOKS: Final = "https://example.org/runbooks"
EVERYTHING: Final = ["envoy", "triton", "keda", "kube_state_metrics", "kubelet", "dcgm"]
#: What `rule_groups` is told, but for what a case says.
OPTIONS: Final[Mapping[str, Any]] = {
    "namespace": NAMESPACE,
    "scrape_interval": 15,
    "sources": EVERYTHING,
    "objectives": [{"name": "answered", "kind": "availability", "target": 99.9}],
    "disabled": [],
    "runbook_base": RUNBOOKS,
    "pools": [{"name": "gpu", "min": 1, "max": 2}],
    "autoscaler": "keda",
    "poll_seconds": 1,
    "start_seconds": 900,
    "longest_request": 600,
    "hold_seconds": 300,
    "hold_requests": 500,
}
ENVOYS, SERVERS = ("envoy1", "envoy2"), ("server1", "server2")
GRPC, MODEL = 'envoy_cluster_name="service_grpc"', 'model="pn",version="1"'
#: The series of an instance that is well: of which Pods, the metric, more labels, and what it reads.
_HEALTHY: Final = (
    (ENVOYS + SERVERS, "up", "", "1"),
    (ENVOYS, "envoy_cluster_membership_healthy", 'envoy_cluster_name="triton_grpc"', "2"),
    (ENVOYS, "envoy_cluster_membership_healthy", 'envoy_cluster_name="triton_http"', "2"),
    (ENVOYS, "envoy_http_downstream_rq_active", 'envoy_http_conn_manager_prefix="service"', "8"),
    (ENVOYS, "envoy_http_downstream_rq_total", 'envoy_http_conn_manager_prefix="service"', "+150"),
    (ENVOYS, "envoy_cluster_grpc_ModelInfer_success", GRPC, "+150"),
    (ENVOYS, "envoy_cluster_grpc_ModelInfer_failure", GRPC, "+0"),
    (ENVOYS, "envoy_cluster_grpc_ModelInfer_13", GRPC, "+0"),
    (ENVOYS, "envoy_cluster_upstream_rq_retry", GRPC, "+0"),
    (ENVOYS, "envoy_cluster_upstream_rq_active", 'envoy_cluster_name="hold"', "0"),
    (ENVOYS, "envoy_cluster_upstream_rq_active", 'envoy_cluster_name="waiting"', "0"),
    (ENVOYS, "envoy_cluster_outlier_detection_ejections_enforced_total", 'envoy_cluster_name="triton_grpc"', "+0"),
    (ENVOYS, "envoy_cluster_circuit_breakers_default_rq_open", 'envoy_cluster_name="triton_grpc"', "0"),
    (ENVOYS, "envoy_cluster_circuit_breakers_default_rq_pending_open", 'envoy_cluster_name="triton_grpc"', "0"),
    (ENVOYS, "envoy_cluster_circuit_breakers_default_cx_open", 'envoy_cluster_name="triton_grpc"', "0"),
    (ENVOYS, "envoy_cluster_circuit_breakers_default_rq_retry_open", 'envoy_cluster_name="triton_grpc"', "0"),
    (ENVOYS, "envoy_overload_envoy_overload_actions_stop_accepting_requests_active", "", "0"),
    (ENVOYS, "envoy_server_days_until_first_cert_expiring", "", "4294967295"),  # there is none
    (SERVERS, "nv_inference_count", MODEL, "+150"),
    (SERVERS, "nv_inference_request_success", MODEL, "+150"),
    (SERVERS, "nv_inference_request_failure", f'{MODEL},reason="BACKEND"', "+0"),
    (SERVERS, "nv_inference_request_failure", f'{MODEL},reason="CANCELED"', "+30"),
    (SERVERS, "nv_inference_request_duration_us", MODEL, "+1500000"),
    (SERVERS, "nv_inference_pending_request_count", MODEL, "0"),
)
#: By their names as cases write them; ``$envoy1`` and the like stand for what `_abbreviations` says.
HEALTHY: Final[Mapping[str, str]] = {
    **{
        f"{metric}{{{','.join(filter(None, (f'${pod}', labels)))}}}": values
        for pods, metric, labels, values in _HEALTHY
        for pod in pods
    },
    f'keda_scaled_object_errors_total{{namespace="{NAMESPACE}",scaledObject="$instance-triton-gpu"}}': "+0",
}


def promtool() -> Path:
    """Return the program, built where it is missing."""
    programs.ensure(["promtool"], Progress(None))
    return programs.path("promtool")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it, whatever it says."""
    command = [str(promtool()), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def groups(instance: str = ILL, **options: Any) -> list[dict[str, Any]]:
    """Return the rules of an instance.

    Args:
        instance: Its name.
        options: What differs from `OPTIONS`.
    """
    given = {**OPTIONS, "instance": instance, "claims": [f"{instance}-models"], **options}
    return rule_groups({**given, "pools": fill_pools(given["pools"], 2.0)})


def write_rules(path: Path, instance: str, options: Mapping[str, Any]) -> Path:
    """Write a file of rules, and return where it is."""
    path.write_text(json.dumps({"groups": groups(instance, **options)}))
    return path


def seconds(time: str) -> int:
    """Return how many seconds a time of Prometheus' is, such as ``1h30m``."""
    lengths = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(int(number) * lengths[unit] for number, unit in re.findall(r"(\d+)([smhd])", time))


def _abbreviations(instance: str) -> dict[str, str]:
    """Return the labels of the Pods of an instance, by the names by which cases call them."""
    common = f'namespace="{NAMESPACE}",instance="{instance}"'
    return {
        "instance": instance,
        "series": common,
        **{f"envoy{index}": f'job="envoy",{common},pod="{instance}-envoy-{index}"' for index in (1, 2)},
        **{
            f"server{index}": f'job="triton",{common},pool="gpu",pod="{instance}-triton-gpu-{index}"'
            for index in (1, 2, 3)
        },
    }


def _values(text: str, steps: int, interval: int) -> str:
    """Return values in Prometheus' own words.

    A part is ``<value>`` or ``+<rise at each reading>``, and for how long, such as ``0 for 5m``; the last part lasts
    until the end. ``_`` is no reading. A counter goes on from where it was.
    """
    written: list[str] = []
    total = 0.0
    parts = [part.strip() for part in text.split(",")]
    done = 0
    for index, part in enumerate(parts):
        what, _for, how_long = part.partition(" for ")
        count = steps - done if index == len(parts) - 1 else seconds(how_long) // interval
        done += count
        if what.startswith("+"):
            written.append(f"{total:.12g}+{float(what[1:]):g}x{count - 1}")
            total += float(what[1:]) * count
        elif what == "_":
            written.append(f"_x{count}")
        else:
            total = float(what)
            written.append(f"{total:.12g}x{count - 1}")
    return " ".join(written)


def input_series(case: Mapping[str, Any], interval: int, steps: int) -> Iterator[dict[str, str]]:
    """Yield the series of both instances: of one as a case says, of the other as it should be."""
    for instance, ill in ((ILL, case["series"]), (WELL, {})):
        names = _abbreviations(instance)
        for name, values in {**HEALTHY, **ill}.items():
            if values:
                yield {"series": Template(name).substitute(names), "values": _values(values, steps, interval)}


def rule_test(case: Mapping[str, Any], rule_files: Sequence[Path]) -> dict[str, Any]:
    """Return promtool's form of a case; tests/unit/rules/test_alerts.py says what a case consists of."""
    interval = case.get("options", {}).get("scrape_interval", OPTIONS["scrape_interval"])
    steps = max(map(seconds, case["at"])) // interval + 2
    firing = [
        {
            "expr": 'group by (instance, alertname) (ALERTS{alertstate="firing"})',
            "eval_time": time,
            "exp_samples": [{"labels": f'{{instance="{ILL}", alertname="{name}"}}', "value": 1} for name in names],
        }
        for time, names in case["at"].items()
    ]
    sent = [
        {
            "alertname": case["alert"],
            "eval_time": told["at"],
            "exp_alerts": [
                {
                    "exp_labels": {"namespace": NAMESPACE, "instance": ILL, **one["labels"]},
                    "exp_annotations": {"summary": one["summary"], "runbook_url": f"{RUNBOOKS}/{case['alert']}.md"},
                }
                for one in told["alerts"]
            ],
        }
        for told in ([case["told"]] if "told" in case else [])
    ]
    return {
        "rule_files": [str(file) for file in rule_files],
        "evaluation_interval": f"{interval}s",
        # else it is by chance whether an alert reads what was recorded at the same time or the time before
        "group_eval_order": [
            f"{NAMESPACE}.{instance}.{part}" for part in ("records", "objectives", "alerts") for instance in (ILL, WELL)
        ],
        "tests": [
            {
                "interval": f"{interval}s",
                "input_series": list(input_series(case, interval, steps)),
                "alert_rule_test": sent,
                "promql_expr_test": firing,
            }
        ],
    }
