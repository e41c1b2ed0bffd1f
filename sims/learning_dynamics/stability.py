"""Softmax in the arithmetic that one has, StableMax, and gradients orthogonal to the weights, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from lemmata.errors import ShapeError
from lemmata.problems.learning_dynamics import SumOrder, check_update

__all__ = ["perp_grad", "softmax_loss", "stablemax"]


def stablemax(x: Any) -> np.ndarray:
    """``s(x_i) / sum_j s(x_j)`` over the last axis, ``s(x) = x + 1`` for x >= 0 and ``1/(1 - x)`` below.

    Parameters
    ----------
    x : float[..., C]

    Returns
    -------
    float[..., C]
        Probabilities, in the dtype of x.
    """
    x = np.asarray(x)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ShapeError(f"x must have a last axis of classes, got shape {x.shape}")
    s = np.where(x >= 0, np.maximum(x, 0) + 1, 1 / (1 - np.minimum(x, 0)))
    return s / s.sum(axis=-1, keepdims=True)


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
    """
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
        Whether the result is stretched to the length of g, as the authors' code does; the formula does not.

    Returns
    -------
    float[...]

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    w, g = np.asarray(w), np.asarray(g)
    check_update(w, g)
    found = g - (w * g).sum() / (w * w).sum() * w
    found = found - (w * found).sum() / (w * w).sum() * w  # once more, for a gradient almost parallel to w
    if renormalize:
        found = found * (np.linalg.norm(g) / max(np.linalg.norm(found), np.finfo(found.dtype).tiny))
    return found
