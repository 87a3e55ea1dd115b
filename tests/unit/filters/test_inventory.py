# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What follows from the inventory."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.inventory import cluster_of, instance_namespaces


@pytest.mark.parametrize(
    ("host", "clusters", "cluster"),
    [
        ("geddes", ["anvil", "geddes"], "geddes"),
        ("cms", ["geddes"], "geddes"),
        ("atlas", ["anvil", "geddes"], "anvil"),
    ],
)
def test_a_host_is_a_cluster_or_on_the_one_it_names_or_on_the_only_one(
    host: str, clusters: list[str], cluster: str
) -> None:
    assert cluster_of(host, clusters, {"geddes": {}, "cms": {}, "atlas": {"sonic_cluster": "anvil"}}) == cluster


@pytest.mark.parametrize(
    ("clusters", "message"),
    [(["anvil", "geddes"], "Set it to one of anvil, geddes"), ([], "The inventory has no cluster")],
)
def test_a_cluster_is_never_guessed(clusters: list[str], message: str) -> None:
    with pytest.raises(SonicError, match=message):
        cluster_of("cms", clusters, {"cms": {}})


@pytest.mark.parametrize(
    ("hostvars", "namespaces"),
    [
        ({"cms": {}, "atlas": {}}, [("atlas", "restricted"), ("cms", "restricted")]),
        ({"cms": {"sonic_namespace": "x"}, "atlas": {"sonic_namespace": "x"}}, [("x", "restricted")]),
        ({"cms": {"sonic_pod_security": "privileged"}}, [("cms", "privileged")]),
        ({"cms": {"sonic_instance": "cms-ml"}}, [("cms-ml", "restricted")]),
        ({"cms": {"sonic_cluster": "anvil"}}, []),
    ],
)
def test_a_cluster_has_the_namespaces_of_its_instances(
    hostvars: dict[str, Any], namespaces: list[tuple[str, str]]
) -> None:
    found = instance_namespaces(list(hostvars), hostvars, "geddes", ["geddes"])
    assert [(namespace["name"], namespace["level"]) for namespace in found] == namespaces


def test_a_namespace_has_one_level() -> None:
    hostvars = {
        "cms": {"sonic_namespace": "physics"},
        "atlas": {"sonic_namespace": "physics", "sonic_pod_security": "privileged"},
    }
    with pytest.raises(SonicError, match="restricted for cms and privileged for atlas"):
        instance_namespaces(["cms", "atlas"], hostvars, "geddes", ["geddes"])
