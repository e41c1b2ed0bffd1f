"""Softmax at the end of its arithmetic, and updates orthogonal to the weights: cases and checks.

References
----------
Prieto, Barsbey, Mediano and Birdal, "Grokking at the edge of numerical stability", ICLR 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.random import check_seed

__all__ = ["CollapseCase", "Precision", "SumOrder", "WeightUpdate", "check_update", "random_updates"]

Precision = Literal["float16", "float32", "float64"]
SumOrder = Literal["pairwise", "sequential"]


@dataclass(frozen=True)
class CollapseCase:
    """C logits, one of them `gap` above the others, which are equal.

    Attributes
    ----------
    precision : {"float16", "float32", "float64"}
    classes : int
        C >= 2.
    order : {"pairwise", "sequential"}
        How the exponentials are summed; "sequential" starts from the largest.
    """

    precision: Precision
    classes: int
    order: SumOrder

    def __post_init__(self) -> None:
        for name, value, words in (("precision", self.precision, Precision), ("order", self.order, SumOrder)):
            if value not in get_args(words):
                raise DomainError(f"{name} must be one of {', '.join(get_args(words))}, got {value!r}")
        if self.classes < 2:
            raise DomainError(f"classes must be at least 2, got {self.classes}")

    @property
    def bits(self) -> int:
        """p, of the significand: 1 + 2^-p rounds to 1."""
        return int(np.finfo(self.precision).nmant) + 1

    def logits(self, gap: np.ndarray) -> np.ndarray:
        """The largest first, of the case's precision, [gap, C]."""
        found = np.zeros((len(gap), self.classes), dtype=self.precision)
        found[:, 0] = gap
        return found


@dataclass(frozen=True, eq=False)
class WeightUpdate:
    """Weights, their gradient (of one shape, of two entries at least) and a learning rate."""

    w: np.ndarray
    g: np.ndarray
    eta: float


def random_updates(count: int, *, seed: int) -> list[WeightUpdate]:
    """Normal weights and gradients of many shapes and scales; one in two gradients is nearly parallel to w."""
    rng = np.random.default_rng(check_seed(seed))
    found = []
    for i in range(count):
        shape = (int(rng.integers(1, 9)), int(rng.integers(2, 9)))
        w, g = rng.standard_normal((2, *shape))
        g = g + (i % 2) * 50 * w
        found.append(WeightUpdate(w * 10 ** rng.uniform(-3, 3), g * 10 ** rng.uniform(-3, 3), 10 ** rng.uniform(-2, 0)))
    return found


def check_update(w: Any, g: Any) -> None:
    """Refuse weights that have no direction, or a gradient of another shape.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    if tuple(w.shape) != tuple(g.shape):
        raise ShapeError(f"w and g must have the same shape, got {tuple(w.shape)} and {tuple(g.shape)}")
    if w.size < 2 if isinstance(w, np.ndarray) else w.numel() < 2:
        raise DomainError("nothing is orthogonal to a single weight: leave scalar parameters out")
    for name, array in (("w", w), ("g", g)):
        if not bool((abs(array) < np.inf).all()):
            raise NonFiniteError(f"{name} is not finite")
    if not bool((w != 0).any()):
        raise DomainError("w = 0 has no direction to project out")
