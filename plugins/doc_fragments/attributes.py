# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the attributes that every action of this collection shares."""

from __future__ import annotations


class ModuleDocFragment:
    """Where the actions run and how they are grouped."""

    DOCUMENTATION = r"""
options: {}
attributes:
  action:
    description: Runs in the controller's process, without a connection to the host.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: none
"""

    GROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/hep.sonic.all) in C(module_defaults) to set options of all actions of this collection.
    support: full
    membership:
      - hep.sonic.all
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Changes nothing in either mode.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""
