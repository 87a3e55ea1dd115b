# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The closed schema of an inventory: what the argument specs of the roles allow, and every departure from it at once.

Ansible checks a role's variables when the role starts, coerces what it checks and lets unknown names pass, so that a
misspelt variable is an unused one. Here the whole inventory is checked before anything is done, without coercion.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.origin import is_vaulted, origin_of

#: An option of an argument spec.
Spec = Mapping[str, Any]

#: Collection-wide variables; declared by the role `common`, which has no tasks.
SHARED_PREFIX: Final = "sonic_"
#: Those of them that are of no use in one role alone: who sets the number of servers is who triton leaves it to.
ONE_FOR_ALL: Final = ("sonic_autoscaler",)
IMPORT_ROLE: Final = "ansible.builtin.import_role"
#: The longest value that an error repeats, in characters.
SHOWN: Final = 60
#: What Ansible calls the origin of ``-e name=value``.
COMMAND_LINE: Final = "<CLI option '-e'>"


@dataclass(frozen=True)
class Type:
    """A type of argument specs: what it accepts as it is, and how to write such a value."""

    accepts: tuple[type, ...]
    remedy: str


TYPES: Final[Mapping[str, Type]] = {
    "str": Type((str,), "put it in quotes"),
    "path": Type((str,), "write a path"),
    "int": Type((int,), "write a whole number, without quotes"),
    "float": Type((int, float), "write a number, without quotes"),
    "bool": Type((bool,), "write true or false, without quotes"),
    "list": Type((list, tuple), "write a list"),
    "dict": Type((Mapping,), "write a mapping of keys to values"),
    "bytes": Type((int, str), "write a size, such as 64M"),
    "bits": Type((int, str), "write a size, such as 64Mb"),
}


@dataclass(frozen=True)
class Finding:
    """One departure from the schema.

    Args:
        key: The variable and the way into it, such as ``sonic_models[0].name``.
        state: What it is, such as ``"ingres"`` or ``unknown``.
        origin: Where it was written, as ``file:line``; empty where unknown.
        remedy: What to do about it.
    """

    key: str
    state: str
    origin: str
    remedy: str

    def describe(self, hosts: Collection[str]) -> str:
        """Return the finding as a sentence for the hosts that share it."""
        where = f" ({self.origin})" if self.origin else ""
        return f"{self.key} is {self.state}{where} for {', '.join(hosts)}: {self.remedy}"


@dataclass(frozen=True)
class Unreadable:
    """A variable whose expression has no value.

    Args:
        key: The variable.
        origin: Where it was written, as ``file:line``; empty where unknown.
        reason: Why there is none.
    """

    key: str
    origin: str
    reason: str


@dataclass(frozen=True)
class Refusal:
    """Why a role refuses variables that fit the schema, each alone.

    Args:
        reason: What does not go together, and what to do about it.
    """

    reason: str

    def describe(self, hosts: Collection[str]) -> str:
        """Return it as a sentence for the hosts that share it."""
        return f"for {', '.join(hosts)}: {self.reason}"


@dataclass(frozen=True)
class Value:
    """A value of the inventory and where it stands; one that carries no origin (true, null) has its holder's."""

    content: Any
    key: str
    origin: str

    @classmethod
    def named(cls, name: str, content: Any) -> Value:
        """Return the value of a variable."""
        return cls(content, name, origin_of(name) or origin_of(content))

    def member(self, name: Any, content: Any) -> Value:
        """Return the value at a key of this mapping."""
        return Value(content, f"{self.key}.{name}", origin_of(name) or origin_of(content) or self.origin)

    def element(self, index: int, content: Any) -> Value:
        """Return the value at a place of this list."""
        return Value(content, f"{self.key}[{index}]", origin_of(content) or self.origin)

    def finding(self, remedy: str, state: str = "") -> Finding:
        """Return what is wrong with this value; its `state` is how it reads where nothing else is said."""
        return Finding(
            self.key, state or ("vaulted" if is_vaulted(self.content) else _show(self.content)), self.origin, remedy
        )


def options_of(documents: Iterable[Mapping[str, Any]]) -> dict[str, Spec]:
    """Return every variable that some role's ``meta/argument_specs.yml`` declares, with its spec."""
    return {
        name: spec
        for document in documents
        for entry_point in document["argument_specs"].values()
        for name, spec in (entry_point.get("options") or {}).items()
    }


def roles_by_group(plays: Iterable[Mapping[str, Any]], groups: Iterable[str]) -> dict[str, set[str]]:
    """Return which roles the plays run on which group, by the roles' short names.

    A role that is imported with variables of its own for these hosts (``vars_from``) is called ``role:variables``.
    """
    found: dict[str, set[str]] = {group: set() for group in groups}
    for play in plays:
        roles = [role["role"] if isinstance(role, Mapping) else role for role in play.get("roles") or ()]
        imports = [task[IMPORT_ROLE] for task in play.get("tasks") or () if IMPORT_ROLE in task]
        roles += [f"{use['name']}:{use['vars_from']}" for use in imports if "vars_from" in use]
        for group, members in found.items():
            if group in str(play.get("hosts", "")):
                members.update(role.rpartition(".")[2] for role in roles)
    return found


def check_host(
    options: Mapping[str, Spec], prefixes: Iterable[str], required: Iterable[str], variables: Mapping[str, Any]
) -> Iterator[Finding]:
    """Yield what is wrong with the variables of one host.

    Args:
        options: Every variable that a role declares.
        prefixes: The beginnings of names that belong to this collection.
        required: The names that must be set on this host.
        variables: What the inventory and the command line set, evaluated.
    """
    known = tuple(prefixes)
    for name, value in variables.items():
        if name in options:
            yield from _check_value(options[name], Value.named(name, value))
        elif name.startswith(known):
            yield Finding(name, "unknown", origin_of(name), _instead_of(name, options, "remove it.", cutoff=0.8))
    for name in required:
        if variables.get(name) is None:
            yield Finding(name, "not set", "", f"set it in the inventory. {_meaning(options[name])}")


def differing(variables: Mapping[str, Any], defaults: Mapping[str, Any], roles: Iterable[str]) -> Iterator[Refusal]:
    """Yield where a role has another value of what all roles must have the same of.

    Args:
        variables: All variables of a host, evaluated.
        defaults: Those of all roles, with their expressions: by them a variable of a role stands for a shared one.
        roles: The roles of the host, as `roles_by_group` calls them.
    """
    prefixes = tuple(f"{role.partition(':')[0]}_" for role in roles)
    for shared in ONE_FOR_ALL:
        own = [name for name, text in defaults.items() if text == f"{{{{ {shared} }}}}" and name.startswith(prefixes)]
        for name in own:
            if variables[name] != variables[shared]:
                where = origin_of(variables[name])  # the name is that of the default
                yield Refusal(
                    f"{name} is {_show(variables[name])}{f' ({where})' if where else ''}, and {shared} is "
                    f"{_show(variables[shared])}: all roles of an instance must have the same. Set {shared}, and leave "
                    f"{name} out."
                )


def report(findings: Mapping[str, Iterable[Finding | Refusal | Unreadable]]) -> list[str]:
    """Return one sentence a finding with all the hosts that share it, and one for what lacks a value for one reason.

    Args:
        findings: The findings by host.
    """
    hosts: dict[Finding | Refusal, list[str]] = {}
    unreadable: dict[str, list[tuple[str, Unreadable]]] = {}
    for host, found in findings.items():
        for finding in dict.fromkeys(found):
            if isinstance(finding, Unreadable):
                unreadable.setdefault(finding.reason, []).append((host, finding))
            else:
                hosts.setdefault(finding, []).append(host)
    return [_without_value(reason, its) for reason, its in unreadable.items()] + [
        finding.describe(names) for finding, names in hosts.items()
    ]


def _without_value(reason: str, findings: Sequence[tuple[str, Unreadable]]) -> str:
    """Return the sentence about all variables that have no value for one reason."""
    hosts = dict.fromkeys(host for host, _finding in findings)
    places = {finding.key: f" ({finding.origin})" if finding.origin else "" for _host, finding in findings}
    (first, where), *others = places.items()
    more = f" and {len(others)} more, such as {others[0][0]}{others[0][1]}, have" if others else " has"
    return f"{first}{where}{more} no value for {', '.join(hosts)}: {reason}"


def _check_value(spec: Spec, value: Value) -> Iterator[Finding]:
    """Yield what is wrong with a value and with all that is in it."""
    kind = spec.get("type", "str")
    if value.content is None:
        if spec.get("default") is not None:
            yield value.finding(f"give it a value, or remove it for the default {_show(spec['default'])}.", "empty")
    elif kind == "list" and _is_a(value.content, kind):
        for index, element in enumerate(value.content):
            yield from _check_element(spec, spec.get("elements", "raw"), value.element(index, element))
    else:
        yield from _check_element(spec, kind, value)


def _check_element(spec: Spec, kind: str, value: Value) -> Iterator[Finding]:
    """Yield what is wrong with a value that is no list, or with one element of a list."""
    choices, options = spec.get("choices"), spec.get("options")
    if not _is_a(value.content, kind):
        remedy = _as_json(value) if _is_typed(kind, value) else _type_remedy(kind, value.content)
        yield value.finding(remedy, "a secret" if spec.get("no_log") else "")
    elif choices and value.content not in choices:
        yield value.finding(_choice_remedy(value.content, choices))
    elif kind == "dict" and options:
        yield from _check_keys(options, value)


def _check_keys(options: Mapping[str, Spec], value: Value) -> Iterator[Finding]:
    """Yield what is wrong with the keys of a mapping and their values."""
    specs = {name: spec for option, spec in options.items() for name in (option, *spec.get("aliases", ()))}
    for name, content in value.content.items():
        member = value.member(name, content)
        if name in specs:
            yield from _check_value(specs[name], member)
        else:
            yield member.finding(_instead_of(str(name), specs, f"choose one of {', '.join(options)}."), "unknown")
    for option, spec in options.items():
        if spec.get("required") and all(value.content.get(name) is None for name in (option, *spec.get("aliases", ()))):
            yield value.member(option, None).finding(f"set it. {_meaning(spec)}", "not set")


def _is_a(value: Any, kind: str) -> bool:
    """Return whether `value` is of a type of argument specs as it stands."""
    if kind not in TYPES:  # raw, json and the like accept anything
        return True
    accepts = TYPES[kind].accepts
    return isinstance(value, accepts) and (bool in accepts or not isinstance(value, bool))


def _type_remedy(kind: str, value: Any) -> str:
    if kind == "str" and isinstance(value, (Mapping, list, tuple)):
        return "write one string."
    return f"{TYPES[kind].remedy}."


def _is_typed(kind: str, value: Value) -> bool:
    """Return whether a value is right but for Ansible's reading of ``-e name=value``, which makes text of all."""
    return kind in ("bool", "int", "float") and isinstance(value.content, str) and value.origin == COMMAND_LINE


def _as_json(value: Value) -> str:
    return f"""on the command line, write it as JSON: -e '{{"{value.key}": {value.content}}}'."""


def _choice_remedy(value: Any, choices: Sequence[Any]) -> str:
    names = [str(choice) for choice in choices]
    near = difflib.get_close_matches(str(value), names, n=1)
    return f"choose one of {', '.join(names)}." + (f' Did you mean "{near[0]}"?' if near else "")


def _instead_of(name: str, known: Iterable[str], otherwise: str, cutoff: float = 0.6) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"did you mean {near[0]}?" if near else otherwise


def _meaning(spec: Spec) -> str:
    """Return the first sentence of an option's description."""
    description = spec.get("description", "")
    return str(description[0] if isinstance(description, list) else description)


def _show(value: Any) -> str:
    """Return a value as it would be written, shortened; containers by their kind only."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
