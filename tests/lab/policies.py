# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""NetworkPolicies as rules of nft: what may reach the pods of one node, and what they may reach.

The rules are those of one table with two base chains. `forward` sees everything between pods, and between pods and
other machines, after the addresses of Services have been replaced; pods of one bridge are seen because
`net.bridge.bridge-nf-call-iptables` is set. `input` sees what pods send to their own node. What the node itself sends
to its pods, such as the kubelet's probes, passes neither, as Kubernetes wants it. A pod that has just got its address
may do nothing until there are rules for it.

IPv4 only, as the lab is. Only the first packet of a connection is looked up: what was allowed once goes on when the
rules change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import Any, Final, Literal, Self

Object = Mapping[str, Any]
Direction = Literal["ingress", "egress"]

TABLE: Final = "hep-sonic-policies"
#: In which field of a packet a direction has the pod itself, and in which the peer; and where a rule names the peers.
_OWN: Final[Mapping[Direction, str]] = {"egress": "saddr", "ingress": "daddr"}
_PEER: Final[Mapping[Direction, str]] = {"egress": "daddr", "ingress": "saddr"}
_PEERS: Final[Mapping[Direction, str]] = {"egress": "to", "ingress": "from"}
_EVERYBODY: Final = IPv4Network("0.0.0.0/0")


@dataclass(frozen=True)
class Pod:
    """What the rules depend on of a pod.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        labels: Its labels.
        ports: Protocol and number of each port that has a name.
        node: Name of its node; empty while it has none.
        address: Its address as the API server knows it; empty if it has none of its own.
    """

    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    node: str = ""
    address: str = ""

    @classmethod
    def of(cls, obj: Object) -> Self:
        """Read an object of the API."""
        metadata, spec, status = obj["metadata"], obj["spec"], obj.get("status", {})
        containers = [*spec.get("initContainers", ()), *spec["containers"]]
        ports = [port for container in containers for port in container.get("ports", ()) if "name" in port]
        has_address = not spec.get("hostNetwork") and status.get("phase") not in {"Succeeded", "Failed"}
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            labels=metadata.get("labels", {}),
            ports={port["name"]: (port.get("protocol", "TCP"), port["containerPort"]) for port in ports},
            node=spec.get("nodeName", ""),
            address=status.get("podIP", "") if has_address else "",
        )


@dataclass(frozen=True)
class Policy:
    """A NetworkPolicy.

    Attributes:
        namespace: Its namespace.
        selector: Which pods of the namespace it is for.
        rules: What it allows, for each direction that it is about.
    """

    namespace: str
    selector: Object
    rules: Mapping[Direction, Sequence[Object]]

    @classmethod
    def of(cls, obj: Object) -> Self:
        """Read an object of the API, which has filled in `policyTypes`."""
        spec = obj["spec"]
        directions: tuple[Direction, ...] = ("ingress", "egress")
        rules = {way: spec.get(way, ()) for way in directions if way.capitalize() in spec["policyTypes"]}
        return cls(obj["metadata"]["namespace"], spec.get("podSelector", {}), rules)


def labels_of(obj: Object) -> Mapping[str, str]:
    """Return the labels of an object of the API."""
    labels: Mapping[str, str] = obj["metadata"].get("labels", {})
    return labels


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector means what has these labels."""
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(expression, labels) for expression in selector.get("matchExpressions", ())
    )


def _holds(expression: Object, labels: Mapping[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    if operator in {"Exists", "DoesNotExist"}:
        return (key in labels) is (operator == "Exists")
    return (labels.get(key) in expression["values"]) is (operator == "In")


class Cluster:
    """All that decides which packets are allowed.

    Args:
        namespaces: The labels of each namespace.
        policies: All NetworkPolicies.
        pods: All pods that have an address, by it.
    """

    def __init__(
        self, namespaces: Mapping[str, Mapping[str, str]], policies: Sequence[Policy], pods: Mapping[str, Pod]
    ) -> None:
        self._namespaces = namespaces
        self._policies = policies
        self._pods = pods
        self._selected: dict[str, Sequence[str]] = {}

    def ruleset(self, local: Collection[str], network: str) -> str:
        """Return what `nft -f` makes of a node's rules, whatever they are, in one step.

        Args:
            local: The addresses of the node's pods. What the cluster does not know yet may do nothing.
            network: The range of the node's pods, of which the node has the first address itself. No other address of
                it may do anything: it is that of a pod that has just started.
        """
        chains: dict[str, Sequence[str]] = {}
        verdicts: dict[Direction, dict[str, str]] = {"egress": {}, "ingress": {}}
        for direction, found in verdicts.items():
            for address in sorted(local, key=IPv4Address):
                if (pod := self._pods.get(address)) is None:
                    found[address] = "drop"
                elif policies := self._policies_of(pod, direction):
                    lines = [line for policy in policies for line in self._lines(policy, direction, pod)]
                    chain = f"{direction}-{hashlib.sha256(''.join(lines).encode()).hexdigest()[:16]}"
                    chains[chain] = lines
                    found[address] = f"jump {chain}"
        return _render(chains, verdicts, _without(IPv4Network(network), local))

    def _policies_of(self, pod: Pod, direction: Direction) -> list[Policy]:
        """Return the policies that keep something from a pod."""
        return [
            policy
            for policy in self._policies
            if policy.namespace == pod.namespace and direction in policy.rules and selects(policy.selector, pod.labels)
        ]

    def _lines(self, policy: Policy, direction: Direction, pod: Pod) -> Iterator[str]:
        """Yield what lets pass what a policy allows to a pod."""
        for rule in policy.rules[direction]:
            peers = rule.get(_PEERS[direction]) or ()
            ports: Sequence[Object] = rule.get("ports") or ({},)
            for port in ports:
                for networks, match in self._matches(policy.namespace, peers, port, direction, pod):
                    if networks == [_EVERYBODY]:
                        yield f"{match}return"
                    elif networks:
                        yield f"ip {_PEER[direction]} {{ {', '.join(map(_text, networks))} }} {match}return"

    def _matches(
        self, namespace: str, peers: Sequence[Object], port: Object, direction: Direction, pod: Pod
    ) -> Iterator[tuple[list[IPv4Network], str]]:
        """Yield the networks that one port of a rule is for, each time with the match of protocol and port."""
        name = port.get("port")
        if not isinstance(name, str):
            yield self._networks(namespace, peers), _match(port)
        elif direction == "ingress":
            for number in _numbers(pod, name, port):
                yield self._networks(namespace, peers), _match({**port, "port": number})
        else:
            # which port it is, each of the pods that are called says for itself
            callees: dict[int, list[str]] = {}
            for address in self._addresses(namespace, peers):
                for number in _numbers(self._pods[address], name, port):
                    callees.setdefault(number, []).append(address)
            for number, addresses in sorted(callees.items()):
                yield _collapse(addresses), _match({**port, "port": number})

    def _networks(self, namespace: str, peers: Sequence[Object]) -> list[IPv4Network]:
        """Return the networks that peers are in, none of them overlapping; everybody if there is no peer."""
        if not peers:
            return [_EVERYBODY]
        blocks = [network for peer in peers if "ipBlock" in peer for network in _without_exceptions(peer["ipBlock"])]
        return _collapse([*blocks, *self._addresses(namespace, peers)])

    def _addresses(self, namespace: str, peers: Sequence[Object]) -> Sequence[str]:
        """Return the addresses of the pods that are among the peers; of all pods if there is no peer."""
        key = json.dumps([namespace, peers])
        if key not in self._selected:
            self._selected[key] = [
                address
                for address, pod in self._pods.items()
                if not peers or any(self._is(pod, peer, namespace) for peer in peers)
            ]
        return self._selected[key]

    def _is(self, pod: Pod, peer: Object, namespace: str) -> bool:
        """Return whether a pod is meant by a peer of a policy in a namespace."""
        if "ipBlock" in peer:
            return False
        if "namespaceSelector" not in peer:
            there = pod.namespace == namespace
        else:
            there = selects(peer["namespaceSelector"], self._namespaces.get(pod.namespace, {}))
        return there and selects(peer.get("podSelector", {}), pod.labels)


def _numbers(pod: Pod, name: str, port: Object) -> list[int]:
    """Return the port that a pod calls by a name, if it has one of the right protocol."""
    protocol, number = pod.ports.get(name, ("", 0))
    return [number] if protocol == port.get("protocol", "TCP") else []


def _match(port: Object) -> str:
    """Return what nft asks of a packet, with a blank at its end; nothing for every protocol and port."""
    if not port:
        return ""
    protocol = port.get("protocol", "TCP").lower()
    if "port" not in port:
        return f"meta l4proto {protocol} "
    end = f"-{port['endPort']}" if "endPort" in port else ""
    return f"{protocol} dport {port['port']}{end} "


def _without_exceptions(block: Object) -> list[IPv4Network]:
    """Return the networks that an ipBlock means; none of IPv6."""
    if ":" in block["cidr"]:
        return []
    networks = [IPv4Network(block["cidr"], strict=False)]
    for text in block.get("except", ()):
        hole = IPv4Network(text, strict=False)
        networks = [part for network in networks for part in _exclude(network, hole)]
    return networks


def _exclude(network: IPv4Network, hole: IPv4Network) -> list[IPv4Network]:
    if network.subnet_of(hole):
        return []
    return list(network.address_exclude(hole)) if hole.subnet_of(network) else [network]


def _collapse(networks: Sequence[IPv4Network | str]) -> list[IPv4Network]:
    """Return the same addresses as networks that do not overlap, in order: nft refuses others."""
    return list(collapse_addresses(IPv4Network(network) for network in networks))


def _text(network: IPv4Network) -> str:
    return str(network.network_address) if network.prefixlen == 32 else str(network)


def _without(network: IPv4Network, local: Collection[str]) -> Sequence[IPv4Network]:
    """Return the rest of a node's network, without the node's own address and those of its pods."""
    rest = set(network.hosts()) - {network[1]} - {IPv4Address(address) for address in local}
    return list(collapse_addresses(map(IPv4Network, rest)))


def _render(
    chains: Mapping[str, Sequence[str]],
    verdicts: Mapping[Direction, Mapping[str, str]],
    unknown: Sequence[IPv4Network],
) -> str:
    """Return the whole table; it is made first so that it can be deleted, whether it was there or not."""
    rest = {_text(network): "drop" for network in unknown}
    maps = {
        direction: f"ip {_OWN[direction]} vmap {{ {', '.join(f'{own} : {what}' for own, what in every.items())} }}"
        for direction, found in verdicts.items()
        if (every := {**found, **rest})
    }
    # a pod reaches itself, by the address of its Service, too
    own = sorted({address for found in verdicts.values() for address in found}, key=IPv4Address)
    selves = (
        [f"ip saddr . ip daddr {{ {', '.join(f'{address} . {address}' for address in own)} }} accept"] if own else []
    )
    known = ["ct state established,related accept"]
    lines = [f"table ip {TABLE}", f"delete table ip {TABLE}", f"table ip {TABLE} {{"]
    for name, content in chains.items():
        lines += _chain(name, [*content, "drop"])
    lines += _chain("forward", [_hook("forward"), *known, *selves, *maps.values()])
    lines += _chain("input", [_hook("input"), *known, *([maps["egress"]] if "egress" in maps else [])])
    return "\n".join([*lines, "}", ""])


def _hook(name: str) -> str:
    return f"type filter hook {name} priority filter; policy accept;"


def _chain(name: str, content: Sequence[str]) -> list[str]:
    return [f"  chain {name} {{", *(f"    {line}" for line in content), "  }"]
