# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small HTTP requests with certificates or over a unix socket, with nothing but the standard library."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: Its code.
        headers: Names in lower case.
        body: Its bytes.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def client_tls(authority: Path, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Return a TLS context that trusts only `authority` and shows `certificate` if there is one."""
    context = ssl.create_default_context(cafile=str(authority))
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def request(
    method: str,
    url: str,
    *,
    body: bytes | BinaryIO | None = None,
    headers: dict[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    timeout: float = 10.0,
) -> Answer:
    """Make one request on a connection of its own.

    Args:
        method: GET, PUT, …
        url: `http://`, `https://`, or `unix://` with the socket's path, which asks for `/health`.
        body: What to send.
        headers: More headers.
        tls: For https.
        timeout: Seconds for each step on the wire.

    Raises:
        OSError: Nobody answered, or not in time (TLS errors are among them).
        http.client.HTTPException: What came is not HTTP.
    """
    connection, target = _connect(url, tls, timeout)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): text for name, text in response.getheaders()}, response.read())
    finally:
        connection.close()


def lines(url: str, *, tls: ssl.SSLContext | None = None, timeout: float = 10.0) -> Iterator[bytes]:
    """Yield the lines of an answer as they come.

    Args:
        url: As for `request`.
        tls: For https.
        timeout: Seconds that the server may be silent.

    Raises:
        OSError: Nobody answered, or the server was silent for too long.
        http.client.HTTPException: What came is not HTTP, or not what was asked for.
    """
    connection, target = _connect(url, tls, timeout)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"{url} answers {response.status}")
        yield from response
    finally:
        connection.close()


def _connect(url: str, tls: ssl.SSLContext | None, timeout: float) -> tuple[http.client.HTTPConnection, str]:
    """Return a connection for a URL, and what to ask for on it."""
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    if parts.scheme == "unix":
        return _UnixConnection(parts.path, timeout), "/health"
    if parts.scheme == "https":
        return http.client.HTTPSConnection(parts.netloc, timeout=timeout, context=tls), target
    return http.client.HTTPConnection(parts.netloc, timeout=timeout), target


def probe(url: str, tls: ssl.SSLContext | None = None) -> Callable[[], str]:
    """Return a function that asks a URL and returns what is wrong with the answer, an empty string if nothing is."""

    def ask() -> str:
        try:
            answer = request("GET", url, tls=tls, timeout=2.0)
        except (OSError, http.client.HTTPException) as error:
            return f"{url}: {str(error) or type(error).__name__}"
        if answer.status != http.HTTPStatus.OK:
            lines = answer.text.strip().splitlines()
            # /readyz lists its checks, the failed ones marked
            failed = [line for line in lines if line.startswith("[-]")] or lines[:1]
            return f"{url} answers {answer.status}: {'; '.join(failed)}"
        return ""

    return ask
