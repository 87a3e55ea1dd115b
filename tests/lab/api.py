# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The few calls that the lab itself makes to its API server."""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import yaml

from tests.lab.errors import LabError
from tests.lab.http import Answer, client_tls, lines, request
from tests.lab.pki import Pair

Object = dict[str, Any]

#: Plural of each kind that the lab writes.
_PLURALS: Final = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
}
_CLUSTER_WIDE: Final = {"ClusterRole", "ClusterRoleBinding"}


class Api:
    """A client of one API server.

    Args:
        server: Its URL.
        authority: Certificate of the authority that signed its certificate.
        user: Whom to act as.
    """

    def __init__(self, server: str, authority: Path, user: Pair) -> None:
        self.server = server
        self._tls = client_tls(authority, user.certificate, user.key)

    def ask(self, method: str, path: str, body: Object | None = None) -> Answer:
        """Make one request and return whatever is answered.

        Raises:
            LabError: Nobody answered.
        """
        content = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        try:
            return request(
                method,
                self.server + path,
                body=None if body is None else json.dumps(body).encode(),
                headers={"Accept": "application/json", "Content-Type": content},
                tls=self._tls,
            )
        except (OSError, HTTPException) as error:
            raise LabError(f"the API server at {self.server} does not answer: {error}") from error

    def get(self, path: str) -> Object:
        """Return the object or list at a path.

        Raises:
            LabError: It is not there, or the server cannot answer.
        """
        return self._result(self.ask("GET", path), path)

    def watch(self, path: str, version: str, seconds: int = 60) -> Iterator[tuple[str, Object]]:
        """Yield what happens to the objects of a list.

        Args:
            path: The list's path.
            version: The list's version after which to begin.
            seconds: After which the server ends its answer, whatever happens.

        Yields:
            What happened (`ADDED`, `MODIFIED`, `DELETED`; `BOOKMARK` for a new version alone), and the object.

        Raises:
            LabError: The server does not answer, or no longer knows the version.
        """
        query = f"?watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={seconds}"
        try:
            for line in lines(self.server + path + query, tls=self._tls, timeout=seconds + 10):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise LabError(f"the API server cannot follow {path}: {event['object'].get('message')}")
                yield event["type"], event["object"]
        except (OSError, HTTPException) as error:
            raise LabError(f"the API server at {self.server} does not answer: {error}") from error

    def has(self, path: str) -> bool:
        """Return whether there is an object at a path."""
        answer = self.ask("GET", path)
        if answer.status == HTTPStatus.NOT_FOUND:
            return False
        self._result(answer, path)
        return True

    def apply(self, obj: Object) -> None:
        """Create or update an object by server-side apply."""
        group = obj["apiVersion"]
        prefix = f"/apis/{group}" if "/" in group else f"/api/{group}"
        if obj["kind"] not in _CLUSTER_WIDE:
            prefix += f"/namespaces/{obj['metadata']['namespace']}"
        path = f"{prefix}/{_PLURALS[obj['kind']]}/{obj['metadata']['name']}?fieldManager=hep-sonic-lab&force=true"
        self._result(self.ask("PATCH", path, obj), path)

    def delete(self, path: str) -> None:
        """Remove an object; one that is not there is fine."""
        answer = self.ask("DELETE", path)
        if answer.status != HTTPStatus.NOT_FOUND:
            self._result(answer, path)

    def _result(self, answer: Answer, path: str) -> Object:
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise LabError(f"the API server answered {answer.status} for {path}: {answer.text.strip()}")
        result: Object = json.loads(answer.body)
        return result


def load_objects(file: Path, values: Mapping[str, str]) -> list[Object]:
    """Return the objects of a YAML file, `${name}` in it replaced by `values`."""
    return list(yaml.safe_load_all(string.Template(file.read_text(encoding="utf-8")).substitute(values)))


def kubeconfig(*, name: str, server: str, authority: Path, user: Pair) -> str:
    """Return a kubeconfig with one context called `name`, complete in itself."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "clusters": [
                {"name": name, "cluster": {"server": server, "certificate-authority-data": _base64(authority)}}
            ],
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": _base64(user.certificate),
                        "client-key-data": _base64(user.key),
                    },
                }
            ],
        },
        sort_keys=False,
    )


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode("ascii")
