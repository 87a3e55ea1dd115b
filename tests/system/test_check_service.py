# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real service: what differs is seen, what is denied stays denied, and what is removed is removed alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from tritonclient.grpc import service_pb2

from ansible_collections.hep.sonic.plugins.plugin_utils.client import BUILT_IN, Access, Cluster
from tests.system.instance import QUICK, Instance
from tests.tools.common import ROOT

pytestmark = pytest.mark.timeout(300)

MODELS = yaml.safe_load((ROOT / "inventories/lab/group_vars/instances/sonic.yml").read_text())["sonic_models"]
Models = list[dict[str, Any]]


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    """An instance that serves the lab's models."""
    instance = Instance("contract", 30805)
    instance.must("hep.sonic.site", **QUICK)
    yield instance
    instance.remove(wait=False)


def model(models: Models, name: str) -> dict[str, Any]:
    return next(entry for entry in models if entry["name"] == name)


def rename(models: Models) -> None:
    model(models, "identity")["name"] = "identiti"


def shrink(models: Models) -> None:
    tagger = model(models, "particlenet_AK4_PT")
    tagger["max_batch_size"] = 100
    tagger["inputs"][0]["dims"] = [3, -1]
    tagger["outputs"][0]["datatype"] = "FP16"


def expect_else(models: Models) -> None:
    model(models, "paced")["check"]["outputs"]["OUTPUT0"] = {"values": [0, 1, 2, 4]}


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (rename, ["identiti: the server does not have it; its models are", 'Did you mean "identity"?']),
        (
            shrink,
            [
                "particlenet_AK4_PT: max_batch_size is 500 on the server, declared 100.",
                "particlenet_AK4_PT: input pf_points__0 is FP32 [2, -1] on the server, declared FP32 [3, -1].",
                "particlenet_AK4_PT: output softmax__0 is FP32 [8] on the server, declared FP16 [8].",
            ],
        ),
        (expect_else, ["paced: output OUTPUT0 differs in 1 of 4 values; first at [3]: 3.0 came, 4.0 wanted"]),
    ],
)
def test_what_differs_is_said_in_sentences(
    change: Callable[[Models], None], sentences: list[str], instance: Instance
) -> None:
    models = copy.deepcopy(MODELS)
    change(models)
    run = instance.run("hep.sonic.verify", verify_models=models)
    assert run.status != 0
    for sentence in sentences:
        assert sentence in run.output
    assert f"contract ({instance.variables['verify_endpoint']}) does not answer as declared:" in run.output


@pytest.mark.parametrize(
    "way",
    [
        {},
        # a name that only the cluster knows, from a machine that asks nothing but the API server
        {"verify_via": "api", "verify_endpoint": "contract.contract.svc.cluster.local:8001"},
    ],
    ids=["direct", "through the API server"],
)
def test_the_service_answers_as_declared(way: Mapping[str, str], instance: Instance) -> None:
    run = instance.must("hep.sonic.verify", **way)
    assert "contract: 2 servers, 3 models ready" in run.output
    (result,) = [task.result for task in run.tasks if task.action == "hep.sonic.check_service"]
    assert [entry["ok"] for entry in result["models"]] == [True, True, True]
    assert result["usage"].keys() == {"tritonclient", "perf_analyzer", "cmssw"}


@pytest.mark.parametrize(
    ("method", "request_type"),
    [
        ("RepositoryModelLoad", service_pb2.RepositoryModelLoadRequest),
        ("RepositoryModelUnload", service_pb2.RepositoryModelUnloadRequest),
        ("SystemSharedMemoryRegister", service_pb2.SystemSharedMemoryRegisterRequest),
        ("SystemSharedMemoryStatus", service_pb2.SystemSharedMemoryStatusRequest),
        ("CudaSharedMemoryUnregister", service_pb2.CudaSharedMemoryUnregisterRequest),
        ("TraceSetting", service_pb2.TraceSettingRequest),
        ("LogSettings", service_pb2.LogSettingsRequest),
    ],
)
def test_clients_cannot_change_the_servers(method: str, request_type: Callable[[], Any], instance: Instance) -> None:
    with grpc.insecure_channel(instance.variables["verify_endpoint"]) as channel:
        call = channel.unary_unary(
            f"/inference.GRPCInferenceService/{method}",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=bytes,
        )
        with pytest.raises(grpc.RpcError) as refused:
            call(request_type(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


def pods(kubeconfig: Path) -> int:
    with Cluster(Access(kubeconfig=str(kubeconfig))) as cluster:
        return len(cluster.list(BUILT_IN["", "Pod"], "contract"))


def test_only_the_instance_that_was_named_is_removed(instance: Instance, kubeconfig: Path) -> None:
    mine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}
    maps = BUILT_IN["", "ConfigMap"]
    with Cluster(Access(kubeconfig=str(kubeconfig))) as cluster:
        cluster.request("POST", maps.path("contract"), body=mine)
        # the inventory's host is its name; the lab's has one
        refused = instance.run("hep.sonic.remove", confirm="contact")
        assert refused.status != 0
        assert '"contact" is not the name of an instance' in refused.output
        assert pods(kubeconfig) == 4

        instance.must("hep.sonic.remove", confirm="sonic-lab")
        assert pods(kubeconfig) == 0
        assert cluster.get(maps, "contract", "mine")
        assert not [
            one
            for one in cluster.list(BUILT_IN["", "Secret"], "contract")
            if "sonic-release" in one["metadata"]["name"]
        ]
