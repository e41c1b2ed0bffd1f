"""Linear bandits with a memory: two routes to every number, reductions, invariances, bad input."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lemmata import random as reference
from lemmata.claims import Claim
from lemmata.errors import AssumptionError, DomainError, NonFiniteError, ShapeError
from lemmata.problems import bandits as b
from lemmata.sims import bandits as sims
from lemmata.theory import bandits as theory

BUDGET = b.budget_system()


def by_hand(policy, env, horizon, replicate, seed):
    """Algorithm 1 and the system, a round at a time; V is inverted anew in every epoch."""
    beta, hold = policy.radii(horizon)
    V = policy.tables(env.arms, horizon)[1] * np.eye(env.theta.size)
    moment, x, mean = np.zeros(env.theta.size), np.zeros(env.omega.size), np.zeros(env.omega.size)
    arms, rewards, lost = [], [], 0.0
    pairs = (env.omega.size + 1) // 2
    for m, length in enumerate(hold):
        estimate = np.linalg.solve(V, moment)
        width = np.sqrt(np.einsum("kd,kd->k", env.actions, np.linalg.solve(V, env.actions.T).T))
        index = env.actions @ estimate + beta[m] * width
        arm = int(np.argmax(index > index.max() - 1e-12 * (1 + index.max())))  # the lowest of those that tie
        u = env.actions[arm]
        for _ in range(length):
            t = len(arms)
            z = reference.normal(*reference.words(t // 2, b.REWARD, replicate, seed=seed))[t % 2]
            y = env.omega @ x + env.theta @ u + env.sigma * z
            lost += env.means.max() - env.omega @ mean - env.theta @ u
            four = reference.words(t * pairs + np.arange(pairs), b.STATE, replicate, seed=seed)
            noise = np.stack(reference.normal(*four.T), axis=1).ravel()[: x.size]
            x, mean = env.A @ x + env.B @ u + env.state_sigma * noise, env.A @ mean + env.B @ u
            arms.append(arm)
            rewards.append(y)
            if t + 1 == horizon:
                return np.array(arms), np.array(rewards), lost
        V += np.outer(u, u)
        moment += u * y
    raise AssertionError


@pytest.mark.parametrize("bias", ["paper", "derived"])
@pytest.mark.parametrize("env", [BUDGET, b.advertising_system(0.1), b.delayed_reward(0.6)], ids=["six", "ad", "late"])
def test_every_round_is_that_of_the_algorithm(env, bias):
    horizon, seed, replicate = 700, 3, 5
    policy = b.DynLinUCB.of(env, bias=bias)
    run = sims.simulate_dynamical(policy, env, horizon, 1, path=True, first_replicate=replicate, seed=seed)
    arms, rewards, lost = by_hand(policy, env, horizon, replicate, seed)
    np.testing.assert_array_equal(run["arm_of"][0], arms)
    np.testing.assert_allclose(run["reward"][0], rewards, rtol=0, atol=1e-12)  # sums of a few products
    np.testing.assert_allclose(run["regret"][0, -1], lost, rtol=1e-11)  # 700 additions


def test_the_budget_system_is_the_papers():
    np.testing.assert_allclose(BUDGET.markov, [0.5625, 0.5, 1 / 9], rtol=1e-15)
    assert BUDGET.best == 0
    np.testing.assert_array_equal(BUDGET.actions[BUDGET.best], [1, 0.5, 0])
    np.testing.assert_allclose(BUDGET.means.max(), 0.8125, rtol=1e-15)
    np.testing.assert_array_equal(BUDGET.actions[np.argmax(BUDGET.actions @ BUDGET.theta)], [0, 1, 0.5])


def test_regret_and_slopes_on_the_budget_system():
    """Those of an independent run of six replicates at T = 10^6, read on the way; its deviations are beside them."""
    horizons = [10**3, 10**4, 10**5, 10**6]
    run = sims.simulate_dynamical(b.DynLinUCB.of(BUDGET), BUDGET, 10**6, 3, checkpoints=horizons, seed=0)
    mean = run["regret"].values.mean(axis=0)
    theirs, deviation = np.array([128.4, 646.9, 2335.8, 9803.8]), np.array([0.8, 1.1, 4.6, 25.0])
    # four standard errors of the difference of two means
    assert (np.abs(mean - theirs) < 4 * deviation * math.sqrt(1 / 3 + 1 / 6)).all(), mean
    slopes = np.diff(np.log10(mean))
    assert ((slopes > 0.45) & (slopes < 0.72)).all(), slopes


def test_without_persistence_it_costs_more_and_is_erratic():
    horizon = 10**5
    policy = b.DynLinUCB.of(BUDGET)
    hasty = replace(policy, rho=0.0, radius_rho=policy.rho)
    one, other = (
        sims.simulate_dynamical(p, BUDGET, horizon, 6, checkpoints=[horizon], seed=0)["regret"].values
        for p in (policy, hasty)
    )
    assert other.mean() > 2 * one.mean()
    assert other.std() > 5 * one.std()


def test_impulse_response_adds_up_to_h_and_bounds_the_rewards():
    env = b.advertising_system()
    np.testing.assert_allclose(env.impulse(400).sum(axis=0), env.markov, rtol=1e-12)
    low, high = env.range
    assert low <= env.means.min()
    assert env.means.max() <= high
    # with A and B positive the best sequence is the best action of each lag
    np.testing.assert_allclose(BUDGET.range[1], 0.55 + 0.45 / 0.8 + 0.01 * 0.1 / 0.9 + 0.0, rtol=0.02)


def test_transient_growth_of_a_matrix_that_is_not_normal():
    env = replace(BUDGET, A=np.array([[0.5, 4.0, 0], [0, 0.5, 0], [0, 0, 0.1]]))
    powers = [np.linalg.norm(np.linalg.matrix_power(env.A, k), 2) / 0.8**k for k in range(200)]
    np.testing.assert_allclose(env.transient(0.8), max(powers), rtol=1e-12)
    assert BUDGET.transient(0.2) == pytest.approx(1.0, rel=1e-12)
    with pytest.raises(DomainError, match=r"0\.4 is below the spectral radius 0\.5"):
        env.transient(0.4)


# ------------------------------------------------------------------------------------------- reductions


def test_without_memory_it_is_a_linear_bandit():
    features = np.random.default_rng(5).standard_normal((6, 3))
    theta = np.array([0.5, -0.2, 0.1])
    still = b.DynamicalLinear([[0.0]], np.zeros((1, 3)), [0.0], theta, features, 0.3, 0.0)
    for policy in (b.OFUL(features, sigma=0.3), b.ConfidenceUCB(), b.ThompsonGaussian("flat", 0.3)):
        one = sims.simulate_dynamical(policy, still, 400, 5, checkpoints=[50, 400], seed=2)
        other = sims.simulate(
            policy, b.Linear(features, theta, 0.3), 400, 5, checkpoints=[50, 400], samples=True, seed=2
        )
        np.testing.assert_array_equal(one["counts"], other["counts"])
        # gaps added round by round, and counts times gaps
        np.testing.assert_allclose(one["regret"], other["regret"], rtol=0, atol=1e-11)
    assert b.DynLinUCB.of(still).radii(100)[1].tolist() == [1] * 100


@given(st.integers(2, 9), st.integers(1, 4))
@example(10, 3)  # ln(1000) / ln(10) = 2.9999999999999996
def test_holds_at_exact_powers(base, power):
    """floor(ln m / ln base) by whole numbers."""
    m = base**power
    hold = b.hold_lengths(1 / base, 8 * m)
    exact = [max(k for k in range(14) if base**k <= n) for n in range(1, m + 1)]
    assert hold[:m].tolist() == [1 + k for k in exact[: hold.size]]
    assert hold.sum() - hold[-1] < 8 * m <= hold.sum()


def test_batches_and_checkpoints_change_nothing():
    policy = b.DynLinUCB.of(BUDGET)
    whole = sims.simulate_dynamical(policy, BUDGET, 500, 6, checkpoints=[10, 100, 500], seed=4)
    parts = [
        sims.simulate_dynamical(policy, BUDGET, 500, n, checkpoints=[100], first_replicate=f, seed=4)
        for f, n in ((0, 1), (1, 5))
    ]
    np.testing.assert_array_equal(whole["regret"][:, 1], np.concatenate([p["regret"][:, 0] for p in parts]))
    np.testing.assert_array_equal(whole["counts"], np.concatenate([p["counts"] for p in parts]))
    assert (whole["counts"].sum("arm") == 500).all()
    other = sims.simulate_dynamical(b.DynLinUCB.of(BUDGET), BUDGET, 500, 6, checkpoints=[500], seed=5)
    assert (other["regret"][:, 0] != whole["regret"][:, 2]).any()


def test_one_action_costs_only_its_start():
    env = replace(BUDGET, actions=[[1.0, 0.5, 0.0]])
    run = sims.simulate_dynamical(b.UCB1(), env, 300, 3, checkpoints=[300], seed=0)
    # J - y_t = omega^T A^(t-1) (I - A)^-1 B u, summed: omega^T (I - A)^-2 B u
    settle = np.linalg.matrix_power(np.linalg.inv(np.eye(3) - env.A), 2)
    np.testing.assert_allclose(run["regret"], env.omega @ settle @ env.B @ env.actions[0], rtol=1e-12)


def test_scaling_noise_and_rewards_together_scales_the_regret():
    """Rewards, noise, and the policy's constants times 4: the same actions."""
    env = b.advertising_system(0.1)
    big = replace(env, omega=4 * env.omega, theta=4 * env.theta, sigma=0.4)
    policy = b.DynLinUCB.of(env)
    # s^2 holds sigma^2 (1 + Omega^2 ...), which no factor scales: noise in the reward alone, Omega told as before
    louder = replace(policy, theta_norm=4 * policy.theta_norm, omega_norm=4 * policy.omega_norm, sigma=0.0)
    quiet = replace(policy, sigma=0.0)
    one = sims.simulate_dynamical(quiet, env, 300, 2, path=True, seed=1)
    four = sims.simulate_dynamical(louder, big, 300, 2, path=True, seed=1)
    np.testing.assert_array_equal(one["arm_of"], four["arm_of"])
    np.testing.assert_allclose(four["regret"], 4 * one["regret"], rtol=1e-12)


def test_a_policy_for_unit_rewards_sees_them_rescaled():
    env = b.delayed_reward(0.5, sigma=0.0)
    low, high = env.range
    np.testing.assert_allclose((low, high), (0.0, 1.3), atol=1e-12)
    run = sims.simulate_dynamical(b.MOSS(), env, 50, 1, path=True, seed=0)
    pulls, total = np.zeros(2), np.zeros(2)
    for t, (arm, reward) in enumerate(zip(run["arm_of"].values[0], run["reward"].values[0], strict=True)):
        n = np.maximum(pulls, 1)
        index = total / n + np.sqrt(np.maximum(0.0, np.log(50 / (2 * n))) / n)
        assert arm == (t if t < 2 else int(np.argmax(index)))
        pulls[arm] += 1
        total[arm] += (reward - low) / (high - low)


# --------------------------------------------------------------------------------------------- statements


def test_the_lower_bound_by_hand():
    value = theory.dynamical_lower(horizon=10_000, dim=3, sigma=2.0, rho=0.5)
    np.testing.assert_allclose(value, math.exp(-2) * 3 * 2 * 100 / 2 - 6 / 25, rtol=1e-12)


def test_the_papers_radius_falls_short_of_the_derived_sum():
    """ln(e (t+1)) against sum_k rho^H_k: at rho = .2 the first epochs have H = 0, and four of them add up to 4."""
    policy = b.DynLinUCB(np.eye(1), 0.2)
    hold = policy.radii(1000)[1]
    s = np.cumsum(0.2 ** (hold - 1.0))
    before = np.cumsum(hold) - hold
    assert s[2] == 3.0
    assert 1 + math.log(before[3] + 1) < 3.0
    # and it never falls short by more than 1/rho
    assert (s <= (1 + np.log(np.arange(1, s.size + 1))) / 0.2).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rho": 0.1}, r"radius is 0\.2 > rho = 0\.1"),
        ({"theta_norm": 0.4}, "theta.* reaches 0.5099"),
        ({"input_norm": 0.4}, "B.* reaches 0.45"),
        ({"sigma": 0.001}, "sigma reaches 0.01"),
        ({"state_norm": 0.5}, r"> X = 0\.5"),
    ],
)
def test_broken_assumptions_are_named(change, words):
    policy = b.DynLinUCB.of(BUDGET)
    theory.dynlin_confidence.check(b.Game(policy, BUDGET, 100))
    with pytest.raises(AssumptionError, match=words):
        theory.dynlin_confidence.check(b.Game(replace(policy, **change), BUDGET, 100))


def test_noise_outside_the_state_is_refused_by_the_lower_bound():
    with pytest.raises(AssumptionError, match="not in the state"):
        theory.dynamical_lower.check(b.Game(b.UCB1(), BUDGET, 100))


def test_claims_are_honest():
    mine = [c for c in vars(theory).values() if isinstance(c, Claim) and c.source.key == "mussi2023"]
    assert len(mine) == 6
    assert {c.id for c in mine if c.standing == "quoted"} == {"bandits/dynlin-rate"}


# --------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"A": np.eye(3)}, DomainError, "spectral radius of A must be below 1, got 1"),
        ({"A": np.zeros((2, 2))}, ShapeError, r"A must be \(3, 3\), got \(2, 2\)"),
        ({"B": np.zeros((3, 2))}, ShapeError, r"B must be \(3, 3\)"),
        ({"actions": np.ones((2, 2))}, ShapeError, "actions have 2 columns"),
        ({"actions": np.ones((0, 3))}, ShapeError, "actions"),
        ({"theta": [0.0, np.nan, 1.0]}, NonFiniteError, "theta is nan"),
        ({"sigma": -1.0}, DomainError, "sigma must be finite and >= 0"),
    ],
)
def test_systems_are_checked(change, error, words):
    with pytest.raises(error, match=words):
        replace(BUDGET, **change)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"rho": 1.0}, DomainError, r"rho must lie in \[0, 1\), got 1"),
        ({"rho": -0.1}, DomainError, "rho"),
        ({"radius_rho": 1.5}, DomainError, "radius_rho"),
        ({"ridge": 0.0}, DomainError, "ridge"),
        ({"delta": 1.0}, DomainError, "delta"),
        ({"sigma": -1.0}, DomainError, "sigma"),
        ({"transient": 0.5}, DomainError, "transient must be >= 1"),
        ({"action_norm": 1.0}, DomainError, r"action 0 has norm 1\.118.* > action_norm = 1"),
        ({"bias": "none"}, DomainError, "'paper' or 'derived'"),
    ],
)
def test_policies_are_checked(change, error, words):
    with pytest.raises(error, match=words):
        replace(b.DynLinUCB.of(BUDGET), **change)


def test_runs_are_checked():
    play, policy = sims.simulate_dynamical, b.DynLinUCB.of(BUDGET)
    for bad, error in (((0, 1), DomainError), ((10.0, 1), TypeError), ((True, 1), TypeError), ((10, 0), DomainError)):
        with pytest.raises(error):
            play(policy, BUDGET, *bad, seed=0)
    with pytest.raises(TypeError, match="DynamicalLinear"):
        play(policy, b.instance_a(), 10, 1, seed=0)
    with pytest.raises(TypeError, match="policy"):
        play("ucb", BUDGET, 10, 1, seed=0)
    with pytest.raises(TypeError, match="simulate_dynamical"):
        sims.simulate(b.UCB1(), BUDGET, 10, 1, seed=0)
    with pytest.raises(DomainError, match="pulls each of the 6"):
        play(b.UCB1(), BUDGET, 5, 1, seed=0)
    with pytest.raises(DomainError, match="rewards 0 or 1"):
        play(b.ThompsonBeta(), BUDGET, 50, 1, seed=0)
    with pytest.raises(DomainError, match="increase strictly"):
        play(policy, BUDGET, 50, 1, checkpoints=[20, 10], seed=0)
    with pytest.raises(ShapeError, match="2 actions"):
        play(replace(policy, actions=BUDGET.actions[:2]), BUDGET, 50, 1, seed=0)
    with pytest.raises(DomainError, match="signs"):
        b.sign_system([1.0, 0.5], 0.5, 10)
