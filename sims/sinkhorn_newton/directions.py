"""Newton directions of the dual: dense, and sparse with a conjugate-gradient solver.

With rows exact (``P 1 = r``) the Newton system of the dual is, after elimination of the rows, the one of the
semi-dual ``h(g) = max_f D(f, g)``:

    (diag(S) - P' diag(1/r) P) b = c - S,      a = -P b / r,      S = P' 1,

for the step ``(eps a, eps b)``. Its kernel is the constant vector.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.sparse import csr_array

from lemmata.sims.sinkhorn_newton.sweeps import candidates

__all__ = ["Direction", "Sparse", "dense_direction", "sparse_direction", "sparse_plan", "top_plan"]

#: First shift of a matrix that rounding has made indefinite.
FLOOR = 1e-13


class Direction(NamedTuple):
    """Step (eps a, eps b) in units of eps, the entries kept of P and the conjugate-gradient steps spent."""

    a: np.ndarray
    b: np.ndarray
    kept: int
    cg_steps: int


class Sparse(NamedTuple):
    """A sparse n x m matrix by rows: entries of row i at ``start[i]:start[i + 1]``."""

    start: np.ndarray
    columns: np.ndarray
    values: np.ndarray


def dense_direction(P: np.ndarray, r: np.ndarray, c: np.ndarray, S: np.ndarray) -> Direction:
    """The exact Newton direction, by Cholesky factorisation.

    Parameters
    ----------
    P : float64[n, m]
        Plan with row sums r and column sums S.
    r, c : float64[n], float64[m]
    S : float64[m]
    """
    root = np.sqrt(S)
    B = P / np.sqrt(r)[:, None] / root
    b = _factorised(B.T @ B, root / np.sqrt(S.sum()), (c - S) / root, 0.0) / root
    return Direction(-(P @ b) / r, b, P.size, 0)


def _factorised(product: np.ndarray, gauge: np.ndarray, right: np.ndarray, shift: float) -> np.ndarray:
    """y with ``((1 + shift) I - B'B) y = right`` off the gauge, where ``B'B`` is the product."""
    while True:
        try:
            lifted = (1 + shift) * np.eye(gauge.size) - product + np.outer(gauge, gauge)
            return cho_solve(cho_factor(lifted, lower=True), right)
        except LinAlgError:  # a plan in nearly separate parts: the kernel has more dimensions, up to rounding
            shift = max(10 * shift, FLOOR)


@njit(cache=True)
def _gather(values, columns, counts, cut, r, c, nu):  # type: ignore[no-untyped-def]
    """Union of the row rule and the column rule on the candidates, as a sparse matrix."""
    n, m = counts.size, c.size
    size = np.zeros(m + 1, dtype=np.int64)
    for i in range(n):
        for k in range(counts[i]):
            size[columns[i, k] + 1] += 1
    start = np.cumsum(size)
    fill = start[:-1].copy()
    by_column = np.empty(start[m])
    for i in range(n):
        for k in range(counts[i]):
            j = columns[i, k]
            by_column[fill[j]] = values[i, k]
            fill[j] += 1
    cut_column = np.empty(m)
    for j in range(m):
        ordered = np.sort(by_column[start[j] : start[j + 1]])
        spared, k = 0.0, 0
        while k < ordered.size and spared + ordered[k] <= 0.9 * nu * c[j]:
            spared += ordered[k]
            k += 1
        cut_column[j] = ordered[k] if k < ordered.size else np.inf
    row_start = np.zeros(n + 1, dtype=np.int64)
    kept_columns = np.empty(start[m], dtype=np.int32)
    kept_values = np.empty(start[m])
    total = 0
    for i in range(n):
        for k in range(counts[i]):
            value, j = values[i, k], columns[i, k]
            if value >= cut[i] or value >= cut_column[j]:
                kept_values[total] = value
                kept_columns[total] = j
                total += 1
        row_start[i + 1] = total
    return row_start, kept_columns[:total].copy(), kept_values[:total].copy()


def sparse_plan(C, f, g, r, c, eps: float, nu: float, work: tuple[np.ndarray, np.ndarray]) -> Sparse:  # type: ignore[no-untyped-def]
    """Entries of the plan that stay when each row and each column may lose a share nu of its mass.

    An entry is kept if its row or its column needs it: the smallest entries of row i are dropped while their mass is
    at most ``nu r_i``, and of column j while it is at most ``nu c_j``.

    Parameters
    ----------
    C, f, g, r, c, eps
        As for `lemmata.sims.sinkhorn_newton.sweeps.sinkhorn_steps`; rows exact.
    nu : float
        Budget.
    work : float64[n, m], int32[n, m]
        Scratch, of which only what is needed is touched.
    """
    n = r.size
    counts, cut = np.empty(n, dtype=np.int64), np.empty(n)
    candidates(C, f, g, r, c, eps, nu, *work, counts, cut)
    return Sparse(*_gather(*work, counts, cut, r, c, nu))


@njit(cache=True, fastmath={"contract"})
def _normal_product(start, columns, B, x, out):  # type: ignore[no-untyped-def]
    """out <- B'B x."""
    out[:] = 0.0
    for i in range(start.size - 1):
        total = 0.0
        for k in range(start[i], start[i + 1]):
            total += B[k] * x[columns[k]]
        for k in range(start[i], start[i + 1]):
            out[columns[k]] += B[k] * total


@njit(cache=True)
def _conjugate_gradients(start, columns, B, gauge, residual, shift, tol, max_steps):  # type: ignore[no-untyped-def]
    """y with ``((1 + shift) I - B'B) y = residual`` off the gauge, and the steps spent; overwrites the residual."""
    residual -= np.dot(gauge, residual) * gauge
    y, product = np.zeros(residual.size), np.empty(residual.size)
    p = residual.copy()
    square = np.dot(residual, residual)
    target = tol * tol * square
    steps = 0
    while square > target and steps < max_steps:
        _normal_product(start, columns, B, p, product)
        product[:] = (1 + shift) * p - product
        product -= np.dot(gauge, product) * gauge
        curvature = np.dot(p, product)
        if curvature <= 0.0:
            break
        alpha = square / curvature
        y += alpha * p
        residual -= alpha * product
        before = square
        square = np.dot(residual, residual)
        p = residual + (square / before) * p
        steps += 1
    return y, steps, square <= target


def top_plan(P: np.ndarray, density: float) -> Sparse:
    """The ``ceil(density n m)`` largest entries of a plan, the rule of Tang et al. 2024."""
    count = min(int(np.ceil(density * P.size)), P.size)
    rows, columns = np.nonzero(np.partition(P, P.size - count, axis=None)[P.size - count] <= P)
    start = np.zeros(len(P) + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=len(P)), out=start[1:])
    return Sparse(start, columns.astype(np.int32), P[rows, columns])


def sparse_direction(P: Sparse, r: np.ndarray, c: np.ndarray, S: np.ndarray, *, shift: float, tol: float) -> Direction:
    """A Newton direction with P truncated off the diagonal of the system, the diagonal itself exact.

    With ``B_ij = P_ij / sqrt(r_i S_j)`` the system is ``((1 + shift) I - B'B) y = (c - S)/sqrt(S)``, ``b = y/sqrt(S)``.
    The exact diagonal keeps it positive semidefinite whatever is dropped; thresholded, it would be singular, with
    one dimension of kernel for each connected part of what is kept.

    Parameters
    ----------
    P : Sparse
        Entries kept.
    r, c : float64[n], float64[m]
    S : float64[m]
        Column sums of the whole plan.
    shift : float
        Bounds the condition number by 2/shift.
    tol : float
        Relative residual at which conjugate gradients stop. Where they do not within m/2 + 100 steps, the system
        is factorised.
    """
    rows, root = np.repeat(np.arange(r.size), np.diff(P.start)), np.sqrt(S)
    B = P.values / (np.sqrt(r)[rows] * root[P.columns])
    gauge = root / np.sqrt(S.sum())
    right = (c - S) / root
    y, steps, done = _conjugate_gradients(P.start, P.columns, B, gauge, right.copy(), shift, tol, c.size // 2 + 100)
    if not done:
        matrix = csr_array((B, P.columns, P.start), shape=(r.size, c.size))
        y = _factorised((matrix.T @ matrix).toarray(), gauge, right, shift)
    b = y / root
    a = -np.bincount(rows, P.values * b[P.columns], minlength=r.size) / r
    return Direction(a, b, len(P.values), steps)
