# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The GPUs of a cluster: what nodes offer, who uses it, what is unhealthy. No input or output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest, field_at
from ansible_collections.hep.sonic.plugins.plugin_utils.quantity import amount

#: Labels that GPU Feature Discovery gives, or rules of ours.
PRODUCT: Final = "nvidia.com/gpu.product"
COUNT: Final = "nvidia.com/gpu.count"
MEMORY: Final = "nvidia.com/gpu.memory"
SHARING: Final = "nvidia.com/gpu.sharing-strategy"
REPLICAS: Final = "nvidia.com/gpu.replicas"
#: Lines of a table that a person reads; the rest is counted.
MOST_LINES: Final = 40
#: Names of nodes in one message.
MOST_NAMES: Final = 10
COLUMNS: Final = ("node", "product", "sharing", "offered", "free", "unhealthy", "used by")


@dataclass(frozen=True)
class Resource:
    """One resource of a node, such as ``nvidia.com/gpu``.

    Args:
        capacity: How many the node has, the unhealthy ones among them.
        allocatable: How many Pods may have.
        used: How many Pods have that are on the node and have not ended.
    """

    capacity: int
    allocatable: int
    used: int

    @property
    def free(self) -> int:
        """How many another Pod could have."""
        return max(0, self.allocatable - self.used)

    @property
    def unhealthy(self) -> int:
        """How many the device plugin has taken away."""
        return max(0, self.capacity - self.allocatable)


@dataclass(frozen=True)
class GpuNode:
    """A node with GPUs, or that should have some.

    Args:
        name: Its name.
        ready: Whether it is ready and may get Pods.
        product: What its labels call the GPUs; empty without such a label.
        gpus: How many there are by its labels; 0 without such a label.
        memory_mib: Memory of each by its labels; 0 without such a label.
        sharing: ``none``, ``time-slicing`` or ``mps``.
        replicas: How many Pods share one GPU.
        resources: What it offers, by name.
        users: How many each namespace has, by namespace.
    """

    name: str
    ready: bool
    product: str = ""
    gpus: int = 0
    memory_mib: int = 0
    sharing: str = "none"
    replicas: int = 1
    resources: Mapping[str, Resource] = field(default_factory=dict)
    users: Mapping[str, int] = field(default_factory=dict)

    @property
    def offers(self) -> bool:
        """Whether Pods may have any of its GPUs."""
        return any(resource.allocatable for resource in self.resources.values())

    @property
    def suspects(self) -> int:
        """How many GPUs are unhealthy, or may be.

        With GPUs shared by time, version 0.19.0 of NVIDIA's device plugin takes one replica of an unhealthy GPU away,
        and hands the others out: each that is missing may stand for a GPU of its own.
        """
        unhealthy = sum(resource.unhealthy for resource in self.resources.values())
        return min(unhealthy, self.gpus) if self.gpus else unhealthy

    def as_dict(self) -> dict[str, Any]:
        """Return it as a task's result."""
        resources = {
            name: {**asdict(resource), "free": resource.free, "unhealthy": resource.unhealthy}
            for name, resource in self.resources.items()
        }
        return asdict(self) | {"resources": resources, "offers": self.offers, "suspects": self.suspects}


def describe(nodes: Iterable[Manifest], pods: Iterable[Manifest], resources: Sequence[str]) -> list[GpuNode]:
    """Return the nodes that offer a resource, or that have a label with a product.

    Args:
        nodes: Nodes.
        pods: All Pods that have not ended.
        resources: Names of resources, or patterns.
    """
    by_node: dict[str, list[Manifest]] = {}
    for pod in pods:
        by_node.setdefault(field_at(pod, ["spec", "nodeName"]) or "", []).append(pod)
    found = (_describe(node, by_node.get(node["metadata"]["name"], []), resources) for node in nodes)
    return sorted((node for node in found if node.resources or node.product), key=lambda node: node.name)


def carries(node: Manifest, wanted: Mapping[str, str], planned: Mapping[str, Mapping[str, str]]) -> bool:
    """Return whether a node has labels, or is about to get them.

    Args:
        node: The node.
        wanted: The labels.
        planned: What nodes are about to be labelled with, by their names.
    """
    labels = {**(node["metadata"].get("labels") or {}), **planned.get(node["metadata"]["name"], {})}
    return all(labels.get(key) == value for key, value in wanted.items())


def without_gpu(nodes: Iterable[Manifest], resources: Sequence[str]) -> list[str]:
    """Return the names of the nodes that are ready and offer none of the resources."""
    described = [_describe(node, (), resources) for node in nodes]
    return sorted(node.name for node in described if node.ready and not node.offers)


def _describe(node: Manifest, pods: Sequence[Manifest], globs: Sequence[str]) -> GpuNode:
    labels = node["metadata"].get("labels") or {}
    capacity = field_at(node, ["status", "capacity"]) or {}
    allocatable = field_at(node, ["status", "allocatable"]) or {}
    names = [name for name in capacity if any(fnmatchcase(name, glob) for glob in globs)]
    used = dict.fromkeys(names, 0)
    users: Counter[str] = Counter()
    for pod in pods:
        for name in names:
            asked = _asked(pod, name)
            used[name] += asked
            users[pod["metadata"]["namespace"]] += asked
    return GpuNode(
        name=node["metadata"]["name"],
        ready=_is_ready(node),
        product=labels.get(PRODUCT, ""),
        gpus=_number(labels.get(COUNT)),
        memory_mib=_number(labels.get(MEMORY)),
        sharing=labels.get(SHARING) or "none",
        replicas=_number(labels.get(REPLICAS)) or 1,
        resources={
            name: Resource(_count(capacity[name]), _count(allocatable.get(name, "0")), used[name])
            for name in sorted(names)
            if _count(capacity[name])
        },
        users={namespace: count for namespace, count in sorted(users.items()) if count},
    )


def _is_ready(node: Manifest) -> bool:
    conditions = field_at(node, ["status", "conditions"]) or ()
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and not field_at(node, ["spec", "unschedulable"])


def _asked(pod: Manifest, resource: str) -> int:
    """Return how many of a resource are a Pod's: what its containers have at once, or one that starts before them."""

    def of(container: Manifest) -> int:
        return _count((field_at(container, ["resources", "limits"]) or {}).get(resource, "0"))

    before = pod["spec"].get("initContainers") or ()
    beside = [container for container in before if container.get("restartPolicy") == "Always"]
    return max([sum(map(of, [*pod["spec"]["containers"], *beside])), *map(of, before)])


def _count(quantity: Any) -> int:
    return int(amount(quantity))


def _number(label: str | None) -> int:
    """Return the number that a label is; 0 where it is none."""
    return int(label) if label and label.isdecimal() else 0


def products(nodes: Iterable[GpuNode]) -> dict[str, int]:
    """Return how many nodes have each product."""
    return dict(sorted(Counter(node.product for node in nodes if node.product).items()))


def unknown_products(wanted: Iterable[Sequence[str]], nodes: Iterable[GpuNode]) -> list[str]:
    """Return a warning for each entry of which no node has a product, with the products that there are."""
    known = products(nodes)
    there = ", ".join(f"{name} ({count})" for name, count in known.items()) or f"none: no node has the label {PRODUCT}"
    return [
        f"No node has the GPU product {' or '.join(names)}: nothing that asks for it can be placed now. "
        f"Products of the cluster, with the number of nodes: {there}."
        for names in dict.fromkeys(map(tuple, wanted))
        if not known.keys() & set(names)
    ]


def idle(selector: Mapping[str, str], missing: Sequence[str], meant: int) -> list[str]:
    """Return warnings of nodes that should offer GPUs and do not.

    Args:
        selector: Labels of the nodes that are meant.
        missing: Those of them that are ready and offer none.
        meant: How many there are.
    """
    if not meant:
        labels = ", ".join(f"{key}={value}" for key, value in selector.items())
        return [f"No node has {labels}: none offers a GPU. Label the nodes, by rules of gpu_node_labels for example."]
    if not missing:
        return []
    names = f"{', '.join(missing[:MOST_NAMES])}{', ...' if len(missing) > MOST_NAMES else ''}"
    where = f"{len(missing)} of {meant} nodes offer no GPU: {names}."
    return [
        f"{where} The log of the device plugin there names the driver's library that it misses, or the GPU that fails."
    ]


def table(nodes: Sequence[GpuNode]) -> Iterator[str]:
    """Yield the nodes as lines for a person; nothing if there are none."""
    if not nodes:
        return
    rows = [COLUMNS, *(_row(node) for node in nodes[:MOST_LINES])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if len(nodes) > MOST_LINES:
        yield f"and {len(nodes) - MOST_LINES} more nodes"


def _row(node: GpuNode) -> tuple[str, ...]:
    resources = node.resources.values()
    return (
        f"{node.name}{'' if node.ready else ' (not ready)'}",
        node.product or "?",
        f"{node.sharing} x{node.replicas}" if node.sharing != "none" else "none",
        str(sum(resource.allocatable for resource in resources)),
        str(sum(resource.free for resource in resources)),
        str(sum(resource.unhealthy for resource in resources)),
        ", ".join(f"{namespace} {count}" for namespace, count in node.users.items()) or "nobody",
    )
