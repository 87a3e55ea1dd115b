# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line: `python -m tests.lab`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from tests.lab import status
from tests.lab.errors import LabError
from tests.lab.lab import Lab, build
from tests.lab.progress import Progress


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done or healthy, 1 failed or ill, 130 interrupted."""
    options = _parser().parse_args(argv)
    try:
        return _run(options)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: `up` goes on from here, `down` removes what there is", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    progress = Progress()
    if options.command == "build":
        build(options.form, progress)
        return 0
    lab = Lab(options.name, progress)
    match options.command:
        case "up":
            lab.up(options.form, options.nodes, options.dns_cache, bare=options.bare)
        case "down":
            lab.down()
        case "status":
            found = lab.status()
            print(status.render(lab.name, found))
            return 0 if found.healthy else 1
        case "logs":
            follow = ["--follow"] if options.follow else []
            return subprocess.call(["tail", f"--lines={options.lines}", *follow, str(lab.log(options.daemon))])
        case "kubeconfig":
            print(lab.kubeconfig)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description="A real Kubernetes on this machine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        if name != "build":
            added.add_argument("--name", default="lab", help="the lab's name (default: %(default)s)")
        return added

    up = command("up", "start, repair or change a lab")
    up.add_argument("--form", choices=["control", "node"], help="control: no root, no real nodes; node: everything")
    up.add_argument("--nodes", type=int, metavar="N", help="number of real nodes (form node)")
    up.add_argument("--dns-cache", type=int, metavar="SECONDS", help="let the cluster's DNS keep answers so long")
    up.add_argument(
        "--bare",
        action="store_true",
        help="leave out what takes long to build: kwok, kubectl, KEDA and what offers GPUs",
    )
    command("down", "stop a lab and remove all it left")
    command("status", "show what runs, since when, with how much memory, and what is ill")
    build = command("build", "build everything now rather than when it is first needed")
    build.add_argument("--form", choices=["control", "node"], default="node", help="what to build for")
    logs = command("logs", "show a program's output")
    logs.add_argument("daemon", metavar="PROGRAM", help="as in `status`: kube-apiserver, node-1/kubelet, …")
    logs.add_argument("--lines", type=int, default=50, help="how many lines from the end (default: %(default)s)")
    logs.add_argument("--follow", action="store_true", help="go on as it grows")
    command("kubeconfig", "print the path of the administrator's kubeconfig")
    return parser
