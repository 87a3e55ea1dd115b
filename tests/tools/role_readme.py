# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the variable tables of the roles' READMEs from their argument specs, between two markers.

`make docs` runs it; a unit test fails where a table is not current.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.tools.common import ROOT, say

BEGIN: Final = "<!-- variables: written by `make docs` from meta/argument_specs.yml -->"
END: Final = "<!-- end of variables -->"
#: The longest default that a table shows, in characters.
SHOWN: Final = 60
#: Ansible's semantic markup: C(code), O(option), V(value), P(plugin#type) and so on.
MARKUP: Final = re.compile(r"\b(?:B|C|E|I|M|O|P|RV|V)\(([^()#]*(?:\([^()]*\)[^()#]*)*)(?:#\w+)?\)")


@dataclass(frozen=True)
class Role:
    """A role and what its argument specs say."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def entry_points(self) -> dict[str, dict[str, Any]]:
        """The entry points with their specs, `main` first."""
        specs = yaml.safe_load((self.path / "meta/argument_specs.yml").read_text())["argument_specs"]
        return dict(sorted(specs.items(), key=lambda item: item[0] != "main"))

    @property
    def options(self) -> dict[str, dict[str, Any]]:
        """The variables of all entry points."""
        return {
            name: spec for point in self.entry_points.values() for name, spec in (point.get("options") or {}).items()
        }

    @property
    def defaults(self) -> dict[str, Any]:
        return yaml.safe_load((self.path / "defaults/main.yml").read_text()) or {}

    @property
    def readme(self) -> Path:
        return self.path / "README.md"


def roles() -> list[Role]:
    """Return the roles of the collection."""
    return [Role(path.parent.parent) for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))]


def sentences(text: str | list[str]) -> str:
    """Return a description as one line of Markdown."""
    line = " ".join([text] if isinstance(text, str) else text)
    return MARKUP.sub(r"`\1`", " ".join(line.split())).replace("|", "\\|")


def code(value: Any) -> str:
    """Return a value as Markdown code that a table cell can hold."""
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return f"`{text}`".replace("|", "\\|")


def kind(spec: Mapping[str, Any]) -> str:
    """Return the type in words, with the choices."""
    name = spec.get("type", "str")
    if name == "list" and "elements" in spec:
        name = f"list of {spec['elements']}"
    choices = ", ".join(code(choice) for choice in spec.get("choices", ()))
    return f"{name}: {choices}" if choices else name


def default(spec: Mapping[str, Any]) -> str:
    """Return the default in words."""
    if spec.get("required"):
        return "required"
    if spec.get("default") is None:
        return ""
    shown = code(spec["default"])
    return shown if len(shown) <= SHOWN and "\n" not in shown else "[defaults](defaults/main.yml)"


def rows(options: Mapping[str, Mapping[str, Any]], holder: str = "") -> Iterator[str]:
    """Yield a table row for every option and those in it."""
    for name, spec in options.items():
        key = f"{holder}{name}"
        yield f"| `{key}` | {kind(spec)} | {default(spec)} | {sentences(spec.get('description', ''))} |"
        yield from rows(spec.get("options") or {}, f"{key}[]." if spec.get("type") == "list" else f"{key}.")


def tables(role: Role) -> str:
    """Return the variables of a role as Markdown, a table for each entry point that has any."""
    points = {name: point for name, point in role.entry_points.items() if point.get("options")}
    parts = []
    for name, point in points.items():
        title = [f"### Entry point `{name}`", "", sentences(point.get("short_description", "")), ""]
        table = ["| variable | type | default | meaning |", "| --- | --- | --- | --- |", *rows(point["options"])]
        parts.append("\n".join([*(title if len(points) > 1 else ()), *table]))
    return "\n\n".join(parts) or "None."


def beginning(role: Role) -> str:
    """Return the README of a role that has none yet."""
    main = role.entry_points["main"]
    about = f"{sentences(main.get('description', ''))}\n\n" if main.get("description") else ""
    return f"# {role.name}\n\n{sentences(main['short_description'])}.\n\n{about}## Variables\n\n{BEGIN}\n{END}\n"


def document(role: Role) -> str:
    """Return the README of a role with current tables.

    Raises:
        ValueError: The README has lost its markers.
    """
    text = role.readme.read_text() if role.readme.exists() else beginning(role)
    head, begin, rest = text.partition(BEGIN)
    _old, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{role.readme} has lost the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{tables(role)}\n\n{END}{tail}"


def main() -> None:
    """Write what is not current."""
    for role in roles():
        text = document(role)
        if not role.readme.exists() or role.readme.read_text() != text:
            role.readme.write_text(text)
            say(f"roles/{role.name}/README.md written")


if __name__ == "__main__":
    main()
