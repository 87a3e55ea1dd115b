# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real node: containerd, kubelet and kube-proxy in namespaces of their own."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab import cgroups, dns, files, gpus, network, programs
from tests.lab.api import Api
from tests.lab.control import CLUSTER_DOMAIN, ControlPlane
from tests.lab.http import client_tls, probe
from tests.lab.namespaces import Namespaces
from tests.lab.pki import Authority, Pair
from tests.lab.processes import Daemon, Processes
from tests.lab.settings import home
from tests.lab.shell import run, succeeds

REGISTRY_PORT: Final = 5000
REGISTRY: Final = f"{network.ADDRESS}:{REGISTRY_PORT}"
#: Label of real nodes, for what must not run on pretended ones.
REAL: Final = "lab/real=true"
#: Ports that every node listens on.
PORTS: Final = {"kubelet": 10250, "kube-proxy": 10256}

_CNI_PLUGINS: Final = "/usr/lib/cni"


@dataclass(frozen=True)
class Node:
    """One real node.

    Attributes:
        index: 1 for the node in the host's network, 2 and up for those in a network of their own.
        control: The control plane that it joins.
    """

    index: int
    control: ControlPlane

    @property
    def name(self) -> str:
        """Its name in the cluster."""
        return f"node-{self.index}"

    @property
    def address(self) -> str:
        """Its IP address."""
        return network.node_address(self.index)

    @property
    def directory(self) -> Path:
        """Folder of all that goes with the lab."""
        return self.control.directory / "nodes" / self.name

    @property
    def driver_root(self) -> Path:
        """Folder that the node sees as the root of the NVIDIA driver; a bare lab's is empty."""
        return self.directory / "driver"

    @property
    def images(self) -> Path:
        """Folder of pulled images, which outlive the lab."""
        return home() / "containerd" / self.name

    @property
    def cgroup(self) -> str:
        """Parent of its pods' control groups."""
        return f"{cgroups.LAB}/{self.name}"

    @property
    def namespaces(self) -> Namespaces:
        """Its namespaces."""
        return Namespaces(self.directory / "namespaces", own_network=self.index > 1)

    def prepare(self, pause: str) -> None:
        """Make its configuration, namespaces and link, as far as they are not there yet.

        Args:
            pause: Reference of the image that holds a pod's namespaces.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        certificate = Authority(self.control.pki, "ca").issue(
            self.name, f"system:node:{self.name}", groups=["system:nodes"], addresses=[self.name, self.address]
        )
        self.control.write_kubeconfig(self.name, f"system:node:{self.name}", ["system:nodes"])
        self.control.write_kubeconfig("kube-proxy", "system:kube-proxy")
        values = {
            "address": self.address,
            "authority": str(self.control.authority),
            "bridge": network.BRIDGE,
            "certificate": str(certificate.certificate),
            "cgroup": self.cgroup,
            "cni_plugins": _CNI_PLUGINS,
            "directory": str(self.directory),
            "dns": dns.ADDRESS,
            "domain": CLUSTER_DOMAIN,
            "key": str(certificate.key),
            "network": network.CNI_NETWORK,
            "kubeconfig": str(self.control.config_of("kube-proxy")),
            "pause": pause,
            "registry": REGISTRY,
            "root": str(self.images),
        }
        files.write_config("containerd.toml", self.directory / "containerd.toml", values)
        files.write_config("hosts.toml", self.directory / "registries" / REGISTRY / "hosts.toml", values)
        pods = {"pods": network.pod_range(self.index)}
        files.write_config("cni.conflist", self.directory / "cni" / "10-lab.conflist", values | pods)
        files.write_config("kubelet.yml", self.directory / "kubelet.yml", values)
        files.write_config("kube-proxy.yml", self.directory / "kube-proxy.yml", values | {"pods": network.POD_RANGE})
        cgroups.create(self.cgroup)
        if not self.namespaces.exist:
            self.namespaces.create(
                {
                    "/run/containerd": None,
                    "/run/netns": None,
                    gpus.DRIVER_ROOT: self.driver_root,
                    "/var/lib/cni": self.directory / "cni-state",
                    "/var/lib/kubelet": self.directory / "kubelet",
                    "/var/log/containers": self.directory / "logs" / "containers",
                    "/var/log/pods": self.directory / "logs" / "pods",
                }
            )
        if self.index > 1:
            network.ensure_uplink(self.index, self.namespaces)

    def containerd(self) -> Daemon:
        """Return what runs the containers."""
        config = self.directory / "containerd.toml"
        path = shutil.which("containerd") or "/usr/bin/containerd"
        return Daemon(
            f"{self.name}/containerd",
            (path, "--config", str(config)),
            self._answers,
            files=(config,),
            enter=self.namespaces.enter,
        )

    def kubelet(self) -> Daemon:
        """Return what runs the pods; containerd and the API server must be ready."""
        admin = Pair.at(self.control.pki, "admin")
        config, user = self.directory / "kubelet.yml", self.control.config_of(self.name)

        def works() -> str:
            tls = client_tls(self.control.authority, admin.certificate, admin.key)
            return probe(f"https://{self.address}:{PORTS['kubelet']}/healthz", tls)()

        return Daemon(
            f"{self.name}/kubelet",
            (
                str(programs.path("kubelet")),
                f"--config={config}",
                f"--kubeconfig={user}",
                f"--hostname-override={self.name}",
                f"--node-ip={self.address}",
                f"--node-labels={REAL}",
                "--v=2",
            ),
            works,
            files=(config, user),
            enter=self.namespaces.enter,
        )

    def proxy(self) -> Daemon:
        """Return what leads the addresses of Services to pods; the API server must be ready."""
        config = self.directory / "kube-proxy.yml"
        return Daemon(
            f"{self.name}/kube-proxy",
            (str(programs.path("kube-proxy")), f"--config={config}", f"--hostname-override={self.name}"),
            probe(f"http://{self.address}:{PORTS['kube-proxy']}/healthz"),
            files=(config, self.control.config_of("kube-proxy")),
            enter=self.namespaces.enter,
        )

    def clear_stale_rules(self, processes: Processes) -> None:
        """Remove kube-proxy's rules if it has to be started.

        A kube-proxy takes over what it finds for an address that it knows, even if its predecessor had emptied it: an
        endpoint that went and came back meanwhile would lead nowhere (kube-proxy 1.35, `epChainSkipUpdate`).
        """
        if processes.retire(self.proxy()):
            network.remove_rules(self.namespaces.enter)

    def agents(self) -> list[Daemon]:
        """Return what makes the machine a node of the cluster."""
        return [self.kubelet(), self.proxy()]

    def trouble(self, api: Api) -> str:
        """Return why the cluster cannot use the node; an empty string if it can."""
        path = f"/api/v1/nodes/{self.name}"
        if not api.has(path):
            return "the cluster does not know it"
        conditions = api.get(path)["status"].get("conditions", [])
        ready = next((condition for condition in conditions if condition["type"] == "Ready"), None)
        if ready is None:
            return "it has not reported yet"
        return "" if ready["status"] == "True" else f"{ready['reason']}: {ready['message']}"

    def remove(self, processes: Processes) -> None:
        """Stop the node and remove all it left on the machine, at once and whatever state it is in.

        Args:
            processes: The lab's processes.
        """
        kubelet, proxy, containerd = (f"{self.name}/{part}" for part in ("kubelet", "kube-proxy", "containerd"))
        processes.stop([kubelet, proxy], grace=0)
        cgroups.kill(self.cgroup)
        if containerd in processes.daemons():
            self._forget_containers()
            processes.stop([containerd], grace=5)
        elif (self.directory / "containerd.sock").exists():
            # It died, and its records may name containers that ended with it. Images are pulled again in seconds.
            files.remove(self.images)
        self.namespaces.destroy()
        cgroups.remove(self.cgroup)
        if self.index > 1:
            network.remove_uplink(self.index)
        files.remove(self.directory)

    def _forget_containers(self) -> None:
        """Remove the records of all containers, so that what stays of containerd is images only."""
        ctr = ["ctr", "--address", str(self.directory / "containerd.sock"), "--namespace", "k8s.io"]
        containers = run([*ctr, "containers", "list", "--quiet"]).split()
        if containers:
            succeeds([*ctr, "tasks", "delete", "--force", *containers])
            run([*ctr, "containers", "delete", *containers])

    def _answers(self) -> str:
        """Return why containerd's socket cannot be used; empty if it can."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self.directory / "containerd.sock"))
        except OSError as error:
            return f"{self.directory}/containerd.sock: {error}"
        return ""


def prepare_registry(control: ControlPlane) -> None:
    """Write the registry's configuration; what is pushed to it outlives the lab."""
    values = {"registry": REGISTRY, "storage": str(home() / "registry")}
    files.write_config("registry.yml", _registry_config(control), values)


def registry(control: ControlPlane) -> Daemon:
    """Return the registry that the nodes pull from."""
    config = _registry_config(control)
    path = shutil.which("docker-registry") or "/usr/bin/docker-registry"
    return Daemon("registry", (path, "serve", str(config)), probe(f"http://{REGISTRY}/v2/"), files=(config,))


def _registry_config(control: ControlPlane) -> Path:
    return control.directory / "registry.yml"
