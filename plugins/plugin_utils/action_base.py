# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The common part of this collection's action plugins.

They run in the controller's process: no module is packed, no interpreter started, so a task costs milliseconds.
"""

from __future__ import annotations

import difflib
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.render import to_plain

display = Display()

Params = dict[str, Any]
Result = dict[str, Any]


class SonicAction(ActionBase):  # type: ignore[misc]
    """An action that parses its options, does its work in process and turns a SonicError into a failed task."""

    _requires_connection = False
    _supports_check_mode = True
    TRANSFERS_FILES = False

    #: Options in the form of an Ansible argument spec.
    argument_spec: ClassVar[Mapping[str, Mapping[str, Any]]]
    #: Keyword arguments of ArgumentSpecValidator besides the spec: mutually_exclusive, required_if, ...
    constraints: ClassVar[Mapping[str, Any]] = {}

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> Result:
        """Validate the options and execute; the entry point that Ansible calls."""
        result: Result = super().run(tmp, task_vars)
        validation = ArgumentSpecValidator(dict(self.argument_spec), **self.constraints).validate(dict(self._task.args))
        unknown = sorted(map(str, validation.unsupported_parameters))
        if unknown:
            known = difflib.get_close_matches(unknown[0], self.argument_spec, n=1)
            hint = f" Did you mean {known[0]}?" if known else ""
            return result | {"failed": True, "msg": f"{self._task.action} has no option {', '.join(unknown)}.{hint}"}
        if validation.error_messages:
            return result | {"failed": True, "msg": f"{self._task.action}: {'; '.join(validation.error_messages)}"}
        try:
            return result | self.execute(to_plain(validation.validated_parameters), task_vars or {})
        except SonicError as error:
            return result | {"failed": True, "msg": str(error)} | self.failure_details()
        except AnsibleError as error:
            # An expression that cannot be evaluated: Ansible's text names the file, the line and the key.
            return result | {"failed": True, "msg": str(error)} | self.failure_details()

    @abstractmethod
    def execute(self, params: Params, task_vars: Mapping[str, Any]) -> Result:
        """Do the work.

        Args:
            params: The validated options with their defaults.
            task_vars: All variables of the host.

        Returns:
            The task's result, with ``changed`` where something may change.

        Raises:
            SonicError: The task fails with this text.
        """

    def failure_details(self) -> Result:
        """Return what a failed task reports besides its message."""
        return {}

    def progress(self, line: str) -> None:
        """Show a line to the person who watches the run."""
        display.display(f"  {line}")

    @property
    def check_mode(self) -> bool:
        """Whether nothing may be changed."""
        return bool(self._task.check_mode)

    @property
    def diff_mode(self) -> bool:
        """Whether the operator asked for differences."""
        return bool(self._task.diff)
