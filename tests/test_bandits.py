"""Bandit simulators: the words they read, exact values, invariances, reference numbers, bad input."""

import math
import os
import subprocess
import sys
import textwrap
import time
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from scipy.stats import kstest

from lemmata import random as reference
from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems import bandits as b
from lemmata.sims import _philox
from lemmata.sims import bandits as sims
from lemmata.sims.bandits import policies
from lemmata.theory import bandits as theory

A, B = b.instance_a(), b.instance_b()
TWO, THREE = ("1/4", "1/2"), ("1/5", "1/2", "4/5")
THREE_ARMS = b.Bernoulli([0.2, 0.5, 0.8])
RISING = b.Bounded(
    [[0.0, 0.5, 1.0], [0.2, 0.4, 0.9], [0.0, 0.0, 1.0]], [[0.2, 0.3, 0.5], [0.5, 0.25, 0.25], [0.1, 0.7, 0.2]]
)
NORMAL = b.Gaussian([0.0, 0.4, 0.1], 0.7)
SWITCH = b.Switching([[0.1, 0.9, 0.5], [0.8, 0.3, 0.5], [0.6, 0.6, 0.0]], [1, 41, 90])
FEATURES = np.random.default_rng(5).standard_normal((6, 3))
LINEAR = b.Linear(FEATURES, [0.5, -0.2, 0.1], 0.3)

#: a policy of each kind on an environment it is made for
EVERY = {
    "ucb": (b.UCB1(), THREE_ARMS),
    "asymptotic": (b.AsymptoticUCB(0.7), NORMAL),
    "confidence": (b.ConfidenceUCB(), NORMAL),
    "moss": (b.MOSS(), RISING),
    "moss-subgaussian": (b.MOSS("subgaussian", 0.7), NORMAL),
    "moss-anytime": (b.MOSS("anytime"), THREE_ARMS),
    "kl-ucb": (b.KLUCB(1.0), THREE_ARMS),
    "thompson-beta": (b.ThompsonBeta(), THREE_ARMS),
    "thompson-gaussian": (b.ThompsonGaussian("flat", 0.7), NORMAL),
    "epsilon-greedy": (b.EpsilonGreedy(0.2), RISING),
    "etc": (b.ExploreThenCommit(5), NORMAL),
    "elimination": (b.SuccessiveElimination(0.5, scale=0.4), THREE_ARMS),
    "exp3": (b.Exp3(), SWITCH),
    "tsallis": (b.TsallisINF("rv"), SWITCH),
    "linear": (b.OFUL(FEATURES, sigma=0.3), LINEAR),
}


def mean_and_error(policy, env, horizon, replicates, at=None, seed=11):
    run = sims.simulate(policy, env, horizon, replicates, checkpoints=at or [horizon], seed=seed)
    return run["mean"].values, np.sqrt(run["variance"].values / replicates)


# ------------------------------------------------------------------------------------------ exact values


def test_the_known_fractions():
    assert theory.exact_regret(b.UCB1(), TWO, 6)[-1] == Fraction(1351, 2048)
    assert theory.exact_regret(b.ThompsonBeta(), TWO, 4)[-1] == Fraction(1149, 2560)
    values = {
        (b.UCB1(), TWO, 12): 1.1811985969543457,
        (b.UCB1(), THREE, 15): 3.1298632402368,
        (b.ThompsonBeta(), TWO, 8): 0.8136927934659977,
    }
    for (policy, means, horizon), value in values.items():
        # the tables print 14 to 17 digits
        np.testing.assert_allclose(float(theory.exact_regret(policy, means, horizon)[-1]), value, rtol=1e-13)


@pytest.mark.parametrize(
    "policy",
    [
        b.UCB1(),
        b.AsymptoticUCB(0.5),
        b.ConfidenceUCB(sigma=0.5),
        b.MOSS(),
        b.MOSS("subgaussian"),
        b.MOSS("anytime"),
        b.KLUCB(),
        b.KLUCB(3.0),
        b.ExploreThenCommit(2),
        b.SuccessiveElimination(0.9, scale=0.4),
    ],
    ids=repr,
)
@pytest.mark.parametrize(("means", "horizon"), [(TWO, 13), (THREE, 11)])
def test_every_reward_sequence_gives_the_fraction(policy, means, horizon):
    exact = [float(r) for r in theory.exact_regret(policy, means, horizon)]
    played = sims.expectation(policy, b.Bernoulli([float(Fraction(m)) for m in means]), horizon)
    np.testing.assert_allclose(played, exact, rtol=0, atol=1e-12)  # sums of 2^13 products in float64


def test_enumeration_of_bounded_rewards():
    """Two values 0 and 1 are Bernoulli."""
    same = b.Bounded([[0.0, 1.0], [0.0, 1.0]], [[0.75, 0.25], [0.5, 0.5]])
    np.testing.assert_allclose(
        sims.expectation(b.UCB1(), same, 9),
        sims.expectation(b.UCB1(), b.Bernoulli([0.25, 0.5]), 9),
        rtol=1e-14,  # the same sums in another order
    )
    mean, error = mean_and_error(b.UCB1(), RISING, 8, 100_000)
    assert abs(mean[0] - sims.expectation(b.UCB1(), RISING, 8)[-1]) < 4 * error[0]


@pytest.mark.parametrize(
    "policy", [b.ThompsonBeta(), b.ThompsonBeta(2, 3), b.EpsilonGreedy(0.3), b.Exp3(1.0)], ids=repr
)
def test_policies_that_draw_have_their_exact_mean(policy):
    horizon = 6
    if isinstance(policy, b.Exp3):
        exact = theory.history_regret(policy, [0.25, 0.5], horizon)
    else:
        exact = np.array([float(r) for r in theory.exact_regret(policy, TWO, horizon)])
    rounds = list(range(2, horizon + 1))
    mean, error = mean_and_error(policy, b.Bernoulli([0.25, 0.5]), horizon, 200_000, rounds)
    assert (np.abs(mean - exact[1:]) <= 4 * error).all()


@pytest.mark.parametrize("estimator", ["iw", "rv"])
def test_tsallis_has_its_exact_mean(estimator):
    exact = theory.history_regret(b.TsallisINF(estimator), [0.25, 0.5], 5)
    mean, error = mean_and_error(b.TsallisINF(estimator), b.Bernoulli([0.25, 0.5]), 5, 200_000, [3, 5])
    assert (np.abs(mean - exact[[2, 4]]) <= 4 * error).all()


def test_beta_inequality():
    assert theory.beta_greater(1, 1, 1, 1) == Fraction(1, 2)
    assert theory.beta_greater(2, 1, 1, 1) == Fraction(2, 3)  # E X for X ~ Beta(2, 1)
    for args in [(3, 2, 2, 5), (1, 7, 4, 4), (6, 2, 9, 3)]:
        a, bb, c, d = args
        assert theory.beta_greater(*args) + theory.beta_greater(c, d, a, bb) == 1


# --------------------------------------------------------------------------------- words and decisions


def _rewards(env, arms, horizon, replicate, seed):
    """The rewards of pulled arms from the reference stream, as `runs` documents it."""
    t = np.arange(1, horizon + 1)
    if isinstance(env, (b.Gaussian, b.Linear)):
        four = reference.words((t - 1) // 2, b.REWARD, replicate, seed=seed)
        pair = reference.normal(*np.moveaxis(four, -1, 0))
        return env.means[arms] + env.sigma * np.where(t % 2 == 1, *pair)
    word = reference.words((t - 1) // 4, b.REWARD, replicate, seed=seed)[np.arange(horizon), (t - 1) % 4]
    if isinstance(env, b.Bernoulli):
        return reference.bernoulli(word, env.means[arms]).astype(float)
    if isinstance(env, b.Bounded):
        cumulative = np.floor(np.cumsum(env.probabilities, axis=1) * 2.0**32)
        cumulative[:, -1] = 2.0**32
        return env.values[arms, (word[:, None] >= cumulative[arms]).sum(axis=1)]
    return 1.0 - env.losses[np.searchsorted(env.starts, t, side="right") - 1, arms]


@pytest.mark.parametrize(
    ("name", "exact"),
    [("ucb", True), ("moss", True), ("asymptotic", False), ("tsallis", True)],
)
def test_rewards_come_from_the_documented_words(name, exact):
    policy, env = EVERY[name]
    replicate, seed = 2**40 + 3, 2**33 + 5
    run = sims.trajectory(policy, env, 203, replicate=replicate, seed=seed)
    expected = _rewards(env, run["arm"].values, 203, replicate, seed)
    # log, cos and sin differ by a few units in the last place between libraries
    np.testing.assert_allclose(run["reward"].values, expected, rtol=0, atol=0 if exact else 1e-13)


@pytest.mark.parametrize(
    "name", ["ucb", "asymptotic", "confidence", "moss", "moss-subgaussian", "moss-anytime", "kl-ucb"]
)
def test_index_policies_pull_the_largest_index(name):
    policy, env = EVERY[name]
    horizon = 400
    run = sims.trajectory(policy, env, horizon, seed=4)
    n, s = np.zeros(env.arms), np.zeros(env.arms)
    for t, (arm, reward) in enumerate(zip(run["arm"].values, run["reward"].values, strict=True), start=1):
        if t <= env.arms:
            assert arm == t - 1
        else:
            index = [theory.index_of(policy, s[i], n[i], t, env.arms, horizon) for i in range(env.arms)]
            assert arm == next(i for i, v in enumerate(index) if v >= max(index) - 1e-12)
        n[arm] += 1
        s[arm] += reward


@pytest.mark.parametrize("policy", [b.Exp3(0.3), b.TsallisINF("iw"), b.TsallisINF("rv")], ids=repr)
def test_adversarial_policies_pull_by_their_probabilities(policy):
    horizon, replicate, seed = 300, 7, 1
    run = sims.trajectory(policy, THREE_ARMS, horizon, replicate=replicate, seed=seed)
    four = reference.words(np.arange(1, horizon + 1), b.POLICY, replicate, seed=seed)
    u = reference.uniform64(four[:, 0], four[:, 1])
    estimate = np.zeros(3)
    for t, (arm, reward) in enumerate(zip(run["arm"].values, run["reward"].values, strict=True), start=1):
        if isinstance(policy, b.Exp3):
            w = np.exp(-policy.eta * (estimate - estimate.min()))
            p = w / w.sum()
        else:
            eta = (2 if policy.estimator == "iw" else 4) / math.sqrt(t)
            p = theory.tsallis_weights(estimate, eta)
        assert arm == int(np.searchsorted(np.cumsum(p), u[t - 1], side="right"))
        baseline = np.zeros(3)
        if policy == b.TsallisINF("rv"):
            baseline = np.where(p >= eta**2, 0.5, 0.0)
        estimate += baseline
        estimate[arm] += (1 - reward - baseline[arm]) / p[arm]


def test_epsilon_greedy_explores_where_its_word_says():
    horizon, replicate, seed = 300, 3, 9
    policy = b.DecayingEpsilonGreedy(2.0, 0.3)
    run = sims.trajectory(policy, THREE_ARMS, horizon, replicate=replicate, seed=seed)
    t = np.arange(1, horizon + 1)
    w = reference.words(t, b.POLICY, replicate, seed=seed)
    explores = reference.bernoulli(w[:, 0], np.minimum(1, 2.0 * 3 / (0.3**2 * t)))
    uniform = reference.integer(w[:, 1], w[:, 2], 3)
    n, s = np.zeros(3), np.zeros(3)
    for i, (arm, reward) in enumerate(zip(run["arm"].values, run["reward"].values, strict=True)):
        if i >= 3:
            assert arm == (uniform[i] if explores[i] else int(np.argmax(s / n)))
        n[arm] += 1
        s[arm] += reward
    assert explores[3:].any()
    assert not explores[3:].all()


def test_oful_pulls_the_largest_upper_limit_and_its_inverse_does_not_drift():
    policy, env = b.OFUL(FEATURES, 0.5, 0.1, 0.3, 1.0), LINEAR
    horizon = 1500
    run = sims.trajectory(policy, env, horizon, seed=2)
    n, s = np.zeros(6), np.zeros(6)
    state = policies._linear_init(policy.tables(6, horizon), 6, horizon)
    for t, (arm, reward) in enumerate(zip(run["arm"].values, run["reward"].values, strict=True), start=1):
        if t % 7 == 1:
            v = 0.5 * np.eye(3) + FEATURES.T @ (n[:, None] * FEATURES)
            estimate = np.linalg.solve(v, FEATURES.T @ s)
            log_det = np.linalg.slogdet(v)[1] - 3 * math.log(0.5)
            radius = 0.3 * math.sqrt(2 * math.log(10) + log_det) + math.sqrt(0.5)
            width = np.sqrt(np.sum(FEATURES * np.linalg.solve(v, FEATURES.T).T, axis=1))
            index = FEATURES @ estimate + radius * width
            assert index[arm] >= index.max() - 1e-9
        policies._linear_update(policy.tables(6, horizon), state, arm, reward, t)
        n[arm] += 1
        s[arm] += reward
    assert 0 < state[5][1] < 1e-8


def test_oful_on_orthonormal_features_is_ucb():
    """With lambda -> 0 the index of arm i is m_i + sqrt(beta / n_i)."""
    features, ridge = np.eye(3), 1e-9
    policy = b.OFUL(features, ridge, 0.1, 1.0, 1.0)
    run = sims.trajectory(policy, b.Linear(features, [0.5, 0.0, 0.2], 1.0), 200, seed=6)
    n, s = np.zeros(3), np.zeros(3)
    for arm, reward in zip(run["arm"].values, run["reward"].values, strict=True):
        if n.all():
            beta = 2 * math.log(10) + np.sum(np.log((n + ridge) / ridge))
            index = s / n + np.sqrt(beta / n)
            assert index[arm] >= index.max() - 1e-3  # sqrt(ridge) S is 3e-5, divided by sqrt(n)
        n[arm] += 1
        s[arm] += reward


# --------------------------------------------------------------------------------------- random variates


@njit
def _normals(n, seed):
    out = np.empty(n)
    draw = (np.uint64(0), np.uint64(seed))
    for t in range(n):
        w, _, _, _ = _philox.words(t, policies.STREAM_POSTERIOR, draw[0], draw[1])
        out[t] = policies._slow_normal(w, t, policies.STREAM_POSTERIOR, draw)
    return out


def test_the_ziggurat_is_normal():
    z = _normals(1_000_000, 3)
    assert kstest(z, "norm").pvalue > 1e-4
    # beyond the edge of the base layer, where another rule applies
    share, expected = np.mean(np.abs(z) > policies.TAIL), math.erfc(policies.TAIL / math.sqrt(2))
    assert abs(share - expected) < 4 * math.sqrt(expected / z.size)
    tail = np.abs(z[np.abs(z) > policies.TAIL])
    assert kstest(tail, lambda x: 1 - np.array([math.erfc(v / math.sqrt(2)) for v in x]) / expected).pvalue > 1e-4


def test_the_squeeze_stays_below_the_acceptance_probability():
    d = np.concatenate([np.linspace(2 / 3, 3, 60), np.geomspace(3, 1e7, 60)])[:, None]
    x = np.linspace(-1, 1, 4001)[None] * np.minimum(3 * np.sqrt(d) * (1 - 1e-9), 12)
    v = (1 + x / np.sqrt(9 * d)) ** 3
    squeeze = 1 - policies.SQUEEZE * x**4 / d
    inside = squeeze > 0
    log_accept = 0.5 * x**2 + d * (1 - v + np.log(v))
    # d (1 - v + ln v) cancels to d times the rounding of v
    assert (np.log(squeeze[inside]) <= (log_accept + 1e-14 * d)[inside]).all()


@njit
def _share_of_first(params, n, a, b_, c, d, seed):
    state = policies._beta_init(params, 2, n)
    state[0][:], state[1][:] = (a, c), (b_, d)
    policies._beta_shape(state[2], 0, a, b_)
    policies._beta_shape(state[2], 1, c, d)
    hits = 0
    for t in range(n):
        hits += policies._beta_select(params, state, t, (np.uint64(1), np.uint64(seed))) == 0
    return hits / n


@pytest.mark.parametrize(
    "law", [(1, 1, 1, 1), (1, 5, 2, 3), (2, 1, 1, 9), (30, 70, 40, 60), (1, 60, 3, 100), (900, 100, 61, 9)], ids=str
)
def test_beta_draws_have_their_exact_order(law):
    n, p = 400_000, float(theory.beta_greater(*law))
    share = _share_of_first((1.0, 1.0), n, *(float(v) for v in law), 17)
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_gaussian_posterior_draws():
    """Two arms after one pull each: P(theta_0 > theta_1) = Phi((m_0 - m_1) / sqrt 2)."""
    env = b.Gaussian([0.3, 0.0], 0.0)  # rewards are the means
    run = sims.simulate(b.ThompsonGaussian(), env, 3, 200_000, seed=8)
    share = (run["counts"].values[:, 0] == 2).mean()
    p = 0.5 * math.erfc(-0.3 / 2)
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / 200_000)


# ------------------------------------------------------------------------------------------ KL-UCB, Tsallis


@given(
    pulls=st.integers(1, 10_000),
    share=st.floats(0, 1),
    level=st.floats(1e-3, 40),
    start=st.floats(0, 1),
)
def test_kl_index_and_pinsker(pulls, share, level, start):
    total = float(round(share * pulls))
    mean = total / pulls
    logs = (math.log(start), math.log1p(-start)) if 0 < start < 1 else (0.0, 0.0)
    q, slope, point, log_point, log_rest = policies._kl_index(total, float(pulls), level, start % 1, *logs)
    # near the mean the index is as sharp as sqrt(rounding of kl), near 1 as 1 - q
    np.testing.assert_allclose(q, theory.kl_ucb_index(mean, pulls, level), rtol=0, atol=2e-8)
    assert mean <= q <= min(1.0, mean + math.sqrt(level / (2 * pulls)) + 1e-12)
    assert slope >= 0
    if 0 < point < 1:
        assert (log_point, log_rest) == pytest.approx((math.log(point), math.log1p(-point)), rel=1e-9, abs=1e-15)


def test_kl_index_in_closed_form():
    assert policies._kl_index(5.0, 5.0, 2.0, 0.0, 0.0, 0.0)[:2] == (1.0, 0.0)
    assert policies._kl_index(0.0, 5.0, 2.0, 0.0, 0.0, 0.0)[0] == 1 - math.exp(-2 / 5)
    np.testing.assert_allclose(theory.kl_ucb_index(0.0, 5, 2.0), 1 - math.exp(-2 / 5), rtol=1e-12)


@given(
    estimate=st.lists(st.floats(0, 1e6), min_size=1, max_size=8),
    eta=st.floats(1e-3, 4),
    start=st.floats(-1e6, 1e6) | st.just(-math.inf),
    shift=st.floats(-1e3, 1e3),
)
def test_tsallis_probabilities(estimate, eta, start, shift):
    estimate = np.array(estimate)
    p = np.empty(estimate.size)
    x = policies._tsallis_probabilities(estimate, eta, start, p)
    assert x < estimate.min()
    assert abs(p.sum() - 1) < 1e-12
    order = np.argsort(estimate)
    assert (np.diff(p[order]) <= 0).all()
    # estimates up to 1e6 carry 1e-10, and p ~ 4 / (eta (L - x))^2 as little as eta^2 / 4 of it
    np.testing.assert_allclose(p, theory.tsallis_weights(estimate, eta), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(theory.tsallis_weights(estimate + shift, eta), p, rtol=1e-6, atol=1e-9)


# ------------------------------------------------------------------------------------------- invariances


@pytest.mark.parametrize("name", EVERY)
def test_regret_is_what_the_counts_say(name):
    policy, env = EVERY[name]
    at = np.arange(1, 121)
    run = sims.simulate(policy, env, 120, 5, checkpoints=at, samples=True, seed=3)
    path = sims.trajectory(policy, env, 120, replicate=2, seed=3)
    arm, counts = path["arm"].values, run["counts"].values
    assert (counts.sum(axis=1) == 120).all()
    assert (counts[2] == np.bincount(arm, minlength=env.arms)).all()
    # sums of up to 120 terms in another order
    np.testing.assert_allclose(run["regret"].values[2], path["regret"].values, rtol=0, atol=1e-12)
    if env.regret_kind == "pseudo":
        np.testing.assert_allclose(run["regret"].values[:, -1], counts @ env.gaps, rtol=1e-13)
        steps = np.diff(run["regret"].values, prepend=0.0)
        assert (np.abs(steps[..., None] - env.gaps).min(axis=-1) < 1e-12).all()
        assert (run["regret"].values >= 0).all()
    else:
        lost = 1 - path["reward"].values
        table = env.losses[np.searchsorted(env.starts, at, side="right") - 1]
        expected = np.cumsum(lost) - np.cumsum(table, axis=0).min(axis=1)
        np.testing.assert_allclose(path["regret"].values, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_a_batch_is_its_replicates_one_by_one(name):
    policy, env = EVERY[name]
    options = {"checkpoints": [7, 60, 150], "samples": True, "seed": 12}
    whole = sims.simulate(policy, env, 150, 64, **options)
    parts = [sims.simulate(policy, env, 150, n, first_replicate=f, **options) for f, n in ((0, 1), (1, 40), (41, 23))]
    for variable in ("regret", "counts"):
        assert np.array_equal(whole[variable].values, np.concatenate([p[variable].values for p in parts]))
    single = sims.simulate(policy, env, 150, 1, first_replicate=37, **options)
    assert np.array_equal(single["regret"].values[0], whole["regret"].values[37])
    assert "variance" not in single


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread only")
@pytest.mark.parametrize("name", ["ucb", "thompson-beta"])
def test_the_number_of_threads_changes_nothing(name):
    policy, env = EVERY[name]
    before = numba.get_num_threads()
    try:
        runs = []
        for threads in (1, 2):
            numba.set_num_threads(threads)
            runs.append(sims.simulate(policy, env, 60, 5000, seed=1))
    finally:
        numba.set_num_threads(before)
    assert runs[0].identical(runs[1])


@pytest.mark.parametrize("name", [n for n, (policy, _) in EVERY.items() if policy.anytime])
def test_an_anytime_policy_does_not_know_its_horizon(name):
    policy, env = EVERY[name]
    short, long = (sims.trajectory(policy, env, t, seed=5) for t in (100, 300))
    assert np.array_equal(short["arm"].values, long["arm"].values[:100])


@pytest.mark.parametrize("name", ["moss", "exp3", "confidence"])
def test_a_tuned_policy_does(name):
    policy, env = EVERY[name]
    short, long = (sims.trajectory(policy, env, t, seed=5) for t in (100, 3000))
    assert not np.array_equal(short["arm"].values, long["arm"].values[:100])


def _one_arm(env):
    if isinstance(env, b.Bounded):
        return b.Bounded(env.values[:1], env.probabilities[:1])
    if isinstance(env, b.Switching):
        return b.Switching(env.losses[:, :1], env.starts)
    if isinstance(env, b.Linear):
        return b.Linear(env.features[:1], env.theta, env.sigma)
    return type(env)(env.means[:1]) if isinstance(env, b.Bernoulli) else b.Gaussian(env.means[:1], env.sigma)


@pytest.mark.parametrize("name", EVERY)
def test_one_arm_costs_nothing(name):
    policy, env = EVERY[name]
    if name == "linear":
        policy = b.OFUL(FEATURES[:1])
    run = sims.simulate(policy, _one_arm(env), 50, 3, seed=0)
    # the loss of the one arm and of the best arm are summed in different orders
    np.testing.assert_allclose(run["mean"].values, 0.0, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", [n for n, (_, env) in EVERY.items() if isinstance(env, (b.Bernoulli, b.Gaussian))])
def test_equal_arms_cost_nothing(name):
    policy, env = EVERY[name]
    same = b.Bernoulli([0.3] * 4) if isinstance(env, b.Bernoulli) else b.Gaussian([0.3] * 4)
    assert (sims.simulate(policy, same, 60, 5, seed=0)["mean"].values == 0).all()


def test_sure_rewards_leave_nothing_to_chance():
    sure = b.Bernoulli([1.0, 0.0])
    etc = sims.simulate(b.ExploreThenCommit(4), sure, 50, 9, seed=0)
    assert (etc["counts"].values == [46, 4]).all()
    elimination = sims.simulate(b.SuccessiveElimination(0.1), sure, 500, 9, seed=0)
    r = np.arange(1, 251)
    drop = r[2 * np.sqrt(np.log(8 * r**2 / 0.1) / (2 * r)) < 1][0]
    assert (elimination["counts"].values[:, 1] == drop).all()
    assert (elimination["variance"].values == 0).all()


@pytest.mark.parametrize(
    "policy",
    [b.AsymptoticUCB(0.7), b.MOSS("subgaussian", 0.7), b.ExploreThenCommit(9), b.ThompsonGaussian("flat", 0.7)],
    ids=repr,
)
def test_a_shift_of_gaussian_rewards_changes_no_action(policy):
    arms = [sims.trajectory(policy, b.Gaussian(NORMAL.means + c, 0.7), 400, seed=3)["arm"].values for c in (0, 8)]
    assert np.array_equal(*arms)


def test_a_prior_notices_a_shift():
    arms = [
        sims.trajectory(b.ThompsonGaussian("normal"), b.Gaussian(NORMAL.means + c), 400, seed=3)["arm"].values
        for c in (0, 8)
    ]
    assert not np.array_equal(*arms)


@pytest.mark.parametrize(
    "make", [b.AsymptoticUCB, lambda s: b.MOSS("subgaussian", s), lambda s: b.ThompsonGaussian("flat", s)]
)
def test_regret_scales_with_the_rewards(make):
    small = sims.simulate(make(0.5), b.Gaussian([0.0, 0.25], 0.5), 200, 20, samples=True, seed=3)
    large = sims.simulate(make(2.0), b.Gaussian([0.0, 1.0], 2.0), 200, 20, samples=True, seed=3)
    assert np.array_equal(4 * small["regret"].values, large["regret"].values)


@pytest.mark.parametrize("policy", [b.UCB1(), b.ThompsonBeta(), b.KLUCB()], ids=repr)
def test_the_order_of_arms_changes_the_mean_by_ties_alone(policy):
    means = np.array([0.3, 0.6, 0.5, 0.1])
    runs = [mean_and_error(policy, b.Bernoulli(m), 500, 4000, seed=i) for i, m in enumerate((means, means[::-1]))]
    (first, error), (second, other) = runs
    assert abs(first[0] - second[0]) < 4 * math.hypot(error[0], other[0]) + 0.5  # ties go to the lower arm


def test_common_random_numbers():
    """Policies that agree on the arms see the same rewards: one word a round, whoever reads it."""
    first = sims.trajectory(b.ExploreThenCommit(50), THREE_ARMS, 150, seed=4)
    second = sims.trajectory(b.ExploreThenCommit(30), THREE_ARMS, 150, seed=4)
    assert np.array_equal(first["reward"].values[:90], second["reward"].values[:90])


# ------------------------------------------------------------------------------------------- statistics


@given(
    st.lists(st.floats(-1e9, 1e9).filter(lambda v: abs(v) >= 2.0**-16 or v == 0), min_size=2, max_size=60),
    st.integers(1, 59),
)
def test_statistics_of_a_batch(values, cut):
    x = np.array(values)[:, None]
    statistics = b.RegretStatistics(1)
    for part in (x[:cut], x[cut:]):
        if len(part):
            statistics.add(part)
    size = np.abs(x).max() + 1e-300
    np.testing.assert_allclose(statistics.mean, x.mean(axis=0), rtol=0, atol=1e-14 * size)
    np.testing.assert_allclose(statistics.variance, x.var(axis=0, ddof=1), rtol=1e-9, atol=1e-13 * size**2)
    expected = np.quantile(x, b.QUANTILES, axis=0, method="inverted_cdf")
    np.testing.assert_allclose(statistics.quantiles(), expected, rtol=b.RegretStatistics.quantile_error, atol=0)


def test_summaries_describe_the_samples():
    run = sims.simulate(b.ThompsonBeta(), A, 1000, 10_000, checkpoints=[30, 1000], samples=True, seed=2)
    x = run["regret"].values
    np.testing.assert_allclose(run["mean"].values, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(run["variance"].values, x.var(axis=0, ddof=1), rtol=1e-11)
    expected = np.quantile(x, b.QUANTILES, axis=0, method="inverted_cdf")
    np.testing.assert_allclose(run["quantile"].values, expected, rtol=run.attrs["quantile_error"])
    assert run.attrs["regret"] == "pseudo"
    assert "time" not in run.sizes
    assert run["counts"].shape == (10_000, 10)


def test_checkpoints():
    assert b.log_checkpoints(1).tolist() == [1]
    points = b.log_checkpoints(1000)
    assert points[-1] == 1000
    assert (np.diff(points) > 0).all()
    assert len(points) <= 8 * 10 + 1
    stops, phase, index = b.segments(SWITCH, 100, np.array([40, 50]))
    assert stops.tolist() == [40, 50, 89, 100]
    assert phase.tolist() == [0, 1, 1, 2]
    assert index.tolist() == [0, 1, -1, -1]


# ---------------------------------------------------------------------------------------- your own policy


@njit
def _init(params, arms, horizon):
    return np.zeros(arms), np.zeros(arms)


@njit
def _select(params, state, t, draw):
    pulls, total = state
    if t <= pulls.size:
        return t - 1
    return int(np.argmax(total / pulls + np.sqrt(params[0] * np.log(t - 1) / pulls)))


@njit
def _update(params, state, arm, reward, t):
    pulls, total = state
    pulls[arm] += 1.0
    total[arm] += reward


@njit
def _wrong(params, state, t, draw):
    return 0 if t < 8 else 3


@njit
def _coin(params, state, t, draw):
    w0, w1, _, _ = sims.policy_words(t, 5, draw)
    return _philox.integer(w0, w1, state[0].size)


def test_a_policy_of_ones_own():
    own = b.Custom(_init, _select, _update, (2.0,), "my UCB1")
    np.testing.assert_allclose(
        sims.expectation(own, b.Bernoulli([0.25, 0.5]), 12),
        [float(r) for r in theory.exact_regret(b.UCB1(), TWO, 12)],
        rtol=1e-13,  # sums of 2^12 products
    )
    ours, theirs = (sims.simulate(p, A, 500, 20, samples=True, seed=6) for p in (b.UCB1(), own))
    assert np.array_equal(ours["regret"].values, theirs["regret"].values)
    assert np.array_equal(ours["counts"].values, theirs["counts"].values)


def test_a_policy_that_pulls_no_arm_is_named():
    with pytest.raises(DomainError, match=r"chose no arm of 0..2 in round 8 of replicate 5"):
        sims.simulate(b.Custom(_init, _wrong, _update), THREE_ARMS, 20, 3, first_replicate=5, seed=0)


def test_a_policy_with_coins_of_its_own():
    own = b.Custom(_init, _coin, _update)
    path = sims.trajectory(own, THREE_ARMS, 100, replicate=4, seed=2)
    w = reference.words(np.arange(1, 101), b.POLICY + 5, 4, seed=2)
    assert np.array_equal(path["arm"].values, reference.integer(w[:, 0], w[:, 1], 3))


def test_only_compiled_functions_are_a_policy():
    with pytest.raises(TypeError, match=r"select must be a numba.njit function, got function"):
        b.Custom(_init, lambda *a: 0, _update)


@pytest.mark.slow
def test_a_policy_of_ones_own_is_as_fast_as_ours():
    ours = b.UCB1()
    own = b.Custom(*policies.KINDS["ucb"][:3], ours.tables(10, 10_000))
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        seconds = {ours: math.inf, own: math.inf}
        for _ in range(4):  # the first round compiles
            for policy in seconds:
                start = time.thread_time()
                sims.simulate(policy, A, 10_000, 100, seed=0)
                seconds[policy] = min(seconds[policy], time.thread_time() - start)
    finally:
        numba.set_num_threads(before)
    assert seconds[own] < 1.3 * seconds[ours]


# -------------------------------------------------------------------------------------- reference numbers


def test_constants_of_the_instances():
    np.testing.assert_allclose([A.lai_robbins, B.lai_robbins], [20.269, 27.421], atol=5e-4)
    np.testing.assert_allclose([e.lai_robbins * math.log(1e4) for e in (A, B)], [186.7, 252.6], atol=0.05)


def test_bounds_on_the_instances():
    for env, value in ((A, 6635), (B, 4179)):
        gaps = env.gaps[env.gaps > 0]
        bound = theory.ucb1_bound(horizon=10**4, inverse_gaps=np.sum(1 / gaps), gaps=gaps.sum())
        np.testing.assert_allclose(bound, value, atol=0.5)
    np.testing.assert_allclose(theory.exp3_bound(horizon=10**4, arms=10), 678.6, atol=0.05)
    np.testing.assert_allclose(theory.tsallis_bound(horizon=10**4, arms=10), 1265.9, atol=0.05)


#: (value, half-width of a 99 per cent interval or None) at T = 1e3, 3e3, 1e4 on A, and at 3e3 on B
TABLE = {
    "UCB1": (b.UCB1(), 1000, (83.16, 0.20), (229.45, 0.72), (592.3, 2.6), (266.1, 1.6)),
    "MOSS": (b.MOSS(), 1000, (74.69, 0.48), (162.8, 2.0), (171.6, 2.3), (127.3, 2.0)),
    "KL-UCB": (b.KLUCB(), 1000, (54.24, 1.02), (92.9, 1.7), (134.7, 2.1), None),
    "Thompson": (b.ThompsonBeta(), 1000, (45.8, 1.5), (66.1, 2.3), (84.6, 2.4), None),
    "epsilon-greedy": (b.EpsilonGreedy(0.1), 1000, (39.2, 2.6), (72.2, 5.4), (140.3, 7.1), None),
    "Exp3": (b.Exp3(), 300, (86.4, 0.2), (228.6, 1.7), (383.4, 6.8), None),
    "Tsallis-IW": (b.TsallisINF("iw"), 300, (72.1, None), (153.2, None), (265.8, 7.1), None),
    "Tsallis-RV": (b.TsallisINF("rv"), 300, (62.8, None), (124.9, None), (200.8, 10.2), None),
}


def _agrees(value, half_width, mean, error):
    if half_width is None:
        return abs(mean - value) <= 0.1 * value
    return abs(mean - value) <= 4 * math.hypot(half_width / 2.5758, error)


@pytest.mark.parametrize("name", TABLE)
def test_regret_on_the_instances(name):
    policy, replicates, *on_a, on_b = TABLE[name]
    rounds = [1000, 3000, 10_000]
    mean, error = mean_and_error(policy, A, 10_000, replicates, rounds)
    for i, (value, half_width) in enumerate(on_a):
        assert _agrees(value, half_width, mean[i], error[i]), (rounds[i], mean[i], error[i])
    if on_b:
        mean, error = mean_and_error(policy, B, 10_000, replicates, [3000])
        assert _agrees(*on_b, mean[0], error[0]), (mean, error)


def test_ucb1_on_instance_b_at_ten_thousand():
    mean, error = mean_and_error(b.UCB1(), B, 10_000, 1000)
    assert _agrees(486.1, 3.2, mean[0], error[0])


#: largest R / sqrt(KT) over c = 1, 2, 3, 4, by K, at each horizon
HORIZONS = (1024, 4096, 16384)
FAMILY = {
    "UCB1": (b.UCB1(), {4: (1.09, 1.21, 1.30), 16: (1.90, 2.07, 2.26)}),
    "MOSS": (b.MOSS(), {4: (0.50, 0.54, 0.49), 16: (0.71, 0.69, 0.69)}),
    "Thompson": (b.ThompsonBeta(), {4: (0.46, 0.45), 16: (0.74, 0.76)}),
}


@pytest.mark.parametrize(
    ("name", "arms", "horizon"),
    [
        pytest.param(name, k, t, marks=[pytest.mark.slow] if t > 4096 or (name == "Thompson" and t > 1024) else [])
        for name, (_, values) in FAMILY.items()
        for k, row in values.items()
        for t in HORIZONS[: len(row)]
    ],
)
def test_ratios_on_the_hard_family(name, arms, horizon):
    policy, values = FAMILY[name]
    ratios, errors = [], []
    for c in (1, 2, 3, 4):
        mean, error = mean_and_error(policy, b.hard_instance(arms, horizon, c), horizon, 1000)
        ratios.append(mean[0] / math.sqrt(arms * horizon))
        errors.append(error[0] / math.sqrt(arms * horizon))
    best = int(np.argmax(ratios))
    assert ratios[best] >= 1 / 20
    value = values[arms][HORIZONS.index(horizon)]
    # the printed values are maxima over 100 replicates: their errors are sqrt(10) of ours
    assert abs(ratios[best] - value) <= max(0.1 * value, 4 * math.hypot(errors[best], math.sqrt(10) * errors[best]))


def test_explore_then_commit_in_closed_form():
    pulls = [25, 50, 400, 300, 130, 150, 170]
    exact = theory.etc_gaussian(pulls=pulls, gap=0.2, horizon=2000, error=theory.etc_error(pulls, 0.2))
    np.testing.assert_allclose(exact, [98.502524, 70.288996, 80.561328, 62.00, 44.594, 44.155, 44.823], rtol=5e-5)
    assert theory.etc_optimal_pulls(0.2, 2000) == 300
    np.testing.assert_allclose(theory.etc_bound(horizon=2000, gap=0.2), 80.11, atol=0.005)
    for m, value in zip(pulls[:3], exact[:3], strict=True):
        mean, error = mean_and_error(b.ExploreThenCommit(m), b.Gaussian([0.2, 0.0]), 2000, 5000)
        assert abs(mean[0] - value) < 4 * error[0]


@pytest.mark.slow
@pytest.mark.parametrize("policy", [b.KLUCB(), b.ThompsonBeta()], ids=repr)
def test_the_slope_in_log_t_nears_the_constant(policy):
    """Within 35 per cent at T = 2^17, from above or below."""
    run = sims.simulate(policy, B, 2**18, 1000, checkpoints=[2**17, 2**18], samples=True, seed=1)
    slope = np.diff(run["regret"].values)[:, 0] / math.log(2)
    error = slope.std() / math.sqrt(len(slope))
    assert abs(slope.mean() - B.lai_robbins) < 0.35 * B.lai_robbins + 3 * error


@pytest.mark.slow
def test_a_million_replicates_fit_in_a_gigabyte():
    script = """
        from pathlib import Path
        from lemmata.problems.bandits import UCB1, instance_a
        from lemmata.sims.bandits import simulate
        simulate(UCB1(), instance_a(), 1000, 1_000_000, seed=0)
        print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1e9


@pytest.mark.slow
def test_built_in_loops_are_cached_on_disk(tmp_path):
    """The second process compiles nothing."""
    script = """
        from lemmata.problems.bandits import ExploreThenCommit, Bernoulli
        from lemmata.sims.bandits import engine, simulate
        from lemmata.sims.bandits.policies import KINDS
        simulate(ExploreThenCommit(1), Bernoulli([.5, .4]), 10, 2, seed=0)
        loop = engine._bind(engine._replicates, KINDS["etc"], "etc")
        print(sum(loop.stats.cache_hits.values()), sum(loop.stats.cache_misses.values()))
    """
    seen = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        seen.append(done.stdout.split())
    assert seen == [["0", "1"], ["1", "0"]]


# ---------------------------------------------------------------------------------------- identification


@pytest.mark.parametrize("policy", [b.SuccessiveElimination(0.1), b.LUCB(0.1), b.LUCB(0.1, 0.05)], ids=repr)
def test_identification(policy):
    run = sims.identify(policy, b.Bernoulli([0.2, 0.7, 0.5]), 60, seed=3)
    assert (run["arm"].values == 1).mean() > 0.9
    alone = sims.identify(policy, b.Bernoulli([0.2, 0.7, 0.5]), 1, first_replicate=17, seed=3)
    assert alone["pulls"].values[0] == run["pulls"].values[17]
    short = sims.identify(policy, b.Bernoulli([0.5, 0.5, 0.5]), 4, max_pulls=30, seed=3)
    assert (short["arm"].values == -1).all()
    assert (short["pulls"].values == 30).all()
    assert sims.identify(policy, b.Bernoulli([0.3]), 2, seed=0)["arm"].values.tolist() == [0, 0]


def test_elimination_names_the_arm_it_keeps():
    """The answer is the arm to which the regret-minimising run settles, on the same words."""
    policy, env = b.SuccessiveElimination(0.3), b.Bernoulli([0.2, 0.9])
    found = sims.identify(policy, env, 1, seed=5)
    path = sims.trajectory(policy, env, int(found["pulls"][0]) + 5, seed=5)
    assert (path["arm"].values[-5:] == int(found["arm"][0])).all()


# -------------------------------------------------------------------------------------- elliptical potential


def test_elliptical_potential():
    x = np.random.default_rng(0).standard_normal((2, 40, 3))
    run = sims.elliptical_potential(x, ridge=0.5)
    for i in range(2):
        v, total = 0.5 * np.eye(3), 0.0
        for t in range(40):
            total += min(1.0, x[i, t] @ np.linalg.solve(v, x[i, t]))
            v += np.outer(x[i, t], x[i, t])
            np.testing.assert_allclose(run["potential"].values[i, t], total, rtol=1e-11)
            log_det = np.linalg.slogdet(v)[1] - 3 * math.log(0.5)
            np.testing.assert_allclose(run["log_det"].values[i, t], log_det, rtol=1e-11)


# --------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: b.Bernoulli([0.5, 1.2]), DomainError, r"means must lie in \[0, 1\], got 1.2 at index \(1,\)"),
        (lambda: b.Bernoulli([0.5, math.nan]), NonFiniteError, r"means is nan at index \(1,\)"),
        (lambda: b.Gaussian([math.inf, 0]), NonFiniteError, r"means is inf at index \(0,\)"),
        (lambda: b.Bernoulli([]), ShapeError, r"means must have shape \(K\), none of them 0, got \(0,\)"),
        (lambda: b.Bernoulli([[0.5, 0.4]]), ShapeError, r"got \(1, 2\)"),
        (lambda: b.Bernoulli(["a"]), TypeError, "means must hold real numbers"),
        (lambda: b.Gaussian([0.0], -1.0), DomainError, "sigma must be finite and >= 0, got -1.0"),
        (lambda: b.Bounded([[0, 2.0]], [[0.5, 0.5]]), DomainError, r"values must lie in \[0, 1\].*rescale"),
        (lambda: b.Bounded([[0, 1.0]], [[0.5, 0.4]]), DomainError, "probabilities of arm 0 sum to 0.9"),
        (lambda: b.Bounded([[0, 1.0]], [[1.0]]), ShapeError, r"values have shape \(1, 2\), probabilities \(1, 1\)"),
        (lambda: b.Switching([[0.5, -1]]), DomainError, r"losses must lie in \[0, 1\].*rescale"),
        (lambda: b.Switching([[0.5], [0.1]], [1, 1]), DomainError, "increase strictly"),
        (lambda: b.Switching([[0.5], [0.1]], [1]), ShapeError, "one for each row of losses"),
        (lambda: b.Switching([[0.5]], [1.0]), TypeError, "starts must hold integers"),
        (lambda: b.Linear([[1.0, 0.0]], [1.0]), ShapeError, "theta has 1 entries, features have 2 columns"),
        (lambda: b.hard_instance(4, 16, 3.0), DomainError, r"must lie in \[0, 1/2\]"),
        (lambda: b.hard_instance(4, 1600, 1.0, best=4), DomainError, "best must be one of the arms 0..3"),
        (lambda: b.Gaussian([0.0, 1, 2]).minimax_lower(1), DomainError, "T >= K - 1 = 2"),
        (lambda: b.EpsilonGreedy(1.5), DomainError, r"epsilon must lie in \[0, 1\], got 1.5"),
        (lambda: b.EpsilonGreedy(math.nan), DomainError, "epsilon"),
        (lambda: b.DecayingEpsilonGreedy(5, 0.0), DomainError, "gap"),
        (lambda: b.ConfidenceUCB(1.0), DomainError, r"delta must lie in \(0, 1\)"),
        (lambda: b.SuccessiveElimination(0.0), DomainError, r"delta must lie in \(0, 1\)"),
        (lambda: b.LUCB(1.0), DomainError, "delta"),
        (lambda: b.Exp3(0.0), DomainError, "eta must be finite and > 0, got 0.0"),
        (lambda: b.TsallisINF("x"), DomainError, "estimator"),
        (lambda: b.MOSS("x"), DomainError, "form"),
        (lambda: b.ThompsonGaussian("x"), DomainError, "prior"),
        (lambda: b.ThompsonGaussian(sigma=0.0), DomainError, "sigma"),
        (lambda: b.ThompsonBeta(0.5), DomainError, "prior's a must be finite and >= 1"),
        (lambda: b.OFUL(FEATURES, 0.0), DomainError, "ridge must be finite and > 0"),
        (lambda: b.OFUL(FEATURES, delta=2.0), DomainError, "delta"),
        (lambda: b.ExploreThenCommit(0), DomainError, "pulls must be >= 1"),
        (lambda: b.ExploreThenCommit(2.0), TypeError, "pulls must be an int, got float"),
        (lambda: b.KLUCB(-1.0), DomainError, "c must be finite and >= 0"),
        (lambda: b.UCB1(math.inf), DomainError, "exploration must be finite"),
    ],
)
def test_bad_problems_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def simulate(policy=b.UCB1(), env=THREE_ARMS, horizon=10, replicates=2, **options):  # noqa: B008
    return sims.simulate(policy, env, horizon, replicates, **{"seed": 0, **options})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"horizon": 10.0}, TypeError, "horizon must be an int, got float"),
        ({"horizon": True}, TypeError, "horizon must be an int, got bool"),
        ({"horizon": 0}, DomainError, "horizon must be >= 1"),
        ({"horizon": 2}, DomainError, "UCB1 pulls each of the 3 arms first: T must be >= 3, got 2"),
        ({"horizon": 2**32}, DomainError, "T must be at most 4294967295"),
        ({"env": b.Gaussian([0.0, 1e10]), "horizon": 10**4}, DomainError, r"must stay below 2\^40"),
        ({"replicates": 0}, DomainError, "replicates must be >= 1"),
        ({"replicates": 2.0}, TypeError, "replicates must be an int"),
        ({"first_replicate": 2**64 - 1}, DomainError, r"numbered below 2\^64"),
        ({"first_replicate": -1}, DomainError, "first_replicate must be >= 0"),
        ({"checkpoints": [0, 5]}, DomainError, "increase strictly within 1..10"),
        ({"checkpoints": [5, 11]}, DomainError, "increase strictly within 1..10"),
        ({"checkpoints": [5, 5]}, DomainError, "increase strictly within 1..10"),
        ({"checkpoints": [5.0]}, TypeError, "checkpoints must hold integers"),
        ({"checkpoints": []}, TypeError, "checkpoints must hold integers"),
        ({"checkpoints": [[1]]}, ShapeError, r"checkpoints must have shape \(C,\)"),
        ({"seed": 1.5}, TypeError, "seed must be an integer"),
        ({"seed": -1}, DomainError, "seed"),
        ({"device": "cuda"}, DomainError, "runs on the cpu, not on 'cuda'"),
        ({"policy": "UCB1"}, TypeError, "policy must be"),
        ({"env": [0.5]}, TypeError, "env must be"),
        ({"policy": b.Exp3(), "env": NORMAL}, DomainError, r"Exp3 needs rewards in \[0, 1\].*rescale"),
        ({"policy": b.MOSS(), "env": NORMAL}, DomainError, r"MOSS needs rewards in \[0, 1\]"),
        ({"policy": b.KLUCB(), "env": NORMAL}, DomainError, r"KLUCB needs rewards in \[0, 1\]"),
        ({"policy": b.ThompsonBeta(), "env": RISING}, DomainError, "ThompsonBeta needs rewards 0 or 1"),
        ({"policy": b.OFUL(FEATURES)}, ShapeError, "features of 6 arms, the environment 3 arms"),
        ({"policy": b.LUCB(0.1)}, TypeError, "use identify"),
    ],
)
def test_bad_runs_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        simulate(**arguments)


@pytest.mark.parametrize(
    ("run", "error", "message"),
    [
        (lambda: sims.expectation(b.UCB1(), NORMAL, 5), TypeError, "enumerated for Bernoulli and Bounded"),
        (lambda: sims.expectation(b.UCB1(), THREE_ARMS, 30), DomainError, r"2\^30 reward sequences are too many"),
        (lambda: sims.expectation(b.ThompsonBeta(), THREE_ARMS, 5), DomainError, "draws its own coins"),
        (lambda: sims.identify(b.UCB1(), THREE_ARMS, 5, seed=0), TypeError, "SuccessiveElimination or LUCB"),
        (lambda: sims.identify(b.SuccessiveElimination(), THREE_ARMS, 5, seed=0), DomainError, "got None"),
        (lambda: sims.identify(b.LUCB(0.1), NORMAL, 5, seed=0), DomainError, r"rewards in \[0, 1\]"),
        (lambda: sims.identify(b.LUCB(0.1), THREE_ARMS, 5, max_pulls=2, seed=0), DomainError, "max_pulls must be >= 3"),
        (lambda: sims.elliptical_potential([1.0]), ShapeError, r"\(T, d\) or \(B, T, d\)"),
        (lambda: sims.elliptical_potential([[math.nan]]), NonFiniteError, "vectors is nan"),
        (lambda: sims.elliptical_potential([[1.0]], ridge=0), DomainError, "ridge must be > 0"),
        (lambda: theory.exact_regret(b.UCB1(), ("3/2", "1/2"), 3), DomainError, r"means must lie in \[0, 1\]"),
        (lambda: theory.exact_regret(b.Exp3(), TWO, 3), DomainError, "has no index"),
        (lambda: theory.exact_regret(b.ThompsonBeta(), THREE, 3), DomainError, "two arms"),
        (lambda: theory.history_regret(b.Exp3(), [0.5] * 4, 12), DomainError, "histories are too many"),
    ],
)
def test_other_bad_calls_are_refused(run, error, message):
    with pytest.raises(error, match=message):
        run()


PAIR = b.Bernoulli([0.4, 0.6])
REFUSED = [
    (lambda: b.inverse_gap([0.1, 0.2], 1.0, "slow"), DomainError, "'square' or 'fast', got 'slow'"),
    (lambda: b.inverse_gap([0.1, 0.2], -1.0), DomainError, "gamma must lie in"),
    (lambda: b.inverse_gap([0.1, 0.2], math.nan), DomainError, "gamma must lie in"),
    (lambda: b.inverse_gap([0.1, math.nan], 1.0), NonFiniteError, "got nan"),
    (lambda: b.inverse_gap([], 1.0), ShapeError, "none of them 0"),
    (lambda: b.log_checkpoints(0), DomainError, "horizon must be >= 1, got 0"),
    (lambda: b.hard_instance(2, 0, 0.1), DomainError, "T must be >= 1, got 0"),
    (lambda: PAIR.minimax_lower(-3), DomainError, "T must be >= 0, got -3"),
    (lambda: theory.etc_optimal_pulls(0.0, 100), DomainError, "gap = 0"),
    (lambda: sims.trajectory(b.UCB1(), PAIR, 5, replicate=-1, seed=0), DomainError, "^replicate must be >= 0"),
    (lambda: sims.identify(LUCB_, b.alternating_losses(2, 4), 2, seed=0), TypeError, "not for Switching"),
    (lambda: sims.identify(LUCB_, PAIR, 2, first_replicate=2**64, seed=0), DomainError, r"below 2\^64"),
]
LUCB_ = b.LUCB(delta=0.1)


@pytest.mark.parametrize(("make", "error", "words"), REFUSED)
def test_bad_numbers_are_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_stream_keeps_its_own_copy():
    means = np.array([[0.1, 0.9]])
    stream = b.Stream(means)
    means[:] = 0.5
    assert stream.means.tolist() == [[0.1, 0.9]]
    assert not stream.means.flags.writeable
