# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deploy the service with one command: on the lab, or on a cluster of one's own."""

from __future__ import annotations

import argparse
import subprocess
import sys

from tests.lab.settings import home
from tests.lab.state import State
from tests.tools.common import ROOT, fail, say, step
from tests.tools.suites import PROGRAMS


def run(what: str, command: list[str]) -> None:
    """Run a program of the environment, showing its output; end with its status where it failed."""
    with step(f"\n{what}\n  {' '.join(command)}"):
        status = subprocess.run([PROGRAMS / command[0], *command[1:]], cwd=ROOT, check=False).returncode
    if status != 0:
        sys.exit(status)


def is_bare() -> bool:
    """Return whether the lab does without what takes long to build."""
    state = State.load(home() / "labs" / "lab")
    return state is not None and state.bare


def main() -> None:
    """Start the lab where no inventory is given, then run the site's playbook."""
    parser = argparse.ArgumentParser(description="Deploy the service on the lab, or on a cluster of one's own.")
    parser.add_argument("--inventory", help="the folder of a site; without it the lab is started and used")
    parser.add_argument("--kubeconfig", help="overrides the one in the inventory")
    arguments = parser.parse_args()
    if arguments.kubeconfig and not arguments.inventory:
        fail(
            "KUBECONFIG leads to a cluster, but nothing says what to deploy there.",
            "Copy inventories/example, adapt it, and: make demo KUBECONFIG=... INVENTORY=inventories/<site>",
        )
    if not arguments.inventory:
        up = ["python", "-m", "tests.lab", "up", "--form", "node", "--bare"]
        run("Starting a Kubernetes node on this machine (the first time about 10 min, later seconds)", up)
    command = ["ansible-playbook", "hep.sonic.site", "-i", arguments.inventory or "inventories/lab"]
    if arguments.kubeconfig:
        command += ["-e", f"sonic_kubeconfig={arguments.kubeconfig}"]
    run("Deploying the service and asking it as its users will", command)
    if not arguments.inventory and is_bare():
        complete = ["python", "-m", "tests.lab", "up", "--form", "node"]
        run("The service answers. Adding GPUs, pretended ones, and KEDA (the first time about 15 min)", complete)
        run("Deploying on GPUs; the service goes on meanwhile", command)
    if not arguments.inventory:
        say(f"The node goes on until `make lab-down`. Its kubeconfig: {home() / 'labs' / 'lab' / 'kubeconfig'}")


if __name__ == "__main__":
    main()
