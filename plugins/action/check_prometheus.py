# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks a site's Prometheus a query; documented in plugins/modules/check_prometheus.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.hep.sonic.plugins.plugin_utils.action_base import Params, Result, SonicAction
from ansible_collections.hep.sonic.plugins.plugin_utils.prometheus import Prometheus, check_prometheus


class ActionModule(SonicAction):
    """Have an answer of a Prometheus."""

    argument_spec: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "url": {"type": "str", "required": True},
        "ca": {"type": "str"},
        "token": {"type": "str", "no_log": True},
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True},
    }
    constraints: ClassVar[Mapping[str, Any]] = {
        "required_together": [("username", "password")],
        "mutually_exclusive": [("token", "username")],
    }

    def execute(self, params: Params, task_vars: Mapping[str, Any]) -> Result:
        """Ask it, in check mode, too."""
        del task_vars
        check_prometheus(Prometheus(**{name: value or "" for name, value in params.items()}))
        return {"changed": False}
