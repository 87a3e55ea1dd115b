# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file holds the documentation of an action plugin that runs on the controller: plugins/action/check_service.py.

from __future__ import annotations

DOCUMENTATION = r"""
module: check_service
short_description: Ask an inference service what its users will ask, and compare the answers with what is declared
version_added: 0.1.0
author: "hep.sonic contributors (!UNKNOWN)"
description:
  - Asks one endpoint, by gRPC and by HTTP, whether the server is live and ready, which models its repository has,
    for each declared model its metadata and its configuration, and for a real inference.
  - Names, datatypes, dimensions and the maximum batch size must be those declared. The values of the answer must be
    those declared, within their tolerances; where none are declared, their shapes must be right and their numbers
    finite.
  - All differences are reported at once. Nothing is changed.
  - Runs on the controller, in Ansible's own process. In check mode the service is not asked, because it may not be
    there yet.
requirements:
  - tritonclient[grpc,http] >= 2.60 (on the controller)
  - numpy (on the controller)
extends_documentation_fragment:
  - hep.sonic.access
  - hep.sonic.attributes
  - hep.sonic.attributes.group
options:
  endpoint:
    description:
      - The service's address as its users write it, C(host:port), for both protocols.
      - An IPv6 address stands in brackets.
    type: str
    required: true
  name:
    description:
      - What to call the service in messages, and in the line for CMSSW.
      - The endpoint, where it is not given.
    type: str
  via:
    description:
      - The way to the service. V(direct) connects to O(endpoint).
      - V(api) connects to a Pod behind O(service) through the API server, as C(kubectl port-forward) does, where the
        controller is not in the cluster's network; O(endpoint) is then what its users write, and its port one of the
        Service. It takes the right to create C(pods/portforward).
    type: str
    choices: [direct, api]
    default: direct
  service:
    description: The Service that O(via=api) goes to.
    type: dict
    suboptions:
      namespace:
        description: Its namespace.
        type: str
        required: true
      name:
        description: Its name.
        type: str
        required: true
  protocols:
    description: The protocols by which everything is asked.
    type: list
    elements: str
    choices: [grpc, http]
    default: [grpc, http]
  models:
    description:
      - What is declared of the models, as in the variable C(sonic_models). What is not declared is not compared.
      - Without any, only the server itself and its repository index are asked.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The model's name.
        type: str
        required: true
      required:
        description: Whether the service fails with this model. What is wrong with another is only a warning.
        type: bool
        default: true
      max_batch_size:
        description: The largest batch that the model takes; V(0) for a model without batches.
        type: int
      inputs:
        description: All inputs of the model.
        type: list
        elements: dict
        suboptions: &tensor
          name:
            description: The tensor's name.
            type: str
            required: true
          datatype:
            description: Its datatype as KServe names it, such as V(FP32).
            type: str
            required: true
          dims:
            description: The dimensions of one item, without the batch; V(-1) where the length varies.
            type: list
            elements: int
            required: true
      outputs:
        description: The outputs that clients use. The model may have more.
        type: list
        elements: dict
        suboptions: *tensor
      check:
        description: The inference that proves the model.
        type: dict
        suboptions:
          batch:
            description: Items in the request. Without meaning for a model without batches.
            type: int
            default: 1
          inputs:
            description:
              - The values of each input, as nested lists of one item (sent for each item of the batch) or of the whole
                batch.
              - "Or how to generate them: C(fill) is V(arange), V(ones), V(constant) (with C(value)) or V(random) (with
                C(seed), V(0) by default; numbers from 0 to 1); C(shape) is the shape of one item, where the dimensions
                vary."
              - An input without an entry is random, with length 1 where a dimension varies.
              - The same values are sent in every run.
            type: dict
          outputs:
            description:
              - The values wanted of an output, C(values), given as those of inputs, with the tolerances C(rtol) and
                C(atol), V(0) by default.
              - "Or C(input): the name of the input that it equals."
              - An output without an entry must have the right shape and finite numbers.
            type: dict
  tls:
    description: How to speak TLS to the service; O(ca_cert) and the like are for the API server.
    type: dict
    suboptions:
      enabled:
        description: Whether the service speaks TLS.
        type: bool
        default: true
      ca_cert:
        description: PEM file with the authorities to trust instead of the system's.
        type: path
      client_cert:
        description: PEM file with the certificate to show. Needs O(tls.client_key).
        type: path
      client_key:
        description: PEM file with its key.
        type: path
      server_name:
        description: The name that the service's certificate carries, where it is not that of O(endpoint).
        type: str
  timeout:
    description: Seconds for the whole check.
    type: int
    default: 60
  wait:
    description:
      - Ask again, until O(timeout), as long as the service or a model is just not there yet.
      - A service that answers otherwise than declared fails at once, or after O(settle).
    type: bool
    default: false
  settle:
    description:
      - Seconds for which O(wait) takes any difference for one that may pass, because servers of before a change may
        still answer.
    type: int
    default: 0
  wake:
    description:
      - Whether a service is asked that has no servers now (O(servers)). Where something scales it, that starts one, and the answer
        takes as long.
    type: bool
    default: true
  servers:
    description: Where the servers' Pods are found, to say how many are ready. Asks the API server once.
    type: dict
    suboptions:
      namespace:
        description: The namespace of the Pods.
        type: str
        required: true
      selector:
        description: Their label selector.
        type: str
        required: true
"""

EXAMPLES = r"""
- name: Ask the service for its models
  hep.sonic.check_service:
    endpoint: sonic.example.org:8001
    tls:
      enabled: true

- name: Wait for a jet tagger and check its answer
  hep.sonic.check_service:
    endpoint: 10.96.0.15:8001
    wait: true
    timeout: 120
    models:
      - name: particlenet_AK4_PT
        max_batch_size: 500
        inputs:
          - {name: pf_points, datatype: FP32, dims: [2, -1]}
          - {name: pf_mask, datatype: FP32, dims: [1, -1]}
        outputs:
          - {name: softmax__0, datatype: FP32, dims: [8]}
        check:
          batch: 2
          inputs:
            pf_points: {fill: random, seed: 1, shape: [2, 100]}
            pf_mask: {fill: ones, shape: [1, 100]}
          outputs:
            softmax__0:
              values: [0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125]
              rtol: 1.0e-4
"""

RETURN = r"""
endpoint:
  description: The address that was asked.
  returned: always
  type: str
  sample: sonic.example.org:8001
models:
  description: The declared models.
  returned: when the service was asked
  type: list
  elements: dict
  contains:
    name:
      description: The model's name.
      type: str
    ok:
      description: Whether it answered as declared by every protocol.
      type: bool
    version:
      description: The newest version that is served; empty where it is unknown.
      type: str
    answer_ms:
      description: Milliseconds of the inference by each protocol.
      type: dict
      sample: {gRPC: 3.1, HTTP: 4.4}
first_answer_ms:
  description: Milliseconds of the very first inference.
  returned: when an inference was answered
  type: float
problems:
  description: Every difference between what is declared and what was found, a sentence each.
  returned: when the service was asked
  type: list
  elements: str
servers:
  description: The number of ready servers.
  returned: when O(servers) is given
  type: int
summary:
  description: What a person is shown at the end.
  returned: when the service answers as declared, or is not woken
  type: list
  elements: str
usage:
  description: Lines to copy for C(tritonclient), C(perf_analyzer) and C(cmssw), for the first declared model.
  returned: when a declared model answered
  type: dict
"""
