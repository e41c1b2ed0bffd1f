"""Networks that learn to add modulo M, many at once: how well they do on the pairs they were not shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from lemmata.errors import DomainError
from lemmata.kernels.learning_dynamics.stability import orthogonal, stablemax
from lemmata.kernels.learning_dynamics.tensors import check_floating
from lemmata.problems.learning_dynamics import Recipe, check_modular

__all__ = ["ModularPath", "modular_logits", "modular_training"]


class ModularPath(NamedTuple):
    """Recorded steps of B networks, tensors (B, T).

    Attributes
    ----------
    train, test : Tensor
        Accuracies on the pairs for training and on the others.
    dead : Tensor
        Share of the training pairs whose computed loss is exactly 0.
    loss : Tensor
        Mean over the training pairs.
    """

    train: Tensor
    test: Tensor
    dead: Tensor
    loss: Tensor


def modular_logits(weights: Sequence[Tensor], *, square: bool = False) -> Tensor:
    """Outputs for all M^2 pairs, tensor (B, M^2, M): ``sigma(... sigma(x W_1) ...) W_L``, x one-hot a beside one-hot b.

    Parameters
    ----------
    weights : sequence of tensors (B, fan_in, fan_out)
        The first has 2 M rows.
    square : bool
        sigma(h) = h^2 in place of max(h, 0).
    """
    a, b = weights[0].chunk(2, dim=1)
    h = (a[:, :, None] + b[:, None]).flatten(1, 2)  # one-hot inputs pick rows
    for w in weights[1:]:
        h = (h * h if square else h.relu()) @ w
    return h


@torch.inference_mode(mode=False)
@torch.enable_grad()
def modular_training(weights: Sequence[Tensor], mask: Tensor, recipe: Recipe, *, at: Sequence[int]) -> ModularPath:
    """Train each network on its own pairs, by full-batch AdamW.

    Parameters
    ----------
    weights : sequence of tensors (B, fan_in, fan_out)
        See `modular_networks`; their dtype is that of the arithmetic.
    mask : bool tensor (B, M^2)
        Pairs for training.
    recipe : Recipe
    at : sequence of int
        Steps at which to record, not falling.

    Returns
    -------
    ModularPath
        Memory: some ``4 B M^2`` numbers for each hidden unit and class. The host never waits in the loop.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, TypeError
    """
    M, steps = check_modular(weights, mask, at)
    check_floating(**{f"W_{i + 1}": w for i, w in enumerate(weights)})
    dtype = weights[0].dtype
    if recipe.epsilon < torch.finfo(dtype).tiny:
        raise DomainError(f"epsilon = {recipe.epsilon:g} is 0 in {dtype}, and AdamW would divide 0 by 0")
    matrices = [w.detach().clone().requires_grad_() for w in weights]
    index = torch.arange(M, device=mask.device)
    labels = ((index[:, None] + index) % M).flatten()
    share = mask.double() / mask.sum(1, keepdim=True)
    optimizer = torch.optim.AdamW(
        matrices, lr=recipe.rate, betas=recipe.betas, eps=recipe.epsilon, weight_decay=recipe.decay
    )
    recorded = []
    for step in range(int(steps[-1]) + 1):
        logits = modular_logits(matrices, square=recipe.activation == "square")
        loss = _losses(logits, labels, recipe)
        total = (share * loss).sum()
        found = _record(logits.detach(), loss.detach(), labels, mask, share) if step in steps else None
        recorded += [found] * int((steps == step).sum())
        if step == steps[-1]:
            break
        gradients = torch.autograd.grad(total, matrices)
        for w, g in zip(matrices, gradients, strict=True):
            w.grad = _project(w.detach(), g, recipe)
        optimizer.step()
    return ModularPath(*(torch.stack(values, dim=1) for values in zip(*recorded, strict=True)))


def _losses(logits: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """Of each pair, (B, M^2)."""
    if recipe.loss == "squared":
        centred = one_hot(labels).to(logits.dtype) - 1 / logits.shape[2]
        return ((logits - centred) ** 2).sum(2) / 2
    every = labels.expand(logits.shape[:2])
    if recipe.loss == "stablemax":
        return -stablemax(logits.double()).gather(2, every[:, :, None])[:, :, 0].log()
    return cross_entropy(logits.flatten(0, 1), every.flatten(), reduction="none").view_as(every)


def _project(w: Tensor, g: Tensor, recipe: Recipe) -> Tensor:
    """The batch form of `perp_grad`; a matrix of zeros keeps its gradient."""
    if recipe.projection == "none":
        return g
    return orthogonal(w, g, renormalize=recipe.projection == "rescaled")


def _record(logits: Tensor, loss: Tensor, labels: Tensor, mask: Tensor, share: Tensor) -> tuple[Tensor, ...]:
    right = logits.argmax(2) == labels
    rest = (~mask).double() / (~mask).sum(1, keepdim=True)
    dead = (share * (loss == 0)).sum(1)
    return (share * right).sum(1), (rest * right).sum(1), dead, (share * loss).sum(1)
