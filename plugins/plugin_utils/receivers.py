# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is told of which alerts, in the form of Alertmanager's configuration."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.options import Spec, check_name, fill

#: The options of an element of ``monitoring_receivers``; the role ``monitoring`` documents them.
RECEIVER_SPEC: Final[Spec] = {
    "name": {"type": "str", "required": True},
    "severities": {"type": "list", "elements": "str", "choices": ["page", "ticket"], "default": ["page", "ticket"]},
    "instances": {"type": "list", "elements": "str", "default": []},
    "email_to": {"type": "list", "elements": "str"},
    "webhook_url": {"type": "str", "no_log": False},
    "slack_url": {"type": "str", "no_log": False},
    "slack_channel": {"type": "str"},
    "send_resolved": {"type": "bool", "default": True},
}
#: The options of ``monitoring_smtp``, each with the name that Alertmanager has for it.
SMTP_SPEC: Final[Spec] = {
    "smarthost": {"type": "str", "required": True},
    "from": {"type": "str", "required": True},
    "auth_username": {"type": "str"},
    "auth_password": {"type": "str", "no_log": False},
    "require_tls": {"type": "bool", "default": True},
}
#: How somebody is reached: exactly one of these of each receiver.
WAYS: Final = ("email_to", "webhook_url", "slack_url")
#: Where Alertmanager finds its configuration and its credentials; it reads the latter each time it needs them.
FOLDER: Final = "/etc/alertmanager"
#: The file with the password for mail; the others are called after their receivers, and end otherwise.
_MAIL_FILE: Final = "smtp-password"
#: Where alerts go that no receiver wants.
NOBODY: Final = "nobody"
#: A cause, and what it shows itself by besides: who is told of the one is not told of the others.
CAUSES: Final[Mapping[str, Sequence[str]]] = {"SonicServerFailing": ("SonicEjectionsHigh", "SonicRetriesHigh")}
#: What a chat shows of each alert.
CHAT_TITLE: Final = "{{ .Status | toUpper }} {{ .CommonLabels.alertname }} {{ .CommonLabels.instance }}"
CHAT_TEXT: Final = "{{ range .Alerts }}{{ .Annotations.summary }}\n{{ .Annotations.runbook_url }}\n{{ end }}"


def alertmanager_config(
    receivers: Sequence[Any], smtp: Mapping[str, Any], instances: Collection[str]
) -> dict[str, Any]:
    """Return the configuration of an Alertmanager.

    Each receiver has a route of its own, so that several may be told of the same alert. What is a ticket is not told
    while the same is a page, and what follows from a cause (`CAUSES`) is not told while that is. What lets people in is
    not in it: it names the files of `alertmanager_credentials`.

    Args:
        receivers: Elements of the form of `RECEIVER_SPEC`.
        smtp: What mail goes through, in the form of `SMTP_SPEC`; empty where there is none.
        instances: The names of the instances that there are.

    Raises:
        SonicError: A receiver is reached in no way or in several, names an instance that does not exist, has the name
            of another, or wants mail while there is none.
    """
    filled = [_fill(receiver, f"monitoring_receivers[{index}]") for index, receiver in enumerate(receivers)]
    names = [receiver["name"] for receiver in filled]
    for index, receiver in enumerate(filled):
        where = f"monitoring_receivers[{index}]"
        if receiver["name"] in [NOBODY, *names[:index]]:
            raise SonicError(f"{where}.name is {receiver['name']}, which is another's.", "Choose another.")
        if receiver["email_to"] and not smtp:
            raise SonicError(
                f"{where}.email_to is set, but monitoring_smtp is not.", "Say there which server takes mail."
            )
        for name in receiver["instances"]:
            _check_instance(name, instances, f"{where}.instances")
    return {
        "global": _mail(smtp) if smtp else {},
        "route": {
            "receiver": NOBODY,
            "group_by": ["namespace", "instance", "alertname"],
            "routes": [_route(receiver) for receiver in filled],
        },
        "receivers": [{"name": NOBODY}, *map(_receiver, filled)],
        "inhibit_rules": [
            {
                "source_matchers": ['severity="page"'],
                "target_matchers": ['severity="ticket"'],
                "equal": ["namespace", "instance", "alertname", "objective"],
            },
            *(
                {
                    "source_matchers": [f'alertname="{cause}"'],
                    "target_matchers": [f'alertname=~"{"|".join(shown)}"'],
                    "equal": ["namespace", "instance"],
                }
                for cause, shown in CAUSES.items()
            ),
        ],
    }


def alertmanager_credentials(receivers: Sequence[Mapping[str, Any]], smtp: Mapping[str, Any]) -> dict[str, str]:
    """Return what lets Alertmanager reach people: file in `FOLDER` → content.

    Args:
        receivers: Those of `alertmanager_config`, which refuses what is none.
        smtp: What mail goes through; empty where there is none.
    """
    urls = {
        _url_file(receiver["name"]): url
        for receiver in receivers
        if (url := receiver.get("webhook_url") or receiver.get("slack_url"))
    }
    return urls | ({_MAIL_FILE: smtp["auth_password"]} if smtp.get("auth_password") else {})


def alertmanager_target(url: str) -> dict[str, Any]:
    """Return where Prometheus finds an Alertmanager.

    Args:
        url: Its address, such as ``http://alertmanager.example.org:9093``, with a path where there is one.

    Raises:
        SonicError: `url` is none, or has what Prometheus takes no notice of.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise SonicError(
            f"monitoring_alertmanager_urls has {url}, which is no address of an Alertmanager.",
            "Write it as http://alertmanager.example.org:9093.",
        )
    port = parts.port or (443 if parts.scheme == "https" else 80)
    target: dict[str, Any] = {"scheme": parts.scheme, "static_configs": [{"targets": [f"{parts.hostname}:{port}"]}]}
    return target | ({"path_prefix": parts.path} if parts.path.strip("/") else {})


def _fill(receiver: Any, where: str) -> dict[str, Any]:
    """Return a receiver with every option.

    Raises:
        SonicError: It is no receiver.
    """
    filled = fill(receiver, RECEIVER_SPEC, where, mutually_exclusive=[WAYS], required_one_of=[WAYS])
    check_name(filled["name"], f"{where}.name")
    if filled["slack_channel"] and not filled["slack_url"]:
        raise SonicError(f"{where}.slack_channel is set, but slack_url is not.", "Say there where messages go.")
    return filled


def _check_instance(name: str, instances: Collection[str], where: str) -> None:
    """Refuse an instance that does not exist.

    Raises:
        SonicError: It does not.
    """
    if name not in instances:
        near = difflib.get_close_matches(name, instances, n=1)
        remedy = f"Did you mean {near[0]}?" if near else f"There are {', '.join(sorted(instances)) or 'none'}."
        raise SonicError(f"{where} has {name}, which is no instance on this cluster.", remedy)


def _mail(smtp: Mapping[str, Any]) -> dict[str, Any]:
    """Return what mail goes through, in Alertmanager's own words."""
    together = [("auth_username", "auth_password")]
    filled = fill(smtp, SMTP_SPEC, "monitoring_smtp", required_together=together)
    if filled.pop("auth_password"):
        filled["auth_password_file"] = f"{FOLDER}/{_MAIL_FILE}"
    return {f"smtp_{key}": value for key, value in filled.items() if value is not None}


def _url_file(name: str) -> str:
    """Return the name of the file with a receiver's address."""
    return f"{name}-url"


def _route(receiver: Mapping[str, Any]) -> dict[str, Any]:
    """Return the route to a receiver."""
    matchers = [f'severity=~"{"|".join(receiver["severities"])}"']
    if receiver["instances"]:
        matchers.append(f'instance=~"{"|".join(map(re.escape, receiver["instances"]))}"')
    return {"receiver": receiver["name"], "matchers": matchers, "continue": True}


def _receiver(receiver: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a receiver is reached."""
    resolved = {"send_resolved": receiver["send_resolved"]}
    url = f"{FOLDER}/{_url_file(receiver['name'])}"
    if receiver["email_to"]:
        return {"name": receiver["name"], "email_configs": [{"to": to, **resolved} for to in receiver["email_to"]]}
    if receiver["webhook_url"]:
        return {"name": receiver["name"], "webhook_configs": [{"url_file": url, **resolved}]}
    channel = {"channel": receiver["slack_channel"]} if receiver["slack_channel"] else {}
    chat = {"api_url_file": url, **channel, "title": CHAT_TITLE, "text": CHAT_TEXT, **resolved}
    return {"name": receiver["name"], "slack_configs": [chat]}
