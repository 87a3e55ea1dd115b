# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one exception that the lab raises for what a person can put right."""

from __future__ import annotations


class LabError(Exception):
    """What went wrong, with what was seen, and what to do about it.

    Args:
        message: What is wrong, as a sentence without a full stop.
        remedy: What the reader should do; empty if the message says it all.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}. {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy
