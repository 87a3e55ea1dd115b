# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where traces go, and how many requests leave one."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.networks import to_traces
from ansible_collections.hep.sonic.plugins.plugin_utils.tracing import fill_tracing

OTEL = "http://otel:4318"


@pytest.mark.parametrize(
    ("endpoint", "url", "host", "port"),
    [
        (OTEL, "http://otel:4318/v1/traces", "otel", 4318),
        ("http://otel.site.example/", "http://otel.site.example/v1/traces", "otel.site.example", 80),
        ("http://192.0.2.1:4318/v1/traces", "http://192.0.2.1:4318/v1/traces", "192.0.2.1", 4318),
        ("http://otel:80/otlp/v1/traces/", "http://otel:80/otlp/v1/traces", "otel", 80),
        ("", "", "", 0),
    ],
)
def test_an_endpoint_becomes_an_address(endpoint: str, url: str, host: str, port: int) -> None:
    assert fill_tracing(endpoint, 0) == {"percent": 0, "url": url, "host": host, "port": port}


@pytest.mark.parametrize(("sampling", "percent"), [(0, 0), (0.01, 0.01), ("0.5", 0.5), (1, 1), (100.0, 100)])
def test_a_percentage_is_a_number(sampling: Any, percent: float) -> None:
    assert fill_tracing(OTEL, sampling)["percent"] == percent


@pytest.mark.parametrize("sampling", [150, -1, "abc", None, float("nan"), 0.001, "1%"])
def test_what_is_no_percentage_is_refused(sampling: Any) -> None:
    with pytest.raises(
        SonicError, match=rf"sonic_tracing_sampling is {sampling}, .*\nSet it to 0\.01 at least and 100"
    ):
        fill_tracing(OTEL, sampling)


@pytest.mark.parametrize(
    "endpoint",
    [
        "otel:4318",
        "https://otel:4318",
        "grpc://otel:4317",
        "http://",
        "http://otel:port",
        "http://otel:70000",
        "http://[otel",
        "http://me:secret@otel:4318",
        "http://otel:4318?token=1",
    ],
)
def test_what_is_no_address_of_a_receiver_is_refused(endpoint: str) -> None:
    with pytest.raises(SonicError, match=r"sonic_tracing_endpoint is .*\nWrite it as http://"):
        fill_tracing(endpoint, 1)


def test_traces_to_nowhere_are_refused() -> None:
    with pytest.raises(SonicError, match=r"sonic_tracing_endpoint is empty: .*\nSet sonic_tracing_endpoint to"):
        fill_tracing("", 1)


@pytest.mark.parametrize(
    ("peers", "rule"),
    [([], {"to": None, "ports": [{"port": 4318}]}), ([{"podSelector": {}}], {"to": [{"podSelector": {}}]})],
)
def test_the_port_matters_where_nobody_is_named(peers: list[Any], rule: dict[str, Any]) -> None:
    assert to_traces(peers, "sonic_tracing_peers", 4318) == rule
