# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Declarations, the server's descriptions and answers: tables of values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from ansible_collections.hep.sonic.plugins.plugin_utils.service_contract import (
    Address,
    Contract,
    Served,
    ServiceError,
    Tensor,
    compare,
    judge,
    make_inputs,
    parse_config,
    parse_contracts,
    parse_index,
    parse_metadata,
    usage_lines,
)

Model = Mapping[str, Any]

#: A jet tagger as a site declares it.
TAGGER: Model = {
    "name": "tagger",
    "max_batch_size": 8,
    "inputs": [
        {"name": "pf", "datatype": "FP32", "dims": [2, -1]},
        {"name": "count", "datatype": "INT32", "dims": [1]},
    ],
    "outputs": [{"name": "softmax", "datatype": "FP32", "dims": [3]}],
}
PF = Tensor("pf", "FP32", (2, -1))
COUNT = Tensor("count", "INT32", (1,))
SOFTMAX = Tensor("softmax", "FP32", (3,))


def contract(check: Model | None = None, **changes: Any) -> Contract:
    return parse_contracts([{**TAGGER, "check": check or {}, **changes}])[0]


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"check": {"batch": 9}}, "check.batch is 9, max_batch_size 8."),
        ({"check": {"inputs": {"pfs": 1}}}, "'pfs', which is no declared input. Did you mean \"pf\"?"),
        ({"check": {"outputs": {"softmx": {"values": 1}}}}, "'softmx', which is no declared output."),
        ({"check": {"inputs": {"pf": {"fill": "randm"}}}}, "fill is 'randm'; choose one of arange, ones,"),
        ({"check": {"inputs": {"pf": {"fill": "constant"}}}}, "fill is constant, but value is missing"),
        ({"check": {"inputs": {"pf": {"fill": "ones", "seed": 1}}}}, "has 'seed', which fill ones does not take"),
        ({"check": {"outputs": {"softmax": {"rtol": 1}}}}, "needs either values or the input"),
        ({"check": {"outputs": {"softmax": {"values": 1, "tol": 1}}}}, "unknown key 'tol'"),
        ({"outputs": [{"name": "x", "datatype": "FLOAT", "dims": [1]}]}, "unknown datatype 'FLOAT'"),
    ],
)
def test_a_wrong_declaration_is_refused(changes: Model, mistake: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        parse_contracts([{**TAGGER, **changes}])
    assert mistake in str(refusal.value)
    assert "tagger: " in str(refusal.value)


def test_all_mistakes_of_all_models_are_reported_at_once() -> None:
    wrong = {**TAGGER, "check": {"batch": 9}}
    with pytest.raises(ServiceError) as refusal:
        parse_contracts([wrong, {**wrong, "check": {"inputs": {"x": 1}}}])
    assert len(str(refusal.value).splitlines()) == 4  # the head, one a model, and the name given twice


@pytest.mark.parametrize(
    "config",
    [
        # by HTTP, and by gRPC whose JSON has 64-bit numbers as strings
        {"max_batch_size": 8, "input": [{"name": "pf", "data_type": "TYPE_FP32", "dims": [2, -1]}]},
        {"max_batch_size": 8, "input": [{"name": "pf", "data_type": "TYPE_FP32", "dims": ["2", "-1"]}]},
    ],
)
def test_a_configuration_is_read_from_both_protocols(config: Model) -> None:
    assert parse_config(config) == Served((PF,), (), max_batch_size=8)


def test_a_configuration_names_strings_as_kserve_does() -> None:
    config = {"output": [{"name": "label", "data_type": "TYPE_STRING", "dims": [1]}]}
    assert parse_config(config) == Served((), (Tensor("label", "BYTES", (1,)),), max_batch_size=0)


@pytest.mark.parametrize(("batched", "dims"), [(True, (16,)), (False, (-1, 16))])
def test_the_batch_of_metadata_is_no_dimension_of_an_item(batched: bool, dims: tuple[int, ...]) -> None:
    answer = {"versions": ["1", "3"], "inputs": [{"name": "x", "datatype": "FP32", "shape": ["-1", "16"]}]}
    assert parse_metadata(answer, batched=batched) == Served((Tensor("x", "FP32", dims),), (), versions=("1", "3"))


@pytest.mark.parametrize(
    ("entries", "states"),
    [
        ([{"name": "a", "version": "1", "state": "READY"}], {"a": "READY"}),
        ([{"name": "a", "state": "READY"}, {"name": "a", "state": "UNAVAILABLE", "reason": "old"}], {"a": "READY"}),
        ([{"name": "a", "state": "UNAVAILABLE", "reason": "no file"}], {"a": "UNAVAILABLE: no file"}),
        ([{"name": "a"}], {"a": "not loaded"}),
    ],
)
def test_a_model_is_ready_when_one_of_its_versions_is(entries: Sequence[Model], states: Mapping[str, str]) -> None:
    assert parse_index(entries) == states


@pytest.mark.parametrize(
    ("served", "differences"),
    [
        (Served((PF, COUNT), (SOFTMAX,), 8), []),
        (Served((COUNT, PF), (Tensor("more", "FP32", (1,)), SOFTMAX)), []),
        (Served((PF, COUNT, Tensor("hint", "FP32", (1,), optional=True)), (SOFTMAX,)), []),
        (Served((PF, COUNT), (SOFTMAX,), 4), ["max_batch_size is 4 on the server, declared 8."]),
        (
            Served((Tensor("pf", "FP16", (2, -1)), Tensor("count", "INT32", (2,))), (SOFTMAX,)),
            [
                "input pf is FP16 [2, -1] on the server, declared FP32 [2, -1].",
                "input count is INT32 [2] on the server, declared INT32 [1].",
            ],
        ),
        (
            Served((PF, COUNT, Tensor("sv", "FP32", (2,))), ()),
            [
                "input sv (FP32 [2]) is needed by the server, not declared.",
                "output softmax is declared; the server's outputs are none.",
            ],
        ),
    ],
)
def test_each_difference_is_a_sentence(served: Served, differences: Sequence[str]) -> None:
    assert [problem.text for problem in compare(contract(), served)] == differences


def test_what_is_not_declared_is_not_compared() -> None:
    bare = parse_contracts([{"name": "tagger"}])[0]
    assert list(compare(bare, Served((PF,), (), 4))) == []


@pytest.mark.parametrize(
    ("tensor", "source", "values"),
    [
        (Tensor("x", "FP32", (3,)), {"fill": "arange"}, [[0, 1, 2], [3, 4, 5]]),
        (Tensor("x", "INT8", (2,)), {"fill": "ones"}, [[1, 1], [1, 1]]),
        (Tensor("x", "FP32", (-1,)), {"fill": "constant", "value": 2.5}, [[2.5], [2.5]]),
        (Tensor("x", "FP32", (-1,)), {"fill": "ones", "shape": [3]}, [[1, 1, 1], [1, 1, 1]]),
        (Tensor("x", "BOOL", (2,)), {"fill": "arange"}, [[False, True], [False, True]]),
        (Tensor("x", "BYTES", (1,)), {"fill": "arange"}, [[b"0"], [b"1"]]),
        (Tensor("x", "FP32", (2,)), [1, 2], [[1, 2], [1, 2]]),
        (Tensor("x", "FP32", (2,)), [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        (Tensor("x", "BYTES", (1,)), ["jet"], [[b"jet"], [b"jet"]]),
    ],
)
def test_an_input_is_made_for_a_batch_of_two(tensor: Tensor, source: Any, values: Any) -> None:
    bare = parse_contracts([{"name": "m", "check": {"batch": 2, "inputs": {"x": source}}}])[0]
    made = make_inputs(bare, [tensor], batched=True)["x"]
    assert made.dtype == tensor.dtype
    assert made.tolist() == values


def test_random_inputs_are_the_same_in_every_run() -> None:
    made = make_inputs(
        contract({"inputs": {"pf": {"fill": "random", "seed": 5, "shape": [2, 2]}}}), [PF], batched=False
    )
    np.testing.assert_allclose(made["pf"], [[0.22199318, 0.87073231], [0.20671916, 0.91861091]], rtol=1e-6)


def test_an_input_without_an_entry_is_random_and_an_optional_one_left_out() -> None:
    optional = Tensor("hint", "FP32", (1,), optional=True)
    made = make_inputs(contract(), [PF, COUNT, optional], batched=True)
    assert {name: values.shape for name, values in made.items()} == {"pf": (1, 2, 1), "count": (1, 1)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2], "check.inputs.pf: the values have the shape [2], the tensor is FP32 [2, -1]"),
        ([["a", "b"]], "check.inputs.pf: these values are no array of float32"),
        ([[1], [2, 3]], "check.inputs.pf: these values are no array of float32"),
    ],
)
def test_values_that_do_not_fit_are_refused(values: Any, message: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        make_inputs(contract({"inputs": {"pf": values}}), [PF], batched=True)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("wanted", "answer", "differences"),
    [
        (None, [[0.2, 0.3, 0.5]], []),
        (None, [[0.2, np.nan, np.inf]], ["output softmax has 2 of 3 values that are not finite."]),
        (None, [[0.2, 0.8]], ["output softmax came with the shape [1, 2], wanted [1, 3]."]),
        ({"values": [0.2, 0.3, 0.5], "atol": 0.01}, [[0.205, 0.295, 0.5]], []),
        ({"values": [[0.2, 0.3, 0.5]], "rtol": 1e-3}, [[0.2001, 0.3, 0.5]], []),
        (
            {"values": [0.25, 0.25, 0.5], "rtol": 1e-6},
            [[0.25, 0.5, 0.25]],
            ["output softmax differs in 2 of 3 values; first at [0, 1]: 0.5 came, 0.25 wanted (rtol 1e-06, atol 0)."],
        ),
        ({"input": "pf"}, [[1.0, 1.0, 1.0]], []),
        (
            {"input": "pf"},
            [[1.0, 2.0, 1.0]],
            ["output softmax differs in 1 of 3 values; first at [0, 1]: 2.0 came, 1.0 wanted (rtol 0, atol 0)."],
        ),
    ],
)
def test_an_answer_is_judged(wanted: Model | None, answer: Any, differences: Sequence[str]) -> None:
    declared = contract({"outputs": {"softmax": wanted}} if wanted else None)
    inputs = {"pf": np.ones((1, 3), np.float32)}
    problems = judge(declared, SOFTMAX, np.array(answer, np.float32), inputs, batched=True)
    assert [problem.text for problem in problems] == differences


def test_integers_and_strings_must_be_equal() -> None:
    label = Tensor("label", "BYTES", (2,))
    declared = parse_contracts([{"name": "m", "check": {"outputs": {"label": {"values": ["b", "c"]}}}}])[0]
    problems = list(judge(declared, label, np.array([b"b", b"x"], np.object_), {}, batched=False))
    assert [problem.text for problem in problems] == [
        "output label differs in 1 of 2 values; first at [1]: b'x' came, b'c' wanted."
    ]


def test_an_output_that_equals_an_unknown_input_is_a_wrong_declaration() -> None:
    declared = contract({"outputs": {"softmax": {"input": "pff"}}})
    with pytest.raises(ServiceError, match=r"softmax\.input is 'pff', which is no input"):
        list(judge(declared, SOFTMAX, np.zeros((1, 3)), {"pf": np.zeros((1, 3))}, batched=True))


@pytest.mark.parametrize(
    ("address", "python", "perf_analyzer", "cmssw"),
    [
        (Address("sonic", 8001), '("sonic:8001")', "-u sonic:8001 --shape", "useSsl = cms.untracked.bool(False)"),
        (Address("::1", 1), '("[::1]:1")', "-u [::1]:1 ", 'address = cms.untracked.string("::1")'),
        (
            Address("sonic", 443, tls=True, ca_cert="/ca.pem"),
            '("sonic:443", ssl=True, root_certificates="/ca.pem")',
            "--ssl-grpc-use-ssl --ssl-grpc-root-certifications-file /ca.pem",
            'useSsl = cms.untracked.bool(True), rootCertificates = cms.untracked.string("/ca.pem")',
        ),
    ],
)
def test_the_lines_to_copy_fit_the_address(address: Address, python: str, perf_analyzer: str, cmssw: str) -> None:
    lines = usage_lines("geddes", address, model="tagger", version="3", shapes={"pf": (2, 100)})
    assert python in lines["tritonclient"]
    assert perf_analyzer in lines["perf_analyzer"]
    assert "-m tagger -x 3 " in lines["perf_analyzer"]
    assert "--shape pf:2,100" in lines["perf_analyzer"]
    assert cmssw in lines["cmssw"]
    assert 'name = cms.untracked.string("geddes")' in lines["cmssw"]
