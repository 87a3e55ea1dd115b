# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pools: the sets of equal Triton servers of an instance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest
from ansible_collections.hep.sonic.plugins.plugin_utils.options import Spec, check_name, fill
from ansible_collections.hep.sonic.plugins.plugin_utils.quantity import with_limits

Pool = dict[str, Any]

#: What GPU Feature Discovery appends to the product of GPUs that are shared.
SHARED: Final = "-SHARED"
#: What GPUs are offered as, and what is appended where a site renames those that Pods share.
WHOLE: Final = "nvidia.com/gpu"
RENAMED: Final = ".shared"

#: The options of an element of ``sonic_pools``; the role ``common`` documents them.
POOL_SPEC: Final[Spec] = {
    "name": {"type": "str", "required": True},
    "replicas": {"type": "int"},
    "min": {"type": "int", "default": 1},
    "max": {"type": "int"},
    "target_in_flight": {"type": "int", "default": 16},
    "gpu": {
        "type": "dict",
        "apply_defaults": True,
        "options": {
            "resource": {"type": "str", "default": WHOLE},
            "count": {"type": "int", "default": 1},
            "product": {"type": "str", "default": ""},
            "sharing": {"type": "str", "choices": ["allow", "only", "never"], "default": "allow"},
        },
    },
    "resources": {
        "type": "dict",
        "apply_defaults": True,
        "options": {
            "requests": {"type": "dict", "default": {"cpu": "4", "memory": "16Gi"}},
            "limits": {"type": "dict", "default": {}},
        },
    },
    "image": {"type": "str", "default": ""},
    "extra_args": {"type": "list", "elements": "str", "default": []},
    "extra_env": {"type": "list", "elements": "dict", "default": []},
    "node_selector": {"type": "dict", "default": {}},
    "affinity": {"type": "dict", "default": {}},
    "tolerations": {"type": "list", "elements": "dict", "default": []},
    "priority_class": {"type": "str", "default": ""},
    "runtime_class": {"type": "str", "default": ""},
}


def fill_pools(pools: Sequence[Any], resource_ratio: float) -> list[Pool]:
    """Return `pools` with all their options, and the resources of a server's container.

    Args:
        pools: The value of ``sonic_pools``.
        resource_ratio: Limit of processor and memory for a request of one.

    Raises:
        SonicError: A pool does not fit its options, or two have one name.
    """
    filled = [_fill_pool(pool, f"sonic_pools[{index}]", resource_ratio) for index, pool in enumerate(pools)]
    if not filled:
        raise SonicError(
            "sonic_pools is empty: there would be no server.", "Declare one pool; replicas: 0 stops its servers."
        )
    for name, count in Counter(pool["name"] for pool in filled).items():
        if count > 1:
            raise SonicError(f"sonic_pools has {count} pools named {name!r}.", "Give each a name of its own.")
    return filled


def share_demand(pools: Sequence[Pool]) -> list[Pool]:
    """Return `pools` with ``demand_per_server``: how many requests in flight, of all, one server stands for.

    All servers together take the sum of ``max`` times ``target_in_flight``. At any demand, each pool has the same part
    of its ``max``: a pool alone has a server for each ``target_in_flight`` requests, and of several each has its share.

    Args:
        pools: What `fill_pools` returns.

    Raises:
        SonicError: A pool has no ``max``.
    """
    for pool in pools:
        if pool["max"] is None:
            raise SonicError(f"The pool {pool['name']} has no max.", "Say how many servers it may have.")
    capacity = sum(pool["max"] * pool["target_in_flight"] for pool in pools)
    return [pool | {"demand_per_server": round(capacity / pool["max"], 3)} for pool in pools]


def _fill_pool(pool: Any, where: str, resource_ratio: float) -> Pool:
    filled = fill(pool, POOL_SPEC, where)
    check_name(filled["name"], f"{where}.name")
    for option, least in (("replicas", 0), ("min", 0), ("max", 1), ("target_in_flight", 1)):
        if filled[option] is not None and filled[option] < least:
            raise SonicError(f"{where}.{option} is {filled[option]}: it must be at least {least}.")
    if filled["max"] is not None and filled["min"] > filled["max"]:
        raise SonicError(
            f"{where}.min is {filled['min']}, more than its max, {filled['max']}.", "Swap or correct them."
        )
    gpu = filled["gpu"]
    if gpu["count"] < 0:
        raise SonicError(f"{where}.gpu.count is {gpu['count']}: it must be at least 0.")
    if gpu["sharing"] == "never" and gpu["resource"].endswith(RENAMED):
        raise SonicError(
            f"{where}.gpu.sharing is never, but its resource, {gpu['resource']}, is of GPUs that Pods share.",
            f"Ask for {gpu['resource'].removesuffix(RENAMED)}, or allow sharing.",
        )
    requests = filled["resources"]["requests"] | ({gpu["resource"]: gpu["count"]} if gpu["count"] else {})
    try:
        resources = with_limits(filled["resources"] | {"requests": requests}, resource_ratio)
    except SonicError as error:
        raise SonicError(f"{where}.resources: {error.message}", error.remedy) from error
    return filled | {"resources": resources, "affinity": place(gpu, filled["affinity"])}


def place(gpu: Mapping[str, Any], affinity: Mapping[str, Any]) -> Manifest:
    """Return `affinity` with what a pool's GPUs ask of nodes besides.

    GPU Feature Discovery describes a resource in labels that begin with its name, and parts of GPUs under names of
    their own as GPUs.

    Args:
        gpu: The pool's ``gpu``.
        affinity: The pool's own.
    """
    names = product_names(gpu)
    prefix = gpu["resource"].removesuffix(RENAMED)
    wanted = [{"key": f"{prefix}.product", "operator": "In", "values": names}] if names else []
    # the product tells of sharing, too; whoever wants none does not rely on that alone, as people may have written it
    if (
        gpu["count"]
        and not gpu["resource"].endswith(RENAMED)
        and gpu["sharing"] in ({"never"} if names else {"never", "only"})
    ):
        operator = "In" if gpu["sharing"] == "only" else "NotIn"
        wanted.append({"key": f"{prefix}.sharing-strategy", "operator": operator, "values": ["time-slicing", "mps"]})
    if not wanted:
        return dict(affinity)
    nodes = dict(affinity.get("nodeAffinity") or {})
    required = nodes.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = [  # any of which may hold
        {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), *wanted]}
        for term in required.get("nodeSelectorTerms") or [{}]
    ]
    nodes["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
    return {**affinity, "nodeAffinity": nodes}


def product_names(gpu: Mapping[str, Any]) -> list[str]:
    """Return what the labels of nodes may call the GPUs of a pool; nothing where any will do.

    GPU Feature Discovery appends ``-SHARED`` to the product of GPUs that Pods share under the name of whole ones.

    Args:
        gpu: The pool's ``gpu``.
    """
    product = gpu["product"]
    if not gpu["count"] or not product:
        return []
    if gpu["resource"].endswith(RENAMED):
        return [product]
    return {"never": [product], "only": [f"{product}{SHARED}"], "allow": [product, f"{product}{SHARED}"]}[
        gpu["sharing"]
    ]


def gpu_products(pools: Sequence[Pool]) -> list[list[str]]:
    """Return the GPU products that pools ask for: of each entry, some node must have one.

    Args:
        pools: What `fill_pools` returns.
    """
    return [
        names for pool in pools if pool["gpu"]["resource"].startswith(WHOLE) and (names := product_names(pool["gpu"]))
    ]
