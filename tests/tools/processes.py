# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal

from tests.lab.processes import pids, stat


def tree(pid: int) -> list[int]:
    """Return a process and its descendants, whatever session each is in; parents come first."""
    parents: dict[int, int] = {}
    for one in pids():
        with contextlib.suppress(OSError):
            parents[one] = int(stat(one)[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def kill_tree(pid: int) -> None:
    """Kill a process and its descendants; it cannot start another meanwhile.

    Ansible's workers have sessions of their own: no signal to a group reaches them.
    """
    os.kill(pid, signal.SIGSTOP)
    for one in tree(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
