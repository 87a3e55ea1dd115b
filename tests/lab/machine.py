"""What the form `node` asks of the machine, and who has it."""

from __future__ import annotations

import json
import os
import pwd
import shutil
from pathlib import Path
from typing import Final

from tests.lab.errors import LabError

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
    """Take the machine's fixed addresses for a lab.

    Args:
        directory: The lab's folder.

    Raises:
        LabError: Another lab has them.
    """
    try:
        present = json.loads(_CLAIM.read_text(encoding="utf-8"))
    except FileNotFoundError:
        present = {}
    other = present.get("directory", str(directory))
    # a folder that is gone, or has no lab any more, claims nothing
    if other != str(directory) and (Path(other) / "lab.json").exists():
        user = pwd.getpwuid(present["user"]).pw_name
        raise LabError(
            f"a machine has room for one lab of the form `node`, and {other} of user {user} is there",
            f"Stop it first: `HEP_SONIC_HOME={Path(other).parent.parent} python -m tests.lab down "
            f"--name {Path(other).name}` as {user}.",
        )
    _CLAIM.write_text(json.dumps({"directory": str(directory), "user": os.geteuid()}), encoding="utf-8")


def release(directory: Path) -> None:
    """Give the machine's fixed addresses up."""
    if _CLAIM.exists() and json.loads(_CLAIM.read_text(encoding="utf-8"))["directory"] == str(directory):
        _CLAIM.unlink()
