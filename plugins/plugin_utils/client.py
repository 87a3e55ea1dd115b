# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One cluster over HTTP: access, requests with patience, the mapping of kinds to paths, and a pool of threads.

The ``kubernetes`` package reads the kubeconfig, authenticates and holds the connections; objects stay raw dictionaries,
because its typed models cost a hundred times the CPU of the request itself.
"""

from __future__ import annotations

import json
import math
import os
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlencode

import yaml
from ansible.module_utils.basic import env_fallback

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import AccessError, RequestError, SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.objects import Identity, Manifest, group_of

try:
    import urllib3
    import websocket
    from kubernetes.client.configuration import Configuration
    from kubernetes.client.rest import RESTClientObject
    from kubernetes.config import kube_config
    from kubernetes.config.config_exception import ConfigException
    from kubernetes.config.incluster_config import load_incluster_config
    from kubernetes.stream.ws_client import PortForward
except ImportError as error:
    MISSING_PACKAGE: ImportError | None = error
else:
    MISSING_PACKAGE = None

Element = TypeVar("Element")
Outcome = TypeVar("Outcome")

#: Requests that are under way at once. Eight hide the round trip to a distant site; more only queue at the server.
THREADS: Final = 8
#: Seconds to wait for a connection, and for an answer (the API server itself gives up a request after 60).
TIMEOUT_SECONDS: Final = (5.0, 65.0)
#: Seconds to go on trying to reach a server that has not answered yet, and one that did before.
FIRST_PATIENCE_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = 60.0
#: Seconds of vain tries after which the person who waits is told.
SILENCE_SECONDS: Final = 3.0
#: Answers that a later try may improve: too many requests, and servers that are just starting.
RETRIED_STATUSES: Final = frozenset({429, 502, 503, 504})
#: Words of an internal error (500) that a later try may improve; without them it is final, as for a malformed patch.
TRANSIENT_ERRORS: Final = ("failed calling webhook", "etcdserver", "connection refused", "timeout", "deadline exceeded")
#: Objects a page of a LIST; the default of kubectl.
PAGE_SIZE: Final = 500

#: The options for access, named as the users of kubernetes.core know them.
ACCESS_SPEC: Final[Mapping[str, Mapping[str, Any]]] = {
    "kubeconfig": {"type": "raw", "fallback": (env_fallback, ["K8S_AUTH_KUBECONFIG"])},
    "context": {"type": "str", "fallback": (env_fallback, ["K8S_AUTH_CONTEXT"])},
    "host": {"type": "str", "fallback": (env_fallback, ["K8S_AUTH_HOST"])},
    "api_key": {"type": "str", "no_log": True, "fallback": (env_fallback, ["K8S_AUTH_API_KEY"])},
    "ca_cert": {"type": "path", "aliases": ["ssl_ca_cert"], "fallback": (env_fallback, ["K8S_AUTH_SSL_CA_CERT"])},
    "client_cert": {"type": "path", "aliases": ["cert_file"], "fallback": (env_fallback, ["K8S_AUTH_CERT_FILE"])},
    "client_key": {
        "type": "path",
        "aliases": ["key_file"],
        "no_log": False,
        "fallback": (env_fallback, ["K8S_AUTH_KEY_FILE"]),
    },
    "validate_certs": {"type": "bool", "aliases": ["verify_ssl"], "fallback": (env_fallback, ["K8S_AUTH_VERIFY_SSL"])},
    "proxy": {"type": "str", "fallback": (env_fallback, ["K8S_AUTH_PROXY"])},
    "no_proxy": {"type": "str", "fallback": (env_fallback, ["K8S_AUTH_NO_PROXY"])},
    "impersonate_user": {"type": "str", "fallback": (env_fallback, ["K8S_AUTH_IMPERSONATE_USER"])},
    "impersonate_groups": {
        "type": "list",
        "elements": "str",
        "fallback": (env_fallback, ["K8S_AUTH_IMPERSONATE_GROUPS"]),
    },
}


@dataclass(frozen=True)
class Access:
    """How to reach a cluster; the options of ACCESS_SPEC."""

    kubeconfig: str | dict[str, Any] | None = field(default=None, repr=False)
    context: str | None = None
    host: str | None = None
    api_key: str | None = field(default=None, repr=False)
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    validate_certs: bool | None = None
    proxy: str | None = None
    no_proxy: str | None = None
    impersonate_user: str | None = None
    impersonate_groups: list[str] | None = None

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """Take the access options out of a task's options."""
        return cls(**{option: params.get(option) for option in ACCESS_SPEC})

    @property
    def source(self) -> str:
        """Where the access data come from, for messages."""
        if isinstance(self.kubeconfig, dict):
            text = "the kubeconfig given as a dictionary"
        elif self.kubeconfig:
            text = f"kubeconfig {self.kubeconfig}"
        elif self.host:
            text = "the option host"
        else:
            text = f"kubeconfig {_default_kubeconfig()}"
        return text + (f", context {self.context}" if self.context else "")


def _default_kubeconfig() -> str:
    return os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())


def _configure(access: Access) -> Configuration:
    """Return the client's configuration for `access`.

    Raises:
        AccessError: The kubeconfig cannot be read, or there is none.
    """
    configuration = Configuration()
    _load_kubeconfig(access, configuration)
    if access.host:
        configuration.host = access.host.rstrip("/")
    if access.api_key:
        configuration.api_key = {"BearerToken": access.api_key}
        configuration.api_key_prefix = {"BearerToken": "Bearer"}
        configuration.refresh_api_key_hook = None
    configuration.ssl_ca_cert = access.ca_cert or configuration.ssl_ca_cert
    configuration.cert_file = access.client_cert or configuration.cert_file
    configuration.key_file = access.client_key or configuration.key_file
    if access.validate_certs is not None:
        configuration.verify_ssl = access.validate_certs
    configuration.proxy = access.proxy or configuration.proxy
    configuration.no_proxy = access.no_proxy or configuration.no_proxy
    configuration.connection_pool_maxsize = THREADS
    return configuration


def _load_kubeconfig(access: Access, configuration: Configuration) -> None:
    """Fill `configuration` from the kubeconfig of `access`, or from the Pod that we are in.

    Raises:
        AccessError: The kubeconfig cannot be read, or there is none.
    """
    path = "<file>"
    try:
        if isinstance(access.kubeconfig, dict):
            kube_config.load_kube_config_from_dict(
                access.kubeconfig, context=access.context, client_configuration=configuration
            )
        elif access.kubeconfig or not access.host:
            path = str(Path(access.kubeconfig).expanduser()) if access.kubeconfig else _default_kubeconfig()
            exists = any(Path(part).exists() for part in path.split(os.pathsep))
            if not exists and not access.kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ:
                _load_service_account(configuration)
            elif not exists:
                raise AccessError(
                    f"The kubeconfig {path} does not exist.",
                    "Set sonic_kubeconfig, the option kubeconfig or K8S_AUTH_KUBECONFIG to the file of your cluster.",
                )
            else:
                kube_config.load_kube_config(path, context=access.context, client_configuration=configuration)
    except OSError as problem:
        raise AccessError(f"{access.source} cannot be read: {problem}") from problem
    except (ConfigException, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError):
        # Not the text of the problem, here or in a traceback: it may repeat a whole entry with its token.
        context = f" --context {access.context}" if access.context else ""
        raise AccessError(
            f"{access.source} cannot be used: it is broken, or lacks the context, its cluster or its user.",
            f"Try it with: KUBECONFIG={path} kubectl{context} get namespaces",
        ) from None


def _load_service_account(configuration: Configuration) -> None:
    try:
        load_incluster_config(client_configuration=configuration)
    except ConfigException as problem:
        raise AccessError(
            f"The service account of this Pod cannot be used: {problem}", "Mount its token, or set sonic_kubeconfig."
        ) from problem


def _connection_pool(configuration: Configuration) -> Any:
    """Return the connections of a configuration, which hold certificates and keys in memory alone.

    The package writes the keys of a kubeconfig to files and removes them at exit, which a forked worker never reaches.

    Raises:
        AccessError: A certificate or key cannot be read.
    """
    pool = RESTClientObject(configuration).pool_manager
    try:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
    except OSError as problem:
        raise AccessError(
            f"A certificate or key for {configuration.host} cannot be used: {problem}",
            "Check ca_cert, client_cert and client_key, or the kubeconfig's fields of that meaning.",
        ) from problem
    finally:
        kube_config._cleanup_temp_files()
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for read_now in ("ca_certs", "ca_cert_data", "cert_file", "key_file"):
        pool.connection_pool_kw.pop(read_now, None)
    pool.connection_pool_kw["ssl_context"] = context
    return pool


@dataclass(frozen=True)
class Resource:
    """Where the objects of a kind live in the API."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """Return the path of the collection, or of one object."""
        parts = ["", "apis", self.group, self.version] if self.group else ["", "api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/".join([*parts, self.plural, *([name] if name else [])])


def _built_in(group: str, version: str, namespaced: bool, kinds: Mapping[str, str]) -> Iterator[Resource]:
    return (Resource(group, version, kind, plural, namespaced) for kind, plural in kinds.items())


#: The kinds that this collection itself uses: no discovery is asked for them.
BUILT_IN: Final[Mapping[tuple[str, str], Resource]] = {
    (resource.group, resource.kind): resource
    for resources in (
        _built_in(
            "", "v1", False, {"Namespace": "namespaces", "Node": "nodes", "PersistentVolume": "persistentvolumes"}
        ),
        _built_in(
            "",
            "v1",
            True,
            {
                "ConfigMap": "configmaps",
                "Event": "events",
                "LimitRange": "limitranges",
                "PersistentVolumeClaim": "persistentvolumeclaims",
                "Pod": "pods",
                "ResourceQuota": "resourcequotas",
                "Secret": "secrets",
                "Service": "services",
                "ServiceAccount": "serviceaccounts",
            },
        ),
        _built_in(
            "apps",
            "v1",
            True,
            {
                "DaemonSet": "daemonsets",
                "Deployment": "deployments",
                "ReplicaSet": "replicasets",
                "StatefulSet": "statefulsets",
            },
        ),
        _built_in("batch", "v1", True, {"CronJob": "cronjobs", "Job": "jobs"}),
        _built_in("coordination.k8s.io", "v1", True, {"Lease": "leases"}),
        _built_in("networking.k8s.io", "v1", True, {"Ingress": "ingresses", "NetworkPolicy": "networkpolicies"}),
        _built_in("policy", "v1", True, {"PodDisruptionBudget": "poddisruptionbudgets"}),
        _built_in("rbac.authorization.k8s.io", "v1", True, {"Role": "roles", "RoleBinding": "rolebindings"}),
        _built_in(
            "rbac.authorization.k8s.io",
            "v1",
            False,
            {"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings"},
        ),
        _built_in("apiextensions.k8s.io", "v1", False, {"CustomResourceDefinition": "customresourcedefinitions"}),
        _built_in("apiregistration.k8s.io", "v1", False, {"APIService": "apiservices"}),
        _built_in("storage.k8s.io", "v1", False, {"StorageClass": "storageclasses"}),
        _built_in("scheduling.k8s.io", "v1", False, {"PriorityClass": "priorityclasses"}),
        _built_in("node.k8s.io", "v1", False, {"RuntimeClass": "runtimeclasses"}),
    )
    for resource in resources
}


@dataclass(frozen=True)
class Answer:
    """What the API server said to a request that it accepted."""

    status: int
    body: Any

    @property
    def created(self) -> bool:
        """Whether the object did not exist before."""
        return self.status == HTTPStatus.CREATED


class Cluster:
    """A connection to one cluster. Use it as a context manager, from any number of threads.

    Args:
        access: How to reach it.
        progress: Told when the server that answered before answers no longer, while it is tried again.

    Raises:
        AccessError: There is no usable kubeconfig, or a package is missing on the controller.
    """

    def __init__(self, access: Access, progress: Callable[[str], None] = lambda _line: None) -> None:
        if MISSING_PACKAGE is not None:
            raise AccessError(
                f"The Python package {MISSING_PACKAGE.name} is missing on the controller.",
                "Install the collection's requirements: pip install -r requirements.txt",
            )
        self.access = access
        self._configuration = _configure(access)
        self._pool = _connection_pool(self._configuration)
        self._threads = ThreadPoolExecutor(THREADS)
        self._resources: dict[tuple[str, str], Resource] = {}
        self._progress = progress
        self._reached = False
        self._lost_since = 0.0

    @property
    def server(self) -> str:
        """The address of the API server."""
        return str(self._configuration.host)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._pool.clear()

    def map(self, function: Callable[[Element], Outcome], elements: Iterable[Element]) -> list[Outcome]:
        """Return the outcomes of `function` for all elements, in order, computed by the pool's threads."""
        return list(self._threads.map(function, elements))

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        patience: float = math.inf,
    ) -> Answer:
        """Send one request, again where a later try may succeed.

        Args:
            method: HTTP method.
            path: Path below the server's address.
            query: Query parameters; those that are None are left out.
            body: What to send, as JSON.
            content_type: Its media type; for a PATCH it chooses the kind of patch.
            patience: Seconds for all tries together, where that is less than what a request gets by default.

        Returns:
            The answer with its JSON body, or with text where the server sent text.

        Raises:
            AccessError: The server cannot be reached or does not accept our credentials.
            RequestError: The server refused the request.
        """
        url = self.server + path
        if query:
            url += "?" + urlencode({key: value for key, value in query.items() if value is not None})
        data = None if body is None else json.dumps(body).encode()
        usual = PATIENCE_SECONDS if self._reached else FIRST_PATIENCE_SECONDS
        for remaining in _tries(min(usual, patience)):
            longest = max(remaining, 1.0) if patience < math.inf else math.inf
            try:
                response = self._pool.request(
                    method,
                    url,
                    body=data,
                    headers=self._headers(content_type),
                    timeout=urllib3.Timeout(*(min(seconds, longest) for seconds in TIMEOUT_SECONDS)),
                    retries=False,
                )
            except urllib3.exceptions.HTTPError as problem:
                # A connection that is cut in the middle is an SSLError, too; only a wrong certificate stays wrong.
                if remaining <= 0 or any(isinstance(cause, ssl.SSLCertVerificationError) for cause in problem.args):
                    raise self._unreachable(problem) from problem
                if patience == math.inf:
                    self._tell_lost(remaining)
                continue
            self._reached, self._lost_since = True, 0.0
            if response.status < HTTPStatus.BAD_REQUEST:
                return Answer(response.status, _parse(response))
            if remaining <= 0 or not _may_improve(response):
                break
        raise self._refused(response)

    def _tell_lost(self, remaining: float) -> None:
        """Tell, once for all threads, that the server is being tried again."""
        now = time.monotonic()
        if not self._lost_since:
            self._lost_since = now
        elif self._reached and now - self._lost_since > SILENCE_SECONDS:
            self._lost_since = float("inf")
            self._progress(f"the API server {self.server} does not answer; trying again for {remaining:.0f} s")

    def forward(self, namespace: str, pod: str, port: int) -> socket.socket:
        """Return a connection to a port of a Pod, which the API server passes on.

        Raises:
            AccessError: It cannot be made.
        """
        path = BUILT_IN["", "Pod"].path(namespace, pod)
        connection = websocket.WebSocket(sslopt={"context": self._pool.connection_pool_kw["ssl_context"]})
        try:
            connection.connect(  # type: ignore[no-untyped-call]
                f"{self.server.replace('http', 'ws', 1)}{path}/portforward?ports={port}",
                header=[f"{name}: {value}" for name, value in self._identity().items()],
                subprotocols=["v4.channel.k8s.io"],
                timeout=TIMEOUT_SECONDS[0],
            )
        except (OSError, websocket.WebSocketException) as problem:
            refusal = getattr(problem, "resp_body", None)  # a Status, as text
            reason = json.loads(refusal)["message"] if refusal and refusal.startswith(b"{") else problem
            raise AccessError(
                f"The API server {self.server} does not forward port {port} of the Pod {namespace}/{pod}: {reason}",
                "It takes the right to create pods/portforward in that namespace.",
            ) from problem
        connection.settimeout(None)
        forwarded: socket.socket = PortForward(connection, [port]).socket(port)
        return forwarded

    def _headers(self, content_type: str) -> Any:
        headers = self._identity()
        headers.extend({"Accept": "application/json", "Content-Type": content_type, "User-Agent": "hep.sonic"})
        return headers

    def _identity(self) -> Any:
        """Return the headers that say who we are."""
        headers = urllib3.HTTPHeaderDict()
        auth = self._configuration.auth_settings().get("BearerToken")
        if auth and auth["value"]:
            headers["Authorization"] = auth["value"]
        if self.access.impersonate_user:
            headers["Impersonate-User"] = self.access.impersonate_user
            for group in self.access.impersonate_groups or []:
                headers.add("Impersonate-Group", group)
        return headers

    def _unreachable(self, problem: Exception) -> AccessError:
        reason = getattr(problem, "reason", None) or problem
        return AccessError(
            f"The API server {self.server} ({self.access.source}) cannot be reached: {reason}",
            "Check that it runs, that this machine may reach it, and that the certificate authority is the right one.",
        )

    def _refused(self, response: Any) -> SonicError:
        body = _parse(response)
        status = body if isinstance(body, dict) else {}
        message = status.get("message") or (body if isinstance(body, str) else "") or response.reason
        if response.status == HTTPStatus.UNAUTHORIZED:
            return AccessError(
                f"The API server {self.server} does not accept the credentials of {self.access.source}: {message}",
                "The token or certificate is wrong or has expired: fetch a new kubeconfig, or log in again.",
            )
        details = status.get("details") or {}
        causes = details.get("causes") or []
        owners = [cause.get("message", "") for cause in causes if cause.get("reason") == "FieldManagerConflict"]
        reason = "FieldManagerConflict" if owners else status.get("reason") or ""
        about = (details.get("kind") or "", details.get("name") or "")
        lacks_right = response.status == HTTPStatus.FORBIDDEN and " cannot " in message
        remedy = "Ask the cluster's administrators for this right, or use another kubeconfig." if lacks_right else ""
        return RequestError(message, remedy, status=response.status, reason=reason, about=about, owners=owners)

    def resource(self, api_version: str, kind: str) -> Resource | None:
        """Return where the objects of a kind live; None where this server does not know the kind."""
        key = (api_version, kind)
        known = BUILT_IN.get((group_of(api_version), kind))
        if known and api_version == (f"{known.group}/{known.version}" if known.group else known.version):
            return known
        if key not in self._resources:
            self._resources.update(self._discover(api_version))
        return self._resources.get(key)

    def preferred_resource(self, group_kind: str) -> Resource | None:
        """Return where the objects of ``Kind.group`` live, in the first version that has them, the preferred one first.

        Raises:
            RequestError: The server does not tell. Only a group that is not there has no objects for certain.
        """
        kind, _dot, group = group_kind.partition(".")
        if (group, kind) in BUILT_IN:
            return BUILT_IN[group, kind]
        if not group:
            return self.resource("v1", kind)
        try:
            listed = self.request("GET", f"/apis/{group}").body
        except RequestError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None
        versions = [entry["groupVersion"] for entry in (listed["preferredVersion"], *listed["versions"])]
        return next(filter(None, (self.resource(version, kind) for version in dict.fromkeys(versions))), None)

    def _discover(self, api_version: str) -> dict[tuple[str, str], Resource]:
        group, _slash, version = api_version.rpartition("/")
        try:
            listed = self.request("GET", f"/apis/{api_version}" if group else f"/api/{version}").body["resources"]
        except RequestError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return {}
        return {
            (api_version, entry["kind"]): Resource(group, version, entry["kind"], entry["name"], entry["namespaced"])
            for entry in listed
            if "/" not in entry["name"]
        }

    def get(self, resource: Resource, namespace: str, name: str, *, patience: float = math.inf) -> Manifest | None:
        """Return an object, or None where it does not exist; `patience` is that of request()."""
        try:
            body: Manifest = self.request("GET", resource.path(namespace, name), patience=patience).body
        except RequestError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        return body

    def list(
        self, resource: Resource, namespace: str = "", *, labels: str | None = None, fields: str | None = None
    ) -> list[Manifest]:
        """Return the objects of a kind that match, of one namespace or of all; none where the kind is unknown.

        Args:
            resource: The kind.
            namespace: The namespace; "" for all.
            labels: A label selector.
            fields: A field selector.
        """
        found: list[Manifest] = []
        token: str | None = None
        while True:
            query = {"labelSelector": labels, "fieldSelector": fields, "limit": PAGE_SIZE, "continue": token}
            try:
                page = self.request("GET", resource.path(namespace), query=query).body
            except RequestError as error:
                if error.status == HTTPStatus.NOT_FOUND:
                    return found
                raise
            api_version = page["apiVersion"]
            found += [{"apiVersion": api_version, "kind": resource.kind, **item} for item in page["items"] or []]
            token = page["metadata"].get("continue")
            if not token:
                return found

    def delete(
        self,
        resource: Resource,
        identity: Identity,
        *,
        propagation: str = "Background",
        preconditions: Mapping[str, str] | None = None,
    ) -> bool:
        """Delete an object; return whether it was there.

        Args:
            resource: Where it lives.
            identity: The object.
            propagation: What happens to its dependents.
            preconditions: Its ``uid`` and ``resourceVersion``, either or both; with others it is a Conflict.
        """
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": preconditions or {},
        }
        try:
            self.request("DELETE", resource.path(identity.namespace, identity.name), body=body)
        except RequestError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True


def _tries(patience: float) -> Iterator[float]:
    """Yield the seconds that are left, with a growing and scattered pause between two tries; the last is at the end."""
    end = time.monotonic() + patience
    pause = 0.1
    while True:
        remaining = end - time.monotonic()
        yield remaining
        scattered = pause * random.uniform(0.5, 1.0)  # noqa: S311 - scatters retries, guards no secret
        time.sleep(min(scattered, max(end - time.monotonic(), 0.0)))
        pause = min(pause * 2, 5.0)


def _may_improve(response: Any) -> bool:
    """Return whether the same request may succeed later."""
    if response.status != HTTPStatus.INTERNAL_SERVER_ERROR:
        return response.status in RETRIED_STATUSES
    text = response.data.decode(errors="replace")
    return any(words in text for words in TRANSIENT_ERRORS)


def _parse(response: Any) -> Any:
    """Return the body as JSON where it is, as text where it is not."""
    text = response.data.decode(errors="replace")
    if "json" not in response.headers.get("Content-Type", ""):
        return text
    return json.loads(text)
