"""Statements on the kernels of fully connected networks of infinite width.

Notation: L hidden layers, q^l(x, x') the covariance in layer l, ``K = q^{L+1}`` and ``Theta = Theta^{L+1}`` the
kernels, T and T' the dual of the activation and its slope, t the angle between two points in a layer. A
piecewise-linear activation has slopes a below 0 and b above, ``k = (a^2 + b^2)/2`` and ``bend = (b - a)^2 / (a^2 +
b^2)``: 1 for ReLU.

Far down. With a piecewise-linear activation and no biases the angle obeys ``cos t' = cos t + (bend/pi)(sin t - t cos
t)``, so that ``t'^2/2 = t^2/2 - bend t^3/(3 pi) + ...``: t falls like ``3 pi/(bend L)``. In units of the diagonal
``(L + 1) (k sw2)^L q^1`` the tangent kernel obeys ``(l + 1) y' = 1 + (1 - bend t/pi) l y``, and ``bend t/pi = 3/l``
leaves ``y = 1/4``: equally deep networks of this kind see all pairs of distinct points alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from scipy import special

from lemmata.claims import Assumption, Claim, Source
from lemmata.errors import DomainError
from lemmata.problems.ntk.activations import Activation
from lemmata.problems.ntk.infinite_width import InfiniteNetwork
from lemmata.theory.ntk.finite_width import JACOT

__all__ = [
    "depth_angle",
    "depth_kernel",
    "dual_by_quadrature",
    "exact_kernels",
    "kernel_coincidence",
    "kernel_diagonal",
    "kernel_homogeneity",
    "kernel_recursion",
    "least_eigenvalue",
    "opposite_points",
    "pair_by_quadrature",
    "smallest_eigenvalue",
]

# ---------------------------------------------------------------------------------------------- sources

JACOT_DEFINITE = Source(JACOT.key, JACOT.authors, JACOT.title, JACOT.venue, 2018, "Proposition 2", arxiv=JACOT.arxiv)
CHO = Source(
    "cho2009",
    "Cho, Youngmin and Saul, Lawrence K.",
    "Kernel methods for deep learning",
    "Advances in Neural Information Processing Systems 22",
    2009,
    "Section 2",
)
NGUYEN = Source(
    "nguyen2021",
    "Nguyen, Quynh and Mondelli, Marco and Montufar, Guido",
    "Tight bounds on the smallest eigenvalue of the neural tangent kernel for deep ReLU networks",
    "International Conference on Machine Learning",
    2021,
    arxiv="2012.11654",
)
HAYOU = Source(
    "hayou2019",
    "Hayou, Soufiane and Doucet, Arnaud and Rousseau, Judith",
    "On the impact of the activation function on deep neural networks training",
    "International Conference on Machine Learning",
    2019,
    arxiv="1902.06853",
)
HAYOU_KERNEL = Source(
    "hayou2020",
    "Hayou, Soufiane and Doucet, Arnaud and Rousseau, Judith",
    "Mean-field behaviour of neural tangent kernel for deep neural networks",
    "arXiv",
    2020,
    arxiv="1905.13654",
)

# ------------------------------------------------------------------------------------------- quadrature

#: ``dual(activation, q11, q22, q12) -> (T, T')``.
Dual = Callable[[Activation, float, float, float], tuple[float, float]]


def _function(activation: Activation) -> Callable[[np.ndarray], np.ndarray]:
    a, b = activation.negative, activation.positive
    table: dict[str, Any] = {
        "piecewise": lambda u: np.where(u > 0, b * u, a * u),
        "step": lambda u: np.where(u > 0, 1.0, 0.0),
        "erf": special.erf,
        "sin": np.sin,
        "quadratic": np.square,
        "smooth": activation.phi,
    }
    return table[activation.family]


@lru_cache(maxsize=4)
def _gauss(nodes: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    x, weight = special.roots_legendre(nodes)
    return low + (high - low) * (x + 1) / 2, weight * (high - low) / 2


def _variance(activation: Activation, q: float) -> float:
    """``E phi(sqrt(q) x)^2`` for a standard normal x, on either side of the kink."""
    x, weight = _gauss(200, 0.0, 13.0)
    phi = _function(activation)
    square = phi(math.sqrt(q) * x) ** 2 + phi(-math.sqrt(q) * x) ** 2
    return float(weight @ (square * np.exp(-(x**2) / 2))) / math.sqrt(2 * math.pi)


def dual_by_quadrature(activation: Activation, q11: float, q22: float, q12: float) -> tuple[float, float]:
    """T and T' from the values of phi alone, by Gauss-Legendre rules in polar coordinates, on each arc between kinks.

    ``T' = dT/dq12 = E phi(u) phi(v) (alpha beta - gamma)``, (alpha, beta) the inverse covariance times (u, v) and gamma
    its off-diagonal entry: no derivative of phi is taken. (0 for the step, whose gates gradient descent does not see.)

    Parameters
    ----------
    activation : Activation
        With a kink at 0, if any.
    q11, q22, q12 : float
        ``q12^2 < q11 q22``.

    Returns
    -------
    T, slope : float
    """
    phi, product = _function(activation), math.sqrt(q11 * q22)
    c = q12 / product
    s, turn = math.sqrt((1 - c) * (1 + c)), math.acos(c)
    r, radial = _gauss(120, 0.0, 13.0)
    radial = radial * r * np.exp(-(r**2) / 2) / (2 * math.pi)
    # phi has its kinks where cos(psi) or cos(psi - turn) is 0
    kinks = np.sort(np.array([0.5, 1.5, 0.5 + turn / math.pi, 1.5 + turn / math.pi]) % 2) * math.pi
    values = np.zeros(2)
    for low, high in zip(kinks, [*kinks[1:], kinks[0] + 2 * math.pi], strict=True):
        unit, weight = _gauss(48, 0.0, 1.0)
        psi = low + (high - low) * unit
        x, y = np.outer(r, np.cos(psi)), np.outer(r, np.sin(psi))
        value = phi(math.sqrt(q11) * x) * phi(math.sqrt(q22) * (c * x + s * y))
        for i, density in enumerate((1.0, ((x - c * y / s) * y / s + c / s**2) / product)):
            values[i] += radial @ (value * density) @ (weight * (high - low))
    return float(values[0]), 0.0 if activation.family == "step" else float(values[1])


def pair_by_quadrature(
    network: InfiniteNetwork,
    x: np.ndarray,
    y: np.ndarray,
    dual: Callable[..., tuple[float, float]] = dual_by_quadrature,
) -> tuple[float, float]:
    """K and Theta at a pair of points, every expectation of the recursion by quadrature.

    Parameters
    ----------
    network : InfiniteNetwork
    x, y : float64[d]
        Neither parallel nor 0.
    dual : callable
        ``dual(activation, q11, q22, q12) -> (T, T')``.

    Returns
    -------
    K, Theta : float
    """
    q11, q22, q12 = (network.sw2 * float(u @ v) / x.size + network.sb2 for u, v in ((x, x), (y, y), (x, y)))
    first, *shares = network.shares
    theta = first[0] * q12
    for gain, shift in shares:
        value, slope = dual(network.activation, q11, q22, q12)
        q11, q22 = (network.sw2 * _variance(network.activation, q) + network.sb2 for q in (q11, q22))
        q12 = network.sw2 * value + network.sb2
        theta = gain * value + shift + network.sw2 * slope * theta
    return q12, theta


# ----------------------------------------------------------------------------------------- closed forms


def exact_kernels(network: InfiniteNetwork, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """K and Theta at a pair of points from the arccos of the cosine, in arithmetic of 50 digits.

    Parameters
    ----------
    network : InfiniteNetwork
        Piecewise linear.
    x, y : float64[d]

    Returns
    -------
    K, Theta : float
        Correctly rounded, at coincident points too.

    Raises
    ------
    DomainError
        Another activation.
    """
    phi = network.activation
    if phi.family != "piecewise":
        raise DomainError(f"exact_kernels is for piecewise-linear activations, not for {phi.name}")
    with mpmath.workdps(50):
        u, v = ([mpmath.mpf(float(value)) for value in point] for point in (x, y))
        a, b, sw2, sb2 = (mpmath.mpf(float(value)) for value in (phi.negative, phi.positive, network.sw2, network.sb2))
        k, kink = (a * a + b * b) / 2, (b - a) ** 2 / (2 * mpmath.pi)
        q11, q22, q12 = (sw2 * mpmath.fdot(s, t) / len(u) + sb2 for s, t in ((u, u), (v, v), (u, v)))
        first, *shares = network.shares
        theta = first[0] * q12
        for gain, shift in shares:
            size = mpmath.sqrt(q11 * q22)
            cosine = q12 / size if size else mpmath.mpf(0)
            angle = mpmath.acos(min(max(cosine, mpmath.mpf(-1)), mpmath.mpf(1)))
            slope = k - kink * angle
            value = kink * size * mpmath.sin(angle) + slope * q12
            q11, q22, q12 = sw2 * k * q11 + sb2, sw2 * k * q22 + sb2, sw2 * value + sb2
            theta = gain * value + shift + sw2 * slope * theta
        return float(q12), float(theta)


def _squares(activation: Activation, q: float, degrees: int) -> tuple[np.ndarray, float]:
    """``(i + 1) a_i(q)^2`` for the Hermite coefficients a_i of ``phi(sqrt(q) x)``, and the sum of all of them.

    ``|x|`` has ``a_{2m}^2 = (2/pi) ((2m - 3)!!)^2 / (2m)!``; for erf they are the coefficients of ``(2/pi)
    arcsin(beta c)``, ``beta = 2q/(1 + 2q)``.
    """
    i = np.arange(degrees)
    m = np.arange((degrees + 1) // 2)
    # ((2m)! / (4^m m!^2)): the central binomial coefficients
    central = np.exp(special.gammaln(2 * m + 1) - 2 * special.gammaln(m + 1) - m * math.log(4))
    found = np.zeros(degrees)
    if activation.family == "piecewise":
        a, b = activation.negative, activation.positive
        found[0::2] = (b - a) ** 2 / 4 * q * 2 / math.pi * central / (2 * m - 1) ** 2
        found[1] = (a + b) ** 2 / 4 * q
        total = 2 * activation.mean_square_slope * q
    elif activation.family == "erf":
        beta = 2 * q / (1 + 2 * q)
        odd = m[: degrees // 2]
        found[1::2] = 2 / math.pi * central[: odd.size] / (2 * odd + 1) * beta ** (2 * odd + 1)
        total = 2 / math.pi * math.asin(beta) + 4 / math.pi * q / math.sqrt(1 + 4 * q)
    else:
        raise DomainError(f"coefficients are given for piecewise-linear activations and erf, not for {activation.name}")
    return (i + 1) * found, total


def least_eigenvalue(network: InfiniteNetwork, points: int, largest: Any, degrees: int = 4000) -> np.ndarray:
    """A lower bound on the smallest eigenvalue of Theta on a sphere.

    ``sw2 sum_i (i + 1) a_i^2 max(0, 1 - (N - 1) rho^i)``: there ``Theta = sb2 + sw2 sum_i (i + 1) a_i^2 C^i``, C the
    matrix of cosines in the first layer and C^i its entrywise power. Each term is semidefinite, and by Gershgorin's
    circles C^i has no eigenvalue below ``1 - (N - 1) rho^i``. Two points with a positive cosine meet it with equality.

    Parameters
    ----------
    network : InfiniteNetwork
        One hidden layer, piecewise linear or erf.
    points : int
        N, with ``x.x = d`` each.
    largest : array_like
        rho, the largest ``|cos|`` between two of them in the first layer.
    degrees : int
        Terms that are summed one by one; the others are taken together, at the gap of the first of them.

    Returns
    -------
    float64 array
    """
    weight, total = _squares(network.activation, network.sw2 + network.sb2, degrees)
    rho = np.asarray(largest, dtype=np.float64)[..., None]
    gap = np.maximum(0.0, 1 - (points - 1) * rho ** np.arange(degrees + 1))
    return network.sw2 * (gap[..., :-1] @ weight + (total - weight.sum()) * gap[..., -1])


# ------------------------------------------------------------------------------------------ assumptions


def _not_lazy(problem: Any) -> str | None:
    network = problem.network
    if network.parametrization != "ntk":
        return f"the network is in {network.parametrization!r} scaling"
    return None if network.rates is None else f"layers have rates {network.rates}"


def _not_piecewise(problem: Any) -> str | None:
    found = problem.network.activation
    return None if found.family == "piecewise" else f"the activation is {found.name}"


def _biased(problem: Any) -> str | None:
    return None if problem.network.sb2 == 0 else f"sb2 = {problem.network.sb2:g}"


def _deep(problem: Any) -> str | None:
    depth = problem.network.depth
    return None if depth == 1 else f"the network has {depth} hidden layers"


def _off_the_sphere(problem: Any) -> str | None:
    square = (problem.X**2).sum(axis=1) / problem.X.shape[1]
    off = float(np.abs(square - 1).max())
    return None if off < 1e-12 else f"x.x/d differs from 1 by {off:.3g}"


def _no_kink(problem: Any) -> str | None:
    return None if problem.network.activation.bend > 0 else f"{problem.network.activation.name} is linear"


LAZY = Assumption("weights are in the NTK parametrisation and have one learning rate", _not_lazy)
PIECEWISE = Assumption("the activation is piecewise linear", _not_piecewise)
KINK = Assumption("the activation has a kink", _no_kink)
UNBIASED = Assumption("there are no biases", _biased)
ONE_HIDDEN = Assumption("there is one hidden layer", _deep)
SPHERE = Assumption("x.x = d at every point", _off_the_sphere)

# ----------------------------------------------------------------------------------------------- claims

_L = sp.Symbol("L", integer=True, positive=True)
_q, _k, _sw2, _bend = (sp.Symbol(name, positive=True) for name in ("q", "k", "sw2", "bend"))

kernel_recursion = Claim(
    id="ntk/kernel-recursion",
    kind="identity",
    quantity="K(x, x') and Θ(x, x')",
    expression=sp.Symbol("recursion"),
    symbols={"recursion": "q' = sw2 T + sb2, Θ' = q' + sw2 T' Θ, with T and T' by quadrature in polar coordinates"},
    assumptions=(),
    source=JACOT,
    tolerance=1e-11,  # as pairs align the quadrature loses digits, down to 1e-12; one that sees no kink has three
    statement="The kernels follow a recursion over layers whose two expectations are over a Gaussian pair.",
)

kernel_coincidence = Claim(
    id="ntk/kernel-coincidence",
    kind="identity",
    quantity="K(x, x') and Θ(x, x') at nearly equal, nearly opposite and repeated points, over the diagonal",
    expression=sp.Symbol("exact"),
    symbols={"exact": "the recursion in 50 digits"},
    assumptions=(PIECEWISE,),
    source=CHO,
    tolerance=2e-14,  # rounding of ten layers; an arccos of the rounded cosine is wrong by 1e-8
    statement="The arc-cosine kernels lose no digits where the angle between the points is 0 or pi.",
)

kernel_diagonal = Claim(
    id="ntk/kernel-diagonal",
    kind="identity",
    quantity="Θ(x, x)",
    expression=(_L + 1) * (_k * _sw2) ** _L * _q,
    symbols={"L": "hidden layers", "k": "(a² + b²)/2", "sw2": "variance of weights", "q": "sw2 x.x/d"},
    assumptions=(LAZY, PIECEWISE, UNBIASED),
    source=JACOT,
    tolerance=1e-13,  # rounding of 64 layers
    statement="Without biases a piecewise-linear network has the same share of the diagonal from each layer.",
)

kernel_homogeneity = Claim(
    id="ntk/kernel-homogeneity",
    kind="identity",
    quantity="Θ(a x, b x')",
    expression=sp.Symbol("a") * sp.Symbol("b") * sp.Symbol("theta"),
    symbols={"a": "factor > 0", "b": "factor > 0", "theta": "Θ(x, x')"},
    assumptions=(LAZY, PIECEWISE, UNBIASED),
    source=CHO,
    tolerance=1e-13,
    statement="Without biases the kernels of a piecewise-linear network are homogeneous of degree one in each point.",
)

smallest_eigenvalue = Claim(
    id="ntk/smallest-eigenvalue",
    kind="bound",
    quantity="smallest eigenvalue of Θ(X, X)",
    expression=sp.Symbol("bound"),
    symbols={"bound": "sw2 Σ (i+1) a_i² max(0, 1 - (N-1) ρ^i), ρ the largest |cos|"},
    assumptions=(LAZY, ONE_HIDDEN, SPHERE),
    source=NGUYEN,
    direction="lower",
    hard_problem="two points with a positive cosine",
    statement=(
        "The tangent kernel of distinct points on a sphere is positive definite, by so much as the Hermite "
        "coefficients of the activation and the largest cosine between two points leave."
    ),
)

opposite_points = Claim(
    id="ntk/opposite-points",
    kind="demonstration",
    quantity="eigenvalues of Θ that are 0 to rounding",
    expression=sp.Symbol("p") - sp.Symbol("d"),
    symbols={"p": "pairs ±x", "d": "inputs"},
    assumptions=(LAZY, PIECEWISE, UNBIASED, ONE_HIDDEN),
    source=JACOT_DEFINITE,
    statement=(
        "With one hidden ReLU layer and no biases the kernel has no odd degree above one: p > d pairs of opposite "
        "points leave p - d eigenvalues 0. With a second hidden layer none is."
    ),
)

depth_angle = Claim(
    id="ntk/depth-angle",
    kind="limit",
    quantity="bend L t_L / (3 π) → 1, L to infinity",
    expression=sp.Integer(1),
    symbols={"L": "hidden layers"},
    assumptions=(PIECEWISE, KINK, UNBIASED),
    source=HAYOU,
    standing="checked",
    constant="asymptotic",
    exponent=1.0,
    logs=1.0,
    tolerance=0.02,
    statement="The angle between two points falls like 3 pi/(bend L), with a correction of order log L/L.",
)

depth_kernel = Claim(
    id="ntk/depth-kernel",
    kind="limit",
    quantity="4 Θ(x, x') / sqrt(Θ(x, x) Θ(x', x')) → 1, L to infinity",
    expression=sp.Integer(1),
    symbols={"L": "hidden layers"},
    assumptions=(LAZY, PIECEWISE, KINK, UNBIASED),
    source=HAYOU_KERNEL,
    standing="checked",
    constant="asymptotic",
    exponent=1.0,
    logs=1.0,
    tolerance=0.02,
    statement="In deep networks the kernel of distinct points is a quarter of the diagonal, up to order log L/L.",
)
