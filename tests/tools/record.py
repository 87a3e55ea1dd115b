# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Record a command in a terminal and write what it really showed as a picture, without the tasks that tell nothing.

python -m tests.tools.record --until "The service answers" docs/images/demo.svg make demo
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from tests.tools.common import ROOT, fail

COLUMNS: Final = 120
#: The picture is shown where no font may be fetched: it names fonts, it does not load them.
FONTS: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
#: Where Ansible begins something, and what it says of a host for which there was nothing to tell.
BEGINNING: Final = re.compile(r"\n(?=PLAY |TASK \[)")
NOTHING: Final = re.compile(r"((ok|skipping|included): .*)?")
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


def record(command: list[str]) -> str:
    """Run `command` in a terminal of its own, shown as it goes; return everything it wrote.

    Raises:
        SystemExit: The command failed, so there is nothing worth a picture.
    """
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (40, COLUMNS))
    process = subprocess.Popen(command, cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    written = bytearray()
    while True:
        try:
            chunk = os.read(controller, 65536)
        except OSError:  # Linux says so when the last writer has closed the terminal
            break
        written += chunk
        sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
    if process.wait() != 0:
        fail(f"{' '.join(command)} ended with status {process.returncode}.", "Mend what it says, then record again.")
    return written.decode().replace("\r\n", "\n").replace(str(Path.home()), "~")


def abridge(output: str, until: str = "") -> str:
    """Return terminal output without the tasks that did nothing and told nothing, up to the line that has a text."""
    shown = output.partition(until)[0].rpartition("\n")[0] if until else output
    return "\n".join(part for part in BEGINNING.split(shown) if not _tells_nothing(part))


def _tells_nothing(part: str) -> bool:
    title, *lines = COLOUR.sub("", part).splitlines()
    return title.startswith("TASK [") and all(NOTHING.fullmatch(line) for line in lines)


def picture(title: str, output: str) -> str:
    """Return terminal output as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ {title}\n{output}"))
    return FONTS.sub("", console.export_svg(title=title))


def main() -> None:
    """Record the command given and write the picture."""
    parser = argparse.ArgumentParser(description="Record a command in a terminal as a picture.")
    parser.add_argument("path", type=Path, help="the picture")
    parser.add_argument("--until", default="", help="leave out all from the line that has this text")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    options.path.parent.mkdir(parents=True, exist_ok=True)
    options.path.write_text(picture(" ".join(options.command), abridge(record(options.command), options.until)))


if __name__ == "__main__":
    main()
