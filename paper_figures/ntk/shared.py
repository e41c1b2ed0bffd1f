"""What the figures of the family share."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import t as student_t

__all__ = ["LEVEL", "mean_and_half", "slope", "tensor"]

#: error probability of every interval that is drawn
LEVEL = 0.01


def mean_and_half(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the replicates of float64[R, ...], and the half-width of its Student interval."""
    n = len(sample)
    return sample.mean(axis=0), student_t.isf(LEVEL / 2, n - 1) * sample.std(axis=0, ddof=1) / np.sqrt(n)


def slope(x: Any, y: Any) -> float:
    """Least-squares slope of log y in log x."""
    return float(np.polyfit(np.log(np.asarray(x, dtype=float)), np.log(np.asarray(y, dtype=float)), 1)[0])


def tensor(array: np.ndarray) -> Any:
    """A float64 tensor."""
    import torch

    return torch.tensor(np.asarray(array, dtype=np.float64))
