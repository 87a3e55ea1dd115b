# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why an object is not ready, read from its status and its events, in words for the person who waits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest, field_at

#: Reasons for which a container waits and that do not go away by waiting, and what to do about each.
HOPELESS: Final[Mapping[str, str]] = {
    "ImagePullBackOff": "Check the image's name, and the pull secret where the registry asks for one.",
    "ErrImagePull": "Check the image's name, and the pull secret where the registry asks for one.",
    "InvalidImageName": "Correct the image's name.",
    "ErrImageNeverPull": "The image is not on the node, and its pull policy forbids to pull it.",
    "CrashLoopBackOff": "Read the container's last words below, and correct its arguments or its configuration.",
    "CreateContainerConfigError": "A ConfigMap, Secret or key that the container refers to is missing.",
    "CreateContainerError": "The node cannot create the container as it is specified.",
    "RunContainerError": "The node cannot start the container: check its command and its mounts.",
}
#: What a line of progress says for reasons that waiting may cure.
PHRASES: Final[Mapping[str, str]] = {
    "Pulling": "pulling the image",
    "Running": "starting",
    "Unhealthy": "not healthy yet",
    "FailedMount": "waiting for a volume",
}
#: A run shorter than this, twice in a row, is a crash loop even while the container is just running again.
SHORT_RUN_SECONDS: Final = 30
#: What the kubelet says when it ends a container whose startupProbe has failed as often as it may.
FAILED_STARTUP: Final = "failed startup probe"
FAILED_STARTUP_REMEDY: Final = (
    "Read the container's last words below, and correct what they say; or give it more time to start."
)
UNSCHEDULABLE_REMEDY: Final = "Free or add such nodes, or change the pool's placement, GPU or requests."
#: The reason of conditions and events alike where a pod is not let in.
REFUSED: Final = "FailedCreate"
REFUSED_REMEDY: Final = "Raise the quota or satisfy the policy, or ask for less."


@dataclass(frozen=True)
class Problem:
    """Why something is not ready.

    Args:
        reason: The API's word for it.
        message: What the API says.
        remedy: What to do; "" where waiting may help, so that it is no failure yet.
        pod: The pod; "" where none was made.
        container: The container whose log says more; "" where there is none.
        crashed: Whether the log is that of the container's previous run.
        hope: What may yet cure it, in a few words; "" where nothing is known to.
    """

    reason: str
    message: str
    remedy: str = ""
    pod: str = ""
    container: str = ""
    crashed: bool = False
    hope: str = ""

    @property
    def hopeless(self) -> bool:
        """Whether waiting does not help."""
        return bool(self.remedy)

    @property
    def phrase(self) -> str:
        """A few words for a line of progress."""
        if self.hope:
            return self.hope
        if self.reason == "Unschedulable":
            return f"waiting for a node: {_first_cause(self.message)}"
        return PHRASES.get(self.reason, self.reason)

    def after_old_pods(self, hope: str) -> Problem:
        """Return the problem as one to wait for, if it may be over once an old pod gives back what it holds."""
        # a quota refuses for now, a policy always
        if self.reason == "Unschedulable" or (self.reason == REFUSED and "exceeded quota" in self.message):
            return replace(self, message=f"{self.message}; {hope}", remedy="", hope=hope)
        return self


def problem_of_pod(pod: Manifest, events: Sequence[Manifest] = ()) -> Problem | None:
    """Return why a pod is not ready; None where it is, or is on its way out.

    Args:
        pod: The pod.
        events: The events about it, the newest last.
    """
    name = pod["metadata"]["name"]
    if pod["metadata"].get("deletionTimestamp") or _is_ready(pod):
        return None
    for condition in field_at(pod, ["status", "conditions"]) or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            reason, message = condition.get("reason", ""), condition.get("message", "")
            return Problem(reason, message, UNSCHEDULABLE_REMEDY if reason == "Unschedulable" else "", name)
    for status in _container_statuses(pod):
        waiting = field_at(status, ["state", "waiting"]) or {}
        reason = "CrashLoopBackOff" if _is_crash_looping(status) else waiting.get("reason", "")
        if reason in HOPELESS:
            crashed = reason == "CrashLoopBackOff"
            message = _last_exit(status) + _asked(pod, status) if crashed else waiting.get("message", "")
            container = status["name"] if crashed else ""
            return Problem(reason, message, HOPELESS[reason], name, container, crashed)
    for event in reversed(events):
        if event.get("reason") == "Killing" and FAILED_STARTUP in event.get("message", ""):
            return _failed_startup(pod, event)
    newest = [event for event in events if event.get("reason") in ("Pulling", "FailedMount", "Unhealthy", "BackOff")]
    running = _running(pod)
    container = str(running.get("name", ""))
    asked = _asked(pod, running)
    if newest and newest[-1]["reason"] != "BackOff":
        return Problem(newest[-1]["reason"], newest[-1].get("message", "") + asked, pod=name, container=container)
    return Problem("Running" if running else "creating", asked.lstrip("; "), pod=name, container=container)


def problem_of_workload(
    maker: Manifest, events: Sequence[Manifest] = (), pods: Sequence[Manifest] = ()
) -> Problem | None:
    """Return why a workload's controller does not make all its pods; None where it does.

    Args:
        maker: What makes the pods: the workload, or of a Deployment the newest ReplicaSet.
        events: The events about it, the newest last.
        pods: The pods that it made.
    """
    for condition in field_at(maker, ["status", "conditions"]) or []:
        # its other reason is FailedDelete, which is tried again
        if (condition["type"], condition["status"], condition.get("reason")) == ("ReplicaFailure", "True", REFUSED):
            return Problem(REFUSED, condition.get("message", ""), REFUSED_REMEDY)
    refusal = refusal_among(events)
    if refusal and sum(map(_is_active, pods)) < _wanted(maker):
        return Problem(REFUSED, refusal.get("message", ""), REFUSED_REMEDY)
    return None


def refusal_among(events: Sequence[Manifest]) -> Manifest | None:
    """Return the last refusal to make a pod, unless one was made since: then it is over."""
    tries = [event for event in events if event.get("reason") in (REFUSED, "SuccessfulCreate")]
    return tries[-1] if tries and tries[-1]["reason"] == REFUSED else None


def problem_of_claim(events: Sequence[Manifest]) -> Problem | None:
    """Return why a claim gets no volume, as its events tell it.

    Args:
        events: The events about it, the newest last.
    """
    # A provisioner that failed tries again, and says so: that hides no failure.
    telling = [event for event in events if event.get("type") == "Warning"] or events
    return Problem(telling[-1].get("reason", ""), telling[-1].get("message", "")) if telling else None


def events_by_object(events: Iterable[Manifest]) -> dict[tuple[str, str], list[Manifest]]:
    """Return events by the kind and name of what they are about, the newest last."""
    grouped: dict[tuple[str, str], list[Manifest]] = {}
    for event in sorted(events, key=_when):
        about = event.get("involvedObject") or {}
        grouped.setdefault((about.get("kind", ""), about.get("name", "")), []).append(event)
    return grouped


def _when(event: Manifest) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


def _is_ready(pod: Manifest) -> bool:
    conditions = field_at(pod, ["status", "conditions"]) or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _is_active(pod: Manifest) -> bool:
    """Return whether a pod's maker counts it as one that it has."""
    over = field_at(pod, ["status", "phase"]) in ("Failed", "Succeeded")
    return not over and not pod["metadata"].get("deletionTimestamp")


def _wanted(maker: Manifest) -> int:
    paths = {"DaemonSet": ["status", "desiredNumberScheduled"], "Job": ["spec", "parallelism"]}
    wanted = field_at(maker, paths.get(maker["kind"], ["spec", "replicas"]))
    return 1 if wanted is None else int(wanted)


def _container_statuses(pod: Manifest) -> list[dict[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _running(pod: Manifest) -> Mapping[str, Any]:
    """Return the status of a container that runs without being ready; {} where none does."""
    for status in _container_statuses(pod):
        if field_at(status, ["state", "running"]) and not status.get("ready"):
            return status
    return {}


def _asked(pod: Manifest, status: Mapping[str, Any]) -> str:
    """Return what the kubelet asks a container before it counts as started or ready, as the end of a sentence.

    A probe that fails says only "HTTP 400"; what it asked, such as the readiness of one model, is the reason.
    """
    containers = field_at(pod, ["spec", "containers"]) or []
    container: Manifest = next((one for one in containers if one["name"] == status.get("name")), {})
    for kind, waits in (("startupProbe", not status.get("started")), ("readinessProbe", True)):
        probe = container.get(kind)
        if not probe or not waits:
            continue
        path = field_at(probe, ["httpGet", "path"])
        command = field_at(probe, ["exec", "command"])
        question = f"GET {path}" if path else " ".join(command) if command else "its port"
        return f"; its {kind} asks: {question}"
    return ""


def _failed_startup(pod: Manifest, event: Manifest) -> Problem:
    """Return the problem of a container that did not start in the time that it has: the next try has no more."""
    about = field_at(event, ["involvedObject", "fieldPath"]) or ""
    container = about.partition("{")[2].rstrip("}")
    message = event["message"] + _asked(pod, {"name": container})
    name = pod["metadata"]["name"]
    return Problem("StartupTooLong", message, FAILED_STARTUP_REMEDY, name, container, crashed=True)


def _is_crash_looping(status: Mapping[str, Any]) -> bool:
    """Return whether a container ended early twice, also in the moment in which it runs again."""
    ended = field_at(status, ["lastState", "terminated"]) or {}
    if status.get("ready") or status.get("restartCount", 0) < 2 or not ended.get("startedAt"):
        return False
    lasted = datetime.fromisoformat(ended["finishedAt"]) - datetime.fromisoformat(ended["startedAt"])
    return lasted.total_seconds() < SHORT_RUN_SECONDS


def _last_exit(status: Mapping[str, Any]) -> str:
    ended = field_at(status, ["lastState", "terminated"]) or field_at(status, ["state", "terminated"]) or {}
    restarts = status.get("restartCount", 0)
    code, reason = ended.get("exitCode", "?"), ended.get("reason", "?")
    return f"container {status['name']} ended with code {code} ({reason}), {restarts} restarts"


def _first_cause(message: str) -> str:
    """Return the scheduler's causes without its count of nodes and its words on preemption."""
    causes = re.sub(r"^\d+/\d+ nodes are available: ", "", message)
    return re.split(r"\. preemption|\. no new claims|\.$", causes)[0]
