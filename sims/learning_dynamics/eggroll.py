"""Gradient estimates of evolution strategies with low-rank noise, on a fitness whose expectation is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from lemmata.problems.learning_dynamics import check_population, real_arrays
from lemmata.random import check_seed
from lemmata.sims._philox import normal, words

__all__ = ["eggroll_sine"]


def eggroll_sine(
    C: Any, M: Any, *, sigma: float, rank: int, pairs: int, replicates: int, antithetic: bool = True, seed: int
) -> np.ndarray:
    """Estimates of ``(1/sigma) E[E f(M + sigma E)]`` for ``f(W) = sin<C, W>`` and ``E = A B^T / sqrt(rank)``.

    A and B have independent standard normal entries. With antithetic pairs a draw E counts
    ``(f(M + sigma E) - f(M - sigma E)) E / (2 sigma)``, else ``f(M + sigma E) E / sigma``.

    Parameters
    ----------
    C, M : float64[m, n]
    sigma : float
    rank, pairs, replicates : int
    antithetic : bool
    seed : int
        Pair k of replicate i is the same in any run of this rank.

    Returns
    -------
    float64[replicates, m, n]
        Means over `pairs` draws. Memory: this, and (m + n) rank numbers a thread.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, TypeError
    """
    c, start = real_arrays(C=C, M=M)
    rank, pairs, replicates = check_population(c, start, sigma, rank, pairs, replicates)
    found = np.zeros((replicates, *start.shape))
    key = np.uint64(check_seed(seed))
    _estimate(c, float((c * start).sum()), float(sigma), rank, pairs, antithetic, key, found)
    return found


@njit(cache=True, parallel=True)
def _estimate(C, base, sigma, rank, pairs, antithetic, seed, found):  # type: ignore[no-untyped-def]
    replicates, m, n = found.shape
    blocks = ((m + n) * rank + 1) // 2
    for p in prange(replicates):
        i = np.int64(p)  # prange counts in uint64
        draws, E = np.empty(2 * blocks), np.empty((m, n))
        for pair in range(pairs):
            for block in range(blocks):
                w0, w1, w2, w3 = words(pair * blocks + block, 0, i, seed)
                draws[2 * block], draws[2 * block + 1] = normal(w0, w1, w2, w3)
            along = 0.0
            for a in range(m):
                for b in range(n):
                    total = 0.0
                    for k in range(rank):
                        total += draws[a * rank + k] * draws[(m + b) * rank + k]
                    E[a, b] = total / math.sqrt(rank)
                    along += C[a, b] * E[a, b]
            value = math.sin(base + sigma * along)
            if antithetic:
                value = (value - math.sin(base - sigma * along)) / 2
            for a in range(m):
                for b in range(n):
                    found[i, a, b] += value * E[a, b] / (sigma * pairs)
