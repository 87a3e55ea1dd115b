# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of NetworkPolicies: who is named in them, and what they say where nobody is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.options import Spec, fill
from ansible_collections.hep.sonic.plugins.plugin_utils.render import to_plain

Manifest = dict[str, Any]

#: A peer as Kubernetes has it; the role ``common`` documents the options.
PEER_SPEC: Final[Spec] = {
    "namespaceSelector": {"type": "dict"},
    "podSelector": {"type": "dict"},
    "ipBlock": {"type": "dict"},
}
PEER_CONSTRAINTS: Final = {
    "mutually_exclusive": [("ipBlock", "namespaceSelector"), ("ipBlock", "podSelector")],
    "required_one_of": [("namespaceSelector", "podSelector", "ipBlock")],
}
BLOCK_SPEC: Final[Spec] = {
    "cidr": {"type": "str", "required": True},
    "except": {"type": "list", "elements": "str", "default": []},
}


def network_peers(peers: Sequence[Any], name: str) -> list[Manifest]:
    """Return `peers` as they are, once each is known to be one.

    Args:
        peers: NetworkPolicyPeers.
        name: The variable that they come from, for messages.

    Raises:
        SonicError: One names nobody, a network and Pods at once, or no network where it should.
    """
    return [_peer(peer, f"{name}[{index}]") for index, peer in enumerate(peers)]


def _peer(peer: Any, where: str) -> Manifest:
    fill(peer, PEER_SPEC, where, **PEER_CONSTRAINTS)
    if "ipBlock" in peer:
        block = fill(peer["ipBlock"], BLOCK_SPEC, f"{where}.ipBlock")
        try:
            for network in (block["cidr"], *block["except"]):
                ip_network(network)
        except ValueError as error:
            raise SonicError(f"{where}.ipBlock: {error}.", "Write a network like 192.0.2.0/24.") from error
    plain: Manifest = to_plain(peer)
    return plain


def to_dns(peers: Sequence[Any], name: str) -> Manifest:
    """Return the egress rule that lets Pods ask the cluster's DNS.

    Policies see the port of the DNS's Pods, not of its Service: 5353 where they may not listen below 1024.

    Args:
        peers: Where the DNS is, as NetworkPolicyPeers.
        name: The variable that they come from, for messages.

    Raises:
        SonicError: As for network_peers().
    """
    ports = [{"port": port, "protocol": protocol} for port in (53, 5353) for protocol in ("UDP", "TCP")]
    return {"to": network_peers(peers, name), "ports": ports}


def to_api_server(peers: Sequence[Any], name: str) -> Manifest:
    """Return the egress rule that lets Pods ask the API server.

    Policies see the port of the API server itself, which is one of these by custom.

    Args:
        peers: Where it is, as NetworkPolicyPeers; none for everywhere, as it is no Pod in most clusters.
        name: The variable that they come from, for messages.

    Raises:
        SonicError: As for network_peers().
    """
    return {"to": network_peers(peers, name) or None, "ports": [{"port": 443}, {"port": 6443}]}


def to_traces(peers: Sequence[Any], name: str, port: int) -> Manifest:
    """Return the egress rule that lets Pods send traces.

    Policies see the port of a Pod, not of its Service: whoever is named is reached on all ports.

    Args:
        peers: Who takes traces, as NetworkPolicyPeers; none for everybody on this port.
        name: The variable that they come from, for messages.
        port: The port of the address that traces are sent to.

    Raises:
        SonicError: As for network_peers().
    """
    return {"to": network_peers(peers, name)} if peers else {"to": None, "ports": [{"port": port}]}


def network_rules(rules: Sequence[Mapping[str, Any]]) -> list[Manifest]:
    """Return the rules of a NetworkPolicy without those that are for nobody.

    An empty list of peers would mean everybody to Kubernetes: a site that has no monitoring would open what is for the
    monitoring to all.

    Args:
        rules: Ingress or egress rules. ``from`` or ``to`` must be there: an empty list for nobody, null for everybody.
    """
    plain: list[Manifest] = to_plain(rules)
    peopled = [rule for rule in plain if [] not in (rule.get("from"), rule.get("to"))]
    return [{key: value for key, value in rule.items() if value is not None} for rule in peopled]
