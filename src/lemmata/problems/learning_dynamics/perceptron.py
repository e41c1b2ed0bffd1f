"""Separable data for logistic regression with large steps: worst cases, random sets, and the checks on a run.

Everything is in terms of the signed points ``z_i = y_i a_i``, which a solution theta puts on its side:
``z_i . theta > 0`` for all i. Iterates are given as theta_t / gamma, so that gamma may be infinite: that is the batch
perceptron.

References
----------
Tyurin, "From logistic regression to the perceptron algorithm: exploring gradient descent with large step sizes", 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from lemmata.errors import DomainError, ShapeError
from lemmata.random import check_seed

__all__ = [
    "Separable",
    "StepRule",
    "check_on_fail",
    "check_separation",
    "nearly_opposed",
    "random_separable",
    "two_points",
    "worst_case",
]

#: of one step: the mean of ``w_i z_i``, or that divided by the mean of w_i (w_i the weight of a wrong label)
StepRule = Literal["plain", "normalized"]


@dataclass(frozen=True, eq=False)
class Separable:
    """Signed points ``z_i = y_i a_i``, float64[n, d]."""

    points: np.ndarray

    @property
    def radius(self) -> float:
        """``R = max_i |z_i|``."""
        return float(np.linalg.norm(self.points, axis=1).max())


def worst_case(n: int) -> Separable:
    """One point (.5, -1) with label 1, n - 1 points (-.5, -1) with label -1: the perceptron needs of order n steps."""
    if n < 2:
        raise DomainError(f"n must be at least 2, got {n}")
    points = np.tile([0.5, 1.0], (n, 1))
    points[0] = 0.5, -1.0
    return Separable(points)


def two_points() -> Separable:
    """(1, -1) with label 1 and (-1, -4) with label -1: the first large step makes the loss as large as one likes."""
    return Separable(np.array([[1.0, -1.0], [1.0, 4.0]]))


def nearly_opposed(e: float) -> Separable:
    """(1, e) and (-1 + 2.1 e^2, e), of margin about e: perceptrons take them in turn, some 1/(2 e^2) steps long.

    The mean over misclassified points needs half as many steps as its bound, 1/n of their sum a quarter.
    """
    if not 0 < e <= 0.1:
        raise DomainError(f"e must lie in (0, .1], got {e}: above, the first step separates the points")
    return Separable(np.array([[1.0, e], [2.1 * e**2 - 1, e]]))


def random_separable(n: int, d: int, *, gap: float = 0.1, seed: int) -> Separable:
    """Normal points at a distance of at least `gap` from a random hyperplane through 0, labelled by their side."""
    rng = np.random.default_rng(check_seed(seed))
    if not (n >= 1 and d >= 1 and 0 < gap < 2):
        raise DomainError(f"n and d must be at least 1 and gap in (0, 2), got {n}, {d} and {gap}")
    normal = rng.standard_normal(d)
    normal /= np.linalg.norm(normal)
    side = np.empty(0)
    while side.size < n:  # of the distances that are large enough
        draws = abs(rng.standard_normal(4 * n))
        side = np.append(side, draws[draws >= gap])
    across = rng.standard_normal((n, d))
    across -= np.outer(across @ normal, normal)
    return Separable(across + np.outer(side[:n], normal))


def check_separation(points: Any, gamma: Any, rule: str, steps: int) -> None:
    """Refuse points, steps and rules that make no run.

    Raises
    ------
    ShapeError, DomainError
    """
    if points.ndim != 3 or 0 in points.shape:
        raise ShapeError(f"points must have shape (B, n, d), got {tuple(points.shape)}")
    if tuple(gamma.shape) != (points.shape[0],):
        raise ShapeError(f"gamma must have shape ({points.shape[0]},), one step size a run, got {tuple(gamma.shape)}")
    if not bool((gamma > 0).all()):
        raise DomainError(f"gamma must be > 0, infinity for the perceptron; got {float(gamma.min())}")
    if not bool((abs(points) < np.inf).all()):
        raise DomainError("points must be finite")
    if rule not in get_args(StepRule):
        raise DomainError(f"rule must be one of {', '.join(get_args(StepRule))}, got {rule!r}")
    if steps < 1:
        raise DomainError(f"a run takes at least 1 step, got {steps}")
    largest = abs(points).max()
    with np.errstate(over="ignore", under="ignore"):
        square = float(largest * largest * (steps * points.shape[2]))
    if float(largest) and not 0 < square < np.inf:
        raise DomainError(
            f"squares of points of size {float(largest):g} leave {points.dtype}: divide the points by c, and multiply "
            "gamma by c^2"
        )


def check_on_fail(on_fail: str) -> None:
    """Refuse another word for what happens to runs that are given up.

    Raises
    ------
    DomainError
    """
    if on_fail not in ("raise", "return"):
        raise DomainError(f"on_fail must be raise or return, got {on_fail!r}")
