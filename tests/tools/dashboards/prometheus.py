# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Prometheus, asked by its HTTP API."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.tools.dashboards.queries import Answer


class QueryError(Exception):
    """It refused a query."""


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus.

    Args:
        url: Where it is, such as ``http://127.0.0.1:9090``.
    """

    url: str

    def instant(self, expr: str, moment: float) -> Answer:
        """Return what a query gives at a moment, in seconds since the epoch: a vector.

        Raises:
            QueryError: It cannot be parsed or evaluated.
        """
        return self._ask("query", {"query": expr, "time": moment})

    def range(self, expr: str, start: float, end: float, step: float) -> Answer:
        """Return what a query gives over a time: a matrix.

        Args:
            expr: The query.
            start: The first moment, in seconds since the epoch.
            end: The last one.
            step: Seconds between two of them.

        Raises:
            QueryError: It cannot be parsed or evaluated.
        """
        return self._ask("query_range", {"query": expr, "start": start, "end": end, "step": step})

    def _ask(self, path: str, values: dict[str, Any]) -> Answer:
        try:
            with urlopen(f"{self.url.rstrip('/')}/api/v1/{path}?{urlencode(values)}", timeout=30) as answer:  # noqa: S310
                result: Answer = json.load(answer)["data"]["result"]
        except HTTPError as error:
            raise QueryError(f"{values['query']}: {error.read().decode(errors='replace')}") from error
        return result
