"""What the experiments of the family share: backends, rounding, and measurements laid end to end."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from lemmata.problems.halpern import FixedPointProblem
from lemmata.verification import Measurement, Setup

__all__ = ["join", "library", "rounding", "start"]


def library(setup: Setup) -> Any:
    """The module of the setup's backend, ``lemmata.sims.halpern`` or ``lemmata.kernels.halpern``."""
    return import_module(f"lemmata.{setup.backend}.halpern")


def start(x0: np.ndarray, setup: Setup) -> Any:
    """Starting points in the setup's dtype, and for kernels as a tensor on its device."""
    if setup.backend == "sims":
        return x0.astype(setup.dtype)
    import torch

    return torch.tensor(x0, dtype=getattr(torch, setup.dtype), device=setup.device)


def rounding(setup: Setup, problem: FixedPointProblem, steps: Any) -> np.ndarray:
    """What k steps of arithmetic can add to a residual: each adds one rounding of the points [T8]."""
    size = np.linalg.norm(problem.x0, axis=1) + np.linalg.norm(problem.solution, axis=1)
    return 2 * np.finfo(setup.dtype).eps * size[:, None] * (np.asarray(steps) + 1)


def join(parts: Sequence[Measurement]) -> Measurement:
    """One measurement of several problems: places are laid end to end."""
    flat = [[np.broadcast_to(v, p.measured.shape).ravel() for v in (p.measured, p.theory, p.noise)] for p in parts]
    at = [{n: np.broadcast_to(v, p.measured.shape).ravel() for n, v in p.at.items()} for p in parts]
    names = [n for n in at[0] if all(n in a for a in at)]
    measured, theory_, noise = (np.concatenate(v) for v in zip(*flat, strict=True))
    return Measurement(measured, theory_, {n: np.concatenate([a[n] for a in at]) for n in names}, noise=noise)
