"""Polynomial regression between the lazy and the rich regime: runs, their statistics, and the checks on them.

``f(x) = (alpha/N) sum_i phi(w_i . x)`` with ``phi(h) = h + eps h^2 / 2`` and readouts fixed at 1 learns
``y = (beta . x)^2 / 2`` from P points ``x ~ N(0, I/D)``. Of the N weight vectors only two statistics count,
``m = (1/N) sum w_i`` and ``S = (1/N) sum w_i w_i^T``:

    f(x) = alpha m . x + (alpha eps / 2) x^T S x.

References
----------
Kumar, Bordelon, Gershman and Pehlevan, "Grokking as the transition from lazy to rich training dynamics", ICLR 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.random import check_seed

__all__ = ["LazyRich", "check_lazy_rich", "lazy_rich_batch", "random_lazy_rich"]


@dataclass(frozen=True, eq=False)
class LazyRich:
    """One run before it starts.

    Attributes
    ----------
    X : float64[P, D]
    beta : float64[D]
        Of squared length D.
    weights : float64[N, D]
    alpha, eps : float
        Laziness, and the curvature of the activation.
    """

    X: np.ndarray
    beta: np.ndarray
    weights: np.ndarray
    alpha: float
    eps: float

    @property
    def mean(self) -> np.ndarray:
        """m, float64[D]."""
        return self.weights.mean(axis=0)

    @property
    def second(self) -> np.ndarray:
        """S, float64[D, D]."""
        return self.weights.T @ self.weights / len(self.weights)


def random_lazy_rich(D: int, P: int, N: int, *, alpha: float, eps: float, seed: int) -> LazyRich:
    """Normal points, weights and target; the same of each for all alpha and eps."""
    if min(D, P, N) < 1:
        raise DomainError(f"D, P and N must be at least 1, got {D}, {P} and {N}")
    rng = np.random.default_rng(check_seed(seed))
    beta = rng.standard_normal(D)
    X, W = rng.standard_normal((P, D)) / np.sqrt(D), rng.standard_normal((N, D))
    return LazyRich(X, beta * np.sqrt(D) / np.linalg.norm(beta), W, alpha, eps)


def lazy_rich_batch(runs: Sequence[LazyRich]) -> tuple[np.ndarray, ...]:
    """X, beta, m, S, alpha and eps of runs with the same D and P, stacked: arguments of `lazy_rich_train`."""
    shapes = {run.X.shape for run in runs}
    if len(shapes) != 1:
        raise ShapeError(f"runs side by side have points of one shape, got {sorted(shapes)}")
    columns = zip(*((r.X, r.beta, r.mean, r.second, r.alpha, r.eps) for r in runs), strict=True)
    return tuple(np.array(column) for column in columns)


def check_lazy_rich(
    X: Any, beta: Any, mean: Any, second: Any, alpha: Any, eps: Any, rate: float, at: Any
) -> np.ndarray:
    """Refuse runs that do not fit together; the recorded steps, int64[T].

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    R, P, D = X.shape if X.ndim == 3 else (0, 0, 0)
    shapes = [tuple(a.shape) for a in (X, beta, mean, second, alpha, eps)]
    if 0 in (R, P, D) or shapes[1:] != [(R, D), (R, D), (R, D, D), (R,), (R,)]:
        raise ShapeError(
            f"X, beta, mean, second, alpha and eps must have shapes (R, P, D), (R, D), (R, D), (R, D, D), (R,) and "
            f"(R,), got {shapes}"
        )
    for name, array in (("X", X), ("beta", beta), ("mean", mean), ("second", second)):
        if not bool((abs(array) < np.inf).all()):
            raise NonFiniteError(f"{name} is not finite")
    for name, array in (("alpha", alpha), ("eps", eps)):
        if not bool(((array > 0) & (array < np.inf)).all()):
            raise DomainError(f"{name} must be > 0 and finite, got {float(array.min())}")
    if not 0 < rate < np.inf:
        raise DomainError(f"rate must be > 0 and finite, got {rate}")
    given = np.asarray(at)
    steps = given.astype(np.int64)
    if steps.ndim != 1 or not steps.size or (steps != given).any() or steps[0] < 0 or (np.diff(steps) < 0).any():
        raise DomainError(f"at must be whole steps >= 0 that do not fall, got {given.ravel().tolist()}")
    return steps
