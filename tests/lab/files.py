# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing files that others may be reading."""

from __future__ import annotations

import os
import shutil
import string
from collections.abc import Mapping
from pathlib import Path

from tests.lab.settings import SOURCE


def write(file: Path, content: str | bytes, *, mode: int = 0o644) -> None:
    """Make a file have this content: in one step, and not at all if it has it already.

    Args:
        file: Where; folders above it are made.
        content: Text is written as UTF-8.
        mode: Permissions, whatever the umask.
    """
    data = content.encode() if isinstance(content, str) else content
    if file.exists() and file.read_bytes() == data and file.stat().st_mode & 0o777 == mode:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(data)
    fresh.chmod(mode)
    fresh.replace(file)


def write_config(template: str, file: Path, values: Mapping[str, str]) -> None:
    """Fill a template of `config/` and write the result."""
    write(file, string.Template((SOURCE / "config" / template).read_text(encoding="utf-8")).substitute(values))


def mirror(source: Path, target: Path) -> None:
    """Make a folder hold what another one holds, readable for everybody; folders that are there stay the same.

    Args:
        source: What to copy; Python's caches in it are left out.
        target: Where to; what `source` does not have is removed.
    """
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(0o755)
    wanted = {entry.name: entry for entry in source.iterdir() if entry.name != "__pycache__"}
    for entry in target.iterdir():
        if entry.name not in wanted:
            remove(entry)
    for name, entry in wanted.items():
        if entry.is_dir():
            mirror(entry, target / name)
        else:
            write(target / name, entry.read_bytes())


def remove(path: Path) -> None:
    """Remove a file or a folder with all in it; one that is not there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
