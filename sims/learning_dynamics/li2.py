"""Hidden units of a network for modular addition, each climbing its energy on the sphere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from lemmata.problems.learning_dynamics import check_ascent, real_arrays

__all__ = ["energy_ascent"]


def energy_ascent(w: Any, *, steps: int) -> np.ndarray:
    """Projected gradient ascent of ``E(w) = |Y^T (X w)^2|^2 / 2`` on the unit sphere, from each start.

    ``w <- (w + grad E(w) / M)`` divided by its length. Inputs X and centred targets Y are those of `Addition`: with
    w = (u, v), ``Y^T (X w)^2`` is twice the cyclic convolution of u and v, less its mean.

    Parameters
    ----------
    w : float64[B, 2 M]
        Of any length > 0.
    steps : int

    Returns
    -------
    float64[B, 2 M]
        Unit vectors. Memory: this, and M numbers a thread.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, TypeError
    """
    (found,) = real_arrays(w=w)
    check_ascent(found, steps)
    largest = abs(found).max(axis=1, keepdims=True)
    found /= largest / (2 * np.frexp(largest)[0])  # powers of two: exact, and squares cannot over- or underflow
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    _climb(found, steps)
    return found


@njit(cache=True, parallel=True)
def _climb(w, steps):  # type: ignore[no-untyped-def]
    M = w.shape[1] // 2
    for p in prange(w.shape[0]):
        b = np.int64(p)  # prange counts in uint64
        sums, slope = np.empty(M), np.empty(2 * M)
        for _ in range(steps):
            mean = 0.0
            for c in range(M):
                sums[c] = 0.0
                for a in range(M):
                    sums[c] += 2.0 * w[b, a] * w[b, M + (c - a) % M]
                mean += sums[c] / M
            for a in range(2 * M):
                slope[a] = 0.0
            for a in range(M):
                for c in range(M):
                    other = (c - a) % M
                    slope[a] += 2.0 * (sums[c] - mean) * w[b, M + other]
                    slope[M + other] += 2.0 * (sums[c] - mean) * w[b, a]
            square = 0.0
            for a in range(2 * M):
                w[b, a] += slope[a] / M
                square += w[b, a] ** 2
            for a in range(2 * M):
                w[b, a] /= math.sqrt(square)
