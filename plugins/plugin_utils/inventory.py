# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What follows from the inventory: where an instance is, and what a cluster's instances are called and need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError


def cluster_of(host: str, clusters: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the cluster that `host` is, or is on.

    The variable itself is looked up, because Ansible evaluates a default that is not needed, too, when it reads an
    argument spec.

    Args:
        host: The inventory's name of a cluster or an instance.
        clusters: The names of all clusters.
        hostvars: The variables of all hosts, as the inventory gives them: without the defaults of roles.

    Raises:
        SonicError: There are several to choose from, or none.
    """
    if host in clusters:
        return host
    if said := hostvars[host].get("sonic_cluster"):
        return str(said)
    if len(clusters) == 1:
        return clusters[0]
    if clusters:
        raise SonicError(
            f"sonic_cluster of {host} is not set, and the inventory has {len(clusters)} clusters.",
            f"Set it to one of {', '.join(clusters)}.",
        )
    raise SonicError("The inventory has no cluster.", "Put the cluster that the service runs on in the group clusters.")


def instances_on(
    instances: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]], cluster: str, clusters: Sequence[str]
) -> list[str]:
    """Return the names that the instances on `cluster` have there.

    Args:
        instances: The inventory's names of all instances.
        hostvars: The variables of all hosts, as the inventory gives them: without the defaults of roles.
        cluster: The name of a cluster.
        clusters: The names of all clusters.

    Raises:
        SonicError: It is not clear on which cluster one is.
    """
    return [
        str(hostvars[instance].get("sonic_instance") or instance)
        for instance in instances
        if cluster_of(instance, clusters, hostvars) == cluster
    ]


def instance_namespaces(
    instances: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]], cluster: str, clusters: Sequence[str]
) -> list[dict[str, str]]:
    """Return the namespaces of all instances on `cluster`, each with its Pod Security level.

    Args:
        instances: The names of all instances.
        hostvars: The variables of all hosts, as the inventory gives them: without the defaults of roles.
        cluster: The name of a cluster.
        clusters: The names of all clusters.

    Raises:
        SonicError: Two instances want one namespace with different levels.
    """
    levels: dict[str, tuple[str, str]] = {}
    for instance in instances:
        variables = hostvars[instance]
        if cluster_of(instance, clusters, hostvars) != cluster:
            continue
        namespace = variables.get("sonic_namespace") or variables.get("sonic_instance") or instance
        level = variables.get("sonic_pod_security") or "restricted"
        other, known = levels.setdefault(namespace, (instance, level))
        if known != level:
            raise SonicError(
                f"sonic_pod_security is {known} for {other} and {level} for {instance}, "
                f"which share the namespace {namespace}.",
                "Give both the same, or each its own sonic_namespace.",
            )
    return [{"name": namespace, "level": level} for namespace, (_instance, level) in sorted(levels.items())]
