# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Lease of a release: one run at a time changes it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final, Self

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import ReleaseError, RequestError, SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest, field_at
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import ReleaseSpec

LEASES: Final = BUILT_IN["coordination.k8s.io", "Lease"]

DURATION_SECONDS: Final = 15
RENEW_SECONDS: Final = 3
#: A Lease that nobody renewed for so long is free at once; no two clocks of one service differ by that much.
ABANDONED_AFTER: Final = timedelta(minutes=5)


class Lease:
    """Holds a release for the length of a ``with`` block, renewing the Lease in a thread.

    Args:
        cluster: Where the release is.
        spec: The release.
        progress: Told while somebody else holds it.
    """

    def __init__(self, cluster: Cluster, spec: ReleaseSpec, progress: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._spec = spec
        self._progress = progress
        self._path = LEASES.path(spec.namespace, spec.parent_name)
        self._me = f"{os.environ.get('USER', os.getuid())}@{socket.gethostname()}:{os.getpid()}"
        self._live: Manifest | None = None
        self._previous = ""
        self._lost = ""
        self._orphaned = False
        self._parent = os.getppid()
        self._stop = threading.Event()
        self._renewer = threading.Thread(target=self._renew, daemon=True)

    def version(self) -> str:
        """Return a text that changes whenever a run takes or leaves the Lease; "" where there never was one."""
        live = self._read()
        return live["metadata"]["resourceVersion"] if live else ""

    def __enter__(self) -> Self:
        self._acquire()
        self._renewer.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._renewer.join()
        if not self._lost:
            self._write(holder="")

    def check(self) -> None:
        """Raise ReleaseError if this run must stop: another one has taken the Lease, or ours was ended from outside."""
        if self._orphaned:
            raise ReleaseError(f"The playbook that changed release {self._spec.name} was ended.", "Run it again.")
        if self._lost:
            raise ReleaseError(f"The Lease of release {self._spec.name} was lost: {self._lost}", "Run it again.")

    @property
    def previous_version(self) -> str:
        """What version() said of the Lease just before it was taken."""
        return self._previous

    def _acquire(self) -> None:
        end = time.monotonic() + self._spec.wait_timeout
        seen, seen_at = "", 0.0
        while True:
            live = self._read()
            version = live["metadata"]["resourceVersion"] if live else ""
            if version != seen:
                seen, seen_at = version, time.monotonic()
                if live and not _is_free(live):
                    self._progress(
                        f"release {self._spec.name} is held by {live['spec']['holderIdentity']}; "
                        f"taken over if it is not renewed within {DURATION_SECONDS} s"
                    )
            if live is None or _is_free(live) or time.monotonic() - seen_at > DURATION_SECONDS:
                self._live, self._previous = live, version
                if self._write(holder=self._me):
                    return
            elif time.monotonic() > end:
                raise ReleaseError(
                    f"Release {self._spec.name} in {self._spec.namespace} is being changed by "
                    f"{live['spec']['holderIdentity']}, for more than {self._spec.wait_timeout} s.",
                    "Wait for that run, or end it.",
                )
            time.sleep(0.5)

    def _renew(self) -> None:
        renewed_at = time.monotonic()
        while not self._stop.wait(RENEW_SECONDS):
            # Ansible's workers outlive a playbook that is killed: without this, one would hold the release on and on.
            self._orphaned = os.getppid() != self._parent
            try:
                if not self._write(holder=self._me):
                    self._lost = "another run has taken it"
                    return
                renewed_at = time.monotonic()
            except SonicError as error:
                if time.monotonic() - renewed_at > DURATION_SECONDS:
                    self._lost = error.message
                    return

    def _read(self) -> Manifest | None:
        return self._cluster.get(LEASES, self._spec.namespace, self._spec.parent_name)

    def _write(self, *, holder: str) -> bool:
        """Write the Lease over the state that we know; return False where somebody else was quicker."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = (self._live or {}).get("spec") or {}
        taken = spec.get("holderIdentity") != holder and holder
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._spec.parent_name,
                "namespace": self._spec.namespace,
                "labels": {"app.kubernetes.io/managed-by": "hep.sonic", "hep.sonic/release": self._spec.name},
                "resourceVersion": field_at(self._live, ["metadata", "resourceVersion"]),
            },
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": DURATION_SECONDS,
                "acquireTime": now if taken else spec.get("acquireTime", now),
                "renewTime": now,
                "leaseTransitions": spec.get("leaseTransitions", 0) + bool(taken),
            },
        }
        try:
            if self._live is None:
                answer = self._cluster.request("POST", LEASES.path(self._spec.namespace), body=body)
            else:
                answer = self._cluster.request("PUT", self._path, body=body)
        except RequestError as error:
            if error.status not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                raise
            if error.status == HTTPStatus.NOT_FOUND and self._live is None:
                raise  # there is no namespace for it
            # Either somebody else was quicker, or the answer to our own first try was lost on the way.
            self._live = self._read()
            return bool(field_at(self._live, ["spec", "holderIdentity"]) == holder)
        self._live = answer.body
        return True


def _is_free(lease: Manifest) -> bool:
    """Return whether nobody holds the Lease, or its holder is long gone."""
    spec = lease["spec"]
    if not spec.get("holderIdentity"):
        return True
    renewed = datetime.fromisoformat(spec["renewTime"])
    return datetime.now(UTC) - renewed > ABANDONED_AFTER
