# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release is told: its name, its home and how to carry it out."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import ManifestError, ReleaseError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Identity

FIELD_MANAGER: Final = "hep.sonic"
#: Owns the fields that are set once, so that dropping them from our manifests does not reset them.
INITIAL_MANAGER: Final = "hep.sonic-initial"

RELEASE_LABEL: Final = "hep.sonic/release"
REVISION_LABEL: Final = "hep.sonic/revision"
#: Labels and annotations of the ApplySet convention, KEP-3659.
PART_OF_LABEL: Final = "applyset.kubernetes.io/part-of"


@dataclass(frozen=True)
class InitialFields:
    """Fields that are set when an object is created and belong to somebody else afterwards.

    Args:
        kind: Kind of the objects.
        paths: The fields, each as its keys from the top.
        name: Name of the one object that is meant; None for all of the kind.
    """

    kind: str
    paths: tuple[tuple[str, ...], ...]
    name: str | None = None

    def applies_to(self, identity: Identity) -> bool:
        """Return whether `identity` is one of the objects."""
        return self.kind == identity.kind and self.name in (None, identity.name)


def field_path(field: object) -> tuple[str, ...]:
    """Return the keys of a field that is given as text with dots between them, or as a list of keys that may hold dots.

    Raises:
        ManifestError: It is neither.
    """
    keys = field.split(".") if isinstance(field, str) else field
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) and key for key in keys):
        raise ManifestError(
            f"initial: {field!r} names no field.",
            "Give its keys with dots between them, such as spec.replicas, or as a list, such as [data, tls.key].",
        )
    return tuple(keys)


@dataclass(frozen=True)
class ReleaseSpec:
    """A release: the objects that are applied, and later pruned, together.

    Args:
        name: Its name, unique in its home namespace.
        namespace: Its home: where the parent, the Lease and the revisions live; the default of its objects.
        instance: The instance or cluster that it belongs to.
        initial: Fields that are set once.
        planned_namespaces: Namespaces that an earlier step of the same run creates.
        planned_kinds: Kinds, as ``group/Kind``, that an earlier step of the same run brings.
        adopt: Take over objects that exist and are not the release's.
        prune: Remove what is no longer in the set.
        prune_protected: Remove claims, volumes, CRDs and namespaces, too.
        force_conflicts: Take over fields that another manager owns.
        dry_run_first: Let the API server check the whole set before the first write.
        wait: Wait until everything is ready.
        wait_timeout: Seconds to wait at most.
        failure_grace: Seconds after which a pod that cannot start ends the waiting; 0 for never.
        history_limit: Revisions that are kept.
    """

    name: str
    namespace: str
    instance: str
    initial: Sequence[InitialFields] = ()
    planned_namespaces: frozenset[str] = frozenset()
    planned_kinds: frozenset[str] = frozenset()
    adopt: bool = False
    prune: bool = True
    prune_protected: bool = False
    force_conflicts: bool = False
    dry_run_first: bool = True
    wait: bool = True
    wait_timeout: int = 600
    failure_grace: int = 20
    history_limit: int = 10
    labels: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        if self.history_limit < 1:
            raise ReleaseError(f"history_limit is {self.history_limit}.", "Keep at least 1 revision.")
        object.__setattr__(
            self,
            "labels",
            {
                "app.kubernetes.io/managed-by": FIELD_MANAGER,
                "app.kubernetes.io/part-of": self.instance,
                RELEASE_LABEL: self.name,
                PART_OF_LABEL: self.applyset_id,
            },
        )

    @property
    def companion_labels(self) -> Mapping[str, str]:
        """Labels of what describes the release, which is no member of it."""
        return {key: value for key, value in self.labels.items() if key != PART_OF_LABEL}

    @property
    def member_selector(self) -> str:
        """The label selector of the release's members."""
        return f"{PART_OF_LABEL}={self.applyset_id}"

    @property
    def parent_name(self) -> str:
        """Name of the ApplySet's parent, of the Lease, and the start of the revisions' names."""
        return f"sonic-release-{self.name}"

    @property
    def applyset_id(self) -> str:
        """The ApplySet's id: made of the parent's identity, so nobody can claim another's members by chance."""
        parent = f"{self.parent_name}.{self.namespace}.Secret."
        encoded = base64.urlsafe_b64encode(hashlib.sha256(parent.encode()).digest()).rstrip(b"=")
        return f"applyset-{encoded.decode()}-v1"

    def initial_paths(self, identity: Identity) -> list[tuple[str, ...]]:
        """Return the fields of `identity` that are set once."""
        return [path for entry in self.initial if entry.applies_to(identity) for path in entry.paths]
