# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules for nodes carried out on a cluster: one LIST, then patches of those nodes alone that differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import ReleaseError, RequestError, SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.node_rules import (
    FIELD_MANAGER,
    NodeChange,
    Rule,
    change_of,
    first_of,
    label_patch,
    plan,
    taint_patch,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest

NODES: Final = BUILT_IN["", "Node"]
#: Tries of a list of taints that somebody else wrote meanwhile; each starts from the newest.
CONFLICT_TRIES: Final = 5
#: Nodes after which a line of progress comes.
REPORT_EVERY: Final = 100


class NodeWriter:
    """Gives nodes what rules say.

    Args:
        cluster: Where.
        rules: The rules; without any, what earlier ones gave is taken away.
        force: Whether to take over labels and annotations that another manager owns.
        progress: Told how far it is.
    """

    def __init__(
        self, cluster: Cluster, rules: Sequence[Rule], *, force: bool, progress: Callable[[str], None]
    ) -> None:
        self._cluster = cluster
        self._rules = rules
        self._force = force
        self._progress = progress

    def preview(self) -> list[NodeChange]:
        """Return what becomes of each node; the API server has agreed to each kind of change, and nothing is written.

        Raises:
            SonicError: A rule cannot be applied, or the API server refuses a change. All that is wrong is told.
        """
        return self._agree()[0]

    def apply(self) -> list[NodeChange]:
        """Write what changes, and return what became of each node.

        Raises:
            SonicError: As for preview(), before anything is written; or a node could not be written: the rest is.
        """
        changes, nodes = self._agree()
        self._write(changes, nodes)
        return changes

    def _agree(self) -> tuple[list[NodeChange], dict[str, Manifest]]:
        """Return what becomes of each node, once the API server has agreed to it, and the nodes as they are."""
        nodes = {node["metadata"]["name"]: node for node in self._cluster.list(NODES)}
        changes = plan(self._rules, nodes.values())
        self._try(changes, nodes)
        return changes, nodes

    def _try(self, changes: Sequence[NodeChange], nodes: dict[str, Manifest]) -> None:
        """Have the API server try one change of each kind.

        Raises:
            ReleaseError: Some were refused; the text names the nodes.
        """
        kinds: dict[str, list[NodeChange]] = {}
        for change in changes:
            if change.changes:
                kinds.setdefault(change.kind, []).append(change)
        groups = list(kinds.values())
        outcomes = self._cluster.map(lambda group: self._patch(group[0], nodes[group[0].name], dry_run=True), groups)
        refused = [(group, error) for group, error in zip(groups, outcomes, strict=True) if error]
        if refused:
            count, wanted = sum(len(group) for group, _error in refused), sum(map(len, groups))
            shown = "\n".join(first_of(f"{_names(group)}: {error}" for group, error in refused))
            raise ReleaseError(f"{count} of {wanted} nodes are refused, nothing was written.\n{shown}")

    def _write(self, changes: Sequence[NodeChange], nodes: dict[str, Manifest]) -> None:
        """Patch every node that changes.

        Raises:
            ReleaseError: Some were refused; the text names them.
        """
        wanted = [change for change in changes if change.changes]
        problems: list[str] = []
        for start in range(0, len(wanted), REPORT_EVERY):
            batch = wanted[start : start + REPORT_EVERY]
            outcomes = self._cluster.map(lambda change: self._patch(change, nodes[change.name], dry_run=False), batch)
            problems += [f"node {change.name}: {error}" for change, error in zip(batch, outcomes, strict=True) if error]
            if len(wanted) > REPORT_EVERY:
                self._progress(f"nodes {start + len(batch)}/{len(wanted)} written")
        if problems:
            shown = "\n".join(first_of(problems))
            raise ReleaseError(f"{len(problems)} of {len(wanted)} nodes are refused, the others were written.\n{shown}")

    def _patch(self, change: NodeChange, node: Manifest, *, dry_run: bool) -> SonicError | None:
        """Patch one node, its taints first: what is drawn by a label must meet the taint; return why not."""
        try:
            if change.taints_change:
                self._patch_taints(change, node, dry_run=dry_run)
            if change.labels_change:
                self._send(change.name, label_patch(change), "application/apply-patch+yaml", dry_run=dry_run)
        except RequestError as error:
            if self._cluster.get(NODES, "", change.name) is None:
                return None  # it has gone meanwhile
            if error.reason == "FieldManagerConflict":
                return ReleaseError(
                    error.message, "Leave them out of the rules, or take them over with force_conflicts: true."
                )
            return error
        except SonicError as error:
            return error
        return None

    def _patch_taints(self, change: NodeChange, node: Manifest, *, dry_run: bool) -> None:
        """Write a node's list of taints; where somebody was quicker, the list that follows from theirs."""
        for left in reversed(range(CONFLICT_TRIES)):
            try:
                body = taint_patch(node, change)
                self._send(change.name, body, "application/merge-patch+json", dry_run=dry_run)
            except RequestError as error:
                if error.status != HTTPStatus.CONFLICT or not left:
                    raise
            else:
                return
            node = self._cluster.request("GET", NODES.path("", change.name)).body
            change, problems = change_of(self._rules, node)
            if problems:
                raise ReleaseError(" ".join(problems))

    def _send(self, name: str, body: Manifest, content_type: str, *, dry_run: bool) -> None:
        force = "true" if self._force else "false"
        query = {
            "fieldManager": FIELD_MANAGER,
            "force": force if content_type.endswith("yaml") else None,
            "fieldValidation": "Strict",
            "dryRun": "All" if dry_run else None,
        }
        self._cluster.request("PATCH", NODES.path("", name), query=query, body=body, content_type=content_type)


def _names(group: Sequence[NodeChange]) -> str:
    """Return the nodes of one kind as a message names them."""
    rest = f" and {len(group) - 1} like it" if len(group) > 1 else ""
    return f"node {group[0].name}{rest}"
