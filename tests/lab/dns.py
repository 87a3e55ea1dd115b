# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster's DNS: CoreDNS as a pod, keeping answers for as long as a site's does."""

from __future__ import annotations

import hashlib
from typing import Final

from tests.lab.api import Api, Object, load_objects
from tests.lab.control import CLUSTER_DOMAIN
from tests.lab.settings import SOURCE

_OBJECTS: Final = SOURCE / "objects" / "dns.yml"
_DEPLOYMENT: Final = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
_PODS: Final = "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns"
#: Seconds that CoreDNS itself tells clients to keep an answer, as long as it keeps none.
_TTL: Final = 5


def apply(api: Api, *, image: str, node: str, address: str, cache: int) -> None:
    """Install CoreDNS, or change it.

    Args:
        api: The API server.
        image: Reference of its image.
        node: Name of the node it runs on.
        address: Address of its Service.
        cache: Seconds for which it keeps answers; 0 for none.
    """
    values = {
        "address": address,
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
    return ""


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
