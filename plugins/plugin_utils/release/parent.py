# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parent of a release's ApplySet: a Secret that says which kinds in which namespaces the release may hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Identity, Manifest
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import (
    FIELD_MANAGER,
    ReleaseSpec,
)

SECRETS: Final = BUILT_IN["", "Secret"]

KINDS: Final = "applyset.kubernetes.io/contains-group-kinds"
NAMESPACES: Final = "applyset.kubernetes.io/additional-namespaces"
TOOLING: Final = "applyset.kubernetes.io/tooling"
ID_LABEL: Final = "applyset.kubernetes.io/id"
REVISION: Final = "hep.sonic/revision"
DIGEST: Final = "hep.sonic/revision-digest"


@dataclass(frozen=True)
class Parent:
    """The state of a parent.

    Args:
        spec: The release.
        group_kinds: Kinds of the members, as ``Kind.group``.
        namespaces: Namespaces of the members besides the home; "" stands for objects without a namespace.
        revision: Number of the last recorded revision; 0 for none.
        digest: Digest of what that revision holds.
        exists: Whether it is on the cluster.
    """

    spec: ReleaseSpec
    group_kinds: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    revision: int = 0
    digest: str = ""
    exists: bool = False

    @classmethod
    def read(cls, cluster: Cluster, spec: ReleaseSpec) -> Self:
        """Return the parent as the cluster has it."""
        live = cluster.get(SECRETS, spec.namespace, spec.parent_name)
        if live is None:
            return cls(spec)
        annotations = live["metadata"].get("annotations") or {}
        return cls(
            spec,
            frozenset(filter(None, annotations.get(KINDS, "").split(","))),
            frozenset(filter(None, annotations.get(NAMESPACES, "").split(","))),
            int(annotations.get(REVISION, 0)),
            annotations.get(DIGEST, ""),
            exists=True,
        )

    def holding(self, members: Iterable[Identity]) -> Self:
        """Return the parent of exactly these members."""
        members = list(members)
        return replace(
            self,
            group_kinds=frozenset(member.group_kind for member in members),
            namespaces=frozenset(member.namespace for member in members) - {self.spec.namespace, ""},
        )

    def widened(self, other: Parent) -> Self:
        """Return the parent of the members of both: what the cluster must say before the first write."""
        return replace(
            self, group_kinds=self.group_kinds | other.group_kinds, namespaces=self.namespaces | other.namespaces
        )

    def write(self, cluster: Cluster) -> Self:
        """Make the cluster have this parent."""
        cluster.request(
            "PATCH",
            SECRETS.path(self.spec.namespace, self.spec.parent_name),
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=self._manifest(),
            content_type="application/apply-patch+yaml",
        )
        return replace(self, exists=True)

    def _manifest(self) -> Manifest:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self.spec.parent_name,
                "namespace": self.spec.namespace,
                "labels": {**self.spec.companion_labels, ID_LABEL: self.spec.applyset_id},
                "annotations": {
                    TOOLING: f"{FIELD_MANAGER}/v1",
                    KINDS: ",".join(sorted(self.group_kinds)),
                    NAMESPACES: ",".join(sorted(self.namespaces)),
                    REVISION: str(self.revision),
                    DIGEST: self.digest,
                },
            },
            "type": "hep.sonic/release",
        }
