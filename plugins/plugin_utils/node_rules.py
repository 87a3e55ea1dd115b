# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules for labels, annotations and taints of nodes, and what they come to on given nodes. No input or output."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest, field_at

#: Owner of the labels and annotations, by server-side apply.
FIELD_MANAGER: Final = "hep.sonic.nodes"
#: The same with its operation: what was written under this name in another way is not what was applied.
OURS: Final = f"{FIELD_MANAGER} Apply"
#: Which taints are ours: key and effect of each. The list of a node's taints is one field, which has one owner only.
TAINTS_ANNOTATION: Final = "hep.sonic/taints"

#: The options of a rule; the module ``label_nodes`` and the role ``gpu_node_labels`` document them.
RULE_SPEC: Final[Mapping[str, Mapping[str, Any]]] = {
    "name": {"type": "str", "required": True},
    "nodes": {
        "type": "dict",
        "required": True,
        "options": {
            "names": {"type": "list", "elements": "str", "default": []},
            "match_labels": {"type": "dict", "default": {}},
            "match_expressions": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "key": {"type": "str", "required": True},
                    "operator": {
                        "type": "str",
                        "required": True,
                        "choices": ["In", "NotIn", "Exists", "DoesNotExist"],
                    },
                    "values": {"type": "list", "elements": "str", "default": []},
                },
            },
            "resources": {"type": "list", "elements": "str", "default": []},
        },
    },
    "labels": {"type": "dict", "default": {}},
    "annotations": {"type": "dict", "default": {}},
    "taints": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "key": {"type": "str", "required": True},
            "value": {"type": "str", "default": ""},
            "effect": {
                "type": "str",
                "default": "NoSchedule",
                "choices": ["NoSchedule", "PreferNoSchedule", "NoExecute"],
            },
        },
    },
}


def as_written(spec: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return options whose texts are left as they are given: Ansible would make the text ``True`` of ``true``."""

    def raw(option: Mapping[str, Any]) -> dict[str, Any]:
        free = {name: "raw" for name in ("type", "elements") if option.get(name) == "str" and "choices" not in option}
        return {**option, **free, **({"options": as_written(option["options"])} if "options" in option else {})}

    return {name: raw(option) for name, option in spec.items()}


#: What tells one taint of a node from another: key and effect.
TaintId = tuple[str, str]


@dataclass(frozen=True)
class Rule:
    """What some nodes shall carry.

    Args:
        name: What messages call it.
        nodes: Which nodes: those that meet all of ``names`` (globs, one of which must match), ``match_labels``,
            ``match_expressions`` and ``resources`` (each in the node's capacity, and not 0).
        labels: Labels of these nodes.
        annotations: Annotations of these nodes.
        taints: Taints of these nodes, each with ``key``, ``value`` and ``effect``.
    """

    name: str
    nodes: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()

    def matches(self, node: Manifest) -> bool:
        """Return whether a node meets every condition."""
        labels = node["metadata"].get("labels") or {}
        capacity = field_at(node, ["status", "capacity"]) or {}
        globs = self.nodes.get("names") or ["*"]
        return (
            any(fnmatchcase(node["metadata"]["name"], glob) for glob in globs)
            and all(labels.get(key) == value for key, value in (self.nodes.get("match_labels") or {}).items())
            and all(_meets(labels, one) for one in self.nodes.get("match_expressions") or ())
            and all(str(capacity.get(resource, "0")) != "0" for resource in self.nodes.get("resources") or ())
        )


def _meets(labels: Mapping[str, str], expression: Mapping[str, Any]) -> bool:
    """Return whether labels meet a requirement as in a Kubernetes label selector."""
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


@dataclass
class Wanted:
    """What the rules come to on one node; each value with the name of the rule that gives it."""

    labels: dict[str, tuple[str, str]] = field(default_factory=dict)
    annotations: dict[str, tuple[str, str]] = field(default_factory=dict)
    taints: dict[TaintId, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeChange:
    """What becomes of one node.

    Args:
        name: Its name.
        uid: Tells it from a later node of the same name.
        labels: All labels that are to be ours.
        annotations: All annotations that are to be ours, but for the one about taints.
        taints: The node's whole list of taints.
        our_taints: Those of them that are ours.
        before: Its labels, annotations and taints as they are, as far as they are ours or shall be.
        after: The same as they shall be.
        owners: Who owns these labels and annotations now: each key with its managers.
        owns_same: Whether we own these labels and annotations already, and no others.
        remembers_other: Whether other taints than these are remembered as ours.
    """

    name: str
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    taints: Sequence[Mapping[str, Any]]
    our_taints: Sequence[TaintId]
    before: Manifest
    after: Manifest
    owners: Mapping[str, Sequence[tuple[str, str]]]
    owns_same: bool
    remembers_other: bool

    @property
    def labels_change(self) -> bool:
        """Whether a label or annotation is written, or its ownership."""
        return not self.owns_same or any(self.before[part] != self.after[part] for part in ("labels", "annotations"))

    @property
    def taints_change(self) -> bool:
        """Whether the list of taints is written, or what is remembered of it."""
        return self.remembers_other or bool(self.before["taints"] != self.after["taints"])

    @property
    def changes(self) -> bool:
        """Whether anything is written."""
        return self.labels_change or self.taints_change

    @property
    def kind(self) -> str:
        """What decides whether the API server accepts it: nodes of one kind get the same in the same place."""
        return json.dumps([self.before, self.after, self.our_taints, self.owners])


def plan(rules: Sequence[Rule], nodes: Iterable[Manifest]) -> list[NodeChange]:
    """Return what becomes of each node.

    Raises:
        SonicError: A rule matches no node, two rules contradict each other, or a taint is somebody else's. All of them
            are told.
    """
    listed = list(nodes)
    given = {label: rule.name for rule in rules for label in rule.labels}
    changes = []
    problems = [problem for rule in rules for problem in _no_texts(rule)]
    if not problems:  # else nothing can be compared
        problems = [problem for rule in rules for problem in _problems_of(rule, listed, given)]
        for node in listed:
            change, found = change_of(rules, node)
            changes.append(change)
            problems += found
    if problems:
        raise SonicError(
            "The rules for nodes cannot be applied, nothing was written.\n" + "\n".join(first_of(problems))
        )
    return changes


def change_of(rules: Sequence[Rule], node: Manifest) -> tuple[NodeChange, list[str]]:
    """Return what becomes of one node, and what is wrong with that."""
    wanted, contradictions = _wanted(rules, node)
    change, conflicts = _change(node, wanted)
    return change, [*contradictions, *conflicts]


def first_of(problems: Iterable[str], shown: int = 20) -> list[str]:
    """Return the problems, each once, and of very many the first."""
    found = list(dict.fromkeys(problems))
    return found[:shown] + ([f"... and {len(found) - shown} more"] if len(found) > shown else [])


def _no_texts(rule: Rule) -> Iterator[str]:
    for what, value in _texts(rule):
        if not isinstance(value, str):
            yield f"Rule {rule.name}: {what} is {json.dumps(value)}, and to Kubernetes it is text. Put it in quotes."


def _texts(rule: Rule) -> Iterator[tuple[str, Any]]:
    """Yield the values of a rule that are texts to Kubernetes, and what each is called."""
    parts = {
        "labels": rule.labels,
        "annotations": rule.annotations,
        "match_labels": rule.nodes.get("match_labels") or {},
    }
    yield from ((f"{key} in {part}", value) for part, values in parts.items() for key, value in values.items())
    for part in ("names", "resources"):
        yield from ((f"one of {part}", value) for value in rule.nodes.get(part) or ())
    for one in rule.nodes.get("match_expressions") or ():
        yield "a key in match_expressions", one["key"]
        yield from ((f"a value of {one['key']} in match_expressions", value) for value in one.get("values") or ())
    for one in rule.taints:
        yield "the key of a taint", one["key"]
        yield f"the value of the taint {one['key']}", one["value"]


def _problems_of(rule: Rule, nodes: Sequence[Manifest], given: Mapping[str, str]) -> Iterator[str]:
    expressions = rule.nodes.get("match_expressions") or ()
    asked = {*(rule.nodes.get("match_labels") or {}), *(one["key"] for one in expressions)}
    for label in sorted(asked & given.keys()):
        yield (
            f"Rule {rule.name} asks for the label {label}, which rule {given[label]} gives: it would match other nodes "
            "in the next run. Ask for what the nodes have by themselves."
        )
    if not any(rule.nodes.values()):
        yield f'Rule {rule.name} has no condition in nodes: for every node, write names: ["*"].'
    elif not any(rule.matches(node) for node in nodes):
        yield (
            f"Rule {rule.name} matches none of the {len(nodes)} nodes: {_describe(rule.nodes)}. Correct its nodes, or "
            "remove it."
        )


def _describe(conditions: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {json.dumps(value)}" for name, value in conditions.items() if value)


def _wanted(rules: Iterable[Rule], node: Manifest) -> tuple[Wanted, list[str]]:
    """Return what the rules that match a node want of it, and where they contradict each other."""
    wanted = Wanted()
    problems = []
    for rule in rules:
        if not rule.matches(node):
            continue
        given: list[tuple[str, dict[Any, tuple[str, str]], Any, str]] = [
            *(("label", wanted.labels, key, value) for key, value in rule.labels.items()),
            *(("annotation", wanted.annotations, key, value) for key, value in rule.annotations.items()),
            *(("taint", wanted.taints, (one["key"], one["effect"]), one["value"]) for one in rule.taints),
        ]
        for what, known, key, value in given:
            before, author = known.setdefault(key, (value, rule.name))
            if before != value:
                shown = ":".join(key) if what == "taint" else key
                problems.append(
                    f"Rules {author} and {rule.name} contradict each other on node {node['metadata']['name']}: {what} "
                    f"{shown} is {before!r} and {value!r}. Let one of them not match it."
                )
    return wanted, problems


def _change(node: Manifest, wanted: Wanted) -> tuple[NodeChange, list[str]]:
    """Return what becomes of a node, and which of its taints are somebody else's."""
    metadata = node["metadata"]
    labels = {key: value for key, (value, _rule) in wanted.labels.items()}
    annotations = {key: value for key, (value, _rule) in wanted.annotations.items()}
    owned = {part: _owned(node, part) for part in ("labels", "annotations")}
    taints, ours, conflicts = _taints(node, wanted)
    live = {part: metadata.get(part) or {} for part in owned}
    shall = {"labels": labels, "annotations": annotations}
    before = {
        part: {key: live[part][key] for key in sorted(owned[part] | shall[part].keys()) if key in live[part]}
        for part in owned
    }
    return (
        NodeChange(
            name=metadata["name"],
            uid=metadata["uid"],
            labels=labels,
            annotations=annotations,
            taints=taints,
            our_taints=ours,
            before={**before, "taints": [_shown(one) for one in field_at(node, ["spec", "taints"]) or ()]},
            after={
                "labels": dict(sorted(labels.items())),
                "annotations": dict(sorted(annotations.items())),
                "taints": [_shown(one) for one in taints],
            },
            owners={
                part: sorted((key, who) for who, keys in _owners(node, part) for key in keys & shall[part].keys())
                for part in owned
            },
            owns_same=all(owned[part] == shall[part].keys() for part in owned),
            remembers_other=remembered_taints(node) != set(ours),
        ),
        conflicts,
    )


def _owned(node: Manifest, part: str) -> set[str]:
    """Return the keys of a node's labels or annotations that are ours by server-side apply."""
    return {key for manager, keys in _owners(node, part) if manager == OURS for key in keys}


def _owners(node: Manifest, part: str) -> Iterator[tuple[str, set[str]]]:
    """Yield who owns which keys of a node's labels or annotations: managers with their operation, some repeatedly."""
    for entry in node["metadata"].get("managedFields") or []:
        fields = field_at(entry, ["fieldsV1", "f:metadata", f"f:{part}"]) or {}
        keys = {key.removeprefix("f:") for key in fields if key != "."}
        yield f"{entry.get('manager', '?')} {entry.get('operation', '?')}", keys


def _taints(node: Manifest, wanted: Wanted) -> tuple[list[Mapping[str, Any]], list[TaintId], list[str]]:
    """Return a node's list of taints as it shall be, those of it that are ours, and conflicts with somebody else's."""
    live = {_taint_id(taint): taint for taint in field_at(node, ["spec", "taints"]) or ()}
    remembered = remembered_taints(node)
    conflicts = []
    ours = []
    for key, (value, rule) in wanted.taints.items():
        foreign = key in live and key not in remembered
        if not foreign:
            ours.append(key)
        elif (live[key].get("value") or "") != value:
            conflicts.append(
                f"Rule {rule} wants the taint {_shown({'key': key[0], 'value': value, 'effect': key[1]})} on node "
                f"{node['metadata']['name']}, which has {_shown(live[key])} from {_writers_of_taints(node)}. Remove "
                "that one, or leave it out of the rule."
            )
    kept = [taint for key, taint in live.items() if key not in remembered or _stands(taint, wanted)]
    added = [_taint(key, wanted.taints[key][0]) for key in ours if key not in live or not _stands(live[key], wanted)]
    return [*kept, *added], sorted(ours), conflicts


def _stands(taint: Mapping[str, Any], wanted: Wanted) -> bool:
    """Return whether a live taint is wanted just as it is."""
    value, _rule = wanted.taints.get(_taint_id(taint), (None, ""))
    return value == (taint.get("value") or "")


def _taint_id(taint: Mapping[str, Any]) -> TaintId:
    return taint["key"], taint["effect"]


def _taint(key: TaintId, value: str) -> Mapping[str, Any]:
    return {"key": key[0], **({"value": value} if value else {}), "effect": key[1]}


def _shown(taint: Mapping[str, Any]) -> str:
    """Return a taint as kubectl writes it."""
    return f"{taint['key']}{'=' + taint['value'] if taint.get('value') else ''}:{taint['effect']}"


def remembered_taints(node: Manifest) -> set[TaintId]:
    """Return which taints of a node are ours.

    Raises:
        SonicError: Somebody has changed what was remembered.
    """
    text = field_at(node, ["metadata", "annotations", TAINTS_ANNOTATION]) or "[]"
    try:
        return {(str(key), str(effect)) for key, effect in json.loads(text)}
    except (TypeError, ValueError) as error:
        name = node["metadata"]["name"]
        raise SonicError(
            f"The annotation {TAINTS_ANNOTATION} of node {name} is {text!r}, and no list of taints: it was changed.",
            "Take from the node the taints that rules gave it, and then the annotation: "
            f"kubectl annotate node {name} {TAINTS_ANNOTATION}-",
        ) from error


def _writers_of_taints(node: Manifest) -> str:
    """Return who has written the list of taints, as far as the API server knows."""
    writers = {
        entry.get("manager", "?")
        for entry in node["metadata"].get("managedFields") or []
        if field_at(entry, ["fieldsV1", "f:spec", "f:taints"]) is not None
    }
    return ", ".join(sorted(writers)) or "an unknown manager"


def taint_patch(node: Manifest, change: NodeChange) -> Manifest:
    """Return the merge patch that gives a node its list of taints, refused if anything wrote the node meanwhile."""
    remembered = json.dumps(sorted(change.our_taints), separators=(",", ":")) if change.our_taints else None
    return {
        "metadata": {
            "resourceVersion": node["metadata"]["resourceVersion"],
            "annotations": {TAINTS_ANNOTATION: remembered},
        },
        "spec": {"taints": list(change.taints) or None},
    }


def label_patch(change: NodeChange) -> Manifest:
    """Return what is applied to a node: all labels and annotations that are to be ours."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": change.name,
            "uid": change.uid,  # without it, a node that has gone meanwhile would be made anew
            "labels": dict(change.labels),
            "annotations": dict(change.annotations),
        },
    }
