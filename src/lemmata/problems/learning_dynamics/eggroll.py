"""Evolution strategies with low-rank noise: a fitness for which everything can be computed, and the checks on a run.

References
----------
Sarkar et al., "Evolution strategies at the hyperscale", 2025, Algorithm 1 and Theorem 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.random import check_seed

__all__ = ["Factors", "SineFitness", "check_population", "random_sine"]

#: law of the entries of the two factors of the noise, of mean 0 and variance 1
Factors = Literal["normal", "uniform", "exponential"]


@dataclass(frozen=True, eq=False)
class SineFitness:
    """``f(W) = sin<C, W>`` around the parameters M.

    Attributes
    ----------
    C, M : float64[m, n]
    sigma : float
        Scale of the noise.
    factors : {"normal", "uniform", "exponential"}
        Exponential entries, less their mean, are not symmetric.
    """

    C: np.ndarray
    M: np.ndarray
    sigma: float
    factors: Factors = "normal"

    def __post_init__(self) -> None:
        check_population(self.C, self.M, self.sigma, 1, 1, 1)
        if self.factors not in get_args(Factors):
            raise DomainError(f"factors must be one of {', '.join(get_args(Factors))}, got {self.factors!r}")


def random_sine(m: int, n: int, *, sigma: float, seed: int) -> SineFitness:
    """C of Frobenius norm 1.2 and small M, both normal otherwise."""
    rng = np.random.default_rng(check_seed(seed))
    C, M = rng.standard_normal((2, m, n))
    return SineFitness(1.2 * C / np.linalg.norm(C), 0.1 * M, sigma)


def check_population(C: Any, M: Any, sigma: float, rank: int, pairs: int, replicates: int) -> tuple[int, int, int]:
    """Refuse what is no population around a matrix; rank, pairs and replicates as integers.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    if len(M.shape) != 2 or 0 in M.shape or tuple(C.shape) != tuple(M.shape):
        raise ShapeError(f"C and M must have the same shape (m, n), got {tuple(C.shape)} and {tuple(M.shape)}")
    for name, array in (("C", C), ("M", M)):
        if not bool((abs(array) < np.inf).all()):
            raise NonFiniteError(f"{name} is not finite")
    if not 0 < sigma < np.inf:
        raise DomainError(f"sigma must be > 0 and finite, got {sigma}")
    for name, value in (("rank", rank), ("pairs", pairs), ("replicates", replicates)):
        if not (value >= 1 and value % 1 == 0):
            raise DomainError(f"{name} must be a whole number >= 1, got {value}")
    rank, pairs, replicates = int(rank), int(pairs), int(replicates)
    normals = -(-(M.shape[0] + M.shape[1]) * rank // 2)
    if normals * pairs > 2**32:
        raise DomainError(f"{pairs} pairs of rank {rank} exceed a stream: take more replicates of fewer pairs")
    return rank, pairs, replicates
