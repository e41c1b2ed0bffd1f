"""Plans: rounding to exact marginals, bounds on the exact optimum, gradients through the solution."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.sinkhorn_newton import NO_ENTROPY, Gradient, check_masses, check_positive, real_array, rounded

__all__ = ["c_transform", "plan_gradient", "round_plan"]


def round_plan(F: Any, r: Any, c: Any) -> np.ndarray:
    """The nearby plan with exact marginals: scale rows down, scale columns down, add what is missing.

    ``F' = min(r/F1, 1) F``, ``F'' = F' min(c/F'^T 1, 1)``, ``G = F'' + e_r e_c^T / |e_r|_1`` with the missing masses
    ``e_r = r - F'' 1`` and ``e_c = c - F''^T 1``.

    Parameters
    ----------
    F : array_like, (n, m)
        Nonnegative.
    r, c : array_like, (n,) and (m,)
        Masses of equal total.

    Returns
    -------
    float64[n, m]
        G >= 0 with marginals r and c, ``|G - F|_1 <= 2 (|F 1 - r|_1 + |F^T 1 - c|_1)``.

    Raises
    ------
    ShapeError, DomainError
        For arrays that do not fit, a negative entry or mass, or unequal totals.

    References
    ----------
    Altschuler, Weed and Rigollet 2017, Algorithm 2 and Lemma 7.
    """
    F, r, c = real_array("F", F, 2), real_array("r", r, 1), real_array("c", c, 1)
    if F.shape != (r.size, c.size):
        raise ShapeError(f"F has shape {F.shape}, the masses ask for {(r.size, c.size)}")
    if F.min() < 0:
        raise DomainError(f"F holds a negative entry, {F.min():g}")
    check_masses(r, c)
    return rounded(F, r, c)


def c_transform(C: Any, f: Any) -> np.ndarray:
    """``g_j = min_i (C_ij - f_i)``, the largest g that is feasible with f for the unregularised dual.

    For any f, ``<r, f> + <c, g>`` is a lower bound of the exact optimum.

    Parameters
    ----------
    C : array_like, (n, m)
        Cost; +inf forbids a pair.
    f : array_like, (n,)

    Returns
    -------
    float64[m]
    """
    C, f = real_array("cost", C, 2, allow_infinite=True), real_array("f", f, 1)
    if len(f) != len(C):
        raise ShapeError(f"the cost has {len(C)} rows, f has {len(f)} entries")
    return (C - f[:, None]).min(axis=0)


def plan_gradient(C: Any, P: Any, eps: float, W: Any) -> Gradient:
    """Gradient of L(P(C, r, c, eps)) where dL/dP = W at the solution P, by the implicit function theorem.

    Solve ``M (x, y) = ((W P) 1, (W P)^T 1)``, ``M = [[diag(P1), P], [P^T, diag(P^T 1)]]``, products with W entrywise;
    then ``dL/dC = -P (W - x 1^T - 1 y^T)/eps``, ``dL/dr = x`` and ``dL/dc = y``.

    Parameters
    ----------
    C : array_like, (n, m)
    P : array_like, (n, m)
        The entropic plan, converged: an error delta in its marginals is an error of that order in the gradient.
    eps : float
    W : array_like, (n, m)

    Returns
    -------
    Gradient
        Rows and columns of the part in C sum to zero. The plan depends on C/eps alone, so
        ``dL/deps = -<dL/dC, C>/eps``.

    Raises
    ------
    TypeError, ShapeError, NonFiniteError
        For arrays of the wrong type or shape, or with NaN or infinity.
    DomainError
        For eps <= 0, a negative entry of P, or a row or column of it without mass.

    Notes
    -----
    One Cholesky factorisation, O(m^3), nothing unrolled. Where P is nearly disconnected the plan is nearly
    discontinuous in r and c, and so are these.
    """
    C, P, W = real_array("cost", C, 2, allow_infinite=True), real_array("P", P, 2), real_array("W", W, 2)
    if not C.shape == P.shape == W.shape:
        raise ShapeError(f"C, P and W must have one shape, got {C.shape}, {P.shape}, {W.shape}")
    eps = check_positive("eps", eps, NO_ENTROPY)
    if P.min() < 0:
        raise DomainError(f"P holds a negative entry, {P.min():g}")
    r, c = P.sum(axis=1), P.sum(axis=0)
    if not (r.all() and c.all()):
        raise DomainError("P has an empty row or column: leave rows and columns without mass out")
    right_r, right_c = (W * P).sum(axis=1), (W * P).sum(axis=0)
    schur = np.diag(c) - P.T @ (P / r[:, None]) + np.outer(c, c) / c.sum()
    y = cho_solve(cho_factor(schur, lower=True), right_c - P.T @ (right_r / r))
    x = (right_r - P @ y) / r
    by_cost = -P * (W - x[:, None] - y) / eps
    return Gradient(by_cost, x, y, float(-(by_cost * np.where(P > 0, C, 0.0)).sum() / eps))
