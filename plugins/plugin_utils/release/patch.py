# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Server-side apply of one object, for real or as a dry run, with the fields that are set only once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Answer, Cluster, Resource
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import RequestError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import (
    Identity,
    Manifest,
    field_at,
    identity_of,
    owns_field,
    pod_template_of,
    with_field,
    without_field,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import (
    FIELD_MANAGER,
    INITIAL_MANAGER,
    RELEASE_LABEL,
    ReleaseSpec,
)

#: Tries of a patch that met a write of somebody else; each starts from the newest state, so the second one succeeds.
CONFLICT_TRIES = 5

#: Kinds that a Pod names, with the field that does it and the fields that make no sense, or are refused, without it.
POD_REFERENCES: Final[Mapping[tuple[str, str], Sequence[str]]] = {
    ("ServiceAccount", "serviceAccountName"): ("serviceAccount",),
    ("PriorityClass", "priorityClassName"): ("priority", "preemptionPolicy"),
    ("RuntimeClass", "runtimeClassName"): ("overhead",),
}


class Patcher:
    """Patches objects of one release.

    Args:
        cluster: Where.
        spec: The release.
    """

    def __init__(self, cluster: Cluster, spec: ReleaseSpec) -> None:
        self._cluster = cluster
        self._spec = spec

    def dry_run(self, resource: Resource, manifest: Manifest, live: Manifest | None) -> Answer:
        """Return what the API server would answer to the object.

        Args:
            resource: Where it lives.
            manifest: What is sent.
            live: Its live state; None where it does not exist.
        """
        force = self._spec.force_conflicts
        if live is not None:
            force = force or half_created(live)
            for path in self._spec.initial_paths(identity_of(manifest)):
                value = field_at(live, path)
                if value is None:
                    continue  # the real run sets it, too
                # A field that we own alone and drop would be shown as reset: the real run hands it over at this value.
                keep = owns_field(live, FIELD_MANAGER, path)
                manifest = with_field(manifest, path, value) if keep else without_field(manifest, path)
        return self._apply(resource, manifest, FIELD_MANAGER, force=force, dry_run=True)

    def apply(self, resource: Resource, manifest: Manifest, live: Manifest | None) -> Answer:
        """Write the object.

        Args:
            resource: Where it lives.
            manifest: What is sent.
            live: Its live state; None where it does not exist.
        """
        identity = identity_of(manifest)
        paths = self._spec.initial_paths(identity)
        rest = manifest
        for path in paths:
            rest = without_field(rest, path)
        if paths and (live is None or half_created(live)):
            return self._create_with_initial(resource, manifest, rest, paths, live)
        if live is not None and any(owns_field(live, FIELD_MANAGER, path) for path in paths):
            self._hand_over(resource, identity, paths)
        absent = [path for path in paths if field_at(live, path) is None and field_at(manifest, path) is not None]
        if absent:
            # Together with all the rest, as the dry run checked it: an object may be invalid with half of it.
            self._apply(resource, _with_fields(rest, manifest, absent), FIELD_MANAGER, force=self._spec.force_conflicts)
            self._hand_over(resource, identity, paths)
        return self._apply(resource, rest, FIELD_MANAGER, force=self._spec.force_conflicts)

    def dry_run_pod(
        self, identity: Identity, workload: Manifest, brought: Collection[tuple[str, str]]
    ) -> RequestError | None:
        """Return why a Pod of the workload's template would be refused; None where it would not.

        Args:
            identity: The workload.
            workload: Its state as the API server completed it.
            brought: Kind and name of what the same set brings, and which need not exist yet.
        """
        template = pod_template_of(workload) or {}
        spec = dict(template["spec"])
        spec["restartPolicy"] = spec.get("restartPolicy", "Always")
        for (kind, field), dependents in POD_REFERENCES.items():
            if (kind, spec.get(field)) in brought:
                for name in (field, *dependents):
                    spec.pop(name, None)
        metadata = {
            key: value for key, value in (template.get("metadata") or {}).items() if key in ("labels", "annotations")
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**metadata, "generateName": "sonic-dry-run-", "namespace": identity.namespace},
            "spec": spec,
        }
        try:
            self._cluster.request(
                "POST", BUILT_IN["", "Pod"].path(identity.namespace), query={"dryRun": "All"}, body=pod
            )
        except RequestError as error:
            # Who may write Deployments but no Pods cannot ask; the Deployment's own condition tells later.
            return (
                None
                if error.status == HTTPStatus.FORBIDDEN and 'cannot create resource "pods"' in error.message
                else error
            )
        return None

    def _create_with_initial(
        self,
        resource: Resource,
        manifest: Manifest,
        rest: Manifest,
        paths: list[tuple[str, ...]],
        live: Manifest | None,
    ) -> Answer:
        """Create an object whose initial fields are owned by INITIAL_MANAGER alone, and all others by us alone.

        Three patches, because an object must not exist for a moment without its initial fields. A run that dies between
        them leaves a half-created object, which the next run takes up here.
        """
        if live is None:
            self._apply(resource, manifest, INITIAL_MANAGER, force=False)
        answer = self._apply(resource, rest, FIELD_MANAGER, force=True)
        # What a run that died had not given it yet comes from the manifest; all else stays as it is by now.
        absent = [path for path in paths if field_at(answer.body, path) is None]
        kept = _with_fields(_with_fields(_skeleton(manifest), answer.body, paths), manifest, absent)
        self._apply(resource, kept, INITIAL_MANAGER, force=True)
        return answer

    def _hand_over(self, resource: Resource, identity: Identity, paths: list[tuple[str, ...]]) -> None:
        """Make INITIAL_MANAGER own our fields at their live values, so that our dropping them does not reset them.

        One patch with those that it owns already: a manager loses, and may so reset, what its next patch leaves out.
        """
        for remaining in reversed(range(CONFLICT_TRIES)):
            live = self._cluster.get(resource, identity.namespace, identity.name)
            if live is None:
                return
            owners = (FIELD_MANAGER, INITIAL_MANAGER)
            owned = [path for path in paths if any(owns_field(live, manager, path) for manager in owners)]
            kept = _with_fields(_skeleton(live), live, owned)
            # Guarded: an autoscaler that writes a field meanwhile wins, and its value is read again.
            kept = with_field(kept, ("metadata", "resourceVersion"), live["metadata"]["resourceVersion"])
            try:
                self._apply(resource, kept, INITIAL_MANAGER, force=True)
            except RequestError as error:
                if error.status != HTTPStatus.CONFLICT or not remaining:
                    raise
            else:
                return

    def _apply(
        self, resource: Resource, manifest: Manifest, manager: str, *, force: bool, dry_run: bool = False
    ) -> Answer:
        identity = identity_of(manifest)
        query: dict[str, Any] = {
            "fieldManager": manager,
            "force": str(force).lower(),
            "fieldValidation": "Strict",
            "dryRun": "All" if dry_run else None,
        }
        guarded = field_at(manifest, ["metadata", "resourceVersion"]) is not None
        for remaining in reversed(range(CONFLICT_TRIES)):
            try:
                return self._cluster.request(
                    "PATCH",
                    resource.path(identity.namespace, identity.name),
                    query=query,
                    body=manifest,
                    content_type="application/apply-patch+yaml",
                )
            except RequestError as error:
                if manager == FIELD_MANAGER and _yield_to_us(error.owners):
                    query["force"] = "true"
                elif error.reason != "Conflict" or guarded or not remaining:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")


def _yield_to_us(owners: Sequence[str]) -> bool:
    """Return whether all fields in conflict may be taken: set once by us, or the size that an autoscaler left.

    Args:
        owners: What the API server says of each, such as ``conflict with "keda" with subresource "scale" using ...``.
    """
    ours = f'conflict with "{INITIAL_MANAGER}"'
    return bool(owners) and all(owner.startswith(ours) or 'with subresource "scale"' in owner for owner in owners)


def half_created(live: Manifest) -> bool:
    """Return whether a run died while it created an object: INITIAL_MANAGER still owns our label."""
    return owns_field(live, INITIAL_MANAGER, ("metadata", "labels", RELEASE_LABEL))


def _with_fields(obj: Manifest, source: Manifest, paths: Iterable[tuple[str, ...]]) -> Manifest:
    """Return `obj` with the fields at `paths` as `source` has them; a field that it lacks is left as it is."""
    for path in paths:
        value = field_at(source, path)
        obj = obj if value is None else with_field(obj, path, value)
    return obj


def _skeleton(obj: Manifest) -> Manifest:
    """Return what names an object in a patch, and nothing else."""
    metadata = {key: obj["metadata"][key] for key in ("name", "namespace") if obj["metadata"].get(key)}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}
