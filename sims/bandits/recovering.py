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

from lemmata.errors import DomainError
from lemmata.problems.bandits import Periodic, PeriodicUCB, Recovering, check_integer
from lemmata.random import check_seed
from lemmata.results import dataset
from lemmata.sims._philox import uniform64, words

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["best_cycle", "periodic_policy", "play_periodic", "recovering_relaxation", "simulate_recovering"]

ZERO = np.uint64(0)
#: States of a graph whose best cycle is looked for.
MAX_STATES = 20_000


# --------------------------------------------------------------------------------------------- plans


@njit(cache=True)
def _relax(rewards, capacity, rate, value):  # type: ignore[no-untyped-def]
    """Fills rates x and ``g_i(x_i)``, both float64[N]; returns the arm left in the middle of a piece, or -1."""
    arms, delays = rewards.shape
    slope, width, owner = np.empty(arms * delays), np.empty(arms * delays), np.empty(arms * delays, np.int64)
    pieces = 0
    for i in range(arms):
        rate[i] = value[i] = 0.0
        x, y = 0.0, 0.0  # the last vertex of the hull
        while True:
            # the steepest way on; of equals the farthest
            best, at = 0.0, 0
            for tau in range(delays, 0, -1):
                if 1.0 / tau > x + 1e-15:
                    s = (rewards[i, tau - 1] / tau - y) / (1.0 / tau - x)
                    if s > 0.0 and s >= best - 1e-15:
                        best, at = max(s, best), tau
            if at == 0:
                break
            slope[pieces], width[pieces], owner[pieces] = best, 1.0 / at - x, i
            pieces += 1
            x, y = 1.0 / at, rewards[i, at - 1] / at
    left = float(capacity)
    order = np.argsort(-slope[:pieces], kind="mergesort")
    mixed = -1
    for k in order:
        take = min(left, width[k])
        if take <= 1e-15:
            break
        i = owner[k]
        rate[i] += take
        value[i] += slope[k] * take
        left -= take
        if take < width[k] - 1e-15:
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
    done = np.zeros(arms, np.bool_)
    # free[c]: share of column c that is taken, in units of 1
    for first in range(arms):
        if done[first] or periods[first] == 0:
            continue
        odd = periods[first]
        while odd % 2 == 0:
            odd //= 2
        column, taken = 0, 0.0
        power = 1
        while True:
            more = False
            for i in range(arms):
                if done[i] or periods[i] == 0:
                    continue
                o = periods[i]
                while o % 2 == 0:
                    o //= 2
                if o != odd:
                    continue
                more = True
                if periods[i] != odd * power:
                    continue
                if taken >= 1.0:
                    column, taken = column + 1, 0.0
                # `taken` is a multiple of 1/power: its binary digits reversed are the next free class
                digits, turn, p = int(taken * power), 0, power
                while p > 1:
                    turn = 2 * turn + digits % 2
                    digits //= 2
                    p //= 2
                offset[i] = column % odd + odd * turn
                taken += 1.0 / power
                done[i] = True
            if not more:
                break
            power *= 2
        slots += column // odd + 1
    return slots


@njit(cache=True)
def _plan(rewards, capacity, base, rate, value, periods, offset):  # type: ignore[no-untyped-def]
    """A periodic plan of at most `capacity` pulls a round; fills the last four [N], returns the mixed arm."""
    mixed = _relax(rewards, capacity - base + 1, rate, value)
    for i in range(rate.size):
        periods[i] = _period(rate[i], base)
    _offsets(periods, offset)
    return mixed


def _check(env: Recovering) -> None:
    if not isinstance(env, Recovering):
        raise TypeError(f"env must be a lemmata.problems.bandits.Recovering, got {type(env).__name__}")


def recovering_relaxation(env: Recovering, capacity: float | None = None) -> tuple[np.ndarray, float]:
    """The rates of pulls that the relaxation would like, and its value: no policy earns more a round in the long run.

    Parameters
    ----------
    env : Recovering
    capacity : float, optional
        In place of the environment's.

    Returns
    -------
    rates : float64[N]
    value : float
    """
    _check(env)
    rate, value = np.empty((2, env.arms))
    _relax(env.rewards.copy(), float(env.capacity if capacity is None else capacity), rate, value)
    return rate, float(value.sum())


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
    """
    _check(env)
    base = check_integer("base", base, 1)
    if base > env.capacity:
        raise DomainError(f"base must be at most the capacity {env.capacity}, got {base}")
    (rate, value), (periods, offsets) = np.empty((2, env.arms)), np.zeros((2, env.arms), dtype=np.int64)
    mixed = _plan(env.rewards.copy(), env.capacity, base, rate, value, periods, offsets)
    played = periods > 0
    at = np.minimum(periods[played], env.delays) - 1
    worth = float((env.rewards[played, at] / periods[played]).sum())
    return Periodic(periods, offsets, worth, float(value[mixed]) if mixed >= 0 else 0.0)


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
    DomainError
        The cycle, the least common multiple of the periods, is longer than 10^7 rounds.
    """
    _check(env)
    cycle = math.lcm(*(int(d) for d in plan.periods if d))
    if cycle > 10**7:
        raise DomainError(f"the plan repeats only after {cycle} rounds")
    rounds = 2 * cycle * check_integer("cycles", cycles, 1)
    pulls = np.zeros(rounds, dtype=np.int64)
    mean = _run(env.rewards.copy(), plan.periods, plan.offsets, rounds, pulls)
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
    DomainError
        More than 20,000 states: the time is S^2 A.
    """
    following, reward = np.ascontiguousarray(following, dtype=np.int64), np.ascontiguousarray(reward, dtype=np.float64)
    if following.shape[0] > MAX_STATES:
        raise DomainError(f"{following.shape[0]} states are more than {MAX_STATES}: take fewer arms or shorter delays")
    return float(_karp(following, reward))


# ------------------------------------------------------------------------------------------ learning


@njit(cache=True)
def _uniform(t, arm, replicate, seed):  # type: ignore[no-untyped-def]
    w0, w1, _, _ = words(np.uint64(t), np.uint64(arm), replicate, seed)
    return uniform64(w0, w1)


@njit(cache=True)
def _learn(rewards, capacity, base, level, horizon, points, replicate, seed, earned):  # type: ignore[no-untyped-def]
    """`PeriodicUCB`; earned float64[C] is the expected reward up to each point."""
    arms, delays = rewards.shape
    upper, mean, count = np.ones((arms, delays)), np.zeros((arms, delays)), np.zeros((arms, delays))
    rate, value = np.empty(arms), np.empty(arms)
    periods, offset = np.zeros(arms, np.int64), np.zeros(arms, np.int64)
    last = np.full(arms, -delays)
    total, c = 0.0, 0
    start, phase = 0, 0
    for t in range(horizon):
        if t == start:
            phase += 1
            start = t + phase * delays
            for i in range(arms):
                limit = 1.0
                for d in range(delays - 1, -1, -1):
                    if count[i, d] > 0:
                        limit = min(limit, mean[i, d] + math.sqrt(level * math.log(horizon) / count[i, d]))
                    upper[i, d] = limit
                # a delay that no plan plays must not look better than the shorter one that is played in its place
                for d in range(1, delays - 1):
                    if _period(1.0 / (d + 1), base) != d + 1:
                        upper[i, d] = upper[i, d - 1]
            _plan(upper, capacity, base, rate, value, periods, offset)
            begin = t
        for i in range(arms):
            if periods[i] > 0 and (t - begin) % periods[i] == offset[i]:
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
        for i in range(arms):
            index[i] = np.inf if count[i] == 0 else mean[i] + math.sqrt(2.0 * math.log(t + 1.0) / count[i])
        order = np.argsort(-index, kind="mergesort")
        for i in order[:capacity]:
            d = min(t - last[i], delays) - 1
            last[i] = t
            total += rewards[i, d]
            paid = 1.0 if _uniform(t, i, replicate, seed) < rewards[i, d] else 0.0
            count[i] += 1.0
            mean[i] += (paid - mean[i]) / count[i]
        while c < points.size and t + 1 == points[c]:
            earned[c] = total
            c += 1


@njit(cache=True, parallel=True)
def _replicates(  # type: ignore[no-untyped-def]
    myopic, rewards, capacity, base, level, horizon, points, first, seed, earned
):
    for cell in prange(earned.shape[0]):
        r = first + np.uint64(np.int64(cell))
        if myopic:
            _myopic(rewards, capacity, horizon, points, r, seed, earned[cell])
        else:
            _learn(rewards, capacity, base, level, horizon, points, r, seed, earned[cell])


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
        the value of the `periodic_policy` of the policy's base (of base 1 for UCB1) on the true rewards.

    Raises
    ------
    TypeError, DomainError

    Notes
    -----
    Memory: 8 bytes a replicate and checkpoint, and 50 N D a thread.
    """
    _check(env)
    if not isinstance(policy, PeriodicUCB) and policy != "UCB1":
        raise TypeError(f"policy must be a PeriodicUCB or 'UCB1', got {policy!r}")
    horizon, replicates = check_integer("horizon", horizon, 1), check_integer("replicates", replicates, 1)
    first, seed = check_integer("first_replicate", first_replicate, 0), check_seed(seed)
    points = np.atleast_1d(np.asarray([horizon] if checkpoints is None else checkpoints, dtype=np.int64))
    if points.ndim != 1 or (np.diff(points) <= 0).any() or points[0] < 1 or points[-1] > horizon:
        raise DomainError(f"checkpoints must increase within 1..{horizon}, got {points}")
    base = policy.base if isinstance(policy, PeriodicUCB) else 1
    level = policy.level if isinstance(policy, PeriodicUCB) else 0.0
    value = periodic_policy(env, base).value
    earned = np.empty((replicates, points.size))
    numbers = np.uint64(first), np.uint64(seed)
    rewards = env.rewards.copy()
    _replicates(policy == "UCB1", rewards, env.capacity, base, float(level), horizon, points, *numbers, earned)
    axes = ("replicate", "round")
    return dataset(
        {"earned": (axes, earned, "reward"), "regret": (axes, value * points - earned, "reward")},
        {"replicate": np.arange(replicates), "round": points},
        regret="against the periodic plan on the true rewards",
        policy=repr(policy),
        horizon=horizon,
        seed=seed,
        first_replicate=first,
    )
