# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running a program to its end."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab.errors import LabError


def run(
    argv: Sequence[str | Path],
    *,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    detached: bool = False,
) -> str:
    """Run a program to its end and return its standard output.

    Args:
        argv: Program and arguments.
        directory: Its working directory; the caller's if None.
        environment: Its whole environment; the caller's if None.
        stdin: Text for its standard input.
        detached: Whether it, or what it starts, may go on when we have ended: it holds none of our locks.

    Raises:
        LabError: It is not installed or ended with an error; the message has its last lines.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            cwd=directory,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            close_fds=detached,
        )
    except FileNotFoundError as error:
        raise LabError(f"{words[0]} is not installed", "Run `make packages`, or install it by hand.") from error
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise LabError(f"`{shlex.join(words)}` ended with {done.returncode}:\n{tail}")
    return done.stdout


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Return whether a program that is only asked a question says yes (exit status 0)."""
    return subprocess.run([str(word) for word in argv], capture_output=True, check=False).returncode == 0
