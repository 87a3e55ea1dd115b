# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The revisions of a release: what was applied, numbered, each in a Secret as Helm keeps them."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import RequestError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import (
    Manifest,
    digest,
    identity_of,
    without_field,
)
from ansible_collections.hep.sonic.plugins.plugin_utils.release.parent import DIGEST, SECRETS, Parent
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import (
    RELEASE_LABEL,
    REVISION_LABEL,
    ReleaseSpec,
)


def digest_of_set(spec: ReleaseSpec, manifests: Sequence[Manifest]) -> str:
    """Return the digest of a set of objects, without the fields that are set once (a new password is no new set)."""
    stable = []
    for manifest in manifests:
        rest = manifest
        for path in spec.initial_paths(identity_of(manifest)):
            rest = without_field(rest, path)
        stable.append(rest)
    return digest(sorted(stable, key=identity_of))


def record(cluster: Cluster, parent: Parent, manifests: Sequence[Manifest]) -> Parent:
    """Record a set as the release's next revision, unless the last one is the same.

    The Secret comes first and the parent's pointer after it: a run that dies in between leaves a revision which the
    next run takes as its own, or overrides by a higher number.

    Returns:
        The parent that points to the revision; it is not written yet.
    """
    spec = parent.spec
    wanted = digest_of_set(spec, manifests)
    if wanted == parent.digest:
        return parent
    existing = _revisions(cluster, spec)
    last = max(existing, default=0)
    if last and (existing[last]["metadata"].get("annotations") or {}).get(DIGEST) == wanted:
        number = last
    else:
        number = last + 1
        _create(cluster, spec, number, wanted, manifests)
    for old in sorted(existing)[: -(spec.history_limit - 1) or None]:
        if old != number:
            cluster.delete(SECRETS, identity_of(existing[old]))
    return replace(parent, revision=number, digest=wanted)


def remove_all(cluster: Cluster, spec: ReleaseSpec) -> None:
    """Remove every revision of a release."""
    for revision in _revisions(cluster, spec).values():
        cluster.delete(SECRETS, identity_of(revision))


def _revisions(cluster: Cluster, spec: ReleaseSpec) -> dict[int, Manifest]:
    found = cluster.list(SECRETS, spec.namespace, labels=f"{RELEASE_LABEL}={spec.name},{REVISION_LABEL}")
    return {int(secret["metadata"]["labels"][REVISION_LABEL]): secret for secret in found}


def _create(cluster: Cluster, spec: ReleaseSpec, number: int, wanted: str, manifests: Sequence[Manifest]) -> None:
    packed = gzip.compress(json.dumps({"objects": list(manifests)}).encode(), mtime=0)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": f"{spec.parent_name}.v{number}",
            "namespace": spec.namespace,
            "labels": {**spec.companion_labels, REVISION_LABEL: str(number)},
            "annotations": {DIGEST: wanted},
        },
        "type": "hep.sonic/revision",
        "data": {"release": base64.b64encode(packed).decode()},
    }
    try:
        cluster.request("POST", SECRETS.path(spec.namespace), body=secret)
    except RequestError as error:
        # The answer to a first try was lost on the way: the Secret is ours, the Lease lets nobody else write it.
        if error.status != HTTPStatus.CONFLICT:
            raise
