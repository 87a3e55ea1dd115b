# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a value was written: Ansible's origin tags, read in this one place because their module is internal to ansible-core."""

from __future__ import annotations

import os
from typing import Any

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:  # moved in some later ansible-core: messages lose the file's name, nothing else
    Origin = None


def origin_of(value: Any) -> str:
    """Return ``file:line`` of `value`, relative to the working directory where that is shorter; "" where unknown."""
    tag = Origin.get_tag(value) if Origin else None
    if tag is None or not tag.path:
        return ""
    path = min(tag.path, os.path.relpath(tag.path), key=len)
    return f"{path}:{tag.line_num}" if tag.line_num else path
