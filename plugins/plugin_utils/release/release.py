# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release from beginning to end: plan, write, wait, prune, record."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Cluster, Resource
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import ReleaseError, RequestError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import (
    Identity,
    Manifest,
    field_at,
    pod_template_of,
    same_configuration,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.release import history
from ansible_collections.hep.sonic.plugins.plugin_utils.release.lease import LEASES, Lease
from ansible_collections.hep.sonic.plugins.plugin_utils.release.parent import SECRETS
from ansible_collections.hep.sonic.plugins.plugin_utils.release.patch import CONFLICT_TRIES, Patcher
from ansible_collections.hep.sonic.plugins.plugin_utils.release.plan import (
    CONFIGURED,
    DELETED,
    ENABLING_KINDS,
    KEPT,
    UNCHANGED,
    Change,
    Plan,
    Planner,
    Wanted,
    explain_refusal,
    prepare,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import PART_OF_LABEL, ReleaseSpec
from ansible_collections.hep.sonic.plugins.plugin_utils.release.wait import Waiter
from ansible_collections.hep.sonic.plugins.plugin_utils.render import Rendered

#: Seconds in which a new kind must appear in discovery after its CRD was established; it takes less than one.
DISCOVERY_SECONDS: Final = 15.0


@dataclass(frozen=True)
class Outcome:
    """What a run did, or would do.

    Args:
        changes: One for each object.
        revision: Number of the revision that describes the cluster afterwards; 0 for none.
        warnings: What the operator should know.
    """

    changes: Sequence[Change]
    revision: int
    warnings: Sequence[str] = ()


class Release:
    """One release on one cluster.

    Args:
        cluster: Where.
        spec: What it is told.
        progress: Told what happens, for the person who waits.
    """

    def __init__(self, cluster: Cluster, spec: ReleaseSpec, progress: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._spec = spec
        self._progress = progress
        self._waiter = Waiter(cluster, spec, progress)
        self._patcher = Patcher(cluster, spec)

    def preview(self, rendered: Iterable[Rendered]) -> Outcome:
        """Return what apply() would do, or with an empty set what remove() would do, without writing anything."""
        plan = self._plan(prepare(self._cluster, self._spec, rendered), check_mode=True)
        return Outcome(plan.changes, plan.parent.revision, plan.warnings)

    def apply(self, rendered: Sequence[Rendered]) -> Outcome:
        """Make the cluster have exactly this set; nothing is removed before what replaces it is ready.

        Raises:
            SonicError: Something is refused or does not get ready. Running it again continues where this run stopped.
        """
        wanted = prepare(self._cluster, self._spec, rendered)
        plan = self._plan(wanted)
        enabled = self._enable(plan)
        if enabled:
            wanted = prepare(self._cluster, self._spec, rendered)
            plan = self._plan(wanted)
        manifests = [one.manifest for one in wanted]
        if plan.changed or history.digest_of_set(self._spec, manifests) != plan.parent.digest:
            outcome = self._carry_out(plan, wanted)
        else:
            self._wait(plan.wanted, _no_check)
            outcome = Outcome(plan.changes, plan.parent.revision, plan.warnings)
        first = {change.identity: change for change in enabled}
        return replace(outcome, changes=[first.get(change.identity, change) for change in outcome.changes])

    def remove(self) -> Outcome:
        """Remove every object of the release, and what describes it.

        Raises:
            SonicError: Something cannot be removed. Running it again continues where this run stopped.
        """
        plan = self._plan([])
        if not plan.parent.exists and not plan.lease_version:
            return Outcome(plan.changes, 0)
        # The Lease goes last: where it is left alone, a run died after it had removed the parent.
        with self._hold() as lease:
            if lease.previous_version != plan.lease_version:
                # Another run changed the release after our plan was made.
                plan = self._plan([])
            changes = self._prune(plan, lease)
            lease.check()
            history.remove_all(self._cluster, self._spec)
            self._cluster.delete(SECRETS, self._companion("Secret"))
        self._delete_lease()
        return Outcome(changes, 0)

    def _plan(self, wanted: Sequence[Wanted], *, check_mode: bool = False) -> Plan:
        return Planner(self._cluster, self._spec, self._progress, check_mode=check_mode).plan(wanted)

    def _hold(self) -> Lease:
        return Lease(self._cluster, self._spec, self._progress)

    def _delete_lease(self) -> None:
        """Delete the Lease, which we hold no more, unless another run has taken it."""
        identity = self._companion("Lease")
        live = self._cluster.get(LEASES, identity.namespace, identity.name)
        if live is None or live["spec"].get("holderIdentity"):
            return
        try:
            version = {"resourceVersion": live["metadata"]["resourceVersion"]}
            self._cluster.delete(LEASES, identity, preconditions=version)
        except RequestError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise

    def _companion(self, kind: str) -> Identity:
        """Return the identity of what describes the release, which is no member of it."""
        group = LEASES.group if kind == "Lease" else ""
        return Identity(group, kind, self._spec.namespace, self._spec.parent_name)

    def _enable(self, plan: Plan) -> list[Change]:
        """Create the namespaces and CRDs without which the API server cannot check the rest; return them.

        It comes before the Lease, which may have no namespace to live in yet; applying the same twice does no harm.
        """
        home = Identity("", "Namespace", "", self._spec.namespace)
        if not any(change.blind or (change.identity == home and change.before is None) for change in plan.wanted):
            return []
        enabling = [change for change in plan.wanted if change.identity.kind in ENABLING_KINDS and change.changes]
        written = self._write_rank(enabling)
        self._wait(written, _no_check)
        self._wait_for_kinds([change.wanted for change in plan.wanted if change.wanted and not change.resource])
        return written

    def _wait_for_kinds(self, wanted: Iterable[Wanted]) -> None:
        """Wait until the API server's discovery shows the kinds of CRDs that are established already."""
        end = time.monotonic() + DISCOVERY_SECONDS
        for one in wanted:
            while not self._cluster.resource(one.manifest["apiVersion"], one.identity.kind) and time.monotonic() < end:
                time.sleep(0.2)

    def _carry_out(self, plan: Plan, wanted: Sequence[Wanted]) -> Outcome:
        with self._hold() as lease:
            if lease.previous_version != plan.lease_version:
                # Another run changed the release after our plan was made.
                plan = self._plan(wanted)
            wide = plan.parent.holding(change.identity for change in plan.changes if change.after).widened(plan.parent)
            if wide != plan.parent or not plan.parent.exists:
                wide.write(self._cluster)
            written = self._write(plan.wanted, lease)
            self._wait(written, lease.check)
            lease.check()
            changes = [*written, *self._prune(plan, lease)]
            final = plan.parent.holding(change.identity for change in changes if change.after)
            final = history.record(self._cluster, final, [one.manifest for one in wanted])
            if final != plan.parent:
                final.write(self._cluster)
        return Outcome(changes, final.revision, plan.warnings)

    def _write(self, changes: Iterable[Change], lease: Lease) -> list[Change]:
        """Write what changes, rank by rank; return all changes as they turned out."""
        written: list[Change] = []
        for _rank, of_rank in itertools.groupby(changes, key=lambda change: change.identity.rank):
            lease.check()
            written += self._write_rank(list(of_rank))
        return written

    def _write_rank(self, changes: Sequence[Change]) -> list[Change]:
        outcomes = self._cluster.map(self._write_one, changes)
        problems = [str(outcome) for outcome in outcomes if isinstance(outcome, ReleaseError)]
        if problems:
            raise ReleaseError(
                f"Release {self._spec.name}: {len(problems)} objects were refused while writing.\n"
                + "\n".join(problems),
                "What was written before stays. Correct the cause and run it again.",
            )
        return [outcome for outcome in outcomes if isinstance(outcome, Change)]

    def _write_one(self, change: Change) -> Change | ReleaseError:
        wanted = change.wanted
        if not change.changes or wanted is None:
            return change
        resource = wanted.resource or self._cluster.resource(wanted.manifest["apiVersion"], wanted.identity.kind)
        if resource is None:
            return ReleaseError(f"{wanted.source}: the API server still knows no kind {wanted.identity.kind}.")
        try:
            answer = self._patcher.apply(resource, wanted.manifest, change.before)
        except RequestError as error:
            return explain_refusal(wanted, error)
        action = change.action
        if change.before is not None:
            action = UNCHANGED if same_configuration(change.before, answer.body) else CONFIGURED
        return replace(change, action=action, after=answer.body, resource=resource)

    def _wait(self, changes: Iterable[Change], check: Callable[[], None]) -> None:
        if not self._spec.wait:
            return
        members: dict[Identity, Resource] = {}
        states: dict[Identity, Manifest] = {}
        for change in changes:
            if change.resource and change.after:
                members[change.identity] = change.resource
                states[change.identity] = change.after if change.changes or not change.before else change.before
        self._waiter.until_ready(members, states, check)

    def _prune(self, plan: Plan, lease: Lease) -> list[Change]:
        """Remove what is not in the set, rank by rank; return all that is not in it as it turned out."""
        done: list[Change] = []
        for _rank, of_rank in itertools.groupby(plan.unwanted, key=lambda change: change.identity.rank):
            lease.check()
            done += self._cluster.map(self._delete, list(of_rank))
        if self._spec.wait:
            self._waiter.until_gone(_resources(change for change in done if change.action == DELETED), lease.check)
        return done

    def _delete(self, change: Change) -> Change:
        """Delete an object that goes; what was made anew or adopted since the plan is somebody else's, and is kept."""
        planned = live = change.before
        if change.action != DELETED or change.resource is None or planned is None or live is None:
            return change
        # Foreground: a workload stays visible until its pods are gone, so that waiting for it means something.
        propagation = "Foreground" if pod_template_of(planned) else "Background"
        for remaining in reversed(range(CONFLICT_TRIES)):
            known = {key: live["metadata"][key] for key in ("uid", "resourceVersion")}
            try:
                self._cluster.delete(change.resource, change.identity, propagation=propagation, preconditions=known)
            except RequestError as error:
                if error.status != HTTPStatus.CONFLICT or not remaining:
                    raise
            else:
                return change
            live = self._cluster.get(change.resource, change.identity.namespace, change.identity.name)
            if live is None:
                return change
            ours = field_at(live, ["metadata", "labels", PART_OF_LABEL]) == self._spec.applyset_id
            if not ours or live["metadata"]["uid"] != planned["metadata"]["uid"]:
                self._progress(f"{change.identity} is kept: it is somebody else's since this run was planned")
                # What still says that it is ours must be found by the next run.
                return replace(change, action=KEPT, after=live if ours else None)
            if live["metadata"].get("deletionTimestamp"):
                return change  # a Namespace that is going refuses to be deleted again
        raise AssertionError("unreachable: the last try returns or raises")


def _resources(changes: Iterable[Change]) -> Mapping[Identity, Resource]:
    return {change.identity: change.resource for change in changes if change.resource}


def _no_check() -> None:
    """Let a wait go on: without a Lease there is nothing to lose."""
