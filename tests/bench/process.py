# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a command costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.tools.common import ROOT


@dataclass(frozen=True)
class Cost:
    """What a command took, with all processes that it started.

    Args:
        wall: Seconds from start to end.
        cpu: CPU seconds, in user and system mode.
        memory_mib: Peak memory of the largest of its processes.
    """

    wall: float
    cpu: float
    memory_mib: float


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run a command to its end and return what it cost.

    Raises:
        SystemExit: It failed.
    """
    start = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _pid, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{output}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
