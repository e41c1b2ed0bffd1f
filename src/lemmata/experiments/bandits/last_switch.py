"""Last-switch-dependent rewards: exact optimum, relaxation, interleaving, and greed; saboteurs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from lemmata.experiments.bandits.shared import library
from lemmata.problems.bandits import LastSwitch, last_switch_pair, last_switch_random, never_rested
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
    """The last one is near the worst case: as many equal arms of delay N that pay nothing earlier."""
    arms = 12
    rested = np.zeros((arms, arms - 1))
    rested[:, -1] = 1.0
    return [
        last_switch_pair(),
        *(last_switch_random(3, 3, 2, seed=setup.seed + 10 * k) for k in range(8)),
        LastSwitch(rested, np.zeros((arms, 1))),
    ]


def _interleaved(instances: Sequence[LastSwitch], setup: Setup, *, careless: bool = False) -> Measurement:
    """Mean reward of drawn schedules; a worn arm is the candidate that never pays if `careless`."""
    sims = library(setup)
    sample, bound = [], []
    for env in instances:
        told = LastSwitch(env.rested * 0.6, env.worn * 0.6) if careless else env
        sample.append(sims.interleave(told, setup.size(120, 600), setup.size(2000, 20_000), seed=setup.seed))
        bound.append(float(theory.last_switch_interleaving(recharging=sims.recovering_relaxation(env.recharging)[1])))
    at = {"instance": np.arange(len(instances))}
    return Measurement(np.stack(sample, axis=1), np.array(bound), at, support=(0.0, 1.0))


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
        (Saboteur("payoffs that fall short by two fifths", {"careless": True}),),
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
