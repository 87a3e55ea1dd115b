# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The addresses of a node's pods, from the records that the network plugins leave.

The API server hears of a pod's address up to a second after the pod's first program has started; these records are
there before it starts.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.lab.network import CNI_NETWORK

#: Namespace and name of a pod.
Key = tuple[str, str]


class Addresses:
    """The addresses of one node's pods.

    Args:
        folder: Where the plugins keep the results of their work.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[str, Key]] = {}

    def look(self) -> frozenset[tuple[str, Key]]:
        """Return the addresses that are in use now, each with its pod."""
        names = {file.name for file in self._folder.glob(f"{CNI_NETWORK}-*")}
        for name in self._read.keys() - names:
            del self._read[name]
        for name in names - self._read.keys():
            try:
                self._read[name] = _parse((self._folder / name).read_text(encoding="utf-8"))
            except (FileNotFoundError, ValueError):
                continue  # gone since, or not written to its end: the next look finds it
        return frozenset(self._read.values())


def _parse(text: str) -> tuple[str, Key]:
    record = json.loads(text)
    arguments = dict(record["cniArgs"])
    address: str = record["result"]["ips"][0]["address"]
    return address.partition("/")[0], (arguments["K8S_POD_NAMESPACE"], arguments["K8S_POD_NAME"])
