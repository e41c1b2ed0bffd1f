"""What the experiments of the family share: the library, plans and marginals, places laid end to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from lemmata.errors import DomainError
from lemmata.problems import sinkhorn_newton as problems
from lemmata.problems.sinkhorn_newton import Gradient, OTResult, TransportProblem
from lemmata.typing import Backend
from lemmata.verification import Measurement, Setup

__all__ = [
    "BACKENDS",
    "data",
    "dual_of",
    "join",
    "library",
    "noise_of",
    "plan_of",
    "random_problems",
    "rate_of",
    "sinkhorn_all",
    "solve_all",
    "solved",
]

#: Where these quantities can be measured.
BACKENDS: tuple[Backend, ...] = ("sims", "kernels")


def library(setup: Setup) -> Any:
    """The module of the setup's backend, as functions of numpy arrays; these experiments are in float64 only."""
    if setup.dtype != "float64":
        raise DomainError(f"these experiments compute in float64, not in {setup.dtype}")
    module = import_module(f"lemmata.{setup.backend}.sinkhorn_newton")
    return module if setup.backend == "sims" else _OnDevice(module, setup.device)


class _OnDevice:
    """The functions of a module of kernels: what goes in becomes tensors on a device, what comes out numpy."""

    def __init__(self, module: Any, device: str) -> None:
        self.module, self.device = module, device

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            moved = {key: self.tensor(value) for key, value in options.items()}
            return _host(function(*map(self.tensor, arguments), **moved))

        return call

    def tensor(self, value: Any) -> Any:
        import torch

        return torch.tensor(value, device=self.device) if isinstance(value, np.ndarray) else value


def _host(value: Any) -> Any:
    if isinstance(value, OTResult):
        return value.numpy()
    if isinstance(value, Gradient):
        return Gradient(*map(_host, value))
    return value.cpu().numpy() if hasattr(value, "cpu") else value


def data(problem: TransportProblem) -> tuple[Any, ...]:
    """The arguments that every solver takes: cost, marginals and temperature."""
    return problem.C, problem.r, problem.c, problem.eps


def solved(problem: TransportProblem, setup: Setup, **options: Any) -> Any:
    """The result near the rounding floor."""
    return library(setup).solve(*data(problem), **({"tol": floor_of(problem)} | options))


def _batches(instances: Sequence[TransportProblem]) -> Iterator[tuple[list[int], tuple[np.ndarray, ...]]]:
    """The problems of each shape: where they stand, and their data stacked."""
    for shape in dict.fromkeys(p.shape for p in instances):
        where = [k for k, p in enumerate(instances) if p.shape == shape]
        yield where, tuple(np.stack(x) for x in zip(*(data(instances[k]) for k in where), strict=True))


def solve_all(
    instances: Sequence[TransportProblem], setup: Setup, *, tol: float | None = None, g: Any = None, **options: Any
) -> list[Any]:
    """The results of many problems, on kernels with one batch for each shape.

    `tol` is by default the rounding floor, for a batch the highest of its items; g holds one start for each.
    """
    found: list[Any] = [None] * len(instances)
    starts = found if g is None else g
    if setup.backend == "sims":
        return [
            library(setup).solve(*data(p), tol=floor_of(p) if tol is None else tol, g=start, **options)
            for p, start in zip(instances, starts, strict=True)
        ]
    for where, batch in _batches(instances):
        start = None if g is None else np.stack([g[k] for k in where])
        floor = max(floor_of(instances[k]) for k in where)
        result = library(setup).solve(*batch, tol=floor if tol is None else tol, g=start, **options)
        for b, k in enumerate(where):
            found[k] = result.item(b)
    return found


def sinkhorn_all(instances: Sequence[TransportProblem], setup: Setup, steps: int) -> list[Any]:
    """The trajectories of many problems, on kernels with one batch for each shape."""
    if setup.backend == "sims":
        return [library(setup).sinkhorn(*data(p), steps) for p in instances]
    found: list[Any] = [None] * len(instances)
    for where, batch in _batches(instances):
        run = library(setup).sinkhorn(*batch, steps)
        for b, k in enumerate(where):
            found[k] = run.isel(item=b)
    return found


def floor_of(problem: TransportProblem) -> float:
    """The rounding floor of delta, that of ``C/eps``."""
    return max(1e-13, 4 * np.finfo(np.float64).eps * float(np.ptp(problem.C)) / problem.eps)


def plan_of(problem: TransportProblem, f: np.ndarray, g: np.ndarray) -> np.ndarray:
    """exp((f_i + g_j - C_ij)/eps)."""
    return np.exp((f[:, None] + g - problem.C) / problem.eps)


def dual_of(problem: TransportProblem, f: np.ndarray, g: np.ndarray) -> float:
    """<r, f> + <c, g> - eps sum P."""
    return float(problem.r @ f + problem.c @ g - problem.eps * plan_of(problem, f, g).sum())


def noise_of(problem: TransportProblem, f: np.ndarray) -> float:
    """Rounding of a potential in units of eps."""
    return 64 * np.finfo(np.float64).eps * (1 + float(np.abs(problem.C).max() + np.abs(f).max()) / problem.eps)


def rate_of(delta: np.ndarray, *, low: float = 1e-10, high: float = 1e-6) -> float:
    """Factor a step over the steps on which delta falls from `high` to `low`."""
    inside = np.flatnonzero((delta < high) & (delta > low))
    first, last = inside[0], inside[-1]
    return float((delta[last] / delta[first]) ** (1 / (last - first)))


def random_problems(setup: Setup, count: int, *, sizes: tuple[int, int] = (2, 20)) -> list[TransportProblem]:
    """Random transport problems of many shapes and temperatures."""
    rng = np.random.default_rng(setup.seed)
    made = []
    for i in range(count):
        n, m = rng.integers(*sizes, size=2, endpoint=True)
        eps = float(10 ** rng.uniform(-1.2, 0.5))
        made.append(problems.random_transport(int(n), int(m), eps=eps, seed=1_000 * setup.seed + i))
    return made


def join(parts: Sequence[Measurement]) -> Measurement:
    """One measurement of several problems: places are laid end to end."""
    names = [name for name in parts[0].at if all(name in part.at for part in parts)]
    columns: dict[str, list[np.ndarray]] = {}
    for part in parts:
        measured = np.asarray(part.measured, dtype=np.float64)
        values = {"measured": measured, "theory": part.theory, "noise": part.noise, "scale": part.scale}
        values |= {f"at {name}": part.at[name] for name in names}
        for key, value in values.items():
            if value is not None:
                columns.setdefault(key, []).append(np.broadcast_to(value, measured.shape).ravel())
    whole = {key: np.concatenate(value) for key, value in columns.items()}
    at = {name: whole[f"at {name}"] for name in names}
    return Measurement(whole["measured"], whole["theory"], at, noise=whole["noise"], scale=whole.get("scale"))
