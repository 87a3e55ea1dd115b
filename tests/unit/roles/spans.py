# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A place where traces are sent to, by OTLP over HTTP: Envoy sends protobuf, Triton JSON."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.tools.serving import Silent, serve

#: The kinds of values in protobuf: a number, 8 bytes, bytes with their length.
NUMBER, FIXED, BYTES = 0, 1, 2


@dataclass(frozen=True)
class Span:
    """What one program did for one request.

    Args:
        trace: The trace that it belongs to.
        identity: Its own name.
        parent: The name of the span that it is a part of; empty for the first of a trace.
        name: What was done.
        start: When it began, in nanoseconds.
        end: When it ended.
        attributes: What is said of it.
        resource: What is said of the program.
        events: The names of what happened in it.
    """

    trace: str
    identity: str
    parent: str
    name: str
    start: int
    end: int
    attributes: Mapping[str, str]
    resource: Mapping[str, str]
    events: tuple[str, ...]

    @property
    def service(self) -> str:
        return self.resource["service.name"]


@dataclass
class Sink:
    """All spans that have come.

    Args:
        port: Where it listens.
    """

    port: int
    spans: list[Span] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, service: str) -> list[Span]:
        """Return the spans of a service."""
        return [span for span in self.spans if span.service == service]


@contextmanager
def sink() -> Iterator[Sink]:
    """Run a place where traces are sent to."""

    class Handler(Silent, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.read_chunks() if "Transfer-Encoding" in self.headers else self.read_body()
            read = _from_json if self.headers["Content-Type"] == "application/json" else _from_protobuf
            place.spans += read(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def read_body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"]))

        def read_chunks(self) -> bytes:
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

    with serve(Handler) as port:
        place = Sink(port)
        yield place


def _from_json(body: bytes) -> Iterator[Span]:
    for group in json.loads(body)["resourceSpans"]:
        resource = _pairs_from_json(group["resource"].get("attributes", []))
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                yield Span(
                    trace=span["traceId"].lower(),
                    identity=span["spanId"].lower(),
                    parent=span.get("parentSpanId", "").lower(),
                    name=span["name"],
                    start=int(span["startTimeUnixNano"]),
                    end=int(span["endTimeUnixNano"]),
                    attributes=_pairs_from_json(span.get("attributes", [])),
                    resource=resource,
                    events=tuple(event["name"] for event in span.get("events", [])),
                )


def _pairs_from_json(pairs: list[dict[str, Any]]) -> dict[str, str]:
    return {pair["key"]: str(next(iter(pair["value"].values()), "")) for pair in pairs}


def _from_protobuf(body: bytes) -> Iterator[Span]:
    # the numbers are those of opentelemetry/proto/trace/v1/trace.proto
    for group in _message(body)[1]:
        parts = _message(group)
        resource = _pairs(_message(parts[1][0]).get(1, []))
        for scope in parts[2]:
            for one in _message(scope)[2]:
                span = _message(one)
                yield Span(
                    trace=span[1][0].hex(),
                    identity=span[2][0].hex(),
                    parent=span.get(4, [b""])[0].hex(),
                    name=span[5][0].decode(),
                    start=span[7][0],
                    end=span[8][0],
                    attributes=_pairs(span.get(9, [])),
                    resource=resource,
                    events=tuple(_message(event)[2][0].decode() for event in span.get(11, [])),
                )


def _pairs(pairs: list[bytes]) -> dict[str, str]:
    found = {}
    for pair in map(_message, pairs):
        value = next(iter(_message(pair.get(2, [b""])[0]).values()), [b""])[0]
        found[pair[1][0].decode()] = value.decode() if isinstance(value, bytes) else str(value)
    return found


def _message(data: bytes) -> dict[int, list[Any]]:
    """Return the values of each field of a message in protobuf, by the field's number."""
    fields: dict[int, list[Any]] = {}
    position = 0
    while position < len(data):
        tag, position = _number(data, position)
        value: Any
        if tag & 7 == NUMBER:
            value, position = _number(data, position)
        elif tag & 7 == BYTES:
            size, position = _number(data, position)
            value, position = data[position : position + size], position + size
        else:
            size = 8 if tag & 7 == FIXED else 4
            value = struct.unpack_from("<Q" if size == 8 else "<I", data, position)[0]
            position += size
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _number(data: bytes, position: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends."""
    number = shift = 0
    while True:
        byte = data[position]
        number |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return number, position
