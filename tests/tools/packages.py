# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Install the Debian packages of packages-debian.txt that are missing.

python -m tests.tools.packages         what every command needs
python -m tests.tools.packages --lab   and what the lab's real nodes need
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from collections.abc import Sequence

from tests.tools.common import ROOT, fail, say, step


def listed(*, lab: bool) -> list[str]:
    """Return the names in packages-debian.txt: those before its section `[lab]`, or all."""
    common, _heading, more = (ROOT / "packages-debian.txt").read_text().partition("[lab]\n")
    lines = [*common.splitlines(), *(more.splitlines() if lab else [])]
    return [name for line in lines if (name := line.partition("#")[0].strip())]


def missing(names: Sequence[str]) -> list[str]:
    """Return which of `names` are not installed."""
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\n", *names]
    answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    installed = {line.split()[1] for line in answer.splitlines() if line.startswith("installed ")}
    return [name for name in names if name not in installed]


def main() -> None:
    """Install, or say which command would."""
    parser = argparse.ArgumentParser(description="Install the Debian packages that are missing.")
    parser.add_argument("--lab", action="store_true", help="those of the lab's real nodes, too")
    names = listed(lab=parser.parse_args().lab)
    if shutil.which("dpkg-query") is None:
        say(f"Not a Debian machine: install by your own means what stands for {', '.join(names)}.")
        return
    absent = missing(names)
    if not absent:
        return
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *absent]
    if os.geteuid() != 0:
        fail(f"Debian packages are missing: {' '.join(absent)}.", f"Run: sudo {' '.join(install)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"Installing the Debian packages {' '.join(absent)} (about 20 s, once)"):
        subprocess.run(["apt-get", "update", "--quiet=2"], env=environment, check=True)
        subprocess.run([*install, "--quiet=2"], env=environment, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
