# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each variable is evaluated once, those that it names before it.

Ansible keeps no value of an expression: it compiles and evaluates a variable anew wherever another names it, so that a
value which many others name, such as an instance's cluster, is made a hundred times in one task.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, Protocol

from ansible.errors import AnsibleError, AnsibleValueOmittedError

WORD: Final = re.compile(r"[A-Za-z_]\w*")


class Templar(Protocol):
    """What is used of Ansible's Templar."""

    def copy_with_new_env(self, *, available_variables: Mapping[str, Any]) -> Templar: ...

    def template(self, variable: Any) -> Any: ...


def evaluate(
    names: Collection[str], variables: Mapping[str, Any], templar: Templar, unknown: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, AnsibleError]]:
    """Return the values of variables with expressions, of those that they name too, and why others have none.

    Args:
        names: The variables that are wanted.
        variables: All variables of a host, with their expressions.
        templar: Ansible's Templar.
        unknown: Names whose value comes later: what names one of them is left out.
    """
    known = dict(variables)
    inner = templar.copy_with_new_env(available_variables=known)
    values: dict[str, Any] = {}
    failures: dict[str, AnsibleError] = {}
    for name in _in_order(names, variables, unknown):
        try:
            known[name] = values[name] = inner.template(variables[name])
        except AnsibleValueOmittedError:
            continue
        except AnsibleError as error:
            failures[name] = error
    return values, failures


def expressions(value: Any) -> Iterator[str]:
    """Yield the strings within `value` that may hold expressions."""
    if isinstance(value, str):
        if "{" in value:
            yield value
    elif isinstance(value, dict):  # and no other mapping: `hostvars` has everything
        for pair in value.items():
            for part in pair:
                yield from expressions(part)
    elif isinstance(value, list):
        for element in value:
            yield from expressions(element)


def words(value: Any) -> set[str]:
    """Return all that could be the name of a variable in the expressions of `value`."""
    return {word for text in expressions(value) for word in WORD.findall(text)}


def _in_order(names: Collection[str], variables: Mapping[str, Any], unknown: Collection[str]) -> Iterator[str]:
    """Yield the names and all that they name, each once and after those that it names."""
    later = dict.fromkeys(unknown, True)

    def visit(name: str) -> Iterator[str]:
        if name in later or name not in variables:
            return
        named = words(variables[name])
        later[name] = False  # one that names itself is left to Ansible, which has words for that
        for other in sorted(named):
            yield from visit(other)
        later[name] = any(later.get(other) for other in named)
        if not later[name] and any(expressions(variables[name])):
            yield name

    for name in names:
        yield from visit(name)
