"""Statements on training with a fixed kernel: the law at any time, what it is not, and the largest learning rate.

Notation: K and Theta the covariance of the outputs at initialisation and the tangent kernel at all points, the N
training points X first; eta the learning rate and c the factor of the loss (`loss_factor`).

An ensemble of trained networks is no Bayesian posterior. With ``P = Theta(x, X) Theta^{-1}`` its variance at the end is
``K(x, x) - 2 P K(X, x) + P K P^T``, that of the posterior of a prior with kernel k is ``k(x, x) - k(x, X) k^{-1}
k(X, x)``. Both are the same where Theta is a multiple of k = K, that is, where the readout alone is trained: each
member then starts from a draw of the prior and moves to the nearest function through the targets.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sympy as sp
from scipy.linalg import cho_factor, cho_solve, expm

from lemmata.claims import Assumption, Claim, Source
from lemmata.problems.ntk.networks import loss_factor
from lemmata.theory.ntk.finite_width import LAZY, LEE, LEE_LAW, STABLE

__all__ = [
    "critical_rate",
    "flow_moments",
    "law_covariance",
    "law_mean",
    "no_posterior",
    "posterior",
    "readout_ensemble",
    "readout_posterior",
]

MATTHEWS = Source(
    "matthews2017",
    "Matthews, Alexander G. de G. and Hron, Jiri and Turner, Richard E. and Ghahramani, Zoubin",
    "Sample-then-optimize posterior sampling for Bayesian linear models",
    "NeurIPS Workshop on Advances in Approximate Bayesian Inference",
    2017,
)

# ----------------------------------------------------------------------------------------- closed forms


def flow_moments(
    K: np.ndarray, theta: np.ndarray, Y: np.ndarray, time: float, *, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the outputs from their equation of motion, by a matrix exponential at all points at once.

    ``f' = -rate Theta(., X) (f(X) - y)`` is affine in f, so ``f_t = E f_0 + e`` with ``(E, e)`` the exponential of one
    matrix, and the mean is e, the covariance ``E K E^T``. Nothing is diagonalised or inverted, but at infinity.

    Parameters
    ----------
    K, theta : float64[M, M]
        The N training points first.
    Y : float64[N, C]
    time : float
    rate : float
        ``eta c``.

    Returns
    -------
    mean : float64[M, C]
    covariance : float64[M, M]
    """
    (M, N), C = (len(K), len(Y)), Y.shape[1]
    if time == math.inf:
        P = cho_solve(cho_factor(theta[:N, :N]), theta[:N]).T
        left = np.eye(M)
        left[:, :N] -= P
        return P @ Y, left @ K @ left.T
    pull = rate * theta[:, :N]
    generator = np.zeros((M + C, M + C))
    generator[:M, :N], generator[:M, M:] = -pull, pull @ Y
    exponential = expm(time * generator)
    return exponential[:M, M:], exponential[:M, :M] @ K @ exponential[:M, :M].T


def posterior(K: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a Gaussian process of mean 0 and covariance K, given that it is Y at the first points.

    Parameters
    ----------
    K : float64[M, M]
    Y : float64[N, C]

    Returns
    -------
    mean : float64[M - N, C]
        At the other points.
    covariance : float64[M - N, M - N]
    """
    N = len(Y)
    solved = cho_solve(cho_factor(K[:N, :N]), np.concatenate((Y, K[:N, N:]), axis=1))
    return K[N:, :N] @ solved[:, : Y.shape[1]], K[N:, N:] - K[N:, :N] @ solved[:, Y.shape[1] :]


# ------------------------------------------------------------------------------------------ assumptions


def _spectrum(problem: Any) -> np.ndarray:
    N = len(problem.Y)
    return np.linalg.eigvalsh(problem.theta[:N, :N])


def _singular(problem: Any) -> str | None:
    least, largest = _spectrum(problem)[[0, -1]]
    return None if least > 1e-12 * largest else f"its eigenvalues run from {least:.3g} to {largest:.3g}"


def _unstable(problem: Any) -> str | None:
    step = problem.eta * loss_factor(problem.loss, *problem.Y.shape) * _spectrum(problem)[-1]
    return None if step < 2 else f"eta c lambda_max = {step:.3g}"


FIXED = Assumption("the kernel stays as it is: infinite width, or a model linear in its parameters")
POSITIVE = Assumption("the kernel at the training points is positive definite", _singular)
BELOW = Assumption("eta < 2/(c lambda_max)", _unstable)

# ----------------------------------------------------------------------------------------------- claims

_MOMENT = {"moment": "what the equation of motion gives at the same point and time"}

law_mean = Claim(
    id="ntk/law-mean",
    kind="identity",
    quantity="P_t y from one eigendecomposition of Θ(X, X)",
    expression=sp.Symbol("moment"),
    symbols=_MOMENT,
    assumptions=(FIXED, POSITIVE, BELOW),
    source=LEE_LAW,
    tolerance=1e-9,
    statement="The mean of the outputs at time t is P_t y, on and off the training set, in flow and in descent.",
)

law_covariance = Claim(
    id="ntk/law-covariance",
    kind="identity",
    quantity="(I - P_t) K (I - P_t)^T from one eigendecomposition of Θ(X, X)",
    expression=sp.Symbol("moment"),
    symbols=_MOMENT,
    assumptions=(FIXED, POSITIVE, BELOW),
    source=LEE_LAW,
    tolerance=1e-9,
    statement="The covariance of the outputs at time t is (I - P_t) K (I - P_t)^T, on and off the training set.",
)

readout_posterior = Claim(
    id="ntk/readout-posterior",
    kind="identity",
    quantity="mean and covariance after training of the readout alone",
    expression=sp.Symbol("posterior"),
    symbols={"posterior": "those of the Gaussian process K, given the targets"},
    assumptions=(FIXED, POSITIVE),
    source=MATTHEWS,
    tolerance=1e-9,
    statement="An ensemble whose readouts alone are trained has the law of the Bayesian posterior of the prior K.",
)

no_posterior = Claim(
    id="ntk/no-posterior",
    kind="demonstration",
    quantity="|variance after training of all layers / posterior variance - 1|, the nearer of K's and of Θ's",
    expression=sp.Rational(1, 20),
    symbols={},
    assumptions=(FIXED, POSITIVE),
    source=LEE_LAW,
    statement=(
        "An ensemble of which all layers are trained has at the end the variance of no posterior: neither of the prior "
        "K nor of the prior Theta. (Control: the readout alone is trained.)"
    ),
)

readout_ensemble = Claim(
    id="ntk/readout-ensemble",
    kind="mean-identity",
    quantity="(f(x) - m(x))² / v(x), m and v mean and variance of the posterior of K",
    expression=sp.Integer(1),
    symbols={},
    assumptions=(LAZY, STABLE),
    source=MATTHEWS,
    tolerance=0.1,  # the quick budget resolves 4 %; with all layers trained mean and variance together give 2.9
    statement="Trained networks of finite width whose readouts alone moved are spread like the posterior of K.",
)

critical_rate = Claim(
    id="ntk/critical-rate",
    kind="identity",
    quantity="largest learning rate with which gradient descent on a linear model converges",
    expression=2 / (sp.Symbol("c") * sp.Symbol("largest")),
    symbols={"c": "factor of the loss", "largest": "λ_max of Θ(X, X)"},
    assumptions=(FIXED, POSITIVE),
    source=LEE,
    tolerance=0.003,  # learning rates are tried in ratios of 1.002; the sufficient 2/(λ_min + λ_max) is 5 % lower
    statement=(
        "Gradient descent with a fixed kernel converges up to eta = 2/(c lambda_max) and diverges beyond. (Lee et al. "
        "ask for eta < 2/(lambda_min + lambda_max), which is enough and not needed.)"
    ),
)
