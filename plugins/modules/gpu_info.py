# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file holds the documentation of an action plugin that runs on the controller: plugins/action/gpu_info.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
short_description: Tell which GPUs a cluster has
version_added: 0.1.0
author: hep.sonic contributors (!UNKNOWN)
description:
  - Returns the nodes with GPUs, what they offer, which namespaces use it and what is unhealthy, and shows it as a table.
  - Needs the right to list nodes and, for O(users), Pods of all namespaces.
options:
  resources:
    description: The resources that are GPUs, by name or pattern.
    type: list
    elements: str
    default: ["nvidia.com/gpu*", "nvidia.com/mig-*"]
  label_selector:
    description: Labels of the nodes that are meant; all nodes by default.
    type: dict
    default: {}
  planned_labels:
    description: What nodes are about to be labelled with, by the names of the nodes; O(label_selector) counts it as there.
    type: dict
    default: {}
  expected:
    description: Whether these nodes should offer GPUs by now. A warning names those that are ready and do not.
    type: bool
    default: false
  products:
    description:
      - Products that somebody is going to ask for, each as a list of the names that will do. A warning tells of which no node has any.
    type: list
    elements: list
    default: []
  wait_timeout:
    description: Seconds to wait until each of the nodes that is ready offers a GPU. The task fails if none does then.
    type: int
    default: 0
  users:
    description:
      - Whether to find out who uses the GPUs. On a large cluster that takes a list of many thousand Pods.
      - Without it, only RV(products) is returned, and no table is shown.
    type: bool
    default: true
  table:
    description: Whether to show the table.
    type: bool
    default: true
extends_documentation_fragment:
  - hep.sonic.access
  - hep.sonic.attributes
  - hep.sonic.attributes.group
  - hep.sonic.attributes.info
"""

EXAMPLES = r"""
- name: Look at the GPUs
  hep.sonic.gpu_info:
  register: gpus

- name: Name the nodes that have an unhealthy one
  ansible.builtin.debug:
    msg: "{{ gpus.nodes | selectattr('suspects') | map(attribute='name') | list }}"
"""

RETURN = r"""
nodes:
  description: The nodes that offer a GPU or have a label with a product, by name.
  returned: with O(users)
  type: list
  elements: dict
  contains:
    name:
      description: The node's name.
      type: str
    ready:
      description: Whether it is ready and may get Pods.
      type: bool
    product:
      description: What its labels call the GPUs; empty without such a label.
      type: str
    gpus:
      description: How many there are by its labels; 0 without such a label.
      type: int
    memory_mib:
      description: Memory of each GPU by its labels; 0 without such a label.
      type: int
    sharing:
      description: How Pods share a GPU, as V(none), V(time-slicing) or V(mps).
      type: str
    replicas:
      description: How many Pods share one.
      type: int
    resources:
      description: For each resource, C(capacity), C(allocatable), C(used), C(free) and C(unhealthy).
      type: dict
    users:
      description: How many each namespace has.
      type: dict
    offers:
      description: Whether Pods may have any of its GPUs.
      type: bool
    suspects:
      description:
        - How many GPUs are unhealthy, or may be.
        - With GPUs shared by time, version 0.19.0 of NVIDIA's device plugin takes only one replica of an unhealthy GPU away and
          hands the others out.
      type: int
products:
  description: How many nodes have each product.
  returned: success
  type: dict
"""
