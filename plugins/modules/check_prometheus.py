# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file holds the documentation of an action plugin that runs on the controller: plugins/action/check_prometheus.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: check_prometheus
short_description: Ask a site's Prometheus a query
version_added: 0.1.0
author: hep.sonic contributors (!UNKNOWN)
description:
  - Asks the HTTP API of a Prometheus, or of what speaks like one, a query that needs no metrics.
  - What cannot be reached, is not trusted, does not let us in or is no Prometheus is an error, which names the variable of the role
    C(monitoring) that is to be corrected, and never what lets us in.
extends_documentation_fragment:
  - hep.sonic.attributes
  - hep.sonic.attributes.info
options:
  url:
    description: Its address, with the path before C(/api/v1) where there is one. Redirections are not followed.
    type: str
    required: true
  ca:
    description: The authority that its certificate is signed by, as text in PEM. By default those that this machine trusts.
    type: str
  token:
    description: A bearer token. Excludes O(username).
    type: str
  username:
    description: The name to log in with. Needs O(password).
    type: str
  password:
    description: The password of O(username).
    type: str
"""

EXAMPLES = r"""
- name: Ask the site's Prometheus before anything is changed
  hep.sonic.check_prometheus:
    url: https://example.org/prometheus
    ca: "{{ lookup('ansible.builtin.file', 'ca.pem') }}"
    token: "{{ vault_prometheus_token }}"
"""

RETURN = r"""
"""
