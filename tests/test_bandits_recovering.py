"""Recovering rewards: the relaxation by another road, schedules, the exact optimum, learning, bad input."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems import bandits as problems
from lemmata.sims import bandits as sims


def relaxation(env, capacity):
    """The linear programme in all z_{i, tau}."""
    N, D = env.rewards.shape
    rows = np.concatenate([np.kron(np.eye(N), np.arange(1, D + 1)), np.ones((1, N * D))])
    found = linprog(-env.rewards.ravel(), A_ub=rows, b_ub=np.r_[np.ones(N), capacity], method="highs")
    return -found.fun


def schedules(env, length):
    """The best mean of all schedules of one pull or none a round that repeat after `length` rounds."""
    best = 0.0
    for word in itertools.product(range(-1, env.arms), repeat=length):
        total = 0.0
        for t, arm in enumerate(word):
            if arm >= 0:
                gap = next(d for d in range(1, length + 1) if word[t - d] == arm)
                total += env.rewards[arm, min(gap, env.delays) - 1]
        best = max(best, total / length)
    return best


@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 9))
def test_the_greedy_relaxation_is_the_linear_programme(seed, arms, delays):
    capacity = 1 + seed % arms
    env = problems.recovering_steps(arms, capacity, delays, seed=seed)
    rates, value = sims.recovering_relaxation(env)
    assert value == pytest.approx(relaxation(env, capacity), abs=1e-9)
    assert rates.sum() <= capacity + 1e-12
    assert (rates <= 1 + 1e-12).all()


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 6))
def test_a_plan_can_be_played_and_keeps_its_promise(seed, capacity, base):
    base = min(base, capacity)
    env = problems.recovering_steps(3 * capacity + 2, capacity, 12, seed=seed)
    plan = sims.periodic_policy(env, base)
    assert plan.value <= sims.recovering_relaxation(env)[1] + 1e-12
    # arms meet only as capacity allows, whatever the round: two of periods d, e meet if their offsets agree mod gcd
    if math.lcm(*(int(d) for d in plan.periods if d)) <= 2**14:
        value, most = sims.play_periodic(env, plan)
        assert most <= capacity
        assert value == pytest.approx(plan.value, abs=1e-12)
    promise = (1 - (base - 1) / capacity) * base / (base + 1) * sims.recovering_relaxation(env)[1] - plan.mixed
    assert plan.value >= promise - 1e-12


def test_the_worked_example():
    env = problems.recovering_pair()
    assert sims.recovering_relaxation(env)[1] == pytest.approx(0.5)
    assert sims.recharging_optimum(env) == pytest.approx(0.5)
    assert schedules(env, 6) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(4))
def test_the_best_cycle_is_at_least_every_schedule(seed):
    env = problems.recovering_steps(2, 1, 4, seed=seed)
    best = sims.recharging_optimum(env)
    found = [schedules(env, length) for length in range(1, 9)]
    assert max(found) == pytest.approx(best, abs=1e-12)
    assert best <= sims.recovering_relaxation(env)[1] + 1e-12


def test_best_cycle_of_a_graph_that_is_not_connected():
    # 0 -> 1 -> 2 -> 1 pays 0, .4, 0; the loop at 3 that pays 1 cannot be reached
    assert sims.best_cycle([[1], [2], [1], [3]], [[0.0], [0.4], [0.0], [1.0]]) == pytest.approx(0.2)
    with pytest.raises(DomainError, match="20000"):
        sims.best_cycle(np.zeros((20_001, 1)), np.zeros((20_001, 1)))


def test_learning_is_repeatable_and_batches_are_replicates():
    env, points = problems.recovering_ladder(), [10, 100, 1000]
    policy = problems.PeriodicUCB()
    whole = sims.simulate_recovering(policy, env, 1000, 5, checkpoints=points, seed=3)
    part = sims.simulate_recovering(policy, env, 1000, 2, checkpoints=points, first_replicate=3, seed=3)
    np.testing.assert_array_equal(whole["earned"][3:], part["earned"])
    np.testing.assert_allclose(whole["regret"], 0.6875 * np.array(points) - whole["earned"])
    other = sims.simulate_recovering(policy, env, 1000, 5, checkpoints=points, seed=4)
    assert (whole["earned"] != other["earned"]).any()


def test_known_rewards_are_played_by_the_plan():
    """Rewards 0 or 1 are known after one pull of each delay; then the plan earns its value, the optimum."""
    tau = np.arange(1, 9)
    env = problems.Recovering(np.stack([(tau >= d).astype(float) for d in (8, 8, 4, 2)]))
    run = sims.simulate_recovering(problems.PeriodicUCB(level=0.0), env, 2**14, 2, checkpoints=[2**13, 2**14], seed=0)
    assert np.ptp(run["regret"].values[0]) < 0.01 * 2**13


def test_bad_input():
    with pytest.raises(DomainError, match=r"R_0\(2\) is 0.3 below"):
        problems.Recovering(np.array([[0.5, 0.2]]))
    with pytest.raises(ShapeError):
        problems.Recovering(np.zeros((2, 0)))
    with pytest.raises(DomainError, match="0, 1"):
        problems.Recovering(np.array([[0.5, 1.2]]))
    with pytest.raises(NonFiniteError):
        problems.Recovering(np.array([[0.5, np.nan]]))
    with pytest.raises(DomainError, match="capacity 3"):
        problems.Recovering(np.zeros((2, 3)), 3)
    env = problems.recovering_pair()
    with pytest.raises(DomainError, match="base"):
        sims.periodic_policy(env, 2)
    with pytest.raises(TypeError, match="PeriodicUCB"):
        sims.simulate_recovering(problems.UCB1(), env, 10, 1, seed=0)
    with pytest.raises(TypeError, match="Recovering"):
        sims.recovering_relaxation(problems.instance_a())
    with pytest.raises(DomainError, match="checkpoints"):
        sims.simulate_recovering("UCB1", env, 10, 1, checkpoints=[20], seed=0)
    with pytest.raises(DomainError, match="level"):
        problems.PeriodicUCB(level=-1.0)
