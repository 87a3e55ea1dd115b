# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node's own view of the machine: a mount namespace, and for all but the first node a network namespace.

The kubelet and containerd have paths that no option moves (`/var/lib/kubelet/device-plugins`, `/run/netns`,
`/run/containerd`). In a mount namespace of its own each node has these paths for itself, and every mount that is made
for a pod lives there, too: when the namespace goes, all of them go, and the host has never seen one.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from tests.lab.processes import end, pids
from tests.lab.shell import run


class Namespaces:
    """The namespaces of one node, kept by files so that they outlive every process in them.

    Args:
        directory: Folder for the files.
        own_network: Whether there is a network namespace, too.
    """

    def __init__(self, directory: Path, *, own_network: bool) -> None:
        self._directory = directory
        self._mount = directory / "mount"
        self.network = directory / "network" if own_network else None

    @property
    def exist(self) -> bool:
        """Whether they are there."""
        return set(self._files()) <= set(_mount_points())

    @property
    def enter(self) -> tuple[str, ...]:
        """Words that, put before a command, run it inside."""
        network = (f"--net={self.network}",) if self.network else ()
        return ("/usr/bin/nsenter", f"--mount={self._mount}", *network, "--")

    def create(self, folders: Mapping[str, Path | None]) -> None:
        """Make them.

        Args:
            folders: Paths that the node has for itself, each with the folder that lies there instead, None for an
                empty one in memory.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        # the file that keeps a mount namespace must lie on a mount whose changes no other namespace sees
        run(["mount", "--bind", self._directory, self._directory])
        run(["mount", "--make-private", self._directory])
        script = ["set -eu"]
        for target, source in folders.items():
            Path(target).mkdir(parents=True, exist_ok=True)
            if source is None:
                script.append(f"mount -t tmpfs -o mode=755 tmpfs {target}")
            else:
                source.mkdir(parents=True, exist_ok=True)
                script.append(f"mount --bind {shlex.quote(str(source))} {target}")
        # pods that ask for mount propagation need it inside; `slave` keeps the host out of it
        script.append("mount --make-rshared /")
        for file in self._files():
            file.touch()
        network = [f"--net={self.network}"] if self.network else []
        run(["unshare", f"--mount={self._mount}", "--propagation=slave", *network, "sh", "-c", "\n".join(script)])

    def destroy(self) -> None:
        """Kill what runs inside and remove them; those that are not there are fine."""
        mounted = _mount_points()
        if self._mount in mounted:
            inode = self._mount.stat().st_ino
            end(_inside(inode), 0, lambda pid: pid in _inside(inode))
        # the last mount first; an interrupted `up` may have made one twice
        for point in reversed(mounted):
            if point == self._directory or self._directory in point.parents:
                run(["umount", point])

    def _files(self) -> list[Path]:
        return [self._mount, self.network] if self.network else [self._mount]


def _mount_points() -> list[Path]:
    """Return where something is mounted, in the order of mounting."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    # blanks and the like are written as octal numbers
    return [Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), line.split()[4])) for line in lines]


def _inside(inode: int) -> set[int]:
    """Return the processes in a mount namespace."""
    found = set()
    for pid in pids():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/ns/mnt").stat().st_ino == inode:
                found.add(pid)
    return found
