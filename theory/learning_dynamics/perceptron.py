"""Statements on logistic regression with large steps: its limit is the perceptron, and both have iteration bounds.

Notation: signed points ``z_i = y_i a_i``, i = 1..n, ``R = max |z_i|``, margin ``mu = max_{|theta|=1} min_i z_i.theta``,
step size gamma.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sympy as sp
from scipy.optimize import nnls

from lemmata.claims import Assumption, Claim, Source
from lemmata.errors import DomainError, ShapeError

__all__ = [
    "logistic_perceptron",
    "logistic_spike",
    "logistic_table",
    "margin",
    "normalized_logistic_bound",
    "normalized_perceptron_bound",
    "perceptron_bound",
    "perceptron_worst_case",
]

TYURIN = {
    "key": "tyurin2024",
    "authors": "Tyurin, Alexander",
    "title": "From logistic regression to the perceptron algorithm: exploring gradient descent with large step sizes",
    "venue": "arXiv preprint",
    "year": 2024,
    "arxiv": "2412.08424",
}


def _source(theorem: str) -> Source:
    return Source(**TYURIN, theorem=theorem)  # type: ignore[arg-type]


def margin(points: np.ndarray) -> float:
    """The largest mu for which some unit theta has ``z_i.theta >= mu`` for all i; 0 where the points are not separable.

    mu is the distance of 0 from the convex hull of the points. ``min |Z^T w|^2 + (1 - sum w)^2`` over w >= 0 has the
    value ``mu^2 / (1 + mu^2)``, and is a problem of nonnegative least squares.

    Parameters
    ----------
    points : float64[n, d]

    Returns
    -------
    float
        To about 1e-8 of R: the square root of rounding, which is what 0 means.
    """
    z = np.asarray(points, dtype=np.float64)
    if z.ndim != 2 or 0 in z.shape:
        raise ShapeError(f"points must have shape (n, d), got {z.shape}")
    size = float(np.linalg.norm(z, axis=1).max())
    if not 0 < size < math.inf:
        raise DomainError(f"points must be finite and not all 0; the largest has length {size}")
    rows = np.vstack((z.T / size, np.ones(len(z))))
    goal = np.zeros(len(rows))
    goal[-1] = 1.0
    _, residual = nnls(rows, goal)
    return size * math.sqrt(residual**2 / (1 - residual**2))


def _inseparable(problem: Any) -> str | None:
    mu = margin(problem.points)
    return None if mu > 1e-6 * problem.radius else f"margin {mu:.3g}, radius {problem.radius:.3g}"


SEPARABLE = Assumption("the data are linearly separable through 0", _inseparable)
GENERAL = Assumption("no iterate of the perceptron after the start has a point on its boundary")

n, R, mu, gamma = sp.symbols("n R mu gamma", positive=True)
_DATA = {"R": "largest length of a point", "mu": "margin"}

logistic_perceptron = Claim(
    id="learning_dynamics/logistic-perceptron",
    kind="identity",
    quantity="θ_t/γ of gradient descent on the logistic loss, γ = 100/(least |z_i·θ| on the perceptron's path)",
    expression=sp.Symbol("perceptron"),
    symbols={"perceptron": "t-th iterate of the batch perceptron, whose first step has weights 1/2"},
    assumptions=(SEPARABLE, GENERAL),
    source=_source("Theorem 3.2"),
    tolerance=1e-10,
    statement="As the step size grows, gradient descent on the logistic loss becomes the batch perceptron.",
)

perceptron_bound = Claim(
    id="learning_dynamics/perceptron-bound",
    kind="bound",
    quantity="steps of the batch perceptron until all points are separated",
    expression=n * R**2 / mu**2,
    symbols={"n": "number of points", **_DATA},
    assumptions=(SEPARABLE,),
    source=_source("Theorem 3.3"),
    statement="The batch perceptron, the limit of logistic regression, separates in at most n R²/μ² steps.",
)

perceptron_worst_case = Claim(
    id="learning_dynamics/perceptron-worst-case",
    kind="rate",
    quantity="steps of the batch perceptron until all points are separated",
    expression=n,
    symbols={"n": "number of points"},
    assumptions=(SEPARABLE,),
    source=_source("Theorem 5.1"),
    exponent=-1.0,
    statement="On one point against n - 1, of one radius and margin for all n, the perceptron needs of order n steps.",
)

normalized_perceptron_bound = Claim(
    id="learning_dynamics/normalized-perceptron-bound",
    kind="bound",
    quantity="steps of the batch perceptron that moves by the mean over misclassified points",
    expression=R**2 / mu**2,
    symbols=_DATA,
    assumptions=(SEPARABLE,),
    source=_source("Theorem 5.3"),
    statement="With the mean over misclassified points in place of 1/n of their sum, R²/μ² steps separate.",
)

normalized_logistic_bound = Claim(
    id="learning_dynamics/normalized-logistic-bound",
    kind="bound",
    quantity="steps of normalized gradient descent on the logistic loss until all points are separated",
    expression=R**2 / mu**2 + 2 * sp.log(2 * n - 1) / (gamma * mu**2),
    symbols={"n": "number of points", **_DATA, "gamma": "step size"},
    assumptions=(SEPARABLE,),
    source=_source("Theorem 6.1"),
    statement=(
        "Gradient descent normalized by the mean weight of a wrong label separates in at most R²/μ² + 2 ln(2n-1)/(γ μ²)"
        " steps, with any step size."
    ),
)

logistic_table = Claim(
    id="learning_dynamics/logistic-table",
    kind="identity",
    quantity="steps on the worst case until all points are separated",
    expression=sp.Symbol("printed"),
    symbols={"printed": "what the table prints"},
    assumptions=(SEPARABLE,),
    source=_source("Table 1"),
    standing="checked",
    statement=(
        "At n = 1000 plain gradient descent with step 100 takes 308 steps; normalized with steps 100, 10, 1 and .1 it "
        "takes 2, 2, 16 and 157."
    ),
)

logistic_spike = Claim(
    id="learning_dynamics/logistic-spike",
    kind="demonstration",
    quantity="logistic loss after one large step, where the second step separates the points (else 0)",
    expression=sp.log(2),
    symbols={},
    assumptions=(SEPARABLE,),
    source=_source("Theorem 4.1"),
    statement=(
        "On two points the first large step raises the loss above its start ln 2, without limit in the step size, and "
        "yet the second step solves the problem. (Control: small steps.)"
    ),
)
