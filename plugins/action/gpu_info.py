# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells which GPUs a cluster has; documented in plugins/modules/gpu_info.py."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.action_base import Params, Result, SonicAction
from ansible_collections.hep.sonic.plugins.plugin_utils.client import ACCESS_SPEC, BUILT_IN, Access, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.gpus import (
    carries,
    describe,
    idle,
    products,
    table,
    unknown_products,
    without_gpu,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest

NODES: Final = BUILT_IN["", "Node"]
PODS: Final = BUILT_IN["", "Pod"]
#: Pods that hold their resources.
PRESENT: Final = "status.phase!=Succeeded,status.phase!=Failed"
#: Seconds between two looks, and between two lines of progress.
POLL_SECONDS: Final = 0.5
REPORT_SECONDS: Final = 5.0


class ActionModule(SonicAction):
    """Return the GPUs of one cluster."""

    argument_spec: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "resources": {"type": "list", "elements": "str", "default": ["nvidia.com/gpu*", "nvidia.com/mig-*"]},
        "label_selector": {"type": "dict", "default": {}},
        "planned_labels": {"type": "dict", "default": {}},
        "expected": {"type": "bool", "default": False},
        "products": {"type": "list", "elements": "list", "default": []},
        "wait_timeout": {"type": "int", "default": 0},
        "users": {"type": "bool", "default": True},
        "table": {"type": "bool", "default": True},
        **ACCESS_SPEC,
    }

    def execute(self, params: Params, task_vars: Mapping[str, Any]) -> Result:
        """Ask the API server, in check mode, too."""
        del task_vars
        with Cluster(Access.from_params(params), self.progress) as cluster:
            meant, missing = self._wait(cluster, params)
            pods = cluster.list(PODS, fields=PRESENT) if params["users"] else ()
            nodes = describe(meant, pods, params["resources"])
        result: Result = {"changed": False, "products": products(nodes)}
        if params["users"]:
            result["nodes"] = [node.as_dict() for node in nodes]
        if params["users"] and params["table"]:
            for line in table(nodes):
                self.progress(line)
        warnings = unknown_products(params["products"], nodes)
        if params["expected"]:
            warnings += idle(params["label_selector"], missing, len(meant))
        return result | ({"warnings": warnings} if warnings else {})

    def _wait(self, cluster: Cluster, params: Params) -> tuple[list[Manifest], list[str]]:
        """Return the nodes and which of them offer no GPU though they are ready, once none does or the time is up.

        Raises:
            SonicError: No node at all offers one when the time is up that somebody gave for that.
        """
        wanted, planned = params["label_selector"], params["planned_labels"]
        # the API server selects by labels that are there; those that are planned it does not know
        selector = "" if planned else ",".join(f"{key}={value}" for key, value in wanted.items())
        start = reported = time.monotonic()
        while True:
            listed = cluster.list(NODES, labels=selector or None)
            nodes = [node for node in listed if carries(node, wanted, planned)]
            missing = without_gpu(nodes, params["resources"])
            now = time.monotonic()
            if not missing or now - start >= params["wait_timeout"]:
                break
            if now - reported > REPORT_SECONDS:
                reported = now
                self.progress(f"{len(missing)} of {len(nodes)} nodes offer no GPU yet ({now - start:.0f} s)")
            time.sleep(POLL_SECONDS)
        if params["wait_timeout"] and missing and len(missing) == len(nodes):
            (text,) = idle(params["label_selector"], missing, len(nodes))
            raise SonicError(f"After {params['wait_timeout']} s, {text}")
        return nodes, missing
