# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster's DNS: CoreDNS as a pod, keeping answers for as long as a site's does."""

from __future__ import annotations

import hashlib
import os
import socket
from typing import Final

from tests.lab.api import Api, Object, load_objects
from tests.lab.control import CLUSTER_DOMAIN
from tests.lab.settings import SOURCE

_OBJECTS: Final = SOURCE / "objects" / "dns.yml"
#: Address of its Service.
ADDRESS: Final = "10.96.0.10"
_A: Final = b"\0\1"
_INTERNET: Final = b"\0\1"
_DEPLOYMENT: Final = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
_PODS: Final = "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns"
#: Seconds that CoreDNS itself tells clients to keep an answer, as long as it keeps none.
_TTL: Final = 5


def apply(api: Api, *, image: str, node: str, cache: int) -> None:
    """Install CoreDNS, or change it.

    Args:
        api: The API server.
        image: Reference of its image.
        node: Name of the node it runs on.
        cache: Seconds for which it keeps answers; 0 for none.
    """
    values = {
        "address": ADDRESS,
        # `cache` keeps an answer for its TTL at most, so both have to be raised
        "cache": f"cache {cache}" if cache else "# no cache",
        "domain": CLUSTER_DOMAIN,
        "image": image,
        "node": node,
        "ttl": f"ttl {cache or _TTL}",
    }
    values["fingerprint"] = hashlib.sha256(f"{_OBJECTS.read_text(encoding='utf-8')} {values}".encode()).hexdigest()[:16]
    for obj in load_objects(_OBJECTS, values):
        api.apply(obj)


def trouble(api: Api) -> str:
    """Return why the DNS that was applied last is not the only one that answers; an empty string if it is."""
    deployment = api.get(_DEPLOYMENT)
    status = deployment.get("status", {})
    if status.get("observedGeneration") != deployment["metadata"]["generation"]:
        return "its Deployment has not been looked at"
    pods = api.get(_PODS)["items"]
    if status.get("updatedReplicas") != 1 or status.get("availableReplicas") != 1 or len(pods) != 1:
        return "; ".join(map(_describe, pods)) or "it has no pod"
    try:
        # kube-proxy learns of the pod a moment after the API server
        found = ask(f"kubernetes.default.svc.{CLUSTER_DOMAIN}")
    except OSError as error:
        return f"{ADDRESS} does not answer: {error}"
    return "" if found else "it does not know the API server yet"


def ask(name: str) -> list[str]:
    """Return the IPv4 addresses that the cluster's DNS gives for a full name, as the host sees it.

    Raises:
        OSError: It does not answer.
    """
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = labels + b"\0" + _A + _INTERNET
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1.0)
        # an identity, "recursion desired", one question
        client.sendto(os.urandom(2) + b"\1\0" + b"\0\1" + bytes(6) + question, (ADDRESS, 53))
        answer = client.recv(4096)
    count = int.from_bytes(answer[6:8])
    # an answer is a pointer to the name (2 bytes), type (2), class (2), TTL (4), length (2) and the address (4)
    first = 12 + len(question)
    return [socket.inet_ntoa(answer[end - 4 : end]) for end in range(first + 16, first + 16 * count + 1, 16)]


def _describe(pod: Object) -> str:
    waiting = [
        f"{state['reason']} {state.get('message', '')}".strip()
        for container in pod["status"].get("containerStatuses", [])
        if (state := container["state"].get("waiting"))
    ]
    conditions = [
        f"{condition['reason']} {condition.get('message', '')}".strip()
        for condition in pod["status"].get("conditions", [])
        if condition["status"] != "True" and "reason" in condition
    ]
    return f"{pod['metadata']['name']} {pod['status']['phase']}: {', '.join(waiting or conditions) or 'waiting'}"
