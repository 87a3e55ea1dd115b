# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action ``hep.sonic.apply``, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apply
short_description: Apply a set of Kubernetes objects as one release
version_added: 0.1.0
author:
  - The hep.sonic contributors (@hep-sonic)
description:
  - Makes a cluster have exactly the given objects, by server-side apply with the field manager C(hep.sonic).
  - One task does it all. It plans with the API server's own dry run, patches only what differs, waits for
    everything together,
    prunes what is no longer in the set, and records the set as a numbered revision.
  - Nothing is written unless the API server accepts the whole set, including a Pod of each pod template that changes.
  - An unchanged set costs one request for each object and one for each kind, and writes nothing.
options:
  release:
    description:
      - Name of the release, unique in its O(namespace).
      - It names the parent Secret C(sonic-release-<release>), which says what the release holds as an ApplySet
        does, the Lease
        that lets one run at a time change it, and the revisions C(sonic-release-<release>.v<number>).
    type: str
    required: true
  namespace:
    description: The release's home, and the namespace of every object that names none.
    type: str
    required: true
  instance:
    description: Value of the label C(app.kubernetes.io/part-of) on every object; the release's name by default.
    type: str
  state:
    description:
      - With V(present) the set is applied.
      - With V(absent) every object of the release is removed, and what describes the release; protected kinds as
        O(prune_protected) says.
    type: str
    choices: [present, absent]
    default: present
  manifests:
    description:
      - Files of the role's folder C(manifests/), each with one object. Values are expressions that keep their
        type; a key whose
        value is C(omit) is left out, at any depth.
      - An element is a file name, or a dictionary with C(src), and any of C(for_each) (a list, for each of whose
        elements the
        object is made), C(as) (the variable that holds the element, C(item) by default) and C(when) (false leaves
          it out).
    type: list
    elements: raw
    default: []
  objects:
    description: Objects given directly, besides O(manifests).
    type: list
    elements: dict
    default: []
  initial:
    description:
      - Fields that are set when their object is created and belong to somebody else afterwards, such as
        C(spec.replicas) of a
        Deployment that an autoscaler scales, a generated password, or the size of a claim.
      - A field that becomes one of these is handed over at its live value; one that its object lacks is set.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description: Kind of the objects.
        type: str
        required: true
      name:
        description: Name of the one object that is meant; all of the kind by default.
        type: str
      fields:
        description:
          - The fields, each with dots between its keys, or as a list of keys where a key holds dots itself, such as
            C([data, tls.key]).
        type: list
        elements: raw
        required: true
  planned:
    description: What an earlier task of the same run brings, so that check mode works before it is there.
    type: dict
    default: {}
    suboptions:
      namespaces:
        description: Names of namespaces.
        type: list
        elements: str
        default: []
      kinds:
        description: Kinds as C(group/Kind), such as C(keda.sh/ScaledObject).
        type: list
        elements: str
        default: []
  adopt:
    description: Take over objects that exist and are not the release's. Without it they are an error that says
      whose they are.
    type: bool
    default: false
  prune:
    description: Remove the release's objects that are no longer in the set, after everything in it is ready.
    type: bool
    default: true
  prune_protected:
    description: Remove claims, persistent volumes, CRDs and namespaces, too, which lose data or hold what others
      put inside.
    type: bool
    default: false
  force_conflicts:
    description: Take over fields that another field manager owns. Without it they are an error that names the
      manager.
    type: bool
    default: false
  dry_run_first:
    description:
      - Let the API server check the whole set before the first write.
      - Without it each object is sent once, and what comes before a refused one stays written.
    type: bool
    default: true
  wait:
    description:
      - Wait until everything of the set is ready, and what is removed is gone.
      - Deployments, StatefulSets, DaemonSets, Jobs, Pods, claims, CRDs, APIServices and Services of type
        LoadBalancer are known;
        any other object is ready when its condition C(Ready), C(Available) or C(Established) says so, or when it
          has none.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most; also for another run that changes the same release.
    type: int
    default: 600
  failure_grace:
    description:
      - Seconds after which a pod that cannot start (no such image, a crash loop, no node for it, a full quota)
        ends the waiting.
      - Raise it where nodes appear on demand; V(0) waits for O(wait_timeout) in any case.
    type: int
    default: 20
  history_limit:
    description: Revisions that are kept.
    type: int
    default: 10
extends_documentation_fragment:
  - hep.sonic.downloads
  - hep.sonic.access
  - hep.sonic.attributes
  - hep.sonic.attributes.group
attributes:
  check_mode:
    description: Asks the API server for a dry run, admission included, and writes nothing.
    support: full
  diff_mode:
    description: Shows each object that changes before and after; values of Secrets are masked.
    support: full
"""

EXAMPLES = r"""
- name: Apply the objects of a role
  hep.sonic.apply:
    release: sonic-cms-envoy
    namespace: sonic
    manifests:
      - configmap.yml
      - deployment.yml
      - {src: service.yml, for_each: "{{ envoy_pools }}", as: pool}
      - {src: ingress.yml, when: "{{ envoy_exposure.mode == 'ingress' }}"}

- name: Apply an object given in the playbook, keeping what an autoscaler sets
  hep.sonic.apply:
    release: web
    namespace: default
    objects: "{{ my_objects }}"
    initial:
      - kind: Deployment
        fields: [spec.replicas]

- name: Apply another project's definitions
  hep.sonic.apply:
    release: gateway-api
    namespace: default
    downloads:
      - url: https://raw.githubusercontent.com/kubernetes-sigs/gateway-api/v1.3.0/config/crd/standard/gateway.networking.k8s.io_gateways.yaml
        sha256: "{{ gateways_sha256 }}"
    mirrors:
      https://raw.githubusercontent.com/: https://mirror.example.org/github/

- name: Remove a release
  hep.sonic.apply:
    release: web
    namespace: default
    state: absent
"""

RETURN = r"""
objects:
  description: What happened to each object, or would happen.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: Its kind.
      type: str
      sample: Deployment
    namespace:
      description: Its namespace; empty where it has none.
      type: str
      sample: sonic
    name:
      description: Its name.
      type: str
      sample: sonic-cms-envoy
    action:
      description: V(created), V(configured), V(unchanged), V(deleted), or V(kept) for what is no longer in the set
        but protected, or became somebody else's while the run lasted.
      type: str
      sample: configured
summary:
  description: How many objects had each action.
  returned: success
  type: str
  sample: 1 configured, 5 unchanged
revision:
  description: Number of the recorded revision that the cluster has afterwards; 0 for none.
  returned: success
  type: int
  sample: 3
diff:
  description: Both states of each object that changes, under C(--diff).
  returned: in diff mode
  type: list
  elements: dict
"""
