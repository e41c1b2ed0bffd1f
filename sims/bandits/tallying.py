"""Policies on arms whose losses depend on how often they were played of late."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from lemmata.errors import DomainError
from lemmata.problems.bandits import REWARD as _REWARD
from lemmata.problems.bandits import Custom, Policy
from lemmata.problems.bandits.tallying import Tallying, check_tallying
from lemmata.results import dataset
from lemmata.sims._philox import words
from lemmata.sims.bandits.engine import _bind, _fresh, _missing
from lemmata.sims.bandits.policies import KINDS, Functions

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["simulate_tallying"]

STREAM_REWARD = np.uint64(_REWARD)
WORD = 2.0**32


@njit
def _tallying_init(params, arms, horizon):
    # sums; active arms in increasing order; (number active, position, rounds in the block, phase)
    return np.zeros(arms), np.arange(arms), np.array([arms, 0, 0, 1])


@njit
def _tallying_select(params, state, t, draw):
    _, active, where = state
    return active[where[1]]


@njit
def _tallying_update(params, state, arm, reward, t):
    radius, discarded = params
    total, active, where = state
    if where[0] == 1:
        return
    length = 1 << where[3]
    where[2] += 1
    if where[2] > discarded:
        total[arm] += reward
    if where[2] < discarded + length:
        return
    where[2] = 0
    where[1] += 1
    if where[1] < where[0]:
        return
    most = 0.0
    for j in range(where[0]):
        most = max(most, total[active[j]] / length)
    kept = 0
    for j in range(where[0]):
        if total[active[j]] / length + radius[where[3]] >= most - radius[where[3]]:
            active[kept] = active[j]
            kept += 1
    for j in range(total.size):
        total[j] = 0.0
    where[0], where[1] = kept, 0
    where[3] += 1


FUNCTIONS = {**KINDS, "tallying": Functions(_tallying_init, _tallying_select, _tallying_update)}

_init = _select = _update = _missing


def _runs(params, weights, knots, losses, best, points, first, seed, regret, counts):  # type: ignore[no-untyped-def]
    """Play replicates first, first + 1, ...; fills regret[R, C] and counts[R, K]. Gives the first bad round, or 0."""
    arms, m = losses.shape[0], weights.size
    horizon = points[-1]
    last, full = np.full(m, -1), weights.sum()
    for r in range(counts.shape[0]):
        replicate = first + np.uint64(r)
        draw = (replicate, seed)
        state = _init(params, arms, horizon)
        for j in range(m):
            last[j] = -1
        total, run, c = 0.0, 0, 0
        w0, w1, w2, w3 = words(0, STREAM_REWARD, replicate, seed)
        for t in range(1, horizon + 1):
            arm = _select(params, state, t, draw)
            if arm < 0 or arm >= arms:
                return t
            here = t % m
            run = run + 1 if last[(t - 1) % m] == arm else 1
            last[here] = arm
            tally = full
            if run < m:
                tally = 0.0
                for j in range(m):  # the ring holds what was played j rounds ago at here - j
                    if last[here - j] == arm:
                        tally += weights[j]
            i = 1
            while i < knots.size - 1 and tally > knots[i]:
                i += 1
            share = min(1.0, (tally - knots[i - 1]) / (knots[i] - knots[i - 1]))
            loss = losses[arm, i - 1] + share * (losses[arm, i] - losses[arm, i - 1])
            if t & 3 == 1:
                w0, w1, w2, w3 = words((t - 1) >> 2, STREAM_REWARD, replicate, seed)
            w = w0 if t & 3 == 1 else w1 if t & 3 == 2 else w2 if t & 3 == 3 else w3
            reward = 1.0 if np.float64(w) < (1.0 - loss) * WORD else 0.0
            total += loss - best
            counts[r, arm] += 1
            _update(params, state, arm, reward, t)
            if t == points[c]:
                regret[r, c] = total
                c += 1
    return 0


def simulate_tallying(
    policy: Policy,
    env: Tallying,
    horizon: int,
    replicates: int,
    *,
    checkpoints: object = None,
    first_replicate: int = 0,
    seed: int,
) -> xr.Dataset:
    """Play a policy on a weighted tallying bandit, many times over.

    Parameters
    ----------
    policy : lemmata.problems.bandits.Policy
        `TallyingElimination`, or one that takes the rewards for those of an arm: `UCB1`, `Exp3`, ...
    env : Tallying
    horizon, replicates : int
        Rounds T, 1 <= T < 2^32, and runs R >= 1.
    checkpoints : array_like of int, (C,), optional
        Rounds to report, increasing in 1..T; eight an octave by default.
    first_replicate : int
        Number of the first run.
    seed : int

    Returns
    -------
    xarray.Dataset
        ``regret`` (replicate, round): ``sum_{s<=t} h_{a_s}(y_s) - t h*``, see `Tallying`; ``counts`` (replicate, arm).

    Raises
    ------
    TypeError, ShapeError, DomainError
        For bad input, before any round.

    Notes
    -----
    A round costs O(m) until an arm was played m times in a row, then O(1). Memory:
    8 R (C + K) bytes and the policy's tables. Runs follow one another in one thread.

    Examples
    --------
    >>> from lemmata.problems.bandits import TallyingElimination, hidden_tallying
    >>> run = simulate_tallying(TallyingElimination(3), hidden_tallying(2, 4, 1), 4096, 1, checkpoints=[4096], seed=0)
    >>> float(run["regret"][0, 0])
    92.0
    """
    horizon, replicates, points, first, seed = check_tallying(
        policy, env, horizon, replicates, checkpoints, first_replicate, seed
    )
    params = tuple(_fresh(policy.tables(env.arms, horizon)))
    if isinstance(policy, Custom):
        play = _bind(_runs, Functions(policy.init, policy.select, policy.update), "custom")
    else:
        play = _bind(_runs, FUNCTIONS[policy.kind], policy.kind)
    # a run ends at its horizon, reported or not
    ends = points if points[-1] == horizon else np.append(points, horizon)
    regret, counts = np.zeros((replicates, ends.size)), np.zeros((replicates, env.arms), np.int64)
    tables = _fresh((env.weights, env.knots, env.losses))
    best = 1.0 - float(env.means.max())
    bad = play(params, *tables, best, ends, np.uint64(first), np.uint64(seed), regret, counts)
    if bad:
        raise DomainError(f"{policy!r} chose no arm of 0..{env.arms - 1} in round {bad}: check its select")
    return dataset(
        {
            "regret": (("replicate", "round"), regret[:, : points.size], "loss"),
            "counts": (("replicate", "arm"), counts, "pulls"),
        },
        {
            "round": points,
            "arm": np.arange(env.arms),
            "replicate": np.arange(first, first + replicates, dtype=np.uint64),
        },
        regret=env.regret_kind,
        policy=repr(policy),
        backend="sims",
        horizon=horizon,
        seed=seed,
    )
