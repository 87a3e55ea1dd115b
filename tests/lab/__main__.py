"""Entry point of `python -m tests.lab`."""

from __future__ import annotations

import sys

from tests.lab.cli import main

sys.exit(main())
