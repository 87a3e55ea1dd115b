# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A site's Prometheus, the real one: who is let in, and what is said of every other way."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler
from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import PrometheusError
from ansible_collections.hep.sonic.plugins.plugin_utils.prometheus import (
    EXPIRED,
    Prometheus,
    check_prometheus,
    judge,
    unreachable,
)
from tests.tools.serving import Silent, serve
from tests.unit.roles.test_drain import free_port
from tests.unit.site_prometheus import PASSWORD, PATH, TOKEN, USERNAME, Site, site_prometheus

ANSWER = b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.5,"1"]}]}}'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a Prometheus."""
    with site_prometheus(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def known(site: Site) -> Prometheus:
    """It, with the name and the password that it wants."""
    return Prometheus(site.url, ca=site.ca, username=USERNAME, password=PASSWORD)


@pytest.fixture
def plain() -> Iterator[str]:
    """The address of a server without TLS, which knows no Prometheus."""

    class Server(Silent, SimpleHTTPRequestHandler):
        """Answer with files, and write no log."""

    with serve(Server) as port:
        yield f"127.0.0.1:{port}"


def refused(prometheus: Prometheus) -> str:
    """Return what is said of a Prometheus that is refused, which is nothing that lets somebody in."""
    with pytest.raises(PrometheusError) as caught:
        check_prometheus(prometheus)
    message = str(caught.value)
    for secret in filter(None, (PASSWORD, TOKEN, prometheus.password, prometheus.token)):
        assert secret not in message
        assert secret not in repr(prometheus)
    assert caught.value.remedy
    return message


def test_who_has_the_password_gets_an_answer(known: Prometheus) -> None:
    check_prometheus(known)
    check_prometheus(replace(known, url=f"{known.url}/"))


def test_who_has_the_token_gets_an_answer(site: Site) -> None:
    check_prometheus(Prometheus(site.token_url, ca=site.ca, token=TOKEN))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password": "guessed"}, "does not let us in (status 401) with monitoring_prometheus_username and"),
        ({"username": "", "password": ""}, "Set monitoring_prometheus_token, or monitoring_prometheus_username and"),
        ({"ca": ""}, "Set monitoring_prometheus_ca to the site's authority"),
        ({"ca": "ca.pem"}, "monitoring_prometheus_ca holds no certificate in PEM"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_who_lacks_something_is_told_what(known: Prometheus, change: dict[str, Any], words: str) -> None:
    assert words in refused(replace(known, **change))


def test_another_authority_is_not_trusted(known: Prometheus, site: Site) -> None:
    assert "was not signed by monitoring_prometheus_ca" in refused(replace(known, ca=site.other_ca))


def test_a_wrong_token_is_named_and_not_shown(site: Site) -> None:
    message = refused(Prometheus(site.token_url, ca=site.ca, token="guessed"))  # noqa: S106
    assert "does not let us in (status 403) with monitoring_prometheus_token" in message
    assert "blanks" in refused(Prometheus(site.token_url, ca=site.ca, token=f"{TOKEN}\n"))


def test_an_address_beside_it_is_told(known: Prometheus, site: Site) -> None:
    elsewhere = replace(known, url=known.url.removesuffix(PATH))
    assert "(monitoring_prometheus_url) has no /api/v1/query (status 404)" in refused(elsewhere)
    assert "answers, but not as a Prometheus does" in refused(replace(known, url=f"{site.token_url}/page"))
    assert "sends us elsewhere (status 302)" in refused(replace(known, url=f"{site.token_url}/people"))


def test_nobody_there_is_told(known: Prometheus) -> None:
    message = refused(replace(known, url=f"https://127.0.0.1:{free_port()}"))
    assert message.startswith("From this machine the Prometheus at https://127.0.0.1:")
    assert "(monitoring_prometheus_url) cannot be reached: [Errno 111] Connection refused." in message
    assert "cannot be reached" in refused(replace(known, url="https://127.0.0.1:port"))


def test_a_certificate_for_another_name_is_told(known: Prometheus) -> None:
    other = replace(known, url=known.url.replace("127.0.0.1", "localhost"))
    assert "is for another name: Hostname mismatch" in refused(other)


def test_the_wrong_scheme_is_told(known: Prometheus, plain: str) -> None:
    assert "Write the address with https" in refused(Prometheus(known.url.replace("https://", "http://")))
    assert "No TLS can be spoken with the Prometheus at" in refused(replace(known, url=f"https://{plain}"))
    assert "has no /api/v1/query (status 404)" in refused(Prometheus(f"http://{plain}"))


def test_a_certificate_that_has_ended_is_the_site_s_to_renew() -> None:
    error = ssl.SSLCertVerificationError("certificate has expired")
    error.verify_code = EXPIRED
    found = unreachable(Prometheus("https://example.org", ca="theirs"), error)
    assert "is no longer valid" in found.message
    assert "renew" in found.remedy


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"[]", "not as a Prometheus does"),
        (200, b'{"status":"error"}', "not as a Prometheus does"),
        (400, b"bad_data", "answers with status 400"),
        (503, b"Service Unavailable", "answers with status 503"),
    ],
)
def test_an_answer_that_is_none_is_refused(status: int, body: bytes, words: str) -> None:
    found = judge(Prometheus("https://example.org"), status, body)
    assert found is not None
    assert words in found.message


def test_an_answer_is_one() -> None:
    assert judge(Prometheus("https://example.org"), 200, ANSWER) is None


def test_the_name_in_an_address_is_not_repeated() -> None:
    found = judge(Prometheus("https://me:secret@example.org/p"), 503, b"")
    assert found is not None
    assert found.message.startswith("The Prometheus at https://example.org/p (monitoring_prometheus_url)")
