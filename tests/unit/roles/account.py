# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The account that a role makes for a sidecar, as the sidecar meets it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest

RIGHTS = ("ServiceAccount", "Role", "RoleBinding")


def credentials(cluster: Cluster, kubeconfig: Path, namespace: str, objects: Sequence[Manifest], folder: Path) -> None:
    """Make the account with its rights, and its credentials as the kubelet puts them into a Pod.

    Args:
        cluster: Where.
        kubeconfig: The access to it.
        namespace: That of the account and its rights.
        objects: What the role applies, one account among it.
        folder: Where the credentials go.
    """
    for body in (one for one in objects if one["kind"] in RIGHTS):
        resource = next(one for one in BUILT_IN.values() if one.kind == body["kind"])
        cluster.request("POST", resource.path(namespace), body=body)
    (account,) = (one["metadata"]["name"] for one in objects if one["kind"] == "ServiceAccount")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = f"{BUILT_IN['', 'ServiceAccount'].path(namespace, account)}/token"
    token = cluster.request("POST", path, body=request).body["status"]["token"]
    authority = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["certificate-authority-data"]
    contents = (("token", token), ("namespace", namespace), ("ca.crt", base64.b64decode(authority).decode()))
    for file, content in contents:
        (folder / file).write_text(content)
