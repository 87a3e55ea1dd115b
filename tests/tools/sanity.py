# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run ansible-test sanity for one series of ansible-core on a copy of the checkout.

ansible-test wants the collection physically at ansible_collections/hep/sonic and does not follow a link. The copy and
the environments that ansible-test makes lie below HEP_SONIC_HOME.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.tools.common import HOME, ROOT, fail, files

#: The pip that each ansible-test installs into its environments (ansible_test/_internal/python_requirements.py).
PIP: Final = {"2.19": "24.2", "2.21": "25.2"}


def shipped() -> list[Path]:
    """Return the files of the collection and sanity's own of the tests.

    The other tests stay out: they are not shipped, and ruff and mypy are stricter with them.
    """
    return [path for path in files() if path.parts[0] != "tests" or path.parts[1] == "sanity"]


def copy(wanted: list[Path], target: Path) -> None:
    """Make `target` hold exactly these files; times are kept, so that tools see what did not change."""
    for path in [found for found in target.rglob("*") if not found.is_dir()]:
        if path.relative_to(target) not in set(wanted):
            path.unlink()
    for path in wanted:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target / path)


def provide_pip(version: str, home: Path) -> None:
    """Give ansible-test its pip from the package index, not from a script on a host of its own."""
    cache = home / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / f"pip-{version}-py3-none-any.whl").exists():
        download = ["pip", "download", "--quiet", "--no-deps", f"--dest={cache}", f"pip=={version}"]
        if subprocess.run([sys.executable, "-m", *download], check=False).returncode != 0:
            fail(f"pip {version} cannot be fetched; the message is above.", "Mend the network, then: make lint")
    shutil.copyfile(ROOT / "tests/tools/get_pip.py", cache / f"get_pip_{version.replace('.', '_')}.py")


def main() -> None:
    """Test the checkout with the ansible-test of the environment that runs this."""
    series = sys.argv[1]
    state = HOME / "sanity" / f"core{series}"
    target = state / "ansible_collections/hep/sonic"
    copy(shipped(), target)
    provide_pip(PIP[series], state)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = ["ansible-test", "sanity", "--local", "--python", python, "--color", "no"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HOME": str(state), "PIP_QUIET": "1", "PIP_PROGRESS_BAR": "off"}
    sys.exit(subprocess.run(command, cwd=target, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
