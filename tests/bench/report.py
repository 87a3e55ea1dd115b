# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The measured figures as a page of the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.tools.common import ROOT

DOCUMENT: Final = ROOT / "docs" / "benchmarks.md"
Results = Mapping[str, Mapping[str, Any]]

OURS: Final = "hep.sonic.apply"
#: What ours is compared with.
YARDSTICK: Final = "kubernetes.core.k8s, server-side apply"
#: The rows of the table about a large site.
LARGE: Final = {
    "label_new": "the labels, at first",
    "label_unchanged": "the labels, nothing to be done",
    "deploy_new": "the servers, at first",
    "deploy_unchanged": "the servers, nothing to be done",
}

#: What is aimed at for the labels of a thousand nodes, in seconds.
AIMS: Final = {"label_new": 30, "label_unchanged": 3}

#: The rows of the table about two pools.
WAYS: Final = {
    "least_request": "`least_request`",
    "weighted_round_robin": "`round_robin`",
    "round_robin": "`round_robin`, equal",
}

PAGE: Final = """\
# Benchmarks

Written by `make bench` (`python -m tests.bench`), with the figures in `tests/bench/results.json`. What is compared is
measured in turns, in one run, on one machine: the ratios carry over to yours, the seconds do not.

Machine: {cpus} x {cpu}, Python {python}, ansible-core {core}. Measured: {dates}.

## Applying objects

ConfigMaps in one task, on an API server of the lab's form `control`; CPU and wall seconds are those above an empty
play, medians of {rounds} rounds. Requests are counted by the API server. `kubernetes.core` is the one in the PyPI
package `ansible` 12.3.0.

| way | objects | situation | CPU s | wall s | requests | peak MiB |
| --- | --- | --- | --- | --- | --- | --- |
{apply}

`{ours}` of 200 unchanged objects, as a share of {yardstick}:
**{cpu_ratio:.2f} of the CPU, {wall_ratio:.2f} of the wall, {request_ratio:.2f} of the requests**.

## A large site

{nodes} pretended nodes with GPUs on an API server of the lab's form `control`. Labels: one rule of
`hep.sonic.label_nodes` gives each node two labels, an annotation and a taint. Servers: `hep.sonic.service` with a
pool of {servers}, until all count as ready. Whole commands, Ansible's own start included; the memory is that of the
largest process.

| what | wall s | CPU s | peak MiB |
| --- | --- | --- | --- |
{large}

Aimed at, for the labels of 1000 nodes: 30 s at first, 3 s where nothing is to be done. Here, on {large_cpus} cores
that the API server and all else of the lab share with Ansible, it was {label_new:.1f} s ({label_new_ratio:.2f} times
that) and {label_unchanged:.1f} s ({label_unchanged_ratio:.2f} times). Both hold Ansible's own start and one LIST of the
nodes; the first holds, for each node, two PATCHes besides, as its labels and its taints change: labels by server-side
apply, taints only if nobody wrote the node meanwhile. Of the first, {label_new_cpu:.1f} s are CPU time of Ansible.

## From no server to {scale[servers]} by the demand

{scale[requests]} requests at once on a pool with `min: 0` and `target_in_flight: 1`, whose servers are pretended. KEDA,
two Envoys and the API server are real and share the processors with all else of the lab's form `node`; each Envoy goes
on asking {scale[servers]} servers, of which none answers, for their health.

| seconds after the first request | |
| --- | --- |
| the first server wanted | {scale[first_wanted]:g} |
| all wanted | {scale[all_wanted]:g} |
| the first counted as ready | {scale[first_ready]:g} |
| all ran | {scale[all_run]:g} |

Most memory of KEDA's operator: {scale[after][keda_mib]:g} MiB ({scale[before][keda_mib]:g} MiB before); of an Envoy:
{scale[after][envoy_mib]:g} MiB ({scale[before][envoy_mib]:g} MiB before).

## From nothing to a verified inference

`lab up` with {machines}, everything built, then `ansible-playbook hep.sonic.site`, which ends with an inference whose
values are checked: {total:g} s ({up:g} s the lab, {site:g} s the playbook).

## An unchanged site

`ansible-playbook hep.sonic.site -i inventories/lab` when nothing is to be done, checks included: {unchanged:g} s.

## Two pools of different speed

Two servers that take {pools[factor]:g} times as long beside two quick ones, with `target_in_flight`
{pools[slow_target]} and {pools[fast_target]}; {pools[rate]} requests a second of {pools[seconds]:g} s on a quick one,
{pools[duration]} s each way. "Equal" gives both pools the same target, as where nothing is known of their speed.

| `envoy_balancing` | the quick pool's share | p50 ms | p99 ms | failed |
| --- | --- | --- | --- | --- |
{ways}

The 99th percentile with `least_request` is **{p99_ratio:.2f}** of that with `round_robin` of equal pools, and
{weighted_ratio:.2f} of that with `round_robin` whose weights are right.

## Envoy in front of Triton

One request at a time, {requests} each, asked in turns: model `identity`, 64 bytes, from the host to one Triton
directly and to an Envoy with two Tritons behind it.

| | p50 ms | p99 ms |
| --- | --- | --- |
| Triton directly | {direct[p50]:.2f} | {direct[p99]:.2f} |
| through Envoy | {envoy[p50]:.2f} | {envoy[p99]:.2f} |
| added | {added[p50]:.2f} | {added[p99]:.2f} |

Envoy's CPU for a request: {envoy_cpu:.2f} ms.
"""


def render(results: Results) -> str:
    """Return the page."""
    apply, nodes, scale, start, site, pools, proxy = (
        results[name]["figures"] for name in ("apply", "nodes", "scale", "start", "site", "pools", "proxy")
    )
    machine = results["apply"]["machine"]

    def share(figure: str) -> float:
        of = {
            row["way"]: row[figure] for row in apply["rows"] if (row["objects"], row["situation"]) == (200, "unchanged")
        }
        return float(of[OURS] / of[YARDSTICK])

    return PAGE.format(
        cpus=machine["cpus"],
        cpu=machine["cpu"],
        python=machine["python"],
        core=machine["ansible-core"],
        dates=", ".join(f"{name} {result['date']}" for name, result in results.items()),
        rounds=apply["rounds"],
        apply="\n".join(map(_row, apply["rows"])),
        ours=OURS,
        yardstick=YARDSTICK,
        cpu_ratio=share("cpu"),
        wall_ratio=share("wall"),
        request_ratio=share("requests"),
        nodes=nodes["nodes"],
        servers=nodes["servers"],
        large_cpus=results["nodes"]["machine"]["cpus"],
        **_beside_aims(nodes),
        large="\n".join(f"| {name} | {_costs(nodes[key])} |" for key, name in LARGE.items()),
        scale=scale,
        machines="one node" if start["nodes"] == 1 else f"{start['nodes']} nodes",
        total=start["total"],
        up=start["lab_up"],
        site=start["site"],
        unchanged=site["wall"],
        pools=pools,
        ways="\n".join(f"| {name} | {_seen(pools[key])} |" for key, name in WAYS.items()),
        p99_ratio=pools["least_request"]["p99"] / pools["round_robin"]["p99"],
        weighted_ratio=pools["least_request"]["p99"] / pools["weighted_round_robin"]["p99"],
        requests=proxy["requests"],
        direct=proxy["direct_ms"],
        envoy=proxy["envoy_ms"],
        added=proxy["added_ms"],
        envoy_cpu=proxy["envoy_cpu_ms"],
    )


def _beside_aims(nodes: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of the labels, and how many times what is aimed at each is."""
    walls = {name: float(nodes[name]["wall"]) for name in AIMS}
    ratios = {f"{name}_ratio": walls[name] / aim for name, aim in AIMS.items()}
    return walls | ratios | {"label_new_cpu": float(nodes["label_new"]["cpu"])}


def _seen(figures: Mapping[str, Any]) -> str:
    return f"{figures['fast_share']:.0%} | {figures['p50']:.0f} | {figures['p99']:.0f} | {figures['failed']}"


def _costs(cost: Mapping[str, Any]) -> str:
    return f"{cost['wall']:.1f} | {cost['cpu']:.1f} | {cost['memory_mib']:.0f}"


def _row(row: Mapping[str, Any]) -> str:
    cells = [
        f"`{row['way']}`" if row["way"] == OURS else row["way"],
        row["objects"],
        row["situation"],
        f"{row['cpu']:.2f}",
        f"{row['wall']:.2f}",
        f"{row['requests']:.0f}",
        f"{row['memory_mib']:.0f}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"
