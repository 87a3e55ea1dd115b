# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fields that are set once: several at a time, one after the other, and such as their object lacks."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import ManifestError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest, field_at, owns_field
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import (
    FIELD_MANAGER,
    INITIAL_MANAGER,
    InitialFields,
    field_path,
)
from tests.unit.engine.test_apply import Playbook
from tests.unit.engine.test_release import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    SECRETS,
    Applier,
    actions,
    deployment,
    release_of,
    replicas_of,
    sources,
)


@pytest.fixture
def apply(cluster: Cluster, namespace: str) -> Applier:
    """Apply objects as one release of the test's namespace."""
    return lambda *objects, **options: release_of(cluster, namespace, **options).apply(sources(objects))


def config_map(**data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data}


def initial(*fields: str) -> list[InitialFields]:
    return [InitialFields("ConfigMap", tuple(field_path(field) for field in fields))]


def data_of(cluster: Cluster, namespace: str) -> Any:
    return field_at(cluster.get(CONFIG_MAPS, namespace, "m"), ["data"])


def owners_of(live: Manifest | None, *path: str) -> set[str]:
    return {manager for manager in (FIELD_MANAGER, INITIAL_MANAGER) if live and owns_field(live, manager, path)}


def test_several_fields_are_handed_over_together(apply: Applier, cluster: Cluster, namespace: str) -> None:
    apply(config_map(a="1", b="1", c="1"))
    apply(config_map(a="2", b="2", c="2"), initial=initial("data.a", "data.b"))
    assert data_of(cluster, namespace) == {"a": "1", "b": "1", "c": "2"}
    live = cluster.get(CONFIG_MAPS, namespace, "m")
    assert [owners_of(live, "data", key) for key in "abc"] == [{INITIAL_MANAGER}, {INITIAL_MANAGER}, {FIELD_MANAGER}]


def test_a_later_field_takes_nothing_from_an_earlier_one(apply: Applier, cluster: Cluster, namespace: str) -> None:
    apply(config_map(a="1", b="1", c="1"), initial=initial("data.a"))
    apply(config_map(a="2", b="2", c="2"), initial=initial("data.a", "data.b"))
    assert data_of(cluster, namespace) == {"a": "1", "b": "1", "c": "2"}


def test_a_farm_keeps_its_size_when_another_field_is_handed_over_too(
    apply: Applier, cluster: Cluster, namespace: str
) -> None:
    def sized(replicas: int, **pod: Any) -> Manifest:
        farm = deployment("d", replicas, **pod)
        farm["spec"]["revisionHistoryLimit"] = replicas
        return farm

    paths = (("spec", "replicas"), ("spec", "revisionHistoryLimit"))
    apply(sized(7), wait=False)
    apply(sized(2, serviceAccountName="default"), initial=[InitialFields("Deployment", paths)], wait=False)
    assert replicas_of(cluster, namespace) == 7
    assert field_at(cluster.get(DEPLOYMENTS, namespace, "d"), ["spec", "revisionHistoryLimit"]) == 7


def test_a_field_that_is_set_always_from_now_on_is_taken_back(apply: Applier, cluster: Cluster, namespace: str) -> None:
    apply(config_map(a="1", b="1"), initial=initial("data.a"))
    preview = release_of(cluster, namespace).preview(sources([config_map(a="2", b="1")]))
    assert actions(preview) == actions(apply(config_map(a="2", b="1"))) == {"m": "configured"}
    assert data_of(cluster, namespace) == {"a": "2", "b": "1"}
    assert owners_of(cluster.get(CONFIG_MAPS, namespace, "m"), "data", "a") == {FIELD_MANAGER}


def test_a_size_that_is_declared_again_is_taken_from_who_scaled(
    apply: Applier, cluster: Cluster, namespace: str
) -> None:
    apply(deployment("d", 1), initial=[InitialFields("Deployment", (("spec", "replicas"),))], wait=False)
    cluster.request(
        "PATCH",
        DEPLOYMENTS.path(namespace, "d") + "/scale",
        query={"fieldManager": "kube-controller-manager"},
        body={"spec": {"replicas": 7}},
        content_type="application/merge-patch+json",
    )
    assert replicas_of(cluster, namespace) == 7
    assert actions(apply(deployment("d", 2), wait=False)) == {"d": "configured"}
    assert replicas_of(cluster, namespace) == 2
    assert actions(apply(deployment("d", 2), wait=False)) == {"d": "unchanged"}


@pytest.mark.parametrize("before", [[], ["data.a"]], ids=["alone", "beside one that was initial before"])
def test_a_field_that_the_object_lacks_is_set_once(
    apply: Applier, cluster: Cluster, namespace: str, before: list[str]
) -> None:
    apply(config_map(a="1", c="1"), initial=initial(*before))
    later: dict[str, Any] = {"initial": initial("data.a", "data.b")}
    preview = release_of(cluster, namespace, **later).preview(sources([config_map(a="2", b="2", c="1")]))
    done = apply(config_map(a="2", b="2", c="1"), **later)
    assert actions(preview) == actions(done) == {"m": "configured"}
    assert [change.difference() for change in preview.changes] == [change.difference() for change in done.changes]
    assert data_of(cluster, namespace) == {"a": "1", "b": "2", "c": "1"}
    live = cluster.get(CONFIG_MAPS, namespace, "m")
    assert [owners_of(live, "data", key) for key in "ab"] == [{INITIAL_MANAGER}, {INITIAL_MANAGER}]
    assert actions(apply(config_map(a="3", b="3", c="1"), **later)) == {"m": "unchanged"}
    assert data_of(cluster, namespace) == {"a": "1", "b": "2", "c": "1"}


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("spec.replicas", ("spec", "replicas")),
        (["spec", "replicas"], ("spec", "replicas")),
        (["data", "tls.key"], ("data", "tls.key")),
    ],
)
def test_a_field_is_named_by_its_keys(field: object, path: tuple[str, ...]) -> None:
    assert field_path(field) == path


@pytest.mark.parametrize("field", ["", "data.", [], ["data", ""], ["data", 1], {"data": "key"}, None])
def test_what_names_no_field_is_refused(field: object) -> None:
    with pytest.raises(ManifestError, match="names no field") as error:
        field_path(field)
    assert "[data, tls.key]" in str(error.value)


def test_a_key_with_dots_is_set_once(tmp_path: Path, kubeconfig: Path, cluster: Cluster, namespace: str) -> None:
    playbook = Playbook(tmp_path, kubeconfig, namespace)
    for value in ("first", "second"):
        data = {"stringData": {"tls.key": value, "tls.crt": value}}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **data}
        status, output = playbook.run(
            objects=[secret], initial=[{"kind": "Secret", "fields": [["data", "tls.key"], "data.other"]}]
        )
        assert status == 0, output
    live = field_at(cluster.get(SECRETS, namespace, "s"), ["data"])
    assert {key: base64.b64decode(value) for key, value in live.items()} == {"tls.key": b"first", "tls.crt": b"second"}
