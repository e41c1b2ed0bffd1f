"""Experiments on the prox activation and on the rates of the iterations."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from lemmata.experiments.monotone_dbm.shared import (
    Model,
    Models,
    damped_softmax,
    extreme_directions,
    join,
    points,
    prox,
    random_models,
    reference,
    rounding,
    softmax,
    trajectory,
    uniform,
    vertices,
)
from lemmata.problems import monotone_dbm as problems
from lemmata.problems.monotone_dbm import MonotoneModel
from lemmata.theory import monotone_dbm as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

#: steps at which the prox is tried; 1 is the softmax
ALPHAS = (1e-3, 0.02, 0.125, 0.5, 0.9, 1.0, 1.1, 2.0, 10.0)
#: steps of forward-backward as shares of the limit 2/(L - 1), at most 2
SHARES = (0.1, 0.5, 0.9, 0.98)

# -------------------------------------------------------------------------------------------- the prox

Activation = Literal["prox", "softmax", "softmax of x/alpha", "one Newton step"]


def _activation(x: np.ndarray, alpha: float, states: tuple[int, ...], setup: Setup, kind: Activation) -> np.ndarray:
    if kind == "softmax":
        return softmax(x, states)
    if kind == "softmax of x/alpha":
        return softmax(x / alpha, states)
    z = prox(x, alpha, states, setup)
    if kind == "one Newton step":
        # rounded to single precision and polished once on the sum alone: the sum is right, the logarithms are not
        z = z.astype(np.float32).astype(np.float64)
        z /= z.sum(axis=-1, keepdims=True)
    return z


def _optimality(instances: Models, setup: Setup, *, kind: Activation = "prox") -> Measurement:
    """Spread of the optimality condition over the states of a node; `kind` is there to be sabotaged."""
    parts = []
    rng = np.random.default_rng(setup.seed)
    for K in (2, 3, 8):
        for size in (0.01, 1.0, 30.0):
            x = size * rng.standard_normal((setup.size(40, 1000), K))
            for alpha in ALPHAS:
                z = _activation(x, alpha, (K,), setup, kind)
                seen = z > 1e6 * np.finfo(z.dtype).tiny  # near it z has lost digits
                z = z.astype(np.float64)
                with np.errstate(divide="ignore"):
                    left = np.where(seen, alpha * np.log(z) + (1 - alpha) * z - x, 0.0)
                left = np.where(seen, left - left.sum(axis=1, keepdims=True) / seen.sum(axis=1, keepdims=True), 0.0)
                scale = 1 + alpha + np.abs(x).max()
                at = {"states": K, "alpha": alpha, "first": x[:, :1]}
                parts.append(Measurement(left, theory.prox_optimality(), at, scale=scale))
    return join(parts)


def _lipschitz(instances: Models, setup: Setup, *, kind: Activation = "prox") -> Measurement:
    """Distances of the prox of pairs of points, near and far; `kind` is there to be sabotaged."""
    parts = []
    rng = np.random.default_rng(setup.seed)
    for K in (2, 3, 8):
        x = rng.standard_normal((setup.size(100, 2000), K)) * rng.lognormal(0, 1, (setup.size(100, 2000), 1))
        x[:20] *= 1e-3
        y = x + rng.standard_normal(x.shape) * rng.lognormal(-3, 3, (len(x), 1))
        distance = np.linalg.norm(x - y, axis=1)
        for alpha in ALPHAS:
            apart = np.linalg.norm(np.subtract(*(_activation(v, alpha, (K,), setup, kind) for v in (x, y))), axis=1)
            claimed = theory.prox_lipschitz(alpha=alpha, distance=distance)
            parts.append(
                Measurement(apart, claimed, {"states": K, "alpha": alpha}, noise=100 * np.finfo(setup.dtype).eps)
            )
    return join(parts)


# -------------------------------------------------------------------------------------- forward-backward


def _steps(model: Model, share: float) -> float:
    return share * min(model.step_limit, 2.0)


def _run(model: Model, start: np.ndarray, steps: int, setup: Setup, alpha: float, softmaxed: bool) -> np.ndarray:
    if softmaxed:
        return damped_softmax(model, start, steps, alpha)
    return trajectory(model, start, steps, setup, alpha=alpha)


def _contraction(
    instances: Models, setup: Setup, *, softmaxed: bool = False, underestimated: float = 1.0
) -> Measurement:
    """Distance of pairs of runs after each step; a softmax in place of the prox and an L that is too small are there to
    be sabotaged."""
    parts = []
    rng = np.random.default_rng(setup.seed)
    for model in instances:
        start = np.concatenate([points(model, 4, rng), vertices(model, 4, rng)])
        start[4:] = 0.999 * start[4:] + 0.001 * uniform(model)
        for share in SHARES:
            alpha = _steps(model, share)
            q = _run(model, start, 20, setup, alpha, softmaxed)
            distance = np.linalg.norm(q[::2] - q[1::2], axis=2)
            values = {"alpha": alpha, "m": model.modulus, "lipschitz": underestimated * model.lipschitz}
            claimed = theory.contraction(distance=distance[:, :-1], **values)
            at = {"share": share, "step": np.arange(20)}
            parts.append(Measurement(distance[:, 1:], claimed, at, noise=1e-14 * rounding(setup)))  # rounding of q
    return join(parts)


def _tight(
    instances: Models, setup: Setup, *, softmaxed: bool = False, underestimated: float = 1.0, strong: float = 1.0
) -> Measurement:
    """One step from 1e-4 beside the uniform mean field, along the extreme eigenvectors of Phi; a softmax in place of
    the prox, an L too small and another convexity of f (`strong`) are there to be sabotaged."""
    measured, claimed, alphas = [], [], []
    for model in instances:
        q = uniform(model)
        vectors = extreme_directions(model)
        for alpha in (model.step, *(_steps(model, share) for share in SHARES)):
            change = _run(model, q + 1e-4 * vectors, 1, setup, alpha, softmaxed)[:, 1] - q
            measured.append(np.linalg.norm(change, axis=1).max() / 1e-4)
            values = {"alpha": alpha, "m": model.modulus, "lipschitz": underestimated * model.lipschitz}
            claimed.append(theory.contraction_tight(**values) * (1 + alpha) / (1 + strong * alpha))
            alphas.append(alpha)
    return Measurement(measured, claimed, {"alpha": alphas})


def _convergence(instances: Models, setup: Setup, *, stretch: float = 1.0, softmaxed: bool = False) -> Measurement:
    """Distance to the mean field along the way; a step that is `stretch` times the claimed one and a softmax in place
    of the prox are there to be sabotaged."""
    parts = []
    rng = np.random.default_rng(setup.seed)
    k = np.arange(0, 121, 10)
    for model in instances:
        best = reference(model, tol=1e-12)[0]
        start = np.concatenate([points(model, 2, rng), vertices(model, 2, rng)])
        for share in (*SHARES, 0.999):
            alpha = _steps(model, share)
            q = _run(model, start, 120, setup, stretch * alpha, softmaxed)[:, k]
            distance = np.linalg.norm(q - best, axis=2)
            values = {"alpha": alpha, "m": model.modulus, "lipschitz": model.lipschitz}
            claimed = theory.convergence(k=k[1:], distance=distance[:, :1], **values)
            # the reference's, and what a hundred steps add up to
            noise = 2e-12 + 1e-14 * rounding(setup)
            parts.append(Measurement(distance[:, 1:], claimed, {"share": share, "step": k[1:]}, noise=noise))
    return join(parts)


def _limit(instances: Models, setup: Setup, *, share: float = 1.02, limit: str = "2/(L - 1)") -> Measurement:
    """Distance from the mean field after 300 steps just above the limit, and below it; another `share` or `limit` is to
    be sabotaged."""
    grown: list[float] = []
    shrunk: list[float] = []
    starts = []
    for model in instances:
        numerator, L = (2 * model.modulus, model.lipschitz**2) if limit == "2m/L^2" else (2, model.lipschitz)
        bound = numerator / (L - 1 if limit == "2/(L - 1)" else L)
        q = uniform(model)
        start = q + 1e-3 * extreme_directions(model)[0]
        for distances, alpha in ((grown, share * bound), (shrunk, 0.98 * bound)):
            distances.append(float(np.linalg.norm(trajectory(model, start, 300, setup, alpha=alpha)[0, -1] - q)))
        starts.append(1e-3)
    at = {"nodes": [len(model.states) for model in instances]}
    return Measurement(grown, theory.step_limit(distance=starts), at, control=shrunk)


def _oscillation(instances: Models, setup: Setup, *, alpha: float = 1.0) -> Measurement:
    """Amplitude of the parallel update where it has period two; a damped step is there to be sabotaged."""
    amplitude: list[float] = []
    control: list[float] = []
    for model in instances:
        largest = np.sqrt(2 * len(model.states))
        for found, step in ((amplitude, alpha), (control, model.step)):
            *_, before, last, after = trajectory(model, uniform(model), 1000, setup, alpha=step)[0]
            period_two = np.linalg.norm(after - before) < 1e-9 * max(1.0, 1e-5 * rounding(setup))
            found.append(float(np.linalg.norm(after - last)) / largest if period_two else 0.0)
    claimed = theory.parallel_oscillation(share=np.full(len(amplitude), 0.9))
    return Measurement(amplitude, claimed, {"nodes": [len(m.states) for m in instances]}, control=control)


def _amplitude(instances: Models, setup: Setup, *, weight: float = 1.0, neighbours: int = -1) -> Measurement:
    """Swing of the nodes in the parallel update; a damped update and another count of neighbours are sabotaged."""
    swing, root = [], []
    for model in instances:
        assert isinstance(model, MonotoneModel)
        N = len(model.states)
        last = trajectory(model, np.tile([0.55, 0.45], N), 2000, setup, method="averaged", alpha=weight)[0, -2:]
        swing.append(abs(last[1] - last[0]).max())
        root.append(theory.ising_magnetisation((1 - model.m) * (N + neighbours) / 2))
    at = {"nodes": [len(model.states) for model in instances]}
    return Measurement(swing, theory.parallel_amplitude(root=root), at, scale=1.0)


# ------------------------------------------------------------------------------------------- descent


def _near(model: Model, rng: np.random.Generator) -> np.ndarray:
    """Starts all over the simplices, and one beside the uniform point along the most repulsive direction."""
    beside = uniform(model) + 1e-3 * extreme_directions(model)[0]
    return np.concatenate([points(model, 4, rng), vertices(model, 2, rng), [beside]])


def _noise(model: Model) -> float:
    """Rounding of G: 1e-16 for each term of its sums."""
    return 1e-15 * (1 + np.abs(model.phi).sum() + np.abs(model.bias).sum())


def _descent(
    instances: Models, setup: Setup, *, softmaxed: bool = False, gain: float = 0.0, stretch: float = 1.0
) -> Measurement:
    """Change of G in each step; a softmax in place of the prox, a larger claim (`gain`, in ||d||²) and a step that is
    `stretch` times the claimed one are there to be sabotaged."""
    parts = []
    rng = np.random.default_rng(setup.seed)
    for model in instances:
        start = _near(model, rng)
        for share in SHARES:
            alpha = _steps(model, share)
            q = _run(model, start, 15, setup, stretch * alpha, softmaxed)
            change = np.diff(theory.free_energy(model, q), axis=1)
            distance = np.linalg.norm(np.diff(q, axis=1), axis=2)
            claimed = theory.descent(alpha=alpha, lipschitz=model.lipschitz, distance=distance) - gain * distance**2
            at = {"share": share, "step": np.arange(15)}
            parts.append(Measurement(change, claimed, at, noise=_noise(model)))
    return join(parts)


def _averaged(instances: Models, setup: Setup, *, stretch: float = 1.0, gain: float = 0.0) -> Measurement:
    """Change of G in each averaged step; a weight that is `stretch` times the claimed one and a larger claim are there
    to be sabotaged."""
    parts = []
    rng = np.random.default_rng(setup.seed)
    for model in instances:
        start = _near(model, rng)
        for share in SHARES:
            t = share * min(1.0, 4 / (model.lipschitz + 1))
            weight = min(stretch * t, 1.0)  # beyond it the iterates leave the simplex
            q = trajectory(model, start, 15, setup, method="averaged", alpha=weight)
            change = np.diff(theory.free_energy(model, q), axis=1)
            distance = np.linalg.norm(np.diff(q, axis=1), axis=2) / weight
            claimed = theory.averaged_descent(alpha=t, lipschitz=model.lipschitz, distance=distance)
            at = {"share": share, "step": np.arange(15)}
            parts.append(Measurement(change, claimed - gain * t * distance**2, at, noise=_noise(model)))
    return join(parts)


# ----------------------------------------------------------------------- Peaceman-Rachford, certificate


def _driven(model: Model, start: np.ndarray, steps: int, setup: Setup, alpha: float, halved: bool) -> np.ndarray:
    if not halved:
        return trajectory(model, start, steps, setup, method="peaceman-rachford", alpha=alpha)
    u = [start]
    for _ in range(steps):
        u.append((u[-1] + trajectory(model, u[-1], 1, setup, method="peaceman-rachford", alpha=alpha)[:, 1]) / 2)
    return np.stack(u, axis=1)


def _peaceman_rachford(instances: Models, setup: Setup, *, stale: float = 1.0, halved: bool = False) -> Measurement:
    """Distance of the driving variable to its limit; steps other than the claimed ones (`stale`) and the averages of
    Douglas-Rachford (`halved`) are there to be sabotaged."""
    parts = []
    rng = np.random.default_rng(setup.seed)
    k = np.arange(0, 61, 5)
    for model in instances:
        best = reference(model, tol=1e-12)[0]
        start = rng.standard_normal((4, model.n))
        for alpha in (0.05, 0.2, 1 / np.sqrt(model.modulus * model.lipschitz), 3.0):
            # at the solution u = q + alpha v for a v in the subdifferential of f, which is -(I - Phi) q + b
            limit = best + alpha * (model.bias - best + model.phi @ best)
            u = _driven(model, start, 60, setup, stale * alpha, halved)[:, k]
            distance = np.linalg.norm(u - limit, axis=2)
            values = {"alpha": alpha, "m": model.modulus, "lipschitz": model.lipschitz}
            claimed = theory.peaceman_rachford(k=k[1:], distance=distance[:, :1], **values)
            # the reference's, and the rounding of u
            noise = (1e-11 + 1e-14 * rounding(setup)) * (1 + alpha) * (1 + model.lipschitz)
            parts.append(Measurement(distance[:, 1:], claimed, {"alpha": alpha, "step": k[1:]}, noise=noise))
    return join(parts)


def _certificate(instances: Models, setup: Setup, *, moved: bool = False, stretch: float = 1.0) -> Measurement:
    """Distance of softmax(Phi q + b) to the mean field against its certificate; the size of the last move in its place,
    and one that is divided by too much, are there to be sabotaged."""
    parts = []
    rng = np.random.default_rng(setup.seed)
    for model in instances:
        best = reference(model, tol=1e-13)[0]
        differing = uniform(model) + 1e-3 * extreme_directions(model)[1]
        runs = trajectory(model, np.concatenate([points(model, 6, rng), [differing]]), 40, setup, alpha=model.step)
        q = runs[:, ::8]
        p = softmax(q @ model.phi + model.bias, model.states)
        gradient = np.linalg.norm(problems.centred((q - p) @ model.phi, model.states), axis=2)
        claimed = theory.certificate(m=model.modulus, distance=gradient) / stretch
        if moved:
            claimed = np.linalg.norm(np.diff(runs, axis=1), axis=2)[:, ::8]
            p = runs[:, 1::8]
            claimed = claimed[:, : p.shape[1]]
        distance = np.linalg.norm(p - best, axis=2)
        # the distance itself is known to the reference's tolerance
        parts.append(Measurement(distance, claimed, {"step": 8 * np.arange(p.shape[1])}, noise=2e-13))
    return join(parts)


# ------------------------------------------------------------------------------------------ instances


def _no_model(setup: Setup) -> list[Model]:
    return []


def _antiferromagnets(setup: Setup) -> list[MonotoneModel]:
    return [problems.antiferromagnet(N, m) for N in (3, 10, 40) for m in (0.1, 0.6)]


def _biased(setup: Setup) -> list[MonotoneModel]:
    return [problems.antiferromagnet(N, 0.1, 0.3) for N in (10, 40, 100)]


def _around(setup: Setup) -> list[MonotoneModel]:
    """Below and above g = 1, where the parallel update begins to oscillate; at it, it would take for ever."""
    return [problems.antiferromagnet(N, m) for N, m in ((2, 0.1), (3, 0.1), (4, 0.1), (8, 0.1), (5, 0.6), (7, 0.6))]


def _three(setup: Setup) -> list[MonotoneModel]:
    return [problems.antiferromagnet(3, 0.1, 0.3)]


SOFTMAX = Saboteur("softmax in place of the prox", {"softmaxed": True})
SIMS: Any = ("sims",)
BOTH: Any = ("sims", "kernels")

EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.prox_optimality,
        "random points",
        _no_model,
        _optimality,
        (
            Saboteur("softmax at every step", {"kind": "softmax"}),
            Saboteur("softmax of x/alpha", {"kind": "softmax of x/alpha"}),
            Saboteur("rounded to single precision", {"kind": "one Newton step"}),
        ),
        backends=BOTH,
    ),
    Experiment(
        theory.prox_lipschitz,
        "random pairs",
        _no_model,
        _lipschitz,
        (
            Saboteur("softmax at every step", {"kind": "softmax"}),
            Saboteur("softmax of x/alpha", {"kind": "softmax of x/alpha"}),
        ),
        backends=BOTH,
    ),
    Experiment(
        theory.contraction,
        "random models",
        random_models(30, 500),
        _contraction,
        (SOFTMAX, Saboteur("L 30 % too small", {"underestimated": 0.7})),
        backends=BOTH,
    ),
    Experiment(
        theory.contraction_tight,
        "antiferromagnets",
        _antiferromagnets,
        _tight,
        (
            SOFTMAX,
            Saboteur("L 1 % too small", {"underestimated": 0.99}),
            Saboteur("f taken for merely convex", {"strong": 0.0}),
        ),
        backends=SIMS,
    ),
    Experiment(
        theory.convergence,
        "random models",
        random_models(10, 200),
        _convergence,
        (SOFTMAX, Saboteur("a step twice as long", {"stretch": 2.0})),
        backends=SIMS,
    ),
    Experiment(
        theory.convergence,
        "antiferromagnets",
        _antiferromagnets,
        _convergence,
        (SOFTMAX, Saboteur("a step 3 % longer", {"stretch": 1.03})),
        backends=BOTH,
    ),
    Experiment(
        theory.step_limit,
        "antiferromagnets",
        _antiferromagnets,
        _limit,
        (
            Saboteur("a step 1 % below the limit", {"share": 0.99}),
            Saboteur("limit taken for 2/L", {"limit": "2/L"}),
            Saboteur("limit of general monotone operators", {"limit": "2m/L^2"}),
        ),
        backends=BOTH,
    ),
    Experiment(
        theory.parallel_oscillation,
        "antiferromagnets of 10 nodes and more",
        _biased,
        _oscillation,
        (
            Saboteur("three nodes", problems=_three),
            Saboteur("a step of 1/50", {"alpha": 0.02}),
        ),
        backends=BOTH,
    ),
    Experiment(
        theory.parallel_amplitude,
        "antiferromagnets",
        _around,
        _amplitude,
        (
            Saboteur("an update damped by 1 %", {"weight": 0.99}),
            Saboteur("a node counted among its neighbours", {"neighbours": 0}),
        ),
        backends=BOTH,
    ),
    Experiment(
        theory.descent,
        "random models",
        random_models(30, 300),
        _descent,
        (SOFTMAX, Saboteur("a step three times as long", {"stretch": 3.0})),
        backends=SIMS,
    ),
    Experiment(
        theory.descent,
        "antiferromagnets",
        _antiferromagnets,
        _descent,
        (SOFTMAX, Saboteur("a claim larger by 1 % of ||d||²", {"gain": 0.01})),
        backends=SIMS,
    ),
    Experiment(
        theory.averaged_descent,
        "random models",
        random_models(30, 300),
        _averaged,
        (Saboteur("strong convexity of the entropy counted in full", {"gain": 1.0}),),
        backends=SIMS,
    ),
    Experiment(
        theory.averaged_descent,
        "antiferromagnets",
        _antiferromagnets,
        _averaged,
        (
            Saboteur("a weight 10 % larger", {"stretch": 1.1}),
            Saboteur("a claim larger by 1 % of t ||p - q||²", {"gain": 0.01}),
        ),
        backends=SIMS,
    ),
    Experiment(
        theory.peaceman_rachford,
        "random models",
        random_models(10, 200),
        _peaceman_rachford,
        (
            Saboteur("steps 10 % apart", {"stale": 1.1}),
            Saboteur("Douglas-Rachford", {"halved": True}),
        ),
        backends=BOTH,
    ),
    Experiment(
        theory.certificate,
        "random models",
        random_models(50, 500, nodes=(6, 12), rank=(1, 3)),
        _certificate,
        (Saboteur("the size of the last move", {"moved": True}),),
        backends=SIMS,
    ),
    Experiment(
        theory.certificate,
        "antiferromagnets",
        _antiferromagnets,
        _certificate,
        (
            Saboteur("the size of the last move", {"moved": True}),
            Saboteur("divided by 2 % too much", {"stretch": 1.02}),
        ),
        backends=SIMS,
    ),
)
