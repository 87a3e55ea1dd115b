# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the commands behind `make` share: where things are, and how a step is shown.

Standard library only: `python -m tests.tools.venv` uses it before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

#: The checkout.
ROOT: Final = Path(__file__).resolve().parents[2]
#: Everything that is built, cached or running lies below it.
HOME: Final = Path(os.environ.get("HEP_SONIC_HOME") or "~/.cache/hep-sonic").expanduser()


def files() -> list[Path]:
    """Return the files of the checkout that git knows or would add, relative to it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted({Path(name) for name in names if name and (ROOT / name).is_file()})


def fingerprint(*words: str) -> str:
    """Return a hash of the checkout's files, their modes and contents, and of `words`."""
    digest = hashlib.sha256(repr(words).encode())
    for path in files():
        full = ROOT / path
        digest.update(f"{path} {full.stat().st_mode:o} ".encode())
        digest.update(hashlib.sha256(full.read_bytes()).digest())
    return digest.hexdigest()


def say(line: str) -> None:
    """Show a line at once, in order with the output of child processes."""
    print(line, flush=True)


def fail(message: str, remedy: str) -> NoReturn:
    """End the command with what is wrong and what to do about it."""
    sys.exit(f"{message}\n{remedy}")


@contextmanager
def step(what: str) -> Iterator[None]:
    """Announce a step that takes seconds, and say how many it took."""
    say(f"{what} ...")
    start = time.monotonic()
    yield
    say(f"  done in {time.monotonic() - start:.0f} s")
