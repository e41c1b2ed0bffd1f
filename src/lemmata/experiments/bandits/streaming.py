"""Single-pass streams: the champion's exact regret, the rate of two thirds, its guard and what levels save."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from lemmata.experiments.bandits.shared import library
from lemmata.problems.bandits import (
    Champion,
    LogLevels,
    Stream,
    StreamGame,
    StreamPolicy,
    clear_cut_streams,
    eps_best,
    hard_streams,
    mix_in_streams,
    uniform_exploration,
)
from lemmata.theory import bandits as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

Rule = Callable[[int, int], StreamPolicy]
ARMS = 50
#: rounds, two octaves apart
HORIZONS = tuple(2**e for e in range(14, 27, 2))


# ------------------------------------------------------------------------------------------- the champion


def _orders(setup: Setup) -> list[StreamGame]:
    orders = ((0.5, 0.4, 0.8), (0.8, 0.4, 0.5), (0.5, 0.5, 0.5, 0.6), (0.2, 0.9, 0.9, 0.1, 0.85))
    return [StreamGame(Champion(10), Stream(np.array(means)), 300, {"order": str(means)}) for means in orders]


def _published(game: StreamGame, replicates: int, *, forgotten: bool, factor: float, seed: int) -> np.ndarray:
    """Regret of the champion with two defects of a program that is public, float64[R].

    The first arm's mean is `forgotten`, so that the next one replaces it by any success; batches are normal, `factor`
    deviations wide.
    """
    (means,) = game.stream.means
    pulls, rng = game.policy.levels(means.size, game.horizon)[0][0], np.random.default_rng(seed)
    seen = means + factor * np.sqrt(means * (1 - means) / pulls) * rng.standard_normal((replicates, means.size))
    if not factor:
        seen = rng.binomial(pulls, means, (replicates, means.size)) / pulls
    champion, best = np.zeros(replicates, dtype=np.int64), np.zeros(replicates) if forgotten else seen[:, 0]
    for i in range(1, means.size):
        wins = seen[:, i] > best
        champion, best = np.where(wins, i, champion), np.where(wins, seen[:, i], best)
    gaps = means.max() - means
    return pulls * gaps.sum() + (game.horizon - pulls * means.size) * gaps[champion]


def _exact(
    instances: Sequence[StreamGame],
    setup: Setup,
    *,
    fewer: int = 0,
    backwards: bool = False,
    forgotten: bool = False,
    factor: float = 0.0,
) -> Measurement:
    """Regret of many replicates.

    `fewer` pulls an arm, a stream taken `backwards` and the defects of `_published` are there to be sabotaged.
    """
    columns, claimed = [], []
    for game in instances:
        policy = game.policy
        assert isinstance(policy, Champion)
        (means,) = game.stream.means
        stream = Stream(means[::-1]) if backwards else game.stream
        run = library(setup).simulate_stream(
            Champion(policy.pulls - fewer), stream, game.horizon, setup.size(40_000, 200_000), seed=setup.seed
        )
        columns.append(run["regret"].values[0])
        if forgotten or factor:
            columns[-1] = _published(game, len(columns[-1]), forgotten=forgotten, factor=factor, seed=setup.seed)
        spent = policy.pulls * (means.max() - means).sum()
        whole = theory.champion_regret(means, policy.pulls, game.horizon)
        claimed.append(float(theory.stream_champion(exploring=spent, committed=whole - spent)))
    at = {"order": [game.at["order"] for game in instances]}
    return Measurement(np.stack(columns, axis=1), np.array(claimed), at, support=(0.0, 300.0))


# -------------------------------------------------------------------------------------------- the hard family


def _hard(
    rule: Rule,
    setup: Setup,
    *,
    horizons: Sequence[int] = HORIZONS,
    count: tuple[int, int] = (2500, 20_000),
    surprise: float = 1.0,
    c: float = 0.5,
) -> list[StreamGame]:
    """One game for each horizon."""
    return [
        StreamGame(
            rule(ARMS, t), hard_streams(ARMS, t, setup.size(*count), c=c, surprise=surprise, seed=setup.seed + t), t
        )
        for t in horizons
    ]


def _growth(instances: Sequence[StreamGame], setup: Setup, *, rule: Rule | None = None) -> Measurement:
    """R_T against T, mean of ten streams a replicate; another `rule` is there to be sabotaged."""
    runs = []
    for game in instances:
        policy = rule(game.stream.arms, game.horizon) if rule else game.policy
        run = library(setup).simulate_stream(policy, game.stream, game.horizon, seed=setup.seed + game.horizon)
        runs.append(run["regret"].values.reshape(-1, 10).mean(axis=1))
    return Measurement(np.stack(runs, axis=1), x=[game.horizon for game in instances])


def _forgotten(instances: Sequence[StreamGame], setup: Setup, *, share: float = 1.0) -> Measurement:
    """R_T at each horizon; a `share` of the pulls is there to be sabotaged."""
    columns, claimed, tops = [], [], []
    for game in instances:
        policy = game.policy
        assert isinstance(policy, Champion)
        fewer = Champion(max(1, int(share * policy.pulls)))
        run = library(setup).simulate_stream(fewer, game.stream, game.horizon, seed=setup.seed + game.horizon)
        # the largest gap is 1/2: regrets in units of T/2, so that one range holds all
        columns.append(run["regret"].values[:, 0] / (0.5 * game.horizon))
        floor = float(theory.stream_floor(pulls=policy.pulls, arms=game.stream.arms))
        claimed.append(floor / (0.5 * game.horizon))
        tops.append(game.horizon)
    return Measurement(np.stack(columns, axis=1), np.array(claimed), {"T": tops}, support=(0.0, 1.0))


def _least(instances: Sequence[StreamGame], setup: Setup) -> Measurement:
    """Least regret over pulls an arm from 1/eps² / 16 to 4/eps²; the control never sees a better arm come last."""

    def least(game: StreamGame, stream: Stream) -> float:
        unit = game.stream.arms ** (1 / 3) * game.horizon ** (2 / 3)
        found = []
        for factor in 2.0 ** np.arange(-4, 3):
            policy = eps_best(game.stream.arms, game.horizon, factor=factor)
            run = library(setup).simulate_stream(policy, stream, game.horizon, seed=setup.seed + game.horizon)
            found.append(float(run["regret"].mean()) / unit)
        return min(found)

    calm = [_calm(game.stream) for game in instances]
    measured = [least(game, game.stream) for game in instances]
    control = np.array([least(game, stream) for game, stream in zip(instances, calm, strict=True)])
    bound = theory.stream_lower() * np.ones(len(measured))
    return Measurement(measured, bound, {"T": [game.horizon for game in instances]}, control=control)


def _calm(stream: Stream) -> Stream:
    means = stream.means.copy()
    means[:, -1] = 0.5
    return Stream(means)


# ------------------------------------------------------------------------------------------------- savings


def _settings(setup: Setup) -> list[StreamGame]:
    arms = setup.size(500, 5000)
    made = (clear_cut_streams(arms, 50, seed=setup.seed), mix_in_streams(arms, 50, seed=setup.seed))
    horizon = 1000 * arms**3
    return [
        StreamGame(LogLevels(), stream, horizon, {"setting": name})
        for name, stream in zip(("clear-cut", "mix-in"), made, strict=True)
    ]


def _saved(instances: Sequence[StreamGame], setup: Setup, *, charge: str = "pulled") -> Measurement:
    """Regret over that of uniform exploration; the control, and the saboteur's `charge`, is that of the arm stored."""

    def ratio(game: StreamGame, who: Any) -> float:
        given: dict[str, Any] = {"stream": game.stream, "horizon": game.horizon, "seed": setup.seed}
        uniform = (
            library(setup)
            .simulate_stream(uniform_exploration(game.stream.arms, game.horizon), **given)["regret"]
            .mean()
        )
        return float(library(setup).simulate_stream(game.policy, charge=who, **given)["regret"].mean() / uniform)

    measured = [ratio(game, charge) for game in instances]
    control = np.array([ratio(game, "stored") for game in instances])
    at = {"setting": [game.at["setting"] for game in instances]}
    return Measurement(measured, theory.stream_savings() * np.ones(len(measured)), at, control=control)


def _unit(arms: int, horizon: int) -> Champion:
    return eps_best(arms, horizon, factor=1)


# without a better arm at the end little is paid from some 2^20 rounds on
_few = partial(_hard, _unit, horizons=HORIZONS[3:], count=(800, 5000), c=1.0)


def _fixed(arms: int, horizon: int) -> Champion:
    return Champion(100)


def _many(arms: int, horizon: int) -> Champion:
    return Champion(int((horizon / arms) ** 0.8))


FIXED = Saboteur("100 pulls whatever the horizon", {"rule": _fixed})
MANY = Saboteur("(T/K)^(4/5) pulls", {"rule": _many})

EXPERIMENTS = (
    Experiment(
        theory.stream_champion,
        "four orders, N = 10, T = 300",
        _orders,
        _exact,
        (
            Saboteur("one pull less of every arm", {"fewer": 1}),
            Saboteur("the stream backwards", {"backwards": True}),
            Saboteur("the first arm's mean forgotten", {"forgotten": True}),
            Saboteur("normal batches, four deviations wide", {"factor": 4.0}),
        ),
        backends=("sims",),
    ),
    *(
        Experiment(
            claim,
            f"{name}, K = {ARMS}",
            partial(_hard, rule),
            _growth,
            saboteurs,
            backends=("sims",),
        )
        for claim, name, rule, saboteurs in (
            (theory.stream_rate, "1/eps² pulls", _unit, (FIXED, MANY)),
            (theory.stream_rate, "ln K / eps² pulls", eps_best, (FIXED, MANY)),
            (theory.stream_uniform_rate, "uniform exploration", uniform_exploration, (MANY,)),
        )
    ),
    Experiment(
        theory.stream_floor,
        f"ln K / eps² pulls, K = {ARMS}",
        partial(_hard, eps_best),
        _forgotten,
        (
            Saboteur("half of the pulls", {"share": 0.5}),
            Saboteur("the last arm never pays 1", problems=partial(_hard, eps_best, surprise=0.5)),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.stream_lower,
        f"1/16 to 4 times 1/eps² pulls, K = {ARMS}, c = 1",
        _few,
        _least,
        (
            Saboteur("the last arm never pays 1", problems=partial(_few, surprise=0.5)),
            Saboteur("a gap ten times smaller", problems=partial(_few, c=0.1)),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.stream_savings,
        "log-levels on both settings",
        _settings,
        _saved,
        (Saboteur("a challenge charged to the arm stored", {"charge": "stored"}),),
        backends=("sims",),
    ),
)
