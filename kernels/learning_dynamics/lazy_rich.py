"""`lemmata.sims.learning_dynamics.lazy_rich` on a device: thousands of runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lemmata.kernels.learning_dynamics.tensors import check_floating
from lemmata.problems.learning_dynamics import check_lazy_rich

__all__ = ["LazyRichPath", "lazy_rich_train"]


class LazyRichPath(NamedTuple):
    """Recorded steps of R runs: tensors m (R, T, D), S (R, T, D, D) and the training loss (R, T)."""

    mean: Tensor
    second: Tensor
    loss: Tensor


@torch.no_grad()
def lazy_rich_train(
    X: Tensor,
    beta: Tensor,
    mean: Tensor,
    second: Tensor,
    alpha: Tensor,
    eps: Tensor,
    *,
    rate: float = 1.0,
    at: Sequence[int],
    linearised: bool = False,
) -> LazyRichPath:
    """Full-batch gradient descent on the mean squared error with learning rate ``rate N / alpha^2``.

    Arguments and formulas of `lemmata.sims.learning_dynamics.lazy_rich_train`.

    Returns
    -------
    LazyRichPath
        Memory: this, and R (3 P D + 5 D^2) numbers. The host never waits in the loop.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, TypeError
    """
    check_floating(X=X, beta=beta, mean=mean, second=second, alpha=alpha, eps=eps)
    steps = check_lazy_rich(X, beta, mean, second, alpha, eps, rate, at)
    points, D = X.shape[1:]
    y = (X @ beta[:, :, None])[..., 0] ** 2 / 2
    m, S = mean, second
    linear, bend = alpha[:, None], (alpha * eps)[:, None] / 2
    pull = (-2 * rate / (alpha * points))[:, None]
    eye = torch.eye(D, dtype=X.dtype, device=X.device)
    found: tuple[list[Tensor], ...] = ([], [], [])
    step = 0
    for stop in steps.tolist():
        for _ in range(step, stop):
            r = _residual(X, y, m, S, linear, bend)
            weighted = r[:, :, None] * X
            d = pull * weighted.sum(1)
            if linearised:
                E = (pull * eps[:, None])[:, :, None] * (weighted.mT @ X)
                moved = second @ E + mean[:, :, None] * d[:, None]
                m = m + d + (E @ mean[:, :, None])[..., 0]
                S = S + moved + moved.mT
                continue
            A = torch.baddbmm(eye, (pull * eps[:, None])[:, :, None] * weighted.mT, X)
            am = (A @ m[:, :, None])[..., 0]
            new = am + d
            # (am + d)(am + d)^T - am am^T
            S = A @ S @ A + new[:, :, None] * new[:, None] - am[:, :, None] * am[:, None]
            m = new
        step = stop
        for kept, value in zip(found, (m, S, (_residual(X, y, m, S, linear, bend) ** 2).mean(1)), strict=True):
            kept.append(value)
    return LazyRichPath(*(torch.stack(kept, dim=1) for kept in found))


def _residual(X: Tensor, y: Tensor, m: Tensor, S: Tensor, linear: Tensor, bend: Tensor) -> Tensor:
    """f - y at the training points."""
    slope = torch.baddbmm((linear * m)[:, None], X, bend[:, :, None] * S)
    return (slope * X).sum(2) - y
