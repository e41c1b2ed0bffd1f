"""`lemmata.sims.learning_dynamics.perceptron` on a device: all runs step side by side."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lemmata.errors import NotConverged
from lemmata.kernels.learning_dynamics.tensors import check_floating
from lemmata.problems.learning_dynamics import StepRule, check_on_fail, check_separation

__all__ = ["separation_path", "separation_steps"]


@torch.no_grad()
def separation_steps(
    points: Tensor, gamma: Tensor, *, rule: StepRule, most: int, on_fail: Literal["raise", "return"] = "raise"
) -> Tensor:
    """Steps of gradient descent from 0 until all points are separated; see `lemmata.sims.learning_dynamics`.

    Parameters
    ----------
    points : tensor (B, n, d)
    gamma : tensor (B,)
        > 0, infinity for the perceptron.
    rule : {"plain", "normalized"}
    most : int
        All of them are taken, whenever the runs are done.
    on_fail : {"raise", "return"}

    Returns
    -------
    tensor (B,)
        Infinite where no t <= `most` will do. Memory: the points and 3 B (n + d) numbers. The host waits before the
        first step and after the last.

    Raises
    ------
    ShapeError, DomainError, TypeError, NotConverged
    """
    check_on_fail(on_fail)
    check_floating(points=points, gamma=gamma)
    check_separation(points, gamma, rule, most)
    theta = points.new_zeros(points.shape[0], points.shape[2])
    found = points.new_full((points.shape[0],), torch.inf)
    for t in range(most + 1):
        side = _sides(points, theta)
        found = torch.where((side > 0).all(1) & (found > t), torch.full_like(found, t), found)
        theta = theta + _push(points, gamma, side, t, rule)
    if on_fail == "raise" and bool(torch.isinf(found).any()):
        raise NotConverged(
            f"{int(torch.isinf(found).sum())} of {len(points)} runs have not separated their points after {most} "
            "steps: is the margin positive?",
            found,
        )
    return found


@torch.no_grad()
def separation_path(points: Tensor, gamma: Tensor, *, rule: StepRule, steps: int) -> Tensor:
    """The iterates ``theta_0/gamma, ..., theta_T/gamma`` of `separation_steps`, tensor (B, T + 1, d)."""
    check_floating(points=points, gamma=gamma)
    check_separation(points, gamma, rule, steps)
    theta = points.new_zeros(points.shape[0], points.shape[2])
    path = [theta]
    for t in range(steps):
        theta = theta + _push(points, gamma, _sides(points, theta), t, rule)
        path.append(theta)
    return torch.stack(path, dim=1)


def _sides(points: Tensor, theta: Tensor) -> Tensor:
    return (points @ theta[:, :, None])[:, :, 0]


def _push(points: Tensor, gamma: Tensor, side: Tensor, t: int, rule: StepRule) -> Tensor:
    """What a step adds to theta / gamma."""
    if t == 0:
        weight = torch.full_like(side, 0.5)
    else:
        smooth = torch.sigmoid(-gamma[:, None] * side)  # NaN for an infinite gamma at side 0, and not taken there
        weight = torch.where(torch.isinf(gamma)[:, None], (side <= 0).to(side), smooth)
    total = (weight[:, None, :] @ points)[:, 0]
    if rule == "plain":
        return total / points.shape[1]
    return total / weight.sum(1, keepdim=True).clamp_min(torch.finfo(side.dtype).tiny)
