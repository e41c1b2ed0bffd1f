"""Deep linear networks in gradient flow, by an adaptive integrator, and in gradient descent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit, prange
from scipy.integrate import solve_ivp

from lemmata.errors import DomainError, NotConverged
from lemmata.problems.learning_dynamics import check_descent, check_network

__all__ = ["chain_time", "deep_linear_descent", "deep_linear_flow"]

#: relative and absolute error of a step of the integrator
PRECISION = {"rtol": 1e-11, "atol": 1e-13}


def deep_linear_flow(
    weights: Sequence[np.ndarray], target: np.ndarray, times: Sequence[float], *, tau: float = 1.0
) -> np.ndarray:
    """Gradient flow on ``|W_D ... W_1 - Sigma|_F^2 / 2``, all entries of all weights, by DOP853.

    ``tau W_l' = (W_D ... W_{l+1})^T (Sigma - W_D ... W_1) (W_{l-1} ... W_1)^T``: white inputs.

    Parameters
    ----------
    weights : sequence of float64[n_l, n_{l-1}]
        W_1 first.
    target : float64[n_D, n_0]
    times : sequence of float
        >= 0, not falling.
    tau : float

    Returns
    -------
    float64[T, n_D, n_0]
        The product at these times, with an error of about 1e-9. Memory: this, and the parameters some 20 times.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    NotConverged
        The integrator gave up.
    """
    check_network(weights, target)
    t = np.asarray(times, dtype=np.float64)
    if t.ndim != 1 or t.size == 0 or not (t[0] >= 0 and (np.diff(t) >= 0).all() and np.isfinite(t).all()):
        raise DomainError(f"times must be finite, >= 0 and not fall, got {times!r}")
    if not 0 < tau < math.inf:
        raise DomainError(f"tau must be > 0 and finite, got {tau}")
    shapes = [W.shape for W in weights]
    ends = np.cumsum([0, *(rows * columns for rows, columns in shapes)])

    def layers(flat: np.ndarray) -> list[np.ndarray]:
        return [flat[a:b].reshape(shape) for a, b, shape in zip(ends[:-1], ends[1:], shapes, strict=True)]

    def slope(_: float, flat: np.ndarray) -> np.ndarray:
        W = layers(flat)
        before = [np.eye(shapes[0][1])]
        for layer in W:
            before.append(layer @ before[-1])
        back = target - before[-1]
        found = np.empty_like(flat)
        for i in range(len(W) - 1, -1, -1):
            found[ends[i] : ends[i + 1]] = (back @ before[i].T).ravel()
            back = W[i].T @ back
        return found / tau

    start = np.concatenate([np.ravel(W) for W in weights])
    run = solve_ivp(slope, (0.0, max(float(t[-1]), 1e-300)), start, method="DOP853", t_eval=t, **PRECISION)
    if not run.success:
        raise NotConverged(f"the integrator stopped at t = {run.t[-1] if run.t.size else 0.0:g}: {run.message}", run)
    maps = []
    for flat in run.y.T:
        found = np.eye(shapes[0][1])
        for W in layers(flat):
            found = W @ found
        maps.append(found)
    return np.stack(maps)


def chain_time(layers: np.ndarray, final: float, strength: float, *, tau: float = 1.0) -> float:
    """Time at which the product of D scalars in gradient flow on ``(a_D ... a_1 - s)^2 / 2`` reaches u_f.

    Parameters
    ----------
    layers : float64[D]
        a_1, ..., a_D > 0 at the start.
    final, strength : float
        ``a_D ... a_1 < u_f < s``.
    tau : float

    Returns
    -------
    float
        Each a_l is integrated by itself, by DOP853.

    Raises
    ------
    DomainError
    NotConverged
        The product does not reach u_f.
    """
    a = np.asarray(layers, dtype=np.float64)
    if a.ndim != 1 or a.size == 0 or not (a > 0).all():
        raise DomainError(f"layers must be D >= 1 numbers > 0, got {layers!r}")
    if not a.prod() < final < strength:
        raise DomainError(f"the product grows from u_0 < u_f < s; got {a.prod():g}, {final:g} and {strength:g}")

    def slope(_: float, a: np.ndarray) -> np.ndarray:
        u = a.prod()
        return u / a * (strength - u) / tau

    def reached(_: float, a: np.ndarray) -> float:
        return float(a.prod() - final)

    reached.terminal = True  # type: ignore[attr-defined]
    # the product can only speed up until it is near u_f: no mode takes longer than at its first speed
    u0 = float(a.prod())
    first = min(u0**2 * (1 / a**2).sum() * (strength - v) / tau for v in (u0, final))
    end = 2 * (final - u0) / first
    run = solve_ivp(slope, (0.0, end), a, method="DOP853", events=reached, **PRECISION)
    if not run.t_events[0].size:
        raise NotConverged(f"the product reached {run.y[:, -1].prod():g} by t = {end:g}, not {final:g}", run)
    return float(run.t_events[0][0])


def deep_linear_descent(weights: Any, target: Any, eta: float, at: Sequence[int]) -> np.ndarray:
    """Gradient descent on ``|W_D ... W_1 - Sigma|_F^2 / 2`` of B networks side by side.

    Parameters
    ----------
    weights : float64[B, D, m, m]
        W_1 first; see `stack`.
    target : float64[B, m, m]
    eta : float
        Learning rate: a step takes the time ``eta tau``.
    at : sequence of int
        Steps at which to record, not falling.

    Returns
    -------
    float64[B, T, m, m]
        The products. Memory: this, and D + 4 matrices a network.

    Raises
    ------
    ShapeError, DomainError
    """
    W, S = (np.array(a, dtype=np.float64, order="C") for a in (weights, target))
    steps = check_descent(W.shape, S.shape, eta, at)
    found = np.empty((len(W), steps.size, *S.shape[1:]))
    _descend(W, S, float(eta), steps, found)
    return found


@njit(cache=True, parallel=True)
def _descend(W, S, eta, at, found):  # type: ignore[no-untyped-def]
    batch, depth, m, _ = W.shape
    for p in prange(batch):
        b = np.int64(p)  # prange counts in uint64
        before = np.empty((depth + 1, m, m))
        back, next_back, gradient = np.empty((m, m)), np.empty((m, m)), np.empty((m, m))
        for i in range(m):
            for j in range(m):
                before[0, i, j] = 1.0 if i == j else 0.0
        record = 0
        for step in range(at[-1] + 1):
            for layer in range(depth):
                np.dot(W[b, layer], before[layer], before[layer + 1])
            while record < at.size and at[record] == step:
                for i in range(m):
                    for j in range(m):
                        found[b, record, i, j] = before[depth, i, j]
                record += 1
            for i in range(m):
                for j in range(m):
                    back[i, j] = S[b, i, j] - before[depth, i, j]
            for layer in range(depth - 1, -1, -1):
                np.dot(back, before[layer].T, gradient)
                np.dot(W[b, layer].T, back, next_back)  # before W_l moves
                for i in range(m):
                    for j in range(m):
                        W[b, layer, i, j] += eta * gradient[i, j]
                back, next_back = next_back, back
