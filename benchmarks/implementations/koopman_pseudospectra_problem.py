"""A compression A [N, N], what leaves the span S [N, N], and a polar grid."""

import numpy as np


def problem(case):
    """A*A + S*S is the identity where the case is isometric."""
    rng = np.random.default_rng(0)
    n = case["functions"]
    both = np.linalg.qr(rng.standard_normal((2 * n, n)) + 1j * rng.standard_normal((2 * n, n)))[0]
    if not case["isometric"]:
        both = both * rng.uniform(0.5, 1.0, n)
    angle = np.linspace(0, np.pi, case["angles"])
    radius = np.linspace(0.05, 1.55, case["radii"])
    return both[:n], both[n:], radius * np.exp(1j * angle[:, None])
