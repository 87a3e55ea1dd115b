# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The GPUs of the servers, and the nodes that they are on."""

from __future__ import annotations

from typing import Final

from tests.tools.dashboards.model import (
    BYTES,
    CELSIUS,
    COUNT,
    JOULES,
    PER_SECOND,
    SHARE,
    WATTS,
    YES_NO,
    Board,
    Need,
    Panel,
    Query,
    Row,
    Shape,
)
from tests.tools.dashboards.promql import PODS, POOL, also_of, rate, ratio

EACH: Final = "{{pod}} {{gpu_uuid}}"
SERVERS: Final = f'count(up{{job="triton",{POOL}}} == 1)'
#: The GPUs of the instance, as dcgm-exporter calls them: it measures those of whole nodes.
OURS: Final = f'label_replace(nv_gpu_utilization{{{POOL}}}, "UUID", "$1", "gpu_uuid", "(.+)")'
#: What tells on which nodes the servers are.
PLACES: Final = f"kube_pod_info{{{PODS}}}"


def gpu(expr: str, legend: str = EACH) -> Query:
    """Return a query that Triton answers where it has GPUs."""
    return Query(expr, legend, Need.GPU)


def dcgm(metric: str, scale: str = "") -> Query:
    """Return one of the measurements of dcgm-exporter, of the GPUs of the instance."""
    return Query(also_of(f"{metric}{scale}", "UUID", OURS), "{{Hostname}} {{gpu}} {{modelName}}", Need.DCGM)


def node(expr: str, legend: str) -> Query:
    """Return what is told of the nodes that carry servers of the instance."""
    return Query(also_of(expr, "node", PLACES), legend, Need.KUBE_STATE_METRICS)


COUNTED: Final = Row(
    "What is there?",
    (
        Panel(
            "Servers with a GPU",
            "None: they compute on CPUs, and what follows about GPUs has nothing to show; see the processors below.",
            COUNT,
            (
                Query(
                    f"count(count by (pod) (nv_gpu_utilization{{{POOL}}})) or 0 * {SERVERS}",
                    "with a GPU",
                    Need.TRITON,
                ),
            ),
            Shape.NUMBER,
            6,
        ),
        Panel(
            "Servers",
            "Those that answer: if fewer have a GPU than should, look for Pods whose driver or device plugin failed.",
            COUNT,
            (Query(SERVERS, "servers", Need.TRITON),),
            Shape.NUMBER,
            6,
        ),
        Panel(
            "GPUs",
            "Different GPUs that servers report: fewer than servers with a GPU where several share one.",
            COUNT,
            (gpu(f"count(count by (gpu_uuid) (nv_gpu_utilization{{{POOL}}}))", "GPUs"),),
            Shape.NUMBER,
            6,
        ),
        Panel(
            "Energy of an inference",
            "What GPUs take for one inference, idle time included: larger batches and fewer idle servers lower it.",
            JOULES,
            (gpu(ratio(rate("nv_energy_consumption", POOL), rate("nv_inference_count", POOL)), "each inference"),),
            Shape.NUMBER,
            6,
        ),
    ),
)

USED: Final = Row(
    "Are the GPUs used?",
    (
        Panel(
            "GPUs busy",
            "The share of time in which a GPU computes anything: all at 100 % with a queue asks for more servers.",
            SHARE,
            (gpu(f"nv_gpu_utilization{{{POOL}}}"),),
        ),
        Panel(
            "Memory of GPUs",
            "Used near total: the next model does not fit, or a server holds what it no longer needs.",
            BYTES,
            (
                gpu(f"nv_gpu_memory_used_bytes{{{POOL}}}", f"used {EACH}"),
                gpu(f"nv_gpu_memory_total_bytes{{{POOL}}}", f"total {EACH}"),
            ),
        ),
        Panel(
            "Power of GPUs",
            "At the limit a GPU slows itself down; far below it under load, something else is the bottleneck.",
            WATTS,
            (
                gpu(f"nv_gpu_power_usage{{{POOL}}}", f"used {EACH}"),
                gpu(f"nv_gpu_power_limit{{{POOL}}}", f"limit {EACH}"),
            ),
        ),
        Panel(
            "Inferences, by server",
            "Between servers with the same kind of GPU a difference is a GPU that is throttled, shared or ill.",
            PER_SECOND,
            (Query(rate("nv_inference_count", POOL, "pod"), "{{pod}}", Need.TRITON),),
        ),
        Panel(
            "Processors of the servers' nodes",
            "As each server sees its whole node: busy processors keep a GPU waiting for its input.",
            SHARE,
            (Query(f"nv_cpu_utilization{{{POOL}}}", "{{pod}}", Need.TRITON),),
        ),
        Panel(
            "Memory of the servers' nodes",
            "As each server sees its whole node: used near total, the kernel ends processes.",
            BYTES,
            (
                Query(f"nv_cpu_memory_used_bytes{{{POOL}}}", "used {{pod}}", Need.TRITON),
                Query(f"nv_cpu_memory_total_bytes{{{POOL}}}", "total {{pod}}", Need.TRITON),
            ),
        ),
    ),
)

WELL: Final = Row(
    "Are the GPUs well? (dcgm-exporter)",
    (
        Panel(
            "Busy, as measured",
            "Of the same GPUs, whatever process uses them: above Triton's own number, others compute there, too.",
            SHARE,
            (dcgm("DCGM_FI_DEV_GPU_UTIL", " / 100"),),
        ),
        Panel(
            "Memory, as measured",
            "Of all processes on a GPU: what Triton does not know of belongs to another Pod or to one that has died.",
            BYTES,
            (dcgm("DCGM_FI_DEV_FB_USED", " * 1048576"),),
        ),
        Panel(
            "Temperature",
            "Above 85 degrees most GPUs slow down: look after the cooling of that node.",
            CELSIUS,
            (dcgm("DCGM_FI_DEV_GPU_TEMP"),),
        ),
        Panel(
            "Power, as measured",
            "Without load a GPU takes a tenth: more is a process that was left behind.",
            WATTS,
            (dcgm("DCGM_FI_DEV_POWER_USAGE"),),
        ),
        Panel(
            "Last XID error",
            "The number of the driver's last error: anything but 0 deserves a look, 48, 63, 74, 79, 94 and 95 a drain.",
            COUNT,
            (dcgm("DCGM_FI_DEV_XID_ERRORS"),),
        ),
        Panel(
            "Memory errors",
            "Uncorrectable since the driver was loaded: one is enough to drain the node and reset the GPU.",
            COUNT,
            (dcgm("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"),),
        ),
    ),
)

NODES: Final = Row(
    "Are the nodes well? (kube-state-metrics)",
    (
        Panel(
            "Servers, by node",
            "Many on one node: its loss takes many with it.",
            COUNT,
            (Query(f"count by (node) ({PLACES})", "{{node}}", Need.KUBE_STATE_METRICS),),
            Shape.STACK,
        ),
        Panel(
            "GPUs that nodes offer",
            "Of the nodes with servers: a step down is a GPU that the device plugin found unhealthy.",
            COUNT,
            (node('kube_node_status_allocatable{resource=~"nvidia_com_gpu.*"}', "{{node}} {{resource}}"),),
        ),
        Panel(
            "Nodes ready",
            "No is a node with servers that Kubernetes has lost: they are replaced after five minutes.",
            YES_NO,
            (node('kube_node_status_condition{condition="Ready",status="true"}', "{{node}}"),),
        ),
    ),
)

GPUS: Final = Board(
    "gpus",
    "hep.sonic / GPUs and nodes",
    "Are the GPUs there, used and well, and the nodes below them?",
    (COUNTED, USED, WELL, NODES),
    ("pool",),
)
