# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Envoys: what goes through them, which servers they know, and how near they are to their bounds."""

from __future__ import annotations

from typing import Final

from tests.tools.dashboards.model import (
    BYTES,
    BYTES_PER_SECOND,
    COUNT,
    PER_SECOND,
    SECONDS,
    SHARE,
    YES_NO,
    Board,
    Panel,
    Query,
    Row,
    Shape,
)
from tests.tools.dashboards.outcomes import ERRORS, REFUSED, REPAIRED
from tests.tools.dashboards.promql import INSTANCE, SERVERS, SERVICE, quantile, rate

CLUSTERS: Final = f'envoy_cluster_name=~"triton_.+|hold",{INSTANCE}'
GRPC: Final = f'envoy_cluster_name="triton_grpc",{INSTANCE}'
OVERLOAD: Final = "envoy_overload_envoy"
#: What clients may call (the role envoy, vars/main/routes.yml); Envoy has no counter of a method before its first call.
METHODS: Final = (
    "ModelInfer",
    "ModelStreamInfer",
    "ModelMetadata",
    "ModelConfig",
    "ModelReady",
    "ModelStatistics",
    "ServerLive",
    "ServerReady",
    "ServerMetadata",
    "RepositoryIndex",
)

ALIVE: Final = Row(
    "Are the Envoys well?",
    (
        Panel(
            "Envoys",
            "Those that answer Prometheus: fewer than envoy_replicas for longer than a rollout, look at their Pods.",
            COUNT,
            (Query(f'sum(up{{job="envoy",{INSTANCE}}})', "Envoys"),),
            Shape.NUMBER,
            6,
            ((None, "red"), (1, "orange"), (2, "green")),
        ),
        Panel(
            "Youngest Envoy runs for",
            "A small value without a deployment is a restart: kubectl logs --previous has its last words.",
            SECONDS,
            (Query(f"min(envoy_server_uptime{{{INSTANCE}}})", "up for"),),
            Shape.NUMBER,
            6,
        ),
        Panel(
            "Memory used, of the limit",
            "Of the fullest Envoy: at 85 % it refuses requests; lower envoy_hold_requests or raise envoy_resources.",
            SHARE,
            (Query(f"max({OVERLOAD}_resource_monitors_fixed_heap_pressure{{{INSTANCE}}}) / 100", "used"),),
            Shape.NUMBER,
            6,
            ((None, "green"), (0.75, "orange"), (0.85, "red")),
        ),
        Panel(
            "Connections, of the limit",
            "Of the fullest Envoy: at 100 % no client comes in; raise envoy_max_connections or envoy_replicas.",
            SHARE,
            (
                Query(
                    f"max({OVERLOAD}_resource_monitors_global_downstream_max_connections_pressure{{{INSTANCE}}}) / 100",
                    "used",
                ),
            ),
            Shape.NUMBER,
            6,
            ((None, "green"), (0.75, "orange"), (0.9, "red")),
        ),
    ),
)

THROUGH: Final = Row(
    "What goes through?",
    (
        Panel(
            "Requests, by Envoy",
            "Clients keep few connections for long, so some difference is usual; none on one Envoy is not.",
            PER_SECOND,
            (Query(rate("envoy_http_downstream_rq_total", SERVICE, "pod"), "{{pod}}"),),
            Shape.STACK,
        ),
        Panel(
            "In flight, by Envoy",
            "What waits or is computed: the sum is the demand.",
            COUNT,
            (Query(f"sum by (pod) (envoy_http_downstream_rq_active{{{SERVICE}}})", "{{pod}}"),),
            Shape.STACK,
        ),
        Panel(
            "Connections, by Envoy",
            "A job has one or a few: a sudden fall means that clients were cut off, and come back all at once.",
            COUNT,
            (Query(f"sum by (pod) (envoy_http_downstream_cx_active{{{SERVICE}}})", "{{pod}}"),),
            Shape.STACK,
        ),
        Panel(
            "99 % answered within, by Envoy",
            "One above the others has a node that is short of processors, or servers that only it takes for healthy.",
            SECONDS,
            (Query(quantile(0.99, "envoy_http_downstream_rq_time", SERVICE, "pod"), "{{pod}}"),),
        ),
        Panel(
            "Bytes",
            "From and to clients, all Envoys: at the limit of a node's network, requests wait without a queue.",
            BYTES_PER_SECOND,
            (
                Query(rate("envoy_http_downstream_cx_rx_bytes_total", SERVICE), "from clients"),
                Query(rate("envoy_http_downstream_cx_tx_bytes_total", SERVICE), "to clients"),
            ),
        ),
        Panel(
            "Calls, by method",
            "Jobs ask for metadata when they start: many such calls and few inferences are jobs that fail early.",
            PER_SECOND,
            tuple(
                Query(rate(f"envoy_cluster_grpc_{method}_total"), method, seldom=method != "ModelInfer")
                for method in METHODS
            ),
        ),
    ),
)

BEHIND: Final = Row(
    "What do they know of the servers?",
    (
        Panel(
            "Healthy servers, by Envoy",
            "All should know as many as there are: if one knows fewer, its discovery or its network is ill.",
            COUNT,
            (
                Query(f"sum by (pod) (envoy_cluster_membership_healthy{{{GRPC}}})", "healthy, {{pod}}"),
                Query(f"max(envoy_cluster_membership_total{{{GRPC}}})", "known at most"),
            ),
        ),
        Panel(
            "Left out for a while",
            "Servers that broke requests and get none for some seconds: the same one again and again is to be deleted.",
            COUNT,
            (
                Query(
                    f"sum by (pod, envoy_cluster_name) (envoy_cluster_outlier_detection_ejections_active{{{SERVERS}}})",
                    "{{envoy_cluster_name}}, {{pod}}",
                ),
            ),
        ),
        Panel(
            "Health checks that failed",
            "A few while servers come and go; without that, a server hangs or a network loses packets.",
            PER_SECOND,
            (
                Query(
                    rate("envoy_cluster_health_check_failure", SERVERS, "envoy_cluster_name"), "{{envoy_cluster_name}}"
                ),
                Query(rate("envoy_cluster_upstream_cx_connect_fail", SERVERS), "connections refused"),
            ),
        ),
        Panel(
            "Held, by Envoy",
            "Requests that wait because no server is ready; the bound is envoy_hold_requests for each Envoy.",
            COUNT,
            (
                Query(
                    f'sum by (pod) (envoy_cluster_upstream_rq_active{{envoy_cluster_name="waiting",{INSTANCE}}})',
                    "{{pod}}",
                ),
            ),
            Shape.STACK,
        ),
        Panel(
            "Breakers open",
            "Yes while requests are refused at a bound: hold is envoy_hold_requests, triton envoy_max_requests.",
            YES_NO,
            (
                Query(
                    f"max by (envoy_cluster_name) (envoy_cluster_circuit_breakers_default_rq_open{{{CLUSTERS}}})",
                    "requests, {{envoy_cluster_name}}",
                ),
                Query(
                    f"max by (envoy_cluster_name) (envoy_cluster_circuit_breakers_default_cx_open{{{CLUSTERS}}})",
                    "connections, {{envoy_cluster_name}}",
                ),
            ),
        ),
        REPAIRED,
    ),
)

WRONG: Final = Row(
    "What goes wrong?",
    (
        REFUSED,
        ERRORS,
        Panel(
            "Broken off",
            "By clients that gave up or ended, and by Envoy after the longest time: they grow where answers are late.",
            PER_SECOND,
            (
                Query(rate("envoy_http_downstream_rq_rx_reset", SERVICE), "by clients"),
                Query(rate("envoy_http_downstream_rq_tx_reset", SERVICE), "by Envoy"),
                Query(
                    rate("envoy_http_downstream_cx_destroy_remote_active_rq", SERVICE), "connections lost in between"
                ),
            ),
        ),
        Panel(
            "Memory of Envoys",
            "What waits or runs is kept in memory: it should fall with what is in flight.",
            BYTES,
            (Query(f"envoy_server_memory_physical_size{{{INSTANCE}}}", "{{pod}}"),),
        ),
        Panel(
            "Memory and connections, of the limits",
            "From 75 % on Envoy gives memory back, from 85 % on it refuses requests.",
            SHARE,
            (
                Query(f"{OVERLOAD}_resource_monitors_fixed_heap_pressure{{{INSTANCE}}} / 100", "memory, {{pod}}"),
                Query(
                    f"{OVERLOAD}_resource_monitors_global_downstream_max_connections_pressure{{{INSTANCE}}} / 100",
                    "connections, {{pod}}",
                ),
            ),
        ),
    ),
)

PROXY: Final = Board(
    "proxy",
    "hep.sonic / Proxy",
    "What goes through the Envoys, which servers do they know, and what do they refuse?",
    (ALIVE, THROUGH, BEHIND, WRONG),
)
