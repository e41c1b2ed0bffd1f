"""Systems that no algorithm can tell apart, and limits that do not commute.

The adversary lives on the disc with the coordinates s = r^2 in (0, 1) and phi, in which ``ds dphi`` is the area. The
rotation R by pi has the spectrum {1, -1}; the twist by ``pi + delta(s)`` has, for every delta that is not constant, the
whole circle. Given any finite data of the twist there is an involution with the same data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.koopman import check_finite, check_real
from lemmata.random import check_integer
from lemmata.sims.koopman.orbits import PRIME

__all__ = [
    "Involution",
    "circle_gap",
    "hausdorff",
    "interpolating_involution",
    "rage_average",
    "torus_sum",
    "twist",
]

#: Ellipses reach this far beyond what they turn by exactly half a turn.
REACH = 1.2
#: What angles of some turns are off by.
ROUNDING = 1e-14
#: An ellipse narrower than twenty of that would have no rim left.
NARROWEST = 2e-13


def _points(x: np.ndarray) -> np.ndarray:
    x = check_finite("x", check_real("x", x))
    if x.ndim != 2 or x.shape[1] != 2:
        raise ShapeError(f"points of the disc are rows (s, phi), got {x.shape}")
    return x


def _turned(angle: np.ndarray) -> np.ndarray:
    """Angles in [0, 2 pi): of a negative one near 0 the remainder rounds to 2 pi."""
    rest = angle % (2 * np.pi)
    return np.where(rest < 2 * np.pi, rest, 0.0)


def _excess(delta: Callable[[np.ndarray], np.ndarray], s: np.ndarray) -> np.ndarray:
    turn = check_real("delta", delta(s))
    if turn.shape != s.shape:
        raise ShapeError(f"delta of {len(s)} values of s has the shape {turn.shape}")
    return check_finite("delta", turn)


def twist(x: np.ndarray, delta: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """``(s, phi) -> (s, phi + pi + delta(s))`` of every row; the spectrum is the circle if delta is not constant.

    Parameters
    ----------
    x : float64[M, 2]
    delta : callable
        float64[M] -> float64[M]; 0 gives the rotation by pi.

    Returns
    -------
    float64[M, 2]
        Angles in [0, 2 pi).

    Raises
    ------
    ShapeError, NonFiniteError, TypeError
    """
    x = _points(x)
    return np.column_stack([x[:, 0], _turned(x[:, 1] + np.pi + _excess(delta, x[:, 0]))])


@dataclass(frozen=True, eq=False)
class Involution:
    """``G = H^{-1} R H``, an area-preserving homeomorphism with ``G o G = Id``: spectrum {1, -1}.

    H is a product of twists of disjoint ellipses: in each, points within 1/1.2 of its radius (and what rounding adds)
    are turned by half a turn about its centre, and those further out by less, down to none at its rim.

    Attributes
    ----------
    s, phi : float64[m]
        Centres, s increasing.
    height : float
        Half-axis in s.
    width : float64[m]
        Half-axes in phi.
    """

    s: np.ndarray
    phi: np.ndarray
    height: float
    width: np.ndarray

    def _turn(self, x: np.ndarray, sign: float) -> np.ndarray:
        near = np.clip(np.searchsorted(self.s, x[:, 0]), 0, self.s.size - 1)
        before = np.maximum(near - 1, 0)
        near = np.where(np.abs(self.s[before] - x[:, 0]) < np.abs(self.s[near] - x[:, 0]), before, near)
        a = (x[:, 0] - self.s[near]) / self.height
        b = ((x[:, 1] - self.phi[near] + np.pi) % (2 * np.pi) - np.pi) / self.width[near]
        rho = np.hypot(a, b)
        # the data lie at 1/1.2 up to the rounding of angles, and must turn by no less than half a turn
        angle = sign * np.pi * np.clip((1 - rho) / (1 - 1 / REACH - ROUNDING / self.width[near]), 0, 1)
        c, d = np.cos(angle), np.sin(angle)
        moved = np.column_stack(
            [self.s[near] + self.height * (c * a - d * b), self.phi[near] + self.width[near] * (d * a + c * b)]
        )
        return np.where((rho < 1)[:, None], moved, x)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Images of rows (s, phi), float64[M, 2]."""
        x = self._turn(_points(x), 1.0)
        x = self._turn(np.column_stack([x[:, 0], x[:, 1] + np.pi]), -1.0)
        return np.column_stack([x[:, 0], _turned(x[:, 1])])


def interpolating_involution(x: np.ndarray, delta: Callable[[np.ndarray], np.ndarray]) -> Involution:
    """An involution that takes every row of x where `twist` takes it.

    Parameters
    ----------
    x : float64[M, 2]
        Distinct s in (0, 1).
    delta : callable
        ``1.2 |delta| < pi``, and at least 2e-13 at the data.

    Returns
    -------
    Involution
        Of the disc: its ellipses are as high as the distances between the s, and those from 0 and 1, allow.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    x = _points(x)
    if not len(x):
        raise ShapeError("an involution through no points: give one row at least")
    x = x[np.argsort(x[:, 0])]
    if not (x[0, 0] > 0 and x[-1, 0] < 1):
        raise DomainError(f"s must lie in (0, 1), the open disc without its centre; got {x[0, 0]:g} to {x[-1, 0]:g}")
    turn = _excess(delta, x[:, 0])
    # half as far from the rim and the centre as between two points: an ellipse must not leave the disc
    gap = float(np.diff(x[:, 0], prepend=-x[0, 0], append=2 - x[-1, 0]).min())
    if not gap > 0:
        raise DomainError("two points have the same s: every one needs an ellipse of its own")
    if not np.abs(turn).min() >= NARROWEST or not REACH * np.abs(turn).max() < np.pi:
        raise DomainError(
            f"|delta| must lie in [{NARROWEST:g}, pi/{REACH:g}) at the data, got {np.abs(turn).min():g} to "
            f"{np.abs(turn).max():g}"
        )
    return Involution(x[:, 0], x[:, 1] + np.pi + turn / 2, gap / 2.5, REACH * np.abs(turn) / 2)


def hausdorff(a: np.ndarray, b: np.ndarray) -> float:
    """Hausdorff distance of two finite sets of m and n complex numbers; 24 m n bytes.

    Raises
    ------
    ShapeError, NonFiniteError
    """
    a, b = check_finite("a", np.ravel(a)), check_finite("b", np.ravel(b))
    if not a.size or not b.size:
        raise ShapeError("the distance to the empty set is not a number: an algorithm must return some point")
    apart = np.abs(a[:, None] - b)
    return float(max(apart.min(axis=1).max(), apart.min(axis=0).max()))


def circle_gap(a: np.ndarray) -> float:
    """Hausdorff distance of a finite set of n numbers from the unit circle, to 1e-3; 96 n KiB.

    Raises
    ------
    ShapeError, NonFiniteError
    """
    a = check_finite("a", np.ravel(np.asarray(a, dtype=np.complex128)))
    if not a.size:
        raise ShapeError("the distance to the empty set is not a number: an algorithm must return some point")
    fine = np.exp(2j * np.pi * np.arange(4096) / 4096)
    missed = np.abs(fine[:, None] - a).min(axis=1).max()
    return float(max(missed, np.abs(1 - np.abs(a)).max()))


def torus_sum(numerator: int, denominator: int, largest: int, ratio: float) -> np.ndarray:
    """``S_k = sum_{0 < |j| <= k} ratio^{2|j|} / |e^{2 pi i j alpha} - 1|^2`` for k up to `largest`, alpha rational.

    On the torus, ``F(x, y) = (x + alpha, y + beta + f(x))`` with Fourier coefficients ``ratio^{|j|}`` of f has an
    eigenfunction ``e^{2 pi i (y + u(x))}`` in L^2 if this stays bounded: its Fourier coefficients are those of u.

    Parameters
    ----------
    numerator, denominator : int
        alpha exactly, of any length; the denominator must exceed `largest`.
    largest : int
    ratio : float
        In (0, 1).

    Returns
    -------
    float64[largest]
        A term above 2e304 counts as that much.

    Raises
    ------
    DomainError

    Notes
    -----
    Distances of ``j alpha`` to the nearest integer are computed in integers: floating point would lose small ones.
    """
    if not 0 < ratio < 1:
        raise DomainError(f"ratio must lie in (0, 1), got {ratio:g}")
    for name, value in (("numerator", numerator), ("denominator", denominator)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    numerator, denominator = int(numerator), int(denominator)  # numpy's would overflow
    if check_integer("largest", largest, 0) < 1 or math.gcd(numerator, denominator) != 1 or denominator <= largest:
        raise DomainError(
            "alpha must be a fraction in lowest terms with a denominator above the largest frequency, and that 1 or "
            f"more; it is {largest}"
        )
    terms = np.empty(largest)
    log = math.log(ratio)
    size = math.log(denominator)
    place = 0
    for j in range(1, largest + 1):
        place = (place + numerator) % denominator
        near = min(place, denominator - place)
        # 2 sin(pi d) and 2 pi d agree below 1e-8
        logarithm = math.log(near) - size
        sine = (
            math.log(2 * math.sin(math.pi * math.exp(logarithm)))
            if logarithm > -18
            else logarithm + math.log(2 * math.pi)
        )
        terms[j - 1] = 2 * math.exp(min(700.0, 2 * (j * log - sine)))
    return np.cumsum(terms)


@njit(cache=True)
def _rage(dimension, lengths, prime, out):  # type: ignore[no-untyped-def]
    """Averages over l <= L of the norms of the projections of K^l of the cat's first mode."""
    first = np.empty((dimension + 1, 2), np.int64)
    first[0, 0], first[0, 1] = 1, 0
    for i in range(dimension):
        first[i + 1, 0] = (2 * first[i, 0] + first[i, 1]) % prime
        first[i + 1, 1] = (first[i, 0] + first[i, 1]) % prime
    a, b = np.int64(1), np.int64(0)
    total, c = 0.0, 0
    for step in range(lengths[-1] + 1):
        for i in range(dimension + 1):
            if a == first[i, 0] and b == first[i, 1]:
                total += 1.0
                break
        if step == lengths[c]:
            out[c] = total / (step + 1)
            c += 1
        a, b = (2 * a + b) % prime, (a + b) % prime


def rage_average(dimension: int, lengths: np.ndarray) -> np.ndarray:
    """``1/(L + 1) sum_{l <= L} ||P_n K^l g||^2`` for a g half in an eigenfunction, half in a continuous spectrum.

    g is a mode of the rotation and the mode (1, 0) of the cat map, each of weight 1/2. K permutes the modes of the cat
    map, here those of a lattice of a large prime number of points; P_n keeps the eigenfunction and the first n + 1
    modes of the chain of (1, 0).

    Parameters
    ----------
    dimension : int
        n >= 0.
    lengths : int64[k]
        L, increasing.

    Returns
    -------
    float64[k]
        Time ``O(n max L)``.

    Raises
    ------
    DomainError
    """
    given = check_finite("lengths", np.atleast_1d(np.asarray(lengths)))
    lengths = given.astype(np.int64)
    if lengths.ndim != 1 or not lengths.size or (lengths != given).any():
        raise DomainError(f"lengths must be a vector of integers, one at least, got {given}")
    check_integer("dimension", dimension, 0)
    if lengths[0] < 0 or (np.diff(lengths) <= 0).any():
        raise DomainError(f"need increasing lengths >= 0, got {lengths}")
    out = np.empty(lengths.size)
    _rage(dimension, lengths, PRIME, out)
    return 0.5 + 0.5 * out
