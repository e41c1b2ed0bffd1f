"""Contextual bandits: two routes to every number, kernels against simulators, networks, bad input."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lemmata import random as reference
from lemmata.claims import Claim
from lemmata.errors import AssumptionError, DomainError, NonFiniteError, ShapeError
from lemmata.experiments.bandits import contextual as experiments
from lemmata.kernels.bandits import contextual as kernels
from lemmata.problems import bandits as b
from lemmata.sims import bandits as sims
from lemmata.theory import bandits as theory

ENV = b.linear_contexts(30, 4, 3, seed=0)
KT = b.TabularOracle()


def by_hand(policy, env, horizon, replicate, seed):
    """A round at a time: ridge regression solved anew, counts kept in a dictionary, words of the reference."""
    logs, served, out = [], [], []
    for t in range(1, horizon + 1):
        w = reference.words(t, b.CONTEXT, replicate, seed=seed)
        m = (t - 1) % env.contexts if env.turn else int(reference.integer(w[0], w[1], env.contexts))
        y = np.empty(env.arms)
        for a in range(env.arms):
            x = env.features[m, a]
            if isinstance(policy.oracle, b.LinearOracle):
                rows = np.array([env.features[i, j] for i, j, _ in served]).reshape(-1, x.size)
                gram = policy.oracle.ridge * np.eye(x.size) + rows.T @ rows + np.outer(x, x)
                target = np.array([loss - 0.5 for _, _, loss in served])
                y[a] = np.clip(0.5 + x @ np.linalg.solve(gram, rows.T @ target), 0, 1)
            else:
                seen = [loss for i, j, loss in served if (i, j) == (m, a)]
                y[a] = (sum(seen) + policy.oracle.weight * policy.oracle.prior) / (len(seen) + policy.oracle.weight)
        p = b.inverse_gap(y, policy.gamma, policy.rule)
        coin = reference.words(t, b.POLICY, replicate, seed=seed)
        a = int(np.searchsorted(np.cumsum(p)[:-1], reference.uniform64(coin[0], coin[1]), side="right"))
        loss = float(int(w[2]) < math.floor(env.means[m, a] * 2**32))
        out.append((m, a, loss, y[a], p[a]))
        logs.append((m, a, loss))
        if t % policy.generation == 0:
            served = list(logs)
            if policy.keep == "last":
                logs = []
    return np.array(out)


@pytest.mark.parametrize(
    "policy",
    [
        b.InverseGap(30.0),
        b.InverseGap(30.0, "fast", KT),
        b.InverseGap(np.inf, oracle=b.TabularOracle(0.0, 2.0), generation=7, keep="last"),
        b.InverseGap(9.0, oracle=b.LinearOracle(0.3), generation=10),
        b.InverseGap(0.0),
    ],
    ids=["square", "fast", "last", "batch", "uniform"],
)
@pytest.mark.parametrize("env", [ENV, b.contextual_hard(3, 3, 0.4, seed=1)], ids=["linear", "hard"])
def test_every_round_is_that_of_the_algorithm(policy, env):
    run = sims.simulate_contextual(policy, env, 60, 1, path=True, first_replicate=4, seed=3)
    m, a, loss, prediction, probability = by_hand(policy, env, 60, 4, 3).T
    np.testing.assert_array_equal(run["context"][0], m)
    np.testing.assert_array_equal(run["arm"][0], a)
    np.testing.assert_array_equal(run["loss"][0], loss)
    # sixty updates of an inverse
    np.testing.assert_allclose(run["prediction"][0], prediction, rtol=0, atol=1e-12)
    np.testing.assert_allclose(run["probability"][0], probability, rtol=1e-9, atol=1e-12)
    m, a = m.astype(int), a.astype(int)
    np.testing.assert_allclose(run["regret"][0, -1], env.gaps[m, a].sum(), rtol=1e-12)
    np.testing.assert_allclose(run["error"][0, -1], ((prediction - env.means[m, a]) ** 2).sum(), rtol=1e-9)
    np.testing.assert_allclose(run["least"][0, -1], env.means[m].min(axis=1).sum(), rtol=1e-12)


@pytest.mark.parametrize("policy", [b.InverseGap(30.0), b.InverseGap(50.0, "fast", KT), b.InverseGap(np.inf)])
def test_the_kernel_plays_the_same_rounds(policy):
    given = {"path": True, "checkpoints": [10, 150, 200], "first_replicate": 2**63, "seed": 5}
    one = sims.simulate_contextual(policy, ENV, 200, 3, **given)
    other = kernels.simulate_contextual(policy, ENV, 200, 3, device="cpu", **given)
    for name in ("context", "arm", "loss"):
        np.testing.assert_array_equal(one[name], other[name])
    for name in ("prediction", "probability", "regret", "error", "least"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-10, atol=1e-12)  # sums in another order
    assert one.sizes == other.sizes


def test_batches_and_checkpoints_change_nothing():
    network = b.InverseGap(30.0, oracle=b.NeuralOracle(8))
    for play, policy in ((sims.simulate_contextual, b.InverseGap(30.0)), (kernels.simulate_contextual, network)):
        whole = play(policy, ENV, 150, 4, checkpoints=[10, 100, 150], seed=4)["regret"].values
        parts = [
            play(policy, ENV, 150, n, checkpoints=[100], first_replicate=f, seed=4)["regret"].values
            for f, n in ((0, 1), (1, 3))
        ]
        np.testing.assert_array_equal(whole[:, 1], np.concatenate(parts)[:, 0])
        assert (play(policy, ENV, 150, 4, checkpoints=[100], seed=5)["regret"].values[:, 0] != whole[:, 1]).any()


# ---------------------------------------------------------------------------------- inverse-gap weights


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=8),
    st.floats(0, 1e6),
    st.sampled_from(["square", "fast"]),
    st.floats(0.01, 5),
)
def test_weights_are_a_law_that_prefers_what_is_predicted_best(y, gamma, rule, shift):
    y = np.array(y)
    p, best = b.inverse_gap(y, gamma, rule), int(y.argmin())
    assert p.min() >= -1e-15
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-12)
    assert p[best] >= 1 / y.size - 1e-12
    others = np.delete(np.arange(y.size), best)
    order = others[np.argsort(y[others], kind="stable")]
    assert (np.diff(p[order]) <= 1e-15).all()
    if rule == "square":  # depends on differences alone; those of y + shift are rounded to 1e-15, and best may tie then
        np.testing.assert_allclose(np.sort(b.inverse_gap(y + shift, gamma)), np.sort(p), rtol=0, atol=1e-8)
    else:  # depends on ratios alone
        scaled = b.inverse_gap(shift * y, gamma, rule)
        np.testing.assert_allclose(scaled, p, rtol=0, atol=1e-8)


def test_ends_of_the_scale():
    y = [0.3, 0.1, 0.1, 0.9]
    np.testing.assert_allclose(b.inverse_gap(y, 0.0), [0.25] * 4)
    np.testing.assert_array_equal(b.inverse_gap(y, np.inf), [0, 1, 0, 0])
    np.testing.assert_allclose(b.inverse_gap(y, 10.0), [1 / 6, 1 - 1 / 6 - 1 / 4 - 1 / 12, 1 / 4, 1 / 12])
    np.testing.assert_allclose(b.inverse_gap([0.1, 0.2], 10.0, "fast"), [1 - 0.1 / 1.2, 0.1 / 1.2])
    # where the best costs nothing the fast rule leaves nothing to a worse one
    np.testing.assert_allclose(b.inverse_gap([0.0, 0.0, 0.5], 10.0, "fast"), [2 / 3, 1 / 3, 0])


def test_the_step_is_met_by_its_own_supremum():
    """The closed form of the proof, sum p D - D_i + (1 - p_i)/(gamma p_i), against random f: never above it."""
    rng = np.random.default_rng(0)
    for arms, gamma in product((2, 5), (3.0, 300.0)):
        y = rng.uniform(0, 1, arms)
        p, gap = b.inverse_gap(y, gamma), y - y.min()
        closed = (p @ gap - gap + (1 - p) / (gamma * p)).max()
        ((measured,), (bound,)) = ((m := experiments._step([(y, gamma)], None)).measured, m.theory)
        np.testing.assert_allclose(measured, closed, rtol=1e-9)
        f = rng.normal(y, 10 ** rng.uniform(-3, 1, (2000, 1)), (2000, arms))
        values = (f @ p)[:, None] - f - (gamma / 4 * (y - f) ** 2 @ p)[:, None]
        assert values.max() <= closed <= bound


def test_the_constant_of_the_fast_step_cannot_be_three_quarters():
    games = experiments._fast_games(experiments.Setup())
    assert (np.array((m := experiments._fast_step(games, None)).measured) <= np.array(m.theory) + 1e-12).all()
    short = experiments._fast_step(games, None, triangle=0.75)
    assert (np.array(short.measured) > np.array(short.theory)).any()


# --------------------------------------------------------------------------------------------- statements


def test_greedy_gets_stuck_where_contexts_tell_nothing():
    env = b.contextual_hard(2, 3, 0.4, seed=0)
    run = sims.simulate_contextual(b.InverseGap(np.inf), env, 4000, 200, checkpoints=[2000, 4000], seed=0)
    late = np.diff(run["regret"].values, axis=1)[:, 0]
    # of the runs in which some context is never cleared up, each pays .4 in half of the rounds or in all
    assert ((late < 40) | (late > 300)).mean() > 0.9
    assert (late > 300).mean() > 0.05


def test_uniform_exploration_pays_the_mean_gap():
    run = sims.simulate_contextual(b.InverseGap(0.0), ENV, 1000, 400, checkpoints=[1000], seed=1)
    regret = run["regret"].values[:, 0]
    assert abs(regret.mean() - 1000 * ENV.gaps.mean()) < 4 * regret.std() / 20


def test_the_lower_bound_by_hand():
    # eps n (1 - 1/K - (1/2) sqrt(-(n/K) ln(1 - 4 eps^2))) for each context
    value = theory.contextual_lower(arms=4, contexts=2, rounds=100, gap=0.05)
    each = 0.05 * 100 * (1 - 1 / 4 - 0.5 * math.sqrt(-(100 / 4) * math.log(0.99)))
    np.testing.assert_allclose(value, 2 * each, rtol=1e-12)


def test_the_triangular_error_is_at_most_twice_the_divergence():
    """What carries `fastcb_regret` from the oracle's logarithmic loss to `fastcb_step`."""
    p, q = np.meshgrid(np.linspace(0, 1, 201), np.linspace(0.001, 0.999, 200))
    triangle = (p - q) ** 2 / (p + q)
    assert (triangle <= 2 * b.kl_bernoulli(p, q) + 1e-12).all()
    assert (triangle > 1.0 * b.kl_bernoulli(p, q)).any()


def test_gamma_makes_the_bound_least():
    arms, horizon, squares = 5, 1000, 7.0
    total = lambda g: 2 * (arms - 1) * horizon / g + g * squares / 4  # noqa: E731
    best = b.squarecb_gamma(arms, horizon, squares)
    np.testing.assert_allclose(total(best), theory.squarecb_regret(arms=arms, horizon=horizon, squares=squares))
    assert total(best) < min(total(0.9 * best), total(1.1 * best))


def test_the_oracles_own_logs_are_worth_more_under_inverse_gap_weights():
    """Effective sample of importance weights for the best actions: K^-1 of uniform logs, most of the others'."""
    env = b.contextual_hard(4, 3, 0.4, seed=0)
    share = {}
    for gamma in (0.0, 100.0):
        run = sims.simulate_contextual(b.InverseGap(gamma), env, 4000, 20, path=True, seed=0)
        best = run["arm"].values == env.means.argmin(axis=1)[run["context"].values]
        w = np.where(best, 1 / run["probability"].values, 0.0)[:, 2000:]
        share[gamma] = (w.sum(axis=1) ** 2 / (w**2).sum(axis=1)).mean() / 2000
    assert abs(share[0.0] - 1 / 3) < 0.02
    assert share[100.0] > 0.85


def test_claims_are_honest_about_gamma_and_fit():
    ring, trial = b.ring_contexts(16, 4), experiments.Trial
    np.testing.assert_allclose(ring.misfit, 0.5)
    with pytest.raises(AssumptionError, match=r"no theta is nearer than 0\.5"):
        theory.squarecb_regret.check(trial(b.InverseGap(10.0), ring, 100))
    with pytest.raises(AssumptionError, match=r"gamma = 5 < 2 K = 8"):
        theory.fastcb_regret.check(trial(b.InverseGap(5.0, "fast", KT), ENV, 100))
    quoted = [c.id for c in vars(theory).values() if isinstance(c, Claim) and c.standing == "checked"]
    assert {"bandits/fastcb-step", "bandits/fastcb-regret", "bandits/krichevsky-regret"} <= set(quoted)


# --------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize("loss", ["square", "kl"])
def test_the_gradient_is_that_of_automatic_differentiation(loss):
    oracle = b.NeuralOracle(6, loss, perturbation=0.4, members=5)
    features = torch.as_tensor(ENV.features.copy())
    network = kernels._Network(oracle, features, torch.arange(3), 1)
    network.theta = network.start + 0.3 * torch.randn(
        network.start.shape, dtype=torch.float64, generator=torch.manual_seed(0)
    )
    m, a, y = torch.tensor([1, 5, 9]), torch.tensor([0, 3, 2]), torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    theta = network.theta.clone().requires_grad_()
    w, v = theta[:, : 6 * 3].view(3, 6, 3), theta[:, 18:]
    f = (v * torch.tanh(torch.einsum("nmd,nd->nm", w, features[m, a]))).sum(dim=1) / math.sqrt(6)
    shift = 0.4 * 6**-0.25 * torch.einsum("nsp,np->ns", network.signs, theta - network.start)
    output = f[:, None] + shift
    if loss == "square":
        each = (0.5 + output - y[:, None]) ** 2
    else:
        each = torch.nn.functional.binary_cross_entropy_with_logits(output, y[:, None].expand(3, 5), reduction="none")
    each.mean(dim=1).sum().backward()
    np.testing.assert_allclose(network.gradient(m, a, y), theta.grad, rtol=1e-12, atol=1e-14)


def test_a_network_starts_at_one_half_from_its_own_words():
    oracle = b.NeuralOracle(6, members=5)
    features = torch.as_tensor(ENV.features.copy())
    both = kernels._Network(oracle, features, torch.tensor([7, 8]), 1)
    np.testing.assert_allclose(both.predict(torch.tensor([0, 3])), 0.5, atol=1e-15)
    alone = kernels._Network(oracle, features, torch.tensor([8]), 1)
    assert torch.equal(both.start[1:], alone.start)
    assert torch.equal(both.signs[1:], alone.signs)
    assert set(both.signs.unique().tolist()) == {-1.0, 1.0}
    # 120 signs: six standard deviations of their mean
    assert abs(float(both.signs.mean())) < 6 / math.sqrt(both.signs.numel())
    first = reference.normal(*reference.words(0, b.NETWORK, 8, seed=1))
    np.testing.assert_allclose(alone.start[0, :2], first, rtol=1e-12)


# --------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"means": 2 * ENV.means}, DomainError, r"means.*\[0, 1\]"),
        ({"means": ENV.means[:, :2]}, ShapeError, r"means must be \(30, 4\), got \(30, 2\)"),
        ({"features": ENV.features[0]}, ShapeError, r"features must have shape \(M, K, d\), got \(4, 3\)"),
        ({"features": np.full(ENV.features.shape, np.nan)}, NonFiniteError, "features is nan"),
    ],
)
def test_contexts_are_checked(change, error, words):
    with pytest.raises(error, match=words):
        replace(ENV, **change)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: b.InverseGap(-1.0), DomainError, r"gamma must lie in \[0, inf\], got -1"),
        (lambda: b.InverseGap(math.nan), DomainError, "gamma"),
        (lambda: b.InverseGap(1.0, "slow"), DomainError, "'square' or 'fast'"),
        (lambda: b.InverseGap(1.0, keep="some"), DomainError, "'all' or 'last'"),
        (lambda: b.InverseGap(1.0, generation=0), DomainError, "generation must be >= 1"),
        (lambda: b.InverseGap(1.0, oracle="ridge"), TypeError, "oracle must be"),
        (lambda: b.InverseGap(1.0, oracle=b.NeuralOracle(), generation=5), DomainError, "round by round"),
        (lambda: b.LinearOracle(0.0), DomainError, "ridge"),
        (lambda: b.TabularOracle(1.5), DomainError, r"prior must lie in \[0, 1\], got 1.5"),
        (lambda: b.TabularOracle(weight=0.0), DomainError, "weight"),
        (lambda: b.NeuralOracle(7), DomainError, "width must be even"),
        (lambda: b.NeuralOracle(loss="hinge"), DomainError, "'square' or 'kl'"),
        (lambda: b.NeuralOracle(rate=0.0), DomainError, "rate"),
        (lambda: b.contextual_hard(2, 2, 0.6, seed=0), DomainError, r"gap must lie in \[0, 1/2\], got 0.6"),
        (lambda: b.squarecb_gamma(2, 10, 0.0), DomainError, "squares"),
    ],
)
def test_options_are_checked(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("play", [sims.simulate_contextual, kernels.simulate_contextual], ids=["sims", "kernels"])
def test_runs_are_checked(play):
    policy = b.InverseGap(10.0)
    for bad, error in (((0, 1), DomainError), ((10.0, 1), TypeError), ((True, 1), TypeError), ((10, 0), DomainError)):
        with pytest.raises(error):
            play(policy, ENV, *bad, seed=0)
    with pytest.raises(TypeError, match="Contextual"):
        play(policy, b.instance_a(), 10, 1, seed=0)
    with pytest.raises(TypeError, match="InverseGap"):
        play(b.UCB1(), ENV, 10, 1, seed=0)
    with pytest.raises(DomainError, match="increase strictly"):
        play(policy, ENV, 50, 1, checkpoints=[20, 10], seed=0)
    with pytest.raises(DomainError, match=r"below 2\^64"):
        play(policy, ENV, 50, 2, first_replicate=2**64 - 1, seed=0)


def test_what_one_room_cannot_do_names_the_other():
    with pytest.raises(DomainError, match="kernels"):
        sims.simulate_contextual(b.InverseGap(1.0, oracle=b.NeuralOracle()), ENV, 10, 1, seed=0)
    with pytest.raises(DomainError, match="sims"):
        kernels.simulate_contextual(b.InverseGap(1.0, generation=5), ENV, 10, 1, seed=0)
    with pytest.raises(DomainError, match="kernels"):
        sims.simulate_contextual(b.InverseGap(1.0), ENV, 10, 1, device="cuda", seed=0)
    with pytest.raises(NonFiniteError, match="lower its rate"):
        kernels.simulate_contextual(b.InverseGap(1.0, oracle=b.NeuralOracle(4, rate=1e6)), ENV, 200, 1, seed=0)
    with pytest.raises(ShapeError, match=r"m \(d \+ 1\) = 12"):
        kernels.perturbed_outputs(b.NeuralOracle(4), np.zeros(12), np.zeros(11), np.ones((3, 12)), np.ones(2))
