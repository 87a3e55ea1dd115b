# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prometheus' expressions about one instance, put together from parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

#: The least readings of a metric from which a rate, or a decision, is made. Of two, one that is lost leaves none.
LEAST_READINGS: Final = 4


def duration(seconds: float) -> str:
    """Return a number of seconds as Prometheus writes it."""
    return f"{round(seconds)}s"


def any_of(names: Iterable[str]) -> str:
    """Return the expression that matches any of some Kubernetes names, which have dots at most to be escaped."""
    return "|".join(name.replace(".", "[.]") for name in names)


def add(terms: Iterable[str]) -> str:
    """Return the sum of terms without labels. Each may be missing: Envoy shows a counter once it has counted."""
    return " + ".join(f"({term} or vector(0))" for term in terms)


@dataclass(frozen=True)
class Scope:
    """Which series belong to an instance, and how often there is a new reading.

    Args:
        namespace: The instance's namespace.
        instance: The instance's name.
        interval: Seconds between two readings.
    """

    namespace: str
    instance: str
    interval: int

    @property
    def labels(self) -> dict[str, str]:
        """The labels that every series and rule of the instance has."""
        return {"namespace": self.namespace, "instance": self.instance}

    @property
    def series(self) -> str:
        """The matchers that every selector has, so that instances in one namespace never mix."""
        return ",".join(f'{name}="{value}"' for name, value in self.labels.items())

    def seconds(self, readings: int) -> int:
        """Return how long so many readings take, in seconds, and no shorter than the least."""
        return max(readings, LEAST_READINGS) * self.interval

    def at_least(self, seconds: float) -> float:
        """Return `seconds`, or more where they hold too few readings."""
        return max(seconds, self.seconds(LEAST_READINGS))

    def rate(self, metric: str, matchers: str = "", readings: int = LEAST_READINGS) -> str:
        """Return how fast a counter rises, a second, over all its series."""
        inside = ",".join(filter(None, (self.series, matchers)))
        return f"sum(rate({metric}{{{inside}}}[{duration(self.seconds(readings))}]))"
