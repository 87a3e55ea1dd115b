# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pools, and the options that roles document but Ansible does not fill."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.device_plugin import CONFIG_SPEC, device_plugin_sets
from ansible_collections.hep.sonic.plugins.plugin_utils.envoy import BALANCING_SPEC
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.exposure import EXPOSURE_SPEC, MODES_OF
from ansible_collections.hep.sonic.plugins.plugin_utils.models import SOURCE_SPEC
from ansible_collections.hep.sonic.plugins.plugin_utils.node_rules import RULE_SPEC
from ansible_collections.hep.sonic.plugins.plugin_utils.pools import (
    POOL_SPEC,
    fill_pools,
    gpu_products,
    share_demand,
)

ROLES = Path(__file__).parents[3] / "roles"
#: Of an option, what both the filter and the argument spec say.
SAID = ("type", "elements", "choices", "default", "required")


def documented(role: str, variable: str) -> dict[str, Any]:
    """Return the nested options of a variable in the argument specs."""
    specs = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    options: dict[str, Any] = specs["main"]["options"][variable]["options"]
    return options


def essence(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what options say to a machine."""
    return {
        name: {key: value for key, value in option.items() if key in SAID}
        | ({"options": essence(option["options"])} if "options" in option else {})
        for name, option in options.items()
    }


@pytest.mark.parametrize(
    ("role", "variable", "spec"),
    [
        ("common", "sonic_pools", POOL_SPEC),
        ("triton", "triton_model_sources", SOURCE_SPEC),
        ("envoy", "envoy_balancing", BALANCING_SPEC),
        ("envoy", "envoy_exposure", EXPOSURE_SPEC),
        ("gpu_node_labels", "gpu_node_labels_rules", RULE_SPEC),
        ("nvidia_device_plugin", "nvidia_device_plugin_configs", CONFIG_SPEC),
    ],
)
def test_what_is_filled_is_what_is_documented(role: str, variable: str, spec: Mapping[str, Any]) -> None:
    assert essence(documented(role, variable)) == essence(spec)


def test_each_option_of_an_exposure_says_where_it_means_something() -> None:
    assert set(MODES_OF) == set(EXPOSURE_SPEC) - {"mode"}


def test_a_pool_that_says_only_its_name_is_one_server_with_one_gpu() -> None:
    (pool,) = fill_pools([{"name": "t4"}], 2)
    assert (pool["replicas"], pool["target_in_flight"]) == (None, 16)
    assert pool["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"},
        "limits": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"},
    }


def test_a_pool_without_gpu_asks_for_none() -> None:
    (pool,) = fill_pools([{"name": "cpu", "gpu": {"count": 0}, "resources": {"requests": {"cpu": "1"}}}], 2)
    assert pool["resources"] == {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}


def test_values_have_their_types() -> None:
    (pool,) = fill_pools([{"name": "t4", "replicas": "3", "gpu": {"count": "2"}}], 2)
    assert (pool["replicas"], pool["gpu"]["count"]) == (3, 2)


@pytest.mark.parametrize(
    ("pools", "message"),
    [
        ([], "sonic_pools is empty"),
        (["t4"], r"sonic_pools\[0\] is 't4': a dictionary is wanted"),
        ([{}], "missing required arguments: name"),
        ([{"name": "T4"}], "no Kubernetes object can be called"),
        ([{"name": "a"}, {"name": "b"}, {"name": "a"}], "2 pools named 'a'"),
        ([{"name": "a", "replicas": -1}], "replicas is -1: it must be at least 0"),
        ([{"name": "a", "target_in_flight": 0}], "target_in_flight is 0: it must be at least 1"),
        ([{"name": "a", "gpu": {"count": -1}}], r"gpu\.count is -1"),
        ([{"name": "a", "gpu": {"model": "T4"}}], "model"),
        ([{"name": "a", "gpu": {"sharing": "sometimes"}}], "sharing must be one of"),
        (
            [{"name": "a", "gpu": {"sharing": "never", "resource": "nvidia.com/gpu.shared"}}],
            "is of GPUs that Pods share",
        ),
        ([{"name": "a", "resources": {"requests": {"cpu": "many"}}}], r"sonic_pools\[0\]\.resources: 'many' is not"),
    ],
)
def test_a_pool_that_cannot_be_is_refused(pools: list[Any], message: str) -> None:
    with pytest.raises(SonicError, match=message):
        fill_pools(pools, 2)


def test_a_pool_alone_has_a_server_for_each_target() -> None:
    (pool,) = share_demand(fill_pools([{"name": "t4", "max": 10, "target_in_flight": 8}], 2))
    assert pool["demand_per_server"] == 8


@pytest.mark.parametrize("demand", [1, 40, 200, 400])
def test_pools_are_filled_alike(demand: int) -> None:
    pools = fill_pools(
        [{"name": "t4", "max": 10, "target_in_flight": 8}, {"name": "a100", "max": 5, "target_in_flight": 64}], 2
    )
    servers = {pool["name"]: demand / pool["demand_per_server"] for pool in share_demand(pools)}
    assert servers["t4"] / 10 == pytest.approx(servers["a100"] / 5)
    assert servers["t4"] * 8 + servers["a100"] * 64 == pytest.approx(demand)


def test_the_others_do_not_make_up_for_a_pool_that_is_missing() -> None:
    there, missing = (
        {"name": "there", "max": 10, "target_in_flight": 8},
        {"name": "missing", "max": 10, "target_in_flight": 8},
    )

    def in_flight_at_each(*pools: dict[str, Any]) -> float:
        """Return how many of 80 requests each server of the first pool has, if no other has servers."""
        servers: float = 80 / share_demand(fill_pools(pools, 2))[0]["demand_per_server"]
        return 80 / servers

    assert in_flight_at_each(there, missing) == pytest.approx(16)
    assert in_flight_at_each(there, {**missing, "max": 1}) == pytest.approx(8.8)
    assert in_flight_at_each(there) == pytest.approx(8)


def test_demand_cannot_be_shared_without_bounds() -> None:
    with pytest.raises(SonicError, match="The pool t4 has no max"):
        share_demand(fill_pools([{"name": "t4"}], 2))


def required(pool: Mapping[str, Any]) -> Any:
    """Return the terms that the nodes of a pool's servers must meet, of which any is enough."""
    return pool["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]


SHARED = ["time-slicing", "mps"]


@pytest.mark.parametrize(
    ("gpu", "expressions"),
    [
        ({"product": "Tesla-T4"}, [("nvidia.com/gpu.product", "In", ["Tesla-T4", "Tesla-T4-SHARED"])]),
        (
            {"product": "Tesla-T4", "sharing": "never"},
            [("nvidia.com/gpu.product", "In", ["Tesla-T4"]), ("nvidia.com/gpu.sharing-strategy", "NotIn", SHARED)],
        ),
        ({"product": "Tesla-T4", "sharing": "only"}, [("nvidia.com/gpu.product", "In", ["Tesla-T4-SHARED"])]),
        (
            {"product": "Tesla-T4", "resource": "nvidia.com/gpu.shared"},
            [("nvidia.com/gpu.product", "In", ["Tesla-T4"])],
        ),
        (
            {"product": "NVIDIA-A100-MIG-1g.10gb", "sharing": "never", "resource": "nvidia.com/mig-1g.10gb"},
            [
                ("nvidia.com/mig-1g.10gb.product", "In", ["NVIDIA-A100-MIG-1g.10gb"]),
                ("nvidia.com/mig-1g.10gb.sharing-strategy", "NotIn", SHARED),
            ],
        ),
        (
            {"sharing": "only", "resource": "nvidia.com/mig-1g.10gb"},
            [("nvidia.com/mig-1g.10gb.sharing-strategy", "In", SHARED)],
        ),
        ({"sharing": "only"}, [("nvidia.com/gpu.sharing-strategy", "In", SHARED)]),
        ({"sharing": "never"}, [("nvidia.com/gpu.sharing-strategy", "NotIn", SHARED)]),
    ],
)
def test_a_pool_goes_where_its_gpus_are(gpu: dict[str, Any], expressions: list[tuple[str, str, list[str]]]) -> None:
    (pool,) = fill_pools([{"name": "a", "gpu": gpu}], 2)
    assert required(pool) == [
        {
            "matchExpressions": [
                {"key": key, "operator": operator, "values": values} for key, operator, values in expressions
            ]
        }
    ]


def test_what_a_pool_asks_of_nodes_besides_holds_too() -> None:
    zones = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]} for zone in ("a", "b")]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": zones}}}
    (pool,) = fill_pools([{"name": "a", "gpu": {"product": "Tesla-T4"}, "affinity": affinity}], 2)
    assert [[one["key"] for one in term["matchExpressions"]] for term in required(pool)] == [
        ["zone", "nvidia.com/gpu.product"],
        ["zone", "nvidia.com/gpu.product"],
    ]


def test_the_products_that_pools_ask_for() -> None:
    pools = [
        {"name": "a", "gpu": {"product": "Tesla-T4"}},
        {"name": "b", "gpu": {"product": "NVIDIA-A10", "sharing": "only"}},
        {"name": "c"},
        {"name": "d", "gpu": {"product": "NVIDIA-H100", "count": 0}},
    ]
    assert gpu_products(fill_pools(pools, 2)) == [["Tesla-T4", "Tesla-T4-SHARED"], ["NVIDIA-A10-SHARED"]]


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ([{"name": "a"}, {"name": "a"}], "several configurations named a"),
        ([{"name": "A"}], "no Kubernetes object can be called"),
        ([{"name": "a", "time_slicing": {"replicas": 1}}], "it must be at least 2"),
        ([{"name": "a", "mps": {"replicas": 2}, "mig_strategy": "mixed"}], "mps with mig_strategy mixed"),
        ([{"name": "a", "time_slicing": {"replicas": 2}, "mps": {"replicas": 2}}], "shared in one way"),
        ([{"name": "b"}], "has no configuration named a: b"),
    ],
)
def test_a_configuration_of_the_device_plugin_that_cannot_be_is_refused(configs: list[Any], message: str) -> None:
    with pytest.raises(SonicError, match=message):
        device_plugin_sets(configs, "a", "configs")
