# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetches files of other projects into this machine's cache; documented in plugins/modules/download.py."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from ansible_collections.hep.sonic.plugins.plugin_utils.action_base import Params, Result, SonicAction
from ansible_collections.hep.sonic.plugins.plugin_utils.download import DOWNLOADS_SPEC, fetch


class ActionModule(SonicAction):
    """Have every file, each with the right sum."""

    argument_spec: ClassVar[Mapping[str, Mapping[str, Any]]] = DOWNLOADS_SPEC

    def execute(self, params: Params, task_vars: Mapping[str, Any]) -> Result:
        """Fetch what is not there, in check mode, too: it is kept for the run that changes something."""
        del task_vars
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda one: fetch(one["url"], one["sha256"], params["mirrors"]), params["downloads"]))
        return {"changed": False}
