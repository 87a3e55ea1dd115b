# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an object has become what its spec asks for, read from its status alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest, field_at, group_of


class State(Enum):
    """How far an object is."""

    READY = auto()
    WAITING = auto()
    FAILED = auto()


@dataclass(frozen=True)
class Readiness:
    """The state of an object, in words for a person.

    Args:
        state: How far it is.
        text: What is there and what is missing; "" where that says nothing.
    """

    state: State
    text: str = ""


READY: Final = Readiness(State.READY)
UNSEEN: Final = Readiness(State.WAITING, "not seen by its controller yet")


def readiness_of(obj: Manifest) -> Readiness:
    """Return the readiness of any object; what has no status to wait for is ready."""
    rule = RULES.get((group_of(obj["apiVersion"]), obj["kind"]), _by_conditions)
    return rule(obj) if _is_observed(obj) else UNSEEN


def _is_observed(obj: Manifest) -> bool:
    """Return whether the status speaks of the present spec."""
    observed = field_at(obj, ["status", "observedGeneration"])
    if observed is None:
        return (group_of(obj["apiVersion"]), obj["kind"]) not in ALWAYS_OBSERVED
    return _is_current(obj, observed)


def _is_current(obj: Manifest, observed: Any) -> bool:
    """Return whether a generation is the present one; text, which some controllers write, tells nothing."""
    return not isinstance(observed, int) or observed >= obj["metadata"].get("generation", 0)


def _condition(obj: Manifest, kind: str) -> Mapping[str, Any]:
    conditions = field_at(obj, ["status", "conditions"]) or []
    return next((condition for condition in conditions if condition["type"] == kind), {})


def is_true(obj: Manifest, kind: str) -> bool:
    """Return whether an object's condition is true."""
    return bool(_condition(obj, kind).get("status") == "True")


def _number(obj: Manifest, *path: str, default: int = 0) -> int:
    value = field_at(obj, path)
    return default if value is None else int(value)


def _deployment(obj: Manifest) -> Readiness:
    wanted = _number(obj, "spec", "replicas", default=1)
    updated = _number(obj, "status", "updatedReplicas")
    # not availableReplicas: minReadySeconds paces the steps of a rollout, and after the last one nothing follows
    ready = _number(obj, "status", "readyReplicas")
    total = _number(obj, "status", "replicas")
    # of those that are ready, the old ones are none of these
    text = f"{min(updated, max(0, ready - (total - updated)))}/{wanted} ready"
    if total > updated:
        text += f", {total - updated} of the old template left"
    if updated >= wanted and ready >= wanted and total == updated:
        return Readiness(State.READY, text)
    if _condition(obj, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        # no failure: this may tell of the run before, and only a change of the status takes it away
        text += f"; {_condition(obj, 'Progressing').get('message', '')}"
    return Readiness(State.WAITING, text)


def has_changed_over(deployment: Manifest) -> bool:
    """Return whether a Deployment has Pods of its newest template only, and at least one of them is ready."""
    total, ready = _number(deployment, "status", "replicas"), _number(deployment, "status", "readyReplicas")
    return _is_observed(deployment) and ready > 0 and total == _number(deployment, "status", "updatedReplicas")


def _stateful_set(obj: Manifest) -> Readiness:
    wanted = _number(obj, "spec", "replicas", default=1)
    partition = _number(obj, "spec", "updateStrategy", "rollingUpdate", "partition")
    ready = _number(obj, "status", "readyReplicas")
    updated = _number(obj, "status", "updatedReplicas")
    text = f"{ready}/{wanted} ready, {updated}/{max(wanted - partition, 0)} updated"
    done = ready >= wanted and (
        updated >= wanted - partition or field_at(obj, ["spec", "updateStrategy", "type"]) == "OnDelete"
    )
    return Readiness(State.READY if done else State.WAITING, text)


def _daemon_set(obj: Manifest) -> Readiness:
    wanted = _number(obj, "status", "desiredNumberScheduled")
    available = _number(obj, "status", "numberAvailable")
    updated = _number(obj, "status", "updatedNumberScheduled")
    on_delete = field_at(obj, ["spec", "updateStrategy", "type"]) == "OnDelete"
    done = available >= wanted and (updated >= wanted or on_delete)
    return Readiness(State.READY if done else State.WAITING, f"{available}/{wanted} ready, {updated}/{wanted} updated")


def _job(obj: Manifest) -> Readiness:
    failed = _condition(obj, "Failed")
    if failed.get("status") == "True":
        return Readiness(State.FAILED, f"{failed.get('reason')}: {failed.get('message')}")
    if is_true(obj, "Complete") or field_at(obj, ["spec", "suspend"]):
        return READY
    wanted = _number(obj, "spec", "completions", default=1)
    return Readiness(State.WAITING, f"{_number(obj, 'status', 'succeeded')}/{wanted} complete")


def _pod(obj: Manifest) -> Readiness:
    phase = field_at(obj, ["status", "phase"])
    if phase == "Failed":
        return Readiness(State.FAILED, field_at(obj, ["status", "message"]) or "failed")
    ready = phase == "Succeeded" or is_true(obj, "Ready")
    return Readiness(State.READY if ready else State.WAITING, str(phase or "Pending"))


def _claim(obj: Manifest) -> Readiness:
    phase = field_at(obj, ["status", "phase"])
    if phase == "Lost":
        return Readiness(State.FAILED, "its volume is lost")
    return Readiness(State.READY if phase == "Bound" else State.WAITING, str(phase or "Pending"))


def _service(obj: Manifest) -> Readiness:
    if field_at(obj, ["spec", "type"]) != "LoadBalancer" or field_at(obj, ["status", "loadBalancer", "ingress"]):
        return READY
    return Readiness(State.WAITING, "no address from the load balancer yet")


def _needs(condition: str) -> Callable[[Manifest], Readiness]:
    def rule(obj: Manifest) -> Readiness:
        found = _condition(obj, condition)
        # many controllers of custom resources tell it for each condition only
        if not _is_current(obj, found.get("observedGeneration")):
            return UNSEEN
        if found.get("status") == "True":
            return READY
        return Readiness(State.WAITING, found.get("message") or f"not {condition} yet")

    return rule


def _autoscaler(obj: Manifest) -> Readiness:
    """Judge a HorizontalPodAutoscaler: it is ready when it knows how many Pods there should be."""
    active = _condition(obj, "ScalingActive")
    # none are wanted at all: somebody has switched it off by the number of Pods
    if active.get("status") == "True" or active.get("reason") == "ScalingDisabled":
        return READY
    return Readiness(State.WAITING, active.get("message") or "not seen by its controller yet")


def _by_conditions(obj: Manifest) -> Readiness:
    """Judge a kind that we do not know by the conditions that most controllers set; without them it is ready."""
    for kind in ("Ready", "Available", "Established"):
        if _condition(obj, kind):
            return _needs(kind)(obj)
    return READY


#: Kinds without an observed generation until their controller has seen them.
ALWAYS_OBSERVED: Final = frozenset({("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "DaemonSet")})

RULES: Final[Mapping[tuple[str, str], Callable[[Manifest], Readiness]]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("", "Pod"): _pod,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Service"): _service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _needs("Established"),
    ("apiregistration.k8s.io", "APIService"): _needs("Available"),
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    # it has no condition until KEDA has seen it
    ("keda.sh", "ScaledObject"): _needs("Ready"),
}
