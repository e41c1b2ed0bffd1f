"""Experiments on Sinkhorn's iteration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from lemmata.claims import Claim
from lemmata.experiments.sinkhorn_newton.shared import (
    BACKENDS,
    data,
    dual_of,
    join,
    library,
    noise_of,
    plan_of,
    random_problems,
    solved,
)
from lemmata.problems import sinkhorn_newton as problems
from lemmata.problems.sinkhorn_newton import TransportProblem
from lemmata.theory import sinkhorn_newton as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS", "PROTOCOL"]

#: What `lemmata.testing.assert_claim` can put in place of our iteration.
PROTOCOL = (
    "algorithm(C, r, c, eps, steps) -> (f, g) after 0, 1, ..., 2 steps half steps from zero, f first, "
    "float64[2 steps + 1, n] and float64[2 steps + 1, m]"
)

Problems = Sequence[TransportProblem]

# ------------------------------------------------------------------------------------------ trajectories


def _iterate(
    problem: TransportProblem,
    setup: Setup,
    steps: int,
    *,
    algorithm: Callable[..., Any] | None = None,
    stale: bool = False,
    rows_only: bool = False,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Potentials after each half step, float64[2 steps + 1, n or m], by our iteration or by a user's.

    `stale` (f and g updated from the same point) and `rows_only` (g never updated) are there to be sabotaged.
    """
    if algorithm is not None:
        f, g = (np.asarray(p, dtype=np.float64) for p in algorithm(*data(problem), steps))
        expected = [(2 * steps + 1, size) for size in problem.shape]
        if [f.shape, g.shape] != expected:
            raise ValueError(f"the algorithm gave shapes {f.shape} and {g.shape}, expected {expected}")
        return f, g
    sinkhorn = library(setup).sinkhorn
    if stale:
        f, g = np.zeros(problem.r.size), np.zeros(problem.c.size)
        points = [(f, g)]
        for _ in range(steps):
            ahead = sinkhorn(*data(problem), 1, g=g)["f"].values[1]
            g = sinkhorn(problem.C.T, problem.c, problem.r, problem.eps, 1, g=f)["f"].values[1]
            f = ahead
            points += [(f, points[-1][1]), (f, g)]
        return np.array([p[0] for p in points]), np.array([p[1] for p in points])
    run = sinkhorn(*data(problem), steps, **options)
    f, g = run["f"].values, run["g"].values
    if rows_only:
        f, g = np.concatenate([f[:1], np.repeat(f[1:2], 2 * steps, axis=0)]), np.repeat(g[:1], 2 * steps + 1, axis=0)
    return f, g


def _delta(problem: TransportProblem, f: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Marginal errors at potentials [k, n] and [k, m]."""
    P = np.exp((f[:, :, None] + g[:, None] - problem.C) / problem.eps)
    return np.abs(P.sum(2) - problem.r).sum(1) + np.abs(P.sum(1) - problem.c).sum(1)


# ----------------------------------------------------------------------------------------- measurements

#: Dual at (f, g) with the sums of P: the library's own, or what a saboteur makes of it.
Dual = Callable[[TransportProblem, np.ndarray, np.ndarray], float]


def _gap(instances: Problems, setup: Setup, *, dual: Dual | None = None) -> Measurement:
    parts = []
    rng = np.random.default_rng(setup.seed)
    for problem in instances:

        def value(f: np.ndarray, g: np.ndarray, problem: TransportProblem = problem) -> float:
            if dual is not None:
                return dual(problem, f, g)
            return float(library(setup).newton(*data(problem), f, g, 0)["dual"].values[0])

        best = solved(problem, setup)
        spread = problem.eps * np.array([0.1, 1.0, 3.0])
        points = [
            (best.f + s * rng.standard_normal(best.f.size), best.g + s * rng.standard_normal(best.g.size))
            for s in spread
        ]
        gaps = [value(best.f, best.g) - value(f, g) for f, g in points]
        kl = [theory.kl(best.P, plan_of(problem, f, g)) for f, g in points]
        at = {**problem.at, "spread": spread / problem.eps}
        # both values of D may be far larger than their difference
        scale = np.abs(gaps) + 1e-3 * (abs(best.dual) + problem.eps)
        parts.append(Measurement(gaps, theory.duality_gap(eps=problem.eps, kl=kl), at, scale=scale))
    return join(parts)


def _ascent(
    instances: Problems, setup: Setup, *, steps: int, reverse: bool = False, masses: bool = True, **options: Any
) -> Measurement:
    """Increase of D in each half step; `reverse` (of the divergence), `masses` (left out) and an over-relaxation in
    `options` are there to be sabotaged."""
    parts = []
    for problem in instances:
        f, g = _iterate(problem, setup, steps, **options)
        dual = np.array([dual_of(problem, *point) for point in zip(f, g, strict=True)])
        kl = []
        for k in range(2 * steps):
            P = plan_of(problem, f[k], g[k])
            mass, sums = (problem.r, P.sum(1)) if k % 2 == 0 else (problem.c, P.sum(0))
            kl.append(theory.kl(sums, mass) if reverse else theory.kl(mass, sums))
            if not masses:
                kl[-1] += mass.sum() - sums.sum()
        gain = np.diff(dual)
        scale = np.maximum(np.abs(gain), 1e-6 * (np.abs(dual[1:]) + problem.eps))
        at = {**problem.at, "half_step": np.arange(1, 2 * steps + 1)}
        parts.append(Measurement(gain, theory.ascent(eps=problem.eps, kl=kl), at, scale=scale))
    return join(parts)


def _decrease(instances: Problems, setup: Setup, *, steps: int, **options: Any) -> Measurement:
    parts = []
    for problem in instances:
        f, g = _iterate(problem, setup, steps, **options)
        delta = _delta(problem, f, g)[1:]
        at = {**problem.at, "half_step": np.arange(2, 2 * steps + 1)}
        bound = theory.marginal_decrease(delta=delta[:-1])
        parts.append(Measurement(delta[1:], bound, at, noise=noise_of(problem, f)))
    return join(parts)


def _hilbert(
    instances: Problems, setup: Setup, *, claim: Claim, steps: int, stretch: float = 1.0, **options: Any
) -> Measurement:
    """Hilbert distance of the row scalings against a contraction; `stretch` multiplies log theta, to be sabotaged."""
    parts = []
    for problem in instances:
        # the first g need not be the answer to the first f: contraction starts at step 1
        f, g = (p[2::2] for p in _iterate(problem, setup, steps + 1, **options))
        best = solved(problem, setup)
        distance = np.ptp(f - best.f, axis=1) / problem.eps
        log_theta = stretch * theory.log_theta(problem.C, problem.eps)
        noise = noise_of(problem, f)
        if claim is theory.hilbert_rate:
            bound = claim(log_theta=log_theta, distance=distance[:-1])
        else:
            sums = [plan_of(problem, a, b).sum(1) for a, b in zip(f[1:], g[1:], strict=True)]
            bound = claim(log_theta=log_theta, distance=np.ptp(np.log(np.array(sums) / problem.r), axis=1))
            noise *= np.cosh(log_theta / 4) ** 2
        above = distance[:-1] > 1e-11  # below it rounding is all there is
        at = {**problem.at, "step": np.arange(2, steps + 2)[above]}
        parts.append(Measurement(distance[1:][above], bound[above], at, noise=noise))
    return join(parts)


def _local(
    instances: Problems,
    setup: Setup,
    *,
    relaxed: bool = False,
    omega: float = 1.0,
    claimed: Callable[[float], float] = lambda sigma: sigma,
    relax_by: Callable[[float], float] = lambda sigma: 2 / (1 + np.sqrt(1 - sigma**2)),
) -> Measurement:
    """Rate of delta along the slowest mode; `omega`, `claimed` and `relax_by` are there to be sabotaged."""
    rates, expected = [], []
    for problem in instances:
        best = solved(problem, setup)
        sigma, mode = theory.slowest_mode(best.P)
        g = best.g + 1e-4 * problem.eps * mode / np.abs(mode).max()
        relaxation = relax_by(sigma) if relaxed else omega
        run = library(setup).sinkhorn(*data(problem), 60, omega=relaxation, f=best.f, g=g)
        delta = run["delta"].values[1::2]
        t = np.arange(1, delta.size + 1)
        # at the best relaxation two eigenvalues meet: t rho^t; it shows after some steps
        if relaxed:
            delta = delta / t
        last = np.flatnonzero(delta > 1e-11)[-1]
        first = last // 2 if relaxed else 0
        rates.append((delta[last] / delta[first]) ** (1 / (last - first)))
        claim = theory.relaxed_rate if relaxed else theory.local_rate
        expected.append(claim(sigma=claimed(sigma)))
    return Measurement(rates, expected, _at(instances))


def _at(instances: Problems) -> dict[str, Any]:
    names = [name for name in instances[0].at if all(name in p.at for p in instances)]
    return {name: np.array([p.at[name] for p in instances]) for name in names}


def _counts(
    instances: Problems,
    setup: Setup,
    *,
    claim: Claim,
    steps: int,
    factor: float = 1.0,
    radius: Callable[..., float] = theory.cost_radius,
    **options: Any,
) -> Measurement:
    """Explicit bounds on delta or on the gap; `factor` (on what the bound may use) and `radius` are to be sabotaged."""
    parts = []
    for problem in instances:
        f, g = _iterate(problem, setup, steps, **options)
        delta = _delta(problem, f, g)[1:]
        k = np.arange(1, 2 * steps + 1)
        best = solved(problem, setup)
        R = radius(*data(problem))
        measured, noise = np.minimum.accumulate(delta), noise_of(problem, f)
        if claim is theory.marginal_by_kernel:
            K = problem.C / problem.eps
            log_ratio = np.log(np.exp(K.min() - K).sum()) - K.min() + K.max()
            bound = claim(log_ratio=factor * log_ratio, steps=k)
        elif claim is theory.marginal_by_gap:
            bound = claim(gap=factor * theory.kl(best.P, plan_of(problem, f[1], g[1])), steps=k)
        elif claim is theory.marginal_by_radius:
            measured, k = delta[2:], k[2:]
            bound = claim(radius=R, k=k)
        else:
            gaps = [theory.kl(best.P, plan_of(problem, a, b)) for a, b in zip(f[1:], g[1:], strict=True)]
            measured = np.array(gaps)
            bound = claim(radius=R, delta=delta)
            noise *= R
        parts.append(Measurement(measured, bound, {**problem.at, "half_step": k}, noise=noise))
    return join(parts)


# -------------------------------------------------------------------------------------------- instances


def _random(count: int, full: int) -> Callable[[Setup], list[TransportProblem]]:
    return lambda setup: random_problems(setup, setup.size(count, full))


def _cold(setup: Setup) -> list[TransportProblem]:
    """Costs large against eps, where the iteration is slow from the start."""
    return [problems.random_transport(8, 9, eps=eps, seed=setup.seed + i) for i, eps in enumerate((0.1, 0.02, 2e-3))]


def _two_by_two(setup: Setup) -> list[TransportProblem]:
    return [problems.two_by_two(a, eps=1.0) for a in (0.5, 1.0, 2.0, 4.0, 6.0)]


def _tilted(setup: Setup) -> list[TransportProblem]:
    """Two by two with unequal masses, so that the iteration starts away from the solution."""
    made = []
    for a in (0.5, 1.0, 2.0, 4.0):
        C = np.array([[0.0, a], [a, 0.0]])
        made.append(TransportProblem(C, np.array([0.5 + 1e-4, 0.5 - 1e-4]), np.full(2, 0.5), 1.0, at={"gap": a}))
    return made


def _separable(setup: Setup) -> list[TransportProblem]:
    half = np.full(2, 0.5)
    return [TransportProblem(np.array([[0.0, a], [0.0, a]]), half, half, 1.0, at={"a": a}) for a in (0.3, 0.1, 0.01)]


def _moderate(setup: Setup) -> list[TransportProblem]:
    """Problems whose rate is neither so fast nor so slow that it cannot be read off."""
    shapes = ((8, 11, 0.1), (8, 11, 0.05), (20, 20, 0.1), (20, 20, 0.05), (15, 30, 0.1), (15, 30, 0.05))
    return [
        problems.random_transport(n, m, eps=eps, seed=1_000 * setup.seed + 10 * k + i)
        for k in range(setup.size(1, 5))
        for i, (n, m, eps) in enumerate(shapes)
    ]


# ------------------------------------------------------------------------------------------- saboteurs


def _dual(entropy: float = 1.0, offset: float = 0.0, mass: bool = True) -> Dual:
    def value(problem: TransportProblem, f: np.ndarray, g: np.ndarray) -> float:
        total = (plan_of(problem, f, g) * np.exp(offset)).sum() if mass else 1.0
        return float(problem.r @ f + problem.c @ g - entropy * problem.eps * total)

    return value


STALE = Saboteur("f and g updated from the same point", {"stale": True})
ROWS_ONLY = Saboteur("columns never updated", {"rows_only": True})
RADIUS_WITHOUT_COST = Saboteur(
    "radius without the cost", {"radius": lambda C, r, c, eps: -np.log(min(r.min(), c.min()))}
)

EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.duality_gap,
        "random problems",
        _random(50, 400),
        _gap,
        (
            Saboteur("sign of the entropy", {"dual": _dual(entropy=-1.0)}),
            Saboteur("mass of the plan taken to be one", {"dual": _dual(mass=False)}),
            Saboteur("potentials of the other normalisation", {"dual": _dual(offset=-1.0)}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.ascent,
        "random problems",
        _random(20, 100),
        partial(_ascent, steps=15),
        (
            Saboteur("divergence reversed", {"reverse": True}),
            Saboteur("masses left out of the divergence", {"masses": False}),
            Saboteur("steps 1 % too long", {"omega": 1.01}),
        ),
        BACKENDS,
        PROTOCOL,
    ),
    Experiment(
        theory.marginal_decrease,
        "random problems",
        _random(20, 100),
        partial(_decrease, steps=40),
        (STALE, Saboteur("steps nearly twice as long", {"omega": 1.9})),
        BACKENDS,
        PROTOCOL,
    ),
    Experiment(
        theory.marginal_decrease,
        "costs large against eps",
        _cold,
        partial(_decrease, steps=100),
        (STALE, Saboteur("steps 10 % too long", {"omega": 1.1})),
        BACKENDS,
        PROTOCOL,
    ),
    Experiment(
        theory.hilbert_rate,
        "random problems",
        _random(20, 100),
        partial(_hilbert, claim=theory.hilbert_rate, steps=60),
        (ROWS_ONLY,),
        BACKENDS,
        PROTOCOL,
    ),
    Experiment(
        theory.hilbert_rate,
        "two by two",
        _tilted,
        partial(_hilbert, claim=theory.hilbert_rate, steps=25),
        (STALE, Saboteur("log theta 1 % too small", {"stretch": 0.99})),
        BACKENDS,
        PROTOCOL,
    ),
    Experiment(
        theory.hilbert_error,
        "random problems",
        _random(20, 100),
        partial(_hilbert, claim=theory.hilbert_error, steps=60),
        (Saboteur("the last move taken for the error", {"stretch": 0.0}),),
        BACKENDS,
        PROTOCOL,
    ),
    Experiment(
        theory.hilbert_error,
        "two by two",
        _tilted,
        partial(_hilbert, claim=theory.hilbert_error, steps=25),
        (Saboteur("log theta 1 % too small", {"stretch": 0.99}),),
        BACKENDS,
        PROTOCOL,
    ),
    Experiment(
        theory.local_rate,
        "random problems",
        _moderate,
        _local,
        (Saboteur("singular value not squared", {"claimed": np.sqrt}), Saboteur("steps 2 % too long", {"omega": 1.02})),
        BACKENDS,
    ),
    Experiment(
        theory.relaxed_rate,
        "random problems",
        _moderate,
        partial(_local, relaxed=True),
        (
            Saboteur("plain steps", {"relax_by": lambda s: 1.0}),
            Saboteur("relaxation for sigma, not its square", {"relax_by": lambda s: 2 / (1 + np.sqrt(1 - s))}),
        ),
        BACKENDS,
    ),
    Experiment(
        theory.marginal_by_kernel,
        "random problems",
        _random(20, 100),
        partial(_counts, claim=theory.marginal_by_kernel, steps=100),
        (ROWS_ONLY,),
        BACKENDS,
        PROTOCOL,
    ),
    Experiment(
        theory.marginal_by_gap,
        "separable costs",
        _separable,
        partial(_counts, claim=theory.marginal_by_gap, steps=3),
        (Saboteur("Pinsker without its factor 2", {"factor": 0.5}), ROWS_ONLY),
        BACKENDS,
        PROTOCOL,
    ),
    Experiment(
        theory.marginal_by_gap,
        "random problems",
        _random(20, 100),
        partial(_counts, claim=theory.marginal_by_gap, steps=100),
        (ROWS_ONLY,),
        BACKENDS,
        PROTOCOL,
    ),
    Experiment(
        theory.gap_by_marginal,
        "costs large against eps",
        _cold,
        partial(_counts, claim=theory.gap_by_marginal, steps=100),
        (RADIUS_WITHOUT_COST,),
        BACKENDS,
        PROTOCOL,
    ),
    Experiment(
        theory.marginal_by_radius,
        "costs large against eps",
        _cold,
        partial(_counts, claim=theory.marginal_by_radius, steps=1500),
        (RADIUS_WITHOUT_COST, ROWS_ONLY),
        BACKENDS,
        PROTOCOL,
    ),
)
