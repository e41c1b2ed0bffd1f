"""Two clouds of uniform points in the unit square, squared distances, equal masses."""

import numpy as np


def problem(case):
    """C, r, c and eps, `share` times the median cost."""
    rng = np.random.default_rng(42)
    n = case["n"]
    x, y = rng.random((n, 2)), rng.random((n, 2))
    C = ((x[:, None] - y[None]) ** 2).sum(axis=2)
    mass = np.full(n, 1 / n)
    return C, mass, mass.copy(), case["share"] * float(np.median(C))
