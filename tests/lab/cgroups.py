# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The control groups in which a node's pods run, on cgroup v1, v2 and both at once."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.lab.errors import LabError
from tests.lab.processes import POLL, end

#: Parent of all the lab's groups.
LAB: Final = "hep-sonic"

_ROOT: Final = Path("/sys/fs/cgroup")
_ROUNDS: Final = 5
#: How many busy processes of the machine all pods together weigh as much as: where Ansible and tests keep every
#: processor busy, a server that starts would not get on otherwise.
_WEIGHT: Final = 2
#: Where that is written, and what is the weight of one: cgroup v1, v2.
_WEIGHTS: Final = {"cpu.shares": 1024, "cpu.weight": 100}


def create(path: str) -> None:
    """Make a group in every hierarchy, able to limit what its children use.

    Args:
        path: Below the root, without a leading slash.
    """
    for hierarchy in _hierarchies():
        group = hierarchy
        for part in Path(path).parts:
            _pass_controllers_on(group)
            parent, group = group, group / part
            group.mkdir(exist_ok=True)
            # cgroup v1: a new group may use no processor and no memory node until it is told which
            for setting in ("cpuset.cpus", "cpuset.mems"):
                file = group / setting
                if (parent / "tasks").exists() and file.exists() and not file.read_text(encoding="ascii").strip():
                    file.write_text((parent / setting).read_text(encoding="ascii"), encoding="ascii")
        _pass_controllers_on(group)
        for name, one in _WEIGHTS.items():
            if (file := hierarchy / Path(path).parts[0] / name).exists():
                file.write_text(str(_WEIGHT * one), encoding="ascii")


def kill(path: str) -> None:
    """Kill every process in a group and those below it.

    Raises:
        LabError: One does not die.
    """
    # a container that starts meanwhile is in the next round
    for _ in range(_ROUNDS):
        pids = set(_pids(path))
        if not pids:
            return
        end(pids, 0, lambda pid: _is_in(pid, path))
    raise LabError(f"processes in the control group {path} do not die: {', '.join(map(str, _pids(path)))}")


def remove(path: str) -> None:
    """Remove a group and those below it, and those above it that are then empty.

    Raises:
        OSError: A process is still in one of them.
    """
    parts = Path(path).parts
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / path, topdown=False):
            _remove_one(Path(folder))
        for depth in range(len(parts) - 1, 0, -1):
            # another node's group may still be in it
            with contextlib.suppress(OSError):
                hierarchy.joinpath(*parts[:depth]).rmdir()


def _remove_one(group: Path, seconds: float = 3.0) -> None:
    """Remove a group; the kernel takes a moment to notice that its last process is gone."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL)


def _hierarchies() -> list[Path]:
    if _is_v2():
        return [_ROOT]
    return [entry for entry in _ROOT.iterdir() if entry.is_dir() and not entry.is_symlink()]


def _pass_controllers_on(group: Path) -> None:
    """On cgroup v2, let the children of a group use the controllers that the group itself has."""
    if _is_v2():
        for controller in (group / "cgroup.controllers").read_text(encoding="ascii").split():
            (group / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")


def _is_v2() -> bool:
    """Return whether the machine has cgroup v2 alone."""
    return (_ROOT / "cgroup.controllers").exists()


def _is_in(pid: int, path: str) -> bool:
    try:
        return f":/{path}/" in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def _pids(path: str) -> Iterator[int]:
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / path):
            with contextlib.suppress(OSError):
                yield from map(int, (Path(folder) / "cgroup.procs").read_text(encoding="ascii").split())
