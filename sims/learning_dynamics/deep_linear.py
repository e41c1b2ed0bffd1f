"""Deep linear networks in gradient flow, by an adaptive integrator, and in gradient descent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit, prange
from scipy.integrate import DOP853, solve_ivp

from lemmata.errors import DomainError, NotConverged
from lemmata.problems.learning_dynamics import check_descent, check_network, real_arrays

__all__ = ["chain_time", "deep_linear_descent", "deep_linear_flow"]

#: relative error of a step of the integrators
RTOL = 1e-12


class _Relative(DOP853):
    """DOP853 whose absolute error is 1e-13 of the largest weight of each layer, which grows on the way."""

    def __init__(self, *arguments: Any, ends: np.ndarray, **options: Any) -> None:
        self.ends = ends
        super().__init__(*arguments, **options)

    def _step_impl(self) -> tuple[bool, str | None]:
        sizes = np.maximum.reduceat(abs(self.y), self.ends[:-1])
        sizes[sizes == 0] = sizes[sizes > 0].min(initial=math.inf)  # a layer of zeros grows as the others let it
        self.atol = 1e-13 * np.repeat(sizes, np.diff(self.ends))
        return super()._step_impl()


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
        The product at these times, with an error of about 1e-9, however small the start; but a mode that is still
        1e-13 times smaller than another when that one is learned sinks into its rounding. Memory: this, and the
        parameters some 20 times.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, TypeError
    NotConverged
        The integrator gave up.
    """
    weights = real_arrays(**{f"W_{i + 1}": W for i, W in enumerate(weights)})
    (target,) = real_arrays(target=target)
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
    stops, place = np.unique(t, return_inverse=True)
    span = (0.0, max(float(t[-1]), 1e-300))
    run = solve_ivp(slope, span, start, method=_Relative, t_eval=stops, rtol=RTOL, ends=ends)
    if not run.success:
        raise NotConverged(f"the integrator stopped at t = {run.t[-1] if run.t.size else 0.0:g}: {run.message}", run)
    maps = []
    for flat in run.y.T:
        found = np.eye(shapes[0][1])
        for W in layers(flat):
            found = W @ found
        maps.append(found)
    return np.stack(maps)[place]


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
        Each a_l is integrated by itself, by DOP853: its logarithm, with ``ln(a_D ... a_1)``, which grows all the time,
        for a clock. So the relative error is about 1e-10, however small the start.

    Raises
    ------
    DomainError, TypeError
    NotConverged
        The integrator gave up.
    """
    (a,) = real_arrays(layers=layers)
    if a.ndim != 1 or a.size == 0 or not ((a > 0) & (a < math.inf)).all():
        raise DomainError(f"layers must be D >= 1 finite numbers > 0, got {layers!r}")
    if not 0 < tau < math.inf:
        raise DomainError(f"tau must be > 0 and finite, got {tau}")
    begin = float(np.log(a).sum())
    if not (0 < final < strength < math.inf and begin < math.log(final)):
        raise DomainError(f"the product grows from u_0 < u_f < s < inf; got e^{begin:g}, {final:g} and {strength:g}")

    def shares(logs: np.ndarray) -> tuple[np.ndarray, float]:
        """``a_l^-2 / sum a^-2``, and ``ln sum a^-2``: ``a_l' = (u / a_l) (s - u) / tau`` makes u' a sum of these."""
        largest = float(-2 * logs.min())
        parts = np.exp(-2 * logs - largest)
        return parts / parts.sum(), largest + math.log(parts.sum())

    _, start = shares(np.log(a))

    def slope(clock: float, state: np.ndarray) -> np.ndarray:
        """Of the logarithms, and of the time in units of ``tau e^(-begin - start)``, by that of the product."""
        part, total = shares(state[:-1])
        return np.append(part, math.exp(begin + start - clock - total) / (strength - math.exp(clock)))

    span = (begin, math.log(final))
    run = solve_ivp(slope, span, np.append(np.log(a), 0.0), method="DOP853", rtol=RTOL, atol=1e-13)
    if not run.success:
        raise NotConverged(f"the integrator stopped at a product of {math.exp(run.t[-1]):g}: {run.message}", run)
    logarithm = math.log(tau) - begin - start + math.log(run.y[-1, -1])
    if logarithm > 709:
        raise DomainError(f"from u_0 = e^{begin:g} learning takes a time of e^{logarithm:g}, beyond the largest float")
    return math.exp(logarithm)


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
        The products; infinite or NaN where a network diverges. Memory: this, and D + 4 matrices a network.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, TypeError
    """
    W, S = real_arrays(weights=weights, target=target)
    steps = check_descent(W, S, eta, at)
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
