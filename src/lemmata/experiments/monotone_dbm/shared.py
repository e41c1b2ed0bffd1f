"""What the experiments of the family share: the backend's solver and prox on numpy data, starts, and joined places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from lemmata.problems import monotone_dbm as problems
from lemmata.problems.monotone_dbm import MonotoneModel, PairwiseModel
from lemmata.verification import Measurement, Setup

__all__ = [
    "Model",
    "Models",
    "damped_softmax",
    "evidence",
    "extreme_directions",
    "interactions",
    "join",
    "points",
    "prox",
    "random_models",
    "reference",
    "rounding",
    "scaled",
    "softmax",
    "solve",
    "tolerance",
    "trajectory",
    "uniform",
    "vertices",
]

Model = PairwiseModel | MonotoneModel
Models = Sequence[Model]


def _library(setup: Setup) -> Any:
    return import_module(f"lemmata.{setup.backend}.monotone_dbm")


def tolerance(tol: float, setup: Setup, single: float = 1e-4) -> float:
    """What is asked for; in single precision not below `single`, as rounding leaves 1e-5 of a certificate."""
    return tol if setup.dtype == "float64" else max(tol, single)


def solve(model: Model, setup: Setup, *, tol: float = 1e-10, single: float = 1e-4, **options: Any) -> np.ndarray:
    """q of the backend's solver, float64[B, n]."""
    tol = tolerance(tol, setup, single)
    if setup.backend == "sims":
        return np.asarray(_library(setup).solve(model, tol=tol, **options).q)
    import torch

    bias = torch.tensor(options.pop("bias", model.bias), dtype=getattr(torch, setup.dtype), device=setup.device)
    return _library(setup).solve(model, bias=bias, tol=tol, **options).q.double().cpu().numpy()


def trajectory(model: Model, start: np.ndarray, steps: int, setup: Setup, **options: Any) -> np.ndarray:
    """Iterates of the backend, float64[B, steps + 1, n]."""
    if setup.backend == "sims":
        return np.asarray(_library(setup).trajectory(model, start, steps, **options))
    import torch

    bias = torch.tensor(model.bias, dtype=getattr(torch, setup.dtype), device=setup.device)
    return _library(setup).trajectory(model, start, steps, bias=bias, **options).double().cpu().numpy()


def reference(model: Model, **options: Any) -> np.ndarray:
    """q of the simulator, node after node and in double precision whatever the backend: float64[B, n]."""
    from lemmata.sims import monotone_dbm as sims

    return np.asarray(sims.solve(model, method="sequential", **options).q)


def rounding(setup: Setup) -> float:
    """Rounding of the setup's dtype over that of float64."""
    return float(np.finfo(setup.dtype).eps / np.finfo(np.float64).eps)


def interactions(model: MonotoneModel, setup: Setup) -> np.ndarray:
    """The backend's Phi as it acts on the columns of the identity, float64[n, n]."""
    if setup.backend == "sims":
        return model.phi
    import torch

    made = _library(setup).MonotoneDBM.from_model(model, getattr(torch, setup.dtype)).to(setup.device)
    with torch.no_grad():
        return made.interactions()(torch.eye(model.n).to(made.bias)).double().cpu().numpy()


def prox(x: np.ndarray, alpha: float, states: Sequence[int], setup: Setup) -> np.ndarray:
    """The backend's prox, computed in the setup's dtype."""
    if setup.backend == "sims":
        return np.asarray(_library(setup).prox(x, alpha, states))
    import torch

    given = torch.tensor(x, dtype=getattr(torch, setup.dtype), device=setup.device)
    return _library(setup).prox(given, alpha, states).cpu().numpy()


def softmax(x: np.ndarray, states: Sequence[int]) -> np.ndarray:
    """The softmax of each node, along the last axis."""
    parts = [x[..., own] - x[..., own].max(axis=-1, keepdims=True) for own in problems.block_slices(states)]
    return np.concatenate([np.exp(p) / np.exp(p).sum(axis=-1, keepdims=True) for p in parts], axis=-1)


def damped_softmax(model: Model, start: np.ndarray, steps: int, alpha: float) -> np.ndarray:
    """``q <- softmax((1 - alpha) q + alpha (Phi q + b))``, the prox taken for a softmax: float64[B, steps + 1, n]."""
    q = [start]
    for _ in range(steps):
        q.append(softmax((1 - alpha) * q[-1] + alpha * (q[-1] @ model.phi + model.bias), model.states))
    return np.stack(q, axis=1)


def scaled(model: Model, factor: float) -> PairwiseModel:
    """The same model with interactions of another strength."""
    return PairwiseModel(model.states, factor * model.phi, model.bias, guarantee="none")


def uniform(model: Model) -> np.ndarray:
    """The uniform distribution on every node, float64[n]."""
    return np.repeat(1 / np.array(model.states), model.states)


def points(model: Model, count: int, rng: np.random.Generator) -> np.ndarray:
    """Points of the product of simplices, from flat to nearly deterministic: float64[count, n]."""
    parts = []
    for k in model.states:
        weight = rng.exponential(size=(count, k)) ** rng.uniform(0.3, 4, (count, 1))
        parts.append(weight / weight.sum(axis=1, keepdims=True))
    return np.concatenate(parts, axis=1)


def vertices(model: Model, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random states, one-hot: float64[count, n]."""
    return np.concatenate([np.eye(k)[rng.integers(k, size=count)] for k in model.states], axis=1)


def extreme_directions(model: Model) -> np.ndarray:
    """Unit eigenvectors of the least and the largest eigenvalue of Phi along changes that keep each node's total.

    Returns
    -------
    float64[2, n]
        The most repulsive and the most attractive direction.
    """
    tangent = np.linalg.eigh(problems.centred(np.eye(model.n), model.states))[1][:, len(model.states) :]
    vectors = tangent @ np.linalg.eigh(tangent.T @ model.phi @ tangent)[1]
    return vectors[:, [0, -1]].T


def evidence(model: Model, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random states, and for each sample random nodes of which they are observed, but never of all."""
    mask = rng.random((count, len(model.states))) < 0.4
    mask[np.arange(count), rng.integers(len(model.states), size=count)] = False
    return vertices(model, count, rng), mask


def random_models(quick: int, full: int, **options: Any) -> Callable[[Setup], list[MonotoneModel]]:
    """Random models, seeds from 1,000,000 times the setup's on; a quarter of them where Python takes each step."""

    def make(setup: Setup) -> list[MonotoneModel]:
        count = setup.size(quick, full) // (1 if setup.backend == "sims" else 4)
        return [problems.random_model(seed=1_000_000 * setup.seed + k, **options) for k in range(count)]

    return make


def join(parts: Sequence[Measurement]) -> Measurement:
    """One measurement of several models: places are laid end to end, `at` gains the number of the model."""
    fields: dict[str, list[np.ndarray]] = {"measured": [], "theory": [], "noise": [], "scale": [], "model": []}
    at: dict[str, list[np.ndarray]] = {name: [] for name in parts[0].at}
    for i, part in enumerate(parts):
        shape = np.shape(part.measured)
        for name in ("measured", "theory", "noise", "scale"):
            value = getattr(part, name)
            fields[name].append(np.broadcast_to(np.nan if value is None else value, shape).ravel())
        fields["model"].append(np.full(shape, i).ravel())
        for name, values in at.items():
            values.append(np.broadcast_to(part.at[name], shape).ravel())
    whole = {name: np.concatenate(values) for name, values in fields.items()}
    where = {"model": whole["model"], **{name: np.concatenate(values) for name, values in at.items()}}
    scale = None if parts[0].scale is None else whole["scale"]
    return Measurement(whole["measured"], whole["theory"], where, noise=whole["noise"], scale=scale)
