# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When an object counts as ready, and why a pod is not."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest
from ansible_collections.hep.sonic.plugins.plugin_utils.release.diagnosis import (
    Problem,
    problem_of_claim,
    problem_of_pod,
    problem_of_workload,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.release.readiness import State, readiness_of


def obj(api_version: str, kind: str, spec: dict[str, Any], status: dict[str, Any]) -> Manifest:
    metadata = {"name": "one", "namespace": "here", "generation": 2}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec, "status": status}


def deployment(observed: int = 2, **status: Any) -> Manifest:
    return obj("apps/v1", "Deployment", {"replicas": 3}, {"observedGeneration": observed, **status})


def condition(kind: str, status: str, **more: Any) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, **more}]}


def custom(status: dict[str, Any]) -> Manifest:
    return obj("example.org/v1", "Gadget", {}, status)


def scaler(status: dict[str, Any]) -> Manifest:
    return obj("autoscaling/v2", "HorizontalPodAutoscaler", {}, status)


ALL = {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 3}


@pytest.mark.parametrize(
    ("given", "state", "text"),
    [
        (deployment(**ALL), State.READY, "3/3 ready"),
        (deployment(observed=1, **ALL), State.WAITING, "not seen by its controller yet"),
        (obj("apps/v1", "Deployment", {"replicas": 0}, {"observedGeneration": 2}), State.READY, "0/0 ready"),
        (deployment(**{**ALL, "readyReplicas": 1}), State.WAITING, "1/3 ready"),
        (deployment(**{**ALL, "replicas": 4}), State.WAITING, "2/3 ready, 1 of the old template left"),
        (
            deployment(replicas=4, updatedReplicas=1, readyReplicas=3),
            State.WAITING,
            "0/3 ready, 3 of the old template left",
        ),
        (
            deployment(**condition("Progressing", "False", reason="ProgressDeadlineExceeded", message="no progress")),
            State.WAITING,
            "0/3 ready; no progress",
        ),
        (
            obj("apps/v1", "StatefulSet", {"replicas": 2}, {"observedGeneration": 2, "readyReplicas": 2}),
            State.WAITING,
            "2/2 ready, 0/2 updated",
        ),
        (
            obj(
                "apps/v1",
                "DaemonSet",
                {},
                {
                    "observedGeneration": 2,
                    "desiredNumberScheduled": 2,
                    "numberAvailable": 2,
                    "updatedNumberScheduled": 2,
                },
            ),
            State.READY,
            "2/2 ready, 2/2 updated",
        ),
        (obj("batch/v1", "Job", {}, condition("Complete", "True")), State.READY, ""),
        (
            obj("batch/v1", "Job", {}, condition("Failed", "True", reason="BackoffLimitExceeded", message="6 tries")),
            State.FAILED,
            "BackoffLimitExceeded: 6 tries",
        ),
        (obj("v1", "Pod", {}, {"phase": "Running", **condition("Ready", "True")}), State.READY, "Running"),
        (obj("v1", "Pod", {}, {"phase": "Running", **condition("Ready", "False")}), State.WAITING, "Running"),
        (obj("v1", "Pod", {}, {"phase": "Succeeded"}), State.READY, "Succeeded"),
        (obj("v1", "Pod", {}, {"phase": "Failed", "message": "evicted"}), State.FAILED, "evicted"),
        (obj("v1", "PersistentVolumeClaim", {}, {"phase": "Bound"}), State.READY, "Bound"),
        (obj("v1", "PersistentVolumeClaim", {}, {"phase": "Lost"}), State.FAILED, "its volume is lost"),
        (obj("v1", "Service", {"type": "ClusterIP"}, {}), State.READY, ""),
        (
            obj("v1", "Service", {"type": "LoadBalancer"}, {"loadBalancer": {}}),
            State.WAITING,
            "no address from the load balancer yet",
        ),
        (
            obj("v1", "Service", {"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}),
            State.READY,
            "",
        ),
        (obj("v1", "ConfigMap", {}, {}), State.READY, ""),
        (
            obj("keda.sh/v1alpha1", "ScaledObject", {}, condition("Ready", "False", message="no such target")),
            State.WAITING,
            "no such target",
        ),
        # KEDA has not seen it
        (obj("keda.sh/v1alpha1", "ScaledObject", {}, {}), State.WAITING, "not Ready yet"),
        (obj("keda.sh/v1alpha1", "ScaledObject", {}, condition("Ready", "True")), State.READY, ""),
        (scaler({}), State.WAITING, "not seen by its controller yet"),
        (
            scaler(condition("ScalingActive", "False", reason="FailedGetExternalMetric", message="no such metric")),
            State.WAITING,
            "no such metric",
        ),
        (scaler(condition("ScalingActive", "False", reason="ScalingDisabled")), State.READY, ""),
        (scaler(condition("ScalingActive", "True")), State.READY, ""),
        (
            custom({"observedGeneration": 1, **condition("Ready", "True")}),
            State.WAITING,
            "not seen by its controller yet",
        ),
        (custom({"observedGeneration": 1}), State.WAITING, "not seen by its controller yet"),
        (custom({"observedGeneration": 2, **condition("Ready", "True")}), State.READY, ""),
        (custom({"observedGeneration": "1", **condition("Ready", "True")}), State.READY, ""),
        (custom(condition("Ready", "True", observedGeneration=1)), State.WAITING, "not seen by its controller yet"),
        (custom(condition("Ready", "True", observedGeneration=2)), State.READY, ""),
        (custom({}), State.READY, ""),
        (obj("apiregistration.k8s.io/v1", "APIService", {}, {}), State.WAITING, "not Available yet"),
        (
            obj("apiextensions.k8s.io/v1", "CustomResourceDefinition", {}, condition("Established", "True")),
            State.READY,
            "",
        ),
    ],
)
def test_readiness_is_read_from_the_status(given: Manifest, state: State, text: str) -> None:
    assert (readiness_of(given).state, readiness_of(given).text) == (state, text)


def pod(*statuses: dict[str, Any], **status: Any) -> Manifest:
    return obj("v1", "Pod", {}, {"containerStatuses": list(statuses), **status})


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"name": "triton", "ready": False, "state": {"waiting": {"reason": reason, "message": message}}}


def crashed(seconds: int, restarts: int) -> dict[str, Any]:
    ended = {
        "exitCode": 1,
        "reason": "Error",
        "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": f"2026-01-01T00:00:{seconds:02}Z",
    }
    return {
        "name": "triton",
        "ready": False,
        "restartCount": restarts,
        "state": {"running": {"startedAt": "2026-01-01T00:01:00Z"}},
        "lastState": {"terminated": ended},
    }


@pytest.mark.parametrize(
    ("given", "reason", "hopeless"),
    [
        (pod(waiting("ImagePullBackOff", "no such image")), "ImagePullBackOff", True),
        (pod(waiting("CreateContainerConfigError", "no such key")), "CreateContainerConfigError", True),
        (pod(waiting("ContainerCreating")), "creating", False),
        (pod(crashed(seconds=3, restarts=2)), "CrashLoopBackOff", True),
        (pod(crashed(seconds=3, restarts=1)), "Running", False),
        (pod(crashed(seconds=55, restarts=4)), "Running", False),
        (pod(**condition("PodScheduled", "False", reason="Unschedulable", message="0/1 nodes")), "Unschedulable", True),
        (pod(**condition("PodScheduled", "False", reason="SchedulingGated")), "SchedulingGated", False),
    ],
)
def test_a_pod_says_why_it_is_not_ready(given: Manifest, reason: str, hopeless: bool) -> None:
    problem = problem_of_pod(given)
    assert problem is not None
    assert (problem.reason, problem.hopeless) == (reason, hopeless)


@pytest.mark.parametrize(
    "given", [pod(**condition("Ready", "True")), {**pod(), "metadata": {"name": "x", "deletionTimestamp": "now"}}]
)
def test_a_pod_that_is_ready_or_leaving_has_no_problem(given: Manifest) -> None:
    assert problem_of_pod(given) is None


def test_progress_names_the_scheduler_s_cause_without_its_count() -> None:
    message = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available."
    given = pod(**condition("PodScheduled", "False", reason="Unschedulable", message=message))
    problem = problem_of_pod(given)
    assert problem
    assert problem.phrase == "waiting for a node: 2 Insufficient nvidia.com/gpu"


def test_a_workload_whose_pods_are_refused_says_why() -> None:
    refused = condition("ReplicaFailure", "True", reason="FailedCreate", message="exceeded quota")
    problem = problem_of_workload(deployment(**refused))
    assert problem
    assert (problem.message, problem.hopeless) == ("exceeded quota", True)


def test_a_refusal_is_told_although_some_pods_are_there() -> None:
    refused = condition("ReplicaFailure", "True", reason="FailedCreate", message="exceeded quota")
    problem = problem_of_workload(deployment(**refused), (), [pod(), pod(), pod()])
    assert problem
    assert problem.message == "exceeded quota"


FAILED = {"reason": "FailedCreate", "message": "denied by policy"}
MADE = {"reason": "SuccessfulCreate", "message": "Created pod"}
LEAVING = {**pod(), "metadata": {"name": "x", "deletionTimestamp": "now"}}
STATEFUL_SET = obj("apps/v1", "StatefulSet", {"replicas": 2}, {})
DAEMON_SET = obj("apps/v1", "DaemonSet", {}, {"desiredNumberScheduled": 2})
JOB = obj("batch/v1", "Job", {"parallelism": 2}, {})


@pytest.mark.parametrize("workload", [STATEFUL_SET, DAEMON_SET, JOB])
@pytest.mark.parametrize(
    ("events", "pods", "refused"),
    [
        ([MADE, FAILED], [pod()], True),
        ([MADE, FAILED], [pod(), LEAVING], True),
        ([MADE, FAILED], [pod(), pod(phase="Failed")], True),
        ([MADE, FAILED], [pod(), pod()], False),
        ([FAILED, MADE], [pod()], False),
        ([FAILED, MADE], [], False),
        ([], [], False),
    ],
)
def test_a_refusal_is_over_when_a_pod_was_made_since_or_all_are_there(
    workload: Manifest, events: list[Manifest], pods: list[Manifest], refused: bool
) -> None:
    assert (problem_of_workload(workload, events, pods) is not None) == refused


@pytest.mark.parametrize(
    ("reason", "message", "hopeless"),
    [
        ("Unschedulable", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", False),
        ("FailedCreate", 'pods "x" is forbidden: exceeded quota: q', False),
        ("FailedCreate", "denied by policy", True),
        ("CrashLoopBackOff", "", True),
    ],
)
def test_the_end_of_an_old_pod_cures_what_is_full(reason: str, message: str, hopeless: bool) -> None:
    problem = Problem(reason, message, "Do something.").after_old_pods("waiting for the old pod x to end")
    assert problem.hopeless == hopeless
    assert (problem.phrase == "waiting for the old pod x to end") == (not hopeless)


FAILED_CLAIM = {"type": "Warning", "reason": "ProvisioningFailed", "message": "no such storage class"}
EXTERNAL_CLAIM = {"type": "Normal", "reason": "ExternalProvisioning", "message": "waiting for a volume"}


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([FAILED_CLAIM, EXTERNAL_CLAIM], "ProvisioningFailed"),
        ([EXTERNAL_CLAIM], "ExternalProvisioning"),
        ([], None),
    ],
)
def test_a_claim_says_why_it_gets_no_volume(events: list[Manifest], reason: str | None) -> None:
    problem = problem_of_claim(events)
    assert (problem.reason if problem else None) == reason


def probed(started: bool) -> Manifest:
    running = {"name": "triton", "ready": False, "started": started, "state": {"running": {"startedAt": "now"}}}
    probes = {
        "startupProbe": {"httpGet": {"path": "/v2/models/deepmet/ready"}},
        "readinessProbe": {"exec": {"command": ["curl", "--fail", "one", "two"]}},
    }
    return {**pod(running), "spec": {"containers": [{"name": "triton", **probes}]}}


@pytest.mark.parametrize(
    ("given", "question"),
    [
        (probed(started=False), "startupProbe asks: GET /v2/models/deepmet/ready"),
        (probed(started=True), "readinessProbe asks: curl --fail one two"),
    ],
)
def test_a_container_that_is_not_ready_is_told_with_what_it_is_asked(given: Manifest, question: str) -> None:
    unhealthy = {"reason": "Unhealthy", "message": "probe failed: 400"}
    for events in ([], [unhealthy]):
        problem = problem_of_pod(given, events)
        assert problem
        assert problem.message.endswith(question)


def test_a_container_that_did_not_start_in_its_time_is_not_waited_for() -> None:
    killing = "Container triton failed startup probe, will be restarted"
    events: list[Manifest] = [
        {"reason": "Unhealthy", "message": "probe failed: 400"},
        {"reason": "Killing", "message": killing, "involvedObject": {"fieldPath": "spec.containers{triton}"}},
        {"reason": "Started", "message": "Started container triton"},
    ]
    problem = problem_of_pod(probed(started=False), events)
    assert problem
    assert problem.message == f"{killing}; its startupProbe asks: GET /v2/models/deepmet/ready"
    assert (problem.hopeless, problem.container, problem.crashed) == (True, "triton", True)


def test_a_container_that_is_ended_for_another_reason_may_yet_start() -> None:
    problem = problem_of_pod(probed(started=False), [{"reason": "Killing", "message": "Stopping container triton"}])
    assert problem
    assert not problem.hopeless
