"""What the numpy functions of the family take for numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["real_arrays"]


def real_arrays(**arrays: Any) -> tuple[np.ndarray, ...]:
    """Contiguous float64 copies, in the order given.

    Raises
    ------
    TypeError
        Not real numbers.
    """
    for name, array in arrays.items():
        if np.asarray(array).dtype.kind not in "fiu":
            raise TypeError(f"{name} must hold real numbers, got dtype {np.asarray(array).dtype}")
    return tuple(np.array(array, dtype=np.float64, order="C") for array in arrays.values())
