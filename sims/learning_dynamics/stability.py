"""Softmax in the arithmetic that one has, StableMax, and gradients orthogonal to the weights, in numpy."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems.learning_dynamics import SumOrder, check_update

__all__ = ["perp_grad", "softmax_loss", "stablemax"]


def stablemax(x: Any) -> np.ndarray:
    """``s(x_i) / sum_j s(x_j)`` over the last axis, ``s(x) = x + 1`` for x >= 0 and ``1/(1 - x)`` below.

    Parameters
    ----------
    x : float[..., C]
        Infinite ones count as the largest numbers of their dtype.

    Returns
    -------
    float[..., C]
        Probabilities, in the dtype of x, or in float64 for integers.

    Raises
    ------
    ShapeError, NonFiniteError, TypeError
    """
    x = np.asarray(x)
    if x.dtype.kind not in "fiu":
        raise TypeError(f"x must hold real numbers, got dtype {x.dtype}")
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ShapeError(f"x must have a last axis of classes, got shape {x.shape}")
    if np.isnan(x).any():
        raise NonFiniteError(f"x is NaN in {int(np.isnan(x).sum())} of its entries")
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
    wide = np.promote_types(dtype, np.float32)
    top = np.finfo(wide).max
    x = np.clip(x.astype(wide), -top, top)
    unit = wide.type(0.5 ** x.shape[-1].bit_length())  # of s: no sum of C overflows, and nothing is rounded
    s = np.where(x >= 0, np.maximum(x, 0) * unit + unit, unit / (1 - np.minimum(x, 0)))
    return (s / s.sum(axis=-1, keepdims=True)).astype(dtype)


def softmax_loss(logits: np.ndarray, *, order: SumOrder) -> np.ndarray:
    """Cross-entropy of class 0, every operation in the dtype of the logits: ``ln sum_j e^{x_j - max} - (x_0 - max)``.

    Parameters
    ----------
    logits : float16, float32 or float64[..., C]
    order : {"pairwise", "sequential"}
        numpy's sum, or one term after the other.

    Returns
    -------
    float[...]
        In the dtype of the logits.

    Raises
    ------
    DomainError
    """
    if order not in get_args(SumOrder):
        raise DomainError(f"order must be one of {', '.join(get_args(SumOrder))}, got {order!r}")
    shifted = logits - logits.max(axis=-1, keepdims=True)
    terms = np.exp(shifted)
    total = terms.sum(axis=-1) if order == "pairwise" else np.add.accumulate(terms, axis=-1)[..., -1]
    return np.log(total) - shifted[..., 0]


def perp_grad(w: Any, g: Any, *, renormalize: bool) -> np.ndarray:
    """The gradient less its component along the weights: ``g - (<w, g>/<w, w>) w``.

    Parameters
    ----------
    w, g : float[...]
        Of two entries at least.
    renormalize : bool
        Whether the result is stretched to the length of g, as the authors' code does; the formula does not. The
        rounding errors that a gradient along w leaves are not stretched.

    Returns
    -------
    float[...]
        In the dtype of w and g, or in float64 for integers; the arithmetic is in float64 at least.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, TypeError
    """
    w, g = np.asarray(w), np.asarray(g)
    if w.dtype.kind not in "fiu" or g.dtype.kind not in "fiu":
        raise TypeError(f"w and g must hold real numbers, got dtypes {w.dtype} and {g.dtype}")
    check_update(w, g)
    dtype = np.result_type(w, g)
    wide = np.promote_types(dtype, np.float64)
    w, g = w.astype(wide), g.astype(wide)
    unit = w / abs(w).max()  # squares of w may over- or underflow, those of w / max |w| cannot
    unit /= np.linalg.norm(unit)
    size = abs(g).max() or 1.0
    g = g / size
    found = g - (unit * g).sum() * unit
    found -= (unit * found).sum() * unit  # once more, for a gradient almost parallel to w
    length, left = np.linalg.norm(g), np.linalg.norm(found)
    if renormalize and left > 8 * np.finfo(wide).eps * length:
        found *= length / left
    return (size * found).astype(dtype if dtype.kind == "f" else wide)
