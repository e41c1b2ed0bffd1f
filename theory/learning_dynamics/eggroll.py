"""Statements on evolution strategies with low-rank noise: the bias falls like 1/r, with a known coefficient.

Notation: ``E = A B^T / sqrt(r)`` with independent entries, ``K = sigma C`` and the fitness ``f(W) = sin<C, W>``. For
normal entries ``E e^{i<K, E>} = det(I + K^T K / r)^{-r/2}``, and its derivative is the estimate.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sympy as sp
from scipy.special import spherical_jn

from lemmata.claims import Assumption, Claim, Source
from lemmata.errors import DomainError

__all__ = [
    "eggroll_coefficient",
    "eggroll_mean",
    "eggroll_rate",
    "gaussian_gradient",
    "leading_bias",
    "low_rank_gradient",
    "scalar_gradient",
]

SARKAR = Source(
    "sarkar2025",
    "Sarkar, Bidipta and others",
    "Evolution strategies at the hyperscale",
    "arXiv preprint",
    2025,
    "Theorem 4",
    arxiv="2511.16652",
)

# ----------------------------------------------------------------------------------------- closed forms


def low_rank_gradient(C: np.ndarray, M: np.ndarray, *, sigma: float, rank: int) -> np.ndarray:
    """``(1/sigma) E[E sin<C, M + sigma E>]`` for noise of rank r with normal factors, float64[m, n].

    ``(1/sigma) cos<C, M> det(I + K^T K / r)^{-r/2} K (I + K^T K / r)^{-1}``.
    """
    if rank < 1:
        raise DomainError(f"rank must be at least 1, got {rank}")
    K = sigma * C
    inner = np.eye(K.shape[1]) + K.T @ K / rank
    _, log_det = np.linalg.slogdet(inner)
    return math.cos(float((C * M).sum())) * math.exp(-rank * log_det / 2) * np.linalg.solve(inner, K.T).T / sigma


def gaussian_gradient(C: np.ndarray, M: np.ndarray, *, sigma: float) -> np.ndarray:
    """The same for a matrix E of independent normal entries: gradient of the smoothed fitness, float64[m, n]."""
    return math.cos(float((C * M).sum())) * math.exp(-((sigma * C) ** 2).sum() / 2) * C


def leading_bias(C: np.ndarray, M: np.ndarray, *, sigma: float) -> np.ndarray:
    """Limit of ``r (low_rank_gradient - gaussian_gradient)``, float64[m, n].

    ``(1/sigma) cos<C, M> e^{-|K|^2/2} [Tr (K^T K)^2 K / 4 - K K^T K]``.
    """
    K = sigma * C
    square = K.T @ K
    shape = np.trace(square @ square) * K / 4 - K @ square
    return math.cos(float((C * M).sum())) * math.exp(-np.trace(square) / 2) * shape / sigma


def scalar_gradient(c: float, x: float, *, sigma: float, rank: int, factors: str) -> float:
    """`low_rank_gradient` of a single parameter for factors of any law, by quadrature.

    ``(1/sigma) Re(-e^{i c x} psi'(K))`` with ``psi(K) = phi(K/sqrt(r))^r``, ``phi(t) = E e^{i t a b}``.

    Parameters
    ----------
    c, x, sigma : float
        C, M and sigma.
    rank : int
    factors : {"normal", "uniform", "exponential"}
        Law of a and b: standard normal, uniform of variance 1, exponential less its mean.

    Returns
    -------
    float
        To about 1e-12 for K/sqrt(r) below 1.
    """
    if rank < 1:
        raise DomainError(f"rank must be at least 1, got {rank}")
    t = sigma * c / math.sqrt(rank)
    if factors == "uniform":
        nodes, weights = np.polynomial.legendre.leggauss(60)
        a, w = math.sqrt(3) * nodes, weights / 2
        s = math.sqrt(3) * t * a
        phi_b, slope_b = np.sinc(s / np.pi), -math.sqrt(3) * spherical_jn(1, s)
    elif factors == "exponential":
        # in panels: the pole of phi_b, a distance 1/t from the axis, is too near for a rule of Gauss and Laguerre
        nodes, weights = np.polynomial.legendre.leggauss(60)
        ends = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 44.0])
        half = np.diff(ends)[:, None] / 2
        draws = ends[:-1, None] + half * (nodes + 1)
        a, w = (draws - 1).ravel(), (half * weights * np.exp(-draws)).ravel()
        one = 1 - 1j * t * a
        turn = np.exp(-1j * t * a)
        phi_b, slope_b = turn / one, -t * a * turn / one**2
    elif factors == "normal":
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        a, w = nodes, weights / math.sqrt(2 * math.pi)
        phi_b = np.exp(-((t * a) ** 2) / 2)
        slope_b = -t * a * phi_b
    else:
        raise DomainError(f"factors must be normal, uniform or exponential, got {factors!r}")
    phi, slope = complex((w * phi_b).sum()), complex((w * a * slope_b).sum())
    derivative = math.sqrt(rank) * phi ** (rank - 1) * slope
    return -(complex(math.cos(c * x), math.sin(c * x)) * derivative).real / sigma


# ------------------------------------------------------------------------------------------ assumptions


def _skewed(problem: Any) -> str | None:
    return "exponential entries have the third moment 2" if problem.factors == "exponential" else None


SYMMETRIC = Assumption("the entries of both factors are independent, symmetric, of variance 1", _skewed)
BOUNDED = Assumption("the fitness is bounded")

# ----------------------------------------------------------------------------------------------- claims

eggroll_mean = Claim(
    id="learning_dynamics/eggroll-mean",
    kind="mean-identity",
    quantity="component along the bias of estimates from antithetic pairs",
    expression=sp.Symbol("exact"),
    symbols={"exact": "component of (1/σ) cos<C, M> det(I + KᵀK/r)^(-r/2) K (I + KᵀK/r)⁻¹"},
    assumptions=(SYMMETRIC, BOUNDED),
    source=SARKAR,
    tolerance=0.02,  # the quick budget resolves .01; the bias at r = 1 is many times that
    statement="For a sine fitness the mean of the estimates with noise of rank r has a closed form.",
)

_RANK = {"r": "rank of the noise"}

eggroll_rate = Claim(
    id="learning_dynamics/eggroll-rate",
    kind="rate",
    quantity="Frobenius distance of the expected low-rank estimate from the gradient of the smoothed fitness",
    expression=1 / sp.Symbol("r"),
    symbols=_RANK,
    assumptions=(SYMMETRIC, BOUNDED),
    source=SARKAR,
    exponent=1.0,
    statement="The bias of low-rank noise is of order 1/r, not the r^(-1/2) of a general central limit theorem.",
)

eggroll_coefficient = Claim(
    id="learning_dynamics/eggroll-coefficient",
    kind="limit",
    quantity="relative distance of r times the bias from its limit",
    expression=1 / sp.Symbol("r"),
    symbols=_RANK,
    assumptions=(SYMMETRIC, BOUNDED),
    source=SARKAR,
    exponent=1.0,
    tolerance=0.01,
    statement="r times the bias tends to (1/σ) cos<C, M> e^(-|K|²/2) [Tr (KᵀK)² K/4 - K Kᵀ K].",
)
