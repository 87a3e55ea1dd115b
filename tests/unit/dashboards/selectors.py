# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a query selects, by the parser of PromQL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import promql_parser


@dataclass(frozen=True)
class Selector:
    """A selector of a query.

    Args:
        metric: The name of the metric.
        matchers: Each as PromQL writes it, such as ``pod=~".+"``.
    """

    metric: str
    matchers: frozenset[str]

    def selects(self, metric: str, labels: Mapping[str, str], unknown: frozenset[str]) -> bool:
        """Return whether it selects a series.

        Args:
            metric: The name of the metric.
            labels: The labels of the series.
            unknown: Labels that the series gets later: whatever they are to be, it is so.
        """
        if metric != self.metric:
            return False
        return all(_holds(matcher, labels) for matcher in self.matchers if _split(matcher)[0] not in unknown)


def selectors(expr: str) -> list[Selector]:
    """Return all selectors of a query whose variables are filled in.

    Raises:
        ValueError: It is no PromQL.
    """
    found: list[Selector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(Selector(node.name or "", frozenset(str(matcher) for matcher in node.matchers.matchers)))

    promql_parser.walk(promql_parser.parse(expr), visit)
    return found


def series(exposition: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name and the labels of each series of a page of metrics."""
    for line in exposition.splitlines():
        if match := re.match(r"(\w+)(?:\{(.*)\})? ", line):
            yield match[1], dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))


def _split(matcher: str) -> tuple[str, str, str]:
    match = re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', matcher)
    assert match is not None, matcher
    return match[1], match[2], match[3]


def _holds(matcher: str, labels: Mapping[str, str]) -> bool:
    name, operator, value = _split(matcher)
    found = labels.get(name, "")
    same = bool(re.fullmatch(value, found)) if "~" in operator else value == found
    return same is not operator.startswith("!")
