# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters for the rules by which a Prometheus watches an instance, and for who is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.hep.sonic.plugins.plugin_utils.receivers import (
    alertmanager_config,
    alertmanager_credentials,
    alertmanager_target,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.rules import alerts_left_out, rule_groups


class FilterModule:
    """The filters of this file, by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return each filter's function."""
        return {
            "alertmanager_config": alertmanager_config,
            "alertmanager_credentials": alertmanager_credentials,
            "alertmanager_target": alertmanager_target,
            "alerts_left_out": alerts_left_out,
            "rule_groups": rule_groups,
        }
