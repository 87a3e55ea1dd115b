# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sidecar that tells an Envoy which servers there are, with the rights that the role gives it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Cluster, Resource
from tests.unit.gate import Gate
from tests.unit.roles.account import credentials
from tests.unit.roles.harness import ROLES, Role
from tests.unit.roles.test_drain import free_port, get, wait_for

PROGRAM = ROLES / "envoy" / "files" / "endpoints.py"
SLICES = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", namespaced=True)
PORTS = {"grpc": 8001, "http": 8000, "metrics": 8002}

#: What Envoy shall know of a cluster: address and port of each server → its weight.
Known = dict[str, int]


@dataclass(frozen=True)
class Pools:
    """The EndpointSlices of two pools.

    Args:
        cluster: Where.
        namespace: Their namespace.
        services: The labels of each pool's Service, which Kubernetes gives its slices, too.
    """

    cluster: Cluster
    namespace: str
    services: Mapping[str, Mapping[str, str]]

    def set(self, pool: str, *addresses: str, number: int = 1, family: str = "IPv4", **conditions: bool) -> None:
        """Write a slice of a pool, all of whose servers are in one condition."""
        service = f"cms-triton-{pool}"
        labels = {**self.services.get(service, {}), "kubernetes.io/service-name": service}
        body = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{service}-{number}", "labels": labels},
            "addressType": family,
            "ports": [{"name": name, "port": port} for name, port in PORTS.items()],
            "endpoints": [{"addresses": [address], "conditions": conditions} for address in addresses],
        }
        self.cluster.request(
            "PATCH",
            SLICES.path(self.namespace, f"{service}-{number}"),
            query={"fieldManager": "test", "force": "true"},
            body=body,
            content_type="application/apply-patch+yaml",
        )

    def delete(self, pool: str, number: int = 1) -> None:
        """Delete a slice."""
        self.cluster.request("DELETE", SLICES.path(self.namespace, f"cms-triton-{pool}-{number}"))


@dataclass(frozen=True)
class Sidecar:
    """A running sidecar.

    Args:
        pools: What it watches.
        gate: Its way to the API server.
        folder: Where it writes.
        process: Itself.
        port: Where the kubelet asks it.
    """

    pools: Pools
    gate: Gate
    folder: Path
    process: subprocess.Popen[bytes]
    port: int

    def known(self, cluster: str = "triton_grpc") -> Known:
        """Return what Envoy would read."""
        (resource,) = json.loads((self.folder / f"{cluster}.json").read_text())["resources"]
        assert resource["cluster_name"] == cluster
        known = {}
        for one in resource["endpoints"][0]["lb_endpoints"]:
            address = one["endpoint"]["address"]["socket_address"]
            known[f"{address['address']}:{address['port_value']}"] = one["load_balancing_weight"]
        return known

    def wait_until_known(self, known: Known) -> None:
        """Wait until Envoy would know these servers of gRPC."""
        wait_for(lambda: self.known() == known, seconds=10)


def objects_of(role: str, namespace: str, *more: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a role applies for an instance with two pools, and more."""
    pools = [{"name": "t4"}, {"name": "a100", "target_in_flight": 64}, *more]
    models = [{"name": "cms", "type": "pvc", "claim": "models"}]
    inventory = {"sonic_namespace": namespace, "sonic_pools": pools, "triton_model_sources": models}
    return Role(role, inventory).objects()


@pytest.fixture
def sidecar(cluster: Cluster, kubeconfig: Path, namespace: str, tmp_path: Path) -> Iterator[Sidecar]:
    objects = objects_of("envoy", namespace)
    credentials(cluster, kubeconfig, namespace, objects, tmp_path)
    (config_map,) = (one for one in objects if one["kind"] == "ConfigMap")
    (tmp_path / "plan.json").write_text(config_map["data"]["endpoints.json"])
    gate = Gate(cluster.server)
    port = free_port()
    options = {"plan": tmp_path / "plan.json", "folder": tmp_path, "credentials": tmp_path, "port": port}
    process = subprocess.Popen(
        [sys.executable, "-I", str(PROGRAM), *(f"--{name}={value}" for name, value in options.items())],
        env=os.environ | {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(gate.port)},
    )
    try:
        wait_for(lambda: get(port, "/ready") == 200)
        later = objects_of("triton", namespace, {"name": "h200", "target_in_flight": 128})
        services = {one["metadata"]["name"]: one["metadata"]["labels"] for one in later if one["kind"] == "Service"}
        yield Sidecar(Pools(cluster, namespace, services), gate, tmp_path, process, port)
    finally:
        process.kill()
        process.wait()
        gate.shut()


def test_it_writes_the_ready_servers_of_all_pools(sidecar: Sidecar) -> None:
    assert sidecar.known() == {}
    sidecar.pools.set("t4", "10.0.0.2", "10.0.0.1", ready=True)
    sidecar.pools.set("t4", "10.0.0.3", number=2, ready=True)
    sidecar.pools.set("a100", "10.0.0.4", ready=True)
    sidecar.pools.set("other", "10.0.0.5", ready=True)
    sidecar.wait_until_known({"10.0.0.1:8001": 16, "10.0.0.2:8001": 16, "10.0.0.3:8001": 16, "10.0.0.4:8001": 64})
    wait_for(lambda: len(sidecar.known("triton_http")) == 4)
    assert sidecar.known("triton_http")["10.0.0.4:8000"] == 64


def test_a_pool_that_comes_later_is_known_without_being_told_of(sidecar: Sidecar) -> None:
    sidecar.pools.set("t4", "10.0.0.1", ready=True)
    sidecar.pools.set("h200", "10.0.0.2", ready=True)
    sidecar.wait_until_known({"10.0.0.1:8001": 16, "10.0.0.2:8001": 128})


def test_a_server_that_is_stopped_is_left_out_at_once(sidecar: Sidecar) -> None:
    sidecar.pools.set("t4", "10.0.0.1", ready=True)
    sidecar.pools.set("a100", "10.0.0.2", ready=True)
    sidecar.wait_until_known({"10.0.0.1:8001": 16, "10.0.0.2:8001": 64})
    sidecar.pools.set("t4", "10.0.0.1", ready=False, serving=True, terminating=True)
    sidecar.wait_until_known({"10.0.0.2:8001": 64})
    sidecar.pools.delete("a100")
    sidecar.wait_until_known({})


def test_a_server_is_known_by_one_address(sidecar: Sidecar) -> None:
    sidecar.pools.set("t4", "fd00::1", number=6, family="IPv6", ready=True)
    sidecar.wait_until_known({"fd00::1:8001": 16})
    sidecar.pools.set("t4", "10.0.0.1", ready=True)
    sidecar.wait_until_known({"10.0.0.1:8001": 16})


def test_all_stays_as_it_is_while_the_api_server_is_away(sidecar: Sidecar) -> None:
    sidecar.pools.set("t4", "10.0.0.1", ready=True)
    sidecar.wait_until_known({"10.0.0.1:8001": 16})
    sidecar.gate.shut()
    sidecar.pools.set("t4", "10.0.0.1", "10.0.0.2", ready=True)
    with pytest.raises(AssertionError, match="in time"):
        wait_for(lambda: sidecar.known() != {"10.0.0.1:8001": 16}, seconds=3)
    assert get(sidecar.port, "/ready") == 200
    assert sidecar.process.poll() is None
    sidecar.gate.open()
    sidecar.wait_until_known({"10.0.0.1:8001": 16, "10.0.0.2:8001": 16})
