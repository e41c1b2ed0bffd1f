"""The activation of a monotone deep Boltzmann machine: the proximal operator of a strongly convex entropy.

``f(q) = sum q log q - |q|^2 / 2`` on the simplex, and prox_{alpha f}(x) solves, with a multiplier nu for the sum,

    alpha log z_k + (1 - alpha) z_k = x_k + nu - alpha,     sum_k z_k = 1.

At alpha = 1, and only there, it is the softmax. Both equations are solved by Newton's method from starts on the side of
the root where it is monotone, for log z, so that nothing overflows: the right-hand side may be as large as it likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from lemmata.problems.monotone_dbm import block_slices, check_alpha, check_rows, check_states, node_offsets

__all__ = ["prox", "prox_jacobian"]

#: relative error at which Newton's method has the digits of a double
ROUNDING = 4e-16
#: Newton steps are quadratic near the root and at worst one unit of log z each before
LIMIT = 200
#: logarithm of a probability that a double holds as zero
NOTHING = 1000.0


@njit(cache=True)
def softmax_node(x: np.ndarray, lo: int, hi: int, z: np.ndarray) -> None:
    """z <- softmax(x) on the entries lo to hi."""
    top = x[lo]
    for k in range(lo + 1, hi):
        top = max(top, x[k])
    total = 0.0
    for k in range(lo, hi):
        z[k] = np.exp(x[k] - top)
        total += z[k]
    for k in range(lo, hi):
        z[k] /= total


@njit(cache=True)
def _binary(difference: float, alpha: float) -> float:
    """The log odds l of two states: ``alpha l + (1 - alpha) tanh(l/2) = x_1 - x_2``.

    Odd and increasing. Of d > 0, ``2 d / (1 + alpha)`` and ``(d - 1 + alpha) / alpha`` lie on one side of l: below it
    for alpha < 1, where the left-hand side is concave, above it for alpha > 1. From the nearer one Newton's method
    moves one way only. Below 1 the equation is solved with ``tanh(l/2) = 1 - 2 s``, s the smaller probability: nothing
    cancels then where the odds are long and alpha is small.
    """
    d = min(abs(difference), 2.0 + NOTHING * alpha)  # beyond it the odds are infinite in double precision
    beyond = (d - 1.0) + alpha
    near, far = 2.0 * d / (1.0 + alpha), beyond / alpha
    log_odds = max(near, far) if alpha < 1.0 else min(near, far)
    for _ in range(LIMIT):
        if alpha < 1.0:
            if log_odds > NOTHING:
                break
            s = np.exp(-log_odds) / (1.0 + np.exp(-log_odds))
            left = alpha * log_odds - 2.0 * (1.0 - alpha) * s - beyond
            slope = alpha + 2.0 * (1.0 - alpha) * s * (1.0 - s)
        else:
            t = np.tanh(log_odds / 2.0)
            left = alpha * log_odds + (1.0 - alpha) * t - d
            slope = (1.0 + alpha) / 2.0 + (alpha - 1.0) * t * t / 2.0
        step = left / slope
        log_odds -= step
        # what is left is at most step^2 / 2 times the ratio of second to first derivative, which is at most min(1, l)
        if step * step <= ROUNDING:
            break
    return log_odds if difference >= 0 else -log_odds


@njit(cache=True)
def _from_root(u: float, alpha: float) -> float:
    """``e^u`` below alpha = 1 and ``e^u - 1`` above, where the former would cancel.

    With w so, and a from 0 there and from 1 - alpha here, the equation of u = log z is ``alpha u + (1 - alpha) w = a``.
    """
    return np.exp(u) if alpha < 1.0 else np.expm1(u)


@njit(cache=True)
def prox_node(x: np.ndarray, lo: int, hi: int, alpha: float, z: np.ndarray) -> None:
    """z <- prox_{alpha f}(x) on the entries lo to hi of one node; x and z may not overlap."""
    if hi - lo == 2:
        log_odds = _binary(x[lo] - x[lo + 1], alpha)
        # the smaller probability keeps its relative precision
        small = np.exp(-abs(log_odds)) / (1.0 + np.exp(-abs(log_odds)))
        z[lo], z[lo + 1] = (1.0 - small, small) if log_odds >= 0 else (small, 1.0 - small)
        return
    if alpha == 1.0:
        softmax_node(x, lo, hi, z)
        return
    top = x[lo]
    for k in range(lo + 1, hi):
        top = max(top, x[k])
    lowest = -2.0 - NOTHING * alpha  # below it z is zero in double precision, whatever nu
    # nu is counted from 1 - top, where the largest z is 1 and the sum too large: it is convex in nu, which only falls
    right, least = (1.0 - alpha, alpha) if alpha < 1.0 else (0.0, 1.0)
    for k in range(lo, hi):
        y = max(x[k] - top, lowest)
        # both lie on the side of the root from which Newton's method moves one way only
        z[k] = min((y + 1.0 - alpha) / alpha, y) if alpha < 1.0 else max((y + 1.0 - alpha) / alpha, y)
    nu = 0.0
    for _ in range(LIMIT):
        excess, slope = -1.0, 0.0
        for k in range(lo, hi):
            y = right + (max(x[k] - top, lowest) + nu)
            u = z[k]
            for _ in range(LIMIT):
                w = _from_root(u, alpha)
                step = (alpha * u + (1.0 - alpha) * w - y) / (least + (1.0 - alpha) * w)
                u = min(u - step, 0.0)
                # the same, with a ratio of at most max(1, alpha - 1), or rounding; below 1 u only falls
                if step * step * max(1.0, alpha) <= ROUNDING or abs(step) <= -2.0 * ROUNDING * u:
                    break
                if alpha < 1.0 and u < -NOTHING:
                    break
            z[k] = u
            excess += np.exp(u)
            slope += np.exp(u) / (least + (1.0 - alpha) * _from_root(u, alpha))
        nu -= excess / slope
        # the next excess would be the square of this one, relative to the curvature of the sum
        if excess <= 2.0 * ROUNDING * (hi - lo):
            break
    total = 0.0
    for k in range(lo, hi):
        z[k] = np.exp(z[k])
        total += z[k]
    for k in range(lo, hi):
        z[k] /= total


@njit(cache=True)
def _prox_rows(x: np.ndarray, alpha: float, offsets: np.ndarray, z: np.ndarray) -> None:
    for b in range(x.shape[0]):
        for i in range(offsets.size - 1):
            prox_node(x[b], offsets[i], offsets[i + 1], alpha, z[b])


def prox(x: Any, alpha: float, states: Sequence[int]) -> np.ndarray:
    """prox_{alpha f}(x) of every node, to full precision at any step.

    Parameters
    ----------
    x : float64[n] or float64[B, n]
    alpha : float
        Step, from 1e-30 to 1e30. At 1 this is the softmax; towards 0 the projection onto the simplex; towards infinity
        uniform.
    states : sequence of int
        States of each node, of sum n.

    Returns
    -------
    float64, as x
        Points of the product of simplices.

    Raises
    ------
    DomainError, ShapeError, NonFiniteError
    """
    states, alpha = check_states(states), check_alpha(alpha)
    rows = np.ascontiguousarray(check_rows("x", x, sum(states)))
    z = np.empty_like(rows)
    _prox_rows(rows, alpha, node_offsets(states), z)
    return z.reshape(np.shape(x))


def prox_jacobian(z: Any, alpha: float, states: Sequence[int]) -> np.ndarray:
    """Jacobian of the prox at ``z = prox(x)``: ``diag(g) - g g' / sum g`` with ``g = z / (alpha + (1 - alpha) z)``.

    Symmetric, positive semidefinite, of spectral norm at most ``1/(1 + alpha)``.

    Parameters
    ----------
    z : float64[n]
    alpha : float
    states : sequence of int

    Returns
    -------
    float64[n, n]
        Block diagonal, a block a node.
    """
    states, alpha = check_states(states), check_alpha(alpha)
    (row,) = check_rows("z", z, sum(states))
    g = row / (alpha + (1 - alpha) * row)
    jacobian = np.diag(g)
    for own in block_slices(states):
        jacobian[own, own] -= np.outer(g[own], g[own]) / g[own].sum()
    return jacobian
