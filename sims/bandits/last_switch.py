"""Last-switch-dependent rewards: exact optimum of small instances, a relaxation, and randomised interleaving.

Between two of its rests an arm is played r times in a row. Such a cycle of tau rounds of rest and r plays earns
``f(tau) + f(-1) + ... + f(-(r - 1))`` in tau + r rounds, r of which no other arm can have. Every schedule is made of
cycles, so the best mixture of them, with no arm busy for more than all rounds and no round taken twice, earns no less.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from scipy.optimize import linprog

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.bandits import LastSwitch, Recovering, check_integer, check_replicates
from lemmata.random import check_seed
from lemmata.sims._philox import uniform64, words
from lemmata.sims.bandits.recovering import MAX_STATES, best_cycle, recovering_relaxation

__all__ = ["greedy_last_switch", "interleave", "last_switch_optimum", "last_switch_relaxation", "recharging_optimum"]


def _check(env: LastSwitch) -> None:
    if not isinstance(env, LastSwitch):
        raise TypeError(f"env must be a lemmata.problems.bandits.LastSwitch, got {type(env).__name__}")


def _optimum(following: np.ndarray, reward: np.ndarray, start: int) -> float:
    """The best mean of a schedule that moves one arm or none a round; following [N, states, (rest, play)]."""
    arms, size, _ = following.shape
    states = size**arms
    if states > MAX_STATES:
        raise DomainError(f"{states} states are more than {MAX_STATES}: take fewer arms or shorter delays")
    digits = np.stack(np.unravel_index(np.arange(states), (size,) * arms), axis=1)
    weight = size ** np.arange(arms - 1, -1, -1)
    rest = np.stack([following[i, digits[:, i], 0] for i in range(arms)], axis=1)
    to, paid = [rest @ weight], [np.zeros(states)]
    for i in range(arms):
        moved = rest.copy()
        moved[:, i] = following[i, digits[:, i], 1]
        to.append(moved @ weight)
        paid.append(reward[i, digits[:, i]])
    # state 0 is where walks start
    swap = np.arange(states)
    first = int(np.full(arms, start) @ weight)
    swap[[0, first]] = first, 0
    return best_cycle(swap[np.stack(to, axis=1)[swap]], np.stack(paid, axis=1)[swap])


def last_switch_optimum(env: LastSwitch) -> float:
    """The exact best mean reward a round in the long run, by the best cycle of the graph of all arms' states.

    Raises
    ------
    TypeError
    DomainError
        ``(D + m)^N`` exceeds 20,000.

    Notes
    -----
    Time: N times the states squared. Memory: some 40 N bytes a state.
    """
    _check(env)
    arms, delays, worn = env.arms, env.rested.shape[1], env.worn.shape[1]
    # states -m, ..., -1, 1, ..., D of one arm
    s = np.r_[np.arange(-worn, 0), np.arange(1, delays + 1)]
    rest = np.where(s < 0, worn, np.minimum(np.arange(s.size) + 1, s.size - 1))
    play = np.where(s < 0, np.maximum(np.arange(s.size) - 1, 0), worn - 1)
    following = np.broadcast_to(np.stack([rest, play], axis=1), (arms, s.size, 2))
    return _optimum(following, np.concatenate([env.worn[:, ::-1], env.rested], axis=1), s.size - 1)


def recharging_optimum(env: Recovering) -> float:
    """As `last_switch_optimum`, one pull a round, of rewards that depend on the delay alone; ``D^N`` states.

    Raises
    ------
    TypeError
    DomainError
        ``D^N`` exceeds 20,000, or there is more than one pull a round.
    """
    if not isinstance(env, Recovering):
        raise TypeError(f"env must be a lemmata.problems.bandits.Recovering, got {type(env).__name__}")
    if env.capacity != 1:
        raise DomainError(f"the exact optimum is found for one pull a round, got capacity {env.capacity}")
    delays = env.delays
    rest = np.minimum(np.arange(delays) + 1, delays - 1)
    following = np.broadcast_to(np.stack([rest, np.zeros(delays, np.int64)], axis=1), (env.arms, delays, 2))
    return _optimum(following, env.rewards, delays - 1)


def last_switch_relaxation(env: LastSwitch) -> float:
    """The value of the best mixture of cycles: no policy earns more a round in the long run.

    A linear programme in ``N ((m + 1) D + 1)`` unknowns and N + 1 rows, dense.
    """
    _check(env)
    arms, delays, worn = env.arms, env.rested.shape[1], env.worn.shape[1]
    # runs longer than m + 1 are a run of m + 1 and rounds that all pay f(-m)
    tau, r = (a.ravel() for a in np.meshgrid(np.arange(1, delays + 1), np.arange(1, worn + 2), indexing="ij"))
    columns = tau.size + 1
    earned, busy, plays = np.zeros((arms, columns)), np.r_[tau + r, 1.0], np.r_[r, 1.0]
    for i in range(arms):
        run = np.r_[0.0, np.cumsum(env.worn[i])]
        earned[i, :-1] = env.rested[i, tau - 1] + run[r - 1]
        earned[i, -1] = env.worn[i, -1]
    rows = np.concatenate([np.kron(np.eye(arms), busy), np.tile(plays, arms)[None]])
    return -float(linprog(-earned.ravel(), A_ub=rows, b_ub=np.ones(arms + 1), method="highs").fun)


@njit(cache=True, parallel=True)
def _interleave(rewards, rested, worn, chance, rounds, first, seed, earned):  # type: ignore[no-untyped-def]
    """Each replicate draws a period and an offset an arm; the candidate that its period promises most is played."""
    arms, delays = rewards.shape
    for cell in prange(earned.size):
        c = np.int64(cell)
        period, offset = np.zeros(arms, np.int64), np.zeros(arms, np.int64)
        state = np.full(arms, rested.shape[1])
        for i in range(arms):
            w0, w1, w2, w3 = words(np.uint64(i), np.uint64(0), first + np.uint64(c), seed)
            u, v = uniform64(w0, w1), uniform64(w2, w3)
            for tau in range(delays):
                u -= chance[i, tau]
                if u < 0.0:
                    period[i] = tau + 1
                    offset[i] = np.int64(v * (tau + 1))
                    break
        total = 0.0
        for t in range(rounds):
            best, at = -1.0, -1
            for i in range(arms):
                if period[i] > 0 and t % period[i] == offset[i]:
                    promised = rewards[i, period[i] - 1]
                    if promised > best:
                        best, at = promised, i
            for i in range(arms):
                s = state[i]
                if i == at:
                    total += rested[i, s - 1] if s > 0 else worn[i, -s - 1]
                    state[i] = max(s - 1, -worn.shape[1]) if s < 0 else -1
                else:
                    state[i] = min(s + 1, rested.shape[1]) if s > 0 else 1
        earned[c] = total / rounds


def interleave(
    env: LastSwitch,
    rounds: int,
    replicates: int,
    *,
    planned: Recovering | None = None,
    first_replicate: int = 0,
    seed: int,
) -> np.ndarray:
    """Randomised interleaving: mean reward a round of schedules drawn from the relaxation of ``env.recharging``.

    With z its solution, an arm draws the period tau with probability ``tau z_tau`` (and none with what is left) and an
    offset, independently of the others; it is a candidate once a period, and of the candidates of a round the one is
    played that its period promises most. The candidates are independent, so a round is worth ``(1 - 1/e) sum R z`` at
    least, and an arm that was passed over is only better rested.

    Parameters
    ----------
    env : LastSwitch
    rounds, replicates : int
    planned : Recovering, optional
        What the arms are taken for; ``env.recharging`` by default. There is no guarantee for anything that pays more.
    first_replicate : int
    seed : int

    Returns
    -------
    float64[replicates]

    Raises
    ------
    TypeError, ShapeError, DomainError

    Notes
    -----
    Memory: 8 bytes a replicate.
    """
    _check(env)
    rounds = check_integer("rounds", rounds, 1)
    replicates, first = check_replicates(replicates, first_replicate)
    low = env.recharging if planned is None else planned
    if low.arms != env.arms:
        raise ShapeError(f"planned for {low.arms} arms, and env has {env.arms}")
    earned = np.empty(replicates)
    numbers = np.uint64(first), np.uint64(check_seed(seed))
    tables = low.rewards.copy(), env.rested.copy(), env.worn.copy(), recovering_relaxation(low)[0]
    _interleave(*tables, rounds, *numbers, earned)
    return earned


def greedy_last_switch(env: LastSwitch, rounds: int) -> float:
    """Mean reward a round of playing in every round what pays most at once; of equals the lowest arm.

    Returns
    -------
    float
    """
    _check(env)
    return float(_greedy(env.rested.copy(), env.worn.copy(), check_integer("rounds", rounds, 1)))


@njit(cache=True)
def _greedy(rested, worn, rounds):  # type: ignore[no-untyped-def]
    arms = len(rested)
    state = np.full(arms, rested.shape[1])
    total = 0.0
    for _ in range(rounds):
        best, at = -1.0, 0
        for i in range(arms):
            s = state[i]
            now = rested[i, s - 1] if s > 0 else worn[i, -s - 1]
            if now > best:
                best, at = now, i
        total += best
        for i in range(arms):
            s = state[i]
            if i == at:
                state[i] = max(s - 1, -worn.shape[1]) if s < 0 else -1
            else:
                state[i] = min(s + 1, rested.shape[1]) if s > 0 else 1
    return total / rounds
