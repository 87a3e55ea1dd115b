# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kubernetes objects as plain dictionaries: identity, order, comparison, difference and masking. No input or output."""

from __future__ import annotations

import base64
import copy
import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import ManifestError

Manifest = dict[str, Any]

#: Creation order; removal is the reverse. A kind not listed comes with the workloads' dependents, last.
#: CRDs and namespaces must exist before what lives in them, configuration before the workloads that read it.
RANKS: Final[Mapping[str, int]] = {
    "CustomResourceDefinition": 0,
    "Namespace": 0,
    "PriorityClass": 10,
    "RuntimeClass": 10,
    "StorageClass": 10,
    "PersistentVolume": 10,
    "ServiceAccount": 20,
    "ClusterRole": 20,
    "Role": 20,
    "ClusterRoleBinding": 30,
    "RoleBinding": 30,
    "ResourceQuota": 30,
    "LimitRange": 30,
    "NetworkPolicy": 30,
    "Secret": 40,
    "ConfigMap": 40,
    "PersistentVolumeClaim": 40,
    "Service": 50,
    "PodDisruptionBudget": 50,
    "DaemonSet": 60,
    "Deployment": 60,
    "StatefulSet": 60,
    "Job": 60,
    "CronJob": 60,
    "Pod": 60,
}
LAST_RANK: Final = 70

#: Removing one of these loses data, or removes what others put inside: only on request.
PROTECTED_KINDS: Final = frozenset(
    {"CustomResourceDefinition", "Namespace", "PersistentVolume", "PersistentVolumeClaim"}
)

#: Metadata that the API server keeps for itself.
SERVER_METADATA: Final = frozenset(
    {"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}
)

MASK: Final = "********"
#: Where kubectl keeps the whole object as it was applied, of a Secret with its values.
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, order=True)
class Identity:
    """What makes an object the same object: two manifests with one identity contradict each other.

    The API version is no part of it: apps/v1 and apps/v1beta1 show the same Deployment.
    """

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def group_kind(self) -> str:
        """``Kind.group``, the form of the ApplySet annotation."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def rank(self) -> int:
        """Its place in the order of creation."""
        return RANKS.get(self.kind, LAST_RANK)


def group_of(api_version: str) -> str:
    """Return the API group of ``group/version`` or, for the core group, of ``version``."""
    return api_version.rpartition("/")[0]


def identity_of(obj: Manifest) -> Identity:
    """Return the identity of a manifest or of a live object.

    Raises:
        ManifestError: apiVersion, kind or metadata.name is missing or no string, or other metadata has a wrong type.
    """
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    required = {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), "metadata.name": metadata.get("name")}
    missing = [key for key, value in required.items() if not isinstance(value, str) or not value]
    if missing:
        raise ManifestError(f"{' and '.join(missing)} must be given, as text.")
    namespace = metadata.get("namespace")
    if not isinstance(namespace, str | None):
        raise ManifestError("metadata.namespace must be text.")
    for key in ("labels", "annotations"):
        if not isinstance(metadata.get(key) or {}, dict):
            raise ManifestError(f"metadata.{key} must be a dictionary.")
    return Identity(group_of(obj["apiVersion"]), obj["kind"], namespace or "", metadata["name"])


def is_secret(obj: Manifest) -> bool:
    """Return whether `obj` is a Secret of Kubernetes itself."""
    return obj.get("kind") == "Secret" and not group_of(obj["apiVersion"])


def drop_server_fields(obj: Manifest) -> Manifest:
    """Return `obj` without what the API server and the controllers add by themselves.

    Two objects are the same configuration when these results are equal.
    """
    kept = {key: value for key, value in obj.items() if key != "status"}
    kept["metadata"] = {key: value for key, value in obj["metadata"].items() if key not in SERVER_METADATA}
    return kept


def same_configuration(before: Manifest, after: Manifest) -> bool:
    """Return whether two states of an object differ only in what is not configuration."""
    return drop_server_fields(before) == drop_server_fields(after)


def encode_string_data(obj: Manifest) -> Manifest:
    """Return a Secret with ``stringData`` moved to ``data``; any other object as it is.

    The API server moves it too, but keeps the first field as owned by us, which would show a change at each run.

    Raises:
        ManifestError: A value of a Secret is no text. The API server would refuse it, too, and repeat the value.
    """
    if not is_secret(obj):
        return obj
    for field in ("data", "stringData"):
        _check_secret_values(obj, field)
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in (obj.get("stringData") or {}).items()}
    rest = {key: value for key, value in obj.items() if key != "stringData"}
    return {**rest, "data": {**(obj.get("data") or {}), **encoded}} if encoded else rest


def _check_secret_values(obj: Manifest, field: str) -> None:
    """Raise ManifestError, which names keys and no values, where `field` of a Secret does not hold texts."""
    where = f"Secret {obj['metadata']['name']}: {field}"
    values = obj.get(field) or {}
    if not isinstance(values, dict):
        raise ManifestError(f"{where} must be a dictionary.")
    wrong = [key for key, value in values.items() if not isinstance(value, str)]
    if wrong:
        raise ManifestError(
            f"{where}: the value of {', '.join(map(str, wrong))} is no text.",
            "Quote it in YAML, or end its expression with | string.",
        )


def with_labels(obj: Manifest, labels: Mapping[str, str]) -> Manifest:
    """Return `obj` with `labels` added to its own."""
    metadata = obj["metadata"]
    return {**obj, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **labels}}}


def with_namespace(obj: Manifest, namespace: str) -> Manifest:
    """Return `obj` in `namespace`."""
    return {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}


def field_at(obj: Any, path: Sequence[str]) -> Any:
    """Return the value at `path`, or None where there is none."""
    for key in path:
        if not isinstance(obj, Mapping) or key not in obj:
            return None
        obj = obj[key]
    return obj


def with_field(obj: Manifest, path: Sequence[str], value: Any) -> Manifest:
    """Return `obj` with `value` at `path`."""
    head, *rest = path
    return {**obj, head: with_field(obj.get(head) or {}, rest, value) if rest else value}


def without_field(obj: Manifest, path: Sequence[str]) -> Manifest:
    """Return `obj` without the field at `path`."""
    head, *rest = path
    if head not in obj:
        return obj
    if not rest:
        return {key: value for key, value in obj.items() if key != head}
    return {**obj, head: without_field(obj[head], rest)} if isinstance(obj[head], Mapping) else obj


def owns_field(obj: Manifest, manager: str, path: Sequence[str]) -> bool:
    """Return whether field manager `manager` owns the field at `path` by server-side apply."""
    owned = ["f:" + key for key in path]
    return any(
        field_at(entry.get("fieldsV1"), owned) is not None
        for entry in obj["metadata"].get("managedFields") or []
        if entry.get("manager") == manager and entry.get("operation") == "Apply"
    )


def pod_template_of(obj: Manifest) -> Manifest | None:
    """Return the pod template of a workload, or None where `obj` is no workload."""
    path = ["spec", "jobTemplate", "spec", "template"] if obj.get("kind") == "CronJob" else ["spec", "template"]
    template = field_at(obj, path)
    return template if isinstance(template, dict) and field_at(template, ["spec", "containers"]) else None


def mask_secret(before: Manifest | None, after: Manifest | None) -> tuple[Manifest | None, Manifest | None]:
    """Return both states of an object without the values of a Secret.

    A value that changed stays visible as a change, by a mark and not by its length or its hash.
    """
    states = (before, after)
    if not any(state and is_secret(state) for state in states):
        return states
    values = [dict((state or {}).get("data") or {}) for state in states]
    masked = [
        {key: MASK if values[0].get(key) == values[1].get(key) else f"{MASK} ({label})" for key in side}
        for side, label in zip(values, ("before", "after"), strict=True)
    ]
    results = [
        None if state is None else {**_without_last_applied(state), **({"data": data} if data else {})}
        for state, data in zip(states, masked, strict=True)
    ]
    return results[0], results[1]


def _without_last_applied(obj: Manifest) -> Manifest:
    annotations = {
        key: value for key, value in (obj["metadata"].get("annotations") or {}).items() if key != LAST_APPLIED
    }
    rest = without_field(copy.deepcopy(obj), ("metadata", "annotations"))
    return with_field(rest, ("metadata", "annotations"), annotations) if annotations else rest


class _BlockDumper(yaml.SafeDumper):
    """Writes text of several lines as a block, so that a difference in it is a difference of lines."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_BlockDumper.add_representer(str, _represent_text)


def to_yaml(obj: Manifest | None) -> str:
    """Return `obj` as YAML, what names it first, as people write it; "" for no object."""
    if obj is None:
        return ""
    head = {key: obj[key] for key in ("apiVersion", "kind", "metadata") if key in obj}
    return yaml.dump(head | obj, Dumper=_BlockDumper, sort_keys=False, width=10_000, allow_unicode=True)


@dataclass(frozen=True)
class Difference:
    """Both states of one object as text, without what is not configuration and without secret values."""

    identity: Identity
    before: str
    after: str

    def as_ansible(self) -> dict[str, str]:
        """Return the form that Ansible prints under ``--diff``."""
        return {
            "before": self.before,
            "after": self.after,
            "before_header": f"{self.identity} (live)" if self.before else f"{self.identity} (absent)",
            "after_header": f"{self.identity} (wanted)" if self.after else f"{self.identity} (absent)",
        }

    def lines(self) -> Iterator[str]:
        """Yield the lines of a unified diff."""
        yield from difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), lineterm="")


def difference(identity: Identity, before: Manifest | None, after: Manifest | None) -> Difference:
    """Return what changes between two states of the object; None stands for its absence."""
    old, new = mask_secret(
        None if before is None else drop_server_fields(before), None if after is None else drop_server_fields(after)
    )
    return Difference(identity, to_yaml(old), to_yaml(new))


def digest(value: Any) -> str:
    """Return the SHA-256 of `value` in its canonical JSON form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
