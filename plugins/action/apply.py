# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action ``hep.sonic.apply``: one task applies all objects of a role as one release."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from ansible_collections.hep.sonic.plugins.plugin_utils.action_base import Params, Result, SonicAction
from ansible_collections.hep.sonic.plugins.plugin_utils.client import ACCESS_SPEC, Access, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.download import DOWNLOADS_SPEC, load_manifests
from ansible_collections.hep.sonic.plugins.plugin_utils.release.plan import (
    CONFIGURED,
    CREATED,
    DELETED,
    KEPT,
    UNCHANGED,
    Change,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.release.release import Outcome, Release
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import InitialFields, ReleaseSpec, field_path
from ansible_collections.hep.sonic.plugins.plugin_utils.render import Rendered, Renderer, to_plain

APPLY_SPEC: Mapping[str, Mapping[str, Any]] = {
    "release": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "instance": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "manifests": {"type": "list", "elements": "raw", "default": []},
    "objects": {"type": "list", "elements": "dict", "default": []},
    **DOWNLOADS_SPEC,
    "initial": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "kind": {"type": "str", "required": True},
            "name": {"type": "str"},
            "fields": {"type": "list", "elements": "raw", "required": True},
        },
    },
    "planned": {
        "type": "dict",
        "default": {},
        "options": {
            "namespaces": {"type": "list", "elements": "str", "default": []},
            "kinds": {"type": "list", "elements": "str", "default": []},
        },
    },
    "adopt": {"type": "bool", "default": False},
    "prune": {"type": "bool", "default": True},
    "prune_protected": {"type": "bool", "default": False},
    "force_conflicts": {"type": "bool", "default": False},
    "dry_run_first": {"type": "bool", "default": True},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 600},
    "failure_grace": {"type": "int", "default": 20},
    "history_limit": {"type": "int", "default": 10},
}

#: The order in which a summary counts.
ACTIONS = (CREATED, CONFIGURED, DELETED, KEPT, UNCHANGED)


class ActionModule(SonicAction):
    """Apply a set of objects to one cluster as one release."""

    argument_spec: ClassVar[Mapping[str, Mapping[str, Any]]] = {**APPLY_SPEC, **ACCESS_SPEC}

    def execute(self, params: Params, task_vars: Mapping[str, Any]) -> Result:
        """Plan, and carry out unless in check mode."""
        spec = _spec_of(params)
        absent = params["state"] == "absent"
        rendered = [] if absent else self._render(params, task_vars)
        with Cluster(Access.from_params(params), self.progress) as cluster:
            release = Release(cluster, spec, self.progress)
            if self.check_mode:
                outcome = release.preview(rendered)
            else:
                outcome = release.remove() if absent else release.apply(rendered)
        return self._report(spec, outcome)

    def _render(self, params: Params, task_vars: Mapping[str, Any]) -> list[Rendered]:
        renderer = Renderer(
            loader=self._loader,
            templar=self._templar,
            find=lambda name: str(self._find_needle("manifests", name)),
            variables=task_vars,
        )
        given = [Rendered(to_plain(obj), f"objects[{index}]") for index, obj in enumerate(params["objects"])]
        return renderer.render(params["manifests"]) + given + self._downloaded(params)

    def _downloaded(self, params: Params) -> list[Rendered]:
        with ThreadPoolExecutor() as pool:
            files = pool.map(
                lambda one: load_manifests(one["url"], one["sha256"], params["mirrors"]), params["downloads"]
            )
            return [rendered for file in files for rendered in file]

    def _report(self, spec: ReleaseSpec, outcome: Outcome) -> Result:
        counts = collections.Counter(change.action for change in outcome.changes)
        summary = ", ".join(f"{counts[action]} {action}" for action in ACTIONS if counts[action]) or "nothing to do"
        changes = [change for change in outcome.changes if change.changes]
        self.progress(f"release {spec.name}: {summary}{' (check mode)' if self.check_mode else ''}")
        result: Result = {
            "changed": bool(changes),
            "objects": [_describe(change) for change in outcome.changes],
            "summary": summary,
            "revision": outcome.revision,
        }
        if self.diff_mode:
            result["diff"] = [change.difference().as_ansible() for change in changes]
        if outcome.warnings:
            result["warnings"] = list(outcome.warnings)
        return result


def _spec_of(params: Params) -> ReleaseSpec:
    initial = [
        InitialFields(entry["kind"], tuple(field_path(field) for field in entry["fields"]), entry["name"])
        for entry in params["initial"]
    ]
    planned: Mapping[str, Sequence[str]] = params["planned"] or {}
    return ReleaseSpec(
        name=params["release"],
        namespace=params["namespace"],
        instance=params["instance"] or params["release"],
        initial=initial,
        planned_namespaces=frozenset(planned.get("namespaces") or ()),
        planned_kinds=frozenset(planned.get("kinds") or ()),
        adopt=params["adopt"],
        prune=params["prune"] or params["state"] == "absent",
        prune_protected=params["prune_protected"],
        force_conflicts=params["force_conflicts"],
        dry_run_first=params["dry_run_first"],
        wait=params["wait"],
        wait_timeout=params["wait_timeout"],
        failure_grace=params["failure_grace"],
        history_limit=params["history_limit"],
    )


def _describe(change: Change) -> dict[str, str]:
    return {
        "kind": change.identity.kind,
        "namespace": change.identity.namespace,
        "name": change.identity.name,
        "action": change.action,
    }
