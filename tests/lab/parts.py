# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a lab consists of."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.lab import network
from tests.lab.control import EASY, ENFORCER, QUICK, ControlPlane
from tests.lab.http import probe
from tests.lab.node import PORTS, REGISTRY_PORT, Node, registry
from tests.lab.processes import Daemon
from tests.lab.settings import SOURCE
from tests.lab.state import State

#: Where a lab without real nodes listens.
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class Parts:
    """The parts of one lab.

    Attributes:
        control: Its control plane.
        nodes: Its real nodes.
    """

    control: ControlPlane
    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, directory: Path, state: State) -> Self:
        """Return the parts of the lab in a folder."""
        real = state.form == "node"
        control = ControlPlane(
            directory=directory,
            address=network.ADDRESS if real else LOOPBACK,
            ports=state.ports,
            timing=QUICK if real else EASY,
            has_nodes=real,
            pretends=not state.bare,
        )
        return cls(control, tuple(Node(index, control) for index in range(1, state.nodes + 1)))

    @property
    def enforcer_socket(self) -> Path:
        """Where the enforcer of NetworkPolicies tells how it is."""
        return self.control.directory / "policies.sock"

    def enforcer(self) -> Daemon:
        """Return what enforces NetworkPolicies on all nodes; the API server must be ready."""
        return Daemon(
            ENFORCER,
            (sys.executable, "-m", "tests.lab.enforcer", str(self.control.directory)),
            probe(f"unix://{self.enforcer_socket}"),
            files=tuple(SOURCE / name for name in ("cni.py", "enforcer.py", "policies.py")),
            environment={"PYTHONPATH": str(SOURCE.parents[1])},
        )

    def daemons(self) -> list[Daemon]:
        """Return everything that runs when all is well."""
        control = self.control
        daemons = [control.etcd(), control.apiserver(), *control.controllers()]
        if self.nodes:
            daemons += [registry(control), self.enforcer()]
        for node in self.nodes:
            daemons += [node.containerd(), *node.agents()]
        return daemons

    def ports(self) -> dict[str, int]:
        """Return the ports that daemons in the host's network listen on, by the daemons' names."""
        ports = dict(self.control.ports)
        if not self.control.pretends:
            del ports["kwok"]
        if self.nodes:
            ports |= {"registry": REGISTRY_PORT} | {
                f"{self.nodes[0].name}/{part}": port for part, port in PORTS.items()
            }
        return ports
