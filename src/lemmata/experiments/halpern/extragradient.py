"""Experiments on extragradient methods of monotone Lipschitz fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from lemmata.claims import Claim
from lemmata.experiments.halpern.shared import join, library, rounding, start
from lemmata.problems import halpern as problems
from lemmata.problems.halpern import Extragradient, FixedPointProblem
from lemmata.theory import halpern as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

#: a schedule from the number of steps and L
Schedule = Callable[[int, float], Extragradient]


def _eag_c(steps: int, lipschitz: float) -> Extragradient:
    return problems.eag_c(steps, 1 / (8 * lipschitz))


def _eag_v(steps: int, lipschitz: float) -> Extragradient:
    return problems.eag_v(steps, 0.618, lipschitz)


def _eg(steps: int, lipschitz: float, step: float = 0.5) -> Extragradient:
    return problems.eg(steps, step / lipschitz)


def _without_anchor(schedule: Schedule) -> Schedule:
    return lambda steps, lipschitz: replace(schedule(steps, lipschitz), anchor=np.zeros(steps))


def _with_anchor_shift(schedule: Schedule, shift: int) -> Schedule:
    return lambda steps, lipschitz: replace(
        schedule(steps, lipschitz), anchor=problems.anchor_weights(steps, shift=shift)
    )


def _without_half_step(schedule: Schedule) -> Schedule:
    return lambda steps, lipschitz: replace(schedule(steps, lipschitz), half=np.zeros(steps))


def _full_half_step(steps: int, lipschitz: float) -> Extragradient:
    feg = problems.feg(steps, lipschitz)
    return replace(feg, half=feg.full)


def _along(
    instances: Sequence[FixedPointProblem],
    setup: Setup,
    *,
    claim: Claim,
    schedule: Schedule,
    steps: int,
    only: Sequence[int] | None = None,
) -> Measurement:
    """||F(z_k)|| against the claim from k = 1 on, or at the steps `only`."""
    parts = []
    at = np.unique(np.geomspace(1, steps, min(steps, 60)).astype(int)) if only is None else np.array(only)
    for problem in instances:
        constant = float(problem.operator.lipschitz.max())
        made = schedule(steps, constant)
        run = library(setup).extragradient(problem.operator, start(problem.x0, setup), made, at=at)
        values: dict[str, Any] = {"k": at, "dist": problem.dist[:, None], "lipschitz": constant}
        if claim is theory.eag_v_residual:
            long = problems.eag_v(100_000, 0.618, constant)
            values |= {"first_step": long.half[0], "last_step": long.half[-1]}
        noise = constant * rounding(setup, problem, at)
        where = {"k": at, **{n: v[:, None] for n, v in problem.at.items() if n != "monotone"}}
        parts.append(Measurement(run["residual"].values.astype(np.float64), claim(**values), where, noise=noise))
    return join(parts)


def _envelope(
    instances: Sequence[FixedPointProblem], setup: Setup, *, schedule: Schedule, sizes: np.ndarray
) -> Measurement:
    """Largest ||F(z_k)|| over the batch at each size: one deterministic curve."""
    (problem,) = instances
    made = schedule(int(sizes[-1]), float(problem.operator.lipschitz.max()))
    run = library(setup).extragradient(problem.operator, start(problem.x0, setup), made, at=sizes)
    return Measurement(run["residual"].values.astype(np.float64).max(axis=0), x=sizes)


def _monotone(setup: Setup) -> list[FixedPointProblem]:
    return [problems.random_monotone(setup.size(32, 256), 8, lipschitz=2.0, seed=setup.seed)]


def _skew(setup: Setup) -> list[FixedPointProblem]:
    """Bilinear problems whose angular speeds fill (0, L], L = 1."""
    return [problems.skew_rotations(np.geomspace(1e-3, 1.0, 200))]


def _right_angle(setup: Setup) -> list[FixedPointProblem]:
    return [problems.skew_rotations([1.0])]


def _sizes(first: int) -> np.ndarray:
    return np.unique(np.round(first * 2 ** np.arange(0, 6, 0.5)).astype(int))


EXPERIMENTS: tuple[Experiment, ...] = (
    *(
        Experiment(
            claim,
            instance,
            make,
            partial(_along, claim=claim, schedule=schedule, steps=2000),
            (
                Saboteur("no anchor", {"schedule": _without_anchor(schedule)}, problems=_skew),
                Saboteur("no half step", {"schedule": _without_half_step(schedule)}),
            ),
        )
        for claim, schedule in ((theory.eag_c_residual, _eag_c), (theory.eag_v_residual, _eag_v))
        for instance, make in (("skew rotations", _skew), ("random monotone fields", _monotone))
    ),
    *(
        Experiment(
            theory.feg_residual,
            instance,
            make,
            partial(_along, claim=theory.feg_residual, schedule=problems.feg, steps=1000),
            (
                Saboteur("no anchor", {"schedule": _without_anchor(problems.feg)}, problems=_skew),
                Saboteur("no half step", {"schedule": _without_half_step(problems.feg)}),
            ),
        )
        for instance, make in (("skew rotations", _skew), ("random monotone fields", _monotone))
    ),
    Experiment(
        theory.feg_residual_tight,
        "right-angle rotation",
        _right_angle,
        partial(_along, claim=theory.feg_residual_tight, schedule=problems.feg, steps=98, only=range(2, 99, 4)),
        (
            Saboteur("anchor weights 1/(k+2)", {"schedule": _with_anchor_shift(problems.feg, 2)}),
            Saboteur("half step 1/L at every k", {"schedule": _full_half_step}),
        ),
    ),
    Experiment(
        theory.eg_rate,
        "skew rotations",
        _skew,
        partial(_envelope, schedule=_eg, sizes=_sizes(64)),
        (
            Saboteur("an anchor", {"schedule": _with_anchor_shift(_eg, 2)}),
            Saboteur("no half step", {"schedule": _without_half_step(_eg)}),
        ),
    ),
    Experiment(
        theory.eag_rate,
        "skew rotations",
        _skew,
        partial(_envelope, schedule=_eag_c, sizes=_sizes(256)),
        (
            Saboteur("no anchor", {"schedule": _without_anchor(_eag_c)}),
            Saboteur("no half step", {"schedule": _without_half_step(_eag_c)}),
        ),
    ),
)
