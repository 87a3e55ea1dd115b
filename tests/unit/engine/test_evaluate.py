# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables that are evaluated once, and those whose value comes later."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.hep.sonic.plugins.plugin_utils.evaluate import evaluate


def values_of(
    folder: Path, text: str, names: Collection[str], unknown: Collection[str] = ()
) -> tuple[dict[str, Any], set[str]]:
    """Return the values of variables as a file of an inventory says them, and which have none."""
    file = folder / "variables.yml"
    file.write_text(text)
    loader = DataLoader()
    variables = loader.load_from_file(str(file), trusted_as_template=True)
    values, failures = evaluate(names, variables, Templar(loader=loader), unknown)
    return values, set(failures)


def test_what_others_name_is_evaluated_once(tmp_path: Path) -> None:
    text = """
    drawn: "{{ range(1000000000) | random }}"
    one: "{{ drawn }}"
    other: {list: ["{{ one }}", "{{ drawn }}"]}
    """
    values, failed = values_of(tmp_path, text, ["other", "one"])
    assert values["other"]["list"] == [values["one"], values["drawn"]] == [values["drawn"]] * 2
    assert not failed


def test_what_has_no_value_takes_only_what_needs_it_along(tmp_path: Path) -> None:
    text = """
    wrong: "{{ no_such_variable }}"
    needs_it: "{{ wrong }}"
    may_need_it: "{{ 'good' if true else wrong }}"
    itself: "{{ itself }}"
    left_out: "{{ omit }}"
    """
    values, failed = values_of(tmp_path, text, ["wrong", "needs_it", "may_need_it", "itself", "left_out"])
    assert values == {"may_need_it": "good"}
    assert failed == {"wrong", "needs_it", "itself"}


def test_what_names_something_that_comes_later_waits_for_it(tmp_path: Path) -> None:
    text = """
    name: "{{ pool | default('none') }}"
    title: "Pool {{ name }}"
    constant: "{{ 1 + 1 }}"
    """
    assert values_of(tmp_path, text, ["name", "title", "constant"], unknown=["pool"]) == ({"constant": 2}, set())
