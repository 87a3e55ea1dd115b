# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Record a command in a terminal and write what it really showed as a picture.

python -m tests.tools.record docs/images/demo.svg make demo
"""

from __future__ import annotations

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


def picture(title: str, output: str) -> str:
    """Return terminal output as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ {title}\n{output}"))
    return FONTS.sub("", console.export_svg(title=title))


def main() -> None:
    """Record the command given and write the picture."""
    path, command = Path(sys.argv[1]), sys.argv[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(picture(" ".join(command), record(command)))


if __name__ == "__main__":
    main()
