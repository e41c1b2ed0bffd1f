"""Polynomial regression: the statistics that count, their kernel and loss, and delayed generalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lemmata.problems import learning_dynamics as problems
from lemmata.problems.learning_dynamics import LazyRich
from lemmata.theory.learning_dynamics import lazy_rich as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

#: threshold of both losses, and steps between records
LOW, EVERY, LAST = 0.2, 25, 3000


def _path(setup: Setup, runs: Sequence[LazyRich], at: Sequence[int], *, rate: float = 1.0) -> tuple[np.ndarray, ...]:
    """m, S and the training loss from `lazy_rich_train` of the backend."""
    batch = problems.lazy_rich_batch(runs)
    if setup.backend == "sims":
        from lemmata.sims.learning_dynamics import lazy_rich_train

        return lazy_rich_train(*batch, rate=rate, at=at)
    import torch

    from lemmata.kernels.learning_dynamics import lazy_rich_train as on_device

    dtype = getattr(torch, setup.dtype)
    path = on_device(*(torch.tensor(a, dtype=dtype, device=setup.device) for a in batch), rate=rate, at=at)
    return tuple(part.double().cpu().numpy() for part in path)


def _outputs(X: np.ndarray, run: LazyRich, weights: np.ndarray) -> np.ndarray:
    h = X @ weights.T
    return run.alpha * (h + run.eps * h**2 / 2).mean(axis=1)


def _gradient(X: np.ndarray, run: LazyRich, weights: np.ndarray) -> np.ndarray:
    """Of f at each point by each weight, float64[P, N, D]."""
    return run.alpha / len(weights) * (1 + run.eps * X @ weights.T)[:, :, None] * X[:, None]


def _closure(instances: Sequence[LazyRich], setup: Setup, *, factor: float = 2.0) -> Measurement:
    """Twenty steps of every weight against the recursion; `factor` (2, of the square's slope) is to be sabotaged."""
    steps = 20
    mean, second, _ = _path(setup, instances, [steps])
    found, claimed = [], []
    for run, m, S in zip(instances, mean[:, 0], second[:, 0], strict=True):
        w, y = run.weights, (run.X @ run.beta) ** 2 / 2
        for _ in range(steps):
            r = _outputs(run.X, run, w) - y
            slope = factor * np.einsum("p,pnd->nd", r, _gradient(run.X, run, w)) / len(y)
            w = w - len(w) / run.alpha**2 * slope
        found.append(np.append(w.mean(axis=0), w.T @ w / len(w)))
        claimed.append(np.append(m, S))
    scale = abs(np.array(claimed)).max(axis=1, keepdims=True)
    return Measurement(found, theory.lazy_rich_closure(recursion=claimed), scale=scale)


def _kernel(instances: Sequence[LazyRich], setup: Setup, *, order: int = 2) -> Measurement:
    """Kernels from gradients; the `order` in eps to which the formula is taken is to be sabotaged."""
    found, claimed = [], []
    for run in instances:
        J = _gradient(run.X, run, run.weights).reshape(len(run.X), -1)
        found.append(len(run.weights) / run.alpha**2 * J @ J.T)
        S = run.second if order == 2 else np.zeros_like(run.second)
        claimed.append(theory.tangent_kernel(run.X, run.mean, S, run.eps))
    scale = abs(np.array(claimed)).max()
    return Measurement(found, theory.lazy_rich_kernel(kernel=claimed), scale=scale)


def _population(instances: Sequence[LazyRich], setup: Setup, *, inputs: float = 1.0, seen: bool = False) -> Measurement:
    """Losses on new points; to be sabotaged: scale of the `inputs`, `seen` (training points in place of new ones)."""
    at = [0, 20, 100, 400]
    mean, second, _ = _path(setup, instances, at)
    count = setup.size(60_000, 400_000)
    ratios = []
    for i, run in enumerate(instances):
        D = len(run.beta)
        X = inputs * np.random.default_rng([setup.seed, i]).standard_normal((count, D)) / np.sqrt(D)
        if seen:
            X = np.resize(run.X, (count, D))
        expected = theory.population_loss(mean[i], second[i], run.beta, run.alpha, run.eps)
        y = (X @ run.beta) ** 2 / 2
        f = [
            run.alpha * X @ m + run.alpha * run.eps / 2 * ((X @ S) * X).sum(axis=1)
            for m, S in zip(mean[i], second[i], strict=True)
        ]
        ratios.append(((np.array(f) - y) ** 2 / expected[:, None]).T)
    return Measurement(
        np.stack(ratios, axis=1), theory.lazy_rich_population(), {"step": np.array(at)}, nonnegative=True
    )


def delays(path: tuple[np.ndarray, ...], runs: Sequence[LazyRich], at: np.ndarray) -> np.ndarray:
    """Steps from the first training loss below LOW to the first population loss below it; at most the last step."""
    mean, second, loss = path
    beta = np.array([run.beta for run in runs])[:, None]
    alpha, eps = (np.array([[getattr(run, name)] for run in runs]) for name in ("alpha", "eps"))
    population = theory.population_loss(mean, second, beta, alpha, eps)
    first = [
        np.where((values < LOW).any(axis=1), at[(values < LOW).argmax(axis=1)], at[-1]) for values in (loss, population)
    ]
    return first[1] - first[0]


def _grokking(instances: Sequence[LazyRich], setup: Setup, *, unscaled: bool = False) -> Measurement:
    """Ratios of delays for neighbouring alpha; `unscaled` (one learning rate for all alpha) is to be sabotaged."""
    at, alphas = np.arange(0, LAST + 1, EVERY), (0.25, 0.5, 1.0)
    found = []
    for alpha in alphas:
        runs = [LazyRich(r.X, r.beta, r.weights, alpha, r.eps) for r in instances]
        path = _path(setup, runs, at.tolist(), rate=alpha**2 if unscaled else 1.0)
        found.append(delays(path, runs, at))
    ratio = np.array(found)[1:] / np.maximum(found[:-1], EVERY)
    return Measurement(ratio, theory.lazy_rich_grokking(), {"alpha": np.array(alphas)[1:, None]})


def _runs(
    D: int, P: int, N: int, *, count: int, alpha: float = 1.0, eps: float = 0.1
) -> Callable[[Setup], list[LazyRich]]:
    return lambda setup: [
        problems.random_lazy_rich(D, P, N, alpha=alpha, eps=eps, seed=100 * setup.seed + i) for i in range(count)
    ]


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.lazy_rich_closure,
        "random data, D = 6, 12 points",
        _runs(6, 12, 30, count=3, eps=0.3),
        _closure,
        (Saboteur("the gradient of half the squared error", {"factor": 1.0}),),
    ),
    Experiment(
        theory.lazy_rich_kernel,
        "random data, D = 6, 12 points",
        _runs(6, 12, 30, count=3, eps=0.3),
        _kernel,
        (Saboteur("to first order in eps", {"order": 1}),),
        backends=("sims",),
    ),
    Experiment(
        theory.lazy_rich_population,
        "random data, D = 10, 40 points",
        _runs(10, 40, 100, count=2),
        _population,
        (
            Saboteur("inputs 5 % too long", {"inputs": 1.05}),
            Saboteur("the points of training", {"seen": True}),
        ),
    ),
    Experiment(
        theory.lazy_rich_grokking,
        "random data, D = 20, 80 points",
        _runs(20, 80, 200, count=6),
        _grokking,
        (Saboteur("the learning rate not scaled by 1/alpha^2", {"unscaled": True}),),
    ),
)
