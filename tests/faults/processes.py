# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The processes of a Pod as the host sees them; the lab's nodes share its kernel."""

from __future__ import annotations

from pathlib import Path


def pids(pod_uid: str, program: str) -> list[int]:
    """Return the processes of `program` in a Pod."""
    # with the driver cgroupfs the group is named pod<uid>, with systemd's its hyphens are underscores
    names = (f"pod{pod_uid}", f"pod{pod_uid.replace('-', '_')}")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            groups = (folder / "cgroup").read_text(encoding="utf-8")
            comm = (folder / "comm").read_text(encoding="utf-8").strip()
        except OSError:  # it has ended
            continue
        if comm == program and any(name in groups for name in names):
            found.append(int(folder.name))
    return found
