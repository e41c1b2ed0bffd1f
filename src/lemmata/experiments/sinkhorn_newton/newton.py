"""Experiments on Newton's method, dense and sparse, and on derivatives of the solution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from lemmata.experiments.sinkhorn_newton.accuracy import assignments
from lemmata.experiments.sinkhorn_newton.shared import (
    BACKENDS,
    data,
    join,
    library,
    noise_of,
    plan_of,
    random_problems,
    sinkhorn_all,
    solve_all,
    solved,
)
from lemmata.problems import sinkhorn_newton as problems
from lemmata.problems.sinkhorn_newton import TransportProblem
from lemmata.theory import sinkhorn_newton as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

Problems = Sequence[TransportProblem]


# --------------------------------------------------------------------------------------- dense Newton


def _starts(problem: TransportProblem, setup: Setup) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Potentials at distances of .01 to 2 temperatures from the solution."""
    rng = np.random.default_rng(setup.seed)
    best = solved(problem, setup)
    noise = rng.standard_normal(best.f.size), rng.standard_normal(best.g.size)
    return [
        (s, *(p + s * problem.eps * x for p, x in zip((best.f, best.g), noise, strict=True))) for s in (0.01, 0.3, 2)
    ]


def _residual(instances: Problems, setup: Setup, **options: Any) -> Measurement:
    """Delta after a Newton step against the remainder of that step; `options` are there to be sabotaged."""
    parts = []
    for problem in instances:
        for distance, f, g in _starts(problem, setup):
            if not options and distance > 1:
                continue  # the first full step from far away may leave the range of a double
            run = library(setup).newton(*data(problem), f, g, 1, **options)
            s = (np.diff(run["f"].values, axis=0)[0][:, None] + np.diff(run["g"].values, axis=0)[0]) / problem.eps
            remainder = float((plan_of(problem, f, g) * (np.expm1(s) - s)).sum())
            at = {**problem.at, "distance": distance}
            theory_value = [theory.newton_residual(remainder=remainder)]
            parts.append(Measurement([run["delta"].values[1]], theory_value, at, scale=max(remainder, 1e-4)))
    return join(parts)


def _order(instances: Problems, setup: Setup, **options: Any) -> Measurement:
    """Delta after one step from ever nearer to the solution; `options` are there to be sabotaged."""
    (problem,) = instances
    rng = np.random.default_rng(setup.seed)
    best = solved(problem, setup)
    a, b = rng.uniform(-1, 1, best.f.size), rng.uniform(-1, 1, best.g.size)
    x = np.geomspace(20, 5000, 13)
    delta = []
    for t in problem.eps / x:
        run = library(setup).newton(*data(problem), best.f + t * a, best.g + t * b, 1, **options)
        delta.append(run["delta"].values[1])
    return Measurement(delta, x=x)


def _damped(instances: Problems, setup: Setup, *, damped: bool = True, stretch: float = 1.0) -> Measurement:
    """Gain of a damped step; full steps and `stretch` (of the claimed decrement) are there to be sabotaged."""
    parts = []
    for problem in instances:
        for distance, f, g in _starts(problem, setup):
            full = library(setup).newton(*data(problem), f, g, 1)
            moves = [np.diff(full[name].values, axis=0)[0] / problem.eps for name in ("f", "g")]
            s = moves[0][:, None] + moves[1]
            decrement = stretch * np.sqrt((plan_of(problem, f, g) * s**2).sum())
            run = library(setup).newton(*data(problem), f, g, 1, damped=damped)
            gain = np.diff(run["dual"].values) / problem.eps
            bound = theory.damped_newton(decrement=decrement, move=np.abs(s).max())
            noise = noise_of(problem, f) * (1 + abs(run["dual"].values[0]) / problem.eps)
            parts.append(Measurement(gain, [bound], {**problem.at, "distance": distance}, noise=noise))
    return join(parts)


# -------------------------------------------------------------------------------------- sparse Newton


def _support(
    instances: Problems,
    setup: Setup,
    *,
    distance_to_go: bool = True,
    gap: Callable[[np.ndarray], float] = theory.vertex_gap,
) -> Measurement:
    """Distance of Sinkhorn's plans to the vertex; `distance_to_go` and `gap` are there to be sabotaged."""
    parts = []
    limits, runs = solve_all(instances, setup), sinkhorn_all(instances, setup, 2**8)
    for problem, best, run in zip(instances, limits, runs, strict=True):
        s, _ = theory.slack(problem.C)
        n = len(s)
        X = np.zeros((n, n))
        X[np.arange(n), s] = 1 / n
        t = 2 ** np.arange(9)
        plans = [plan_of(problem, run["f"].values[2 * k - 1], run["g"].values[2 * k - 1]) for k in t]
        plans, t = [*plans, best.P], np.append(t, -1)  # the last one is the limit
        kl = np.array([theory.kl(best.P, P) for P in plans])
        values = {"eta": 1 / problem.eps, "vertex_gap": gap(problem.C), "entropy_radius": np.log(n)}
        bound = theory.sparse_support(kl=np.maximum(kl, 0) if distance_to_go else np.zeros(kl.size), **values)
        distance = [np.abs(P - X).sum() for P in plans]
        parts.append(Measurement(distance, bound, {**problem.at, "step": t}, noise=1e-9))
    return join(parts)


def _frozen(instances: Problems, setup: Setup, *, exact_diagonal: bool = True, share: float = 1.0) -> Measurement:
    """Contraction of sparse Newton steps near the solution; `exact_diagonal` and `share` are there to be sabotaged."""
    measured, expected, at = [], [], []
    for problem in instances:
        best = solved(problem, setup)
        order = np.sort(best.P, axis=None)[::-1]
        for entries in (1.2, 1.5, 2.0):
            density = entries / problem.shape[0]
            kept = order[math.ceil(share * density * best.P.size) - 1] <= best.P
            rho, mode = theory.frozen_contraction(best.P, kept, exact_diagonal=exact_diagonal)
            expected.append(theory.frozen_rate(rho=rho))
            df, dg = np.split(1e-5 * problem.eps * mode, [problem.shape[0]])
            run = library(setup).newton(*data(problem), best.f + df, best.g + dg, 3, density=density)
            error = np.ptp(run["f"].values - best.f, axis=1)
            measured.append((error[3] / error[0]) ** (1 / 3))
            at.append(entries)
    return Measurement(measured, expected, {"entries_a_row": np.array(at)})


def _sparse_order(instances: Problems, setup: Setup, *, entries: float | None = None) -> Measurement:
    """Delta after one sparse step against delta before it, geometric means; a fixed number of `entries` a row is there
    to be sabotaged."""
    at, starts = [], []
    for problem in instances:
        rng = np.random.default_rng(setup.seed)
        g, b = solved(problem, setup).g, rng.uniform(-1, 1, problem.shape[1])
        for t in problem.eps * np.geomspace(0.3, 3e-5, 9):
            at.append(problem)
            starts.append(g + t * b)
    density = None if entries is None else entries / instances[0].shape[0]
    options: dict[str, Any] = {"warmup": 0, "max_steps": 1, "anneal": False, "density": density}
    results = solve_all(at, setup, g=starts, tol=1e-16, on_fail="return", **options)
    before, after = [result.trace["delta"].values[0] for result in results], [result.delta for result in results]
    # the linear solver stops at whole numbers of steps, which the mean over problems smooths
    before, after = (np.exp(np.log(x).reshape(len(instances), -1).mean(axis=0)) for x in (before, after))
    return Measurement(after, x=1 / before)


# ------------------------------------------------------------------------------------------ gradients


def _directions(problem: TransportProblem, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Random changes of cost, masses (of sum zero) and temperature."""
    rng = np.random.default_rng(seed)
    n, m = problem.shape
    dr, dc = (mass * rng.uniform(-1, 1, mass.size) for mass in (problem.r, problem.c))
    dr, dc = dr - problem.r * dr.sum(), dc - problem.c * dc.sum()
    return rng.standard_normal((n, m)), dr, dc, problem.eps * float(rng.standard_normal())


def _gradient(
    instances: Problems,
    setup: Setup,
    *,
    implicit: bool = False,
    change: Callable[[Any, TransportProblem], Any] = lambda gradient, problem: gradient,
    tol: float = 1e-14,
) -> Measurement:
    """Gradient along a direction against central differences; `change` (of it) and `tol` are to be sabotaged."""
    measured, expected = [], []
    for problem in instances:
        W = np.random.default_rng(setup.seed).standard_normal(problem.shape)
        directions = _directions(problem, setup.seed + 1)

        def value(h: float, problem: TransportProblem = problem, W: np.ndarray = W, d: Any = directions) -> float:
            moved = [x + h * dx for x, dx in zip(data(problem), d, strict=True)]
            result = library(setup).solve(*moved, tol=1e-14, on_fail="return")
            return float((W * result.P).sum()) if implicit else result.dual

        result = library(setup).solve(*data(problem), method="log", tol=tol, on_fail="return")
        gradient = (
            library(setup).plan_gradient(problem.C, result.P, problem.eps, W) if implicit else result.value_gradient()
        )
        gradient = change(gradient, problem)
        expected.append(sum(float(np.sum(x * dx)) for x, dx in zip(gradient, directions, strict=True)))
        # two step sizes, extrapolated
        h = 1e-3 * min(1.0, problem.eps)
        one, two = ((value(k * h) - value(-k * h)) / (2 * k * h) for k in (1, 2))
        measured.append((4 * one - two) / 3)
    claim = theory.implicit_gradient if implicit else theory.envelope
    at = {"instance": np.arange(len(instances))}
    scale = np.abs(expected) + 0.1
    return Measurement(measured, claim(value=expected), at, scale=scale)


# -------------------------------------------------------------------------------------------- instances


def _random(count: int, full: int, **options: Any) -> Callable[[Setup], list[TransportProblem]]:
    return lambda setup: random_problems(setup, setup.size(count, full), **options)


def _one(setup: Setup) -> list[TransportProblem]:
    return [problems.random_transport(30, 40, eps=0.1, seed=setup.seed)]


def _single(setup: Setup) -> list[TransportProblem]:
    return [TransportProblem(np.array([[1.0]]), np.ones(1), np.ones(1), eps, at={"eps": eps}) for eps in (0.1, 1.0)]


def _lap(n: int, eta: float, count: int) -> Callable[[Setup], list[TransportProblem]]:
    return lambda setup: [problems.random_assignment(n, eta=eta, seed=setup.seed + i) for i in range(count)]


# -------------------------------------------------------------------------------------------- the table

EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.newton_residual,
        "random problems",
        _random(15, 100),
        _residual,
        (
            Saboteur("density 2/n", {"density": 0.1}),
            Saboteur("diagonal thresholded", {"density": 0.9, "diagonal": "kept"}),
            Saboteur("step damped", {"damped": True}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.newton_order,
        "a random problem",
        _one,
        _order,
        (
            Saboteur("density 2/n", {"density": 2 / 30}),
            Saboteur("diagonal thresholded", {"density": 0.5, "diagonal": "kept"}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.damped_newton,
        "random problems",
        _random(15, 100),
        _damped,
        (Saboteur("full steps", {"damped": False}),),
        BACKENDS,
    ),
    Experiment(
        theory.damped_newton,
        "one row and one column",
        _single,
        _damped,
        (Saboteur("decrement 1 % too large", {"stretch": 1.01}),),
        BACKENDS,
    ),
    Experiment(
        theory.sparse_support,
        "random assignment",
        assignments((5, 10, 20), (1.0, 1.5, 2.0)),
        _support,
        (
            Saboteur("without the distance still to go", {"distance_to_go": False}),
            Saboteur("gap of the sums, not divided by n", {"gap": lambda C: len(C) * theory.vertex_gap(C)}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.frozen_rate,
        "random assignment",
        _lap(20, 50.0, 3),
        _frozen,
        (
            Saboteur("rate for a diagonal thresholded too", {"exact_diagonal": False}),
            Saboteur("rate for half as many entries", {"share": 0.5}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.sparse_order,
        "random assignment",
        _lap(100, 200.0, 16),
        _sparse_order,
        (Saboteur("density 2/n", {"entries": 2.0}), Saboteur("density 5/n", {"entries": 5.0})),
        BACKENDS,
    ),
    Experiment(
        theory.envelope,
        "random problems",
        _random(10, 50, sizes=(2, 8)),
        _gradient,
        (
            Saboteur("masses in the entropy", {"change": lambda d, p: d._replace(eps=d.eps + 1)}),
            Saboteur("gradient in r with the wrong sign", {"change": lambda d, p: d._replace(r=-d.r)}),
            Saboteur("not converged", {"tol": 0.1}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.implicit_gradient,
        "random problems",
        _random(10, 50, sizes=(2, 8)),
        partial(_gradient, implicit=True),
        (
            Saboteur("marginals left free", {"change": lambda d, p: d._replace(C=d.C * 0.9)}),
            Saboteur("without the temperature", {"change": lambda d, p: d._replace(C=d.C * p.eps)}),
            Saboteur("eps held fixed", {"change": lambda d, p: d._replace(eps=0.0)}),
        ),
        BACKENDS,
    ),
)
