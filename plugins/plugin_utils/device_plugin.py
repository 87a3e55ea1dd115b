# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configurations of NVIDIA's device plugin: named sets, and which nodes each is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.options import Spec, check_name, fill

#: The label by which a node chooses its configuration; NVIDIA's own charts read the same.
LABEL: Final = "nvidia.com/device-plugin.config"
#: The options of a configuration; the role ``nvidia_device_plugin`` documents them.
CONFIG_SPEC: Final[Spec] = {
    "name": {"type": "str", "required": True},
    "mig_strategy": {"type": "str", "choices": ["none", "single", "mixed"], "default": "none"},
    "time_slicing": {
        "type": "dict",
        "options": {
            "replicas": {"type": "int", "required": True},
            "rename": {"type": "bool", "default": False},
            "fail_requests_greater_than_one": {"type": "bool", "default": True},
        },
    },
    "mps": {
        "type": "dict",
        "options": {
            "replicas": {"type": "int", "required": True},
            "rename": {"type": "bool", "default": False},
        },
    },
    "resources": {"type": "list", "elements": "str", "default": ["nvidia.com/gpu"]},
}
#: The least number of Pods that share something.
LEAST_REPLICAS: Final = 2

Config = dict[str, Any]


def device_plugin_sets(configs: Sequence[Any], default: str, name: str) -> list[Config]:
    """Return what the DaemonSet of each configuration needs.

    Args:
        configs: The configurations.
        default: Which of them nodes have that choose none, or one that there is not.
        name: The variable that they come from, for messages.

    Returns:
        For each, ``name``, ``file`` (the device plugin's own configuration, version v1), ``sharing`` (``none``,
        ``time-slicing`` or ``mps``), ``renames`` (whether what is shared has a name of its own), ``mig`` (whether it
        looks into GPUs) and ``expression`` (the requirement that its nodes meet).

    Raises:
        SonicError: One does not fit its options or contradicts itself, two have one name, or there is no default.
    """
    filled = [_fill(config, f"{name}[{index}]") for index, config in enumerate(configs)]
    names = [config["name"] for config in filled]
    for repeated in [one for one, count in Counter(names).items() if count > 1]:
        raise SonicError(f"{name} has several configurations named {repeated}.", "Give each a name of its own.")
    if default not in names:
        raise SonicError(f"{name} has no configuration named {default}: {', '.join(names) or 'it is empty'}.")
    others = [one for one in names if one != default]
    chosen = {one: {"key": LABEL, "operator": "In", "values": [one]} for one in others}
    rest = {"key": LABEL, "operator": "NotIn", "values": others} if others else None
    return [
        {
            "name": config["name"],
            "file": _file(config),
            "sharing": _sharing(config),
            "renames": _renames(config),
            "mig": config["mig_strategy"] != "none",
            "expression": chosen.get(config["name"], rest),
        }
        for config in filled
    ]


def _fill(config: Any, where: str) -> Config:
    filled = fill(config, CONFIG_SPEC, where)
    check_name(filled["name"], f"{where}.name")
    if filled["time_slicing"] and filled["mps"]:
        raise SonicError(
            f"{where} ({filled['name']}) has time_slicing and mps: a GPU is shared in one way.",
            "Leave one of them out.",
        )
    for option in ("time_slicing", "mps"):
        if filled[option] and filled[option]["replicas"] < LEAST_REPLICAS:
            raise SonicError(
                f"{where}.{option}.replicas is {filled[option]['replicas']}: it must be at least {LEAST_REPLICAS}.",
                f"Raise it, or leave {option} out.",
            )
    if filled["mps"] and filled["mig_strategy"] == "mixed":
        raise SonicError(
            f"{where} ({filled['name']}) has mps with mig_strategy mixed, which the device plugin refuses.",
            "Use mig_strategy none or single.",
        )
    return filled


def _sharing(config: Config) -> str:
    return "mps" if config["mps"] else "time-slicing" if config["time_slicing"] else "none"


def _renames(config: Config) -> bool:
    shared = config["time_slicing"] or config["mps"]
    return bool(shared and shared["rename"])


def _file(config: Config) -> Config:
    """Return a configuration as the device plugin reads it."""
    file: Config = {"version": "v1", "flags": {"migStrategy": config["mig_strategy"]}}
    for option, key in (("time_slicing", "timeSlicing"), ("mps", "mps")):
        if shared := config[option]:
            file["sharing"] = {
                key: {
                    "renameByDefault": shared["rename"],
                    # with MPS, one Pod that asked for several would get parts of one GPU all the same
                    "failRequestsGreaterThanOne": shared.get("fail_requests_greater_than_one", True),
                    "resources": [
                        {"name": resource, "replicas": shared["replicas"]} for resource in config["resources"]
                    ],
                }
            }
    return file
