"""A transport problem as data, and every check that needs no solver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError

__all__ = ["MASS_TOLERANCE", "NO_ENTROPY", "TransportProblem", "check_masses", "check_positive", "real_array"]

#: What to do where eps is not positive.
NO_ENTROPY = "the problem without entropy is a linear programme: use an exact solver"
#: Relative difference of the total masses that is rounding and not a mistake, in float64.
MASS_TOLERANCE = 1e-9


def real_array(name: str, value: Any, ndim: int, *, allow_infinite: bool = False) -> np.ndarray:
    """`value` as a read-only contiguous float64 array with `ndim` axes, none of them empty.

    Parameters
    ----------
    name : str
        For the messages.
    value : array_like
        Real numbers; integers are cast.
    ndim : int
    allow_infinite : bool
        Whether +inf may stand in it.

    Returns
    -------
    float64[...]

    Raises
    ------
    TypeError
        Not real numbers.
    ShapeError
        Another number of axes, or an empty one.
    NonFiniteError
        A NaN, -inf, or +inf where it may not stand.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.ndim != ndim or array.size == 0:
        raise ShapeError(f"{name} must have {ndim} ax{'i' if ndim == 1 else 'e'}s, none empty, got shape {array.shape}")
    array = np.array(array, dtype=np.float64, order="C")  # a copy: freezing must not reach the caller's own array
    bad = ~(np.isfinite(array) | (array == np.inf)) if allow_infinite else ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        hint = "; pairs that may not be matched need allow_forbidden=True" if array[where] == np.inf else ""
        raise NonFiniteError(f"{name} contains {array[where]} at index {where}{hint}", index=where)
    array.setflags(write=False)
    return array


def check_positive(name: str, value: Any, hint: str = "") -> float:
    """`value` as a float, finite and > 0, else `DomainError` with the hint."""
    number = float(value)
    if not 0 < number < np.inf:
        raise DomainError(f"{name} must be positive and finite, got {value!r}{hint and '; ' + hint}")
    return number


def check_masses(
    r: np.ndarray, c: np.ndarray, *, normalize: bool = False, tolerance: float = MASS_TOLERANCE
) -> tuple[np.ndarray, np.ndarray]:
    """The masses, each divided by its sum on request, after every check on them.

    Parameters
    ----------
    r, c : float64[n], float64[m]
        Finite.
    normalize : bool
    tolerance : float
        Relative difference of the totals that is taken for rounding.

    Raises
    ------
    DomainError
        A negative mass, no mass at all, or unequal totals.
    """
    for name, mass in (("r", r), ("c", c)):
        if (mass < 0).any():
            raise DomainError(f"{name} holds a negative mass, {mass.min():g} at index {int(mass.argmin())}")
        if not mass.any():
            raise DomainError(f"{name} holds no mass at all")
    if normalize:
        r, c = r / r.sum(), c / c.sum()
        r.setflags(write=False)
        c.setflags(write=False)
    total_r, total_c = float(r.sum()), float(c.sum())
    if abs(total_r - total_c) > tolerance * max(total_r, total_c):
        raise DomainError(
            f"the masses differ: r sums to {total_r!r}, c to {total_c!r}, so no plan exists; "
            "rescale one of them, or divide each by its sum (normalize=True where that is an option)"
        )
    return r, c


@dataclass(frozen=True, eq=False)
class TransportProblem:
    """``min <C, P> + eps sum P (log P - 1)`` over P >= 0 with row sums r and column sums c.

    Attributes
    ----------
    C : float64[n, m]
        Cost; +inf forbids a pair and needs `allow_forbidden`.
    r : float64[n]
        Row masses, >= 0.
    c : float64[m]
        Column masses, >= 0, of the same total.
    eps : float
        Temperature, in the unit of the cost; ``eta = 1/eps`` in Tang et al. 2024.
    name : str
    at : dict
        Coordinates that name this problem in a verdict.
    optimum : float or None
        Exact value of the unregularised problem, where it is known.
    normalize : bool
        Whether `r` and `c` may be divided by their sums; they never are otherwise.
    allow_forbidden : bool
        Whether C may contain +inf.

    Raises
    ------
    TypeError, ShapeError, NonFiniteError
        For arrays of the wrong type or shape, or with NaN or infinity.
    DomainError
        ``eps <= 0``, a negative mass, no mass at all, unequal total masses, or a row or column of positive mass
        with nothing but forbidden pairs.

    Notes
    -----
    Unequal totals are an error because no plan has these marginals: the dual is unbounded along (1, -1) and every
    solver drifts.
    """

    C: np.ndarray
    r: np.ndarray
    c: np.ndarray
    eps: float
    name: str = ""
    at: dict[str, Any] = field(default_factory=dict)
    optimum: float | None = None
    normalize: bool = False
    allow_forbidden: bool = False

    def __post_init__(self) -> None:
        eps = check_positive("eps", self.eps, NO_ENTROPY)
        C = real_array("cost", self.C, 2, allow_infinite=self.allow_forbidden)
        r, c = real_array("r", self.r, 1), real_array("c", self.c, 1)
        for name, mass, size, what in (("r", r, C.shape[0], "rows"), ("c", c, C.shape[1], "columns")):
            if len(mass) != size:
                raise ShapeError(f"the cost has {size} {what}, {name} has {len(mass)} entries")
        r, c = check_masses(r, c, normalize=self.normalize)
        if self.allow_forbidden:
            allowed = np.isfinite(C) & (r[:, None] > 0) & (c > 0)
            for mass, able, what in ((r, allowed.any(1), "row"), (c, allowed.any(0), "column")):
                stuck = np.flatnonzero((mass > 0) & ~able)
                if stuck.size:
                    raise DomainError(
                        f"{what} {stuck[0]} has mass {mass[stuck[0]]:g} and only forbidden pairs with mass"
                    )
        for name, value in (("C", C), ("r", r), ("c", c), ("eps", eps)):
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        return self.C.shape  # type: ignore[return-value]

    @property
    def is_assignment(self) -> bool:
        """Whether the problem is square with equal masses, so that its vertices are permutations."""
        n, m = self.shape
        return n == m and bool(np.ptp(self.r) == 0 and np.ptp(self.c) == 0)
