# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One model: how often it is asked, how long each part of it takes, and where it fails."""

from __future__ import annotations

from typing import Final

from tests.tools.dashboards.model import COUNT, PER_SECOND, SECONDS, SHARE, Board, Need, Panel, Query, Row, Shape
from tests.tools.dashboards.promql import MODEL, POOL, each_us, rate, ratio


def triton(expr: str, legend: str) -> Query:
    """Return a query that Triton answers."""
    return Query(expr, legend, Need.TRITON)


ASKED: Final = Row(
    "How much is it asked?",
    (
        Panel(
            "Requests and inferences",
            "Inferences over executions is the batch that Triton makes: near 1 under load, let it wait for more.",
            PER_SECOND,
            (
                triton(rate("nv_inference_request_success", MODEL), "requests"),
                triton(rate("nv_inference_count", MODEL), "inferences"),
                triton(rate("nv_inference_exec_count", MODEL), "executions"),
            ),
        ),
        Panel(
            "Mean batch",
            "Inferences that clients send in a request, and that Triton computes at a time: the second makes it fast.",
            COUNT,
            (
                triton(
                    ratio(rate("nv_inference_count", MODEL), rate("nv_inference_exec_count", MODEL)),
                    "computed at a time",
                ),
                triton(
                    ratio(rate("nv_inference_count", MODEL), rate("nv_inference_request_success", MODEL)),
                    "in a request",
                ),
            ),
        ),
        Panel(
            "Share of the servers' work",
            "Its part of the time that all models compute: what one model takes, the others wait for.",
            SHARE,
            (
                triton(
                    ratio(
                        rate("nv_inference_compute_infer_duration_us", MODEL),
                        rate("nv_inference_compute_infer_duration_us", POOL),
                    ),
                    "of the time that is computed",
                ),
            ),
        ),
    ),
)

TIME: Final = Row(
    "Where does its time go?",
    (
        Panel(
            "Time of a request in Triton",
            "The mean, part by part: queue asks for servers or instances, input and output for smaller tensors.",
            SECONDS,
            (
                triton(each_us("queue", MODEL), "queue"),
                triton(each_us("compute_input", MODEL), "input"),
                triton(each_us("compute_infer", MODEL), "compute"),
                triton(each_us("compute_output", MODEL), "output"),
            ),
            Shape.STACK,
            12,
        ),
        Panel(
            "Time of an inference",
            "What it computes for one element of a batch: a step without a change of the model is a slower GPU.",
            SECONDS,
            (
                triton(
                    ratio(rate("nv_inference_compute_infer_duration_us", MODEL), rate("nv_inference_exec_count", MODEL))
                    + " / 1e6",
                    "each execution",
                ),
                triton(
                    ratio(rate("nv_inference_compute_infer_duration_us", MODEL), rate("nv_inference_count", MODEL))
                    + " / 1e6",
                    "each inference",
                ),
            ),
            width=12,
        ),
        Panel(
            "Waiting in queues",
            "Requests that its queues hold now: one that is long alone belongs to a server that is ill.",
            COUNT,
            (triton(f"sum by (pod) (nv_inference_pending_request_count{{{MODEL}}})", "{{pod}}"),),
            Shape.STACK,
            12,
        ),
        Panel(
            "Time in the queue, by server",
            "The mean of a request: equal everywhere it is load, on one server alone it is that server.",
            SECONDS,
            (triton(each_us("queue", MODEL, "pod"), "{{pod}}"),),
            width=12,
        ),
    ),
)

HEALTH: Final = Row(
    "Is it well?",
    (
        Panel(
            "Failures, by reason",
            "BACKEND is the model itself, REJECTED a queue that is full or too slow, CANCELED a client that left.",
            PER_SECOND,
            (triton(rate("nv_inference_request_failure", MODEL, "reason"), "{{reason}}"),),
        ),
        Panel(
            "Requests, by server",
            "A server that has the model and gets none of it is not ready, or answers too slowly to be chosen.",
            PER_SECOND,
            (triton(rate("nv_inference_request_success", MODEL, "pod"), "{{pod}}"),),
        ),
        Panel(
            "Requests, by version",
            "During a change of the model both versions are asked; afterwards only the new one may be.",
            PER_SECOND,
            (triton(rate("nv_inference_request_success", MODEL, "version"), "version {{version}}"),),
        ),
    ),
)

MODELS: Final = Board(
    "models",
    "hep.sonic / Models",
    "How is one model asked, where does its time go, and does it fail?",
    (ASKED, TIME, HEALTH),
    ("pool", "model"),
)
