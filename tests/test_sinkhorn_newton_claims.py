"""Statements on entropic transport: each holds in its experiment, and closed forms equal what brute force finds."""

import functools
import itertools

import numpy as np
import pytest
from scipy.special import logsumexp

from lemmata.claims import Claim
from lemmata.errors import AssumptionError, DomainError, ShapeError
from lemmata.experiments.sinkhorn_newton import EXPERIMENTS
from lemmata.problems import sinkhorn_newton as problems
from lemmata.problems.sinkhorn_newton import TransportProblem
from lemmata.sims import sinkhorn_newton as sims
from lemmata.theory import sinkhorn_newton as theory
from lemmata.verification import Setup, run


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: f"{e.claim.id.partition('/')[2]}-{e.instance}")
def test_claim_holds_and_saboteurs_are_caught(experiment):
    row = run(experiment, Setup(seed=0))
    assert row.status == "holds", row.reason
    missed = [s for s in row.saboteurs if s.status != "violated"]
    assert not missed
    assert row.saboteurs


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_claims_hold_for_other_seeds(seed):
    for experiment in EXPERIMENTS:
        row = run(experiment, Setup(seed=seed))
        assert (row.status, row.sabotage) == ("holds", "violated"), (experiment.claim.id, row.reason, row.saboteurs)


def test_every_claim_is_tried():
    claims = {value.id for value in vars(theory).values() if isinstance(value, Claim)}
    assert claims == {experiment.claim.id for experiment in EXPERIMENTS}
    assert len(claims) >= 30


def own_sinkhorn(C, r, c, eps, steps, *, weight=1.0):
    f, g = np.zeros(len(r)), np.zeros(len(c))
    fs, gs = [f], [g]
    for _ in range(steps):
        f = f + weight * eps * (np.log(r) - logsumexp((f[:, None] + g - C) / eps, axis=1))
        fs, gs = [*fs, f], [*gs, g]
        g = g + weight * eps * (np.log(c) - logsumexp((f[:, None] + g - C) / eps, axis=0))
        fs, gs = [*fs, f], [*gs, g]
    return np.array(fs), np.array(gs)


def test_own_algorithm_can_be_checked():
    able = [experiment for experiment in EXPERIMENTS if experiment.protocol]
    assert len(able) >= 10
    for experiment in able:
        row = run(experiment, Setup(), changes={"algorithm": own_sinkhorn}, sabotage=False)
        assert row.status == "holds", (row.claim, row.reason)
    ascent = next(e for e in able if e.claim is theory.ascent)
    changes = {"algorithm": functools.partial(own_sinkhorn, weight=0.99)}
    assert run(ascent, Setup(), changes=changes, sabotage=False).status == "violated"
    row = run(ascent, Setup(), changes={"algorithm": lambda C, r, c, eps, steps: (r, c)}, sabotage=False)
    assert "the algorithm gave shapes" in row.reason


def test_single_precision_is_refused():
    row = run(EXPERIMENTS[0], Setup(dtype="float32"))
    assert row.status == "error"
    assert "float64" in row.reason


# ---------------------------------------------------------------------- where the sparsity theorem ends


def test_sparsity_theorem_does_not_cover_the_experiment_of_its_paper():
    problem = problems.random_assignment(500, eta=1200.0, seed=0)
    gap = theory.vertex_gap(problem.C)
    assert 1e-7 < gap < 1e-6
    assert (1 + 2 * np.log(500)) / gap > 1e7
    with pytest.raises(AssumptionError, match=r"eta = 1200 < \(1 \+ log n\)/Delta"):
        theory.sparse_support.check(problem)
    # nor would the sharp exponent help: it asks for about a million
    assert 1 / theory.mean_cycle(problem.C) > 1e5


def test_assumptions_name_the_number_that_breaks_them():
    rectangular = problems.random_transport(3, 4, eps=0.1, seed=0)
    with pytest.raises(AssumptionError, match="3 x 4"):
        theory.vertex_distance.check(rectangular)
    heavy = TransportProblem(np.ones((2, 2)), np.ones(2), np.ones(2), 1.0)
    with pytest.raises(AssumptionError, match="sum to 2"):
        theory.entropic_bias.check(heavy)
    empty = TransportProblem(np.ones((2, 2)), np.array([1.0, 0.0]), np.ones(2) / 2, 1.0)
    with pytest.raises(AssumptionError, match="a mass is 0"):
        theory.duality_gap.check(empty)
    negative = TransportProblem(-np.ones((2, 2)), np.ones(2) / 2, np.ones(2) / 2, 1.0)
    with pytest.raises(AssumptionError, match="a cost is -1"):
        theory.gap_by_marginal.check(negative)
    C = np.array([[0, 0.1, 1], [0.1, 0, 0.1], [1, 0.1, 0]])
    with pytest.raises(AssumptionError, match="smallest eigenvalue"):
        theory.divergence_nonnegative.check(TransportProblem(C, np.ones(3) / 3, np.ones(3) / 3, 1.0))
    with pytest.raises(AssumptionError, match="not symmetric"):
        theory.divergence_nonnegative.check(rectangular)
    with pytest.raises(AssumptionError, match="one vertex"):
        theory.vertex_gap(np.ones((1, 1)))


# ----------------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7])
def test_vertex_gap_and_mean_cycle_by_enumeration(n):
    for seed in range(5):
        C = np.random.default_rng(100 * n + seed).random((n, n))
        costs = {s: C[np.arange(n), s].sum() for s in itertools.permutations(range(n))}
        best, second = sorted(costs.values())[:2]
        assert theory.vertex_gap(C) == pytest.approx((second - best) / n, abs=1e-14)
        _, W = theory.slack(C)
        means = [
            sum(W[a, b] for a, b in zip(cycle, (*cycle[1:], cycle[0]), strict=True)) / length
            for length in range(2, n + 1)
            for cycle in itertools.permutations(range(n), length)
        ]
        assert theory.mean_cycle(C) == pytest.approx(min(means), abs=1e-14)
        assert theory.vertex_gap(C) <= theory.mean_cycle(C) * (1 + 1e-12) <= n / 2 * theory.vertex_gap(C) * (1 + 1e-9)


def test_log_theta_by_enumeration():
    rng = np.random.default_rng(0)
    C = rng.random((4, 5))
    found = max(
        C[j, k] + C[i, m] - C[i, k] - C[j, m]
        for i, j in itertools.product(range(4), repeat=2)
        for k, m in itertools.product(range(5), repeat=2)
    )
    assert theory.log_theta(C, 0.3) == pytest.approx(found / 0.3, rel=1e-14)
    assert theory.contraction(C, 0.3) == pytest.approx(np.tanh(found / 1.2), rel=1e-14)


def test_exact_plan_is_optimal():
    for seed in range(5):
        problem = problems.random_assignment(8, seed=seed)
        P = theory.exact_plan(problem.C, problem.r, problem.c)
        s, _ = theory.slack(problem.C)
        assert (P * problem.C).sum() == pytest.approx(problem.C[np.arange(8), s].mean(), abs=1e-12)


def test_slowest_mode_of_known_plan():
    P = np.array([[0.4, 0.1], [0.1, 0.4]])
    sigma, mode = theory.slowest_mode(P)
    assert sigma == pytest.approx(0.6, abs=1e-15)
    assert mode[0] == pytest.approx(-mode[1], abs=1e-15)


def test_gaussian_forms():
    for eps in (0.1, 1.0, 10.0):
        value = theory.gaussian_value(0.3, 1.2, -0.5, 0.7, eps)
        claimed = theory.gaussian_transport(mean_1=0.3, deviation_1=1.2, mean_2=-0.5, deviation_2=0.7, eps=eps)
        assert value == pytest.approx(float(claimed), rel=1e-14)
        rate = theory.gaussian_rate(deviation_1=1.2, deviation_2=0.7, eps=eps)
        assert float(rate) == pytest.approx((theory.gaussian_covariance(1.2, 0.7, eps) / (1.2 * 0.7)) ** 2, rel=1e-14)
    # without entropy: squared distance of means and deviations
    assert theory.gaussian_value(0.3, 1.2, -0.5, 0.7, 0.0) == pytest.approx(0.8**2 + 0.5**2, rel=1e-15)
    assert theory.gaussian_value(0.3, 1.2, -0.5, 0.7, 1e-9) == pytest.approx(0.8**2 + 0.5**2, abs=1e-6)


def test_two_by_two_plan():
    problem = problems.two_by_two(1.3, eps=0.4)
    P = sims.solve(problem.C, problem.r, problem.c, problem.eps, tol=1e-14).P
    q = 1 / (1 + np.exp(1.3 / 0.4))
    np.testing.assert_allclose(P, np.array([[1 - q, q], [q, 1 - q]]) / 2, atol=1e-15)


# -------------------------------------------------------------------------------------------- instances


def test_instances_are_what_they_say():
    lap = problems.random_assignment(50, eta=10.0, seed=0)
    assert lap.is_assignment
    assert lap.eps == pytest.approx(0.1)
    assert not problems.random_transport(5, 5, eps=1.0, seed=0).is_assignment
    digits = problems.digits()
    assert digits.shape == (784, 784)
    assert digits.C.max() == 1
    assert digits.r.min() > 0
    one = problems.digit_image(1)
    assert one.max() == 1
    assert one[:, 10:20].sum() > 0.8 * one.sum()  # a stroke in the middle
    line = problems.densities(50, p=1)
    assert line.optimum == pytest.approx((line.C * theory.exact_plan(line.C, line.r, line.c)).sum(), rel=1e-9)
    x = np.array([0.0, 1.0, 3.0])
    assert problems.quantile_cost(x, x + 2, [0.2, 0.5, 0.3], [0.2, 0.5, 0.3], 2) == pytest.approx(4.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: problems.random_assignment(5, law="normal", seed=0),
        lambda: problems.random_assignment(5, eta=0.0, seed=0),
        lambda: problems.random_transport(5, 5, eps=1.0, law="cauchy", seed=0),
        lambda: problems.digits(10, 0),
        lambda: problems.digits(cost="l2"),
        lambda: problems.digits(background=0.0),
        lambda: problems.densities(50, p=3),
        lambda: problems.point_clouds(5, relative_eps=-1.0, seed=0),
        lambda: problems.one_level(1, stretch=2.0),
        lambda: problems.one_level(4, stretch=0.0),
        lambda: theory.gaussian_value(0.0, 1.0, 0.0, 1.0, -0.1),
        lambda: theory.gaussian_value(0.0, -1.0, 0.0, 1.0, 0.1),
        lambda: theory.gaussian_covariance(1.0, 1.0, float("nan")),
    ],
)
def test_bad_instances_are_refused(make):
    with pytest.raises(DomainError):
        make()


def test_problem_is_frozen():
    problem = problems.random_transport(3, 4, eps=0.1, seed=0)
    with pytest.raises(ValueError, match="read-only"):
        problem.C[0, 0] = 1.0
    with pytest.raises(ShapeError):
        TransportProblem(np.ones((2, 3)), np.ones(3) / 3, np.ones(2) / 2, 1.0)
