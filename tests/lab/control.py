# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The control plane: etcd, API server, controller manager, scheduler, and kwok for pretended nodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab import files, programs
from tests.lab.api import Api, kubeconfig
from tests.lab.errors import LabError
from tests.lab.http import client_tls, probe
from tests.lab.pki import Authority, Pair, signing_key
from tests.lab.processes import Daemon, Probe

SERVICE_RANGE: Final = "10.96.0.0/16"
KUBERNETES_SERVICE: Final = "10.96.0.1"
CLUSTER_DOMAIN: Final = "cluster.local"
#: Name of what enforces NetworkPolicies on real nodes.
ENFORCER: Final = "network-policies"
#: What a pretended node carries so that kwok, and only kwok, looks after it.
PRETENDED: Final = "kwok.x-k8s.io/node=fake"

#: What listens, in the order in which free ports are given out.
PORT_ROLES: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
#: The ports of a lab with fixed addresses: those of a real cluster.
FIXED_PORTS: Final = {
    "kube-apiserver": 6443,
    "kube-controller-manager": 10257,
    "kube-scheduler": 10259,
    "kwok": 10247,
}

#: Length of the longest path that a unix socket may have (sun_path without its final zero).
_SOCKET_PATH: Final = 107


@dataclass(frozen=True)
class Timing:
    """How soon a node that says nothing counts as lost.

    Attributes:
        grace: Seconds without a sign of life until a node is not ready.
        pretended_lease: Seconds for which a pretended node's lease lasts; kwok renews it four times in that time.
    """

    grace: int
    pretended_lease: int


#: With real nodes: quick, so that tests of a lost node are, too. Kubernetes' own default is 50 s.
QUICK: Final = Timing(grace=10, pretended_lease=8)
#: With hundreds of pretended nodes: leases that are renewed too rarely make the nodes flap, too often cost a core.
EASY: Final = Timing(grace=50, pretended_lease=40)


@dataclass(frozen=True)
class ControlPlane:
    """The control plane of one lab; the name of its folder is that of the kubeconfig's context.

    Attributes:
        directory: The lab's folder.
        address: IP address it listens on.
        ports: Port of each of `PORT_ROLES`.
        timing: How soon a silent node is lost.
        has_nodes: Whether real nodes join: then pods reach the API server, and it reaches kubelets.
        pretends: Whether kwok is there for pretended nodes.
    """

    directory: Path
    address: str
    ports: dict[str, int]
    timing: Timing
    has_nodes: bool
    pretends: bool

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{self.address}:{self.ports['kube-apiserver']}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.directory / "kubeconfig"

    @property
    def pki(self) -> Path:
        """Folder of keys and certificates."""
        return self.directory / "pki"

    @property
    def authority(self) -> Path:
        """Certificate of the authority for everything but the aggregation layer."""
        return self.pki / "ca.crt"

    def api(self) -> Api:
        """Return a client with all rights; `prepare` must have been called."""
        return Api(self.server, self.authority, Pair.at(self.pki, "admin"))

    def prepare(self) -> None:
        """Make keys, certificates and configurations that are not there yet."""
        longest = len(str(self.directory / "etcd-peer.sock"))
        if longest > _SOCKET_PATH:
            raise LabError(
                f"the path of the lab's folder is too long for a unix socket: {self.directory}",
                f"Shorten the lab's name or HEP_SONIC_HOME by {longest - _SOCKET_PATH} characters.",
            )
        authority = Authority(self.pki, "ca")
        authority.issue(
            "kube-apiserver",
            "kube-apiserver",
            addresses=(
                "localhost",
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
                KUBERNETES_SERVICE,
                "127.0.0.1",
                self.address,
            ),
        )
        authority.issue("kubelet-client", "kube-apiserver-kubelet-client")
        # An authority of its own: whoever holds a certificate of it may claim to be anybody.
        Authority(self.pki, "front-proxy-ca").issue("front-proxy-client", "front-proxy-client")
        signing_key(self.pki, "service-account")

        files.write(self.kubeconfig, self.issue_kubeconfig("admin", "admin", groups=["system:masters"]), mode=0o600)
        for component in ("kube-controller-manager", "kube-scheduler"):
            authority.issue(f"{component}-server", component, addresses=(self.address,))
            self.write_kubeconfig(component, f"system:{component}")
        if self.has_nodes:
            authority.issue(ENFORCER, f"hep-sonic-lab:{ENFORCER}")
        if self.pretends:
            self._prepare_kwok()

    def _prepare_kwok(self) -> None:
        self.write_kubeconfig("kwok", "hep-sonic-lab:kwok")
        stages = [programs.extract("kwok", file) for file in programs.PROGRAMS["kwok"].extracts]
        text = "\n---\n".join(file.read_text(encoding="utf-8").strip() for file in stages)
        files.write(self.directory / "kwok.yml", text + "\n")

    def issue_kubeconfig(self, name: str, user: str, groups: list[str] | None = None) -> str:
        """Return the kubeconfig of a user, whose certificate is made if it is not there yet."""
        pair = Authority(self.pki, "ca").issue(name, user, groups=groups or [])
        return kubeconfig(name=self.directory.name, server=self.server, authority=self.authority, user=pair)

    def write_kubeconfig(self, name: str, user: str, groups: list[str] | None = None) -> None:
        """Write a component's kubeconfig where `config_of` says."""
        files.write(self.config_of(name), self.issue_kubeconfig(name, user, groups), mode=0o600)

    def config_of(self, component: str) -> Path:
        """Return where a component's kubeconfig lies."""
        return self.pki / f"{component}.kubeconfig"

    def etcd(self) -> Daemon:
        """Return the store, reachable through a socket in the lab's folder only."""
        client = f"unix://{self.directory}/etcd.sock"
        peer = f"unix://{self.directory}/etcd-peer.sock"
        return Daemon(
            "etcd",
            (
                str(programs.path("etcd")),
                "--name=lab",
                f"--data-dir={self.directory}/etcd",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=lab={peer}",
                # A lab does not outlive a power failure, and fsync is what a small machine waits for most.
                "--unsafe-no-fsync",
                "--log-level=warn",
            ),
            probe(client),
        )

    def apiserver(self) -> Daemon:
        """Return the API server, with the admission and authorization of a real cluster."""
        private, public = signing_key(self.pki, "service-account")
        serving = Pair.at(self.pki, "kube-apiserver")
        kubelet_client = Pair.at(self.pki, "kubelet-client")
        front_proxy = Pair.at(self.pki, "front-proxy-client")
        flags = [
            f"--etcd-servers=unix://{self.directory}/etcd.sock",
            f"--bind-address={self.address}",
            f"--advertise-address={self.address}",
            f"--secure-port={self.ports['kube-apiserver']}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={self.authority}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
            f"--service-account-signing-key-file={private}",
            f"--service-account-key-file={public}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            # device plugins and exporters are privileged pods; Pod Security decides where they may be
            "--allow-privileged=true",
            f"--kubelet-client-certificate={kubelet_client.certificate}",
            f"--kubelet-client-key={kubelet_client.key}",
            f"--kubelet-certificate-authority={self.authority}",
            # no DNS knows the nodes' names
            "--kubelet-preferred-address-types=InternalIP",
            # aggregated APIs, such as KEDA's metrics
            "--enable-aggregator-routing=true",
            f"--requestheader-client-ca-file={self.pki}/front-proxy-ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={front_proxy.certificate}",
            f"--proxy-client-key-file={front_proxy.key}",
            # pods leave a lost node after 10 s, not after 5 min
            "--default-not-ready-toleration-seconds=10",
            "--default-unreachable-toleration-seconds=10",
        ]
        if not self.has_nodes:
            # There are no pods that could reach this address, and Kubernetes refuses a loopback endpoint.
            flags.append("--endpoint-reconciler-type=none")
        program = str(programs.path("kube-apiserver"))
        return Daemon(
            "kube-apiserver",
            (program, *flags),
            self._probe("kube-apiserver", "/readyz?verbose"),
            # A clean end waits for every watch and takes the Service `kubernetes` away from pods until the next start.
            grace=0,
        )

    def controllers(self) -> list[Daemon]:
        """Return what acts on what the API server holds."""
        serving = Pair.at(self.pki, "kube-controller-manager-server")
        private, _ = signing_key(self.pki, "service-account")
        manager = self._component(
            "kube-controller-manager",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={private}",
            f"--root-ca-file={self.authority}",
            f"--cluster-signing-cert-file={self.authority}",
            f"--cluster-signing-key-file={self.pki}/ca.key",
            # The nodes' ranges are fixed; a thousand pretended nodes would exhaust any range.
            "--allocate-node-cidrs=false",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            f"--node-monitor-grace-period={self.timing.grace}s",
            "--node-monitor-period=2s",
            "--horizontal-pod-autoscaler-sync-period=2s",
            # a claim that was created before its volume is looked at again after so long; the default is 15 s
            "--pvclaimbinder-sync-period=1s",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        )
        serving = Pair.at(self.pki, "kube-scheduler-server")
        scheduler = self._component(
            "kube-scheduler",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        )
        return [manager, scheduler, *([self._kwok()] if self.pretends else [])]

    def _kwok(self) -> Daemon:
        """Return what keeps pretended nodes ready and their pods running."""
        config = self.directory / "kwok.yml"
        address = f"127.0.0.1:{self.ports['kwok']}"
        return Daemon(
            "kwok",
            (
                str(programs.path("kwok")),
                f"--kubeconfig={self.config_of('kwok')}",
                f"--config={config}",
                "--manage-all-nodes=false",
                f"--manage-nodes-with-annotation-selector={PRETENDED}",
                f"--node-lease-duration-seconds={self.timing.pretended_lease}",
                f"--server-address={address}",
            ),
            probe(f"http://{address}/healthz"),
            files=(config,),
        )

    def _component(self, name: str, *flags: str) -> Daemon:
        config = self.config_of(name)
        return Daemon(
            name,
            (
                str(programs.path(name)),
                f"--kubeconfig={config}",
                f"--authentication-kubeconfig={config}",
                f"--authorization-kubeconfig={config}",
                f"--bind-address={self.address}",
                f"--secure-port={self.ports[name]}",
                # one copy of each: an election would only delay its start
                "--leader-elect=false",
                *flags,
            ),
            self._probe(name, "/healthz"),
            files=(config,),
        )

    def _probe(self, component: str, path: str) -> Probe:
        """Return a probe of a component's own port; the certificates are read when it asks."""
        url = f"https://{self.address}:{self.ports[component]}{path}"
        user = Pair.at(self.pki, "admin")

        def ask() -> str:
            return probe(url, client_tls(self.authority, user.certificate, user.key))()

        return ask
