# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers what it was sent."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Copies INPUT0 to OUTPUT0."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Return one response for each request."""
        return [pb_utils.InferenceResponse([_copy(request)]) for request in requests]


def _copy(request: Any) -> Any:
    return pb_utils.Tensor("OUTPUT0", pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy())
