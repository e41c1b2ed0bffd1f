"""Simulators against exact small-horizon values: what a loose bound cannot see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, partial
from typing import Any

import numpy as np

from lemmata.claims import Claim
from lemmata.experiments.bandits.shared import BACKENDS, PROTOCOL, Algorithm, Decaying, LogOfT, Problems, library, play
from lemmata.problems.bandits import (
    KLUCB,
    MOSS,
    UCB1,
    Bernoulli,
    EpsilonGreedy,
    Exp3,
    ExploreThenCommit,
    Game,
    Policy,
    SuccessiveElimination,
    ThompsonBeta,
    ThompsonGaussian,
    TsallisINF,
)
from lemmata.theory import bandits as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

TWO, THREE, APART = ("1/4", "1/2"), ("1/5", "1/2", "4/5"), ("1/10", "9/10")


@cache
def _exact(policy: Policy, means: tuple[str, ...], horizon: int) -> np.ndarray:
    return np.array([float(r) for r in theory.exact_regret(policy, means, horizon)])


@cache
def _histories(policy: Exp3 | TsallisINF, means: tuple[str, ...], horizon: int) -> np.ndarray:
    return theory.history_regret(policy, [float(Fraction(m)) for m in means], horizon)


def _game(policy: Policy, means: Sequence[str], horizon: int) -> Problems:
    return lambda setup: [Game(policy, Bernoulli(np.array([float(Fraction(m)) for m in means])), horizon)]


def _enumerated(
    instances: Sequence[Game],
    setup: Setup,
    *,
    means: tuple[str, ...],
    policy: Policy | None = None,
    reverse: bool = False,
    algorithm: Algorithm | None = None,
) -> Measurement:
    """E R_t of the simulator's own functions over every reward sequence, against the fractions.

    `policy` and `reverse` (the arms in reverse order: ties then go to the highest) are there to be sabotaged.
    """
    (game,) = instances
    policy = algorithm(game.env.arms, game.horizon) if algorithm else policy
    env = Bernoulli(game.env.means[::-1]) if reverse else game.env
    measured = library(setup).expectation(policy or game.policy, env, game.horizon)
    # the first K rounds pull every arm once, in whatever order
    t = np.arange(game.env.arms, game.horizon + 1)
    return Measurement(measured[t - 1], _exact(game.policy, means, game.horizon)[t - 1], {"t": t})


def _simulated(
    instances: Sequence[Game],
    setup: Setup,
    *,
    means: tuple[str, ...],
    exact: Callable[[Any, tuple[str, ...], int], np.ndarray] = _exact,
    replicates: tuple[int, int] = (100_000, 400_000),
    policy: Policy | None = None,
    algorithm: Algorithm | None = None,
) -> Measurement:
    """R_T of many replicates against the exact mean."""
    (game,) = instances
    policy = algorithm(game.env.arms, game.horizon) if algorithm else policy
    regret = play(game, setup, setup.size(*replicates), policy=policy)
    support = (0.0, game.horizon * float(game.env.gaps.max()))
    return Measurement(regret, exact(game.policy, means, game.horizon)[-1:], {"T": [game.horizon]}, support=support)


def _identity(
    claim: Claim, policy: Policy, means: tuple[str, ...], horizon: int, *saboteurs: Saboteur, ties: bool = True
) -> Experiment:
    wrong_ties = (Saboteur("ties go to the highest arm", {"reverse": True}),) if ties else ()
    return Experiment(
        claim,
        f"{policy}, means {', '.join(means)}, T = {horizon}",
        _game(policy, means, horizon),
        partial(_enumerated, means=means),
        (*saboteurs, *wrong_ties),
        backends=("sims",),
        protocol=PROTOCOL,
    )


def _mean(
    claim: Claim, policy: Policy, means: tuple[str, ...], horizon: int, *saboteurs: Saboteur, **options: Any
) -> Experiment:
    return Experiment(
        claim,
        f"{policy}, means {', '.join(means)}, T = {horizon}",
        _game(policy, means, horizon),
        partial(_simulated, means=means, **options),
        saboteurs,
        backends=BACKENDS,
        protocol=PROTOCOL,
    )


def _instead(name: str, policy: Policy) -> Saboteur:
    return Saboteur(name, {"policy": policy})


LOG_OF_T = _instead("ln t for ln(t-1)", LogOfT())
CONSTANT = _instead("radius sqrt(1.9 ln(t-1)/n)", UCB1(1.9))

EXPERIMENTS = (
    _identity(theory.ucb1_exact, UCB1(), TWO, 12, LOG_OF_T, CONSTANT),
    _identity(theory.ucb1_exact, UCB1(), THREE, 15, LOG_OF_T, CONSTANT),
    _identity(theory.moss_exact, MOSS(), THREE, 12, _instead("the subgaussian constant", MOSS("subgaussian"))),
    _identity(theory.moss_exact, MOSS("anytime"), TWO, 14, _instead("T for t", MOSS())),
    _identity(theory.moss_exact, MOSS("subgaussian"), TWO, 14, _instead("half the radius", MOSS("subgaussian", 0.5))),
    _identity(theory.kl_ucb_exact, KLUCB(), TWO, 14, _instead("ln t + ln ln t", KLUCB(1.0))),
    _identity(theory.kl_ucb_exact, KLUCB(3.0), THREE, 11, _instead("without ln ln t", KLUCB())),
    _identity(theory.etc_exact, ExploreThenCommit(3), THREE, 14, _instead("one pull less", ExploreThenCommit(2))),
    _identity(
        theory.elimination_exact,
        SuccessiveElimination(0.9, scale=0.5),
        TWO,
        18,
        _instead("half the radius", SuccessiveElimination(0.9, scale=0.25)),
        ties=False,  # whoever is first, only an arm that is clearly worse is dropped
    ),
    _mean(
        theory.thompson_exact,
        ThompsonBeta(),
        TWO,
        8,
        _instead("prior Beta(2, 2)", ThompsonBeta(2, 2)),
        _instead("a Gaussian posterior", ThompsonGaussian("normal")),
        replicates=(180_000, 400_000),
    ),
    _mean(
        theory.epsilon_greedy_exact,
        EpsilonGreedy(0.3),
        APART,
        8,
        _instead("a third of the exploration", EpsilonGreedy(0.1)),
        _instead("never greedy", EpsilonGreedy(1.0)),
    ),
    _mean(
        theory.exp3_exact,
        Exp3(1.0),
        TWO,
        6,
        _instead("half the learning rate", Exp3(0.5)),
        _instead("twice the learning rate", Exp3(2.0)),
        exact=_histories,
    ),
    _mean(
        theory.tsallis_exact,
        TsallisINF(),
        TWO,
        6,
        _instead("learning rate 2/t", Decaying()),
        exact=_histories,
    ),
    _mean(
        theory.tsallis_exact,
        TsallisINF("rv"),
        TWO,
        6,
        _instead("learning rate 2/sqrt(t)", TsallisINF()),
        exact=_histories,
    ),
)
