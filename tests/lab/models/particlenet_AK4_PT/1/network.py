# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small ParticleNet: one edge convolution over the particles and secondary vertices of a jet.

It needs numpy only, so that a client can compute the very answer that the server must give. Everything is computed in
double precision and rounded once at the end: whatever order a linear-algebra library adds in, the single-precision
scores come out the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SEED = 4  # of the weights; AK4
CLASSES = 8
NEIGHBOURS = 8
WIDTH = 16
_JETS_AT_ONCE = 32  # bounds the memory of a batch of 500: each jet needs about 0.3 MB for its edges


class Weights(NamedTuple):
    """What the network has "learned".

    Attributes:
        particle: From a particle's 20 features to `WIDTH`.
        vertex: From a secondary vertex' 11 features to `WIDTH`.
        edge: From an edge (a node, and the difference to its neighbour) to `WIDTH`.
        head: From a jet to its classes.
    """

    particle: Array
    vertex: Array
    edge: Array
    head: Array


def make_weights(seed: int = SEED) -> Weights:
    """Return weights drawn from a normal distribution, scaled so that signals neither vanish nor grow."""
    # RandomState, not default_rng: numpy promises that its numbers never change
    draw = np.random.RandomState(seed)

    def layer(outputs: int, inputs: int) -> Array:
        return draw.standard_normal((outputs, inputs)) / np.sqrt(inputs)

    return Weights(
        particle=layer(WIDTH, 20), vertex=layer(WIDTH, 11), edge=layer(WIDTH, 2 * WIDTH), head=layer(CLASSES, WIDTH)
    )


WEIGHTS = make_weights()


def scores(
    pf_points: NDArray[np.float32],
    pf_features: NDArray[np.float32],
    pf_mask: NDArray[np.float32],
    sv_points: NDArray[np.float32],
    sv_features: NDArray[np.float32],
    sv_mask: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the class scores of a batch of jets.

    Args:
        pf_points: (jets, 2, particles), distances to the jet's axis in eta and phi.
        pf_features: (jets, 20, particles).
        pf_mask: (jets, 1, particles), 1 for a particle and 0 for padding.
        sv_points: As `pf_points`, of the secondary vertices.
        sv_features: (jets, 11, vertices).
        sv_mask: As `pf_mask`, of the secondary vertices.

    Returns:
        (jets, 8), each row adding up to 1.
    """
    points = np.concatenate([pf_points, sv_points], axis=2, dtype=np.float64)
    mask = np.concatenate([pf_mask, sv_mask], axis=2, dtype=np.float64)
    nodes = mask * np.concatenate(
        [
            _relu(WEIGHTS.particle @ pf_features.astype(np.float64)),
            _relu(WEIGHTS.vertex @ sv_features.astype(np.float64)),
        ],
        axis=2,
    )
    jets = [
        _pool(nodes[part] + _edge_convolution(points[part], nodes[part], mask[part]), mask[part])
        for part in (slice(first, first + _JETS_AT_ONCE) for first in range(0, len(points), _JETS_AT_ONCE))
    ]
    return _softmax(np.concatenate(jets) @ WEIGHTS.head.T).astype(np.float32)


def _edge_convolution(points: Array, nodes: Array, mask: Array) -> Array:
    """Return for each node the mean over the edges to its nearest neighbours, itself among them."""
    neighbours = _nearest(points, mask)  # (jets, nodes, k)
    jet = np.arange(len(points))[:, None, None]
    own = nodes.transpose(0, 2, 1)[:, :, None, :]  # (jets, nodes, 1, width)
    other = nodes.transpose(0, 2, 1)[jet, neighbours]  # (jets, nodes, k, width)
    edges = np.concatenate([np.broadcast_to(own, other.shape), other - own], axis=3)
    weights = mask[:, 0][jet, neighbours][..., None]
    messages = weights * _relu(edges @ WEIGHTS.edge.T)
    mean = messages.sum(axis=2) / np.maximum(weights.sum(axis=2), 1)
    return mean.transpose(0, 2, 1)


def _nearest(points: Array, mask: Array) -> NDArray[np.intp]:
    """Return the indices of the nearest nodes of each node; padding is farther away than anything."""
    difference = points[:, :, :, None] - points[:, :, None, :]
    distance = np.where(mask[:, :, None, :].squeeze(1) > 0, (difference**2).sum(axis=1), np.inf)
    # stable: equal distances are resolved in the same way everywhere
    return np.argsort(distance, axis=2, kind="stable")[:, :, :NEIGHBOURS]


def _pool(nodes: Array, mask: Array) -> Array:
    """Return the mean over a jet's nodes, padding left out."""
    return (mask * nodes).sum(axis=2) / np.maximum(mask.sum(axis=2), 1)


def _relu(values: Array) -> Array:
    return np.maximum(values, 0)


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
