"""What solvers in both rooms agree on: the constants of the Newton driver, and the checks of options and data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lemmata.errors import DomainError
from lemmata.problems.sinkhorn_newton.transport import MASS_TOLERANCE, check_positive
from lemmata.random import check_integer

__all__ = [
    "BUDGET",
    "COOLED",
    "HOTTEST",
    "INCREASE",
    "LARGEST_BUDGET",
    "LARGEST_MOVE",
    "LOOSE",
    "PATIENCE",
    "RESOLVED",
    "SHIFT",
    "check_hall",
    "check_options",
    "check_symmetric",
    "check_trajectory",
]

#: Largest share of mass that a row or column may lose in the sparse Hessian, and its size in units of delta.
LARGEST_BUDGET, BUDGET = 0.05, 0.1
#: Shift of the sparse system in units of delta.
SHIFT = 0.01
#: Largest move of g in one Newton step, in units of eps.
LARGEST_MOVE = 10.0
#: Increase of the dual that a step must bring, in units of its size times the slope. Newton's step promises 1/2, and a
#: step that has overshot comes back with almost nothing: then half of it is better.
INCREASE = 0.25
#: Below this delta the dual no longer resolves its own increase; steps are then judged by delta.
RESOLVED = 1e-6
#: Where annealing and the cooled warm-up start, as a share of the largest reduced cost; delta at which annealing lowers
#: eps.
HOTTEST, LOOSE = 1 / 40, 1e-3
#: Share of the warm-up that is spent on cooling.
COOLED = 0.75
#: Newton steps in which delta must halve.
PATIENCE = 8


def check_options(
    methods: Sequence[str],
    *,
    method: str,
    tol: Any,
    max_steps: int | None,
    warmup: int,
    density: float | None,
    on_fail: str,
) -> tuple[float, int]:
    """`tol` as a float and `max_steps` with its default for the method, after the options of ``solve`` were checked.

    Raises
    ------
    DomainError
    """
    if method not in methods:
        raise DomainError(f"method must be one of {', '.join(methods)}, got {method!r}")
    if on_fail not in ("raise", "return"):
        raise DomainError(f"on_fail must be 'raise' or 'return', got {on_fail!r}")
    tol = check_positive("tol", tol)
    if max_steps is None:
        max_steps = 60 if method in ("sns", "newton") else 100_000
    if max_steps < 0 or warmup < 0:
        raise DomainError(f"max_steps and warmup must be >= 0, got {max_steps} and {warmup}")
    _check_density(density)
    return tol, max_steps


def check_trajectory(steps: Any, *, omega: float = 1.0, density: float | None = None) -> None:
    """Check the options of the functions that give every point, ``sinkhorn`` and ``newton``.

    Raises
    ------
    TypeError
        Steps that are no integer.
    DomainError
    """
    check_integer("steps", steps, 0)
    if not 0 < omega < 2:
        raise DomainError(f"omega must lie in (0, 2), got {omega!r}")
    _check_density(density)


def _check_density(density: float | None) -> None:
    if density is not None and not 0 < density <= 1:
        raise DomainError(f"density must lie in (0, 1], got {density!r}")


def check_symmetric(C: np.ndarray, r: np.ndarray, c: np.ndarray) -> None:
    """Raise `DomainError` unless ``C = C^T`` and ``r = c``."""
    if C.shape[0] != C.shape[1] or not np.array_equal(C, C.T) or not np.array_equal(r, c):
        raise DomainError("averaged steps need a symmetric cost and r = c")


def check_hall(C: np.ndarray, r: np.ndarray, c: np.ndarray, f: np.ndarray) -> None:
    """Raise `DomainError` where some rows hold more mass than all columns that they may reach.

    Parameters
    ----------
    C : float64[n, m]
        +inf forbids a pair.
    r, c : float64[n], float64[m]
    f : float64[n]
        Row potentials of a solver that did not converge: those of such a set have grown apart from the others, so
        that the rows in the order of f show it.
    """
    with_mass = np.flatnonzero(r)
    order = with_mass[np.argsort(-f[with_mass])]
    reached = np.logical_or.accumulate(np.isfinite(C[order]), axis=0) @ c
    excess = np.cumsum(r[order]) - reached
    k = int(excess.argmax())
    if excess[k] > MASS_TOLERANCE * r.sum():
        raise DomainError(
            f"no plan avoids the forbidden pairs: {k + 1} rows of mass {r[order][: k + 1].sum():g} reach only "
            f"columns of mass {reached[k]:g}"
        )
