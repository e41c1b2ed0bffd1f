"""Statements on polynomial regression between the lazy and the rich regime: losses, kernel, alignment, grokking.

Notation: ``f(x) = alpha m.x + (alpha eps/2) x^T S x`` with m and S the mean and the second moment of the weights,
target ``(beta.x)^2/2``, inputs ``x ~ N(0, I/D)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from lemmata.claims import Assumption, Claim, Source
from lemmata.problems.learning_dynamics import LazyRich

__all__ = [
    "final_kernel",
    "kernel_alignment",
    "lazy_rich_alignment",
    "lazy_rich_beyond_linear",
    "lazy_rich_closure",
    "lazy_rich_final_kernel",
    "lazy_rich_grokking",
    "lazy_rich_kernel",
    "lazy_rich_linearised",
    "lazy_rich_population",
    "linearised_statistics",
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


def final_kernel(X: np.ndarray, beta: np.ndarray, ratio: float) -> np.ndarray:
    """`tangent_kernel` where the population loss is 0, ``(x.x') [1 + (eps/alpha) (beta.x) (beta.x')]``, float64[P, P].

    There ``m = 0`` and ``alpha eps S = beta beta^T``: of alpha and eps only `ratio` = eps/alpha is left.
    """
    h = X @ beta
    return (X @ X.T) * (1 + ratio * np.outer(h, h))


def linearised_statistics(
    run: LazyRich, at: Any, *, rate: float = 1.0, eigen: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """m and S of the linearised model after gradient descent with learning rate ``rate N / alpha^2``, in closed form.

    With kernel K of the start the residuals are ``r_t = (I - 2 rate K / P)^t r_0``; m and S move along the sums.

    Parameters
    ----------
    run : LazyRich
    at : int[T]
        Steps.
    rate : float
    eigen : (float64[P], float64[P, P]), optional
        Eigenvalues and eigenvectors of K, where they are known: they do not depend on alpha.

    Returns
    -------
    float64[T, D]
    float64[T, D, D]
    """
    X, m, S, steps = run.X, run.mean, run.second, np.asarray(at)[:, None]
    h = X @ m
    f = run.alpha * (h + run.eps / 2 * ((X @ S) * X).sum(axis=1))
    values, Q = np.linalg.eigh(tangent_kernel(X, m, S, run.eps)) if eigen is None else eigen
    decay = np.maximum(2 * rate / len(X) * values, 1e-12)  # below that a direction moves neither m nor S
    sums = (1 - (1 - decay) ** steps) / decay * (Q.T @ (f - (X @ run.beta) ** 2 / 2))
    pull = -2 * rate / (run.alpha * len(X)) * sums @ Q.T
    d, E = pull @ X, run.eps * np.einsum("tp,pi,pj->tij", pull, X, X, optimize=True)
    C = S @ E + m[:, None] * d[:, None]
    return m + d + E @ m, S + C + C.swapaxes(1, 2)


def kernel_alignment(K: np.ndarray, y: np.ndarray) -> float:
    """``y^T K y / (|K|_F |y|^2)``, K and y both centred on both axes: 1 where K is a multiple of y y^T."""
    K, y = K - K.mean(axis=0) - K.mean(axis=1)[:, None] + K.mean(), y - y.mean()
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

lazy_rich_linearised = Claim(
    id="learning_dynamics/lazy-rich-linearised",
    kind="identity",
    quantity="m and S of the linearised model after gradient descent, step by step",
    expression=sp.Symbol("closed"),
    symbols={"closed": "m₀ + d + E m₀, S₀ + C + Cᵀ; d, E and C from the residuals (I - 2 rate K₀/P)ᵗ r₀, summed"},
    assumptions=(READOUT,),
    source=KUMAR,
    tolerance=1e-9,
    statement="The tangent of the network at its start keeps the kernel of the start, and its course is a formula.",
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

lazy_rich_final_kernel = Claim(
    id="learning_dynamics/lazy-rich-final-kernel",
    kind="identity",
    quantity="alignment of the tangent kernel with the target after training",
    expression=sp.Symbol("final"),
    symbols={"final": "alignment of (x·x') [1 + (ε/α) (β·x) (β·x')]"},
    assumptions=(GAUSSIAN, READOUT, Assumption("training ends near population loss 0")),
    source=KUMAR,
    tolerance=0.01,  # population losses of .001 and less are left
    statement=(
        "A network that has learned its target has a tangent kernel that depends on alpha and eps through eps/alpha "
        "alone: the richer, the better aligned."
    ),
)

lazy_rich_alignment = Claim(
    id="learning_dynamics/lazy-rich-alignment",
    kind="bound",
    direction="lower",
    quantity="growth of the alignment of kernel and target, at α/2 over that at α, and at the largest α alone",
    expression=sp.Integer(1),
    symbols={},
    assumptions=(GAUSSIAN, READOUT),
    source=KUMAR,
    standing="checked",
    statement="The tangent kernel turns towards the target in training, and the more, the richer the run.",
)

lazy_rich_beyond_linear = Claim(
    id="learning_dynamics/lazy-rich-beyond-linear",
    kind="bound",
    quantity="population loss after training over the least one of the linearised model at any time",
    expression=sp.Rational(1, 2),
    symbols={},
    assumptions=(GAUSSIAN, READOUT, Assumption("alpha is at most 1, with 4 D points or more")),
    source=KUMAR,
    standing="checked",
    statement=(
        "A network with its first kernel for ever, stopped at the best moment, generalises half as well at most as one "
        "whose kernel learns."
    ),
)
