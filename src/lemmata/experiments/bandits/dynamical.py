"""Linear bandits with a memory: the regret's identity, DynLin-UCB, policies that know no state, with saboteurs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from lemmata.experiments.bandits.shared import library
from lemmata.problems.bandits import (
    OFUL,
    UCB1,
    DynamicalLinear,
    DynLinUCB,
    Exp3,
    Game,
    Policy,
    budget_system,
    delayed_reward,
    sign_system,
)
from lemmata.theory import bandits as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

DELTA = 0.05


def _random(seed: int, *, sigma: float = 0.05) -> DynamicalLinear:
    """n = 3, d = 2, five actions; A is no normal matrix, its spectral radius .3 to .95."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((3, 3)) + np.triu(rng.standard_normal((3, 3)), 1)
    A *= rng.uniform(0.3, 0.95) / np.abs(np.linalg.eigvals(A)).max()
    B, omega, theta = rng.standard_normal((3, 2)), rng.standard_normal(3), rng.standard_normal(2)
    return DynamicalLinear(A, B, omega, theta, rng.standard_normal((5, 2)), sigma, sigma)


def _silent(env: DynamicalLinear) -> DynamicalLinear:
    return replace(env, sigma=0.0, state_sigma=0.0)


def _regret(setup: Setup, policy: Policy, env: DynamicalLinear, horizon: int, replicates: int = 1) -> np.ndarray:
    play = library(setup).simulate_dynamical
    return play(policy, env, horizon, replicates, checkpoints=[horizon], seed=setup.seed)["regret"].values[:, 0]


# ---------------------------------------------------------------------------------------- the identity


def _systems(setup: Setup) -> list[Game]:
    made = []
    for i in range(setup.size(8, 64)):
        env = _random(1000 * setup.seed + i)
        rules = (DynLinUCB.of(env), OFUL(env.actions), UCB1())
        made += [Game(policy, env, 200 + i, {"system": i, "policy": type(policy).__name__}) for policy in rules]
    return made


def _paid(
    instances: Sequence[Game], setup: Setup, *, late: int = 0, settled: bool = True, immediate: bool = False
) -> Measurement:
    """The simulator's regret, and what actions and last state say; the keywords are there to be sabotaged.

    `late` leaves out the last actions of x_{T+1}, `settled` its debt, `immediate` puts theta for h.
    """
    measured, claimed, scale = [], [], []
    for game in instances:
        env = game.env
        assert isinstance(env, DynamicalLinear)
        run = library(setup).simulate_dynamical(
            game.policy, env, game.horizon, 1, checkpoints=[game.horizon], path=True, seed=setup.seed
        )
        u = env.actions[run["arm_of"].values[0]]
        worth = env.actions @ env.theta if immediate else env.means
        static = game.horizon * worth.max() - u.sum(axis=0) @ (env.theta if immediate else env.markov)
        resolvent = np.linalg.solve(np.eye(len(env.A)) - env.A.T, env.omega)
        state = np.zeros(len(env.A))
        for step in u[: game.horizon - late]:
            state = env.A @ state + env.B @ step
        measured.append(float(run["regret"][0, 0]))
        claimed.append(theory.dynamical_regret(static=static, owed=resolvent @ state * settled))
        scale.append(game.horizon * np.abs(env.means).max())
    at = {name: [game.at[name] for game in instances] for name in ("system", "policy")}
    return Measurement(measured, np.array(claimed), at, scale=scale)


# -------------------------------------------------------------------------------------- bias of an epoch


def _pushed(setup: Setup) -> list[Game]:
    """A scalar state, pushed up by one action and down by the other, in turn: the radius hides every difference."""
    games = []
    for rho in (0.3, 0.5, 0.8):
        env = DynamicalLinear(np.array([[rho]]), np.array([[1.0, -1.0]]), np.ones(1), np.zeros(2), np.eye(2), 0.0, 0.0)
        policy = replace(DynLinUCB.of(env), sigma=1e3, state_norm=np.sqrt(2) / (1 - rho))
        games.append(Game(policy, env, 3000, {"rho": rho}))
    return games


def _wandering(setup: Setup) -> list[Game]:
    games = []
    for i in range(setup.size(6, 48)):
        env = _silent(_random(1000 * setup.seed + i))
        games.append(Game(DynLinUCB.of(env, state_norm=1e3, sigma=1.0), env, 3000, {"rho": env.spectral_radius}))
    return games


def _unsettled(
    instances: Sequence[Game], setup: Setup, *, extra: int = 0, reach: float = 1.0, phi: bool = True
) -> Measurement:
    """Bias of the last reward of each epoch; hold counted `extra` too long, X times `reach`, Phi = 1 are saboteurs."""
    measured, bound, at = [], [], []
    for game in instances:
        env, policy = game.env, game.policy
        assert isinstance(env, DynamicalLinear)
        assert isinstance(policy, DynLinUCB)
        run = library(setup).simulate_dynamical(
            policy, env, game.horizon, 1, checkpoints=[game.horizon], path=True, seed=setup.seed
        )
        hold = policy.radii(game.horizon)[1]
        end = np.cumsum(hold)
        hold, end = hold[end <= game.horizon], end[end <= game.horizon] - 1
        gap = np.abs(run["reward"].values[0, end] - env.means[run["arm_of"].values[0, end]])
        # the largest state that these actions can reach without noise
        driven = policy.transient * policy.input_norm * policy.action_norm / (1 - policy.rho)
        constants = {"omega": policy.omega_norm, "transient": policy.transient if phi else 1.0, "rho": policy.rho}
        norms = {"input": policy.input_norm, "action": policy.action_norm}
        state = reach * min(policy.state_norm, driven)
        measured.append(gap)
        bound.append(theory.dynlin_bias(**constants, **norms, hold=hold - 1 + extra, state=state))
        at.append(np.full(gap.size, game.at["rho"]))
    # J and the rewards are sums of a few products: 1e-13 of the largest
    noise = 1e-13 * max(float(np.abs(game.env.means).max()) + 1 for game in instances)
    return Measurement(np.concatenate(measured), np.concatenate(bound), {"rho": np.concatenate(at)}, noise=noise)


# ------------------------------------------------------------------------------------- confidence sets


def _plain(setup: Setup) -> list[Game]:
    """No memory, one action: noise alone."""
    still = np.zeros((1, 1))
    env = DynamicalLinear(still, still, np.zeros(1), np.array([0.05]), np.ones((1, 1)), 1.0, 0.0)
    return [Game(DynLinUCB.of(env, ridge=0.01, delta=DELTA, bias="derived"), env, 1000)]


def _late(setup: Setup) -> list[Game]:
    env = delayed_reward(0.5)
    return [Game(DynLinUCB.of(env, ridge=16.0, delta=DELTA, bias="derived"), env, 6000)]


def _covered(
    instances: Sequence[Game],
    setup: Setup,
    *,
    replicates: tuple[int, int],
    noise: float = 1.0,
    settled: bool = False,
    immediate: bool = False,
) -> Measurement:
    """Largest ``||h_hat - h||_V / beta`` over the epochs of each run, recomputed from its actions and rewards.

    `noise` (factor of sigma in beta), `settled` (beta of the noise alone) and `immediate` (theta for h) are there to
    be sabotaged.
    """
    (game,) = instances
    env, policy = game.env, game.policy
    assert isinstance(env, DynamicalLinear)
    assert isinstance(policy, DynLinUCB)
    run = library(setup).simulate_dynamical(
        policy, env, game.horizon, setup.size(*replicates), checkpoints=[game.horizon], path=True, seed=setup.seed
    )
    told = replace(policy, sigma=noise * policy.sigma)
    if settled:
        told = replace(told, theta_norm=0.0, input_norm=0.0, state_norm=0.0)
    beta, hold = told.radii(game.horizon)
    end = np.cumsum(hold)
    whole = end <= game.horizon
    used = end[whole] - 1
    u, y = env.actions[run["arm_of"].values[:, used]], run["reward"].values[:, used]
    ridge = policy.tables(env.arms, game.horizon)[1]
    V = np.cumsum(u[..., :, None] * u[..., None, :], axis=1) + ridge * np.eye(u.shape[2])
    target = env.theta if immediate else env.markov
    error = np.linalg.solve(V, np.cumsum(u * y[..., None], axis=1)[..., None])[..., 0] - target
    distance = np.sqrt(np.einsum("rmi,rmij,rmj->rm", error, V, error))
    # after epoch m the set of epoch m + 1 counts; of the last one there is none
    return Measurement((distance[:, :-1] / beta[whole][1:]).max(axis=1)[:, None], [1.0], {"T": [game.horizon]})


# --------------------------------------------------------------------------------- rates and dichotomies


def _tuned(env: DynamicalLinear, *exponents: int, factor: float = 1.0, sigma: float = 0.01) -> Any:
    """The system without its noise, the policy told of it: noise of deviation 0 is sigma-subgaussian."""
    quiet = _silent(env)
    policy = DynLinUCB.of(quiet, factor * env.spectral_radius, sigma=sigma)
    return lambda setup: [Game(policy, quiet, 2**e) for e in exponents]


def _growth(
    instances: Sequence[Game], setup: Setup, *, change: Callable[[DynLinUCB], Policy] | None = None
) -> Measurement:
    """R_T against T, a deterministic curve; `change` (of the policy) is there to be sabotaged."""
    curve = []
    for game in instances:
        policy, env = game.policy, game.env
        assert isinstance(policy, DynLinUCB)
        assert isinstance(env, DynamicalLinear)
        curve.append(float(_regret(setup, change(policy) if change else policy, env, game.horizon)[0]))
    return Measurement(curve, x=[game.horizon for game in instances])


def _impatient(policy: DynLinUCB) -> Policy:
    return replace(policy, rho=0.0, radius_rho=policy.rho)


def _blind(setup: Setup, late: float = 0.8) -> list[Game]:
    env = delayed_reward(0.8, late=late)
    rules = {"UCB1": UCB1(), "Exp3": Exp3(), "OFUL": OFUL(env.actions, sigma=0.1)}
    return [Game(policy, env, 2**15, {"policy": name}) for name, policy in rules.items()]


def _lost(instances: Sequence[Game], setup: Setup, *, persistent: bool = False) -> Measurement:
    """R_T / T of each policy, and of DynLin-UCB; `persistent` puts the latter for all of them."""
    n = setup.size(8, 128)
    lost, control = [], []
    for game in instances:
        env = game.env
        assert isinstance(env, DynamicalLinear)
        rule = DynLinUCB.of(env)
        control.append(_regret(setup, rule, env, game.horizon, n).max() / game.horizon)
        lost.append(_regret(setup, rule if persistent else game.policy, env, game.horizon, n).min() / game.horizon)
    at = {"policy": [game.at["policy"] for game in instances]}
    return Measurement(lost, theory.dynamical_memoryless(), at, control=control)


def _signs(setup: Setup) -> list[Game]:
    """DynLin-UCB and OFUL on the four systems of two signs."""
    games = []
    for name in ("DynLin-UCB", "OFUL"):
        for signs in product((1.0, -1.0), repeat=2):
            env = sign_system(signs, 0.5, 2**10)
            small = {"sigma": 1.0, "norm": 0.1}
            policy = DynLinUCB.of(env) if name == "DynLin-UCB" else OFUL(env.actions, **small)
            games.append(Game(policy, env, 2**10, {"policy": name, "signs": signs}))
    return games


def _over_signs(instances: Sequence[Game], setup: Setup, *, shrink: float = 1.0) -> Measurement:
    """R_T averaged over the signs; a gap `shrink` times smaller is there to be sabotaged."""
    columns: dict[str, list[np.ndarray]] = {}
    top, n = 0.0, setup.size(128, 1024)
    for game in instances:
        env, policy = game.env, game.policy
        assert isinstance(env, DynamicalLinear)
        env = replace(env, B=env.B / shrink)
        top = max(top, float(env.gaps.max()) * game.horizon)
        columns.setdefault(str(game.at["policy"]), []).append(_regret(setup, policy, env, game.horizon, n))
    first = instances[0]
    values = {"horizon": first.horizon, "dim": 2, "sigma": 1.0, "rho": first.env.spectral_radius}  # type: ignore[attr-defined]
    bound = float(theory.dynamical_lower(**values))
    sample = np.stack([np.mean(runs, axis=0) for runs in columns.values()], axis=1)
    return Measurement(sample, np.full(len(columns), bound), {"policy": list(columns)}, support=(-bound, top + bound))


IMPATIENT = Saboteur("no persistence", {"change": _impatient})
BLIND = Saboteur("OFUL in its place", {"change": lambda policy: OFUL(policy.actions, sigma=policy.sigma)})

EXPERIMENTS = (
    Experiment(
        theory.dynamical_regret,
        "random systems and what three policies do",
        _systems,
        _paid,
        (
            Saboteur("the state of round T for that of T + 1", {"late": 1}),
            Saboteur("the debt of the last state forgotten", {"settled": False}),
            Saboteur("theta for h", {"immediate": True}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.dynlin_bias,
        "a scalar state pushed to and fro",
        _pushed,
        _unsettled,
        (
            Saboteur("one round more than there was", {"extra": 1}),
            Saboteur("as if every epoch began at 0", {"reach": 0.0}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.dynlin_bias,
        "random systems",
        _wandering,
        _unsettled,
        (Saboteur("eight rounds more than there were", {"extra": 8}),),
        backends=("sims",),
    ),
    Experiment(
        theory.dynlin_confidence,
        "one action, no memory",
        _plain,
        partial(_covered, replicates=(800, 8000)),
        (Saboteur("half the noise", {"noise": 0.5}),),
        backends=("sims",),
    ),
    Experiment(
        theory.dynlin_confidence,
        "the better of two actions pays late",
        _late,
        partial(_covered, replicates=(280, 1000)),
        (
            Saboteur("theta for h", {"immediate": True}),
            Saboteur("as if the state had settled", {"settled": True}),
        ),
        backends=("sims",),
    ),
    *(
        Experiment(
            theory.dynlin_rate,
            f"{name}, no noise",
            problems,
            _growth,
            saboteurs,
            backends=("sims",),
        )
        for name, problems, saboteurs in (
            ("the budget system", _tuned(budget_system(), *range(14, 20)), (IMPATIENT, BLIND)),
            ("the budget system, rho twice", _tuned(budget_system(), *range(15, 21), factor=2.0), (IMPATIENT,)),
        )
    ),
    Experiment(
        theory.dynamical_memoryless,
        "the better of two actions pays late, T = 2^15",
        _blind,
        _lost,
        (
            Saboteur("DynLin-UCB in their place", {"persistent": True}),
            Saboteur("an action that pays less than at once", problems=partial(_blind, late=0.4)),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.dynamical_lower,
        "two signs, rho = .5",
        _signs,
        _over_signs,
        (Saboteur("gap 1/(8T) for 1/sqrt(T)", {"shrink": 2**8}),),
        backends=("sims",),
    ),
)
