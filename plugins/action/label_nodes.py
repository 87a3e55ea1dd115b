# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gives nodes labels, annotations and taints by rules; documented in plugins/modules/label_nodes.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.hep.sonic.plugins.plugin_utils.action_base import Params, Result, SonicAction
from ansible_collections.hep.sonic.plugins.plugin_utils.client import ACCESS_SPEC, Access, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.node_rules import RULE_SPEC, NodeChange, Rule, as_written
from ansible_collections.hep.sonic.plugins.plugin_utils.nodes import NodeWriter
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import to_yaml


class ActionModule(SonicAction):
    """Make the nodes of one cluster carry what rules say."""

    argument_spec: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "rules": {"type": "list", "elements": "dict", "required": True, "options": as_written(RULE_SPEC)},
        "force_conflicts": {"type": "bool", "default": False},
        **ACCESS_SPEC,
    }

    def execute(self, params: Params, task_vars: Mapping[str, Any]) -> Result:
        """Plan, and write unless in check mode."""
        del task_vars
        rules = [Rule(**{**rule, "nodes": rule["nodes"] or {}}) for rule in params["rules"]]
        with Cluster(Access.from_params(params), self.progress) as cluster:
            writer = NodeWriter(cluster, rules, force=params["force_conflicts"], progress=self.progress)
            changes = writer.preview() if self.check_mode else writer.apply()
        return self._report(changes)

    def _report(self, changes: list[NodeChange]) -> Result:
        changed = [change for change in changes if change.changes]
        counts = {"configured": len(changed), "unchanged": len(changes) - len(changed)}
        summary = ", ".join(f"{count} {action}" for action, count in counts.items() if count) or "no nodes"
        self.progress(f"nodes: {summary}{' (check mode)' if self.check_mode else ''}")
        result: Result = {
            "changed": bool(changed),
            "nodes": [
                {
                    "name": change.name,
                    "action": "configured" if change.changes else "unchanged",
                    "labels": dict(change.labels),
                }
                for change in changes
            ],
            "summary": summary,
        }
        if self.diff_mode:
            result["diff"] = [
                {
                    "before": to_yaml(change.before),
                    "after": to_yaml(change.after),
                    "before_header": f"Node {change.name} (live)",
                    "after_header": f"Node {change.name} (wanted)",
                }
                for change in changed
            ]
        return result
