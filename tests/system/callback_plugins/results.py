# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An Ansible callback that writes each task's result as a line of JSON to the file $TASK_RESULTS."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: results
type: notification
short_description: Write each task's result as a line of JSON
description: For tests that compare what two runs of a playbook did.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Writes results as they come; what is no JSON, such as an undefined value, as text."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "results"

    def _write(self, result: Any, *, failed: bool) -> None:
        line = {
            "host": result.host.get_name(),
            "task": result.task.get_name(),
            "action": result.task.resolved_action,
            "failed": failed,
            "result": result.result,
        }
        with open(os.environ["TASK_RESULTS"], "a") as file:  # noqa: PTH123 - a callback, loaded without our imports
            file.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, result: Any) -> None:
        self._write(result, failed=False)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ARG002 - Ansible's signature
        self._write(result, failed=True)
