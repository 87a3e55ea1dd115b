# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of other projects: from a real web server or a folder, and only the right ones."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.download import fetch, load_manifests, mirrored
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import DownloadError
from tests.unit.engine.test_apply import Playbook
from tests.unit.engine.test_release import CONFIG_MAPS

RELEASED = "https://example.org/project/v1"
TEXT = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
data: {key: "{{ this is no expression }}"}
---
---
apiVersion: v1
kind: ConfigMap
metadata: {name: two}
"""


def sum_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hep.sonic" / "downloads"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file of the project."""
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "file.yaml").write_text(TEXT)
    return tmp_path / "mirror"


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """A web server for that folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_address[1]}"
        web.shutdown()


def test_a_file_comes_from_the_mirror_and_only_once(server: str, folder: Path) -> None:
    for _ in range(2):
        found = load_manifests(f"{RELEASED}/file.yaml", sum_of(TEXT), {RELEASED: server})
        assert [one.manifest["metadata"]["name"] for one in found] == ["one", "two"]
        assert found[0].manifest["data"] == {"key": "{{ this is no expression }}"}
        (folder / "file.yaml").unlink(missing_ok=True)  # what was had once is not asked for again


def test_a_mirror_may_be_a_folder(folder: Path) -> None:
    assert fetch(f"{RELEASED}/file.yaml", sum_of(TEXT).upper(), {RELEASED: str(folder)}) == TEXT.encode()


def test_the_longest_beginning_counts() -> None:
    mirrors = {"https://example.org/": "https://mirror/", f"{RELEASED}/": "/folder/"}
    assert mirrored(f"{RELEASED}/file.yaml", mirrors) == "/folder/file.yaml"
    assert mirrored("https://example.org/other", mirrors) == "https://mirror/other"
    assert mirrored("https://example.com/other", mirrors) == "https://example.com/other"


def test_another_file_is_refused_with_both_sums(server: str) -> None:
    with pytest.raises(DownloadError) as error:
        fetch(f"{RELEASED}/file.yaml", sum_of("another"), {RELEASED: server})
    assert f"{server}/file.yaml" in str(error.value)
    assert sum_of(TEXT) in str(error.value)
    assert sum_of("another") in str(error.value)


def test_a_cached_file_that_was_changed_is_not_used(folder: Path, cache: Path) -> None:
    arguments = f"{RELEASED}/file.yaml", sum_of(TEXT), {RELEASED: str(folder)}
    fetch(*arguments)
    (cache / sum_of(TEXT)).write_text("changed")
    assert fetch(*arguments) == TEXT.encode()


# the socket of a refused connection is closed by Ansible's library when it is collected
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("mirror", ["{server}/nowhere", "{folder}/nowhere", "http://127.0.0.1:1", "ftp://127.0.0.1"])
def test_a_file_that_cannot_be_had_names_the_remedy(server: str, folder: Path, mirror: str) -> None:
    source = mirror.format(server=server, folder=folder)
    with pytest.raises(DownloadError, match=r"sonic_mirrors") as error:
        fetch(f"{RELEASED}/file.yaml", sum_of(TEXT), {RELEASED: source})
    assert f"{source}/file.yaml" in str(error.value)


@pytest.mark.parametrize("text", ["just text", "[1, 2]", "a: [", "- 1\n---\na: 1\n"])
def test_what_holds_no_objects_is_refused(folder: Path, text: str) -> None:
    (folder / "file.yaml").write_text(text)
    with pytest.raises(DownloadError, match=f"{RELEASED}/file.yaml"):
        load_manifests(f"{RELEASED}/file.yaml", sum_of(text), {RELEASED: str(folder)})


def test_a_wrong_sum_leaves_the_cluster_alone(
    tmp_path: Path, kubeconfig: Path, cluster: Cluster, namespace: str, folder: Path
) -> None:
    playbook = Playbook(tmp_path, kubeconfig, namespace)
    mine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}
    given = {"objects": [mine], "mirrors": {RELEASED: str(folder)}}
    wrong = [{"url": f"{RELEASED}/file.yaml", "sha256": "0" * 64}]
    status, output = playbook.run(downloads=wrong, **given)
    assert status != 0
    assert "Nothing was applied" in output
    assert cluster.get(CONFIG_MAPS, namespace, "mine") is None
    status, output = playbook.run(downloads=[{**wrong[0], "sha256": sum_of(TEXT)}], **given)
    assert status == 0, output
    for name in ("mine", "one", "two"):
        assert cluster.get(CONFIG_MAPS, namespace, name) is not None


def test_the_password_for_a_mirror_is_not_told() -> None:
    mirrors = {RELEASED: "http://reader:geheim@127.0.0.1:1/project"}
    with pytest.raises(DownloadError, match=re.escape("http://127.0.0.1:1/project/objects.yml cannot be had")) as error:
        fetch(f"{RELEASED}/objects.yml", "0" * 64, mirrors)
    assert "geheim" not in str(error.value)
