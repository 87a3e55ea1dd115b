# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the options of actions that take other projects' files."""

from __future__ import annotations


class ModuleDocFragment:
    """Which files, and where they are taken from."""

    DOCUMENTATION = r"""
options:
  downloads:
    description:
      - Files of other projects, each as it was released. M(hep.sonic.apply) applies the objects in them as they are, as YAML that is no template.
      - Nothing is applied unless every sum is right. What was downloaded once is kept on this machine.
    type: list
    elements: dict
    default: []
    suboptions:
      url:
        description: Where the file was released.
        type: str
        required: true
      sha256:
        description: Its SHA-256 sum, in hexadecimal digits.
        type: str
        required: true
  mirrors:
    description:
      - Where O(downloads) are taken from instead, for sites that do not reach the internet. The beginning of URLs, and what takes its
        place, the beginning of other URLs or the path of a folder. The longest one that fits counts.
    type: dict
    default: {}
"""
