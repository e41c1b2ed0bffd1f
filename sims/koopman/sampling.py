"""Snapshot pairs of a system: at the points of a rule, or along one orbit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lemmata.problems.koopman import Rule, Snapshots, System
from lemmata.sims.koopman.orbits import images, orbit

__all__ = ["ergodic_snapshots", "snapshots"]


def snapshots(system: System | Callable[..., None], points: Rule) -> Snapshots:
    """The points of a rule and their images: quadrature (`tensor_rule`) or Monte Carlo (`random_rule`).

    Parameters
    ----------
    system : System or @njit function ``step(x, out)``
    points : Rule

    Returns
    -------
    Snapshots

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, TypeError
    """
    return Snapshots(points.x, images(system, points.x), points.w)


def ergodic_snapshots(system: System | Callable[..., None], x0: Any, size: int, *, burn_in: int = 0) -> Snapshots:
    """Successive states of one orbit, with weights 1/M: averages over them tend to those of the orbit's law.

    Parameters
    ----------
    system : System or @njit function ``step(x, out)``
    x0 : array_like, (d,)
    size : int
        M.
    burn_in : int
        Steps before the first state. An orbit that starts off its attractor needs them: functions of the states there
        would be counted as if they came back.

    Returns
    -------
    Snapshots
        Views of one array of 8 d (M + 1) bytes.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, CollapseError
    """
    x = orbit(system, x0, size, burn_in=burn_in)
    return Snapshots(x[:-1], x[1:], np.full(size, 1 / size))
