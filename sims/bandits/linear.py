"""The elliptical potential of a sequence of vectors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.results import dataset

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["elliptical_potential"]


@njit(cache=True)
def _potential(vectors, ridge, cap, potential, log_det):  # type: ignore[no-untyped-def]
    batch, steps, d = vectors.shape
    direction = np.empty(d)
    for b in range(batch):
        inverse = np.eye(d) / ridge
        total, logs = 0.0, 0.0
        for t in range(steps):
            square = 0.0
            for j in range(d):
                s = 0.0
                for k in range(d):
                    s += inverse[j, k] * vectors[b, t, k]
                direction[j] = s
                square += vectors[b, t, j] * s
            for j in range(d):
                for k in range(j + 1):
                    inverse[j, k] -= direction[j] * direction[k] / (1.0 + square)
                    inverse[k, j] = inverse[j, k]
            total += min(cap, square)
            logs += math.log1p(square)  # det V_t / det V_{t-1} = 1 + ||x_t||^2
            potential[b, t], log_det[b, t] = total, logs


def elliptical_potential(vectors: Any, *, ridge: float = 1.0, cap: float = 1.0) -> xr.Dataset:
    """``sum_{s<=t} min(cap, ||x_s||^2)`` in the norm of ``V_{s-1}^-1``, beside ``ln(det V_t / det V_0)``.

    ``V_t = ridge I + sum_{s<=t} x_s x_s^T``, its inverse kept by Sherman and Morrison's formula.

    Parameters
    ----------
    vectors : array_like, (T, d) or (B, T, d)
        Finite.
    ridge : float
        > 0.
    cap : float
        1 in the lemma; > 0.

    Returns
    -------
    xarray.Dataset
        ``potential`` and ``log_det`` (instance, step), float64.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
        For bad input.

    References
    ----------
    Abbasi-Yadkori, Pal and Szepesvari, NeurIPS 2011, Lemma 11: the potential is at most ``2 log_det``.
    """
    x = np.array(vectors, dtype=np.float64)
    x = x[None] if x.ndim == 2 else x
    if x.ndim != 3 or x.size == 0:
        raise ShapeError(f"vectors must have shape (T, d) or (B, T, d), none of them 0, got {np.shape(vectors)}")
    if not np.isfinite(x).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise NonFiniteError(f"vectors is {x[where]} at index {where}", index=where)
    for name, value in (("ridge", ridge), ("cap", cap)):
        if not (value > 0 and (np.isfinite(value) or name == "cap")):
            raise DomainError(f"{name} must be > 0, got {value!r}")
    potential, log_det = np.empty((2, *x.shape[:2]))
    _potential(x, float(ridge), float(cap), potential, log_det)
    return dataset(
        {
            "potential": (("instance", "step"), potential, "1"),
            "log_det": (("instance", "step"), log_det, "1"),
        },
        {"step": np.arange(1, x.shape[1] + 1)},
        backend="sims",
        ridge=float(ridge),
    )
