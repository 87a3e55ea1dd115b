# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules by which a Prometheus watches an instance, from a catalogue of alerts and from what the instance is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.objectives import (
    BURNS,
    HOUR,
    LEAST_BAD,
    MINUTE,
    Burn,
    Objective,
    fill_objectives,
    requests_of,
    shares_of,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.options import Spec, fill
from ansible_collections.hep.sonic.plugins.plugin_utils.pools import share_demand
from ansible_collections.hep.sonic.plugins.plugin_utils.promql import Scope, any_of, duration
from ansible_collections.hep.sonic.plugins.plugin_utils.records import records

Group = dict[str, Any]

CATALOGUE: Final = Path(__file__).parents[2] / "roles/monitoring/files/alerts.yml"

#: What `rule_groups` must know of an instance; the role ``monitoring`` says what each is.
INSTANCE_SPEC: Final[Spec] = {
    "namespace": {"type": "str", "required": True},
    "instance": {"type": "str", "required": True},
    "scrape_interval": {"type": "int", "required": True},
    "sources": {"type": "list", "elements": "str", "required": True},
    "objectives": {"type": "list", "elements": "raw", "required": True},
    "disabled": {"type": "list", "elements": "str", "required": True},
    "runbook_base": {"type": "str", "required": True},
    "pools": {"type": "list", "elements": "dict", "required": True},
    "autoscaler": {"type": "str", "required": True},
    "poll_seconds": {"type": "int", "required": True},
    "start_seconds": {"type": "int", "required": True},
    "longest_request": {"type": "int", "required": True},
    "hold_seconds": {"type": "int", "required": True},
    "hold_requests": {"type": "int", "required": True},
    "claims": {"type": "list", "elements": "str", "required": True},
}
#: The form of an element of the catalogue, roles/monitoring/files/alerts.yml, which explains it.
ALERT_SPEC: Final[Spec] = {
    "alert": {"type": "str", "required": True},
    "needs": {"type": "list", "elements": "str", "required": True},
    "each": {"type": "str", "choices": ["availability", "latency", "cold_start", "scaled_pool"]},
    "only": {"type": "str", "choices": ["keda", "claims", "needed"]},
    "severity": {"type": "str", "choices": ["page", "ticket"]},
    "readings": {"type": "int", "default": 4},
    "for": {"type": "int", "default": 0},
    "for_at_least": {"type": "str", "choices": ["change", "hold"]},
    "expr": {"type": "str", "required": True},
    "summary": {"type": "str", "required": True},
}
PLACEHOLDER: Final = re.compile(r"\$\{(\w+)\}")
#: Seconds between two evaluations of what looks back for hours and days; minutes are lost in it.
SLOW_INTERVAL: Final = 60
#: The kinds of objectives, each of which has an alert.
OBJECTIVES: Final = tuple(LEAST_BAD)


@dataclass(frozen=True)
class Instance:
    """What an instance is to its rules.

    Args:
        scope: Its series.
        given: The options of `INSTANCE_SPEC`, filled.
        pools: Its pools, those that are scaled with ``demand_per_server``.
        objectives: What it promises.
    """

    scope: Scope
    given: Mapping[str, Any]
    pools: Sequence[Mapping[str, Any]]
    objectives: Sequence[Objective]

    @classmethod
    def of(cls, options: Any) -> Instance:
        """Return the instance that some options describe.

        Raises:
            SonicError: They contradict themselves or promise what cannot be kept.
        """
        given = fill(options, INSTANCE_SPEC, "the instance")
        pools = given["pools"] if given["autoscaler"] == "none" else share_demand(given["pools"])
        return cls(
            Scope(given["namespace"], given["instance"], given["scrape_interval"]),
            given,
            pools,
            fill_objectives(given["objectives"], given["hold_seconds"]),
        )

    @property
    def scaled_pools(self) -> list[Mapping[str, Any]]:
        """The pools whose number of servers follows demand."""
        return [pool for pool in self.pools if "demand_per_server" in pool]

    @property
    def values(self) -> dict[str, str]:
        """What placeholders of the catalogue stand for."""
        deployments = any_of(f"{self.given['instance']}-triton-{pool['name']}" for pool in self.pools)
        return {
            "series": self.scope.series,
            "namespace": self.given["namespace"],
            "instance": self.given["instance"],
            "scaled_objects": deployments,
            # the Deployment's, the ReplicaSet's and the Pod's own, of which long names lose some
            "pods": f"({deployments})-[a-z0-9]+(-[a-z0-9]+)?",
            "claims": any_of(self.given["claims"]),
            "hold_requests": str(self.given["hold_requests"]),
            "poll_seconds": str(self.given["poll_seconds"]),
        }

    def has(self, condition: str | None) -> bool:
        """Return whether a condition of the catalogue holds."""
        conditions: dict[str | None, bool] = {
            None: True,
            "keda": self.given["autoscaler"] == "keda",
            "claims": bool(self.given["claims"]),
            "needed": bool(self.scaled_pools) or any(pool["replicas"] for pool in self.pools),
        }
        return conditions[condition]

    def seconds(self, name: str | None) -> float:
        """Return how long it may take until a named thing has happened, at best 0.

        A request may wait where no server needs to be running: there it is half of the time that it would be given.
        """
        asleep = any(pool["min"] == 0 for pool in self.scaled_pools)
        lengths: dict[str | None, float] = {
            None: 0,
            # one that ends is not ready either, for as long as it has a request
            "change": max(self.given["start_seconds"], self.given["longest_request"] + MINUTE),
            "hold": self.given["hold_seconds"] / 2 if asleep else 0,
        }
        return lengths[name]


@cache
def catalogue() -> tuple[Mapping[str, Any], ...]:
    """Return the alerts that there are, by `ALERT_SPEC`.

    Read here and not by a lookup: what is in double braces is Prometheus' own, and no expression of Ansible's.
    """
    alerts = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    return tuple(fill(alert, ALERT_SPEC, f"{CATALOGUE.name}[{index}]") for index, alert in enumerate(alerts))


def rule_groups(options: Any) -> list[Group]:
    """Return the groups of rules of an instance, as Prometheus reads them.

    Args:
        options: The instance, by `INSTANCE_SPEC`.

    Raises:
        SonicError: An objective cannot be kept or measured, or an alert that is to be left out does not exist.
    """
    instance = Instance.of(options)
    scope, name = instance.scope, f"{instance.given['namespace']}.{instance.given['instance']}"
    known = [objective for objective in instance.objectives if objective.source in instance.given["sources"]]
    envoy = "envoy" in instance.given["sources"]
    recorded = records(scope, instance.pools) if envoy else []
    recorded += [rule for objective in known for rule in requests_of(objective, scope)]
    shares = [rule for objective in known for rule in shares_of(objective, scope)]
    alerts = [rule for alert in _wanted(instance) for rule in _rules(alert, instance)]
    groups = (
        ("records", scope.interval, [rule.to_dict() for rule in recorded]),
        ("objectives", max(SLOW_INTERVAL, scope.interval), [rule.to_dict() for rule in shares]),
        ("alerts", scope.interval, alerts),
    )
    return [
        {"name": f"{name}.{part}", "interval": duration(interval), "rules": rules}
        for part, interval, rules in groups
        if rules
    ]


def alerts_left_out(options: Any) -> list[str]:
    """Return the alerts that the instance should have and nobody can evaluate, each with what is missing.

    Args:
        options: As for `rule_groups`.
    """
    instance = Instance.of(options)
    missing = {
        alert["alert"]: [source for source in _sources(alert, instance) if source not in instance.given["sources"]]
        for alert in _wanted(instance)
    }
    return [f"{name} ({', '.join(sources)})" for name, sources in missing.items() if sources]


def _sources(alert: Mapping[str, Any], instance: Instance) -> list[str]:
    """Return whose metrics an alert needs: one on objectives, those of all such objectives."""
    if alert["each"] in OBJECTIVES:
        return sorted({objective.source for objective in instance.objectives if objective.kind == alert["each"]})
    if alert["each"] == "scaled_pool" and not instance.scaled_pools:
        return []
    return list(alert["needs"])


def _wanted(instance: Instance) -> Iterator[Mapping[str, Any]]:
    """Yield the alerts that mean something to the instance, and that somebody wants."""
    names = [alert["alert"] for alert in catalogue()]
    for name in instance.given["disabled"]:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            raise SonicError(
                f"monitoring_alerts_disabled has {name!r}, and there is no such alert.",
                f"Did you mean {near[0]}?" if near else f"There are {', '.join(names)}.",
            )
    for alert in catalogue():
        if instance.has(alert["only"]) and alert["alert"] not in instance.given["disabled"]:
            yield alert


def _rules(alert: Mapping[str, Any], instance: Instance) -> Iterator[dict[str, Any]]:
    """Yield the rules of one alert that can be evaluated: one, or one for each pool, or for each objective and pace."""
    sources = instance.given["sources"]
    if alert["each"] in OBJECTIVES:
        for objective in instance.objectives:
            if objective.kind == alert["each"] and objective.source in sources:
                for burn in BURNS:
                    yield _burning(alert, instance, objective, burn)
    elif not all(source in sources for source in alert["needs"]):
        return
    elif alert["each"] == "scaled_pool":
        for pool in instance.scaled_pools:
            yield _rule(alert, instance, {"pool": pool["name"], "pool_max": str(pool["max"])}, {"pool": pool["name"]})
    else:
        yield _rule(alert, instance, {}, {})


def _burning(alert: Mapping[str, Any], instance: Instance, objective: Objective, burn: Burn) -> dict[str, Any]:
    """Return the rule about one objective and one pace. It has no ``for``: its windows are that."""
    values = {
        "objective": objective.name,
        "target": f"{100 * (1 - objective.budget):g}",
        "long": objective.error_ratio(burn.long),
        "short": objective.error_ratio(burn.short),
        "long_window": duration(instance.scope.at_least(burn.long)),
        "interval": str(instance.scope.interval),
        "hours": f"{burn.long / HOUR:g}",
        "alarm": f"{objective.alarm(burn):.6g}",
        "least_bad": str(objective.least_bad),
    }
    labels = {"severity": burn.severity, "objective": objective.name, "hours": values["hours"]}
    rule = _rule(alert, instance, values, labels)
    del rule["for"]
    return rule


def _rule(
    alert: Mapping[str, Any], instance: Instance, values: Mapping[str, str], labels: Mapping[str, str]
) -> dict[str, Any]:
    """Return one alerting rule, its placeholders replaced."""
    scope = instance.scope
    known = {**instance.values, **values, "window": duration(scope.seconds(alert["readings"]))}

    def text(option: str) -> str:
        return PLACEHOLDER.sub(lambda match: known[match[1]], " ".join(alert[option].split()))

    wait = max(instance.seconds(alert["for_at_least"]), scope.seconds(alert["for"]))
    return {
        "alert": alert["alert"],
        "expr": text("expr"),
        "for": duration(wait),
        "labels": {**scope.labels, "severity": alert["severity"], **labels},
        "annotations": {
            "summary": text("summary"),
            "runbook_url": f"{instance.given['runbook_base'].rstrip('/')}/{alert['alert']}.md",
        },
    }
