# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``hep.sonic.apply`` as an operator meets it: in a playbook, with rendered manifests, and killed half-way."""

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
import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Cluster
from tests.tools.processes import kill_tree
from tests.unit.conftest import ROOT

CONFIG_MAPS = BUILT_IN["", "ConfigMap"]
SECRETS = BUILT_IN["", "Secret"]

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: "cm-{{ item }}"
  labels: "{{ {'tier': 'one'} if item == 1 else omit }}"
data:
  value: "{{ value }}"
"""


class Playbook:
    """A playbook of one task that applies manifests of its folder.

    Args:
        folder: Where it is written.
        kubeconfig: The cluster.
        namespace: The release's home.
    """

    def __init__(self, folder: Path, kubeconfig: Path, namespace: str) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_NOCOLOR": "true",
            "K8S_AUTH_KUBECONFIG": str(kubeconfig),
        }
        self._task: dict[str, Any] = {"release": "demo", "namespace": namespace, "wait_timeout": 30}
        (folder / "manifests").mkdir()
        self.manifest("cm.yml", MANIFEST)

    def manifest(self, name: str, text: str) -> None:
        """Write a manifest file."""
        (self._folder / "manifests" / name).write_text(text)

    def start(self, *options: str, **task: Any) -> subprocess.Popen[str]:
        """Start ansible-playbook, with `task` added to the task's options."""
        tasks = [{"name": "Apply", "hep.sonic.apply": {**self._task, **task}}]
        play = [{"hosts": "localhost", "gather_facts": False, "vars": {"value": "one"}, "tasks": tasks}]
        path = self._folder / "playbook.yml"
        path.write_text(yaml.safe_dump(play))
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("ansible-playbook")), str(path), *options],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *options: str, **task: Any) -> tuple[int, str]:
        """Run ansible-playbook to its end; return its exit status and what it printed."""
        process = self.start(*options, **task)
        output, _none = process.communicate(timeout=100)
        return process.returncode, output


@pytest.fixture
def playbook(tmp_path: Path, kubeconfig: Path, namespace: str) -> Playbook:
    """A playbook whose release lives in the test's namespace."""
    return Playbook(tmp_path, kubeconfig, namespace)


FOR_EACH = [{"src": "cm.yml", "for_each": [1, 2]}]


def test_manifests_are_rendered_with_their_variables(playbook: Playbook, cluster: Cluster, namespace: str) -> None:
    status, output = playbook.run(manifests=[*FOR_EACH, {"src": "none.yml", "when": False}])
    assert status == 0, output
    assert "release demo: 2 created" in output
    one, two = (cluster.get(CONFIG_MAPS, namespace, f"cm-{index}") for index in (1, 2))
    assert one
    assert two
    assert (one["data"], one["metadata"]["labels"]["tier"]) == ({"value": "one"}, "one")
    assert "tier" not in two["metadata"]["labels"]


def test_check_mode_shows_the_difference_that_the_run_then_makes(playbook: Playbook) -> None:
    playbook.run(manifests=FOR_EACH)
    changed = ("-e", "value=two", "--diff")
    _status, preview = playbook.run("--check", *changed, manifests=FOR_EACH)
    _status, real = playbook.run(*changed, manifests=FOR_EACH)
    assert "-  value: one" in preview
    assert "+  value: two" in preview
    assert preview.replace(" (check mode)", "") == real
    _status, again = playbook.run(manifests=FOR_EACH, wait=False)
    assert "2 configured" in again


FAULTS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "a missing file": ("", {"manifests": ["nothing.yml"]}, ["'nothing.yml' does not exist", "manifests/"]),
    "invalid YAML": ("a: [1", {"manifests": ["bad.yml"]}, ["bad.yml", "not valid YAML"]),
    "no object": ("- 1", {"manifests": ["bad.yml"]}, ["bad.yml holds no object"]),
    "an undefined variable": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: {b: '{{ no_such }}'}}",
        {"manifests": ["bad.yml"]},
        ["bad.yml: data.a.b:", "'no_such' is undefined"],
    ),
    "a date": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {day: 2026-01-01}",
        {"manifests": ["bad.yml"]},
        ["data.day is a", "Quote it"],
    ),
    "an unknown key of a source": ("", {"manifests": [{"src": "cm.yml", "foreach": []}]}, ["foreach", "for_each"]),
    "an unknown option": ("", {"manifest": []}, ["has no option manifest. Did you mean manifests?"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_is_told_with_file_and_key(playbook: Playbook, cluster: Cluster, namespace: str, fault: str) -> None:
    text, task, wanted = FAULTS[fault]
    playbook.manifest("bad.yml", text)
    good = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "good"}}
    status, output = playbook.run(**{"objects": [good], **task})
    assert status != 0
    joined = " ".join(output.split())
    assert all(words in joined for words in wanted), output
    assert "Traceback" not in output
    assert cluster.get(CONFIG_MAPS, namespace, "good") is None


def test_no_output_and_no_annotation_holds_the_value_of_a_secret(
    playbook: Playbook, cluster: Cluster, namespace: str
) -> None:
    def secret(value: str) -> dict[str, Any]:
        data = {"stringData": {"password": value}}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **data}

    output = ""
    for value in ("S3cret-first", "S3cret-second"):
        for options in (("-vvv", "--diff", "--check"), ("-vvv", "--diff")):
            status, printed = playbook.run(*options, objects=[secret(value)])
            assert status == 0, printed
            output += printed
    wrong = {**secret("S3cret-third"), "typo": "S3cret-fourth"}
    output += playbook.run("-vvv", objects=[wrong])[1]
    assert "S3cret" not in output
    assert "UzNjcmV0" not in output
    live = cluster.list(SECRETS, namespace)
    assert len(live) == 4
    assert not any("S3cret" in str(obj["metadata"]) or "UzNjcmV0" in str(obj["metadata"]) for obj in live)


def state_of(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """Return the release's objects and revisions, as far as two equal runs make them equal."""
    maps = {obj["metadata"]["name"]: obj.get("data") for obj in cluster.list(CONFIG_MAPS, namespace)}
    revisions = [obj["metadata"]["name"] for obj in cluster.list(SECRETS, namespace, labels="hep.sonic/revision")]
    return {"maps": maps, "revisions": len(revisions)}


MOMENTS: dict[str, Callable[[Cluster, str], object]] = {
    "before the first write": lambda cluster, namespace: cluster.get(
        BUILT_IN["coordination.k8s.io", "Lease"], namespace, "sonic-release-demo"
    ),
    "in the middle of the objects": lambda cluster, namespace: cluster.get(CONFIG_MAPS, namespace, "cm-5"),
    "while it waits": lambda cluster, namespace: cluster.get(BUILT_IN["", "Service"], namespace, "lb"),
}


def kill_playbook(pid: int) -> None:
    """Kill the playbook alone: its worker, which nobody reads any more, notices that."""
    os.kill(pid, signal.SIGKILL)


def interrupt_playbook(pid: int) -> None:
    """Do what Ctrl-C does."""
    os.kill(pid, signal.SIGINT)


@pytest.mark.parametrize(
    ("moment", "end_it"),
    [
        ("before the first write", kill_playbook),
        ("in the middle of the objects", kill_tree),
        ("while it waits", kill_playbook),
        ("while it waits", interrupt_playbook),
    ],
)
def test_a_run_that_was_ended_is_made_good_by_the_next(
    playbook: Playbook, cluster: Cluster, namespace: str, moment: str, end_it: Callable[[int], None]
) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "lb"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
    }
    manifests = [{"src": "cm.yml", "for_each": list(range(40))}]
    process = playbook.start(manifests=manifests, objects=[service])
    end = time.monotonic() + 30
    while not MOMENTS[moment](cluster, namespace):
        assert time.monotonic() < end, f"never seen: {moment}"
        time.sleep(0.005)
    end_it(process.pid)
    process.communicate()
    status, output = playbook.run(manifests=manifests, objects=[], wait_timeout=60)
    assert status == 0, output
    maps = {f"cm-{index}": {"value": "one"} for index in range(40)}
    found = state_of(cluster, namespace)
    found["maps"].pop("kube-root-ca.crt")
    assert found == {"maps": maps, "revisions": 1}
    assert cluster.get(BUILT_IN["", "Service"], namespace, "lb") is None
    assert "40 unchanged" in playbook.run(manifests=manifests)[1]
