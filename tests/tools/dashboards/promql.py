# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The selectors that all queries are made of, and what is written often. No query looks beyond the chosen instance."""

from __future__ import annotations

from typing import Final

#: The chosen instance, in what Envoy and Triton tell.
INSTANCE: Final = 'namespace="$namespace",instance="$instance"'
#: Its servers of the chosen pools, where there is a choice.
POOL: Final = f'{INSTANCE},pool=~"$pool"'
#: The chosen model on them.
MODEL: Final = f'{POOL},model="$model"'

#: The listener that clients call, and the one where requests are held.
SERVICE: Final = f'envoy_http_conn_manager_prefix="service",{INSTANCE}'
HOLD: Final = f'envoy_http_conn_manager_prefix="hold",{INSTANCE}'

#: The servers, as Envoy knows them.
SERVERS: Final = f'envoy_cluster_name=~"triton_.+",{INSTANCE}'

#: Objects of the instance's pools by their names, ``<instance>-triton-<pool>``, which may begin as KEDA's own do and
#: end as Pods' do. Those of an instance called ``<instance>-triton`` or ``<instance>-triton-x`` are not among them.
_OTHERS: Final = "$instance-triton-(.+-)?triton-.+"
SCALED: Final = f'namespace="$namespace",scaledObject=~"$instance-triton-.+",scaledObject!~"{_OTHERS}"'
LOOPS: Final = SCALED.replace("scaledObject", "resource")
DEPLOYMENTS: Final = f'namespace="$namespace",deployment=~"$instance-triton-.+",deployment!~"{_OTHERS}"'
AUTOSCALERS: Final = (
    'namespace="$namespace",horizontalpodautoscaler=~"(keda-hpa-)?$instance-triton-.+",'
    f'horizontalpodautoscaler!~"(keda-hpa-)?{_OTHERS}"'
)
PODS: Final = f'namespace="$namespace",pod=~"$instance-triton-.+",pod!~"{_OTHERS}"'

#: What is in flight: the demand.
DEMAND: Final = f"sum(envoy_http_downstream_rq_active{{{SERVICE}}})"
#: What of it waits for a server.
HELD: Final = f'sum(envoy_cluster_upstream_rq_active{{envoy_cluster_name="waiting",{INSTANCE}}})'
#: Servers that are healthy to the Envoy that knows the fewest.
READY: Final = f'min(envoy_cluster_membership_healthy{{envoy_cluster_name="triton_grpc",{INSTANCE}}})'
#: Nothing, as long as there are Envoys.
ZERO: Final = f'0 * count(up{{job="envoy",{INSTANCE}}})'


def rate(metric: str, selector: str = INSTANCE, by: str = "") -> str:
    """Return the sum of a counter's rates, in its unit a second.

    Args:
        metric: The counter.
        selector: Which of its series.
        by: Labels to keep apart, with commas between them.
    """
    return f"sum{f' by ({by})' if by else ''}(rate({metric}{{{selector}}}[$__rate_interval]))"


def ratio(above: str, below: str) -> str:
    """Return one expression over another, and nothing where that is nothing."""
    return f"{above} / ({below} > 0)"


def quantile(share: float, metric: str, selector: str, by: str = "") -> str:
    """Return a quantile of one of Envoy's histograms of milliseconds, in seconds."""
    return f"histogram_quantile({share:g}, {rate(f'{metric}_bucket', selector, f'le, {by}' if by else 'le')}) / 1000"


def mean_ms(metric: str, selector: str, by: str = "") -> str:
    """Return the mean of one of Envoy's histograms of milliseconds, in seconds."""
    return f"{ratio(rate(f'{metric}_sum', selector, by), rate(f'{metric}_count', selector, by))} / 1000"


def each_us(part: str, selector: str = INSTANCE, by: str = "") -> str:
    """Return the mean time of a request in a part of Triton, in seconds.

    Triton adds up the time of requests. To divide by ``nv_inference_exec_count``, which counts batches, would make it
    longer the better requests are batched.

    Args:
        part: The part, as in ``nv_inference_<part>_duration_us``.
        selector: Of which servers and models.
        by: Labels to keep apart.
    """
    spent = rate(f"nv_inference_{part}_duration_us", selector, by)
    return f"{ratio(spent, rate('nv_inference_request_success', selector, by))} / 1e6"


def or_zero(expr: str) -> str:
    """Return an expression that is 0 where there is nothing, as long as there are Envoys."""
    return f"({expr} or {ZERO})"


def also_of(expr: str, label: str, selector: str) -> str:
    """Return what of `expr`, which knows no instance, has to do with the chosen one.

    Args:
        expr: A selector of something that is not of an instance, such as a node.
        label: The label by which both are matched.
        selector: What of the instance has it.
    """
    return f"{expr} and on ({label}) {selector}"


#: Milliseconds a second that ended requests were held: all of their time at that listener, but for what servers took.
#: Envoy writes both down when the answer is there, together with all of the request's time.
HELD_MS: Final = (
    f"clamp_min({rate('envoy_http_downstream_rq_time_sum', HOLD)}"
    f" - {or_zero(rate('envoy_cluster_upstream_rq_time_sum', SERVERS))}, 0)"
)
