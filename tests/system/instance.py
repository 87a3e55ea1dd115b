# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An instance of a test: the lab's inventory under a name and on a port of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.lab.network import ADDRESS
from tests.system.playbook import Run, run_playbook
from tests.tools.suites import PROGRAMS

#: Servers end soon where no request takes long and the DNS keeps no names.
QUICK: Final[Mapping[str, Any]] = {"sonic_discovery_seconds": 2, "sonic_longest_request": 30}


@dataclass(frozen=True)
class Instance:
    """An instance of the lab's inventory under a name and on a port of its own.

    Args:
        name: Its name, and that of its namespace.
        port: Its port on the nodes.
        programs: The folder of the Python environment, which decides the ansible-core.
    """

    name: str
    port: int
    programs: Path = PROGRAMS

    @property
    def variables(self) -> Mapping[str, Any]:
        """What makes the lab's instance this one."""
        return {
            # on the hosts that are instances: a cluster has a name of its own
            "sonic_instance": f"{{{{ '{self.name}' if 'instances' in group_names else inventory_hostname }}}}",
            "envoy_exposure": {"mode": "nodeport", "node_port": self.port, "allow_plaintext": True},
            "verify_endpoint": f"{ADDRESS}:{self.port}",
        }

    def run(self, playbook: str, *options: str, **variables: Any) -> Run:
        """Run a playbook for this instance, whatever comes of it."""
        given = {**self.variables, **variables}
        return run_playbook(playbook, *options, variables=given, programs=self.programs)

    def must(self, playbook: str, *options: str, **variables: Any) -> Run:
        """Run a playbook for this instance, and end the test where it fails."""
        run = self.run(playbook, *options, **variables)
        assert run.status == 0, run.output
        return run

    def remove(self, *, wait: bool = True) -> None:
        """Remove the instance and all that it leaves; without waiting for its Pods where nobody needs the name soon."""
        self.must("molecule/shared/destroy.yml", destroy_wait=wait)
