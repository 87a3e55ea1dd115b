# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release would change: each object compared with the API server's own dry run of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Answer, Cluster, Resource
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import (
    ManifestError,
    ReleaseError,
    RequestError,
    SonicError,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import (
    PROTECTED_KINDS,
    Difference,
    Identity,
    Manifest,
    difference,
    encode_string_data,
    field_at,
    identity_of,
    pod_template_of,
    same_configuration,
    with_labels,
    with_namespace,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.release.lease import Lease
from ansible_collections.hep.sonic.plugins.plugin_utils.release.parent import Parent
from ansible_collections.hep.sonic.plugins.plugin_utils.release.patch import Patcher, half_created
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import (
    PART_OF_LABEL,
    RELEASE_LABEL,
    ReleaseSpec,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.render import Rendered

#: The words for what happens to an object, as kubectl says them; ``kept`` is left behind on purpose.
CREATED: Final = "created"
CONFIGURED: Final = "configured"
UNCHANGED: Final = "unchanged"
DELETED: Final = "deleted"
KEPT: Final = "kept"

#: Kinds that must exist before what the API server can check the rest against.
ENABLING_KINDS: Final = frozenset({"Namespace", "CustomResourceDefinition"})


@dataclass(frozen=True)
class Wanted:
    """An object of the set, as it is sent.

    Args:
        identity: Its identity.
        manifest: It, with namespace and labels.
        source: Where it was written.
        resource: Where it lives in the API; None while the API server does not know its kind yet.
    """

    identity: Identity
    manifest: Manifest
    source: str
    resource: Resource | None


@dataclass(frozen=True)
class Change:
    """What happens to one object.

    Args:
        identity: The object.
        action: One of the words above.
        before: Its live state; None where it does not exist.
        after: Its state as the API server computed it; None where it goes.
        wanted: What is sent; None where it goes.
        resource: Where it lives; None while its kind is only planned.
        blind: The API server could not check it yet, because its namespace or kind is created by this very run.
    """

    identity: Identity
    action: str
    before: Manifest | None = None
    after: Manifest | None = None
    wanted: Wanted | None = None
    resource: Resource | None = None
    blind: bool = False

    @property
    def changes(self) -> bool:
        """Whether it changes anything on the cluster."""
        return self.action not in (UNCHANGED, KEPT)

    def difference(self) -> Difference:
        """Return both states as text; for a new object what is sent, as the server's own values change at each try."""
        after = self.wanted.manifest if self.action == CREATED and self.wanted else self.after
        return difference(self.identity, self.before, after)


@dataclass(frozen=True)
class Plan:
    """All changes of a release.

    Args:
        spec: The release.
        parent: The parent as the cluster has it.
        lease_version: The state of the Lease when the plan was made.
        changes: One for each object, in the order of creation; then those that go, in reverse order.
        warnings: What the operator should know, although nothing is refused.
    """

    spec: ReleaseSpec
    parent: Parent
    lease_version: str
    changes: Sequence[Change]
    warnings: Sequence[str] = ()

    @property
    def wanted(self) -> list[Change]:
        """The changes of the objects of the set."""
        return [change for change in self.changes if change.wanted]

    @property
    def unwanted(self) -> list[Change]:
        """What happens to the release's objects that are not in the set."""
        return [change for change in self.changes if not change.wanted]

    @property
    def changed(self) -> bool:
        """Whether anything on the cluster changes."""
        return any(change.changes for change in self.changes)


def prepare(cluster: Cluster, spec: ReleaseSpec, rendered: Iterable[Rendered]) -> list[Wanted]:
    """Return the set as it is sent, in the order of creation.

    Raises:
        ManifestError: An object is none, is there twice, or of a kind that nobody knows. All that is wrong is reported.
    """
    rendered = list(rendered)
    planned = {group_kind.rpartition("/")[::2] for group_kind in spec.planned_kinds}
    scopes = _scopes_of_planned(rendered)
    wanted: dict[Identity, Wanted] = {}
    problems: list[str] = []
    for item in rendered:
        try:
            identity = identity_of(item.manifest)
            manifest = encode_string_data(item.manifest)
            resource = cluster.resource(item.manifest["apiVersion"], identity.kind)
        except ManifestError as error:
            problems.append(f"{item.source}: {error}")
            continue
        key = (identity.group, identity.kind)
        if resource is None and key not in scopes and key not in planned:
            problems.append(
                f"{item.source}: the API server knows no kind {identity.kind} in {item.manifest['apiVersion']}. "
                "Check the spelling, or install what brings it."
            )
            continue
        namespaced = resource.namespaced if resource else scopes.get(key, True)
        if namespaced:
            manifest = with_namespace(manifest, identity.namespace or spec.namespace)
        elif identity.namespace:
            problems.append(f"{item.source}: a {identity.kind} has no namespace, but metadata.namespace is set.")
            continue
        identity = identity_of(manifest)
        if identity in wanted:
            problems.append(f"{item.source}: {identity} is already given by {wanted[identity].source}.")
            continue
        wanted[identity] = Wanted(identity, with_labels(manifest, spec.labels), item.source, resource)
    if problems:
        raise ManifestError("\n".join(problems))
    return sorted(wanted.values(), key=lambda one: one.identity.rank)


def _scopes_of_planned(rendered: Sequence[Rendered]) -> dict[tuple[str, str], bool]:
    """Return the kinds that CRDs of the same set bring, and whether they live in namespaces."""
    crds = [item.manifest for item in rendered if item.manifest.get("kind") == "CustomResourceDefinition"]
    return {
        (field_at(crd, ["spec", "group"]), field_at(crd, ["spec", "names", "kind"])): (
            field_at(crd, ["spec", "scope"]) == "Namespaced"
        )
        for crd in crds
    }


class Planner:
    """Makes the plan of a release.

    Args:
        cluster: Where.
        spec: The release.
        progress: Told while somebody else holds the release.
        check_mode: Nothing will be written: what an earlier step of the run would have created counts as there.
    """

    def __init__(
        self, cluster: Cluster, spec: ReleaseSpec, progress: Callable[[str], None], *, check_mode: bool
    ) -> None:
        self._cluster = cluster
        self._spec = spec
        self._progress = progress
        self._check_mode = check_mode
        self._patcher = Patcher(cluster, spec)

    def plan(self, wanted: Sequence[Wanted]) -> Plan:
        """Return what would change.

        Raises:
            ReleaseError: The API server refuses an object, or an object is somebody else's. All of them are reported.
        """
        # The Lease first: a run that changes the parent after we read it moves the Lease after we read that, too.
        lease_version = "" if self._check_mode else Lease(self._cluster, self._spec, self._progress).version()
        parent = Parent.read(self._cluster, self._spec)
        live = self._live_members(parent, wanted)
        outcomes = self._cluster.map(lambda one: self._examine(one, live, wanted), wanted)
        problems = [str(outcome) for outcome in outcomes if isinstance(outcome, SonicError)]
        if problems:
            raise ReleaseError(
                f"Release {self._spec.name}: {len(problems)} of {len(wanted)} objects are refused, none was written.\n"
                + "\n".join(problems)
            )
        changes = [outcome for outcome in outcomes if isinstance(outcome, Change)]
        warnings = self._check_pods(changes, wanted)
        wanted_identities = {one.identity for one in wanted}
        gone = [(identity, obj) for identity, obj in live.items() if identity not in wanted_identities]
        gone.sort(key=lambda member: -member[0].rank)
        changes += [self._removal(identity, obj) for identity, obj in gone]
        return Plan(self._spec, parent, lease_version, changes, warnings)

    def _live_members(self, parent: Parent, wanted: Sequence[Wanted]) -> dict[Identity, Manifest]:
        """Return the release's objects on the cluster: one LIST for each kind and namespace."""
        resources = {one.resource for one in wanted if one.resource}
        known = {(resource.group, resource.kind) for resource in resources}
        for group_kind in sorted(parent.group_kinds):
            kind, _dot, group = group_kind.partition(".")
            if (group, kind) not in known:
                resource = self._cluster.preferred_resource(group_kind)
                resources |= {resource} if resource else set()
        namespaces = {self._spec.namespace, *parent.namespaces, *(one.identity.namespace for one in wanted)} - {""}
        queries = [
            (resource, namespace)
            for resource in sorted(resources, key=lambda one: (one.group, one.kind))
            for namespace in (sorted(namespaces) if resource.namespaced else [""])
        ]
        selector = self._spec.member_selector
        pages = self._cluster.map(lambda query: self._cluster.list(query[0], query[1], labels=selector), queries)
        return {identity_of(obj): obj for page in pages for obj in page}

    def _examine(self, one: Wanted, live: Mapping[Identity, Manifest], wanted: Sequence[Wanted]) -> Change | SonicError:
        """Return what happens to one object, or why it is refused."""
        if one.resource is None:
            return Change(one.identity, CREATED, None, one.manifest, one, blind=True)
        before = live.get(one.identity)
        if not self._spec.dry_run_first and not self._check_mode:
            before = before or self._cluster.get(one.resource, one.identity.namespace, one.identity.name)
            foreign = None if one.identity in live else self._refuse_foreign(one, before)
            action = CONFIGURED if before else CREATED
            return foreign or Change(one.identity, action, before, one.manifest, one, one.resource)
        try:
            before, answer = self._dry_run(one, one.resource, before)
        except ReleaseError as foreign:
            return foreign
        except RequestError as error:
            if self._is_planned(error, one, wanted):
                return Change(one.identity, CREATED, None, one.manifest, one, one.resource, blind=True)
            return explain_refusal(one, error)
        if before is None:
            return Change(one.identity, CREATED, None, answer.body, one, one.resource)
        settled = same_configuration(before, answer.body) and not half_created(before)
        action = UNCHANGED if settled else CONFIGURED
        return Change(one.identity, action, before, answer.body, one, one.resource)

    def _dry_run(self, one: Wanted, resource: Resource, before: Manifest | None) -> tuple[Manifest | None, Answer]:
        """Return the live state that a dry run of the object started from, and its answer.

        Args:
            one: The object.
            resource: Where it lives.
            before: Its state in the release's LIST; None where it is not there.

        Raises:
            ReleaseError: It is somebody else's, which comes before whatever else the API server refuses.
            RequestError: The API server refuses it.
        """
        namespace, name = one.identity.namespace, one.identity.name
        try:
            answer = self._patcher.dry_run(resource, one.manifest, before)
        except RequestError:
            found = None
            if before is None:
                with contextlib.suppress(RequestError):  # the first refusal tells more
                    found = self._cluster.get(resource, namespace, name)
            if found is None:
                raise
        else:
            if answer.created if before is None else _version(answer.body) == _version(before):
                return before, answer
            # It is somebody else's, or it moved since the LIST: compare with what the dry run started from.
            found = self._cluster.get(resource, namespace, name)
        foreign = self._refuse_foreign(one, found) if before is None else None
        if foreign:
            raise foreign
        return found, self._patcher.dry_run(resource, one.manifest, found)

    def _refuse_foreign(self, one: Wanted, before: Manifest | None) -> ReleaseError | None:
        if before is None or self._spec.adopt:
            return None
        labels = before["metadata"].get("labels") or {}
        if labels.get(PART_OF_LABEL) == self._spec.applyset_id:
            return None  # another run of this release made it after our LIST
        managers = sorted({entry.get("manager", "?") for entry in before["metadata"].get("managedFields") or []})
        owner = f"release {labels[RELEASE_LABEL]}" if RELEASE_LABEL in labels else f"{', '.join(managers) or 'unknown'}"
        return ReleaseError(
            f"{one.source}: {one.identity} exists and is not part of release {self._spec.name}: it belongs to {owner}.",
            "Choose another name, remove it, or take it over with the option adopt: true.",
        )

    def _is_planned(self, error: RequestError, one: Wanted, wanted: Sequence[Wanted]) -> bool:
        """Return whether an object is refused only for want of something that this run creates."""
        if error.status != HTTPStatus.NOT_FOUND:
            return False
        plural, name = error.about
        if plural == "namespaces":
            in_set = any(other.identity.kind == "Namespace" and other.identity.name == name for other in wanted)
            return in_set or (self._check_mode and name in self._spec.planned_namespaces)
        # A binding whose role is missing is "not found" itself: the API server asks whether we may grant what it does.
        role = one.manifest.get("roleRef") or {}
        wanted_role = (role.get("kind"), role.get("name"))
        return any((other.identity.kind, other.identity.name) == wanted_role for other in wanted)

    def _check_pods(self, changes: Sequence[Change], wanted: Sequence[Wanted]) -> list[str]:
        """Let the API server check a Pod of each pod template that changes: most policies act on Pods only.

        Returns:
            Warnings: a quota that is full only now, for a workload that exists already or has no pods yet.

        Raises:
            ReleaseError: A Pod would be refused.
        """
        brought = {(one.identity.kind, one.identity.name) for one in wanted}
        candidates = [
            change
            for change in changes
            if change.changes
            and not change.blind
            and change.after
            and pod_template_of(change.after)
            and (not change.before or pod_template_of(change.before) != pod_template_of(change.after))
        ]
        outcomes = self._cluster.map(
            lambda change: self._patcher.dry_run_pod(change.identity, change.after or {}, brought), candidates
        )
        problems, warnings = [], []
        for change, error in zip(candidates, outcomes, strict=True):
            if error is None:
                continue
            text = f"a Pod of {change.identity} is refused: {error.message}"
            if "exceeded quota" in error.message and (
                change.before or field_at(change.after, ["spec", "replicas"]) == 0
            ):
                warnings.append(text)
            else:
                problems.append(text)
        if problems:
            raise ReleaseError(
                f"Release {self._spec.name}: the pods of {len(problems)} workloads are refused, nothing was written.\n"
                + "\n".join(problems),
                "Change the pod's security context, resources or placement to what the namespace allows.",
            )
        return warnings

    def _removal(self, identity: Identity, obj: Manifest) -> Change:
        resource = self._cluster.resource(obj["apiVersion"], identity.kind)
        protected = identity.kind in PROTECTED_KINDS and not self._spec.prune_protected
        action = KEPT if protected or not self._spec.prune else DELETED
        return Change(identity, action, obj, obj if action == KEPT else None, None, resource)


def _version(obj: Manifest) -> Any:
    return field_at(obj, ["metadata", "resourceVersion"])


def explain_refusal(one: Wanted, error: RequestError) -> ReleaseError:
    """Return why the API server refuses an object, and what to do about it."""
    text = f"{one.source}: {one.identity}: {error.message}"
    if error.reason == "FieldManagerConflict":
        return ReleaseError(
            text, "Another manager owns these fields: leave them out, or take them over with force_conflicts: true."
        )
    if error.status == HTTPStatus.NOT_FOUND and error.about[0] == "namespaces":
        return ReleaseError(text, f"Create the namespace {error.about[1]}, or set sonic_namespace to one that exists.")
    return ReleaseError(text, error.remedy)
