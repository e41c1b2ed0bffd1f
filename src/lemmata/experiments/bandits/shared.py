"""What the experiments of the family share: how a game is played, and policies with one small defect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from lemmata.claims import Claim
from lemmata.problems.bandits import (
    LUCB,
    UCB1,
    Bernoulli,
    Environment,
    Exp3,
    Game,
    Policy,
    RewardTables,
    TsallisINF,
)
from lemmata.random import bernoulli_threshold
from lemmata.typing import Backend
from lemmata.verification import Measurement, Setup

__all__ = [
    "BACKENDS",
    "PROTOCOL",
    "Algorithm",
    "Decaying",
    "Flipped",
    "Forgetful",
    "Hasty",
    "LogOfT",
    "Pessimist",
    "Problems",
    "Uniform",
    "games",
    "library",
    "mean_regret",
    "play",
]

#: where `simulate` exists
BACKENDS: tuple[Backend, ...] = ("sims", "kernels")

#: what `lemmata.testing.assert_claim` can put in place of our policy
PROTOCOL = "algorithm(arms, horizon) -> a policy, such as lemmata.problems.bandits.Custom(init, select, update)"
Algorithm = Callable[[int, int], Policy]

Problems = Callable[[Setup], Sequence[Game]]


def library(setup: Setup) -> Any:
    """The module of the setup's backend, ``lemmata.sims.bandits`` or ``lemmata.kernels.bandits``."""
    return import_module(f"lemmata.{setup.backend}.bandits")


def games(*given: Game) -> Problems:
    """The same games at every setup."""
    return lambda setup: given


def play(
    game: Game,
    setup: Setup,
    replicates: int,
    checkpoints: Any = None,
    *,
    policy: Policy | None = None,
    env: Environment | None = None,
) -> np.ndarray:
    """Regret, float64[replicate, checkpoint], at the horizon where no checkpoints are given."""
    where = {} if setup.backend == "sims" else {"device": setup.device}
    run = library(setup).simulate(
        policy or game.policy,
        env or game.env,
        game.horizon,
        replicates,
        checkpoints=[game.horizon] if checkpoints is None else checkpoints,
        samples=True,
        seed=setup.seed,
        **where,
    )
    return run["regret"].values


def mean_regret(
    instances: Sequence[Game],
    setup: Setup,
    *,
    claim: Claim,
    replicates: tuple[int, int],
    values: Callable[[Game], dict[str, Any]],
    parts: Sequence[int] = (1,),
    policy: Policy | None = None,
    flipped: bool = False,
    algorithm: Algorithm | None = None,
) -> Measurement:
    """Regret after T/part rounds for each of `parts`, decreasing, against the claim's value there.

    `policy` and `flipped` (rewards taken for losses) are there to be sabotaged.
    """
    (game,) = instances
    rounds = np.array([game.horizon // part for part in parts])
    policy = algorithm(game.env.arms, game.horizon) if algorithm else policy
    env = Flipped(game.env.means) if flipped else game.env
    regret = play(game, setup, setup.size(*replicates), rounds, policy=policy, env=env)
    cost = float(game.env.tables().cost.max())
    low = 0.0 if game.env.regret_kind == "pseudo" else -float(game.horizon)
    theory = claim(horizon=rounds, **values(game))
    return Measurement(regret, theory, {"T": rounds, **game.at}, support=(low, game.horizon * cost))


# -------------------------------------------------------------------------------------------- saboteurs


class LogOfT(UCB1):
    """UCB1 with ln t in place of ln(t - 1)."""

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        width, scale = super().tables(arms, horizon + 1)
        return width[1:].copy(), scale[:-1].copy()


class Forgetful(UCB1):
    """UCB1 that forgot the logarithm: radius sqrt(2 (t-1) / n)."""

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        width, scale = super().tables(arms, horizon)
        width[2:] = np.sqrt(self.exploration * np.arange(1, horizon))
        return width, scale


class Pessimist(UCB1):
    """UCB1 with the sign of its radius wrong: the largest lower limit."""

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        width, scale = super().tables(arms, horizon)
        return -width, scale


class Uniform(Exp3):
    """Exponential weights with a learning rate a thousand times too small."""

    def tables(self, arms: int, horizon: int) -> tuple[float]:
        (eta,) = super().tables(arms, horizon)
        return (eta / 1000,)


class Decaying(TsallisINF):
    """Tsallis-INF with 1/t for 1/sqrt(t)."""

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray, int]:
        eta, reduced = super().tables(arms, horizon)
        return eta / np.sqrt(np.maximum(1, np.arange(horizon + 1))), reduced


class Hasty(LUCB):
    """LUCB with a sixth of its radius."""

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray, float]:
        level, epsilon = super().tables(arms, horizon)
        return level / 6, epsilon


class Flipped(Bernoulli):
    """A policy sees losses for rewards; the regret is that of the true means."""

    def tables(self) -> RewardTables:
        return super().tables()._replace(threshold=bernoulli_threshold(1 - self.means))
