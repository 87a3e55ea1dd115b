# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab itself: it starts, mends itself, refuses what it must, and leaves nothing behind.

The tests of form `node` need the machine's only node lab for themselves: where one runs already, they are skipped.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.lab import dns, network, pretended
from tests.lab.api import Api, Object
from tests.lab.lab import Lab
from tests.lab.machine import claim
from tests.lab.pki import Pair
from tests.lab.ports import is_taken
from tests.lab.processes import Processes
from tests.lab.progress import Progress
from tests.lab.settings import home
from tests.lab.traces import traces
from tests.tools.common import ROOT

#: Ends of the names of this run's labs: two runs at a time do not meet.
_RUN: Final = os.getpid()
_NOBODY: Final = 65534


def lab(*arguments: str, prefix: Sequence[str] = (), check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the lab's command line."""
    command = [*prefix, sys.executable, "-m", "tests.lab", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def api_of(name: str) -> Api:
    """Return a client with all rights."""
    directory = home() / "labs" / name
    server = re.search(r"server: (\S+)", (directory / "kubeconfig").read_text(encoding="utf-8"))
    assert server
    return Api(server[1], directory / "pki" / "ca.crt", Pair.at(directory / "pki", "admin"))


def create(api: Api, path: str, body: Object) -> None:
    answer = api.ask("POST", path, body)
    assert answer.status == 201, answer.text


def wait_until(done: Callable[[], object], seconds: float) -> float:
    """Wait for something to become true and return how long it took."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.1)
    return time.monotonic() - began


def pids_of(name: str) -> dict[str, int]:
    """Return the daemons of a lab."""
    daemons = Processes(home() / "labs" / name).daemons()
    return {daemon: process.pid for daemon, process in daemons.items()}


def own_traces() -> dict[str, set[str]]:
    """Return what the labs of this run have on the machine."""
    return {
        "processes": {text for entry in Path("/proc").glob("[0-9]*/cmdline") if f"-{_RUN}/" in (text := _read(entry))},
        "folders": {entry.name for entry in (home() / "labs").glob(f"*-{_RUN}")},
    }


def all_traces() -> dict[str, set[str]]:
    """Return everything that a node lab of this run could leave behind on the machine."""
    return own_traces() | traces()


def _read(file: Path) -> str:
    try:
        return file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a lab that is gone after the test, whatever happened."""
    text = f"{request.node.name.replace('_', '-')[:20].strip('-')}-{_RUN}"
    yield text
    lab("down", "--name", text)


@pytest.fixture(scope="module")
def shared() -> Iterator[str]:
    """The name of a lab that runs, for tests that leave it well."""
    text = f"shared-{_RUN}"
    lab("up", "--form", "control", "--name", text)
    yield text
    lab("down", "--name", text)


class TestControl:
    """The control plane, without root's help."""

    def test_it_is_ready_within_ten_seconds_and_others_run_beside_it(self, name: str) -> None:
        lab("build", "--form", "control")
        other = f"other-{_RUN}"
        before = own_traces()
        try:
            for each in (name, other):
                began = time.monotonic()
                lab("up", "--form", "control", "--name", each)
                assert time.monotonic() - began < 10
            assert not set(pids_of(name).values()) & set(pids_of(other).values())
            create(api_of(name), "/api/v1/namespaces", {"metadata": {"name": "here"}})
            assert not api_of(other).has("/api/v1/namespaces/here")
            assert lab("status", "--name", name).stdout.count("  ok") == 5
        finally:
            for each in (name, other):
                lab("down", "--name", each)
        assert own_traces() == before
        assert lab("status", "--name", name, check=False).returncode == 1

    def test_pods_run_on_pretended_nodes(self, shared: str) -> None:
        api = api_of(shared)
        gpus = {"nvidia.com/gpu": "4"}
        create(api, "/api/v1/nodes", pretended.node("fake-1", labels={"site": "far"}, resources=gpus))
        container = {"name": "main", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "4"}}}
        pod = {
            "metadata": {"name": "pod"},
            "spec": {
                "containers": [container],
                "nodeSelector": {"site": "far"},
                "tolerations": [pretended.toleration()],
            },
        }
        create(api, "/api/v1/namespaces/default/pods", pod)
        path = "/api/v1/namespaces/default/pods/pod"
        wait_until(lambda: api.get(path)["status"]["phase"] == "Running", 10)
        assert not api.ask("DELETE", path).status >= 400
        wait_until(lambda: not api.has(path), 10)

    def test_it_is_as_closed_as_a_real_cluster(self, shared: str) -> None:
        api = api_of(shared)
        directory = home() / "labs" / shared
        stranger = Api(api.server, directory / "pki" / "ca.crt", Pair.at(directory / "pki", "kwok"))
        assert stranger.ask("GET", "/api/v1/secrets").status == 403
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        create(api, "/api/v1/namespaces", {"metadata": {"name": "closed", "labels": labels}})
        wait_until(lambda: api.has("/api/v1/namespaces/closed/serviceaccounts/default"), 10)
        pod = {
            "metadata": {"name": "rogue"},
            "spec": {"containers": [{"name": "main", "image": "none", "securityContext": {"privileged": True}}]},
        }
        answer = api.ask("POST", "/api/v1/namespaces/closed/pods", pod)
        assert (answer.status, "violates PodSecurity" in answer.text) == (403, True)

    def test_a_second_up_changes_nothing(self, shared: str) -> None:
        before = pids_of(shared)
        assert len(before) == 5
        began = time.monotonic()
        lab("up", "--name", shared)
        assert time.monotonic() - began < 2
        assert pids_of(shared) == before

    def test_a_bare_one_has_no_kwok_until_it_is_made_whole(self, name: str) -> None:
        lab("up", "--form", "control", "--name", name, "--bare")
        assert "kwok" not in lab("status", "--name", name).stdout
        before = pids_of(name)
        lab("up", "--name", name)
        assert pids_of(name).keys() - before.keys() == {"kwok"}
        assert before.items() <= pids_of(name).items()
        lab("up", "--name", name, "--bare")
        assert "kwok" in lab("status", "--name", name).stdout

    @pytest.mark.parametrize("victim", ["etcd", "kube-apiserver", "kube-controller-manager", "kwok"])
    def test_up_replaces_what_died(self, shared: str, victim: str) -> None:
        create(api_of(shared), "/api/v1/namespaces", {"metadata": {"name": f"kept-{victim}"}})
        os.kill(pids_of(shared)[victim], signal.SIGKILL)
        wait_until(lambda: victim not in pids_of(shared), 5)

        status = lab("status", "--name", shared, check=False)
        assert status.returncode == 1
        assert re.search(rf"{victim} .*ILL: does not run", status.stdout)

        lab("up", "--name", shared)
        lab("status", "--name", shared)
        api = api_of(shared)
        assert api.has(f"/api/v1/namespaces/kept-{victim}")
        # controllers that were refused for a moment would sleep for more than a minute now
        create(api, "/api/v1/namespaces", {"metadata": {"name": f"later-{victim}"}})
        wait_until(lambda: api.has(f"/api/v1/namespaces/later-{victim}/serviceaccounts/default"), 10)

    @pytest.mark.parametrize(("how", "seconds"), [(signal.SIGINT, 0.4), (signal.SIGKILL, 0.4), (signal.SIGKILL, 2.0)])
    def test_an_interrupted_up_can_be_continued_or_undone(self, name: str, how: signal.Signals, seconds: float) -> None:
        before = own_traces()
        for finish in (["down"], ["up", "--form", "control"]):
            command = [sys.executable, "-m", "tests.lab", "up", "--form", "control", "--name", name]
            with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as running:
                time.sleep(seconds)
                running.send_signal(how)
            lab(*finish, "--name", name)
        lab("status", "--name", name)
        lab("down", "--name", name)
        assert own_traces() == before

    def test_after_a_restart_of_the_machine_it_begins_anew(self, name: str) -> None:
        lab("up", "--form", "control", "--name", name)
        create(api_of(name), "/api/v1/namespaces", {"metadata": {"name": "lost"}})
        Processes(home() / "labs" / name).stop(pids_of(name), grace=0)
        file = home() / "labs" / name / "lab.json"
        file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"boot": "an earlier one"}))
        done = lab("up", "--name", name)
        assert "the machine was restarted since" in done.stderr
        assert not api_of(name).has("/api/v1/namespaces/lost")

    def test_a_taken_port_is_refused_with_its_holder(self, name: str) -> None:
        lab("up", "--form", "control", "--name", name)
        Processes(home() / "labs" / name).stop(["kwok"], grace=0)
        port = json.loads((home() / "labs" / name / "lab.json").read_text(encoding="utf-8"))["ports"]["kwok"]
        with socket.create_server(("127.0.0.1", port)):
            done = lab("up", "--name", name, check=False)
        assert done.returncode == 1
        assert f"port {port}, which kwok of lab {name} needs, is taken by " in done.stderr
        assert f"(pid {os.getpid()})" in done.stderr

    def test_a_new_lab_avoids_taken_ports(self, name: str) -> None:
        lab("up", "--form", "control", "--name", name)
        ports = json.loads((home() / "labs" / name / "lab.json").read_text(encoding="utf-8"))["ports"]
        lab("down", "--name", name)
        with socket.create_server(("127.0.0.1", ports["kube-scheduler"])):
            lab("up", "--form", "control", "--name", name)
        now = json.loads((home() / "labs" / name / "lab.json").read_text(encoding="utf-8"))["ports"]
        assert not set(now.values()) & set(ports.values())

    def test_a_name_that_cannot_be_one_is_refused(self) -> None:
        done = lab("up", "--name", "No/Such", check=False)
        assert done.returncode == 1
        assert "cannot be a lab's name" in done.stderr

    def test_a_log_is_shown_and_a_wrong_name_helped(self, shared: str) -> None:
        assert lab("logs", "kube-apiserver", "--name", shared, "--lines", "5").stdout.count("\n") == 5
        done = lab("logs", "apiserver", "--name", shared, check=False)
        assert "kube-apiserver" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
class TestUsers:
    """What other users may do."""

    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        """A home for another user's labs, with root's programs in it; pytest's own is too deep for unix sockets."""
        lab("build", "--form", "control")
        with tempfile.TemporaryDirectory(prefix="sonic-") as folder:
            path = Path(folder)
            for built in ("bin", "share"):
                (path / built).symlink_to(home() / built)
            os.chown(path, _NOBODY, _NOBODY)
            yield path

    @pytest.fixture
    def nobody(self, folder: Path) -> Sequence[str]:
        """What makes a command that of an ordinary user, who may read root's programs but nothing else."""
        reads = "-all,+dac_read_search"
        return (
            *("env", f"HEP_SONIC_HOME={folder}"),
            *("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"),
            *(f"--inh-caps={reads}", f"--ambient-caps={reads}", f"--bounding-set={reads}"),
        )

    def test_the_form_node_is_refused_and_control_named(self, nobody: Sequence[str]) -> None:
        done = lab("up", "--form", "node", prefix=nobody, check=False)
        assert done.returncode == 1
        assert "needs root" in done.stderr
        assert "--form control" in done.stderr

    def test_a_control_plane_runs_without_root(self, nobody: Sequence[str], folder: Path) -> None:
        try:
            lab("up", "--form", "control", prefix=nobody)
            found = Processes(folder / "labs" / "lab").daemons()
            assert {Path(f"/proc/{process.pid}").stat().st_uid for process in found.values()} == {_NOBODY}
            lab("status", prefix=nobody)
        finally:
            lab("down", prefix=nobody)
        assert not Processes(folder / "labs" / "lab").all()

    def test_the_lab_of_somebody_else_is_refused(self, name: str) -> None:
        lab("up", "--form", "control", "--name", name)
        directory = home() / "labs" / name
        before = pids_of(name)
        os.chown(directory, _NOBODY, -1)
        try:
            for command in ("up", "down"):
                done = lab(command, "--name", name, check=False)
                assert done.returncode == 1
                assert "belongs to user nobody" in done.stderr
        finally:
            os.chown(directory, 0, -1)
        assert pids_of(name) == before


@pytest.fixture
def machine() -> Iterator[str]:
    """The name of the machine's only node lab, for this test alone."""
    if os.geteuid() != 0:
        pytest.skip("the form `node` needs root")
    if Path("/run/hep-sonic-lab.json").exists():
        pytest.skip("a node lab is up: `python -m tests.lab down` makes room for this test")
    name = f"node-{_RUN}"
    yield name
    lab("down", "--name", name)


class TestNode:
    """Real nodes."""

    @pytest.mark.timeout(300)
    def test_a_whole_life(self, machine: str) -> None:
        lab("build")
        before = all_traces()
        settings = network.settings()

        began = time.monotonic()
        lab("up", "--form", "node", "--name", machine)
        seconds = time.monotonic() - began
        # the first time the images have to be pulled
        assert seconds < 30
        print(f"one node was up after {seconds:.1f} s")

        first = pids_of(machine)
        lab("up", "--name", machine, "--nodes", "2")
        assert first.items() <= pids_of(machine).items()
        lab("status", "--name", machine)

        other = lab("up", "--form", "node", "--name", f"second-{_RUN}", check=False)
        assert "a machine has room for one lab of the form `node`" in other.stderr

        for victim in ("node-1/containerd", "node-2/kubelet", "registry", "kube-apiserver", "network-policies"):
            os.kill(pids_of(machine)[victim], signal.SIGKILL)
        wait_until(lambda: len(pids_of(machine)) == len(first) - 2, 5)
        assert lab("status", "--name", machine, check=False).returncode == 1
        lab("up", "--name", machine)
        lab("status", "--name", machine)

        lab("up", "--name", machine, "--nodes", "1")
        assert not api_of(machine).has("/api/v1/nodes/node-2")
        assert not any(daemon.startswith("node-2") for daemon in pids_of(machine))

        lab("down", "--name", machine)
        left = all_traces()
        assert left == before
        assert network.settings() == settings
        assert not is_taken(network.ADDRESS, 5000)

    @pytest.mark.timeout(300)
    def test_the_dns_keeps_answers_as_long_as_it_is_told(self, machine: str) -> None:
        lab("up", "--form", "node", "--name", machine)
        api = api_of(machine)
        assert self._seconds_to_forget(api, "uncached") < 2

        lab("up", "--name", machine, "--dns-cache", "6")
        assert 4 < self._seconds_to_forget(api, "cached") < 8

        lab("up", "--name", machine, "--dns-cache", "0")
        assert self._seconds_to_forget(api, "again") < 2

    @staticmethod
    def _seconds_to_forget(api: Api, name: str) -> float:
        """Return for how long the DNS gives an address that a Service no longer has."""
        services = "/api/v1/namespaces/default/services"
        host = f"{name}.default.svc.cluster.local"
        create(api, services, {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}})
        wait_until(lambda: dns.ask(host), 10)
        api.delete(f"{services}/{name}")
        return wait_until(lambda: not dns.ask(host), 20)

    @pytest.mark.timeout(300)
    @pytest.mark.parametrize("seconds", [0.3, 0.6, 1.5, 4.0])
    def test_what_a_kill_leaves_is_removed(self, machine: str, seconds: float) -> None:
        before = all_traces()
        command = [sys.executable, "-m", "tests.lab", "up", "--form", "node", "--nodes", "2", "--name", machine]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as running:
            time.sleep(seconds)
            running.kill()
        lab("down", "--name", machine)
        assert all_traces() == before

    def test_a_kill_before_there_is_a_folder_leaves_no_claim(self, machine: str) -> None:
        before = all_traces()
        claim(home() / "labs" / machine)
        lab("down", "--name", machine)
        assert all_traces() == before


def test_the_python_interface_is_what_the_command_line_uses(name: str) -> None:
    one = Lab(name, Progress(None))
    one.up("control")
    assert one.status().healthy
    assert one.kubeconfig.exists()
    one.down()
    assert one.status().state is None
