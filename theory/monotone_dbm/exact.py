"""Closed forms and exact small models: enumeration, the free energy, the response of the mean field, the gap's law."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.linalg import block_diag
from scipy.optimize import brentq
from scipy.special import logsumexp, xlogy

from lemmata.errors import DomainError
from lemmata.problems.monotone_dbm import MonotoneModel, PairwiseModel, block_slices

__all__ = [
    "covariance",
    "free_energy",
    "gap_coefficient",
    "ising_magnetisation",
    "log_partition",
    "marginals",
    "response",
    "scores",
]

Model = PairwiseModel | MonotoneModel

#: configurations that are enumerated at most, 80 MB of scores
LARGEST = 10_000_000


def scores(model: Model) -> np.ndarray:
    """``x' Phi x / 2 + b' x`` of every configuration.

    Parameters
    ----------
    model : PairwiseModel or MonotoneModel

    Returns
    -------
    float64[K_1, ..., K_N]

    Raises
    ------
    DomainError
        Where there are more than 10^7 configurations.
    """
    count = math.prod(model.states)
    if count > LARGEST:
        raise DomainError(f"{count:.3g} configurations are too many to enumerate; at most {LARGEST:.0e}")
    N, own = len(model.states), block_slices(model.states)
    total = np.zeros(model.states)
    for i in range(N):
        total += model.bias[own[i]].reshape([-1 if a == i else 1 for a in range(N)])
        for j in range(i):
            shape = [model.states[a] if a in (i, j) else 1 for a in range(N)]
            total += model.phi[own[j], own[i]].reshape(shape)
    return total


def log_partition(model: Model) -> float:
    """log Z, by enumeration."""
    return float(logsumexp(scores(model)))


def marginals(model: Model) -> np.ndarray:
    """``p(x_i = k)`` of every node, by enumeration: float64[n]."""
    total = scores(model)
    p = np.exp(total - logsumexp(total))
    N = len(model.states)
    return np.concatenate([p.sum(axis=tuple(a for a in range(N) if a != i)) for i in range(N)])


def free_energy(model: Model, q: Any, bias: Any = None) -> np.ndarray:
    """``G(q) = sum q log q - q' Phi q / 2 - b' q``: KL(q | p) = G(q) + log Z.

    Parameters
    ----------
    model : PairwiseModel or MonotoneModel
    q : float64[..., n]
    bias : float64[..., n], optional
        In place of the model's.

    Returns
    -------
    float64[...]
    """
    q = np.asarray(q, dtype=np.float64)
    field = q @ model.phi / 2 + (model.bias if bias is None else bias)
    return np.asarray((xlogy(q, q) - field * q).sum(axis=-1))


def covariance(model: Model, q: np.ndarray) -> np.ndarray:
    """``J = blkdiag(diag(q_i) - q_i q_i')``, Jacobian of the softmax and covariance of the nodes: float64[n, n]."""
    return block_diag(*(np.diag(q[own]) - np.outer(q[own], q[own]) for own in block_slices(model.states)))


def response(model: Model, q: np.ndarray, mask: Any = None) -> np.ndarray:
    """``dq/db = J (I - Phi J)^{-1}`` at a mean field: symmetric, positive semidefinite.

    Parameters
    ----------
    model : PairwiseModel or MonotoneModel
    q : float64[n]
        A fixed point.
    mask : bool[N], optional
        True where a node is observed; those do not respond.

    Returns
    -------
    float64[n, n]
    """
    J = covariance(model, q)
    if mask is not None:
        free = ~np.repeat(mask, model.states)
        J = J * free[:, None] * free
    return np.linalg.solve((np.eye(model.n) - model.phi @ J).T, J.T).T


def gap_coefficient(model: Model) -> float:
    """``tr(J Phi J Phi) / 4`` with J at softmax(b): the ELBO of ``s Phi`` falls short of log Z by this times s²."""
    q = np.concatenate([np.exp(model.bias[own] - logsumexp(model.bias[own])) for own in block_slices(model.states)])
    product = covariance(model, q) @ model.phi
    return float((product * product.T).sum() / 4)


def ising_magnetisation(c: float) -> float:
    """Largest root of ``m = tanh(c m)``: positive beyond c = 1, else 0."""
    if c <= 1:
        return 0.0
    # m = tanh(c m) > c m - (c m)^3/3 gives m^2 > 3 (c - 1)/c^3
    low = 0.5 * math.sqrt(3 * (c - 1) / c**3)
    return float(brentq(lambda m: math.tanh(c * m) - m, min(low, 0.5), 1.0, xtol=1e-15, rtol=1e-14))
