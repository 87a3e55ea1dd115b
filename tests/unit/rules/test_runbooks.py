# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A runbook for each alert, of one form, whose commands are commands and whose names exist."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.rules import catalogue
from tests.tools.common import ROOT
from tests.tools.role_readme import roles
from tests.unit.rules import promtool

FOLDER: Final = ROOT / "docs/runbooks"
INDEX: Final = FOLDER / "README.md"
PAGES: Final = sorted(path for path in FOLDER.glob("*.md") if path != INDEX)
OF_ALERTS: Final = [path for path in PAGES if path.stem.startswith("Sonic")]
SITUATIONS: Final = {
    *("certificate-change", "gpu-replacement", "model-update", "node-drain", "restore-from-nothing", "site-outage"),
}
SECTIONS: Final = [
    *("What it means for users", "How to see it", "Likely causes", "What to do", "How to know it is over"),
]
SECTIONS_OF_A_SITUATION: Final = [
    *("What it means for users", "Before you begin", "What to do", "How to know it is over"),
]
BLOCK: Final = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
#: What the reader fills in.
TO_FILL_IN: Final = re.compile(r"<[a-z]+>")
VARIABLE: Final = re.compile(rf"\b(?:sonic|{'|'.join(role.name for role in roles())})_\w+")

every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


def blocks(path: Path, language: str) -> Iterator[str]:
    """Yield the code of a page in a language, with names filled in; commands have none."""
    for _indent, found, code in BLOCK.findall(path.read_text()):
        if found == language:
            yield TO_FILL_IN.sub("name", code)


def test_each_alert_has_a_runbook() -> None:
    assert {path.stem for path in OF_ALERTS} == {alert["alert"] for alert in catalogue()}
    assert {path.stem for path in PAGES} - {path.stem for path in OF_ALERTS} == SITUATIONS


@every_page
def test_runbooks_have_one_form(path: Path) -> None:
    text = path.read_text()
    assert text.startswith(f"# {path.stem}\n" if path in OF_ALERTS else "# ")
    sections = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    assert sections[1::2] == (SECTIONS if path in OF_ALERTS else SECTIONS_OF_A_SITUATION)
    assert all(section.strip() for section in sections[::2])


def test_the_index_has_them_all() -> None:
    linked = re.findall(r"^\| \[[^]]+\]\(([\w-]+)\.md\) \|(?: ([^|]+) \| ([^|]+) \|)?", INDEX.read_text(), re.MULTILINE)
    assert sorted(name for name, _severity, _needs in linked) == sorted(path.stem for path in PAGES)
    told = {name: (severity, needs) for name, severity, needs in linked if name not in SITUATIONS}
    assert told == {
        alert["alert"]: (alert["severity"] or "page, ticket", ", ".join(alert["needs"])) for alert in catalogue()
    }


@every_page
def test_commands_are_commands(path: Path) -> None:
    commands = "".join(blocks(path, ""))
    assert "ansible-playbook" in commands or "kubectl" in commands
    done = subprocess.run(["bash", "-n"], input=commands, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert TO_FILL_IN.findall(commands) == []


@every_page
def test_playbooks_exist(path: Path) -> None:
    named = re.findall(r"ansible-playbook hep\.sonic\.(\w+) -i inventories/name", "".join(blocks(path, "")))
    assert "".join(blocks(path, "")).count("ansible-playbook") == len(named)
    assert set(named) <= {playbook.stem for playbook in ROOT.glob("playbooks/*.yml")}


@every_page
def test_variables_exist(path: Path) -> None:
    known = {name for role in roles() for name in role.options}
    prose = BLOCK.sub(lambda block: "" if block[2] == "promql" else block[0], path.read_text())
    assert set(VARIABLE.findall(prose)) <= known


@every_page
def test_queries_are_queries(path: Path) -> None:
    for query in blocks(path, "promql"):
        done = promtool.run("--experimental", "promql", "format", " ".join(query.split()))
        assert done.returncode == 0, done.stdout + done.stderr
