# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A site's own Prometheus: the real one, with TLS, a name and a password, and before it what wants a token."""

from __future__ import annotations

import base64
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import Request, urlopen

import yaml

from tests.lab import programs
from tests.lab.pki import Authority, Pair
from tests.lab.progress import Progress
from tests.tools.serving import Silent, serve
from tests.unit.roles.test_drain import free_port, wait_for

USERNAME: Final = "hep-sonic"
PASSWORD: Final = "correct-horse-battery"  # noqa: S105 - of these tests
#: That password as bcrypt has it.
PASSWORD_HASH: Final = "$2b$04$abcdefghijklmnopqrstuupOWRSKKNe562z1DsLEArFuJDHVyRIMa"  # noqa: S105
TOKEN: Final = "sesame.open-now"  # noqa: S105
#: Below which Prometheus is, as behind the proxy of a site.
PATH: Final = "/prometheus"


@dataclass(frozen=True)
class Site:
    """What a site tells of its Prometheus.

    Args:
        url: Its address, where it wants a name and a password.
        token_url: Its address, where what is before it wants a token. Below ``/people`` people log in there, and below
            ``/page`` there is a page.
        ca: The authority of both, in PEM.
        other_ca: One that has signed nothing.
    """

    url: str
    token_url: str
    ca: str
    other_ca: str


@contextmanager
def site_prometheus(folder: Path) -> Iterator[Site]:
    """Run it, with its files in a folder."""
    authority = Authority(folder, "site")
    pair = authority.issue("prometheus", "prometheus", addresses=["127.0.0.1"])
    other = Authority(folder, "other").files.certificate.read_text()
    with _prometheus(folder, pair) as port:
        url = f"https://127.0.0.1:{port}{PATH}"
        context = ssl.create_default_context(cafile=authority.files.certificate)
        with _front(pair, url, context) as front:
            yield Site(url, f"https://127.0.0.1:{front}", authority.files.certificate.read_text(), other)


@contextmanager
def _prometheus(folder: Path, pair: Pair) -> Iterator[int]:
    """Run Prometheus, and yield its port."""
    programs.ensure(["prometheus"], Progress(None))
    (folder / "prometheus.yml").write_text("{}")
    web = {
        "tls_server_config": {"cert_file": str(pair.certificate), "key_file": str(pair.key)},
        "basic_auth_users": {USERNAME: PASSWORD_HASH},
    }
    (folder / "web.yml").write_text(yaml.safe_dump(web))
    port = free_port()
    command = [
        str(programs.path("prometheus")),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.config.file={folder}/web.yml",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.route-prefix={PATH}",
    ]
    context = ssl.create_default_context(cafile=folder / "site.crt")
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_for(lambda: process.poll() is None and _ready(f"https://127.0.0.1:{port}{PATH}/-/ready", context))
            yield port
        finally:
            process.terminate()


def _ready(url: str, context: ssl.SSLContext) -> bool:
    try:
        with _get(url, context) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False


def _get(url: str, context: ssl.SSLContext) -> HTTPResponse:
    """Return the answer to who has the name and the password."""
    login = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
    request = Request(url, headers={"Authorization": f"Basic {login}"})  # noqa: S310 - of these tests
    answer: HTTPResponse = urlopen(request, context=context, timeout=5)  # noqa: S310
    return answer


@contextmanager
def _front(pair: Pair, url: str, context: ssl.SSLContext) -> Iterator[int]:
    """Run what sites put before Prometheus, which checks no tokens itself, and yield its port."""

    class Front(Silent, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/page"):
                self.answer(200, b"<html>Welcome</html>")
            elif self.path.startswith("/people"):
                self.answer(302, b"", {"Location": "https://login.example.org/?state=abc"})
            elif self.headers["Authorization"] != f"Bearer {TOKEN}":
                self.answer(403, b"")
            else:
                with _get(url + self.path, context) as inner:
                    self.answer(inner.status, inner.read())

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    with serve(Front, tls=tls) as port:
        yield port
