"""Recovering rewards: relaxation, purely periodic plans, exact optimum of small instances, and learning.

A plan pulls arm i every ``d_i`` rounds. The relaxation keeps only how often: with ``z_{i,tau}`` the rate of pulls of
arm i at delay tau, ``max sum R_i(tau) z`` under ``sum_tau tau z_{i,tau} <= 1`` and ``sum z <= K``. It splits into the
concave functions ``g_i(x)``, the hull of (0, 0) and ``(1/tau, R_i(tau)/tau)``, of the rates x_i; the steepest pieces
are taken first until K is used up, which leaves at most one arm in the middle of a piece.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit, prange

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems.bandits import (
    Periodic,
    PeriodicUCB,
    Recovering,
    check_checkpoints,
    check_integer,
    check_replicates,
)
from lemmata.random import check_seed
from lemmata.results import dataset
from lemmata.sims._philox import uniform64, words

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "best_cycle",
    "periodic_optimum",
    "periodic_policy",
    "play_periodic",
    "recovering_relaxation",
    "simulate_recovering",
]

ZERO = np.uint64(0)
#: States of a graph whose best cycle is looked for.
MAX_STATES = 20_000


# --------------------------------------------------------------------------------------------- plans


@njit(cache=True)
def _relax(rewards, capacity, share):  # type: ignore[no-untyped-def]
    """Fills the shares of time ``tau z``, float64[N, D]; returns the arm left in the middle of a piece, or -1."""
    arms, delays = rewards.shape
    slope, width = np.empty(arms * delays), np.empty(arms * delays)
    owner, start, end = np.empty((3, arms * delays), np.int64)
    pieces = 0
    for i in range(arms):
        x, y, at, steepest = 0.0, 0.0, 0, np.inf  # the last vertex of the hull, and the piece that led to it
        while True:
            # the steepest way on; of equals the farthest
            best, to = 0.0, 0
            for tau in range(at - 1 if at else delays, 0, -1):
                s = (rewards[i, tau - 1] / tau - y) / (1.0 / tau - x)
                if s > 0.0 and s >= best - 1e-15:
                    best, to = max(s, best), tau
            if to == 0:
                break
            # rounding must not put a piece before the one it follows
            steepest = min(steepest, best)
            slope[pieces], width[pieces] = steepest, 1.0 / to - x
            owner[pieces], start[pieces], end[pieces] = i, at, to
            pieces += 1
            x, y, at = 1.0 / to, rewards[i, to - 1] / to, to
    share[:] = 0.0
    left = float(capacity)
    mixed = -1
    for k in np.argsort(-slope[:pieces], kind="mergesort"):
        if left <= 1e-10:  # what many subtractions leave of nothing
            break
        part = min(left / width[k], 1.0)
        left -= part * width[k]
        i = owner[k]
        share[i, end[k] - 1] = part
        if start[k]:
            share[i, start[k] - 1] = 1.0 - part
        if part < 1.0 - 1e-12:
            mixed = i
    return mixed


@njit(cache=True)
def _period(x, base):  # type: ignore[no-untyped-def]
    """The least integer d >= 1/x whose odd part is that of one of base, ..., 2 base - 1; 0 for x = 0."""
    if x <= 0.0:
        return 0
    need = math.ceil(1.0 / x - 1e-9)
    best = 0
    for b in range(base, 2 * base):
        d = b
        while d % 2 == 0 and d // 2 >= need:
            d //= 2
        while d < need:
            d *= 2
        if best == 0 or d < best:
            best = d
    return best


@njit(cache=True)
def _offsets(periods, offset):  # type: ignore[no-untyped-def]
    """Offsets that let arms of one odd part o share slots; returns the number of slots.

    A slot is o columns of rounds, and a column takes one arm of period o, or two of 2o, or ...: those of short period
    are placed first, and a column is filled in the order of its free rounds.
    """
    arms = periods.size
    slots = 0
    done = periods == 0
    for first in range(arms):
        if done[first]:
            continue
        odd = periods[first]
        while odd % 2 == 0:
            odd //= 2
        # `taken` of the 2^j classes of rounds of a column are in use
        column, taken, power, more = 0, 0, 1, True
        while more:
            more = False
            for i in range(arms):
                if done[i] or periods[i] % odd or (periods[i] // odd) & (periods[i] // odd - 1):
                    continue
                more = True
                if periods[i] != odd * power:
                    continue
                if taken == power:
                    column, taken = column + 1, 0
                # binary digits reversed: the next class that no arm of a shorter period meets
                digits, turn, p = taken, 0, power
                while p > 1:
                    turn = 2 * turn + digits % 2
                    digits //= 2
                    p //= 2
                offset[i] = column % odd + odd * turn
                taken += 1
                done[i] = True
            power, taken = 2 * power, 2 * taken
        slots += column // odd + 1
    return slots


def _check(env: Recovering) -> None:
    if not isinstance(env, Recovering):
        raise TypeError(f"env must be a lemmata.problems.bandits.Recovering, got {type(env).__name__}")


def recovering_relaxation(env: Recovering) -> tuple[np.ndarray, float]:
    """The shares of time that the relaxation would like, and its value: nobody earns more a round in the long run.

    Parameters
    ----------
    env : Recovering

    Returns
    -------
    share : float64[N, D]
        ``tau z_{i,tau}``: arm i is pulled at delay tau in ``share / tau`` of the rounds.
    value : float

    Notes
    -----
    Memory: 48 bytes an arm and delay.
    """
    _check(env)
    share = np.empty(env.rewards.shape)
    _relax(env.rewards.copy(), float(env.capacity), share)
    return share, float((share * env.rewards / np.arange(1, env.delays + 1)).sum())


def periodic_policy(env: Recovering, base: int = 1) -> Periodic:
    """A purely periodic plan with a guarantee.

    Solve the relaxation for ``K - a + 1`` pulls a round; let ``d_i`` be the least integer of at least ``1/x_i`` whose
    odd part is that of one of ``a, ..., 2a - 1``, at most ``(a + 1)/a`` times as long as asked for. Arms of one odd
    part share slots, and a parts waste at most ``a - 1`` of them.

    Parameters
    ----------
    env : Recovering
    base : int
        a, 1 to K; about sqrt K is best in the worst case.

    Returns
    -------
    Periodic

    Raises
    ------
    DomainError

    Notes
    -----
    Memory: 48 bytes an arm and delay.
    """
    _check(env)
    base = check_integer("base", base, 1)
    if base > env.capacity:
        raise DomainError(f"base must be at most the capacity {env.capacity}, got {base}")
    share, (periods, offsets) = np.empty(env.rewards.shape), np.zeros((2, env.arms), dtype=np.int64)
    mixed = _relax(env.rewards.copy(), env.capacity - base + 1.0, share)
    for i, rate in enumerate((share / np.arange(1, env.delays + 1)).sum(axis=1)):
        periods[i] = _period(rate, base)
    _offsets(periods, offsets)
    alone = share[mixed] * env.rewards[mixed] / np.arange(1, env.delays + 1)
    return Periodic(periods, offsets, _worth(env, periods), float(alone.sum()) if mixed >= 0 else 0.0)


@njit(cache=True)
def _knapsack(rewards, capacity, best, choice, periods, offset):  # type: ignore[no-untyped-def]
    """The best plan of periods 1, 2, 4, ..., L exactly: a knapsack of capacity L and arms of sizes L/d.

    Scratch: best float64[capacity L + 1], choice int64[N, capacity L + 1]. Fills periods, with 0 for an arm that is not
    played, and offset.
    """
    arms, delays = rewards.shape
    room = best.size - 1
    longest = room // capacity
    for w in range(room + 1):
        best[w] = 0.0
    for i in range(arms):
        for w in range(room, -1, -1):
            choice[i, w] = 0
            top, size, d = best[w], longest, 1
            while size > 0:
                if size <= w:
                    value = best[w - size] + rewards[i, min(d, delays) - 1] / d
                    if value > top:
                        top, choice[i, w] = value, d
                size, d = size // 2, 2 * d
            best[w] = top
    for i in range(arms - 1, -1, -1):
        periods[i] = choice[i, room]
        if periods[i] > 0:
            room -= longest // periods[i]
    _offsets(periods, offset)


def _longest(env: Recovering) -> int:
    """The least power of 2 that is >= D."""
    return int(2 ** (env.delays - 1).bit_length())


def periodic_optimum(env: Recovering) -> Periodic:
    """The best purely periodic plan whose periods are powers of 2, the longest of them the first that is >= D.

    Any arms of ``sum_i 1/d_i <= K`` can be scheduled then, so that it is a knapsack, solved exactly. Unlike
    `periodic_policy` it is the best of a class, which is what learning by upper limits needs of its planner: rates that
    are rounded waste rounds where two arms pay alike.

    Parameters
    ----------
    env : Recovering

    Returns
    -------
    Periodic

    Notes
    -----
    Time: N K D log D. Memory: 16 N K D bytes.
    """
    _check(env)
    room = env.capacity * _longest(env) + 1
    best, choice = np.empty(room), np.empty((env.arms, room), dtype=np.int64)
    periods, offsets = np.zeros((2, env.arms), dtype=np.int64)
    _knapsack(env.rewards.copy(), env.capacity, best, choice, periods, offsets)
    return Periodic(periods, offsets, _worth(env, periods), 0.0)


def _worth(env: Recovering, periods: np.ndarray) -> float:
    """``sum_i R_i(d_i)/d_i``."""
    at = np.flatnonzero(periods)
    return float((env.rewards[at, np.minimum(periods[at], env.delays) - 1] / periods[at]).sum())


@njit(cache=True)
def _run(rewards, periods, offset, rounds, pulls):  # type: ignore[no-untyped-def]
    """Mean reward of the second half, whose delays are clean; fills pulls int64[rounds]."""
    arms, delays = rewards.shape
    last = np.full(arms, -delays)
    total = 0.0
    for t in range(rounds):
        for i in range(arms):
            if periods[i] > 0 and t % periods[i] == offset[i]:
                pulls[t] += 1
                if 2 * t >= rounds:
                    total += rewards[i, min(t - last[i], delays) - 1]
                last[i] = t
    return total / (rounds - (rounds + 1) // 2)


def play_periodic(env: Recovering, plan: Periodic, cycles: int = 1) -> tuple[float, int]:
    """Play a plan: mean reward a round over whole cycles of all its periods, and the most pulls in a round.

    Raises
    ------
    ShapeError
        A plan of another number of arms.
    DomainError
        The cycle, the least common multiple of the periods, is longer than 10^7 rounds.

    Notes
    -----
    Memory: 16 bytes a round of the cycles.
    """
    _check(env)
    if plan.periods.size != env.arms:
        raise ShapeError(f"the plan is for {plan.periods.size} arms, and env has {env.arms}")
    cycle = math.lcm(*(int(d) for d in plan.periods if d))
    if cycle > 10**7:
        raise DomainError(f"the plan repeats only after {cycle} rounds")
    rounds = 2 * cycle * check_integer("cycles", cycles, 1)
    pulls = np.zeros(rounds, dtype=np.int64)
    mean = _run(env.rewards.copy(), plan.periods.copy(), plan.offsets.copy(), rounds, pulls)
    return float(mean), int(pulls.max())


# ---------------------------------------------------------------------------------- the exact optimum


@njit(cache=True)
def _karp(following, reward):  # type: ignore[no-untyped-def]
    """Largest mean of a cycle of a graph with out-degree A, reached from state 0; int64 and float64 [S, A].

    Karp (1978): ``max_v min_k (F_n(v) - F_k(v))/(n - k)``, F_k(v) the best sum of a walk of k steps from 0 to v. Two
    passes, so that memory is O(S).
    """
    states, actions = following.shape
    last, now, then = np.empty(states), np.empty(states), np.empty(states)
    least = np.full(states, np.inf)
    for again in range(2):
        now[:] = -np.inf
        now[0] = 0.0
        for k in range(states):
            if again:
                for v in range(states):
                    if now[v] > -np.inf and last[v] > -np.inf:
                        least[v] = min(least[v], (last[v] - now[v]) / (states - k))
            then[:] = -np.inf
            for v in range(states):
                if now[v] > -np.inf:
                    for a in range(actions):
                        to = following[v, a]
                        then[to] = max(then[to], now[v] + reward[v, a])
            now, then = then, now
        if not again:
            last[:] = now
    best = -np.inf
    for v in range(states):
        if last[v] > -np.inf:
            best = max(best, least[v])
    return best


def best_cycle(following: np.ndarray, reward: np.ndarray) -> float:
    """The best mean reward a step in a deterministic system from state 0: the exact optimum in the long run.

    Parameters
    ----------
    following : int64[S, A]
        State after each action.
    reward : float64[S, A]

    Returns
    -------
    float

    Raises
    ------
    ShapeError, NonFiniteError
    DomainError
        A state that is none, or more than 20,000 of them: the time is S^2 A.

    Notes
    -----
    Memory: 32 bytes a state.
    """
    following, reward = np.ascontiguousarray(following, dtype=np.int64), np.ascontiguousarray(reward, dtype=np.float64)
    if following.ndim != 2 or not following.size or reward.shape != following.shape:
        raise ShapeError(f"following and reward must both be [S, A], got {following.shape} and {reward.shape}")
    states = len(following)
    if states > MAX_STATES:
        raise DomainError(f"{states} states are more than {MAX_STATES}: take fewer arms or shorter delays")
    if following.min() < 0 or following.max() >= states:
        raise DomainError(f"states are 0 to {states - 1}, got {following.min()} to {following.max()}")
    if not np.isfinite(reward).all():
        raise NonFiniteError(f"reward must be finite, got {reward[~np.isfinite(reward)][0]}")
    return float(_karp(following, reward))


# ------------------------------------------------------------------------------------------ learning


@njit(cache=True)
def _uniform(t, arm, replicate, seed):  # type: ignore[no-untyped-def]
    w0, w1, _, _ = words(np.uint64(t), np.uint64(arm), replicate, seed)
    return uniform64(w0, w1)


@njit(cache=True)
def _learn(rewards, capacity, longest, level, horizon, points, replicate, seed, earned):  # type: ignore[no-untyped-def]
    """`PeriodicUCB`; earned float64[C] is the expected reward up to each point."""
    arms, delays = rewards.shape
    upper, mean, count = np.ones((arms, delays)), np.zeros((arms, delays)), np.zeros((arms, delays))
    best, choice = np.empty(capacity * longest + 1), np.empty((arms, capacity * longest + 1), np.int64)
    periods, due = np.zeros(arms, np.int64), np.zeros(arms, np.int64)
    last = np.full(arms, -delays)
    total, c = 0.0, 0
    start, phase = 0, 0
    for t in range(horizon):
        if t == start:
            phase += 1
            start = t + phase * longest
            for i in range(arms):
                limit = 1.0
                for d in range(delays - 1, -1, -1):
                    if count[i, d] > 0:
                        limit = min(limit, mean[i, d] + math.sqrt(level * math.log(horizon) / count[i, d]))
                    upper[i, d] = limit
            _knapsack(upper, capacity, best, choice, periods, due)
            for i in range(arms):
                due[i] = t + due[i] if periods[i] else -1
        for i in range(arms):
            if due[i] == t:
                due[i] += periods[i]
                d = min(t - last[i], delays) - 1
                last[i] = t
                total += rewards[i, d]
                paid = 1.0 if _uniform(t, i, replicate, seed) < rewards[i, d] else 0.0
                count[i, d] += 1.0
                mean[i, d] += (paid - mean[i, d]) / count[i, d]
        while c < points.size and t + 1 == points[c]:
            earned[c] = total
            c += 1


@njit(cache=True)
def _myopic(rewards, capacity, horizon, points, replicate, seed, earned):  # type: ignore[no-untyped-def]
    """UCB1 that knows of no delay: the K arms of the largest indices, each of one mean for all its pulls."""
    arms, delays = rewards.shape
    mean, count = np.zeros(arms), np.zeros(arms)
    index = np.empty(arms)
    last = np.full(arms, -delays)
    total, c = 0.0, 0
    for t in range(horizon):
        log = 2.0 * math.log(max(t, 1))
        for i in range(arms):
            index[i] = np.inf if count[i] == 0 else mean[i] + math.sqrt(log / count[i])
        for _ in range(capacity):
            arm = np.argmax(index)
            index[arm] = -np.inf
            d = min(t - last[arm], delays) - 1
            last[arm] = t
            total += rewards[arm, d]
            paid = 1.0 if _uniform(t, arm, replicate, seed) < rewards[arm, d] else 0.0
            count[arm] += 1.0
            mean[arm] += (paid - mean[arm]) / count[arm]
        while c < points.size and t + 1 == points[c]:
            earned[c] = total
            c += 1


@njit(cache=True, parallel=True)
def _replicates(  # type: ignore[no-untyped-def]
    myopic, rewards, capacity, longest, level, horizon, points, first, seed, earned
):
    for cell in prange(earned.shape[0]):
        r = first + np.uint64(np.int64(cell))
        if myopic:
            _myopic(rewards, capacity, horizon, points, r, seed, earned[cell])
        else:
            _learn(rewards, capacity, longest, level, horizon, points, r, seed, earned[cell])


def simulate_recovering(
    policy: PeriodicUCB | str,
    env: Recovering,
    horizon: int,
    replicates: int,
    *,
    checkpoints: object = None,
    first_replicate: int = 0,
    seed: int,
) -> xr.Dataset:
    """Learn the rewards while pulling.

    Parameters
    ----------
    policy : PeriodicUCB or "UCB1"
        "UCB1" takes every arm for one that pays the same whenever it is pulled.
    env : Recovering
    horizon : int
    replicates : int
    checkpoints : array_like of int, optional
        Rounds to report; the horizon by default.
    first_replicate : int
    seed : int

    Returns
    -------
    xarray.Dataset
        ``earned`` (replicate, round): sum of ``R_i(tau)`` over what was pulled; ``regret``: ``value T - earned`` with
        the value of the `periodic_optimum` of the true rewards.

    Raises
    ------
    TypeError, DomainError

    Notes
    -----
    Memory: 8 bytes a replicate and checkpoint, and 60 N K D a thread.
    """
    _check(env)
    if not isinstance(policy, PeriodicUCB) and policy != "UCB1":
        raise TypeError(f"policy must be a PeriodicUCB or 'UCB1', got {policy!r}")
    horizon, seed = check_integer("horizon", horizon, 1), check_seed(seed)
    replicates, first = check_replicates(replicates, first_replicate)
    points = check_checkpoints([horizon] if checkpoints is None else checkpoints, horizon)
    level = policy.level if isinstance(policy, PeriodicUCB) else 0.0
    value, longest = periodic_optimum(env).value, _longest(env)
    earned = np.empty((replicates, points.size))
    numbers = np.uint64(first), np.uint64(seed)
    rewards = env.rewards.copy()
    _replicates(policy == "UCB1", rewards, env.capacity, longest, float(level), horizon, points, *numbers, earned)
    axes = ("replicate", "round")
    return dataset(
        {"earned": (axes, earned, "reward"), "regret": (axes, value * points - earned, "reward")},
        {"replicate": np.arange(first, first + replicates, dtype=np.uint64), "round": points},
        regret="against the best plan of periods 1, 2, 4, ... of the true rewards",
        policy=repr(policy),
        horizon=horizon,
        seed=seed,
        first_replicate=first,
    )
