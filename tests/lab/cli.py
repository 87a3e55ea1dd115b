"""The command line: `python -m tests.lab`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from tests.lab import programs
from tests.lab.errors import LabError
from tests.lab.lab import Lab, Status
from tests.lab.progress import Progress, duration

_MIB: Final = 2**20


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
        programs.ensure(programs.PROGRAMS, progress)
        return 0
    lab = Lab(options.name, progress)
    match options.command:
        case "up":
            lab.up(options.form, options.nodes, options.dns_cache)
        case "down":
            lab.down()
        case "status":
            status = lab.status()
            print(render_status(lab.name, status))
            return 0 if status.healthy else 1
        case "logs":
            follow = ["--follow"] if options.follow else []
            return subprocess.call(["tail", f"--lines={options.lines}", *follow, str(lab.log(options.daemon))])
        case "kubeconfig":
            print(lab.kubeconfig)
    return 0


def render_status(name: str, status: Status) -> str:
    """Return what `status` prints."""
    if status.form is None:
        return f"there is no lab {name}"
    lines = [
        f"lab {name} ({status.form}), up since {duration(status.seconds)}, {status.server}",
        f"  {'PROCESS':<24} {'PID':>8} {'SINCE':>7} {'MEMORY':>9}  STATE",
    ]
    for daemon in status.daemons:
        pid = daemon.pid or "-"
        memory = f"{daemon.memory // _MIB} MiB"
        state = f"ILL: {daemon.trouble}" if daemon.trouble else "ok"
        lines.append(f"  {daemon.name:<24} {pid:>8} {duration(daemon.seconds):>7} {memory:>9}  {state}")
    total = sum(daemon.memory for daemon in status.daemons)
    lines.append(f"  {len(status.daemons)} processes, {total // _MIB} MiB")
    return "\n".join(lines)


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
