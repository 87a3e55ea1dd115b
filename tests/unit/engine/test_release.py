# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases against a real API server: what is written, refused, pruned, handed over and recorded."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from urllib3.exceptions import InsecureRequestWarning

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Access, Answer, Cluster, Resource
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import (
    AccessError,
    ManifestError,
    NotReadyError,
    ReleaseError,
    RequestError,
    SonicError,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest, field_at
from ansible_collections.hep.sonic.plugins.plugin_utils.release.lease import Lease
from ansible_collections.hep.sonic.plugins.plugin_utils.release.release import Outcome, Release
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import InitialFields, ReleaseSpec
from ansible_collections.hep.sonic.plugins.plugin_utils.render import Rendered

CONFIG_MAPS = BUILT_IN["", "ConfigMap"]
SECRETS = BUILT_IN["", "Secret"]
DEPLOYMENTS = BUILT_IN["apps", "Deployment"]
NAMESPACES = BUILT_IN["", "Namespace"]

Applier = Callable[..., Outcome]


def config_map(name: str, value: str = "1", **metadata: Any) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"key": value}}


def secret(name: str, value: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"password": value}}


def deployment(name: str, replicas: int | None = 0, **pod: Any) -> Manifest:
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": "none"}], **pod},
        },
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def new_namespace(name: str, **labels: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def crd(group: str) -> Manifest:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gadgets.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def release_of(cluster: Cluster, namespace: str, said: list[str] | None = None, **options: Any) -> Release:
    spec = ReleaseSpec(**{"name": "demo", "namespace": namespace, "instance": "demo", "wait_timeout": 20, **options})
    return Release(cluster, spec, (said if said is not None else []).append)


def sources(objects: Sequence[Manifest]) -> list[Rendered]:
    return [Rendered(obj, f"manifests/{index}.yml") for index, obj in enumerate(objects)]


def actions(outcome: Outcome) -> dict[str, str]:
    return {change.identity.name: change.action for change in outcome.changes}


@pytest.fixture
def apply(cluster: Cluster, namespace: str) -> Applier:
    """Apply objects as one release of the test's namespace."""
    return lambda *objects, **options: release_of(cluster, namespace, **options).apply(sources(objects))


def test_objects_are_created_then_unchanged_then_configured(apply: Applier) -> None:
    assert actions(apply(config_map("a"), config_map("b"))) == {"a": "created", "b": "created"}
    assert actions(apply(config_map("a"), config_map("b"))) == {"a": "unchanged", "b": "unchanged"}
    assert actions(apply(config_map("a"), config_map("b", "2"))) == {"a": "unchanged", "b": "configured"}


def test_an_unchanged_run_writes_nothing(apply: Applier, cluster: Cluster, namespace: str) -> None:
    objects = [config_map("a"), secret("s", "x"), deployment("d")]
    apply(*objects)
    kinds = [CONFIG_MAPS, SECRETS, DEPLOYMENTS, BUILT_IN["coordination.k8s.io", "Lease"]]

    def versions() -> list[list[str]]:
        return [[obj["metadata"]["resourceVersion"] for obj in cluster.list(kind, namespace)] for kind in kinds]

    before = versions()
    assert apply(*objects).revision == 1
    assert versions() == before


def test_an_unchanged_run_costs_a_request_an_object_and_one_a_kind(
    apply: Applier, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = [config_map(f"c{index}") for index in range(20)] + [secret("s", "x")]
    apply(*objects)
    sent: list[str] = []
    request = Cluster.request

    def counted(self: Cluster, method: str, path: str, **options: Any) -> Answer:
        sent.append(path)
        return request(self, method, path, **options)

    monkeypatch.setattr(Cluster, "request", counted)
    apply(*objects)
    assert len(sent) <= len(objects) + 2 + 4


def test_what_left_the_set_is_pruned_and_what_others_made_is_not(
    apply: Applier, cluster: Cluster, namespace: str
) -> None:
    cluster.request("POST", CONFIG_MAPS.path(namespace), body=config_map("foreign"))
    apply(config_map("a"), config_map("b"), deployment("d"))
    assert actions(apply(config_map("a"))) == {"a": "unchanged", "b": "deleted", "d": "deleted"}
    left = {obj["metadata"]["name"] for obj in cluster.list(CONFIG_MAPS, namespace)}
    assert left == {"a", "foreign", "kube-root-ca.crt"}
    assert cluster.list(DEPLOYMENTS, namespace) == []


def test_two_releases_in_one_namespace_leave_each_other_alone(apply: Applier, cluster: Cluster, namespace: str) -> None:
    apply(config_map("a"))
    apply(config_map("b"), name="other")
    apply(name="other")
    assert cluster.get(CONFIG_MAPS, namespace, "a")
    assert cluster.get(CONFIG_MAPS, namespace, "b") is None


def test_claims_are_kept_unless_asked(apply: Applier) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": spec}
    apply(claim, wait=False)
    assert actions(apply()) == {"data": "kept"}
    assert actions(apply()) == {"data": "kept"}
    assert actions(apply(prune_protected=True)) == {"data": "deleted"}


def test_removal_takes_everything_of_the_release_and_nothing_else(
    apply: Applier, cluster: Cluster, namespace: str
) -> None:
    cluster.request("POST", CONFIG_MAPS.path(namespace), body=config_map("foreign"))
    apply(config_map("a"), secret("s", "x"), deployment("d"))
    assert actions(release_of(cluster, namespace).remove()) == {"a": "deleted", "s": "deleted", "d": "deleted"}

    def names(resource: Resource) -> set[str]:
        return {obj["metadata"]["name"] for obj in cluster.list(resource, namespace)}

    assert names(CONFIG_MAPS) == {"foreign", "kube-root-ca.crt"}
    assert names(SECRETS) == set()
    assert names(BUILT_IN["coordination.k8s.io", "Lease"]) == set()
    assert release_of(cluster, namespace).remove().changes == []


def test_a_preview_writes_nothing_and_tells_what_apply_then_does(
    apply: Applier, cluster: Cluster, namespace: str
) -> None:
    apply(config_map("a"), config_map("b"), config_map("c"))
    changed = [config_map("a"), config_map("b", "2"), config_map("d")]
    preview = release_of(cluster, namespace).preview(sources(changed))
    assert actions(preview) == {"a": "unchanged", "b": "configured", "d": "created", "c": "deleted"}
    assert cluster.get(CONFIG_MAPS, namespace, "d") is None
    differences = {str(change.identity): change.difference() for change in preview.changes if change.changes}
    done = apply(*changed)
    assert actions(done) == actions(preview)
    assert {str(change.identity): change.difference() for change in done.changes if change.changes} == differences


def test_a_set_may_bring_its_own_namespace_and_kinds(cluster: Cluster, namespace: str) -> None:
    home, group = f"{namespace}-home", f"{namespace}.example.org"
    gadget = {"apiVersion": f"{group}/v1", "kind": "Gadget", "metadata": {"name": "g"}, "spec": {"size": 1}}
    objects = sources([gadget, config_map("a"), crd(group), new_namespace(home)])
    preview = release_of(cluster, home).preview(objects)
    assert set(actions(preview).values()) == {"created"}
    done = release_of(cluster, home).apply(objects)
    assert actions(done) == actions(preview)
    assert set(actions(release_of(cluster, home).apply(objects)).values()) == {"unchanged"}
    kept = release_of(cluster, home).remove()
    assert actions(kept) == {"g": "deleted", "a": "deleted", f"gadgets.{group}": "kept", home: "kept"}


def test_a_set_may_be_its_own_namespace_alone(cluster: Cluster, namespace: str) -> None:
    home = f"{namespace}-home"
    release = release_of(cluster, home)
    assert actions(release.apply(sources([new_namespace(home)]))) == {home: "created"}
    assert actions(release.apply(sources([new_namespace(home)]))) == {home: "unchanged"}


def test_a_namespace_that_is_not_there_is_told_at_once(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(RequestError, match="not found"):
        release_of(cluster, f"{namespace}-none").apply(sources([new_namespace(f"{namespace}-other")]))


def test_check_mode_takes_planned_namespaces_and_kinds_as_there(cluster: Cluster) -> None:
    scaled = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "so"}, "spec": {}}
    planned: dict[str, Any] = {
        "planned_namespaces": frozenset({"later"}),
        "planned_kinds": frozenset({"keda.sh/ScaledObject"}),
    }
    preview = release_of(cluster, "later", **planned).preview(sources([config_map("a"), scaled]))
    assert actions(preview) == {"a": "created", "so": "created"}


REFUSED = {
    "an unknown field": ({**config_map("bad"), "datta": {}}, "field not declared in schema"),
    "a wrong type": ({**config_map("bad"), "data": {"key": 7}}, "manifests/1.yml: ConfigMap"),
    "an invalid name": (config_map("Not_A_Name"), "RFC 1123"),
    "a missing namespace": (config_map("bad", namespace="nowhere"), 'namespaces "nowhere" not found'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_one_refused_object_keeps_all_from_being_written(
    apply: Applier, cluster: Cluster, namespace: str, case: str
) -> None:
    bad, text = REFUSED[case]
    with pytest.raises(ReleaseError, match="none was written") as error:
        apply(config_map("good"), bad)
    assert text in str(error.value)
    assert cluster.get(CONFIG_MAPS, namespace, "good") is None


UNKNOWN = {"apiVersion": "example.org/v1", "kind": "Nonsense", "metadata": {"name": "x"}}


@pytest.mark.parametrize(
    ("objects", "texts"),
    [
        ([config_map("a"), config_map("a")], ["manifests/1.yml: ConfigMap", "already given by manifests/0.yml"]),
        ([UNKNOWN], ["manifests/0.yml: the API server knows no kind Nonsense in example.org/v1"]),
        ([{"apiVersion": "v1", "kind": "Secret", "metadata": {}}], ["manifests/0.yml: metadata.name must be given"]),
        ([new_namespace("x") | {"metadata": {"name": "x", "namespace": "y"}}], ["a Namespace has no namespace"]),
        ([UNKNOWN, config_map("a"), config_map("a")], ["Nonsense", "already given"]),
    ],
)
def test_a_malformed_set_is_refused_with_all_its_faults(
    apply: Applier, objects: list[Manifest], texts: list[str]
) -> None:
    with pytest.raises(ManifestError) as error:
        apply(*objects)
    assert all(text in str(error.value) for text in texts)


def test_a_pod_that_a_policy_refuses_keeps_all_from_being_written(cluster: Cluster, namespace: str) -> None:
    home = f"{namespace}-strict"
    strict = new_namespace(home, **{"pod-security.kubernetes.io/enforce": "restricted"})
    release_of(cluster, namespace).apply(sources([strict]))
    with pytest.raises(ReleaseError, match="violates PodSecurity"):
        release_of(cluster, home).apply(sources([config_map("a"), deployment("root")]))
    assert cluster.get(CONFIG_MAPS, home, "a") is None


def test_a_full_quota_refuses_a_new_workload_and_only_warns_of_a_rollout(
    apply: Applier, cluster: Cluster, namespace: str
) -> None:
    limited = {"resources": {"requests": {"cpu": "1"}}, "name": "main", "image": "none"}
    apply(deployment("old", containers=[limited]))
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q"},
        "spec": {"hard": {"requests.cpu": 0}},
    }
    cluster.request("POST", BUILT_IN["", "ResourceQuota"].path(namespace), body=quota)
    _wait_for(lambda: field_at(cluster.get(BUILT_IN["", "ResourceQuota"], namespace, "q"), ["status", "hard"]))
    rolled = apply(deployment("old", containers=[{**limited, "image": "other"}]))
    assert "exceeded quota" in rolled.warnings[0]
    with pytest.raises(ReleaseError, match="exceeded quota"):
        apply(deployment("new", 1, containers=[limited]), name="other")


def test_somebody_else_s_object_is_not_taken_over_unless_asked(
    apply: Applier, cluster: Cluster, namespace: str
) -> None:
    cluster.request("POST", CONFIG_MAPS.path(namespace), body=config_map("a"), query={"fieldManager": "helm"})
    with pytest.raises(ReleaseError, match="it belongs to helm") as error:
        apply(config_map("a"))
    assert "adopt: true" in str(error.value)
    assert actions(apply(config_map("a"), adopt=True)) == {"a": "configured"}
    with pytest.raises(ReleaseError, match="it belongs to release demo"):
        apply(config_map("a"), name="other")


def test_a_field_that_somebody_else_owns_is_not_taken_over_unless_asked(
    apply: Applier, cluster: Cluster, namespace: str
) -> None:
    apply(config_map("a"))
    path = CONFIG_MAPS.path(namespace, "a")
    theirs = {**config_map("a", "theirs"), "metadata": {"name": "a", "namespace": namespace}}
    query = {"fieldManager": "gitops", "force": "true"}
    cluster.request("PATCH", path, query=query, body=theirs, content_type="application/apply-patch+yaml")
    with pytest.raises(ReleaseError, match='conflict with "gitops"') as error:
        apply(config_map("a", "ours"))
    assert "force_conflicts" in str(error.value)
    apply(config_map("a", "ours"), force_conflicts=True)
    assert field_at(cluster.get(CONFIG_MAPS, namespace, "a"), ["data", "key"]) == "ours"


REPLICAS = InitialFields("Deployment", (("spec", "replicas"),))


def scale(cluster: Cluster, namespace: str, replicas: int) -> None:
    path = DEPLOYMENTS.path(namespace, "d") + "/scale"
    body = {"spec": {"replicas": replicas}}
    cluster.request("PATCH", path, body=body, content_type="application/merge-patch+json")


def replicas_of(cluster: Cluster, namespace: str) -> Any:
    return field_at(cluster.get(DEPLOYMENTS, namespace, "d"), ["spec", "replicas"])


def test_an_initial_field_is_set_once_and_then_left_to_others(apply: Applier, cluster: Cluster, namespace: str) -> None:
    options: dict[str, Any] = {"initial": [REPLICAS], "wait": False}
    apply(deployment("d", 0), **options)
    assert replicas_of(cluster, namespace) == 0
    scale(cluster, namespace, 5)
    assert actions(apply(deployment("d", 0), **options)) == {"d": "unchanged"}
    assert actions(apply(deployment("d", 0, serviceAccountName="default"), **options)) == {"d": "configured"}
    assert replicas_of(cluster, namespace) == 5


def test_a_field_that_becomes_initial_keeps_its_live_value(apply: Applier, cluster: Cluster, namespace: str) -> None:
    apply(deployment("d", 3), wait=False)
    assert actions(apply(deployment("d", 1), initial=[REPLICAS], wait=False)) == {"d": "unchanged"}
    template = {"serviceAccountName": "default"}
    apply(deployment("d", 1, **template), initial=[REPLICAS], wait=False)
    assert replicas_of(cluster, namespace) == 3
    scale(cluster, namespace, 7)
    apply(deployment("d", None, **template), initial=[REPLICAS], wait=False)
    assert replicas_of(cluster, namespace) == 7


def test_a_generated_password_survives_the_next_run_and_makes_no_revision(
    apply: Applier, cluster: Cluster, namespace: str
) -> None:
    initial = [InitialFields("Secret", (("data", "password"),), "s")]
    first = apply(secret("s", "first"), initial=initial)
    again = apply(secret("s", "second"), initial=initial)
    live = cluster.get(SECRETS, namespace, "s")
    assert base64.b64decode(field_at(live, ["data", "password"])) == b"first"
    assert (first.revision, again.revision, actions(again)) == (1, 1, {"s": "unchanged"})


def test_each_changed_set_is_recorded_and_old_revisions_go(apply: Applier, cluster: Cluster, namespace: str) -> None:
    revisions = [apply(config_map("a", str(value)), history_limit=2).revision for value in (1, 2, 2, 3, 1)]
    assert revisions == [1, 2, 2, 3, 4]
    kept = cluster.list(SECRETS, namespace, labels="hep.sonic/revision")
    assert sorted(obj["metadata"]["name"] for obj in kept) == ["sonic-release-demo.v3", "sonic-release-demo.v4"]
    newest = next(obj for obj in kept if obj["metadata"]["name"].endswith("v4"))
    recorded = json.loads(gzip.decompress(base64.b64decode(newest["data"]["release"])))
    assert recorded["objects"][0]["data"] == {"key": "1"}


def test_a_workload_without_a_node_is_reported_long_before_the_time_is_up(apply: Applier) -> None:
    lost = deployment("lost", 1, nodeSelector={"no": "such-node"})
    with pytest.raises(NotReadyError, match="waiting longer would not help") as error:
        apply(lost, failure_grace=1, wait_timeout=60)
    assert "Deployment" in str(error.value)
    assert "Unschedulable" in str(error.value)


def test_a_failed_wait_prunes_nothing_and_records_nothing(apply: Applier, cluster: Cluster, namespace: str) -> None:
    apply(config_map("a"))
    with pytest.raises(NotReadyError):
        apply(deployment("lost", 1, nodeSelector={"no": "such-node"}), failure_grace=1)
    assert cluster.get(CONFIG_MAPS, namespace, "a")
    assert len(cluster.list(SECRETS, namespace, labels="hep.sonic/revision")) == 1


def test_a_second_run_waits_for_the_first_and_says_so(cluster: Cluster, namespace: str) -> None:
    said: list[str] = []
    spec = ReleaseSpec(name="demo", namespace=namespace, instance="demo")
    with Lease(cluster, spec, print):
        second = threading.Thread(target=lambda: release_of(cluster, namespace, said).apply(sources([config_map("a")])))
        second.start()
        second.join(2)
        assert second.is_alive()
        assert cluster.get(CONFIG_MAPS, namespace, "a") is None
    second.join(10)
    assert cluster.get(CONFIG_MAPS, namespace, "a")
    assert any("is held by" in line for line in said)


def test_a_held_release_is_refused_when_the_time_is_up(cluster: Cluster, namespace: str) -> None:
    spec = ReleaseSpec(name="demo", namespace=namespace, instance="demo")
    with Lease(cluster, spec, print), pytest.raises(ReleaseError, match="is being changed by"):
        release_of(cluster, namespace, wait_timeout=1).apply(sources([config_map("a")]))


def test_without_a_dry_run_the_objects_are_sent_once(apply: Applier) -> None:
    assert actions(apply(config_map("a"), dry_run_first=False)) == {"a": "created"}
    assert actions(apply(config_map("a"), dry_run_first=False)) == {"a": "unchanged"}
    assert actions(apply(config_map("a", "2"), dry_run_first=False)) == {"a": "configured"}


@pytest.fixture
def tenant(cluster: Cluster, namespace: str, kubeconfig: Path) -> Access:
    """Access as a user who may edit the test's namespace and nothing else."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "User", "name": "tenant", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    cluster.request("POST", BUILT_IN["rbac.authorization.k8s.io", "RoleBinding"].path(namespace), body=binding)
    return Access(kubeconfig=str(kubeconfig), impersonate_user="tenant")


def test_a_tenant_can_do_everything_in_its_own_namespace(tenant: Access, namespace: str) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    }
    with Cluster(tenant) as cluster:
        objects = sources([config_map("a"), role, binding, deployment("d")])
        preview = release_of(cluster, namespace).preview(objects)
        assert set(actions(preview).values()) == {"created"}
        assert set(actions(release_of(cluster, namespace).apply(objects)).values()) == {"created"}
        release_of(cluster, namespace).remove()


def test_a_tenant_is_told_which_right_is_missing(tenant: Access, namespace: str) -> None:
    with Cluster(tenant) as cluster, pytest.raises(SonicError) as error:
        release_of(cluster, namespace).apply(sources([config_map("a"), new_namespace("x")]))
    assert 'User "tenant" cannot list resource "namespaces"' in str(error.value)
    assert "administrators" in str(error.value)


def test_a_server_that_is_not_there_is_named(kubeconfig: Path) -> None:
    access = Access(kubeconfig=str(kubeconfig), host="https://127.0.0.1:9")
    with Cluster(access) as cluster, pytest.raises(AccessError, match=r"https://127.0.0.1:9 \(kubeconfig .*\) cannot"):
        release_of(cluster, "default").apply(sources([config_map("a")]))


def test_a_refused_token_is_told_with_the_server(cluster: Cluster) -> None:
    access = Access(host=cluster.server, api_key="wrong", validate_certs=False)
    with (
        Cluster(access) as stranger,
        pytest.warns(InsecureRequestWarning),
        pytest.raises(AccessError, match="does not accept"),
    ):
        release_of(stranger, "default").apply(sources([config_map("a")]))


def test_a_missing_kubeconfig_is_named() -> None:
    with pytest.raises(AccessError, match=r"The kubeconfig /no/such/file does not exist"):
        Cluster(Access(kubeconfig="/no/such/file"))


def _wait_for(condition: Callable[[], Any]) -> None:
    for _try in range(100):
        if condition():
            return
        threading.Event().wait(0.1)
    raise AssertionError("not in time")


def test_a_request_error_keeps_the_server_s_words(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(RequestError, match="not found") as error:
        cluster.request("DELETE", CONFIG_MAPS.path(namespace, "none"))
    assert (error.value.status, error.value.about) == (404, ("configmaps", "none"))
