# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of role variables that argument_specs check but neither fill nor convert: nested options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import SonicError
from ansible_collections.hep.sonic.plugins.plugin_utils.render import to_plain

Spec = Mapping[str, Mapping[str, Any]]

#: What a Deployment, its Service and a DNS name accept.
NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def fill(value: Any, spec: Spec, name: str, **constraints: Any) -> dict[str, Any]:
    """Return `value` with the defaults of `spec`, every option in its type.

    Args:
        value: A dictionary that an inventory gives.
        spec: Its options in the form of an Ansible argument spec.
        name: What to call the value in messages, such as ``sonic_pools[0]``.
        constraints: Further keyword arguments of ArgumentSpecValidator, such as ``required_if``.

    Raises:
        SonicError: `value` is no dictionary, or does not fit `spec`.
    """
    if not isinstance(value, Mapping):
        raise SonicError(f"{name} is {value!r}: a dictionary is wanted.", f"Its keys are {', '.join(spec)}.")
    # plain first: the validator copies what it gets, and a container of Ansible's drags all variables of the host along
    validation = ArgumentSpecValidator(dict(spec), **constraints).validate(to_plain(value))
    if validation.error_messages:
        raise SonicError(f"{name}: {'; '.join(validation.error_messages)}")
    filled: dict[str, Any] = validation.validated_parameters
    return filled


def check_name(name: str, where: str) -> None:
    """Refuse what cannot be part of the names of Kubernetes objects.

    Args:
        name: A name that an inventory gives.
        where: What to call it in messages, such as ``sonic_pools[0].name``.

    Raises:
        SonicError: It cannot.
    """
    if not NAME.fullmatch(name):
        raise SonicError(
            f"{where} is {name!r}, which no Kubernetes object can be called.", "Use small letters, digits and hyphens."
        )
