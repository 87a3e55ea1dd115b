# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes that exist in the API only: kwok keeps them ready and lets the pods on them run and end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.lab.control import PRETENDED


def node(
    name: str, *, labels: Mapping[str, str] | None = None, resources: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a pretended node, to be created in the form in which it stands here.

    Args:
        name: Its name.
        labels: Labels that a real node of the site would have (`nvidia.com/gpu.product`, …).
        resources: What it offers, beyond and instead of 32 processors, 256 GiB and 110 pods.

    Returns:
        The manifest. A taint keeps pods away that do not tolerate it: real ones that would never start here.
    """
    key, _, value = PRETENDED.partition("=")
    offered = {"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "200Gi", **(resources or {})}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {key: value},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "type": "kwok",
                **(labels or {}),
            },
        },
        "spec": {"taints": [{"key": key, "value": value, "effect": "NoSchedule"}]},
        "status": {"phase": "Running", "capacity": offered, "allocatable": offered},
    }


def toleration() -> dict[str, str]:
    """Return the toleration that a pod needs to run on pretended nodes."""
    return {"key": PRETENDED.partition("=")[0], "operator": "Exists", "effect": "NoSchedule"}
