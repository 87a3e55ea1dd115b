# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why there are as many servers as there are."""

from __future__ import annotations

from typing import Final

from tests.tools.dashboards.capacity import WANTED
from tests.tools.dashboards.model import (
    CHANGE,
    COUNT,
    PER_SECOND,
    SECONDS,
    YES_NO,
    Board,
    Need,
    Panel,
    Query,
    Row,
    Shape,
)
from tests.tools.dashboards.promql import (
    AUTOSCALERS,
    DEMAND,
    HELD,
    HELD_MS,
    HOLD,
    LOOPS,
    POOL,
    READY,
    SCALED,
    each_us,
    mean_ms,
    or_zero,
    rate,
    ratio,
)

LATENCY: Final = "envoy_http_downstream_rq_time"
SERVERS: Final = f'up{{job="triton",{POOL}}}'
BEFORE: Final = f"{SERVERS} offset $__rate_interval"


def keda(metric: str, legend: str) -> Query:
    """Return what KEDA says of the instance's ScaledObjects."""
    return Query(f"max by (scaledObject) ({metric}{{{SCALED}}})", legend, Need.KEDA)


def hpa(metric: str, legend: str, condition: str = "") -> Query:
    """Return what kube-state-metrics says of the HorizontalPodAutoscalers, which KEDA makes, too."""
    return Query(f"{metric}{{{condition}{AUTOSCALERS}}}", legend, Need.KUBE_STATE_METRICS)


DEMANDED: Final = Row(
    "How much is asked for?",
    (
        Panel(
            "Demand",
            "In flight at all Envoys, and what KEDA made of it: if the two differ for long, KEDA asks in vain.",
            COUNT,
            (
                Query(DEMAND, "in flight"),
                Query(HELD, "of it held"),
                keda("keda_scaler_metrics_value", "KEDA, {{scaledObject}}"),
            ),
        ),
        Panel(
            "Demand of a server",
            "What is in flight for each ready server, beside the target: above it for long, servers are at their max.",
            COUNT,
            (
                Query(ratio(DEMAND, READY), "in flight, each server", seldom=True),
                hpa("kube_horizontalpodautoscaler_spec_target_metric", "target, {{horizontalpodautoscaler}}"),
            ),
        ),
        Panel(
            "Time in Triton's queues",
            "The load that SuperSONIC scales by, for comparison: without a server there is none, however many wait.",
            SECONDS,
            (
                Query(each_us("queue", POOL), "mean", Need.TRITON),
                Query(f"max({each_us('queue', POOL, 'model')})", "of the slowest model", Need.TRITON),
            ),
        ),
    ),
)

DECIDED: Final = Row(
    "What was decided?",
    (
        Panel(
            "Servers",
            "Wanted follows what is needed; started lags by what nodes take, ready by what models take to load.",
            COUNT,
            (
                Query(READY, "ready"),
                Query(or_zero(f"count({SERVERS})"), "started"),
                *WANTED,
            ),
        ),
        Panel(
            "Bounds",
            "Wanted at max while requests wait: raise the pool's max, or its quota; at min all day: lower the min.",
            COUNT,
            (
                hpa("kube_horizontalpodautoscaler_spec_max_replicas", "max, {{horizontalpodautoscaler}}"),
                hpa("kube_horizontalpodautoscaler_status_desired_replicas", "wanted, {{horizontalpodautoscaler}}"),
                hpa("kube_horizontalpodautoscaler_spec_min_replicas", "min, {{horizontalpodautoscaler}}"),
            ),
        ),
        Panel(
            "Servers, by pool",
            "Each pool has the same part of its max: one that stays behind finds no nodes with its GPUs.",
            COUNT,
            (Query(f"count by (pool) ({SERVERS})", "{{pool}}", Need.TRITON),),
            Shape.STACK,
        ),
        Panel(
            "Servers that came and went",
            "Up and down within minutes: raise autoscaler_scale_down_seconds, or target_in_flight of the pool.",
            CHANGE,
            (
                Query(f"count({SERVERS} unless on (pod) {BEFORE})", "came", Need.TRITON, seldom=True),
                Query(f"-count({BEFORE} unless on (pod) {SERVERS})", "went", Need.TRITON, seldom=True),
            ),
        ),
        Panel(
            "From zero",
            "How long requests that found no server waited, for one and in all: slow nodes, images or models.",
            SECONDS,
            (
                Query(
                    f"{ratio(HELD_MS, rate(f'{LATENCY}_count', HOLD))} / 1000",
                    "held",
                    seldom=True,
                ),
                Query(mean_ms(LATENCY, HOLD), "answered", seldom=True),
            ),
        ),
    ),
)

TRUSTED: Final = Row(
    "Can the autoscaler be trusted?",
    (
        Panel(
            "Vain looks",
            "KEDA asked for the demand and got no answer: after autoscaler_failures in a row it falls back.",
            PER_SECOND,
            (
                Query(
                    f"sum by (scaledObject) (rate(keda_scaler_detail_errors_total{{{SCALED}}}[$__rate_interval]))",
                    "{{scaledObject}}",
                    Need.KEDA,
                ),
            ),
        ),
        Panel(
            "Active and paused",
            "Active while anything is in flight; paused where autoscaler_paused keeps the number of servers as it is.",
            YES_NO,
            (
                keda("keda_scaler_active", "active, {{scaledObject}}"),
                keda("keda_scaled_object_paused", "paused, {{scaledObject}}"),
            ),
        ),
        Panel(
            "How long KEDA needs",
            "To ask the Envoys, and how late its round is: near keda_http_timeout_ms an Envoy does not answer it.",
            SECONDS,
            (
                keda("keda_scaler_metrics_latency_seconds", "to ask, {{scaledObject}}"),
                Query(
                    f"max by (resource) (keda_internal_scale_loop_latency_seconds{{{LOOPS}}})",
                    "late, {{resource}}",
                    Need.KEDA,
                ),
            ),
        ),
        Panel(
            "Conditions that are not well",
            "Yes where Kubernetes' autoscaler cannot scale, has no metric or is at a bound: kubectl describe hpa.",
            YES_NO,
            (
                hpa(
                    "kube_horizontalpodautoscaler_status_condition",
                    "{{condition}} false, {{horizontalpodautoscaler}}",
                    'condition=~"AbleToScale|ScalingActive",status="false",',
                ),
                hpa(
                    "kube_horizontalpodautoscaler_status_condition",
                    "limited, {{horizontalpodautoscaler}}",
                    'condition="ScalingLimited",status="true",',
                ),
            ),
        ),
    ),
)

AUTOSCALER: Final = Board(
    "autoscaler",
    "hep.sonic / Autoscaler",
    "Why are there as many servers as there are?",
    (DEMANDED, DECIDED, TRUSTED),
    ("pool",),
)
