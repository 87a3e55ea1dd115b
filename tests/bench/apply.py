# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Applying ConfigMaps: hep.sonic.apply beside kubernetes.core.k8s, on the same API server, in turns."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Access, Cluster
from tests.bench.process import Cost, measure
from tests.lab.lab import Lab
from tests.lab.progress import Progress
from tests.tools.common import HOME, ROOT, step

#: The PyPI package that carries kubernetes.core; `pip download` of it needs no Galaxy.
ANSIBLE: Final = "ansible==12.3.0"
NUMBERS: Final = (20, 200)
#: How often everything is measured; the median counts.
ROUNDS: Final = 5
NAMESPACE: Final = "bench"
LAB: Final = "bench"

#: What is compared: name → the task, given the list of objects.
WAYS: Final[Mapping[str, Mapping[str, Any]]] = {
    "hep.sonic.apply": {
        "hep.sonic.apply": {"release": "bench", "namespace": NAMESPACE, "objects": "{{ objects }}"},
    },
    "kubernetes.core.k8s": {
        "kubernetes.core.k8s": {"definition": "{{ objects }}"},
    },
    "kubernetes.core.k8s, server-side apply": {
        "kubernetes.core.k8s": {
            "definition": "{{ objects }}",
            "apply": True,
            "server_side_apply": {"field_manager": "bench", "force_conflicts": True},
        },
    },
}
#: Requests are counted by the API server itself, for the resources that a way touches. The background updates leases.
_COUNTED: Final = re.compile(r'apiserver_request_total\{(?=.*resource="(configmaps|secrets|leases)")(.*)\} (\S+)')


@dataclass(frozen=True)
class Figures:
    """One way, one number of objects, one situation; CPU and wall seconds are those above an empty play."""

    way: str
    objects: int
    situation: str
    cpu: float
    wall: float
    memory_mib: float
    requests: float


def kubernetes_core() -> Path:
    """Return a folder with the collection kubernetes.core, which the PyPI package `ansible` carries."""
    folder = HOME / "bench" / ANSIBLE.replace("==", "-")
    if not folder.exists():
        with (
            step(f"Downloading {ANSIBLE} for its kubernetes.core (54 MB, once)"),
            tempfile.TemporaryDirectory() as temp,
        ):
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", temp, ANSIBLE]
            subprocess.run(pip, check=True)
            (wheel,) = Path(temp).glob("*.whl")
            partial = folder.with_suffix(".partial")
            with zipfile.ZipFile(wheel) as archive:
                prefix = "ansible_collections/kubernetes/core/"
                archive.extractall(partial, [name for name in archive.namelist() if name.startswith(prefix)])
            partial.rename(folder)
    return folder


@contextmanager
def control_plane() -> Iterator[Path]:
    """Start a control plane of its own; yield its kubeconfig."""
    lab = Lab(LAB, Progress(None))
    lab.up("control")
    try:
        yield lab.kubeconfig
    finally:
        lab.down()


class Bench:
    """Measures plays against one API server.

    Args:
        kubeconfig: The API server.
        folder: Where to write the plays.
    """

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self._folder = folder
        self._kubeconfig = kubeconfig
        self._environment = {
            "ANSIBLE_COLLECTIONS_PATH": f"{ROOT / '.collections'}:{kubernetes_core()}",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "K8S_AUTH_KUBECONFIG": str(kubeconfig),
        }

    def play(self, tasks: list[Any], number: int = 0) -> Cost:
        """Run a play with these tasks; the variable `objects` has as many ConfigMaps."""
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
                "objects": [configmap(index) for index in range(number)],
            },
            "tasks": tasks,
        }
        path = self._folder / "play.json"
        path.write_text(json.dumps([play]), encoding="utf-8")
        return measure([str(Path(sys.executable).with_name("ansible-playbook")), str(path)], self._environment)

    def requests(self, cluster: Cluster) -> float:
        """Return how many requests the API server has answered so far."""
        text = cluster.request("GET", "/metrics").body
        found = (match for match in map(_COUNTED.fullmatch, text.splitlines()) if match)
        return sum(float(match[3]) for match in found if not ("leases" in match[2] and 'verb="PUT"' in match[2]))

    def run(self) -> list[Figures]:
        """Measure all ways, in turns."""
        empty: list[Cost] = []
        costs: dict[tuple[str, int, str], list[tuple[Cost, float]]] = {}
        with Cluster(Access(kubeconfig=str(self._kubeconfig))) as cluster:
            for _round in range(ROUNDS):
                empty.append(self.play([]))
                for number, way in product(NUMBERS, WAYS):
                    self._empty_namespace(cluster)
                    for situation in ("new", "unchanged"):
                        before = self.requests(cluster)
                        cost = self.play([WAYS[way]], number)
                        count = self.requests(cluster) - before
                        costs.setdefault((way, number, situation), []).append((cost, count))
        return [
            Figures(
                way,
                number,
                situation,
                cpu=round(median(cost.cpu for cost, _count in runs) - median(cost.cpu for cost in empty), 3),
                wall=round(median(cost.wall for cost, _count in runs) - median(cost.wall for cost in empty), 3),
                memory_mib=round(median(cost.memory_mib for cost, _count in runs), 1),
                requests=median(count for _cost, count in runs),
            )
            for (way, number, situation), runs in costs.items()
        ]

    @staticmethod
    def _empty_namespace(cluster: Cluster) -> None:
        namespaces = BUILT_IN["", "Namespace"]
        if cluster.get(namespaces, "", NAMESPACE) is None:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
            cluster.request("POST", namespaces.path(), body=body)
        for kind in ("ConfigMap", "Secret"):
            cluster.request("DELETE", BUILT_IN["", kind].path(NAMESPACE))


def configmap(index: int) -> dict[str, Any]:
    """Return an object of the size of a usual one."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"bench-{index:03}", "namespace": NAMESPACE, "labels": {"app": "bench"}},
        "data": {f"key-{line}": f"value {line} of object {index}" for line in range(10)},
    }


def measure_apply() -> dict[str, Any]:
    """Return the figures of all ways."""
    with control_plane() as kubeconfig, tempfile.TemporaryDirectory() as folder:
        rows = [asdict(figures) for figures in Bench(kubeconfig, Path(folder)).run()]
    return {"rounds": ROUNDS, "rows": rows}
