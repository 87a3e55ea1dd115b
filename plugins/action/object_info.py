# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads objects of a kind; documented in plugins/modules/object_info.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.hep.sonic.plugins.plugin_utils.action_base import Params, Result, SonicAction
from ansible_collections.hep.sonic.plugins.plugin_utils.client import ACCESS_SPEC, Access, Cluster, Resource
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import LAST_APPLIED, Manifest


class ActionModule(SonicAction):
    """Return the objects of a kind that a cluster has."""

    argument_spec: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "api_version": {"type": "str", "default": "v1"},
        "kind": {"type": "str", "required": True},
        "namespace": {"type": "str", "default": ""},
        "name": {"type": "str", "default": ""},
        "label_selector": {"type": "str", "default": ""},
        "objects": {"type": "bool", "default": True},
        **ACCESS_SPEC,
    }

    def execute(self, params: Params, task_vars: Mapping[str, Any]) -> Result:
        """Ask the API server, in check mode, too."""
        del task_vars
        with Cluster(Access.from_params(params)) as cluster:
            resource = cluster.resource(params["api_version"], params["kind"])
            found = self._found(cluster, resource, params) if resource and params["objects"] else []
        return {"changed": False, "known": resource is not None, "objects": [_without_values(obj) for obj in found]}

    @staticmethod
    def _found(cluster: Cluster, resource: Resource, params: Params) -> list[Manifest]:
        if not params["name"]:
            return cluster.list(resource, params["namespace"], labels=params["label_selector"] or None)
        one = cluster.get(resource, params["namespace"], params["name"])
        return [] if one is None else [one]


def _without_values(obj: Manifest) -> Manifest:
    """Return an object without what fills screens, and without the values of a Secret."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    hidden: tuple[str, ...] = ()
    if obj["kind"] == "Secret":
        hidden = ("data", "stringData")
        kept = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED}
        metadata["annotations"] = kept
    return {key: value for key, value in obj.items() if key not in hidden} | {"metadata": metadata}
