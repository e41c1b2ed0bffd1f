"""Logistic regression by gradient descent with any step size, the perceptron included as its limit."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numba import njit, prange

from lemmata.errors import NotConverged
from lemmata.problems.learning_dynamics import StepRule, check_on_fail, check_separation, real_arrays

__all__ = ["separation_path", "separation_steps"]


def separation_steps(
    points: Any, gamma: Any, *, rule: StepRule, most: int, on_fail: Literal["raise", "return"] = "raise"
) -> np.ndarray:
    """Steps of gradient descent from 0 on ``(1/n) sum log(1 + e^{-z_i.theta})`` until all points are separated.

    ``theta <- theta + gamma c mean(w_i z_i)`` with ``w_i = 1/(1 + e^{z_i.theta})`` and c = 1 (``plain``) or
    ``c = 1 / mean(w_i)`` (``normalized``). For gamma = inf that is the batch perceptron: w_i = 1/2 at the start, later
    1 where ``z_i.theta <= 0`` and 0 elsewhere.

    Parameters
    ----------
    points : float64[B, n, d]
        ``z_i = y_i a_i``.
    gamma : float64[B]
        > 0, infinity included.
    rule : {"plain", "normalized"}
    most : int
        Steps after which a run is given up.
    on_fail : {"raise", "return"}

    Returns
    -------
    float64[B]
        t with ``z_i.theta_t > 0`` for all i for the first time; infinite where no t <= `most` will do, with
        ``on_fail="return"``. Memory: this, and d + n numbers a run.

    Raises
    ------
    ShapeError, DomainError, TypeError
    NotConverged
        A run was given up: its data may not be separable, see `lemmata.theory.learning_dynamics.margin`.
    """
    check_on_fail(on_fail)
    z, g = real_arrays(points=points, gamma=gamma)
    check_separation(z, g, rule, most)
    found, path = np.empty(len(z)), np.empty((len(z), 0, z.shape[2]))
    _separate(z, g, rule == "normalized", most, path, found)
    if on_fail == "raise" and np.isinf(found).any():
        raise NotConverged(
            f"{int(np.isinf(found).sum())} of {len(z)} runs have not separated their points after {most} steps: "
            "is the margin positive?",
            found,
        )
    return found


def separation_path(points: Any, gamma: Any, *, rule: StepRule, steps: int) -> np.ndarray:
    """The iterates ``theta_0/gamma, ..., theta_T/gamma`` of `separation_steps`, which do not stop at separation.

    Parameters
    ----------
    points, gamma, rule
        See `separation_steps`.
    steps : int
        T.

    Returns
    -------
    float64[B, T + 1, d]

    Raises
    ------
    ShapeError, DomainError, TypeError
    """
    z, g = real_arrays(points=points, gamma=gamma)
    check_separation(z, g, rule, steps)
    path = np.empty((len(z), steps + 1, z.shape[2]))
    _separate(z, g, rule == "normalized", steps, path, np.empty(len(z)))
    return path


@njit(cache=True, parallel=True)
def _separate(z, gamma, normalized, most, path, found):  # type: ignore[no-untyped-def]
    """Steps until separation in `found`; where `path` has room, all `most` steps are taken and kept."""
    batch, n, d = z.shape
    for p in prange(batch):
        b = np.int64(p)  # prange counts in uint64
        theta, push = np.zeros(d), np.empty(d)
        found[b] = math.inf
        for t in range(most + 1):
            if path.shape[1]:
                for j in range(d):
                    path[b, t, j] = theta[j]
            total, least = 0.0, math.inf
            for j in range(d):
                push[j] = 0.0
            for i in range(n):
                side = 0.0
                for j in range(d):
                    side += z[b, i, j] * theta[j]
                least = min(least, side)
                if t == 0:
                    weight = 0.5
                elif math.isinf(gamma[b]):
                    weight = 1.0 if side <= 0.0 else 0.0
                else:
                    weight = 1.0 / (1.0 + math.exp(gamma[b] * side))  # e^x may be infinite, never NaN
                total += weight
                for j in range(d):
                    push[j] += weight * z[b, i, j]
            if least > 0.0 and t < found[b]:
                found[b] = t
                if not path.shape[1]:
                    break
            scale = total if normalized else np.float64(n)
            if scale > 0.0:  # a separated perceptron stands still
                for j in range(d):
                    theta[j] += push[j] / scale
