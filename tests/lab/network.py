# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's network on the host: a bridge for the first node's pods, another for the uplinks of further nodes."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.lab import policies
from tests.lab.control import SERVICE_RANGE
from tests.lab.errors import LabError
from tests.lab.namespaces import Namespaces
from tests.lab.shell import run, succeeds

#: On each node, the bridge that its pods hang on. On the host its address is that of the API server and the registry.
BRIDGE: Final = "sonic0"
ADDRESS: Final = "10.200.0.1"
#: Name of the pods' network, which the records of the network plugins begin with.
CNI_NETWORK: Final = "hep-sonic-lab"
#: All pods of all nodes.
POD_RANGE: Final = "10.200.0.0/16"
#: On the host, the bridge that the further nodes' uplinks hang on.
UPLINKS: Final = "sonicup"
UPLINK_RANGE: Final = "10.210.0.0/24"
_UPLINK_GATEWAY: Final = "10.210.0.1"

#: Kernel settings that the lab needs.
_NEEDED: Final = {
    "net.ipv4.ip_forward": "1",
    # The answer of a pod to another one on the same bridge has to pass kube-proxy's rules.
    "net.bridge.bridge-nf-call-iptables": "1",
}
#: Parts of the kernel that may be modules, each with what is there once it is loaded.
_MODULES: Final = {"br_netfilter": "/proc/sys/net/bridge", "nf_conntrack": "/proc/sys/net/netfilter"}
#: Kernel settings that the kubelet changes.
_CHANGED: Final = ("vm.overcommit_memory", "kernel.panic", "kernel.panic_on_oops")


def pod_range(index: int) -> str:
    """Return the addresses of the pods on a node; the first node has the range that the bridge's address is in."""
    return f"10.200.{0 if index == 1 else index}.0/24"


def node_address(index: int) -> str:
    """Return a node's own address."""
    return ADDRESS if index == 1 else f"10.210.0.{index}"


def uplink(index: int) -> str:
    """Return the host's end of a further node's only link: `ip link set … down` loses the node."""
    return f"{UPLINKS}{index}"


def load_modules() -> None:
    """Load the parts of the kernel that the lab needs, where they are modules."""
    for module, sign in _MODULES.items():
        if not Path(sign).exists():
            run(["modprobe", module])


def settings() -> dict[str, str]:
    """Return the kernel settings that a lab changes, as they are now."""
    return {name: _setting(name).read_text(encoding="ascii").strip() for name in (*_NEEDED, *_CHANGED)}


def restore(before: dict[str, str]) -> None:
    """Give the kernel settings back the values they had."""
    for name, text in before.items():
        _setting(name).write_text(text, encoding="ascii")


def refuse_overlap() -> None:
    """Refuse to take addresses that the machine already uses for something else.

    A wider route to elsewhere, as private networks have, is no obstacle: the lab's are narrower and win.

    Raises:
        LabError: One of the lab's ranges is on a link of the machine, or has a route of its own.
    """
    ours = [ipaddress.IPv4Network(text) for text in (POD_RANGE, UPLINK_RANGE, SERVICE_RANGE)]
    for route in json.loads(run(["ip", "-json", "-4", "route", "show"])):
        device = route.get("dev", "")
        if route["dst"] == "default" or device in {BRIDGE, UPLINKS}:
            continue
        used = ipaddress.IPv4Network(route["dst"])
        for network in ours:
            if network.overlaps(used) and (route.get("scope") == "link" or used.subnet_of(network)):
                raise LabError(
                    f"this machine uses {used} on {device}; the lab needs {network} for itself",
                    "The form `node` cannot run here; `--form control` can.",
                )


def ensure() -> None:
    """Make what is missing of the host's network."""
    if not succeeds(["ip", "link", "show", BRIDGE]):
        run(["ip", "link", "add", BRIDGE, "type", "bridge"])
    run(["ip", "address", "replace", f"{ADDRESS}/24", "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])
    # Services answer on the host, too, and see an address that every pod can answer to.
    run(["ip", "route", "replace", SERVICE_RANGE, "dev", BRIDGE])
    restore(_NEEDED)


def ensure_uplink(index: int, namespaces: Namespaces) -> None:
    """Join a further node to the host's network, if it is not."""
    link, address, pods = uplink(index), node_address(index), pod_range(index)
    if not succeeds(["ip", "link", "show", UPLINKS]):
        run(["ip", "link", "add", UPLINKS, "type", "bridge"])
    run(["ip", "address", "replace", f"{_UPLINK_GATEWAY}/24", "dev", UPLINKS])
    run(["ip", "link", "set", UPLINKS, "up"])
    if not succeeds(["ip", "link", "show", link]):
        run(["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(namespaces.network)])
        run(["ip", "link", "set", link, "master", UPLINKS])
    run(["ip", "link", "set", link, "up"])
    inside = [
        "ip link set lo up",
        f"ip address replace {address}/24 dev eth0",
        "ip link set eth0 up",
        f"ip route replace default via {_UPLINK_GATEWAY}",
        *(f"sysctl -qw {name}={text}" for name, text in _NEEDED.items()),
    ]
    run([*namespaces.enter, "sh", "-euc", "\n".join(inside)])
    run(["ip", "route", "replace", pods, "via", address])


def remove_uplink(index: int) -> None:
    """Take a further node off the host's network."""
    # each may be gone already: the link's other end was in a namespace that the kernel is removing
    succeeds(["ip", "route", "delete", pod_range(index)])
    succeeds(["ip", "link", "delete", uplink(index)])


def remove() -> None:
    """Remove the bridges, what hangs on them, kube-proxy's tables, and that of the NetworkPolicies."""
    for bridge in (BRIDGE, UPLINKS):
        if succeeds(["ip", "link", "show", bridge]):
            for link in json.loads(run(["ip", "-json", "link", "show", "master", bridge])):
                # the kernel may have removed it since: the other end was in a namespace that is going
                succeeds(["ip", "link", "delete", link["ifname"]])
            run(["ip", "link", "delete", bridge])
    remove_rules()
    _remove_table("ip", policies.TABLE)


def remove_rules(enter: Sequence[str] = ()) -> None:
    """Remove kube-proxy's tables.

    Args:
        enter: Words that enter the namespaces of the node whose they are; none for the host's.
    """
    for family in ("ip", "ip6"):
        _remove_table(family, "kube-proxy", enter)


def _remove_table(family: str, name: str, enter: Sequence[str] = ()) -> None:
    if succeeds([*enter, "nft", "list", "table", family, name]):
        run([*enter, "nft", "delete", "table", family, name])


def _setting(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")
