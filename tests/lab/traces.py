# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node lab could leave behind on the machine."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path


def traces() -> dict[str, set[str]]:
    """Return everything of the kinds that a node lab makes, whoever made it: equal before `up` and after `down`."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    links = json.loads("".join(_lines("ip", "-json", "link", "show")))
    return {
        "mounts": {line.split()[4] for line in mounts},
        # named after who makes them: programs of others come and go
        "shared memory": {
            entry.name for entry in Path("/dev/shm").iterdir() if entry.name.startswith(("triton", "envoy"))
        },
        "network namespaces": _lines("lsns", "--type", "net", "--noheadings", "--output", "NS"),
        "links": {link["ifname"] for link in links},
        "routes": _lines("ip", "route", "show"),
        "nft tables": _lines("nft", "list", "tables"),
        "control groups": {str(path) for path in Path("/sys/fs/cgroup").glob("**/hep-sonic*")},
        "claims": {str(path) for path in Path("/run").glob("hep-sonic*")},
    }


def _lines(*command: str) -> set[str]:
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())
