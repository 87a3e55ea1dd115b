# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run whose connection to the API server breaks: it goes on by itself, or says so and is made good by the next."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils import client
from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Access, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import AccessError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest
from ansible_collections.hep.sonic.plugins.plugin_utils.release.release import Release
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import ReleaseSpec
from ansible_collections.hep.sonic.plugins.plugin_utils.render import Rendered
from tests.unit.gate import Gate

CONFIG_MAPS = BUILT_IN["", "ConfigMap"]


@pytest.fixture
def gate(cluster: Cluster) -> Iterator[Gate]:
    """A gate to the lab's API server, shut at the end."""
    between = Gate(cluster.server)
    yield between
    between.shut()


def objects(count: int) -> list[Rendered]:
    def config_map(index: int) -> Manifest:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"cm-{index}"}, "data": {"a": "b"}}

    return [Rendered(config_map(index), f"cm.yml ({index})") for index in range(count)]


def wait_for_object(cluster: Cluster, namespace: str, name: str) -> None:
    end = time.monotonic() + 20
    while not cluster.get(CONFIG_MAPS, namespace, name) and time.monotonic() < end:
        time.sleep(0.002)


def test_a_run_goes_on_when_the_connection_comes_back(
    gate: Gate, cluster: Cluster, namespace: str, kubeconfig: Path
) -> None:
    said: list[str] = []
    spec = ReleaseSpec(name="demo", namespace=namespace, instance="demo")

    def interrupt() -> None:
        wait_for_object(cluster, namespace, "cm-5")
        gate.shut()
        time.sleep(client.SILENCE_SECONDS + 3)
        gate.open()

    breaker = threading.Thread(target=interrupt)
    breaker.start()
    with Cluster(Access(kubeconfig=str(kubeconfig), host=gate.url), said.append) as through_gate:
        outcome = Release(through_gate, spec, said.append).apply(objects(100))
    breaker.join()
    assert {change.action for change in outcome.changes} == {"created"}
    assert outcome.revision == 1
    assert sum("does not answer; trying again" in line for line in said) == 1


def test_a_run_that_gives_up_is_made_good_by_the_next(
    gate: Gate, cluster: Cluster, namespace: str, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 1.0)
    spec = ReleaseSpec(name="demo", namespace=namespace, instance="demo")

    def interrupt() -> None:
        wait_for_object(cluster, namespace, "cm-5")
        gate.shut()

    breaker = threading.Thread(target=interrupt)
    breaker.start()
    with (
        Cluster(Access(kubeconfig=str(kubeconfig), host=gate.url)) as through_gate,
        pytest.raises(AccessError, match="cannot be reached"),
    ):
        Release(through_gate, spec, print).apply(objects(100))
    breaker.join()
    outcome = Release(cluster, spec, print).apply(objects(100))
    assert len(cluster.list(CONFIG_MAPS, namespace)) == 100 + 1
    assert outcome.revision == 1
