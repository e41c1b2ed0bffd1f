"""Transport on tensors: as on the CPU, a batch as its items, gradients, and clouds without their cost matrix."""

import os
import subprocess
import sys
import weakref
from textwrap import dedent

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from lemmata.errors import DomainError, LemmataError, NonFiniteError, NotConverged, ShapeError
from lemmata.kernels import sinkhorn_newton as kernels
from lemmata.kernels.sinkhorn_newton import clouds, directions
from lemmata.problems import sinkhorn_newton as problems
from lemmata.problems.sinkhorn_newton import TransportProblem
from lemmata.sims import sinkhorn_newton as sims

CUDA = torch.cuda.is_available()
DEVICES = ["cpu", *([pytest.param("cuda", marks=pytest.mark.gpu)] if CUDA else [])]
METHODS = ("sns", "log", "newton")
#: Rounding of a plan whose exponents carry an error of a few units in the last place.
PLAN = 1e-11
#: Finite differences with h = 1e-5 are good to h^2 times a third derivative.
CHECK = {"eps": 1e-5, "atol": 1e-6}


def tensors(problem, device="cpu"):
    return (*(torch.tensor(x, device=device) for x in (problem.C, problem.r, problem.c)), problem.eps)


def solve(problem, **options):
    return kernels.solve(*tensors(problem), **({"tol": 1e-12} | options))


def many(seed, size, n, m):
    """Costs, masses and temperatures of a batch."""
    rng = np.random.default_rng(seed)
    r, c = rng.dirichlet(np.ones(n), size), rng.dirichlet(np.ones(m), size)
    return (*map(torch.tensor, (rng.random((size, n, m)), r, c)), torch.logspace(-2, 0, size, dtype=torch.float64))


def random_problem(n, m, relative_eps, seed):
    rng = np.random.default_rng(seed)
    C = rng.standard_normal((n, m))
    eps = relative_eps * max(float(C.std()), 0.1)
    return TransportProblem(C, rng.dirichlet(np.ones(n)) + 1e-3, rng.dirichlet(np.ones(m)) + 1e-3, eps, normalize=True)


def marginal_error(P, r, c):
    return float((P.sum(-1) - r).abs().sum() + (P.sum(-2) - c).abs().sum())


# ------------------------------------------------------------------------------------- as on the CPU


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "m", "eps"), [(15, 22, 0.05), (40, 7, 0.3), (70, 65, 0.1)])
def test_the_same_result_as_sims(method, n, m, eps, device):
    problem = problems.random_transport(n, m, eps=eps, seed=n)
    expected = sims.solve(problem.C, problem.r, problem.c, eps, method=method, tol=1e-12)
    result = kernels.solve(*tensors(problem, device), method=method, tol=1e-12)
    assert result.f.device.type == device
    result = result.numpy()
    np.testing.assert_allclose(result.P, expected.P, rtol=0, atol=PLAN)
    for name in ("sinkhorn_steps", "newton_steps", "stages", "status"):
        assert getattr(result, name) == getattr(expected, name), name
    for name in ("dual", "primal", "cost", "kl_value", "interval", "f", "g", "rounded"):
        np.testing.assert_allclose(getattr(result, name), getattr(expected, name), rtol=0, atol=1e-11, err_msg=name)
    trace, other = result.trace, expected.trace
    assert (trace["kind"].values == other["kind"].values).all()
    # a Newton step carries the rounding of its linear system
    newton = np.arange(trace.sizes["step"]) > result.sinkhorn_steps
    for steps, rtol in ((~newton, 1e-6), (newton, 1e-2)):
        np.testing.assert_allclose(trace["delta"][steps], other["delta"][steps], rtol=rtol, atol=1e-13)
    # sims spends a tenth of the budget on entries that it does not sort
    np.testing.assert_allclose(trace["kept"], other["kept"], rtol=0.02)


def test_properties_are_the_same_in_torch_and_numpy():
    result = kernels.solve(*many(0, 3, 6, 8), tol=1e-6)
    other = result.numpy()
    for name in ("P", "rounded", "dual", "primal", "cost", "interval", "kl_value", "log_error"):
        for mine, theirs in zip(np.atleast_1d(getattr(result, name)), np.atleast_1d(getattr(other, name)), strict=True):
            np.testing.assert_allclose(np.asarray(mine), theirs, rtol=1e-13, atol=1e-15)
    for mine, theirs in zip(result.value_gradient(), other.value_gradient(), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-13, atol=1e-15)
    assert (result.dual <= result.primal).all()
    assert marginal_error(result.rounded, result.r, result.c) < 1e-14
    lower, upper = result.interval
    assert (lower <= upper).all()


def test_random_assignment_to_machine_precision():
    for seed in range(2):
        result = solve(problems.random_assignment(500, eta=1200.0, seed=seed), tol=1e-13)
        assert result.delta <= 1e-13
        assert (result.sinkhorn_steps, result.stages) == (20, 1)
        assert result.newton_steps <= 12


def test_digits_l1_needs_annealing():
    problem = problems.digits(size=14, cost="l1")
    expected = sims.solve(problem.C, problem.r, problem.c, problem.eps, tol=1e-12)
    direct = solve(problem, anneal=False, on_fail="return")
    result = solve(problem)
    assert direct.status in ("stalled", "max_steps")
    assert result.stages == expected.stages > 1
    np.testing.assert_allclose(result.P, expected.P, atol=PLAN)
    annealed = solve(problem, anneal=True)
    assert annealed.newton_steps <= 40
    assert torch.equal(result.f, annealed.f)  # the second attempt starts where the first did
    temperatures = np.unique(annealed.trace["eps"])
    np.testing.assert_allclose(temperatures, problem.eps * 2.0 ** np.arange(annealed.stages), rtol=1e-14)


@pytest.mark.parametrize("device", DEVICES)
def test_trajectories_are_those_of_sims(device):
    problem = problems.random_transport(7, 9, eps=0.1, seed=0)
    cases = [
        ("sinkhorn", (12,), {}),
        ("sinkhorn", (5,), {"omega": 1.4, "f": np.linspace(0, 1, 7), "g": np.linspace(1, 0, 9)}),
        ("newton", (problem.r, problem.c, 3), {}),
        ("newton", (problem.r, problem.c, 3), {"damped": True}),
        ("newton", (problem.r, problem.c, 2), {"density": 0.4}),
        ("newton", (problem.r, problem.c, 1), {"density": 0.9, "diagonal": "kept"}),
    ]

    def move(x):
        return torch.tensor(x, device=device) if isinstance(x, np.ndarray) else x

    for name, more, options in cases:
        expected = getattr(sims, name)(problem.C, problem.r, problem.c, problem.eps, *more, **options)
        moved = {key: move(x) for key, x in options.items()}
        run = getattr(kernels, name)(*tensors(problem, device), *map(move, more), **moved)
        assert run.sizes == expected.sizes
        for variable in ("f", "g", "delta", "dual"):
            np.testing.assert_allclose(run[variable], expected[variable], rtol=1e-8, atol=1e-10)


def test_trajectories_of_a_batch():
    C, r, c, eps = many(1, 3, 5, 4)
    run = kernels.sinkhorn(C, r, c, eps, 6)
    steps = kernels.newton(C, r, c, eps, r, c, 2, damped=True)
    for b in range(3):
        one = kernels.sinkhorn(C[b], r[b], c[b], float(eps[b]), 6)
        np.testing.assert_allclose(run["f"][b], one["f"], atol=1e-13)
        np.testing.assert_allclose(run["delta"][b], one["delta"], atol=1e-13)
        one = kernels.newton(C[b], r[b], c[b], float(eps[b]), r[b], c[b], 2, damped=True)
        np.testing.assert_allclose(steps["g"][b], one["g"], atol=1e-12)


def test_functions_of_plans_are_those_of_sims():
    rng = np.random.default_rng(0)
    problem = problems.random_transport(6, 8, eps=0.3, seed=0)
    C, r, c, eps = tensors(problem)
    F, W = rng.random((6, 8)), rng.standard_normal((6, 8))
    np.testing.assert_allclose(kernels.round_plan(torch.tensor(F), r, c), sims.round_plan(F, problem.r, problem.c))
    np.testing.assert_array_equal(kernels.c_transform(C, r), sims.c_transform(problem.C, problem.r))
    P = solve(problem, tol=1e-14, on_fail="return").P
    mine = kernels.plan_gradient(C, P, eps, torch.tensor(W))
    theirs = sims.plan_gradient(problem.C, P.numpy(), eps, W)
    np.testing.assert_allclose(mine.C, theirs.C, atol=1e-12)
    np.testing.assert_allclose(mine.eps, theirs.eps, atol=1e-12)
    shift = mine.r[0].item() - theirs.r[0]  # r and c are free up to (1, -1)
    np.testing.assert_allclose(mine.r - shift, theirs.r, atol=1e-12)
    np.testing.assert_allclose(mine.c + shift, theirs.c, atol=1e-12)
    twice = [torch.stack([z, z]) for z in (C, P, torch.tensor(W))]
    pair = kernels.plan_gradient(*twice[:2], torch.tensor([eps, eps]), twice[2])
    np.testing.assert_allclose(pair.C[1], mine.C, atol=1e-14)


def test_divergence_is_that_of_sims():
    rng = np.random.default_rng(3)
    x, y = rng.random((7, 2)), rng.random((9, 2))
    r, c = rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(9))
    costs = [((u[:, None] - v) ** 2).sum(2) for u, v in ((x, y), (x, x), (y, y))]
    expected = sims.divergence(*costs, r, c, 0.1)
    assert float(kernels.divergence(*map(torch.tensor, (*costs, r, c)), 0.1)) == pytest.approx(expected, abs=1e-12)
    within, mass = torch.tensor(costs[1]), torch.tensor(r)
    two = [torch.stack([z, z]) for z in (within, mass)]
    zero = kernels.divergence(two[0], two[0], two[0], two[1], two[1], torch.tensor([0.1, 0.3]))
    np.testing.assert_allclose(zero, 0, atol=1e-12)


# ------------------------------------------------------------------------------ a batch is its items


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_equals_its_items(method):
    C, r, c, eps = many(0, 5, 20, 13)
    result = kernels.solve(C, r, c, eps, method=method, tol=1e-11)
    assert result.converged.all()
    assert len(set(result.sinkhorn_steps)) > 2  # they end at different steps
    for b in range(5):
        one = kernels.solve(C[b], r[b], c[b], float(eps[b]), method=method, tol=1e-11)
        item = result.item(b)
        for name in ("sinkhorn_steps", "newton_steps", "cg_steps", "stages", "status"):
            assert getattr(item, name) == getattr(one, name)
        np.testing.assert_allclose(item.f, one.f, rtol=0, atol=1e-12)
        np.testing.assert_allclose(item.P, one.P, rtol=0, atol=1e-12)
        assert float(item.dual) == pytest.approx(float(one.dual), abs=1e-12)
        assert item.trace.sizes == one.trace.sizes
        np.testing.assert_allclose(item.trace["delta"], one.trace["delta"], rtol=1e-6, atol=1e-14)
    assert result.trace.sizes["item"] == 5


def test_a_neighbour_that_does_not_converge_leaves_no_trace():
    C, r, c, _ = many(4, 3, 12, 12)
    eps = torch.tensor([0.1, 0.5, 0.3])
    cold = eps.clone()
    cold[1] = 1e-4
    easy, hard = (
        kernels.solve(C, r, c, e, method="log", tol=1e-10, max_steps=400, on_fail="return") for e in (eps, cold)
    )
    assert list(hard.status) == ["converged", "max_steps", "converged"]
    for b in (0, 2):
        assert torch.equal(easy.f[b], hard.f[b])
        assert torch.equal(easy.g[b], hard.g[b])
        assert easy.delta[b] == hard.delta[b]
    with pytest.raises(NotConverged, match=r"1 of 3 items failed; item 1: log spent its steps at delta") as caught:
        kernels.solve(C, r, c, cold, method="log", tol=1e-10, max_steps=400)
    assert caught.value.result.converged.tolist() == [True, False, True]


def test_one_item_anneals_alone():
    lines = [problems.densities(60, p=p, eta=eta) for p, eta in ((2, 20.0), (1, 3000.0), (2, 50.0))]
    C, r, c = (torch.tensor(np.stack([getattr(p, name) for p in lines])) for name in ("C", "r", "c"))
    result = kernels.solve(C, r, c, torch.tensor([p.eps for p in lines]), tol=1e-11, warmup=2)
    alone = [solve(p, tol=1e-11, warmup=2) for p in lines]
    assert result.stages.tolist() == [one.stages for one in alone]
    assert result.stages[0] == 1 < result.stages[1]
    for b, one in enumerate(alone):
        np.testing.assert_allclose(result.P[b], one.P, atol=PLAN)


def test_items_cool_by_their_own_costs():
    """The middle one is hotter than its costs ask for, and takes its warm-up at eps."""
    lines = [problems.random_assignment(30, eta=eta, seed=4) for eta in (60.0, 5.0, 200.0)]
    C, r, c = (torch.tensor(np.stack([getattr(p, name) for p in lines])) for name in ("C", "r", "c"))
    result = kernels.solve(C, r, c, torch.tensor([p.eps for p in lines], dtype=torch.float64), tol=1e-12)
    for b, one in enumerate(solve(p, tol=1e-12) for p in lines):
        trace, theirs = result.item(b).trace, one.trace
        np.testing.assert_array_equal(trace["kind"], theirs["kind"])
        np.testing.assert_allclose(trace["eps"], theirs["eps"], rtol=1e-12)
        # to the last digits while delta is large
        np.testing.assert_allclose(trace["delta"][:21], theirs["delta"][:21], rtol=1e-9, atol=1e-12)
        cooled = (trace["eps"] > lines[b].eps).sum()
        assert cooled == (0 if b == 1 else 15)


def test_what_has_no_batch_axis_is_shared():
    C, r, c, eps = many(2, 4, 6, 7)
    shared = kernels.solve(C[0], r, c[1], 0.2)
    for b in range(4):
        one = kernels.solve(C[0], r[b], c[1], 0.2)
        np.testing.assert_allclose(shared.P[b], one.P, atol=1e-12)
        np.testing.assert_allclose(shared.item(b).interval, one.interval, atol=1e-12)
    warm = kernels.solve(C[0], r, c[1], 0.2, method="log", g=shared.g, tol=1e-8)
    assert warm.sinkhorn_steps.max() <= 1
    temperatures = kernels.solve(C[0], r[0], c[0], eps)
    np.testing.assert_allclose(temperatures.P[2], kernels.solve(C[0], r[0], c[0], float(eps[2])).P, atol=1e-12)
    with pytest.raises(ShapeError, match="one size, got 3, 4"):
        kernels.solve(C[0], r, c[:3], 0.2)


@pytest.mark.parametrize("method", [*METHODS, "averaged"])
def test_problems_of_many_sizes_make_one_batch(method):
    sizes = [(4, 4), (9, 9), (6, 6)] if method == "averaged" else [(4, 9), (8, 3), (8, 9)]
    made = [problems.random_transport(n, m, eps=0.1, seed=n * m) for n, m in sizes]
    if method == "averaged":
        made = [TransportProblem(p.C + p.C.T, p.r, p.r, p.eps) for p in made]
    C, r, c = torch.full((3, 9, 9), 7.0, dtype=torch.float64), *torch.zeros(2, 3, 9, dtype=torch.float64)
    for b, p in enumerate(made):
        n, m = p.shape
        C[b, :n, :m], r[b, :n], c[b, :m] = map(torch.tensor, (p.C, p.r, p.c))
    result = kernels.solve(C, r, c, 0.1, method=method, tol=1e-11)
    for b, p in enumerate(made):
        n, m = p.shape
        other = "log" if method == "averaged" else method
        one = sims.solve(p.C, p.r, p.c, p.eps, method=other, tol=1e-12)
        np.testing.assert_allclose(result.P[b, :n, :m], one.P, atol=1e-9 if method == "averaged" else PLAN)
        assert not result.P[b, n:].any()
        assert not result.P[b, :, m:].any()
        assert float(result.dual[b]) == pytest.approx(float(one.dual), abs=1e-10)
        f = (C[b] - result.g[b])[n:, :m].amin(1)
        np.testing.assert_allclose(result.f[b, n:], f, atol=1e-14)
    found = (result.f, result.g, result.cost, result.kl_value, *result.interval)
    assert all(bool(torch.isfinite(x).all()) for x in found)


def test_how_often_the_host_looks_changes_nothing():
    C, r, c, eps = many(3, 3, 15, 11)
    for method in ("log", "sns"):
        runs = [kernels.solve(C, r, c, eps, method=method, tol=1e-9, check_every=k) for k in (1, 7, 1000)]
        for run in runs[1:]:
            assert torch.equal(run.f, runs[0].f)
            assert run.sinkhorn_steps.tolist() == runs[0].sinkhorn_steps.tolist()
            assert run.cg_steps.tolist() == runs[0].cg_steps.tolist()


class _Looks(TorchDispatchMode):
    """Counts how often a number leaves the device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_the_host_looks_only_now_and_then():
    C, r, c, _ = many(5, 2, 10, 10)
    counts = []
    for steps in (100, 300):
        with _Looks() as looks:
            kernels.solve(C, r, c, 1e-3, method="log", max_steps=steps, check_every=50, on_fail="return")
        counts.append(looks.count)
    assert counts[1] - counts[0] == 200 / 50
    x = torch.rand(10, 2, dtype=torch.float64)
    counts = []
    for steps in (40, 80):
        with _Looks() as looks:
            kernels.online(x, x + 1, r[0], c[0], 1e-4, max_steps=steps, tol=1e-15, check_every=20, on_fail="return")
        counts.append(looks.count)
    assert 0 < counts[1] - counts[0] <= 2 * 40 / 20


# --------------------------------------------------------------------------------- sparse directions


def test_budget_keeps_what_rows_and_columns_need():
    C, r, c, _ = many(6, 2, 40, 50)
    result = kernels.solve(C, r, c, 0.02, tol=1e-14, on_fail="return")
    P, nu = result.P, torch.tensor([1e-3, 0.05])
    keep = directions.budgeted(P, r, c, nu)
    dropped = torch.where(keep, 0.0, P)
    assert (dropped.sum(-1) <= nu[:, None] * r * (1 + 1e-9)).all()
    assert (dropped.sum(-2) <= nu[:, None] * c * (1 + 1e-9)).all()
    assert keep.sum((-2, -1))[1] < keep.sum((-2, -1))[0] < P[0].numel()
    # the next entry that goes would break a budget: each kept one is needed by its row or its column
    smallest = torch.where(keep, P, torch.inf).amin(-1)
    assert ((dropped.sum(-1) + smallest > nu[:, None] * r) | (smallest > 0)).all()
    top = directions.top(P, 0.1)
    assert top.sum((-2, -1)).tolist() == [200, 200]
    assert (torch.where(top, P, torch.inf).flatten(1).amin(1) >= torch.where(top, 0.0, P).flatten(1).amax(1)).all()


def test_gathered_and_dense_products_are_the_same_system():
    C, r, c, _ = many(7, 2, 60, 64)
    result = kernels.solve(C, r, c, 0.01, method="log", max_steps=20, on_fail="return")
    P, S = result.P, result.P.sum(-2)
    keep = directions.top(P, 0.03)
    y = torch.rand(2, 64, dtype=torch.float64)
    gathered = directions._products(P, keep)(y)
    assert keep.sum(-1).max() <= 64 / 8  # few enough to be gathered
    kept = torch.where(keep, P, 0.0)
    np.testing.assert_allclose(gathered, (kept.mT @ (kept @ y[:, :, None]))[:, :, 0], atol=1e-16)
    options = {"shift": torch.full((2,), 1e-3, dtype=torch.float64), "tol": torch.full((2,), 1e-12), "check_every": 3}
    step = directions.sparse_direction(P, keep, r, c, S, **options)
    # the system itself: (diag(S)(1 + shift) - K' diag(1/r) K) b = c - S on what is orthogonal to S
    M = torch.diag_embed(S) * 1.001 - kept.mT @ (kept / r[:, :, None])
    residual = (M @ step.b[:, :, None])[:, :, 0] - (c - S)
    assert (residual - S * (residual.sum(1) / S.sum(1))[:, None]).abs().max() < 1e-12
    assert (S * step.b).sum(1).abs().max() < 1e-12  # and no step along the gauge
    assert step.kept.tolist() == keep.sum((-2, -1)).tolist()


def test_conjugate_gradients_that_fail_are_factorised(monkeypatch):
    problem = problems.random_transport(12, 12, eps=0.01, seed=0)
    expected = solve(problem)
    giving_up = directions.conjugate_gradients

    def few(product, gauge, residual, shift, tol, max_steps, check_every):
        return giving_up(product, gauge, residual, shift, tol, 1, check_every)

    monkeypatch.setattr(directions, "conjugate_gradients", few)
    np.testing.assert_allclose(solve(problem).P, expected.P, atol=PLAN)


# -------------------------------------------------------------------------------------------- gradients


def leaf(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.rand(*shape, dtype=torch.float64, generator=generator).requires_grad_()


@pytest.mark.parametrize("name", ["dual", "kl_value", "P", "f", "g", "cost"])
def test_gradients(name):
    def value(C, a, b, eps):
        # softmax: changes of sum zero, for which these gradients hold
        result = kernels.solve(C, a.softmax(0), b.softmax(0), eps, tol=1e-14, on_fail="return")
        return getattr(result, name)

    eps = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(value, (leaf(5, 4), leaf(5), leaf(4), eps), **CHECK)


def test_gradients_of_a_batch_with_atoms_without_mass():
    def value(C, a):
        r = torch.cat([a.softmax(-1), a.new_zeros(2, 1)], -1)
        c = torch.full((4,), 0.25, dtype=torch.float64)
        result = kernels.solve(C, r, c, torch.tensor([0.2, 0.5]), method="newton", tol=1e-14, on_fail="return")
        return result.P, result.f, result.g, result.dual

    assert torch.autograd.gradcheck(value, (leaf(5, 4), leaf(2, 4)), **CHECK)  # one cost for both


def test_gradients_of_points_through_a_cost():
    def value(x, y):
        C = (x[:, None] - y).square().sum(-1)
        mass = torch.full((4,), 0.25, dtype=torch.float64)
        result = kernels.solve(C, mass, mass, 0.3, tol=1e-14, on_fail="return")
        return result.P, result.dual

    assert torch.autograd.gradcheck(value, (leaf(4, 2), leaf(4, 2, seed=1)), **CHECK)


def test_gradient_of_a_plan_is_plan_gradient():
    C, W = leaf(6, 5), leaf(6, 5, seed=1).detach()
    masses = torch.full((6,), 1 / 6, dtype=torch.float64), torch.full((5,), 0.2, dtype=torch.float64)
    P = kernels.solve(C, *masses, 0.1, tol=1e-14, on_fail="return").P
    P.backward(W)
    np.testing.assert_allclose(C.grad, kernels.plan_gradient(C.detach(), P.detach(), 0.1, W).C, atol=1e-12)
    np.testing.assert_allclose(C.grad.sum(0), 0, atol=1e-12)


def test_the_value_needs_no_linear_system(monkeypatch):
    def fail(*arguments):
        raise AssertionError("a system was factorised")

    C = leaf(6, 5)
    masses = torch.full((6,), 1 / 6, dtype=torch.float64), torch.full((5,), 0.2, dtype=torch.float64)
    result = kernels.solve(C, *masses, 0.1, tol=1e-12)
    monkeypatch.setattr("lemmata.kernels.sinkhorn_newton.plans.factorised", fail)
    result.dual.backward()
    np.testing.assert_allclose(C.grad, result.P.detach(), atol=1e-14)
    with pytest.raises(AssertionError, match="factorised"):
        result.P.sum().backward()


def test_gradient_of_a_divergence():
    def value(x, y, a):
        costs = [(u[:, None] - v).square().sum(-1) for u, v in ((x, y), (x, x), (y, y))]
        mass = torch.full((4,), 0.25, dtype=torch.float64)
        return kernels.divergence(*costs, a.softmax(0), mass, 0.3, tol=1e-13)

    assert torch.autograd.gradcheck(value, (leaf(5, 2), leaf(4, 2), leaf(5)), **CHECK)


def test_no_gradient_where_none_is_wanted():
    C, r, c, eps = tensors(problems.random_transport(4, 5, eps=0.3, seed=0))
    assert not kernels.solve(C, r, c, eps).P.requires_grad
    with torch.no_grad():
        assert not kernels.solve(C.requires_grad_(), r, c, eps).P.requires_grad


# ------------------------------------------------------------------------------------------- bad input

C2, HALF = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64), torch.tensor([0.5, 0.5], dtype=torch.float64)


def changed(tensor, index, value):
    tensor = tensor.clone()
    tensor[index] = value
    return tensor


BAD = [
    (changed(C2, (0, 1), torch.nan), HALF, HALF, 1.0),
    (changed(C2, (0, 1), torch.inf), HALF, HALF, 1.0),
    (changed(C2, (0, 1), -torch.inf), HALF, HALF, 1.0),
    (C2, changed(HALF, 1, torch.nan), HALF, 1.0),
    (C2, HALF, changed(HALF, 1, torch.inf), 1.0),
    (C2, HALF, HALF, 0.0),
    (C2, HALF, HALF, -1.0),
    (C2, HALF, HALF, torch.nan),
    (C2, torch.tensor([1.5, -0.5], dtype=torch.float64), HALF, 1.0),
    (C2, HALF, 1.1 * HALF, 1.0),
    (C2, 0 * HALF, 0 * HALF, 1.0),
    (C2, torch.ones(3, dtype=torch.float64) / 3, HALF, 1.0),
    (C2, HALF, torch.ones(3, dtype=torch.float64) / 3, 1.0),
]


@pytest.mark.parametrize("arguments", BAD)
def test_bad_input_is_refused_as_on_the_cpu(arguments):
    with pytest.raises(LemmataError) as expected:
        sims.solve(*(x.numpy() if isinstance(x, torch.Tensor) else x for x in arguments))
    with pytest.raises(LemmataError) as caught:
        kernels.solve(*arguments)
    assert type(caught.value) is type(expected.value)
    assert str(caught.value) == str(expected.value)


@pytest.mark.parametrize("arguments", [a for a in BAD if a[0].shape[0] == len(a[1]) and a[0].shape[1] == len(a[2])])
def test_bad_items_of_a_batch_are_named(arguments):
    C, r, c, eps = arguments
    batch_of = [torch.stack([good, bad]) for good, bad in ((C2, C), (HALF, r), (HALF, c))]
    with pytest.raises(LemmataError, match=r"item 1: "):
        kernels.solve(*batch_of, torch.tensor([1.0, eps], dtype=torch.float64))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((C2[0], HALF, HALF, 1.0), ShapeError, "cost must have 2 axes, or 3 for a batch"),
        ((C2, HALF[None, None], HALF, 1.0), ShapeError, "r must have 1 axis"),
        ((C2[:0], HALF[:0], HALF, 1.0), ShapeError, "none empty"),
        ((C2.to(torch.complex128), HALF, HALF, 1.0), TypeError, "real numbers"),
        ((C2 > 0, HALF, HALF, 1.0), TypeError, "real numbers"),
        ((C2.numpy(), HALF, HALF, 1.0), TypeError, "must be a torch.Tensor, got ndarray"),
        ((C2.half(), HALF.half(), HALF.half(), 1.0), TypeError, "float64 or all float32"),
        ((C2.float(), HALF, HALF, 1.0), TypeError, "be float64 or all float32"),
        ((C2, HALF, HALF, torch.ones(1, 1)), ShapeError, "eps must be one number"),
        ((C2, HALF.to("meta"), HALF, 1.0), DomainError, "cost lies on cpu, r on meta"),
    ],
)
def test_bad_tensors_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        kernels.solve(*arguments)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "stabilised"}, "method must be one of sns, log, averaged, newton"),
        ({"on_fail": "ignore"}, "on_fail"),
        ({"tol": 0.0}, "tol"),
        ({"max_steps": -1}, "max_steps"),
        ({"density": 0.0}, "density"),
        ({"check_every": 0}, "check_every"),
        ({"g": torch.zeros(3)}, "g must have 2 entries"),
        ({"g": torch.full((2,), torch.nan)}, "g contains nan"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises((DomainError, ShapeError), match=words):
        kernels.solve(C2, HALF, HALF, 1.0, **options)


C3, P3 = torch.stack([C2] * 3), torch.full((3, 2, 2), 0.25, dtype=torch.float64)
ZERO = torch.zeros(2, 2, dtype=torch.float64)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: kernels.solve(C3, HALF, HALF, 1.0, g=ZERO), ShapeError, "g must be for 3 items, got 2"),
        (lambda: kernels.solve(C2, HALF, HALF, 1.0, g=ZERO), ShapeError, "g must be for 1 items, got 2"),
        (lambda: kernels.sinkhorn(C3, HALF, HALF, 1.0, 1, g=ZERO), ShapeError, "g must be for 3 items, got 2"),
        (lambda: kernels.newton(C3, HALF, HALF, 1.0, ZERO, HALF, 1), ShapeError, "f must be for 3 items, got 2"),
        (lambda: kernels.c_transform(C3, ZERO), ShapeError, "the batch has one size, got 2, 3"),
        (lambda: kernels.round_plan(P3, ZERO + 0.5, HALF), ShapeError, "the batch has one size, got 2, 3"),
        (lambda: kernels.plan_gradient(C3, P3, torch.ones(2), C3), ShapeError, r"each of 3 items, got shape \(2,\)"),
        (lambda: kernels.plan_gradient(C3, P3, torch.tensor([1.0, -1.0, 1.0]), C3), DomainError, "eps .*, got -1.0"),
        (lambda: kernels.plan_gradient(C2, P3[0], 0.0, C2), DomainError, "eps must be positive and finite, got 0"),
        (lambda: kernels.plan_gradient(C2, C2 - 0.1, 1.0, C2), DomainError, "P holds a negative entry, -0.1"),
        (lambda: kernels.round_plan(P3[0], HALF, 2 * HALF), DomainError, "r sums to 1.0, c to 2.0"),
        (lambda: kernels.round_plan(P3, HALF, changed(ZERO[[0, 0, 0]] + 0.5, 1, 1.0)), DomainError, "c to 2.0"),
        (
            lambda: kernels.round_plan(P3[0], changed(HALF, 0, -0.5), HALF),
            DomainError,
            "negative mass, -0.5 at index 0",
        ),
        (lambda: kernels.solve(C3, HALF, HALF, 1.0).item(3), DomainError, r"the batch has items 0..2, got 3"),
        (lambda: kernels.solve(C3[:1], HALF, HALF, 1.0).item(7), DomainError, r"the batch has items 0..0, got 7"),
        (lambda: kernels.solve(C2, HALF, HALF, 1.0).item(0), DomainError, "one problem and no batch"),
        (lambda: kernels.sinkhorn(C2, HALF, HALF, 1.0, 2, omega=torch.nan), DomainError, r"omega must lie in \(0, 2\)"),
        (lambda: kernels.sinkhorn(C2, HALF, HALF, 1.0, -1), DomainError, "steps must be >= 0, got -1"),
        (lambda: kernels.newton(C2, HALF, HALF, 1.0, HALF, HALF, 2.5), TypeError, "steps must be an int, got float"),
        (lambda: kernels.newton(C2, HALF, HALF, 1.0, HALF, HALF, 1, density=0), DomainError, r"density must lie in"),
    ],
)
def test_functions_refuse_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_plan_functions_refuse_bad_input():
    with pytest.raises(DomainError, match="negative entry"):
        kernels.round_plan(-C2, HALF, HALF)
    with pytest.raises(ShapeError, match="masses ask for"):
        kernels.round_plan(C2, HALF, torch.ones(3) / 3)
    with pytest.raises(ShapeError, match="2 rows, f has 3"):
        kernels.c_transform(C2, torch.zeros(3))
    with pytest.raises(ShapeError, match="one shape"):
        kernels.plan_gradient(C2, C2 + 1, 1.0, torch.zeros(2, 3))
    with pytest.raises(DomainError, match="empty row"):
        kernels.plan_gradient(C2, torch.tensor([[0.0, 0.0], [0.5, 0.5]]), 1.0, C2)
    with pytest.raises(DomainError, match="positive masses"):
        kernels.sinkhorn(C2, torch.tensor([1.0, 0.0], dtype=torch.float64), HALF, 1.0, 3)
    with pytest.raises(DomainError, match="diagonal"):
        kernels.newton(C2, HALF, HALF, 1.0, HALF, HALF, 1, diagonal="none")
    with pytest.raises(DomainError, match="symmetric"):
        kernels.solve(torch.stack([C2, C2 + torch.eye(2)[0]]), HALF, HALF, 1.0, method="averaged")


def test_masses_may_be_normalised_on_request():
    problem = problems.random_transport(5, 6, eps=0.3, seed=0)
    C, r, c, eps = tensors(problem)
    result = kernels.solve(C, 7 * r, 3 * c, eps, normalize=True, tol=1e-12)
    np.testing.assert_allclose(result.P, solve(problem).P, atol=PLAN)
    with pytest.raises(DomainError, match="negative mass"):
        kernels.solve(C, changed(r, 0, -1.0), c, eps, normalize=True)
    heavy = kernels.solve(C, 50 * r, 50 * c, eps, tol=1e-12)
    np.testing.assert_allclose(heavy.P / 50, result.P, atol=PLAN)
    whole = kernels.solve(torch.tensor([[0, 3], [2, 0]]), torch.tensor([1, 1]), torch.tensor([1, 1]), 1)
    assert whole.P.dtype == torch.float64


@pytest.mark.parametrize("method", METHODS)
def test_forbidden_pairs(method):
    problem = problems.random_transport(8, 8, eps=0.2, seed=0)
    C, r, c, eps = tensors(problem)
    C[0, 1:6], C[3, 3] = torch.inf, torch.inf
    result = kernels.solve(C, r, c, eps, method=method, tol=1e-12, allow_forbidden=True)
    expected = sims.solve(C.numpy(), problem.r, problem.c, eps, tol=1e-12, allow_forbidden=True)
    np.testing.assert_allclose(result.P, expected.P, atol=PLAN)
    assert float(result.interval[0]) == pytest.approx(expected.interval[0], abs=1e-11)
    C = torch.rand(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    C[:3, 2:] = torch.inf
    mass = torch.full((6,), 1 / 6, dtype=torch.float64)
    with pytest.raises(DomainError, match=r"3 rows of mass 0\.5 reach only columns of mass 0\.333333"):
        kernels.solve(C, mass, mass, 0.1, method=method, allow_forbidden=True, max_steps=60, on_fail="return")
    C[0] = torch.inf
    with pytest.raises(DomainError, match=r"row 0 has mass .* only forbidden pairs"):
        kernels.solve(C, mass, mass, 0.1, method=method, allow_forbidden=True)


def test_stagnation_is_said():
    C, r, c, eps = tensors(problems.random_transport(15, 22, eps=0.3, seed=0))
    result = kernels.solve(C, r, c, eps, method="log", tol=1e-18, on_fail="return")  # below what rounding lets it reach
    assert result.status == "stalled"
    assert result.sinkhorn_steps <= 300
    assert result.delta < 1e-14
    with pytest.raises(NotConverged, match="stalled"):
        kernels.solve(C, r, c, eps, method="log", tol=1e-18)


def test_a_kernel_that_underflows():
    problem = problems.random_transport(15, 15, eps=1e-2, seed=3)
    C, r, c, eps = tensors(problem)
    C = 1e3 * C**2  # exp(-C/eps) has no positive entry in some rows
    expected = sims.solve(C.numpy(), problem.r, problem.c, eps, tol=1e-3)
    for method in ("sns", "newton"):
        result = kernels.solve(C, r, c, eps, method=method, tol=1e-3)
        assert result.interval[0] <= expected.interval[1] + 1e-9
        assert expected.interval[0] <= result.interval[1] + 1e-9
    # a start whose first row update leaves nothing in most columns: exp(-1000) of each
    C, r, c, eps = tensors(problems.random_transport(15, 15, eps=0.1, seed=3))
    far = kernels.solve(C, r, c, eps, method="log", g=torch.linspace(0, -100, 15), tol=1e-11)
    np.testing.assert_allclose(far.P, kernels.solve(C, r, c, eps, tol=1e-12).P, atol=1e-10)


# ---------------------------------------------------------------------------------------------- float32


def test_single_precision():
    problem = random_problem(25, 30, 0.05 * 6, 0)  # the range of normal costs is about six deviations
    C, r, c, eps = tensors(problem)
    result = kernels.solve(C.float(), r.float(), c.float(), eps, method="log", tol=1e-5)
    assert result.f.dtype == torch.float32
    expected = solve(problem).P
    assert float((result.P - expected).abs().sum()) < 1e-4  # of a plan of mass 1
    C, r, c = C.float(), r.float(), c.float()
    for method in ("sns", "newton"):
        with pytest.raises(DomainError, match=f"{method} needs float64"):
            kernels.solve(C, r, c, eps, method=method, tol=1e-5)
    with pytest.raises(DomainError, match=r"float32 reaches tol >= 1\.0e-06"):
        kernels.solve(C, r, c, eps, method="log", tol=1e-7)
    with pytest.raises(DomainError, match="range over 1e5 eps"):
        kernels.solve(C, r, c, 1e-6, method="log", tol=1e-2)
    with pytest.raises(DomainError, match="masses differ"):
        kernels.solve(C, 1.001 * r, c, eps, method="log", tol=1e-5)


# ------------------------------------------------------------------------------------------- properties

few = settings(max_examples=12)
sizes = st.integers(1, 20)
temperatures = st.floats(1e-2, 10.0)
seeds = st.integers(0, 2**31)


@few
@given(sizes, sizes, temperatures, seeds)
def test_rounded_plans_are_feasible_and_bounds_hold(n, m, relative_eps, seed):
    problem = random_problem(n, m, relative_eps, seed)
    for options in ({"tol": 1e-9}, {"method": "log", "max_steps": 2, "tol": 1e-12}):
        result = solve(problem, on_fail="return", **options)
        assert result.rounded.min() >= 0
        assert marginal_error(result.rounded, result.r, result.c) < 1e-13
        lower, upper = result.interval
        assert lower <= upper + 1e-12
        assert result.dual <= result.primal + 1e-12
        assert abs(marginal_error(result.P, result.r, result.c) - result.delta) < 1e-12
        assert abs(float(result.r @ result.f - result.c @ result.g)) < 1e-13


@few
@given(sizes, sizes, temperatures, seeds)
def test_the_plan_moves_with_the_problem(n, m, relative_eps, seed):
    """Shift and scaling of costs, permutation, transposition: one batch with the problem itself where shapes allow."""
    problem = random_problem(n, m, relative_eps, seed)
    C, r, c, eps = tensors(problem)
    rng = np.random.default_rng(seed)
    a, b = torch.tensor(rng.standard_normal(n)), torch.tensor(rng.standard_normal(m))
    s, t = torch.tensor(rng.permutation(n)), torch.tensor(rng.permutation(m))
    costs = torch.stack([C, C + a[:, None] + b, 7.3 * C, C[s][:, t]])
    rows, columns = torch.stack([r, r, r, r[s]]), torch.stack([c, c, c, c[t]])
    result = kernels.solve(
        costs, rows, columns, torch.tensor([eps, eps, 7.3 * eps, eps], dtype=torch.float64), tol=1e-12
    )
    P = result.P[0]
    np.testing.assert_allclose(result.P[1], P, atol=PLAN)
    np.testing.assert_allclose(result.P[2], P, atol=PLAN)
    np.testing.assert_allclose(result.P[3], P[s][:, t], atol=PLAN)
    assert float(result.dual[1]) == pytest.approx(float(result.dual[0] + r @ a + c @ b), abs=1e-10 * (1 + eps))
    assert float(result.dual[2]) == pytest.approx(7.3 * float(result.dual[0]), abs=1e-10 * (1 + eps))
    turned = kernels.solve(C.T, c, r, eps, tol=1e-12)
    np.testing.assert_allclose(turned.P.T, P, atol=PLAN)
    halves = kernels.solve(torch.cat([C[:1], C]), torch.cat([r[:1] / 2, r[:1] / 2, r[1:]]), c, eps, tol=1e-12)
    np.testing.assert_allclose(halves.P[0] + halves.P[1], P[0], atol=PLAN)
    assert float(halves.kl_value) == pytest.approx(float(result.kl_value[0]), abs=1e-10 * (1 + eps))


@few
@given(st.integers(2, 20), st.integers(2, 20), seeds)
def test_high_temperature_gives_independence(n, m, seed):
    problem = random_problem(n, m, 1.0, seed)
    C, r, c, _ = tensors(problem)
    eps = 1e4 * float(C.max() - C.min())
    P = kernels.solve(C, r, c, eps, tol=1e-13).P
    assert float((P - r[:, None] * c).abs().sum()) <= 2.1e-4  # exponents lie within 2 range(C)/eps of the product's


# --------------------------------------------------------------------------- clouds without their cost


def points(n, m, d, *, seed=0, dtype=torch.float64, device="cpu"):
    rng = np.random.default_rng(seed)
    arrays = rng.random((n, d)), rng.random((m, d)) + 0.2
    masses = (rng.dirichlet(np.full(k, 3.0)) for k in (n, m))
    x, y = (torch.tensor(z, dtype=dtype, device=device) for z in arrays)
    return x, y, *(torch.tensor(z, device=device) for z in masses)


def cost_of(name, x, y):
    """Each cost once more, from its definition."""
    gap = x[:, None] - y
    if name == "l1":
        return gap.abs().sum(-1)
    return gap.square().sum(-1) if name == "sqeuclidean" else gap.square().sum(-1).sqrt()


def power(x, y):
    return (x[:, None] - y).abs().pow(1.5).sum(-1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cost", [*kernels.COSTS, power])
@pytest.mark.parametrize("d", [2, 20])
def test_online_is_the_dense_solution(cost, d, device, monkeypatch):
    monkeypatch.setattr(clouds, "ENTRIES", 300)  # several chunks
    x, y, r, c = points(30, 40, d, device=device)
    C = cost(x, y) if callable(cost) else cost_of(cost, x, y)
    eps = 0.1 * float(C.std())
    dense = kernels.solve(C, r, c, eps, tol=1e-12)
    online = kernels.online(x, y, r, c, eps, cost=cost, tol=1e-11, max_steps=10_000)
    assert online.converged
    P = ((online.f[:, None] + online.g - C) / eps).exp()
    np.testing.assert_allclose(P.cpu(), dense.P.cpu(), rtol=0, atol=1e-10)
    assert marginal_error(P, r, c) == pytest.approx(online.delta, abs=1e-12)
    assert float(online.dual) == pytest.approx(float(dense.dual), abs=1e-11)
    np.testing.assert_allclose(online.f.cpu(), dense.f.cpu(), atol=1e-9)
    assert len(online.deltas) == online.steps + 1
    assert (online.deltas[:-1] > 1e-11).all()


@pytest.mark.parametrize("cost", [*kernels.COSTS, power])
def test_gradients_of_the_online_value(cost, monkeypatch):
    monkeypatch.setattr(clouds, "ENTRIES", 60)
    x, y, r, c = points(7, 6, 2)

    def value(x, y, a, b):
        options = {"cost": cost, "tol": 1e-13, "max_steps": 5000, "on_fail": "return"}
        return kernels.online(x, y, a.softmax(0), b.softmax(0), 0.2, **options).dual

    leaves = [z.requires_grad_() for z in (x, y, r.log(), c.log())]
    assert torch.autograd.gradcheck(value, leaves, **CHECK)


def test_online_leaves_out_atoms_without_mass():
    x, y, r, c = points(12, 15, 2)
    r[[0, 5]], c[3] = 0.0, 0.0
    r, c = r / r.sum(), c / c.sum()
    x.requires_grad_()
    online = kernels.online(x, y, r, c, 0.1, tol=1e-11, max_steps=5000)
    dense = kernels.solve(cost_of("sqeuclidean", x, y), r, c, 0.1, tol=1e-12)
    np.testing.assert_allclose(online.f, dense.f.detach(), atol=1e-9)
    np.testing.assert_allclose(online.g, dense.g.detach(), atol=1e-9)
    (by_online,) = torch.autograd.grad(online.dual, x)
    (by_dense,) = torch.autograd.grad(dense.dual, x)
    np.testing.assert_allclose(by_online, by_dense, atol=1e-10)
    assert not by_online[[0, 5]].any()


def test_online_starts_where_it_is_told_and_says_where_it_ends():
    x, y, r, c = points(20, 25, 3)
    cold = kernels.online(x, y, r, c, 0.02, tol=1e-8, max_steps=20_000)
    warm = kernels.online(x, y, r, c, 0.02, tol=1e-7, g=cold.g)
    assert warm.steps <= 1
    with pytest.raises(NotConverged, match=r"spent its steps at delta = .* after 3 steps") as caught:
        kernels.online(x, y, r, c, 0.02, tol=1e-8, max_steps=3)
    result = caught.value.result
    assert (result.status, result.steps, result.engine, result.precision) == ("max_steps", 3, "torch", "float64")
    P = ((result.f[:, None] + result.g - cost_of("sqeuclidean", x, y)) / 0.02).exp()
    assert marginal_error(P, r, c) == pytest.approx(result.delta, abs=1e-13)
    again = [
        kernels.online(x, y, r, c, 0.02, tol=1e-6, max_steps=20_000, check_every=k, on_fail="return") for k in (1, 7)
    ]
    assert again[0].steps == again[1].steps
    assert torch.equal(again[0].f, again[1].f)
    x, y = x.float(), y.float()
    stalled = kernels.online(x, y, r, c, 1.0, tol=1.1e-6, on_fail="return")
    assert stalled.status in ("converged", "stalled")
    blocks = torch.tensor([[0.0], [10.0]], dtype=torch.float64)
    masses = torch.tensor([0.6, 0.4], dtype=torch.float64)
    assert kernels.online(blocks, blocks, masses, masses.flip(0), 1.0, on_fail="return").status == "stalled"


def test_float32_clouds_are_as_good_as_stated():
    for d, eps in ((2, 0.02), (3, 0.005), (20, 0.2)):
        x, y, r, c = points(60, 70, d, seed=d)
        exact = kernels.online(x, y, r, c, eps, tol=1e-9, max_steps=20_000, on_fail="return")
        rough = kernels.online(x.float(), y.float(), r, c, eps, tol=1e-4, max_steps=20_000)
        assert rough.f.dtype == torch.float64
        C = cost_of("sqeuclidean", x.float().double(), y.float().double())
        P = ((rough.f[:, None] + rough.g - C) / eps).exp()
        largest = float(rough.f.abs().max() / eps)
        stated = 6e-8 * (largest + (float(C.max()) / eps if d >= 16 else 0))
        # twice: rows and columns
        assert abs(marginal_error(P, r, c) - rough.delta) < 2 * stated
        assert float((rough.dual - exact.dual).abs()) < 1e-3 * eps


def test_a_lost_sum_is_taken_again_about_its_maximum():
    class Sums:
        """No plan, only what it was asked: two columns that never get their mass."""

        lost, asked = torch.tensor(False), []

        def rows(self, f, g, safe):
            self.asked.append(safe)
            return torch.zeros_like(f)

        def columns(self, f, g, safe):
            self.asked.append(safe)
            self.lost.fill_(len(self.asked) == 6)
            return torch.zeros_like(g)

    clouds._iterate(Sums(), HALF, HALF, 1.0, 1e-3, 5, None, 1)
    # rows, columns, rows from nothing; then as if sums were in range, but for the step after the loss
    assert Sums.asked == [False, False, False, False, True, True, False, False, True, True, True, True]


ONLINE_BAD = [
    ({"x": C2[0]}, ShapeError, "x must have 2 axes"),
    ({"y": C2.float()}, TypeError, "one dtype"),
    ({"y": torch.ones(2, 3, dtype=torch.float64)}, ShapeError, "x has 2 coordinates, y has 3"),
    ({"r": torch.ones(3) / 3}, ShapeError, "x has 2 points, r has 3"),
    ({"x": changed(C2, (0, 0), torch.nan)}, NonFiniteError, "x contains nan"),
    ({"c": 1.1 * HALF}, DomainError, "r sums to 1.0, c to 1.1"),
    ({"c": torch.tensor([1.5, -0.5])}, DomainError, "c holds a negative mass"),
    ({"eps": 0.0}, DomainError, "exact solver"),
    ({"tol": -1.0}, DomainError, "tol must be positive"),
    ({"cost": "cosine"}, DomainError, "cost must be a function or one of sqeuclidean, euclidean, l1"),
    ({"precision": "half"}, DomainError, "precision"),
    ({"precision": "tf32"}, DomainError, "TF32 is for squared distances of float32 points"),
    ({"engine": "keops"}, DomainError, "engine"),
    ({"engine": "triton", "cost": power}, DomainError, "take 'torch'"),
    ({"on_fail": "ignore"}, DomainError, "on_fail"),
    ({"max_steps": -1}, DomainError, "max_steps"),
    ({"check_every": 0}, DomainError, "check_every"),
    ({"g": torch.zeros(3)}, ShapeError, "g must have 2 entries"),
    ({"x": C2.float(), "y": C2.float(), "tol": 1e-8}, DomainError, "float32 reaches tol"),
    ({"x": C2.float(), "y": C2.float(), "eps": 1e-6, "tol": 0.1}, DomainError, "range over 1e5 eps"),
    ({"cost": lambda x, y: (x - y[:2]).square().sum(1)}, ShapeError, r"of 2 and 2 points must have shape \(2, 2\)"),
    ({"cost": lambda x, y: torch.full((len(x), len(y)), torch.nan)}, NonFiniteError, "look at the cost"),
]


@pytest.mark.parametrize(("change", "error", "words"), ONLINE_BAD)
def test_online_refuses_bad_input(change, error, words):
    arguments = {"x": C2, "y": C2, "r": HALF, "c": HALF, "eps": 1.0} | change
    with pytest.raises(error, match=words):
        kernels.online(**arguments)


def test_online_wants_one_device():
    with pytest.raises(DomainError, match="c on meta"):
        clouds._check_points(C2, C2, HALF, HALF.to("meta"))


class _Peak(TorchDispatchMode):
    """Bytes of tensors alive at once, and of the largest."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = self.largest = 0
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.seen:
                    size = storage.nbytes()
                    self.seen.add(storage._cdata)
                    self.now += size
                    self.largest = max(self.largest, size)
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self.forget, storage._cdata, size)
        return out

    def forget(self, key, size):
        self.seen.discard(key)
        self.now -= size


def test_online_memory_is_linear_in_the_number_of_points():
    peaks = []
    for n in (10_000, 20_000):
        x, y, r, c = points(n, n, 1, dtype=torch.float32)
        engine = clouds._TorchEngine(x, y, clouds.COSTS["sqeuclidean"], 0.1, 1)
        with _Peak() as peak:
            engine.rows(torch.zeros_like(r), torch.zeros_like(c), True)
        peaks.append(peak.peak)
        assert peak.largest <= 4 * clouds.ENTRIES  # one chunk of float32, where the cost has n^2 = 1e8 and 4e8 entries
    slope = (peaks[1] - peaks[0]) / 10_000
    assert peaks[0] + slope * 990_000 < 4e9
    assert peaks[1] < 1.2 * peaks[0]


# ------------------------------------------------------------------------------- the same in Triton


@pytest.fixture(scope="module")
def triton_engine():
    pytest.importorskip("triton")
    from lemmata.kernels.sinkhorn_newton._clouds_triton import TritonEngine

    return TritonEngine


TRITON_DEVICE = "cuda" if CUDA else "cpu"


def exact_sums(x, y, cost, eps, f, g):
    """Row and column sums, and gradients, from the definition in float64."""
    x, y = (z.double().requires_grad_() for z in (x, y))
    C = cost_of(cost, x, y)
    t = (f[:, None] + g - C) / eps
    return t.logsumexp(1).detach(), t.logsumexp(0).detach(), *torch.autograd.grad((t.detach().exp() * C).sum(), (x, y))


@pytest.mark.triton
@pytest.mark.parametrize(
    ("cost", "d", "dtype", "tol"),
    [
        ("sqeuclidean", 1, torch.float64, 1e-13),
        ("sqeuclidean", 3, torch.float32, 2e-6),
        ("sqeuclidean", 7, torch.float32, 4e-6),
        ("sqeuclidean", 20, torch.float32, 1e-5),
        ("sqeuclidean", 70, torch.float32, 3e-5),
        ("sqeuclidean", 17, torch.float64, 1e-13),
        ("euclidean", 2, torch.float32, 2e-6),
        ("euclidean", 17, torch.float64, 1e-13),
        ("l1", 2, torch.float64, 1e-13),
        ("l1", 9, torch.float32, 4e-6),
    ],
)
def test_triton_sums_are_exact(cost, d, dtype, tol, triton_engine, monkeypatch):
    # float32: an exponent of size 10 to 100 keeps 6e-8 of it
    x, y, r, c = points(70, 150, d, dtype=dtype, device=TRITON_DEVICE)
    eps = 0.3 * d
    f, g = eps * r.log() / 2, eps * c.log() / 2
    engine = triton_engine(x, y, cost, eps, "full")
    rows, columns, by_x, by_y = (z.cpu() for z in exact_sums(x, y, cost, eps, f, g))
    # one program runs over all tiles of a row, or several share them
    for side, expected, ways in ((engine.rows, rows, (1, 8192)), (engine.columns, columns, (8192, 1))):
        for safe, programs in zip((True, False), ways, strict=True):
            monkeypatch.setattr(sys.modules[triton_engine.__module__], "PROGRAMS", programs)
            np.testing.assert_allclose(side(f, g, safe).cpu(), expected, rtol=0, atol=tol)
    assert not engine.lost
    for mine, theirs in zip(engine.gradient(f, g), (by_x, by_y), strict=True):
        np.testing.assert_allclose(mine.cpu(), theirs, rtol=0, atol=10 * tol * float(theirs.abs().max()))


@pytest.mark.triton
def test_triton_adds_up_groups_of_tiles(triton_engine, monkeypatch):
    x, y, _, c = points(10, 2200, 1, device=TRITON_DEVICE)  # a group is 2,048 columns
    f, g = torch.zeros(10, dtype=torch.float64, device=TRITON_DEVICE), c.log()
    monkeypatch.setattr(sys.modules[triton_engine.__module__], "PROGRAMS", 1)
    found = triton_engine(x, y, "sqeuclidean", 1.0, "full").rows(f, g, True)
    np.testing.assert_allclose(found.cpu(), exact_sums(x, y, "sqeuclidean", 1.0, f, g)[0].cpu(), rtol=0, atol=1e-13)


@pytest.mark.triton
@pytest.mark.parametrize("d", [1, 16])
def test_what_rounding_takes_from_a_potential_is_put_back(d, triton_engine):
    x = torch.zeros(5, d, device=TRITON_DEVICE)
    f = torch.tensor([1000.00001, -999.99999, 0.1, 1e-9, 3.0], dtype=torch.float64, device=TRITON_DEVICE)
    nothing = torch.zeros_like(f)
    for engine in (triton_engine(x, x, "sqeuclidean", 1.0, "full"), clouds._TorchEngine(x, x, power, 1.0, d)):
        np.testing.assert_allclose((engine.rows(f, nothing, False) - f).cpu(), np.log(5), rtol=0, atol=1e-6)
        np.testing.assert_allclose((engine.columns(nothing, f, False) - f).cpu(), np.log(5), rtol=0, atol=1e-6)


@pytest.mark.triton
def test_triton_keeps_digits_by_the_centre_of_a_tile(triton_engine, monkeypatch):
    """At 10,000 temperatures across, ordered points keep what products about one centre would lose."""
    x, y, _, _ = points(500, 500, 1, dtype=torch.float32, device=TRITON_DEVICE)
    nothing = torch.zeros(500, dtype=torch.float64, device=TRITON_DEVICE)
    exact = exact_sums(x, y, "sqeuclidean", 1e-4, nothing, nothing)[0]
    module = sys.modules[triton_engine.__module__]
    errors = []
    for order in (module.space_filling, lambda z: torch.arange(len(z), device=z.device)):
        monkeypatch.setattr(module, "space_filling", order)
        rows = triton_engine(x, y, "sqeuclidean", 1e-4, "full").rows(nothing, nothing, False)
        errors.append(float((rows - exact).abs().mean()))
    assert errors[0] < 3e-5
    assert errors[1] > 3 * errors[0]


@pytest.mark.triton
def test_triton_says_when_a_sum_is_lost(triton_engine):
    x, y, _, _ = points(20, 30, 2, dtype=torch.float32, device=TRITON_DEVICE)
    engine = triton_engine(x, y + 10, "sqeuclidean", 1.0, "full")
    nothing = [torch.zeros(k, dtype=torch.float64, device=TRITON_DEVICE) for k in (20, 30)]
    assert (engine.rows(*nothing, True) > -88).all()  # counted as the smallest number
    assert engine.lost
    assert (engine.rows(*nothing, False) < -100).all()


@pytest.mark.triton
@pytest.mark.parametrize(("cost", "d", "dtype"), [("sqeuclidean", 2, torch.float32), ("l1", 1, torch.float64)])
def test_online_in_triton(cost, d, dtype):
    pytest.importorskip("triton")
    x, y, r, c = points(40, 50, d, dtype=dtype, device=TRITON_DEVICE)
    y = y + 3  # far away: the first passes start from nothing
    r[0] = 0.0
    r = r / r.sum()
    x.requires_grad_()
    options = {"cost": cost, "tol": 1e-4, "max_steps": 100}
    there = kernels.online(x, y, r, c, 0.5, engine="triton", **options)
    here = kernels.online(x.double(), y.double(), r, c, 0.5, engine="torch", **options)
    assert (there.engine, there.precision) == ("triton", str(dtype).removeprefix("torch."))
    assert there.steps == here.steps
    np.testing.assert_allclose(there.f.cpu(), here.f.cpu(), atol=1e-5)
    np.testing.assert_allclose(there.deltas, here.deltas, rtol=1e-2, atol=2e-6)
    by_there, by_here = (torch.autograd.grad(result.dual, x)[0].cpu() for result in (there, here))
    np.testing.assert_allclose(by_there, by_here, atol=1e-5)


@pytest.mark.triton
@pytest.mark.parametrize("d", [3, 64])
def test_memory_with_triton_is_linear_in_the_number_of_points(d, triton_engine, monkeypatch):
    """Everything but what the kernels compute: gradients included, for a million points less than 4 GB."""

    class Idle:
        """A kernel that writes ones."""

        def __init__(self, *outputs):
            self.outputs = outputs

        def __getitem__(self, grid):
            return lambda *arguments, **constants: [arguments[k].fill_(1.0) for k in self.outputs]

    module = sys.modules[triton_engine.__module__]
    outputs = {"_sums": (5, 6), "_gradient": (5,), "_product_sums": (4, 5), "_product_gradient": (4,)}
    for name, places in outputs.items():
        monkeypatch.setattr(module, name, Idle(*places))
    peaks = []
    for n in (10_000, 20_000):
        x, y, r, c = points(n, n, d, dtype=torch.float32, device=TRITON_DEVICE)
        x.requires_grad_()
        with _Peak() as peak:
            result = kernels.online(x, y, r, c, 0.1 * d, engine="triton", max_steps=2, tol=1e-3, on_fail="return")
            result.dual.backward()
        peaks.append(peak.peak)
    assert peaks[1] < 2.2 * peaks[0]
    assert peaks[1] * 50 < 4e9


@pytest.mark.triton
def test_tf32_solves_for_rounded_points(triton_engine):
    x, y, r, c = points(60, 80, 20, dtype=torch.float32, device=TRITON_DEVICE)
    eps, centre = 0.5, (x.mean(0) + y.mean(0)) / 2
    far = float(torch.cat([x - centre, y - centre]).abs().max())
    C = cost_of("sqeuclidean", x.double(), y.double())
    for engine in ("triton", "torch"):
        result = kernels.online(x, y, r, c, eps, precision="tf32", engine=engine, tol=1e-4)
        assert result.precision == "tf32"
        P = ((result.f[:, None] + result.g - C) / eps).exp()
        # each coordinate of a point moves by at most 2^-11 of the largest, each squared distance by that times
        # 2 |x - y|_1 twice; an exponent by its share of eps
        moved = float((2 * (x[:, None] - y).abs().sum(-1)).max()) * 2 * 2**-11 * far / eps
        assert result.delta < marginal_error(P, r, c) < moved
    exact = kernels.online(x, y, r, c, eps, tol=1e-4)
    assert abs(float(exact.dual - result.dual)) < 1e-2 * eps
    # rounding is to the nearest of 11 bits
    z = clouds.to_tf32(torch.tensor([1 + 2**-11, 1 + 3 * 2**-11, -1 - 2**-12]))
    assert z.tolist() == [1 + 2**-10, 1 + 2**-9, -1.0]


@pytest.mark.triton
def test_kernels_compile_for_a_hopper_gpu(tmp_path):
    """Needs no GPU: ptxas comes with Triton. A pair of points in three dimensions must not spill or swell."""
    pytest.importorskip("triton")
    code = """
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource
        from lemmata.kernels.sinkhorn_newton import _clouds_triton as module

        def compiled(name, warps, dtype="fp32", **constants):
            kernel = getattr(module, name)
            kinds = dict.fromkeys(kernel.arg_names, "*" + dtype)
            kinds |= {p: "i32" for p in module.LOOSE if p in kinds} | dict.fromkeys(constants, "constexpr")
            aligned = {(k,): [["tt.divisibility", 16]] for k, p in enumerate(kernel.arg_names) if kinds[p][0] == "*"}
            source = ASTSource(fn=kernel, signature=kinds, constexprs=constants, attrs=aligned)
            options = {"num_warps": warps, "num_stages": 2, "enable_fp_fusion": True}
            made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
            assert len(made.asm["cubin"]) > 1000
            return made.asm["ptx"]

        ptx = compiled("_sums", 4, D=3, COST=0, HELD=True, SAFE=True, BI=64, BJ=32)
        assert "ex2.approx.ftz.f32" in ptx and ".local" not in ptx
        compiled("_sums", 4, D=20, COST=1, HELD=False, SAFE=False, BI=32, BJ=32)
        compiled("_gradient", 8, D=3, DP=4, COST=2, HELD=True, BLOCK=64, BI=32, BJ=128)
        assert "wgmma" in compiled("_product_sums", 8, DP=64, KB=64, PRECISION="tf32", SAFE=True, BI=128, BJ=64)
        compiled("_product_gradient", 4, DP=128, KB=64, PRECISION="tf32x3", BI=64, BJ=32)
    """
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", dedent(code)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_torch_functions_do_not_need_triton():
    code = "import sys; sys.modules['triton'] = None; import lemmata.kernels.sinkhorn_newton as k; k.online; k.solve"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------------------------- on a GPU


@pytest.mark.gpu
@pytest.mark.triton
@pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
@pytest.mark.parametrize(
    ("d", "precision"), [(3, "full"), (5, "full"), (12, "full"), (64, "full"), (64, "tf32"), (100, "tf32")]
)
def test_large_clouds_on_a_gpu(d, precision):
    n, m = 20_000, 15_000
    x, y, r, c = points(n, m, d, dtype=torch.float32, device="cuda")
    options = {"tol": 1e-3, "max_steps": 200}
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = kernels.online(x.requires_grad_(), y, r, c, 0.1 * d, precision=precision, **options)
    result.dual.backward()
    assert torch.cuda.max_memory_allocated() - before < 0.1 * 4 * n * m
    x_exact = x.detach().double().requires_grad_()
    exact = kernels.online(x_exact, y.double(), r, c, 0.1 * d, engine="torch", **options)
    exact.dual.backward()
    close = 1e-2 if precision == "tf32" else 1e-4
    assert float((result.dual - exact.dual).detach().abs()) < close * 0.1 * d
    assert result.delta <= 1e-3
    error = (x.grad - x_exact.grad).norm() / x_exact.grad.norm()
    assert float(error) < 1e-2  # both stopped at delta = 1e-3
