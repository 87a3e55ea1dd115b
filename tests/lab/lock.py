# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.progress import Progress


@contextmanager
def exclusive(file: Path, reason: str, progress: Progress) -> Iterator[None]:
    """Hold a lock, waiting for it if another process has it.

    The kernel frees the lock of a process that dies, once the last command that it has started by `run` has ended, too:
    what is still about to make a bridge must not do so when the next one has cleaned up already.

    Args:
        file: What stands for the thing; it stays, so that two waiters never lock two files of one name.
        reason: What to tell a person who has to wait.
        progress: Where to tell it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        os.set_inheritable(handle.fileno(), True)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say(f"{reason}: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
