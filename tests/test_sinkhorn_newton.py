"""Solvers of entropic transport: they agree, they converge in the steps promised, and bad input is refused."""

from functools import cache
from itertools import combinations_with_replacement, pairwise

import numba
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from lemmata.errors import DomainError, NonFiniteError, NotConverged, ShapeError
from lemmata.problems import sinkhorn_newton as problems
from lemmata.problems.sinkhorn_newton import TransportProblem
from lemmata.sims import sinkhorn_newton as sims
from lemmata.sims.sinkhorn_newton import sweeps
from lemmata.theory import sinkhorn_newton as theory

METHODS = [method for method in sims.METHODS if method != "averaged"]
#: Rounding of a plan whose exponents carry an error of a few units in the last place.
PLAN = 1e-11


def solve(problem, **options):
    return sims.solve(problem.C, problem.r, problem.c, problem.eps, **({"tol": 1e-12} | options))


def marginal_error(P, r, c):
    return np.abs(P.sum(1) - r).sum() + np.abs(P.sum(0) - c).sum()


def random_problem(n, m, relative_eps, seed):
    rng = np.random.default_rng(seed)
    C = rng.standard_normal((n, m))
    eps = relative_eps * max(float(C.std()), 0.1)
    return TransportProblem(C, rng.dirichlet(np.ones(n)) + 1e-3, rng.dirichlet(np.ones(m)) + 1e-3, eps, normalize=True)


@cache
def reference(n, m, eps, steps=3000):
    """A random problem and its plan by plain Sinkhorn with scipy, nothing shared with the code under test."""
    problem = problems.random_transport(n, m, eps=eps, seed=n)
    K = -problem.C / problem.eps
    f, g = np.zeros(len(problem.r)), np.zeros(len(problem.c))
    for _ in range(steps):
        f = np.log(problem.r) - logsumexp(K + g, axis=1)
        g = np.log(problem.c) - logsumexp(K + f[:, None], axis=0)
    return problem, np.exp(f[:, None] + g + K)


# ------------------------------------------------------------------------------------------ agreement


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "m", "eps"), [(15, 22, 0.05), (40, 7, 0.3), (70, 65, 0.1)])
def test_methods_agree_with_plain_sinkhorn(method, n, m, eps):
    problem, P = reference(n, m, eps)
    result = solve(problem, method=method)
    assert result.converged
    assert result.delta <= 1e-12
    np.testing.assert_allclose(result.P, P, rtol=0, atol=PLAN)


@pytest.mark.parametrize("method", METHODS)
def test_delta_is_that_of_the_potentials(method):
    problem = problems.random_transport(20, 30, eps=0.05, seed=3)
    result = solve(problem, method=method, tol=1e-6)
    P = np.exp((result.f[:, None] + result.g - problem.C) / problem.eps)
    # exponents of size max|f|/eps, a few digits each
    assert abs(marginal_error(P, problem.r, problem.c) - result.delta) < 1e-12
    assert problem.r @ result.f == pytest.approx(problem.c @ result.g, abs=1e-14)
    trace = result.trace["delta"].values
    assert trace[-1] == result.delta
    assert (trace[:-1] > 1e-6).all()


@pytest.mark.parametrize(
    ("n", "relative_eps", "cost"),
    [(500, 1e-2, 0.0048665865), (500, 1e-3, 0.0031420549), (1000, 1e-2, 0.0036105884), (1000, 1e-3, 0.0016609231)],
)
def test_costs_of_point_clouds(n, relative_eps, cost):
    # values computed by three other packages to ten decimals
    problem = problems.point_clouds(n, relative_eps=relative_eps, seed=42)
    result = solve(problem, tol=1e-9)
    assert abs((problem.C * result.P).sum() - cost) < 1e-10


@pytest.mark.parametrize("seed", range(6))
def test_interval_holds_the_exact_optimum(seed):
    problem = problems.random_transport(9, 12, eps=0.01, seed=seed)
    optimum = float((problem.C * theory.exact_plan(problem.C, problem.r, problem.c)).sum())
    for tol in (1e-1, 1e-12):
        lower, upper = solve(problem, tol=tol).interval
        assert lower - 1e-9 <= optimum <= upper + 1e-9  # the linear programme is feasible to 1e-10
    assert upper - lower < 0.01 * np.log(9 * 12)  # a converged plan is off by eps times an entropy


def test_exact_value_on_the_line():
    for p in (1, 2):
        problem = problems.densities(200, p=p, eta=5000.0)
        lower, upper = solve(problem, tol=1e-9).interval
        assert lower <= problem.optimum * (1 + 1e-9)
        assert upper >= problem.optimum * (1 - 1e-9)
        assert upper - problem.optimum < problem.eps * np.log(200)


def test_cost_of_the_plan_falls_with_the_temperature():
    problem = problems.random_transport(12, 9, eps=1.0, seed=2)
    costs = []
    for eps in np.geomspace(1e-2, 10, 20):
        P = sims.solve(problem.C, problem.r, problem.c, eps, tol=1e-12).P
        costs.append((problem.C * P).sum())
    assert (np.diff(costs) > -1e-11).all()
    assert costs[0] < 0.9 * costs[-1]


def test_value_of_the_paper_is_shifted_by_eps():
    # F(x, y) = -(1/eta) sum exp(eta (x + y - C) - 1) + <r, x> + <c, y> has the same plan at x + y = f + g + eps
    problem = problems.random_transport(8, 9, eps=0.2, seed=0)
    result = solve(problem)
    P, eta = result.P, 1 / problem.eps
    x = result.f + problem.eps
    F = -np.exp(eta * (x[:, None] + result.g - problem.C) - 1).sum() / eta + problem.r @ x + problem.c @ result.g
    assert pytest.approx((problem.C * P).sum() + problem.eps * (P * np.log(P)).sum(), rel=1e-12) == F


# ------------------------------------------------------------------------------- steps to convergence


def test_random_assignment_to_machine_precision():
    steps = []
    for seed in range(10):
        result = solve(problems.random_assignment(500, eta=1200.0, seed=seed), tol=1e-13)
        assert result.converged
        assert result.delta <= 1e-13
        assert result.sinkhorn_steps == 20
        assert result.stages == 1
        steps.append(result.newton_steps)
    assert np.median(steps) <= 12
    assert max(steps) <= 20


def test_digits_squared_distance():
    # the potentials of the first two have far to go: without the cooled warm-up 14 steps, and 125 + 14 with annealing
    for first, second in ((5, 9), (6, 7), (0, 1), (8, 9)):
        result = solve(problems.digits(first, second), tol=1e-13)
        assert result.delta <= 1e-13
        assert result.sinkhorn_steps == 20
        assert result.newton_steps <= 15


def test_digits_l1_needs_annealing():
    problem = problems.digits(cost="l1")
    direct = solve(problem, tol=1e-12, anneal=False, on_fail="return")
    assert direct.status in ("stalled", "max_steps")
    result = solve(problem, tol=1e-12, anneal=True)
    assert result.delta <= 1e-12
    assert result.stages > 1
    assert result.newton_steps <= 40
    assert solve(problem, tol=1e-12).stages > 1  # the default falls back to it


def test_newton_converges_superlinearly_and_fixed_density_does_not():
    problem = problems.random_assignment(200, eta=500.0, seed=1)

    def last_factors(**options):
        trace = solve(problem, tol=1e-13, max_steps=25, on_fail="return", **options).trace
        delta = trace["delta"].values[trace["kind"].values != "sinkhorn"]
        return delta[1:] / delta[:-1]

    assert last_factors().min() < 1e-3
    assert last_factors(method="newton").min() < 1e-3
    assert last_factors(density=2 / 200).min() > 1e-2


def test_dense_newton_order():
    found = []
    for seed in range(10):
        problem = problems.random_assignment(100, eta=100.0, seed=seed)
        trace = solve(problem, method="newton", tol=1e-13).trace["delta"].values
        e = trace[20:]
        orders = [np.log(b) / np.log(a) for a, b in pairwise(e) if 1e-6 < a < 1e-1 and b > 1e-12]
        found.append(bool(orders) and all(1.5 < order < 2.6 for order in orders))
    assert sum(found) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("eta", [10.0, 100.0, 1000.0, 1200.0, 5000.0, 20_000.0])
def test_random_assignment_at_every_temperature(eta):
    for seed in range(10):
        result = solve(problems.random_assignment(500, eta=eta, seed=seed), tol=1e-13 * max(1.0, eta / 5000))
        assert result.converged


@pytest.mark.slow
def test_digits_squared_distance_everywhere():
    for first, second in combinations_with_replacement(range(10), 2):
        result = solve(problems.digits(first, second), tol=1e-13)
        assert result.delta <= 1e-13
        assert result.newton_steps <= 15
        assert result.sinkhorn_steps == 20


@pytest.mark.slow
def test_digits_l1_everywhere():
    for first in range(10):
        assert solve(problems.digits(first, (first + 1) % 10, cost="l1"), tol=1e-12).converged


@pytest.mark.slow
@pytest.mark.parametrize("relative_eps", [1e-2, 1e-3])
def test_large_point_clouds(relative_eps):
    result = solve(problems.point_clouds(2000, relative_eps=relative_eps, seed=42), tol=1e-9)
    assert result.converged
    assert result.newton_steps <= 30


# ------------------------------------------------------------------------------------ how it computes


def test_exp_is_accurate():
    import mpmath

    @numba.njit
    def many(x):
        return np.array([sweeps.exp(value) for value in x])

    x = np.concatenate([np.linspace(-700, 700, 2001), np.random.default_rng(0).uniform(-1, 1, 2000)])
    with mpmath.workdps(40):
        exact = [mpmath.exp(mpmath.mpf(float(value))) for value in x]
        error = [float(abs(mpmath.mpf(float(y)) / e - 1)) for y, e in zip(many(x), exact, strict=True)]
    assert max(error) < 2.3e-16  # one unit in the last place
    assert many(np.array([-708.1, -1e4, -np.inf])).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("method", METHODS)
def test_same_numbers_on_one_thread_and_on_many(method):
    problem = problems.random_transport(300, 200, eps=0.05, seed=5)
    many = solve(problem, method=method, tol=1e-10)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = solve(problem, method=method, tol=1e-10)
    finally:
        numba.set_num_threads(before)
    if method == "newton":  # the factorisation is not ours
        np.testing.assert_allclose(one.f, many.f, atol=1e-10)
    else:
        np.testing.assert_array_equal(one.f, many.f)
        np.testing.assert_array_equal(one.g, many.g)


def test_over_relaxation_saves_steps():
    problem = problems.random_transport(40, 40, eps=0.02, seed=2)
    plain = solve(problem, method="log")
    assert solve(problem, method="over-relaxed").sinkhorn_steps < 0.4 * plain.sinkhorn_steps
    assert solve(problem, method="over-relaxed", omega=1.5).sinkhorn_steps < plain.sinkhorn_steps


def test_averaged_steps_on_a_symmetric_problem():
    rng = np.random.default_rng(0)
    X, r = rng.random((60, 2)), rng.dirichlet(np.ones(60))
    C = ((X[:, None] - X) ** 2).sum(2)
    averaged = sims.solve(C, r, r, 0.03, method="averaged", tol=1e-10)
    alternating = sims.solve(C, r, r, 0.03, method="log", tol=1e-10)
    np.testing.assert_allclose(averaged.P, alternating.P, atol=1e-9)
    np.testing.assert_allclose(averaged.f, averaged.g, atol=1e-9)
    assert averaged.sinkhorn_steps < 0.2 * alternating.sinkhorn_steps


def test_warm_start():
    problem = problems.random_transport(60, 50, eps=0.02, seed=0)
    cold = solve(problem, method="log")
    warm = solve(problem, method="log", g=cold.g)
    assert warm.sinkhorn_steps <= 1
    np.testing.assert_allclose(warm.P, cold.P, atol=PLAN)


def test_sparse_plan_keeps_its_budget():
    from lemmata.sims.sinkhorn_newton.directions import sparse_plan

    for n, m, nu in ((30, 50, 0.05), (200, 170, 1e-3), (200, 170, 1e-9)):
        problem = problems.random_transport(n, m, eps=0.02, seed=n)
        result = solve(problem, tol=1e-14, on_fail="return")
        work = np.empty((n, m)), np.empty((n, m), dtype=np.int32)
        # writable copies, as the solver has them: numba compiles once for each mix
        C, r, c = problem.C.copy(), problem.r.copy(), problem.c.copy()
        S = sparse_plan(C, result.f, result.g, r, c, problem.eps, nu, work)
        kept = np.zeros((n, m))
        for i in range(n):
            row = slice(S.start[i], S.start[i + 1])
            kept[i, S.columns[row]] = S.values[row]
        dropped = result.P - kept
        assert (kept[kept > 0] / result.P[kept > 0] - 1).max() < 1e-12
        assert (dropped.sum(1) <= nu * problem.r * (1 + 1e-9)).all()
        assert (dropped.sum(0) <= nu * problem.c * (1 + 1e-9)).all()
        assert nu < 1e-3 or len(S.values) < 0.5 * n * m


# ------------------------------------------------------------------------------------------ bad input

C2, HALF = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0.5, 0.5])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((np.array([[0, np.nan], [1, 0]]), HALF, HALF, 1.0), NonFiniteError, "cost contains nan at index"),
        ((np.array([[0, np.inf], [1, 0]]), HALF, HALF, 1.0), NonFiniteError, "allow_forbidden"),
        ((np.array([[0, -np.inf], [1, 0]]), HALF, HALF, 1.0), NonFiniteError, "-inf"),
        ((C2, np.array([0.5, np.nan]), HALF, 1.0), NonFiniteError, "r contains nan"),
        ((C2, HALF, np.array([0.5, np.inf]), 1.0), NonFiniteError, "c contains inf"),
        ((C2, HALF, HALF, 0.0), DomainError, "exact solver"),
        ((C2, HALF, HALF, -1.0), DomainError, "eps must be positive"),
        ((C2, HALF, HALF, np.nan), DomainError, "eps must be positive"),
        ((C2, np.array([1.5, -0.5]), HALF, 1.0), DomainError, "r holds a negative mass, -0.5 at index 1"),
        ((C2, HALF, 1.1 * HALF, 1.0), DomainError, r"r sums to 1.0, c to 1.1"),
        ((C2, np.zeros(2), np.zeros(2), 1.0), DomainError, "no mass"),
        ((C2, np.ones(3) / 3, HALF, 1.0), ShapeError, "2 rows, r has 3"),
        ((C2, HALF, np.ones(3) / 3, 1.0), ShapeError, "2 columns, c has 3"),
        ((C2[0], HALF, HALF, 1.0), ShapeError, "cost must have 2 axes"),
        ((C2, HALF[None], HALF, 1.0), ShapeError, "r must have 1 axis"),
        ((np.zeros((0, 2)), np.zeros(0), HALF, 1.0), ShapeError, "none empty"),
        ((C2.astype(complex), HALF, HALF, 1.0), TypeError, "real numbers"),
        ((C2 > 0, HALF, HALF, 1.0), TypeError, "real numbers"),
    ],
)
def test_bad_input_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        sims.solve(*arguments)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "fast"}, "method must be one of"),
        ({"on_fail": "ignore"}, "on_fail"),
        ({"tol": 0.0}, "tol"),
        ({"max_steps": -1}, "max_steps"),
        ({"density": 0.0}, "density"),
        ({"omega": 2.0}, "omega"),
        ({"g": np.zeros(3)}, "g must have 2 entries"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises((DomainError, ShapeError), match=words):
        sims.solve(C2, HALF, HALF, 1.0, **options)


def test_masses_may_be_normalised_on_request():
    problem = problems.random_transport(5, 6, eps=0.3, seed=0)
    with pytest.raises(DomainError, match="normalize=True"):
        sims.solve(problem.C, problem.r, 3 * problem.c, 0.3)
    result = sims.solve(problem.C, 7 * problem.r, 3 * problem.c, 0.3, normalize=True, tol=1e-12)
    np.testing.assert_allclose(result.P, solve(problem).P, atol=PLAN)


def test_integers_and_read_only_and_callers_arrays():
    C, r = np.array([[0, 3], [2, 0]]), np.array([1, 1])
    result = sims.solve(C, r, r, 1, tol=1e-12)
    assert marginal_error(result.P, r, r) < 1e-11
    D = C.astype(float)
    sims.solve(D, r, r, 1.0)
    D[0, 0] = 5.0  # the caller's array is neither frozen nor changed
    labelled = xr.DataArray(C.astype(float))  # whose __array__ gives its own buffer
    sims.solve(labelled, r, r, 1.0)
    labelled[0, 0] = 5.0
    assert (D[1] == [2, 0]).all()


@pytest.mark.parametrize("method", METHODS)
def test_total_mass_other_than_one(method):
    problem = problems.random_transport(12, 9, eps=0.05, seed=4)
    result = sims.solve(problem.C, 50 * problem.r, 50 * problem.c, 0.05, method=method, tol=1e-12)
    np.testing.assert_allclose(result.P / 50, solve(problem).P, atol=PLAN)
    assert result.primal - result.dual < 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_atoms_without_mass(method):
    problem = problems.random_transport(12, 9, eps=0.05, seed=4)
    r, c = problem.r.copy(), problem.c.copy()
    r[[0, 5]], c[3] = 0.0, 0.0
    r, c = r / r.sum(), c / c.sum()
    result = sims.solve(problem.C, r, c, 0.05, method=method, tol=1e-12)
    rows, columns = r > 0, c > 0
    kept = sims.solve(problem.C[np.ix_(rows, columns)], r[rows], c[columns], 0.05, tol=1e-12)
    np.testing.assert_allclose(result.P[np.ix_(rows, columns)], kept.P, atol=PLAN)
    assert not result.P[~rows].any()
    assert not result.P[:, ~columns].any()
    np.testing.assert_allclose(result.f[~rows], (problem.C - result.g)[np.ix_(~rows, columns)].min(1), atol=1e-14)
    assert np.isfinite(result.f).all()
    assert np.isfinite(result.g).all()
    assert result.primal - result.dual < 1e-10
    assert marginal_error(result.rounded, r, c) < 1e-13


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 6), (6, 1)])
def test_one_row_or_one_column(method, n, m):
    problem = random_problem(n, m, 0.1, 0)
    result = solve(problem, method=method, tol=1e-13)
    np.testing.assert_allclose(result.P, np.outer(problem.r, problem.c), atol=1e-14)


def test_large_common_cost():
    problem = problems.random_transport(20, 25, eps=0.05, seed=7)
    base = solve(problem)
    offset = 1e8 + np.arange(20)[:, None]
    C = problem.C + offset
    exact = C - offset  # what is left of the cost after it was rounded
    result = sims.solve(C, problem.r, problem.c, 0.05, tol=1e-12)
    same = sims.solve(exact, problem.r, problem.c, 0.05, tol=1e-12)
    np.testing.assert_allclose(result.P, same.P, atol=PLAN)
    assert np.abs(same.P - base.P).max() < 1e-6


def test_light_atoms_are_seen():
    problem = problems.random_transport(10, 10, eps=0.05, seed=1)
    r = problem.r.copy()
    r[0] = 1e-12
    result = sims.solve(problem.C, r / r.sum(), problem.c, 0.05, tol=1e-14, on_fail="return")
    assert result.log_error < 1e-9
    loose = sims.solve(problem.C, r / r.sum(), problem.c, 0.05, method="log", tol=1e-2)
    assert loose.log_error > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_kernel_that_underflows(method):
    # max C / eps = 1e5: exp(-C/eps) has no positive entry in some rows
    problem = problems.random_transport(15, 15, eps=1e-2, seed=3)
    C = 1e3 * problem.C**2
    limit = None if method in ("sns", "newton") else 500
    result = sims.solve(C, problem.r, problem.c, 1e-2, method=method, tol=1e-3, max_steps=limit, on_fail="return")
    assert np.isfinite(result.f).all()
    assert np.isfinite(result.P).all()
    lower, upper = result.interval
    optimum = float((C * theory.exact_plan(C, problem.r, problem.c)).sum())
    assert lower - 1e-6 <= optimum <= upper + 1e-6
    if method in ("sns", "newton"):
        assert result.converged


def test_masses_that_vanish_from_the_kernel():
    x = np.linspace(-38.0, 38.0, 201)
    r, c = (mass / mass.sum() for mass in (np.exp(-((x - mean) ** 2) / 2) for mean in (0.0, 0.5)))
    assert 0 < r.min() < np.finfo(float).tiny  # subnormal
    result = sims.solve((x[:, None] - x) ** 2, r, c, 1.0, method="stabilised")
    assert result.converged
    assert marginal_error(result.P, r, c) < 2e-9


def test_no_convergence_is_said():
    problem = problems.random_assignment(50, eta=2000.0, seed=0)
    with pytest.raises(NotConverged, match=r"delta = .* after 3 Sinkhorn") as caught:
        solve(problem, method="log", max_steps=3)
    result = caught.value.result
    assert not result.converged
    assert result.status == "max_steps"
    assert result.delta > 1e-12
    s, _ = theory.slack(problem.C)
    assert result.interval[1] >= problem.C[np.arange(50), s].sum() / 50 - 1e-12
    again = solve(problem, method="log", max_steps=3, on_fail="return")
    assert again.delta == result.delta


@pytest.mark.timeout(60)
def test_domains_that_disagree_about_the_last_digit_still_end(monkeypatch):
    """Products with the kernel say that nothing is left to do; the log domain says otherwise, and goes on."""

    def satisfied(K, u, v, r, c, bound, steps, tol, deltas):
        deltas[0] = tol
        return 1

    monkeypatch.setattr(sims.solver, "scaled_steps", satisfied)
    x = np.linspace(0, 1, 5)
    assert sims.solve((x[:, None] - x) ** 2, x + 1, x[::-1] + 1, 1.0, method="stabilised").converged


@pytest.mark.parametrize("method", ["log", "over-relaxed", "stabilised"])
def test_stagnation_is_said(method):
    # two blocks that exchange mass through an entry of exp(-60)
    C = np.array([[0.0, 60.0], [60.0, 0.0]])
    result = sims.solve(C, [0.6, 0.4], [0.4, 0.6], 1.0, method=method, tol=1e-9, max_steps=100_000, on_fail="return")
    assert result.status in ("stalled", "converged")
    assert result.converged or result.sinkhorn_steps < 10_000


@pytest.mark.parametrize("method", METHODS)
def test_forbidden_pairs(method):
    problem = problems.random_transport(8, 8, eps=0.2, seed=0)
    C = problem.C.copy()
    C[0, 1:6], C[3, 3] = np.inf, np.inf
    result = sims.solve(C, problem.r, problem.c, 0.2, method=method, tol=1e-12, allow_forbidden=True)
    dear = np.where(np.isfinite(C), C, 200.0)
    np.testing.assert_allclose(result.P, sims.solve(dear, problem.r, problem.c, 0.2, tol=1e-12).P, atol=PLAN)
    assert not result.P[~np.isfinite(C)].any()
    assert np.isfinite(result.dual)
    assert result.interval[0] <= (dear * result.P).sum()


@pytest.mark.parametrize("method", METHODS)
def test_forbidden_pairs_that_leave_no_plan(method):
    rng = np.random.default_rng(0)
    C = rng.random((6, 6))
    C[:3, 2:] = np.inf  # three rows of mass 1/2 share two columns of mass 1/3
    mass = np.full(6, 1 / 6)
    with pytest.raises(DomainError, match=r"3 rows of mass 0\.5 reach only columns of mass 0\.333333"):
        sims.solve(C, mass, mass, 0.1, method=method, allow_forbidden=True, on_fail="return")
    C[0] = np.inf
    with pytest.raises(DomainError, match=r"row 0 has mass .* only forbidden pairs"):
        sims.solve(C, mass, mass, 0.1, method=method, allow_forbidden=True)


def test_averaged_steps_need_symmetry():
    problem = problems.random_transport(5, 5, eps=0.3, seed=0)
    with pytest.raises(DomainError, match="symmetric"):
        solve(problem, method="averaged")


P2 = np.array([[0.3, 0.2], [0.2, 0.3]])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sims.round_plan(C2, HALF, 2 * HALF), DomainError, "the masses differ: r sums to 1.0, c to 2.0"),
        (lambda: sims.round_plan(C2, [1.5, -0.5], HALF), DomainError, "r holds a negative mass, -0.5 at index 1"),
        (lambda: sims.plan_gradient(C2, P2, 0.0, C2), DomainError, "eps must be positive and finite, got 0.0"),
        (lambda: sims.plan_gradient(C2, P2, -1.0, C2), DomainError, "eps must be positive and finite, got -1.0"),
        (lambda: sims.plan_gradient(C2, C2 - 0.1, 1.0, C2), DomainError, "P holds a negative entry, -0.1"),
        (lambda: sims.solve(C2, HALF, HALF, 1.0).item(0), DomainError, "one problem and no batch"),
        *(
            (
                lambda density=density: newton(density=density),
                DomainError,
                rf"density must lie in \(0, 1\], got {density}",
            )
            for density in (0, -0.5, 2, np.nan)
        ),
        *(
            (lambda omega=omega: sinkhorn(omega=omega), DomainError, rf"omega must lie in \(0, 2\), got {omega}")
            for omega in (np.nan, 3, 0)
        ),
        (lambda: sinkhorn(steps=-1), DomainError, "steps must be >= 0, got -1"),
        (lambda: newton(steps=-1), DomainError, "steps must be >= 0, got -1"),
        (lambda: newton(steps=2.5), TypeError, "steps must be an int, got float"),
        (lambda: sinkhorn(steps=True), TypeError, "steps must be an int, got bool"),
        (lambda: line(x=[1.0, 0.0]), DomainError, "x must increase, but falls at index 1"),
        (lambda: line(c=2 * HALF), DomainError, "the masses differ"),
        (lambda: line(r=[1.5, -0.5]), DomainError, "r holds a negative mass"),
        (lambda: line(y=[0.0, 1.0, 2.0]), ShapeError, "y has 3 points and 2 masses"),
        (lambda: line(p=0.5), DomainError, "p must be >= 1 and finite, got 0.5"),
        (lambda: line(x=[0.0, np.nan]), NonFiniteError, "x contains nan"),
    ],
)
def test_functions_refuse_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


def newton(steps=2, **options):
    return sims.newton(C2, HALF, HALF, 1.0, np.zeros(2), np.zeros(2), steps, **options)


def sinkhorn(steps=2, **options):
    return sims.sinkhorn(C2, HALF, HALF, 1.0, steps, **options)


def line(**changes):
    given = {"x": [0.0, 1.0], "y": [0.0, 1.0], "r": HALF, "c": HALF, "p": 1} | changes
    return problems.quantile_cost(*given.values())


def test_plan_functions_refuse_bad_input():
    with pytest.raises(DomainError, match="negative entry"):
        sims.round_plan(-C2, HALF, HALF)
    with pytest.raises(ShapeError, match="masses ask for"):
        sims.round_plan(C2, HALF, np.ones(3) / 3)
    with pytest.raises(ShapeError, match="2 rows, f has 3"):
        sims.c_transform(C2, np.zeros(3))
    with pytest.raises(ShapeError, match="one shape"):
        sims.plan_gradient(C2, C2 + 1, 1.0, np.zeros((2, 3)))
    with pytest.raises(DomainError, match="empty row"):
        sims.plan_gradient(C2, np.array([[0.0, 0.0], [0.5, 0.5]]), 1.0, C2)
    with pytest.raises(DomainError, match="positive masses"):
        sims.sinkhorn(C2, [1.0, 0.0], HALF, 1.0, 3)
    with pytest.raises(DomainError, match="diagonal"):
        sims.newton(C2, HALF, HALF, 1.0, [0.0, 0.0], [0.0, 0.0], 1, diagonal="none")


# ----------------------------------------------------------------------------------------- properties

sizes = st.integers(1, 30)
temperatures = st.floats(1e-2, 10.0)
seeds = st.integers(0, 2**31)


@given(sizes, sizes, temperatures, seeds)
def test_rounded_plan_is_feasible_and_bounds_hold(n, m, relative_eps, seed):
    problem = random_problem(n, m, relative_eps, seed)
    for options in ({"tol": 1e-9}, {"method": "log", "max_steps": 2, "tol": 1e-12}):
        result = solve(problem, on_fail="return", **options)
        assert result.rounded.min() >= 0
        assert marginal_error(result.rounded, problem.r, problem.c) < 1e-13
        lower, upper = result.interval
        assert lower <= upper + 1e-12
        assert result.dual <= result.primal + 1e-12
    assert result.delta >= 0


@given(sizes, sizes, temperatures, seeds)
def test_potentials_move_with_the_cost(n, m, relative_eps, seed):
    problem = random_problem(n, m, relative_eps, seed)
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal(n), rng.standard_normal(m)
    result = solve(problem)
    moved = sims.solve(problem.C + a[:, None] + b, problem.r, problem.c, problem.eps, tol=1e-12)
    # the sum of potentials is known to delta over the smallest mass, in units of eps
    slack = 1e-9 * (1 + problem.eps)
    np.testing.assert_allclose(
        moved.f[:, None] + moved.g, result.f[:, None] + result.g + a[:, None] + b, rtol=0, atol=slack
    )
    assert moved.dual == pytest.approx(result.dual + problem.r @ a + problem.c @ b, abs=1e-10 * (1 + problem.eps))


@given(st.integers(2, 30), st.integers(2, 30), seeds)
def test_high_temperature_gives_independence(n, m, seed):
    problem = random_problem(n, m, 1.0, seed)
    eps = 1e4 * float(np.ptp(problem.C))
    P = sims.solve(problem.C, problem.r, problem.c, eps, tol=1e-13).P
    # exponents lie within 2 range(C)/eps of those of the product
    assert np.abs(P - np.outer(problem.r, problem.c)).sum() <= 2.1 * np.ptp(problem.C) / eps


@given(st.integers(2, 12), st.integers(2, 12), st.floats(0.05, 2.0), seeds)
def test_divergence_is_symmetric_and_zero_on_the_diagonal(n, m, eps, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.random((n, 2)), rng.random((m, 2))
    r, c = rng.dirichlet(np.ones(n)) + 1e-3, rng.dirichlet(np.ones(m)) + 1e-3
    r, c = r / r.sum(), c / c.sum()
    cost = {(i, j): ((u[:, None] - v) ** 2).sum(2) for i, u in (("x", x), ("y", y)) for j, v in (("x", x), ("y", y))}
    there = sims.divergence(cost["x", "y"], cost["x", "x"], cost["y", "y"], r, c, eps, tol=1e-10)
    back = sims.divergence(cost["y", "x"], cost["y", "y"], cost["x", "x"], c, r, eps, tol=1e-10)
    assert there >= -1e-12
    assert there == pytest.approx(back, abs=1e-12)
    assert sims.divergence(cost["x", "x"], cost["x", "x"], cost["x", "x"], r, r, eps, tol=1e-10) == pytest.approx(
        0, abs=1e-12
    )


@given(st.integers(2, 12), st.floats(0.05, 2.0), seeds)
def test_divergence_is_convex(n, eps, seed):
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    C = np.linalg.norm(x[:, None] - x, axis=2)
    a, b, c = (m / m.sum() for m in rng.dirichlet(np.ones(n), size=3) + 1e-3)
    to_c = [sims.divergence(C, C, C, m, c, eps, tol=1e-10) for m in (a, b, (a + b) / 2)]
    assert to_c[2] <= (to_c[0] + to_c[1]) / 2 + 1e-12


@given(st.integers(2, 12), st.integers(2, 12), temperatures, seeds)
def test_halves_of_an_atom_share_its_row(n, m, relative_eps, seed):
    problem = random_problem(n, m, relative_eps, seed)
    C, r = np.concatenate([problem.C[:1], problem.C]), np.concatenate([problem.r[:1] / 2, problem.r])
    r[1] /= 2
    P = sims.solve(C, r, problem.c, problem.eps, tol=1e-12).P
    np.testing.assert_allclose(P[0] + P[1], solve(problem).P[0], atol=PLAN)
    np.testing.assert_allclose(P[2:], solve(problem).P[1:], atol=PLAN)


@given(sizes, sizes, st.floats(0.05, 10.0), seeds)
def test_trace_of_sinkhorn_rises(n, m, relative_eps, seed):
    problem = random_problem(n, m, relative_eps, seed)
    run = sims.sinkhorn(problem.C, problem.r, problem.c, problem.eps, 20)
    dual, delta = run["dual"].values, run["delta"].values
    scale = 1e-13 * (np.abs(dual).max() + problem.eps + np.abs(problem.C).max())
    assert (np.diff(dual) >= -scale).all()
    assert (np.diff(delta[1:]) <= 1e-12).all()
