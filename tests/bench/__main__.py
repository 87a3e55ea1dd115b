# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure everything, or what is named on the command line; write results.json and docs/benchmarks.md."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from tests.bench.apply import measure_apply
from tests.bench.nodes import measure_nodes
from tests.bench.pools import measure_pools
from tests.bench.report import DOCUMENT, render
from tests.bench.scale import measure_scale
from tests.bench.service import measure_proxy, measure_site, measure_start
from tests.tools.common import step

RESULTS: Final = Path(__file__).with_name("results.json")
MEASUREMENTS: Final[Mapping[str, tuple[str, Callable[[], Any]]]] = {
    "apply": ("hep.sonic.apply beside kubernetes.core.k8s (about 3 minutes)", measure_apply),
    "nodes": ("A thousand pretended nodes, and 500 servers on them (about 4 minutes)", measure_nodes),
    "start": ("From an empty machine to a verified inference, warm (half a minute)", measure_start),
    "site": ("The playbook site on what is there already (half a minute)", measure_site),
    "scale": ("From no server to 500 by the demand, on pretended nodes (about 5 minutes)", measure_scale),
    "pools": ("Two pools of different speed (about 3 minutes)", measure_pools),
    "proxy": ("Envoy in front of Triton (half a minute)", measure_proxy),
}


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.partition(": ")[2] for line in cpus.splitlines() if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "python": sys.version.split()[0],
        "ansible-core": version("ansible-core"),
        "kubernetes": version("kubernetes"),
    }


def main() -> None:
    """Measure, write, show."""
    chosen = sys.argv[1:] or list(MEASUREMENTS)
    if unknown := sorted(set(chosen) - set(MEASUREMENTS)):
        sys.exit(f"There is no measurement {unknown[0]!r}.\nChoose from {', '.join(MEASUREMENTS)}.")
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in chosen:
        title, measurement = MEASUREMENTS[name]
        with step(title):
            results[name] = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "figures": measurement()}
        # each at once: the next one may fail
        RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if missing := sorted(set(MEASUREMENTS) - set(results)):
        sys.exit(f"Not written to {DOCUMENT.name} yet, for want of {', '.join(missing)}.")
    DOCUMENT.write_text(render(results), encoding="utf-8")
    print(render(results))


if __name__ == "__main__":
    main()
