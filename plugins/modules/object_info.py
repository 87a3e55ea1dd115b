# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file holds the documentation of an action plugin that runs on the controller: plugins/action/object_info.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: object_info
short_description: Read the objects of a kind
version_added: 0.1.0
author: hep.sonic contributors (!UNKNOWN)
description:
  - Returns what a cluster has of a kind, and whether it knows the kind at all.
  - The values of Secrets are left out.
options:
  api_version:
    description: The group and version of the kind.
    type: str
    default: v1
  kind:
    description: The kind.
    type: str
    required: true
  namespace:
    description: The namespace; all by default.
    type: str
    default: ""
  name:
    description: The name of the one object that is wanted; all by default.
    type: str
    default: ""
  label_selector:
    description: A label selector that the objects must match, where no O(name) is given.
    type: str
    default: ""
  objects:
    description:
      - Whether to read the objects. With V(false) only RV(known) tells something, for which everybody has the right.
    type: bool
    default: true
extends_documentation_fragment:
  - hep.sonic.access
  - hep.sonic.attributes
  - hep.sonic.attributes.group
  - hep.sonic.attributes.info
"""

EXAMPLES = r"""
- name: Find what KEDA scales
  hep.sonic.object_info:
    api_version: keda.sh/v1alpha1
    kind: ScaledObject
  register: scaled

- name: Say it
  ansible.builtin.debug:
    msg: "{{ scaled.objects | map(attribute='metadata.name') | list }}"
  when: scaled.known
"""

RETURN = r"""
known:
  description: Whether the cluster knows the kind.
  returned: success
  type: bool
objects:
  description: The objects as the API server has them, without C(managedFields).
  returned: success
  type: list
  elements: dict
"""
