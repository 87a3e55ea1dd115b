# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stand in for the get-pip script of ansible-test: install pip from a wheel that lies beside this file.

ansible-test runs its copy as get_pip_<version>.py with get-pip's arguments, in an environment that has no pip yet.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve()
VERSION = HERE.stem.removeprefix("get_pip_").replace("_", ".")
#: Flags of get-pip that pip does not know; without setuptools and wheel is what pip does anyway.
FLAGS_OF_GET_PIP = {"--no-setuptools", "--no-wheel"}


def main() -> int:
    """Install what the arguments name, with the pip inside the wheel."""
    sys.path.insert(0, str(HERE.with_name(f"pip-{VERSION}-py3-none-any.whl")))
    from pip._internal.cli.main import main as pip  # noqa: PLC0415 - it comes out of the wheel

    arguments = [argument for argument in sys.argv[1:] if argument not in FLAGS_OF_GET_PIP]
    return pip(["install", "--upgrade", "--force-reinstall", *arguments])


if __name__ == "__main__":
    sys.exit(main())
