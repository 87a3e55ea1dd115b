# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers what it was sent, after a time that the request or the configuration sets."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Copies INPUT0 to OUTPUT0 once SERVICE_SECONDS have passed."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the service time for requests that do not bring their own."""
        parameters = json.loads(args["model_config"])["parameters"]
        self._seconds = float(parameters["service_seconds"]["string_value"])
        self._factor = float(os.environ.get("PACED_FACTOR", "1"))  # how much slower this server is than others

    def execute(self, requests: list[Any]) -> list[Any]:
        """Return one response for each request."""
        return [pb_utils.InferenceResponse([self._serve(request)]) for request in requests]

    def _serve(self, request: Any) -> Any:
        asked = pb_utils.get_input_tensor_by_name(request, "SERVICE_SECONDS")
        time.sleep(self._factor * (self._seconds if asked is None else float(asked.as_numpy()[0])))
        return pb_utils.Tensor("OUTPUT0", pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy())
