# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The suites of checks, as data: `make lint`, `make unit` and so on are names for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from tests.tools.common import ROOT
from tests.tools.venv import cores

#: The programs of the default environment.
PROGRAMS: Final = ROOT / ".venv/bin"
#: The unit tests whose outcome may differ between two series of ansible-core. What the roles make of their variables on
#: the newest one is seen by tests/system/test_check_mode.py.
MEET_ANSIBLE: Final = (
    "tests/unit/check_inventory",
    "tests/unit/engine/test_apply.py",
    "tests/unit/filters",
)
#: All unit tests, in parts that run beside one another, the longest first.
UNIT_PARTS: Final[Mapping[str, Sequence[str]]] = {
    "engine": ("tests/unit/engine",),
    "roles": ("tests/unit/roles",),
    "playbooks": ("tests/unit/playbooks",),
    "the rest": (
        "tests/unit",
        "--ignore=tests/unit/engine",
        "--ignore=tests/unit/playbooks",
        "--ignore=tests/unit/roles",
    ),
}
LAB_TESTS: Final = "tests/system/test_lab.py"


@dataclass(frozen=True)
class Check:
    """A command that passes or fails.

    Args:
        name: What the summary calls it.
        command: The command line; "{report}" stands for the JUnit file it may write.
        duration: How long it takes, for the person who waits; empty for seconds.
        programs: The folder of the Python environment it runs in.
        variables: Environment variables besides those of the caller.
        once: Whether it need not run again on a checkout on which it passed.
    """

    name: str
    command: list[str]
    duration: str = ""
    programs: Path = PROGRAMS
    variables: Mapping[str, str] = field(default_factory=dict)
    once: bool = False


@dataclass(frozen=True)
class Suite:
    """Checks that belong together.

    Args:
        name: What `make` calls it.
        purpose: What it proves, in a line.
        checks: Returns the checks; asked when the suite starts.
        workers: How many checks run at a time. The output of several is shown where they failed, of one as it comes.
        form: The form of the lab whose programs and images it needs; empty for none.
        needs_lab: Whether it runs against the node lab.
        needs_machine: Whether it starts node labs of its own, so that no other may be up.
    """

    name: str
    purpose: str
    checks: Callable[[], list[Check]]
    workers: int = 1
    form: Literal["", "control", "node"] = ""
    needs_lab: bool = False
    needs_machine: bool = False


def lint_checks() -> list[Check]:
    """Return the static checks."""
    sanity = [
        Check(
            f"ansible-test sanity, core {series}",
            ["python", "-m", "tests.tools.sanity", series],
            programs=programs,
            once=True,
        )
        for series, programs in cores().items()
    ]
    return [
        Check("yamllint", ["yamllint", "--strict", "."]),
        Check("ruff", ["ruff", "check", "--quiet", "."]),
        Check("ruff format", ["ruff", "format", "--check", "--quiet", "."]),
        Check("mypy", ["mypy"]),
        Check("import-linter", ["lint-imports", "--no-logo"]),
        Check("ansible-doc", ["python", "-m", "tests.tools.documents"]),
        Check("ansible-lint", ["ansible-lint", "--offline", "--strict", "-q"], once=True),
        Check("antsibull-changelog", ["antsibull-changelog", "lint"]),
        *sanity,
    ]


def pytest_check(*arguments: str, programs: Path = PROGRAMS, name: str = "", duration: str = "") -> Check:
    """Return the check that runs tests: of files and folders, with options of pytest."""
    command = ["pytest", *arguments, "--quiet", "--junitxml={report}"]
    return Check(name or arguments[0], command, duration=duration, programs=programs)


def unit_checks() -> list[Check]:
    """Return the unit tests: all in the default environment, those that meet Ansible in the others, too."""
    default, *others = sorted(cores().items(), key=lambda item: item[1].resolve() != PROGRAMS.resolve())
    return [
        *(
            pytest_check(
                *MEET_ANSIBLE,
                name=f"tests/unit that meet Ansible, core {series}",
                duration="about 4 minutes",
                programs=programs,
            )
            for series, programs in others
        ),
        *(
            pytest_check(*arguments, name=f"tests/unit, core {default[0]}: {part}", duration="about 4 minutes")
            for part, arguments in UNIT_PARTS.items()
        ),
    ]


def molecule_checks() -> list[Check]:
    """Return the molecule scenarios."""
    return [
        Check(
            f"molecule {path.parent.name}",
            ["molecule", "test", "--scenario-name", path.parent.name],
            duration="about a minute",
            variables={"MOLECULE_GLOB": "molecule/*/molecule.yml", "COLUMNS": "160"},
        )
        for path in sorted(ROOT.glob("molecule/*/molecule.yml"))
    ]


def faults_checks() -> list[Check]:
    """Return the faults, each once."""
    return [pytest_check("tests/faults", duration="about 7 minutes")]


def soak_checks() -> list[Check]:
    """Return the long runs and repeats of the faults."""
    return [pytest_check("tests/faults", "-m", "soak", name="tests/faults, soak", duration="up to an hour")]


def lab_checks() -> list[Check]:
    """Return the tests of the lab itself; those of its form `node` want the machine to have no other."""
    return [pytest_check(LAB_TESTS, duration="about 2 minutes")]


def system_checks() -> list[Check]:
    """Return the tests of whole commands, a check for each file: their instances do not meet."""
    files = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("tests/system/test_*.py"))
    return [pytest_check(file, duration="up to 4 minutes") for file in files if file != LAB_TESTS]


def bench_checks() -> list[Check]:
    """Return the measurements."""
    return [Check("bench", ["python", "-m", "tests.bench"], duration="about 5 minutes")]


SUITES: Final[Mapping[str, Suite]] = {
    suite.name: suite
    for suite in (
        Suite("lint", "static checks, the documentation included", lint_checks, workers=3),
        Suite(
            "unit", "the parts, the engine against a control plane of its own", unit_checks, workers=3, form="control"
        ),
        Suite("lab", "the embedded Kubernetes itself", lab_checks, workers=3, form="node", needs_machine=True),
        Suite("molecule", "each role alone, then the site", molecule_checks, workers=3, form="node", needs_lab=True),
        Suite(
            "system", "whole commands, as an operator types them", system_checks, workers=3, form="node", needs_lab=True
        ),
        Suite("faults", "a stream of requests while things break", faults_checks, form="node", needs_lab=True),
        Suite("soak", "the same for longer, and harder", soak_checks, form="node", needs_lab=True),
        Suite("bench", "figures as ratios", bench_checks, form="node", needs_lab=True),
    )
}
