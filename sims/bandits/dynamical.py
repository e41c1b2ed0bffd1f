"""Policies on a linear system with a memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from lemmata.errors import DomainError
from lemmata.problems.bandits import REWARD as _REWARD
from lemmata.problems.bandits import Custom, Policy
from lemmata.problems.bandits.dynamical import STATE as _STATE
from lemmata.problems.bandits.dynamical import DynamicalLinear, check_dynamical
from lemmata.results import dataset
from lemmata.sims._philox import normal, words
from lemmata.sims.bandits.engine import _bind, _fresh, _missing
from lemmata.sims.bandits.policies import KINDS, TIE, Functions

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["simulate_dynamical"]

STREAM_REWARD, STREAM_STATE = np.uint64(_REWARD), np.uint64(_STATE)

# ----------------------------------------------------------------------------------------- DynLin-UCB

_linear_init, _linear_update = KINDS["linear"].init, KINDS["linear"].update


@njit
def _dynlin_init(params, arms, horizon):
    # the ridge regression of `linear`; (epochs begun, rounds left in this one, its arm)
    return _linear_init(params, arms, horizon), np.array([0, 0, -1])


@njit
def _dynlin_select(params, state, t, draw):
    _, _, radius, hold = params
    (_, _, _, mean, width, _), epoch = state
    if epoch[1] == 0:
        beta = radius[epoch[0]]
        most = -np.inf  # actions that are permutations of one another tie, up to rounding: the lowest is played
        for i in range(mean.size):
            index = mean[i] + beta * np.sqrt(max(width[i], 0.0))
            if index > most + TIE * (1.0 + abs(index)):
                epoch[2], most = i, index
        epoch[1] = hold[epoch[0]]
        epoch[0] += 1
    return epoch[2]


@njit
def _dynlin_update(params, state, arm, reward, t):
    regression, epoch = state
    epoch[1] -= 1
    if epoch[1] == 0:
        _linear_update(params, regression, arm, reward, epoch[0])


FUNCTIONS = {**KINDS, "dynlin": Functions(_dynlin_init, _dynlin_select, _dynlin_update)}

# ----------------------------------------------------------------------------------------------- the loop

_init = _select = _update = _missing


def _runs(params, A, into, omega, at_once, noise, scale, best, points, first, seed, regret, counts, arm_of, reward_of):  # type: ignore[no-untyped-def]
    """Play replicates first, first + 1, ...; fills regret[R, C], counts[R, K] and, where it has rounds, the path.

    `into` is B u and `at_once` <theta, u> of each action; `noise` is (sigma, state sigma); a reward reaches the policy
    as (y - scale[0]) * scale[1], clipped to [0, 1] where scale[2] is 1. Gives the first bad round, or 0.
    """
    arms, n = into.shape
    horizon = points[-1]
    mean, error, moved = np.zeros(n), np.zeros(n), np.zeros(n)
    for r in range(counts.shape[0]):
        replicate = first + np.uint64(r)
        draw = (replicate, seed)
        state = _init(params, arms, horizon)
        for i in range(n):
            mean[i], error[i] = 0.0, 0.0
        total, z, y2, c = 0.0, 0.0, 0.0, 0
        for t in range(1, horizon + 1):
            arm = _select(params, state, t, draw)
            if arm < 0 or arm >= arms:
                return t
            expected, late = at_once[arm], 0.0
            for i in range(n):
                expected += omega[i] * mean[i]
                late += omega[i] * error[i]
            reward = expected + late
            if noise[0] > 0.0:
                if t & 1:
                    w0, w1, w2, w3 = words((t - 1) >> 1, STREAM_REWARD, replicate, seed)
                    z, y2 = normal(w0, w1, w2, w3)
                else:
                    z = y2
                reward += noise[0] * z
            total += best - expected
            counts[r, arm] += 1
            if arm_of.size:
                arm_of[r, t - 1] = arm
                reward_of[r, t - 1] = reward
            seen = (reward - scale[0]) * scale[1]
            if scale[2] == 1.0:
                seen = min(max(seen, 0.0), 1.0)
            _update(params, state, arm, seen, t)
            for i in range(n):
                s = into[arm, i]
                for j in range(n):
                    s += A[i, j] * mean[j]
                moved[i] = s
            for i in range(n):
                mean[i] = moved[i]
            if noise[1] > 0.0:
                for i in range(n):
                    s = 0.0
                    for j in range(n):
                        s += A[i, j] * error[j]
                    moved[i] = s
                for i in range(0, n, 2):
                    block = (t - 1) * ((n + 1) >> 1) + (i >> 1)
                    w0, w1, w2, w3 = words(block, STREAM_STATE, replicate, seed)
                    e0, e1 = normal(w0, w1, w2, w3)
                    error[i] = moved[i] + noise[1] * e0
                    if i + 1 < n:
                        error[i + 1] = moved[i + 1] + noise[1] * e1
            if t == points[c]:
                regret[r, c] = total
                c += 1
    return 0


def simulate_dynamical(
    policy: Policy,
    env: DynamicalLinear,
    horizon: int,
    replicates: int,
    *,
    checkpoints: object = None,
    first_replicate: int = 0,
    path: bool = False,
    seed: int,
) -> xr.Dataset:
    """Play a policy on a linear system with a memory, many times over.

    Parameters
    ----------
    policy : lemmata.problems.bandits.Policy
        `DynLinUCB`, or a policy that takes the rewards for those of its last action: `UCB1`, `Exp3`, `OFUL`, ... One
        that needs rewards in [0, 1] is given them rescaled from ``env.range``, and clipped.
    env : DynamicalLinear
    horizon, replicates : int
        Rounds T >= 1 and runs R >= 1.
    checkpoints : array_like of int, (C,), optional
        Rounds to report, increasing in 1..T; eight an octave by default.
    first_replicate : int
        Number of the first run.
    path : bool
        Whether to keep every action and reward, 16 R T bytes.
    seed : int

    Returns
    -------
    xarray.Dataset
        ``regret`` (replicate, round): ``t max J - sum_{s<=t} E[y_s | u_1..u_s]``, see `DynamicalLinear`.
        ``counts`` (replicate, arm); with `path` also ``arm`` and ``reward`` (replicate, step).

    Raises
    ------
    TypeError, ShapeError, DomainError
        For bad input, before any round.

    Notes
    -----
    Memory: 8 R (C + K) bytes, the policy's tables, and the path. Runs follow one another in one thread. The noise of
    the reward reads the words that `Gaussian` reads (stream `REWARD`), that of the state stream `STATE`.

    Examples
    --------
    >>> from lemmata.problems.bandits import DynLinUCB, budget_system
    >>> env = budget_system()
    >>> run = simulate_dynamical(DynLinUCB.of(env), env, 1000, 20, checkpoints=[1000], seed=0)
    >>> round(float(run["regret"].mean()))
    141
    """
    checked = check_dynamical(policy, env, horizon, replicates, checkpoints, first_replicate, seed)
    params = tuple(_fresh(policy.tables(env.arms, checked.horizon)))
    if isinstance(policy, Custom):
        play = _bind(_runs, Functions(policy.init, policy.select, policy.update), "custom")
    else:
        play = _bind(_runs, FUNCTIONS[policy.kind], policy.kind)
    # a run ends at its horizon, reported or not
    points = checked.points if checked.points[-1] == checked.horizon else np.append(checked.points, checked.horizon)
    regret = np.zeros((checked.replicates, points.size))
    counts = np.zeros((checked.replicates, env.arms), np.int64)
    kept = (checked.replicates, checked.horizon if path else 0)
    arm_of, reward_of = np.zeros(kept, np.int64), np.zeros(kept)
    bad = play(
        params,
        *_fresh((env.A, env.actions @ env.B.T, env.omega, env.actions @ env.theta)),
        (env.sigma, env.state_sigma),
        (*checked.scale, float(policy.rewards == "unit")),
        float(env.means.max()),
        points,
        np.uint64(checked.first),
        np.uint64(checked.seed),
        regret,
        counts,
        arm_of,
        reward_of,
    )
    if bad:
        raise DomainError(f"{policy!r} chose no action of 0..{env.arms - 1} in round {bad}: check its select")
    variables = {
        "regret": (("replicate", "round"), regret[:, : checked.points.size], "reward"),
        "counts": (("replicate", "arm"), counts, "pulls"),
    }
    coords = {
        "round": checked.points,
        "arm": np.arange(env.arms),
        "replicate": np.arange(checked.first, checked.first + checked.replicates, dtype=np.uint64),
    }
    if path:
        variables["arm_of"] = (("replicate", "step"), arm_of, "action played")
        variables["reward"] = (("replicate", "step"), reward_of, "reward")
        coords["step"] = np.arange(1, checked.horizon + 1)
    return dataset(
        variables,
        coords,
        regret=env.regret_kind,
        policy=repr(policy),
        backend="sims",
        horizon=checked.horizon,
        seed=checked.seed,
    )
