# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file holds the documentation of an action plugin that runs on the controller: plugins/action/check_inventory.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: check_inventory
short_description: Check the variables of all hosts as their roles do, all at once
version_added: 0.1.0
author: hep.sonic contributors (!UNKNOWN)
description:
  - Looks at every variable with a prefix of this collection (C(sonic_), or the name of one of its roles and C(_)) that
    the inventory or the command line sets for a host of the groups C(clusters) and C(instances).
  - Reports names and nested keys that no role declares, values of the wrong type or outside the choices, and what is
    required and not set, each with its file, its hosts and the remedy; then fails.
  - A type is never coerced, because a role would use the value as it is. V("3") is no whole number.
  - An expression is evaluated with the defaults of all roles, and what comes out is checked.
  - Then asks each role of a host whether its variables go together, so that a contradiction in the last role's is found
    before the first role changes anything.
  - Ansible itself checks a role's variables only when the role starts, coerces them for that check alone, and lets
    unknown names pass.
  - Needs no cluster. One task with C(run_once) in the first play is enough.
extends_documentation_fragment:
  - hep.sonic.attributes
attributes:
  check_mode:
    description: Changes nothing in either mode.
    support: full
options: {}
"""

EXAMPLES = r"""
- name: Refuse what no role knows
  hosts: clusters:instances
  gather_facts: false
  tasks:
    - name: Check every variable of the inventory at once
      hep.sonic.check_inventory:
      run_once: true
"""

RETURN = r"""
hosts:
  description: The hosts whose variables were checked.
  returned: success
  type: list
  elements: str
  sample: [geddes, sonic-cms]
"""
