# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters for NetworkPolicies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.hep.sonic.plugins.plugin_utils.networks import (
    network_peers,
    network_rules,
    to_api_server,
    to_dns,
    to_traces,
)


class FilterModule:
    """The filters of this file, by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return each filter's function."""
        return {
            "network_peers": network_peers,
            "network_rules": network_rules,
            "to_api_server": to_api_server,
            "to_dns": to_dns,
            "to_traces": to_traces,
        }
