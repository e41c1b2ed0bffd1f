"""What the experiments of the family share: the library, plans and marginals, places laid end to end."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from lemmata.errors import DomainError
from lemmata.problems import sinkhorn_newton as problems
from lemmata.problems.sinkhorn_newton import TransportProblem
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
    "solved",
]

#: Where these quantities can be measured.
BACKENDS: tuple[Backend, ...] = ("sims",)


def library(setup: Setup) -> Any:
    """The module of the setup's backend; these solvers compute in float64 only."""
    if setup.dtype != "float64":
        raise DomainError(f"these solvers compute in float64, not in {setup.dtype}")
    return import_module(f"lemmata.{setup.backend}.sinkhorn_newton")


def data(problem: TransportProblem) -> tuple[Any, ...]:
    """The arguments that every solver takes: cost, marginals and temperature."""
    return problem.C, problem.r, problem.c, problem.eps


def solved(problem: TransportProblem, setup: Setup, **options: Any) -> Any:
    """The result near the rounding floor, that of ``C/eps``."""
    floor = max(1e-13, 4 * np.finfo(np.float64).eps * float(np.ptp(problem.C)) / problem.eps)
    return library(setup).solve(*data(problem), **({"tol": floor} | options))


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
