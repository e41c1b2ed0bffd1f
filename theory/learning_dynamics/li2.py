"""Statements on a network ``f = sigma(X W) V`` that learns to add modulo M: its first gradient, and its energy.

Notation: F = sigma(X W) the features, Y the centred targets, eta the weight decay of the readout V,
``Q = (F F^T + eta I)^{-1}``; w = (u, v) the weights of one hidden unit on a and on b.
"""

from __future__ import annotations

import numpy as np
import sympy as sp

from lemmata.claims import Assumption, Claim, Source

__all__ = [
    "li2_energy",
    "li2_gradient",
    "li2_maxima",
    "li2_missing",
    "li2_repulsion",
    "li2_samples",
    "ridge_gradient",
    "ridge_residual",
    "spectral_energy",
    "spectrum",
]

TIAN = Source(
    "tian2025",
    "Tian, Yuandong",
    "Provable scaling laws of feature emergence from learning dynamics of grokking",
    "arXiv preprint",
    2025,
    arxiv="2509.21519",
)

# ----------------------------------------------------------------------------------------- closed forms


def ridge_gradient(F: np.ndarray, Y: np.ndarray, *, eta: float) -> np.ndarray:
    """``eta Q Y Y^T Q F``, what the features receive once the readout is the ridge solution, float64[n, K]."""
    Q = np.linalg.inv(F @ F.T + eta * np.eye(len(F)))
    QY = Q @ Y
    return eta * QY @ (QY.T @ F)


def ridge_residual(F: np.ndarray, Y: np.ndarray, *, eta: float) -> np.ndarray:
    """What ridge regression on the features F leaves of Y, ``eta Q Y``, float64 of the shape of Y."""
    return Y - F @ np.linalg.solve(F.T @ F + eta * np.eye(F.shape[1]), F.T @ Y)


def spectrum(w: np.ndarray) -> np.ndarray:
    """``|u_k|^2 |v_k|^2`` of the discrete Fourier transforms of both halves, float64[..., M]."""
    u, v = np.split(np.fft.fft(w.reshape(*w.shape[:-1], 2, -1)), 2, axis=-2)
    return (abs(u * v) ** 2)[..., 0, :]


def spectral_energy(w: np.ndarray) -> np.ndarray:
    """``(2/M) sum_{k != 0} |u_k|^2 |v_k|^2``, float64[...] from float64[..., 2 M]."""
    return 4 / w.shape[-1] * spectrum(w)[..., 1:].sum(axis=-1)


# ----------------------------------------------------------------------------------------------- claims

RIDGE = Assumption("the readout is the ridge solution V = (F^T F + eta I)^{-1} F^T Y")
FULL = Assumption("the data are all M^2 pairs")
SQUARE = Assumption("sigma(x) = x^2")

li2_gradient = Claim(
    id="learning_dynamics/li2-gradient",
    kind="identity",
    quantity="(Y - F V) V^T, minus the gradient of the squared loss with respect to the features",
    expression=sp.Symbol("ridge"),
    symbols={"ridge": "η Q Y Yᵀ Q F with Q = (F Fᵀ + η I)⁻¹"},
    assumptions=(RIDGE,),
    source=TIAN,
    tolerance=1e-10,  # F F^T + eta I has condition numbers up to 1e4 here
    statement=(
        "While features are lazy their gradient is eta Q Y Y^T Q F. It vanishes without weight decay, which therefore "
        "is what makes features learn."
    ),
)

li2_energy = Claim(
    id="learning_dynamics/li2-energy",
    kind="identity",
    quantity="E(w) = |Yᵀ σ(X w)|² / 2",
    expression=sp.Symbol("spectral"),
    symbols={"spectral": "(2/M) Σ_{k≠0} |û_k|² |v̂_k|²"},
    assumptions=(FULL, SQUARE),
    source=TIAN,
    tolerance=1e-12,
    statement="The energy that a hidden unit climbs is a sum over frequencies, each by itself.",
)

_M, _k = sp.symbols("M k", positive=True)

li2_maxima = Claim(
    id="learning_dynamics/li2-maxima",
    kind="identity",
    quantity="E(w) where gradient ascent on the unit sphere ends",
    expression=sp.Piecewise((_M / 2, sp.Eq(2 * _k, _M)), (_M / 4, True)),
    symbols={"M": "modulus", "k": "frequency in which w ends"},
    assumptions=(FULL, SQUARE),
    source=TIAN,
    tolerance=1e-9,
    statement=(
        "Every local maximum is a single frequency, of equal weight in both halves. For odd M all have the value M/4; "
        "for even M the frequency M/2, which is its own conjugate, has M/2."
    ),
)

li2_repulsion = Claim(
    id="learning_dynamics/li2-repulsion",
    kind="identity",
    quantity="column of G = η Q Y Yᵀ Q F that one hidden unit receives",
    expression=sp.Symbol("unexplained"),
    symbols={"unexplained": "η Q Y Yᵀ f' / (η + fᵀ f'), f' the residual of its features f regressed on all others"},
    assumptions=(RIDGE,),
    source=TIAN,
    tolerance=1e-9,  # condition numbers up to 1e4, twice
    statement=(
        "Units interact: each receives the gradient through that part of its features only which the other units do "
        "not explain. What it shares with a similar unit counts no more, so that similar features part."
    ),
)

li2_missing = Claim(
    id="learning_dynamics/li2-missing",
    kind="demonstration",
    quantity="share of new units that end in a frequency which no other unit has yet",
    expression=sp.Rational(9, 10),
    symbols={},
    assumptions=(FULL, SQUARE, RIDGE),
    source=TIAN,
    standing="checked",
    statement=(
        "Once some frequencies are learned, the readout leaves a residual without them, and new units climb to those "
        "that are missing. Control: where nothing is learned yet they climb to any."
    ),
)

li2_samples = Claim(
    id="learning_dynamics/li2-samples",
    kind="demonstration",
    quantity="share of the pairs left out that are wrong after training on n = 1.5 M ln M pairs",
    expression=sp.Rational(7, 10),
    symbols={},
    assumptions=(SQUARE,),
    source=TIAN,
    standing="checked",
    statement=(
        "Networks trained on the squared loss with weight decay fit 1.5 M ln M pairs without generalising; on "
        "4.5 M ln M pairs they generalise in the same time. The paper has a threshold of order M ln M."
    ),
)
