"""Activations, as infinitely wide networks know them: by their duals.

For (u, v) centred Gaussian with variances q11, q22 and covariance q12, the dual is ``T = E phi(u) phi(v)`` and its
slope ``T' = E phi'(u) phi'(v) = dT/dq12``. Six families have a closed form. Any other smooth phi goes through its
Hermite series: with h_k the normalised Hermite polynomials and ``a_k(q) = E phi(sqrt(q) x) h_k(x)``,

    T = sum_k a_k(q11) a_k(q22) c^k,        c = q12 / sqrt(q11 q22),

where quadrature in one dimension gives every a_k. Each term is a positive kernel, so the sum is, at any truncation. A
phi with its nearest singularity at distance y from the real line (tanh: pi/2) needs some ``340 q / y^2`` coefficients.
For one with a kink they fall like a power of k, and no number is enough: `hermite_coefficients` refuses by the size of
what is left.

References
----------
Cho and Saul, "Kernel methods for deep learning", NeurIPS 2009. Williams, "Computing with infinite networks", NeurIPS
1996. Daniely, Frostig and Singer, "Toward deeper understanding of neural networks", NeurIPS 2016.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from lemmata.errors import DomainError, NonFiniteError

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "as_activation",
    "hermite_coefficients",
    "leaky_relu",
    "piecewise_linear",
    "smooth",
]

Family = Literal["piecewise", "step", "erf", "sin", "quadratic", "smooth"]

#: Numbers of coefficients that are tried, each beside the last.
DEGREES = (32, 64, 128, 256, 512, 1024, 2048)
#: Ends of the quadrature, in standard deviations; the root of the density is 4e-25 there.
REACH = 15.0
#: Share of ``sum k a_k^2`` that the quadrature may leave unresolved.
UNRESOLVED = 1e-13
#: Share of ``sum k a_k^2`` that is left out.
NEGLIGIBLE = 1e-15
#: Of E phi^2 times the square of the number of coefficients: below it E phi'^2 is made of rounding.
ROUNDING = 1e-17


@dataclass(frozen=True)
class Activation:
    """An activation function.

    Attributes
    ----------
    name : str
    family : {"piecewise", "step", "erf", "sin", "quadratic", "smooth"}
        ``piecewise``: slope `negative` below 0 and `positive` above (ReLU, leaky ReLU, abs, linear). ``step``: 1 above
        0, else 0, with the derivative 0 that gradient descent sees. ``erf``, ``sin``; ``quadratic``: u^2. ``smooth``:
        `phi`, by its Hermite series.
    negative, positive : float
    phi : callable or None
        Maps float64 arrays to float64 arrays, entry by entry.
    """

    name: str
    family: Family
    negative: float = 0.0
    positive: float = 1.0
    phi: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def mean_square_slope(self) -> float:
        """``(negative^2 + positive^2) / 2``, so that T(q, q) is so many times q; 1/2 = T(q, q) for the step."""
        return (self.negative**2 + self.positive**2) / 2 if self.family == "piecewise" else 0.5

    @property
    def bend(self) -> float:
        """``(positive - negative)^2 / (negative^2 + positive^2)``: 0 for linear, 1 for ReLU, 2 for abs."""
        return (self.positive - self.negative) ** 2 / (2 * self.mean_square_slope)


def piecewise_linear(negative: float, positive: float, name: str = "piecewise linear") -> Activation:
    """``positive max(u, 0) + negative min(u, 0)``.

    Raises
    ------
    DomainError
        A slope that is not finite, or both 0.
    """
    if not (math.isfinite(negative) and math.isfinite(positive) and (negative or positive)):
        raise DomainError(f"slopes must be finite and not both 0, got {negative} and {positive}")
    return Activation(name, "piecewise", float(negative), float(positive))


def leaky_relu(slope: float) -> Activation:
    """``max(u, 0) + slope min(u, 0)``."""
    return piecewise_linear(slope, 1.0, f"leaky_relu({slope:g})")


def smooth(phi: Callable[[np.ndarray], np.ndarray], name: str = "") -> Activation:
    """An activation by its Hermite series, for phi that is analytic near the real line.

    Parameters
    ----------
    phi : callable
        Maps float64 arrays to arrays of the same shape, entry by entry.
    name : str
    """
    return Activation(name or getattr(phi, "__name__", "phi"), "smooth", phi=phi)


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(u: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(u / 2))  # no overflow on either side


#: Activations by name; `leaky_relu`, `piecewise_linear` and `smooth` make others.
ACTIVATIONS: dict[str, Activation] = {
    a.name: a
    for a in (
        piecewise_linear(0.0, 1.0, "relu"),
        piecewise_linear(-1.0, 1.0, "abs"),
        piecewise_linear(1.0, 1.0, "linear"),
        Activation("step", "step"),
        Activation("erf", "erf"),
        Activation("sin", "sin"),
        Activation("quadratic", "quadratic"),
        smooth(np.tanh, "tanh"),
        smooth(_sigmoid, "sigmoid"),
        smooth(lambda u: np.logaddexp(0.0, u), "softplus"),
        smooth(lambda u: u * _sigmoid(u), "silu"),
        smooth(lambda u: 0.5 * u * (1 + _erf(u / math.sqrt(2))), "gelu"),
    )
}


def as_activation(activation: str | Activation) -> Activation:
    """The activation of this name, or the one given.

    Raises
    ------
    DomainError
        No activation has this name.
    TypeError
        Neither a name nor an `Activation`: a function goes through `smooth`.
    """
    if isinstance(activation, Activation):
        return activation
    if not isinstance(activation, str):
        raise TypeError(
            f"activation must be a name or an Activation, got {activation!r}; smooth(phi) makes one of a smooth phi, "
            "leaky_relu and piecewise_linear of slopes"
        )
    if activation not in ACTIVATIONS:
        raise DomainError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
    return ACTIVATIONS[activation]


# ------------------------------------------------------------------------------------------ Hermite series


@lru_cache(maxsize=len(DEGREES))  # 22 MB in all
def _hermite_functions(degrees: int) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spaced x_i, and ``sqrt(dx) psi_k(x_i)`` by [k, i], psi_k being h_k times the root of the Gaussian density.

    psi_k holds no frequency above sqrt(k) to speak of; the spacing resolves twice that, for products with phi.
    """
    spacing = math.pi / (2 * math.sqrt(degrees))
    half = math.ceil(REACH / spacing)
    x = spacing * np.arange(-half, half + 1)
    basis = np.empty((degrees, x.size))
    basis[0] = math.sqrt(spacing / math.sqrt(2 * math.pi)) * np.exp(-(x**2) / 4)
    basis[1] = x * basis[0]
    for k in range(1, degrees - 1):
        basis[k + 1] = (x * basis[k] - math.sqrt(k) * basis[k - 1]) / math.sqrt(k + 1)
    basis.setflags(write=False)
    return x, basis


def hermite_coefficients(activation: Activation, q: np.ndarray) -> np.ndarray:
    """``a_k(q) = E phi(sqrt(q) x) h_k(x)`` of a smooth activation, float64[K, N], as many as T and its slope need.

    Trapezoids over the real line, which converge faster than any power for what is analytic beside it. Two things must
    be small, or twice as many coefficients are tried: the last quarter of them, and what a spacing wider by sqrt(2)
    changes in the first half. The coefficients of one point do not depend on the others.

    Parameters
    ----------
    activation : Activation
    q : float64[N]
        Variances, >= 0.

    Returns
    -------
    float64[K, N]
        Memory: 8 N K bytes, K at most 2,048, and as much again on the way.

    Raises
    ------
    NonFiniteError
        phi is not finite somewhere.
    DomainError
        The coefficients fall too slowly: phi has a kink, or varies too fast on the scale sqrt(q).
    """
    distinct, place = np.unique(np.asarray(q, dtype=np.float64), return_inverse=True)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    left, share = np.arange(distinct.size), np.empty(0)
    coarse = _expand(activation, distinct, DEGREES[0])
    for degrees in DEGREES[1:]:
        a = _expand(activation, distinct[left], degrees)
        k = np.arange(degrees)[:, None]
        weight = k * a**2  # what T' is made of; T is smoother
        # a phi that is constant to rounding has only rounding in its slope
        total = weight.sum(axis=0) + ROUNDING * degrees**2 * (a**2).sum(axis=0) + np.finfo(np.float64).tiny
        change = (k[: len(coarse)] * (a[: len(coarse)] - coarse) ** 2).sum(axis=0)
        share = np.maximum(weight[3 * degrees // 4 :].sum(axis=0), change) / total
        settled = share <= UNRESOLVED
        kept = (np.cumsum(weight[::-1], axis=0)[::-1] > NEGLIGIBLE * total)[:, settled]
        kept[0] = True
        length = max(2, int(kept.any(axis=1).sum()))
        found.append((left[settled], np.where(kept, a[:, settled], 0.0)[:length]))
        left, share, coarse = left[~settled], share[~settled], a[:, ~settled]
        if not left.size:
            whole = np.zeros((max(len(part) for _, part in found), distinct.size))
            for columns, part in found:
                whole[: len(part), columns] = part
            return whole[:, place]
    worst = int(share.argmax())
    raise DomainError(
        f"the Hermite coefficients of {activation.name} fall too slowly for quadrature at variance "
        f"{distinct[left[worst]]:.4g}: {DEGREES[-1]} leave {share[worst]:.2g} of E phi'^2, {UNRESOLVED:g} is asked. A "
        "phi with a kink needs a closed form (relu, abs, step, leaky_relu, piecewise_linear); a smooth one needs "
        "smaller sw2, sb2 or inputs."
    )


def _expand(activation: Activation, q: np.ndarray, degrees: int) -> np.ndarray:
    """The first coefficients, float64[degrees, N]."""
    assert activation.phi is not None
    x, basis = _hermite_functions(degrees)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # looked at below
        values = np.asarray(activation.phi(np.sqrt(q)[:, None] * x), dtype=np.float64)
    if values.shape != (q.size, x.size):
        raise DomainError(f"{activation.name} must act on each entry: {(q.size, x.size)} -> {values.shape}")
    if not np.isfinite(values).all():
        i, j = np.argwhere(~np.isfinite(values))[0]
        raise NonFiniteError(f"{activation.name} is {values[i, j]} at {np.sqrt(q[i]) * x[j]:.6g}")
    return basis @ (basis[0] * values).T


def dual_diagonal(activation: Activation, q: np.ndarray, a: np.ndarray | None = None) -> tuple[Any, Any]:
    """T(q, q, q) and T'(q, q, q), float64[N] each.

    Parameters
    ----------
    activation : Activation
    q : float64[N]
    a : float64[K, N], optional
        Hermite coefficients at q, of a smooth activation.
    """
    k = activation.mean_square_slope
    if activation.family == "piecewise":
        return k * q, np.full_like(q, k)
    if activation.family == "step":
        return np.where(q > 0, k, 0.0), np.zeros_like(q)
    if activation.family == "erf":
        return 2 / np.pi * np.arctan(2 * q / np.sqrt(1 + 4 * q)), 4 / np.pi / np.sqrt(1 + 4 * q)
    if activation.family == "sin":
        return -np.expm1(-2 * q) / 2, (1 + np.exp(-2 * q)) / 2
    if activation.family == "quadratic":
        return 3 * q**2, 4 * q
    assert a is not None
    slope = (np.arange(len(a))[:, None] * a**2).sum(axis=0)
    return (a**2).sum(axis=0), np.divide(slope, q, out=np.zeros_like(q), where=q > 0)
