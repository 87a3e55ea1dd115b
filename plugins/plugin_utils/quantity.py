# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kubernetes quantities: how much processor and memory, written as people write it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError

#: What the suffix of a quantity multiplies its number by; an exponent does so, too.
UNITS: Final[Mapping[str, Decimal]] = {
    **{
        suffix: Decimal(1000) ** power
        for power, suffix in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)
    },
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}
#: As Kubernetes reads them, but for those below zero, which nothing here may be.
QUANTITY: Final = re.compile(
    r"\+?(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)(?P<unit>[eE][+-]?[0-9]{1,2}|[numkMGTPE]|[KMGTPE]i|)"
)

#: What may be promised to more than one container at a time, each with the least part of it that there is; of anything
#: else, such as a GPU, the limit is the request.
ELASTIC: Final[Mapping[str, Decimal]] = {"cpu": Decimal("0.001"), "memory": Decimal(1)}


def split(quantity: Any) -> tuple[Decimal, str]:
    """Return the number and the unit of `quantity`, such as ``500m`` or ``16Gi``.

    Raises:
        SonicError: It is no quantity.
    """
    match = QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise SonicError(
            f"{quantity!r} is not a quantity that Kubernetes understands.", "Write it like 500m, 4, 512Mi or 16Gi."
        )
    return Decimal(match["number"]), match["unit"]


def amount(quantity: Any) -> Decimal:
    """Return `quantity` in its basic unit: processors, or bytes."""
    number, unit = split(quantity)
    return number * _scale(unit)


def to_bytes(quantity: Any) -> int:
    """Return how many bytes `quantity` is."""
    return math.floor(amount(quantity))


def cpu_count(quantity: Any) -> int:
    """Return how many threads make full use of `quantity` processors: it rounded up."""
    return max(1, math.ceil(amount(quantity)))


def _scale(unit: str) -> Decimal:
    return UNITS[unit] if unit in UNITS else Decimal(f"1{unit}")


def _limit(name: str, request: str, ratio: float) -> str:
    """Return the limit of a resource, in the unit of its request unless it would be a fraction of the least part."""
    number, unit = split(request)
    if name not in ELASTIC:
        return f"{number.normalize():f}{unit}"
    least = ELASTIC[name]
    number *= Decimal(str(ratio))
    parts = number * _scale(unit) / least
    if parts == parts.to_integral_value():
        return f"{number.normalize():f}{unit}"
    return f"{math.ceil(parts)}{'m' if least < 1 else ''}"


def with_limits(resources: Mapping[str, Any], ratio: float) -> dict[str, dict[str, Any]]:
    """Return the resources of a container, with a limit for each request.

    Args:
        resources: ``requests``, and ``limits`` where they are not the site's ratio times the request.
        ratio: Limit of processor and memory for a request of one.

    Raises:
        SonicError: A quantity is none, or a limit lies below its request.
    """
    requests = {name: str(value) for name, value in (resources.get("requests") or {}).items()}
    given = {name: str(value) for name, value in (resources.get("limits") or {}).items()}
    limits = {name: _limit(name, value, ratio) for name, value in requests.items()} | given
    for name, request in requests.items():
        if amount(limits[name]) < amount(request):
            raise SonicError(
                f"The limit of {name}, {limits[name]}, is less than the request, {request}.",
                "Raise the limit, or leave it out: it is then the request times sonic_resource_ratio.",
            )
    return {"requests": requests, "limits": limits}
