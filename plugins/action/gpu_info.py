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
    describe,
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
        "products": {"type": "list", "elements": "str", "default": []},
        "wait_timeout": {"type": "int", "default": 0},
        "users": {"type": "bool", "default": True},
        "table": {"type": "bool", "default": True},
        **ACCESS_SPEC,
    }

    def execute(self, params: Params, task_vars: Mapping[str, Any]) -> Result:
        """Ask the API server, in check mode, too."""
        del task_vars
        with Cluster(Access.from_params(params), self.progress) as cluster:
            meant = self._wait(cluster, params) if params["wait_timeout"] else self._meant(cluster, params)
            pods = cluster.list(PODS, fields=PRESENT) if params["users"] else ()
            nodes = describe(meant, pods, params["resources"])
        result: Result = {"changed": False, "products": products(nodes)}
        if params["users"]:
            result["nodes"] = [node.as_dict() for node in nodes]
        if params["users"] and params["table"]:
            for line in table(nodes):
                self.progress(line)
        warnings = unknown_products(params["products"], nodes)
        return result | ({"warnings": warnings} if warnings else {})

    @staticmethod
    def _meant(cluster: Cluster, params: Params) -> list[Manifest]:
        selector = ",".join(f"{key}={value}" for key, value in params["label_selector"].items())
        return cluster.list(NODES, labels=selector or None)

    def _wait(self, cluster: Cluster, params: Params) -> list[Manifest]:
        """Return the nodes once all of them that are ready offer a GPU.

        Raises:
            SonicError: Some still do not when the time is up.
        """
        start = reported = time.monotonic()
        while True:
            nodes = self._meant(cluster, params)
            missing = without_gpu(nodes, params["resources"])
            if not missing:
                return nodes
            now = time.monotonic()
            if now - start > params["wait_timeout"]:
                raise SonicError(
                    f"After {params['wait_timeout']} s, {len(missing)} of {len(nodes)} nodes offer no GPU: "
                    f"{', '.join(missing[:10])}{', ...' if len(missing) > 10 else ''}.",
                    "Look at the log of the device plugin there: it names the driver's library that it misses, or the "
                    "GPU that fails.",
                )
            if now - reported > REPORT_SECONDS:
                reported = now
                self.progress(f"{len(missing)} of {len(nodes)} nodes offer no GPU yet ({now - start:.0f} s)")
            time.sleep(POLL_SECONDS)
