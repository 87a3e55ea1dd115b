# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a value comes from: Ansible's tags, read in this one place as their modules are internal to ansible-core."""

from __future__ import annotations

import os
from typing import Any

from ansible.parsing.vault import VaultHelper

try:
    from ansible._internal._datatag._tags import Origin
except ImportError:  # moved in some later ansible-core: messages lose the file's name, nothing else
    Origin = None


def origin_of(value: Any) -> str:
    """Return ``file:line`` of `value` or the option that set it; "" where unknown.

    The file is relative to the working directory where it lies below.
    """
    tag = Origin.get_tag(value) if Origin else None
    if tag is None or not tag.path:
        return tag.description or "" if tag else ""
    relative = os.path.relpath(tag.path)
    path = tag.path if relative.startswith("..") else relative
    return f"{path}:{tag.line_num}" if tag.line_num else path


def is_vaulted(value: Any) -> bool:
    """Return whether `value` came out of Ansible Vault, so that no message may repeat it."""
    return VaultHelper.get_ciphertext(value, with_tags=False) is not None
