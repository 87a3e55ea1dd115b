# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The instance under test: deployed by the playbook as an operator does it, observed through the API server."""

from __future__ import annotations

import re
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import RequestError
from tests.system.instance import Instance

INSTANCE: Final = Instance("faults", 30802)
NAMESPACE: Final = INSTANCE.name
COMPONENTS: Final = ("triton", "envoy")
#: What the cluster is told besides its inventory: its Prometheus reads this instance's namespace, too.
CLUSTER: Final = {"monitoring_instance_namespaces": ["sonic-lab", NAMESPACE]}
#: The instance's ``sonic_longest_request``: more than the longest request that the tests send.
LONGEST_SECONDS: Final = 75
#: Where an Envoy tells its statistics.
STATS_PORT: Final = 9902
POD: Final = BUILT_IN["", "Pod"]
SERVICE: Final = BUILT_IN["", "Service"]
NODE: Final = BUILT_IN["", "Node"]


@dataclass(frozen=True)
class Pod:
    """A Pod of the instance."""

    name: str
    uid: str
    node: str
    ready: bool
    leaving: bool
    address: str = ""

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> Pod:
        """Read an object of the API."""
        conditions = {entry["type"]: entry["status"] for entry in obj["status"].get("conditions") or []}
        metadata = obj["metadata"]
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            node=obj["spec"].get("nodeName", ""),
            ready=conditions.get("Ready") == "True",
            leaving="deletionTimestamp" in metadata,
            address=obj["status"].get("podIP", ""),
        )


def healthy_servers(envoy: Pod) -> int:
    """Return how many healthy servers an Envoy knows, by gRPC or by HTTP: the fewer of the two."""
    url = f"http://{envoy.address}:{STATS_PORT}/stats/prometheus"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return 0
    found = re.findall(
        r'^envoy_cluster_membership_healthy\{envoy_cluster_name="triton_\w+"\} (\d+)$', text, re.MULTILINE
    )
    return min(map(int, found), default=0)


@dataclass
class Site:
    """The instance under test.

    Args:
        cluster: The connection to the lab.
        keep_dns: Lets the cluster's DNS keep answers for some seconds.
        variables: What it was deployed with last, besides its inventory.
        changes: What has been changed since the first deployment; it stays, so that nothing rolls back and forth.
        prepared: Whether the cluster has what the instance needs of it.
    """

    cluster: Cluster
    keep_dns: Callable[[int], None]
    variables: Mapping[str, Any] | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    prepared: bool = False

    def deploy(self, variables: Mapping[str, Any]) -> None:
        """Deploy the instance with these variables, where it is not so already, and wait until that is done."""
        if variables != self.variables:
            self.variables = variables
            self.change({})

    def change(self, changes: Mapping[str, Any]) -> None:
        """Deploy the instance as it is with these changes, and wait until that is done."""
        self.changes |= changes
        self._run("hep.sonic.service" if self.prepared else "hep.sonic.site")
        self.prepared = True

    def forget(self, change: str) -> None:
        """Let the next deployment be without a change."""
        del self.changes[change]
        self.variables = None

    def repeat(self) -> None:
        """Deploy the instance and all that the cluster has for it as they are, as an operator does at any time."""
        self._run("hep.sonic.site")

    def _run(self, playbook: str) -> None:
        given = {**CLUSTER, **(self.variables or {}), **self.changes}
        INSTANCE.must(playbook, sonic_longest_request=LONGEST_SECONDS, **given)

    @property
    def target(self) -> str:
        """The address of its Service in the cluster."""
        service = self.cluster.get(SERVICE, NAMESPACE, INSTANCE.name)
        assert service is not None
        return f"{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"

    def pods(self, component: str) -> list[Pod]:
        """Return the Pods of Triton or Envoy, those that are leaving included."""
        selector = f"app.kubernetes.io/name={component},app.kubernetes.io/instance={INSTANCE.name}"
        return [Pod.of(obj) for obj in self.cluster.list(POD, NAMESPACE, labels=selector)]

    def serving(self, component: str, node: str = "") -> list[Pod]:
        """Return the Pods that are ready and not leaving, of one node or of all."""
        pods = [pod for pod in self.pods(component) if pod.ready and not pod.leaving]
        return [pod for pod in pods if node in ("", pod.node)]

    def delete(self, pod: Pod, *, at_once: bool = False) -> None:
        """Delete a Pod, as a person does, or without waiting for what it still does."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions"} | ({"gracePeriodSeconds": 0} if at_once else {})
        try:
            self.cluster.request("DELETE", POD.path(NAMESPACE, pod.name), body=body)
        except RequestError as error:
            if error.status != 404:
                raise

    def scale(self, deployment: str, replicas: int) -> None:
        """Set the number of Pods as an autoscaler does; the Deployment is a path of the API."""
        body = {"spec": {"replicas": replicas}}
        self.cluster.request("PATCH", f"{deployment}/scale", body=body, content_type="application/merge-patch+json")

    def evict(self, pod: Pod) -> None:
        """Ask to have a Pod moved, again and again until its disruption budget allows it."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": NAMESPACE},
        }
        self.cluster.request("POST", POD.path(NAMESPACE, pod.name) + "/eviction", body=body)

    def gone(self, pod: Pod) -> bool:
        """Return whether a Pod has ended and left the API."""
        found = self.cluster.get(POD, NAMESPACE, pod.name)
        return found is None or found["metadata"]["uid"] != pod.uid

    def cordon(self, node: str, *, closed: bool) -> None:
        """Close a node for new Pods, or open it."""
        patch = {"spec": {"unschedulable": closed or None}}
        self.cluster.request(
            "PATCH", NODE.path("", node), body=patch, content_type="application/strategic-merge-patch+json"
        )

    def node_is_well(self, node: str) -> bool:
        """Return whether a node is ready, without a taint that says otherwise."""
        found = self.cluster.get(NODE, "", node)
        assert found is not None
        ready = {entry["type"]: entry["status"] for entry in found["status"]["conditions"]}["Ready"] == "True"
        return ready and not found["spec"].get("taints")

    def settle(self, wanted: Mapping[str, int], *, spread: bool, seconds: float = 120) -> None:
        """Wait until as many Pods as wanted serve and no other is left; move those that crowd a node.

        Args:
            wanted: Component → how many.
            spread: Whether the Envoys are to be on more than one node; the Tritons always are.
            seconds: How long that may take.
        """
        for component in COMPONENTS:
            self.wait(partial(self._settled, component, wanted[component], spread), seconds)
        # A server that has just come is not in every Envoy's answer of the DNS yet: one fault at a time.
        self.wait(lambda: all(healthy_servers(pod) == wanted["triton"] for pod in self.pods("envoy")), seconds)

    def _settled(self, component: str, wanted: int, spread: bool) -> bool:
        pods = self.pods(component)
        for pod in pods:
            if pod.leaving:
                self.delete(pod, at_once=True)  # nothing asks it any more
        if len(pods) != wanted or any(pod.leaving or not pod.ready for pod in pods):
            return False
        crowds = Counter(pod.node for pod in pods)
        if wanted > 1 and len(crowds) == 1 and (component == "triton" or spread):
            self.delete(pods[0], at_once=True)
            return False
        return True

    @staticmethod
    def wait(condition: Callable[[], bool], seconds: float) -> None:
        """Wait until something is so."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not so after {seconds:g} s"
            time.sleep(0.2)
