"""Quantities that the statements speak of: contraction factors, gaps of the assignment polytope, Gaussian values."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import eye_array, kron, vstack

from lemmata.errors import AssumptionError, DomainError, NotConverged

__all__ = [
    "contraction",
    "cost_radius",
    "entropy",
    "exact_plan",
    "frozen_contraction",
    "gaussian_covariance",
    "gaussian_value",
    "kl",
    "log_theta",
    "mean_cycle",
    "slack",
    "slowest_mode",
    "vertex_gap",
]


def kl(p: np.ndarray, q: np.ndarray) -> float:
    """``sum p log(p/q) - p + q``, for masses that need not be equal; 0 log 0 = 0, and p below 1e-290 counts as 0."""
    p, q = np.broadcast_arrays(np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64))
    seen = p > 1e-290
    with np.errstate(divide="ignore"):
        return float(np.sum(p[seen] * np.log(p[seen] / q[seen])) - p.sum() + q.sum())


def entropy(p: np.ndarray) -> float:
    """``-sum p log p``."""
    return float(-np.sum(p * np.log(p, out=np.zeros(np.shape(p)), where=np.asarray(p) > 0)))


# --------------------------------------------------------------------------------------- contraction


def log_theta(C: np.ndarray, eps: float) -> float:
    """Logarithm of the largest cross ratio ``K_ik K_jl / (K_jk K_il)`` of ``K = exp(-C/eps)``.

    Taken from C, as ``max_ij [max_k (C_jk - C_ik) - min_k (C_jk - C_ik)] / eps``; O(n^2 m).
    """
    return max(float(np.ptp(C - row, axis=1).max()) for row in C) / eps


def contraction(C: np.ndarray, eps: float) -> float:
    """Birkhoff's factor ``kappa = tanh(log(theta)/4)``; a full step of Sinkhorn contracts Hilbert's metric by its
    square."""
    return math.tanh(log_theta(C, eps) / 4)


def slowest_mode(P: np.ndarray) -> tuple[float, np.ndarray]:
    """Second singular value of ``diag(r)^{-1/2} P diag(c)^{-1/2}``, r and c the marginals of P, and the error of g.

    The first singular value is 1. Sinkhorn's iteration multiplies the error ``v / sqrt(c)`` in g, v the second right
    singular vector, by the square of the second; nothing else, off constants, decays as slowly.

    Returns
    -------
    (float, float64[m])
    """
    c = P.sum(axis=0)
    scaled = P / np.sqrt(P.sum(axis=1))[:, None] / np.sqrt(c)
    _, values, vectors = np.linalg.svd(scaled, full_matrices=False)
    return float(values[1]), vectors[1] / np.sqrt(c)


def frozen_contraction(P: np.ndarray, kept: np.ndarray, *, exact_diagonal: bool = True) -> tuple[float, np.ndarray]:
    """Spectral radius of ``I - M~^{-1} M`` off the common shift of potentials, and the error that it belongs to.

    ``M = [[diag(P1), P], [P^T, diag(P^T 1)]]``, and M~ is M with the entries of P that are not kept set to zero off
    the diagonal (and in the diagonal too, unless it is exact).

    Parameters
    ----------
    P : float64[n, m]
    kept : bool[n, m]

    Returns
    -------
    (float, float64[n + m])
        The error is that of (f, g), of unit length.
    """
    n, m = P.shape
    S = np.where(kept, P, 0.0)
    D = P if exact_diagonal else S
    M = np.block([[np.diag(P.sum(1)), P], [P.T, np.diag(P.sum(0))]])
    model = np.block([[np.diag(D.sum(1)), S], [S.T, np.diag(D.sum(0))]])
    gauge = np.concatenate([np.ones(n), -np.ones(m)]) / np.sqrt(n + m)
    off = np.eye(n + m) - np.outer(gauge, gauge)
    values, vectors = np.linalg.eig(off @ (np.eye(n + m) - np.linalg.pinv(model) @ M) @ off)
    k = int(np.abs(values).argmax())
    return float(np.abs(values[k])), vectors[:, k].real


def cost_radius(C: np.ndarray, r: np.ndarray, c: np.ndarray, eps: float) -> float:
    """``R = -log(min_ij exp(-C_ij/eps) min(r, c))``, which bounds how far potentials range."""
    return float(C.max() / eps - np.log(min(r.min(), c.min())))


# ------------------------------------------------------------------------------- the exact problem


def exact_plan(C: np.ndarray, r: np.ndarray, c: np.ndarray) -> np.ndarray:
    """An optimal vertex of the unregularised problem, float64[n, m], by HiGHS.

    Raises
    ------
    NotConverged
        Where the linear programme is not solved.
    """
    n, m = C.shape
    rows = kron(eye_array(n), np.ones((1, m)), format="csr")
    columns = kron(np.ones((1, n)), eye_array(m), format="csr")
    # one equation follows from the others
    A, b = vstack([rows, columns[:-1]]), np.concatenate([r, c[:-1]])
    found = linprog(C.ravel(), A_eq=A, b_eq=b, method="highs-ds", options={"primal_feasibility_tolerance": 1e-10})
    if found.status != 0:
        raise NotConverged(f"the linear programme was not solved: {found.message}", found)
    return found.x.reshape(n, m)


def slack(C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Optimal assignment s and what it costs to send row i to the column of row k: ``C[i, s_k] - C[i, s_i]``.

    Returns
    -------
    int64[n], float64[n, n]
        The cost of a permutation less the optimal one is the sum of these along its cycles.
    """
    _, s = linear_sum_assignment(C)
    return s, C[:, s] - C[np.arange(len(C)), s][:, None]


def vertex_gap(C: np.ndarray) -> float:
    """Delta: cost of the second-best less that of the best vertex, for masses 1/n.

    The second-best permutation differs from the best by one cycle: the shortest in the graph of `slack`, found from
    all shortest paths, O(n^3). Zero where the optimal assignment is not unique.
    """
    _, W = slack(C)
    n = len(W)
    if n < 2:
        raise AssumptionError("a polytope with one vertex has no second-best vertex")
    distance = W.copy()
    for k in range(n):
        np.minimum(distance, distance[:, k, None] + distance[k], out=distance)
    cycle = W + distance.T
    np.fill_diagonal(cycle, np.inf)
    return max(float(cycle.min()), 0.0) / n


def mean_cycle(C: np.ndarray) -> float:
    """mu: least mean cost of a cycle in the graph of `slack`, by Karp's algorithm, O(n^3).

    ``-log|P_eta - X|_1`` grows like ``mu eta`` where the optimal permutation X is unique, and
    ``Delta <= mu <= n Delta/2``.
    """
    _, W = slack(C)
    n = len(W)
    W = W + np.diag(np.full(n, np.inf))
    walks = np.empty((n + 1, n))
    walks[0] = 0.0
    for k in range(n):
        walks[k + 1] = (walks[k][:, None] + W).min(axis=0)
    lengths = n - np.arange(n)
    return float(((walks[n] - walks[:n]) / lengths[:, None]).max(axis=0).min())


# -------------------------------------------------------------------------------------- Gaussian laws


def _root(s1: float, s2: float, q: float) -> float:
    for name, value in (("s1", s1), ("s2", s2), ("eps", 2 * q)):
        if not 0 <= value < math.inf:
            raise DomainError(f"{name} must be >= 0 and finite, got {value!r}")
    return math.sqrt(4 * s1**2 * s2**2 + q**2)


def gaussian_value(m1: float, s1: float, m2: float, s2: float, eps: float) -> float:
    """``min <(x - y)^2, P> + eps KL(P | a b)`` for a = N(m1, s1^2) and b = N(m2, s2^2).

    With ``q = eps/2`` and ``d = sqrt(4 s1^2 s2^2 + q^2)``:
    ``(m1 - m2)^2 + s1^2 + s2^2 - d + q (1 + log((d + q)/(2q)))``; for eps = 0 ``(m1 - m2)^2 + (s1 - s2)^2``.

    Raises
    ------
    DomainError
        A negative deviation or eps, or one that is not finite.

    References
    ----------
    Janati, Muzellec, Peyré and Cuturi 2020; Mallasto, Gerolin and Minh 2022.
    """
    q = eps / 2
    d = _root(s1, s2, q)
    entropy = q * (1 + math.log1p((d - q) / (2 * q))) if q > 0 else 0.0
    return (m1 - m2) ** 2 + s1**2 + s2**2 - d + entropy


def gaussian_covariance(s1: float, s2: float, eps: float) -> float:
    """Covariance of the optimal plan between N(m1, s1^2) and N(m2, s2^2): ``(d - q)/2``, as in `gaussian_value`."""
    return (_root(s1, s2, eps / 2) - eps / 2) / 2
