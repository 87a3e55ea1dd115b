# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run suites of checks one after another, all of them even when one fails, and end with what passed and failed.

    python -m tests.tools.check lint unit

What a suite consists of stands in tests/tools/suites.py. The last line is "N passed, N failed".
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from tests.lab.lab import Lab
from tests.lab.progress import Progress
from tests.lab.state import State
from tests.lab.traces import traces
from tests.tools.common import HOME, ROOT, fingerprint, say
from tests.tools.suites import PROGRAMS, SUITES, Check, Suite


@dataclass(frozen=True)
class Outcome:
    """What became of a check."""

    name: str
    seconds: float
    passed: int
    failed: int
    skipped: int

    def __str__(self) -> str:
        counts = f"{self.passed:>6} passed {self.failed:>4} failed {self.skipped:>4} skipped"
        return f"{self.name:<40} {counts} {self.seconds:>7.1f} s"


def environment(check: Check) -> dict[str, str]:
    """Return the variables a check runs with: the programs of its environment come first."""
    return os.environ | {
        "PATH": f"{check.programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / ".collections"),
        **check.variables,
    }


def count(report: Path, status: int) -> tuple[int, int, int]:
    """Return (passed, failed, skipped) of a JUnit report, or of the exit status alone where there is none."""
    if not report.exists():
        return int(status == 0), int(status != 0), 0
    suites = list(ET.parse(report).getroot().iter("testsuite"))  # noqa: S314 - our own pytest wrote it
    total, skipped, failed = (
        sum(int(suite.get(key, 0)) for suite in suites for key in keys)
        for keys in (("tests",), ("skipped",), ("failures", "errors"))
    )
    return total - skipped - failed, max(failed, int(status != 0)), skipped


def run(check: Check, *, shown: bool) -> Outcome:
    """Run one check; its output appears as it comes where `shown`, else only when it failed."""
    report = HOME / "reports" / f"{check.name.replace(' ', '-').replace('/', '-')}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    if shown or check.duration:
        say(f"\n--- {check.name}{f' ({check.duration})' if check.duration else ''}: {' '.join(check.command)}")
    start = time.monotonic()
    passed = HOME / "passed" / report.stem
    content = fingerprint(*check.command, str(check.programs.resolve())) if check.once else ""
    if content and passed.exists() and passed.read_text() == content:
        say(f"  ok     {'':>8}  {check.name}, unchanged since it passed")
        return Outcome(check.name, time.monotonic() - start, 1, 0, 0)
    process = subprocess.run(
        [argument.replace("{report}", str(report)) for argument in check.command],
        cwd=ROOT,
        env=environment(check),
        stdout=None if shown else subprocess.PIPE,
        stderr=None if shown else subprocess.STDOUT,
        text=True,
        check=False,
    )
    outcome = Outcome(check.name, time.monotonic() - start, *count(report, process.returncode))
    if content and process.returncode == 0:
        passed.parent.mkdir(parents=True, exist_ok=True)
        passed.write_text(content)
    if not shown:
        state = "ok    " if process.returncode == 0 else "FAILED"
        failure = f"\n{' '.join(check.command)}\n{process.stdout}" if process.returncode != 0 else ""
        say(f"  {state} {outcome.seconds:6.1f} s  {check.name}{failure}")
    return outcome


def lab(*arguments: str) -> bool:
    """Run the lab's command line; return whether it succeeded."""
    return subprocess.run([PROGRAMS / "python", "-m", "tests.lab", *arguments], cwd=ROOT, check=False).returncode == 0


def build(forms: Sequence[str]) -> bool:
    """Build what the lab needs for these forms, before tests whose time is limited; return whether that succeeded."""
    form = "node" if "node" in forms and os.geteuid() == 0 else "control"
    return not any(forms) or lab("build", "--form", form)


def lab_exists() -> bool:
    """Return whether there is a lab, well or not."""
    return State.load(Lab("lab", Progress(None)).directory) is not None


def prepare_cluster() -> bool:
    """Give the lab what all its instances share, so that tests side by side find it; return whether that succeeded."""
    command = [str(PROGRAMS / "ansible-playbook"), "hep.sonic.cluster", "-i", "inventories/lab"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


@contextmanager
def node_lab(outcomes: list[Outcome]) -> Iterator[bool]:
    """Have the node lab run with two nodes, and yield whether it does.

    Where there was none before, it is taken down, and whether it left something behind is one more of the outcomes.
    """
    if lab_exists():
        yield lab("up", "--form", "node", "--nodes", "2") and prepare_cluster()
        return
    before = traces()
    try:
        yield lab("up", "--form", "node", "--nodes", "2") and prepare_cluster()
    finally:
        start = time.monotonic()
        lab("down")
        left = {kind: found - before[kind] for kind, found in traces().items() if found - before[kind]}
        if left:
            say(f"The lab left behind: {left}")
        outcomes.append(
            Outcome("nothing is left of the lab", time.monotonic() - start, int(not left), int(bool(left)), 0)
        )


def make_room() -> None:
    """Take down the node lab of an earlier command: a machine has room for one."""
    if lab_exists():
        say("The lab that is up goes down: these tests need the machine.")
        lab("down")


def run_batches(suites: Sequence[Suite]) -> list[Outcome]:
    """Run every check of `suites`; neighbours with the same number of workers share these."""
    outcomes: list[Outcome] = []
    for workers, batch in groupby(suites, key=lambda suite: suite.workers):
        checks: list[Check] = []
        for suite in batch:
            say(f"\n=== {suite.name}: {suite.purpose}")
            if suite.needs_machine:
                make_room()
            checks += suite.checks()
        if workers == 1:
            outcomes += [run(check, shown=True) for check in checks]
        else:
            with ThreadPoolExecutor(workers) as pool:
                outcomes += pool.map(partial(run, shown=False), checks)
    return outcomes


def run_suites(suites: Sequence[Suite]) -> list[Outcome]:
    """Run `suites`; those that need the lab come last and share one, without which they fail."""
    if not build([suite.form for suite in suites]):
        return [Outcome("the lab's programs and images", 0, 0, 1, 0)]
    outcomes = run_batches([suite for suite in suites if not suite.needs_lab])
    if in_lab := [suite for suite in suites if suite.needs_lab]:
        with node_lab(outcomes) as is_up:
            outcomes += run_batches(in_lab) if is_up else [Outcome(f"{one.name}: no lab", 0, 0, 1, 0) for one in in_lab]
    return outcomes


def summarise(outcomes: Sequence[Outcome], seconds: float) -> int:
    """Show the table, the time it took and the count; return the exit status."""
    passed, failed = (sum(getattr(outcome, key) for outcome in outcomes) for key in ("passed", "failed"))
    say("\n" + "\n".join(map(str, outcomes)))
    say(f"{'in all':<40} {'':>39}{seconds:>8.1f} s")
    say(f"{passed} passed, {failed} failed")
    return int(failed > 0 or not outcomes)


def main() -> None:
    """Parse the names of suites and run them."""
    parser = argparse.ArgumentParser(description="Run suites of checks.")
    parser.add_argument("suites", nargs="+", choices=sorted(SUITES), metavar="SUITE", help=", ".join(SUITES))
    names = parser.parse_args().suites
    start = time.monotonic()
    outcomes = run_suites([SUITES[name] for name in names])
    sys.exit(summarise(outcomes, time.monotonic() - start))


if __name__ == "__main__":
    main()
