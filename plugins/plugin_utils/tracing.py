# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where traces go, and how many requests leave one."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError

#: Where OTLP over HTTP has traces, below the address of the receiver.
PATH: Final = "/v1/traces"
#: Envoy decides in steps of this many percent: below it, there would be no traces at all, and nobody told why.
LEAST_PERCENT: Final = 0.01


def fill_tracing(endpoint: str, sampling: Any) -> dict[str, Any]:
    """Return how requests are traced: ``percent`` of them, to ``url``, which is that ``host`` and ``port``.

    Args:
        endpoint: The value of ``sonic_tracing_endpoint``.
        sampling: The value of ``sonic_tracing_sampling``.

    Raises:
        SonicError: The endpoint is no address that both Envoy and Triton can send to, the sampling is no percentage, or
            requests are to be traced to nowhere.
    """
    percent = _percent(sampling)
    if percent and not endpoint:
        raise SonicError(
            f"sonic_tracing_sampling is {sampling}, but sonic_tracing_endpoint is empty: the traces would go nowhere.",
            "Set sonic_tracing_endpoint to what takes OTLP over HTTP, such as http://otel-collector.example:4318.",
        )
    return {"percent": percent, **(_target(endpoint) if endpoint else {"url": "", "host": "", "port": 0})}


def _percent(sampling: Any) -> float:
    try:
        percent = float(sampling)
    except (TypeError, ValueError):
        percent = -1
    if percent != 0 and not LEAST_PERCENT <= percent <= 100:
        raise SonicError(
            f"sonic_tracing_sampling is {sampling}, which is no percentage of requests.",
            f"Set it to {LEAST_PERCENT} at least and 100 at most, or to 0 for no traces.",
        )
    return percent


def _target(endpoint: str) -> dict[str, Any]:
    shown = endpoint.rpartition("@")[2]  # without a password
    # Triton's exporter takes neither a certificate authority nor a header.
    refusal = SonicError(
        f"sonic_tracing_endpoint is {shown}, which is no address that Envoy and Triton can send traces to.",
        "Write it as http://otel-collector.example:4318. Where the site's backend wants TLS or a token, a collector"
        " between them has both.",
    )
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port or 80
    except ValueError as error:
        raise refusal from error
    if not host or parts.scheme != "http" or parts.username or parts.query or parts.fragment:
        raise refusal
    path = parts.path.rstrip("/").removesuffix(PATH)
    return {"url": f"http://{parts.netloc}{path}{PATH}", "host": host, "port": port}
