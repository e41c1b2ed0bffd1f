"""Halpern-type iterations: exact values, one trajectory by every route, every bad input, invariances."""

import math
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from fractions import Fraction
from textwrap import dedent
from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

import lemmata.kernels.halpern
import lemmata.sims.halpern
from lemmata.errors import AssumptionError, DomainError, NonFiniteError, NotConverged, ShapeError
from lemmata.problems import halpern as problems
from lemmata.problems.halpern import Operator, Stage, anchor_weights, check_constant
from lemmata.theory import halpern as theory

BACKENDS = {"sims": lemmata.sims.halpern, "kernels": lemmata.kernels.halpern}
EPS = np.finfo(np.float64).eps


class Backend:
    """A library and its arrays."""

    def __init__(self, name):
        self.name, self.library = name, BACKENDS[name]

    def array(self, x, dtype="float64"):
        x = np.asarray(x)
        return x.astype(dtype) if self.name == "sims" else torch.tensor(x, dtype=getattr(torch, dtype))

    def map(self, function):
        """A numpy map of rows as a callable of the backend's arrays."""
        if self.name == "sims":
            return function
        return lambda x: torch.from_numpy(np.stack([function(row) for row in x.numpy()]))

    def run(self, method, operator, x0, *arguments, **options):
        return getattr(self.library, method)(operator, self.array(x0), *arguments, **options)


@pytest.fixture(params=BACKENDS)
def backend(request):
    return Backend(request.param)


# --------------------------------------------------------------------------------------- T1, Halpern's rate


def sweep(steps):
    """Iterates of the hard problem for N = `steps` as fractions, checked against x_k = 1 - k/(N+1) on the way."""
    delta, x, iterates = Fraction(1, steps + 1), Fraction(1), []
    for k in range(steps + 1):
        assert x == 1 - k * delta
        iterates.append(x)
        image = x - 2 * max(-delta, min(delta, x))
        assert abs(x - image) == 2 * delta  # flat: the bound 2/(k+1) is met at k = N only
        x = Fraction(1, k + 2) + Fraction(k + 1, k + 2) * image
    return iterates


def test_the_hard_problem_in_exact_arithmetic(backend):
    """x_k = 1 - k/(N+1) and the residual at k = N is 2/(N+1), without any rounding, for N up to 50."""
    sizes = np.arange(1, 51)
    problem = problems.halpern_hard(sizes)
    run = backend.run("halpern", problem.operator, problem.x0, 50, iterates=True)
    for row, steps in enumerate(sizes):
        exact = [float(x) for x in sweep(int(steps))]
        room = (steps + 1) * EPS  # each step adds one rounding of a number below 1
        np.testing.assert_allclose(run["iterate"].values[row, : steps + 1, 0], exact, rtol=0, atol=room)
        np.testing.assert_allclose(run["residual"].values[row, steps], 2 / (steps + 1), rtol=0, atol=2 * room)
    assert (problem.dist == 1).all()
    np.testing.assert_array_equal(theory.residual_tight(k=sizes, dist=problem.dist), 2 / (sizes + 1))


def test_the_potential_falls_by_the_interpolation_inequality():
    """V_k - V_{k+1} = (k+1)(k+2) [<G_{k+1} - G_k, x_{k+1} - x_k> - ||G_{k+1} - G_k||^2], an identity.

    Both sides are quadratic in G_k, G_{k+1} and x_k - x_0: scalars stand for the vectors.
    """
    k, g, h, gap = sp.symbols("k g h gap")
    following = (k + 1) / (k + 2) * (gap - 2 * g)  # x_{k+1} - x_0, with T x_k = x_k - 2 G_k
    potential = k * (k + 1) * g**2 + (k + 1) * g * gap
    after = (k + 1) * (k + 2) * h**2 + (k + 2) * h * following
    fall = (k + 1) * (k + 2) * ((h - g) * (following - gap) - (h - g) ** 2)
    assert sp.simplify(potential - after - fall) == 0
    # the claim is the same potential in the recorded quantities, 2||G|| and <2G, x - x_0>
    recorded = theory.potential.expression
    names = {s.name: s for s in recorded.free_symbols}
    values = {names["k"]: k, names["residual"]: 2 * g, names["anchor_product"]: 2 * g * gap}
    assert sp.simplify(recorded.subs(values, simultaneous=True) + potential) == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_identity_of_the_potential_along_every_run(seed, backend):
    problem = problems.random_nonexpansive(16, 6, 4, seed=seed)
    steps = 60
    run = backend.run("halpern", problem.operator, problem.x0, steps, iterates=True)
    x = np.swapaxes(run["iterate"].values, 0, 1)
    g = np.stack([(row - problem.operator(row)) / 2 for row in x])
    k = np.arange(steps)[:, None]
    value = -theory.potential(
        k=np.arange(steps + 1), residual=run["residual"].values, anchor_product=run["anchor_product"].values
    ).T
    dx, dg = np.diff(x, axis=0), np.diff(g, axis=0)
    fall = (k + 1) * (k + 2) * (np.einsum("kbd,kbd->kb", dg, dx) - np.einsum("kbd,kbd->kb", dg, dg))
    # differences of terms of size k^2 |G| |x|: a hundred roundings of the largest of them
    terms = (k + 1) * (k + 2) * np.linalg.norm(x, axis=2)[1:] ** 2
    assert (np.abs(value[:-1] - value[1:] - fall) <= 100 * EPS * terms).all()
    assert (fall >= -100 * EPS * terms).all()
    np.testing.assert_allclose(value[0], 0, atol=EPS)  # V_0 = 0 since x_0 is the anchor


@pytest.mark.parametrize("lipschitz", [0.5, 3.0])
def test_the_huber_gradient_meets_the_cocoercive_bound(lipschitz, backend):
    sizes = np.array([1, 2, 7, 40])
    problem = problems.halpern_hard(sizes, lipschitz=lipschitz)
    T = problem.operator.forward(2 / lipschitz)
    run = backend.run("halpern", T, problem.x0, 40)
    force = lipschitz / 2 * run["residual"].values[range(4), sizes]
    # each step adds one rounding of a point below 1
    np.testing.assert_allclose(force, lipschitz / (sizes + 1), rtol=0, atol=41 * EPS * lipschitz)
    np.testing.assert_array_equal(
        theory.cocoercive_residual(k=sizes, dist=1.0, lipschitz=lipschitz), lipschitz / (sizes + 1)
    )


# ------------------------------------------------------------------------- T2, T3: tables of exact worst cases

# squared residuals of the performance-estimation problem, D = 1, N = 1..10, found by an independent solver
KM = {
    0.5: (
        1.0,
        0.59259259,
        0.42187499,
        0.32768000,
        0.26791837,
        0.22661111,
        0.19634790,
        0.17321966,
        0.15496819,
        0.14019752,
    ),
    0.75: (
        1.33333333,
        0.79012346,
        0.5625,
        0.43690666,
        0.35722449,
        0.30214814,
        0.26179724,
        0.23095957,
        0.20662417,
        0.18693002,
    ),
}
OHM = {
    1.1: (
        0.82644628,
        0.33265743,
        0.16921158,
        0.09778397,
        0.06122273,
        0.04049298,
        0.02786849,
        0.01976456,
        0.01434884,
        0.01061323,
    ),
    2.0: (0.25, 0.04591837, 0.01, 0.00234131, 0.00056689, 0.00013950, 0.00003460, 0.00000862, 0.00000215, 0.00000054),
}
TEN = np.arange(1, 11)


@pytest.mark.parametrize("step", KM)
def test_krasnoselskii_mann_has_the_tabulated_worst_case(step, backend):
    # the solver agrees with the formula to 1e-7
    np.testing.assert_allclose(theory.km_residual(k=TEN, dist=1.0, step=step) ** 2, KM[step], rtol=0, atol=1e-7)
    problem = problems.km_hard(TEN, step)
    run = backend.run("krasnoselskii_mann", problem.operator, problem.x0, 10, step=step)
    np.testing.assert_allclose(run["residual"].values[TEN - 1, TEN] ** 2, KM[step], rtol=0, atol=1e-7)


def first_branch(n, g):
    return math.sqrt((n / (n + 1)) ** n / (g * (1 - g) * (n + 1)))


def second_branch(n, g):
    return 2 * (2 * g - 1) ** n


@pytest.mark.parametrize(("step", "steps", "form"), [
    (0.5, 1, first_branch), (0.6, 6, first_branch), (0.9, 20, first_branch), (0.99, 100, first_branch),
    (0.98, 3, second_branch), (0.95, 1, second_branch), (0.999, 40, second_branch),
])  # fmt: skip
def test_both_branches_of_krasnoselskii_mann_are_met(step, steps, form, backend):
    threshold = (1 + math.sqrt(steps / (steps + 1))) / 2
    assert (form is first_branch) == (step <= threshold)
    expected = form(steps, step)
    np.testing.assert_allclose(
        theory.km_residual(k=steps, dist=1.0, step=step), expected, rtol=1e-14
    )  # a few roundings
    problem = problems.km_hard([steps], step)
    run = backend.run("krasnoselskii_mann", problem.operator, problem.x0, steps, step=step)
    # cos(theta) is known to EPS, its angle less well where theta is small: 1e-12 of the residual
    np.testing.assert_allclose(run["residual"].values[0, -1], expected, rtol=1e-12)
    # the other branch would be wrong by far more
    other = second_branch if form is first_branch else first_branch
    assert abs(other(steps, step) / expected - 1) > 1e-4


def test_the_branches_meet_at_the_threshold():
    for steps in (1, 5, 50):
        g = (1 + math.sqrt(steps / (steps + 1))) / 2
        assert first_branch(steps, g) == pytest.approx(second_branch(steps, g), rel=1e-12)  # powers of rounded numbers
    # the value of the second branch at g = .98, N = 3, found by an independent solver
    assert second_branch(3, 0.98) ** 2 == pytest.approx(3.13103116, abs=1e-8)


@pytest.mark.parametrize("gamma", OHM)
def test_the_optimal_contractive_method_has_the_tabulated_worst_case(gamma, backend):
    problem = problems.ohm_hard(TEN, gamma)
    run = backend.run(
        "halpern", problem.operator, problem.x0, 10, weights=problems.ohm_weights(10, gamma), iterates=True
    )
    residual = run["residual"].values[TEN - 1, TEN]
    np.testing.assert_allclose(residual**2, OHM[gamma], rtol=0, atol=1e-7)
    delta = [1 / sum(gamma**i for i in range(n + 1)) for n in TEN]
    np.testing.assert_allclose(run["iterate"].values[TEN - 1, TEN, 0], delta, rtol=1e-12)  # ten steps of gamma^i


def test_weights():
    assert anchor_weights(4).tolist() == [1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert problems.ohm_weights(6, 1.0).tolist() == anchor_weights(6).tolist()
    phi = [sum(Fraction(11, 10) ** (2 * i) for i in range(k + 1)) for k in range(1, 6)]
    np.testing.assert_allclose(problems.ohm_weights(5, 1.1), [float(1 / p) for p in phi], rtol=1e-14)  # sums of 6 terms
    assert problems.ohm_weights(500, 10.0)[-1] == 0.0  # the sum overflows: no anchor, and no warning


# -------------------------------------------------------------------------------- T5, T6: extragradient methods


def test_the_step_of_eag_v_tends_to_its_limit():
    a = problems.eag_v(200_001, 0.618).half
    assert a[0] == 0.618
    assert (np.diff(a) < 0).all()
    assert a[-1] == pytest.approx(0.4365412, abs=1e-7)  # found independently after as many steps
    # what is still to come after k steps is a^3 / (1 - a^2) / (k + 3/2)
    limits = [a[k] - a[k] ** 3 / (1 - a[k] ** 2) / (k + 1.5) for k in (50_000, 200_000)]
    assert limits == pytest.approx([0.4365407] * 2, abs=1e-7)
    assert limits[0] == pytest.approx(limits[1], abs=1e-9)
    second = Fraction(618, 1000) * (1 - Fraction(618, 1000) ** 2 / (3 * (1 - Fraction(618, 1000) ** 2)))
    assert a[1] == pytest.approx(float(second), rel=4 * EPS)
    scaled = problems.eag_v(50, 0.618, lipschitz=4.0)
    np.testing.assert_allclose(scaled.half, a[:50] / 4, rtol=2 * EPS)
    np.testing.assert_array_equal(scaled.full, scaled.half)


def test_schedules():
    feg = problems.feg(4, lipschitz=2.0)
    assert feg.anchor.tolist() == [1, 1 / 2, 1 / 3, 1 / 4]
    np.testing.assert_allclose(feg.half, (1 - feg.anchor) / 2, rtol=EPS)
    assert feg.full.tolist() == [0.5] * 4
    eag = problems.eag_c(3, 0.125)
    assert (eag.anchor.tolist(), eag.half.tolist(), eag.full.tolist()) == (
        [1 / 2, 1 / 3, 1 / 4],
        [0.125] * 3,
        [0.125] * 3,
    )
    assert problems.eg(3, 0.5).anchor.tolist() == [0.0] * 3
    assert (feg.steps, feg.name, eag.name, problems.eg(1, 1.0).name) == (4, "FEG", "EAG-C", "EG")


# squared worst ||F(z_N)|| of FEG over planar rotations of speed at most 1, found independently
FEG = {2: 1.0, 3: 0.30571, 4: 0.15806, 5: 0.10116, 8: 0.042411}


def test_feg_on_rotations_has_the_tabulated_worst_case(backend):
    problem = problems.skew_rotations(np.linspace(0.001, 1, 1000))
    run = backend.run("extragradient", problem.operator, problem.x0, problems.feg(8))
    worst = run["residual"].values.max(axis=0) ** 2
    # the table has five digits, and the grid of speeds misses a maximum by at most 1e-6 of it
    np.testing.assert_allclose(worst[list(FEG)], list(FEG.values()), rtol=3e-5)
    # at N = 2 and speed 1 the bound 4/N^2 is attained
    assert run["residual"].values[-1, 2] == pytest.approx(1.0, rel=10 * EPS)


# ---------------------------------------------------------------------------------------- every route is one


def orthogonal(rng, *shape):
    q, _ = np.linalg.qr(rng.standard_normal((*shape, shape[-1])))
    return q


def simplex_pair(rng, batch, n, m):
    """Points near two probability simplices."""
    return np.concatenate([rng.dirichlet(np.ones(n), batch), rng.dirichlet(np.ones(m), batch)], axis=1)


def every_operator(rng):
    """One map of each stage, with one parameter set a row and with one for all, and the combinations; d = 6, B = 4."""
    normal, unit = rng.standard_normal((4, 6)), rng.uniform(0.2, 1.0, 4)
    matrix = rng.standard_normal((2, 4))
    plain = {
        Stage.AFFINE: Operator.affine(orthogonal(rng, 4, 6)),
        Stage.ROTATION: Operator.rotation(rng.uniform(0, np.pi, (4, 3)), gain=unit),
        Stage.CLIP: Operator.clip(unit, 6),
        Stage.SOFT: Operator.soft_threshold(unit, 6),
        Stage.BALL: Operator.ball(0.3 * normal, unit),
        Stage.HALFSPACE: Operator.halfspace(normal, unit),
        Stage.REFLECTION: Operator.reflection(normal),
        Stage.SIMPLICES: Operator.single(Stage.SIMPLICES, 6, scalar=2),
        Stage.PDHG: problems.pdhg(matrix, 0.9 / np.linalg.norm(matrix, 2)),
        Stage.BILINEAR: problems.bilinear(0.1 * matrix).forward(0.01),
    }
    assert set(plain) == set(Stage)
    yield from ((code.name.lower(), op) for code, op in plain.items())
    yield from ((f"{code.name.lower()}, shared", op.row(2)) for code, op in plain.items() if op.batch > 1)
    three = plain[Stage.AFFINE].then(plain[Stage.BALL]).then(plain[Stage.REFLECTION].row(0))
    yield "composed", three
    yield "composed, shared first", three.row(1).then(plain[Stage.SOFT]).then(plain[Stage.AFFINE])
    yield "centred", three.centred(normal)
    yield "relaxed", three.relax(0.7).centred(normal[:1])
    yield "forward", Operator.huber(unit, 6, 2.0).forward(1.0).centred(normal)
    # a firmly nonexpansive linear field: (2/L) F is the difference of I and a nonexpansive map
    field = 0.5 * (np.eye(6) - orthogonal(rng, 6))
    yield "forward, centred field", Operator.affine(field, is_map=False, cocoercive=1.0).centred(normal[0]).forward(1.5)


OPERATORS = dict(every_operator(np.random.default_rng(0)))


def reference(T, x0, steps, weights, anchored=True):
    """The iteration in numpy, with what is recorded: iterates [k, B, d], residual and product [k, B]."""
    x, iterates, residual, product = x0, [], [], []
    for k in range(steps + 1):
        value = T(x)
        iterates.append(x)
        residual.append(np.linalg.norm(x - value, axis=1))
        product.append(((x - value) * (x - x0)).sum(axis=1))
        if k < steps:
            base = x0 if anchored else x
            x = base + weights[k] * (value - base)
    return np.stack(iterates), np.stack(residual), np.stack(product)


@pytest.mark.parametrize("name", OPERATORS)
def test_three_routes_give_one_trajectory(name, backend):
    """Numpy, Numba and torch over 1,000 steps: rounding is not amplified by a nonexpansive map."""
    operator = OPERATORS[name]
    x0 = np.random.default_rng(1).standard_normal((4, 6))
    steps = 1000
    iterates, residual, product = reference(operator, x0, steps, 1 - anchor_weights(steps))
    run = backend.run("halpern", operator, x0, steps, iterates=True)
    room = 1e-10 * np.abs(iterates).max()
    np.testing.assert_allclose(run["iterate"].values, np.swapaxes(iterates, 0, 1), rtol=0, atol=room)
    np.testing.assert_allclose(run["residual"].values, residual.T, rtol=0, atol=room)
    np.testing.assert_allclose(run["anchor_product"].values, product.T, rtol=0, atol=room * np.abs(iterates).max())
    np.testing.assert_array_equal(run["x"].values, run["iterate"].values[:, -1])


@pytest.mark.parametrize("step", [0.3, np.array([0.2, 0.5, 0.7, 0.99])])
def test_krasnoselskii_mann_by_three_routes(step, backend):
    operator, x0 = OPERATORS["composed"], np.random.default_rng(1).standard_normal((4, 6))
    weights = np.broadcast_to(np.reshape(step, (-1, 1)), (300, np.size(step), 1))
    iterates, residual, product = reference(operator, x0, 300, weights, anchored=False)
    run = backend.run("krasnoselskii_mann", operator, x0, 300, step=step, iterates=True)
    np.testing.assert_allclose(run["iterate"].values, np.swapaxes(iterates, 0, 1), rtol=0, atol=1e-10)
    np.testing.assert_allclose(run["residual"].values, residual.T, rtol=0, atol=1e-10)
    np.testing.assert_allclose(run["anchor_product"].values, product.T, rtol=0, atol=1e-10)


def test_weights_of_a_row(backend):
    operator, x0 = OPERATORS["composed"], np.random.default_rng(1).standard_normal((4, 6))
    lam = np.random.default_rng(2).uniform(0, 1, (4, 30))
    iterates, *_ = reference(operator, x0, 30, 1 - lam.T[:, :, None])
    run = backend.run("halpern", operator, x0, 30, weights=lam, iterates=True)
    np.testing.assert_allclose(run["iterate"].values, np.swapaxes(iterates, 0, 1), rtol=0, atol=1e-13)  # 30 roundings
    # at the ends of the range the weights mean "stay at the anchor" and "no anchor"
    held = backend.run("halpern", operator, x0, 5, weights=np.ones(5))
    np.testing.assert_array_equal(held["x"].values, x0)
    free, *_ = reference(operator, x0, 5, np.ones(5))
    np.testing.assert_allclose(
        backend.run("halpern", operator, x0, 5, weights=np.zeros(5))["x"].values, free[-1], atol=1e-14
    )


def reference_extragradient(F, z0, schedule, project):
    z, iterates, residual = z0, [], []
    for k in range(schedule.steps + 1):
        value = F(z)
        iterates.append(z)
        residual.append(np.linalg.norm(z - project(z - value), axis=1))
        if k < schedule.steps:
            b, a, c = schedule.anchor[k], schedule.half[k], schedule.full[k]
            half = project(z + b * (z0 - z) - a * value)
            z = project(z + b * (z0 - z) - c * F(half))
    return np.swapaxes(np.stack(iterates), 0, 1), np.stack(residual).T


@pytest.mark.parametrize("split", [0, 4])
@pytest.mark.parametrize("make", [
    lambda n: problems.eg(n, 0.5), lambda n: problems.eag_c(n, 0.125), problems.eag_v, problems.feg,
], ids=["EG", "EAG-C", "EAG-V", "FEG"])  # fmt: skip
def test_extragradient_by_three_routes(make, split, backend):
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((2, 4))
    z0 = simplex_pair(rng, 4, 4, 2)
    fields = [problems.bilinear(matrix / np.linalg.norm(matrix, 2))]
    if not split:
        fields.append(problems.random_monotone(4, 6, seed=1).operator)  # a centre and a matrix a row
    for field in fields:
        schedule = make(200)

        def project(z):
            return problems.simplices(z, split) if split else z

        iterates, residual = reference_extragradient(field, z0, schedule, project)
        run = backend.run("extragradient", field, z0, schedule, simplices=split, iterates=True)
        room = 1e-10 * np.abs(iterates).max()
        np.testing.assert_allclose(run["iterate"].values, iterates, rtol=0, atol=room)
        np.testing.assert_allclose(run["residual"].values, residual, rtol=0, atol=room)
        np.testing.assert_array_equal(run["x"].values, run["iterate"].values[:, -1])


def test_restarts_are_runs_laid_end_to_end(backend):
    operator, x0 = OPERATORS["rotation"], np.random.default_rng(1).standard_normal((4, 6))
    run = backend.run("restarted", operator, x0, 25, period=10, iterates=True)
    point = x0
    for epoch, steps in enumerate((10, 10, 5)):
        part = backend.run("halpern", operator, point, steps, iterates=True)
        np.testing.assert_array_equal(
            run["iterate"].values[:, 10 * epoch : 10 * epoch + steps + 1], part["iterate"].values
        )
        point = part["x"].values
    assert run["restarts"].values[0].tolist() == [0] * 10 + [1] * 10 + [2] * 6


def test_restarts_on_enough_decrease(backend):
    operator, x0 = OPERATORS["centred"], np.random.default_rng(1).standard_normal((4, 6))
    run = backend.run("restarted", operator, x0, 60, decrease=0.5, iterates=True)
    assert run["residual"].values[:, -1].min() > 1e-9  # above rounding, where a comparison would be a coin
    for b in range(4):
        T, x = operator.row(b), x0[b]
        anchor, since, start, made = x, 0, np.linalg.norm(x - T(x)), 0
        for k in range(61):
            gap = np.linalg.norm(x - T(x))
            if k and gap <= 0.5 * start:
                anchor, since, start, made = x, 0, gap, made + 1
            assert run["restarts"].values[b, k] == made
            np.testing.assert_allclose(run["iterate"].values[b, k], x, rtol=0, atol=1e-13)  # 60 roundings
            x = anchor + (since + 1) / (since + 2) * (T(x) - anchor)
            since += 1
        assert made >= 2


def test_errors_of_the_evaluations_enter_the_iterate_and_not_the_residual(backend):
    operator, x0 = OPERATORS["rotation"], np.random.default_rng(1).standard_normal((4, 6))
    e = 0.1 * np.random.default_rng(2).standard_normal((4, 20, 6))
    run = backend.run("halpern", operator, x0, 20, errors=e, iterates=True)
    x = x0
    for k in range(21):
        np.testing.assert_allclose(run["iterate"].values[:, k], x, rtol=0, atol=1e-14 * (k + 1))  # a rounding a step
        residual = np.linalg.norm(x - operator(x), axis=1)
        np.testing.assert_allclose(run["residual"].values[:, k], residual, rtol=0, atol=1e-14 * (k + 1))
        if k < 20:
            x = x0 + (k + 1) / (k + 2) * (operator(x) + e[:, k] - x0)


def turning(angle, gain=1.0):
    """A rotation of the plane written by a user in the three ways that the simulators take, and as data."""
    c, n = math.cos(angle), math.sin(angle)

    def returning(x):
        out = np.empty_like(x)
        out[0] = gain * (c * x[0] - n * x[1])
        out[1] = gain * (n * x[0] + c * x[1])
        return out

    def filling(x, out):
        out[0] = gain * (c * x[0] - n * x[1])
        out[1] = gain * (n * x[0] + c * x[1])

    return Operator.rotation([[angle]], gain=gain), returning, filling


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_users_operator_gives_the_same_numbers_bit_for_bit(dtype):
    operator, returning, filling = turning(0.3)
    x0 = np.random.default_rng(0).standard_normal((3, 2)).astype(dtype)
    sims = lemmata.sims.halpern
    expected = sims.halpern(operator, x0, 200, iterates=True)
    ways = {"in place": njit(filling)}
    if dtype == "float64":  # Python's own arithmetic is float64
        ways |= {"returning": njit(returning), "python": returning}
    for name, way in ways.items():
        run = sims.halpern(way, x0, 200, iterates=True)
        for variable in ("iterate", "residual", "anchor_product", "x"):
            if dtype == "float64":
                np.testing.assert_array_equal(run[variable], expected[variable], err_msg=name)
            else:  # the user's cosine is float64, ours float32: 200 roundings of float32
                np.testing.assert_allclose(run[variable], expected[variable], atol=200 * 6e-8 * 3, err_msg=name)
        assert run["x"].dtype == dtype


def test_a_users_field_gives_the_same_numbers_bit_for_bit():
    operator, returning, _ = turning(math.pi / 2, 0.8)
    field, z0 = replace(operator, is_map=False), np.random.default_rng(0).standard_normal((3, 2))
    sims = lemmata.sims.halpern
    expected = sims.extragradient(field, z0, problems.feg(50))
    for way in (njit(returning), returning):
        np.testing.assert_array_equal(sims.extragradient(way, z0, problems.feg(50))["residual"], expected["residual"])


def test_a_users_torch_operator_gives_the_same_numbers_bit_for_bit():
    matrix = orthogonal(np.random.default_rng(0), 6)
    x0 = torch.tensor(np.random.default_rng(1).standard_normal((4, 6)))
    weight = torch.tensor(matrix)
    kernels = lemmata.kernels.halpern
    expected = kernels.halpern(Operator.affine(matrix), x0, 100)
    run = kernels.halpern(lambda x: x @ weight.T, x0, 100)
    for variable in ("residual", "anchor_product", "x"):
        np.testing.assert_array_equal(run[variable], expected[variable])


def test_an_argument_with_a_default_is_not_an_output():
    @njit
    def damped(x, scale=0.5):
        return scale * x

    run = lemmata.sims.halpern.halpern(damped, np.ones(3), 4, iterates=True)
    expected, *_ = reference(lambda x: 0.5 * x, np.ones((1, 3)), 4, 1 - anchor_weights(4))
    np.testing.assert_array_equal(run["iterate"].values[0], expected[:, 0])


@dataclass  # compares by value, so that it has no hash
class Damping:
    scale: float

    def __call__(self, x):
        return self.scale * x


def test_an_operator_need_not_be_hashable(backend):
    run = backend.run("halpern", Damping(0.5), np.ones((1, 3)), 4)
    expected, *_ = reference(Damping(0.5), np.ones((1, 3)), 4, 1 - anchor_weights(4))
    np.testing.assert_allclose(run["x"].values, expected[-1], rtol=4 * EPS)
    again = backend.run("halpern", Damping(0.25), np.ones((1, 3)), 4)
    assert not np.array_equal(again["x"], run["x"])


def test_an_operator_that_changes_its_argument_fails():
    def careless(x):
        x *= 0.5
        return x

    for map_ in (careless, njit(careless)):
        with pytest.raises(DomainError, match="changes its argument"):
            lemmata.sims.halpern.halpern(map_, np.ones(3), 4)
    with pytest.raises(DomainError, match="changes its argument"):
        lemmata.kernels.halpern.halpern(lambda x: x.neg_(), torch.ones(3, dtype=torch.float64), 4)

    @njit
    def in_place(x, out):
        x *= 0.5
        out[:] = x

    @njit
    def part(x, out):
        out[:2] = 0.5 * x[:2]

    with pytest.raises(DomainError, match="changes its argument: let it write to out alone"):
        lemmata.sims.halpern.halpern(in_place, np.ones(3), 4)
    with pytest.raises(DomainError, match="leaves 1 entries of out as they were, the first 2"):
        lemmata.sims.halpern.halpern(part, np.ones(3), 4)


def test_what_is_built_keeps_its_own_copy():
    matrix, centre, x0, level = np.eye(2), np.zeros((1, 2)), np.ones((1, 2)), np.ones(1)
    op, game = Operator.affine(matrix).centred(centre), problems.bilinear(matrix)
    huber, problem = Operator.huber(1.0, 2, level), problems.FixedPointProblem("p", op, x0, centre)
    for array in (matrix, centre, x0, level):
        array *= 3  # writable still
        array += 5
    np.testing.assert_array_equal(op([1.0, 2.0]), [1.0, 2.0])
    np.testing.assert_array_equal(game([1.0, 2.0, 0.0, 0.0]), [0.0, 0.0, -1.0, -2.0])
    assert (problem.x0.max(), problem.solution.max(), huber.lipschitz[0]) == (1, 0, 1)


@pytest.mark.parametrize("method", ["halpern", "krasnoselskii_mann"])
def test_a_batch_equals_its_rows_one_by_one_bit_for_bit(method):
    problem = problems.random_nonexpansive(9, 6, 5, seed=4)
    sims = getattr(lemmata.sims.halpern, method)
    together = sims(problem.operator, problem.x0, 50, iterates=True)
    for b in range(9):
        alone = sims(problem.operator.row(b), problem.x0[b], 50, iterates=True)
        for variable in together:
            np.testing.assert_array_equal(alone[variable].values[0], together[variable].values[b])


def test_a_batch_equals_its_rows_on_torch():
    problem = problems.random_nonexpansive(9, 6, 5, seed=4)
    x0 = torch.tensor(problem.x0)
    together = lemmata.kernels.halpern.halpern(problem.operator, x0, 50, iterates=True)
    for b in range(9):
        alone = lemmata.kernels.halpern.halpern(problem.operator.row(b), x0[b], 50, iterates=True)
        # matrix products of another shape sum in another order: 50 steps of a few roundings
        np.testing.assert_allclose(alone["iterate"].values[0], together["iterate"].values[b], rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["rotation", "affine", "composed", "centred", "simplices", "pdhg"])
def test_float32(name, backend):
    operator, x0 = OPERATORS[name], np.random.default_rng(1).standard_normal((4, 6)).astype("float32")
    steps = 100
    double = backend.library.halpern(operator, backend.array(x0), steps, iterates=True)
    single = backend.library.halpern(operator, backend.array(x0, "float32"), steps, iterates=True)
    assert single["x"].dtype == single["iterate"].dtype == np.float32
    assert single.attrs["dtype"] == "float32"
    # every step adds a few roundings of a point: nothing amplifies them
    room = 8 * np.finfo(np.float32).eps * np.abs(double["iterate"].values).max() * (np.arange(steps + 1) + 1)
    assert (np.abs(single["iterate"] - double["iterate"]).max(axis=(0, 2)) <= room).all()
    assert np.abs(single["iterate"] - double["iterate"]).max() > 0  # it was float32 indeed


# ------------------------------------------------------------------------------------------- what is returned


def test_recorded_steps_are_those_of_the_whole_run(backend):
    operator, x0 = OPERATORS["composed"], np.random.default_rng(1).standard_normal((4, 6))
    whole = backend.run("halpern", operator, x0, 20, iterates=True)
    for at in ([0], [20], [0, 3, 20], np.array([1, 2], dtype=np.uint8), range(21)):
        part = backend.run("halpern", operator, x0, 20, at=at, iterates=True)
        assert part["step"].values.tolist() == list(at)
        for variable in ("residual", "anchor_product", "iterate"):
            np.testing.assert_array_equal(part[variable], whole[variable].sel(step=list(at)))
        np.testing.assert_array_equal(part["x"], whole["x"])
    assert "iterate" not in backend.run("halpern", operator, x0, 20)


def test_the_recorded_residual_is_that_of_the_recorded_iterate(backend):
    """No hidden average: recomputed from what is returned."""
    operator, x0 = OPERATORS["centred"], np.random.default_rng(1).standard_normal((4, 6))
    for method, options in (
        ("halpern", {}),
        ("krasnoselskii_mann", {}),
        ("restarted", {"period": 7}),
        ("restarted", {"decrease": 0.5}),
    ):
        run = backend.run(method, operator, x0, 30, iterates=True, **options)
        for k in (0, 17, 30):
            x = run["iterate"].values[:, k]
            residual = np.linalg.norm(x - operator(x), axis=1)
            np.testing.assert_allclose(run["residual"].values[:, k], residual, rtol=1e-13)  # sums of six squares


def test_results_are_labelled(backend):
    run = backend.run("halpern", OPERATORS["rotation, shared"], np.ones(6), 3)
    assert run.sizes == {"instance": 1, "step": 4, "dim": 6}
    assert run.attrs["method"] == "halpern"
    assert run.attrs["backend"] == backend.name
    assert run.attrs["dtype"] == "float64"
    assert run.attrs["lemmata"] == lemmata.__version__
    assert all("units" in variable.attrs for variable in run.data_vars.values())


def test_the_starting_point_is_left_alone(backend):
    x0 = backend.array(np.random.default_rng(1).standard_normal((4, 6)))
    before = np.asarray(x0).copy()
    for call in (
        lambda: backend.library.halpern(OPERATORS["composed"], x0, 5),
        lambda: backend.library.krasnoselskii_mann(OPERATORS["composed"], x0, 5),
        lambda: backend.library.restarted(OPERATORS["composed"], x0, 5, period=2),
        lambda: backend.library.solve(OPERATORS["composed"], x0, tol=1e-2),
        lambda: backend.library.extragradient(OPERATORS["composed"], x0, problems.feg(5)),
    ):
        call()
        np.testing.assert_array_equal(np.asarray(x0), before)


# ------------------------------------------------------------------------------------------------------ solve


def test_solve_stops_each_row_at_the_first_step_that_meets_the_tolerance(backend):
    problem = problems.random_nonexpansive(16, 6, 3, seed=0)
    tol = 1e-2
    result = backend.run("solve", problem.operator, problem.x0, tol=tol)
    run = backend.run("halpern", problem.operator, problem.x0, int(result["steps"].max()), iterates=True)
    first = (run["residual"].values <= tol).argmax(axis=1)
    np.testing.assert_array_equal(result["steps"], first)
    assert len(set(first)) > 3
    assert (first <= 2 * problem.dist / tol).all()  # what the theorem promises
    rows = np.arange(16)
    np.testing.assert_allclose(result["x"], run["iterate"].values[rows, first], rtol=0, atol=1e-13)  # same arithmetic
    np.testing.assert_allclose(result["residual"], run["residual"].values[rows, first], rtol=0, atol=1e-13)
    assert result["converged"].values.all()
    assert (result["residual"].values <= tol).all()


def test_solve_where_x0_solves(backend):
    result = backend.run("solve", OPERATORS["rotation"], np.zeros((4, 6)), tol=1e-9)
    assert result["steps"].values.tolist() == [0] * 4


@pytest.mark.parametrize("every", [1, 7, 1000])
def test_how_often_the_device_is_looked_at_does_not_matter(every):
    problem = problems.random_nonexpansive(8, 6, 3, seed=0)
    x0 = torch.tensor(problem.x0)
    kernels = lemmata.kernels.halpern
    expected = kernels.solve(problem.operator, x0, tol=1e-2)
    np.testing.assert_array_equal(kernels.solve(problem.operator, x0, tol=1e-2, every=every)["x"], expected["x"])


def test_the_step_limit_is_an_error_that_carries_the_result(backend):
    problem = problems.halpern_hard([1, 1000])  # its second row needs 1,000 steps
    with pytest.raises(
        NotConverged, match=r"1 of 2 rows stopped at the limit of 50 steps; .* residual is 0.001998"
    ) as caught:
        backend.run("solve", problem.operator, problem.x0, tol=1e-3, max_steps=50)
    assert isinstance(caught.value, RuntimeError)
    kept = backend.run("solve", problem.operator, problem.x0, tol=1e-3, max_steps=50, on_fail="return")
    for result in (caught.value.result, kept):
        assert result["converged"].values.tolist() == [True, False]
        assert result["steps"].values[1] == 50
        assert result["residual"].values[1] == pytest.approx(2 / 1001, rel=1e-12)  # 50 roundings


# -------------------------------------------------------------------------------------------------- bad input


NAN, INF = math.nan, math.inf


def call(method, *arguments, **options):
    """A call with everything right but what `arguments` and `options` change: T the identity, x0 two rows of four."""

    def make(b):
        steps = {"solve": (), "extragradient": (problems.feg(5),)}.get(method, (5,))
        changed = {"operator": b.operator, "x0": np.ones((2, 4)), **options}
        operator, x0 = changed.pop("operator"), changed.pop("x0")
        x0 = b.backend.array(x0, x0.dtype.name) if isinstance(x0, np.ndarray) else x0
        return getattr(b.library, method)(operator, x0, *(arguments or steps), **changed)

    return make


def many(method, name, values, words):
    """One bad call a value of an option; the message holds the value."""
    return [(f"{name} = {v}", call(method, **{name: v}), DomainError, words.format(v)) for v in values]


def constant(name, make, values, words):
    """One bad call a value of a constant of a schedule, an operator or an instance."""
    return [(f"{name} {v}", lambda b, v=v: make(v), DomainError, words.format(v)) for v in values]


def at(*steps, dtype=int):
    return {"at": np.array(steps, dtype=dtype)}


FIELD, MAP = Operator.huber(1.0, 4), Operator.clip(1.0, 4)
GAME = problems.bilinear(np.ones((1, 2)))
THREE = Operator.clip([1.0, 2.0, 3.0], 4)
POSITIVE = "lipschitz must be positive and finite, got {}"
HALVES = [[0.5] * 5, [0.5] * 4 + [2.0]]
# fmt: off
BAD = [
    # the starting point
    ("x0 of integers", call("halpern", x0=np.ones((2, 4), dtype=np.int64)), TypeError, "got (torch.)?int64"),
    ("x0 of booleans", call("solve", x0=np.ones((2, 4), dtype=bool), tol=1.0), TypeError, "got (torch.)?bool"),
    ("x0 of text", call("halpern", x0="abc"), TypeError, "x0 must be"),
    ("x0 with NaN", call("halpern", x0=np.array([[0, NAN]])), NonFiniteError, r"x0 is nan at index \(0, 1\)"),
    ("x0 with infinity", call("solve", x0=np.array([[-INF, 0]]), tol=1.0), NonFiniteError, r"-inf at index \(0, 0\)"),
    ("z0 with NaN", call("extragradient", x0=np.array([[0, NAN]])), NonFiniteError, r"x0 is nan at index \(0, 1\)"),
    ("x0 of three axes", call("halpern", x0=np.ones((2, 2, 2))), ShapeError, r"got \(2, 2, 2\)"),
    ("x0 of no axis", call("restarted", x0=np.array(1.0), period=2), ShapeError, r"got \(\)"),
    ("x0 without entries", call("halpern", x0=np.ones((2, 0))), ShapeError, r"got \(2, 0\)"),
    # the operator
    ("no operator", call("halpern", operator=3), TypeError, "got int"),
    ("another dimension", call("halpern", operator=Operator.clip(1.0, 2)), ShapeError, "acts on 2 entries, x0 has 4"),
    ("another batch", call("halpern", operator=THREE), ShapeError, "3 operators for 2"),
    ("a shorter value", call("halpern", operator=lambda x: x[..., 1:]), ShapeError, r"to \((2, )?3,?\)"),
    ("a scalar value", call("krasnoselskii_mann", operator=lambda x: x.sum()), ShapeError, r"to \(\)"),
    ("a field of three", call("extragradient", operator=GAME), ShapeError, "acts on 3 entries, x0 has 4"),
    # steps and what is recorded
    ("no steps", call("halpern", 0), DomainError, "steps must be >= 1, got 0"),
    ("steps below zero", call("krasnoselskii_mann", -3), DomainError, "steps must be >= 1, got -3"),
    ("half a step", call("halpern", 2.5), TypeError, "steps must be an int, got float"),
    ("true steps", call("halpern", True), TypeError, "steps must be an int, got bool"),
    ("no step limit", call("solve", tol=1e-3, max_steps=0), DomainError, "steps must be >= 1, got 0"),
    ("recorded past the end", call("halpern", **at(0, 6)), DomainError, r"within 0..5, got \[0 6\]"),
    ("recorded before the start", call("halpern", **at(-1, 2)), DomainError, r"got \[-1  2\]"),
    ("recorded twice", call("halpern", **at(2, 2)), DomainError, r"got \[2 2\]"),
    ("recorded backwards", call("halpern", **at(3, 1, dtype=np.uint64)), DomainError, r"got \[3 1\]"),
    ("recorded never", call("krasnoselskii_mann", **at()), DomainError, "at must increase"),
    ("recorded at halves", call("extragradient", **at(0.5, dtype=float)), TypeError, "float64"),
    # weights
    ("a weight above 1", call("halpern", weights=[0.5, 0.5, 1.5, 0.5, 0.5]), DomainError, "got 1.5 at k = 2"),
    ("a weight below 0", call("halpern", weights=[0.5, -0.1, 0.5, 0.5, 0.5]), DomainError, "got -0.1 at k = 1"),
    ("a weight that is NaN", call("halpern", weights=[NAN] * 5), DomainError, "got nan at k = 0"),
    ("a weight of one row", call("halpern", weights=HALVES), DomainError, "got 2.0 at k = 4"),
    ("too few weights", call("halpern", weights=[0.5] * 4), ShapeError, r"\(5,\) or \(2, 5\), got \(4,\)"),
    ("weights of three rows", call("halpern", weights=np.full((3, 5), 0.5)), ShapeError, r"got \(3, 5\)"),
    ("weights in solve", call("solve", tol=1.0, max_steps=2, weights=[0.5, 3.0]), DomainError, "got 3.0 at k = 1"),
    *many("krasnoselskii_mann", "step", (0.0, 1.0, -0.5, 1.5, NAN, INF), r"in \(0, 1\), got {} \(at every k\)"),
    ("g of one row", call("krasnoselskii_mann", step=[0.5, 1.0]), DomainError, "got 1.0"),
    ("g of three rows", call("krasnoselskii_mann", step=[0.5] * 3), ShapeError, r"have shape \(2,\), got \(3,\)"),
    # errors, restarts, tolerance, constraint
    ("errors of another shape", call("halpern", errors=np.zeros((4, 4))), ShapeError, r"got \(4, 4\)"),
    ("errors with NaN", call("halpern", errors=np.full((5, 4), NAN)), NonFiniteError, r"nan at index \(0, 0, 0\)"),
    ("no rule of restarts", call("restarted"), DomainError, "period = None and decrease = None"),
    ("two rules of restarts", call("restarted", period=3, decrease=0.5), DomainError, "period = 3 and decrease = 0.5"),
    *many("restarted", "period", (0, -2), "period must be >= 1, got {}"),
    *many("restarted", "decrease", (0.0, 1.0, NAN), r"decrease must lie in \(0, 1\), got {}"),
    ("a period that is no integer", call("restarted", period=2.0), TypeError, "period must be an int, got float"),
    *many("solve", "tol", (0.0, -1.0, NAN, INF), "tol must be positive and finite, got {}"),
    ("another answer to failure", call("solve", tol=1.0, on_fail="ignore"), DomainError, "got 'ignore'"),
    *many("extragradient", "simplices", (4, -1), "got {}"),
    # constants of schedules
    *constant("FEG, L", lambda c: problems.feg(5, c), (0.0, -1.0, NAN, INF), POSITIVE),
    *constant("EAG-V, L", lambda c: problems.eag_v(5, lipschitz=c), (0.0, -1.0, NAN, INF), POSITIVE),
    *constant("EAG-V, eta", lambda c: problems.eag_v(5, c), (0.0, 0.75, NAN), r"eta must lie in \(0, 3/4\), got {}"),
    *constant("EAG-C, eta", lambda c: problems.eag_c(5, c), (0.0, NAN), "eta must be positive and finite, got {}"),
    *constant("EG, eta", lambda c: problems.eg(5, c), (0.0, -0.5, NAN, INF), "eta must be positive and finite, got {}"),
    *constant("gamma", lambda c: problems.ohm_weights(5, c), (0.99, NAN, INF), "gamma must be >= 1 and finite, got {}"),
    # constants of instances
    *constant("contraction, gamma", lambda c: problems.ohm_hard([5], c), (0.5, NAN), "gamma must be >= 1 .*got {}"),
    *constant("rotation for g", lambda c: problems.km_hard([5], c), (0.0, 1.0, 1.2, NAN), r"\(0, 1\), got {}"),
    *constant("Huber, L", lambda c: problems.halpern_hard([5], lipschitz=c), (0.0, -1.0, NAN, INF), POSITIVE),
    *constant("cocoercive, L", lambda c: problems.random_cocoercive(2, 4, lipschitz=c, seed=0), (0.0, NAN), POSITIVE),
    *constant("monotone, L", lambda c: problems.random_monotone(2, 4, lipschitz=c, seed=0), (0.0, -1.0, NAN), POSITIVE),
    *constant("PDHG, step", lambda c: problems.pdhg(np.diag([2.0, 1.0]), c / 2), (1.0, 1.05, 0.0, -0.1, NAN),
              r"step \* \|\|A\|\| must lie in \(0, 1\), got {:g} with \|\|A\|\| = 2"),
    # operators
    ("a radius of 0", lambda b: Operator.clip(0.0, 4), DomainError, "radius must be positive and finite, got 0.0"),
    ("a normal of 0", lambda b: Operator.reflection(np.zeros(4)), DomainError, "normal must not vanish"),
    ("not a square", lambda b: Operator.affine(np.ones((2, 3))), ShapeError, r"square, got \(2, 3\)"),
    ("a matrix with NaN", lambda b: Operator.affine([[1.0, NAN], [0, 1]]), NonFiniteError, r"nan at index \(0, 0, 1\)"),
    ("a matrix of text", lambda b: Operator.affine([["a"]]), TypeError, "matrix must be a real array"),
    ("a forward step that is NaN", lambda b: FIELD.forward(NAN), NonFiniteError, "eta is nan"),
    ("a forward step on a map", lambda b: MAP.forward(1.0), DomainError, "forward is for a field"),
    ("relaxation by infinity", lambda b: MAP.relax(INF), NonFiniteError, "weight is inf"),
    ("relaxation of a field", lambda b: FIELD.relax(0.5), DomainError, "relax is for a map"),
    ("composition with a field", lambda b: MAP.then(FIELD), DomainError, "only plain maps"),
    ("composition of dimensions", lambda b: MAP.then(Operator.clip(1.0, 3)), ShapeError, "dimensions 4 and 3"),
    ("a centre of three", lambda b: MAP.centred(np.zeros(3)), ShapeError, "4 entries, got 3"),
    ("a point of three", lambda b: MAP(np.zeros(3)), ShapeError, r"acts on 4 entries, got shape \(3,\)"),
    ("a problem of three", lambda b: problems.FixedPointProblem("p", MAP, np.ones((2, 3)), 0.0), ShapeError,
     "3 columns, the operator acts on 4"),
    ("a problem of another batch", lambda b: problems.FixedPointProblem("p", THREE, np.ones((2, 4)), 0.0), ShapeError,
     "3 operators for 2"),
    # parameters of an operator or a schedule that do not fit together
    ("two radii for four balls", lambda b: Operator.ball(np.zeros((4, 2)), [1.0, 2.0]), ShapeError,
     "vectors 4, scalars 2"),
    ("two weights for four", lambda b: Operator.clip(np.ones(4), 2).relax([0.5, 0.6]), ShapeError,
     "weight 2, operator 4"),
    ("two constants for four", lambda b: Operator.huber(np.ones(4), 2, [1.0, 2.0]), ShapeError, "scalars 4, beta 2"),
    ("three after four", lambda b: Operator.clip(np.ones(4), 4).then(THREE), ShapeError, "first 4, second 3"),
    ("a schedule of two lengths", lambda b: problems.Extragradient("mine", np.zeros(6), np.ones(3), np.ones(3)),
     ShapeError, r"\(6, 3, 3\)"),
    ("a step that is NaN", lambda b: problems.Extragradient("mine", [0.0], [NAN], [1.0]), NonFiniteError, "is nan"),
    ("no schedule", call("extragradient", 3), TypeError, "schedule must be an Extragradient.*got int"),
    ("no tolerance", call("solve", tol=None), TypeError, "tol must be a number, got NoneType"),
    ("an empty simplex", lambda b: problems.simplices(np.ones(3), 0), DomainError, "1..2, got 0"),
]
# fmt: on


@pytest.mark.parametrize(("make", "error", "words"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_input_is_refused_before_any_work(make, error, words, backend):
    """The right class, the offending value in the message, and at most one evaluation of T, to see its shape."""
    calls = 0

    def operator(x):
        nonlocal calls
        calls += 1
        return x

    with pytest.raises(error, match=words) as caught:
        make(SimpleNamespace(backend=backend, library=backend.library, operator=operator))
    assert type(caught.value) is error
    assert calls <= 1
    if error is not TypeError:
        assert isinstance(caught.value, ValueError)


def test_torch_refuses_what_is_not_a_tensor_of_the_same_kind():
    kernels = lemmata.kernels.halpern
    with pytest.raises(TypeError, match=r"x0 must be a torch.Tensor, got ndarray; lemmata.sims takes numpy arrays"):
        kernels.halpern(Operator.clip(1.0, 4), np.ones(4), 5)
    with pytest.raises(TypeError, match=r"must return a tensor of torch.float64, as x0 is; got ndarray"):
        kernels.halpern(lambda x: x.numpy(), torch.ones(4, dtype=torch.float64), 5)
    with pytest.raises(TypeError, match=r"must return a tensor of torch.float32, as x0 is; got torch.float64"):
        kernels.halpern(lambda x: x.double(), torch.ones(4, dtype=torch.float32), 5)
    with pytest.raises(DomainError, match="every must be >= 1, got 0"):
        kernels.solve(Operator.clip(1.0, 4), torch.ones(4), tol=1e-3, every=0)


# ----------------------------------------------------------------------------------- what happens on the way


def spoilt(backend, step, value, evaluations=1):
    """x -> x/2 with one bad entry at one step only, finite again afterwards; the first call looks at its shape."""
    seen = -1
    clean = np.nan_to_num if backend.name == "sims" else torch.nan_to_num

    def operator(x):
        nonlocal seen
        seen += 1
        out = 0.5 * clean(x, nan=0.0, posinf=0.0, neginf=0.0)
        if seen == 1 + evaluations * step:
            out[..., 1] = value
        return out

    return operator


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("step", [0, 3, 5])
@pytest.mark.parametrize("method", ["halpern", "krasnoselskii_mann", "restarted", "solve"])
def test_an_operator_that_fails_once_and_heals_is_found(method, step, value, backend):
    """Later steps would average a NaN away: the first bad value is what is reported."""
    options = {"restarted": {"period": 4}, "solve": {"tol": 1e-12, "max_steps": 5}}.get(method, {})
    steps = () if method == "solve" else (5,)
    with pytest.raises(NonFiniteError, match=rf"T\(x\) is not finite at step k = {step}, row 0") as caught:
        backend.run(method, spoilt(backend, step, value), np.ones((1, 3)), *steps, **options)
    assert (caught.value.step, caught.value.index) == (step, (0,))
    if step and method != "solve":
        assert math.isfinite(caught.value.last_residual)
        assert f"{caught.value.last_residual:.6g}" in str(caught.value)
    else:
        assert caught.value.last_residual is None


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("value", [NAN, INF])
def test_a_field_that_fails_once_at_a_point_or_at_its_half_step_is_found(half, value, backend):
    # two evaluations a step
    operator = spoilt(backend, 2 * 3 + half, value)
    with pytest.raises(NonFiniteError, match=r"F\(z\) is not finite at step k = 3, row 0") as caught:
        backend.run("extragradient", operator, np.ones((1, 3)), problems.feg(5))
    assert caught.value.step == 3


def test_the_row_that_fails_first_is_named(backend):
    """T x = 1e200 x overflows at step 1, from 1e-200 at step 2; the third row stays finite."""
    operator = Operator.rotation(np.zeros((3, 1)), gain=[1e200, 1e200, 0.5])
    x0 = np.array([[1e-200, 0], [1.0, 0], [1.0, 0]])
    with np.errstate(over="ignore"), pytest.raises(NonFiniteError) as caught:
        backend.run("krasnoselskii_mann", operator, x0, 9)
    assert (caught.value.step, caught.value.index) == (1, (1,))


def test_finite_rows_are_no_alarm(backend):
    run = backend.run("halpern", Operator.rotation([[0.1]]), np.array([[1e150, -1e150], [1e-300, 0.0]]), 50)
    assert np.isfinite(run["residual"].values).all()


# ---------------------------------------------------------------------------------------- operators as data


@pytest.mark.parametrize("name", [n for n in OPERATORS if "pdhg" not in n and "bilinear" not in n])
def test_a_declared_lipschitz_constant_is_not_contradicted(name):
    operator = OPERATORS[name]
    for b in range(operator.batch):
        row = operator.row(b)
        seen = check_constant(row, 6, lipschitz=float(row.lipschitz.max()), pairs=200, scale=2.0, seed=b)
        assert seen <= row.lipschitz.max() * (1 + 1e-9)


def test_a_contradicted_constant_is_an_error_with_the_number():
    turn = Operator.rotation([[0.3]], gain=1.03)
    assert check_constant(turn, 2, lipschitz=1.03, seed=0) == pytest.approx(1.03, rel=1e-12)  # every pair has it
    with pytest.raises(AssumptionError, match=r"Lipschitz constant 1 is contradicted: ratio 1.03, x \["):
        check_constant(turn, 2, lipschitz=1.0, seed=0)
    skew = problems.skew_rotations(1.0).operator
    check_constant(skew, 2, monotone=True, lipschitz=1.0, seed=0)
    with pytest.raises(AssumptionError, match="cocoercivity with L = 1 is contradicted"):
        check_constant(skew, 2, cocoercive=1.0, seed=0)
    with pytest.raises(AssumptionError, match=r"the operator is not monotone: <Fx - Fy, x - y> = -"):
        check_constant(lambda x: -x, 2, monotone=True, seed=0)
    huber = Operator.huber(0.5, 3, 2.0)
    check_constant(huber, 3, cocoercive=2.0, seed=0)
    with pytest.raises(AssumptionError, match=r"cocoercivity with L = 1\.9 is"):
        check_constant(huber, 3, cocoercive=1.9, seed=0, scale=0.1)


def test_combinations_are_what_they_say():
    rng = np.random.default_rng(5)
    x, centre = rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
    turn, ball = OPERATORS["rotation"], OPERATORS["ball"]
    room = {"rtol": 0, "atol": 1e-14}  # a few roundings of numbers near 1
    plain = [OPERATORS[name] for name in ("rotation", "ball", "affine", "affine, shared", "reflection, shared", "clip")]
    for first in plain:
        for second in plain:
            np.testing.assert_allclose(first.then(second)(x), second(first(x)), **room)
            three = first.then(second).then(ball)
            np.testing.assert_allclose(three(x), ball(second(first(x))), **room)
    np.testing.assert_allclose(turn.relax(0.3)(x), 0.7 * x + 0.3 * turn(x), **room)
    np.testing.assert_allclose(turn.relax(2.0)(x), 2 * turn(x) - x, **room)
    np.testing.assert_allclose(turn.centred(centre)(x), centre + turn(x - centre), **room)
    np.testing.assert_allclose(turn.centred(centre).centred(centre)(x), 2 * centre + turn(x - 2 * centre), **room)
    field = Operator.huber(0.5, 6, 2.0)
    np.testing.assert_allclose(field(x), 2 * np.clip(x, -0.5, 0.5), **room)
    np.testing.assert_allclose(field.forward(0.7)(x), x - 0.7 * field(x), **room)
    np.testing.assert_allclose(field.centred(centre)(x), field(x - centre), **room)
    np.testing.assert_allclose(field.centred(centre).forward(0.7)(x), x - 0.7 * field(x - centre), **room)
    for b in range(4):
        np.testing.assert_allclose(turn.row(b)(x[b]), turn(x)[b], **room)


@pytest.mark.parametrize(("eta", "constant"), [(0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (1.5, 2.0), (-0.5, 2.0)])
def test_the_lipschitz_constant_of_a_forward_step(eta, constant):
    """1 up to eta = 2/L, |1 - eta L| beyond, for a field with L = 2."""
    step = Operator.huber(0.5, 3, 2.0).forward(eta)
    assert step.lipschitz.tolist() == [constant]
    seen = check_constant(step, 3, lipschitz=constant, seed=0, scale=0.1)
    if constant > 1:
        assert seen == pytest.approx(constant, rel=1e-12)  # within the box every pair has it


def test_projections_onto_simplices():
    x = np.random.default_rng(0).standard_normal((50, 7))
    p = problems.simplices(x, 3)
    for block, q in ((x[:, :3], p[:, :3]), (x[:, 3:], p[:, 3:])):
        np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-14)  # a sum of few terms
        assert (q >= 0).all()
        # <x - P x, y - P x> <= 0 at every vertex y characterises the projection
        inner = (block - q) - ((block - q) * q).sum(axis=1, keepdims=True)
        assert (inner <= 1e-14).all()


def test_large_entries_are_projected_onto_the_simplices(backend):
    x = np.array([[1e17, 0.0, 1e300, 1e300]])
    np.testing.assert_array_equal(problems.simplices(x, 2), [[1.0, 0.0, 0.5, 0.5]])
    still = Operator.affine(np.zeros((4, 4)), is_map=False)
    run = backend.run("extragradient", still, x, problems.eg(1, 1.0), simplices=2)
    np.testing.assert_array_equal(np.ravel(run["x"]), [1.0, 0.0, 0.5, 0.5])


# ------------------------------------------------------------------------------------------------ invariances

seeds = st.integers(0, 2**32 - 1)
once = settings(deadline=None, max_examples=15)


def drawn(seed):
    problem = problems.random_nonexpansive(1, 4, 3, seed=seed)
    return problem, np.random.default_rng(seed + 1)


@pytest.mark.parametrize("name", BACKENDS)
@given(seed=seeds, size=st.sampled_from([1e-3, 1.0, 1e3]))
@once
def test_translation_equivariance(name, seed, size):
    """T_c(x) = T(x - c) + c from x_0 + c gives x_k + c."""
    problem, rng = drawn(seed)
    c = size * rng.standard_normal(4)
    b = Backend(name)
    run = b.run("halpern", problem.operator, problem.x0, 30, iterates=True)["iterate"].values
    moved = b.run("halpern", problem.operator.centred(c), problem.x0 + c, 30, iterates=True)["iterate"].values
    np.testing.assert_allclose(moved, run + c, rtol=0, atol=1e-12 * (1 + np.linalg.norm(c)) * (1 + np.abs(run).max()))


@pytest.mark.parametrize("name", BACKENDS)
@given(seed=seeds)
@once
def test_orthogonal_invariance(name, seed):
    """Q T Q' from Q x_0 gives Q x_k, and the same residuals."""
    problem, rng = drawn(seed)
    q = orthogonal(rng, 4)
    b = Backend(name)
    run = b.run("halpern", problem.operator, problem.x0, 20, iterates=True)
    turned = b.run("halpern", b.map(lambda x: q @ problem.operator(q.T @ x)), problem.x0 @ q.T, 20, iterates=True)
    size = 1 + np.abs(run["iterate"].values).max()
    np.testing.assert_allclose(turned["iterate"].values, run["iterate"].values @ q.T, rtol=0, atol=1e-12 * size)
    np.testing.assert_allclose(turned["residual"].values, run["residual"].values, rtol=0, atol=1e-12 * size)


@pytest.mark.parametrize("name", BACKENDS)
@given(seed=seeds, scale=st.sampled_from([2.0**-20, 0.25, 8.0, 2.0**40]))
@once
def test_scale_invariance(name, seed, scale):
    """s T(x / s) from s x_0 gives s x_k: to the last bit where s is a power of two."""
    problem, _ = drawn(seed)
    b = Backend(name)
    run = b.run("halpern", b.map(lambda x: problem.operator(x)), problem.x0, 20)  # by numpy, as the other one
    scaled = b.run("halpern", b.map(lambda x: scale * problem.operator(x / scale)), scale * problem.x0, 20)
    np.testing.assert_array_equal(scaled["x"].values, scale * run["x"].values)
    np.testing.assert_array_equal(scaled["residual"].values, scale * run["residual"].values)


@given(seed=seeds)
@once
def test_the_rate_holds_and_the_potential_falls_on_every_draw(seed):
    problem = problems.random_nonexpansive(2, 6, 4, seed=seed)
    run = lemmata.sims.halpern.halpern(problem.operator, problem.x0, 80)
    k = np.arange(81)
    size = np.linalg.norm(problem.x0, axis=1) + np.linalg.norm(problem.solution, axis=1)
    rounding = 2 * EPS * size[:, None] * (k + 1)
    assert (run["residual"].values <= theory.residual(k=k, dist=problem.dist[:, None]) * (1 + 1e-12) + rounding).all()
    value = -theory.potential(k=k, residual=run["residual"].values, anchor_product=run["anchor_product"].values)
    assert (np.diff(value, axis=1) <= 100 * EPS * size[:, None] ** 2 * (k[1:] + 1)).all()


# ------------------------------------------------------------------------------------------------------ scale

LARGE = """
    import time
    from pathlib import Path
    import numpy as np
    import lemmata.{backend}.halpern as library
    from lemmata.problems.halpern import Operator

    def start(x):
        if "{backend}" == "sims":
            return x
        import torch
        torch.set_num_threads(1)
        return torch.from_numpy(x)

    def peak():
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

    dim = 1_000_000
    library.halpern(Operator.rotation(np.full((1, 2), 0.1)), start(np.ones((1, 4))), 2, at=[2])  # compiled
    before = peak()
    operator, x0 = Operator.rotation(np.full((1, dim // 2), 0.1)), start(np.ones((1, dim)))
    begin = time.perf_counter()
    run = library.halpern(operator, x0, 50, at=[50])
    print(time.perf_counter() - begin, (peak() - before) / (8 * dim), float(run["residual"][0, 0]))
"""


def test_a_million_dimensions(backend):
    """Fifty steps in seconds, in the memory of a few vectors, and the numbers of the plane."""
    code = dedent(LARGE).format(backend=backend.name)
    # glibc would raise its threshold as it goes and keep, by chance, several vectors that were given back
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    seconds, vectors, residual = map(float, done.stdout.split())
    assert seconds < 20
    assert vectors < 12
    plane = backend.run("halpern", Operator.rotation([[0.1]]), np.ones((1, 2)), 50)["residual"].values[0, -1]
    # a sum of a million equal squares: rounding grows at most like its length times EPS
    assert residual == pytest.approx(plane * math.sqrt(500_000), rel=1e6 * EPS)
