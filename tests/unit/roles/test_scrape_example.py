# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the README tells a site to have its own Prometheus read is what the one from here reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.roles.harness import ROLES, Role
from tests.unit.rules.promtool import run


@pytest.fixture
def example() -> str:
    """The example in the README."""
    text = (ROLES / "monitoring/README.md").read_text()
    (found,) = re.findall(r"```yaml\n(scrape_configs:\n.*?)```", text, re.DOTALL)
    return str(found)


def test_it_is_what_ours_reads(example: str) -> None:
    variables: dict[str, Any] = {
        "monitoring_mode": "bundled",
        "monitoring_instance_namespaces": ["sonic-cms", "sonic-atlas"],
        "monitoring_keda_namespace": "keda",
    }
    objects = Role("monitoring", variables).objects()
    (files,) = (obj["data"] for obj in objects if obj["kind"] == "ConfigMap")
    assert yaml.safe_load(example)["scrape_configs"] == yaml.safe_load(files["prometheus.yml"])["scrape_configs"]


def test_prometheus_takes_it(example: str, tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(example)
    done = run("check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stderr
