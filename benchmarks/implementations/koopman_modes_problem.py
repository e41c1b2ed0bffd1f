"""A linear system of even rank in many coordinates, and a little noise."""

import numpy as np


def snapshots(case):
    """float64[states, times + 1]."""
    rng = np.random.default_rng(0)
    pairs = case["rank"] // 2
    angle, radius = rng.uniform(0.05, 3, pairs), rng.uniform(0.995, 1.0, pairs)
    t = np.arange(case["times"] + 1)
    waves = radius[:, None] ** t * np.exp(1j * angle[:, None] * t)
    mixing = rng.standard_normal((case["states"], 2 * pairs))
    x = mixing @ np.concatenate([waves.real, waves.imag])
    return x + 1e-6 * rng.standard_normal(x.shape)


def summary(values):
    """Moduli and angles, each in order: conjugate pairs have no order of their own."""
    return np.concatenate([np.sort(np.abs(values)), np.sort(np.abs(np.angle(values)))])
