# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects of the cluster: `lookup("objects", "v1", "Pod", namespace=..., labels=..., kubeconfig=...)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.hep.sonic.plugins.plugin_utils.client import Access, Cluster


class LookupModule(LookupBase):  # type: ignore[misc]
    """Lists the objects of a kind."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **options: str) -> list[Any]:
        del variables
        api_version, kind = terms
        with Cluster(Access(kubeconfig=options["kubeconfig"])) as cluster:
            resource = cluster.resource(api_version, kind)
            if resource is None:
                raise AnsibleError(f"the cluster knows no {kind} of {api_version}")
            return cluster.list(resource, options.get("namespace", ""), labels=options.get("labels"))
