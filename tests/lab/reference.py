# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the lab's models must answer, computed by the very code that they run."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.lab.settings import SOURCE

#: Relative difference that is still "the same" for a score: one rounding to single precision.
SCORE_TOLERANCE = 1e-6


def particlenet_ak4(inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return `softmax__0` for the inputs of `particlenet_AK4_PT`.

    Args:
        inputs: The six tensors by the names that the model gives them, each with the batch as its first dimension.

    Returns:
        Scores of the shape (batch, 8).
    """
    # a client's name for a tensor is the network's, with the position that libtorch wants behind it
    scores: NDArray[np.float32] = _network().scores(
        **{name.rpartition("__")[0]: values for name, values in inputs.items()}
    )
    return scores


def jets(count: int, *, particles: int = 100, vertices: int = 10, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return a batch of made-up jets, the last fifth of each being padding.

    Args:
        count: Size of the batch.
        particles: Particles in each jet.
        vertices: Secondary vertices in each jet.
        seed: Another one gives other jets.
    """
    draw = np.random.default_rng(seed)

    def tensor(channels: int, length: int) -> NDArray[np.float32]:
        return draw.standard_normal((count, channels, length)).astype(np.float32)

    def mask(length: int) -> NDArray[np.float32]:
        return np.broadcast_to(np.arange(length) < 0.8 * length, (count, 1, length)).astype(np.float32)

    return {
        "pf_points__0": tensor(2, particles),
        "pf_features__1": tensor(20, particles),
        "pf_mask__2": mask(particles),
        "sv_points__3": tensor(2, vertices),
        "sv_features__4": tensor(11, vertices),
        "sv_mask__5": mask(vertices),
    }


@cache
def _network() -> Any:
    path = SOURCE / "models" / "particlenet_AK4_PT" / "1" / "network.py"
    spec = importlib.util.spec_from_file_location("hep_sonic_particlenet_ak4", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path}")
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
