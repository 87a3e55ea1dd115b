# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A closed-loop client of one request at a time, a process of its own: ``… latency FIRST SECOND BLOCKS REQUESTS``.

Asks two targets in turns, block by block, so that what else the machine does meets both alike, and prints the seconds
of every request as JSON: target → list.
"""

from __future__ import annotations

import json
import sys
import time

import grpc
from tritonclient.grpc import service_pb2

METHOD = "/inference.GRPCInferenceService/ModelInfer"
VALUES = 16


def main() -> None:
    """Measure."""
    *targets, blocks, requests = sys.argv[1:]
    request = service_pb2.ModelInferRequest(model_name="identity")
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[VALUES])
    request.raw_input_contents.append(bytes(range(4 * VALUES)))
    body = request.SerializeToString()
    calls = {target: grpc.insecure_channel(target).unary_unary(METHOD) for target in targets}
    seconds: dict[str, list[float]] = {target: [] for target in targets}
    for block in range(-1, int(blocks)):  # the first warms up
        for target, call in calls.items():
            for _request in range(int(requests)):
                start = time.perf_counter()
                call(body, timeout=10)
                if block >= 0:
                    seconds[target].append(time.perf_counter() - start)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
