# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Models: their files, and the probe that asks for them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.models import (
    model_mounts,
    model_repositories,
    model_volumes,
    ready_check,
    required_models,
)


@pytest.mark.parametrize(
    ("source", "volume", "mount", "repositories"),
    [
        (
            {"type": "pvc", "claim": "models"},
            {"persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
            {"mountPath": "/models/a"},
            ["/models/a"],
        ),
        (
            {"type": "hostPath", "path": "/data", "mount_path": "/data", "repositories": ["cms", "cms/lst"]},
            {"hostPath": {"path": "/data", "type": "Directory"}},
            {"mountPath": "/data"},
            ["/data/cms", "/data/cms/lst"],
        ),
        (
            {"type": "nfs", "server": "nfs.example.org", "path": "/export"},
            {"nfs": {"server": "nfs.example.org", "path": "/export", "readOnly": True}},
            {"mountPath": "/models/a"},
            ["/models/a"],
        ),
        (
            {"type": "cvmfs", "repositories": ["cms.cern.ch/models"]},
            {"hostPath": {"path": "/cvmfs", "type": "Directory"}},
            {"mountPath": "/cvmfs", "mountPropagation": "HostToContainer"},
            ["/cvmfs/cms.cern.ch/models"],
        ),
        (
            {"type": "cvmfs", "claim": "cvmfs"},
            {"persistentVolumeClaim": {"claimName": "cvmfs", "readOnly": True}},
            {"mountPath": "/cvmfs", "mountPropagation": "HostToContainer"},
            ["/cvmfs"],
        ),
    ],
)
def test_a_source_is_mounted_and_read(
    source: dict[str, Any], volume: dict[str, Any], mount: dict[str, Any], repositories: list[str]
) -> None:
    sources = [{"name": "a", **source}]
    assert model_volumes(sources) == [{"name": "models-a", **volume}]
    assert model_mounts(sources) == [{"name": "models-a", "readOnly": True, **mount}]
    assert model_repositories(sources) == repositories


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([{"name": "a"}], "missing required arguments: type"),
        ([{"name": "a", "type": "s3"}], "value of type must be one of: cvmfs, hostPath, nfs, pvc, got: s3"),
        ([{"name": "a", "type": "pvc"}], "type is pvc but all of the following are missing: claim"),
        ([{"name": "a", "type": "hostPath"}], "type is hostPath but all of the following are missing: path"),
        ([{"name": "a", "type": "nfs", "path": "/x"}], "type is nfs but all of the following are missing: server"),
        ([{"name": "a", "type": "cvmfs", "claim": "c", "path": "/x"}], "mutually exclusive: claim\\|path"),
        ([{"name": "a", "type": "cvmfs"}, {"name": "a", "type": "cvmfs"}], r"\[1\]\.name: another source is named 'a'"),
        (["models"], r"triton_model_sources\[0\] is 'models': a dictionary is wanted"),
    ],
)
def test_a_source_that_does_not_fit_its_type_is_refused(sources: list[Any], message: str) -> None:
    with pytest.raises(SonicError, match=message):
        model_volumes(sources)


def test_models_are_required_unless_they_say_otherwise() -> None:
    models: list[dict[str, Any]] = [{"name": "a"}, {"name": "b", "required": False}, {"name": "c", "required": True}]
    assert required_models(models) == ["a", "c"]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([{"name": "a"}, {"name": "a"}], r"sonic_models\[1\]: another model is named 'a'"),
        ([{}], r"sonic_models\[0\]\.name is ''"),
        ([{"name": "a/../b"}], r"sonic_models\[0\]\.name is 'a/\.\./b'"),
    ],
)
def test_names_of_models_can_be_asked_for(models: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(SonicError, match=message):
        required_models(models)


@pytest.mark.parametrize(("names", "path"), [([], "/v2/health/ready"), (["deepmet"], "/v2/models/deepmet/ready")])
def test_one_question_needs_no_program(names: list[str], path: str) -> None:
    assert ready_check(names, 8000) == {"httpGet": {"path": path, "port": 8000}}


def test_several_questions_are_one_program_without_a_shell() -> None:
    command = ready_check(["a", "b"], 8000)["exec"]["command"]
    assert command[:3] == ["curl", "--fail", "--fail-early"]
    assert command[-2:] == ["http://127.0.0.1:8000/v2/models/a/ready", "http://127.0.0.1:8000/v2/models/b/ready"]
