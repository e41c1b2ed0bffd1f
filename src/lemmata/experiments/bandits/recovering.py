"""Recovering rewards: the relaxation over the exact optimum, guarantees of periodic plans, learning, saboteurs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from lemmata.experiments.bandits.shared import library
from lemmata.problems.bandits import (
    PeriodicUCB,
    Recovering,
    Recovery,
    recovering_ladder,
    recovering_late,
    recovering_level,
    recovering_pair,
    recovering_steps,
)
from lemmata.theory import bandits as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

#: what loses a few units in the last place on the way
ROUNDING = 1e-12


def _small(setup: Setup) -> list[Recovery]:
    """Small enough for the exact optimum: one pull a round."""
    pair = recovering_pair()
    return [Recovery(pair)] + [
        Recovery(recovering_steps(arms, 1, 5, seed=setup.seed + 10 * k)) for arms in (2, 3) for k in range(10)
    ]


def _optimum(instances: Sequence[Recovery], setup: Setup, *, longer: int = 0) -> Measurement:
    """The best cycle of the graph of delays; `longer` delays in the relaxation are there to be sabotaged."""
    sims = library(setup)
    measured = [sims.recharging_optimum(one.env) for one in instances]
    claimed = []
    for one in instances:
        late = np.concatenate([np.zeros((one.env.arms, longer)), one.env.rewards], axis=1)
        claimed.append(sims.recovering_relaxation(Recovering(late, one.env.capacity))[1])
    bound = np.array([float(theory.recovering_relaxation(relaxation=v)) for v in claimed])
    return Measurement(measured, bound, {"instance": np.arange(len(instances))}, noise=ROUNDING)


def _random(setup: Setup) -> list[Recovery]:
    return [
        Recovery(recovering_steps(3 * K + 2, K, seed=setup.seed + 10 * k), base)
        for K, bases in ((4, (1, 2)), (9, (1, 2, 3)), (16, (1, 2, 4)))
        for base in bases
        for k in range(setup.size(10, 100))
    ]


def _late(setup: Setup) -> list[Recovery]:
    return [Recovery(recovering_late(K, base, 6), base) for K, base in ((1, 1), (4, 1), (4, 2), (9, 3))]


def _planned(
    instances: Sequence[Recovery], setup: Setup, *, stretched: int = 1, fewer: int = 0, together: bool = False
) -> Measurement:
    """Plans played for whole cycles, or their value where those are too long; one that takes too many pulls is worth 0.

    `stretched` periods, `fewer` pulls to plan with, and pulls that start `together` are there to be sabotaged.
    """
    sims = library(setup)
    measured, bound = [], []
    for one in instances:
        K = one.env.capacity
        plan = sims.periodic_policy(one.env, one.base)
        promise = theory.recovering_periodic(
            relaxation=sims.recovering_relaxation(one.env)[1], capacity=K, base=one.base, mixed=plan.mixed
        )
        if fewer and one.base <= K - fewer:
            plan = sims.periodic_policy(replace(one.env, capacity=K - fewer), one.base)
        plan = replace(plan, periods=stretched * plan.periods, offsets=(not together) * plan.offsets)
        value = plan.value
        if math.lcm(*(int(d) for d in plan.periods if d)) <= 2**14:
            value, most = sims.play_periodic(one.env, plan)
            value = value if most <= K else 0.0
        measured.append(value)
        bound.append(float(promise))
    at = {"K": [one.env.capacity for one in instances], "a": [one.base for one in instances]}
    return Measurement(measured, np.array(bound), at, noise=ROUNDING)


def _longer(setup: Setup) -> list[Recovery]:
    return [Recovery(recovering_ladder(), horizon=2**e) for e in range(9, 15)]


def _hard(setup: Setup, *, shrinks: bool = True) -> list[Recovery]:
    """One of four arms leads by ``1.5 sqrt(N/T)``, or by what that is at the shortest horizon."""
    horizons = [2**e for e in range(9, 15)]
    return [Recovery(recovering_level(4, t if shrinks else horizons[0]), horizon=t) for t in horizons]


def _learned(
    instances: Sequence[Recovery],
    setup: Setup,
    *,
    replicates: tuple[int, int],
    policy: PeriodicUCB | str | None = None,
) -> Measurement:
    """Regret of learning at each horizon; another `policy` is there to be sabotaged."""
    play, n = library(setup).simulate_recovering, setup.size(*replicates)
    policy = policy or PeriodicUCB()
    runs = [
        play(policy, one.env, one.horizon, n, seed=setup.seed + i)["regret"].values[:, 0]
        for i, one in enumerate(instances)
    ]
    return Measurement(np.stack(runs, axis=1), x=[one.horizon for one in instances])


def _places(setup: Setup, *, c: float = 1.0) -> list[Recovery]:
    return [
        Recovery(recovering_level(4, 2**12, c, best=best), horizon=2**12, at={"policy": name})
        for name in ("planning", "UCB1")
        for best in range(4)
    ]


def _over_places(instances: Sequence[Recovery], setup: Setup) -> Measurement:
    """A column a policy; a sample is the mean of one run at every place, a round."""
    columns: dict[str, list[np.ndarray]] = {}
    for one in instances:
        policy = PeriodicUCB() if one.at["policy"] == "planning" else "UCB1"
        run = library(setup).simulate_recovering(policy, one.env, one.horizon, setup.size(256, 2048), seed=setup.seed)
        columns.setdefault(one.at["policy"], []).append(run["regret"].values[:, 0] / one.horizon)
    T, N = instances[0].horizon, instances[0].env.arms
    bound = float(theory.recovering_lower(horizon=T, arms=N)) / T
    sample = np.stack([np.mean(runs, axis=0) for runs in columns.values()], axis=1)
    # every round is filled, and loses at most the lead
    lead = float(np.ptp(instances[0].env.rewards))
    return Measurement(sample, np.full(len(columns), bound), {"policy": list(columns)}, support=(0.0, lead + ROUNDING))


def _unaware(setup: Setup) -> list[Recovery]:
    return [Recovery(recovering_ladder(low), horizon=2**15) for low in (0.0, 0.1)]


def _lost(instances: Sequence[Recovery], setup: Setup, *, policy: PeriodicUCB | str = "UCB1") -> Measurement:
    """Regret a round of UCB1, and of planning as the control."""
    play = library(setup).simulate_recovering

    def lost(one: Recovery, rule: PeriodicUCB | str) -> float:
        run = play(rule, one.env, one.horizon, setup.size(16, 200), seed=setup.seed)
        return float(run["regret"].mean()) / one.horizon

    measured = [lost(one, policy) for one in instances]
    control = [lost(one, PeriodicUCB()) for one in instances]
    at = {"low": [float(one.env.rewards[0, 0]) for one in instances]}
    return Measurement(measured, theory.recovering_failure(), at, control=np.array(control))


def _flat(setup: Setup) -> list[Recovery]:
    """The same arms, which pay alike after any rest."""
    return [
        replace(one, env=Recovering(np.repeat(one.env.rewards[:, -1:], one.env.delays, axis=1)))
        for one in _unaware(setup)
    ]


EXPERIMENTS = (
    Experiment(
        theory.recovering_relaxation,
        "random arms of three steps, N = 2 and 3, D = 5",
        _small,
        _optimum,
        (Saboteur("a relaxation of delays one round longer", {"longer": 1}),),
        backends=("sims",),
    ),
    Experiment(
        theory.recovering_periodic,
        "random arms of three steps, N = 3K + 2, D = 24",
        _random,
        _planned,
        (
            Saboteur("periods three times as long", {"stretched": 3}),
            Saboteur("all pulls start together", {"together": True}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.recovering_periodic,
        "K d equal arms that pay from d = 64 a + 1 rounds on",
        _late,
        _planned,
        (
            Saboteur("planned for one pull fewer", {"fewer": 1}),
            Saboteur("periods twice as long", {"stretched": 2}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.recovering_rate,
        "four arms of delays 8, 8, 4 and 2",
        _longer,
        partial(_learned, replicates=(200, 1000)),
        (
            Saboteur("UCB1 in its place", {"policy": "UCB1"}),
            Saboteur("no confidence, and so no exploration", {"policy": PeriodicUCB(level=0.0)}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.recovering_hard_rate,
        "N = 4, c = 1.5",
        _hard,
        partial(_learned, replicates=(1000, 4000)),
        (Saboteur("a lead that does not shrink", problems=partial(_hard, shrinks=False)),),
        backends=("sims",),
    ),
    Experiment(
        theory.recovering_lower,
        "N = 4, c = 1, T = 2^12",
        _places,
        _over_places,
        (Saboteur("a lead of sqrt(N/T)/20", problems=partial(_places, c=0.05)),),
        backends=("sims",),
    ),
    Experiment(
        theory.recovering_failure,
        "four arms of delays 8, 8, 4 and 2, T = 2^15",
        _unaware,
        _lost,
        (
            Saboteur("the planner in its place", {"policy": PeriodicUCB()}),
            Saboteur("arms that need no rest", problems=_flat),
        ),
        backends=("sims",),
    ),
)
