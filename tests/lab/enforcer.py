# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What enforces NetworkPolicies in the lab: a program that follows the API server and keeps the rules of every node.

It runs as `python -m tests.lab.enforcer FOLDER`, as one of the lab's daemons. Where it dies, the rules stay as they
are, and new pods reach nothing, until `up` starts it again.
"""

from __future__ import annotations

import http.server
import signal
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Generic, Never, TypeVar

from tests.lab.api import Api, Object
from tests.lab.cni import Addresses, Key
from tests.lab.control import ENFORCER
from tests.lab.errors import LabError
from tests.lab.network import pod_range
from tests.lab.node import Node
from tests.lab.parts import Parts
from tests.lab.pki import Pair
from tests.lab.policies import Cluster, Pod, Policy, labels_of
from tests.lab.shell import run
from tests.lab.state import State

#: Seconds between two looks at what has changed.
_PERIOD: Final = 0.05
#: Seconds until something that failed is tried again.
_RETRY: Final = 0.5
#: The share of the time that is spent on new rules at most, in a storm of changes.
_SHARE: Final = 0.3

Value = TypeVar("Value")


class Mirror(threading.Thread, Generic[Value]):
    """What the API server has of one kind.

    Args:
        api: The API server.
        path: Of the list of all objects of the kind.
        parse: Makes of an object what is kept of it.
        changed: Is set when something is different.
    """

    def __init__(self, api: Api, path: str, parse: Callable[[Object], Value], changed: threading.Event) -> None:
        super().__init__(name=path, daemon=True)
        self._api = api
        self._path = path
        self._parse = parse
        self._changed = changed
        self._lock = threading.Lock()
        self._values: dict[Key, Value] = {}
        self.known = False
        self.trouble = f"{path} has not been read yet"

    def values(self) -> Mapping[Key, Value]:
        """Return what there is, by namespace and name."""
        with self._lock:
            return dict(self._values)

    def run(self) -> Never:
        """Follow the API server for ever; what is known stays while it does not answer."""
        while True:
            try:
                version = self._list()
                while True:
                    version = self._watch(version)
            except (LabError, ValueError) as error:
                self.trouble = str(error)
                time.sleep(_RETRY)

    def _list(self) -> str:
        found = self._api.get(self._path)
        values = {_key(obj): self._parse(obj) for obj in found["items"]}
        with self._lock:
            self._values = values
        self.trouble = ""
        self.known = True
        self._changed.set()
        return _version(found)

    def _watch(self, version: str) -> str:
        """Follow the changes since a version until the server ends the answer; return the version then."""
        for event, obj in self._api.watch(self._path, version):
            version = _version(obj)
            if event == "BOOKMARK":
                continue
            key = _key(obj)
            value = None if event == "DELETED" else self._parse(obj)
            with self._lock:
                # a pod's status changes all the time, and what is kept of it seldom does
                different = self._values.get(key) != value
                if value is None:
                    self._values.pop(key, None)
                else:
                    self._values[key] = value
            if different:
                self._changed.set()
        return version


class Agent:
    """The rules of one node.

    Args:
        node: The node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.addresses = Addresses(node.directory / "cni-state" / "results")
        self.network = pod_range(node.index)
        self._written = ""
        self.trouble = f"{node.name} has no rules yet"

    def write(self, rules: str, pods: int) -> None:
        """Replace the node's rules, in one step, if they are different."""
        if rules == self._written:
            return
        try:
            run([*self._node.namespaces.enter, "nft", "-f", "-"], stdin=rules)
        except LabError as error:
            self.trouble = f"{self._node.name}: {error}"
            _log(self.trouble)
            return
        self._written, self.trouble = rules, ""
        _log(f"{self._node.name}: new rules for {pods} pods")


class Enforcer:
    """Keeps the rules of all nodes of one lab.

    Args:
        parts: The lab's parts.
    """

    def __init__(self, parts: Parts) -> None:
        self._control = parts.control
        api = Api(parts.control.server, parts.control.authority, Pair.at(parts.control.pki, ENFORCER))
        self._changed = threading.Event()
        self._namespaces = Mirror(api, "/api/v1/namespaces", labels_of, self._changed)
        self._pods = Mirror(api, "/api/v1/pods", Pod.of, self._changed)
        self._policies = Mirror(api, "/apis/networking.k8s.io/v1/networkpolicies", Policy.of, self._changed)
        self._mirrors: tuple[Mirror[Any], ...] = (self._namespaces, self._pods, self._policies)
        self._agents: dict[str, Agent] = {}
        self._before: Mapping[str, frozenset[tuple[str, Key]]] = {}

    def keep(self, stop: threading.Event) -> None:
        """Follow what happens until told to stop."""
        for mirror in self._mirrors:
            mirror.start()
        while not stop.is_set():
            began = time.monotonic()
            self._look()
            failed = any(agent.trouble for agent in self._agents.values())
            stop.wait(_RETRY if failed else max(_PERIOD, (time.monotonic() - began) / _SHARE))

    def trouble(self) -> str:
        """Return what keeps the rules from being those of now; an empty string if nothing does."""
        agents = dict(self._agents)
        found = [mirror.trouble for mirror in self._mirrors]
        found += [agents[name].trouble if name in agents else f"{name} has no rules yet" for name in self._nodes()]
        return "; ".join(filter(None, found))

    def _nodes(self) -> list[str]:
        """Return the names of the nodes that there are, which `up` may change."""
        return sorted(folder.name for folder in (self._control.directory / "nodes").glob("node-*"))

    def _look(self) -> None:
        """Write the rules of all nodes, if anything has changed."""
        names = self._nodes()
        for name in self._agents.keys() - set(names):
            del self._agents[name]
        for name in names:
            if name not in self._agents:
                self._agents[name] = Agent(Node(int(name.removeprefix("node-")), self._control))
        local = {name: agent.addresses.look() for name, agent in self._agents.items()}
        failed = any(agent.trouble for agent in self._agents.values())
        if not all(mirror.known for mirror in self._mirrors) or not (
            self._changed.is_set() or failed or local != self._before
        ):
            return
        self._changed.clear()
        self._before = local
        cluster = self._cluster(local)
        for name, agent in self._agents.items():
            addresses = {address for address, _ in local[name]}
            agent.write(cluster.ruleset(addresses, agent.network), len(addresses))

    def _cluster(self, local: Mapping[str, frozenset[tuple[str, Key]]]) -> Cluster:
        known = self._pods.values()
        pods = {pod.address: pod for pod in known.values() if pod.address and pod.node not in local}
        for addresses in local.values():
            pods |= {address: known[key] for address, key in addresses if key in known}
        namespaces = {name: labels for (_, name), labels in self._namespaces.values().items()}
        return Cluster(namespaces, list(self._policies.values().values()), pods)


class _Health(http.server.BaseHTTPRequestHandler):
    """Tells whether the rules are those of now."""

    ask: Callable[[], str]

    def do_GET(self) -> None:
        trouble = type(self).ask()
        body = (trouble or "ok").encode()
        self.send_response(HTTPStatus.SERVICE_UNAVAILABLE if trouble else HTTPStatus.OK)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the callers of a unix socket have no address, and `status` asks often."""


def serve_health(socket: Path, ask: Callable[[], str]) -> None:
    """Answer on a unix socket, in the background, what is wrong."""
    socket.unlink(missing_ok=True)
    handler = type("Health", (_Health,), {"ask": staticmethod(ask)})
    server = socketserver.ThreadingUnixStreamServer(str(socket), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()


def _key(obj: Object) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _version(obj: Object) -> str:
    version: str = obj["metadata"]["resourceVersion"]
    return version


def _log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main() -> int:
    """Keep the rules of the lab in the folder that the command line names."""
    directory = Path(sys.argv[1])
    state = State.load(directory)
    if state is None:
        print(f"there is no lab in {directory}", file=sys.stderr)
        return 1
    stop = threading.Event()
    # what is being written is written to its end, so that `down` finds it
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    parts = Parts.of(directory, state)
    enforcer = Enforcer(parts)
    serve_health(parts.enforcer_socket, enforcer.trouble)
    enforcer.keep(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
