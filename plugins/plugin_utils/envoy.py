# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of Envoy's configuration that need more than a value put in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.options import Spec, fill

Config = dict[str, Any]

#: The options of ``envoy_balancing``; the role ``envoy`` documents them.
BALANCING_SPEC: Final[Spec] = {
    "policy": {
        "type": "str",
        "default": "least_request",
        "choices": ["least_request", "round_robin", "random", "ring_hash", "maglev"],
    },
    "hash_header": {"type": "str", "default": ""},
}

#: Envoy's message of each policy, and what we set in it.
POLICIES: Final[Mapping[str, tuple[str, Config]]] = {
    # Of four at random, not of Envoy's two: a request occupies a server for long. Not of all: a server that breaks off
    # what it gets has the least to do, so each repetition would choose it again, and never come to another one.
    "least_request": ("LeastRequest", {"choice_count": 4}),
    "round_robin": ("RoundRobin", {}),
    "random": ("Random", {}),
    "ring_hash": ("RingHash", {}),
    "maglev": ("Maglev", {}),
}
#: Policies that choose by a hash of the request; without one they choose at random.
HASHING: Final = ("ring_hash", "maglev")


def _balancing(balancing: Any) -> Config:
    filled = fill(balancing, BALANCING_SPEC, "envoy_balancing")
    policy, header = filled["policy"], filled["hash_header"]
    if policy in HASHING and not header:
        raise SonicError(
            f"envoy_balancing.policy is {policy}, which would choose servers at random: hash_header is not set.",
            "Set envoy_balancing.hash_header to the request header that names what must stay on one server.",
        )
    if header and policy not in HASHING:
        raise SonicError(
            f"envoy_balancing.hash_header is set, but the policy {policy} does not look at it.",
            f"Choose the policy {' or '.join(HASHING)}, or leave hash_header out.",
        )
    return filled


def balancing_policy(balancing: Any) -> Config:
    """Return ``load_balancing_policy`` of a cluster.

    Args:
        balancing: The value of ``envoy_balancing``.

    Raises:
        SonicError: A policy by hash without a header, or a header without such a policy.
    """
    name = _balancing(balancing)["policy"]
    message, options = POLICIES[name]
    return {
        "policies": [
            {
                "typed_extension_config": {
                    "name": f"envoy.load_balancing_policies.{name}",
                    "typed_config": {
                        "@type": f"type.googleapis.com/envoy.extensions.load_balancing_policies.{name}.v3.{message}",
                        **options,
                    },
                }
            }
        ]
    }


def hash_policy(balancing: Any) -> list[Config]:
    """Return ``hash_policy`` of a route: what `balancing_policy` hashes, empty where it does not."""
    header = _balancing(balancing)["hash_header"]
    return [{"header": {"header_name": header}}] if header else []


def dns_endpoints(pools: Sequence[Mapping[str, Any]], service: str, domain: str, port: int) -> Config:
    """Return ``load_assignment.endpoints`` of a cluster: the headless Service of each pool.

    Every server of a pool gets the pool's weight, so that a pool of faster servers is given more requests.

    Args:
        pools: The pools as `fill_pools` returns them.
        service: What the name of a pool's Service starts with; the pool's name follows.
        domain: Namespace and domain of the Services, such as ``cms.svc.cluster.local``.
        port: The servers' port.
    """
    return {
        "lb_endpoints": [
            {
                "endpoint": {
                    # the dot at the end: the name is complete, so that the search domains are not tried first
                    "address": {
                        "socket_address": {"address": f"{service}-{pool['name']}.{domain}.", "port_value": port}
                    }
                },
                "load_balancing_weight": pool["target_in_flight"],
            }
            for pool in pools
        ]
    }
