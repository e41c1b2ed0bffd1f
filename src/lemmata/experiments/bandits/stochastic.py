"""Stochastic bandits: finite bounds, rates on the hard families, lower bounds, identification, with saboteurs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from lemmata.claims import Claim
from lemmata.experiments.bandits.shared import (
    BACKENDS,
    PROTOCOL,
    Forgetful,
    Hasty,
    Pessimist,
    Problems,
    Uniform,
    games,
    library,
    mean_regret,
    play,
)
from lemmata.problems.bandits import (
    KLUCB,
    LUCB,
    MOSS,
    UCB1,
    Bernoulli,
    ConfidenceUCB,
    DecayingEpsilonGreedy,
    EpsilonGreedy,
    ExploreThenCommit,
    Game,
    Gaussian,
    Policy,
    SuccessiveElimination,
    ThompsonBeta,
    hard_instance,
    instance_a,
    instance_b,
)
from lemmata.theory import bandits as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]


def _sums(game: Game) -> dict[str, Any]:
    gaps = game.env.gaps
    return {"inverse_gaps": float(np.sum(1 / gaps[gaps > 0])), "gaps": float(gaps.sum())}


def _gaps(game: Game) -> dict[str, Any]:
    return {"arms": game.env.arms, "gaps": float(game.env.gaps.sum())}


def _arms(game: Game) -> dict[str, Any]:
    return {"arms": game.env.arms}


def _gap(game: Game) -> dict[str, Any]:
    return {"gap": float(game.env.gaps.max())}


def _exploring(game: Game) -> dict[str, Any]:
    assert isinstance(game.policy, EpsilonGreedy)
    mean = float(game.env.gaps.mean())
    return {**_gaps(game), "epsilon": game.policy.epsilon, "mean_gap": mean}


def _etc(game: Game) -> dict[str, Any]:
    assert isinstance(game.policy, ExploreThenCommit)
    gap = float(game.env.gaps.max())
    return {"pulls": game.policy.pulls, "gap": gap, "error": theory.etc_error(game.policy.pulls, gap)}


# ----------------------------------------------------------------------------------------- measuring


def _growth(
    instances: Sequence[Game],
    setup: Setup,
    *,
    replicates: tuple[int, int],
    together: int = 1,
    change: Callable[[Game], Game] | None = None,
) -> Measurement:
    """R_T against T, each horizon played for itself; `change` (of every game) is there to be sabotaged.

    A replicate of the measurement is the mean of `together` runs, so that the bootstrap has fewer to draw.
    """
    played = [change(game) if change else game for game in instances]
    n = setup.size(*replicates)
    # another seed at every horizon: horizons are independent, as the rows that the bootstrap draws may be
    curves = [play(game, replace(setup, seed=setup.seed + i), n * together)[:, 0] for i, game in enumerate(played)]
    means = [curve.reshape(n, together).mean(axis=1) for curve in curves]
    return Measurement(np.stack(means, axis=1), x=[game.horizon for game in played])


def _over_places(
    instances: Sequence[Game], setup: Setup, *, replicates: tuple[int, int], gap: Callable[[Game], float] | None = None
) -> Measurement:
    """R_T averaged over the place of the best arm, for each policy; `gap` is there to be sabotaged."""
    columns, bounds, names = [], [], []
    top = 0.0
    for game in instances:
        k, best = game.env.arms, game.env.best
        size = float(game.env.gaps.max()) if gap is None else gap(game)
        top = max(top, size * game.horizon)
        env = [Bernoulli(0.5 + size * (np.arange(k) == (best + j) % k)) for j in range(k)]
        n = setup.size(*replicates) // k
        # one replicate of the average: one run at every place
        columns.append(np.mean([play(game, setup, n, env=e)[:, 0] for e in env], axis=0))
        bounds.append(float(theory.minimax_lower(horizon=game.horizon, arms=k)))
        names.append(str(game.at["policy"]))
    return Measurement(np.stack(columns, axis=1), bounds, {"policy": names}, support=(0.0, top))


def _log_slope(
    instances: Sequence[Game], setup: Setup, *, replicates: tuple[int, int], policy: Policy | None = None
) -> Measurement:
    """(R_T - R_{T/2}) / (C ln 2); `policy` is there to be sabotaged."""
    (game,) = instances
    rounds = np.array([game.horizon // 2, game.horizon])
    regret = play(game, setup, setup.size(*replicates), rounds, policy=policy)
    assert isinstance(game.env, Bernoulli)
    return Measurement(np.diff(regret) / (game.env.lai_robbins * np.log(2)), [1.0], {"T": rounds[:1]})


def _best_arm(
    instances: Sequence[Game], setup: Setup, *, replicates: tuple[int, int], policy: Policy | None = None
) -> Measurement:
    """Gap of the arm that is named; `policy` is there to be sabotaged."""
    n = setup.size(*replicates)
    found = [
        library(setup).identify(policy or game.policy, game.env, n, max_pulls=game.horizon, seed=setup.seed)
        for game in instances
    ]
    named = np.stack([run["gap"].values for run in found], axis=1)
    at = {name: [game.at[name] for game in instances] for name in instances[0].at}
    return Measurement(named, np.zeros(len(instances)), at)


# ----------------------------------------------------------------------------------------- instances

PAIR = Bernoulli(np.array([0.25, 0.75]))
FAR = Bernoulli(np.array([0.5, 0.1]))
CLOSE = Bernoulli(np.array([0.6, 0.4]))
NORMAL = Gaussian(np.array([0.0, 0.5]))
FIVE = Gaussian(np.array([0.5, 0.0, 0.0, 0.0, 0.0]))


def _family(policy: Callable[[int], Policy], arms: int, c: float, *exponents: int) -> Problems:
    """The hard family at T = 2^e."""
    return games(*(Game(policy(2**e), hard_instance(arms, 2**e, c), 2**e) for e in exponents))


def _fixed(policy: Callable[[int], Policy], env: Bernoulli, *exponents: int) -> Problems:
    return games(*(Game(policy(2**e), env, 2**e) for e in exponents))


def _tuned(arms: int) -> Callable[[int], ExploreThenCommit]:
    return lambda t: ExploreThenCommit(int(np.ceil((t / arms) ** (2 / 3) * np.log(t) ** (1 / 3))))


def _instead(name: str, policy: Policy) -> Saboteur:
    return Saboteur(name, {"policy": policy})


def _gap_stays(game: Game) -> Game:
    means = np.where(np.arange(game.env.arms) == game.env.best, 0.75, 0.5)
    return replace(game, env=Bernoulli(means))


def _plays(policy: Policy) -> Callable[[Game], Game]:
    return lambda game: replace(game, policy=policy)


def _bound(
    claim: Claim,
    instance: str,
    game: Game,
    values: Callable[[Game], dict[str, Any]],
    replicates: tuple[int, int],
    *saboteurs: Saboteur,
    parts: Sequence[int] = (4, 1),
) -> Experiment:
    return Experiment(
        claim,
        instance,
        games(game),
        partial(mean_regret, claim=claim, replicates=replicates, values=values, parts=parts),
        saboteurs,
        backends=BACKENDS,
        protocol=PROTOCOL,
    )


NO_LOG = _instead("radius without the logarithm", Forgetful())
PESSIMIST = _instead("sign of the radius wrong", Pessimist())
FLIPPED = Saboteur("losses read as rewards", {"flipped": True})

EXPERIMENTS = (
    _bound(theory.ucb1_bound, "K = 2, gap .5", Game(UCB1(), PAIR, 2**12), _sums, (1024, 4096), NO_LOG, PESSIMIST),
    _bound(theory.ucb1_bound, "instance B", Game(UCB1(), instance_b(), 2**15), _sums, (256, 1024), NO_LOG, FLIPPED),
    _bound(theory.ucb1_bound, "instance A", Game(UCB1(), instance_a(), 2**17), _sums, (128, 512), NO_LOG, FLIPPED),
    _bound(
        theory.confidence_ucb_bound,
        "five Gaussian arms, gap .5",
        Game(ConfidenceUCB(), FIVE, 2**13),
        _sums,
        (256, 2048),
        NO_LOG,
        PESSIMIST,
    ),
    _bound(
        theory.confidence_ucb_worst_case,
        "five Gaussian arms, gap .5",
        Game(ConfidenceUCB(), FIVE, 2**15),
        _gaps,
        (256, 1024),
        NO_LOG,
    ),
    *(
        _bound(
            claim,
            "K = 2, gap .96",
            Game(policy, Bernoulli(np.array([0.02, 0.98])), 2**16),
            values,
            (256, 1024),
            FLIPPED,
            _instead("the learning rate of Exp3 forgotten: uniform", Uniform()),
            parts=(1,),
        )
        for claim, policy, values in (
            (theory.moss_bound, MOSS(), _arms),
            (theory.moss_subgaussian_bound, MOSS("subgaussian"), _gaps),
        )
    ),
    *(
        _bound(
            theory.etc_gaussian,
            f"N(0, 1) and N(.5, 1), m = {pulls}, T = 200",
            Game(ExploreThenCommit(pulls), NORMAL, 200),
            _etc,
            (90_000, 400_000),
            *saboteurs,
            parts=(1,),
        )
        for pulls, saboteurs in (
            (2, (_instead("one pull less", ExploreThenCommit(1)),)),
            (32, (_instead("one pull for every two", ExploreThenCommit(16)),)),
        )
    ),
    _bound(
        theory.etc_bound,
        "N(0, 1) and N(.5, 1), T = 1000",
        Game(ExploreThenCommit(theory.etc_optimal_pulls(0.5, 1000)), NORMAL, 1000),
        _gap,
        (4096, 32768),
        _instead("m = 8", ExploreThenCommit(8)),
        _instead("m twice as large", ExploreThenCommit(2 * theory.etc_optimal_pulls(0.5, 1000))),
        parts=(1,),
    ),
    Experiment(
        theory.etc_rate,
        "K = 2, gap .5",
        _fixed(_tuned(2), PAIR, *range(10, 16)),
        partial(_growth, replicates=(200, 1000)),
        (
            Saboteur("m = 50 whatever the horizon", {"change": _plays(ExploreThenCommit(50))}),
            Saboteur(
                "tuned for sqrt(T)",
                {"change": lambda g: replace(g, policy=ExploreThenCommit(int(np.sqrt(g.horizon))))},
            ),
        ),
        backends=BACKENDS,
    ),
    _bound(
        theory.epsilon_greedy_lower,
        "K = 2, gap .2",
        Game(EpsilonGreedy(0.1), CLOSE, 2**12),
        _exploring,
        (4096, 32768),
        _instead("half the exploration", EpsilonGreedy(0.05)),
        _instead("epsilon falls like 1/t", DecayingEpsilonGreedy(1.0, 0.5)),
        parts=(1,),
    ),
    Experiment(
        theory.epsilon_greedy_linear,
        "K = 2, gap .5",
        _fixed(lambda t: EpsilonGreedy(0.2), PAIR, *range(10, 16)),
        partial(_growth, replicates=(200, 1000)),
        (
            Saboteur("epsilon falls like 1/t", {"change": _plays(DecayingEpsilonGreedy(6.0, 0.5))}),
            Saboteur(
                "epsilon falls with the horizon",
                {"change": lambda g: replace(g, policy=EpsilonGreedy(g.horizon ** (-1 / 3)))},
            ),
        ),
        backends=BACKENDS,
    ),
    Experiment(
        theory.ucb1_rate,
        "K = 4, c = 2.8",
        _family(lambda t: UCB1(), 4, 2.8, *range(7, 13)),
        partial(_growth, replicates=(400, 1600), together=6),
        (
            Saboteur("a gap that does not shrink", {"change": _gap_stays}),
            Saboteur("radius without the logarithm", {"change": _plays(Forgetful())}),
        ),
        backends=BACKENDS,
    ),
    Experiment(
        theory.moss_rate,
        "K = 4, c = 2.8",
        _family(lambda t: MOSS(), 4, 2.8, *range(7, 13)),
        partial(_growth, replicates=(500, 2000), together=24),
        (
            Saboteur("a gap that does not shrink", {"change": _gap_stays}),
            Saboteur("the radius of UCB1", {"change": _plays(UCB1())}),
        ),
        backends=BACKENDS,
    ),
    Experiment(
        theory.minimax_lower,
        "K = 4, c = 1",
        games(
            *(
                Game(policy, hard_instance(4, 2**14, 1.0), 2**14, {"policy": name})
                for name, policy in (
                    ("UCB1", UCB1()),
                    ("MOSS", MOSS()),
                    ("KL-UCB", KLUCB()),
                    ("Thompson", ThompsonBeta()),
                )
            )
        ),
        partial(_over_places, replicates=(256, 2048)),
        (Saboteur("gap K/T for sqrt(K/T)", {"gap": lambda g: g.env.arms / g.horizon}),),
        backends=BACKENDS,
    ),
    Experiment(
        theory.thompson_lai_robbins,
        "means .5, .1",
        games(Game(ThompsonBeta(), FAR, 2**13)),
        partial(_log_slope, replicates=(1500, 10_000)),
        (_instead("UCB1, whose constant is larger", UCB1()), _instead("no exploration", UCB1(0.0))),
        backends=BACKENDS,
    ),
    Experiment(
        theory.kl_ucb_lai_robbins,
        "means .5, .1",
        games(Game(KLUCB(), FAR, 2**13)),
        partial(_log_slope, replicates=(2500, 10_000)),
        (_instead("UCB1, whose constant is larger", UCB1()),),
        backends=BACKENDS,
    ),
    *(
        Experiment(
            claim,
            "K = 10, gap .1",
            games(Game(policy, Bernoulli(np.array([0.5] + [0.4] * 9)), 500_000, {"K": 10})),
            partial(_best_arm, replicates=(200, 2000)),
            saboteurs,
            backends=("sims",),
        )
        for claim, policy, saboteurs in (
            (
                theory.elimination_best_arm,
                SuccessiveElimination(0.1),
                (_instead("a third of the radius", SuccessiveElimination(0.1, scale=0.33)),),
            ),
            (theory.lucb_best_arm, LUCB(0.1), (_instead("a sixth of the radius", Hasty(0.1)),)),
        )
    ),
)
