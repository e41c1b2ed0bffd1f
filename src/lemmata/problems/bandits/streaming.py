"""Arms that come in a stream, once: a few are remembered, one is kept in the end.

A discarded arm cannot be pulled again. Rewards are Bernoulli, so that the successes of n pulls are one binomial number:
that makes horizons of 10^17 rounds simulable. With ``eps = (K/T)^(1/3)`` the unit of exploration is
``1/eps^2 = (T/K)^(2/3)`` pulls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems.bandits.runs import check_integer

__all__ = [
    "Champion",
    "GameOfArms",
    "LogLevels",
    "LogLogLevels",
    "LogStarLevels",
    "Stream",
    "StreamGame",
    "StreamPolicy",
    "clear_cut_streams",
    "eps_best",
    "hard_streams",
    "mix_in_streams",
    "uniform_exploration",
]

#: Largest horizon: pulls are counted in int64.
MAX_ROUNDS = 2**62


@dataclass(frozen=True, eq=False)
class Stream:
    """Bernoulli arms in the order in which they come, several streams at once.

    Attributes
    ----------
    means : float64[S, K]
        In [0, 1]; one stream may be given as [K].

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
        Not [S, K] with K >= 2; a NaN; a mean outside [0, 1].
    """

    means: np.ndarray

    def __post_init__(self) -> None:
        means = np.array(self.means, dtype=np.float64, ndmin=2)
        if means.ndim != 2 or means.shape[1] < 2 or not means.shape[0]:
            raise ShapeError(f"means must have shape (S, K) with K >= 2, got {np.shape(self.means)}")
        if np.isnan(means).any():
            raise NonFiniteError(f"means hold a NaN: {means[np.isnan(means).any(axis=1)][0]}")
        if (means < 0).any() or (means > 1).any():
            raise DomainError(f"means must lie in [0, 1], got {means.min():g} to {means.max():g}")
        means.flags.writeable = False
        object.__setattr__(self, "means", means)

    @property
    def arms(self) -> int:
        """Arms K of each stream."""
        return self.means.shape[1]


def clear_cut_streams(arms: int, count: int, *, seed: int) -> Stream:
    """K - 1 means normal around .5, deviation .1, cut to [0, .8], and one of .82, in random order.

    The first of the two settings of Wang, "Tight regret bounds for single-pass streaming multi-armed bandits", 2023.
    """
    rng = np.random.default_rng(seed)
    means = rng.normal(0.5, 0.1, (count, arms))
    while (outside := (means < 0) | (means > 0.8)).any():
        means[outside] = rng.normal(0.5, 0.1, int(outside.sum()))
    means[:, 0] = 0.82
    return Stream(rng.permuted(means, axis=1))


def mix_in_streams(arms: int, count: int, *, seed: int) -> Stream:
    """All means uniform in [0, 1]: the second setting."""
    return Stream(np.random.default_rng(seed).uniform(size=(count, arms)))


def hard_streams(arms: int, horizon: int, count: int, *, c: float = 0.5, surprise: float = 1.0, seed: int) -> Stream:
    """Means 1/2; one arm in a random place has ``1/2 + c (K/T)^(1/3)``, the last of every other stream `surprise`.

    Where the last arm pays 1, every earlier pull has cost 1/2; where it does not, whoever missed the better arm pays
    for it until T. Nobody knows beforehand, and with a bounded memory nobody can wait.
    """
    rng = np.random.default_rng(seed)
    gap = c * (arms / horizon) ** (1 / 3)
    if not 0 < gap <= 0.5:
        raise DomainError(f"the gap c (K/T)^(1/3) must lie in (0, 1/2], got {gap:g}: take a longer horizon")
    means = np.full((count, arms), 0.5)
    means[np.arange(count), rng.integers(0, arms - 1, count)] += gap
    means[::2, -1] = surprise
    return Stream(means)


# ---------------------------------------------------------------------------------------------- policies


class StreamPolicy:
    """A policy of one pass: levels that hold one arm each.

    An arm that comes is pulled ``batch[0]`` times and replaces the arm of level 0 where its mean is strictly larger.
    When the pulls of level l reach ``cap[l]``, its arm goes on to level l + 1, to be pulled ``batch[l + 1]`` times, and
    the level is empty again. At the end the stored arm of largest mean is kept; of two, that of the higher level.
    """

    def levels(self, arms: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Batches and caps of the levels, int64[L] each."""
        raise NotImplementedError

    def tables(self, arms: int, horizon: int) -> tuple[Any, ...]:
        """What the simulator reads."""
        return self.levels(arms, horizon)


@dataclass(frozen=True)
class Champion(StreamPolicy):
    """One stored arm, `pulls` pulls of every arm; it is kept unless another has strictly more successes.

    Attributes
    ----------
    pulls : int
    """

    pulls: int

    def __post_init__(self) -> None:
        check_integer("pulls", self.pulls, 1)

    def levels(self, arms: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """One level."""
        return _whole([self.pulls]), _whole([math.inf])


def uniform_exploration(arms: int, horizon: int) -> Champion:
    """``(T/K)^(2/3) (ln T)^(1/3)`` pulls of every arm: regret of order ``K^(1/3) T^(2/3) (ln T)^(1/3)``."""
    return Champion(math.ceil((horizon / arms) ** (2 / 3) * math.log(horizon) ** (1 / 3)))


def eps_best(arms: int, horizon: int, *, factor: float | None = None) -> Champion:
    """``factor / eps^2`` pulls of every arm, ln K by default: an eps-best arm in expectation, then commit."""
    return Champion(math.ceil((math.log(arms) if factor is None else factor) * _unit(arms, horizon)))


@dataclass(frozen=True)
class LogLevels(StreamPolicy):
    """``floor(ln K)`` levels, batches ``1.2^l / eps^2``, caps six times the batch.

    References
    ----------
    Wang, "Tight regret bounds for single-pass streaming multi-armed bandits", ICML 2023, and the program of its author.
    """

    def levels(self, arms: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Batches and caps."""
        batch = 1.2 ** np.arange(max(1, int(math.log(arms)))) * _unit(arms, horizon)
        return _levels(batch, 6 * np.ceil(batch))


@dataclass(frozen=True)
class LogLogLevels(StreamPolicy):
    """``floor(ln ln K) + 1`` levels, batches ``1.2^l / eps^2``, caps ten times the batch; the top one ``ln K / eps^2``.

    References
    ----------
    As for `LogLevels`.
    """

    def levels(self, arms: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Batches and caps."""
        count = max(0, int(math.log(max(1.0, math.log(arms))))) + 1
        batch = 1.2 ** np.arange(count) * _unit(arms, horizon)
        batch[-1] = math.log(arms) * _unit(arms, horizon)
        return _levels(batch, 10 * np.ceil(batch))


@dataclass(frozen=True)
class LogStarLevels(StreamPolicy):
    """About ``log* K`` levels: ``r_0 = 2, r_{l+1} = 2^{r_l}``, batches ``r_l / eps^2`` (the first ``1 / eps^2``).

    Level l is cleared after ``2^{r_{l+1}} b_{l+1} / 2^{r_l}`` pulls, the first after ``4 / eps^2``.

    References
    ----------
    As for `LogLevels`, after Assadi and Wang, "Exploration with limited memory", STOC 2020.
    """

    def levels(self, arms: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Batches and caps, cut at 2^62."""
        unit, count, rest = _unit(arms, horizon), 1, float(arms)
        while rest >= 1:
            rest, count = math.log(rest), count + 1
        r = [2.0]
        while len(r) < count + 1:
            r.append(2.0 ** min(r[-1], 62.0))
        batch = np.array([1.0, *r[1:count]]) * unit
        caps = [4 * unit]
        for below, above, b in zip(r[1:], r[2:], batch[2:], strict=False):
            caps.append(2.0 ** min(above - below, 62.0) * b)
        return _levels(batch, np.array([*caps, math.inf][:count]))


@dataclass(frozen=True)
class GameOfArms(StreamPolicy):
    """One king, whose budget of pulls grows by ``1/eps^2`` a challenger from ``1.2/eps^2`` at his coronation.

    A challenger is pulled ``2^l / eps^2`` times, l = 0, 1, ..., until a batch has a mean of at most the king's less
    eps/5, and the king stays, or the budget cannot pay the next batch, and the challenger is king, with the mean of his
    last batch. After ``10 K / eps^2`` pulls in all, each arm still to come is pulled ``ln K / eps^2`` times with
    probability ``1.5 / ln K``, and the best is kept.

    References
    ----------
    As for `LogLevels`, after Assadi and Wang 2020 and Jin, Huang, Tang and Xiao, "Optimal streaming algorithms for
    multi-armed bandits", ICML 2021.
    """

    def tables(self, arms: int, horizon: int) -> tuple[Any, ...]:
        """``eps, 1/eps^2, ln K``."""
        return (arms / horizon) ** (1 / 3), _unit(arms, horizon), math.log(arms)


@dataclass(frozen=True, eq=False)
class StreamGame:
    """A policy on streams over a horizon: what a claim is made about.

    Attributes
    ----------
    policy : StreamPolicy
    stream : Stream
    horizon : int
    at : mapping
        Coordinates that name it among others.
    """

    policy: StreamPolicy
    stream: Stream
    horizon: int
    at: Mapping[str, Any] = field(default_factory=dict)


def _unit(arms: int, horizon: int) -> float:
    return (horizon / arms) ** (2 / 3)


def _whole(values: Any) -> np.ndarray:
    """Rounded up to int64, cut at 2^62."""
    return np.array([MAX_ROUNDS if v >= MAX_ROUNDS else math.ceil(v) for v in values], dtype=np.int64)


def _levels(batch: np.ndarray, cap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cap = cap.copy()
    cap[-1] = math.inf  # there is no level above
    return _whole(batch), _whole(cap)
