"""Linear bandits: the elliptical potential along many sequences, and the regret of OFUL, with saboteurs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from lemmata.experiments.bandits.shared import library, play
from lemmata.problems.bandits import OFUL, Game, Linear, LinUCB, RewardTables
from lemmata.theory import bandits as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

DELTA = 0.05


# ------------------------------------------------------------------------------------------- potential


def _random(setup: Setup) -> list[np.ndarray]:
    """Sequences of vectors, float64[B, T, d]: isotropic, nearly parallel, of shrinking and of growing length."""
    rng = np.random.default_rng(setup.seed)
    batch, steps = setup.size(16, 128), setup.size(300, 3000)
    made = []
    for d in (1, 2, 5):
        x = rng.standard_normal((batch, steps, d))
        along = x * np.where(np.arange(d) == 0, 1.0, 0.01)
        length = 10.0 ** rng.uniform(-2, 2, (batch, steps, 1))
        made += [x, along, x * length, x / np.arange(1, steps + 1)[:, None]]
    return made


def _doubling(setup: Setup) -> list[np.ndarray]:
    """One direction, each vector of squared norm 1 in the inverse of what came before: ``1, sqrt 2, 2, ...``."""
    return [np.sqrt(2.0) ** np.arange(60)[None, :, None]]


def _played(setup: Setup) -> list[np.ndarray]:
    """What OFUL and LinUCB play."""
    env = _sphere(setup.seed, 4, 12)
    runs = []
    for policy in (OFUL(env.features), LinUCB(env.features, alpha=0.5)):
        for replicate in range(setup.size(4, 32)):
            run = library(setup).trajectory(policy, env, 1000, replicate=replicate, seed=setup.seed)
            runs.append(env.features[run["arm"].values])
    return [np.stack(runs)]


def _potential(
    sequences: Sequence[np.ndarray], setup: Setup, *, cap: float = 1.0, factor: float = 1.0, fixed: bool = False
) -> Measurement:
    """Potential against 2 ln det at every step; `cap`, `factor` and `fixed` (V stays V_0) are to be sabotaged."""
    measured, bound, step = [], [], []
    for x in sequences:
        run = library(setup).elliptical_potential(x, cap=cap)
        potential = run["potential"].values
        if fixed:
            potential = np.cumsum(np.minimum(1.0, np.sum(x**2, axis=2)), axis=1)
        measured.append(potential.ravel())
        bound.append(factor * theory.elliptical_potential(log_det=run["log_det"].values).ravel())
        step.append(np.broadcast_to(run["step"].values, potential.shape).ravel())
    return Measurement(np.concatenate(measured), np.concatenate(bound), {"t": np.concatenate(step)})


NO_CAP = Saboteur("without the minimum with 1", {"cap": np.inf})
HALF = Saboteur("ln det for 2 ln det", {"factor": 0.5})
FIXED = Saboteur("the norm of V_0 throughout", {"fixed": True})


# ---------------------------------------------------------------------------------------------- regret


def _sphere(seed: int, dim: int, arms: int, *, sigma: float = 0.1) -> Linear:
    """Arms on the unit sphere, theta of norm 1/2 along the last of them: no gap exceeds 1."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((arms, dim))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return Linear(x, 0.5 * x[-1], sigma)


def _games(setup: Setup) -> list[Game]:
    env = _sphere(setup.seed, 2, 8)
    horizon = setup.size(2**13, 2**14)
    return [Game(OFUL(env.features, delta=DELTA, sigma=0.1, norm=0.5), env, horizon)]


class _Worst(Linear):
    """A policy sees minus the rewards."""

    def tables(self) -> RewardTables:
        return super().tables()._replace(mean=-self.means)


def _regret(
    instances: Sequence[Game],
    setup: Setup,
    *,
    replicates: tuple[int, int],
    negated: bool = False,
) -> Measurement:
    """Regret of OFUL against its bound; `negated` (the rewards) is there to be sabotaged."""
    (game,) = instances
    own, env = game.policy, game.env
    assert isinstance(own, OFUL)
    assert isinstance(env, Linear)
    seen = _Worst(env.features, env.theta, env.sigma) if negated else env
    regret = play(game, setup, setup.size(*replicates), env=seen)
    constants = {"horizon": game.horizon, "dim": own.features.shape[1], "length": 1.0, "ridge": own.ridge}
    beta = theory.oful_radius(**constants, sigma=own.sigma, norm=own.norm, delta=own.delta)
    return Measurement(regret, [theory.oful_regret(**constants, beta=beta)], {"T": [game.horizon]})


EXPERIMENTS = (
    Experiment(
        theory.elliptical_potential,
        "random sequences",
        _random,
        _potential,
        (NO_CAP, HALF, FIXED),
        backends=("sims",),
    ),
    Experiment(
        theory.elliptical_potential,
        "doubling lengths",
        _doubling,
        _potential,
        (HALF,),
        backends=("sims",),
    ),
    Experiment(
        theory.elliptical_potential,
        "what OFUL and LinUCB play",
        _played,
        _potential,
        (HALF, FIXED),
        backends=("sims",),
    ),
    Experiment(
        theory.oful_regret,
        "d = 2, eight arms on the circle",
        _games,
        partial(_regret, replicates=(300, 2000)),
        (Saboteur("the sign of the rewards wrong", {"negated": True}),),
        backends=("sims",),
    ),
)
