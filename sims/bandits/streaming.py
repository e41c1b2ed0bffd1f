"""Single-pass policies on streams of arms, whose pulls come in binomial batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from numba import njit, prange

from lemmata.errors import DomainError
from lemmata.problems.bandits import GameOfArms, Stream, StreamPolicy, check_integer, check_replicates
from lemmata.problems.bandits.streaming import MAX_ROUNDS
from lemmata.random import check_seed
from lemmata.results import dataset
from lemmata.sims._philox import uniform64, words

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["simulate_stream"]

ZERO = np.uint64(0)


# ------------------------------------------------------------------------------------------ binomial numbers


@njit(cache=True)
def _uniforms(draw):  # type: ignore[no-untyped-def]
    """Two uniforms from the next block of ``draw = (blocks used, replicate, seed)``."""
    w0, w1, w2, w3 = words(draw[0], ZERO, draw[1], draw[2])
    draw[0] += np.uint64(1)
    return uniform64(w0, w1), uniform64(w2, w3)


@njit(cache=True)
def _stirling(k):  # type: ignore[no-untyped-def]
    """``ln k! - (k + 1/2) ln(k + 1) + (k + 1) - ln(2 pi)/2``."""
    if k < 10:
        return math.lgamma(k + 1.0) - (k + 0.5) * math.log(k + 1.0) + (k + 1.0) - 0.9189385332046727
    s = (k + 1.0) * (k + 1.0)
    return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / s) / s) / (k + 1.0)


@njit(cache=True)
def _binomial(n, p, draw):  # type: ignore[no-untyped-def]
    """Successes of n trials of probability p, as a float64, from the words of `draw`.

    Inversion where the smaller of the two means is below 10, else Hoermann's transformed rejection (1993). Beyond 2^53
    a count is rounded to the spacing of float64, far below its standard deviation.
    """
    small = min(p, 1.0 - p)
    if small <= 0.0:
        return n if p > 0.5 else 0.0
    if n * small < 10.0:
        u, _ = _uniforms(draw)
        term, k = math.exp(n * math.log1p(-small)), 0.0
        while u > term and k < n:
            u -= term
            k += 1.0
            term *= (n - k + 1.0) / k * small / (1.0 - small)
    else:
        deviation = math.sqrt(n * small * (1.0 - small))
        b = 1.15 + 2.53 * deviation
        a = -0.0873 + 0.0248 * b + 0.01 * small
        middle, quick = n * small + 0.5, 0.92 - 4.2 / b
        alpha, odds = (2.83 + 5.1 / b) * deviation, small / (1.0 - small)
        mode = math.floor((n + 1.0) * small)
        while True:
            u, v = _uniforms(draw)
            u -= 0.5
            room = 0.5 - abs(u)
            if room <= 0.0:
                continue
            k = math.floor((2.0 * a / room + b) * u + middle)
            if room >= 0.07 and v <= quick:
                break
            if k < 0.0 or k > n or v <= 0.0:
                continue
            v = math.log(v * alpha / (a / (room * room) + b))
            limit = (mode + 0.5) * math.log((mode + 1.0) / (odds * (n - mode + 1.0)))
            limit += (n + 1.0) * math.log((n - mode + 1.0) / (n - k + 1.0))
            limit += (k + 0.5) * math.log(odds * (n - k + 1.0) / (k + 1.0))
            limit += _stirling(mode) + _stirling(n - mode) - _stirling(k) - _stirling(n - k)
            if v <= limit:
                break
    return k if p <= 0.5 else n - k


# ------------------------------------------------------------------------------------------------- one pass


@njit(cache=True)
def _pull(gaps, means, arm, batch, left, regret, draw):  # type: ignore[no-untyped-def]
    """Mean of a batch, cut where the rounds end; adds to regret[0] and takes from left[0]."""
    n = min(batch, left[0])
    left[0] -= n
    regret[0] += n * gaps[arm]
    return _binomial(float(n), means[arm], draw) / n if n > 0 else -1.0


@njit(cache=True)
def _levels(gaps, means, batch, cap, charge_stored, left, regret, draw):  # type: ignore[no-untyped-def]
    """`StreamPolicy`: the arm that is kept, and the most arms that were stored at once."""
    top = batch.size - 1
    stored, best, spent = np.full(top + 1, -1), np.full(top + 1, -1.0), np.zeros(top + 1, np.int64)
    most = 0
    for i in range(means.size):
        arm, level = i, 0
        while left[0] > 0:
            before, charged = left[0], arm
            mean = _pull(gaps, means, arm, batch[level], left, regret, draw)
            if charge_stored and stored[level] >= 0:
                charged = stored[level]
            regret[0] += (before - left[0]) * (gaps[charged] - gaps[arm])
            spent[level] += batch[level]
            if mean > best[level]:
                stored[level], best[level] = arm, mean
            if level == top or spent[level] < cap[level]:
                break
            arm = stored[level]
            stored[level], best[level], spent[level] = -1, -1.0, 0
            level += 1
        most = max(most, (stored >= 0).sum())
    kept = -1
    largest = -1.0
    for level in range(top + 1):
        if stored[level] >= 0 and best[level] >= largest:
            kept, largest = stored[level], best[level]
    return kept, most


@njit(cache=True)
def _game(gaps, means, eps, unit, log_arms, left, regret, draw):  # type: ignore[no-untyped-def]
    """`GameOfArms`: the arm that is kept, and the most arms that were stored."""
    rounds = left[0]
    king, estimate = 0, _pull(gaps, means, 0, np.int64(math.ceil(unit)), left, regret, draw)
    budget = 1.2 * unit
    for i in range(1, means.size):
        if left[0] <= 0:
            break
        if rounds - left[0] > 10.0 * means.size * unit:
            u, _ = _uniforms(draw)
            if u * log_arms < 1.5:
                mean = _pull(gaps, means, i, np.int64(math.ceil(log_arms * unit)), left, regret, draw)
                if mean > estimate:
                    king, estimate = i, mean
            continue
        budget += unit
        cost, mean = unit, 0.0
        while left[0] > 0:
            if budget < cost:
                king, estimate, budget = i, mean, 1.2 * unit
                break
            budget -= cost
            mean = _pull(gaps, means, i, np.int64(math.ceil(cost)), left, regret, draw)
            if estimate - eps / 5.0 >= mean:
                break
            cost *= 2.0
    return king, 1


@njit(cache=True, parallel=True)
def _streams(
    game, means, batch, cap, charge_stored, numbers, horizon, replicates, first, seed, regret, kept, explored, most
):  # type: ignore[no-untyped-def]
    """Play each stream and replicate; fills the last four arrays, [S, R]."""
    for cell in prange(regret.size):
        c = np.int64(cell)
        s, r = c // replicates, c % replicates
        mu = means[s]
        gaps = mu.max() - mu
        draw = np.array([ZERO, first + np.uint64(c), seed], dtype=np.uint64)
        left, spent = np.full(1, horizon), np.zeros(1)
        if game:
            arm, stored = _game(gaps, mu, numbers[0], numbers[1], numbers[2], left, spent, draw)
        else:
            arm, stored = _levels(gaps, mu, batch, cap, charge_stored, left, spent, draw)
        kept[s, r], most[s, r] = arm, stored
        explored[s, r] = horizon - left[0]
        regret[s, r] = spent[0] + left[0] * gaps[arm]


def simulate_stream(
    policy: StreamPolicy,
    stream: Stream,
    horizon: int,
    replicates: int = 1,
    *,
    charge: Literal["pulled", "stored"] = "pulled",
    first_replicate: int = 0,
    seed: int,
) -> xr.Dataset:
    """Play a single-pass policy on each stream, `replicates` times.

    Parameters
    ----------
    policy : lemmata.problems.bandits.StreamPolicy
    stream : lemmata.problems.bandits.Stream
        S streams of K arms.
    horizon : int
        Rounds T, K <= T < 2^62. What the stream leaves of them goes to the arm that is kept.
    replicates : int
        Of each stream.
    charge : {"pulled", "stored"}
        Whose gap a pull costs: that of the arm pulled, or, as in the program behind the published figures of levels,
        that of the arm stored on its level, which is the better one and makes the regret too small.
    first_replicate : int
        Number of the first replicate of the first stream; they are numbered through.
    seed : int

    Returns
    -------
    xarray.Dataset
        ``regret`` (stream, replicate): pseudo-regret ``sum_t gap``, float64;
        ``explored`` the pulls before the policy committed, ``kept`` the arm it committed to, ``stored`` the most arms
        that it held at once besides the one in hand, int64.

    Raises
    ------
    TypeError, DomainError
        For bad input, before any pull.

    Notes
    -----
    A batch of n pulls costs one binomial number, some 100 ns, whatever n: K = 5,000 arms take 1 ms. Memory: 32 bytes a
    stream and replicate.
    """
    if not isinstance(policy, StreamPolicy):
        raise TypeError(f"policy must be a lemmata.problems.bandits.StreamPolicy, got {type(policy).__name__}")
    if not isinstance(stream, Stream):
        raise TypeError(f"stream must be a lemmata.problems.bandits.Stream, got {type(stream).__name__}")
    if charge not in ("pulled", "stored"):
        raise DomainError(f"charge must be 'pulled' or 'stored', got {charge!r}")
    horizon = check_integer("horizon", horizon, 1)
    replicates, first = check_replicates(replicates, first_replicate)
    seed = check_seed(seed)
    if not stream.arms <= horizon < MAX_ROUNDS:
        raise DomainError(f"T must lie in {stream.arms} (a pull an arm) to 2^62, got {horizon}")
    game = isinstance(policy, GameOfArms)
    given = policy.tables(stream.arms, horizon)
    batch, cap = (np.ones(1, np.int64),) * 2 if game else given
    if not game and int(batch[0]) * stream.arms > horizon:
        raise DomainError(
            f"{policy!r} pulls each of {stream.arms} arms {int(batch[0])} times, more than T = {horizon}: "
            "take a longer horizon or fewer pulls"
        )
    shape = len(stream.means), replicates
    regret, (kept, explored, most) = np.empty(shape), np.empty((3, *shape), dtype=np.int64)
    numbers = np.array(given if game else np.zeros(3))
    numbers_of = np.uint64(first), np.uint64(seed)
    tables = stream.means.copy(), batch.copy(), cap.copy(), charge == "stored", numbers
    _streams(game, *tables, horizon, replicates, *numbers_of, regret, kept, explored, most)
    axes = ("stream", "replicate")
    return dataset(
        {
            "regret": (axes, regret, "reward"),
            "explored": (axes, explored, "pulls"),
            "kept": (axes, kept, "arm"),
            "stored": (axes, most, "arms"),
        },
        {"stream": np.arange(shape[0]), "replicate": np.arange(replicates)},
        regret="pseudo",
        policy=repr(policy),
        horizon=horizon,
        charge=charge,
        seed=seed,
        first_replicate=first,
    )
