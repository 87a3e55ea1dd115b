# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks the whole inventory against the roles' argument specs; documented in plugins/modules/check_inventory.py."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from ansible.errors import AnsibleUndefinedVariable

from ansible_collections.hep.sonic.plugins.plugin_utils.action_base import Params, Result, SonicAction
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.evaluate import evaluate, expressions
from ansible_collections.hep.sonic.plugins.plugin_utils.origin import origin_of
from ansible_collections.hep.sonic.plugins.plugin_utils.schema import (
    SHARED_PREFIX,
    Finding,
    Refusal,
    Spec,
    Unreadable,
    check_host,
    differing,
    options_of,
    report,
    roles_by_group,
)

COLLECTION: Final = Path(__file__).parents[2]
#: The groups of inventory hosts that this collection acts upon.
GROUPS: Final = ("clusters", "instances")


class ActionModule(SonicAction):
    """Report everything that is wrong with the variables of all hosts at once."""

    argument_spec: ClassVar[Mapping[str, Spec]] = {}

    def execute(self, params: Params, task_vars: Mapping[str, Any]) -> Result:
        del params
        roles = sorted(path.parents[1].name for path in COLLECTION.glob("roles/*/meta/argument_specs.yml"))
        options = options_of(self._load(f"roles/{role}/meta/argument_specs.yml") for role in roles)
        prefixes = (SHARED_PREFIX, *(f"{role}_" for role in roles))
        defaults: dict[str, Any] = {}
        for role in roles:
            defaults |= self._load(f"roles/{role}/defaults/main.yml", trusted=True) or {}
        roles_of = self._roles_of_groups()
        required = {group: self._required(members, options, defaults) for group, members in roles_of.items()}

        findings: dict[str, list[Finding | Refusal | Unreadable]] = {}
        groups = task_vars["groups"]
        for host in sorted({host for group in GROUPS for host in groups.get(group, ())}):
            raw = task_vars["hostvars"].raw_get(host)
            ours = {name: value for name, value in raw.items() if name.startswith(prefixes)}
            context = {**defaults, **raw, "hostvars": task_vars["hostvars"]}
            values, failures = evaluate(list(ours), context, self._templar)
            plain = {name: value for name, value in ours.items() if not any(expressions(value))}
            variables = plain | {name: value for name, value in values.items() if name in ours}
            unreadable = [
                Unreadable(name, origin_of(name) or origin_of(ours[name]), str(failures[name]))
                for name in ours
                if name in failures
            ]
            its_groups = [group for group in GROUPS if host in groups.get(group, ())]
            needed = {name for group in its_groups for name in required[group]}
            found = check_host(options, prefixes, sorted(needed - {finding.key for finding in unreadable}), variables)
            findings[host] = [*unreadable, *found]
            if not findings[host]:  # else one mistake would be told twice
                its_roles = sorted({role for group in its_groups for role in roles_of[group]})
                # evaluated once, and not again for each expression that names them
                context |= values
                context |= evaluate(list(defaults), context, self._templar)[0]
                findings[host] += [*differing(context, defaults, its_roles)]
                findings[host] += [refusal for role in its_roles for refusal in self._refusals(role, context)]

        if problems := report(findings):
            count = len({finding for found in findings.values() for finding in found})
            raise SonicError(
                f"{count} of the inventory's values cannot be used, so nothing was done:\n"
                + "\n".join(f"  {problem}" for problem in problems)
            )
        return {"changed": False, "hosts": sorted(findings)}

    def _load(self, name: str, *, trusted: bool = False) -> Any:
        """Return the content of a YAML file of the collection."""
        return self._loader.load_from_file(str(COLLECTION / name), cache="all", trusted_as_template=trusted)

    def _roles_of_groups(self) -> dict[str, set[str]]:
        """Return which roles the playbooks run on the hosts of each group."""
        imported = [entry.get("ansible.builtin.import_playbook", "") for entry in self._load("playbooks/site.yml")]
        names = [name.rpartition(".")[2] for name in imported if name]
        plays = [play for name in names for play in self._load(f"playbooks/{name}.yml")]
        return roles_by_group(plays, GROUPS)

    @staticmethod
    def _required(roles: Collection[str], options: Mapping[str, Spec], defaults: Mapping[str, Any]) -> set[str]:
        """Return what some of the roles demand."""
        demanded = {name for name, spec in options.items() if spec.get("required") and name not in defaults}
        return {name for name in demanded if name.startswith(tuple(f"{use.partition(':')[0]}_" for use in roles))}

    def _refusals(self, use: str, context: Mapping[str, Any]) -> Iterator[Refusal]:
        """Yield why a role, as `roles_by_group` calls it, refuses its variables.

        All of the role's own variables are evaluated, because each may have an expression that refuses its input. Those
        that need what a task finds out, or one pool of several, have no value yet.
        """
        role, _colon, variables = use.partition(":")
        files = sorted((COLLECTION / "roles" / role / "vars" / (variables or "main")).glob("*.yml"))
        own: dict[str, Any] = {}
        for file in files:
            own |= self._load(str(file.relative_to(COLLECTION)), trusted=True)
        names = [name for name in own if name != f"__{role}_checks"]  # what they say is in the problems
        values, failures = evaluate(names, {**context, **own}, self._templar)
        yield from (Refusal(reason) for name in names if name in failures and (reason := _reason(failures[name])))
        yield from map(Refusal, values.get(f"__{role}_problems", ()))


def _reason(error: BaseException) -> str:
    """Return what this collection says of a failed expression; nothing if it failed for another reason."""
    if isinstance(error, AnsibleUndefinedVariable):
        return ""
    cause: BaseException | None = error
    while cause and not isinstance(cause, SonicError):
        cause = cause.__cause__
    return " ".join(str(cause).splitlines()) if cause else ""
