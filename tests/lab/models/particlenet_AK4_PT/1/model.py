# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Serves the network of `network.py` under the signature that CMS' clients know."""

from __future__ import annotations

import os
from typing import Any

# Before numpy: its matrices are small, and threads of several instances would only fight for the processors.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import network
import triton_python_backend_utils as pb_utils

_INPUTS = ("pf_points__0", "pf_features__1", "pf_mask__2", "sv_points__3", "sv_features__4", "sv_mask__5")


class TritonPythonModel:
    """Tags jets."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Return one response for each request."""
        return [pb_utils.InferenceResponse([_tag(request)]) for request in requests]


def _tag(request: Any) -> Any:
    inputs = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in _INPUTS]
    return pb_utils.Tensor("softmax__0", network.scores(*inputs))
