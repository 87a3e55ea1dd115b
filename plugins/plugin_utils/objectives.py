# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an instance promises its users, and the share of requests that may break the promise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.options import Spec, check_name, fill
from ansible_collections.hep.sonic.plugins.plugin_utils.promql import Scope, add, duration
from ansible_collections.hep.sonic.plugins.plugin_utils.records import Rule

#: The options of an element of ``monitoring_objectives``; the role ``monitoring`` documents them.
OBJECTIVE_SPEC: Final[Spec] = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "required": True, "choices": ["availability", "latency", "cold_start"]},
    "target": {"type": "float", "required": True},
    "window_days": {"type": "int", "default": 30},
    "threshold_seconds": {"type": "float"},
    "model": {"type": "str", "default": ""},
    "least_bad": {"type": "int"},
}
#: The bounds, in milliseconds, by which Envoy counts how long requests took. They are its own defaults.
BUCKETS_MS: Final = (
    *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000),
    *(30000, 60000, 300000, 600000, 1800000, 3600000),
)
#: How many bad requests an alert takes at least, so that of few requests one does not wake anybody. That requests wait
#: for the first server is rare enough for one to count.
LEAST_BAD: Final = {"availability": 10, "latency": 10, "cold_start": 1}
#: What stands between quotes in an expression of Prometheus' as it is.
MODEL: Final = re.compile(r"[^\"\\\n]*")
#: The longest period of an objective, in days.
LONGEST_WINDOW: Final = 90


@dataclass(frozen=True)
class Burn:
    """A pace at which a budget is used up, and who shall know.

    Args:
        factor: So many times faster than it may last.
        long: Seconds for which it must have gone on, so that it matters.
        short: Seconds for which it must go on now, so that the alert ends when the trouble does.
        severity: The label of the alert.
    """

    factor: float
    long: int
    short: int
    severity: str


MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86400
#: Google's Site Reliability Workbook, chapter 5, table 5-8: 2 % of a month's budget in an hour, 5 % in six, 10 % in
#: three days.
BURNS: Final = (
    Burn(14.4, HOUR, 5 * MINUTE, "page"),
    Burn(6, 6 * HOUR, 30 * MINUTE, "page"),
    Burn(1, 3 * DAY, 6 * HOUR, "ticket"),
)
#: The windows of `BURNS`, by what they are called in the names of records.
WINDOWS: Final = {"5m": 5 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR, "6h": 6 * HOUR, "3d": 3 * DAY}

REQUESTS: Final = "sonic:objective_requests:rate"
BAD: Final = "sonic:objective_bad_requests:rate"


@dataclass(frozen=True)
class Objective:
    """One promise.

    Args:
        name: What it is called.
        kind: ``availability``, ``latency`` or ``cold_start``.
        budget: The share of requests that may be bad, between 0 and 1.
        window_days: Over how many days.
        threshold: Seconds that a good request takes at most; 0 where that does not matter.
        model: Of which model; of all where empty.
        least_bad: How many bad requests an alert takes at least.
    """

    name: str
    kind: str
    budget: float
    window_days: int
    threshold: float
    model: str
    least_bad: int

    @property
    def source(self) -> str:
        """Whose metrics tell it."""
        return "triton" if self.model else "envoy"

    def error_ratio(self, seconds: int) -> str:
        """Return the name of the record of the share of bad requests over a window of `WINDOWS`."""
        name = next(name for name, length in WINDOWS.items() if length == seconds)
        return f"sonic:objective_errors:ratio{name}"

    def alarm(self, burn: Burn) -> float:
        """Return the share of bad requests at which a burn is told.

        Where the budget is large, several times of it is more than all requests: then it is told at nine of ten.
        """
        return min(burn.factor * self.budget, max(0.9, self.budget))


def fill_objectives(objectives: Sequence[Any], hold_seconds: int) -> list[Objective]:
    """Return the value of ``monitoring_objectives``.

    Args:
        objectives: The value.
        hold_seconds: For how long a request waits for a server at most.

    Raises:
        SonicError: One cannot be kept, cannot be measured, or has the name of another.
    """
    filled = [
        _objective(value, f"monitoring_objectives[{index}]", hold_seconds) for index, value in enumerate(objectives)
    ]
    names = [objective.name for objective in filled]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            raise SonicError(
                f"monitoring_objectives has {names.count(name)} objectives named {name!r}.",
                "Give each a name of its own.",
            )
    return filled


def _objective(value: Any, where: str, hold_seconds: int) -> Objective:
    filled = fill(value, OBJECTIVE_SPEC, where)
    name, kind, target, threshold = (filled[option] for option in ("name", "kind", "target", "threshold_seconds"))
    check_name(name, f"{where}.name")
    if target >= 100:
        raise SonicError(
            f"{where}.target is {target:g}, which nobody keeps: every single fault would break it.",
            "Write less than 100 (percent), such as 99.9.",
        )
    if target <= 0:
        raise SonicError(f"{where}.target is {target:g}: it promises nothing.", "Write a percentage, such as 99.9.")
    if not 1 <= filled["window_days"] <= LONGEST_WINDOW:
        raise SonicError(
            f"{where}.window_days is {filled['window_days']}.", f"Write 1 to {LONGEST_WINDOW} days; 30 is usual."
        )
    if filled["least_bad"] is not None and filled["least_bad"] < 1:
        raise SonicError(f"{where}.least_bad is {filled['least_bad']}: it must be at least 1.")
    _check_threshold(filled, where, hold_seconds)
    return Objective(
        name=name,
        kind=kind,
        budget=round(1 - target / 100, 9),  # 0.001, not 0.00100000000000004
        window_days=filled["window_days"],
        threshold=threshold or 0.0,
        model=filled["model"],
        least_bad=filled["least_bad"] or LEAST_BAD[kind],
    )


def _check_threshold(filled: dict[str, Any], where: str, hold_seconds: int) -> None:
    """Refuse an objective whose threshold cannot be measured."""
    kind, threshold = filled["kind"], filled["threshold_seconds"]
    if filled["model"] and kind != "latency":
        raise SonicError(f"{where}.model is set, but {kind} is not known for each model.", "Leave it out.")
    if not MODEL.fullmatch(filled["model"]):
        raise SonicError(f"{where}.model is {filled['model']!r}, which no model is called.", "Write its name.")
    if kind == "availability":
        if threshold is not None:
            raise SonicError(
                f"{where}.threshold_seconds is set, which has no meaning for availability.",
                "Leave it out, or set the kind to latency.",
            )
        return
    if threshold is None or threshold <= 0:
        raise SonicError(
            f"{where}.threshold_seconds is {threshold}.", f"Say how many seconds a good {kind} takes at most."
        )
    if not filled["model"] and threshold * 1000 not in BUCKETS_MS:
        raise SonicError(
            f"{where}.threshold_seconds is {threshold:g}, which Envoy does not count by.",
            _nearest_bounds(threshold * 1000),
        )
    if kind == "cold_start" and threshold > hold_seconds:
        raise SonicError(
            f"{where}.threshold_seconds is {threshold:g}, but a request waits for {hold_seconds} s at most"
            f" (envoy_hold_seconds): none could be late.",
            "Write less, or raise envoy_hold_seconds.",
        )


def _nearest_bounds(milliseconds: float) -> str:
    near = [
        bound
        for pair in pairwise((BUCKETS_MS[0], *BUCKETS_MS, BUCKETS_MS[-1]))
        if pair[0] <= milliseconds <= pair[1]
        for bound in dict.fromkeys(pair)
    ] or [BUCKETS_MS[0 if milliseconds < BUCKETS_MS[0] else -1]]
    nearest = " or ".join(f"{bound / 1000:g}" for bound in near)
    return f"Write {nearest}; it counts by {', '.join(f'{bound / 1000:g}' for bound in BUCKETS_MS)} s."


def requests_of(objective: Objective, scope: Scope) -> list[Rule]:
    """Return the records of how many requests an objective is about, and how many of them were bad, a second.

    All else about an objective follows from these two: shares over any time are those of their averages.
    """
    requests, bad = {"availability": _answered, "latency": _fast, "cold_start": _held}[objective.kind](objective, scope)
    labels = scope.labels | {"objective": objective.name}
    return [Rule(REQUESTS, requests, labels), Rule(BAD, bad, labels)]


def shares_of(objective: Objective, scope: Scope) -> list[Rule]:
    """Return the records of the share of bad requests over each of `WINDOWS`, and of the budget that is left."""
    labels = scope.labels | {"objective": objective.name}
    series = f'{{{scope.series},objective="{objective.name}"}}'

    def ratio(seconds: float) -> str:
        window = duration(scope.at_least(seconds))
        return f"avg_over_time({BAD}{series}[{window}]) / (avg_over_time({REQUESTS}{series}[{window}]) > 0)"

    return [
        *(Rule(objective.error_ratio(seconds), ratio(seconds), labels) for seconds in WINDOWS.values()),
        Rule(
            "sonic:objective_budget_left:ratio",
            f"1 - ({ratio(objective.window_days * DAY)}) / {objective.budget:g}",
            labels,
        ),
        Rule("sonic:objective_target:ratio", f"vector({1 - objective.budget:g})", labels),
    ]


def _answered(_objective: Objective, scope: Scope) -> tuple[str, str]:
    """Return the requests that were ours to answer, and those that met a fault of ours.

    Neither what the client did wrong, so that its faults hide none of ours, nor what was refused because it was too
    much.
    """
    series = "sonic:requests:rate{" + scope.series
    return f'sum({series},outcome=~"ok|server_fault"}})', f'sum({series},outcome="server_fault"}})'


def _fast(objective: Objective, scope: Scope) -> tuple[str, str]:
    """Return the requests that were answered, and those that were not answered in time."""
    if objective.model:
        return _fast_model(objective, scope)
    # of gRPC the inferences alone; HTTP is not counted by what was asked
    histograms = (
        ("envoy_cluster_grpc_ModelInfer_upstream_rq_time", 'envoy_cluster_name="service_grpc"'),
        ("envoy_cluster_upstream_rq_time", 'envoy_cluster_name="service_http"'),
    )
    return _slower(histograms, objective.threshold, scope)


def _held(objective: Objective, scope: Scope) -> tuple[str, str]:
    """Return the requests that met no ready server, and those of them that were not answered in time."""
    histogram = ("envoy_http_downstream_rq_time", 'envoy_http_conn_manager_prefix="hold"')
    return _slower((histogram,), objective.threshold, scope)


def _slower(histograms: Sequence[tuple[str, str]], threshold: float, scope: Scope) -> tuple[str, str]:
    """Return the requests in some histograms of Envoy, and those of them above a bound."""
    requests = add(scope.rate(f"{name}_count", matchers) for name, matchers in histograms)
    bound = _bound(threshold * 1000)
    fast = add(scope.rate(f"{name}_bucket", f"{matchers},{bound}") for name, matchers in histograms)
    return requests, f"clamp_min({requests} - ({fast}), 0)"


def _bound(milliseconds: float) -> str:
    """Return the matcher of a bucket, as Envoy writes its bound and as Prometheus 3 keeps it, which writes floats."""
    written = f"{milliseconds:.1f}".removesuffix(".0")
    kept = f"{milliseconds:.1f}" if milliseconds < 10**6 else f"{milliseconds:g}"
    escaped = [one.replace(".", "[.]").replace("+", "[+]") for one in (written, kept)]
    return f'le=~"{"|".join(dict.fromkeys(escaped))}"'


def _fast_model(objective: Objective, scope: Scope) -> tuple[str, str]:
    """Return the requests of a model, and those of servers that took too long for it.

    Triton tells no single request, only the time of all: those of a server between two readings count as slow together,
    when their mean is above the threshold.
    """
    window = duration(scope.at_least(0))
    series = f'{{{scope.series},model="{objective.model}"}}[{window}]'
    rate = f"rate(nv_inference_request_success{series})"
    mean = f"rate(nv_inference_request_duration_us{series}) / {rate}"
    return add((f"sum({rate})",)), add((f"sum({rate} and ({mean} > {objective.threshold * 10**6:.0f}))",))
