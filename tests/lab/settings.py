# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the lab keeps its things, and which versions it is made of."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

#: Environment variable that moves everything the lab builds, caches and runs.
HOME_VARIABLE: Final = "HEP_SONIC_HOME"

#: The folder of this package: templates, Go modules, models.
SOURCE: Final = Path(__file__).resolve().parent


def home() -> Path:
    """Return the folder below which the lab keeps everything, absolute and without links."""
    return Path(os.environ.get(HOME_VARIABLE) or "~/.cache/hep-sonic").expanduser().resolve()


@dataclass(frozen=True)
class Versions:
    """The content of `versions.toml`.

    Attributes:
        go: The least Go toolchain.
        kubernetes: Kubernetes, and so on.
        debian: Name of the Debian in the images.
        python: First two numbers of that Debian's Python.
        wheels: What comes from PyPI.
    """

    go: str
    etcd: str
    kubernetes: str
    coredns: str
    kwok: str
    keda: str
    device_plugin: str
    prometheus: str
    prometheus_adapter: str
    nfd: str
    debian: str
    python: str
    wheels: Mapping[str, str]


@cache
def versions() -> Versions:
    """Return the versions of all that the lab is made of."""
    data = tomllib.loads((SOURCE / "versions.toml").read_text(encoding="utf-8"))
    return Versions(go=data["go"]["minimum"], wheels=data["wheels"], **data["programs"], **data["images"])
