"""Experiments on the parametrisation, convexity, uniqueness and conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from lemmata.experiments.monotone_dbm.shared import (
    Model,
    Models,
    damped_softmax,
    evidence,
    extreme_directions,
    interactions,
    join,
    points,
    random_models,
    rounding,
    solve,
    tolerance,
    uniform,
    vertices,
)
from lemmata.problems import monotone_dbm as problems
from lemmata.problems.monotone_dbm import MonotoneModel, PairwiseModel, block_slices
from lemmata.theory import monotone_dbm as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

Defect = Literal["one side", "no clamp", "clamp at 1", "no correction"]

# ------------------------------------------------------------------------------------- parametrisation


def _interactions(model: MonotoneModel, setup: Setup, defect: Defect | None) -> np.ndarray:
    """Phi of the backend, or what a defect in its making gives."""
    if defect is None:
        return interactions(model, setup)
    norms = np.array([np.linalg.norm(model.A[:, own], 2) for own in block_slices(model.states)])
    limit = 1.0 if defect == "clamp at 1" else np.sqrt(1 - model.m)
    shrink = np.repeat(np.minimum(1, limit / np.maximum(norms, 1e-300)), model.states)
    A = model.A if defect in ("one side", "no clamp") else model.A * shrink
    phi = -A.T @ A
    if defect != "no correction":
        for own in block_slices(model.states):
            phi[own, own] = 0.0
    return shrink[:, None] ** 2 * phi if defect == "one side" else phi


def _modulus(instances: Models, setup: Setup, *, defect: Defect | None = None) -> Measurement:
    """Least eigenvalue of the symmetric part; `defect` is there to be sabotaged."""
    least, m, noise = [], [], []
    for model in instances:
        assert isinstance(model, MonotoneModel)
        phi = _interactions(model, setup, defect)
        values = np.linalg.eigvalsh(np.eye(model.n) - (phi + phi.T) / 2)
        least.append(values[0])
        m.append(model.m)
        noise.append(1e-13 * values[-1] * rounding(setup))  # n eps L, the backward error of the eigenvalues
    return Measurement(least, theory.modulus(m=m), {"model": np.arange(len(m))}, noise=noise)


def _couplings(instances: Models, setup: Setup, *, defect: Defect | None = None) -> Measurement:
    """Entries of Phi against products of the columns of A_hat; `defect` is there to be sabotaged."""
    parts = []
    for model in instances:
        assert isinstance(model, MonotoneModel)
        products = np.zeros((model.n, model.n))
        for i, own in enumerate(block_slices(model.states)):
            for j, other in enumerate(block_slices(model.states)):
                if i != j:
                    products[own, other] = model.A_hat[:, own].T @ model.A_hat[:, other]
        at = {"row": np.arange(model.n)[:, None], "column": np.arange(model.n)}
        phi = _interactions(model, setup, defect)
        parts.append(Measurement(phi, theory.couplings(product=products), at, scale=1.0))
    return join(parts)


Image = tuple[tuple[int, int], int, int, np.ndarray]


def _images(setup: Setup) -> list[Image]:
    """Sizes, groups and strides of images, and taps float64[channels, groups * states, kernel, kernel]."""
    rng = np.random.default_rng(setup.seed)
    shapes = (((5, 4), 1, 1, (3, 2, 3, 3)), ((6, 6), 1, 2, (2, 3, 4, 4)), ((4, 5), 2, 1, (2, 4, 2, 2)))
    return [(size, groups, stride, rng.standard_normal(taps)) for size, groups, stride, taps in shapes]


def _convolved(image: Image, padding: int) -> tuple[np.ndarray, list[slice]]:
    """The matrix of a convolution tap by tap, and the entries of its nodes: no library's convolution is asked."""
    (height, width), groups, stride, weight = image
    channels, each, kernel, _ = weight.shape
    sides = [range(0, side + 2 * padding - kernel + 1, stride) for side in (height, width)]
    A = np.zeros((channels, len(sides[0]), len(sides[1]), height, width, each))
    for i, top in enumerate(sides[0]):
        for j, left in enumerate(sides[1]):
            for a in range(kernel):
                for b in range(kernel):
                    y, x = top + a - padding, left + b - padding
                    if 0 <= y < height and 0 <= x < width:
                        A[:, i, j, y, x] = weight[:, :, a, b]
    states = (each // groups,) * (height * width * groups)
    return A.reshape(-1, height * width * each), block_slices(states)


def _coupled(
    images: Sequence[Image], setup: Setup, *, defect: Literal["same padding", "one side"] | None = None
) -> Measurement:
    """Entries of a convolution's Phi against products of the columns of its matrix; `defect` is to be sabotaged."""
    import torch

    from lemmata.kernels.monotone_dbm import Convolution, MonotoneDBM

    parts, m = [], 0.1
    for image in images:
        size, groups, stride, weight = image
        kernel = weight.shape[-1]
        A, nodes = _convolved(image, kernel - 1)
        norms = np.array([np.linalg.norm(A[:, own], 2) for own in nodes])
        shrink = np.minimum(1, np.sqrt(1 - m) / norms).repeat(weight.shape[1] // groups)
        products = shrink[:, None] * (A.T @ A) * shrink
        own_blocks = np.zeros_like(products)
        for own in nodes:
            own_blocks[own, own] = products[own, own]
        if defect == "same padding":
            # the blocks that every pixel would have, less a product to which those at the borders add fewer taps
            cut, _ = _convolved(image, kernel // 2)
            phi = own_blocks - shrink[:, None] * (cut.T @ cut) * shrink
        elif defect == "one side":
            phi = shrink[:, None] * (own_blocks - products) / shrink
        else:
            taps = torch.tensor(weight, dtype=getattr(torch, setup.dtype), device=setup.device)
            states = weight.shape[1] // groups
            model = MonotoneDBM((states,) * len(nodes), Convolution(size, states, taps, groups, stride), m=m)
            with torch.no_grad():
                phi = model.interactions()(torch.eye(len(products)).to(taps)).double().cpu().numpy()
        at = {"row": np.arange(len(phi))[:, None], "column": np.arange(len(phi))}
        claimed = theory.couplings(product=products - own_blocks)
        parts.append(Measurement(phi, claimed, at, scale=1.0))
    return join(parts)


# --------------------------------------------------------------------------- convexity and uniqueness


def _strong_convexity(
    instances: Models, setup: Setup, *, wrong: bool = False, stretch: float = 1.0, kept: bool = False
) -> Measurement:
    """G above its least value near and far; a wrong minimiser, a modulus too large, and self-interactions that are kept
    are there to be sabotaged."""
    parts = []
    rng = np.random.default_rng(setup.seed)
    for model in instances:
        best = solve(model, setup, tol=1e-12)[0]
        if wrong:
            best = damped_softmax(model, best[None], 400, 0.3 * min(model.step_limit, 1.0))[0, -1]
        away = points(model, 32, rng)
        q = best + np.geomspace(1e-2, 1, 32)[:, None] * (away - best)
        q = np.concatenate([q, [best + 1e-3 * best.min() * extreme_directions(model)[1]]])
        distance = np.linalg.norm(q - best, axis=1)
        convexity = PairwiseModel(model.states, model.phi, model.bias, "none").convexity
        rise = theory.free_energy(model, q) - theory.free_energy(model, best)
        if kept:
            assert isinstance(model, MonotoneModel)
            rise += _self_energy(model, q) - _self_energy(model, best)
        claimed = theory.strong_convexity(convexity=stretch * convexity, distance=distance)
        # the sums that make up G, at 1e-16 each
        noise = 1e-15 * (1 + np.abs(model.phi).sum() + np.abs(model.bias).sum())
        parts.append(Measurement(rise, claimed, {"distance": distance}, noise=noise))
    return join(parts)


def _self_energy(model: MonotoneModel, q: np.ndarray) -> np.ndarray:
    """-q' D q / 2: what the blocks on the diagonal of Phi would add to G if their sign were lost."""
    total = 0.0
    for own in block_slices(model.states):
        total = total - 0.5 * ((q[..., own] @ model.A_hat[:, own].T) ** 2).sum(axis=-1)
    return np.asarray(total)


def _spread(instances: Models, setup: Setup, *, early: bool = False) -> Measurement:
    """Distance of solutions from 50 starts; five steps in place of all (`early`) are there to be sabotaged."""
    tol = tolerance(1e-10, setup)
    rng = np.random.default_rng(setup.seed)
    spread = []
    for model in instances:
        starts = np.concatenate([uniform(model)[None], points(model, 24, rng), vertices(model, 25, rng)])
        limit: dict[str, Any] = {"max_steps": 5, "raise_on_fail": False} if early else {}
        q = solve(model, setup, start=starts, tol=tol, **limit)
        spread.append(np.linalg.norm(q[:, None] - q, axis=2).max())
    return Measurement(spread, theory.unique_fixed_point(tol=np.full(len(spread), tol)))


def _ordered(model: Model, setup: Setup) -> np.ndarray:
    """Mean fields of two spins from both ordered starts."""
    # the tolerance is of the residual, which little rounding meets
    return solve(model, setup, start=[[1, 0, 1, 0], [0, 1, 0, 1]], tol=1e-12, single=1e-6, max_steps=100_000)


def _bifurcation(instances: Models, setup: Setup, *, claimed: float = 1.0) -> Measurement:
    """The spread a little above the threshold and below it; a threshold `claimed` elsewhere is to be sabotaged."""
    above = [claimed * (1 + d) for d in (0.01, 0.1, 0.5)]
    below = [claimed * (1 - d) for d in (0.01, 0.1, 0.5)]
    spreads = [
        [float(np.linalg.norm(np.subtract(*_ordered(problems.ising_pair(sign * c), setup)))) for c in couplings]
        for couplings, sign in ((above, 1), (below, 1))
    ]
    # p = (1 ± m)/2 in four entries: the two mean fields lie 2 m apart
    least = [theory.uniqueness_threshold(root=theory.ising_magnetisation(c / claimed)) for c in above]
    return Measurement(spreads[0], least, {"coupling": above}, control=spreads[1])


def _magnetisation(instances: Models, setup: Setup, *, softmax_step: float | None = None) -> Measurement:
    """|m_1| from an ordered start; a damped softmax in place of the prox is there to be sabotaged."""
    measured, expected, at = [], [], []
    for model in instances:
        c = float(model.phi[0, 2])
        if softmax_step is None:
            q = _ordered(model, setup)[0]
        else:
            q = damped_softmax(model, np.array([[0.9, 0.1, 0.9, 0.1]]), 1500, softmax_step)[0, -1]
        measured.append(q[0] - q[1])
        expected.append(theory.ising_magnetisation(c))
        at.append(c)
    return Measurement(measured, theory.magnetisation(root=expected), {"coupling": at})


# -------------------------------------------------------------------------------------------- evidence


def _conditioning(instances: Models, setup: Setup, *, forgotten: bool = False, doubled: bool = False) -> Measurement:
    """Clamped nodes against the reduced model; evidence that is only the start (`forgotten`) and evidence that also
    enters the bias (`doubled`) are there to be sabotaged."""
    parts = []
    rng = np.random.default_rng(setup.seed)
    for model in instances:
        values, mask = evidence(model, 6, rng)
        if forgotten:
            q = solve(model, setup, start=values, tol=1e-11)
        else:
            shift = model.bias + (np.where(np.repeat(mask, model.states, 1), values, 0) @ model.phi) * doubled
            q = solve(model, setup, bias=shift, observed=values, mask=mask, tol=1e-11)
        for b in range(len(values)):
            free = ~np.repeat(mask[b], model.states)
            alone = solve(problems.condition(model, values[b], mask[b]), setup, method="sequential", tol=1e-11)[0]
            parts.append(Measurement(q[b, free], theory.conditioning(reduced=alone), {"sample": b}, scale=1.0))
    return join(parts)


def _ising(setup: Setup) -> list[PairwiseModel]:
    return [problems.ising_pair(c) for c in (1.05, 1.1, 1.5, 3.0)]


def _below(setup: Setup) -> list[PairwiseModel]:
    return [problems.ising_pair(c) for c in (-0.9, 0.5, 0.9)]


def _antiferromagnets(setup: Setup) -> list[MonotoneModel]:
    return [problems.antiferromagnet(N) for N in (3, 10, 40)]


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.modulus,
        "random models",
        random_models(300, 2000),
        _modulus,
        (
            Saboteur("one side scaled", {"defect": "one side"}),
            Saboteur("nothing scaled", {"defect": "no clamp"}),
            Saboteur("columns clamped at norm 1", {"defect": "clamp at 1"}),
        ),
        backends=("sims", "kernels"),
    ),
    Experiment(
        theory.couplings,
        "random models",
        random_models(50, 500),
        _couplings,
        (
            Saboteur("correction D left out", {"defect": "no correction"}),
            Saboteur("one side scaled", {"defect": "one side"}),
        ),
        backends=("sims", "kernels"),
    ),
    Experiment(
        theory.couplings,
        "random convolutions",
        _images,
        _coupled,
        (
            Saboteur("padding that keeps the size", {"defect": "same padding"}),
            Saboteur("one side scaled", {"defect": "one side"}),
        ),
        backends=("kernels",),
    ),
    Experiment(
        theory.strong_convexity,
        "random models",
        random_models(50, 500),
        _strong_convexity,
        (
            Saboteur("minimiser of a damped softmax", {"wrong": True}),
            Saboteur("self-interactions of the wrong sign", {"kept": True}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.strong_convexity,
        "antiferromagnets",
        _antiferromagnets,
        _strong_convexity,
        (Saboteur("a modulus 30 % too large", {"stretch": 1.3}),),
        backends=("sims",),
    ),
    Experiment(
        theory.unique_fixed_point,
        "random models",
        random_models(30, 300),
        _spread,
        (
            Saboteur("Ising spins of coupling 1.1", problems=lambda setup: [problems.ising_pair(1.1)]),
            Saboteur("five steps", {"early": True}),
        ),
        backends=("sims", "kernels"),
    ),
    Experiment(
        theory.unique_fixed_point,
        "Ising spins below the threshold",
        _below,
        _spread,
        (Saboteur("a coupling of 1.02", problems=lambda setup: [problems.ising_pair(1.02)]),),
        backends=("sims", "kernels"),
    ),
    Experiment(
        theory.uniqueness_threshold,
        "Ising spins",
        _ising,
        _bifurcation,
        (
            Saboteur("largest eigenvalue 1 taken for the threshold", {"claimed": 0.5}),
            Saboteur("threshold 2 % too high", {"claimed": 1.02}),
        ),
        backends=("sims", "kernels"),
    ),
    Experiment(
        theory.magnetisation,
        "Ising spins",
        _ising,
        _magnetisation,
        (
            Saboteur("softmax at step .5", {"softmax_step": 0.5}),
            Saboteur("softmax at step .99", {"softmax_step": 0.99}),
        ),
        backends=("sims", "kernels"),
    ),
    Experiment(
        theory.conditioning,
        "random models",
        random_models(30, 300),
        _conditioning,
        (
            Saboteur("evidence only at the start", {"forgotten": True}),
            Saboteur("evidence in the bias too", {"doubled": True}),
        ),
        backends=("sims", "kernels"),
    ),
)
