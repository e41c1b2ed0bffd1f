"""Polynomial regression: the statistics that count, their kernel and loss, and delayed generalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata.problems import learning_dynamics as problems
from lemmata.problems.learning_dynamics import LazyRich
from lemmata.results import dataset
from lemmata.theory.learning_dynamics import lazy_rich as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["EXPERIMENTS", "lazy_rich_grid"]

#: threshold of both losses, and steps between records
LOW, EVERY, LAST = 0.2, 25, 3000


def _path(
    setup: Setup, runs: Sequence[LazyRich], at: Sequence[int], *, rate: float = 1.0, linearised: bool = False
) -> tuple[np.ndarray, ...]:
    """m, S and the training loss from `lazy_rich_train` of the backend."""
    batch = problems.lazy_rich_batch(runs)
    if setup.backend == "sims":
        from lemmata.sims.learning_dynamics import lazy_rich_train

        return lazy_rich_train(*batch, rate=rate, at=at, linearised=linearised)
    import torch

    from lemmata.kernels.learning_dynamics import lazy_rich_train as on_device

    dtype = getattr(torch, setup.dtype)
    tensors = (torch.tensor(a, dtype=dtype, device=setup.device) for a in batch)
    path = on_device(*tensors, rate=rate, at=at, linearised=linearised)
    return tuple(part.double().cpu().numpy() for part in path)


def lazy_rich_grid(
    setup: Setup,
    *,
    D: int,
    ratios: Sequence[int],
    alphas: Sequence[float],
    epsilons: Sequence[float],
    starts: int,
    at: Sequence[int],
    rate: float,
    progress: Callable[[float, str], None] = lambda fraction, text: None,
) -> xr.Dataset:
    """Networks of width 200 and their linearised models, trained for every alpha, eps, sample size and start.

    All runs with one sample size are trained side by side; a start has the same target, points and weights for every
    alpha and eps.

    Parameters
    ----------
    setup : Setup
    D : int
    ratios : sequence of int
        P/D.
    alphas, epsilons : sequence of float
    starts : int
    at : sequence of int
        Recorded steps.
    rate : float
        The learning rate is ``rate N / alpha^2``.
    progress : callable

    Returns
    -------
    xarray.Dataset
        Over (ratio, alpha, eps, start, step): `train` and `test`, the training and the population loss, and `linear`,
        the population loss of the linearised model; `before` and `after`, the alignments of kernel and target at the
        first and the last step. Memory: ``3 R T D^2`` numbers for the R runs of a sample size at T steps.
    """
    found: dict[str, list[Any]] = {name: [] for name in ("train", "test", "linear", "before", "after")}
    for k, ratio in enumerate(ratios):
        runs = [
            problems.random_lazy_rich(D, ratio * D, 200, alpha=alpha, eps=eps, seed=1000 * setup.seed + s)
            for alpha in alphas
            for eps in epsilons
            for s in range(starts)
        ]
        progress(k / len(ratios), f"{ratio} points a dimension, {len(runs)} runs")
        mean, second, loss = _path(setup, runs, at, rate=rate)
        found["train"].extend(loss)
        kernels = [theory.tangent_kernel(r.X, r.mean, r.second, r.eps) for r in runs[: len(epsilons) * starts]]
        eigen = [np.linalg.eigh(K) for K in kernels]  # the same for every alpha
        for i, (run, m, S) in enumerate(zip(runs, mean, second, strict=True)):
            found["test"].append(theory.population_loss(m, S, run.beta, run.alpha, run.eps))
            tangent = theory.linearised_statistics(run, at, rate=rate, eigen=eigen[i % len(eigen)])
            found["linear"].append(theory.population_loss(*tangent, run.beta, run.alpha, run.eps))
            for name, t in (("before", 0), ("after", -1)):
                found[name].append(_aligned(run, m[t], S[t]))
    units = {
        "train": "mean squared error",
        "test": "population loss",
        "linear": "population loss of the linearised model",
        "before": "alignment of kernel and target at the first step",
        "after": "alignment of kernel and target at the last step",
    }
    dims, shape = ("ratio", "alpha", "eps", "start", "step"), (len(ratios), len(alphas), len(epsilons), starts)
    variables = {}
    for name, values in found.items():
        array = np.reshape(values, shape + np.shape(values)[1:])
        variables[name] = (dims[: array.ndim], array, units[name])
    coordinates = (list(ratios), list(alphas), list(epsilons), np.arange(starts), list(at))
    return dataset(variables, dict(zip(dims, coordinates, strict=True)), D=D, rate=rate)


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


def _linearised(
    instances: Sequence[LazyRich], setup: Setup, *, linearised: bool = True, rate: float = 1.0
) -> Measurement:
    """To be sabotaged: the network itself in place of its `linearised` model, the claim's `rate`."""
    at = [0, 1, 10, 300]
    found, claimed = [], []
    for run in instances:
        mean, second, _ = _path(setup, [run], at, linearised=linearised)
        found.append(np.column_stack((mean[0], second[0].reshape(len(at), -1))))
        mean, second = theory.linearised_statistics(run, at, rate=rate)
        claimed.append(np.column_stack((mean, second.reshape(len(at), -1))))
    scale = abs(np.array(claimed)).max(axis=2, keepdims=True)
    at_step = {"step": np.array(at)[:, None]}
    return Measurement(found, theory.lazy_rich_linearised(closed=claimed), at_step, scale=scale)


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
        runs = _at_alpha(instances, alpha)
        path = _path(setup, runs, at.tolist(), rate=alpha**2 if unscaled else 1.0)
        found.append(delays(path, runs, at))
    ratio = np.array(found)[1:] / np.maximum(found[:-1], EVERY)
    return Measurement(ratio, theory.lazy_rich_grokking(), {"alpha": np.array(alphas)[1:, None]})


def _at_alpha(instances: Sequence[LazyRich], alpha: float) -> list[LazyRich]:
    return [replace(run, alpha=alpha) for run in instances]


def _aligned(run: LazyRich, m: np.ndarray, S: np.ndarray) -> float:
    return theory.kernel_alignment(theory.tangent_kernel(run.X, m, S, run.eps), (run.X @ run.beta) ** 2 / 2)


def _final_kernel(
    instances: Sequence[LazyRich], setup: Setup, *, steps: int = 1500, inverse: bool = False
) -> Measurement:
    """To be sabotaged: `steps`, `inverse` (alpha/eps in the kernel of the claim)."""
    found, claimed = [], []
    mean, second, _ = _path(setup, instances, [steps])
    for run, m, S in zip(instances, mean[:, 0], second[:, 0], strict=True):
        found.append(_aligned(run, m, S))
        ratio = run.alpha / run.eps if inverse else run.eps / run.alpha
        claimed.append(theory.kernel_alignment(theory.final_kernel(run.X, run.beta, ratio), (run.X @ run.beta) ** 2))
    at = {"alpha": [run.alpha for run in instances], "eps": [run.eps for run in instances]}
    return Measurement(found, theory.lazy_rich_final_kernel(final=claimed), at)


def _alignment(instances: Sequence[LazyRich], setup: Setup, *, bent: bool = False) -> Measurement:
    """To be sabotaged: eps in proportion to alpha^2 (`bent`)."""
    alphas, growth = (0.25, 0.5, 1.0), []
    for alpha in alphas:
        runs = [replace(run, alpha=alpha, eps=alpha**2 if bent else run.eps) for run in instances]
        mean, second, _ = _path(setup, runs, [0, 1000], rate=2.0)
        before, after = (
            [_aligned(run, m, S) for run, m, S in zip(runs, mean[:, t], second[:, t], strict=True)] for t in (0, 1)
        )
        growth.append(np.array(after) / before)
    ratio = np.array(growth) / [*growth[1:], np.ones(len(instances))]
    return Measurement(ratio, theory.lazy_rich_alignment(), {"alpha": np.array(alphas)[:, None]})


def _beyond_linear(instances: Sequence[LazyRich], setup: Setup, *, steps: int = 500, alpha: float = 0.0) -> Measurement:
    """To be sabotaged: `steps`, `alpha` of all runs."""
    found, alphas = [], (alpha,) if alpha else (0.25, 1.0)
    at = np.unique(np.geomspace(1, 3000, 30).round().astype(int))
    for a in alphas:
        runs = _at_alpha(instances, a)
        mean, second, _ = _path(setup, runs, [steps], rate=2.0)
        states = zip(runs, mean[:, 0], second[:, 0], strict=True)
        rich = [theory.population_loss(m, S, run.beta, a, run.eps) for run, m, S in states]
        lazy = [
            theory.population_loss(*theory.linearised_statistics(run, at, rate=2.0), run.beta, a, run.eps).min()
            for run in runs
        ]
        found.append(np.array(rich) / lazy)
    return Measurement(found, theory.lazy_rich_beyond_linear(), {"alpha": np.array(alphas)[:, None]})


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
        theory.lazy_rich_linearised,
        "random data, D = 6, 12 and 40 points",
        lambda setup: [*_runs(6, 12, 30, count=2, eps=0.3)(setup), *_runs(6, 40, 30, count=2, eps=0.3)(setup)],
        _linearised,
        (
            Saboteur("the network itself", {"linearised": False}),
            Saboteur("a learning rate 1 % larger", {"rate": 1.01}),
        ),
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
    Experiment(
        theory.lazy_rich_final_kernel,
        "random data, D = 10, 160 points",
        lambda setup: [
            run
            for alpha, eps in ((0.5, 0.25), (1.0, 0.5), (0.5, 0.5))
            for run in _runs(10, 160, 100, count=2, alpha=alpha, eps=eps)(setup)
        ],
        _final_kernel,
        (
            Saboteur("stopped after 10 steps", {"steps": 10}),
            Saboteur("alpha/eps in place of eps/alpha", {"inverse": True}),
        ),
    ),
    Experiment(
        theory.lazy_rich_alignment,
        "random data, D = 20, 80 points",
        _runs(20, 80, 200, count=4),
        _alignment,
        (Saboteur("eps not the same for all alpha", {"bent": True}),),
    ),
    Experiment(
        theory.lazy_rich_beyond_linear,
        "random data, D = 20, 120 points",
        _runs(20, 120, 200, count=2),
        _beyond_linear,
        (
            Saboteur("stopped after 50 steps", {"steps": 50}),
            Saboteur("a lazy network, alpha = 8", {"alpha": 8.0}),
        ),
    ),
)
