# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Let ansible-doc render every plugin and role of the collection: what it cannot read, no user can."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from tests.tools.common import ROOT, say

COLLECTION: Final = "hep.sonic"


def documented() -> Iterator[tuple[str, list[str]]]:
    """Yield each type that ansible-doc knows with the names the collection has of it."""
    yield "module", sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))
    yield "filter", sorted({path.stem for path in (ROOT / "plugins/filter").glob("*.yml")})
    yield (
        "role",
        sorted(path.name for path in (ROOT / "roles").glob("*") if (path / "meta/argument_specs.yml").exists()),
    )


def problems(kind: str, names: list[str]) -> list[str]:
    """Return what ansible-doc could not render or complained about."""
    command = ["ansible-doc", "--type", kind, *(f"{COLLECTION}.{name}" for name in names)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode != 0 or run.stderr:
        return [f"{kind}: {run.stderr.strip()}"]
    return [f"{kind} {name} is not rendered" for name in names if f"{COLLECTION}.{name}" not in run.stdout]


def main() -> None:
    """Render all; fail with what could not be."""
    kinds = [(kind, names) for kind, names in documented() if names]
    found = [problem for kind, names in kinds for problem in problems(kind, names)]
    say("\n".join(found) or f"{sum(len(names) for _kind, names in kinds)} documents rendered")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
