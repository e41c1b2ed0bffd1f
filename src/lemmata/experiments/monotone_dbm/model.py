"""Experiments on the parametrisation, convexity, uniqueness and conditioning."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from lemmata.experiments.monotone_dbm.shared import (
    Model,
    Models,
    damped_softmax,
    evidence,
    extreme_directions,
    join,
    points,
    random_models,
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


def _interactions(model: MonotoneModel, defect: Defect | None) -> np.ndarray:
    """Phi of the model, or what a defect in its making gives."""
    if defect is None:
        return model.phi
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
        phi = _interactions(model, defect)
        values = np.linalg.eigvalsh(np.eye(model.n) - (phi + phi.T) / 2)
        least.append(values[0])
        m.append(model.m)
        noise.append(1e-13 * values[-1])  # n eps L, the backward error of the eigenvalues
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
        parts.append(Measurement(_interactions(model, defect), theory.couplings(product=products), at, scale=1.0))
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
    return solve(model, setup, start=[[1, 0, 1, 0], [0, 1, 0, 1]], tol=1e-12, max_steps=100_000)


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
        backends=("sims",),
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
        backends=("sims",),
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
        backends=("sims",),
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
        backends=("sims",),
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
