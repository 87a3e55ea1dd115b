# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a host's variables, as tables: the variables, and the sentences an operator reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.schema import (
    IMPORT_ROLE,
    Unreadable,
    check_host,
    differing,
    options_of,
    report,
    roles_by_group,
)

OPTIONS = options_of(
    yaml.safe_load(text)
    for text in (
        """
        argument_specs:
          main:
            options:
              sonic_cluster: {type: str, required: true, description: [The host of the cluster., More.]}
              sonic_models:
                type: list
                elements: dict
                options:
                  name: {type: str, required: true, description: The model's name.}
                  required: {type: bool, default: true}
                  max_batch_size: {type: int}
        """,
        """
        argument_specs:
          main:
            options:
              envoy_exposure:
                type: dict
                options:
                  mode: {type: str, choices: [none, cluster, nodeport, ingress]}
                  port: {type: int, aliases: [service_port]}
              envoy_replicas: {type: int, default: 2}
              envoy_ratio: {type: float}
              envoy_protocols: {type: list, elements: str, choices: [grpc, http]}
              envoy_annotations: {type: dict}
              envoy_extra: {type: raw}
              envoy_password: {type: str, no_log: true}
          instance:
            options:
              envoy_log: {type: bool}
        """,
    )
)
PREFIXES = ("sonic_", "envoy_")


def problems(variables: Mapping[str, Any], required: tuple[str, ...] = ()) -> list[str]:
    return report({"cms": check_host(OPTIONS, PREFIXES, required, variables)})


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"envoy_replicas": 3, "envoy_log": False},
        {"envoy_ratio": 1, "envoy_protocols": ["grpc"]},
        {"envoy_exposure": {"mode": "ingress", "service_port": 443}},
        {"envoy_annotations": {"any.thing/at-all": {"of": ["any", 1, None]}}},
        {"envoy_extra": "3"},
        {"sonic_models": [{"name": "pn", "max_batch_size": None}]},
        {"site_note": "not ours", "envoyage": "nor this"},
    ],
    ids=str,
)
def test_what_the_specs_allow_passes(variables: Mapping[str, Any]) -> None:
    assert problems(variables) == []


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"envoy_replica": 3}, "envoy_replica is unknown for cms: did you mean envoy_replicas?"),
        ({"envoy_colour": "red"}, "envoy_colour is unknown for cms: remove it."),
        (
            {"envoy_exposure": {"mod": "none"}},
            "envoy_exposure.mod is unknown for cms: did you mean mode?",
        ),
        (
            {"envoy_exposure": {"tls": True}},
            "envoy_exposure.tls is unknown for cms: choose one of mode, port.",
        ),
        (
            {"envoy_exposure": {"mode": "ingres"}},
            (
                'envoy_exposure.mode is "ingres" for cms: choose one of none, cluster, nodeport, ingress. '
                'Did you mean "ingress"?'
            ),
        ),
        (
            {"envoy_protocols": ["grpc", "https"]},
            'envoy_protocols[1] is "https" for cms: choose one of grpc, http. Did you mean "http"?',
        ),
        ({"envoy_replicas": "3"}, 'envoy_replicas is "3" for cms: write a whole number, without quotes.'),
        ({"envoy_replicas": True}, "envoy_replicas is true for cms: write a whole number, without quotes."),
        ({"envoy_replicas": 1.5}, "envoy_replicas is 1.5 for cms: write a whole number, without quotes."),
        ({"envoy_log": "yes"}, 'envoy_log is "yes" for cms: write true or false, without quotes.'),
        ({"envoy_ratio": "0.5"}, 'envoy_ratio is "0.5" for cms: write a number, without quotes.'),
        ({"envoy_protocols": "grpc,http"}, 'envoy_protocols is "grpc,http" for cms: write a list.'),
        ({"envoy_annotations": ["a"]}, "envoy_annotations is a list for cms: write a mapping of keys to values."),
        ({"sonic_cluster": 7}, "sonic_cluster is 7 for cms: put it in quotes."),
        ({"envoy_password": 1234}, "envoy_password is a secret for cms: put it in quotes."),
        ({"sonic_cluster": ["geddes"]}, "sonic_cluster is a list for cms: write one string."),
        ({"envoy_log": "y" * 100}, f'envoy_log is "{"y" * 58}… for cms: write true or false, without quotes.'),
        (
            {"envoy_replicas": None},
            "envoy_replicas is empty for cms: give it a value, or remove it for the default 2.",
        ),
        (
            {"sonic_models": [{"max_batch_size": 8}]},
            "sonic_models[0].name is not set for cms: set it. The model's name.",
        ),
        (
            {"sonic_models": [{"name": "a"}, {"name": "b", "required": "no"}]},
            'sonic_models[1].required is "no" for cms: write true or false, without quotes.',
        ),
        ({"sonic_models": ["pn"]}, 'sonic_models[0] is "pn" for cms: write a mapping of keys to values.'),
    ],
)
def test_each_departure_names_value_and_remedy(variables: Mapping[str, Any], sentence: str) -> None:
    assert problems(variables) == [sentence]


def test_what_is_required_must_be_set() -> None:
    expected = ["sonic_cluster is not set for cms: set it in the inventory. The host of the cluster."]
    assert problems({}, required=("sonic_cluster",)) == expected
    assert problems({"sonic_cluster": None}, required=("sonic_cluster",)) == expected


def test_all_departures_are_reported_at_once() -> None:
    assert len(problems({"envoy_replicas": "3", "envoy_lag": True, "sonic_models": [{}, {}]})) == 4


def test_hosts_that_share_a_departure_share_its_sentence() -> None:
    findings = {host: list(check_host(OPTIONS, PREFIXES, (), {"envoy_log": 1})) for host in ("atlas", "cms")}
    assert report(findings) == ["envoy_log is 1 for atlas, cms: write true or false, without quotes."]


def test_variables_that_lack_a_value_for_one_reason_share_a_sentence() -> None:
    findings = {
        "cms": [
            Unreadable("envoy_image", "lab/envoy.yml:1", "no such file"),
            Unreadable("keda_image", "", "no such file"),
        ],
        "atlas": [Unreadable("envoy_image", "lab/envoy.yml:1", "no such file"), Unreadable("envoy_log", "", "no log")],
    }
    assert report(findings) == [
        "envoy_image (lab/envoy.yml:1) and 1 more, such as keda_image, have no value for cms, atlas: no such file",
        "envoy_log has no value for atlas: no log",
    ]


@pytest.mark.parametrize(
    ("play", "roles"),
    [
        ({"hosts": "instances", "roles": ["hep.sonic.triton", {"role": "hep.sonic.envoy"}]}, {"triton", "envoy"}),
        ({"hosts": "clusters:instances", "roles": ["hep.sonic.preflight"]}, {"preflight"}),
        ({"hosts": "clusters", "roles": ["hep.sonic.keda"]}, set()),
        ({"hosts": "instances", "tasks": []}, set()),
        (
            {
                "hosts": "instances",
                "roles": ["hep.sonic.envoy"],
                "tasks": [
                    {IMPORT_ROLE: {"name": "hep.sonic.monitoring", "tasks_from": "instance", "vars_from": "instance"}},
                    {IMPORT_ROLE: {"name": "hep.sonic.triton", "tasks_from": "look"}},
                    {"ansible.builtin.debug": {"msg": "no role"}},
                ],
            },
            {"envoy", "monitoring:instance"},
        ),
    ],
)
def test_the_plays_say_which_roles_a_group_gets(play: Mapping[str, Any], roles: set[str]) -> None:
    assert roles_by_group([play], ["instances"]) == {"instances": roles}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, []),
        ({"sonic_autoscaler": "keda"}, []),
        ({"triton_autoscaler": "none"}, []),
        ({"autoscaler_engine": "keda"}, ["autoscaler_engine"]),
        ({"autoscaler_engine": "keda", "triton_autoscaler": "keda"}, ["autoscaler_engine", "triton_autoscaler"]),
        ({"sonic_autoscaler": "keda", "triton_autoscaler": "none"}, ["triton_autoscaler"]),
        ({"monitoring_autoscaler": "hpa"}, ["monitoring_autoscaler"]),
        ({"keda_engine": "hpa"}, []),  # of a role that this host has not
    ],
    ids=str,
)
def test_who_scales_is_one_for_all(given: dict[str, str], named: list[str]) -> None:
    names = ("autoscaler_engine", "triton_autoscaler", "monitoring_autoscaler", "keda_engine")
    defaults = {**dict.fromkeys(names, "{{ sonic_autoscaler }}"), "sonic_autoscaler": "none", "triton_models": []}
    shared = given.get("sonic_autoscaler", "none")
    variables = {**dict.fromkeys(names, shared), "sonic_autoscaler": shared, **given}
    told = [found.reason for found in differing(variables, defaults, ["autoscaler", "monitoring:instance", "triton"])]
    assert [reason.partition(" ")[0] for reason in told] == named
    assert all(f'and sonic_autoscaler is "{shared}"' in reason for reason in told)
