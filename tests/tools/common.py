# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the commands behind `make` share: where things are, and how a step is shown.

Standard library only: `python -m tests.tools.venv` uses it before anything is installed.
"""

from __future__ import annotations

import os
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
