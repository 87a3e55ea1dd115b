# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Entry point of `python -m tests.lab`."""

from __future__ import annotations

import sys

try:
    from tests.lab.cli import main
except ModuleNotFoundError as error:
    sys.exit(f"error: this Python has no {error.name}. Run `make venv`, then `.venv/bin/python -m tests.lab`.")

sys.exit(main())
