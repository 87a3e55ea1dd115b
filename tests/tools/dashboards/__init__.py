# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dashboards as data, what makes Grafana's JSON of them, and what asks a Prometheus for what they show.

`model` says what a panel is; `overview`, `models`, `gpus`, `autoscaler` and `proxy` are one dashboard each, `boards` is
all of them. `build` makes the JSON, `queries` fills in variables, `picture` draws.
"""
