# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the unit tests: a control plane of their own, started once for a session."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Access, Cluster

ROOT = Path(__file__).resolve().parents[2]


def run_lab(*arguments: str) -> str:
    """Run the lab's command line and return what it printed."""
    command = [sys.executable, "-m", "tests.lab", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """The administrator's kubeconfig of a control lab that lives as long as the session."""
    name = f"unit-{os.getpid()}"
    run_lab("up", "--form", "control", "--name", name)
    try:
        yield Path(run_lab("kubeconfig", "--name", name))
    finally:
        run_lab("down", "--name", name)


@pytest.fixture
def cluster(kubeconfig: Path) -> Iterator[Cluster]:
    """A connection to the control lab."""
    with Cluster(Access(kubeconfig=str(kubeconfig))) as connected:
        yield connected


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A new namespace of the test's own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    cluster.request("POST", BUILT_IN["", "Namespace"].path(), body=body)
    return name
