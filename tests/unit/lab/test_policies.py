# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""NetworkPolicies as rules: policies and pods in, what nft reads out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cni import Addresses
from tests.lab.policies import Cluster, Pod, Policy, selects

NAMESPACES = {"a": {"name": "a", "team": "cms"}, "b": {"name": "b", "team": "cms"}, "c": {"name": "c"}}
PODS = {
    "10.200.0.2": Pod("a", "triton", {"app": "triton"}, {"grpc": ("TCP", 8001), "metrics": ("TCP", 8002)}),
    "10.200.0.3": Pod("a", "envoy", {"app": "envoy"}, {"grpc": ("TCP", 9001)}),
    "10.200.2.4": Pod("b", "envoy", {"app": "envoy"}),
    "10.200.2.5": Pod("c", "stranger", {"app": "stranger"}),
}
TRITON = {"matchLabels": {"app": "triton"}}
ENVOY = {"podSelector": {"matchLabels": {"app": "envoy"}}}
TEAM = {"namespaceSelector": {"matchLabels": {"team": "cms"}}}


def policy(spec: Mapping[str, Any]) -> Policy:
    """Return a policy in namespace `a`, for Triton, about what it has rules for."""
    types = [way.capitalize() for way in ("ingress", "egress") if way in spec]
    return Policy.of({"metadata": {"namespace": "a"}, "spec": {"podSelector": TRITON, "policyTypes": types, **spec}})


def chains(*policies: Policy, local: tuple[str, ...] = ("10.200.0.2",)) -> dict[str, list[str]]:
    """Return the lines of each chain, those of pods by their direction."""
    text = Cluster(NAMESPACES, policies, PODS).ruleset(local, "10.200.0.0/29")
    found = re.findall(r"^  chain ([a-z]+)\S* \{\n(.*?)^  \}$", text, re.MULTILINE | re.DOTALL)
    return {name: [line.strip() for line in content.splitlines()] for name, content in found}


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        ({}, ["return"]),
        ({"ports": [{"port": 8001}]}, ["tcp dport 8001 return"]),
        ({"ports": [{"protocol": "UDP"}]}, ["meta l4proto udp return"]),
        ({"ports": [{"port": 1, "endPort": 9}]}, ["tcp dport 1-9 return"]),
        ({"from": [ENVOY]}, ["ip saddr { 10.200.0.3 } return"]),
        ({"from": [ENVOY | TEAM]}, ["ip saddr { 10.200.0.3, 10.200.2.4 } return"]),
        ({"from": [TEAM]}, ["ip saddr { 10.200.0.2/31, 10.200.2.4 } return"]),
        ({"from": [{"podSelector": {"matchLabels": {"app": "nobody"}}}]}, []),
        ({"from": [ENVOY], "ports": [{"port": "grpc"}]}, ["ip saddr { 10.200.0.3 } tcp dport 8001 return"]),
        ({"ports": [{"port": "grpc", "protocol": "UDP"}, {"port": "nothing"}]}, []),
        ({"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}, ["return"]),
        ({"from": [{"ipBlock": {"cidr": "2001:db8::/32"}}]}, []),
        (
            {"from": [{"ipBlock": {"cidr": "192.0.2.0/30", "except": ["192.0.2.1/32"]}}, ENVOY]},
            ["ip saddr { 10.200.0.3, 192.0.2.0, 192.0.2.2/31 } return"],
        ),
        ({"from": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.0.0/16"]}}]}, []),
        (
            {"from": [{"ipBlock": {"cidr": "10.200.0.0/24"}}, ENVOY | TEAM]},
            ["ip saddr { 10.200.0.0/24, 10.200.2.4 } return"],
        ),
    ],
)
def test_what_a_rule_lets_in(rule: Mapping[str, Any], lines: list[str]) -> None:
    assert chains(policy({"ingress": [rule]}))["ingress"] == [*lines, "drop"]


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        ({}, ["return"]),
        ({"to": [ENVOY], "ports": [{"port": 8001}]}, ["ip daddr { 10.200.0.3 } tcp dport 8001 return"]),
        # each pod calls its own ports by its own names
        (
            {"ports": [{"port": "grpc"}]},
            ["ip daddr { 10.200.0.2 } tcp dport 8001 return", "ip daddr { 10.200.0.3 } tcp dport 9001 return"],
        ),
        ({"to": [ENVOY], "ports": [{"port": "metrics"}]}, []),
    ],
)
def test_what_a_rule_lets_out(rule: Mapping[str, Any], lines: list[str]) -> None:
    found = chains(policy({"egress": [rule]}))
    assert found["egress"] == [*lines, "drop"]
    assert "ingress" not in found


def test_a_pod_without_policy_is_open() -> None:
    found = chains(policy({"ingress": []}), local=("10.200.0.3",))
    assert set(found) == {"forward", "input"}
    assert "10.200.0.3 " not in "".join(found["forward"] + found["input"])


def test_policies_add_up() -> None:
    found = chains(policy({"ingress": [{"from": [ENVOY]}]}), policy({"ingress": [{"ports": [{"port": 8002}]}]}))
    assert found["ingress"] == ["ip saddr { 10.200.0.3 } return", "tcp dport 8002 return", "drop"]


def test_a_pod_reaches_itself_and_its_own_node_is_a_destination_like_others() -> None:
    found = chains(policy({"ingress": [], "egress": []}))
    assert "ip saddr . ip daddr { 10.200.0.2 . 10.200.0.2 } accept" in found["forward"]
    assert [line.partition(" { ")[0] for line in found["forward"][3:]] == ["ip saddr vmap", "ip daddr vmap"]
    assert [line.partition(" { ")[0] for line in found["input"][2:]] == ["ip saddr vmap"]


def test_a_pod_that_nobody_knows_and_one_that_has_just_started_may_do_nothing() -> None:
    # 10.200.0.1 is the node itself, 10.200.0.2 a pod without a policy
    found = chains(local=("10.200.0.2", "10.200.0.5"))
    drop = "10.200.0.5 : drop, 10.200.0.3 : drop, 10.200.0.4 : drop, 10.200.0.6 : drop"
    assert found["forward"][3:] == [f"ip saddr vmap {{ {drop} }}", f"ip daddr vmap {{ {drop} }}"]
    assert found["input"][2:] == [f"ip saddr vmap {{ {drop} }}"]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ({"key": "app", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["a", "b"]}, False),
        ({"key": "none", "operator": "NotIn", "values": ["a"]}, True),
        ({"key": "none", "operator": "In", "values": ["a"]}, False),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "app", "operator": "DoesNotExist"}, False),
    ],
)
def test_a_selector_means_what_kubernetes_says(expression: Mapping[str, Any], *, found: bool) -> None:
    assert selects({"matchExpressions": [expression]}, {"app": "a"}) is found


def test_a_pod_is_read_as_far_as_rules_need_it() -> None:
    container = {"name": "main", "ports": [{"name": "grpc", "containerPort": 8001}, {"containerPort": 1}]}
    sidecar = {"name": "side", "ports": [{"name": "drained", "containerPort": 9903, "protocol": "UDP"}]}
    obj = {
        "metadata": {"namespace": "a", "name": "pod", "labels": {"x": "y"}},
        "spec": {"containers": [container], "initContainers": [sidecar], "nodeName": "node-1"},
        "status": {"podIP": "10.200.0.7", "phase": "Running"},
    }
    ports = {"grpc": ("TCP", 8001), "drained": ("UDP", 9903)}
    assert Pod.of(obj) == Pod("a", "pod", {"x": "y"}, ports, "node-1", "10.200.0.7")
    assert Pod.of({**obj, "status": {"podIP": "10.200.0.7", "phase": "Succeeded"}}).address == ""
    assert Pod.of({**obj, "spec": {"containers": [], "hostNetwork": True}}).address == ""


@pytest.mark.skipif(not shutil.which("nft"), reason="nft is not installed")
def test_nft_takes_the_rules() -> None:
    blocks = [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.200.0.0/16"]}}, ENVOY | TEAM]
    every = policy({"ingress": [{"from": blocks, "ports": [{"port": "grpc"}]}], "egress": [{"to": blocks}, {}]})
    text = Cluster(NAMESPACES, [every], PODS).ruleset([*PODS, "10.200.0.9"], "10.200.0.0/24")
    command = ["unshare", "--user", "--map-root-user", "--net", "nft", "-f", "-"]
    done = subprocess.run(command, input=text * 2, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_addresses_come_from_the_records_of_the_network_plugins(tmp_path: Path) -> None:
    record = {
        "cniArgs": [["K8S_POD_NAMESPACE", "a"], ["K8S_POD_NAME", "triton"]],
        "result": {"ips": [{"version": "4", "address": "10.200.0.2/24"}]},
    }
    addresses = Addresses(tmp_path / "results")
    assert addresses.look() == frozenset()
    (tmp_path / "results").mkdir()
    file = tmp_path / "results" / "hep-sonic-lab-0123-eth0"
    (tmp_path / "results" / "cni-loopback-0123-lo").write_text("{}")
    file.write_text("")  # it is being written
    assert addresses.look() == frozenset()
    file.write_text(json.dumps(record))
    assert addresses.look() == {("10.200.0.2", ("a", "triton"))}
    file.unlink()
    assert addresses.look() == frozenset()
