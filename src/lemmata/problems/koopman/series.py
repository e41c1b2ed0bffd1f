"""Measured series whose law nobody knows, as delay coordinates.

The data are those bundled with statsmodels (``pip install "lemmata[data]"``), which is imported when a series is asked
for and not before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.koopman.data import Snapshots, check_finite, check_real
from lemmata.problems.koopman.dictionaries import delays

__all__ = ["Affine", "Series", "carbon_dioxide", "sunspots"]


@dataclass(frozen=True)
class Affine:
    """The constant, and each of d coordinates: N = d + 1 functions. What DMD sees, and a mean."""

    dim: int

    @property
    def size(self) -> int:
        """N."""
        return self.dim + 1

    def __call__(self, x: np.ndarray, /) -> np.ndarray:
        x = check_real("x", x)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ShapeError(f"x must be [M, {self.dim}], got {x.shape}")
        return np.concatenate([np.ones((len(x), 1)), x], axis=1)


@dataclass(frozen=True, eq=False)
class Series:
    """One observable along one orbit, sampled every `dt`.

    Attributes
    ----------
    name : str
    values : float64[T]
    unit : str
    start : float
        Time of the first value, in years.
    dt : float
        Years between values.
    source : str
        Who measured it.
    """

    name: str
    values: np.ndarray
    unit: str = "1"
    start: float = 0.0
    dt: float = 1.0
    source: str = ""

    def __post_init__(self) -> None:
        values = check_finite("values", np.array(self.values, dtype=np.float64))
        if values.ndim != 1 or values.size < 2:
            raise ShapeError(f"a series has one axis and 2 values at least, got {values.shape}")
        if not (math.isfinite(self.dt) and self.dt > 0):
            raise DomainError(f"dt must be positive, got {self.dt:g}")
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    @property
    def times(self) -> np.ndarray:
        """float64[T], in years."""
        return self.start + self.dt * np.arange(self.values.size)

    def split(self, share: float) -> tuple[Series, Series]:
        """The first `share` of the values, to learn from, and the rest, to judge on: no value is in both.

        Raises
        ------
        DomainError
            One of the two would hold fewer than 2 values.
        """
        size = round(share * self.values.size) if math.isfinite(share) else 0
        if not 2 <= size <= self.values.size - 2:
            raise DomainError(
                f"a share of {share:g} leaves {size} of {self.values.size} values; 2 are needed on each side"
            )
        later = replace(self, values=self.values[size:], start=float(self.times[size]))
        return replace(self, values=self.values[:size]), later

    def shuffled(self, *, seed: int) -> Series:
        """The same values in random order: the same law of one value, and no dynamics."""
        return replace(self, values=np.random.default_rng(seed).permutation(self.values))

    def snapshots(self, size: int) -> Snapshots:
        """Pairs of `size` successive values and of those one step later: M = T - size of them.

        Raises
        ------
        DomainError
        """
        x, y = delays(self.values, size)
        return Snapshots(x, y, np.full(len(x), 1 / len(x)))


def _bundled(name: str) -> Any:
    """A table of statsmodels, as a pandas frame."""
    try:
        from statsmodels import datasets
    except ImportError as error:
        raise ImportError("the measured series come with statsmodels: pip install 'lemmata[data]'") from error
    return getattr(datasets, name).load_pandas().data


def sunspots() -> Series:
    """Yearly mean sunspot numbers, 1700 to 2008: 309 values.

    Times are the middles of the years.

    Raises
    ------
    ImportError
        statsmodels is not installed.
    """
    table = _bundled("sunspots")
    years, values = table["YEAR"].to_numpy(np.float64), table["SUNACTIVITY"].to_numpy(np.float64)
    if not (np.diff(years) == 1).all():
        raise DomainError("the table of sunspots leaves out a year")
    return Series("sunspots", values, "Wolf number", years[0] + 0.5, 1.0, "National Geophysical Data Center, USA")


def carbon_dioxide(first: int = 1965, last: int = 2001) -> Series:
    """Monthly mean CO2 at Mauna Loa, in ppmv: 444 values from 1965 to 2001.

    The table is weekly and has gaps. A value here is the mean of the weeks that were measured in a calendar month.
    Nothing is filled in: from June 1964 on every month has a measurement (one week at least, April 1984), while a gap
    of eighteen weeks early in 1964 would have to be invented. Months are taken to be equally long.

    Parameters
    ----------
    first, last : int
        Years, both included, within 1965..2001.

    Raises
    ------
    DomainError
        A month without a measurement, or a year that the table does not hold.
    ImportError
        statsmodels is not installed.
    """
    if first > last:
        raise DomainError(f"the years must not decrease, got {first} to {last}")
    table = _bundled("co2")["co2"].dropna()
    month = 12 * (np.asarray(table.index.year) - first) + np.asarray(table.index.month) - 1
    size = 12 * (last - first + 1)
    inside = (month >= 0) & (month < size)
    weeks = np.bincount(month[inside], minlength=size)
    if not weeks.all():
        missing = int(np.argmin(weeks))
        raise DomainError(
            f"{int((weeks == 0).sum())} months have no measurement, the first {first + missing // 12}-"
            f"{missing % 12 + 1:02d}: choose years within 1965..2001"
        )
    values = np.bincount(month[inside], table.to_numpy(np.float64)[inside], minlength=size) / weeks
    return Series("CO2 at Mauna Loa", values, "ppmv", first + 1 / 24, 1 / 12, "Keeling and Whorf, Scripps, 2004")
