# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters for where models come from, and which must be there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.hep.sonic.plugins.plugin_utils.models import (
    model_mounts,
    model_repositories,
    model_volumes,
    ready_check,
    required_models,
)


class FilterModule:
    """The filters of this file, by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return each filter's function."""
        return {
            "model_mounts": model_mounts,
            "model_repositories": model_repositories,
            "model_volumes": model_volumes,
            "ready_check": ready_check,
            "required_models": required_models,
        }
