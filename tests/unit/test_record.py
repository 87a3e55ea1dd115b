# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a picture of a terminal leaves out."""

from __future__ import annotations

from typing import Final

from tests.tools.record import abridge

OUTPUT: Final = """
Deploying ...

PLAY [Deploy the services] ****

TASK [Check the variables] ****
\x1b[0;32mok: [lab]\x1b[0m

TASK [Look] ****
\x1b[0;36mskipping: [lab]\x1b[0m

TASK [Apply] ****
  release triton: 6 created
\x1b[0;33mchanged: [lab]\x1b[0m

PLAY RECAP ****
lab : ok=2

  done in 3 s

And more ...
"""


def test_tasks_that_tell_nothing_are_left_out() -> None:
    shown = abridge(OUTPUT)
    assert "Check the variables" not in shown
    assert "[Look]" not in shown
    assert "TASK [Apply] ****\n  release triton: 6 created" in shown
    assert "PLAY RECAP ****\nlab : ok=2" in shown
    assert "And more" in shown


def test_it_ends_before_the_line_that_is_named() -> None:
    assert abridge(OUTPUT, "And more").rstrip().endswith("done in 3 s")
