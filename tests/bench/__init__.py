# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Figures as ratios: what is compared is measured side by side in one run."""

import sys

from tests.tools.common import ROOT

# plugins import each other by their full names, as Ansible finds them
sys.path.append(str(ROOT / ".collections"))
