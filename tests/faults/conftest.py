# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab with two real nodes, and the instance that things happen to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Access, Cluster
from tests.faults.site import INSTANCE, Site
from tests.lab.settings import home
from tests.lab.state import State
from tests.tools.common import ROOT

LAB = home() / "labs" / "lab"


def change_lab(*options: str) -> None:
    """Start the lab, or change it."""
    command = [sys.executable, "-m", "tests.lab", "up", "--form", "node", "--nodes", "2", *options]
    subprocess.run(command, cwd=ROOT, check=True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The lab's API server."""
    if os.geteuid() != 0:
        pytest.skip("the lab's real nodes need root")
    change_lab()
    with Cluster(Access(kubeconfig=str(LAB / "kubeconfig"))) as connection:
        yield connection


def keep_dns(seconds: int) -> None:
    """Let the cluster's DNS keep answers for some seconds."""
    if lab_state().dns_cache != seconds:
        change_lab("--dns-cache", str(seconds))


def lab_state() -> State:
    """What the lab is."""
    state = State.load(LAB)
    assert state is not None
    return state


@pytest.fixture(scope="session")
def site(cluster: Cluster) -> Iterator[Site]:
    """The instance; it is removed after the last test, and the lab left as it was."""
    before = lab_state().dns_cache
    yield Site(cluster, keep_dns)
    keep_dns(before)
    INSTANCE.remove()
