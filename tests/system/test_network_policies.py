# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""NetworkPolicies: what is kept from whom, and what goes on all the same, with real connections from real pods."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.lab.api import Api, Object
from tests.lab.parts import Parts
from tests.lab.state import State
from tests.system.instance import QUICK, Instance

#: The first test waits for the deployment, too.
pytestmark = pytest.mark.timeout(600)

INSTANCE: Final = Instance("policies", 30825)
NAMESPACE: Final = INSTANCE.name
#: Namespaces of the tests' own, so that they meet nobody's.
ELSEWHERE: Final = "policies-elsewhere"
MONITORING: Final = "policies-monitoring"
NODES: Final = ("node-1", "node-2")
DNS: Final = "kube-dns.kube-system.svc.cluster.local:53"
SERVICE: Final = f"{INSTANCE.name}.{NAMESPACE}.svc.cluster.local:8001"
API_SERVER: Final = "kubernetes.default.svc.cluster.local:443"

#: Tries to connect to each argument and leaves as its last words which it could. A pod may start before there are rules
#: for it on every node: the kernel asks again after 1, 3 and 7 s, and what is kept from it stays so all that time.
PROBE: Final = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def reach(target):
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError:
        return False
    return True
with ThreadPoolExecutor(64) as threads:
    reached = [target for target, good in zip(sys.argv[1:], threads.map(reach, sys.argv[1:])) if good]
with open("/dev/termination-log", "w") as words:
    json.dump(reached, words)
"""


@dataclass(frozen=True)
class Caller:
    """A pod that calls, and what it reaches: by the names of `targets`."""

    namespace: str
    reaches: frozenset[str]
    labels: Mapping[str, str] = field(default_factory=dict)


CALLERS: Final[Mapping[str, Caller]] = {
    "a stranger reaches the service and no more": Caller(ELSEWHERE, frozenset({"service", "envoy", "dns", "api"})),
    "the Envoy of another instance in the namespace is a stranger": Caller(
        NAMESPACE,
        frozenset({"service", "envoy", "dns", "api"}),
        {"app.kubernetes.io/name": "envoy", "app.kubernetes.io/instance": "policies-b"},
    ),
    "the monitoring reads metrics": Caller(
        MONITORING, frozenset({"service", "envoy", "dns", "api", "stats", "metrics"})
    ),
    "a server reaches nothing but the DNS": Caller(
        NAMESPACE,
        frozenset({"dns"}),
        {"app.kubernetes.io/name": "triton", "app.kubernetes.io/instance": INSTANCE.name},
    ),
    "an Envoy reaches its servers, and what tells it of them": Caller(
        NAMESPACE,
        frozenset({"dns", "http", "grpc", "api"}),
        {"app.kubernetes.io/name": "envoy", "app.kubernetes.io/instance": INSTANCE.name},
    ),
}


@dataclass(frozen=True)
class Site:
    """The lab, with what the tests ask of it.

    Args:
        api: Its API server.
        image: An image with Python.
    """

    api: Api
    image: str

    def addresses(self, component: str) -> list[str]:
        """Return the addresses of the instance's pods of a component."""
        selector = f"app.kubernetes.io%2Fname%3D{component},app.kubernetes.io%2Finstance%3D{INSTANCE.name}"
        pods = self.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={selector}")["items"]
        return [pod["status"]["podIP"] for pod in pods if pod["metadata"]["name"].startswith(f"{INSTANCE.name}-")]

    def targets(self) -> dict[str, list[str]]:
        """Return what can be called: each name with the addresses and ports behind it."""
        servers, envoys = self.addresses("triton"), self.addresses("envoy")
        return {
            "service": [SERVICE],
            "envoy": [f"{address}:8001" for address in envoys],
            "stats": [f"{address}:9902" for address in envoys],
            "drain": [f"{address}:9903" for address in envoys],
            "http": [f"{address}:8000" for address in servers],
            "grpc": [f"{address}:8001" for address in servers],
            "metrics": [f"{address}:8002" for address in servers],
            "dns": [DNS],
            "api": [API_SERVER],
        }

    def call(self, caller: Caller, targets: Sequence[str]) -> dict[str, set[str]]:
        """Start a pod on each node that calls as soon as it runs; return what each could reach."""
        found = {}
        names = {node: f"probe-{node}-{time.monotonic_ns()}" for node in NODES}
        pods = f"/api/v1/namespaces/{caller.namespace}/pods"
        for node, name in names.items():
            answer = self.api.ask("POST", pods, self._pod(name, node, caller.labels, targets))
            assert answer.status == 201, answer.text
        for node, name in names.items():
            words = self._last_words(f"{pods}/{name}")
            found[node] = set(json.loads(words))
            self.api.delete(f"{pods}/{name}?gracePeriodSeconds=0")
        return found

    def _pod(self, name: str, node: str, labels: Mapping[str, str], targets: Sequence[str]) -> Object:
        return {
            "metadata": {"name": name, "labels": dict(labels)},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "nodeSelector": {"kubernetes.io/hostname": node},
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "probe",
                        "image": self.image,
                        "command": ["python3", "-I", "-c", PROBE, *targets],
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    }
                ],
            },
        }

    def _last_words(self, path: str) -> str:
        end = time.monotonic() + 120
        while True:
            status = self.api.get(path)["status"]
            states = [container["state"] for container in status.get("containerStatuses", [])]
            if states and "terminated" in states[0]:
                words: str = states[0]["terminated"].get("message", "")
                return words
            assert time.monotonic() < end, status
            time.sleep(0.1)


def deploy(**variables: Any) -> None:
    """Deploy the instance; what it is given is for its roles alone, as other tests use the cluster's meanwhile."""
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": MONITORING}}}]
    monitored = {"triton_monitoring_peers": peers, "envoy_monitoring_peers": peers}
    INSTANCE.must("hep.sonic.site", **monitored, **QUICK, **variables)


@pytest.fixture(scope="module")
def site(kubeconfig: Path, own_instance: Instance) -> Iterator[Site]:
    """The instance under policies, beside two namespaces of others."""
    assert own_instance is INSTANCE
    state = State.load(kubeconfig.parent)
    assert state is not None
    if state.nodes < len(NODES):
        pytest.skip("needs two nodes: `make lab-up`")
    api = Parts.of(kubeconfig.parent, state).control.api()
    deploy()
    for name in (ELSEWHERE, MONITORING):
        api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    images = json.loads((kubeconfig.parent / "images.json").read_text(encoding="utf-8"))
    yield Site(api, images["python"])
    for name in (ELSEWHERE, MONITORING):
        api.delete(f"/api/v1/namespaces/{name}")


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS.keys())
def test_who_reaches_what(site: Site, caller: Caller) -> None:
    targets = site.targets()
    wanted = {target for name in caller.reaches for target in targets[name]}
    found = site.call(caller, [target for group in targets.values() for target in group])
    assert found == dict.fromkeys(NODES, wanted)


def test_without_policies_nothing_is_kept_from_anybody(site: Site) -> None:
    deploy(triton_network_policies=False, envoy_network_policies=False, triton_allowed_clients=[])
    targets = [target for group in site.targets().values() for target in group]
    assert site.call(Caller(ELSEWHERE, frozenset()), targets) == {node: set(targets) for node in NODES}
