# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Identity, order, comparison, difference and masking of objects."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import ManifestError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import (
    Identity,
    Manifest,
    difference,
    encode_string_data,
    identity_of,
    owns_field,
    pod_template_of,
    same_configuration,
    with_field,
    without_field,
)


def config_map(**data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "here"}, "data": data}


@pytest.mark.parametrize(
    ("obj", "missing"),
    [
        ({}, "apiVersion and kind and metadata.name"),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {}}, "metadata.name"),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": 7}}, "metadata.name"),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": "x"}, "metadata.name"),
        ({"kind": "Secret", "metadata": {"name": "x"}}, "apiVersion"),
    ],
)
def test_an_object_without_identity_is_refused(obj: Manifest, missing: str) -> None:
    with pytest.raises(ManifestError, match=f"^{missing} must be given"):
        identity_of(obj)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"labels": ["x"]}, "metadata.labels must be a dictionary"),
        ({"annotations": "x"}, "metadata.annotations must be a dictionary"),
        ({"namespace": 123}, "metadata.namespace must be text"),
    ],
)
def test_metadata_of_a_wrong_type_are_refused(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestError, match=f"^{message}"):
        identity_of({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", **metadata}})


def test_metadata_may_be_left_empty() -> None:
    metadata = {"name": "x", "namespace": None, "labels": None, "annotations": None}
    assert identity_of({"apiVersion": "v1", "kind": "Secret", "metadata": metadata}) == Identity("", "Secret", "", "x")


def test_the_version_is_no_part_of_the_identity() -> None:
    stable = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "n"}}
    assert identity_of(stable) == identity_of({**stable, "apiVersion": "apps/v1beta1"})


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("CustomResourceDefinition", "Namespace"),
        ("Namespace", "ServiceAccount"),
        ("ServiceAccount", "RoleBinding"),
        ("Secret", "Deployment"),
        ("ConfigMap", "DaemonSet"),
        ("Service", "StatefulSet"),
        ("Deployment", "ScaledObject"),
    ],
)
def test_what_others_need_comes_first(first: str, then: str) -> None:
    assert Identity("", first, "", "x").rank <= Identity("", then, "", "x").rank


@pytest.mark.parametrize(
    "server_side",
    [
        {"status": {"phase": "Active"}},
        {"metadata": {"resourceVersion": "7", "uid": "u", "generation": 2, "managedFields": [{}]}},
    ],
)
def test_what_the_server_adds_is_no_change(server_side: dict[str, Any]) -> None:
    before = config_map(a="1")
    after = {**before, **server_side, "metadata": {**before["metadata"], **server_side.get("metadata", {})}}
    assert same_configuration(before, after)


def test_a_changed_value_is_a_change() -> None:
    assert not same_configuration(config_map(a="1"), config_map(a="2"))


def test_string_data_becomes_data() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "eA=="}}
    encoded = encode_string_data({**secret, "stringData": {"b": "y"}})
    assert encoded["data"] == {"a": "eA==", "b": "eQ=="}
    assert "stringData" not in encoded


@pytest.mark.parametrize("field", ["data", "stringData"])
@pytest.mark.parametrize("value", [83, True, None, 1.5, ["S3cret"], {"S3cret": "S3cret"}])
def test_a_value_of_a_secret_that_is_no_text_is_refused_by_its_key(field: str, value: Any) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, field: {"good": "x", "pin": value}}
    with pytest.raises(ManifestError, match=rf"^Secret s: {field}: the value of pin is no text\.\nQuote") as error:
        encode_string_data(secret)
    assert str(value) not in error.value.message


@pytest.mark.parametrize("field", ["data", "stringData"])
def test_values_of_a_secret_that_are_no_dictionary_are_refused(field: str) -> None:
    with pytest.raises(ManifestError, match=f"^Secret s: {field} must be a dictionary") as error:
        encode_string_data({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, field: ["S3cret"]})
    assert "S3cret" not in str(error.value)


@pytest.mark.parametrize("nothing", [None, {}])
@pytest.mark.parametrize("rest", [{}, {"data": {"a": "eA=="}}])
def test_empty_string_data_means_nothing(nothing: Any, rest: dict[str, Any]) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **rest}
    assert encode_string_data({**secret, "stringData": nothing}) == secret


def test_another_kind_keeps_what_it_calls_string_data() -> None:
    other = {"apiVersion": "example.org/v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": 1}}
    assert encode_string_data(other) is other


def test_a_difference_of_a_secret_shows_which_keys_change_and_no_value() -> None:
    before = {**config_map(same="c2FtZQ==", value="b2xk"), "kind": "Secret"}
    after = {**config_map(same="c2FtZQ==", value="bmV3", more="bW9yZQ=="), "kind": "Secret"}
    shown = difference(identity_of(before), before, after)
    text = shown.before + shown.after
    assert "value: '******** (before)'" in shown.before
    assert "value: '******** (after)'" in shown.after
    assert "more: '******** (after)'" in shown.after
    assert "same: '********'" in shown.after
    assert not any(value in text for value in ("c2FtZQ==", "b2xk", "bmV3", "bW9yZQ=="))


def test_a_difference_of_a_secret_leaves_out_what_kubectl_keeps_of_it() -> None:
    def secret(value: str, **annotations: str) -> Manifest:
        kept = {"kubectl.kubernetes.io/last-applied-configuration": f'{{"data":{{"value":"{value}"}}}}', **annotations}
        obj = config_map(value=value)
        return {**obj, "kind": "Secret", "metadata": {**obj["metadata"], "annotations": kept}}

    shown = difference(identity_of(secret("")), secret("b2xk"), secret("bmV3", owner="me"))
    assert not any(value in shown.before + shown.after for value in ("b2xk", "bmV3", "last-applied"))
    assert "annotations" not in shown.before
    assert "owner: me" in shown.after


def test_a_difference_in_a_text_of_many_lines_is_one_of_lines() -> None:
    before, after = config_map(config="a: 1\nb: 2\nc: 3\n"), config_map(config="a: 1\nb: 5\nc: 3\n")
    changed = [line for line in difference(identity_of(before), before, after).lines() if line[:1] in "+-"][2:]
    assert changed == ["-    b: 2", "+    b: 5"]


def test_fields_are_set_and_dropped_at_any_depth() -> None:
    obj = with_field(config_map(), ("spec", "a", "b"), 1)
    assert obj["spec"] == {"a": {"b": 1}}
    assert without_field(obj, ("spec", "a", "b"))["spec"] == {"a": {}}
    assert without_field(obj, ("spec", "x", "y")) == obj


def test_ownership_is_read_from_managed_fields() -> None:
    owned = {"manager": "hep.sonic", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    obj = {**config_map(), "metadata": {"name": "x", "managedFields": [owned]}}
    assert owns_field(obj, "hep.sonic", ("spec", "replicas"))
    assert not owns_field(obj, "hep.sonic", ("spec", "paused"))
    assert not owns_field(obj, "kubectl", ("spec", "replicas"))


@pytest.mark.parametrize(("kind", "wrapped"), [("Deployment", False), ("CronJob", True), ("ConfigMap", None)])
def test_a_workload_has_a_pod_template(kind: str, wrapped: bool | None) -> None:
    template = {"spec": {"containers": [{"name": "c"}]}}
    spec: dict[str, Any] = {"jobTemplate": {"spec": {"template": template}}} if wrapped else {"template": template}
    obj = {"kind": kind, "spec": {} if wrapped is None else spec}
    assert pod_template_of(obj) == (None if wrapped is None else template)
