# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the dashboards of the role monitoring; `make docs` runs it, and a unit test fails where one is not current."""

from __future__ import annotations

from tests.tools.common import ROOT, say
from tests.tools.dashboards.boards import BOARDS
from tests.tools.dashboards.build import path_of, text_of


def main() -> None:
    """Write what is not current."""
    for board in BOARDS:
        path, text = path_of(board), text_of(board)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            say(f"{path.relative_to(ROOT)} written")


if __name__ == "__main__":
    main()
