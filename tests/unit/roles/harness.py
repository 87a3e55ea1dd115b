# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A role without a cluster: its variables, its checks, and the objects that its one task would apply.

Everything is Ansible's own and the collection's own: the loader, the templar, the argument specs, the renderer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.evaluate import evaluate
from ansible_collections.hep.sonic.plugins.plugin_utils.render import Manifest, Renderer, to_plain

REPOSITORY = Path(__file__).parents[3]
ROLES = REPOSITORY / "roles"

Variables = dict[str, Any]


class RoleError(Exception):
    """The role refuses its variables."""


@cache
def load(path: Path) -> Any:
    """Return the content of a YAML file whose expressions may be evaluated."""
    return DataLoader().load_from_file(str(path), cache="none", trusted_as_template=True)


@cache
def load_specs(role: str) -> Any:
    """Return the argument specs of a role."""
    return yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]


def load_variables(path: Path, name: str = "main") -> Variables:
    """Return the variables of a role's folder: of its file of that name, or of all files in its folder of that name."""
    variables: Variables = {}
    for file in [path / f"{name}.yml", *sorted((path / name).glob("*.yml"))]:
        if file.exists():
            variables |= load(file)
    return variables


@dataclass(frozen=True)
class Role:
    """A role of this collection on one host, with the variables of an inventory.

    Args:
        name: The role's name.
        inventory: What an inventory sets for the host.
        host: The host's name.
        groups: The inventory's groups.
        entry_point: Which of its entry points is meant. One besides `main` has variables of its own.
        tasks: The file with the task that applies objects; that of the entry point by default.
        others: What an inventory sets for other hosts, such as the cluster `lab`.
    """

    name: str
    inventory: Mapping[str, Any]
    host: str = "cms"
    groups: Mapping[str, list[str]] | None = None
    entry_point: str = "main"
    tasks: str = ""
    others: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return ROLES / self.name

    @cached_property
    def variables(self) -> Variables:
        """All variables of the host, in Ansible's order of precedence."""
        groups = {"clusters": ["lab"], "instances": ["cms"]} | dict(self.groups or {})
        hosts = {host for members in groups.values() for host in members}
        return {
            **load_variables(ROLES / "common" / "defaults"),
            **load_variables(self.path / "defaults"),
            **self.inventory,
            **load_variables(self.path / "vars", self.entry_point),
            "inventory_hostname": self.host,
            "groups": groups,
            "hostvars": {
                host: dict(self.inventory if host == self.host else self.others.get(host, {})) for host in hosts
            },
            "ansible_check_mode": False,
            "ansible_search_path": [str(self.path)],
        }

    @cached_property
    def templar(self) -> Templar:
        templar = Templar(loader=DataLoader(), variables=self.variables)
        values, _failures = evaluate(list(self.variables), self.variables, templar)
        return Templar(loader=DataLoader(), variables={**self.variables, **values})

    def objects(self) -> list[Manifest]:
        """Check the variables and return what the role would apply.

        Raises:
            RoleError: The argument specs, a check of the role, a filter or a manifest refuses the variables.
        """
        try:
            self._check_arguments()
            self._check_asserts()
            return [rendered.manifest for rendered in self._renderer().render(self._applied("manifests"))] + [
                to_plain(manifest) for manifest in self._applied("objects")
            ]
        except (AnsibleError, SonicError) as error:
            raise RoleError(str(error)) from error

    def _renderer(self) -> Renderer:
        return Renderer(
            loader=DataLoader(),
            templar=self.templar,
            find=lambda name: str(self.path / "manifests" / name),
            variables=self.templar.available_variables,
        )

    def _applied(self, option: str) -> list[Any]:
        """Return an option of the one task that applies objects, of a file or of those that it imports."""
        tasks = self._tasks(self.tasks or f"{self.entry_point}.yml")
        (task,) = (task for task in tasks if "hep.sonic.apply" in task)
        value: list[Any] = self.templar.template(task["hep.sonic.apply"].get(option, []))
        return value

    def _tasks(self, file: str) -> list[dict[str, Any]]:
        tasks: list[dict[str, Any]] = load(self.path / "tasks" / file)
        imported = [task["ansible.builtin.import_tasks"] for task in tasks if "ansible.builtin.import_tasks" in task]
        return tasks + [task for name in imported for task in self._tasks(name)]

    def _check_arguments(self) -> None:
        for role, entry_point in (("common", "main"), (self.name, self.entry_point)):
            options = load_specs(role)[entry_point]["options"]
            given = self.templar.template({name: self.variables[name] for name in options if name in self.variables})
            # the defaults are those of defaults/main.yml, which are there already
            spec = {
                name: {key: value for key, value in option.items() if key != "default"}
                for name, option in options.items()
            }
            messages = ArgumentSpecValidator(spec).validate(given).error_messages
            if messages:
                raise RoleError("; ".join(messages))

    def _check_asserts(self) -> None:
        path = self.path / "tasks" / "validate.yml"
        for task in load(path) if path.exists() else []:
            arguments = task.get("ansible.builtin.assert")
            if arguments and not self.templar.evaluate_conditional(arguments["that"]):
                raise RoleError(self.templar.template(arguments["fail_msg"]))


def differences(wanted: Any, found: Any, where: str) -> Iterator[str]:
    """Yield where `found` does not have what `wanted` says.

    A dictionary may have more keys. A list of things with names is looked up by name and may have more; any other list
    of dictionaries is compared one by one; any other value must be equal. ``None`` wants a key to be absent. Where a
    text is compared with a dictionary, it is YAML.
    """
    if isinstance(wanted, Mapping):
        yield from _differences_of_mappings(wanted, yaml.safe_load(found) if isinstance(found, str) else found, where)
    elif (
        isinstance(wanted, list) and isinstance(found, list) and all(isinstance(element, Mapping) for element in wanted)
    ):
        yield from _differences_of_lists(wanted, found, where)
    elif wanted != found or type(wanted) is not type(found):
        yield f"{where}: wanted {wanted!r}, found {found!r}"


def _differences_of_mappings(wanted: Mapping[str, Any], found: Any, where: str) -> Iterator[str]:
    if not isinstance(found, Mapping):
        yield f"{where}: wanted {wanted!r}, found {found!r}"
        return
    for key, value in wanted.items():
        if value is None:
            if key in found:
                yield f"{where}.{key}: wanted nothing, found {found[key]!r}"
        elif key in found:
            yield from differences(value, found[key], f"{where}.{key}")
        else:
            yield f"{where}.{key}: missing; there is {', '.join(found)}"


def _differences_of_lists(wanted: list[Any], found: list[Any], where: str) -> Iterator[str]:
    if wanted and all("name" in element for element in wanted):
        named = {element.get("name"): element for element in found if isinstance(element, Mapping)}
        for element in wanted:
            name = element["name"]
            if name in named:
                yield from differences(element, named[name], f"{where}[{name}]")
            else:
                yield f"{where}: no {name!r}; there is {', '.join(map(str, named))}"
    elif len(wanted) == len(found):
        for index, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from differences(one, other, f"{where}[{index}]")
    else:
        yield f"{where}: wanted {len(wanted)} elements, found {found!r}"
