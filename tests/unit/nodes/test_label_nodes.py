# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules for nodes on a real API server, beside others who label and taint the same nodes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.node_rules import NodeChange, Rule
from ansible_collections.hep.sonic.plugins.plugin_utils.nodes import NodeWriter
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest
from tests.lab import pretended

NODES = BUILT_IN["", "Node"]
#: The taint that every pretended node has: it is not ours.
PRETENDED = "kwok.x-k8s.io/node"
#: The label that Kubernetes adds to a new node last.
SETTLED = "beta.kubernetes.io/os"
#: The keys of taints of Kubernetes itself, which come and go.
SYSTEM = re.compile(r"(kubernetes|k8s)\.io/")


def rule(name: str = "t4", **given: Any) -> Rule:
    return Rule(**{"name": name, "nodes": {"names": ["gpu-*"]}, **given})


def taint(key: str, value: str = "", effect: str = "NoSchedule") -> dict[str, str]:
    return {"key": key, "value": value, "effect": effect}


class Farm:
    """Two nodes with GPUs and one without."""

    NAMES = ("gpu-1", "gpu-2", "plain")

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def node(self, name: str) -> Manifest:
        """Return a node as it is."""
        found = self.cluster.get(NODES, "", name)
        assert found is not None
        return found

    def labels(self, name: str) -> dict[str, str]:
        """Return a node's labels."""
        labels: dict[str, str] = self.node(name)["metadata"]["labels"]
        return labels

    def taints(self, name: str) -> set[tuple[str, str]]:
        """Return keys and values of a node's taints but for those that Kubernetes and pretended nodes have."""
        taints = self.node(name)["spec"].get("taints") or []
        assert PRETENDED in {one["key"] for one in taints}
        return {(one["key"], one.get("value", "")) for one in taints if not SYSTEM.search(one["key"])}

    def patch(self, name: str, manager: str, body: Manifest, *, strategic: bool = False) -> None:
        """Write a node as somebody else does."""
        kind = "strategic-merge" if strategic else "merge"
        self.cluster.request(
            "PATCH",
            NODES.path("", name),
            query={"fieldManager": manager},
            body=body,
            content_type=f"application/{kind}-patch+json",
        )

    def writer(self, *rules: Rule, force: bool = False) -> NodeWriter:
        """Return what carries out rules."""
        return NodeWriter(self.cluster, rules, force=force, progress=lambda _line: None)

    def apply(self, *rules: Rule, force: bool = False) -> set[str]:
        """Carry out rules; return the nodes that were changed, as the preview said."""
        said = changed(self.writer(*rules, force=force).preview())
        done = changed(self.writer(*rules, force=force).apply())
        assert said == done
        return done


def changed(changes: list[NodeChange]) -> set[str]:
    return {change.name for change in changes if change.changes}


@pytest.fixture
def farm(cluster: Cluster) -> Iterator[Farm]:
    for name in Farm.NAMES:
        resources = {"nvidia.com/gpu": "4"} if name != "plain" else {}
        cluster.request("POST", NODES.path(), body=pretended.node(name, resources=resources))
    made = Farm(cluster)
    end = time.monotonic() + 30
    while not all(SETTLED in made.labels(name) for name in Farm.NAMES):
        assert time.monotonic() < end
        time.sleep(0.1)
    yield made
    for name in Farm.NAMES:
        cluster.request("DELETE", NODES.path("", name)) if cluster.get(NODES, "", name) else None


def test_rules_give_and_take_and_a_second_run_changes_nothing(farm: Farm) -> None:
    full = rule(labels={"a": "1", "b": "2"}, annotations={"c": "3"}, taints=[taint("gpu", "yes")])
    assert farm.apply(full) == {"gpu-1", "gpu-2"}
    assert {"a": "1", "b": "2"}.items() <= farm.labels("gpu-1").items()
    assert farm.node("gpu-2")["metadata"]["annotations"]["c"] == "3"
    assert farm.taints("gpu-1") == {("gpu", "yes")}
    assert "a" not in farm.labels("plain")
    assert farm.apply(full) == set()
    assert farm.apply(rule(labels={"a": "1"})) == {"gpu-1", "gpu-2"}
    assert "b" not in farm.labels("gpu-1")
    assert farm.taints("gpu-1") == set()
    assert farm.apply() == {"gpu-1", "gpu-2"}
    assert "a" not in farm.labels("gpu-1")


def test_a_taint_changes_its_value(farm: Farm) -> None:
    farm.apply(rule(taints=[taint("gpu", "old")]))
    farm.apply(rule(taints=[taint("gpu", "new")]))
    assert farm.taints("gpu-1") == {("gpu", "new")}


def test_nodes_are_found_by_what_they_offer(farm: Farm) -> None:
    assert farm.apply(rule(nodes={"resources": ["nvidia.com/gpu"]}, labels={"a": "1"})) == {"gpu-1", "gpu-2"}
    expression = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["plain", "gpu-2"]}
    only = {"names": ["gpu-*"], "match_expressions": [expression]}
    assert farm.apply(rule(nodes=only, labels={"a": "1"})) == {"gpu-2"}
    assert "a" not in farm.labels("gpu-2")
    farm.apply()


def test_what_others_give_meanwhile_stays(farm: Farm) -> None:
    farm.apply(rule(labels={"a": "1"}, taints=[taint("gpu", "yes")]))
    foreign = [*farm.node("gpu-1")["spec"]["taints"], taint("maintenance", "today")]
    farm.patch("gpu-1", "somebody", {"metadata": {"labels": {"theirs": "x"}}, "spec": {"taints": foreign}})
    assert farm.apply(rule(labels={"a": "2"}, taints=[taint("gpu", "no")])) == {"gpu-1", "gpu-2"}
    assert {"a": "2", "theirs": "x"}.items() <= farm.labels("gpu-1").items()
    assert farm.taints("gpu-1") == {("gpu", "no"), ("maintenance", "today")}
    farm.apply()
    assert farm.labels("gpu-1")["theirs"] == "x"
    assert farm.taints("gpu-1") == {("maintenance", "today")}


def test_a_taint_that_comes_between_looking_and_writing_stays(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = farm.cluster.list(NODES)
    foreign = [*farm.node("gpu-1")["spec"]["taints"], taint("maintenance", "now")]
    farm.patch("gpu-1", "somebody", {"spec": {"taints": foreign}})
    with monkeypatch.context() as patched:
        patched.setattr(farm.cluster, "list", lambda _kind: listed)  # what it saw before
        farm.writer(rule(taints=[taint("gpu", "yes")])).apply()
    assert farm.taints("gpu-1") == {("gpu", "yes"), ("maintenance", "now")}
    farm.apply()


def test_a_node_that_goes_meanwhile_is_no_problem(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = farm.cluster.list(NODES)
    farm.cluster.request("DELETE", NODES.path("", "gpu-2"))
    with monkeypatch.context() as patched:
        patched.setattr(farm.cluster, "list", lambda _kind: listed)
        farm.writer(rule(labels={"a": "1"}, taints=[taint("gpu", "yes")])).apply()
    assert farm.labels("gpu-1")["a"] == "1"
    assert farm.cluster.get(NODES, "", "gpu-2") is None
    farm.apply()


def test_a_label_of_somebody_else_is_named_with_its_owner(farm: Farm) -> None:
    farm.patch("gpu-1", "the-gpu-operator", {"metadata": {"labels": {"a": "theirs"}}})
    with pytest.raises(SonicError, match="the-gpu-operator") as error:
        farm.writer(rule(labels={"a": "1", "b": "1"})).apply()
    assert "gpu-1" in str(error.value)
    assert "nothing was written" in str(error.value)
    assert "b" not in farm.labels("gpu-2")
    farm.apply(rule(labels={"a": "1"}), force=True)
    assert farm.labels("gpu-1")["a"] == "1"
    farm.apply()


def test_a_taint_of_somebody_else_is_named_with_its_owner(farm: Farm) -> None:
    foreign = [*farm.node("gpu-1")["spec"]["taints"], taint("gpu", "theirs")]
    farm.patch("gpu-1", "the-gpu-operator", {"spec": {"taints": foreign}})
    with pytest.raises(SonicError, match="the-gpu-operator"):
        farm.writer(rule(taints=[taint("gpu", "ours")])).apply()
    assert farm.apply(rule(taints=[taint("gpu", "theirs")])) == {"gpu-2"}
    farm.apply()
    assert farm.taints("gpu-1") == {("gpu", "theirs")}


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ([rule(nodes={"names": ["cpu-*"]}, labels={"a": "1"})], "Rule t4 matches none of the"),
        ([rule(nodes={}, labels={"a": "1"})], "Rule t4 has no condition"),
        ([rule(labels={"a": "1"}), rule("again", labels={"a": "2"})], "Rules t4 and again contradict each other"),
        (
            [rule(taints=[taint("x", "1")]), rule("again", taints=[taint("x", "2")])],
            "Rules t4 and again contradict each other",
        ),
        (
            [rule(labels={"a": "1"}), rule("after", nodes={"match_labels": {"a": "1"}}, labels={"b": "1"})],
            "asks for the label a, which rule t4 gives",
        ),
        ([rule(labels={"a b": "1"})], "a b"),
        ([rule(labels={"a": True})], "Rule t4: a in labels is true, and to Kubernetes it is text. Put it in quotes."),
        ([rule(nodes={"match_labels": {"a": 1}}, labels={"b": "1"})], "Rule t4: a in match_labels is 1"),
        (
            [rule(taints=[{**taint("gpu"), "value": True}])],
            "Rule t4: the value of the taint gpu is true, and to Kubernetes",
        ),
        (
            [
                rule(
                    nodes={"match_expressions": [{"key": "a", "operator": "In", "values": ["1", 2]}]}, labels={"b": "1"}
                )
            ],
            "Rule t4: a value of a in match_expressions is 2, and to Kubernetes it is text.",
        ),
        ([rule(labels={"a": "not valid!"})], "not valid!"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_written(farm: Farm, rules: list[Rule], told: str) -> None:
    before = [farm.node(name)["metadata"]["labels"] for name in Farm.NAMES]
    for attempt in (farm.writer(*rules).preview, farm.writer(*rules).apply):
        with pytest.raises(SonicError) as error:
            attempt()
        assert told in str(error.value)
    assert [farm.node(name)["metadata"]["labels"] for name in Farm.NAMES] == before


def test_all_problems_are_told_at_once(farm: Farm) -> None:
    missing = [rule(name, nodes={"names": [name]}, labels={"a": "1"}) for name in ("one", "two")]
    with pytest.raises(SonicError) as error:
        farm.writer(*missing).preview()
    assert {"Rule one", "Rule two"} <= {line[:8] for line in str(error.value).splitlines()}


def test_ours_are_remembered_on_the_node(farm: Farm) -> None:
    farm.apply(rule(taints=[taint("gpu", "yes")]))
    remembered = farm.node("gpu-1")["metadata"]["annotations"]["hep.sonic/taints"]
    assert json.loads(remembered) == [["gpu", "NoSchedule"]]
    farm.apply()
    assert "hep.sonic/taints" not in farm.node("gpu-1")["metadata"]["annotations"]


def test_what_somebody_made_of_the_memory_is_named_with_its_node(farm: Farm) -> None:
    farm.patch("gpu-1", "kubectl", {"metadata": {"annotations": {"hep.sonic/taints": "gpu:NoSchedule"}}})
    with pytest.raises(SonicError, match=r"kubectl annotate node gpu-1 hep\.sonic/taints-"):
        farm.writer(rule(taints=[taint("gpu", "yes")])).preview()


def test_nodes_that_get_the_same_are_tried_once_and_those_of_other_owners_too(farm: Farm) -> None:
    with pytest.raises(SonicError, match=r"2 of 2 nodes are refused, nothing was written.\nnode gpu-1 and 1 like it: "):
        farm.writer(rule(labels={"a": "not a value"})).apply()
    farm.apply(rule(labels={"a": "1", "b": "1"}))
    for name, label in (("gpu-1", "a"), ("gpu-2", "b")):
        farm.patch(name, "somebody", {"metadata": {"labels": {label: "0"}}})
        farm.patch(name, "somebody", {"metadata": {"labels": {label: "1"}}})
    with pytest.raises(SonicError, match="1 of 2 nodes are refused") as error:
        farm.writer(rule(labels={"a": "1", "b": "2"})).apply()
    assert "node gpu-2: " in str(error.value)
    assert farm.labels("gpu-1")["b"] == "1"
