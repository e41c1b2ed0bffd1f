"""Recovering rewards: the relaxation over the exact optimum, guarantees of periodic plans, learning, saboteurs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lemmata.experiments.bandits.shared import library
from lemmata.problems.bandits import (
    PeriodicUCB,
    Recovering,
    Recovery,
    recovering_ladder,
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


def _planned(instances: Sequence[Recovery], setup: Setup, *, stretched: int = 1) -> Measurement:
    """Schedules played for whole cycles, or where those are too long summed; `stretched` periods are saboteurs."""
    sims = library(setup)
    measured, bound = [], []
    for one in instances:
        env = one.env
        plan = sims.periodic_policy(env, one.base)
        value = plan.value
        if stretched > 1:
            periods = stretched * plan.periods
            at = np.minimum(periods, env.delays) - 1
            value = float((env.rewards[np.arange(env.arms), at] / np.maximum(periods, 1))[periods > 0].sum())
        elif math.lcm(*(int(d) for d in plan.periods if d)) <= 2**14:
            value, most = sims.play_periodic(env, plan)
            value = value if most <= env.capacity else 0.0
        measured.append(value)
        relaxation = sims.recovering_relaxation(env)[1]
        bound.append(
            float(
                theory.recovering_periodic(
                    relaxation=relaxation, capacity=env.capacity, base=one.base, mixed=plan.mixed
                )
            )
        )
    at = {"K": [one.env.capacity for one in instances], "a": [one.base for one in instances]}
    return Measurement(measured, np.array(bound), at, noise=ROUNDING)


def _longer(setup: Setup) -> list[Recovery]:
    return [Recovery(recovering_ladder(), horizon=2**e) for e in range(9, 16)]


def _learned(instances: Sequence[Recovery], setup: Setup, *, policy: PeriodicUCB | str | None = None) -> Measurement:
    """Regret of learning at each horizon; another `policy` is there to be sabotaged."""
    play = library(setup).simulate_recovering
    policy = policy or PeriodicUCB()
    runs = [
        play(policy, one.env, one.horizon, setup.size(200, 1000), seed=setup.seed)["regret"].values[:, 0]
        for one in instances
    ]
    return Measurement(np.stack(runs, axis=1), x=[one.horizon for one in instances])


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
        (Saboteur("periods three times as long", {"stretched": 3}),),
        backends=("sims",),
    ),
    Experiment(
        theory.recovering_rate,
        "four arms of delays 8, 8, 4 and 2",
        _longer,
        _learned,
        (
            Saboteur("UCB1 in its place", {"policy": "UCB1"}),
            Saboteur("no confidence, and so no exploration", {"policy": PeriodicUCB(level=0.0)}),
        ),
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
