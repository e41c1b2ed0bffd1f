"""`lemmata.sims.learning_dynamics.stability` in PyTorch: StableMax and its loss, and orthogonal gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from lemmata.errors import ShapeError
from lemmata.kernels.learning_dynamics.tensors import check_floating
from lemmata.problems.learning_dynamics import check_update

__all__ = ["perp_grad", "stablemax", "stablemax_loss"]


def _positive(x: Tensor, unit: float) -> Tensor:
    """``x + 1`` for x >= 0, ``1/(1 - x)`` below, in units; neither branch is infinite, or its gradient would be NaN."""
    top = torch.finfo(x.dtype).max
    return torch.where(x >= 0, x.clamp(0, top) * unit + unit, unit / (1 - x.clamp(-top, 0)))


def stablemax(x: Tensor) -> Tensor:
    """``s(x_i) / sum_j s(x_j)`` over the last axis; see `lemmata.sims.learning_dynamics.stablemax`.

    NaN gives NaN: the host does not wait to look.
    """
    check_floating(x=x)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ShapeError(f"x must have a last axis of classes, got shape {tuple(x.shape)}")
    wide = torch.promote_types(x.dtype, torch.float32)
    # a unit in which no sum of C overflows, and nothing is rounded
    s = _positive(x.to(wide), 0.5 ** x.shape[-1].bit_length())
    return (s / s.sum(-1, keepdim=True)).to(x.dtype)


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
    """``g - (<w, g>/<w, w>) w``; see `lemmata.sims.learning_dynamics.perp_grad`. The host waits for the checks.

    The arithmetic is in the dtype of w and g, for half precision in float32.
    """
    check_floating(w=w)
    check_floating(g=g)
    check_update(w, g)
    return orthogonal(w[None], g[None], renormalize=renormalize)[0]


def orthogonal(w: Tensor, g: Tensor, *, renormalize: bool) -> Tensor:
    """`perp_grad` along all axes but the first, without checks; where w = 0 nothing is taken out."""
    dtype = torch.promote_types(w.dtype, g.dtype)
    wide = torch.promote_types(dtype, torch.float32)
    along, (rest, size) = _scaled(w.to(wide))[0], _scaled(g.to(wide))
    along = along / along.norm(dim=1, keepdim=True).clamp_min(1.0)  # of entries up to 1: at least 1, unless w = 0
    found = rest - (along * rest).sum(1, keepdim=True) * along
    found = found - (along * found).sum(1, keepdim=True) * along  # once more, for a gradient almost parallel to w
    if renormalize:
        length, left = (x.norm(dim=1, keepdim=True) for x in (rest, found))
        found = found * torch.where(left > 8 * torch.finfo(wide).eps * length, length / left, 1.0)
    return (size * found).to(dtype).view_as(g)


def _scaled(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows divided by their largest entries, whose squares cannot over- or underflow, and these entries."""
    x = x.flatten(1)
    size = x.abs().amax(1, keepdim=True)
    size = torch.where(size > 0, size, 1.0)
    return x / size, size
