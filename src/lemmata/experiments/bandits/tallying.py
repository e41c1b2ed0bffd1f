"""Weighted tallying bandits: bound and exact cost of elimination by blocks, lower bound, thresholds, saboteurs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from lemmata.experiments.bandits.shared import library
from lemmata.problems.bandits import (
    UCB1,
    Exp3,
    Game,
    Policy,
    Tallying,
    TallyingElimination,
    hidden_tallying,
    smooth_tallying,
    threshold_tallying,
)
from lemmata.theory import bandits as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]


def _regret(setup: Setup, policy: Policy, env: Tallying, horizon: int, replicates: int = 1) -> np.ndarray:
    play = library(setup).simulate_tallying
    return play(policy, env, horizon, replicates, checkpoints=[horizon], seed=setup.seed)["regret"].values[:, 0]


# ------------------------------------------------------------------------------------------- the bound


def _bounded(setup: Setup) -> list[Game]:
    late, smooth = hidden_tallying(2, 256, 0), smooth_tallying()
    pair = Tallying(late.weights, late.knots, np.array([[1.0, 1.0, 0.0], [0.5, 0.5, 0.5]]))
    return [
        Game(TallyingElimination(3), smooth, 2**14, {"instance": "smooth, m = 4", "M": 3}),
        Game(TallyingElimination(64), smooth, 2**14, {"instance": "smooth, m = 4", "M": 64}),
        Game(TallyingElimination(255), pair, 2**14, {"instance": "threshold, m = 256", "M": 255}),
    ]


def _below(instances: Sequence[Game], setup: Setup, *, patient: bool = True, scale: float = 1.0) -> Measurement:
    """Regret at T; no reward discarded and a radius `scale` times wider are there to be sabotaged."""
    columns, bound = [], []
    for game in instances:
        policy, env = game.policy, game.env
        assert isinstance(policy, TallyingElimination)
        assert isinstance(env, Tallying)
        told = TallyingElimination(policy.discarded if patient else 0, scale=scale)
        columns.append(_regret(setup, told, env, game.horizon, setup.size(256, 1024)))
        terms = theory.tallying_terms(env.gaps, policy.level(env.arms, game.horizon), game.horizon)
        bound.append(float(theory.tallying_bound(discarded=policy.discarded, memory=env.memory, **terms)))
    at = {name: [game.at[name] for game in instances] for name in ("instance", "M")}
    return Measurement(np.stack(columns, axis=1), np.array(bound), at, nonnegative=True)


# ---------------------------------------------------------------------------------------- exact cost


def _hidden(setup: Setup) -> list[Game]:
    return [
        Game(TallyingElimination(M), hidden_tallying(arms, m, best), 2**14, {"K": arms, "m": m, "M": M, "best": best})
        for arms in (2, 5)
        for m, M in ((1, 0), (4, 3), (4, 20), (16, 15), (16, 40))
        for best in (0, arms - 1)
    ]


def _cost(
    instances: Sequence[Game], setup: Setup, *, extra: int = 0, moved: bool = True, level: float = 1.0
) -> Measurement:
    """Simulated and exact regret; `extra` rewards discarded, no move at the end, another level are saboteurs."""
    measured, claimed = [], []
    for game in instances:
        policy, env = game.policy, game.env
        assert isinstance(policy, TallyingElimination)
        assert isinstance(env, Tallying)
        measured.append(float(_regret(setup, TallyingElimination(policy.discarded + extra), env, game.horizon)[0]))
        phases = int(np.floor(np.log2(2 * level * policy.level(env.arms, game.horizon)))) + 1
        values = {"arms": env.arms, "discarded": policy.discarded, "memory": env.memory}
        claimed.append(
            float(
                theory.tallying_exact(**values, rounds_of_phases=phases, moved=int(moved and env.best < env.arms - 1))
            )
        )
    at = {name: [game.at[name] for game in instances] for name in ("K", "m", "M", "best")}
    return Measurement(measured, np.array(claimed), at)


# -------------------------------------------------------------------------------------- the lower bound


def _everywhere(setup: Setup, told: int = 20, memory: int = 20) -> list[Game]:
    """The hidden arm in each of eight places; elimination after one phase is the cheapest of the three."""
    rules = {"one phase": TallyingElimination(told - 1, scale=0.0), "blocks": TallyingElimination(told - 1)}
    rules |= {"UCB1": UCB1()}  # type: ignore[dict-item]
    return [
        Game(policy, hidden_tallying(8, memory, best), 2**8, {"policy": name, "best": best})
        for name, policy in rules.items()
        for best in range(8)
    ]


def _over_places(instances: Sequence[Game], setup: Setup, *, memory: int = 20) -> Measurement:
    """Regret averaged over the places; the bound is that of `memory`."""
    columns: dict[str, list[np.ndarray]] = {}
    for game in instances:
        assert isinstance(game.env, Tallying)
        run = _regret(setup, game.policy, game.env, game.horizon, setup.size(256, 1024))
        columns.setdefault(str(game.at["policy"]), []).append(run)
    sample = np.stack([np.mean(runs, axis=0) for runs in columns.values()], axis=1) / instances[0].horizon
    bound = float(theory.tallying_lower(memory=memory, arms=8)) / instances[0].horizon
    return Measurement(sample, np.full(len(columns), bound), {"policy": list(columns)}, support=(0.0, 1.0))


# --------------------------------------------------------------------------------- rates and dichotomies


def _longer(setup: Setup) -> list[Game]:
    return [Game(TallyingElimination(16), threshold_tallying(), 2**e) for e in range(10, 16)]


def _growth(instances: Sequence[Game], setup: Setup, *, policy: Policy | None = None) -> Measurement:
    """R_T against T; another `policy` is there to be sabotaged."""
    runs = []
    for game in instances:
        assert isinstance(game.env, Tallying)
        runs.append(_regret(setup, policy or game.policy, game.env, game.horizon, setup.size(200, 1000)))
    return Measurement(np.stack(runs, axis=1), x=[game.horizon for game in instances])


def _unseen(setup: Setup, env: Tallying | None = None) -> list[Game]:
    rules = {"UCB1": UCB1(), "Exp3": Exp3()}
    return [Game(policy, env or threshold_tallying(), 2**15, {"policy": name}) for name, policy in rules.items()]


def _lost(instances: Sequence[Game], setup: Setup, *, patient: bool = False) -> Measurement:
    """R_T / T of each policy, and of elimination by blocks; `patient` puts the latter for all of them."""
    lost, control = [], []
    for game in instances:
        assert isinstance(game.env, Tallying)
        rule, n = TallyingElimination(game.env.memory), setup.size(32, 256)
        control.append(_regret(setup, rule, game.env, game.horizon, n).max() / game.horizon)
        lost.append(_regret(setup, rule if patient else game.policy, game.env, game.horizon, n).mean() / game.horizon)
    at = {"policy": [game.at["policy"] for game in instances]}
    return Measurement(lost, theory.tallying_failure(), at, control=control)


EXPERIMENTS = (
    Experiment(
        theory.tallying_bound,
        "smooth losses and a threshold of 256 plays, T = 2^14",
        _bounded,
        _below,
        (
            Saboteur("no reward discarded", {"patient": False}),
            Saboteur("a radius a hundred times wider", {"scale": 100.0}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.tallying_exact,
        "one arm hidden behind m plays, T = 2^14",
        _hidden,
        _cost,
        (
            Saboteur("one reward more discarded", {"extra": 1}),
            Saboteur("the way back to the best arm forgotten", {"moved": False}),
            Saboteur("half the level", {"level": 0.5}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.tallying_lower,
        "K = 8, m = 20",
        _everywhere,
        _over_places,
        (Saboteur("the arm shows after a quarter of the plays", problems=partial(_everywhere, told=5, memory=5)),),
        backends=("sims",),
    ),
    Experiment(
        theory.tallying_rate,
        "threshold losses, m = M = 16",
        _longer,
        _growth,
        (Saboteur("UCB1 in its place", {"policy": UCB1()}),),
        backends=("sims",),
    ),
    Experiment(
        theory.tallying_failure,
        "threshold losses, m = 16, T = 2^15",
        _unseen,
        _lost,
        (
            Saboteur("elimination by blocks in their place", {"patient": True}),
            Saboteur("losses that fall gradually", problems=partial(_unseen, env=smooth_tallying())),
        ),
        backends=("sims",),
    ),
)
