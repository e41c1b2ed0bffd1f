"""Random, structured and hard instances of monotone deep Boltzmann machines."""

from __future__ import annotations

from typing import Any

import numpy as np

from lemmata.errors import DomainError
from lemmata.problems.monotone_dbm.models import MonotoneModel, PairwiseModel

__all__ = ["antiferromagnet", "ising_pair", "low_rank_model", "random_model"]


def antiferromagnet(N: int, m: float = 0.1, bias: Any = 0.0) -> MonotoneModel:
    """N binary nodes each of which repels all others as strongly as the parametrisation allows.

    ``A_i = [1, -1] / sqrt(2)``, so ``Phi_ij = -(1 - m)/2 [[1, -1], [-1, 1]]`` and ``L = 1 + (1 - m)(N - 1)``. At bias 0
    the mean field is uniform and forward-backward contracts exactly at the bound; the parallel update oscillates
    from ``(N - 1)(1 - m) > 2`` on.

    Parameters
    ----------
    N : int
    m : float
    bias : float or float64[2 N]
        A number goes to the first state of the first node.
    """
    if N < 1:
        raise DomainError(f"an antiferromagnet has N >= 1 nodes, got {N}")
    if np.ndim(bias) == 0:
        bias = np.concatenate([[bias], np.zeros(2 * N - 1)])
    return MonotoneModel((2,) * N, np.tile([[1.0, -1.0]], N) / np.sqrt(2), bias, m)


def ising_pair(c: float) -> PairwiseModel:
    """Two binary nodes with ``Phi_12 = c [[1, -1], [-1, 1]]``; the largest eigenvalue of Phi is 2c.

    Mean fields have magnetisations ``m_1 = tanh(c m_2)``: only 0 up to c = 1, and three beyond. No warning is given
    there: this is the instance that shows the threshold to be sharp.
    """
    coupling = c * np.array([[1.0, -1.0], [-1.0, 1.0]])
    zero = np.zeros((2, 2))
    return PairwiseModel((2, 2), np.block([[zero, coupling], [coupling, zero]]), np.zeros(4), guarantee="none")


def random_model(
    *, nodes: tuple[int, int] = (2, 6), states: tuple[int, int] = (2, 5), rank: tuple[int, int] = (1, 11), seed: int
) -> MonotoneModel:
    """Nodes, states and rank uniform in the given ranges, ends included; A normal with lognormal(0, 1.5) columns.

    The modulus m is uniform on [.01, .9] and the bias standard normal.
    """
    rng = np.random.default_rng(seed)
    K = tuple(int(k) for k in rng.integers(states[0], states[1], rng.integers(*nodes, endpoint=True), endpoint=True))
    r, n = int(rng.integers(*rank, endpoint=True)), sum(K)
    A = rng.standard_normal((r, n)) * rng.lognormal(0, 1.5, n)
    return MonotoneModel(K, A, rng.standard_normal(n), float(rng.uniform(0.01, 0.9)))


def low_rank_model(N: int = 784, *, K: int = 2, rank: int = 32, m: float = 0.1, seed: int) -> MonotoneModel:
    """N nodes of K states, A standard normal of the given rank, bias standard normal: the instance that is timed."""
    rng = np.random.default_rng(seed)
    return MonotoneModel((K,) * N, rng.standard_normal((rank, K * N)), rng.standard_normal(K * N), m)
