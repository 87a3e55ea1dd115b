# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a model is declared to be, what a server says it is, and whether its answers are right.

Values in, values out: nothing here talks to a server.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError

try:
    import numpy as np
    from tritonclient.utils import triton_to_np_dtype
except ImportError as error:
    MISSING_PACKAGE: ImportError | None = error
else:
    MISSING_PACKAGE = None

Array: TypeAlias = "np.typing.NDArray[Any]"
Json = Mapping[str, Any]

#: Length of a variable dimension (-1) in a generated input whose shape is not given.
VARIABLE_LENGTH: Final = 1
FILLS: Final = ("arange", "ones", "constant", "random")
#: Generated integers stay below this, so that they fit every datatype and are plausible indices.
INTEGER_BOUND: Final = 100

CORRECT_CONTRACT: Final = "Correct the declaration, or serve the version of the model that it describes."
CORRECT_ANSWER: Final = "Correct the declared values, or serve the version of the model that gives them."


class ServiceError(SonicError):
    """A service does not answer as declared, or the declaration itself is wrong."""


@dataclass(frozen=True)
class Problem:
    """One difference between what is declared and what was found.

    Args:
        model: The model; empty for the service as a whole.
        text: What was found and what was wanted.
        remedy: What to do about it.
        transient: It may pass by itself: the service or the model is not there yet.
    """

    model: str
    text: str
    remedy: str = ""
    transient: bool = False


@dataclass(frozen=True)
class Tensor:
    """An input or output; `dims` are those of one item, without the batch, -1 where the length varies."""

    name: str
    datatype: str
    dims: tuple[int, ...]
    optional: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return f"{self.datatype} {list(self.dims)}"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of its elements; a tensor of datatype BYTES holds Python objects."""
        dtype: np.dtype[Any] = np.dtype(triton_to_np_dtype(self.datatype))
        return dtype


@dataclass(frozen=True)
class Served:
    """A model as a server describes it, in its metadata or in its configuration.

    Args:
        max_batch_size: 0 for a model that takes no batches; None where this description does not say.
        versions: The versions that are served, where this description says.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int | None = None
    versions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """The inference that proves a model: its inputs, and what is known of its outputs.

    Args:
        batch: Items in the request; without meaning for a model that takes no batches.
        inputs: Name → values, or how to generate them.
        outputs: Name → values with tolerances, or the input that it equals.
    """

    batch: int = 1
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Contract:
    """What clients may rely on: one element of ``sonic_models``. None means: not declared, so not compared."""

    name: str
    required: bool = True
    max_batch_size: int | None = None
    inputs: tuple[Tensor, ...] | None = None
    outputs: tuple[Tensor, ...] | None = None
    check: Check = field(default_factory=Check)


# ---------------------------------------------------------------------------------------------- the declaration


def parse_contracts(models: Iterable[Json]) -> list[Contract]:
    """Read the option ``models``.

    Raises:
        ServiceError: A declaration contradicts itself; the text names every mistake.
    """
    contracts = [_parse_contract(model) for model in models]
    mistakes = [f"{contract.name}: {mistake}" for contract in contracts for mistake in _mistakes(contract)]
    names = [contract.name for contract in contracts]
    mistakes += [f"{name}: declared {names.count(name)} times." for name in sorted(set(names)) if names.count(name) > 1]
    if mistakes:
        raise ServiceError("The declaration of the models is wrong:\n  " + "\n  ".join(mistakes))
    return contracts


def _parse_contract(model: Json) -> Contract:
    check = model.get("check") or {}
    return Contract(
        name=model["name"],
        required=model.get("required", True),
        max_batch_size=model.get("max_batch_size"),
        inputs=_parse_tensors(model.get("inputs")),
        outputs=_parse_tensors(model.get("outputs")),
        check=Check(batch=check.get("batch", 1), inputs=check.get("inputs") or {}, outputs=check.get("outputs") or {}),
    )


def _parse_tensors(tensors: Sequence[Json] | None) -> tuple[Tensor, ...] | None:
    if tensors is None:
        return None
    return tuple(Tensor(tensor["name"], tensor["datatype"], tuple(tensor["dims"])) for tensor in tensors)


def _mistakes(contract: Contract) -> Iterator[str]:
    check = contract.check
    if contract.max_batch_size and not 1 <= check.batch <= contract.max_batch_size:
        yield f"check.batch is {check.batch}, max_batch_size {contract.max_batch_size}."
    yield from _mistakes_of_tensors("input", contract.inputs, check.inputs)
    yield from _mistakes_of_tensors("output", contract.outputs, check.outputs)
    for name, source in check.inputs.items():
        if isinstance(source, Mapping):
            yield from _mistakes_of_source(name, source)
    for name, wanted in check.outputs.items():
        yield from _mistakes_of_wanted(name, wanted)


def _mistakes_of_tensors(kind: str, declared: Sequence[Tensor] | None, checked: Iterable[str]) -> Iterator[str]:
    if declared is None:
        return
    for tensor in declared:
        if triton_to_np_dtype(tensor.datatype) is None:
            yield f"{kind} {tensor.name} has the unknown datatype {tensor.datatype!r}; KServe has BOOL, INT32, FP32, …"
    known = [tensor.name for tensor in declared]
    for name in checked:
        if name not in known:
            yield f"check.{kind}s has {name!r}, which is no declared {kind}.{did_you_mean(name, known)}"


def _mistakes_of_source(name: str, source: Json) -> Iterator[str]:
    fill = source.get("fill")
    keys = {"fill", "shape"} | {"constant": {"value"}, "random": {"seed"}}.get(str(fill), set())
    if fill not in FILLS:
        yield f"check.inputs.{name}.fill is {fill!r}; choose one of {', '.join(FILLS)}."
    elif fill == "constant" and "value" not in source:
        yield f"check.inputs.{name}.fill is constant, but value is missing."
    elif unknown := sorted(set(source) - keys):
        yield f"check.inputs.{name} has {unknown[0]!r}, which fill {fill} does not take."


def _mistakes_of_wanted(name: str, wanted: Any) -> Iterator[str]:
    if not isinstance(wanted, Mapping) or ("values" in wanted) == ("input" in wanted):
        yield f"check.outputs.{name} needs either values or the input that it equals."
    elif unknown := sorted(set(wanted) - {"values", "input", "rtol", "atol"}):
        yield f"check.outputs.{name} has the unknown key {unknown[0]!r}; it takes values, input, rtol, atol."


# ------------------------------------------------------------------------------------- the server's descriptions


def parse_metadata(answer: Json, *, batched: bool) -> Served:
    """Read a ModelMetadata answer, whose shapes begin with the batch where the model takes batches."""

    def tensors(key: str) -> tuple[Tensor, ...]:
        return tuple(
            Tensor(entry["name"], entry["datatype"], _dims(entry.get("shape", ()))[1 if batched else 0 :])
            for entry in answer.get(key, ())
        )

    return Served(tensors("inputs"), tensors("outputs"), versions=tuple(answer.get("versions", ())))


def parse_config(config: Json) -> Served:
    """Read a ModelConfig answer."""

    def tensors(key: str) -> tuple[Tensor, ...]:
        return tuple(
            Tensor(
                entry["name"],
                _datatype(entry["data_type"]),
                _dims(entry["dims"]),
                optional=entry.get("optional", False),
            )
            for entry in config.get(key, ())
        )

    return Served(tensors("input"), tensors("output"), max_batch_size=int(config.get("max_batch_size", 0)))


def parse_index(entries: Iterable[Json]) -> dict[str, str]:
    """Read a RepositoryIndex answer: model → READY, or the state it is in with the server's reason."""
    states: dict[str, str] = {}
    for entry in entries:
        state = entry.get("state") or "not loaded"
        if reason := entry.get("reason"):
            state += f": {reason}"
        # one entry a version: the model is served when one of them is
        if states.get(entry["name"]) != "READY":
            states[entry["name"]] = state
    return states


def _dims(dims: Iterable[Any]) -> tuple[int, ...]:
    return tuple(int(length) for length in dims)  # 64-bit numbers of protobuf are strings in JSON


def _datatype(name: str) -> str:
    name = name.removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name


# ------------------------------------------------------------------------------------------------- the comparison


def compare(contract: Contract, served: Served) -> Iterator[Problem]:
    """Yield every difference between the contract and one of the server's descriptions."""
    if (
        None not in (contract.max_batch_size, served.max_batch_size)
        and contract.max_batch_size != served.max_batch_size
    ):
        yield Problem(
            contract.name,
            f"max_batch_size is {served.max_batch_size} on the server, declared {contract.max_batch_size}.",
            CORRECT_CONTRACT,
        )
    for kind, declared, found in (
        ("input", contract.inputs, served.inputs),
        ("output", contract.outputs, served.outputs),
    ):
        if declared is not None:
            yield from _compare_tensors(contract.name, kind, declared, found)


def _compare_tensors(model: str, kind: str, declared: Sequence[Tensor], found: Sequence[Tensor]) -> Iterator[Problem]:
    by_name = {tensor.name: tensor for tensor in found}
    for tensor in declared:
        other = by_name.get(tensor.name)
        if other is None:
            names = ", ".join(by_name) or "none"
            hint = did_you_mean(tensor.name, by_name)
            text = f"{kind} {tensor.name} is declared; the server's {kind}s are {names}.{hint}"
            yield Problem(model, text, CORRECT_CONTRACT)
        elif other != tensor:
            yield Problem(model, f"{kind} {tensor.name} is {other} on the server, declared {tensor}.", CORRECT_CONTRACT)
    if kind == "input":
        # an output more does no harm to a client; an input more makes its requests incomplete
        expected = {tensor.name for tensor in declared}
        for tensor in found:
            if tensor.name not in expected and not tensor.optional:
                yield Problem(
                    model, f"input {tensor.name} ({tensor}) is needed by the server, not declared.", CORRECT_CONTRACT
                )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean "x"?`` for the nearest of `known`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f' Did you mean "{close[0]}"?' if close else ""


# ---------------------------------------------------------------------------------------------- inputs and answers


def make_inputs(contract: Contract, tensors: Sequence[Tensor], *, batched: bool) -> dict[str, Array]:
    """Return the inputs of the contract's check: the same in every run and on every machine.

    Args:
        contract: The declared model.
        tensors: Its inputs; those without an entry in the check are random numbers.
        batched: Whether the model's tensors begin with a batch dimension.

    Raises:
        ServiceError: Declared values do not have the shape of their input.
    """
    batch = (contract.check.batch,) if batched else ()
    inputs = {}
    for position, tensor in enumerate(tensors):
        source = contract.check.inputs.get(tensor.name)
        if source is None and tensor.optional:
            continue
        if source is None:
            source = {"fill": "random", "seed": position}
        if isinstance(source, Mapping):
            inputs[tensor.name] = _generate(source, tensor, batch)
        else:
            where = f"{contract.name}: check.inputs.{tensor.name}"
            inputs[tensor.name] = _shaped(_array(source, tensor.dtype, where), tensor, batch, where)
    return inputs


def _generate(source: Json, tensor: Tensor, batch: tuple[int, ...]) -> Array:
    item = tuple(source.get("shape") or (length if length >= 0 else VARIABLE_LENGTH for length in tensor.dims))
    shape = batch + item
    size = int(np.prod(shape))
    integral = np.issubdtype(tensor.dtype, np.integer)
    values: Array
    if source["fill"] == "random":
        # RandomState, because numpy promises its stream for ever; Generator's may change with numpy's version.
        random = np.random.RandomState(source.get("seed", 0))
        values = random.randint(INTEGER_BOUND, size=size) if integral else random.random_sample(size)
    elif source["fill"] == "arange":
        values = np.arange(size) % INTEGER_BOUND if integral else np.arange(size)
    else:
        values = np.full(size, source.get("value", 1))
    if tensor.datatype == "BYTES":
        values = np.array([str(value).encode() for value in values], dtype=np.object_)
    elif tensor.datatype == "BOOL":
        values = values % 2 >= 1 if source["fill"] == "arange" else values >= 0.5
    return values.astype(tensor.dtype).reshape(shape)


def _array(values: Any, dtype: np.dtype[Any], where: str) -> Array:
    try:
        if dtype == np.object_:
            texts = np.array(values, dtype=np.str_)
            return np.array([text.encode() for text in texts.ravel()], dtype=np.object_).reshape(texts.shape)
        return np.array(values, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ServiceError(f"{where}: these values are no array of {dtype}: {error}") from error


def _shaped(values: Array, tensor: Tensor, batch: tuple[int, ...], where: str) -> Array:
    """Return values that are given for the whole batch as they are, those given for one item once for each."""
    for dims, shape in ((batch + tensor.dims, values.shape), (tensor.dims, batch + values.shape)):
        if _fits(values.shape, dims):
            return np.array(np.broadcast_to(values, shape))
    raise ServiceError(
        f"{where}: the values have the shape {list(values.shape)}, the tensor is {tensor}.",
        "Give the values of one item, or of the whole batch with the batch as the first dimension.",
    )


def _fits(shape: tuple[int, ...], dims: tuple[int, ...]) -> bool:
    return len(shape) == len(dims) and all(want in (-1, have) for have, want in zip(shape, dims, strict=True))


def judge(
    contract: Contract, tensor: Tensor, answer: Array, inputs: Mapping[str, Array], *, batched: bool
) -> Iterator[Problem]:
    """Yield what is wrong with one output of an inference."""
    batch = (contract.check.batch,) if batched else ()
    if not _fits(answer.shape, batch + tensor.dims):
        text = f"output {tensor.name} came with the shape {list(answer.shape)}, wanted {list(batch + tensor.dims)}."
        yield Problem(contract.name, text, CORRECT_CONTRACT)
        return
    wanted = contract.check.outputs.get(tensor.name)
    if wanted is None:
        yield from _judge_finite(contract, tensor, answer)
        return
    if "input" in wanted:
        source = wanted["input"]
        expected = inputs.get(source)
        if expected is None:
            where = f"{contract.name}: check.outputs.{tensor.name}"
            raise ServiceError(f"{where}.input is {source!r}, which is no input.{did_you_mean(source, inputs)}")
    else:
        where = f"{contract.name}: check.outputs.{tensor.name}"
        expected = _shaped(_array(wanted["values"], tensor.dtype, where), tensor, batch, where)
    yield from _judge_values(contract, tensor, answer, expected, wanted)


def _judge_finite(contract: Contract, tensor: Tensor, answer: Array) -> Iterator[Problem]:
    if np.issubdtype(answer.dtype, np.inexact) and (count := int(np.count_nonzero(~np.isfinite(answer)))):
        yield Problem(
            contract.name,
            f"output {tensor.name} has {count} of {answer.size} values that are not finite.",
            "Declare check.inputs that the model is meant for. If they are, the model or its device is broken.",
        )


def _judge_values(
    contract: Contract, tensor: Tensor, answer: Array, expected: Array, wanted: Json
) -> Iterator[Problem]:
    if answer.shape != expected.shape:
        text = (
            f"output {tensor.name} has the shape {list(answer.shape)}, the declared values have {list(expected.shape)}."
        )
        yield Problem(contract.name, text, CORRECT_ANSWER)
        return
    if np.issubdtype(answer.dtype, np.inexact):
        same = np.isclose(answer, expected, rtol=wanted.get("rtol", 0.0), atol=wanted.get("atol", 0.0), equal_nan=True)
    else:
        same = answer == expected
    wrong = np.argwhere(~same)
    if len(wrong) == 0:
        return
    first = tuple(int(index) for index in wrong[0])
    text = (
        f"output {tensor.name} differs in {len(wrong)} of {answer.size} values; first at {list(first)}: "
        f"{answer[first]} came, {expected[first]} wanted"
    )
    if np.issubdtype(answer.dtype, np.inexact):
        text += f" (rtol {wanted.get('rtol', 0.0):g}, atol {wanted.get('atol', 0.0):g})"
    yield Problem(contract.name, f"{text}.", CORRECT_ANSWER)


# ------------------------------------------------------------------------------------------------ lines to copy


@dataclass(frozen=True)
class Address:
    """Where clients find the service."""

    host: str
    port: int
    tls: bool = False
    ca_cert: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def usage_lines(
    name: str, address: Address, *, model: str, version: str, shapes: Mapping[str, Sequence[int]]
) -> dict[str, str]:
    """Return one command or fragment a client program: what a user pastes to try the service.

    Args:
        name: What to call the service.
        address: Its address.
        model: The model to ask.
        version: Its version: perf_analyzer cannot find it out through a balancer.
        shapes: Input with variable dimensions → shape of one item, which perf_analyzer must be told.
    """
    python, perf = "", ""
    if address.tls:
        python, perf = ", ssl=True", " --ssl-grpc-use-ssl"
        if address.ca_cert:
            python += f', root_certificates="{address.ca_cert}"'
            perf += f" --ssl-grpc-root-certifications-file {address.ca_cert}"
    perf += "".join(f" --shape {tensor}:{','.join(map(str, shape))}" for tensor, shape in shapes.items())
    return {
        "tritonclient": (
            "python -c 'import tritonclient.grpc as t; "
            f'print(t.InferenceServerClient("{address}"{python}).get_model_metadata("{model}"))\''
        ),
        "perf_analyzer": f"perf_analyzer -m {model} -x {version} -i grpc -u {address}{perf} --concurrency-range 4",
        "cmssw": (
            "process.TritonService.servers.append(cms.PSet("
            f'name = cms.untracked.string("{name}"), address = cms.untracked.string("{address.host}"), '
            f"port = cms.untracked.uint32({address.port}), useSsl = cms.untracked.bool({address.tls}), "
            f'rootCertificates = cms.untracked.string("{address.ca_cert}")))'
        ),
    }
