# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests that come while there is no server are answered by the first one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN
from tests.faults.results import record
from tests.faults.site import INSTANCE, NAMESPACE, Site
from tests.faults.stream import Stream, Summary
from tests.faults.test_faults import POOL, client

BURST: Final = Stream("50 at once", "identity", rate=1000, count=50, deadline=120)
#: The servers.
DEPLOYMENT: Final = BUILT_IN["apps", "Deployment"].path(NAMESPACE, f"{INSTANCE.name}-triton-{POOL['name']}")
#: Seconds after which the last of them is answered, counted from the moment when the server is ready.
ANSWERED_SECONDS: Final = 1.0


@pytest.mark.timeout(300)
def test_the_first_server_answers_what_has_waited(site: Site, tmp_path: Path) -> None:
    pool = {name: value for name, value in POOL.items() if name != "replicas"}
    site.deploy({"sonic_pools": [pool], "verify_wake": False})
    site.scale(DEPLOYMENT, 0)
    site.settle({"triton": 0, "envoy": 2}, spread=False)
    with client(site.target, [BURST], tmp_path) as finish:
        start = time.monotonic()
        time.sleep(3)
        assert not site.pods("triton")
        site.scale(DEPLOYMENT, 1)
        site.wait(lambda: bool(site.serving("triton")), 60)
        ready = time.monotonic() - start
        (requests,) = finish().values()
    summary = Summary.of(requests)
    last = max(request.due + request.latency for request in requests)
    print(f"50 requests on no server: {summary}; the last {last - ready:.2f} s after the first server was ready")
    record("zero", "requests on no server", "EDS", BURST.name, summary)
    assert (summary.sent, summary.failed) == (50, 0)
    assert last - ready <= ANSWERED_SECONDS
