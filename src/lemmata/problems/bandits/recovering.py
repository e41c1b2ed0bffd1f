"""Recovering rewards: an arm pays more the longer it was left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.bandits.environments import _array
from lemmata.problems.bandits.runs import check_integer
from lemmata.random import check_seed

__all__ = [
    "Periodic",
    "PeriodicUCB",
    "Recovering",
    "Recovery",
    "recovering_ladder",
    "recovering_late",
    "recovering_level",
    "recovering_pair",
    "recovering_steps",
]


@dataclass(frozen=True, eq=False)
class Recovering:
    """Arm i pays 1 with probability ``R_i(tau)``, tau rounds after its last pull; up to K arms are pulled a round.

    Attributes
    ----------
    rewards : float64[N, D]
        ``R_i(1), ..., R_i(D)`` in [0, 1], nondecreasing: they depend on ``min(tau, D)``. Arms start as if never pulled.
    capacity : int
        K, 1 to N.

    Raises
    ------
    ShapeError, DomainError, NonFiniteError

    References
    ----------
    Simchi-Levi, Zheng and Zhu, "Dynamic planning and learning under recovering rewards", ICML 2021.
    """

    rewards: np.ndarray
    capacity: int = 1

    def __post_init__(self) -> None:
        rewards = _array("rewards", self.rewards, 2)
        object.__setattr__(self, "rewards", rewards)
        if not rewards.size:
            raise ShapeError(f"rewards must be [N, D] with an arm and a delay at least, got {rewards.shape}")
        if (rewards < 0).any() or (rewards > 1).any():
            raise DomainError(f"rewards must lie in [0, 1], got {rewards.min():g} to {rewards.max():g}")
        falls = np.diff(rewards, axis=1)
        if (falls < 0).any():
            arm, tau = np.unravel_index(int(falls.argmin()), falls.shape)
            raise DomainError(
                f"rewards must not fall with the delay: R_{arm}({tau + 2}) is {-falls.min():g} below R_{arm}({tau + 1})"
            )
        object.__setattr__(self, "capacity", check_integer("capacity", self.capacity, 1))
        if self.capacity > self.arms:
            raise DomainError(f"capacity {self.capacity} exceeds the number of arms, {self.arms}")

    @property
    def arms(self) -> int:
        """N."""
        return len(self.rewards)

    @property
    def delays(self) -> int:
        """D."""
        return self.rewards.shape[1]


@dataclass(frozen=True, eq=False)
class Periodic:
    """Arm i is pulled in the rounds t with ``t % periods[i] == offsets[i]``, and never where the period is 0.

    Attributes
    ----------
    periods, offsets : int64[N]
    value : float
        ``sum_i R_i(d_i)/d_i``, its mean reward a round.
    mixed : float
        What the one arm with a share that is no whole period is worth a round in the relaxation; see
        `lemmata.theory.bandits.recovering_periodic`.

    Raises
    ------
    ShapeError, DomainError
    """

    periods: np.ndarray
    offsets: np.ndarray
    value: float
    mixed: float = 0.0

    def __post_init__(self) -> None:
        for name in ("periods", "offsets"):
            values = np.asarray(getattr(self, name))
            if values.dtype.kind not in "iu" or values.ndim != 1:
                raise ShapeError(f"{name} must be integers [N], got {values.dtype} of shape {values.shape}")
            values = values.astype(np.int64)
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if self.periods.shape != self.offsets.shape:
            raise ShapeError(f"a period and an offset an arm, got {self.periods.size} and {self.offsets.size}")
        wrong = (self.periods < 0) | (self.offsets < 0) | ((self.offsets >= self.periods) & (self.periods > 0))
        if wrong.any():
            i = int(wrong.argmax())
            raise DomainError(
                f"periods must be >= 0 and offsets below them: arm {i} has {self.periods[i]} and {self.offsets[i]}"
            )


@dataclass(frozen=True)
class PeriodicUCB:
    """Plan as if upper limits were true, play the plan for a while, plan again.

    The upper limit of ``R_i(tau)`` after n pulls is ``mean + sqrt(level ln T / n)``, no more than 1 and than that of
    any longer delay. Plans are the best of periods 1, 2, 4, ..., L, with L the first that is >= D; phase j lasts
    ``j L`` rounds, so that T rounds see some ``sqrt(2T/L)`` plans.

    Attributes
    ----------
    level : float
        >= 0; with 2 all limits are right but for a chance of ``N D / T^3``.

    Raises
    ------
    DomainError
    """

    level: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.level < np.inf:
            raise DomainError(f"level must be finite and >= 0, got {self.level:g}")


@dataclass(frozen=True, eq=False)
class Recovery:
    """One instance of a claim: an environment, the base of a plan, a horizon, names of the place."""

    env: Recovering
    base: int = 1
    horizon: int = 0
    at: Mapping[str, str] = field(default_factory=dict)


def recovering_steps(arms: int, capacity: int, delays: int = 24, *, seed: int) -> Recovering:
    """Random arms that pay nothing until a delay of their own and up to three steps from there on.

    Levels are uniform in [0, 1], sorted; delays uniform in 1..D.
    """
    arms, delays = check_integer("arms", arms, 1), check_integer("delays", delays, 1)
    rng = np.random.default_rng([check_seed(seed), arms, capacity, delays])
    level = np.sort(rng.random((arms, 3)), axis=1)
    start = np.sort(rng.integers(1, delays + 1, (arms, 3)), axis=1)
    tau = np.arange(1, delays + 1)
    reached = (tau[None, :, None] >= start[:, None, :]).sum(axis=2)
    table = np.concatenate([np.zeros((arms, 1)), level], axis=1)
    return Recovering(np.take_along_axis(table, reached, axis=1), capacity)


def recovering_pair() -> Recovering:
    """``(0, .5, .8)`` and ``(.3, .4, .4)``, one pull a round: nobody makes more than 1/2 a round."""
    return Recovering(np.array([[0.0, 0.5, 0.8], [0.3, 0.4, 0.4]]))


def recovering_ladder(low: float = 0.1) -> Recovering:
    """Four arms whose best delays 8, 8, 4 and 2 fill every round: the periodic plan earns what the relaxation does.

    They pay .9, .8, .7 and .6 from that delay on and `low` before.
    """
    tau = np.arange(1, 9)
    return Recovering(np.stack([np.where(tau >= d, top, low) for d, top in ((8, 0.9), (8, 0.8), (4, 0.7), (2, 0.6))]))


def recovering_late(capacity: int, base: int, power: int) -> Recovering:
    """``K d`` equal arms that pay 1 from delay ``d = a 2^power + 1`` on and nothing earlier.

    Periodic plans of base a wait for ``(a + 1) 2^power`` rounds: all that their guarantee gives away is lost.
    """
    capacity, base = check_integer("capacity", capacity, 1), check_integer("base", base, 1)
    delay = base * 2 ** check_integer("power", power, 0) + 1
    return Recovering(np.tile(np.arange(1, delay + 1) == delay, (capacity * delay, 1)).astype(float), capacity)


def recovering_level(arms: int, horizon: int, c: float = 1.5, *, best: int = 0, delays: int = 2) -> Recovering:
    """Arms that need no rest and pay 1/2, one of them ``1/2 + c sqrt(N/T)``: as hard to learn as a bandit can be."""
    arms, horizon = check_integer("arms", arms, 1), check_integer("horizon", horizon, 1)
    best, delays = check_integer("best", best, 0), check_integer("delays", delays, 1)
    if best >= arms:
        raise DomainError(f"best must be one of the arms 0 to {arms - 1}, got {best}")
    rewards = np.full((arms, delays), 0.5)
    rewards[best] += c * np.sqrt(arms / horizon)
    return Recovering(rewards)
