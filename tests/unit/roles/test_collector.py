# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of the collector of traces: each part that is declared is used, and each that is used is declared.

The collector itself cannot be had here, so that no test asks it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from tests.unit.roles.harness import Role

BACKEND = {
    "monitoring_traces_backend": "https://otlp.example.org",
    "monitoring_traces_headers": {"Authorization": "Bearer token"},
    "monitoring_traces_ca": "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n",
    "monitoring_traces_allowed_destinations": [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
}


def objects(variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    return Role("monitoring", {"monitoring_traces_mode": "bundled", **variables}, tasks="traces.yml").objects()


def configuration(variables: Mapping[str, Any]) -> dict[str, Any]:
    (secret,) = (one for one in objects(variables) if one["kind"] == "Secret")
    config: dict[str, Any] = yaml.safe_load(base64.b64decode(secret["data"]["config.yml"]))
    return config


@pytest.mark.parametrize(
    ("variables", "exporters"),
    [
        ({"monitoring_mode": "bundled"}, {"prometheus"}),
        ({"monitoring_mode": "bundled", **BACKEND}, {"otlp_http", "prometheus"}),
        ({"monitoring_mode": "none", **BACKEND}, {"otlp_http"}),
    ],
)
def test_what_is_declared_is_what_is_used(variables: Mapping[str, Any], exporters: set[str]) -> None:
    config = configuration(variables)
    pipelines = config["service"]["pipelines"].values()
    assert set(config["exporters"]) == exporters
    ends = {name for kind in ("receivers", "exporters", "connectors") for name in config[kind]}
    assert {name for one in pipelines for end in ("receivers", "exporters") for name in one[end]} == ends
    assert {name for one in pipelines for name in one.get("processors", [])} == set(config["processors"])
    assert set(config["service"]["extensions"]) == set(config["extensions"])


def test_what_lets_it_in_is_in_a_secret_and_nothing_elsewhere_follows_from_it() -> None:
    first, second = (
        [
            one
            for one in objects(BACKEND | {"monitoring_traces_headers": {"Authorization": text}})
            if one["kind"] != "Secret"
        ]
        for text in ("hunter2", "hunter3")
    )
    assert first == second


def test_a_header_is_not_expanded() -> None:
    variables = BACKEND | {"monitoring_mode": "none", "monitoring_traces_headers": {"Authorization": "a$b${env:HOME}"}}
    assert configuration(variables)["exporters"]["otlp_http"]["headers"] == {"Authorization": "a$$b$${env:HOME}"}


def test_the_backend_gets_what_it_wants() -> None:
    exporter = configuration({"monitoring_mode": "none", **BACKEND})["exporters"]["otlp_http"]
    assert exporter == {
        "endpoint": BACKEND["monitoring_traces_backend"],
        "headers": BACKEND["monitoring_traces_headers"],
        "tls": {"ca_pem": BACKEND["monitoring_traces_ca"]},
    }


def test_the_api_server_takes_every_field(cluster: Cluster, namespace: str) -> None:
    variables = {"monitoring_mode": "bundled", "monitoring_traces_mode": "bundled", **BACKEND}
    role = Role("monitoring", {**variables, "monitoring_traces_namespace": namespace}, tasks="traces.yml")
    bodies = [one for one in role.objects() if one["kind"] != "Namespace"]
    assert {one["kind"] for one in bodies} == {"Secret", "Service", "Deployment", "NetworkPolicy"}
    for body in bodies:
        resource = next(one for one in BUILT_IN.values() if one.kind == body["kind"])
        cluster.request("POST", resource.path(namespace), query={"fieldValidation": "Strict"}, body=body)


def test_instances_send_to_it_by_themselves() -> None:
    groups = {"clusters": ["cms"], "instances": ["cms"]}
    inventory = {"monitoring_traces_mode": "bundled", "sonic_tracing_sampling": 1}
    objects = Role("envoy", inventory, groups=groups).objects()
    (config,) = (one for one in objects if one["kind"] == "ConfigMap")
    assert "http://otel-collector.tracing.svc.cluster.local:4318/v1/traces" in config["data"]["envoy.yaml"]
    (policy,) = (one for one in objects if one["kind"] == "NetworkPolicy")
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tracing"}}}
    assert {"to": [peer]} in policy["spec"]["egress"]
