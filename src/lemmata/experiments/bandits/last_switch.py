"""Last-switch-dependent rewards: exact optimum, relaxation, interleaving, and greed; saboteurs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from lemmata.experiments.bandits.shared import library
from lemmata.problems.bandits import (
    LastSwitch,
    Recovering,
    last_switch_equal,
    last_switch_pair,
    last_switch_random,
    never_rested,
)
from lemmata.theory import bandits as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

ROUNDING = 1e-12


def _alone(setup: Setup) -> list[LastSwitch]:
    pair = last_switch_pair()
    return [LastSwitch(pair.rested[:1], pair.worn[:1]), never_rested()] + [
        last_switch_random(1, 6, 3, seed=setup.seed + 10 * k) for k in range(20)
    ]


def _cycle(instances: Sequence[LastSwitch], setup: Setup, *, lost: int = 0) -> Measurement:
    """Karp's best cycle against the best of all (tau, r); `lost` rounds a cycle are there to be sabotaged."""
    measured = [library(setup).last_switch_optimum(env) for env in instances]
    best = []
    for env in instances:
        f, g = env.rested[0], np.r_[0.0, np.cumsum(env.worn[0])]
        tau, r = np.arange(1, f.size + 1)[:, None], np.arange(1, g.size + 1)
        best.append(float(max(env.worn[0, -1], ((f[:, None] + g) / (tau + r + lost)).max())))
    claimed = np.array([float(theory.last_switch_one_arm(best=b)) for b in best])
    return Measurement(measured, claimed, {"instance": np.arange(len(instances))})


def _pairs(setup: Setup) -> list[LastSwitch]:
    return [last_switch_pair()] + [
        last_switch_random(arms, 3, 2, seed=setup.seed + 10 * k) for arms in (2, 3) for k in range(10)
    ]


def _above(instances: Sequence[LastSwitch], setup: Setup, *, single: bool = False) -> Measurement:
    """Exact optimum and relaxation; with plays in a row left out of the latter it is no bound."""
    sims = library(setup)
    measured = [sims.last_switch_optimum(env) for env in instances]
    relaxed = [
        sims.recovering_relaxation(env.recharging)[1] if single else sims.last_switch_relaxation(env)
        for env in instances
    ]
    bound = np.array([float(theory.last_switch_relaxation(relaxation=v)) for v in relaxed])
    return Measurement(measured, bound, {"instance": np.arange(len(instances))}, noise=ROUNDING)


def _crowded(setup: Setup) -> list[LastSwitch]:
    """The last one is near the worst case."""
    return [
        last_switch_pair(),
        *(last_switch_random(3, 3, 2, seed=setup.seed + 10 * k) for k in range(8)),
        last_switch_equal(12),
    ]


def _equal(setup: Setup) -> list[LastSwitch]:
    return [last_switch_equal(arms) for arms in (2, 4, 12)]


def _late(env: LastSwitch, rounds: int) -> Recovering:
    """What pays the same as ``env.recharging``, so many rounds later; earlier where `rounds` is negative."""
    rewards = env.recharging.rewards
    if rounds >= 0:
        return Recovering(np.concatenate([np.repeat(rewards[:, :1], rounds, axis=1), rewards], axis=1))
    return Recovering(rewards[:, -rounds:])


def _interleaved(instances: Sequence[LastSwitch], setup: Setup, *, late: int = 0) -> Measurement:
    """Mean reward of drawn schedules; planned for arms that recover `late` or early they are sabotaged."""
    sims = library(setup)
    sample, bound = [], []
    for env in instances:
        n = setup.size(120, 600), setup.size(2000, 20_000)
        sample.append(sims.interleave(env, *n, planned=_late(env, late), seed=setup.seed))
        bound.append(float(theory.last_switch_interleaving(recharging=sims.recovering_relaxation(env.recharging)[1])))
    at = {"instance": np.arange(len(instances))}
    return Measurement(np.stack(sample, axis=1), np.array(bound), at, support=(0.0, 1.0))


def _crowd(instances: Sequence[LastSwitch], setup: Setup, *, late: int = 0) -> Measurement:
    """One turn of N rounds of each schedule, which repeats; `late` as above."""
    sims, n = library(setup), setup.size(40_000, 400_000)
    sample = [sims.interleave(env, env.arms, n, planned=_late(env, late), seed=setup.seed) for env in instances]
    arms = np.array([env.arms for env in instances])
    claimed = np.array([float(theory.last_switch_crowd(arms=N)) for N in arms])
    return Measurement(np.stack(sample, axis=1), claimed, {"N": arms}, support=(0.0, 1.0))


def _tempting(setup: Setup, *, rests: bool = True) -> list[LastSwitch]:
    """`rests`: an arm that pays only after four rounds; else one that pays as much at once."""
    return [never_rested(delays) if rests else LastSwitch(np.ones((1, 4)), np.ones((1, 1))) for delays in (4, 5, 6)]


def _greedy(instances: Sequence[LastSwitch], setup: Setup) -> Measurement:
    """What greed loses; on two arms of which one is always fairly rested it loses little."""
    sims, calm = library(setup), last_switch_pair()

    def lost(env: LastSwitch) -> float:
        return 1 - sims.greedy_last_switch(env, 5000) / sims.last_switch_optimum(env)

    measured = [lost(env) for env in instances]
    at = {"D": [env.rested.shape[1] for env in instances]}
    return Measurement(measured, theory.last_switch_failure(), at, control=np.full(len(measured), lost(calm)))


EXPERIMENTS = (
    Experiment(
        theory.last_switch_one_arm,
        "random payoffs, D = 6, m = 3",
        _alone,
        _cycle,
        (Saboteur("a round lost in every cycle", {"lost": 1}),),
        backends=("sims",),
    ),
    Experiment(
        theory.last_switch_relaxation,
        "random payoffs, N = 2 and 3, D = 3, m = 2",
        _pairs,
        _above,
        (Saboteur("no two plays in a row", {"single": True}),),
        backends=("sims",),
    ),
    Experiment(
        theory.last_switch_interleaving,
        "random payoffs, and twelve arms of delay 12",
        _crowded,
        _interleaved,
        (Saboteur("planned for arms that recover a round earlier", {"late": -1}),),
        backends=("sims",),
    ),
    Experiment(
        theory.last_switch_crowd,
        "N = 2, 4 and 12",
        _equal,
        _crowd,
        (
            Saboteur("planned for arms that recover a round later", {"late": 1}),
            Saboteur("planned for arms that recover a round earlier", {"late": -1}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.last_switch_failure,
        "one arm that pays only after a rest",
        _tempting,
        _greedy,
        (Saboteur("an arm that needs none", problems=partial(_tempting, rests=False)),),
        backends=("sims",),
    ),
)
