# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the form `node` asks of the machine, and who has it."""

from __future__ import annotations

import json
import os
import pwd
import shutil
from pathlib import Path
from typing import Final

from tests.lab import cgroups, files, network
from tests.lab.errors import LabError
from tests.lab.processes import Processes

#: Programs that the form `node` uses, and the Debian packages that have them.
_PACKAGES: Final = {
    "containerd": "containerd",
    "ctr": "containerd",
    "docker-registry": "docker-registry",
    "gcc": "gcc",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "nsenter": "util-linux",
    "runc": "runc",
    "sysctl": "procps",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}
#: Says which lab has the machine's fixed addresses. In memory, so that a restart of the machine removes it.
_CLAIM: Final = Path("/run/hep-sonic-lab.json")


def refuse_unless_root() -> None:
    """Refuse the form `node` to everybody else.

    Raises:
        LabError: The caller is not root.
    """
    if os.geteuid() != 0:
        raise LabError(
            "the form `node` needs root: it makes network namespaces, mounts and control groups",
            "Run it as root, or use `--form control`: a complete control plane with pretended nodes.",
        )


def refuse_missing_programs() -> None:
    """Refuse to begin without the programs that only Debian's packages bring.

    Raises:
        LabError: Some are not installed.
    """
    missing = sorted({package for program, package in _PACKAGES.items() if not shutil.which(program)})
    if missing:
        names = " ".join(missing)
        raise LabError(f"not installed: {names}", f"Run `make packages`, or `apt-get install {names}`.")


def claim(directory: Path) -> None:
    """Take the machine's fixed addresses for a lab, from one that is gone if need be.

    Args:
        directory: The lab's folder.

    Raises:
        LabError: Another lab has them.
    """
    other, user = _claimant()
    if other and other != directory:
        if (other / "lab.json").exists():
            name = pwd.getpwuid(user).pw_name
            raise LabError(
                f"a machine has room for one lab of the form `node`, and {other} of user {name} is there",
                f"Stop it first: `HEP_SONIC_HOME={other.parent.parent} python -m tests.lab down --name {other.name}` "
                f"as {name}.",
            )
        # somebody removed the folder of a lab that ran
        Processes(other).kill()
    files.write(_CLAIM, json.dumps({"directory": str(directory), "user": os.geteuid()}))


def release(directory: Path) -> None:
    """Give the machine's fixed addresses up, if this lab has them."""
    if _claimant()[0] == directory:
        _CLAIM.unlink()


def clean() -> None:
    """Remove what a lab left that could not clean up after itself; the claim must be ours."""
    cgroups.kill(cgroups.LAB)
    cgroups.remove(cgroups.LAB)
    network.remove()


def _claimant() -> tuple[Path | None, int]:
    """Return the folder of the lab that has the fixed addresses, and its user."""
    try:
        content = json.loads(_CLAIM.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, 0
    return Path(content["directory"]), content["user"]
