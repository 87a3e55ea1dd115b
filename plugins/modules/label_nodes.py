# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file holds the documentation of an action plugin that runs on the controller: plugins/action/label_nodes.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: label_nodes
short_description: Give nodes labels, annotations and taints by rules
version_added: 0.1.0
author: hep.sonic contributors (!UNKNOWN)
description:
  - Makes the nodes of a cluster carry what rules say, and no longer what earlier rules said.
  - Owns only what it gave. Labels and annotations are server-side applied with the field manager C(hep.sonic.nodes).
    Taints are one list for all; it changes its own in it, remembers them in the annotation C(hep.sonic/taints), and
    writes the list only if nobody wrote the node meanwhile.
  - Values are texts, as Kubernetes has them. What is none, such as V(true) without quotes, is refused and not made one.
  - Nothing is written unless the rules fit the nodes and the API server accepts one change of each kind. Nodes that
    have the same, are to get the same, and whose fields belong to the same managers are of one kind.
  - One LIST of the nodes, then patches of those that differ, several at a time.
options:
  rules:
    description: What which nodes shall carry. An empty list takes away what earlier rules gave.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What messages call the rule.
        type: str
        required: true
      nodes:
        description: Which nodes; those that meet every condition. At least one is needed.
        type: dict
        required: true
        suboptions:
          names:
            description: Names, or patterns with C(*), C(?) and C([...]); one of them must match.
            type: list
            elements: str
            default: []
          match_labels:
            description: Labels that a node must have, with these values.
            type: dict
            default: {}
          match_expressions:
            description: Requirements as in a label selector of Kubernetes.
            type: list
            elements: dict
            default: []
            suboptions:
              key:
                description: The label.
                type: str
                required: true
              operator:
                description: How it is compared.
                type: str
                required: true
                choices: [In, NotIn, Exists, DoesNotExist]
              values:
                description: What it is compared with, for V(In) and V(NotIn).
                type: list
                elements: str
                default: []
          resources:
            description: Resources that a node must offer, such as C(nvidia.com/gpu).
            type: list
            elements: str
            default: []
      labels:
        description: Labels of these nodes.
        type: dict
        default: {}
      annotations:
        description: Annotations of these nodes.
        type: dict
        default: {}
      taints:
        description: Taints of these nodes.
        type: list
        elements: dict
        default: []
        suboptions:
          key:
            description: Its key.
            type: str
            required: true
          value:
            description: Its value; none by default.
            type: str
            default: ""
          effect:
            description: What it does to Pods that do not tolerate it.
            type: str
            default: NoSchedule
            choices: [NoSchedule, PreferNoSchedule, NoExecute]
  force_conflicts:
    description: Take over labels and annotations that another manager owns. Without it they are an error that names it.
    type: bool
    default: false
extends_documentation_fragment:
  - hep.sonic.access
  - hep.sonic.attributes
  - hep.sonic.attributes.group
attributes:
  check_mode:
    description: The server's own dry run of one change of each kind.
    support: full
  diff_mode:
    description: What is or shall be ours on each node that changes, and its list of taints.
    support: full
"""

EXAMPLES = r"""
- name: Label the nodes with T4s, and keep other Pods off them
  hep.sonic.label_nodes:
    rules:
      - name: t4
        nodes: {names: ["gpu-t4-*"], resources: [nvidia.com/gpu]}
        labels: {nvidia.com/gpu.product: Tesla-T4}
        taints:
          - {key: nvidia.com/gpu, value: present}
"""

RETURN = r"""
nodes:
  description: Every node, whether it was V(configured) or V(unchanged), and the labels that the rules give it.
  returned: success
  type: list
  elements: dict
  sample: [{name: gpu-t4-1, action: configured, labels: {nvidia.com/gpu.product: Tesla-T4}}]
summary:
  description: How many nodes were changed.
  returned: success
  type: str
  sample: 2 configured, 1 unchanged
"""
