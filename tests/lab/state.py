# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a lab remembers about itself between two commands."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.lab import files

Form = Literal["control", "node"]


def boot_id() -> str:
    """Return what tells this start of the machine from all others."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@dataclass
class State:
    """The choices that a lab was made with.

    Attributes:
        form: `control` or `node`.
        ports: Port of each part of the control plane.
        nodes: Number of real nodes; 0 for form `control`.
        dns_cache: Seconds for which the cluster's DNS keeps answers; 0 for none.
        created: Seconds since the epoch.
        boot: The machine's start that it belongs to.
        sysctls: Kernel settings as they were before the lab changed them.
        bare: Whether kwok is left out.
    """

    form: Form
    ports: dict[str, int]
    nodes: int
    dns_cache: int
    created: float = field(default_factory=time.time)
    boot: str = field(default_factory=boot_id)
    sysctls: dict[str, str] = field(default_factory=dict)
    bare: bool = False

    def describe(self) -> str:
        """Return the choices as a person reads them."""
        if self.form == "control":
            return self.form
        nodes = "1 node" if self.nodes == 1 else f"{self.nodes} nodes"
        return f"{self.form}, {nodes}, DNS keeps answers {self.dns_cache} s"

    @classmethod
    def load(cls, directory: Path) -> State | None:
        """Return the state in a lab's folder, or None if there is none that can be read: what is there is no lab."""
        try:
            return cls(**json.loads(_file(directory).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def save(self, directory: Path) -> None:
        """Write the state into the lab's folder."""
        files.write(_file(directory), json.dumps(dataclasses.asdict(self), indent=2) + "\n")


def _file(directory: Path) -> Path:
    return directory / "lab.json"
