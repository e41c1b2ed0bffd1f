"""Experiments on rounding, bias, convergence as eps falls, closed forms, divergences and invariances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from lemmata.claims import Claim
from lemmata.experiments.sinkhorn_newton.shared import (
    BACKENDS,
    data,
    join,
    library,
    random_problems,
    rate_of,
    solve_all,
    solved,
)
from lemmata.problems import sinkhorn_newton as problems
from lemmata.problems.sinkhorn_newton import TransportProblem
from lemmata.theory import sinkhorn_newton as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS", "assignments"]

Problems = Sequence[TransportProblem]
Round = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

# --------------------------------------------------------------------------------- rounding and bounds


def _drafts(problem: TransportProblem, setup: Setup) -> list[np.ndarray]:
    """Nonnegative matrices of total mass .3 to 2, from wild to nearly feasible."""
    if "draft" in problem.at:
        return [np.array([[0.0, 0.4], [0.6, 0.0]])]
    rng = np.random.default_rng(setup.seed)
    made = []
    for mass, share in ((0.3, 1.0), (1.0, 1.0), (2.0, 1.0), (1.0, 0.1), (1.3, 0.01)):
        wild = rng.lognormal(sigma=2.0, size=problem.shape)
        draft = (1 - share) * np.outer(problem.r, problem.c) + share * wild / wild.sum()
        made.append(mass * draft / draft.sum())
    return made


def _rounding(
    instances: Problems, setup: Setup, *, claim: Claim, rounded: Round | None = None, factor: float = 1.0
) -> Measurement:
    """Distance of the rounded plan and its marginals; `rounded` and `factor` (on the bound) are to be sabotaged."""
    parts = []
    for problem in instances:
        r, c = problem.r, problem.c
        for F in _drafts(problem, setup):
            G = (rounded or library(setup).round_plan)(F, r, c)
            delta = np.abs(F.sum(1) - r).sum() + np.abs(F.sum(0) - c).sum()
            at = {name: value for name, value in problem.at.items() if name != "draft"}
            at["mass"] = float(F.sum())
            moved = np.abs(G - F).sum() if G.min() >= 0 else np.inf
            if claim is theory.rounding_marginals:
                sums = np.concatenate([G.sum(1), G.sum(0)])
                mass = claim(mass=np.concatenate([r, c]))
                parts.append(Measurement(sums, mass, at, scale=1.0))
            elif claim is theory.rounding:
                parts.append(Measurement([moved], factor * claim(delta=delta), at, noise=1e-15))
            else:
                parts.append(Measurement([moved], factor * claim(delta=delta, mass=F.sum()), at, noise=1e-15))
    return join(parts)


def _scaled(F: np.ndarray, r: np.ndarray, c: np.ndarray) -> np.ndarray:
    G = F * np.minimum(r / F.sum(1), 1)[:, None]
    return G * np.minimum(c / G.sum(0), 1)


def _normalised_rows(F: np.ndarray, r: np.ndarray, c: np.ndarray) -> np.ndarray:
    G = F * (r / F.sum(1))[:, None]
    G *= np.minimum(c / G.sum(0), 1)
    missing = np.maximum(r - G.sum(1), 0)
    return G + np.outer(missing, np.maximum(c - G.sum(0), 0)) / missing.sum()


def _uniform_rest(F: np.ndarray, r: np.ndarray, c: np.ndarray) -> np.ndarray:
    G = _scaled(F, r, c)
    return G + (r - G.sum(1))[:, None] / c.size


def _undivided(F: np.ndarray, r: np.ndarray, c: np.ndarray) -> np.ndarray:
    G = _scaled(F, r, c)
    return G + np.outer(r - G.sum(1), c - G.sum(0))


def _certificates(
    instances: Problems,
    setup: Setup,
    *,
    claim: Claim,
    transform: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    unrounded: bool = False,
) -> Measurement:
    """Bounds of the exact optimum, converged or not; `transform` and `unrounded` are there to be sabotaged."""
    values, optima, steps = [], [], (0, 3, 30, 1000)
    for problem in instances:
        optimum = float((problem.C * theory.exact_plan(problem.C, problem.r, problem.c)).sum())
        for k in steps:
            result = library(setup).solve(*data(problem), method="log", tol=1e-13, max_steps=k, on_fail="return")
            if claim is theory.upper_bound:
                values.append((problem.C * result.P).sum() if unrounded else result.interval[1])
            elif transform is None:
                values.append(result.interval[0])
            else:
                values.append(problem.r @ result.f + problem.c @ transform(problem.C, result.f))
            optima.append(optimum)
    at = {"instance": np.repeat(np.arange(len(instances)), len(steps)), "steps": np.tile(steps, len(instances))}
    # the linear programme is feasible to 1e-10
    return Measurement(values, claim(optimum=optima), at, noise=1e-9)


def _soft_transform(C: np.ndarray, f: np.ndarray) -> np.ndarray:
    x = (C - f[:, None]) / (0.05 * np.ptp(C))
    return -0.05 * np.ptp(C) * np.log(np.exp(-x).mean(axis=0))


def _bias(instances: Problems, setup: Setup, *, claim: Claim, factor: float = 1.0) -> Measurement:
    """Excess cost of the entropic plan; `factor` (on the entropy) is there to be sabotaged."""
    parts = []
    for problem in instances:
        best = theory.exact_plan(problem.C, problem.r, problem.c) if problem.optimum is None else np.diag(problem.r)
        optimum = float((problem.C * best).sum())
        P = solved(problem, setup).P
        if claim is theory.entropic_bias:
            H = min(theory.entropy(problem.r), theory.entropy(problem.c))
        else:
            H = theory.entropy(P) - theory.entropy(best)
        excess = [(problem.C * P).sum() - optimum]
        noise = 1e-9 if problem.optimum is None else 1e-14  # the linear programme is feasible to 1e-10
        parts.append(Measurement(excess, claim(eps=problem.eps, entropy=factor * H), problem.at, noise=noise))
    return join(parts)


# ------------------------------------------------------------------------------------------ eps to zero


def _vertex(
    instances: Problems, setup: Setup, *, claim: Claim, gap: Callable[[np.ndarray], float] = theory.vertex_gap
) -> Measurement:
    """Distance to the optimal vertex and excess cost at eta from (1 + R_H)/Delta on; `gap` is to be sabotaged."""
    parts = []
    for problem, result in zip(instances, solve_all(instances, setup), strict=True):
        s, W = theory.slack(problem.C)
        n = len(s)
        P = result.P[:, s]
        off = P - np.diag(np.diag(P))
        if claim is theory.cost_by_gap:
            # the excess cost is that of cycles: sums of slacks, which do not cancel
            measured = [(off * W).sum()]
        else:
            measured = [2 * off.sum()]  # what is off the vertex is missing on it
        values = {"vertex_gap": gap(problem.C), "eta": 1 / problem.eps}
        if claim is not theory.two_by_two:
            values["entropy_radius"] = np.log(n)
        parts.append(Measurement(measured, claim(**values), problem.at, noise=1e-14))
    return join(parts)


def _exponent(
    instances: Problems, setup: Setup, *, exponent: Callable[[np.ndarray], float] = theory.mean_cycle
) -> Measurement:
    """Slope of log distance against eta; `exponent` is there to be sabotaged."""
    eta = [np.linspace(8, 14, 7) / theory.mean_cycle(problem.C) for problem in instances]
    cold = [replace(p, eps=1 / value) for p, values in zip(instances, eta, strict=True) for value in values]
    results = iter(solve_all(cold, setup, tol=1e-14, on_fail="return"))
    slopes, expected = [], []
    for problem, values in zip(instances, eta, strict=True):
        s, _ = theory.slack(problem.C)
        plans = [next(results).P[:, s] for _ in values]
        distance = [2 * (P.sum() - np.trace(P)) for P in plans]
        slopes.append(-np.polyfit(values, np.log(distance), 1)[0])
        expected.append(theory.cycle_exponent(mean_cycle=exponent(problem.C)))
    at = {"n": np.array([p.at["n"] for p in instances]), "seed": np.array([p.at["seed"] for p in instances])}
    return Measurement(slopes, expected, at)


# ---------------------------------------------------------------------------------------- closed forms


def _gaussian(
    instances: Problems, setup: Setup, *, claim: Claim, temper: float = 1.0, entropic: bool = False, power: float = 1.0
) -> Measurement:
    """Value and rate between normal laws; `temper` (of eps), `entropic` and `power` are there to be sabotaged."""
    measured, expected = [], []
    for problem in instances:
        at = {name: value for name, value in problem.at.items() if name in claim.symbols}
        expected.append(claim(**at | {"eps": temper * problem.eps}) ** power)
        if claim is theory.gaussian_transport:
            result = library(setup).solve(*data(problem), tol=1e-11)
            measured.append(result.dual if entropic else result.kl_value)
        else:
            result = library(setup).solve(*data(problem), method="log", tol=1e-11)
            measured.append(rate_of(result.trace["delta"].values))
    return Measurement(measured, expected, {"eps": np.array([p.eps for p in instances])})


# ------------------------------------------------------------------------------------------ divergences


def _kl_value(
    problem: TransportProblem, r: np.ndarray, c: np.ndarray, setup: Setup, eps: float, **options: Any
) -> float:
    return library(setup).solve(problem.C, r, c, eps, **({"tol": 1e-13} | options)).kl_value


def _divergence(instances: Problems, setup: Setup, *, weight: float = 0.5, few: int | None = None) -> Measurement:
    """Half the values within against the value across; `weight` and `few` (Sinkhorn steps) are to be sabotaged."""
    within, across = [], []
    for problem in instances:
        a, b = problem.r, problem.c
        options = {} if few is None else {"method": "log", "max_steps": few, "on_fail": "return"}
        across.append(solved(problem, setup, **options).kl_value)
        own = [solved(replace(problem, r=x, c=x), setup).kl_value for x in (a, b)]
        within.append(weight * sum(own))
    at = {name: np.array([p.at[name] for p in instances]) for name in instances[0].at}
    return Measurement(within, theory.divergence_nonnegative(across=across), at, noise=1e-12)


def _energy(instances: Problems, setup: Setup, *, half: float = 0.5) -> Measurement:
    (problem,) = instances
    a, b = problem.r, problem.c
    limit = float(theory.divergence_limit(half_energy=-half * (a - b) @ problem.C @ (a - b)))
    grid = np.geomspace(30, 30_000, 10)
    values = [library(setup).divergence(*(problem.C,) * 3, a, b, eps, tol=1e-13) for eps in grid]
    return Measurement(np.abs(np.array(values) / limit - 1), x=grid)


# ------------------------------------------------------------------------------------ random assignment


def _assignment(instances: Problems, setup: Setup, *, relative_eps: float = 0.02, skip: int = 0) -> Measurement:
    """n times the cost of the rounded plan; eps is relative to 1/n, the size of the costs that matter."""
    n = len(instances[0].r)
    cold = [replace(p, eps=relative_eps / n) for p in instances]
    costs = [result.cost for result in solve_all(cold, setup, tol=1e-3, on_fail="return")]
    return Measurement(
        n * np.array(costs), theory.assignment_mean(series=(1.0 / np.arange(1 + skip, n + 1) ** 2).sum())
    )


# ------------------------------------------------------------------------------------------ invariances


def _transformed(
    problem: TransportProblem, setup: Setup, cold: bool, uneven: float
) -> list[tuple[str, TransportProblem, Callable[[np.ndarray], np.ndarray], float]]:
    """Name, transformed problem, how its plan is put back in place, and its value from the untransformed one's."""
    rng = np.random.default_rng(setup.seed)
    C, r, c, eps = data(problem)
    n, m = problem.shape
    value = solved(problem, setup).dual
    a, b = rng.standard_normal(n), rng.standard_normal(m)
    shifted = C + a[:, None] + b + uneven * rng.standard_normal((n, m))
    s, t = rng.permutation(n), rng.permutation(m)
    back = np.ix_(np.argsort(s), np.argsort(t))
    scale = 7.3
    return [
        ("shift", TransportProblem(shifted, r, c, eps), lambda P: P, value + r @ a + c @ b),
        ("offset", TransportProblem(C + 1e6, r, c, eps), lambda P: P, value + 1e6),
        ("scale", TransportProblem(C if cold else scale * C, r, c, scale * eps), lambda P: P, scale * value),
        ("permute", TransportProblem(C[np.ix_(s, t)], r[s], c[t], eps), lambda P: P[back], value),
        ("transpose", TransportProblem(C.T, c, r, eps), lambda P: P.T, value),
    ]


def _invariance(
    instances: Problems, setup: Setup, *, claim: Claim, cold: bool = False, uneven: float = 0.0
) -> Measurement:
    """`cold` (eps scaled without the cost) and `uneven` (a shift that is not a_i + b_j) are there to be sabotaged."""
    parts = []
    for problem in instances:
        P = solved(problem, setup).P
        for name, other, back, value in _transformed(problem, setup, cold, uneven):
            result = solved(other, setup)
            at = {**problem.at, "transformation": name}
            if claim is theory.plan_invariance:
                # an offset of 1e6 costs the digits that the cost itself loses to it
                scale = P.max() * (1.0 if name != "offset" else 1e6 / problem.eps)
                parts.append(Measurement(back(result.P), claim(value=P), at, scale=scale))
            else:
                scale = np.abs(value) + np.abs(problem.C).max()
                parts.append(Measurement([result.dual], claim(value=value), at, scale=scale))
    return join(parts)


def _split(instances: Problems, setup: Setup, *, entropic: bool = False, share: float = 0.5) -> Measurement:
    """`entropic` (the other normalisation) and `share` (mass of the second half) are there to be sabotaged."""
    before: list[float] = []
    after: list[float] = []
    for problem in instances:
        C, r, c, eps = data(problem)
        masses = np.concatenate([[r[0] / 2, share * r[0]], r[1:]])
        other = TransportProblem(np.concatenate([C[:1], C]), masses, c * masses.sum() / c.sum(), eps)
        values = [solved(p, setup) for p in (problem, other)]
        for found, result in zip((before, after), values, strict=True):
            found.append(result.dual if entropic else result.kl_value)
    at = {"instance": np.arange(len(instances))}
    scale = np.abs(before) + np.array([np.abs(p.C).max() for p in instances])
    return Measurement(after, theory.atom_splitting(value=before), at, scale=scale)


# -------------------------------------------------------------------------------------------- instances


def _random(count: int, full: int, **options: Any) -> Callable[[Setup], list[TransportProblem]]:
    return lambda setup: random_problems(setup, setup.size(count, full), **options)


def _draft(setup: Setup) -> list[TransportProblem]:
    """Too much in row 1 by a and in column 1 by b, where the draft has no mass in common."""
    made = []
    for a, b in ((0.1, 0.2), (0.3, 0.01), (0.0, 0.1)):
        r, c = np.array([0.4 - a, 0.6 + a]), np.array([0.6 - b, 0.4 + b])
        made.append(TransportProblem(np.ones((2, 2)), r, c, 1.0, at={"a": a, "b": b, "draft": 1}))
    return made


def _levels(setup: Setup) -> list[TransportProblem]:
    return [problems.one_level(n, stretch=1.3) for n in setup.size(1, 2) * (10, 100, 1000)]


def _cold_pairs(setup: Setup) -> list[TransportProblem]:
    return [problems.two_by_two(1.0, eps=1 / eta) for eta in (1, 3, 10, 20)]


def assignments(sizes: Sequence[int], stretches: Sequence[float]) -> Callable[[Setup], list[TransportProblem]]:
    """Uniform costs at eta = stretch (1 + log n)/Delta."""

    def make(setup: Setup) -> list[TransportProblem]:
        made = []
        for n in sizes:
            for i in range(setup.size(5, 20)):
                seed = 1_000 * setup.seed + i
                C = problems.random_assignment(n, seed=seed).C
                for stretch in stretches:
                    eta = stretch * (1 + np.log(n)) / theory.vertex_gap(C)
                    made.append(problems.random_assignment(n, eta=eta, seed=seed))
        return made

    return make


def _gaussians(setup: Setup) -> list[TransportProblem]:
    return [
        problems.gaussians(setup.size(401, 1201), means=(0.0, 0.7), deviations=(1.0, 1.5), eps=eps)
        for eps in (0.5, 1.0, 3.0)
    ]


def _clouds(setup: Setup, power: float = 1.0) -> list[TransportProblem]:
    """Two random measures on one random support in the plane, the second more and more like the first."""
    rng = np.random.default_rng(setup.seed)
    made = []
    for i in range(setup.size(6, 30)):
        X = rng.standard_normal((12, 2))
        C = np.linalg.norm(X[:, None] - X, axis=2)
        C = C**2 if i % 2 else C
        a, b = rng.dirichlet(np.ones(12)), rng.dirichlet(np.ones(12))
        for near in (0.0, 0.9, 0.999):
            mixed = near * a + (1 - near) * b
            at = {"cost": "squared" if i % 2 else "distance", "near": near, "support": i}
            made.append(TransportProblem(C**power, a, mixed / mixed.sum(), 0.5, at=at))
    return made


def _indefinite(setup: Setup) -> list[TransportProblem]:
    """Two groups, each point nearer to those of the other group than to its own."""
    group = np.repeat([0.0, 1.0], 6)
    C = np.where(group[:, None] == group, 1.0, 0.1) - np.eye(12)
    a, b = 0.01 + 1 - group, 0.01 + group
    return [TransportProblem(C, a / a.sum(), b / b.sum(), 0.5, at={"cost": "no distance", "near": 0.0, "support": 0})]


def _one_cloud(setup: Setup) -> list[TransportProblem]:
    rng = np.random.default_rng(setup.seed)
    X = rng.standard_normal((12, 2))
    a, b = rng.dirichlet(np.ones(12)), rng.dirichlet(np.ones(12))
    return [TransportProblem(((X[:, None] - X) ** 2).sum(2), a, b, 1.0)]


def _exponential(setup: Setup, law: Any = "exponential") -> list[TransportProblem]:
    count = setup.size(600, 10_000)
    return [problems.random_assignment(20, law=law, seed=100_000 * setup.seed + i) for i in range(count)]


# -------------------------------------------------------------------------------------------- the table

NOT_DIVIDED = Saboteur("gap of the sums, not divided by n", {"gap": lambda C: len(C) * theory.vertex_gap(C)})
HALF_ENTROPY = Saboteur("half the entropy", {"factor": 0.5})

EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.rounding,
        "random drafts",
        _random(20, 200),
        partial(_rounding, claim=theory.rounding),
        (Saboteur("a quarter of the bound", {"factor": 0.25}),),
        BACKENDS,
    ),
    Experiment(
        theory.rounding_sharp,
        "random drafts",
        _random(20, 200),
        partial(_rounding, claim=theory.rounding_sharp),
        (Saboteur("rows scaled up as well as down", {"rounded": _normalised_rows}),),
        BACKENDS,
    ),
    Experiment(
        theory.rounding_sharp,
        "errors that do not overlap",
        _draft,
        partial(_rounding, claim=theory.rounding_sharp),
        (Saboteur("1 % off the bound", {"factor": 0.99}),),
        BACKENDS,
    ),
    Experiment(
        theory.rounding_marginals,
        "random drafts",
        _random(20, 200),
        partial(_rounding, claim=theory.rounding_marginals),
        (
            Saboteur("missing mass spread evenly over columns", {"rounded": _uniform_rest}),
            Saboteur("missing masses multiplied, not divided by their total", {"rounded": _undivided}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.lower_bound,
        "random problems",
        _random(15, 100, sizes=(2, 12)),
        partial(_certificates, claim=theory.lower_bound),
        (
            Saboteur("soft minimum", {"transform": _soft_transform}),
            Saboteur("half of the rows forgotten", {"transform": lambda C, f: (C - f[:, None])[::2].min(axis=0)}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.upper_bound,
        "random problems",
        _random(15, 100, sizes=(2, 12)),
        partial(_certificates, claim=theory.upper_bound),
        (Saboteur("cost of the plan before it is rounded", {"unrounded": True}),),
        BACKENDS,
    ),
    Experiment(
        theory.entropic_bias,
        "random problems",
        _random(15, 100, sizes=(2, 12)),
        partial(_bias, claim=theory.entropic_bias),
        (Saboteur("a tenth of the entropy", {"factor": 0.1}),),
        BACKENDS,
    ),
    Experiment(
        theory.entropic_bias,
        "one level of costs",
        _levels,
        partial(_bias, claim=theory.entropic_bias),
        (HALF_ENTROPY,),
        BACKENDS,
    ),
    Experiment(
        theory.entropy_link,
        "two by two",
        _cold_pairs,
        partial(_bias, claim=theory.entropy_link),
        (HALF_ENTROPY,),
        BACKENDS,
    ),
    Experiment(
        theory.cost_by_gap,
        "random assignment",
        assignments((2, 3, 5, 8), (1.0, 1.5, 2.0)),
        partial(_vertex, claim=theory.cost_by_gap),
        (NOT_DIVIDED,),
        BACKENDS,
    ),
    Experiment(
        theory.vertex_distance,
        "random assignment",
        assignments((2, 3, 5, 8), (1.0, 1.5, 2.0)),
        partial(_vertex, claim=theory.vertex_distance),
        (NOT_DIVIDED,),
        BACKENDS,
    ),
    Experiment(
        theory.two_by_two,
        "two by two",
        _cold_pairs,
        partial(_vertex, claim=theory.two_by_two),
        (NOT_DIVIDED, Saboteur("half the gap", {"gap": lambda C: theory.vertex_gap(C) / 2})),
        BACKENDS,
    ),
    Experiment(
        theory.cycle_exponent,
        "random assignment",
        assignments((5, 8, 12), (1.0,)),
        _exponent,
        (
            Saboteur("vertex gap", {"exponent": theory.vertex_gap}),
            Saboteur("total cost of the cycle", {"exponent": lambda C: len(C) * theory.vertex_gap(C)}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.gaussian_transport,
        "normal laws on a grid",
        _gaussians,
        partial(_gaussian, claim=theory.gaussian_transport),
        (
            Saboteur("eps for 2 eps", {"temper": 2.0}),
            Saboteur("value in the form with entropy", {"entropic": True}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.gaussian_rate,
        "normal laws on a grid",
        _gaussians,
        partial(_gaussian, claim=theory.gaussian_rate),
        (
            Saboteur("correlation not squared", {"power": 0.5}),
            Saboteur("eps for 2 eps", {"temper": 2.0}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.divergence_nonnegative,
        "clouds in the plane",
        _clouds,
        _divergence,
        (
            Saboteur("values within not halved", {"weight": 1.0}),
            Saboteur("value across not converged", {"few": 2}),
            Saboteur("cost at random, no distance", problems=_indefinite),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.divergence_limit,
        "a cloud in the plane",
        _one_cloud,
        _energy,
        (Saboteur("energy not halved", {"half": 1.0}),),
        BACKENDS,
    ),
    Experiment(
        theory.assignment_mean,
        "exponential costs",
        _exponential,
        _assignment,
        (
            Saboteur("eps not small", {"relative_eps": 1.0}),
            Saboteur("series from 2 on", {"skip": 1}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.plan_invariance,
        "random problems",
        _random(10, 100),
        partial(_invariance, claim=theory.plan_invariance),
        (
            Saboteur("eps scaled without the cost", {"cold": True}),
            Saboteur("a shift that does not separate", {"uneven": 1e-4}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.value_equivariance,
        "random problems",
        _random(10, 100),
        partial(_invariance, claim=theory.value_equivariance),
        (
            Saboteur("eps scaled without the cost", {"cold": True}),
            Saboteur("a shift that does not separate", {"uneven": 1e-4}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.atom_splitting,
        "random problems",
        _random(10, 100),
        _split,
        (
            Saboteur("value in the form with entropy", {"entropic": True}),
            Saboteur("atom copied, not split", {"share": 1.0}),
        ),
        BACKENDS,
    ),
)
