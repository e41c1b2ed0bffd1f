"""The network and the points of every implementation, in float32."""

from itertools import pairwise

import numpy as np


def start(case):
    """Weights (out, in) and biases of every layer, and points (N, d)."""
    rng = np.random.default_rng(0)
    sizes = case["sizes"]
    layers = [
        (
            (rng.standard_normal((outer, inner)) * np.sqrt(2 / inner)).astype(np.float32),
            (0.1 * rng.standard_normal(outer)).astype(np.float32),
        )
        for inner, outer in pairwise(sizes)
    ]
    return layers, rng.standard_normal((case["points"], sizes[0])).astype(np.float32)
