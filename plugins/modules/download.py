# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file holds the documentation of an action plugin that runs on the controller: plugins/action/download.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: download
short_description: Have other projects' files on this machine, each with the right sum
version_added: 0.1.0
author: hep.sonic contributors (!UNKNOWN)
description:
  - Fetches files into the cache that M(hep.sonic.apply) takes its downloads from. What is there already is not fetched again.
  - A file that cannot be had, or is another one than it was when it was released, is an error. So a run can know before its
    first change that nothing will be missing.
extends_documentation_fragment:
  - hep.sonic.downloads
  - hep.sonic.attributes
attributes:
  check_mode:
    description: Fetches all the same; nothing but this machine's cache changes.
    support: full
"""

EXAMPLES = r"""
- name: Have the definitions before anything is changed
  hep.sonic.download:
    downloads:
      - url: https://raw.githubusercontent.com/kubernetes-sigs/gateway-api/v1.3.0/config/crd/standard/gateway.networking.k8s.io_gateways.yaml
        sha256: "{{ gateways_sha256 }}"
"""

RETURN = r"""
"""
