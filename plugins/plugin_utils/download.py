# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of other projects: taken from where they were released or from a mirror, and used if their sum is right."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml
from ansible.module_utils.urls import open_url

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import DownloadError
from ansible_collections.hep.sonic.plugins.plugin_utils.render import Rendered, to_plain

#: Seconds to wait for a connection and for each part of an answer.
TIMEOUT_SECONDS: Final = 30
#: The parser in C where there is one: a large definition takes the other one seconds.
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: The options of an action that takes such files.
DOWNLOADS_SPEC: Final[Mapping[str, Mapping[str, Any]]] = {
    "downloads": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "url": {"type": "str", "required": True},
            "sha256": {"type": "str", "required": True},
        },
    },
    "mirrors": {"type": "dict", "default": {}},
}


def load_manifests(url: str, sha256: str, mirrors: Mapping[str, str]) -> list[Rendered]:
    """Return the objects of a YAML file. They are taken as they are: expressions in them are text.

    Args:
        url: Where it was released.
        sha256: Its sum, in hexadecimal digits.
        mirrors: Beginning of URLs → what takes its place: the beginning of other URLs, or a folder.

    Raises:
        DownloadError: It cannot be had, is another file, or holds no objects.
    """
    content = fetch(url, sha256, mirrors)
    try:
        documents = [document for document in yaml.load_all(content, Loader=_LOADER) if document]
    except yaml.YAMLError as error:
        raise DownloadError(f"{url} is not valid YAML: {error}") from error
    if not all(isinstance(document, dict) for document in documents):
        raise DownloadError(f"{url} holds something that is no Kubernetes object.")
    return [Rendered(to_plain(document), url) for document in documents]


def fetch(url: str, sha256: str, mirrors: Mapping[str, str]) -> bytes:
    """Return the content of a file, from the cache of this machine where it is there already.

    Args:
        url: Where it was released.
        sha256: Its sum.
        mirrors: As for load_manifests().

    Raises:
        DownloadError: It cannot be had, or is another file.
    """
    cached = _cache() / sha256.lower()
    if cached.is_file() and _sum(content := cached.read_bytes()) == sha256.lower():
        return content
    source = mirrored(url, mirrors)
    content = _read(source)
    if (found := _sum(content)) != sha256.lower():
        raise DownloadError(
            f"{_shown(source)} is not the file that {url} was: its SHA-256 is {found}, wanted is {sha256.lower()}. "
            "Nothing was applied.",
            "Find out who changed it. If a proxy answered instead, name a mirror in sonic_mirrors.",
        )
    _keep(cached, content)
    return content


def mirrored(url: str, mirrors: Mapping[str, str]) -> str:
    """Return where a file is taken from: by the longest beginning that a mirror is for."""
    prefix = max((prefix for prefix in mirrors if url.startswith(prefix)), key=len, default=None)
    return url if prefix is None else mirrors[prefix] + url.removeprefix(prefix)


def _read(source: str) -> bytes:
    remedy = "Name a mirror of it in sonic_mirrors: the beginning of other URLs, or a folder on this machine."
    try:
        if source.startswith("/"):
            return Path(source).read_bytes()
        if urlsplit(source).scheme not in ("https", "http"):
            raise DownloadError(f"{_shown(source)} is neither a URL with https or http nor the path of a file.", remedy)
        with open_url(source, timeout=TIMEOUT_SECONDS, http_agent="hep.sonic") as answer:
            content: bytes = answer.read()
            return content
    except (OSError, HTTPException) as error:
        raise DownloadError(f"{_shown(source)} cannot be had: {error}", remedy) from error


def _shown(source: str) -> str:
    """Return a URL without the name and the password of who reads it."""
    parts = urlsplit(source)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "hep.sonic" / "downloads"


def _keep(path: Path, content: bytes) -> None:
    """Keep a file for the next run, in one step; a machine on which that fails does without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        Path(file.name).replace(path)
    except OSError:
        return


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
