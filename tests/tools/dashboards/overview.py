# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first dashboard to open: are users served, and if not, where it hurts."""

from __future__ import annotations

from typing import Final

from tests.tools.dashboards.capacity import WANTED
from tests.tools.dashboards.model import (
    COUNT,
    PER_SECOND,
    REST,
    SECONDS,
    SHARE,
    Board,
    Need,
    Panel,
    Query,
    Row,
    Shape,
)
from tests.tools.dashboards.outcomes import ERRORS, FAILED, FINISHED, REFUSED, REPAIRED
from tests.tools.dashboards.promql import (
    DEMAND,
    HELD,
    HELD_MS,
    INSTANCE,
    READY,
    SERVICE,
    ZERO,
    each_us,
    mean_ms,
    or_zero,
    quantile,
    rate,
    ratio,
)

LATENCY: Final = "envoy_http_downstream_rq_time"
TOTAL: Final = mean_ms(LATENCY, SERVICE)
#: Held, of each request, whether it was held or not.
HELD_EACH: Final = f"{ratio(HELD_MS, rate(f'{LATENCY}_count', SERVICE))} / 1000"
QUEUED: Final = f"sum(nv_inference_pending_request_count{{{INSTANCE}}})"
SERVERS: Final = f'up{{job="triton",{INSTANCE}}}'
BUDGET: Final = f"sonic:objective_budget_left:ratio{{{INSTANCE}}}"
BURN: Final = (
    f"sonic:objective_errors:ratio1h{{{INSTANCE}}} "
    f"/ on (namespace, instance, objective) (1 - sonic:objective_target:ratio{{{INSTANCE}}})"
)

SERVED: Final = Row(
    "Are users served?",
    (
        Panel(
            "Answered",
            "The share of requests that did not fail because of the service: below 99.9 %, see the errors by code.",
            SHARE,
            (Query(f"1 - ({FAILED}) / ({FINISHED} > 0)", "answered"),),
            Shape.NUMBER,
            4,
            ((None, "red"), (0.99, "orange"), (0.999, "green")),
        ),
        Panel(
            "Requests a second",
            "What clients send, of every kind: nothing in a busy week means that they cannot reach the endpoint.",
            PER_SECOND,
            (Query(rate("envoy_http_downstream_rq_total", SERVICE), "requests"),),
            Shape.NUMBER,
            4,
        ),
        Panel(
            "99 % answered within",
            "From a request's first byte to its answer's last, at Envoy: where it grows, see below in which part.",
            SECONDS,
            (Query(quantile(0.99, LATENCY, SERVICE), "99 %"),),
            Shape.NUMBER,
            4,
        ),
        Panel(
            "In flight",
            "Requests that wait or are computed now, which is the demand that servers are scaled by.",
            COUNT,
            (Query(DEMAND, "in flight"),),
            Shape.NUMBER,
            4,
        ),
        Panel(
            "Servers ready",
            "Servers that the Envoy which knows the fewest takes for healthy: none is right only where nobody asks.",
            COUNT,
            (Query(READY, "ready"),),
            Shape.NUMBER,
            4,
            ((None, "orange"), (1, "green")),
        ),
        Panel(
            "Error budget left",
            "Of the objective that has the least: below a quarter, change nothing that is not a repair.",
            REST,
            (Query(f"min({BUDGET})", "left", Need.RULES),),
            Shape.NUMBER,
            4,
            ((None, "red"), (0.0, "orange"), (0.25, "green")),
        ),
    ),
)

SEEN: Final = Row(
    "What do users see?",
    (
        Panel(
            "Requests",
            "Where fewer end than arrive, they pile up; where some fail by the service, see the errors by code.",
            PER_SECOND,
            (
                Query(rate("envoy_http_downstream_rq_total", SERVICE), "arrived"),
                Query(FINISHED, "ended"),
                Query(FAILED, "failed because of the service"),
            ),
        ),
        Panel(
            "Latency",
            "All that a client waits but for its own network: a 99 % far above the median is a queue or a slow server.",
            SECONDS,
            (
                Query(quantile(0.5, LATENCY, SERVICE), "50 %"),
                Query(quantile(0.95, LATENCY, SERVICE), "95 %"),
                Query(quantile(0.99, LATENCY, SERVICE), "99 %"),
                Query(TOTAL, "mean"),
            ),
        ),
        ERRORS,
    ),
)

SPENT: Final = Row(
    "Where is the time spent?",
    (
        Panel(
            "Time of a request",
            "The mean, part by part: held and queue ask for servers, input, compute and output for a better model.",
            SECONDS,
            (
                Query(HELD_EACH, "held", seldom=True),
                Query(each_us("queue"), "queue", Need.TRITON),
                Query(each_us("compute_input"), "input", Need.TRITON),
                Query(each_us("compute_infer"), "compute", Need.TRITON),
                Query(each_us("compute_output"), "output", Need.TRITON),
                Query(
                    f"clamp_min({TOTAL} - ({HELD_EACH} or {ZERO}) - {each_us('request')}, 0)",
                    "proxy and network",
                    Need.TRITON,
                ),
            ),
            Shape.STACK,
            12,
        ),
        Panel(
            "In flight, by where it is",
            "Held where no server is ready, queued where all are busy: if either stays, servers are too few or ill.",
            COUNT,
            (
                Query(HELD, "held"),
                Query(QUEUED, "queued", Need.TRITON),
                Query(
                    f"clamp_min({DEMAND} - {HELD} - {or_zero(QUEUED)}, 0)",
                    "computed, or on its way",
                ),
            ),
            Shape.STACK,
            12,
        ),
    ),
)

CAPACITY: Final = Row(
    "Are there enough servers?",
    (
        Panel(
            "Servers",
            "Wanted above started: no node has room; started above ready: they load their models, or are ill.",
            COUNT,
            (
                Query(READY, "ready to Envoy"),
                Query(or_zero(f"sum({SERVERS})"), "answering Prometheus"),
                Query(or_zero(f"count({SERVERS})"), "started"),
                *WANTED,
            ),
        ),
        Panel(
            "Inferences, by model",
            "A request with a batch of ten is ten inferences; the dashboard of models shows one of them closely.",
            PER_SECOND,
            (
                Query(rate("nv_inference_count"), "all", Need.TRITON),
                Query(rate("nv_inference_count", by="model"), "{{model}}", Need.TRITON),
            ),
        ),
        Panel(
            "Inferences, by server",
            "A server far below its like in the same pool is ill, even if it says that it is well: delete its Pod.",
            PER_SECOND,
            (Query(rate("nv_inference_count", by="pod"), "{{pod}}", Need.TRITON),),
        ),
        Panel(
            "GPUs busy",
            "The share of time that the GPUs compute: low with a queue means small batches, or input that is slow.",
            SHARE,
            (
                Query(f"avg(nv_gpu_utilization{{{INSTANCE}}})", "mean", Need.GPU),
                Query(f"nv_gpu_utilization{{{INSTANCE}}}", "{{pod}} {{gpu_uuid}}", Need.GPU),
            ),
        ),
        Panel(
            "Servers, one by one",
            "All that were read, with what each does now: 0 under answering is a server that is starting or has died.",
            COUNT,
            (
                Query(f"sum by (pod, pool) ({SERVERS})", "answering", Need.TRITON),
                Query(rate("nv_inference_count", by="pod"), "inferences a second", Need.TRITON, unit=PER_SECOND),
                Query(f"sum by (pod) (nv_inference_pending_request_count{{{INSTANCE}}})", "queued", Need.TRITON),
                Query(each_us("request", by="pod"), "time of a request", Need.TRITON, unit=SECONDS),
                Query(f"count by (pod) (nv_gpu_utilization{{{INSTANCE}}})", "GPUs", Need.GPU),
                Query(f"avg by (pod) (nv_gpu_utilization{{{INSTANCE}}})", "GPUs busy", Need.GPU, unit=SHARE),
            ),
            Shape.TABLE,
            16,
        ),
    ),
)

TROUBLE: Final = Row(
    "What goes wrong?",
    (
        REFUSED,
        REPAIRED,
        Panel(
            "Failures in the servers",
            "Before Envoy asks another one: BACKEND is a model that breaks, REJECTED a request that waited too long.",
            PER_SECOND,
            (
                Query(
                    rate("nv_inference_request_failure", by="model, reason"),
                    "{{model}} {{reason}}",
                    Need.TRITON,
                ),
            ),
        ),
    ),
)

OBJECTIVES: Final = Row(
    "Are the objectives met?",
    (
        Panel(
            "Error budgets",
            "What is left of each: a line that falls steeply is the one to explain first.",
            REST,
            (Query(BUDGET, "{{objective}}", Need.RULES),),
            width=12,
        ),
        Panel(
            "Burn rates",
            "How many times faster than allowed the last hour used the budget: at 14.4, a month's is gone in two days.",
            COUNT,
            (Query(BURN, "{{objective}}", Need.RULES),),
            width=12,
        ),
    ),
)

OVERVIEW: Final = Board(
    "overview",
    "hep.sonic / Overview",
    "Are users served, and if not, where does it hurt?",
    (SERVED, SEEN, SPENT, CAPACITY, TROUBLE, OBJECTIVES),
)
