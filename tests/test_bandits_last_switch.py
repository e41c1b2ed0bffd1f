"""Last-switch-dependent rewards: exact optimum by enumeration, relaxation, interleaving, bad input."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems import bandits as problems
from lemmata.sims import bandits as sims


def played(env, word, repeats=4):
    """Mean reward of the last of `repeats` runs through a word of arms, -1 for none."""
    D, m = env.rested.shape[1], env.worn.shape[1]
    state, total = [D] * env.arms, 0.0
    for again in range(repeats):
        for arm in word:
            for i in range(env.arms):
                s = state[i]
                if i == arm:
                    total += (env.rested[i, s - 1] if s > 0 else env.worn[i, -s - 1]) * (again == repeats - 1)
                    state[i] = max(s - 1, -m) if s < 0 else -1
                else:
                    state[i] = min(s + 1, D) if s > 0 else 1
    return total / len(word)


def words(env, longest):
    choices = range(-1, env.arms)
    return (word for length in range(1, longest + 1) for word in itertools.product(choices, repeat=length))


def test_the_worked_example():
    env = problems.last_switch_pair()
    assert sims.last_switch_optimum(env) == pytest.approx(37 / 60, abs=1e-14)
    assert max(played(env, word) for word in words(env, 6)) == pytest.approx(37 / 60, abs=1e-14)
    alone = problems.LastSwitch(env.rested[:1], env.worn[:1])
    assert sims.last_switch_optimum(alone) == pytest.approx(0.9 * 11 / 27)  # .3666...


@given(st.integers(0, 10**6))
def test_rounding_optimum_relaxation_are_in_order(seed):
    env = problems.last_switch_random(2, 3, 2, seed=seed)
    best, above = sims.last_switch_optimum(env), sims.last_switch_relaxation(env)
    low = sims.recovering_relaxation(env.recharging)[1]
    assert best <= above + 1e-12
    assert low <= above + 1e-12
    drawn = sims.interleave(env, 400, 40, seed=seed)
    # a schedule of 400 rounds starts rested, which is worth two payoffs at most
    assert drawn.max() <= best + 2 / 400
    assert max(played(env, word) for word in words(env, 4)) <= best + 1e-12


@given(st.integers(0, 10**6))
def test_where_plays_in_a_row_pay_alike_it_is_recharging(seed):
    env = problems.last_switch_random(2, 3, 1, seed=seed)
    assert sims.last_switch_optimum(env) == pytest.approx(sims.recharging_optimum(env.recharging), abs=1e-12)
    relaxed = sims.recovering_relaxation(env.recharging)[1]
    assert sims.last_switch_relaxation(env) == pytest.approx(relaxed, abs=1e-9)


def test_interleaving_is_repeatable():
    env = problems.last_switch_pair()
    whole = sims.interleave(env, 50, 6, seed=1)
    np.testing.assert_array_equal(whole[4:], sims.interleave(env, 50, 2, first_replicate=4, seed=1))
    assert (whole != sims.interleave(env, 50, 6, seed=2)).any()


def test_greed():
    env = problems.never_rested(4)
    assert sims.greedy_last_switch(env, 10_000) == pytest.approx(0.02, abs=2e-4)
    assert sims.last_switch_optimum(env) == pytest.approx(0.2)


def test_bad_input():
    with pytest.raises(DomainError, match="must not fall"):
        problems.LastSwitch(np.array([[0.2, 0.1]]), np.array([[0.0]]))
    with pytest.raises(DomainError, match="must not fall"):
        problems.LastSwitch(np.array([[0.2, 0.3]]), np.array([[0.0, 0.1]]))
    with pytest.raises(ShapeError):
        problems.LastSwitch(np.zeros((2, 3)), np.zeros((1, 2)))
    with pytest.raises(ShapeError):
        problems.LastSwitch(np.zeros((2, 0)), np.zeros((2, 2)))
    with pytest.raises(DomainError, match="0, 1"):
        problems.LastSwitch(np.array([[2.0]]), np.array([[0.0]]))
    with pytest.raises(NonFiniteError):
        problems.LastSwitch(np.array([[np.nan]]), np.array([[0.0]]))
    with pytest.raises(DomainError, match="states"):
        sims.last_switch_optimum(problems.last_switch_random(6, 4, 2, seed=0))
