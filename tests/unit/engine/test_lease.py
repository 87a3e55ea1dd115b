# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Lease lets one run at a time change a release: whatever happens to a run, it stops before another one starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Access, Answer, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import ReleaseError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import field_at
from ansible_collections.hep.sonic.plugins.plugin_utils.release import lease
from ansible_collections.hep.sonic.plugins.plugin_utils.release.lease import LEASES, Lease
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import ReleaseSpec
from tests.tools.processes import kill_tree
from tests.unit.conftest import ROOT
from tests.unit.gate import Gate

#: A playbook in small: its worker is forked as Ansible forks one, and uses the Lease at the moment that is asked for.
PLAYBOOK = """
import multiprocessing, os, sys, time
from ansible_collections.hep.sonic.plugins.plugin_utils.client import Access, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import ReleaseError
from ansible_collections.hep.sonic.plugins.plugin_utils.release import lease
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import ReleaseSpec

lease.RENEW_SECONDS = 0.5
kubeconfig, namespace, moment = sys.argv[1:]

def say(line):
    print(line, flush=True)

def wait_for_the_end_of(playbook):
    while os.getppid() == playbook:
        time.sleep(0.05)

def work(playbook):
    spec = ReleaseSpec(name="demo", namespace=namespace, instance="demo", wait_timeout=10)
    with Cluster(Access(kubeconfig=kubeconfig)) as cluster:
        if moment == "before":
            say("planning")
            wait_for_the_end_of(playbook)
        with lease.Lease(cluster, spec, say):
            say("took it")
            wait_for_the_end_of(playbook)
            time.sleep(5)

def worker(playbook):
    try:
        work(playbook)
    except ReleaseError as error:
        say(error)

process = multiprocessing.get_context("fork").Process(target=worker, args=[os.getpid()])
process.start()
process.join()
"""


def start_playbook(kubeconfig: Path, namespace: str, moment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PLAYBOOK, str(kubeconfig), namespace, moment],
        env={**os.environ, "PYTHONPATH": str(ROOT / ".collections")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def kill_playbook(pid: int) -> None:
    """Kill the playbook alone: its worker lives on, and hangs."""
    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def spec(namespace: str) -> ReleaseSpec:
    """A release of the test's namespace."""
    return ReleaseSpec(name="demo", namespace=namespace, instance="demo", wait_timeout=20)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Lease that is over soon."""
    monkeypatch.setattr(lease, "DURATION_SECONDS", 2)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.5)


def holder(cluster: Cluster, namespace: str) -> Any:
    return field_at(cluster.get(LEASES, namespace, "sonic-release-demo"), ["spec", "holderIdentity"])


def message_of_check(held: Lease, seconds: float) -> str:
    """Return why the Lease must not be used any more; "" where it still may after some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            held.check()
        except ReleaseError as error:
            return error.message
        time.sleep(0.05)
    return ""


@pytest.mark.usefixtures("short")
def test_a_lease_is_held_for_longer_than_its_duration_and_then_given_up(cluster: Cluster, spec: ReleaseSpec) -> None:
    with Lease(cluster, spec, print) as held:
        assert not message_of_check(held, 3)
        assert holder(cluster, spec.namespace)
    assert holder(cluster, spec.namespace) == ""


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("kill", [kill_tree, kill_playbook])
def test_the_lease_of_a_killed_run_is_taken_over_when_it_is_over(
    cluster: Cluster, spec: ReleaseSpec, kubeconfig: Path, kill: Callable[[int], None]
) -> None:
    said: list[str] = []
    with start_playbook(kubeconfig, spec.namespace, "in") as killed:
        assert next_line(killed) == "took it\n"
        before = holder(cluster, spec.namespace)
        kill(killed.pid)
        start = time.monotonic()
        with Lease(cluster, spec, said.append) as held:
            assert 2 < time.monotonic() - start < 5
            assert holder(cluster, spec.namespace) != before
            killed.communicate()
            held.check()
            assert holder(cluster, spec.namespace) not in (before, "")
    assert said[0] == f"release demo is held by {before}; taken over if it is not renewed within 2 s"


def test_a_worker_whose_playbook_ended_while_it_planned_takes_no_lease(
    cluster: Cluster, spec: ReleaseSpec, kubeconfig: Path
) -> None:
    with start_playbook(kubeconfig, spec.namespace, "before") as playbook:
        assert next_line(playbook) == "planning\n"
        kill_playbook(playbook.pid)
        assert playbook.communicate()[0] == "The playbook that changed release demo was ended.\nRun it again.\n"
    assert holder(cluster, spec.namespace) is None


def test_a_worker_whose_playbook_ended_waits_for_no_lease(
    cluster: Cluster, spec: ReleaseSpec, kubeconfig: Path
) -> None:
    with Lease(cluster, spec, print), start_playbook(kubeconfig, spec.namespace, "in") as playbook:
        assert "is held by" in next_line(playbook)
        kill_playbook(playbook.pid)
        assert "was ended" in playbook.communicate()[0]


@pytest.mark.usefixtures("short")
def test_a_lease_that_cannot_be_renewed_is_lost_when_it_is_over(
    cluster: Cluster, spec: ReleaseSpec, kubeconfig: Path
) -> None:
    gate = Gate(cluster.server)
    with Cluster(Access(kubeconfig=str(kubeconfig), host=gate.url)) as through_gate:
        with Lease(through_gate, spec, print) as held:
            gate.shut()
            assert "could not be renewed for 2 s" in message_of_check(held, 4)
            start = time.monotonic()
        # the renewer does not go on trying for as long as other requests do
        assert time.monotonic() - start < lease.RENEWAL_PATIENCE_SECONDS + 2


def test_a_renewer_that_fails_in_whatever_way_has_lost_the_lease(
    cluster: Cluster, spec: ReleaseSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.2)
    request = Cluster.request

    def broken(self: Cluster, method: str, path: str, **options: Any) -> Answer:
        if method == "PUT":
            raise RuntimeError("nobody thought of this")
        return request(self, method, path, **options)

    with Lease(cluster, spec, print) as held:
        monkeypatch.setattr(Cluster, "request", broken)
        assert "RuntimeError: nobody thought of this" in message_of_check(held, 5)


def test_a_lease_that_another_run_took_is_lost(
    cluster: Cluster, spec: ReleaseSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.2)
    path = LEASES.path(spec.namespace, "sonic-release-demo")
    with Lease(cluster, spec, print) as held:
        theirs = {"spec": {"holderIdentity": "another"}}
        cluster.request("PATCH", path, body=theirs, content_type="application/merge-patch+json")
        assert "another run has taken it" in message_of_check(held, 5)
    assert holder(cluster, spec.namespace) == "another"
