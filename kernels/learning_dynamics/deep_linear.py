"""`lemmata.sims.learning_dynamics.deep_linear` on a device: gradient descent on many deep linear networks at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lemmata.kernels.learning_dynamics.tensors import check_floating
from lemmata.problems.learning_dynamics import check_descent

__all__ = ["deep_linear_descent"]


@torch.no_grad()
def deep_linear_descent(weights: Tensor, target: Tensor, eta: float, at: Sequence[int]) -> Tensor:
    """Gradient descent on ``|W_D ... W_1 - Sigma|_F^2 / 2`` of B networks side by side.

    Parameters
    ----------
    weights : tensor (B, D, m, m)
        W_1 first; see `lemmata.problems.learning_dynamics.stack`.
    target : tensor (B, m, m)
    eta : float
    at : sequence of int
        Steps at which to record, not falling.

    Returns
    -------
    tensor (B, T, m, m)
        The products; infinite or NaN where a network diverges. Memory: this, and B (2 D + 3) m^2 numbers. The host
        waits for the checks alone.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, TypeError
    """
    check_floating(weights=weights, target=target)
    steps = check_descent(weights, target, eta, at)
    W = list(weights.unbind(1))
    found, step = [], 0
    for stop in steps.tolist():
        for _ in range(step, stop):
            before = _products(W)
            back = target - before[-1]
            for layer in range(len(W) - 1, -1, -1):
                gradient = back if layer == 0 else back @ before[layer - 1].mT
                back = W[layer].mT @ back if layer else back  # before W_l moves
                W[layer] = W[layer] + eta * gradient
        step = stop
        found.append(_products(W)[-1])
    return torch.stack(found, dim=1)


def _products(W: list[Tensor]) -> list[Tensor]:
    """``W_1, W_2 W_1, ..., W_D ... W_1``."""
    found = [W[0]]
    for layer in W[1:]:
        found.append(layer @ found[-1])
    return found
