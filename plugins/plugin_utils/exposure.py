# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How clients reach an instance, and when that would be unsafe."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.options import Spec, fill

#: The options of ``envoy_exposure``; the role ``envoy`` documents them.
EXPOSURE_SPEC: Final[Spec] = {
    "mode": {"type": "str", "default": "cluster", "choices": ["none", "cluster", "nodeport", "loadbalancer"]},
    "annotations": {"type": "dict", "default": {}},
    "node_port": {"type": "int"},
    "load_balancer_class": {"type": "str"},
    "source_ranges": {"type": "list", "elements": "str", "default": []},
    "traffic_policy": {"type": "str", "default": "Cluster", "choices": ["Cluster", "Local"]},
    "allow_plaintext": {"type": "bool", "default": False},
}
#: The modes in which an option means something; in others, it would silently do nothing.
MODES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "annotations": ("cluster", "nodeport", "loadbalancer"),
    "node_port": ("nodeport",),
    "load_balancer_class": ("loadbalancer",),
    "source_ranges": ("loadbalancer",),
    "traffic_policy": ("nodeport", "loadbalancer"),
    "allow_plaintext": ("nodeport", "loadbalancer"),
}
#: Modes that may be reached from outside of the cluster.
PUBLIC: Final = ("nodeport", "loadbalancer")


def fill_exposure(exposure: Any) -> dict[str, Any]:
    """Return the value of ``envoy_exposure`` with all its options.

    Raises:
        SonicError: An option does not belong to the mode, or everybody could call a service that neither encrypts nor
            authenticates.
    """
    filled = fill(exposure, EXPOSURE_SPEC, "envoy_exposure")
    mode = filled["mode"]
    for option, modes in MODES_OF.items():
        if option in exposure and mode not in modes:
            raise SonicError(
                f"envoy_exposure.{option} is set, but the mode is {mode}, which does not use it.",
                f"Leave it out, or set envoy_exposure.mode to {' or '.join(modes)}.",
            )
    if mode in PUBLIC and not filled["allow_plaintext"] and not _restricted(filled["source_ranges"]):
        raise SonicError(
            f"envoy_exposure.mode is {mode}: everybody who reaches the nodes could call the service, "
            "which speaks neither TLS nor asks for a token.",
            "Name the networks that may call (mode loadbalancer, envoy_exposure.source_ranges), or accept it with"
            " envoy_exposure.allow_plaintext: true.",
        )
    return filled


def _restricted(source_ranges: list[str]) -> bool:
    """Whether `source_ranges` keep anybody out.

    Raises:
        SonicError: One is no network.
    """
    try:
        networks = [ip_network(source_range) for source_range in source_ranges]
    except ValueError as error:
        raise SonicError(f"envoy_exposure.source_ranges: {error}.", "Write a network like 192.0.2.0/24.") from error
    return bool(networks) and all(network.prefixlen for network in networks)
