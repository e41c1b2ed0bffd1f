"""Addition modulo M for a network ``f = sigma(X W) V``: inputs, centred targets, and the checks on an ascent.

References
----------
Tian, "Provable scaling laws of feature emergence from learning dynamics of grokking", 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.random import check_seed

__all__ = ["Addition", "RidgeFeatures", "check_ascent", "random_features", "random_units"]


@dataclass(frozen=True)
class Addition:
    """All M² pairs (a, b) with their sums modulo M.

    Attributes
    ----------
    modulus : int
        M >= 2.
    """

    modulus: int

    def __post_init__(self) -> None:
        if self.modulus < 2:
            raise DomainError(f"modulus must be at least 2, got {self.modulus}")

    @property
    def X(self) -> np.ndarray:
        """One-hot a beside one-hot b, float64[M^2, 2 M]; the pair (a, b) in row a M + b."""
        unit = np.eye(self.modulus)
        return np.hstack((np.repeat(unit, self.modulus, axis=0), np.tile(unit, (self.modulus, 1))))

    @property
    def Y(self) -> np.ndarray:
        """One-hot (a + b) mod M less the mean over all pairs, float64[M^2, M]."""
        a, b = np.divmod(np.arange(self.modulus**2), self.modulus)
        return np.eye(self.modulus)[(a + b) % self.modulus] - 1 / self.modulus


@dataclass(frozen=True, eq=False)
class RidgeFeatures:
    """Features F float64[n, K], targets Y float64[n, M], weight decay eta of the readout."""

    F: np.ndarray
    Y: np.ndarray
    eta: float


def random_features(modulus: int, width: int, *, eta: float, seed: int) -> RidgeFeatures:
    """``sigma(X W)`` for sigma(x) = x² and normal W, on all pairs."""
    data = Addition(modulus)
    W = np.random.default_rng(check_seed(seed)).standard_normal((2 * modulus, width))
    if not 0 < eta < np.inf:
        raise DomainError(f"eta must be > 0 and finite, got {eta}: without weight decay the gradient vanishes")
    return RidgeFeatures((data.X @ W) ** 2, data.Y, eta)


def random_units(modulus: int, count: int, *, seed: int) -> np.ndarray:
    """Random directions of the weights of hidden units, float64[count, 2 M]."""
    w = np.random.default_rng(check_seed(seed)).standard_normal((count, 2 * modulus))
    return w / np.linalg.norm(w, axis=1, keepdims=True)


def check_ascent(w: Any, steps: int) -> None:
    """Refuse weights and steps that make no ascent.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    if len(w.shape) != 2 or 0 in w.shape or w.shape[1] % 2 or w.shape[1] < 4:
        raise ShapeError(f"w must have shape (B, 2 M) with M >= 2, got {tuple(w.shape)}")
    if not bool((abs(w) < np.inf).all()):
        raise NonFiniteError("w is not finite")
    if not bool((w != 0).any(1).all()):
        raise DomainError("a unit with w = 0 has no direction in which to grow")
    if steps < 0:
        raise DomainError(f"steps must be >= 0, got {steps}")
