# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for the whole repository: roles of one shape, defaults as documented, documents that tell the truth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.tools.common import ROOT
from tests.tools.role_readme import Role, document, roles

ROLES: Final = roles()
#: What a role may consist of, and what each has.
FOLDERS: Final = {"defaults", "files", "manifests", "meta", "tasks", "templates", "vars"}
FILES: Final = {"README.md", "defaults/main.yml", "meta/argument_specs.yml", "meta/main.yml", "tasks/main.yml"}
#: The role that only declares the collection-wide variables.
SHARED: Final = "common"
DOCUMENTS: Final = [
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "roles/*/README.md", "inventories/**/*.md")
    for path in sorted(ROOT.glob(pattern))
]
CODE: Final = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
#: A variable of the instance's cluster, and a simple value for where it is not set.
READ_OF_CLUSTER: Final = re.compile(
    r"hostvars\[sonic_cluster\]\['(\w+)'\] \| default\(('\w*'|\d+|true|false|\{\}|\[\])\)"
)
LINK: Final = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")

every_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=str)


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def code_of(path: Path) -> str:
    return "\n".join(CODE.findall((ROOT / path).read_text()))


def public_names() -> set[str]:
    """Return what users call by its full name."""
    patterns = ("roles/*", "playbooks/*.yml", "plugins/modules/*.py", "plugins/filter/*.yml")
    return {path.stem for pattern in patterns for path in ROOT.glob(pattern)} | {"all"}


def test_there_are_roles() -> None:
    assert ROLES


@every_role
def test_roles_have_one_shape(role: Role) -> None:
    files = {str(path.relative_to(role.path)) for path in role.path.rglob("*") if path.is_file()}
    wanted = FILES - {"tasks/main.yml"} if role.name == SHARED else FILES
    assert wanted <= files
    assert {Path(name).parts[0] for name in files} <= FOLDERS | {"README.md"}


@every_role
def test_defaults_are_as_documented(role: Role) -> None:
    documented = {name: spec["default"] for name, spec in role.options.items() if spec.get("default") is not None}
    assert {name: value for name, value in role.defaults.items() if value is not None} == documented
    assert set(role.defaults) | {name for name, spec in role.options.items() if spec.get("required")} == set(
        role.options
    )


@every_role
def test_variables_carry_the_name_of_their_role(role: Role) -> None:
    prefix = "sonic_" if role.name == SHARED else f"{role.name}_"
    assert [name for name in role.options if not name.startswith(prefix)] == []


@every_role
def test_variables_are_described_in_sentences(role: Role) -> None:
    def undescribed(options: dict[str, Any], holder: str = "") -> Iterator[str]:
        for name, spec in options.items():
            description = spec.get("description", "")
            lines = [description] if isinstance(description, str) else description
            if not all(line.endswith((".", "?", ":")) for line in lines):
                yield f"{holder}{name}"
            yield from undescribed(spec.get("options") or {}, f"{holder}{name}.")

    assert list(undescribed(role.options)) == []


@every_role
def test_shared_variables_are_read_in_defaults_only(role: Role) -> None:
    if role.name == SHARED:
        return
    readers = {
        str(path.relative_to(role.path)): found
        for folder in ("manifests", "tasks", "templates", "vars")
        for path in role.path.glob(f"{folder}/**/*.*")
        if (found := re.findall(r"\bsonic_\w+", path.read_text()))
    }
    assert readers == {}


@every_role
def test_what_is_read_of_a_cluster_has_its_role_s_own_default(role: Role) -> None:
    own = {name: default for other in ROLES for name, default in other.defaults.items()}
    for name, text in role.defaults.items():
        for read, default in READ_OF_CLUSTER.findall(str(text)):
            if read != name and not str(own[read]).startswith("{{"):  # which a shared variable is itself
                assert yaml.safe_load(default) == own[read], name


@every_role
def test_roles_depend_on_the_shared_variables(role: Role) -> None:
    dependencies = yaml.safe_load((role.path / "meta/main.yml").read_text())["dependencies"]
    assert [dependency["role"] for dependency in dependencies] == ([] if role.name == SHARED else ["hep.sonic.common"])


@every_role
def test_the_variable_tables_are_current(role: Role) -> None:
    assert role.readme.read_text() == document(role), "run: make docs"


def test_the_action_group_holds_what_takes_access_options() -> None:
    modules = {path.stem: path.read_text() for path in ROOT.glob("plugins/modules/*.py")}
    with_access = {name for name, text in modules.items() if "- hep.sonic.access\n" in text}
    assert set(load("meta/runtime.yml")["action_groups"]["all"]) == with_access


def test_each_action_has_its_documentation() -> None:
    assert {path.stem for path in ROOT.glob("plugins/action/*.py")} == {
        path.stem for path in ROOT.glob("plugins/modules/*.py")
    }


def test_the_changelog_knows_the_version() -> None:
    assert load("galaxy.yml")["version"] in load("changelogs/changelog.yaml")["releases"]


@every_document
def test_documents_name_only_what_exists(path: Path) -> None:
    text = code_of(path)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)", text)) - targets == set()
    assert set(re.findall(r"\bhep\.sonic\.(\w+)(?!\.|\w)", text)) - public_names() == set()


@every_document
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    links = LINK.findall(CODE.sub("", (ROOT / path).read_text()))
    assert [link for link in links if not (ROOT / path.parent / link).exists()] == []
