# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GPUs that are not there: a stand-in for NVML, NVIDIA's management library, in a driver's root on each real node.

What offers the GPUs to Kubernetes and what describes them in labels is real, and asks this library.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab import files, programs
from tests.lab.settings import SOURCE, home
from tests.lab.shell import run

#: On every node, the root of the driver: where the GPU operator of a real cluster installs it.
DRIVER_ROOT: Final = "/run/nvidia/driver"
_LIBRARY: Final = "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"
#: More than all tests at once ask for.
COUNT: Final = 16
#: What NVML's header calls its functions, and what our source defines.
_DECLARED: Final = re.compile(r"\bnvmlReturn_t\s+DECLDIR\s+(nvml\w+)")
_DEFINED: Final = re.compile(r"^nvmlReturn_t (nvml\w+)\(", re.MULTILINE)
_NOT_SUPPORTED: Final = 3  # NVML_ERROR_NOT_SUPPORTED


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU, as NVIDIA describes it.

    Attributes:
        name: Its name; in labels with dashes.
        memory_mib: Its memory.
        architecture: NVML's number (NVML_DEVICE_ARCH_*).
        capability: Its compute capability.
    """

    name: str
    memory_mib: int
    architecture: int
    capability: tuple[int, int]


#: The kinds, in turn one for each node: a farm is seldom of one kind.
KINDS: Final = (
    Gpu("Tesla T4", 15360, 6, (7, 5)),
    Gpu("NVIDIA A10", 23028, 7, (8, 6)),
)


def install(root: Path, index: int) -> None:
    """Put the library into the driver's root of a node, with a description of the node's GPUs.

    Args:
        root: The folder that the node sees as `DRIVER_ROOT`.
        index: The node's number, 1 for the first.
    """
    files.write(root / _LIBRARY, _library().read_bytes())
    values = _description(KINDS[(index - 1) % len(KINDS)], index)
    files.write(root / "stand-in" / "gpus", "".join(f"{key}={value}\n" for key, value in values.items()))
    (root / "stand-in" / "events").touch()


def raise_xid(root: Path, gpu: int, xid: int) -> None:
    """Let a GPU of a node have a critical error.

    Args:
        root: The folder that the node sees as `DRIVER_ROOT`.
        gpu: The GPU's index.
        xid: NVIDIA's number of the error.
    """
    with (root / "stand-in" / "events").open("a", encoding="ascii") as events:
        events.write(f"{gpu} {xid}\n")


def _description(gpu: Gpu, seed: int) -> Mapping[str, str | int]:
    major, minor = gpu.capability
    return {
        "count": COUNT,
        "name": gpu.name,
        "seed": seed,
        "memory_mib": gpu.memory_mib,
        "architecture": gpu.architecture,
        "major": major,
        "minor": minor,
        "driver": "570.124.06",
        "cuda": 12080,
    }


def _library() -> Path:
    """Return the stand-in, compiled if it is not there or was made of something else."""
    source = SOURCE / "nvml" / "stand_in.c"
    header = programs.extract("nvidia-device-plugin", programs.NVML_HEADER)
    library = home() / "share" / "nvml" / "libnvidia-ml.so.1"
    stamp = library.with_name("inputs")
    inputs = hashlib.sha256(source.read_bytes() + header.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="ascii") != inputs:
        stubs = library.with_name("stubs.c")
        files.write(stubs, _stubs(header.read_text(encoding="utf-8"), source.read_text(encoding="utf-8")))
        options = ("-O1", "-fPIC", "-shared", f"-I{header.parent}", "-Wl,-soname,libnvidia-ml.so.1")
        run(["gcc", *options, "-o", library, source, stubs])
        files.write(stamp, inputs)
    return library


def _stubs(header: str, source: str) -> str:
    """Return C that defines, as not supported, all that the header declares and the source does not define."""
    missing = sorted(set(_DECLARED.findall(header)) - set(_DEFINED.findall(source)))
    return "".join(f"int {name}(void) {{ return {_NOT_SUPPORTED}; }}\n" for name in missing)
