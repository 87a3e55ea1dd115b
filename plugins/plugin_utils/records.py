# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is recorded of every instance: what became of its requests, how many there are, and how many servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.promql import Scope, add

#: The inferences of gRPC, which Envoy counts by method and status: each pair is a metric of its own.
METHODS: Final = ("ModelInfer", "ModelStreamInfer")
#: gRPC's UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE and DATA_LOSS: what a service says of its own faults.
SERVER_FAULTS: Final = (2, 4, 13, 14, 15)
#: RESOURCE_EXHAUSTED.
OVER_QUOTA: Final = (8,)

GRPC: Final = 'envoy_cluster_name="service_grpc"'
HTTP: Final = 'envoy_cluster_name="service_http"'
SERVICE: Final = 'envoy_http_conn_manager_prefix="service"'
#: Answers of HTTP that blame the client, but for the one that it asked too often.
NOT_429: Final = "4(0.|1.|2[0-8]|[3-9].)"
#: The clusters of Envoy whose circuit breakers refuse a request that a client has sent.
BREAKERS: Final = 'envoy_cluster_name=~"hold|triton_grpc|triton_http"'


@dataclass(frozen=True)
class Rule:
    """A recording rule.

    Args:
        record: The name of what it records.
        expr: What it evaluates.
        labels: The labels that it adds.
    """

    record: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as Prometheus reads it."""
        return {"record": self.record, "expr": self.expr, "labels": dict(self.labels)}


def records(scope: Scope, pools: Sequence[Mapping[str, Any]]) -> list[Rule]:
    """Return the records of an instance, from Envoy's metrics.

    Args:
        scope: Its series.
        pools: Its pools, those that are scaled with ``demand_per_server``.
    """
    rules = [
        *(
            Rule("sonic:requests:rate", expr, scope.labels | {"outcome": outcome})
            for outcome, expr in _outcomes(scope).items()
        ),
        Rule("sonic:requests_in_flight:sum", _in_flight(scope), scope.labels),
        Rule(
            "sonic:requests_held:sum",
            f'sum(envoy_cluster_upstream_rq_active{{{scope.series},envoy_cluster_name="waiting"}})',
            scope.labels,
        ),
        Rule(
            "sonic:servers_ready:max",
            f'max(envoy_cluster_membership_healthy{{{scope.series},envoy_cluster_name="triton_grpc"}})',
            scope.labels,
        ),
    ]
    if needed := _needed(scope, pools):
        rules.append(Rule("sonic:servers_needed:sum", needed, scope.labels))
    return rules


def _outcomes(scope: Scope) -> dict[str, str]:
    """Return the requests that came to each end, a second.

    A request that a circuit breaker refuses looks like any that is UNAVAILABLE, but the breaker counts it, too.
    """
    faults = add([*_statuses(scope, SERVER_FAULTS), _http(scope, "5..")])
    refused = add(scope.rate(f"envoy_cluster_upstream_rq_{what}_overflow", BREAKERS) for what in ("active", "pending"))
    failures = add(scope.rate(f"envoy_cluster_grpc_{method}_failure", GRPC) for method in METHODS)
    not_the_clients = add(_statuses(scope, SERVER_FAULTS + OVER_QUOTA))
    reset, answered_early = (
        scope.rate(f"envoy_http_downstream_rq_{what}", SERVICE) for what in ("rx_reset", "response_before_rq_complete")
    )
    return {
        "ok": add(
            [
                *(scope.rate(f"envoy_cluster_grpc_{method}_success", GRPC) for method in METHODS),
                _http(scope, "[123].."),
            ]
        ),
        "server_fault": f"clamp_min({faults} - ({refused}), 0)",
        # by a circuit breaker, or because Envoy's memory is full
        "capacity": f"{refused} + {add([scope.rate('envoy_http_downstream_rq_overload_close', SERVICE)])}",
        "quota": add([*_statuses(scope, OVER_QUOTA), _http(scope, "429")]),
        "client_error": f"clamp_min({failures} - ({not_the_clients}), 0) + {add([_http(scope, NOT_429)])}",
        # the client did not wait for an answer, often because its deadline was over; who is answered early resets, too
        "abandoned": f"clamp_min({add([reset])} - {add([answered_early])}, 0)",
    }


def _statuses(scope: Scope, statuses: Sequence[int]) -> list[str]:
    return [scope.rate(f"envoy_cluster_grpc_{method}_{status}", GRPC) for method in METHODS for status in statuses]


def _http(scope: Scope, code: str) -> str:
    return scope.rate("envoy_cluster_upstream_rq", f'{HTTP},envoy_response_code=~"{code}"')


def _in_flight(scope: Scope) -> str:
    return f"sum(envoy_http_downstream_rq_active{{{scope.series},{SERVICE}}})"


def _needed(scope: Scope, pools: Sequence[Mapping[str, Any]]) -> str:
    """Return how many servers there should be; nothing where nobody has said it of any pool."""
    fixed = sum(pool["replicas"] for pool in pools if "demand_per_server" not in pool and pool["replicas"] is not None)
    scaled = [
        f"clamp(ceil({_in_flight(scope)} / {pool['demand_per_server']:g}), {pool['min']}, {pool['max']})"
        for pool in pools
        if "demand_per_server" in pool
    ]
    return " + ".join([*scaled, *([f"vector({fixed})"] if fixed else ())])
