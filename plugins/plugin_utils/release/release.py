# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release from beginning to end: plan, write, wait, prune, record."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Cluster, Resource
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import ReleaseError, RequestError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import (
    Identity,
    Manifest,
    pod_template_of,
    same_configuration,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.release import history
from ansible_collections.hep.sonic.plugins.plugin_utils.release.lease import LEASES, Lease
from ansible_collections.hep.sonic.plugins.plugin_utils.release.parent import SECRETS
from ansible_collections.hep.sonic.plugins.plugin_utils.release.patch import Patcher
from ansible_collections.hep.sonic.plugins.plugin_utils.release.plan import (
    CONFIGURED,
    ENABLING_KINDS,
    UNCHANGED,
    Change,
    Plan,
    Planner,
    Wanted,
    explain_refusal,
    prepare,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import ReleaseSpec
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
        if plan.parent.exists:
            with self._hold() as lease:
                self._prune(plan, lease)
                history.remove_all(self._cluster, self._spec)
                self._cluster.delete(SECRETS, self._companion("Secret"))
            self._cluster.delete(LEASES, self._companion("Lease"))
        return Outcome(plan.changes, 0)

    def _plan(self, wanted: Sequence[Wanted], *, check_mode: bool = False) -> Plan:
        return Planner(self._cluster, self._spec, self._progress, check_mode=check_mode).plan(wanted)

    def _hold(self) -> Lease:
        return Lease(self._cluster, self._spec, self._progress)

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
            members = [change.identity for change in plan.changes if change.after]
            final = plan.parent.holding(members)
            if final.widened(plan.parent) != plan.parent or not plan.parent.exists:
                final.widened(plan.parent).write(self._cluster)
            written = self._write(plan.wanted, lease)
            self._wait(written, lease.check)
            lease.check()
            self._prune(plan, lease)
            final = history.record(self._cluster, final, [one.manifest for one in wanted])
            if final != plan.parent:
                final.write(self._cluster)
        removed_or_kept = [change for change in plan.changes if not change.wanted]
        return Outcome([*written, *removed_or_kept], final.revision, plan.warnings)

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

    def _prune(self, plan: Plan, lease: Lease) -> None:
        for _rank, of_rank in itertools.groupby(plan.pruned, key=lambda change: change.identity.rank):
            lease.check()
            self._cluster.map(self._delete, list(of_rank))
        if self._spec.wait:
            self._waiter.until_gone(_resources(plan.pruned), lease.check)

    def _delete(self, change: Change) -> None:
        if change.resource:
            # Foreground: a workload stays visible until its pods are gone, so that waiting for it means something.
            propagation = "Foreground" if pod_template_of(change.before or {}) else "Background"
            self._cluster.delete(change.resource, change.identity, propagation=propagation)


def _resources(changes: Iterable[Change]) -> Mapping[Identity, Resource]:
    return {change.identity: change.resource for change in changes if change.resource}


def _no_check() -> None:
    """Let a wait go on: without a Lease there is nothing to lose."""
