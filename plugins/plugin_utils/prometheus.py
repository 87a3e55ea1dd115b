# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a site's Prometheus answers us: one query to its HTTP API, and what the answer says of the variables.

No message repeats what lets us in.
"""

from __future__ import annotations

import json
import re
import ssl
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from ansible.module_utils.urls import Request

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import PrometheusError

#: What is asked: it needs no series, and only what understands PromQL answers it.
QUERY: Final = "api/v1/query?query=vector(1)"
#: Seconds to wait for a connection and for each part of an answer.
TIMEOUT_SECONDS: Final = 15
#: The most of an answer that is read, in bytes.
LONGEST_ANSWER: Final = 2**20
#: What a header can carry as it is.
TOKEN: Final = re.compile(r"[!-~]+")
#: OpenSSL's numbers for a certificate that has ended, and for one of another name or another address.
EXPIRED: Final = 10
FOR_ANOTHER: Final = (62, 64)

WRITE_URL: Final = (
    "Correct the address: as people open it, with the path that the site puts before it, such as "
    "https://example.org/prometheus."
)


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus of a site's, and how it is spoken to; the role ``monitoring`` says what each is.

    Args:
        url: Its address, ``monitoring_prometheus_url``.
        ca: ``monitoring_prometheus_ca``, in PEM; empty for the authorities that this machine trusts.
        token: ``monitoring_prometheus_token``.
        username: ``monitoring_prometheus_username``.
        password: ``monitoring_prometheus_password``.
    """

    url: str
    ca: str = ""
    token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"Prometheus at {_shown(self.url)} (monitoring_prometheus_url)"

    @property
    def query(self) -> str:
        """The URL of the query."""
        return f"{self.url.rstrip('/')}/{QUERY}"


def check_prometheus(prometheus: Prometheus) -> None:
    """Ask a Prometheus something that every Prometheus knows.

    Raises:
        PrometheusError: It cannot be reached, does not let us in, or is none.
    """
    if prometheus.token and not TOKEN.fullmatch(prometheus.token):
        raise PrometheusError("monitoring_prometheus_token has blanks or the like in it.", "Give the bare token.")
    context = _context(prometheus.ca)
    try:
        answer = Request().open(
            "GET",
            prometheus.query,
            headers={"Authorization": f"Bearer {prometheus.token}"} if prometheus.token else {},
            url_username=prometheus.username or None,
            url_password=prometheus.password or None,
            force_basic_auth=True,
            use_netrc=False,
            follow_redirects="none",  # what lets us in is for nobody else
            http_agent="hep.sonic",
            timeout=TIMEOUT_SECONDS,
            context=context,
        )
        with answer:
            status, body = answer.status, answer.read(LONGEST_ANSWER)
    except HTTPError as error:
        with error:
            status, body = error.code, error.read(LONGEST_ANSWER)
    except (OSError, HTTPException, ValueError) as error:
        raise unreachable(prometheus, error) from error
    if refusal := judge(prometheus, status, body):
        raise refusal


def judge(prometheus: Prometheus, status: int, body: bytes) -> PrometheusError | None:
    """Return what an answer says against a Prometheus; nothing where it answers the query.

    Args:
        prometheus: Whom it is said to be from.
        status: The answer's HTTP status.
        body: What it says.
    """
    subject = f"The {prometheus}"
    if status == 200:
        if _answers(body):
            return None
        return PrometheusError(f"{subject} answers, but not as a Prometheus does: it is something else.", WRITE_URL)
    if status in (401, 403):
        return _not_let_in(prometheus, f"{subject} does not let us in (status {status})")
    if 300 <= status < 400:
        return PrometheusError(
            f"{subject} sends us elsewhere (status {status}).",
            "Name there the Prometheus itself; a page where people log in lets no program pass.",
        )
    if status == 404:
        return PrometheusError(f"{subject} has no /{QUERY.partition('?')[0]} (status 404).", WRITE_URL)
    if status == 400 and b"HTTPS" in body:
        return PrometheusError(f"{subject} speaks TLS at that port.", "Write the address with https.")
    return PrometheusError(
        f"{subject} answers with status {status}.", "See whether it is well: its page /-/ready and its log say so."
    )


def unreachable(prometheus: Prometheus, error: Exception) -> PrometheusError:
    """Return why there is no answer.

    Args:
        prometheus: Who was asked.
        error: What happened.
    """
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _not_trusted(prometheus, cause)
    if isinstance(cause, ssl.SSLError):
        return PrometheusError(
            f"No TLS can be spoken with the {prometheus}: {cause.reason or cause}.",
            "Write the address with the port that speaks TLS; with http, if none does.",
        )
    return PrometheusError(
        f"From this machine the {prometheus} cannot be reached: {cause}.",
        "Correct the address, or let this machine connect to it.",
    )


def _answers(body: bytes) -> bool:
    """Return whether an answer is Prometheus' own to the query."""
    try:
        answer = json.loads(body)
        return bool(answer["status"] == "success" and answer["data"]["resultType"] == "vector")
    except (ValueError, TypeError, KeyError):
        return False


def _not_let_in(prometheus: Prometheus, what: str) -> PrometheusError:
    if prometheus.token:
        return PrometheusError(f"{what} with monitoring_prometheus_token.", "Give one that may ask queries.")
    if prometheus.username:
        return PrometheusError(
            f"{what} with monitoring_prometheus_username and monitoring_prometheus_password.",
            "Correct them, or have that name allowed to ask queries.",
        )
    return PrometheusError(
        f"{what} without a name.",
        "Set monitoring_prometheus_token, or monitoring_prometheus_username and monitoring_prometheus_password.",
    )


def _not_trusted(prometheus: Prometheus, error: ssl.SSLCertVerificationError) -> PrometheusError:
    what = f"The certificate of the {prometheus}"
    if error.verify_code in FOR_ANOTHER:
        return PrometheusError(
            f"{what} is for another name: {error.verify_message.rstrip('.')}.", "Write the one that it is for."
        )
    if error.verify_code == EXPIRED:
        return PrometheusError(f"{what} is no longer valid.", "Ask the site to renew it.")
    if prometheus.ca:
        return PrometheusError(
            f"{what} was not signed by monitoring_prometheus_ca: {error.verify_message}.",
            "Set it to the authority that signed it.",
        )
    return PrometheusError(
        f"{what} was signed by nobody whom this machine trusts: {error.verify_message}.",
        "Set monitoring_prometheus_ca to the site's authority, as the text of its PEM file.",
    )


def _context(ca: str) -> ssl.SSLContext | None:
    """Return what trusts an authority and no other; nothing for those that this machine trusts.

    Raises:
        PrometheusError: It is none.
    """
    if not ca:
        return None
    try:
        return ssl.create_default_context(cadata=ca)
    except (ssl.SSLError, ValueError) as error:
        raise PrometheusError(
            "monitoring_prometheus_ca holds no certificate in PEM.",
            "Read it from a file with lookup('ansible.builtin.file', 'ca.pem').",
        ) from error


def _shown(url: str) -> str:
    """Return a URL without a name and a password in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
