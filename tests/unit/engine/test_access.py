# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to a cluster: what is wrong with it is told, and nothing that is secret."""

from __future__ import annotations

import socket
import time
import traceback
from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Access, Cluster
from ansible_collections.hep.sonic.plugins.plugin_utils.errors import AccessError, ManifestError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Manifest
from ansible_collections.hep.sonic.plugins.plugin_utils.release.release import Release
from ansible_collections.hep.sonic.plugins.plugin_utils.release.spec import ReleaseSpec
from ansible_collections.hep.sonic.plugins.plugin_utils.render import Rendered
from tests.unit.conftest import ROOT
from tests.unit.roles.harness import load_variables

ENTRIES = """
current-context: home
clusters: [{name: home, cluster: {server: "https://127.0.0.1:9"}}]
contexts: [{name: home, context: {cluster: home, user: me}}]
"""

UNUSABLE = {
    "a user without its key user": ENTRIES + "users: [{name: me, token: S3cret}]",
    "a user without a name": ENTRIES + "users: [{nam: S3cret}]",
    "broken YAML": ENTRIES + "users: [{name: me, user: {token: S3cret}",
    "a list": "[S3cret]",
    "a text": "S3cret",
    "nothing": "",
    "a key that is no base64": ENTRIES + "users: [{name: me, user: {client-key-data: S3cret}}]",
}


@pytest.mark.parametrize("case", UNUSABLE)
@pytest.mark.parametrize("context", [None, "home"])
def test_a_kubeconfig_that_cannot_be_used_is_named_and_not_repeated(
    tmp_path: Path, case: str, context: str | None
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(UNUSABLE[case])
    with pytest.raises(AccessError) as error:
        Cluster(Access(kubeconfig=str(path), context=context))
    named = f"kubeconfig {path}, context home" if context else f"kubeconfig {path}"
    assert error.value.message.startswith(f"{named} cannot be used")
    option = " --context home" if context else ""
    assert error.value.remedy == f"Try it with: KUBECONFIG={path} kubectl{option} get namespaces"
    assert "S3cret" not in "".join(traceback.format_exception(error.value))


def test_a_dictionary_that_cannot_be_used_is_not_repeated() -> None:
    with pytest.raises(AccessError, match="the kubeconfig given as a dictionary cannot be used") as error:
        Cluster(Access(kubeconfig={"users": [{"name": "me", "token": "S3cret"}]}))
    assert "S3cret" not in str(error.value)


def test_a_pod_without_its_service_account_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/no/such/file")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "")
    with pytest.raises(AccessError, match="The service account of this Pod cannot be used: Service host/port"):
        Cluster(Access())


def test_a_request_of_little_patience_waits_for_no_answer_that_does_not_come(kubeconfig: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Cluster(Access(kubeconfig=str(kubeconfig), host=f"https://127.0.0.1:{silent.getsockname()[1]}")) as cluster,
    ):
        start = time.monotonic()
        with pytest.raises(AccessError, match="cannot be reached"):
            cluster.request("GET", "/version", patience=1)
        assert time.monotonic() - start < 3


@pytest.mark.parametrize("field", ["data", "stringData"])
def test_the_value_of_a_secret_that_is_no_text_is_refused_and_not_repeated(
    cluster: Cluster, namespace: str, field: str
) -> None:
    secret: Manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, field: {"pin": 123456}}
    release = Release(cluster, ReleaseSpec(name="demo", namespace=namespace, instance="demo"), print)
    with pytest.raises(ManifestError, match=rf"Secret s: {field}: the value of pin is no text") as error:
        release.preview([Rendered(secret, "secret.yml")])
    assert "123456" not in str(error.value)


@pytest.mark.parametrize("name", ["sonic_cluster", "sonic_kubeconfig", "preflight_namespaces"])
def test_an_inventory_without_the_groups_is_told_that_it_has_no_cluster(name: str) -> None:
    defaults = load_variables(ROOT / "roles/common/defaults") | load_variables(ROOT / "roles/preflight/defaults")
    facts = {"inventory_hostname": "cms", "groups": {"all": ["cms"]}, "hostvars": {"cms": {}}}
    with pytest.raises(AnsibleError, match="The inventory has no cluster"):
        Templar(loader=DataLoader(), variables={**defaults, **facts}).template(defaults[name])
