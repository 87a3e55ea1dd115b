# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The images that the lab's pods are made of: built once, and again when a recipe or an ingredient changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tests.lab import files, programs
from tests.lab.oci import Layout
from tests.lab.progress import Progress
from tests.lab.recipes import PROGRAM_IMAGES, RECIPES
from tests.lab.settings import SOURCE, home, versions


def layout(name: str) -> Layout:
    """Return where an image lies once it is built."""
    return Layout(home() / "images" / name)


def ensure(names: Iterable[str], progress: Progress) -> None:
    """Build what is missing or was built from other ingredients.

    Raises:
        LabError: A build failed.
    """
    for name in names:
        if not _is_current(name):
            with progress.step(f"building image {name}"):
                _build(name)


def _is_current(name: str) -> bool:
    stamp = _stamp(name)
    return stamp.exists() and stamp.read_text(encoding="ascii") == _inputs(name)


def _stamp(name: str) -> Path:
    return home() / "images" / name / "inputs"


def _inputs(name: str) -> str:
    """Return a checksum of all that decides what a build makes, but for Debian's updates: an image is built once."""
    digest = hashlib.sha256(f"{name} {versions().debian} {versions().python} {versions().wheels}".encode())
    ingredients = [SOURCE / "recipes.py", SOURCE / "oci.py", *sorted((SOURCE / "ingredients").iterdir())]
    if name in PROGRAM_IMAGES:
        for program in PROGRAM_IMAGES[name].programs:
            digest.update(programs.inputs(program).encode())
    for file in ingredients:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _build(name: str) -> None:
    work = home() / "images" / f".{name}"
    files.remove(work)
    work.mkdir(parents=True)
    layers, config = RECIPES[name](work)
    layout(name).write(layers, config)
    files.write(_stamp(name), _inputs(name))
    files.remove(work)
