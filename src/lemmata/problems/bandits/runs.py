"""What simulators and kernels share: which words a round reads, the checks before a run, the statistics after it.

**Words.** `lemmata.random.words` (block, stream, replicate, seed) gives four words. A run reads

==================== ==================================== ======================================================
stream               block                                used for
==================== ==================================== ======================================================
`REWARD`             ``(t-1) // 4``, word ``(t-1) % 4``   the reward of round t (Bernoulli and bounded)
`REWARD`             ``(t-1) // 2``, all four words       the pair of normals of rounds t and t+1, t odd (Gaussian)
``POLICY + k``       t                                    the policy's own coins in round t; k = 0, 1, ...
``POSTERIOR + i``    t                                    Thompson, Beta: words 0, 1 make the normals and 2, 3 the
                                                          acceptance of the two gamma variates of arm i
``POSTERIOR + i//4`` t, word ``i % 4``                    Thompson, Gaussian: the normal of arm i
==================== ==================================== ======================================================

One reward word a round is shared by the arms (only one of them is seen), so that policies run under common random
numbers. Stream `POLICY` in round t: epsilon-greedy explores where word 0 is below its threshold, and then pulls
``integer(word1, word2, K)``; Exp3 and Tsallis-INF pull the first arm at which the cumulative probability exceeds
``uniform64(word0, word1)``. Where a draw of Thompson's is rejected, further blocks come from streams
``POSTERIOR + i + j 2^16``, j >= 1. The Beta and Gaussian draws are those of `lemmata.sims.bandits`; another backend
agrees with them in law.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.bandits.environments import Environment
from lemmata.problems.bandits.policies import LUCB, Policy
from lemmata.random import check_integer, check_seed
from lemmata.results import dataset

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "POLICY",
    "POSTERIOR",
    "QUANTILES",
    "REWARD",
    "Game",
    "RegretStatistics",
    "check_checkpoints",
    "check_integer",
    "check_pairing",
    "check_replicates",
    "check_run",
    "log_checkpoints",
    "result",
    "segments",
]

REWARD, POLICY, POSTERIOR = 0, 1, 2**31
#: Quantile levels that a simulation reports.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: Rounds are counted in 32 bits, and the words are indexed by them.
MAX_HORIZON = 2**32 - 1


@dataclass(frozen=True, eq=False)
class Game:
    """A policy on an environment over a horizon: what a claim is made about.

    Attributes
    ----------
    policy : Policy
    env : Environment
    horizon : int
    at : mapping
        Coordinates that name it among others.
    """

    policy: Policy
    env: Environment
    horizon: int
    at: Mapping[str, Any] = field(default_factory=dict)


# ----------------------------------------------------------------------------------------------- checks


def check_pairing(policy: Policy, env: Environment, horizon: int) -> None:
    """Refuse a policy on an environment or a horizon that it is not made for.

    Raises
    ------
    TypeError
        Not a policy, or not an environment.
    DomainError
        Rewards outside the policy's range, a horizon that is too short for it or for the counters.
    """
    if not isinstance(policy, Policy):
        raise TypeError(f"policy must be a lemmata.problems.bandits policy, got {type(policy).__name__}")
    if not isinstance(env, Environment):
        raise TypeError(f"env must be a lemmata.problems.bandits environment, got {type(env).__name__}")
    name, world = type(policy).__name__, type(env).__name__
    if policy.rewards == "unit" and not env.unit:
        raise DomainError(f"{name} needs rewards in [0, 1], and {world} pays others: rescale them into Bounded")
    if policy.rewards == "binary" and not env.binary:
        raise DomainError(f"{name} needs rewards 0 or 1, and {world} pays others: use Bernoulli, or ThompsonGaussian")
    if policy.pulls_each_first and horizon < env.arms:
        raise DomainError(f"{name} pulls each of the {env.arms} arms first: T must be >= {env.arms}, got {horizon}")
    if horizon > MAX_HORIZON:
        raise DomainError(f"T must be at most {MAX_HORIZON}, the rounds that the random words count; got {horizon}")
    cost = float(np.abs(env.tables().cost).max())
    if horizon * cost >= 2.0**40:
        raise DomainError(f"T times the largest gap must stay below 2^40, got {horizon * cost:.6g}")
    if policy.kind.startswith("thompson") and env.arms >= 2**16:
        raise DomainError(f"{name} numbers its arms in 16 bits, got K = {env.arms}")


def check_run(
    policy: Policy, env: Environment, horizon: Any, replicates: Any, checkpoints: Any, first_replicate: Any, seed: Any
) -> tuple[int, int, np.ndarray, int, int]:
    """Check the arguments of `simulate`; gives horizon, replicates, checkpoints, first replicate and seed as ints."""
    horizon = check_integer("horizon", horizon, 1)
    replicates, first = check_replicates(replicates, first_replicate)
    check_pairing(policy, env, horizon)
    if isinstance(policy, LUCB):
        raise TypeError("LUCB decides when to stop and has no regret over a horizon: use identify")
    points = check_checkpoints(checkpoints, horizon)
    return horizon, replicates, points, first, check_seed(seed)


def check_replicates(replicates: Any, first_replicate: Any) -> tuple[int, int]:
    """Number of replicates and the first one's number as ints; all are numbered below 2^64."""
    replicates = check_integer("replicates", replicates, 1)
    first = check_integer("first_replicate", first_replicate, 0)
    if first + replicates > 2**64:
        raise DomainError(f"replicates are numbered below 2^64, got up to {first + replicates - 1}")
    return replicates, first


def check_checkpoints(checkpoints: Any, horizon: int) -> np.ndarray:
    """Checkpoints as int64[C], strictly increasing within 1..T; those of `log_checkpoints` for None."""
    points = log_checkpoints(horizon) if checkpoints is None else np.asarray(checkpoints)
    if points.dtype.kind not in "iu":
        raise TypeError(f"checkpoints must hold integers, got {points.dtype}")
    points = points.astype(np.int64)
    if points.ndim != 1 or points.size == 0:
        raise ShapeError(f"checkpoints must have shape (C,), C >= 1, got {points.shape}")
    if (np.diff(points) <= 0).any() or points[0] < 1 or points[-1] > horizon:
        raise DomainError(f"checkpoints must increase strictly within 1..{horizon}, got {points}")
    return points


def log_checkpoints(horizon: int, *, per_octave: int = 8) -> np.ndarray:
    """Rounds ``2^(j / per_octave)`` up to and including the horizon, int64, without repetition."""
    check_integer("horizon", horizon, 1)
    check_integer("per_octave", per_octave, 1)
    octaves = np.arange(int(np.log2(horizon) * per_octave) + 1) / per_octave
    rounds = np.round(2.0**octaves).astype(np.int64)
    return np.append(np.unique(rounds[rounds < horizon]), horizon)


def segments(env: Environment, horizon: int, checkpoints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut the rounds 1..T wherever a checkpoint, a phase or the run ends.

    Parameters
    ----------
    env : Environment
    horizon : int
    checkpoints : int64[C]

    Returns
    -------
    stops : int64[S]
        Last round of each segment; the last is T.
    phase : int64[S]
        Phase of the environment in it.
    checkpoint : int64[S]
        Index of the checkpoint at its end, -1 where there is none.
    """
    ends = env.starts[1:] - 1
    stops = np.unique(np.concatenate([checkpoints, ends[ends < horizon], [horizon]]))
    phase = np.searchsorted(env.starts, stops, side="right") - 1
    index = np.searchsorted(checkpoints, stops)
    found = checkpoints[np.minimum(index, checkpoints.size - 1)] == stops
    return stops, phase, np.where(found, index, -1)


# ------------------------------------------------------------------------------------------- statistics

# A bin holds the values that share sign, exponent and the upper _BITS bits of the mantissa, so that its index is
# a shift of the float64's own bits, on any device. Values below 2^_LEAST in size fall into one bin, that of zero.
_BITS, _LEAST, _LARGEST = 7, -16, 40
_PER_SIGN = (_LARGEST - _LEAST) << _BITS
_OFFSET = (1023 + _LEAST) << _BITS
BINS = 2 * _PER_SIGN + 1


class RegretStatistics:
    """Mean, variance and a fixed histogram of the regret at each checkpoint, added up batch by batch.

    The result depends on the batches and their order, never on the number of threads.

    Parameters
    ----------
    checkpoints : int
        Number C of checkpoints. The histogram takes ``115 kB`` for each.

    Attributes
    ----------
    count : int
        Replicates so far.
    mean, m2 : float64[C]
        Their mean, and their sum of squared deviations from it.
    histogram : int64[C, BINS]
    """

    #: A quantile is within this of the sample's, relatively, or within 2^-16 absolutely.
    quantile_error = 2.0 ** -(_BITS + 1)

    def __init__(self, checkpoints: int) -> None:
        self.count = 0
        self.mean, self.m2 = np.zeros((2, checkpoints))
        self.histogram = np.zeros((checkpoints, BINS), dtype=np.int64)

    def add(self, regret: np.ndarray) -> None:
        """Add a batch, float64[n, C]: Chan, Golub and LeVeque's pairwise update."""
        n = len(regret)
        mean = regret.mean(axis=0)
        self.add_moments(n, mean, ((regret - mean) ** 2).sum(axis=0))
        np.add.at(self.histogram, (np.arange(regret.shape[1]), self.bin_of(regret)), 1)

    def add_moments(self, n: int, mean: np.ndarray, m2: np.ndarray) -> None:
        """Merge n replicates of this mean and sum of squared deviations, both float64[C]."""
        total = self.count + n
        step = mean - self.mean
        self.mean = self.mean + step * (n / total)
        self.m2 = self.m2 + m2 + step**2 * (self.count * n / total)
        self.count = total

    @staticmethod
    def bin_of(regret: np.ndarray) -> np.ndarray:
        """Bin of each value, int64: the middle one for zero, then outwards by size."""
        size = (np.abs(regret).view(np.int64) >> (52 - _BITS)) - _OFFSET
        size = np.clip(size + 1, 0, _PER_SIGN)
        return _PER_SIGN + np.where(regret < 0, -size, size)

    @staticmethod
    def value_of(bin_: np.ndarray) -> np.ndarray:
        """Middle of each bin, float64."""
        size = np.abs(bin_ - _PER_SIGN)
        low = ((np.maximum(size, 1) - 1 + _OFFSET) << (52 - _BITS)).astype(np.int64).view(np.float64)
        high = ((np.maximum(size, 1) + _OFFSET) << (52 - _BITS)).astype(np.int64).view(np.float64)
        return np.where(size == 0, 0.0, np.sign(bin_ - _PER_SIGN) * (low + high) / 2)

    def quantiles(self, levels: Sequence[float] = QUANTILES) -> np.ndarray:
        """Middle of the bin that holds the least value with at least a share `level` at or below it.

        Returns
        -------
        float64[len(levels), C]
        """
        ranks = np.ceil(np.asarray(levels) * self.count).clip(1)
        below = np.cumsum(self.histogram, axis=1)
        bins = np.array([[np.searchsorted(row, rank) for row in below] for rank in ranks], dtype=np.int64)
        return self.value_of(bins)

    @property
    def variance(self) -> np.ndarray:
        """Unbiased sample variance, float64[C]; for two replicates or more."""
        return self.m2 / (self.count - 1)


def result(
    policy: Policy,
    env: Environment,
    checkpoints: np.ndarray,
    statistics: RegretStatistics,
    counts: np.ndarray,
    samples: np.ndarray | None,
    **provenance: Any,
) -> xr.Dataset:
    """The dataset of `simulate`.

    Parameters
    ----------
    policy, env
    checkpoints : int64[C]
    statistics : RegretStatistics
    counts : int64[R, K]
        Pulls at the horizon.
    samples : float64[R, C] or None
    **provenance
        Stored in the attrs; `first_replicate` numbers the replicates.
    """
    first = provenance["first_replicate"]
    variables: dict[str, Any] = {
        "mean": (("round",), statistics.mean, "reward"),
        "quantile": (("level", "round"), statistics.quantiles(), "reward"),
        "counts": (("replicate", "arm"), counts, "pulls"),
    }
    if statistics.count > 1:
        variables["variance"] = (("round",), statistics.variance, "reward^2")
    if samples is not None:
        variables["regret"] = (("replicate", "round"), samples, "reward")
    coords = {
        "round": checkpoints,
        "level": np.array(QUANTILES),
        "arm": np.arange(env.arms),
        "replicate": np.arange(first, first + len(counts), dtype=np.uint64),
    }
    return dataset(
        variables,
        coords,
        regret=env.regret_kind,
        policy=repr(policy),
        env=type(env).__name__,
        quantile_error=statistics.quantile_error,
        replicates=statistics.count,
        **provenance,
    )
