"""Contextual bandits: the inequalities of one round, oracles, rates, what fails where, with saboteurs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np

from lemmata.problems.bandits.contextual import (
    Contextual,
    InverseGap,
    LinearOracle,
    NeuralOracle,
    TabularOracle,
    contextual_hard,
    inverse_gap,
    linear_contexts,
    ring_contexts,
    squarecb_gamma,
)
from lemmata.theory import bandits as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]


@dataclass(frozen=True, eq=False)
class Trial:
    """A policy on a contextual bandit over a horizon."""

    policy: InverseGap
    env: Contextual
    horizon: int


def _library(setup: Setup) -> Any:
    return import_module(f"lemmata.{setup.backend}.bandits.contextual")


def _play(setup: Setup, trial: Trial, replicates: int, **given: Any) -> Any:
    return _library(setup).simulate_contextual(
        trial.policy, trial.env, trial.horizon, replicates, **{"checkpoints": [trial.horizon], **given}, seed=setup.seed
    )


# ------------------------------------------------------------------------------------ one round's inequality


def _predictions(setup: Setup, *, least: float = 1.0) -> list[tuple[np.ndarray, float]]:
    """(predictions float64[K], gamma): of one size and of several; gamma from `least` K to 1e5 K."""
    rng = np.random.default_rng(setup.seed)
    made = []
    for _ in range(setup.size(200, 2000)):
        arms = int(rng.integers(2, 12))
        y = 10 ** rng.uniform(-rng.uniform(0, 5), 0, arms)
        made.append((y, arms * least * 10 ** rng.uniform(0, 5)))
    return made


def _far_apart(setup: Setup) -> list[tuple[np.ndarray, float]]:
    return [(np.array([0.0] + [1.0] * (arms - 1)), 1e6) for arms in (2, 3, 10)]


def _normalised(y: np.ndarray, gamma: float) -> np.ndarray:
    """All actions weighed alike, then divided by the sum: the best one is not given what is left."""
    w = 1 / (y.size + gamma * (y - y.min()))
    return w / w.sum()


def _step(
    instances: Sequence[tuple[np.ndarray, float]],
    setup: Setup,
    *,
    weigh: Callable[[np.ndarray, float], np.ndarray] = inverse_gap,
    quarter: float = 0.25,
) -> Measurement:
    """Supremum over f, by Newton's step in each coordinate, against the bound; `weigh`, `quarter`: to be sabotaged."""
    measured, bound, at = [], [], []
    for y, gamma in instances:
        p = np.maximum(weigh(y, gamma), 1e-300)
        # sum_a p_a (f_a - f_i) - quarter gamma sum_a p_a (y_a - f_a)^2: its gradient at y, and its curvature
        slope = p - np.eye(y.size)
        f = y + slope / (2 * quarter * gamma * p)
        value = f @ p - np.diag(f) - quarter * gamma * (y - f) ** 2 @ p
        measured.append(value.max())
        bound.append(theory.igw_step(arms=y.size, gamma=gamma))
        at.append(y.size)
    return Measurement(measured, np.array(bound), {"K": at})


def _fast_games(setup: Setup, *, least: float = 2.0) -> list[Any]:
    made = []
    for y, gamma in _predictions(setup, least=least):
        one = Contextual(np.zeros((1, y.size, 1)), y[None])
        made.append(Trial(InverseGap(gamma, "fast"), one, 1))
    return made


def _fast_step(instances: Sequence[Trial], setup: Setup, *, triangle: float = 1.0, rule: Any = "fast") -> Measurement:
    """Both sides at the f that is worst for the claim, on a grid; `triangle` and `rule` are there to be sabotaged."""
    grid = np.concatenate([[0.0], np.geomspace(1e-6, 1.0, 1000)])[:, None]
    measured, bound = [], []
    for trial in instances:
        y, gamma = trial.env.means[0], trial.policy.gamma
        p, arms = inverse_gap(y, gamma, rule), y.size
        distance = (grid - y) ** 2 / (grid + y)
        each = (1 - 2 * arms / gamma) * p * grid - triangle * gamma * p * distance  # [grid, action]
        most = grid[each.argmax(axis=0), 0]
        own = grid[(each - grid).argmax(axis=0), 0]
        margins, sides = [], []
        for i in range(arms):
            f = most.copy()
            f[i] = own[i]
            played, error = p @ f, p @ ((f - y) ** 2 / (f + y))
            left = played - f[i]
            right = theory.fastcb_step(arms=arms, gamma=gamma, played=played, triangle=triangle * error)
            margins.append(left - right)
            sides.append((left, float(right)))
        worst = sides[int(np.argmax(margins))]
        measured.append(worst[0])
        bound.append(worst[1])
    return Measurement(measured, bound)


# ---------------------------------------------------------------------------------------------- oracles


def _features(setup: Setup) -> list[Trial]:
    """Linear contexts, and features of many lengths; whatever the policy plays is a sequence."""
    rng = np.random.default_rng(setup.seed)
    envs = [linear_contexts(30, 3, d, seed=setup.seed) for d in (1, 2, 5)]
    for d in (1, 3):
        x = rng.standard_normal((60, 2, d)) * 10 ** rng.uniform(-2, 2, (60, 1, 1))
        envs.append(Contextual(x, rng.integers(0, 2, (60, 2)).astype(float)))
    return [Trial(InverseGap(20.0, oracle=LinearOracle(0.5)), env, 300) for env in envs]


def _doubling(setup: Setup) -> list[Trial]:
    x = np.sqrt(2.0) ** np.arange(60)
    env = Contextual(x[:, None, None], np.arange(60.0)[:, None] % 2, turn=True)
    return [Trial(InverseGap(1.0), env, 60)]


def _overspent(
    instances: Sequence[Trial], setup: Setup, *, beforehand: bool = True, factor: float = 1.0
) -> Measurement:
    """Square loss over that of the best theta, against ln det / 4, at the end of each run.

    `beforehand` (x itself counted) and `factor` of the bound are there to be sabotaged.
    """
    measured, bound = [], []
    for trial in instances:
        assert isinstance(trial.policy.oracle, LinearOracle)
        run, ridge = _play(setup, trial, setup.size(4, 32), path=True), trial.policy.oracle.ridge
        for m, a, loss, prediction in zip(
            *(run[name].values for name in ("context", "arm", "loss", "prediction")), strict=True
        ):
            x, y = trial.env.features[m, a], loss - 0.5
            gram = ridge * np.eye(x.shape[1]) + np.cumsum(x[:, :, None] * x[:, None, :], axis=0)
            if not beforehand:
                before = np.concatenate([ridge * np.eye(x.shape[1])[None], gram[:-1]])
                moment = np.cumsum(x * y[:, None], axis=0) - x * y[:, None]
                prediction = 0.5 + np.sum(x * np.linalg.solve(before, moment[..., None])[..., 0], axis=1)
            theta = np.linalg.solve(gram[-1], x.T @ y)
            best = ridge * theta @ theta + np.sum((x @ theta - y) ** 2)
            measured.append(np.sum((prediction - loss) ** 2) - best)
            log_det = np.linalg.slogdet(gram[-1])[1] - x.shape[1] * np.log(ridge)
            bound.append(factor * theory.vaw_regret(log_det=log_det))
    # sums of 300 squares below 1, of 60 for the doubling lengths
    return Measurement(measured, np.array(bound), noise=1e-9)


def _sequences(setup: Setup) -> list[int]:
    return [1, 2, 3, 10, 100, setup.size(1000, 10000)]


def _code(instances: Sequence[int], setup: Setup, *, weight: float = 1.0) -> Measurement:
    """Most that (losses + w/2)/(n + w) spends over the best constant, over all numbers of ones; w is sabotaged."""
    from scipy.special import gammaln, xlogy

    measured = []
    for n in instances:
        ones = np.arange(n + 1.0)
        half = weight / 2

        def rising(count: np.ndarray, start: float) -> np.ndarray:  # start (start + 1) ... , count of them
            return gammaln(start + count) - gammaln(start)

        spent = rising(np.array(float(n)), weight) - rising(ones, half) - rising(n - ones, half)
        best = -xlogy(ones, ones / n) - xlogy(n - ones, 1 - ones / n)
        measured.append(float(np.max(spent - best)))
    bound = theory.krichevsky_regret(rounds=np.array(instances, float))
    return Measurement(measured, bound, {"n": list(instances)})


# ------------------------------------------------------------------------------------------------ regret


def _squares(env: Contextual, horizon: int) -> float:
    """The oracle's bound on E sum (y_hat - mean)^2, ridge 1."""
    d = env.features.shape[2]
    x = env.features.reshape(-1, d)
    theta = np.linalg.lstsq(x, env.means.ravel() - 0.5, rcond=None)[0]
    return float(theta @ theta + d / 4 * np.log1p(horizon * (x**2).sum(axis=1).max() / d))


def _squarecb(env: Contextual, horizon: int) -> Trial:
    return Trial(InverseGap(squarecb_gamma(env.arms, horizon, _squares(env, horizon))), env, horizon)


def _linear_trials(setup: Setup) -> list[Trial]:
    shapes = ((20, 3, 2), (50, 5, 4))
    envs = [linear_contexts(*shape, seed=setup.seed + i) for i, shape in enumerate(shapes)]
    return [_squarecb(env, 2**8) for env in (*envs, contextual_hard(3, 3, 0.4, seed=setup.seed))]


def _regret(instances: Sequence[Trial], setup: Setup, *, factor: float = 1.0, flipped: bool = False) -> Measurement:
    """R_T of SquareCB; `factor` of gamma and `flipped` (losses taken for rewards) are there to be sabotaged."""
    columns, bounds, top = [], [], 0.0
    for trial in instances:
        env, policy = trial.env, replace(trial.policy, gamma=factor * trial.policy.gamma)
        seen = replace(env, means=1 - env.means) if flipped else env
        run = _play(setup, Trial(policy, seen, trial.horizon), setup.size(256, 1000), path=flipped)
        columns.append(
            env.gaps[run["context"].values, run["arm"].values].sum(axis=1) if flipped else run["regret"].values[:, 0]
        )
        bounds.append(
            theory.squarecb_regret(arms=env.arms, horizon=trial.horizon, squares=_squares(env, trial.horizon))
        )
        top = max(top, float(env.gaps.max()) * trial.horizon)
    at = {"d": [trial.env.features.shape[2] for trial in instances]}
    return Measurement(np.stack(columns, axis=1), np.array(bounds), at, support=(0.0, top))


def _growing(setup: Setup) -> list[Trial]:
    env = contextual_hard(2, 3, 0.4, seed=setup.seed)
    return [_squarecb(env, 2**e) for e in range(9, 15)]


def _growth(
    instances: Sequence[Trial],
    setup: Setup,
    *,
    a_round: bool = False,
    change: Callable[..., InverseGap] | None = None,
) -> Measurement:
    """R_T, or R_T / T, against T, each horizon played for itself; `change` of the policy is there to be sabotaged."""
    curves = []
    for trial in instances:
        policy = change(trial.policy, instances) if change else trial.policy
        run = _play(setup, Trial(policy, trial.env, trial.horizon), setup.size(200, 1000))
        curves.append(run["regret"].values[:, 0] / (trial.horizon if a_round else 1))
    return Measurement(np.stack(curves, axis=1), x=[trial.horizon for trial in instances])


def _greedy(policy: InverseGap, trials: Sequence[Trial]) -> InverseGap:
    return replace(policy, gamma=np.inf)


def _fixed(policy: InverseGap, trials: Sequence[Trial]) -> InverseGap:
    return replace(policy, gamma=trials[0].policy.gamma)


def _as_squarecb(policy: InverseGap, trials: Sequence[Trial]) -> InverseGap:
    """The other rule, with its own gamma for the horizon that this gamma belongs to."""
    (trial,) = [trial for trial in trials if trial.policy is policy]
    cells = trial.env.contexts * trial.env.arms
    return replace(policy, rule="square", gamma=squarecb_gamma(trial.env.arms, trial.horizon, cells))


HARD = {"contexts": 4, "arms": 4, "horizon": 2**11, "c": 0.375}


def _hard_gap() -> float:
    return HARD["c"] * float(np.sqrt(HARD["contexts"] * HARD["arms"] / HARD["horizon"]))


def _hidden(setup: Setup, *, shrink: float = 1.0) -> list[Trial]:
    """SquareCB, then FastCB, on as many draws of the good actions."""
    made = []
    for rule, seed in product(("square", "fast"), range(setup.size(96, 512))):
        env = contextual_hard(4, 4, _hard_gap() / shrink, seed=10_000 * setup.seed + seed)
        policy = _squarecb(env, 2**11).policy if rule == "square" else InverseGap(64.0, "fast", TabularOracle())
        made.append(Trial(policy, env, 2**11))
    return made


def _over_draws(instances: Sequence[Trial], setup: Setup) -> Measurement:
    """R_T averaged over the good actions."""
    play, columns = _library(setup).simulate_contextual, {"square": [], "fast": []}  # type: ignore[var-annotated]
    for i, trial in enumerate(instances):
        run = play(
            trial.policy, trial.env, trial.horizon, 1, checkpoints=[trial.horizon], first_replicate=i, seed=setup.seed
        )
        columns[trial.policy.rule].append(float(run["regret"][0, 0]))
    rounds = HARD["horizon"] / HARD["contexts"]
    bound = theory.contextual_lower(arms=HARD["arms"], contexts=HARD["contexts"], rounds=rounds, gap=_hard_gap())
    return Measurement(
        np.array(list(columns.values())).T,
        np.full(2, bound),
        {"rule": list(columns)},
        support=(0.0, _hard_gap() * HARD["horizon"]),
    )


def _code_regret(trial: Trial) -> float:
    return trial.env.means.size * (np.log(trial.horizon) / 2 + np.log(2))


def _small_losses(setup: Setup, *, gamma: float | None = None) -> list[Trial]:
    """Best actions that cost nothing, or little; gamma as in the statement's best."""
    made = []
    for least in (0.0, 0.05):
        env = contextual_hard(3, 3, 0.5, seed=setup.seed)
        env = replace(env, means=np.where(env.gaps == 0, least, 0.5))
        trial = Trial(InverseGap(12.0, "fast", TabularOracle()), env, 2**13)
        best = max(12.0, float(np.sqrt(env.arms * least * trial.horizon / _code_regret(trial))))
        made.append(replace(trial, policy=replace(trial.policy, gamma=best if gamma is None else gamma)))
    return made


def _first_order(instances: Sequence[Trial], setup: Setup, *, flipped: bool = False) -> Measurement:
    """R_T of FastCB; `flipped` (losses taken for rewards) is there to be sabotaged."""
    columns, bounds = [], []
    for trial in instances:
        env, gamma = trial.env, trial.policy.gamma
        seen = replace(env, means=1 - env.means) if flipped else env
        run = _play(setup, Trial(trial.policy, seen, trial.horizon), setup.size(128, 500), path=flipped)
        columns.append(
            env.gaps[run["context"].values, run["arm"].values].sum(axis=1) if flipped else run["regret"].values[:, 0]
        )
        least = float(env.means.min(axis=1).mean() * trial.horizon)
        bounds.append(theory.fastcb_regret(arms=env.arms, gamma=gamma, least=least, log_regret=_code_regret(trial)))
    at = {"L*": [float(trial.env.means.min()) for trial in instances]}
    return Measurement(np.stack(columns, axis=1), np.array(bounds), at, support=(0.0, 0.5 * instances[0].horizon))


def _free(setup: Setup) -> list[Trial]:
    env = contextual_hard(3, 3, 0.5, seed=setup.seed)
    return [Trial(InverseGap(12.0, "fast", TabularOracle()), env, 2**e) for e in range(8, 14)]


# ------------------------------------------------------------------------------------- batches, networks


def _batches(setup: Setup, *, keep: Any = "last") -> list[Trial]:
    """Two actions, 40 generations of 200 rounds; an action without logs is believed to cost nothing."""
    means = np.array([[0.3, 0.6], [0.6, 0.3], [0.4, 0.5], [0.7, 0.4]])
    env = Contextual(np.zeros((4, 2, 1)), means)
    policy = InverseGap(np.inf, oracle=TabularOracle(0.0, 1.0), generation=200, keep=keep)
    return [Trial(policy, env, 8000)]


def _flips(instances: Sequence[Trial], setup: Setup, *, gamma: float = np.inf) -> Measurement:
    """Regret of every second generation over that of the uniform policy; the control has inverse-gap weights.

    `gamma` of the policy that is said to fail is there to be sabotaged.
    """
    (trial,) = instances
    length = trial.policy.generation
    ends = np.arange(length, trial.horizon + 1, length)
    shares = []
    for value in (gamma, 20.0):
        own = replace(trial, policy=replace(trial.policy, gamma=value))
        total = _play(setup, own, setup.size(32, 200), checkpoints=ends)["regret"].values.mean(axis=0)
        each = np.diff(total)[4:] / (length * trial.env.gaps.mean())
        shares.append(max(each[::2].mean(), each[1::2].mean()))
    return Measurement([shares[0]], theory.batch_oscillation(), control=[shares[1]])


def _signs(setup: Setup) -> list[tuple[int, int]]:
    """(width, dim) of networks with few enough parameters that all signs are tried."""
    return [(2, 2), (2, 5), (4, 2)]


def _all_signs(
    instances: Sequence[tuple[int, int]], setup: Setup, *, power: float = 0.25, half: bool = False
) -> Measurement:
    """Mean over all signs; `power` of the width and `half` of the signs are there to be sabotaged."""
    from lemmata.kernels.bandits.contextual import perturbed_outputs

    rng = np.random.default_rng(setup.seed)
    measured, claimed, at = [], [], []
    for width, dim in instances:
        parameters = width * (dim + 1)
        signs = 1.0 - 2 * ((np.arange(2**parameters)[:, None] >> np.arange(parameters)) & 1)
        signs = signs[: len(signs) // 2] if half else signs
        oracle = NeuralOracle(width, perturbation=0.7, members=len(signs))
        start, moved = rng.standard_normal((2, parameters))
        x, loss = rng.standard_normal(dim), 1.0
        plain, outputs = perturbed_outputs(oracle, start, moved, signs, x, device=setup.device)
        measured.append(np.mean((loss - 0.5 - outputs) ** 2))
        ridge = oracle.perturbation**2 * width ** (-2 * power) * np.sum((moved - start) ** 2)
        claimed.append(theory.neural_perturbation(plain=(loss - 0.5 - plain) ** 2, ridge=ridge))
        at.append(width)
    return Measurement(measured, np.array(claimed), {"m": at})


def _ring(setup: Setup) -> list[Trial]:
    return [Trial(InverseGap(60.0), ring_contexts(16, 4), setup.size(600, 4000))]


def _misfit(instances: Sequence[Trial], setup: Setup, *, network: bool = False) -> Measurement:
    """Regret over that of the uniform policy, in the last half; `network` for the linear oracle is a sabotage."""
    (trial,) = instances
    neural = replace(trial.policy, oracle=NeuralOracle(64, rate=0.3))
    shares = []
    for policy in (neural if network else trial.policy, neural):
        run = _play(
            setup, replace(trial, policy=policy), setup.size(8, 64), checkpoints=[trial.horizon // 2, trial.horizon]
        )
        late = np.diff(run["regret"].values, axis=1).mean()
        shares.append(late / (trial.horizon / 2 * trial.env.gaps.mean()))
    return Measurement([shares[0]], theory.contextual_misfit(), control=[shares[1]])


SIMS: Any = ("sims",)
SUMMED = Saboteur("weights divided by their sum", {"weigh": _normalised})
GREEDY, FIXED = Saboteur("greedy", {"change": _greedy}), Saboteur("gamma of the shortest game", {"change": _fixed})
FLIPPED = Saboteur("losses taken for rewards", {"flipped": True})

EXPERIMENTS = (
    Experiment(
        theory.igw_step,
        "random predictions",
        _predictions,
        _step,
        (SUMMED, Saboteur("an eighth for a quarter", {"quarter": 0.125})),
        backends=SIMS,
    ),
    Experiment(
        theory.igw_step,
        "one action ahead of the others",
        _far_apart,
        _step,
        (SUMMED, Saboteur("a fifth for a quarter", {"quarter": 0.2})),
        backends=SIMS,
    ),
    Experiment(
        theory.fastcb_step,
        "random predictions",
        _fast_games,
        _fast_step,
        (
            Saboteur("half the triangular error", {"triangle": 0.5}),
            Saboteur("the weights of SquareCB", {"rule": "square"}),
        ),
        backends=SIMS,
    ),
    Experiment(
        theory.vaw_regret,
        "random sequences",
        _features,
        _overspent,
        (Saboteur("an eighth of ln det", {"factor": 0.5}),),
        backends=SIMS,
    ),
    Experiment(
        theory.vaw_regret,
        "doubling lengths",
        _doubling,
        _overspent,
        (Saboteur("x not counted beforehand", {"beforehand": False}),),
        backends=SIMS,
    ),
    Experiment(
        theory.krichevsky_regret,
        "all sequences",
        _sequences,
        _code,
        (Saboteur("Laplace's estimator", {"weight": 2.0}), Saboteur("half the weight", {"weight": 0.5})),
        backends=SIMS,
    ),
    Experiment(
        theory.squarecb_regret,
        "linear contexts and one-hot ones",
        _linear_trials,
        _regret,
        (FLIPPED, Saboteur("a hundredth of gamma", {"factor": 0.01})),
        backends=SIMS,
    ),
    Experiment(
        theory.squarecb_rate,
        "two contexts, three actions, gap .4",
        _growing,
        _growth,
        (GREEDY, FIXED),
        backends=SIMS,
    ),
    Experiment(
        theory.contextual_lower,
        "four contexts of four actions",
        _hidden,
        _over_draws,
        (Saboteur("a gap four times smaller", problems=partial(_hidden, shrink=4.0)),),
        backends=SIMS,
    ),
    Experiment(
        theory.fastcb_regret,
        "best losses 0 and .05",
        _small_losses,
        _first_order,
        (FLIPPED,),
        backends=SIMS,
    ),
    Experiment(
        theory.fastcb_rate,
        "best losses 0",
        _free,
        partial(_growth, a_round=True),
        (Saboteur("SquareCB in its place", {"change": _as_squarecb}),),
        backends=SIMS,
    ),
    Experiment(
        theory.batch_oscillation,
        "two actions, fitted to the last generation",
        _batches,
        _flips,
        (
            Saboteur("inverse-gap weights in its place", {"gamma": 20.0}),
            Saboteur("fitted to all generations", problems=partial(_batches, keep="all")),
        ),
        backends=SIMS,
    ),
    Experiment(
        theory.neural_perturbation,
        "small networks, all signs",
        _signs,
        _all_signs,
        (Saboteur("m^{-1/2} for m^{-1/4}", {"power": 0.5}), Saboteur("half of the signs", {"half": True})),
        backends=("kernels",),
    ),
    Experiment(
        theory.contextual_misfit,
        "four actions on a circle",
        _ring,
        _misfit,
        (Saboteur("a network in its place", {"network": True}),),
        backends=("kernels",),
    ),
)
