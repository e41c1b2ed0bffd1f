"""Weighted tallying bandits: what an arm costs depends on how much it was played in the last m rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.bandits.environments import Environment, _array
from lemmata.problems.bandits.policies import Policy, _positive, _probability
from lemmata.problems.bandits.runs import check_checkpoints, check_integer, check_replicates
from lemmata.random import check_seed

__all__ = [
    "Tallying",
    "TallyingElimination",
    "check_tallying",
    "hidden_tallying",
    "smooth_tallying",
    "threshold_tallying",
]


@dataclass(frozen=True, eq=False)
class Tallying(Environment):
    """Loss 1 with probability ``h_a(y)``, else 0, where ``y = sum_{j<m} w_j [a_{t-j} = a]`` is the tally of a = a_t.

    The reward is 1 less the loss. What was played before round 1 counts as no arm. ``h_a`` is linear between the
    knots. The complete policy regret is reported against ``T h*``, with ``h* = min_a h_a(sum w)`` what the best arm
    costs when it is kept: kind ``"policy"``. Under repeated-exposure optimality the best sequence of arms costs between
    ``T h*`` and ``T h* + m - 1``.

    `lemmata.sims.bandits.simulate_tallying` plays it; `simulate`, which counts no tally, refuses it.

    Attributes
    ----------
    weights : float64[m]
        ``w_0`` for the current play, ``w_j`` for j rounds ago; >= 0, their sum positive.
    knots : float64[L]
        Tallies, increasing from 0 to ``sum w``, L >= 2.
    losses : float64[K, L]
        ``h_a`` at the knots, in [0, 1].

    Raises
    ------
    ShapeError, DomainError, NonFiniteError
        A negative weight or none positive, knots that do not increase from 0 to ``sum w``, a loss outside [0, 1].

    References
    ----------
    Malik, Igoe, Li and Singh, "Weighted tallying bandits: overcoming intractability via repeated exposure optimality",
    ICML 2023.
    """

    weights: np.ndarray
    knots: np.ndarray
    losses: np.ndarray
    regret_kind: ClassVar[str] = "policy"
    unit: ClassVar[bool] = True
    binary: bool = True

    def __post_init__(self) -> None:
        for name, ndim in (("weights", 1), ("knots", 1), ("losses", 2)):
            object.__setattr__(self, name, _array(name, getattr(self, name), ndim))
        if (self.weights < 0).any() or self.weights.sum() <= 0:
            raise DomainError(f"weights must be >= 0 with a positive sum, got {self.weights}")
        if self.knots.size < 2 or self.losses.shape[1] != self.knots.size:
            raise ShapeError(
                f"losses must have a column for each of 2 or more knots, got {self.losses.shape} and "
                f"{self.knots.size} knots"
            )
        if self.knots[0] != 0 or (np.diff(self.knots) <= 0).any() or self.knots[-1] < self.full - 1e-9:
            raise DomainError(f"knots must increase from 0 to the full tally {self.full:g}, got {self.knots}")
        if (self.losses < 0).any() or (self.losses > 1).any():
            raise DomainError(f"losses must lie in [0, 1], got {self.losses.min():g} to {self.losses.max():g}")

    @property
    def memory(self) -> int:
        """Number m of weights."""
        return self.weights.size

    @property
    def full(self) -> float:
        """Tally ``sum w`` of an arm that was played m times in a row."""
        return float(self.weights.sum())

    @cached_property
    def means(self) -> np.ndarray:  # type: ignore[override]
        """``1 - h_a(sum w)``: what each arm pays a round when it is kept, float64[K]."""
        return np.array([1 - np.interp(self.full, self.knots, row) for row in self.losses])

    @cached_property
    def repeated_exposure(self) -> bool:
        """Whether no arm at any tally from ``w_0`` to ``sum w`` costs less than the best arm does at ``sum w``."""
        inside = self.knots[(self.knots > self.weights[0]) & (self.knots < self.full)]
        seen = np.array([self.weights[0], *inside, self.full])
        least = min(float(np.interp(seen, self.knots, row).min()) for row in self.losses)
        return least >= 1 - float(self.means.max()) - 1e-12


def smooth_tallying() -> Tallying:
    """m = 4, weights 1, 1/2, 1/4, 1/8; ``h_0 = .8 - .6 y / sum w``, .5 and .6."""
    weights = 0.5 ** np.arange(4)
    losses = np.array([[0.8, 0.2], [0.5, 0.5], [0.6, 0.6]])
    return Tallying(weights, np.array([0.0, weights.sum()]), losses)


def threshold_tallying(memory: int = 16) -> Tallying:
    """``h_0`` is .2 after `memory` plays in a row and .8 before; .5 and .6."""
    memory = check_integer("memory", memory, 1)
    losses = np.array([[0.8, 0.8, 0.2], [0.5] * 3, [0.6] * 3])
    return Tallying(np.ones(memory), np.array([0.0, memory - 0.5, memory]), losses)


def hidden_tallying(arms: int, memory: int, best: int) -> Tallying:
    """Every round costs 1, but arm `best` nothing from its m-th play in a row on: each arm must be tried m times."""
    arms, memory, best = (
        check_integer("arms", arms, 2),
        check_integer("memory", memory, 1),
        check_integer("best", best, 0),
    )
    if best >= arms:
        raise DomainError(f"best must be below arms = {arms}, got {best}")
    losses = np.ones((arms, 3))
    losses[best, 2] = 0.0
    return Tallying(np.ones(memory), np.array([0.0, memory - 0.5, memory]), losses)


@dataclass(frozen=True)
class TallyingElimination(Policy):
    """Successive elimination by blocks: in phase s = 1, 2, ... every active arm is played ``M + 2^s`` rounds.

    The first M rewards of a block are discarded: by then the tally is full. Arms whose average is below the best one
    by more than ``2 r_s``, ``r_s = scale sqrt(ln(2 K S / delta) / 2^(s+1))``, are dropped after the phase,
    ``S = ceil(log2 T)``. The last arm is kept to the end.

    `tables`: ``(radius float64[S+2], discarded)``.

    Attributes
    ----------
    discarded : int
        M >= 0. The tally is full from M = m - 1 on.
    delta : float or None
        In (0, 1); 1/T by default.
    scale : float
        Of the radius, >= 0; below 1 the promise is void.

    References
    ----------
    Of the order of Malik, Igoe, Li and Singh, "Weighted tallying bandits", ICML 2023; the constants are ours.
    """

    discarded: int
    delta: float | None = None
    scale: float = 1.0
    kind: ClassVar[str] = "tallying"
    pulls_each_first: ClassVar[bool] = False
    anytime: ClassVar[bool] = False
    rewards: ClassVar[str] = "unit"  # type: ignore[assignment]

    def __post_init__(self) -> None:
        check_integer("discarded", self.discarded, 0)
        _probability("delta", self.delta)
        _positive("scale", self.scale, zero=True)

    def level(self, arms: int, horizon: int) -> float:
        """``ln(2 K S / delta)``."""
        return math.log(2 * arms * _phases(horizon) / (self.delta or 1 / horizon))

    def tables(self, arms: int, horizon: int) -> tuple[Any, ...]:
        """Radius of each phase, and M."""
        s = np.arange(_phases(horizon) + 2)
        return self.scale * np.sqrt(self.level(arms, horizon) / 2.0 ** (s + 1)), self.discarded


def _phases(horizon: int) -> int:
    return max(1, math.ceil(math.log2(horizon)))


def check_tallying(
    policy: Any, env: Any, horizon: Any, replicates: Any, checkpoints: Any, first_replicate: Any, seed: Any
) -> tuple[int, int, np.ndarray, int, int]:
    """Check the arguments of `simulate_tallying`.

    Returns
    -------
    tuple
        ``horizon, replicates, points int64[C], first, seed``.

    Raises
    ------
    TypeError, ShapeError, DomainError
    """
    if not isinstance(policy, Policy):
        raise TypeError(f"policy must be a lemmata.problems.bandits policy, got {type(policy).__name__}")
    if not isinstance(env, Tallying):
        raise TypeError(f"env must be a Tallying, got {type(env).__name__}: simulate plays the others")
    horizon = check_integer("horizon", horizon, 1)
    replicates, first = check_replicates(replicates, first_replicate)
    if horizon >= 2**32:
        raise DomainError(f"T must stay below 2^32, got {horizon}")
    if policy.pulls_each_first and horizon < env.arms:
        raise DomainError(f"{type(policy).__name__} pulls each of the {env.arms} arms first, and T = {horizon}")
    points = check_checkpoints(checkpoints, horizon)
    return horizon, replicates, points, first, check_seed(seed)
