# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells an Envoy which servers there are: a sidecar of its Pod, on a stock image, with Python's standard library.

It watches the EndpointSlices of the pools' Services and writes them as files that Envoy reads (EDS). A server that is
being stopped leaves the file as soon as the API server knows, long before any cache of names would forget it.

While the API server does not answer, or this program does not run, the files stay as they are, and so does what Envoy
knows.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

#: Seconds that a watch lasts; the API server ends it then, and the next one takes up where it ended.
WATCH_SECONDS = 290
#: Seconds to wait for a connection or the next byte of a list, and of a watch.
LIST_TIMEOUT, WATCH_TIMEOUT = 15.0, WATCH_SECONDS + 30.0
#: Seconds between two attempts while the API server does not answer, and between the end of a watch and the next.
RETRY_SECONDS, PAUSE_SECONDS = 1.0, 0.1
#: Where the kubelet puts the token, the certificate authority and the namespace.
CREDENTIALS = Path("/var/run/secrets/kubernetes.io/serviceaccount")
#: What the Service of a pool says of each of its servers, and its EndpointSlices after it.
WEIGHT_LABEL = "hep.sonic/weight"
#: With less than this share of servers healthy, Envoy would send some requests elsewhere: never.
OVERPROVISIONING_FACTOR = 1000000

Json = dict[str, Any]


def log(message: str) -> None:
    """Write a line to the container's log."""
    print(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "message": message}), flush=True)


class StaleError(Exception):
    """The API server does not remember where the watch would go on: a new list is needed."""


@dataclass(frozen=True)
class Plan:
    """What is written; the file that the role writes.

    Args:
        ports: Envoy's cluster → the name of the servers' port.
        services: The labels of the pools' Services: also of one that comes later, so that none need tell of it.
    """

    ports: Mapping[str, str]
    services: Mapping[str, str]

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read it from a file."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True, order=True)
class Server:
    """A server that may get new requests.

    Args:
        service: The Service of its pool.
        address: Its IP address.
        weight: Its share of the requests, by that of the others.
        ports: The name of each port → its number.
    """

    service: str
    address: str
    weight: int
    ports: Mapping[str, int] = field(compare=False)


def servers_of(slices: Iterable[Json]) -> list[Server]:
    """Return the servers that EndpointSlices say are ready, each once, in a fixed order.

    A server that is being stopped is not ready, though it still serves what it has. Where a Service has addresses of
    both families, those of IPv4 are taken. A Service that says no weight is no pool's.
    """
    found: dict[tuple[str, str], dict[str, Server]] = {}
    for one in slices:
        labels = one["metadata"]["labels"]
        service, weight = labels["kubernetes.io/service-name"], labels.get(WEIGHT_LABEL, "")
        if not weight.isdecimal():
            continue
        ports = {port.get("name") or "": port["port"] for port in one.get("ports") or () if port.get("port")}
        of_family = found.setdefault((service, one["addressType"]), {})
        for endpoint in one.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            if conditions.get("ready") is not False and not conditions.get("terminating"):
                address = endpoint["addresses"][0]
                of_family[address] = Server(service, address, int(weight), ports)
    chosen = [
        of_family
        for (service, family), of_family in found.items()
        if family == "IPv4" or (family == "IPv6" and not found.get((service, "IPv4")))
    ]
    return sorted(server for of_family in chosen for server in of_family.values())


def assignment(cluster: str, port: str, servers: Sequence[Server]) -> Json:
    """Return what Envoy reads about one of its clusters: a DiscoveryResponse with a ClusterLoadAssignment."""
    endpoints = [
        {
            "endpoint": {"address": {"socket_address": {"address": server.address, "port_value": server.ports[port]}}},
            "load_balancing_weight": server.weight,
        }
        for server in servers
        if port in server.ports
    ]
    return {
        "resources": [
            {
                "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
                "cluster_name": cluster,
                "endpoints": [{"lb_endpoints": endpoints}],
                "policy": {"overprovisioning_factor": OVERPROVISIONING_FACTOR},
            }
        ]
    }


class Files:
    """The files that Envoy reads.

    Args:
        folder: Where they are, one for each cluster.
        plan: What is in them.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan

    def path(self, cluster: str) -> Path:
        """Return the file of a cluster."""
        return self._folder / f"{cluster}.json"

    def complete(self) -> bool:
        """Return whether every file is there."""
        return all(self.path(cluster).exists() for cluster in self._plan.ports)

    def write(self, servers: Sequence[Server]) -> None:
        """Write what differs, each file in one step."""
        for cluster, port in self._plan.ports.items():
            path = self.path(cluster)
            text = json.dumps(assignment(cluster, port, servers), indent=1)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                new = path.with_suffix(".new")
                new.write_text(text, encoding="utf-8")
                new.replace(path)  # what Envoy waits for
                log(f"{cluster}: {len(servers)} servers: {', '.join(server.address for server in servers) or 'none'}")


class Api:
    """The EndpointSlices of some Services, as the API server has them.

    Args:
        host: The API server's host.
        port: Its port.
        credentials: The folder with ``token``, ``ca.crt`` and ``namespace``.
        services: The Services' labels.
    """

    def __init__(self, host: str, port: int, credentials: Path, services: Mapping[str, str]) -> None:
        self._host, self._port = host, port
        self._credentials = credentials
        self._selector = ",".join(f"{name}={value}" for name, value in sorted(services.items()))

    def list(self) -> Json:
        """Return the EndpointSliceList.

        Raises:
            OSError, http.client.HTTPException, ValueError: The API server does not answer, or not as it should.
        """
        with self._get(LIST_TIMEOUT) as response:
            listed: Json = json.load(response)
            return listed

    def watch(self, version: str) -> Iterator[Json]:
        """Yield what happens after a version of the list, until the API server ends it.

        Raises:
            StaleError: The API server has forgotten that version.
            OSError, http.client.HTTPException, ValueError: As for list().
        """
        options = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "1",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        with self._get(WATCH_TIMEOUT, **options) as response:
            for line in response:
                event: Json = json.loads(line)
                if event["type"] == "ERROR":
                    raise StaleError(event["object"].get("message", "the watch failed"))
                yield event

    def _get(self, timeout: float, **options: str) -> http.client.HTTPResponse:
        namespace = (self._credentials / "namespace").read_text(encoding="utf-8").strip()
        # both are read each time: the kubelet renews them
        token = (self._credentials / "token").read_text(encoding="utf-8").strip()
        context = ssl.create_default_context(cafile=str(self._credentials / "ca.crt"))
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=context)
        connection.connect()
        _notice_silence(connection.sock)
        query = urlencode({"labelSelector": self._selector, **options})
        connection.request(
            "GET",
            f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?{query}",
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
        )
        response = connection.getresponse()
        if response.status == http.HTTPStatus.GONE:
            raise StaleError("the API server does not remember the last version")
        if response.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"{response.status} {response.read(500).decode(errors='replace')}")
        return response


def _notice_silence(connection: socket.socket) -> None:
    """Let the kernel end a connection whose other side has vanished, after a quarter of a minute."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)


def follow(api: Api, files: Files) -> None:
    """Keep the files as the API server says, for ever."""
    while True:
        try:
            listed = api.list()
            slices = {one["metadata"]["name"]: one for one in listed.get("items") or ()}
            version = listed["metadata"]["resourceVersion"]
            files.write(servers_of(slices.values()))
            while True:
                for event in api.watch(version):
                    changed = event["object"]
                    version = changed["metadata"]["resourceVersion"]
                    if event["type"] == "DELETED":
                        slices.pop(changed["metadata"]["name"], None)
                    elif event["type"] != "BOOKMARK":
                        slices[changed["metadata"]["name"]] = changed
                    files.write(servers_of(slices.values()))
                time.sleep(PAUSE_SECONDS)
        except StaleError:
            time.sleep(PAUSE_SECONDS)
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            log(f"All stays as it is: {error!r}")
            time.sleep(RETRY_SECONDS)


class Handler(BaseHTTPRequestHandler):
    """Answers the kubelet: ``/ready`` when the files are there."""

    server: Health

    def do_GET(self) -> None:
        """Answer one request."""
        ready = self.path == "/ready" and self.server.files.complete()
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class gives it
        """Write nothing: the kubelet asks every other second."""


class Health(ThreadingHTTPServer):
    """The sidecar's HTTP server.

    Args:
        port: Where it listens.
        files: The files.
    """

    daemon_threads = True

    def __init__(self, port: int, files: Files) -> None:
        super().__init__(("", port), Handler)
        self.files = files


def stop(*_: object) -> None:
    """End at once: a process with the number 1 ignores SIGTERM by itself."""
    sys.exit(0)


def main() -> None:
    """Parse the command line and write until told to stop."""
    parser = argparse.ArgumentParser(description="Tells an Envoy which servers there are.")
    parser.add_argument("--plan", type=Path, required=True, help="file that says what is written")
    parser.add_argument("--folder", type=Path, required=True, help="where Envoy reads")
    parser.add_argument("--port", type=int, required=True, help="where /ready is answered")
    parser.add_argument("--credentials", type=Path, default=CREDENTIALS, help="folder of the token")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    plan = Plan.load(options.plan)
    files = Files(options.folder, plan)
    threading.Thread(target=Health(options.port, files).serve_forever, daemon=True).start()
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    follow(Api(host, port, options.credentials, plan.services), files)


if __name__ == "__main__":
    main()
