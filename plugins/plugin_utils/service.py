# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks an inference service by gRPC and HTTP all that its users will ask, and compares it with what is declared."""

from __future__ import annotations

import contextlib
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self

from ansible_collections.hep.sonic.plugins.plugin_utils.service_contract import (
    Array,
    Contract,
    Problem,
    Served,
    Tensor,
    compare,
    did_you_mean,
    judge,
    make_inputs,
    parse_config,
    parse_index,
    parse_metadata,
)

try:
    import gevent  # type: ignore[import-untyped]
    import gevent.ssl  # type: ignore[import-untyped]
    import tritonclient.grpc as grpc_client
    import tritonclient.http as http_client
    from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError
    from tritonclient.utils import InferenceServerException
except ImportError as error:
    MISSING_PACKAGE: ImportError | None = error
else:
    MISSING_PACKAGE = None

#: Seconds between two tries while the service is not there yet.
PAUSE_SECONDS: Final = 1.0
#: Seconds for one health call: in a try that will be repeated, a server that drops packets must not eat the whole time.
HEALTH_SECONDS: Final = 5.0
#: Seconds that no call takes; what one may take is said when it is made.
LONGEST_CALL_SECONDS: Final = 86400.0
#: The largest message of gRPC: what Triton itself accepts.
MAX_MESSAGE_BYTES: Final = 2**31 - 1
GRPC_TRANSIENT: Final = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED")
HTTP_TRANSIENT: Final = ("429", "502", "503", "504")
SEE_PODS: Final = "See whether its pods are ready: kubectl get pods --namespace <namespace>"
SEE_LOG: Final = "The server's log says why: kubectl logs --namespace <namespace> <a pod of Triton>"
SEE_TLS: Final = (
    "See whether the service speaks TLS at this port, and which authority signed its certificate (option tls)."
)
SEE_ADDRESS: Final = "Something else than an inference service answers there: correct the address."


@dataclass(frozen=True)
class Tls:
    """How to speak TLS to the service; the paths are those of PEM files.

    Args:
        enabled: Whether it speaks TLS.
        ca_cert: Authorities to trust instead of the system's.
        client_cert: Certificate to show, with `client_key`.
        client_key: Its key.
        server_name: The name that the certificate must carry, where it is not the address.
    """

    enabled: bool = False
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    server_name: str | None = None


class Deadline:
    """The end of the time that a whole check may take."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left; at least a millisecond, so that a call that comes too late fails as one that timed out."""
        return max(self._end - time.monotonic(), 0.001)

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._end


class CallError(Exception):
    """A call to the service failed.

    Args:
        text: What the service or the network said.
        transient: It may pass by itself.
        remedy: What to do when the service answers no call at all.
    """

    def __init__(self, text: str, *, transient: bool = False, remedy: str = SEE_ADDRESS) -> None:
        super().__init__(text)
        self.transient = transient
        self.remedy = SEE_PODS if transient else remedy


class Endpoint(ABC):
    """One protocol of a service: the calls that a check needs, each with its time limit in seconds.

    Args:
        tensors: The module of tritonclient whose InferInput and InferRequestedOutput it takes.
        client: The client of that module.
    """

    protocol: ClassVar[str]

    def __init__(self, tensors: Any, client: Any) -> None:
        self._tensors = tensors
        self._client = client

    @abstractmethod
    def call(self, operation: str, *arguments: Any, seconds: float, **options: Any) -> Any:
        """Call a method of the client.

        Raises:
            CallError: No answer came in time, or a refusal.
        """

    @abstractmethod
    def index(self, seconds: float) -> dict[str, str]:
        """Return the models of the repository with their states."""

    @abstractmethod
    def config(self, model: str, seconds: float) -> Served:
        """Return what the model's configuration says."""

    def metadata(self, model: str, seconds: float, *, batched: bool) -> Served:
        """Return what the model's metadata say."""
        return parse_metadata(self.call("get_model_metadata", model, seconds=seconds), batched=batched)

    def infer(
        self, model: str, inputs: Mapping[str, Array], tensors: Sequence[Tensor], outputs: Sequence[str], seconds: float
    ) -> Any:
        """Return the result of one inference; its method ``as_numpy`` gives an output."""
        datatypes = {tensor.name: tensor.datatype for tensor in tensors}
        sent = []
        for name, values in inputs.items():
            sent.append(self._tensors.InferInput(name, list(values.shape), datatypes[name]))
            sent[-1].set_data_from_numpy(values)
        wanted = [self._tensors.InferRequestedOutput(name) for name in outputs]
        return self.call("infer", model, sent, outputs=wanted, seconds=seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._client.close()


class GrpcEndpoint(Endpoint):
    """The service by gRPC, over a connection of its own."""

    protocol = "gRPC"

    def __init__(self, url: str, tls: Tls) -> None:
        options: list[tuple[str, Any]] = [
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            # else a failed connection's back-off would outlive the channel and delay the next try
            ("grpc.use_local_subchannel_pool", 1),
            # environment proxies are for the web; gRPC would send the cluster's addresses there
            ("grpc.enable_http_proxy", 0),
        ]
        if tls.server_name:
            options.append(("grpc.ssl_target_name_override", tls.server_name))
        client = grpc_client.InferenceServerClient(
            url,
            ssl=tls.enabled,
            root_certificates=tls.ca_cert,
            private_key=tls.client_key,
            certificate_chain=tls.client_cert,
            channel_args=options,
        )
        super().__init__(grpc_client, client)

    def call(self, operation: str, *arguments: Any, seconds: float, **options: Any) -> Any:
        if operation.startswith("get_"):
            options["as_json"] = True
        try:
            return getattr(self._client, operation)(*arguments, client_timeout=seconds, **options)
        except InferenceServerException as error:
            raise _grpc_error(str(error.status()).removeprefix("StatusCode."), error.message() or "") from error

    def index(self, seconds: float) -> dict[str, str]:
        return parse_index(self.call("get_model_repository_index", seconds=seconds).get("models", ()))

    def config(self, model: str, seconds: float) -> Served:
        return parse_config(self.call("get_model_config", model, seconds=seconds)["config"])


def _grpc_error(code: str, message: str) -> CallError:
    # gRPC puts the reason last: failed to connect to all addresses; last error: UNKNOWN: <the reason>
    message = message.rpartition("last error: UNKNOWN: ")[2]
    if "andshake failed" in message or "erification check failed" in message:
        return CallError(f"TLS failed: {message}", remedy=SEE_TLS)
    text = "no answer in time" if code == "DEADLINE_EXCEEDED" else f"{code}: {message}".rstrip(": ")
    return CallError(text, transient=code in GRPC_TRANSIENT)


class HttpEndpoint(Endpoint):
    """The service by HTTP."""

    protocol = "HTTP"

    def __init__(self, url: str, tls: Tls) -> None:
        # the time of each call is limited in call(); by default an answer may not take more than a minute
        options: dict[str, Any] = {"connection_timeout": HEALTH_SECONDS, "network_timeout": LONGEST_CALL_SECONDS}
        if tls.enabled:
            # called with the library's own authorities, which are not to be trusted besides those of the option
            options |= {"ssl": True, "ssl_context_factory": lambda **_authorities: _ssl_context(tls)}
            if tls.server_name:
                options["ssl_options"] = {"server_hostname": tls.server_name}
        super().__init__(http_client, http_client.InferenceServerClient(url, **options))

    def call(self, operation: str, *arguments: Any, seconds: float, **options: Any) -> Any:
        try:
            # an OSError: the libraries close a socket for no other exception
            with gevent.Timeout(seconds, TimeoutError("no answer in time")):
                return getattr(self._client, operation)(*arguments, **options)
        except InferenceServerException as error:
            status = str(error.status())
            raise CallError(f"{status}: {error.message()}", transient=status in HTTP_TRANSIENT) from error
        except ssl.SSLError as error:
            raise CallError(f"TLS failed: {error}", remedy=SEE_TLS) from error
        except (OSError, HTTPConnectionClosed, HTTPParseError) as error:
            raise CallError(str(error) or type(error).__name__, transient=True) from error

    def index(self, seconds: float) -> dict[str, str]:
        return parse_index(self.call("get_model_repository_index", seconds=seconds))

    def config(self, model: str, seconds: float) -> Served:
        return parse_config(self.call("get_model_config", model, seconds=seconds))


def _ssl_context(tls: Tls) -> ssl.SSLContext:
    # gevent's class: the time limit of a call interrupts its handshake, not that of the standard library
    context: ssl.SSLContext = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca_cert:
        context.load_verify_locations(tls.ca_cert)
    else:
        context.load_default_certs()
    if tls.client_cert:
        context.load_cert_chain(tls.client_cert, tls.client_key)
    return context


#: Option ``protocols`` → how it is spoken.
ENDPOINTS: Final[Mapping[str, Callable[[str, Tls], Endpoint]]] = {"grpc": GrpcEndpoint, "http": HttpEndpoint}


@dataclass
class ModelReport:
    """What was found of one model.

    Args:
        answer_ms: Protocol → milliseconds of the inference.
        version: The newest version that is served.
        shapes: Input with variable dimensions → the shape of one item that was sent.
    """

    contract: Contract
    answer_ms: dict[str, float] = field(default_factory=dict)
    version: str = ""
    shapes: dict[str, Sequence[int]] = field(default_factory=dict)


class Report:
    """What one pass over the service found; the same difference by two protocols is one difference."""

    def __init__(self, contracts: Sequence[Contract], protocols: Sequence[str]) -> None:
        self.models = {contract.name: ModelReport(contract) for contract in contracts}
        self._protocols = protocols
        self._found: dict[Problem, list[str]] = {}

    def add(self, protocol: str, problem: Problem) -> None:
        """Remember a difference."""
        seen = self._found.setdefault(problem, [])
        if protocol not in seen:
            seen.append(protocol)

    def problems(self, *, required: bool) -> list[Problem]:
        """Return the differences of the service and its required models, or those of the others."""
        optional = {name for name, model in self.models.items() if not model.contract.required}
        return [problem for problem in self._found if (problem.model not in optional) == required]

    @property
    def transient(self) -> bool:
        """Whether something is wrong, and all of it may pass by itself."""
        problems = self.problems(required=True)
        return bool(problems) and all(problem.transient for problem in problems)

    def ok(self, model: str) -> bool:
        """Whether nothing is wrong with a model, and every protocol gave its right answer."""
        wrong = any(problem.model in ("", model) for problem in self._found)
        return not wrong and len(self.models[model].answer_ms) == len(self._protocols)

    def line(self, problem: Problem) -> str:
        """Return a difference as a line, with the protocol where the other one did not show it."""
        protocols = self._found[problem]
        prefix = f"{problem.model}: " if problem.model else ""
        only = "" if len(protocols) == len(self._protocols) else f"by {' and '.join(protocols)}: "
        return f"{prefix}{only}{problem.text}"

    @property
    def first_answer_ms(self) -> float | None:
        """Milliseconds of the first inference of the pass; None where none was answered."""
        times = [ms for model in self.models.values() for ms in model.answer_ms.values()]
        return times[0] if times else None


def check_service(
    url: str,
    tls: Tls,
    protocols: Sequence[str],
    contracts: Sequence[Contract],
    *,
    timeout: float,
    wait: bool,
    settle: float,
    progress: Callable[[str], None],
) -> Report:
    """Ask the service at `url` all that its users will ask.

    Args:
        url: ``host:port``.
        tls: How to speak TLS to it.
        protocols: Keys of ENDPOINTS.
        contracts: What is declared of its models.
        timeout: Seconds for the whole.
        wait: Ask again as long as the service, or a model, is just not there yet.
        settle: Seconds for which any difference may pass by itself, as servers of before may still answer.
        progress: Called with a line for a person whenever the reason to wait changes.
    """
    deadline = Deadline(timeout)
    settled = Deadline(settle)
    shown = ""
    while True:
        report = Report(contracts, [ENDPOINTS[protocol].protocol for protocol in protocols])  # type: ignore[attr-defined]
        for protocol in protocols:
            with ENDPOINTS[protocol](url, tls) as endpoint:
                _ask(endpoint, report, deadline, HEALTH_SECONDS if wait else timeout)
        problems = report.problems(required=True)
        may_pass = bool(problems) and (report.transient or not settled.passed)
        if not (wait and may_pass) or deadline.remaining <= PAUSE_SECONDS:
            return report
        reason = report.line(problems[0])
        if reason != shown:
            progress(f"waiting for {url}: {reason}")
            shown = reason
        time.sleep(PAUSE_SECONDS)


def _ask(endpoint: Endpoint, report: Report, deadline: Deadline, health_seconds: float) -> None:
    """Ask everything by one protocol."""
    try:
        for state in ("live", "ready"):
            seconds = min(deadline.remaining, health_seconds)
            if not endpoint.call(f"is_server_{state}", seconds=seconds):
                report.add(endpoint.protocol, Problem("", f"The server is not {state}.", SEE_PODS, transient=True))
                return
        index = endpoint.index(deadline.remaining)
    except CallError as error:
        report.add(endpoint.protocol, Problem("", f"{error}", error.remedy, transient=error.transient))
        return
    for name, model in report.models.items():
        for problem in _ask_model(endpoint, model, index.get(name), index, deadline):
            report.add(endpoint.protocol, problem)


def _ask_model(
    endpoint: Endpoint, report: ModelReport, state: str | None, index: Mapping[str, str], deadline: Deadline
) -> Iterator[Problem]:
    """Yield what is wrong with one model by one protocol."""
    contract = report.contract
    if state != "READY":
        yield _not_ready(contract.name, state, index)
        return
    try:
        config = endpoint.config(contract.name, deadline.remaining)
        batched = bool(config.max_batch_size)
        metadata = endpoint.metadata(contract.name, deadline.remaining, batched=batched)
    except CallError as error:
        yield Problem(contract.name, f"its metadata cannot be read: {error}", SEE_PODS, transient=error.transient)
        return
    differences = list(dict.fromkeys([*compare(contract, config), *compare(contract, metadata)]))
    yield from differences
    report.version = metadata.versions[-1] if metadata.versions else "1"
    if not differences:
        yield from _infer(endpoint, report, config, deadline)


def _not_ready(name: str, state: str | None, index: Mapping[str, str]) -> Problem:
    if state is None:
        known = ", ".join(sorted(index)) or "none"
        text = f"the server does not have it; its models are {known}.{did_you_mean(name, index)}"
        return Problem(name, text, "Add it to a model source of the servers, or correct its name.")
    return Problem(name, f"it is not ready: {state}.", SEE_LOG, transient=state.startswith("LOADING"))


def _infer(endpoint: Endpoint, report: ModelReport, served: Served, deadline: Deadline) -> Iterator[Problem]:
    """Do the inference of a contract, and yield what is wrong with its answer."""
    contract = report.contract
    batched = bool(served.max_batch_size)
    tensors = served.inputs if contract.inputs is None else contract.inputs
    outputs = served.outputs if contract.outputs is None else contract.outputs
    inputs = make_inputs(contract, tensors, batched=batched)
    start = time.monotonic()
    try:
        result = endpoint.infer(contract.name, inputs, tensors, [tensor.name for tensor in outputs], deadline.remaining)
    except CallError as error:
        yield Problem(contract.name, f"the inference failed: {error}", SEE_LOG, transient=error.transient)
        return
    report.answer_ms[endpoint.protocol] = (time.monotonic() - start) * 1000
    variable = [tensor.name for tensor in tensors if -1 in tensor.dims and tensor.name in inputs]
    report.shapes = {name: inputs[name].shape[1 if batched else 0 :] for name in variable}
    for tensor in outputs:
        answer = None
        with contextlib.suppress(ValueError):  # fewer bytes than the shape that came with them
            answer = result.as_numpy(tensor.name)
        if answer is None:
            remedy = "A model of the Python backend does so under numpy 2: give the servers numpy < 2."
            yield Problem(contract.name, f"output {tensor.name} came without its values.", remedy)
        else:
            yield from judge(contract, tensor, answer, inputs, batched=batched)
