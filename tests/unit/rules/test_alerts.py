# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each file in ``cases`` is a test of an alert, which Prometheus' own promtool runs.

Two instances are in one namespace, and well (`promtool.HEALTHY`). A case says what one of them has instead:
``series``, each with what it reads and for how long (`promtool._values`; nothing, where it is not there), and
``options`` of the rules of both.
``at`` says which alerts fire when, and that no other does, of neither instance: before the trouble, in it and after it.
``told`` is what is sent then, to the letter. Where a case is ``quiet``, the alert is not to fire at all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.hep.sonic.plugins.plugin_utils.rules import catalogue
from tests.unit.rules import promtool

CASES = sorted((Path(__file__).parent / "cases").glob("*.yml"))


def load(path: Path) -> dict[str, Any]:
    case: dict[str, Any] = yaml.safe_load(path.read_text())
    return {"alert": path.stem.partition("-")[0], **case}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_an_alert_fires_when_it_should_and_no_other(tmp_path: Path, path: Path) -> None:
    case = load(path)
    files = [
        promtool.write_rules(tmp_path / f"{instance}.yml", instance, case.get("options", {}))
        for instance in (promtool.ILL, promtool.WELL)
    ]
    test = tmp_path / "test.yml"
    test.write_text(json.dumps(promtool.rule_test(case, files)))
    done = promtool.run("test", "rules", test)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_shown_before_it_fires_while_it_does_and_after_it() -> None:
    shown = set()
    for case in map(load, CASES):
        firing = [case["alert"] in names for names in case["at"].values()]
        if case.get("quiet"):
            assert True not in firing
        else:
            assert (firing[0], True in firing, firing[-1]) == (False, True, False)
            shown.add(case["alert"])
    assert shown == {alert["alert"] for alert in catalogue()}


@pytest.mark.parametrize("interval", [1, 2, 15, 30, 75])
def test_prometheus_takes_the_rules(tmp_path: Path, interval: int) -> None:
    objectives = [
        {"name": "answered", "kind": "availability", "target": 99.9},
        {"name": "fast", "kind": "latency", "target": 99, "threshold_seconds": 0.25},
        {"name": "fast-pn", "kind": "latency", "target": 99, "threshold_seconds": 0.3, "model": "pn"},
        {"name": "woken", "kind": "cold_start", "target": 95, "threshold_seconds": 60},
    ]
    file = promtool.write_rules(
        tmp_path / "rules.yml", promtool.ILL, {"scrape_interval": interval, "objectives": objectives}
    )
    done = promtool.run("check", "rules", "--lint=all", "--lint-fatal", file)
    assert done.returncode == 0, done.stdout + done.stderr
