# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for everything of a release together, with lines of progress and, where it is in vain, with the reason."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster, Resource
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import NotReadyError, RequestError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Identity, Manifest, field_at
from ansible_collections.hep.sonic.plugins.plugin_utils.release.diagnosis import (
    Problem,
    events_by_object,
    problem_of_claim,
    problem_of_pod,
    problem_of_workload,
    refusal_among,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.release.readiness import (
    Readiness,
    State,
    has_changed_over,
    is_true,
    readiness_of,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import ReleaseSpec

#: Nothing waits for an object whose annotation says "false".
WAIT_ANNOTATION: Final = "hep.sonic/wait"
#: Seconds between two looks at the objects, and between two looks for reasons, which cost more.
POLL_SECONDS: Final = 0.5
DIAGNOSIS_SECONDS: Final = 2.0
#: Seconds after which the first line of progress comes: what is ready by then needs none.
QUIET_SECONDS: Final = 1.0
#: Seconds after which a line of progress is repeated although nothing moved.
REPEAT_SECONDS: Final = 20.0
#: Lines of a container's log, and events, in the report of a failure.
LOG_LINES: Final = 12
EVENT_LINES: Final = 3

WORKLOADS: Final = frozenset({"DaemonSet", "Deployment", "Job", "StatefulSet"})
CLAIM: Final = "PersistentVolumeClaim"
REVISION_ANNOTATION: Final = "deployment.kubernetes.io/revision"


@dataclass
class _Reasons:
    """Why the objects that are not ready are not, and since when nothing can be hoped for."""

    problems: dict[Identity, list[Problem]] = field(default_factory=dict)
    hopeless_since: dict[Identity, float] = field(default_factory=dict)

    def update(self, found: Mapping[Identity, list[Problem]], now: float) -> None:
        self.problems = dict(found)
        hopeless = {identity for identity, problems in found.items() if any(one.hopeless for one in problems)}
        self.hopeless_since = {identity: self.hopeless_since.get(identity, now) for identity in hopeless}


class Waiter:
    """Waits for the objects of one release.

    Args:
        cluster: Where.
        spec: The release.
        progress: Told what is ready and what is missing, whenever that changes.
    """

    def __init__(self, cluster: Cluster, spec: ReleaseSpec, progress: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._spec = spec
        self._progress = progress
        self._said: dict[Identity | None, tuple[str, float]] = {}
        self._binding_modes: dict[str, str] = {}
        #: Workloads that had old pods on their way out; once these are gone, the refusal that they may have caused.
        self._outlasted: dict[Identity, str | None] = {}

    def until_ready(
        self, members: Mapping[Identity, Resource], states: Mapping[Identity, Manifest], check: Callable[[], None]
    ) -> None:
        """Wait until every object is ready.

        Args:
            members: The objects, and where they live.
            states: Their states as far as they are known; what is ready there is not asked for again.
            check: Raises when the waiting has lost its sense.

        Raises:
            NotReadyError: The time is up, or something can never get ready; the text says what, why and what to do.
        """
        start = time.monotonic()
        reasons = _Reasons()
        diagnosed_at = float("-inf")
        pending = self._unready(states)
        while pending:
            check()
            now = time.monotonic()
            if now - diagnosed_at >= DIAGNOSIS_SECONDS:
                reasons.update(self._diagnose(pending), now)
                diagnosed_at = now
                pending = {
                    identity: (obj, readiness)
                    for identity, (obj, readiness) in pending.items()
                    if not self._lacks_lost_nodes_only(identity, obj)
                }
            self._report(pending, reasons, now - start)
            failed = [identity for identity, (_obj, readiness) in pending.items() if readiness.state is State.FAILED]
            grace = self._spec.failure_grace
            failed += [identity for identity, since in reasons.hopeless_since.items() if grace and now - since >= grace]
            timed_out = now - start >= self._spec.wait_timeout
            if failed or timed_out:
                raise self._failure(pending, reasons, now - start, timed_out=timed_out and not failed)
            time.sleep(POLL_SECONDS)
            pending = self._unready(self._read({identity: members[identity] for identity in pending}))
        for identity in filter(None, self._said):
            self._progress(f"{identity.name} ready ({_duration(time.monotonic() - start)})")

    def until_gone(self, members: Mapping[Identity, Resource], check: Callable[[], None]) -> None:
        """Wait until every object is gone.

        Args:
            members: The objects, and where they live.
            check: Raises when the waiting has lost its sense.

        Raises:
            NotReadyError: The time is up; the text names what holds the objects.
        """
        start = time.monotonic()
        left = self._read(members, absent_is_gone=True)
        while left:
            check()
            elapsed = time.monotonic() - start
            names = ", ".join(str(identity) for identity in sorted(left))
            self._say(None, f"{len(left)} objects are going: {names}", elapsed)
            if elapsed >= self._spec.wait_timeout:
                finalizers = {name for obj in left.values() for name in obj["metadata"].get("finalizers") or []}
                held = ", ".join(sorted(finalizers)) or "nothing"
                raise NotReadyError(
                    f"Not gone after {_duration(elapsed)}: {names}. Held by: {held}",
                    "Find what should remove these finalizers, or their dependents.",
                )
            time.sleep(POLL_SECONDS)
            left = self._read({identity: members[identity] for identity in left}, absent_is_gone=True)

    def _unready(self, states: Mapping[Identity, Manifest]) -> dict[Identity, tuple[Manifest, Readiness]]:
        judged = {identity: (obj, readiness_of(obj)) for identity, obj in states.items()}
        return {
            identity: (obj, readiness)
            for identity, (obj, readiness) in judged.items()
            if readiness.state is not State.READY
            and obj["metadata"].get("annotations", {}).get(WAIT_ANNOTATION) != "false"
            and not self._waits_for_consumer(obj)
            and not self._serves_as_scaled(identity, obj, readiness)
        }

    def _serves_as_scaled(self, identity: Identity, obj: Manifest, readiness: Readiness) -> bool:
        """Return whether a Deployment serves whose size somebody else sets, perhaps above what there is room for."""
        if identity.kind != "Deployment" or ("spec", "replicas") not in self._spec.initial_paths(identity):
            return False
        if not has_changed_over(obj):
            return False
        self._progress(f"{identity.name} serves: {readiness.text}, the others when there is room for them")
        return True

    def _waits_for_consumer(self, obj: Manifest) -> bool:
        """Return whether a claim is bound only when a pod uses it, so that nothing can be waited for here."""
        name = field_at(obj, ["spec", "storageClassName"])
        if obj["kind"] != CLAIM or not name or field_at(obj, ["status", "phase"]) == "Lost":
            return False
        if name not in self._binding_modes:
            try:
                found = self._cluster.get(BUILT_IN["storage.k8s.io", "StorageClass"], "", name)
            except RequestError:
                # A tenant may not read storage classes: the pod that uses the claim tells whether it binds.
                found = {"volumeBindingMode": "WaitForFirstConsumer"}
            self._binding_modes[name] = (found or {}).get("volumeBindingMode", "Immediate")
        return self._binding_modes[name] == "WaitForFirstConsumer"

    def _lacks_lost_nodes_only(self, identity: Identity, obj: Manifest) -> bool:
        """Return whether a DaemonSet is ready on every node that is: a node that is down keeps no release waiting."""
        if identity.kind != "DaemonSet":
            return False
        try:
            nodes = self._cluster.list(BUILT_IN["", "Node"])
        except RequestError:
            return False  # a tenant may not read nodes
        lost = {node["metadata"]["name"] for node in nodes if not is_true(node, "Ready")}
        _maker, pods = self._pods_of(identity, obj)
        lacking = {field_at(pod, ["spec", "nodeName"]) for pod in pods if not is_true(pod, "Ready")}
        if not lacking or not lacking <= lost:
            return False
        wanted = (field_at(obj, ["status", "desiredNumberScheduled"]) or 0) - len(lacking)
        elsewhere = {**obj, "status": {**obj["status"], "desiredNumberScheduled": wanted}}
        if readiness_of(elsewhere).state is not State.READY:
            return False
        self._progress(f"{identity.name} ready, but not on nodes that are down: {', '.join(sorted(lacking))}")
        return True

    def _read(self, members: Mapping[Identity, Resource], *, absent_is_gone: bool = False) -> dict[Identity, Manifest]:
        """Return the present states: one LIST for each kind and namespace.

        Raises:
            NotReadyError: An object was removed by somebody while we wait for it.
        """
        queries = sorted(
            {(resource, identity.namespace) for identity, resource in members.items()},
            key=lambda query: (query[0].kind, query[1]),
        )
        selector = self._spec.member_selector
        pages = self._cluster.map(lambda query: self._cluster.list(query[0], query[1], labels=selector), queries)
        found = {
            (resource.group, resource.kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]): obj
            for (resource, _namespace), page in zip(queries, pages, strict=True)
            for obj in page
        }
        keys = {identity: (identity.group, identity.kind, identity.namespace, identity.name) for identity in members}
        missing = [identity for identity, key in keys.items() if key not in found]
        if missing and not absent_is_gone:
            names = ", ".join(str(identity) for identity in missing)
            raise NotReadyError(f"Removed by somebody else while this run waited for it: {names}", "Run it again.")
        return {identity: found[key] for identity, key in keys.items() if key in found}

    def _diagnose(self, pending: Mapping[Identity, tuple[Manifest, Readiness]]) -> dict[Identity, list[Problem]]:
        workloads = {identity: obj for identity, (obj, _readiness) in pending.items() if identity.kind in WORKLOADS}
        pods = {identity: obj for identity, (obj, _readiness) in pending.items() if identity.kind == "Pod"}
        claims = [identity for identity in pending if identity.kind == CLAIM]
        namespaces = sorted({identity.namespace for identity in (*workloads, *pods, *claims)})
        events = dict(zip(namespaces, self._cluster.map(self._events, namespaces), strict=True))
        found = {
            identity: [problem_of_pod(pod, events[identity.namespace].get(("Pod", identity.name), ()))]
            for identity, pod in pods.items()
        }
        for identity in claims:
            found[identity] = [problem_of_claim(events[identity.namespace].get((CLAIM, identity.name), ()))]
        listed = self._cluster.map(lambda item: self._pods_of(*item), list(workloads.items()))
        for identity, (maker, selected) in zip(workloads, listed, strict=True):
            about = events[identity.namespace]
            owner = (maker["kind"], maker["metadata"]["name"])
            own = about.get(owner, ())
            members = [pod for pod in selected if _owner_of(pod) == owner]
            problems = [problem_of_pod(pod, about.get(("Pod", pod["metadata"]["name"]), ())) for pod in members]
            found[identity] = [*problems, problem_of_workload(maker, own, members)]
            hope = self._hope(identity, selected, own)
            if hope:
                found[identity] = [one and one.after_old_pods(hope) for one in found[identity]]
        return {identity: [one for one in problems if one] for identity, problems in found.items()}

    def _hope(self, identity: Identity, pods: Sequence[Manifest], events: Sequence[Manifest]) -> str:
        """Return by what a full site or quota may yet get free, in words; "" where nothing is known."""
        ending = [pod["metadata"]["name"] for pod in pods if pod["metadata"].get("deletionTimestamp")]
        if ending:
            self._outlasted[identity] = None
            return f"waiting for the old pod {ending[0]} to end"
        if identity not in self._outlasted:
            return ""
        # The scheduler tries again as soon as a pod has ended. Who makes pods doubles the time between two tries, so
        # that the last refusal met the old pods, and the next try comes after as long as these took to end.
        refusal = refusal_among(events)
        version = refusal["metadata"]["resourceVersion"] if refusal else ""
        if self._outlasted[identity] is None:
            self._outlasted[identity] = version
        return "waiting for the next try to make pods" if version and version == self._outlasted[identity] else ""

    def _events(self, namespace: str) -> dict[tuple[str, str], list[Manifest]]:
        try:
            return events_by_object(self._cluster.list(BUILT_IN["", "Event"], namespace))
        except RequestError:
            # Events only make the report better; who may not read them still gets the pods' own reasons.
            return {}

    def _pods_of(self, identity: Identity, workload: Manifest) -> tuple[Manifest, list[Manifest]]:
        """Return what makes the pods of a workload's newest template, and the pods of all its templates."""
        selector = field_at(workload, ["spec", "selector", "matchLabels"]) or {}
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        maker = workload
        if identity.kind == "Deployment":
            revision = (workload["metadata"].get("annotations") or {}).get(REVISION_ANNOTATION)
            for replica_set in self._cluster.list(BUILT_IN["apps", "ReplicaSet"], identity.namespace, labels=labels):
                if (replica_set["metadata"].get("annotations") or {}).get(REVISION_ANNOTATION) == revision:
                    maker = replica_set
        return maker, self._cluster.list(BUILT_IN["", "Pod"], identity.namespace, labels=labels)

    def _report(
        self, pending: Mapping[Identity, tuple[Manifest, Readiness]], reasons: _Reasons, elapsed: float
    ) -> None:
        for identity, (_obj, readiness) in sorted(pending.items()):
            phrases = collections.Counter(
                (problem.phrase, bool(problem.pod)) for problem in reasons.problems.get(identity, ())
            )
            told = (f"{count} {phrase}" if of_pods else phrase for (phrase, of_pods), count in phrases.most_common())
            parts = [readiness.text, *told]
            self._say(identity, ", ".join(filter(None, parts)), elapsed)

    def _say(self, identity: Identity | None, text: str, elapsed: float) -> None:
        said, at = self._said.get(identity, ("", 0.0))
        if elapsed < QUIET_SECONDS:
            return
        if text != said or elapsed - at >= REPEAT_SECONDS:
            self._said[identity] = (text, elapsed)
            self._progress(f"{identity.name if identity else 'removal'} {text} ({_duration(elapsed)})")

    def _failure(
        self,
        pending: Mapping[Identity, tuple[Manifest, Readiness]],
        reasons: _Reasons,
        elapsed: float,
        *,
        timed_out: bool,
    ) -> NotReadyError:
        why = f"the time is up after {_duration(elapsed)}" if timed_out else "waiting longer would not help"
        lines = [f"Release {self._spec.name} in {self._spec.namespace} is not ready, {why}."]
        for identity, (_obj, readiness) in sorted(pending.items()):
            lines.append(f"{identity}: {readiness.text}")
            lines += self._describe(identity, reasons.problems.get(identity, ()))
        return NotReadyError("\n".join(lines))

    def _describe(self, identity: Identity, problems: Sequence[Problem]) -> Iterable[str]:
        """Yield why one object is not ready: each reason once, with the words of one container."""
        seen: set[str] = set()
        for problem in sorted(problems, key=lambda one: not one.hopeless):
            if problem.reason in seen:
                continue
            seen.add(problem.reason)
            count = sum(one.reason == problem.reason for one in problems)
            where = "its volume" if identity.kind == CLAIM else "its pods"
            if problem.pod:
                where = f"pod {problem.pod}" + (f" and {count - 1} more" if count > 1 else "")
            yield f"  {where}: {problem.reason}: {problem.message}".rstrip(": ")
            if problem.container:
                yield from (f"    | {line}" for line in self._last_words(identity, problem))
            if problem.remedy:
                yield f"    -> {problem.remedy}"

    def _last_words(self, identity: Identity, problem: Problem) -> list[str]:
        path = BUILT_IN["", "Pod"].path(identity.namespace, problem.pod) + "/log"
        query = {"container": problem.container, "tailLines": LOG_LINES}
        for previous in ("true", None) if problem.crashed else (None,):
            try:
                text = self._cluster.request("GET", path, query={**query, "previous": previous}).body
            except RequestError:
                continue
            if text:
                return str(text).rstrip().splitlines()
        return []


def _owner_of(pod: Manifest) -> tuple[str, str]:
    owners = pod["metadata"].get("ownerReferences") or []
    return next(((owner["kind"], owner["name"]) for owner in owners if owner.get("controller")), ("", ""))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
