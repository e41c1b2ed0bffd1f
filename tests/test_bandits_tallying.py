"""Weighted tallying bandits: losses by hand, the published means, the exact cost, bad input."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems.bandits import (
    UCB1,
    Bernoulli,
    ExploreThenCommit,
    Tallying,
    TallyingElimination,
    hidden_tallying,
    instance_a,
    smooth_tallying,
    threshold_tallying,
)
from lemmata.sims.bandits import simulate, simulate_tallying
from lemmata.theory.bandits import tallying_exact, tallying_terms


def _at(policy, env, horizon, replicates=1, **options):
    return simulate_tallying(policy, env, horizon, replicates, checkpoints=[horizon], **options)["regret"].values[:, 0]


# ------------------------------------------------------------------------------------------------- the losses


def _paid(env, arms):
    """Sum of h_a(y) over a sequence of arms, from the definition."""
    total = 0.0
    for t, a in enumerate(arms):
        tally = sum(w for j, w in enumerate(env.weights) if t >= j and arms[t - j] == a)
        total += float(np.interp(tally, env.knots, env.losses[a]))
    return total


@given(
    st.integers(1, 6).flatmap(lambda m: st.lists(st.floats(0.01, 2), min_size=m, max_size=m)),
    st.integers(1, 4),
    st.integers(0, 2**32),
)
def test_the_tally_of_a_known_sequence(weights, pulls, seed):
    """Explore-then-commit tries the arms in turn: its arms are known but the last ones, read off the counts."""
    weights = np.array(weights)
    rng = np.random.default_rng(seed)
    knots = np.array([0.0, 0.3, 0.7, 1.0]) * weights.sum()
    knots[-1] = max(knots[-1], weights.sum())
    env = Tallying(weights, knots, rng.uniform(size=(3, 4)))
    horizon = 3 * pulls + 7
    run = simulate_tallying(ExploreThenCommit(pulls), env, horizon, 1, checkpoints=[horizon], seed=seed)
    kept = int(np.flatnonzero(run["counts"].values[0] == pulls + 7)[0])
    arms = [0, 1, 2] * pulls + [kept] * 7
    np.testing.assert_allclose(run["regret"][0, 0], _paid(env, arms) - horizon * (1 - env.means.max()), atol=1e-9)


def test_with_a_memory_of_one_round_it_is_a_bandit():
    """The words are those of `simulate`: the same arms, pull by pull."""
    means = np.array([0.3, 0.6, 0.5])
    env = Tallying(np.ones(1), np.array([0.0, 1.0]), np.column_stack([1 - means] * 2))
    ours = simulate_tallying(UCB1(), env, 500, 20, checkpoints=[500], seed=3)
    plain = simulate(UCB1(), Bernoulli(means), 500, 20, checkpoints=[500], seed=3)
    np.testing.assert_array_equal(ours["counts"], plain["counts"])
    np.testing.assert_allclose(ours["regret"].mean("replicate"), plain["mean"], atol=1e-9)


def test_repeated_exposure():
    assert smooth_tallying().repeated_exposure
    assert threshold_tallying().repeated_exposure
    assert hidden_tallying(3, 4, 1).repeated_exposure
    # an arm that is best when it is fresh
    fresh = Tallying(np.ones(2), np.array([0.0, 1.0, 2.0]), np.array([[0.1, 0.1, 0.9], [0.5, 0.5, 0.5]]))
    assert not fresh.repeated_exposure


# ------------------------------------------------------------------------------------------------ elimination


@pytest.mark.parametrize(
    ("discarded", "horizon", "mean", "half"),
    [(8, 4096, 483.3, 5.4), (8, 16384, 532.4, 5.5), (0, 16384, 489.5, 5.5), (64, 16384, 860.0, 5.5)],
)
def test_means_of_the_smooth_instance(discarded, horizon, mean, half):
    """99 % intervals of two independent programs: they differ by no more than their half-widths together.

    Two of the four were given without an interval: that of the others."""
    runs = _at(TallyingElimination(discarded), smooth_tallying(), horizon, 400, seed=2)
    own = 2.5758 * runs.std(ddof=1) / math.sqrt(runs.size)
    assert abs(runs.mean() - mean) < half + own
    assert own < 0.03 * mean


def test_ucb1_wins_where_losses_are_smooth_and_loses_behind_a_threshold():
    smooth = _at(UCB1(), smooth_tallying(), 16384, 200, seed=2)
    assert abs(smooth.mean() - 129.8) < 3.6 + 2.5758 * smooth.std() / math.sqrt(200)
    behind = _at(UCB1(), threshold_tallying(), 4096, 200, seed=2)
    assert abs(behind.mean() - 1178) < 27 + 2.5758 * behind.std() / math.sqrt(200)


def test_the_exact_cost_by_hand():
    """K = 2, m = 4, M = 3, T = 4096: ln(2 2 12 4096) = 12.19, so five phases of 3 + 2^s cost 77, and 5 times 3."""
    assert TallyingElimination(3).level(2, 4096) == pytest.approx(12.19, abs=0.005)
    assert _at(TallyingElimination(3), hidden_tallying(2, 4, 1), 4096, seed=0)[0] == 92
    assert float(tallying_exact(arms=2, discarded=3, memory=4, rounds_of_phases=5, moved=0)) == 92


def test_a_unit_of_memory_costs_a_round_for_each_block():
    """Added, not multiplied by T: five phases, one worse arm, whatever the horizon's size but for its logarithm."""
    costs = [_at(TallyingElimination(M), hidden_tallying(2, 4, 1), 4096, seed=0)[0] for M in (3, 13, 103)]
    np.testing.assert_array_equal(np.diff(costs), [50, 450])


def test_terms_of_the_bound():
    """8 level / D^2 = 320 and 80: 9 and 7 phases; the best arm stays as long as the other."""
    terms = tallying_terms([0.0, 0.5, 1.0], 10.0, 2**14)
    assert terms["phases"] == 9 + 7 + 9
    assert terms["kept"] == 0.5 * (2**10 - 2) + (2**8 - 2)
    assert tallying_terms([0.0, 0.01], 10.0, 2**5)["phases"] == 10


def test_the_best_arm_stays():
    """With probability 1 - 1/T: 400 runs of T = 4096 lose it .1 times in the mean."""
    run = simulate_tallying(TallyingElimination(15), threshold_tallying(), 4096, 400, checkpoints=[4096], seed=4)
    assert (run["counts"].values.argmax(axis=1) == 0).all()


def test_the_first_rewards_of_a_block_do_not_count():
    """Arm 1 pays in the first round of a block and never again: M = 1 hides it, and with a radius of 0 both stay."""
    env = Tallying(np.ones(2), np.array([0.0, 1.0, 2.0]), np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 1.0]]))
    run = simulate_tallying(TallyingElimination(1, scale=0.0), env, 16, 1, checkpoints=[16], seed=0)
    np.testing.assert_array_equal(run["counts"][0], [8, 8])
    run = simulate_tallying(TallyingElimination(0, scale=0.0), env, 16, 1, checkpoints=[16], seed=0)
    np.testing.assert_array_equal(run["counts"][0], [2, 14])


def test_a_block_is_cut_where_the_rounds_end():
    run = simulate_tallying(TallyingElimination(8), smooth_tallying(), 13, 1, checkpoints=[10, 13], seed=0)
    np.testing.assert_array_equal(run["counts"][0], [10, 3, 0])


def test_a_batch_is_its_replicates():
    options = {"checkpoints": [100, 900], "seed": 5}
    whole = simulate_tallying(TallyingElimination(3), smooth_tallying(), 1000, 6, **options)["regret"].values
    part = simulate_tallying(TallyingElimination(3), smooth_tallying(), 1000, 2, first_replicate=3, **options)
    np.testing.assert_array_equal(whole[3:5], part["regret"])
    assert (whole >= 0).all()


# -------------------------------------------------------------------------------------------------- bad input

TWO = np.array([[0.5, 0.5], [0.4, 0.4]])


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Tallying([1.0, -0.5], [0.0, 0.5], TWO), DomainError, "weights must be >= 0"),
        (lambda: Tallying([0.0, 0.0], [0.0, 0.5], TWO), DomainError, "positive sum"),
        (lambda: Tallying([1.0, math.nan], [0.0, 0.5], TWO), NonFiniteError, "weights is nan at index"),
        (lambda: Tallying([1.0], [0.0], TWO[:, :1]), ShapeError, "2 or more knots"),
        (lambda: Tallying([1.0], [0.0, 0.5, 1.0], TWO), ShapeError, "a column for each"),
        (lambda: Tallying([1.0, 1.0], [0.0, 1.0], TWO), DomainError, "to the full tally 2"),
        (lambda: Tallying([1.0], [0.5, 1.0], TWO), DomainError, "increase from 0"),
        (lambda: Tallying([1.0], [0.0, 1.0], 3 * TWO), DomainError, r"in \[0, 1\]"),
        (lambda: hidden_tallying(3, 4, 3), DomainError, "below arms = 3"),
        (lambda: TallyingElimination(-1), DomainError, "discarded must be >= 0"),
        (lambda: TallyingElimination(2.0), TypeError, "discarded must be an int"),
        (lambda: TallyingElimination(2, delta=1.5), DomainError, "delta"),
        (lambda: _at(TallyingElimination(2), instance_a(), 10, seed=0), TypeError, "must be a Tallying"),
        (lambda: _at("UCB1", smooth_tallying(), 10, seed=0), TypeError, "policy must be"),
        (lambda: _at(UCB1(), smooth_tallying(), 2, seed=0), DomainError, "pulls each of the 3 arms first"),
        (lambda: _at(UCB1(), smooth_tallying(), 10, 0, seed=0), DomainError, "replicates"),
        (lambda: _at(UCB1(), smooth_tallying(), 2**32, seed=0), DomainError, "below 2"),
        (
            lambda: simulate_tallying(UCB1(), smooth_tallying(), 10, 1, checkpoints=[5, 11], seed=0),
            DomainError,
            "increase strictly within 1..10",
        ),
    ],
)
def test_bad_input(make, error, words):
    with pytest.raises(error, match=words):
        make()
