"""Learning to add modulo M from a share of all pairs: what the loss follows, and which recipe generalises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lemmata.problems import learning_dynamics as problems
from lemmata.problems.learning_dynamics import Recipe
from lemmata.theory.learning_dynamics import grokking as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

if TYPE_CHECKING:
    from lemmata.kernels.learning_dynamics import ModularPath

__all__ = ["EXPERIMENTS", "train"]

MODULUS, WIDTH, SHARE, STEPS = 19, 64, 0.85, 320


def train(
    modulus: int,
    hidden: Sequence[int],
    shares: Sequence[float],
    recipe: Recipe,
    *,
    at: Sequence[int],
    dtype: str = "float32",
    device: str = "cpu",
    seed: int,
) -> ModularPath:
    """`modular_training` of the networks that `modular_networks` makes from the same arguments."""
    import torch

    from lemmata.kernels.learning_dynamics import modular_training

    weights, mask = problems.modular_networks(modulus, hidden, shares, seed=seed)
    tensors = [torch.tensor(w, dtype=getattr(torch, dtype), device=device) for w in weights]
    return modular_training(tensors, torch.tensor(mask, device=device), recipe, at=at)


def _direction(
    instances: Sequence[Sequence[int]], setup: Setup, *, layers: int = 0, square: bool = False
) -> Measurement:
    """Networks of given hidden widths; to be sabotaged: `layers` added to L, another activation."""
    import torch

    from lemmata.kernels.learning_dynamics import modular_logits

    dtype = getattr(torch, setup.dtype)
    slope, claimed, scale = [], [], []
    for hidden in instances:
        drawn, _ = problems.modular_networks(5, hidden, [0.5], seed=setup.seed)
        weights = [torch.tensor(w, dtype=dtype, device=setup.device, requires_grad=True) for w in drawn]
        logits = modular_logits(weights, square=square)
        # the gradient of <v, f> is linear in v: its slope by v, along the weights, is the derivative of f along them
        v = torch.zeros_like(logits, requires_grad=True)
        gradients = torch.autograd.grad(logits, weights, v, create_graph=True)
        (along,) = torch.autograd.grad(gradients, v, grad_outputs=[w.detach() for w in weights])
        f = logits.detach().double().cpu().numpy().ravel()
        slope.append(along.double().cpu().numpy().ravel())
        claimed.append(theory.naive_loss_direction(L=len(weights) + layers, f=f))
        scale.append(np.full(f.size, abs(f).max()))
    return Measurement(slope, claimed, scale=scale)


def _orthogonal(
    instances: Sequence[Recipe], setup: Setup, *, decay: float = 0.0, projected: bool = True
) -> Measurement:
    """Errors on the pairs left out; to be sabotaged: weight `decay` of the failing run, controls not `projected`."""
    (plain,) = instances
    shares = [SHARE] * setup.size(2, 5)
    options = {"dtype": "float32", "device": setup.device, "seed": setup.seed}

    def errors(recipe: Recipe, steps: int) -> np.ndarray:
        path = train(MODULUS, (WIDTH, WIDTH), shares, recipe, at=[steps], **options)  # type: ignore[arg-type]
        return 1 - path.test.double().cpu().numpy()[:, 0]

    controls = [replace(plain, projection=kind) if projected else plain for kind in ("plain", "rescaled")]
    failed = errors(replace(plain, decay=decay), STEPS)
    return Measurement(
        failed, theory.grokking_orthogonal(), control=[errors(recipe, STEPS // 4) for recipe in controls]
    )


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.naive_loss_direction,
        "random networks of 2 to 5 matrices",
        lambda setup: [(8,) * depth for depth in range(1, 5)],
        _direction,
        (
            Saboteur("the hidden layers counted in place of the matrices", {"layers": -1}),
            Saboteur("square activations", {"square": True}),
        ),
        backends=("kernels",),
    ),
    Experiment(
        theory.grokking_orthogonal,
        f"addition modulo {MODULUS}, two hidden layers",
        lambda setup: [Recipe(rate=0.02)],
        _orthogonal,
        (
            Saboteur("weight decay 1", {"decay": 1.0}),
            Saboteur("controls without projection", {"projected": False}),
        ),
        backends=("kernels",),
    ),
)
