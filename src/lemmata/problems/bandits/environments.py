"""Environments: what a pull pays, what it costs against the best arm, and how small a regret can be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.random import bernoulli_threshold

__all__ = [
    "Bernoulli",
    "Bounded",
    "Environment",
    "Gaussian",
    "Linear",
    "Reward",
    "RewardTables",
    "Switching",
    "alternating_losses",
    "hard_instance",
    "instance_a",
    "instance_b",
    "kl_bernoulli",
]


class Reward(IntEnum):
    """How a reward is made from the words of its round."""

    BERNOULLI = 0
    GAUSSIAN = 1
    BOUNDED = 2
    TABLE = 3


class RewardTables(NamedTuple):
    """An environment as a simulator sees it; what a kind does not use has size 0.

    With w the word of round t (see `lemmata.problems.bandits.runs`), the reward of arm a is

    ========= ==================================================================================
    BERNOULLI ``1.0 if w < threshold[a] else 0.0``
    GAUSSIAN  ``mean[a] + sigma * z``, z standard normal
    BOUNDED   ``value[a, j]``, j the least index with ``w < cumulative[a, j]``
    TABLE     ``1.0 - cost[p, a]`` in phase p
    ========= ==================================================================================

    The regret after round t is ``sum_p sum_a n[p, a] cost[p, a]`` with n the pulls in each phase, added in this order
    so that it has the same bits everywhere, less `Environment.comparator`.

    Attributes
    ----------
    kind : int
    threshold : uint64[K]
    mean : float64[K]
    sigma : float
    value : float64[K, S]
    cumulative : uint64[K, S]
    cost : float64[P, K]
    """

    kind: int
    threshold: np.ndarray
    mean: np.ndarray
    sigma: float
    value: np.ndarray
    cumulative: np.ndarray
    cost: np.ndarray


class Environment:
    """What every environment has: K arms, one reward a pull.

    Attributes
    ----------
    means : float64[K]
        Mean reward of each arm.
    regret_kind : str
        The regret that a simulation of it reports: ``"pseudo"`` (``sum_t gap of a_t``, whose mean is the expected
        regret) or ``"adversarial"`` (loss suffered less that of the best fixed arm, losses being fixed beforehand).
    unit, binary : bool
        Whether every reward lies in [0, 1]; whether every reward is 0 or 1.
    starts : int64[P]
        First round of each phase; one phase where nothing changes.
    """

    means: np.ndarray
    regret_kind: ClassVar[str] = "pseudo"
    unit: ClassVar[bool] = False
    binary: bool = False
    starts: np.ndarray = np.ones(1, dtype=np.int64)

    @property
    def arms(self) -> int:
        """Number K of arms."""
        return self.means.size

    @cached_property
    def best(self) -> int:
        """The lowest arm of largest mean."""
        return int(self.means.argmax())

    @cached_property
    def gaps(self) -> np.ndarray:
        """``max mean - mean`` of each arm, float64[K]."""
        return self.means.max() - self.means

    def comparator(self, rounds: np.ndarray) -> np.ndarray:
        """What the best fixed arm has cost after each of `rounds`, float64; zero where cost is the gap."""
        return np.zeros(np.shape(rounds))

    def tables(self) -> RewardTables:
        """The environment as arrays."""
        raise NotImplementedError

    def _tables(self, kind: Reward, **given: Any) -> RewardTables:
        empty: dict[str, Any] = {
            "threshold": np.empty(0, np.uint64),
            "mean": np.empty(0),
            "sigma": 0.0,
            "value": np.empty((0, 0)),
            "cumulative": np.empty((0, 0), np.uint64),
            "cost": self.gaps[None],
        }
        return RewardTables(int(kind), **{**empty, **given})


@dataclass(frozen=True, eq=False)
class Bernoulli(Environment):
    """Arm a pays 1 with probability ``means[a]``, else 0.

    Attributes
    ----------
    means : float64[K]
        In [0, 1].

    Raises
    ------
    ShapeError, DomainError, NonFiniteError
        Not one axis, no arm, an entry outside [0, 1].
    """

    means: np.ndarray
    unit: ClassVar[bool] = True
    binary: ClassVar[bool] = True  # type: ignore[misc]

    def __post_init__(self) -> None:
        object.__setattr__(self, "means", _inside("means", _array("means", self.means, 1), 0.0, 1.0))

    @cached_property
    def lai_robbins(self) -> float:
        """``C = sum_i gap_i / kl(mean_i, best mean)``: a consistent policy has liminf R_T / ln T >= C.

        An asymptotic bound only (Lai and Robbins 1985, Theorem 1): at a given T a policy may be far below C ln T.
        """
        bad = self.gaps > 0
        return float(np.sum(self.gaps[bad] / kl_bernoulli(self.means[bad], self.means.max())))

    def minimax_lower(self, horizon: int) -> float:
        """``min(sqrt(K T), T) / 20``: every policy has this regret on some Bernoulli instance of K arms, K >= 2.

        Auer, Cesa-Bianchi, Freund and Schapire 2002, Theorem 5.1. `hard_instance` has the family.
        """
        if not horizon >= 0:
            raise DomainError(f"T must be >= 0, got {horizon}")
        return 0.0 if self.arms < 2 else min(math.sqrt(self.arms * horizon), horizon) / 20

    def tables(self) -> RewardTables:
        """The environment as arrays."""
        return self._tables(Reward.BERNOULLI, threshold=bernoulli_threshold(self.means))


@dataclass(frozen=True, eq=False)
class Gaussian(Environment):
    """Arm a pays ``means[a] + sigma z``, z standard normal.

    Attributes
    ----------
    means : float64[K]
    sigma : float
        Standard deviation, >= 0, known to the policy.
    """

    means: np.ndarray
    sigma: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "means", _array("means", self.means, 1))
        object.__setattr__(self, "sigma", _nonnegative("sigma", self.sigma))

    @cached_property
    def lai_robbins(self) -> float:
        """``C = sum_i 2 sigma^2 / gap_i``: a consistent policy has liminf R_T / ln T >= C."""
        return float(np.sum(2 * self.sigma**2 / self.gaps[self.gaps > 0]))

    def minimax_lower(self, horizon: int) -> float:
        """``sigma sqrt((K-1) T) / 27`` for T >= K - 1: every policy has this regret on some instance of K arms.

        Lattimore and Szepesvari 2020, Theorem 15.2.
        """
        if horizon < self.arms - 1:
            raise DomainError(f"the bound asks for T >= K - 1 = {self.arms - 1}, got T = {horizon}")
        return self.sigma * math.sqrt((self.arms - 1) * horizon) / 27

    def tables(self) -> RewardTables:
        """The environment as arrays."""
        return self._tables(Reward.GAUSSIAN, mean=self.means, sigma=self.sigma)


@dataclass(frozen=True, eq=False)
class Linear(Environment):
    """Arm a pays ``<theta, features[a]> + sigma z``, z standard normal.

    Attributes
    ----------
    features : float64[K, d]
    theta : float64[d]
    sigma : float
    """

    features: np.ndarray
    theta: np.ndarray
    sigma: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", _array("features", self.features, 2))
        object.__setattr__(self, "theta", _array("theta", self.theta, 1))
        object.__setattr__(self, "sigma", _nonnegative("sigma", self.sigma))
        if self.theta.size != self.features.shape[1]:
            raise ShapeError(f"theta has {self.theta.size} entries, features have {self.features.shape[1]} columns")

    @cached_property
    def means(self) -> np.ndarray:  # type: ignore[override]
        """``features @ theta``, float64[K]."""
        return self.features @ self.theta

    def tables(self) -> RewardTables:
        """The environment as arrays."""
        return self._tables(Reward.GAUSSIAN, mean=self.means, sigma=self.sigma)


@dataclass(frozen=True, eq=False)
class Bounded(Environment):
    """Arm a pays ``values[a, j]`` with probability ``probabilities[a, j]``, values in [0, 1].

    Attributes
    ----------
    values, probabilities : float64[K, S]
        The rows of `probabilities` sum to 1.
    """

    values: np.ndarray
    probabilities: np.ndarray
    unit: ClassVar[bool] = True

    def __post_init__(self) -> None:
        values = _inside("values", _array("values", self.values, 2), 0.0, 1.0, " (rescale rewards to [0, 1])")
        p = _inside("probabilities", _array("probabilities", self.probabilities, 2), 0.0, 1.0)
        if p.shape != values.shape:
            raise ShapeError(f"values have shape {values.shape}, probabilities {p.shape}")
        if np.abs(p.sum(axis=1) - 1).max() > 1e-9:
            row = int(np.abs(p.sum(axis=1) - 1).argmax())
            raise DomainError(f"probabilities of arm {row} sum to {p[row].sum():.12g}, not to 1")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "probabilities", p)

    @cached_property
    def means(self) -> np.ndarray:  # type: ignore[override]
        """``sum_j probabilities[a, j] values[a, j]``, float64[K]."""
        return np.sum(self.values * self.probabilities, axis=1)

    @property
    def binary(self) -> bool:  # type: ignore[override]
        """Whether every reward is 0 or 1."""
        return bool(np.isin(self.values, (0.0, 1.0)).all())

    def tables(self) -> RewardTables:
        """The environment as arrays."""
        cumulative = bernoulli_threshold(np.minimum(np.cumsum(self.probabilities, axis=1), 1.0))
        cumulative[:, -1] = 2**32  # the last value takes what rounding left over
        return self._tables(Reward.BOUNDED, value=self.values, cumulative=cumulative)


@dataclass(frozen=True, eq=False)
class Switching(Environment):
    """Losses fixed beforehand: in rounds ``starts[p] <= t < starts[p+1]`` arm a costs ``losses[p, a]``.

    The reward is 1 - loss, so that every policy can be run. The regret is against the best fixed arm.

    Attributes
    ----------
    losses : float64[P, K]
        In [0, 1].
    starts : int64[P]
        First round of each phase: 1, then increasing. The last phase has no end.
    """

    losses: np.ndarray
    starts: np.ndarray = field(default_factory=lambda: np.ones(1, dtype=np.int64))
    regret_kind: ClassVar[str] = "adversarial"
    unit: ClassVar[bool] = True

    def __post_init__(self) -> None:
        losses = _inside("losses", _array("losses", self.losses, 2), 0.0, 1.0, " (rescale losses to [0, 1])")
        starts = np.asarray(self.starts)
        if starts.dtype.kind not in "iu":
            raise TypeError(f"starts must hold integers, got {starts.dtype}")
        starts = starts.astype(np.int64)
        if starts.shape != losses.shape[:1]:
            raise ShapeError(
                f"starts must have shape {losses.shape[:1]}, one for each row of losses, got {starts.shape}"
            )
        if starts[0] != 1 or (np.diff(starts) <= 0).any():
            raise DomainError(f"starts must begin with 1 and increase strictly, got {starts}")
        starts.flags.writeable = False
        object.__setattr__(self, "losses", losses)
        object.__setattr__(self, "starts", starts)

    @cached_property
    def means(self) -> np.ndarray:  # type: ignore[override]
        """Rewards of the first phase, float64[K]: no gap exists over all rounds."""
        return 1.0 - self.losses[0]

    @property
    def binary(self) -> bool:  # type: ignore[override]
        """Whether every reward is 0 or 1."""
        return bool(np.isin(self.losses, (0.0, 1.0)).all())

    def comparator(self, rounds: np.ndarray) -> np.ndarray:
        """Least total loss of a fixed arm after each of `rounds`, float64."""
        t = np.asarray(rounds)
        ends = np.append(self.starts[1:], np.iinfo(np.int64).max)
        spent = np.clip(np.minimum(t[..., None] + 1, ends) - self.starts, 0, None)  # rounds of each phase
        return (spent @ self.losses).min(axis=-1)

    def tables(self) -> RewardTables:
        """The environment as arrays."""
        return self._tables(Reward.TABLE, cost=self.losses)


# -------------------------------------------------------------------------------------------- instances


def instance_a() -> Bernoulli:
    """K = 10, one arm of mean .9 and nine of mean .8: C = 20.269."""
    return Bernoulli(np.array([0.9] + [0.8] * 9))


def instance_b() -> Bernoulli:
    """K = 10, means .50, .45, ..., .05: C = 27.421."""
    return Bernoulli(0.05 * np.arange(10, 0, -1))


def hard_instance(arms: int, horizon: int, c: float, *, best: int = 0) -> Bernoulli:
    """H(K, T, c): every mean is 1/2 but that of `best`, which is ``1/2 + c sqrt(K/T)``.

    On this family every policy has regret of order sqrt(KT) for some c and some `best`.

    Raises
    ------
    DomainError
        Where the mean would leave [0, 1], or `best` is not an arm.
    """
    if not 0 <= best < arms:
        raise DomainError(f"best must be one of the arms 0..{arms - 1}, got {best}")
    if not horizon >= 1:
        raise DomainError(f"T must be >= 1, got {horizon}")
    gap = c * np.sqrt(arms / horizon)
    if not 0 <= gap <= 0.5:
        raise DomainError(f"c sqrt(K/T) must lie in [0, 1/2], got {gap:.6g} for c = {c}, K = {arms}, T = {horizon}")
    means = np.full(arms, 0.5)
    means[best] += gap
    return Bernoulli(means)


def alternating_losses(arms: int, horizon: int) -> Switching:
    """In round t arm ``(t-1) mod K`` loses 1 and the others 0: an arm loses T/K in all.

    A policy that sees nothing but losses of 1 and then takes the arms in turn, as UCB does, loses in every round.
    """
    t = np.arange(horizon)
    losses = np.zeros((horizon, arms))
    losses[t, t % arms] = 1.0
    return Switching(losses, t + 1)


def kl_bernoulli(p: Any, q: Any) -> np.ndarray:
    """``kl(p, q) = p ln(p/q) + (1-p) ln((1-p)/(1-q))``, float64, both clipped to [1e-15, 1 - 1e-15].

    The clipping keeps it finite and moves it by less than 1e-13.
    """
    p, q = (np.clip(np.asarray(v, dtype=np.float64), 1e-15, 1 - 1e-15) for v in (p, q))
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


# ----------------------------------------------------------------------------------------------- checks


def _array(name: str, value: Any, ndim: int) -> np.ndarray:
    """A read-only float64 copy with `ndim` axes, none empty, all finite."""
    array = np.array(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers, got {array.dtype}")
    array = np.ascontiguousarray(array, dtype=np.float64)
    if array.ndim != ndim or array.size == 0:
        axes: Sequence[str] = ("K",) if ndim == 1 else ("K", "S")
        raise ShapeError(f"{name} must have shape ({', '.join(axes)}), none of them 0, got {array.shape}")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise NonFiniteError(f"{name} is {array[where]} at index {where}", index=where)
    array.flags.writeable = False
    return array


def _inside(name: str, array: np.ndarray, low: float, high: float, hint: str = "") -> np.ndarray:
    outside = (array < low) | (array > high)
    if outside.any():
        where = tuple(int(i) for i in np.argwhere(outside)[0])
        raise DomainError(f"{name} must lie in [{low:g}, {high:g}], got {array[where]} at index {where}{hint}")
    return array


def _nonnegative(name: str, value: float) -> float:
    if not (np.isfinite(value) and value >= 0):
        raise DomainError(f"{name} must be finite and >= 0, got {value!r}")
    return float(value)
