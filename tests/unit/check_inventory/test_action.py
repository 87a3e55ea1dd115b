# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action as an operator meets it: an inventory with mistakes, the collection's own roles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from tests.system.playbook import Run, run_playbook

#: Of the environment that runs these tests, and so of its ansible-core.
PROGRAMS: Final = Path(sys.executable).parent

PLAY = """
- hosts: clusters:instances
  connection: local
  gather_facts: false
  tasks:
    - hep.sonic.check_inventory:
      run_once: true
"""
HOSTS = """
clusters: {hosts: {geddes: {}}}
instances: {hosts: {sonic-cms: {}, sonic-atlas: {}}}
"""
#: What no instance can be without.
NEEDED = """
triton_model_sources: [{name: own, type: pvc, claim: models}]
"""


def check(folder: Path, variables: str, *options: str, clusters: str = "") -> Run:
    (folder / "inventory/group_vars").mkdir(parents=True)
    (folder / "inventory/hosts.yml").write_text(HOSTS)
    (folder / "inventory/group_vars/instances.yml").write_text(variables + NEEDED)
    (folder / "inventory/group_vars/clusters.yml").write_text(clusters)
    (folder / "play.yml").write_text(PLAY)
    return run_playbook(str(folder / "play.yml"), *options, inventory=str(folder / "inventory"), programs=PROGRAMS)


def test_mistakes_are_told_with_file_line_and_hosts(tmp_path: Path) -> None:
    variables = """
envoy_replica: 3
envoy_replicas: "{{ '3' }}"
envoy_exposure:
  mode: nodport
sonic_longest_request: "{{ no_such_variable }}"
"""
    run = check(tmp_path, variables)
    assert run.status != 0
    message = run.tasks[-1].result["msg"]
    file = tmp_path / "inventory/group_vars/instances.yml"
    hosts = "for sonic-atlas, sonic-cms"
    assert f"envoy_replica is unknown ({file}:2) {hosts}: did you mean envoy_replicas?" in message
    assert f'envoy_replicas is "3" ({file}:3) {hosts}: write a whole number, without quotes.' in message
    assert f'envoy_exposure.mode is "nodport" ({file}:5) {hosts}: choose one of' in message
    assert 'Did you mean "nodeport"?' in message
    assert f"sonic_longest_request ({file}:6) has no value {hosts}:" in message
    assert message.startswith("4 of the inventory's values")


def test_what_a_command_line_makes_text_of_is_told_how_to_write(tmp_path: Path) -> None:
    run = check(tmp_path, "", "-e", "envoy_replicas=3")
    assert run.status != 0
    assert """on the command line, write it as JSON: -e '{"envoy_replicas": 3}'.""" in run.tasks[-1].result["msg"]


def test_an_expression_may_use_the_defaults_of_roles(tmp_path: Path) -> None:
    run = check(tmp_path, 'envoy_largest_request_mib: "{{ envoy_replicas * 8 }}"\n')
    assert run.status == 0, run.output


def test_what_contradicts_itself_is_told_before_any_role_starts(tmp_path: Path) -> None:
    run = check(
        tmp_path,
        """
sonic_pools: [{name: gpu, min: 5, max: 3}]
envoy_exposure: {mode: nodeport}
""",
        clusters="""
nvidia_device_plugin_mode: install
nvidia_device_plugin_configs: [{name: default, time_slicing: {replicas: 2}, mps: {replicas: 2}}]
monitoring_mode: bundled
monitoring_prometheus_retention: fortnight
""",
    )
    assert run.status != 0
    message = run.tasks[-1].result["msg"]
    assert "for geddes: nvidia_device_plugin_configs[0] (default) has time_slicing and mps: a GPU is shared" in message
    assert "for geddes: monitoring_prometheus_retention is fortnight: write it as 15d" in message
    assert message.count("for sonic-atlas, sonic-cms: sonic_pools[0].min is 5, more than its max, 3. Swap") == 1


def test_what_cannot_be_watched_is_told_before_any_role_starts(tmp_path: Path) -> None:
    run = check(
        tmp_path,
        """
monitoring_objectives: [{name: all, kind: availability, target: 100}]
""",
        clusters="monitoring_mode: bundled\n",
    )
    assert run.status != 0
    message = run.tasks[-1].result["msg"]
    assert "for sonic-atlas, sonic-cms: monitoring_objectives[0].target is 100, which nobody keeps" in message
    assert "geddes" not in message  # which has checks of its own


def test_a_prometheus_that_wants_a_token_is_not_keda_s_source(tmp_path: Path) -> None:
    run = check(
        tmp_path,
        """
sonic_autoscaler: keda
sonic_pools: [{name: gpu, min: 0, max: 2}]
autoscaler_source: prometheus
""",
        clusters="""
monitoring_mode: external
monitoring_prometheus_url: https://prometheus.example.org/
monitoring_prometheus_token: not.a.real.one
""",
    )
    assert run.status != 0
    message = run.tasks[-1].result["msg"]
    assert "for sonic-atlas, sonic-cms: autoscaler_source is prometheus, but the cluster's own" in message
    assert "not.a.real.one" not in run.output
    assert "geddes" not in message


def test_who_scales_is_one_for_all_roles(tmp_path: Path) -> None:
    run = check(tmp_path, "autoscaler_engine: keda\nsonic_pools: [{name: gpu, max: 3}]\n")
    assert run.status != 0
    file = tmp_path / "inventory/group_vars/instances.yml"
    assert (
        f'for sonic-atlas, sonic-cms: autoscaler_engine is "keda" ({file}:1), and sonic_autoscaler is "none": all '
        "roles of an instance must have the same. Set sonic_autoscaler, and leave autoscaler_engine out."
    ) in run.tasks[-1].result["msg"]


def test_what_another_collection_is_told_is_its_own_affair(tmp_path: Path) -> None:
    run = check(tmp_path, "site_note: not ours\nenvoyage: nor this\n")
    assert run.status == 0, run.output


def test_the_example_inventory_is_as_its_roles_want_it(tmp_path: Path) -> None:
    play = tmp_path / "play.yml"
    play.write_text(PLAY)
    run = run_playbook(str(play), inventory="inventories/example", programs=PROGRAMS)
    assert run.status == 0, run.output
