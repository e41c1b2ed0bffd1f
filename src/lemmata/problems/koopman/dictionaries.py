"""Dictionaries: functions of the state, whose span is where a Koopman operator is looked for.

A dictionary is any callable ``psi(x float64[M, d]) -> [M, N]``; these are frozen values with a `size`. Polynomials are
normalised in the law that their name stands for, so that their Gram matrix is the identity under the right quadrature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.koopman.data import check_finite, check_real
from lemmata.random import check_integer

__all__ = [
    "Chebyshev",
    "Cosine",
    "Dictionary",
    "Fourier",
    "Hermite",
    "Kernel",
    "Legendre",
    "Product",
    "Radial",
    "delays",
]


class Dictionary(Protocol):
    """N functions of the state: ``psi(x float64[M, d]) -> float64 or complex128 [M, N]``."""

    def __call__(self, x: np.ndarray, /) -> np.ndarray: ...


#: Functions of a distance.
SHAPES = ("exponential", "gaussian", "inverse", "thin-plate")


def _check_interval(psi: Legendre | Chebyshev) -> None:
    check_integer("size", psi.size, 1)
    if not -math.inf < psi.lower < psi.upper < math.inf:
        raise DomainError(f"need finite lower < upper, got [{psi.lower:g}, {psi.upper:g}]")


def _check_scale(scale: float) -> None:
    if not 0 < scale < math.inf:
        raise DomainError(f"the scale must be positive, got {scale:g}")


def _column(x: np.ndarray, name: str) -> np.ndarray:
    x = check_real("x", x)
    if x.ndim != 2 or x.shape[1] != 1:
        raise ShapeError(f"{name} is a dictionary of one coordinate, [M, 1], got {x.shape}; use Product for more")
    return x[:, 0]


@dataclass(frozen=True)
class Fourier:
    """``e^{2 pi i k . x / period}`` for integer k with ``|k_i| <= degree``.

    Attributes
    ----------
    degree : int
    dim : int
    period : float
    cross : float or None
        Keeps a hyperbolic cross, ``prod max(1, |k_i|) <= cross``.
    """

    degree: int
    dim: int = 1
    period: float = 1.0
    cross: float | None = None

    def __post_init__(self) -> None:
        check_integer("degree", self.degree, 0)
        check_integer("dim", self.dim, 1)
        if not 0 < self.period < math.inf or not (self.cross is None or self.cross >= 1):
            raise DomainError(f"need a finite period > 0, and cross >= 1 if any, got {self}")

    @property
    def frequencies(self) -> np.ndarray:
        """int64[N, dim], the last coordinate fastest."""
        k = np.indices((2 * self.degree + 1,) * self.dim).reshape(self.dim, -1).T - self.degree
        return k if self.cross is None else k[np.maximum(1, np.abs(k)).prod(axis=1) <= self.cross]

    @property
    def size(self) -> int:
        """N."""
        return len(self.frequencies)

    def __call__(self, x: np.ndarray, /) -> np.ndarray:
        x = check_real("x", x)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ShapeError(f"x must be [M, {self.dim}], got {x.shape}")
        # powers of one exponential an axis: an exponential and not N of them for a snapshot
        powers = np.exp(2j * np.pi / self.period * x)[:, :, None] ** np.arange(self.degree + 1)
        powers = np.concatenate([powers[..., :0:-1].conj(), powers], axis=2)
        k = self.frequencies + self.degree
        out = powers[:, 0, k[:, 0]]
        for i in range(1, self.dim):
            out *= powers[:, i, k[:, i]]
        return out


@dataclass(frozen=True)
class Cosine:
    """``1, sqrt 2 cos(pi k x)`` for k < size: orthonormal on [0, 1]."""

    size: int

    def __post_init__(self) -> None:
        check_integer("size", self.size, 1)

    def __call__(self, x: np.ndarray, /) -> np.ndarray:
        k = np.arange(self.size)
        return np.where(k, math.sqrt(2), 1.0) * np.cos(np.pi * k * _column(x, "Cosine")[:, None])


@dataclass(frozen=True)
class Legendre:
    """Legendre polynomials of degree < size, orthonormal in the uniform law of [lower, upper]."""

    size: int
    lower: float = -1.0
    upper: float = 1.0

    def __post_init__(self) -> None:
        _check_interval(self)

    def __call__(self, x: np.ndarray, /) -> np.ndarray:
        scaled = (2 * _column(x, "Legendre") - self.lower - self.upper) / (self.upper - self.lower)
        return np.polynomial.legendre.legvander(scaled, self.size - 1) * np.sqrt(2 * np.arange(self.size) + 1)


@dataclass(frozen=True)
class Chebyshev:
    """Chebyshev polynomials of degree < size, orthonormal in the arcsine law of [lower, upper]."""

    size: int
    lower: float = -1.0
    upper: float = 1.0

    def __post_init__(self) -> None:
        _check_interval(self)

    def __call__(self, x: np.ndarray, /) -> np.ndarray:
        scaled = (2 * _column(x, "Chebyshev") - self.lower - self.upper) / (self.upper - self.lower)
        return np.polynomial.chebyshev.chebvander(scaled, self.size - 1) * np.where(
            np.arange(self.size), math.sqrt(2), 1
        )


@dataclass(frozen=True)
class Hermite:
    """``He_k(x/scale) / sqrt(k!)`` for k < size, orthonormal in N(0, scale^2).

    `weighted`, they are multiplied by ``e^{-x^2/(4 scale^2)}``: orthogonal in dx.
    """

    size: int
    scale: float = 1.0
    weighted: bool = False

    def __post_init__(self) -> None:
        check_integer("size", self.size, 1)
        _check_scale(self.scale)

    def __call__(self, x: np.ndarray, /) -> np.ndarray:
        u = _column(x, "Hermite") / self.scale
        out = np.empty((self.size, u.size))
        out[0] = np.exp(-(u**2) / 4) if self.weighted else 1.0
        if self.size > 1:
            out[1] = u * out[0]
        # h_{k+1} = (u h_k - sqrt(k) h_{k-1}) / sqrt(k+1): no factorial overflows
        for k in range(1, self.size - 1):
            out[k + 1] = (u * out[k] - math.sqrt(k) * out[k - 1]) / math.sqrt(k + 1)
        return out.T


@dataclass(frozen=True, eq=False)
class Radial:
    """Functions of the distance r from each of N centres.

    Attributes
    ----------
    centres : float64[N, d]
    shape : {"exponential", "gaussian", "inverse", "thin-plate"}
        ``e^{-r/s}``, ``e^{-(r/s)^2}``, ``1/(1 + (r/s)^2)`` and ``(r/s)^2 ln(r/s)``.
    scale : float
        s.
    """

    centres: np.ndarray
    shape: Literal["exponential", "gaussian", "inverse", "thin-plate"] = "exponential"
    scale: float = 1.0

    def __post_init__(self) -> None:
        centres = check_finite("centres", np.array(self.centres, dtype=np.float64))
        if centres.ndim != 2 or not centres.size:
            raise ShapeError(f"centres must be [N, d], got {centres.shape}")
        _check_scale(self.scale)
        if self.shape not in SHAPES:
            raise DomainError(f"no radial function is called {self.shape!r}")
        centres.flags.writeable = False
        object.__setattr__(self, "centres", centres)

    @property
    def size(self) -> int:
        """N."""
        return len(self.centres)

    def __call__(self, x: np.ndarray, /) -> np.ndarray:
        return Kernel(self.shape, self.scale)(x, self.centres)


@dataclass(frozen=True)
class Kernel:
    """A kernel ``k(a, b)``: a radial shape as in `Radial`, or "polynomial", ``(1 + a . b / s^2)^degree``.

    Squared distances come from ``|a|^2 - 2 a . b + |b|^2`` about the mean of b, one product of matrices. It leaves
    rounding in r^2, which a function that is smooth in r^2 does not feel; for ``e^{-r/s}`` the squares that are
    small beside those of the points are computed anew from differences.
    """

    shape: str = "gaussian"
    scale: float = 1.0
    degree: int = 1

    def __post_init__(self) -> None:
        if self.shape not in (*SHAPES, "polynomial"):
            raise DomainError(f"no kernel is called {self.shape!r}")
        _check_scale(self.scale)
        check_integer("degree", self.degree, 0)

    def __call__(self, a: np.ndarray, b: np.ndarray, /) -> np.ndarray:
        a, b = (check_real("points", v) for v in (a, b))
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
            raise ShapeError(f"points must be [m, d] and [n, d], got {a.shape} and {b.shape}")
        if self.shape == "polynomial":
            return (1 + (a @ b.T) / self.scale**2) ** self.degree
        middle = b.mean(axis=0)
        a, b = (a - middle) / self.scale, (b - middle) / self.scale
        # one product gives the squared distances: [a, |a|^2, 1] . [-2b, 1, |b|^2]
        left = np.concatenate([a, (a**2).sum(axis=1, keepdims=True), np.ones((len(a), 1))], axis=1)
        right = np.concatenate([-2 * b, np.ones((len(b), 1)), (b**2).sum(axis=1, keepdims=True)], axis=1)
        square = left @ right.T
        np.maximum(square, 0.0, out=square)
        if self.shape == "exponential":
            # rounding of r^2 is worth 1e-13 of r beyond, and 1e-8 at r = 0
            close = np.flatnonzero(square < 1e-6 * (left[:, -2].max() + right[:, -1].max()))
            # where one point is far off all others are close: some 8 MiB of differences at a time
            for part in np.array_split(close, 1 + close.size * a.shape[1] // 2**20):
                i, j = np.divmod(part, len(b))
                square.ravel()[part] = ((a[i] - b[j]) ** 2).sum(axis=1)
            np.sqrt(square, out=square)
        if self.shape in ("exponential", "gaussian"):
            np.negative(square, out=square)
            return np.exp(square, out=square)
        if self.shape == "inverse":
            return 1 / (1 + square)
        return 0.5 * square * np.log(np.where(square > 0, square, 1.0))


@dataclass(frozen=True)
class Product:
    """Products of one function of each coordinate: N = prod N_i, the last factor fastest.

    Attributes
    ----------
    factors : tuple of Dictionary
        One a coordinate.
    """

    factors: tuple[Dictionary, ...]

    def __post_init__(self) -> None:
        if not self.factors:
            raise ShapeError("a product of no functions: give a dictionary for each coordinate")

    def __call__(self, x: np.ndarray, /) -> np.ndarray:
        x = check_real("x", x)
        if x.ndim != 2 or x.shape[1] != len(self.factors):
            raise ShapeError(f"x must be [M, {len(self.factors)}], got {x.shape}")
        out = self.factors[0](x[:, :1])
        for i, factor in enumerate(self.factors[1:], start=1):
            out = (out[:, :, None] * factor(x[:, i : i + 1])[:, None, :]).reshape(len(x), -1)
        return out


def delays(series: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Delay coordinates ``g, Kg, ..., K^{size-1} g`` of an observable along an orbit, and their images.

    Parameters
    ----------
    series : float64 or complex128 [T]
        ``g(x_0), g(x_1), ...``.
    size : int
        N.

    Returns
    -------
    psi_x, psi_y : [T - N, N]
        Views of one Hankel matrix: no copy is made.

    Raises
    ------
    ShapeError, DomainError, NonFiniteError
    """
    series = np.asarray(series)
    if series.ndim != 1:
        raise ShapeError(
            f"a series has one axis, got {series.shape}; embed coordinates one by one and join the columns"
        )
    if check_integer("size", size, 1) >= len(series):
        raise DomainError(f"size must lie in 1..{len(series) - 1} for a series of {len(series)}, got {size}")
    window = np.lib.stride_tricks.sliding_window_view(check_finite("series", series), size + 1)
    return window[:, :-1], window[:, 1:]
