"""`lemmata.sims.learning_dynamics.stability` in PyTorch: StableMax and its loss, and orthogonal gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from lemmata.errors import ShapeError
from lemmata.problems.learning_dynamics import check_update

__all__ = ["perp_grad", "stablemax", "stablemax_loss"]


def _positive(x: Tensor) -> Tensor:
    """``x + 1`` for x >= 0, ``1/(1 - x)`` below; neither branch is infinite, or its gradient would be NaN."""
    return torch.where(x >= 0, x.clamp(min=0) + 1, 1 / (1 - x.clamp(max=0)))


def stablemax(x: Tensor) -> Tensor:
    """``s(x_i) / sum_j s(x_j)`` over the last axis; see `lemmata.sims.learning_dynamics.stablemax`."""
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ShapeError(f"x must have a last axis of classes, got shape {tuple(x.shape)}")
    s = _positive(x)
    return s / s.sum(-1, keepdim=True)


def stablemax_loss(x: Tensor, labels: Tensor) -> Tensor:
    """Mean of ``-ln stablemax(x)[label]``, in float64 whatever the logits are in.

    Parameters
    ----------
    x : tensor (N, C)
    labels : int64 tensor (N,)
    """
    return -stablemax(x.double()).gather(1, labels[:, None]).log().mean()


@torch.no_grad()
def perp_grad(w: Tensor, g: Tensor, *, renormalize: bool) -> Tensor:
    """``g - (<w, g>/<w, w>) w``; see `lemmata.sims.learning_dynamics.perp_grad`. The host waits for the checks."""
    check_update(w, g)
    square = (w * w).sum()
    found = g - (w * g).sum() / square * w
    found = found - (w * found).sum() / square * w  # once more, for a gradient almost parallel to w
    if renormalize:
        found = found * (g.norm() / found.norm().clamp_min(torch.finfo(found.dtype).tiny))
    return found
