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
    share, value = sims.recovering_relaxation(env)
    assert value == pytest.approx(relaxation(env, capacity), abs=1e-9)
    assert (share / np.arange(1, delays + 1)).sum() <= capacity + 1e-12
    assert (share >= 0).all()
    assert (share.sum(axis=1) <= 1 + 1e-12).all()
    assert ((share > 0) & (share < 1)).any(axis=1).sum() <= 1  # one arm at most is in the middle of a piece


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


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 6))
def test_the_knapsack_is_the_best_of_all_powers_of_two(seed, arms, delays):
    capacity = 1 + seed % arms
    env = problems.recovering_steps(arms, capacity, delays, seed=seed)
    longest = 2 ** (delays - 1).bit_length()
    periods = [0] + [2**j for j in range(longest.bit_length())]
    best = 0.0
    for word in itertools.product(periods, repeat=arms):
        if sum(longest // d for d in word if d) <= capacity * longest:
            best = max(best, sum(env.rewards[i, min(d, delays) - 1] / d for i, d in enumerate(word) if d))
    plan = sims.periodic_optimum(env)
    assert plan.value == pytest.approx(best, abs=1e-12)
    value, most = sims.play_periodic(env, plan)
    assert value == pytest.approx(best, abs=1e-12)
    assert most <= capacity


@pytest.mark.parametrize(("capacity", "base", "power"), [(1, 1, 5), (3, 1, 4), (4, 2, 4), (9, 3, 3)])
def test_the_guarantee_is_met_on_arms_that_are_a_round_late(capacity, base, power):
    env = problems.recovering_late(capacity, base, power)
    delay = env.delays
    plan = sims.periodic_policy(env, base)
    assert sims.recovering_relaxation(env)[1] == pytest.approx(capacity)
    assert set(plan.periods[plan.periods > 0]) == {(base + 1) * 2**power}
    assert plan.value == pytest.approx((capacity - base + 1) * delay / ((base + 1) * 2**power))
    assert sims.play_periodic(env, plan)[0] == pytest.approx(plan.value, abs=1e-12)


@pytest.mark.parametrize("base", [1, 2, 3, 5, 8])
def test_periods_are_at_most_the_promised_factor_longer(base):
    # one arm alone, which pays 1 from delay d on and nothing earlier, wants just that period
    odd = {b // (b & -b) for b in range(base, 2 * base)}
    for d in range(1, 70):
        rewards = np.zeros((base, d))
        rewards[0, -1] = 1.0
        period = sims.periodic_policy(problems.Recovering(rewards, base), base).periods[0]
        assert period // (period & -period) in odd
        assert d <= period <= d * (base + 1) / base


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
    with pytest.raises(DomainError, match="states are 0 to 0, got 0 to 3"):
        sims.best_cycle([[0, 3]], [[0.0, 1.0]])
    with pytest.raises(ShapeError, match="S, A"):
        sims.best_cycle([[0, 0]], [[0.0]])
    with pytest.raises(NonFiniteError, match="nan"):
        sims.best_cycle([[0, 0]], [[0.0, np.nan]])


def test_learning_is_repeatable_and_batches_are_replicates():
    env, points = problems.recovering_ladder(), [10, 100, 1000]
    policy = problems.PeriodicUCB()
    whole = sims.simulate_recovering(policy, env, 1000, 5, checkpoints=points, seed=3)
    part = sims.simulate_recovering(policy, env, 1000, 2, checkpoints=points, first_replicate=3, seed=3)
    np.testing.assert_array_equal(whole["earned"][3:], part["earned"])
    np.testing.assert_allclose(whole["regret"], 0.6875 * np.array(points) - whole["earned"])
    other = sims.simulate_recovering(policy, env, 1000, 5, checkpoints=points, seed=4)
    assert (whole["earned"] != other["earned"]).any()


def test_ucb1_where_no_arm_needs_a_rest_is_the_exact_ucb1():
    """Means 1/4 and 1/2, whatever the delay: regret of 12 rounds by enumeration of all histories, 1.18119859..."""
    env = problems.Recovering(np.array([[0.25, 0.25], [0.5, 0.5]]))
    run = sims.simulate_recovering("UCB1", env, 12, 100_000, seed=7)["regret"].values[:, 0]
    assert abs(run.mean() - 1.1811985969543457) < 4 * run.std() / np.sqrt(run.size)


def test_constant_rewards_are_the_best_arms():
    means = np.array([0.2, 0.9, 0.5, 0.7])
    env = problems.Recovering(np.repeat(means[:, None], 5, axis=1), 2)
    plans = (sims.periodic_policy(env, 1), sims.periodic_optimum(env))
    for plan in plans:
        np.testing.assert_array_equal(plan.periods, [0, 1, 0, 1])
    assert sims.recovering_relaxation(env)[1] == pytest.approx(1.6)


def test_rounding_wastes_rounds_and_the_knapsack_none():
    env = problems.Recovering(np.tile([0.50, 0.51, 0.52], (4, 1)))
    rounded, best = sims.periodic_policy(env), sims.periodic_optimum(env)
    assert sorted(rounded.periods) == [0, 4, 4, 4]  # of thirds of the rounds, which is what the relaxation likes
    assert rounded.value == pytest.approx(0.39)
    assert sorted(best.periods) == [4, 4, 4, 4]
    assert best.value == pytest.approx(0.52)


def test_equal_arms_are_learned_without_loss():
    """A planner that rounds rates wastes rounds here, where every filled schedule is best."""
    run = sims.simulate_recovering(problems.PeriodicUCB(), problems.Recovering(np.full((4, 4), 0.5)), 2**12, 3, seed=0)
    np.testing.assert_allclose(run["regret"], 0.0, atol=1e-9)


def test_regret_is_linear_in_the_number_of_arms():
    """Copies of the four arms, as many pulls a round more: N = 16 and 64 at one horizon."""
    arms, lost = problems.recovering_ladder().rewards, []
    for copies in (4, 16):
        env = problems.Recovering(np.tile(arms, (copies, 1)), copies)
        lost.append(float(sims.simulate_recovering(problems.PeriodicUCB(), env, 2**11, 16, seed=0)["regret"].mean()))
    assert lost[1] / lost[0] == pytest.approx(4, rel=0.1)


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
    with pytest.raises(DomainError, match="level"):
        problems.PeriodicUCB(level=np.nan)
    with pytest.raises(DomainError, match="arm 1 has 2 and 2"):
        problems.Periodic([1, 2], [0, 2], 0.0)
    with pytest.raises(ShapeError, match="integers"):
        problems.Periodic([1.5], [0], 0.0)
    with pytest.raises(ShapeError, match="1 and 2"):
        problems.Periodic([1], [0, 0], 0.0)
    with pytest.raises(ShapeError, match="for 1 arms, and env has 2"):
        sims.play_periodic(env, problems.Periodic([1], [0], 0.0))
    with pytest.raises(DomainError, match="repeats only after"):
        sims.play_periodic(env, problems.Periodic([2**13, 3**8], [0, 0], 0.0))
    with pytest.raises(DomainError, match="best"):
        problems.recovering_level(4, 100, best=4)
    with pytest.raises(DomainError, match="0, 1"):
        problems.recovering_level(4, 4)
    with pytest.raises(DomainError, match="horizon"):
        sims.simulate_recovering("UCB1", env, 0, 1, seed=0)
    with pytest.raises(TypeError, match="horizon"):
        sims.simulate_recovering("UCB1", env, 10.0, 1, seed=0)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"checkpoints": [1.9]}, TypeError, "integers, got float64"),
        ({"checkpoints": [math.nan]}, TypeError, "integers, got float64"),
        ({"checkpoints": np.array([], dtype=int)}, ShapeError, r"got \(0,\)"),
        ({"checkpoints": [3, 2]}, DomainError, "increase strictly"),
        ({"first_replicate": 2**64}, DomainError, r"below 2\^64"),
    ],
)
def test_bad_runs_are_refused(options, error, words):
    env = problems.Recovering(np.array([[0.1, 0.5], [0.2, 0.9]]))
    with pytest.raises(error, match=words):
        sims.simulate_recovering("UCB1", env, 10, 2, seed=0, **options)


def test_replicates_have_their_numbers():
    env = problems.Recovering(np.array([[0.1, 0.5], [0.2, 0.9]]))
    run = sims.simulate_recovering("UCB1", env, 10, 2, first_replicate=5, seed=0)
    assert run.replicate.values.tolist() == [5, 6]
