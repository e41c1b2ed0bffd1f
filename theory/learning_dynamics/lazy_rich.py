"""Statements on polynomial regression between the lazy and the rich regime: losses, kernel, alignment, grokking.

Notation: ``f(x) = alpha m.x + (alpha eps/2) x^T S x`` with m and S the mean and the second moment of the weights,
target ``(beta.x)^2/2``, inputs ``x ~ N(0, I/D)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from lemmata.claims import Assumption, Claim, Source

__all__ = [
    "kernel_alignment",
    "lazy_rich_closure",
    "lazy_rich_grokking",
    "lazy_rich_kernel",
    "lazy_rich_population",
    "population_loss",
    "tangent_kernel",
]

KUMAR = Source(
    "kumar2024",
    "Kumar, Tanishq and Bordelon, Blake and Gershman, Samuel J. and Pehlevan, Cengiz",
    "Grokking as the transition from lazy to rich training dynamics",
    "International Conference on Learning Representations",
    2024,
    arxiv="2310.06110",
)

# ----------------------------------------------------------------------------------------- closed forms


def population_loss(mean: Any, second: Any, beta: Any, alpha: Any, eps: Any) -> np.ndarray:
    """``E (f(x) - y(x))^2`` over a new input, from the statistics of the weights.

    ``(Tr A)^2/(4 D^2) + |A|_F^2/(2 D^2) + alpha^2 |m|^2/D`` with ``A = beta beta^T - alpha eps S``: scale,
    misalignment, and the linear part.

    Parameters
    ----------
    mean, beta : float[..., D]
    second : float[..., D, D]
    alpha, eps : float[...]

    Returns
    -------
    float64[...]
    """
    m, S, b = (np.asarray(a, dtype=np.float64) for a in (mean, second, beta))
    alpha, eps, D = np.asarray(alpha, dtype=np.float64), np.asarray(eps, dtype=np.float64), m.shape[-1]
    A = b[..., :, None] * b[..., None, :] - (alpha * eps)[..., None, None] * S
    trace = np.trace(A, axis1=-2, axis2=-1)
    return trace**2 / (4 * D**2) + (A**2).sum(axis=(-2, -1)) / (2 * D**2) + alpha**2 * (m**2).sum(axis=-1) / D


def tangent_kernel(X: np.ndarray, mean: np.ndarray, second: np.ndarray, eps: float) -> np.ndarray:
    """``N/alpha^2`` times the tangent kernel: ``(x.x') [1 + eps m.(x + x') + eps^2 x^T S x']``, float64[P, P]."""
    h = X @ mean
    return (X @ X.T) * (1 + eps * (h[:, None] + h[None, :]) + eps**2 * X @ second @ X.T)


def kernel_alignment(K: np.ndarray, y: np.ndarray) -> float:
    """``y^T K y / (|K|_F |y|^2)``, K and y both centred on both axes: 1 where K is a multiple of y y^T."""
    C = np.eye(len(y)) - 1 / len(y)
    K, y = C @ K @ C, C @ y
    return float(y @ K @ y / (np.linalg.norm(K) * (y @ y)))


# ----------------------------------------------------------------------------------------------- claims

GAUSSIAN = Assumption("inputs are normal with covariance I/D, and new")
READOUT = Assumption("readouts are fixed at 1, the activation is h + eps h^2/2")

lazy_rich_closure = Claim(
    id="learning_dynamics/lazy-rich-closure",
    kind="identity",
    quantity="mean and second moment of all weights after gradient descent on each of them",
    expression=sp.Symbol("recursion"),
    symbols={"recursion": "m <- A m + d, S <- A S A + A m dᵀ + d (A m)ᵀ + d dᵀ"},
    assumptions=(READOUT,),
    source=KUMAR,
    tolerance=1e-9,
    statement=(
        "Every weight makes the same affine step, so that training closes on the mean and the second moment of the "
        "weights: the width enters through the start alone."
    ),
)

lazy_rich_kernel = Claim(
    id="learning_dynamics/lazy-rich-kernel",
    kind="identity",
    quantity="N/α² times the inner products of the gradients of f",
    expression=sp.Symbol("kernel"),
    symbols={"kernel": "(x·x') [1 + ε m·(x + x') + ε² xᵀ S x']"},
    assumptions=(READOUT,),
    source=KUMAR,
    tolerance=1e-12,
    statement="The tangent kernel is a function of the two statistics, at any time.",
)

lazy_rich_population = Claim(
    id="learning_dynamics/lazy-rich-population",
    kind="mean-identity",
    quantity="(f(x) - y(x))² over the population loss, on new points, along training",
    expression=sp.Integer(1),
    symbols={},
    assumptions=(GAUSSIAN, READOUT),
    source=KUMAR,
    tolerance=0.1,  # the quick budget resolves 6 %: squares of quadratic forms have heavy tails
    statement="The test loss is (Tr A)²/(4D²) + |A|²/(2D²) + α²|m|²/D with A = β βᵀ - α ε S.",
)

lazy_rich_grokking = Claim(
    id="learning_dynamics/lazy-rich-grokking",
    kind="bound",
    direction="lower",
    quantity="delay of the test loss behind the training loss at α over that at α/2, same data and weights",
    expression=sp.Integer(1),
    symbols={},
    assumptions=(READOUT,),
    source=KUMAR,
    standing="checked",
    statement=(
        "With the learning rate scaled by 1/alpha^2, the lazier a run, the later it generalises after it has fitted "
        "its data: steps from training loss .2 to test loss .2 grow with alpha (about in proportion)."
    ),
)
