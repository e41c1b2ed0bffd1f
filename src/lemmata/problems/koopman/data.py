"""Snapshot pairs, quadrature rules, and what is refused or warned of."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from lemmata.errors import AssumptionError, DomainError, NonFiniteError, ShapeError
from lemmata.random import check_integer

__all__ = [
    "CertificateError",
    "CollapseError",
    "MeasureMismatchWarning",
    "PolarNonUniqueWarning",
    "PrecisionError",
    "RankDeficientWarning",
    "ResidualVacuousError",
    "ResidualVacuousWarning",
    "ResolutionWarning",
    "Rule",
    "Snapshots",
    "check_finite",
    "check_least",
    "check_pair",
    "check_rank",
    "check_real",
    "check_snapshots",
    "check_unit",
    "check_weights",
    "check_width",
    "rule",
    "tensor_rule",
]


class ResidualVacuousError(AssumptionError):
    """With M < N snapshots the residual vanishes on the data whatever the system is."""


class CertificateError(AssumptionError):
    """A certificate was asked for an operator that is not known to be normal or an isometry."""


class CollapseError(NonFiniteError):
    """An expanding map in binary floating point fell onto 0."""


class PrecisionError(DomainError):
    """Residuals were to be judged by a tolerance below what rounding leaves of them."""

    def __init__(self, floor: float, tolerance: float) -> None:
        super().__init__(
            f"residuals below {floor:.2g} are rounding in this section, and a tolerance of {tolerance:.2g} was asked "
            "for: use float64 features and the triangular form, or cut off more of the dictionary with rtol"
        )


class ResidualVacuousWarning(UserWarning):
    """With M < 2N snapshots the residual on the data says little: hold snapshots out."""


class RankDeficientWarning(UserWarning):
    """The dictionary is linearly dependent on the data, to the tolerance of the truncation."""


class MeasureMismatchWarning(UserWarning):
    """The system is declared measure preserving and the data contradict it: L differs from G."""


class PolarNonUniqueWarning(UserWarning):
    """The compression is singular: its unitary polar factor is unique only up to a rotation of the kernel."""


class ResolutionWarning(UserWarning):
    """The smoothing is narrower than three spacings 2 pi / N of N eigenvalues on the circle."""


def check_finite(name: str, values: np.ndarray) -> np.ndarray:
    """Refuse an array with a NaN or an infinity; the array otherwise.

    Raises
    ------
    TypeError
        Not numbers.
    NonFiniteError
    """
    if values.dtype.kind not in "biufc":
        raise TypeError(f"{name} must hold numbers, got dtype {values.dtype}")
    finite = np.isfinite(values)
    if not finite.all():
        where = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), values.shape))
        raise NonFiniteError(f"{name} holds {values[where]} at {where}", index=where)
    return values


def check_real(name: str, values: Any) -> np.ndarray:
    """Real numbers as float64; numpy would drop an imaginary part with a warning.

    Raises
    ------
    TypeError
        Complex, or not numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array.astype(np.float64, copy=False)


def check_pair(name_x: str, x: np.ndarray, name_y: str, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two finite matrices of one shape with at least one row.

    Raises
    ------
    ShapeError, NonFiniteError
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or x.shape != y.shape:
        raise ShapeError(f"{name_x} {x.shape} and {name_y} {y.shape} must be two matrices of one shape")
    if not x.shape[0] or not x.shape[1]:
        raise ShapeError(f"{name_x} {x.shape} holds no snapshot")
    return check_finite(name_x, x), check_finite(name_y, y)


def check_rank(rank: int, functions: int, rtol: float) -> None:
    """Refuse a dictionary that vanishes on the data, and warn of one whose rank is below its number of functions.

    Raises
    ------
    DomainError

    Warns
    -----
    RankDeficientWarning
    """
    if rank == 0:
        raise DomainError("the dictionary vanishes on the data")
    if rank < functions:
        warnings.warn(
            f"the dictionary has rank {rank} of {functions} on the data to rtol = {rtol:.1e}: "
            f"{functions - rank} directions are cut off",
            RankDeficientWarning,
            stacklevel=5,
        )


def check_snapshots(size: int, functions: int) -> None:
    """Refuse M < N snapshots, those of weight 0 not counted, and warn of M < 2N.

    Raises
    ------
    ResidualVacuousError

    Warns
    -----
    ResidualVacuousWarning
    """
    if size < functions:
        raise ResidualVacuousError(
            f"{size} snapshots and {functions} functions: the data fit any matrix, and every residual is 0; "
            f"at least {functions} are needed, many more to learn anything"
        )
    if size < 2 * functions:
        warnings.warn(
            f"{size} snapshots for {functions} functions: residuals on these data say little, hold others out",
            ResidualVacuousWarning,
            stacklevel=4,
        )


def check_weights(w: np.ndarray | None, size: int) -> np.ndarray:
    """Weights >= 0, 1/M each where none are given.

    Raises
    ------
    ShapeError
    DomainError
        A weight is negative or all vanish: ``W^{1/2}`` has no meaning then.
    """
    if w is None:
        return np.full(size, 1.0 / size)
    w = check_real("w", w)
    if w.shape != (size,):
        raise ShapeError(f"w has the shape {w.shape}; {size} snapshots need ({size},)")
    check_finite("w", w)
    if w.min() < 0 or w.sum() <= 0:
        raise DomainError(
            f"weights must be >= 0 with a positive sum; the least is {w.min():g}, the sum {w.sum():g}. "
            "Negative ones have no square root: add up G, A and L and use section_from_gram"
        )
    return w


def check_unit(unit: float) -> None:
    """Refuse a rounding unit that is none.

    Raises
    ------
    DomainError
    """
    if not 0 < unit < 1:
        raise DomainError(f"a rounding unit lies in (0, 1), got {unit:g}")


def check_least(name: str, least: float, allowed: float) -> None:
    """Refuse a matrix whose least eigenvalue is further below 0 than rounding leaves.

    Raises
    ------
    DomainError
    """
    if least < -allowed:
        raise DomainError(f"{name} has the eigenvalue {least:.3g} < 0: no snapshots have these Gram matrices")


def check_width(epsilon: float) -> None:
    """Refuse a width of a rational kernel that is none.

    Below 1e-12 rounding of angles would be seen, and beyond 100 nothing but the mass.

    Raises
    ------
    DomainError
    """
    if not 1e-12 <= epsilon <= 100:
        raise DomainError(f"epsilon must lie in 1e-12..100, got {epsilon:g}")


@dataclass(frozen=True, eq=False)
class Snapshots:
    """Pairs (x, y = F(x)) with quadrature weights.

    Attributes
    ----------
    x, y : float64[M, d]
    w : float64[M]
        Sum to the mass of the measure, 1 for a probability.
    """

    x: np.ndarray
    y: np.ndarray
    w: np.ndarray

    def __post_init__(self) -> None:
        x, y = check_pair("x", self.x, "y", self.y)
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)
        object.__setattr__(self, "w", check_weights(self.w, len(x)))


@dataclass(frozen=True, eq=False)
class Rule:
    """Points and weights of a quadrature of a probability: points float64[M, d], weights float64[M]."""

    x: np.ndarray
    w: np.ndarray


def rule(name: str, size: int, lower: float = 0.0, upper: float = 1.0) -> Rule:
    """A rule on an interval, normalised to mass 1.

    Parameters
    ----------
    name : str
        ``periodic`` (equal weights at the left ends of equal cells, exact for the frequencies below `size`),
        ``riemann`` (the same points; the name says that the integrand is not periodic), ``trapezium``,
        ``legendre``, ``arcsine`` (Chebyshev nodes: equal weights for the arcsine law) or ``normal``
        (Gauss-Hermite for the standard normal law; the interval is not used).
    size : int
        M >= 2.
    lower, upper : float

    Returns
    -------
    Rule

    Raises
    ------
    DomainError, TypeError
    """
    check_integer("size", size, 2)
    if not -math.inf < lower < upper < math.inf:
        raise DomainError(f"a rule needs finite lower < upper, got [{lower:g}, {upper:g}]")
    width = upper - lower
    equal = np.full(size, 1.0 / size)
    if name in ("periodic", "riemann"):
        return Rule((lower + width * np.arange(size) / size)[:, None], equal)
    if name == "trapezium":
        w = np.full(size, 1.0 / (size - 1))
        w[[0, -1]] /= 2
        return Rule(np.linspace(lower, upper, size)[:, None], w)
    if name == "legendre":
        x, w = np.polynomial.legendre.leggauss(size)
        return Rule((lower + width * (x + 1) / 2)[:, None], w / 2)
    if name == "arcsine":
        x = np.cos(np.pi * (np.arange(size) + 0.5) / size)
        return Rule((lower + width * (x + 1) / 2)[:, None], equal)
    if name == "normal":
        x, w = np.polynomial.hermite_e.hermegauss(size)
        return Rule(x[:, None], w / w.sum())
    raise DomainError(f"no rule is called {name!r}; there are periodic, riemann, trapezium, legendre, arcsine, normal")


def tensor_rule(*factors: Rule) -> Rule:
    """The product of rules: ``M = prod M_i`` points, the last coordinate fastest.

    Raises
    ------
    ShapeError
    """
    if not factors:
        raise ShapeError("a product of no rules has no points")
    index = np.indices([len(f.w) for f in factors]).reshape(len(factors), -1)
    x = np.concatenate([f.x[i] for f, i in zip(factors, index, strict=True)], axis=1)
    w = np.prod([f.w[i] for f, i in zip(factors, index, strict=True)], axis=0)
    return Rule(x, w)
