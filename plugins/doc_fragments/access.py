# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the options that every action of this collection shares."""

from __future__ import annotations


class ModuleDocFragment:
    """Access to the cluster, under the names that users of kubernetes.core know."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of the kubeconfig, or its content as a dictionary.
      - Without it, and without O(host), E(KUBECONFIG) and then C(~/.kube/config) are read; inside a pod, its service
        account.
      - E(K8S_AUTH_KUBECONFIG) gives it, too.
    type: raw
  context:
    description: Name of the context in the kubeconfig; the current one by default. E(K8S_AUTH_CONTEXT) gives it, too.
    type: str
  host:
    description: URL of the API server, in place of the one in the kubeconfig. E(K8S_AUTH_HOST) gives it, too.
    type: str
  api_key:
    description: Bearer token. E(K8S_AUTH_API_KEY) gives it, too.
    type: str
  ca_cert:
    description: Path of the certificate authority's certificate. E(K8S_AUTH_SSL_CA_CERT) gives it, too.
    type: path
    aliases: [ssl_ca_cert]
  client_cert:
    description: Path of the client certificate. E(K8S_AUTH_CERT_FILE) gives it, too.
    type: path
    aliases: [cert_file]
  client_key:
    description: Path of the client certificate's key. E(K8S_AUTH_KEY_FILE) gives it, too.
    type: path
    aliases: [key_file]
  validate_certs:
    description:
      - Whether the API server's certificate is verified; by default what the kubeconfig says.
      - E(K8S_AUTH_VERIFY_SSL) gives it, too.
    type: bool
    aliases: [verify_ssl]
  proxy:
    description: URL of an HTTP or SOCKS proxy. E(K8S_AUTH_PROXY) gives it, too.
    type: str
  no_proxy:
    description: Comma-separated hosts that are reached without the proxy. E(K8S_AUTH_NO_PROXY) gives it, too.
    type: str
  impersonate_user:
    description: User to act as. E(K8S_AUTH_IMPERSONATE_USER) gives it, too.
    type: str
  impersonate_groups:
    description: Groups to act as. E(K8S_AUTH_IMPERSONATE_GROUPS) gives them, too, separated by commas.
    type: list
    elements: str
requirements:
  - kubernetes >= 31.0.0
"""
