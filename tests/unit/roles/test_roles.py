# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each file beside this one, ``<role>/<case>.yml``, is a test.

A case sets ``variables`` and says what must come of them: ``expect``, objects or parts of objects, and ``absent``,
kinds, or kinds with a name, that must not be there; or ``error``, a part of the message. It may name another
``entry_point`` than ``main``. ``host`` is what else a `Role` takes. See `differences` for what a part is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.roles.harness import Role, RoleError, differences

FOLDER = Path(__file__).parent
CASES = sorted(FOLDER.glob("*/*.yml"))

every_case = pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")


@every_case
def test_variables_become_objects(path: Path) -> None:
    case: dict[str, Any] = yaml.safe_load(path.read_text())
    role = Role(
        path.parent.name, case["variables"], **case.get("host", {}), entry_point=case.get("entry_point", "main")
    )
    if "error" in case:
        with pytest.raises(RoleError) as caught:
            role.objects()
        assert case["error"] in str(caught.value)
        return
    objects = {f"{obj['kind']} {obj['metadata']['name']}": obj for obj in role.objects()}
    found: list[str] = []
    for part in case.get("expect", []):
        name = f"{part['kind']} {part['metadata']['name']}"
        found += (
            differences(part, objects[name], name) if name in objects else [f"{name}: there is {', '.join(objects)}"]
        )
    assert found == []
    assert {
        kind for kind in case.get("absent", []) if any(f"{name} ".startswith(f"{kind} ") for name in objects)
    } == set()
