# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What belongs to a release and what does not, also where others write while a run is under way."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Answer, Cluster, Resource
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import ManifestError, ReleaseError, RequestError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest, field_at
from ansible_collections.hep.sonic.plugins.plugin_utils.release.lease import LEASES
from ansible_collections.hep.sonic.plugins.plugin_utils.release.parent import Parent
from ansible_collections.hep.sonic.plugins.plugin_utils.release.release import Release
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import PART_OF_LABEL, ReleaseSpec
from tests.unit.engine.test_release import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    REPLICAS,
    SECRETS,
    Applier,
    actions,
    config_map,
    crd,
    deployment,
    release_of,
    replicas_of,
    secret,
    sources,
)

COMPANION = "sonic-release-demo"
MERGE = "application/merge-patch+json"


@pytest.fixture
def apply(cluster: Cluster, namespace: str) -> Applier:
    """Apply objects as one release of the test's namespace."""
    return lambda *objects, **options: release_of(cluster, namespace, **options).apply(sources(objects))


def names(cluster: Cluster, resource: Resource, namespace: str) -> set[str]:
    return {obj["metadata"]["name"] for obj in cluster.list(resource, namespace)} - {"kube-root-ca.crt"}


def just_before(monkeypatch: pytest.MonkeyPatch, method: str, path: str, event: Callable[[], object]) -> None:
    """Let something happen once, just before the first such request is sent."""
    request = Cluster.request
    events = [event]

    def watched(self: Cluster, a_method: str, a_path: str, **options: Any) -> Answer:
        if (a_method, a_path) == (method, path) and events:
            events.pop()()
        return request(self, a_method, a_path, **options)

    monkeypatch.setattr(Cluster, "request", watched)


# Removal


def test_a_removal_takes_what_a_run_wrote_after_it_was_planned(
    apply: Applier, cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(config_map("a"))
    hold = Release._hold

    def late(release: Release) -> Any:
        monkeypatch.setattr(Release, "_hold", hold)
        apply(config_map("b"), secret("s", "x"))
        return hold(release)

    monkeypatch.setattr(Release, "_hold", late)
    assert actions(release_of(cluster, namespace).remove()) == {"b": "deleted", "s": "deleted"}
    assert [names(cluster, kind, namespace) for kind in (CONFIG_MAPS, SECRETS, LEASES)] == [set(), set(), set()]


def test_a_removal_robs_no_run_that_waited_for_it(
    apply: Applier, cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(config_map("a"))
    path = LEASES.path(namespace, COMPANION)
    theirs = {"spec": {"holderIdentity": "another"}}
    just_before(monkeypatch, "DELETE", path, lambda: cluster.request("PATCH", path, body=theirs, content_type=MERGE))
    release_of(cluster, namespace).remove()
    assert field_at(cluster.get(LEASES, namespace, COMPANION), ["spec", "holderIdentity"]) == "another"


def test_a_removal_that_died_is_made_good_although_the_parent_is_gone(
    apply: Applier, cluster: Cluster, namespace: str
) -> None:
    apply(config_map("a"))
    apply()
    cluster.request("DELETE", SECRETS.path(namespace, COMPANION))
    assert release_of(cluster, namespace).remove().changes == []
    assert [names(cluster, kind, namespace) for kind in (SECRETS, LEASES)] == [set(), set()]


def test_removing_what_is_not_there_writes_nothing(cluster: Cluster, namespace: str) -> None:
    assert release_of(cluster, namespace).remove().changes == []
    assert names(cluster, LEASES, namespace) == set()


def test_a_plan_whose_parent_moved_is_made_again(apply: Applier, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(config_map("a"))
    read = Parent.read

    def late(on: Cluster, spec: ReleaseSpec) -> Parent:
        monkeypatch.setattr(Parent, "read", read)
        found = read(on, spec)
        apply(config_map("a"), secret("s", "x"))
        return found

    monkeypatch.setattr(Parent, "read", late)
    assert actions(apply(config_map("a", "2"))) == {"a": "configured", "s": "deleted"}


# Pruning


def test_a_kind_outside_its_group_s_preferred_version_is_pruned(
    apply: Applier, cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = f"{namespace}.example.org"
    old = crd(group)
    old["metadata"] = {"name": f"widgets.{group}"}
    old["spec"]["names"] = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    old["spec"]["versions"][0]["name"] = "v1alpha1"
    kinds = [crd(group), old]
    widget = {"apiVersion": f"{group}/v1alpha1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}}
    apply(*kinds, widget)
    _wait_for_versions(cluster, group, {"v1", "v1alpha1"})
    request = Cluster.request

    def forbidden(self: Cluster, method: str, path: str, **options: Any) -> Answer:
        if path == f"/apis/{group}":
            raise RequestError("not now", status=HTTPStatus.FORBIDDEN)
        return request(self, method, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Cluster, "request", forbidden)
        with pytest.raises(RequestError, match="not now"):
            apply(*kinds)
    assert actions(apply(*kinds))["w"] == "deleted"
    found = cluster.preferred_resource(f"Widget.{group}")
    assert found
    assert cluster.list(found, namespace) == []
    assert cluster.preferred_resource(f"Nothing.{group}") is None
    assert cluster.preferred_resource("Widget.no-such.example.org") is None


def test_a_kind_of_the_core_group_that_is_not_built_in_is_found(cluster: Cluster) -> None:
    found = cluster.preferred_resource("PodTemplate")
    assert found
    assert found.plural == "podtemplates"


def _wait_for_versions(cluster: Cluster, group: str, versions: set[str]) -> None:
    for _try in range(100):
        listed = cluster.request("GET", f"/apis/{group}").body["versions"]
        if {entry["version"] for entry in listed} == versions:
            return
        time.sleep(0.1)
    raise AssertionError("not in time")


def _touch(cluster: Cluster, path: str, **metadata: Any) -> None:
    cluster.request("PATCH", path, body={"metadata": metadata}, content_type=MERGE)


def _make_anew(cluster: Cluster, path: str, **metadata: Any) -> None:
    cluster.request("DELETE", path)
    cluster.request("POST", path.rpartition("/")[0], body=config_map("b", **metadata))


#: What happens just before the deletion (path, and labels of the release), what comes of it, and in the next run.
EVENTS: dict[str, tuple[Callable[[Cluster, str, Manifest], object], str, str | None]] = {
    "touched": (lambda cluster, path, _ours: _touch(cluster, path, annotations={"seen": "yes"}), "deleted", None),
    "deleted": (lambda cluster, path, _ours: cluster.request("DELETE", path), "deleted", None),
    "adopted": (lambda cluster, path, _ours: _touch(cluster, path, labels={PART_OF_LABEL: "another"}), "kept", None),
    "made anew": (lambda cluster, path, _ours: _make_anew(cluster, path), "kept", None),
    "restored with labels": (lambda cluster, path, ours: _make_anew(cluster, path, labels=ours), "kept", "deleted"),
}


@pytest.mark.parametrize("event", EVENTS)
def test_pruning_spares_what_became_somebody_else_s(
    apply: Applier, cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    happen, action, next_action = EVENTS[event]
    apply(secret("s", "x"), config_map("b"))
    path = CONFIG_MAPS.path(namespace, "b")
    ours = field_at(cluster.get(CONFIG_MAPS, namespace, "b"), ["metadata", "labels"])
    just_before(monkeypatch, "DELETE", path, lambda: happen(cluster, path, ours))
    assert actions(apply(secret("s", "x")))["b"] == action
    assert names(cluster, CONFIG_MAPS, namespace) == ({"b"} if action == "kept" else set())
    assert actions(apply(secret("s", "x"))).get("b") == next_action


# Somebody else's objects


def test_whose_an_object_is_comes_before_what_is_wrong_with_ours(
    apply: Applier, cluster: Cluster, namespace: str
) -> None:
    theirs = config_map("a", "theirs")
    cluster.request("POST", CONFIG_MAPS.path(namespace), body=theirs, query={"fieldManager": "helm"})
    with pytest.raises(ReleaseError, match="it belongs to helm") as error:
        apply(config_map("a", "ours"))
    assert "adopt: true" in str(error.value)
    with pytest.raises(ReleaseError, match='conflict with "helm"'):
        apply(config_map("a", "ours"), adopt=True)
    assert actions(apply(config_map("a", "ours"), adopt=True, force_conflicts=True)) == {"a": "configured"}


def test_an_adopted_object_keeps_its_initial_fields(apply: Applier, cluster: Cluster, namespace: str) -> None:
    path = DEPLOYMENTS.path(namespace)
    cluster.request("POST", path, body=deployment("d", 5), query={"fieldManager": "helm"})
    options: dict[str, Any] = {"initial": [REPLICAS], "adopt": True, "wait": False}
    preview = release_of(cluster, namespace, **options).preview(sources([deployment("d", 0)]))
    assert actions(preview) == actions(apply(deployment("d", 0), **options)) == {"d": "configured"}
    assert replicas_of(cluster, namespace) == 5


def test_what_another_run_of_the_release_made_is_no_stranger(
    apply: Applier, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = CONFIG_MAPS.path(namespace, "a")
    just_before(monkeypatch, "PATCH", path, lambda: apply(config_map("a")))
    assert actions(apply(config_map("a"))) == {"a": "unchanged"}


# Pods that need what the set brings


def test_a_set_may_bring_what_its_pods_refer_to(apply: Applier, namespace: str) -> None:
    fast, boxed = f"{namespace}-fast", f"{namespace}-boxed"
    priority = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": fast},
        "value": 10,
        "preemptionPolicy": "Never",
    }
    runtime = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": boxed},
        "handler": "runc",
        "overhead": {"podFixed": {"cpu": "10m"}},
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "own"}}
    pod: dict[str, Any] = {
        "priorityClassName": fast,
        "priority": 10,
        "preemptionPolicy": "Never",
        "runtimeClassName": boxed,
        "overhead": {"cpu": "10m"},
        "serviceAccountName": "own",
    }
    assert set(actions(apply(priority, runtime, account, deployment("d", **pod))).values()) == {"created"}
    with pytest.raises(ReleaseError, match="no PriorityClass with name missing"):
        apply(deployment("other", priorityClassName="missing"), name="other")


def test_a_full_quota_does_not_refuse_a_workload_at_zero(apply: Applier, cluster: Cluster, namespace: str) -> None:
    quotas = BUILT_IN["", "ResourceQuota"]
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q"},
        "spec": {"hard": {"requests.cpu": 0}},
    }
    cluster.request("POST", quotas.path(namespace), body=quota)
    for _try in range(100):
        if field_at(cluster.get(quotas, namespace, "q"), ["status", "hard"]):
            break
        time.sleep(0.1)
    limited = {"resources": {"requests": {"cpu": "1"}}, "name": "main", "image": "none"}
    asleep = apply(deployment("asleep", 0, containers=[limited]))
    assert (actions(asleep), "exceeded quota" in asleep.warnings[0]) == ({"asleep": "created"}, True)
    with pytest.raises(ReleaseError, match="exceeded quota"):
        apply(deployment("awake", 1, containers=[limited]), name="other")


def test_a_history_without_a_revision_is_refused(apply: Applier) -> None:
    with pytest.raises(ReleaseError, match="history_limit is 0"):
        apply(config_map("a"), history_limit=0)


def test_a_secret_s_bad_value_is_told_with_its_file(apply: Applier) -> None:
    broken = {**secret("s", "x"), "stringData": {"pin": 4711}}
    with pytest.raises(
        ManifestError, match=r"manifests/0\.yml: Secret s: stringData: the value of pin is no text"
    ) as told:
        apply(broken)
    assert "4711" not in str(told.value)
