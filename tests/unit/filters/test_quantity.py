# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kubernetes quantities."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.quantity import cpu_count, to_bytes, with_limits


@pytest.mark.parametrize(
    ("quantity", "count"),
    [("2", 2), (2, 2), (0.5, 1), ("100m", 1), ("1001m", 2), ("1.2", 2), ("8", 8), (0, 1), (".5", 1), ("1500000u", 2)],
)
def test_threads_make_full_use_of_processors(quantity: Any, count: int) -> None:
    assert cpu_count(quantity) == count


@pytest.mark.parametrize(
    ("quantity", "size"),
    [
        ("1Ki", 1024),
        ("1k", 1000),
        ("1.5Gi", 1610612736),
        ("512Mi", 536870912),
        (1024, 1024),
        ("2G", 2000000000),
        (1.5e9, 1500000000),
        # the rest of what Kubernetes reads
        ("1e9", 1000000000),
        ("1E3", 1000),
        ("1.5e+3", 1500),
        ("2000e-3", 2),
        ("1E", 10**18),
        ("1Ei", 2**60),
        ("3000000000n", 3),
        ("+1Gi", 2**30),
        (".5Ki", 512),
        ("1.", 1),
        ("1.Ki", 1024),
    ],
)
def test_memory_is_so_many_bytes(quantity: Any, size: int) -> None:
    assert to_bytes(quantity) == size


@pytest.mark.parametrize(
    "quantity",
    ["one", "1 Gi", "-1", "1gi", "", None, ".", "Gi", "1e", "1e1.5", "1e3Ki", "1K", "1ki", "1e999", "1_0", "٣"],
)
def test_what_kubernetes_does_not_read_is_refused(quantity: Any) -> None:
    with pytest.raises(SonicError, match="is not a quantity"):
        to_bytes(quantity)


@pytest.mark.parametrize(
    ("name", "quantity", "ratio", "limit"),
    [
        ("cpu", "500m", 1.2, "600m"),
        ("cpu", 4, 1.2, "4.8"),
        ("cpu", "100", 1, "100"),
        ("memory", "16Gi", 2.0, "32Gi"),
        ("memory", "1Gi", 1.5, "1.5Gi"),
        ("memory", "10Mi", 1, "10Mi"),
        ("memory", "1e9", 2, "2e9"),
        # no part of a byte, nor of a thousandth of a processor
        ("memory", "16Gi", 1.2, "20615843021"),
        ("memory", "1.5", 1, "2"),
        ("cpu", "101m", 1.5, "152m"),
        ("cpu", "1", 1.0001, "1001m"),
        ("cpu", "2500u", 1, "3m"),
        ("ephemeral-storage", "1.5Gi", 1.2, "1.5Gi"),
    ],
)
def test_a_limit_keeps_its_unit_unless_it_would_be_a_fraction(
    name: str, quantity: Any, ratio: float, limit: str
) -> None:
    assert with_limits({"requests": {name: quantity}}, ratio)["limits"] == {name: limit}


@pytest.mark.parametrize(
    ("resources", "limits"),
    [
        ({"requests": {"cpu": 2, "memory": "4Gi"}}, {"cpu": "2.4", "memory": "5153960756"}),
        ({"requests": {"cpu": 2, "memory": "4Gi"}, "limits": {"cpu": 16}}, {"cpu": "16", "memory": "5153960756"}),
        # a GPU cannot be promised twice
        ({"requests": {"nvidia.com/gpu": 1}}, {"nvidia.com/gpu": "1"}),
        ({"limits": {"cpu": 1}}, {"cpu": "1"}),
        ({}, {}),
    ],
)
def test_a_limit_follows_from_its_request(resources: dict[str, Any], limits: dict[str, str]) -> None:
    assert with_limits(resources, 1.2)["limits"] == limits


def test_a_limit_below_its_request_is_refused() -> None:
    with pytest.raises(SonicError, match="The limit of cpu, 500m, is less than the request, 1"):
        with_limits({"requests": {"cpu": "1"}, "limits": {"cpu": "500m"}}, 2)
