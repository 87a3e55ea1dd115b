# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running a playbook as an operator does, and what each of its tasks did."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.tools.common import ROOT
from tests.tools.suites import PROGRAMS

LAB_INVENTORY: Final = "inventories/lab"


@dataclass(frozen=True)
class Task:
    """What one task did on one host."""

    host: str
    name: str
    action: str
    failed: bool
    result: Mapping[str, Any]

    @property
    def changed(self) -> bool:
        return bool(self.result.get("changed"))


@dataclass(frozen=True)
class Run:
    """A playbook's end: its status, what the terminal showed, its tasks in order, its seconds."""

    status: int
    output: str
    tasks: list[Task]
    seconds: float

    def applied(self) -> list[Task]:
        """The tasks that applied a release."""
        return [task for task in self.tasks if task.action == "hep.sonic.apply"]


def run_playbook(
    playbook: str,
    *options: str,
    inventory: str = LAB_INVENTORY,
    variables: Mapping[str, Any] | None = None,
    programs: Path = PROGRAMS,
    timeout: float = 500,
) -> Run:
    """Run a playbook to its end, whatever that is.

    Args:
        playbook: Its full name, such as ``hep.sonic.site``, or a path.
        options: Options of ansible-playbook, such as ``--check``.
        inventory: The folder of a site.
        variables: Given on the command line, with their types.
        programs: The folder of the Python environment, which decides the ansible-core.
        timeout: Seconds after which the run is given up.
    """
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        results.touch()
        environment = os.environ | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/system/callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "results",
            "TASK_RESULTS": str(results),
        }
        command = ["ansible-playbook", playbook, "-i", inventory, *options]
        if variables:
            command += ["-e", json.dumps(variables)]
        start = time.monotonic()
        process = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        seconds = time.monotonic() - start
        tasks = [_task(json.loads(line)) for line in results.read_text().splitlines()]
    return Run(process.returncode, process.stdout, tasks, seconds)


def _task(line: Mapping[str, Any]) -> Task:
    return Task(line["host"], line["task"], line["action"], line["failed"], line["result"])
