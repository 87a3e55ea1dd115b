# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the collection known to Ansible, which finds filters and lookups in it by their full names."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.loader import init_plugin_loader

# Before anything imports the collection: afterwards Python would already have made a plain package of it.
init_plugin_loader([str(Path(__file__).resolve().parents[1] / ".collections")])
