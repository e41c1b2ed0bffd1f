"""Adversarial bandits: bounds on fixed and switching losses, and two dichotomies, with saboteurs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from lemmata.experiments.bandits.shared import BACKENDS, Decaying, Uniform, games, mean_regret, play
from lemmata.problems.bandits import (
    UCB1,
    Bernoulli,
    Exp3,
    Game,
    Policy,
    Switching,
    TsallisINF,
    alternating_losses,
)
from lemmata.theory import bandits as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]


def _arms(game: Game) -> dict[str, Any]:
    return {"arms": game.env.arms}


def _share_lost(
    instances: Sequence[Game], setup: Setup, *, replicates: tuple[int, int], policy: Policy | None = None
) -> Measurement:
    """R_T / T of UCB1 on its alternating losses, and of Tsallis-INF on the same."""
    n = setup.size(*replicates)
    lost = [play(game, setup, 1, policy=policy).mean() / game.horizon for game in instances]
    control = [play(game, setup, n, policy=TsallisINF()).mean() / game.horizon for game in instances]
    threshold = theory.ucb1_adversarial()
    return Measurement(lost, threshold, {"T": [game.horizon for game in instances]}, control=control)


def _last_slope(
    instances: Sequence[Game], setup: Setup, *, replicates: tuple[int, int], eta: float | None = None
) -> Measurement:
    """Slope of Exp3 over the last octave, tuned to each horizon, and of Tsallis-INF; `eta` is to be sabotaged."""
    n = setup.size(*replicates)

    def slope(policy: Policy) -> float:
        first, last = (play(game, setup, n, policy=policy).mean() for game in instances)
        return float(np.log2(last / first))

    control = [slope(TsallisINF()), slope(TsallisINF("rv"))]
    return Measurement([slope(Exp3(eta))], theory.exp3_fixed_step(), control=control)


def _instead(name: str, policy: Policy) -> Saboteur:
    return Saboteur(name, {"policy": policy})


T = 2**12
#: the better arm changes late enough for who has stopped looking to lose
LATE = Switching(np.array([[0.0, 0.1], [1.0, 0.0]]), np.array([1, T // 4]))
APART = Bernoulli(np.array([0.75, 0.25]))

EXPERIMENTS = (
    *(
        Experiment(
            claim,
            instance,
            games(Game(policy, env, T)),
            partial(mean_regret, claim=claim, replicates=replicates, values=_arms),
            (Saboteur(defect, {"policy": broken}),),
            backends=BACKENDS,
        )
        for claim, policy, replicates, defect, broken in (
            (theory.exp3_bound, Exp3(), (4096, 16384), "learning rate a thousand times too small", Uniform()),
            (theory.tsallis_bound, TsallisINF(), (512, 4096), "learning rate 2/t", Decaying()),
            (theory.tsallis_rv_bound, TsallisINF("rv"), (512, 4096), "learning rate 4/t", Decaying("rv")),
        )
        for instance, env in (("Bernoulli losses, gap .5", APART), ("the best arm changes at T/4", LATE))
    ),
    Experiment(
        theory.ucb1_adversarial,
        "K = 2, T = 1024 and 4096",
        games(*(Game(UCB1(), alternating_losses(2, t), t) for t in (2**10, 2**12))),
        partial(_share_lost, replicates=(256, 2048)),
        (_instead("Exp3 in its place", Exp3()), _instead("Tsallis-INF in its place", TsallisINF())),
        backends=BACKENDS,
    ),
    Experiment(
        theory.exp3_fixed_step,
        "Bernoulli losses, gap .5, T = 4096 and 8192",
        games(*(Game(Exp3(), APART, t) for t in (2**12, 2**13))),
        partial(_last_slope, replicates=(400, 4000)),
        (Saboteur("one learning rate for both horizons", {"eta": 0.05}),),
        backends=BACKENDS,
    ),
)
