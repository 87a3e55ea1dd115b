# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an Alertmanager posts to, in the place of a chat."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple

from tests.tools.serving import Silent, serve


class Told(NamedTuple):
    """An alert of a message.

    Args:
        receiver: The path that it was posted to.
        instance: The instance that it is of.
        alert: Its name.
        severity: Its severity.
        status: `firing` or `resolved`.
    """

    receiver: str
    instance: str
    alert: str
    severity: str
    status: str = "firing"


@contextmanager
def listen(address: str, port: int = 0) -> Iterator[tuple[int, queue.Queue[Told]]]:
    """Take messages at an address of this machine, and yield the port and what was told."""
    told: queue.Queue[Told] = queue.Queue()

    class Handler(Silent, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            for alert in message["alerts"]:
                labels = alert["labels"]
                who = self.path.strip("/"), labels["instance"], labels["alertname"], labels["severity"]
                told.put(Told(*who, alert["status"]))
            self.send_response(200)
            self.end_headers()

    with serve(Handler, port, address=address) as taken:
        yield taken, told
