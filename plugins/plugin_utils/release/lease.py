# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Lease of a release: one run at a time changes it."""

from __future__ import annotations

import math
import multiprocessing
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
#: Seconds after which a renewal is given up, so that the next one still comes in time.
RENEWAL_PATIENCE_SECONDS: Final = 4
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
        self._renewed_at = -math.inf
        self._stop = threading.Event()
        self._renewer = threading.Thread(target=self._renew, daemon=True)

    def version(self) -> str:
        """Return a text that changes whenever a run takes or leaves the Lease; "" where there never was one."""
        live = self._read()
        return live["metadata"]["resourceVersion"] if live else ""

    def __enter__(self) -> Self:
        self._acquire()
        if self._is_over():
            # It took many tries, or the answer to the first was lost: only a renewal tells that it is still ours.
            self._renew_once()
        self._renewer.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._renewer.join()
        if not self._lost:
            self._write(holder="")

    def check(self) -> None:
        """Raise ReleaseError if this run must stop: the Lease is over or another's, or the playbook was ended."""
        self._check_playbook()
        if not self._lost and self._is_over():
            # Whatever keeps the renewer, another run may hold the release by now.
            self._lost = f"it could not be renewed for {DURATION_SECONDS} s"
        if self._lost:
            raise ReleaseError(f"The Lease of release {self._spec.name} was lost: {self._lost}", "Run it again.")

    @property
    def previous_version(self) -> str:
        """What version() said of the Lease just before it was taken."""
        return self._previous

    def _check_playbook(self) -> None:
        """Raise ReleaseError if this is a worker of a playbook that was ended, which workers outlive."""
        if _is_orphan():
            raise ReleaseError(f"The playbook that changed release {self._spec.name} was ended.", "Run it again.")

    def _is_over(self) -> bool:
        """Return whether another run may have taken the Lease, because ours was not renewed in time."""
        return time.monotonic() - self._renewed_at > DURATION_SECONDS

    def _acquire(self) -> None:
        end = time.monotonic() + self._spec.wait_timeout
        seen, seen_at = "", 0.0
        while True:
            self._check_playbook()
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
        # An orphan must not hold the release on and on, not even one that hangs where it does not check().
        while not self._stop.wait(RENEW_SECONDS) and not self._lost and not _is_orphan():
            self._renew_once()

    def _renew_once(self) -> None:
        try:
            if not self._write(holder=self._me, patience=RENEWAL_PATIENCE_SECONDS):
                self._lost = "another run has taken it"
        except SonicError as error:
            if self._is_over():
                self._lost = error.message
        except Exception as error:  # noqa: BLE001 - the thread would end, and nobody know that the Lease ends, too
            self._lost = f"{type(error).__name__}: {error}"

    def _read(self, patience: float = math.inf) -> Manifest | None:
        return self._cluster.get(LEASES, self._spec.namespace, self._spec.parent_name, patience=patience)

    def _write(self, *, holder: str, patience: float = math.inf) -> bool:
        """Write the Lease over the state that we know; return False where somebody else was quicker."""
        started = time.monotonic()
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
                path = LEASES.path(self._spec.namespace)
                answer = self._cluster.request("POST", path, body=body, patience=patience)
            else:
                answer = self._cluster.request("PUT", self._path, body=body, patience=patience)
        except RequestError as error:
            if error.status not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                raise
            if error.status == HTTPStatus.NOT_FOUND and self._live is None:
                raise  # there is no namespace for it
            # Either somebody else was quicker, or the answer to our own first try was lost on the way.
            # When that was, we do not know: it renews nothing.
            self._live = self._read(patience)
            return bool(field_at(self._live, ["spec", "holderIdentity"]) == holder)
        # Not the time of the answer: others count from when the server has it, which may be long before.
        self._live, self._renewed_at = answer.body, started
        return True


def _is_orphan() -> bool:
    """Return whether we are a worker whose playbook has ended.

    The parent's id is that which the playbook itself noted when it forked: it is right even for a worker that was an
    orphan already when it came here. What was not forked so is no worker, and may well outlive its parent.
    """
    parent = multiprocessing.parent_process()
    return parent is not None and parent.pid != os.getppid()


def _is_free(lease: Manifest) -> bool:
    """Return whether nobody holds the Lease, or its holder is long gone."""
    spec = lease["spec"]
    if not spec.get("holderIdentity"):
        return True
    renewed = datetime.fromisoformat(spec["renewTime"])
    return datetime.now(UTC) - renewed > ABANDONED_AFTER
