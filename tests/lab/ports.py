# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TCP ports: which are free, and who has those that are not."""

from __future__ import annotations

import contextlib
import socket
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.lab.errors import LabError
from tests.lab.processes import pids

#: Where labs without fixed addresses find their ports: below the range that the kernel gives to outgoing connections.
_FIRST: Final = 20000
_BLOCKS: Final = 700
_BLOCK_SIZE: Final = 10

_LISTENING: Final = "0A"  # TCP_LISTEN in /proc/net/tcp


def choose(name: str, roles: Sequence[str], address: str, avoid: Collection[int]) -> dict[str, int]:
    """Return free ports, the same for the same name unless others have taken them meanwhile.

    Args:
        name: The lab's name; decides where the search begins.
        roles: What the ports are for, at most ten.
        address: Where they will be listened on.
        avoid: Ports that are promised to others although nobody listens there yet.

    Raises:
        LabError: Everything is taken.
    """
    begin = zlib.crc32(name.encode())
    for step in range(_BLOCKS):
        first = _FIRST + (begin + step) % _BLOCKS * _BLOCK_SIZE
        ports = {role: first + offset for offset, role in enumerate(roles)}
        if not any(port in avoid or is_taken(address, port) for port in ports.values()):
            return ports
    raise LabError(f"no free ports between {_FIRST} and {_FIRST + _BLOCKS * _BLOCK_SIZE}", "Stop some labs.")


def is_taken(address: str, port: int) -> bool:
    """Return whether somebody listens there. An address that this machine does not have yet is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == 98  # EADDRINUSE
    return False


def holder(port: int) -> str:
    """Return who listens on a port, as far as this user may know: `nginx (pid 1234)`."""
    sockets = set(_listening_inodes(port))
    for pid in pids():
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                if str(descriptor.readlink()) in sockets:
                    command = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
                    return f"{command} (pid {pid})"
    return "a process of another user"


def _listening_inodes(port: int) -> Iterator[str]:
    """Yield the sockets that listen on a port, as /proc/PID/fd shows them."""
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"
