# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom Alertmanager itself tells of what, with the configuration that the role makes."""

from __future__ import annotations

import base64
import json
import queue
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

import pytest
import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.receivers import CAUSES, FOLDER
from ansible_collections.hep.sonic.plugins.plugin_utils.rules import catalogue
from tests.lab import programs
from tests.lab.progress import Progress
from tests.tools.webhook import Told, listen
from tests.unit.roles.harness import Role
from tests.unit.roles.test_drain import free_port, get, wait_for

#: Of the receivers of these tests, and what else they are.
RECEIVERS: Final = (
    {"name": "oncall", "severities": ["page"]},
    {"name": "cms", "instances": ["cms"]},
    {"name": "everybody"},
)


def objects(**variables: object) -> list[dict[str, Any]]:
    """Return the role's objects with an Alertmanager, and with variables of its own."""
    own = {
        "monitoring_mode": "bundled",
        "monitoring_alertmanager_mode": "bundled",
        "monitoring_alertmanager_allowed_destinations": [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
    }
    return Role("monitoring", own | variables).objects()


def named(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return Alertmanager's object of a kind."""
    (obj,) = (obj for obj in found if obj["kind"] == kind and obj["metadata"]["name"] == "alertmanager")
    return obj


def configuration(port: int, folder: Path) -> dict[str, Any]:
    """Put the role's credentials into a folder, for receivers that are all on a port here, each by its path.

    Returns:
        The role's configuration, for that folder.
    """
    receivers = [receiver | {"webhook_url": f"http://127.0.0.1:{port}/{receiver['name']}"} for receiver in RECEIVERS]
    found = objects(monitoring_receivers=receivers)
    for name, content in named(found, "Secret")["data"].items():
        (folder / name).write_bytes(base64.b64decode(content))
    text = named(found, "ConfigMap")["data"]["alertmanager.yml"]
    config: dict[str, Any] = yaml.safe_load(text.replace(FOLDER, str(folder)))
    config["route"]["group_wait"] = "1s"  # nobody waits here for more of a group
    return config


@contextmanager
def alertmanager(folder: Path, config: Mapping[str, Any]) -> Iterator[int]:
    """Run an Alertmanager, and yield its port."""
    programs.ensure(["alertmanager"], Progress(None))
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        str(programs.path("alertmanager")),
        f"--config.file={folder}/alertmanager.yml",
        f"--storage.path={folder}",
        "--cluster.listen-address=",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_for(lambda: process.poll() is None and get(port, "/-/ready") == 200)
            yield port
        finally:
            process.terminate()


def fire(port: int, *alerts: tuple[str, str, str]) -> None:
    """Say, as Prometheus does, what fires: (instance, alert, severity)."""
    body = [
        {
            "labels": {"namespace": "physics", "instance": instance, "alertname": name, "severity": severity},
            "annotations": {"summary": "It hurts.", "runbook_url": "https://example.org"},
        }
        for instance, name, severity in alerts
    ]
    url = f"http://127.0.0.1:{port}/api/v2/alerts"
    urlopen(Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST")).close()


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[int, queue.Queue[Told]]]:
    """An Alertmanager's port, and what its receivers were told."""
    with listen("127.0.0.1") as (port, messages), alertmanager(tmp_path, configuration(port, tmp_path)) as own:
        yield own, messages


def test_receivers_are_told_of_what_they_want_and_no_more(told: tuple[int, queue.Queue[Told]]) -> None:
    port, messages = told
    fire(port, ("cms", "SonicServerFailing", "page"), ("atlas", "SonicRetriesHigh", "ticket"))
    found = {messages.get(timeout=20) for _ in range(4)}
    assert found == {
        Told("oncall", "cms", "SonicServerFailing", "page"),
        Told("cms", "cms", "SonicServerFailing", "page"),
        Told("everybody", "cms", "SonicServerFailing", "page"),
        Told("everybody", "atlas", "SonicRetriesHigh", "ticket"),
    }
    with pytest.raises(queue.Empty):
        messages.get(timeout=2)


def test_what_follows_from_a_cause_is_not_told_besides(told: tuple[int, queue.Queue[Told]]) -> None:
    port, messages = told
    fire(port, ("cms", "SonicServerFailing", "ticket"), ("atlas", "SonicRetriesHigh", "ticket"))
    fire(port, ("cms", "SonicRetriesHigh", "ticket"))
    found = {messages.get(timeout=20) for _ in range(3)}
    assert {(one.instance, one.alert) for one in found} == {
        ("cms", "SonicServerFailing"),
        ("atlas", "SonicRetriesHigh"),  # nothing else explains it there
    }
    with pytest.raises(queue.Empty):
        messages.get(timeout=2)


@pytest.mark.parametrize("way", ["slack_url", "webhook_url", "email_to"])
def test_what_lets_people_in_is_in_a_secret_and_nothing_elsewhere_follows_from_it(way: str) -> None:
    def with_credential(text: str) -> list[dict[str, Any]]:
        smtp = {"smarthost": "smtp.example.org:587", "from": "a@example.org", "auth_username": "sonic"}
        reached = ["b@example.org"] if way == "email_to" else f"https://chat.example.org/{text}"
        return objects(
            monitoring_receivers=[{"name": "oncall", way: reached}], monitoring_smtp=smtp | {"auth_password": text}
        )

    first, second = with_credential("hunter2"), with_credential("hunter3")
    assert named(first, "Secret") != named(second, "Secret")
    first.remove(named(first, "Secret"))
    second.remove(named(second, "Secret"))
    assert first == second
    assert "hunter" not in json.dumps(first)


def test_causes_and_what_they_show_are_alerts() -> None:
    named = {name for cause, shown in CAUSES.items() for name in (cause, *shown)}
    assert named <= {alert["alert"] for alert in catalogue()}


def test_what_is_a_page_is_not_told_as_a_ticket_besides(told: tuple[int, queue.Queue[Told]]) -> None:
    port, messages = told
    fire(port, ("cms", "SonicLatencyBudgetBurn", "page"))
    fire(port, ("cms", "SonicLatencyBudgetBurn", "ticket"))
    found = {messages.get(timeout=20) for _ in range(3)}
    assert {one.severity for one in found} == {"page"}
    with pytest.raises(queue.Empty):
        messages.get(timeout=2)
