"""What the figures of the family share: the look of each policy, and a mean with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student_t

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["LEVEL", "STYLES", "band", "mean_and_half", "octaves"]

#: error probability of every interval that is drawn
LEVEL = 0.01

#: colour and marker of a policy, the same in every figure
STYLES = {
    "UCB1": ("C0", "o"),
    "MOSS": ("C2", "s"),
    "KL-UCB": ("C4", "v"),
    "Thompson": ("C1", "^"),
    "ε-greedy": ("C3", "D"),
    "ETC": ("C5", "P"),
    "Exp3": ("C3", "D"),
    "Tsallis-INF": ("C2", "s"),
    "Tsallis-INF, rv": ("C4", "v"),
}


def mean_and_half(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the replicates of float64[R, ...], and the half-width of its Student interval."""
    n = len(sample)
    return sample.mean(axis=0), student_t.isf(LEVEL / 2, n - 1) * sample.std(axis=0, ddof=1) / np.sqrt(n)


def band(mean: xr.DataArray, half: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval."""
    return (mean - half).values, (mean + half).values


def octaves(first: int, last: int) -> np.ndarray:
    """``2^first, 2^(first+1), ..., 2^last``, int64."""
    return 2 ** np.arange(first, last + 1)
