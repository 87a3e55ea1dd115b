# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting against a real API server: what a release waits for, what it gives up, and what it says meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import NotReadyError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Identity, Manifest, field_at
from ansible_collections.hep.sonic.plugins.plugin_utils.release.release import Outcome, Release
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import InitialFields, ReleaseSpec
from ansible_collections.hep.sonic.plugins.plugin_utils.render import Rendered
from tests.lab import pretended

PODS = BUILT_IN["", "Pod"]
HELD = "example.org/held"

Applier = Callable[..., Outcome]


@pytest.fixture
def said() -> list[str]:
    """The lines of progress."""
    return []


@pytest.fixture
def apply(cluster: Cluster, namespace: str, said: list[str]) -> Applier:
    """Apply objects as one release; `when` a line of progress contains a text for the first time, call something."""

    def run(*objects: Manifest, when: tuple[str, Callable[[], None]] | None = None, **options: Any) -> Outcome:
        waited = [when] if when else []

        def progress(line: str) -> None:
            said.append(line)
            if waited and waited[0][0] in line:
                threading.Thread(target=waited.pop()[1]).start()

        given = {"name": "demo", "namespace": namespace, "instance": "demo", "wait_timeout": 60, **options}
        rendered = [Rendered(obj, f"manifests/{index}.yml") for index, obj in enumerate(objects)]
        return Release(cluster, ReleaseSpec(**given), progress).apply(rendered)

    return run


@pytest.fixture
def add_node(cluster: Cluster, namespace: str) -> Iterator[Callable[[], None]]:
    """Add a pretended node with one GPU, for the pods of the test and as long as it lasts."""

    def add() -> None:
        node = pretended.node(namespace, labels={"for": namespace}, resources={"nvidia.com/gpu": "1"})
        cluster.request("POST", BUILT_IN["", "Node"].path(), body=node)

    yield add
    cluster.delete(BUILT_IN["", "Node"], Identity("", "Node", "", namespace))


def deployment(namespace: str, image: str = "one", replicas: int = 1, **spec: Any) -> Manifest:
    """Return a Deployment on the node of the test, whose old pods go first and only when they are let go."""
    container = {"name": "main", "image": image, "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    pod = {
        "containers": [container],
        "nodeSelector": {"for": namespace},
        "tolerations": [pretended.toleration()],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "models"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "models"}},
            "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": {"metadata": {"labels": {"app": "models"}, "finalizers": [HELD]}, "spec": pod},
            **spec,
        },
    }


def claim(storage_class: str) -> Manifest:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models"},
        "spec": {**spec, "storageClassName": storage_class},
    }


def limit_pods(cluster: Cluster, namespace: str, count: int) -> None:
    """Set a quota that a pod weighs on as long as it exists."""
    quotas = BUILT_IN["", "ResourceQuota"]
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}}
    cluster.request("POST", quotas.path(namespace), body={**body, "spec": {"hard": {"count/pods": str(count)}}})
    wait_for(lambda: field_at(cluster.get(quotas, namespace, "q"), ["status", "hard"]))


def let_go(cluster: Cluster, namespace: str, after: float) -> None:
    """Let the old pods end, so many seconds from now."""
    threading.Event().wait(after)
    for pod in cluster.list(PODS, namespace):
        if pod["metadata"].get("deletionTimestamp"):
            path = PODS.path(namespace, pod["metadata"]["name"])
            body = {"metadata": {"finalizers": None}}
            cluster.request("PATCH", path, body=body, content_type="application/merge-patch+json")


def wait_for(condition: Callable[[], Any]) -> None:
    for _try in range(200):
        if condition():
            return
        threading.Event().wait(0.1)
    raise AssertionError("not in time")


@pytest.mark.parametrize("full", ["site", "quota"])
def test_a_new_pod_waits_for_what_the_old_one_still_holds(
    apply: Applier, cluster: Cluster, namespace: str, add_node: Callable[[], None], full: str
) -> None:
    add_node()
    if full == "quota":
        limit_pods(cluster, namespace, 1)
    apply(deployment(namespace))
    # 6 s after the first refusal the next try to make a pod is 4 s away, longer than the grace
    when = ("waiting for the old pod models-", lambda: let_go(cluster, namespace, after=5))
    apply(deployment(namespace, image="two"), failure_grace=1, when=when)
    images = [field_at(pod, ["spec", "containers"])[0]["image"] for pod in cluster.list(PODS, namespace)]
    assert images == ["two"]


def test_a_new_pod_without_a_place_is_given_up_once_the_old_one_has_ended(
    apply: Applier, cluster: Cluster, namespace: str, said: list[str], add_node: Callable[[], None]
) -> None:
    add_node()
    apply(deployment(namespace))
    lost = deployment(namespace, image="two")
    lost["spec"]["template"]["spec"]["nodeSelector"] = {"no": "such-node"}
    when = ("waiting for the old pod models-", lambda: let_go(cluster, namespace, after=0))
    with pytest.raises(NotReadyError, match="waiting longer would not help"):
        apply(lost, failure_grace=1, when=when)
    assert "waiting for a node" in said[-1]


def test_a_refusal_is_told_although_some_pods_are_there(
    apply: Applier, cluster: Cluster, namespace: str, add_node: Callable[[], None]
) -> None:
    add_node()
    limit_pods(cluster, namespace, 1)
    with pytest.raises(NotReadyError, match="waiting longer would not help") as error:
        apply(deployment(namespace, replicas=2), failure_grace=1)
    assert "its pods: FailedCreate: " in str(error.value)
    assert "exceeded quota" in str(error.value)


def test_who_scales_may_want_more_than_there_is_room_for(
    apply: Applier, cluster: Cluster, namespace: str, said: list[str], add_node: Callable[[], None]
) -> None:
    add_node()  # room for one
    scaled = {"initial": [InitialFields("Deployment", (("spec", "replicas"),))], "failure_grace": 1}
    apply(deployment(namespace), **scaled)
    path = BUILT_IN["apps", "Deployment"].path(namespace, "models") + "/scale"
    body = {"spec": {"replicas": 3}}
    cluster.request("PATCH", path, body=body, content_type="application/merge-patch+json")
    wait_for(lambda: len(cluster.list(PODS, namespace)) == 3)
    apply(deployment(namespace), **scaled)
    assert said[-1] == "models serves: 1/3 ready, the others when there is room for them"
    # a new template is another matter: what serves is the old one
    lost = deployment(namespace, image="two")
    lost["spec"]["template"]["spec"]["nodeSelector"] = {"no": "such-node"}
    with pytest.raises(NotReadyError, match="waiting longer would not help"):
        apply(lost, **scaled, when=("waiting for the old pod models-", lambda: let_go(cluster, namespace, after=0)))


def test_a_rerun_waits_for_what_was_too_late_in_the_run_before(
    apply: Applier, cluster: Cluster, namespace: str, add_node: Callable[[], None]
) -> None:
    late = deployment(namespace, progressDeadlineSeconds=1)
    apply(late, wait=False)

    def too_late() -> bool:
        live = cluster.get(BUILT_IN["apps", "Deployment"], namespace, "models")
        conditions = field_at(live, ["status", "conditions"]) or []
        return any(condition["reason"] == "ProgressDeadlineExceeded" for condition in conditions)

    wait_for(too_late)
    apply(late, when=("models 0/1 ready; ", add_node))


def test_a_claim_without_a_volume_says_why(apply: Applier) -> None:
    with pytest.raises(NotReadyError) as error:
        apply(claim("no-such-class"), wait_timeout=4)
    assert 'its volume: ProvisioningFailed: storageclass.storage.k8s.io "no-such-class" not found' in str(error.value)


def test_what_says_so_is_not_waited_for(apply: Applier) -> None:
    missing = claim("no-such-class")
    missing["metadata"]["annotations"] = {"hep.sonic/wait": "false"}
    assert [change.action for change in apply(missing, wait_timeout=4).changes] == ["created"]


def test_objects_of_one_name_tell_their_progress_once(apply: Applier, namespace: str, said: list[str]) -> None:
    with pytest.raises(NotReadyError, match="time is up"):
        apply(claim("no-such-class"), deployment(namespace), failure_grace=0, wait_timeout=5)
    texts = [line.rpartition(" (")[0] for line in said]
    assert any(text.startswith("models Pending") for text in texts)
    assert any(text.startswith("models 0/1 ready") for text in texts)
    assert len(texts) == len(set(texts))


def test_a_node_that_is_down_keeps_no_daemon_set_waiting(
    apply: Applier, cluster: Cluster, namespace: str, said: list[str], add_node: Callable[[], None]
) -> None:
    add_node()
    down = pretended.node(f"{namespace}-down", labels={"for": namespace})
    del down["metadata"]["annotations"]  # nobody pretends that it works
    nodes = BUILT_IN["", "Node"]
    cluster.request("POST", nodes.path(), body=down)
    pod = {
        "containers": [{"name": "main", "image": "one"}],
        "nodeSelector": {"for": namespace},
        "tolerations": [pretended.toleration(), {"operator": "Exists"}],
    }
    plugin = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "plugin"},
        "spec": {
            "selector": {"matchLabels": {"app": "plugin"}},
            "template": {"metadata": {"labels": {"app": "plugin"}}, "spec": pod},
        },
    }
    try:
        apply(plugin)
        assert any(f"plugin ready, but not on nodes that are down: {namespace}-down" in line for line in said)
        ready = field_at(cluster.get(BUILT_IN["apps", "DaemonSet"], namespace, "plugin"), ["status", "numberReady"])
        assert ready == 1
    finally:
        cluster.delete(nodes, Identity("", "Node", "", f"{namespace}-down"))
