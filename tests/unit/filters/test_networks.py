# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of NetworkPolicies."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.networks import network_peers, network_rules

PORTS = [{"port": 8001}]
PODS: dict[str, Any] = {"podSelector": {}}


@pytest.mark.parametrize(
    ("rule", "rendered"),
    [
        ({"from": [PODS], "ports": PORTS}, [{"from": [PODS], "ports": PORTS}]),
        ({"from": [], "ports": PORTS}, []),
        ({"to": [], "ports": PORTS}, []),
        ({"from": None, "ports": PORTS}, [{"ports": PORTS}]),
        ({"to": [PODS]}, [{"to": [PODS]}]),
    ],
)
def test_a_rule_for_nobody_is_left_out(rule: dict[str, Any], rendered: list[dict[str, Any]]) -> None:
    assert network_rules([rule]) == rendered


@pytest.mark.parametrize(
    "peer",
    [
        {"namespaceSelector": {}},
        {"namespaceSelector": {"matchLabels": {"a": "b"}}, "podSelector": {}},
        {"ipBlock": {"cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"]}},
    ],
)
def test_a_peer_stays_as_it_is(peer: dict[str, Any]) -> None:
    assert network_peers([peer], "peers") == [peer]


@pytest.mark.parametrize(
    ("peer", "message"),
    [
        ({}, r"peers\[0\]: one of the following is required"),
        ("monitoring", r"peers\[0\] is 'monitoring': a dictionary is wanted"),
        (
            {"ipBlock": {"cidr": "192.0.2.0/24"}, "namespaceSelector": {}},
            r"peers\[0\]: parameters are mutually exclusive",
        ),
        ({"ipBlock": {}}, r"peers\[0\]\.ipBlock: missing required arguments: cidr"),
        ({"ipBlock": {"cidr": "192.0.2.1/24"}}, r"peers\[0\]\.ipBlock: 192.0.2.1/24 has host bits set"),
        ({"podSelektor": {}, "podSelector": {}}, r"podSelektor. Supported parameters include"),
    ],
)
def test_a_peer_that_is_none_is_refused(peer: Any, message: str) -> None:
    with pytest.raises(SonicError, match=message):
        network_peers([peer], "peers")
