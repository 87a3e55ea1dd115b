# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What became of requests, by what Envoy counts; several dashboards show it."""

from __future__ import annotations

from typing import Final

from tests.tools.dashboards.model import PER_SECOND, Panel, Query
from tests.tools.dashboards.promql import INSTANCE, SERVERS, SERVICE, or_zero, rate

#: gRPC's codes that an inference may end with.
CODES: Final = {
    1: "CANCELLED",
    2: "UNKNOWN",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
    15: "DATA_LOSS",
    16: "UNAUTHENTICATED",
}
#: Those that a right request may get, because of the service.
FAULTS: Final = (2, 4, 8, 13, 14, 15)

FINISHED: Final = rate("envoy_http_downstream_rq_completed", SERVICE)


def inferences_with(code: int, method: str = "ModelInfer") -> str:
    """Return the rate of inferences that ended with one of gRPC's codes; Envoy has no such counter before the first."""
    return rate(f"envoy_cluster_grpc_{method}_{code}")


#: Requests a second that failed because of the service: by gRPC, where the status of HTTP is always 200, and by HTTP.
FAILED: Final = " + ".join(
    [
        rate("envoy_http_downstream_rq_xx", f'envoy_response_code_class="5",{SERVICE}'),
        *(or_zero(inferences_with(code, method)) for method in ("ModelInfer", "ModelStreamInfer") for code in FAULTS),
    ]
)
_BY_CODE: Final = tuple(Query(inferences_with(code), name, seldom=True) for code, name in CODES.items())
_BY_CLASS: Final = Query(
    rate("envoy_http_downstream_rq_xx", f'envoy_response_code_class=~"4|5",{SERVICE}', "envoy_response_code_class"),
    "HTTP {{envoy_response_code_class}}xx",
)
_STREAMS: Final = Query(rate("envoy_cluster_grpc_ModelStreamInfer_failure"), "streams, of any code", seldom=True)
#: Requests that Envoy refused by itself, at once, by the reason.
_REFUSED: Final = (
    Query(
        rate("envoy_cluster_upstream_rq_active_overflow", f'envoy_cluster_name="hold",{INSTANCE}'),
        "as many wait as may (envoy_hold_requests)",
    ),
    Query(
        rate("envoy_cluster_upstream_rq_active_overflow", SERVERS),
        "as many run as may (envoy_max_requests)",
    ),
    Query(
        rate("envoy_http_downstream_rq_overload_close", SERVICE),
        "Envoy is short of memory (envoy_resources)",
    ),
    Query(rate("envoy_http_rq_direct_response", SERVICE), "not offered to clients"),
)
_REPAIRED: Final = (
    Query(
        rate("envoy_cluster_upstream_rq_retry", f'envoy_cluster_name=~"service_.+",{INSTANCE}'),
        "asked another server",
    ),
    Query(
        rate("envoy_cluster_upstream_rq_retry_success", f'envoy_cluster_name=~"service_.+",{INSTANCE}'),
        "with success",
    ),
    Query(
        rate("envoy_cluster_upstream_rq_retry_limit_exceeded", f'envoy_cluster_name=~"service_.+",{INSTANCE}'),
        "given up",
    ),
    Query(
        rate("envoy_cluster_outlier_detection_ejections_enforced_total", SERVERS),
        "servers left out for a while",
    ),
)

ERRORS: Final = Panel(
    "Errors by code",
    "UNAVAILABLE is capacity or a broken server, INTERNAL a model; INVALID_ARGUMENT and NOT_FOUND are the client's.",
    PER_SECOND,
    (_BY_CLASS, *_BY_CODE, _STREAMS),
)
REFUSED: Final = Panel(
    "Refused at once",
    "Requests that Envoy sent back, by the reason, with the variable of the role envoy that sets the bound.",
    PER_SECOND,
    _REFUSED,
)
REPAIRED: Final = Panel(
    "Repaired unseen",
    "What clients did not notice: more than a few in a thousand requests means that a server or a node is ill.",
    PER_SECOND,
    _REPAIRED,
)
