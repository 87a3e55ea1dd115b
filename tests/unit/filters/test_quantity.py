# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kubernetes quantities."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.quantity import cpu_count, multiply, to_bytes, with_limits


@pytest.mark.parametrize(
    ("quantity", "count"),
    [("2", 2), (2, 2), (0.5, 1), ("100m", 1), ("1001m", 2), ("1.2", 2), ("8", 8), (0, 1)],
)
def test_threads_make_full_use_of_processors(quantity: Any, count: int) -> None:
    assert cpu_count(quantity) == count


@pytest.mark.parametrize(
    ("quantity", "size"),
    [("1Ki", 1024), ("1k", 1000), ("1.5Gi", 1610612736), ("512Mi", 536870912), (1024, 1024), ("2G", 2000000000)],
)
def test_memory_is_so_many_bytes(quantity: Any, size: int) -> None:
    assert to_bytes(quantity) == size


@pytest.mark.parametrize("quantity", ["one", "1 Gi", "-1", "1gi", "", None, "1e3"])
def test_what_kubernetes_does_not_read_is_refused(quantity: Any) -> None:
    with pytest.raises(SonicError, match="is not a quantity"):
        to_bytes(quantity)


@pytest.mark.parametrize(
    ("quantity", "factor", "product"),
    [("500m", 1.2, "600m"), ("16Gi", 2.0, "32Gi"), (4, 1.2, "4.8"), ("10Mi", 1, "10Mi"), ("100", 1, "100")],
)
def test_a_product_keeps_its_unit(quantity: Any, factor: float, product: str) -> None:
    assert multiply(quantity, factor) == product


@pytest.mark.parametrize(
    ("resources", "limits"),
    [
        ({"requests": {"cpu": 2, "memory": "4Gi"}}, {"cpu": "2.4", "memory": "4.8Gi"}),
        ({"requests": {"cpu": 2, "memory": "4Gi"}, "limits": {"cpu": 16}}, {"cpu": "16", "memory": "4.8Gi"}),
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
