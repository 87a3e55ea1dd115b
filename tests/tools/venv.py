# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the virtual environments and the collection tree that every other command uses.

One environment a supported series of ansible-core, as far as a Python for it is found; each lies below HEP_SONIC_HOME
under a name that says what is in it, so an unchanged one is found in milliseconds and none is ever mended in place.
In the checkout: `.venv` (the default), `.venv-core<series>` (each), `.collections` (this checkout as a collection).
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.tools.common import HOME, ROOT, fail, say, step

Version = tuple[int, int]

REQUIREMENTS: Final = (ROOT / "requirements.txt", ROOT / "requirements-dev.txt")
CONSTRAINTS: Final = ROOT / "constraints.txt"
#: The oldest Python of each series of ansible-core in requirements.txt, the newest series first.
SERIES: Final[dict[Version, str]] = {(3, 12): "2.21", (3, 11): "2.19"}
VERSION_PROGRAM: Final = "import sys; print(sys.version_info[0], sys.version_info[1], sys.executable)"


@dataclass(frozen=True)
class Python:
    """An interpreter and its version."""

    path: Path
    version: Version

    @property
    def series(self) -> str:
        """The series of ansible-core that requirements.txt gives to it."""
        return next(series for oldest, series in SERIES.items() if self.version >= oldest)

    @property
    def venv(self) -> Path:
        """The environment's folder; its name changes with all that decides its content."""
        content = b"".join(path.read_bytes() for path in (*REQUIREMENTS, CONSTRAINTS)) + str(self.path).encode()
        return HOME / "venvs" / f"core{self.series}-{hashlib.sha256(content).hexdigest()[:12]}"


def candidates() -> Iterator[Path]:
    """Yield interpreters of this machine, the one that runs this first, pyenv's (whose shims may be off) last."""
    yield Path(sys.executable)
    for minor in (13, 12, 11):
        if found := shutil.which(f"python3.{minor}"):
            yield Path(found)
    versions = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser() / "versions"
    yield from sorted(versions.glob("3.1[1-9].*/bin/python3"))


def inspect(path: Path) -> Python | None:
    """Return what `path` is, or None where it is no working Python 3.11 or newer."""
    run = subprocess.run([path, "-c", VERSION_PROGRAM], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return None
    major, minor, executable = run.stdout.split(maxsplit=2)
    python = Python(Path(executable.strip()), (int(major), int(minor)))
    return python if python.version >= min(SERIES) else None


def pythons() -> list[Python]:
    """Return one interpreter a series of ansible-core, that of the default environment first."""
    chosen: dict[str, Python] = {}
    for path in candidates():
        if len(chosen) == len(SERIES):
            break
        if python := inspect(path):
            chosen.setdefault(python.series, python)
    return list(chosen.values())


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process at a time in."""
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(python: Python) -> None:
    """Make the environment of `python` where it is not complete."""
    complete = python.venv / "complete"
    if complete.exists():
        return
    shutil.rmtree(python.venv, ignore_errors=True)
    number = ".".join(map(str, python.version))
    with step(f"Installing ansible-core {python.series} and the tools for Python {number} (about a minute, once)"):
        if subprocess.run([python.path, "-m", "venv", python.venv], check=False).returncode != 0:
            fail(f"{python.path} cannot make a virtual environment.", "Debian: apt-get install python3-venv")
        pip = [
            str(python.venv / "bin/pip"),
            "--disable-pip-version-check",
            "--quiet",
            "install",
            "--constraint",
            str(CONSTRAINTS),
        ]
        files = [argument for path in REQUIREMENTS for argument in ("--requirement", str(path))]
        if subprocess.run([*pip, *files], check=False).returncode != 0:
            fail("pip could not install the packages: its message is above.", "Mend the network, then: make venv")
    complete.touch()


def link(name: str, target: Path) -> None:
    """Let `name` in the checkout point to `target`."""
    path = ROOT / name
    if path.is_symlink() and path.readlink() == target:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def cores() -> dict[str, Path]:
    """Return the environments made so far: the series of ansible-core → the folder of its programs."""
    found = {path.name.removeprefix(".venv-core"): path / "bin" for path in ROOT.glob(".venv-core*") if path.exists()}
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in re.findall(r"\d+", item[0])]))


def main() -> None:
    """Make what is missing; say what there is."""
    parser = argparse.ArgumentParser(description="Make the Python environments and the collection tree.")
    parser.add_argument(
        "--default", action="store_true", help="only the environment of the commands, for one ansible-core"
    )
    only_default = parser.parse_args().default
    link(".collections/ansible_collections/hep/sonic", Path("../../.."))
    found = pythons()[: 1 if only_default else None]
    with locked("venv"):
        for python in found:
            build(python)
            link(f".venv-core{python.series}", python.venv)
        link(".venv", found[0].venv)
    absent = sorted(set(SERIES.values()) - {python.series for python in found})
    if absent and not only_default:
        say(f"No Python for ansible-core {', '.join(absent)} on this machine: it is left out of the tests.")


if __name__ == "__main__":
    main()
