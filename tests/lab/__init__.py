# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real Kubernetes cluster on one Linux machine, for tests and for trying things: `python -m tests.lab --help`.

`docs/lab.md` is its manual. Reading order of the modules: `cli`, `lab` (what `up` and `down` do, in their order),
`control` and `node` (what runs), then the tools below them.
"""
