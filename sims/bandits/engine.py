"""The loops that play a policy on an environment: replicates, one trajectory, all reward sequences, identification.

Each loop is written once, around three names: `_init`, `_select` and `_update` (and `_stop` where arms are
identified). `_bind` makes a copy of the loop in which they are the functions of one kind of policy. Copies for the
built-in kinds are cached on disk; a user's `Custom` policy goes through the same copy, compiled once a process.

A replicate is a function of (policy, environment, seed, its number): `lemmata.problems.bandits.runs` says which words
it reads. Replicates run in parallel threads, and nothing that is reported depends on how many.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit, prange

from lemmata.errors import DomainError
from lemmata.problems.bandits import REWARD as _REWARD
from lemmata.problems.bandits import (
    Bernoulli,
    Bounded,
    Custom,
    Environment,
    Identification,
    Policy,
    RegretStatistics,
    Reward,
    check_integer,
    check_pairing,
    check_replicates,
    check_run,
    result,
    segments,
)
from lemmata.random import check_seed
from lemmata.results import dataset
from lemmata.sims import _philox
from lemmata.sims._philox import normal, words
from lemmata.sims.bandits import policies
from lemmata.sims.bandits.policies import KINDS, Functions

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["expectation", "identify", "simulate", "trajectory"]

BERNOULLI, GAUSSIAN, BOUNDED, TABLE = (int(kind) for kind in Reward)
STREAM_REWARD = np.uint64(_REWARD)
#: Replicates whose regrets are held at once, [CHUNK, checkpoint], before they are added to the statistics.
CHUNK = 4096
#: Reward sequences that `expectation` is ready to play.
MAX_SEQUENCES = 2**22


# ----------------------------------------------------------------------------------------------- loops


@njit
def _reward(env, phase, arm, w0, z):  # type: ignore[no-untyped-def]
    if env.kind == BERNOULLI:
        return 1.0 if np.uint64(w0) < env.threshold[arm] else 0.0
    if env.kind == GAUSSIAN:
        return env.mean[arm] + env.sigma * z
    if env.kind == BOUNDED:
        j = 0
        while np.uint64(w0) >= env.cumulative[arm, j]:
            j += 1
        return env.value[arm, j]
    return 1.0 - env.cost[phase, arm]


def _replicate(params, env, stops, phases, points, replicate, seed, regret, counts):  # type: ignore[no-untyped-def]
    """Play one replicate; fills regret[C] and counts[K]. Gives 0, or the round in which the arm was not one."""
    arms = counts.size
    state = _init(params, arms, stops[-1])
    draw = (replicate, seed)
    before = np.zeros(arms, np.int64)  # counts when the phase began
    spent = 0.0  # cost of earlier phases
    # one block serves four rounds, or two where its words make normals
    gaussian = env.kind == GAUSSIAN
    within, shift = (1, 1) if gaussian else (3, 2)
    w0 = w1 = w2 = w3 = np.uint32(0)
    z = y = 0.0
    t = 0
    for s in range(stops.size):
        phase = phases[s]
        for t in range(t + 1, stops[s] + 1):  # noqa: B020
            arm = _select(params, state, t, draw)
            if arm < 0 or arm >= arms:
                return t
            if (t - 1) & within == 0:
                w0, w1, w2, w3 = words((t - 1) >> shift, STREAM_REWARD, replicate, seed)
                if gaussian:
                    z, y = normal(w0, w1, w2, w3)
            elif gaussian:
                z = y
            reward = _reward(env, phase, arm, w0, z)
            w0, w1, w2 = w1, w2, w3
            counts[arm] += 1
            _update(params, state, arm, reward, t)
        total = spent
        for i in range(arms):
            total += (counts[i] - before[i]) * env.cost[phase, i]
        if points[s] >= 0:
            regret[points[s]] = total
        if s + 1 < stops.size and phases[s + 1] != phase:
            spent = total
            before[:] = counts
    return 0


def _replicates(params, env, stops, phases, points, first, seed, regret, counts):  # type: ignore[no-untyped-def]
    """Play replicates first, first + 1, ...; fills regret[R, C] and counts[R, K]. Gives `_replicate`'s, int64[R]."""
    bad = np.zeros(counts.shape[0], np.int64)
    for i in prange(counts.shape[0]):
        r = np.int64(i)  # prange counts in uint64, which mixes with int64 into float64
        replicate = first + np.uint64(r)
        bad[r] = _replicate(params, env, stops, phases, points, replicate, seed, regret[r], counts[r])
    return bad


def _path(params, env, starts, replicate, seed, arm_of, reward_of):  # type: ignore[no-untyped-def]
    """Play one replicate and write down every round; gives what `_replicate` does."""
    arms = env.cost.shape[1]
    state = _init(params, arms, arm_of.size)
    draw = (replicate, seed)
    phase = 0
    for t in range(1, arm_of.size + 1):
        while phase + 1 < starts.size and starts[phase + 1] <= t:
            phase += 1
        arm = _select(params, state, t, draw)
        if arm < 0 or arm >= arms:
            return t
        if env.kind == GAUSSIAN:
            four = words((t - 1) >> 1, STREAM_REWARD, replicate, seed)
        else:
            four = words((t - 1) >> 2, STREAM_REWARD, replicate, seed)
        pair = normal(four[0], four[1], four[2], four[3])
        part = (t - 1) & 3
        word = four[0] if part == 0 else four[1] if part == 1 else four[2] if part == 2 else four[3]
        reward = _reward(env, phase, arm, word, pair[0] if t & 1 else pair[1])
        _update(params, state, arm, reward, t)
        arm_of[t - 1] = arm
        reward_of[t - 1] = reward
    return 0


def _sequences(params, value, probability, cost, regret):  # type: ignore[no-untyped-def]
    """Play every sequence of outcomes 0..S-1 and add its regret, weighted by its probability, to regret[T]."""
    arms, outcomes = value.shape
    horizon = regret.size
    draw = (np.uint64(0), np.uint64(0))
    outcome = np.zeros(horizon, np.int64)
    while True:
        state = _init(params, arms, horizon)
        weight = 1.0
        total = 0.0
        # a prefix is counted once: where every later outcome is the first
        last = horizon
        while last > 0 and outcome[last - 1] == 0:
            last -= 1
        for t in range(1, horizon + 1):
            arm = _select(params, state, t, draw)
            if arm < 0 or arm >= arms:
                return t
            total += cost[arm]
            # the arm of round t depends on earlier outcomes alone
            if t > last:
                regret[t - 1] += weight * total
            weight *= probability[arm, outcome[t - 1]]
            _update(params, state, arm, value[arm, outcome[t - 1]], t)
        t = horizon
        while t > 0 and outcome[t - 1] == outcomes - 1:
            outcome[t - 1] = 0
            t -= 1
        if t == 0:
            return 0
        outcome[t - 1] += 1


def _identification(params, env, limit, replicate, seed, answer, pulls):  # type: ignore[no-untyped-def]
    """Pull until `_stop`; writes the arm it settles on and its pulls, or -1 and `limit`."""
    arms = env.cost.shape[1]
    state = _init(params, arms, limit)
    draw = (replicate, seed)
    w0 = w1 = w2 = w3 = np.uint32(0)
    answer[0], pulls[0] = -1, limit
    for t in range(1, limit + 1):
        arm = _select(params, state, t, draw)
        if (t - 1) & 3 == 0:
            w0, w1, w2, w3 = words((t - 1) >> 2, STREAM_REWARD, replicate, seed)
        reward = _reward(env, 0, arm, w0, 0.0)
        w0, w1, w2 = w1, w2, w3
        _update(params, state, arm, reward, t)
        if t >= arms and _stop(params, state, t):
            answer[0], pulls[0] = _select(params, state, t + 1, draw), t
            return


def _identifications(params, env, limit, first, seed, answer, pulls):  # type: ignore[no-untyped-def]
    """`_identification` of replicates first, first + 1, ...; fills answer[R] and pulls[R]."""
    for i in prange(answer.size):
        r = np.int64(i)
        _identification(params, env, limit, first + np.uint64(r), seed, answer[r : r + 1], pulls[r : r + 1])


def _missing(*_: Any) -> Any:
    raise NotImplementedError


# the names that a bound copy of a loop replaces
_init = _select = _update = _stop = _missing


# -------------------------------------------------------------------------------------------- compiling

# numba's cache watches this file; what else is compiled in goes into the name under which a copy is cached
_DIGEST = hashlib.sha256("".join(inspect.getsource(m) for m in (policies, _philox)).encode()).hexdigest()[:12]


@lru_cache(maxsize=128)
def _bind(loop: Callable[..., Any], functions: Functions, kind: str) -> Callable[..., Any]:
    """The loop around the functions of one policy, compiled; cached on disk where `kind` names a built-in one."""
    scope = dict(loop.__globals__)
    scope.update({f"_{name}": function for name, function in functions._asdict().items() if function is not None})
    for inner, outer in ((_replicate, _replicates), (_identification, _identifications)):
        if loop is outer:
            scope[inner.__name__] = _bind(inner, functions, kind)
    bound = FunctionType(loop.__code__, scope, loop.__name__)  # type: ignore[attr-defined]
    bound.__qualname__ = f"{loop.__name__}-{kind}-{_DIGEST}"  # numba names the cache entry after it
    return njit(cache=kind != "custom", parallel=loop in (_replicates, _identifications))(bound)


def _compiled(loop: Callable[..., Any], policy: Policy) -> Callable[..., Any]:
    if isinstance(policy, Custom):
        return _bind(loop, Functions(policy.init, policy.select, policy.update), "custom")
    return _bind(loop, KINDS[policy.kind], policy.kind)


class _Tables(NamedTuple):
    """An environment as numba sees it: `RewardTables`, every array contiguous and writable."""

    kind: int
    threshold: np.ndarray
    mean: np.ndarray
    sigma: float
    value: np.ndarray
    cumulative: np.ndarray
    cost: np.ndarray


def _fresh(values: Sequence[Any]) -> list[Any]:
    # numba compiles anew for a read-only array where it has seen a writable one
    return [np.array(v, order="C") if isinstance(v, np.ndarray) else v for v in values]


def _arguments(policy: Policy, env: Environment, horizon: int) -> tuple[tuple[Any, ...], _Tables]:
    return tuple(_fresh(policy.tables(env.arms, horizon))), _Tables(*_fresh(env.tables()))


def _refuse_arm(bad: np.ndarray, first: int, policy: Policy, arms: int) -> None:
    rows = np.flatnonzero(bad)
    if rows.size:
        r = int(rows[0])
        raise DomainError(
            f"{policy!r} chose no arm of 0..{arms - 1} in round {bad[r]} of replicate {first + r}: check its select"
        )


# ---------------------------------------------------------------------------------------------- public


def simulate(
    policy: Policy,
    env: Environment,
    horizon: int,
    replicates: int,
    *,
    checkpoints: Any = None,
    device: str | None = None,
    first_replicate: int = 0,
    samples: bool = False,
    seed: int,
) -> xr.Dataset:
    """Play a policy on an environment, many times over, and summarise its regret.

    Parameters
    ----------
    policy : lemmata.problems.bandits.Policy
        A built-in one, or your own functions in `Custom`.
    env : lemmata.problems.bandits.Environment
    horizon : int
        Rounds T >= 1.
    replicates : int
        Independent runs R >= 1, numbered from `first_replicate`.
    checkpoints : array_like of int, (C,), optional
        Rounds to report, increasing in 1..T; eight an octave by default.
    device : {None, "cpu"}
        Here for the kernels' sake.
    first_replicate : int
        Number of the first replicate: runs of 0..499 and 500..999 are together the run of 0..999.
    samples : bool
        Whether to keep the regret of every replicate at every checkpoint, 8 R C bytes.
    seed : int

    Returns
    -------
    xarray.Dataset
        ``mean`` and ``variance`` (round): of the regret after each checkpoint; the variance is unbiased, and left out
        where R = 1.
        ``quantile`` (level, round): from a histogram of fixed bins, within ``attrs["quantile_error"]`` = 2^-8 of the
        sample's quantile, relatively, or 2^-16 absolutely.
        ``counts`` (replicate, arm): pulls at the horizon, int64.
        ``regret`` (replicate, round): where `samples`.
        ``attrs["regret"]`` names the regret: "pseudo" (``sum_i gap_i n_i``) or "adversarial" (loss less that of the
        best fixed arm).

    Raises
    ------
    TypeError, ShapeError, DomainError
        For bad input, before any round; where a user's `select` gives an arm that does not exist.

    Notes
    -----
    Memory: 8 R K bytes of counts, ``4096 C`` regrets and a histogram of 115 kB a checkpoint, whatever the horizon;
    the policy's table adds 8 to 16 bytes a round, shared by all replicates. Replicates run in
    ``numba.get_num_threads()`` threads.

    Examples
    --------
    >>> from lemmata.problems.bandits import UCB1, instance_a
    >>> run = simulate(UCB1(), instance_a(), 1000, 200, seed=0)
    >>> float(run["mean"][-1])  # the exact expectation is near 83.2
    83.2...
    """
    if device not in (None, "cpu"):
        raise DomainError(f"this backend runs on the cpu, not on {device!r}: use lemmata.kernels.bandits")
    checked = check_run(policy, env, horizon, replicates, checkpoints, first_replicate, seed)
    horizon, replicates, points, first, seed = checked
    params, tables = _arguments(policy, env, horizon)
    stops, phases, index = segments(env, horizon, points)
    comparator = env.comparator(points)
    play = _compiled(_replicates, policy)
    statistics = RegretStatistics(points.size)
    counts = np.zeros((replicates, env.arms), dtype=np.int64)
    kept = np.empty((replicates, points.size)) if samples else None
    for start in range(0, replicates, CHUNK):
        part = slice(start, min(start + CHUNK, replicates))
        regret = np.empty((part.stop - start, points.size))
        number = np.uint64(first + start)
        bad = play(params, tables, stops, phases, index, number, np.uint64(seed), regret, counts[part])
        _refuse_arm(bad, first + start, policy, env.arms)
        regret -= comparator
        statistics.add(regret)
        if kept is not None:
            kept[part] = regret
    provenance = {"backend": "sims", "device": "cpu", "seed": seed, "first_replicate": first, "horizon": horizon}
    return result(policy, env, points, statistics, counts, kept, **provenance)


def trajectory(policy: Policy, env: Environment, horizon: int, *, replicate: int = 0, seed: int) -> xr.Dataset:
    """Every round of one replicate: the same as in `simulate`, written down.

    Parameters
    ----------
    policy, env, horizon
        As for `simulate`.
    replicate : int
        Its number.
    seed : int

    Returns
    -------
    xarray.Dataset
        ``arm`` (round), int64, ``reward`` (round) and ``regret`` (round), after each round.

    Raises
    ------
    TypeError, ShapeError, DomainError
        As for `simulate`.
    """
    number = check_integer("replicate", replicate, 0)
    horizon, _, _, number, seed = check_run(policy, env, horizon, 1, None, number, seed)
    params, tables = _arguments(policy, env, horizon)
    arm, reward = np.zeros(horizon, np.int64), np.zeros(horizon)
    starts = env.starts.copy()
    play = _compiled(_path, policy)
    bad = play(params, tables, starts, np.uint64(number), np.uint64(seed), arm, reward)
    _refuse_arm(np.array([bad]), number, policy, env.arms)
    rounds = np.arange(1, horizon + 1)
    phase = np.searchsorted(env.starts, rounds, side="right") - 1
    regret = np.cumsum(tables.cost[phase, arm]) - env.comparator(rounds)
    return dataset(
        {
            "arm": (("round",), arm, "arm"),
            "reward": (("round",), reward, "reward"),
            "regret": (("round",), regret, "reward"),
        },
        {"round": rounds},
        regret=env.regret_kind,
        policy=repr(policy),
        env=type(env).__name__,
        backend="sims",
        seed=seed,
        replicate=number,
    )


def expectation(policy: Policy, env: Bernoulli | Bounded, horizon: int) -> np.ndarray:
    """The exact expected pseudo-regret after each round, by playing every reward sequence.

    For a policy that draws nothing itself and rewards of S values: S^T runs, of this simulator's own functions.

    Parameters
    ----------
    policy : Policy
        UCB, MOSS, KL-UCB, explore-then-commit, elimination, or a `Custom` one without random numbers: a policy that
        draws sees the same words in every sequence.
    env : Bernoulli or Bounded
    horizon : int
        T with ``S^T <= 2^22``.

    Returns
    -------
    float64[T]

    Raises
    ------
    TypeError
        Another environment.
    DomainError
        Too many sequences; a policy that draws; else as for `simulate`.
    """
    if not isinstance(env, (Bernoulli, Bounded)):
        raise TypeError(f"reward sequences are enumerated for Bernoulli and Bounded, not for {type(env).__name__}")
    horizon = check_integer("horizon", horizon, 1)
    check_pairing(policy, env, horizon)
    if policy.kind.startswith(("thompson", "epsilon", "exp3", "tsallis")):
        raise DomainError(f"{type(policy).__name__} draws its own coins: its expectation is not over rewards alone")
    if isinstance(env, Bernoulli):
        value = np.tile([0.0, 1.0], (env.arms, 1))
        probability = np.stack([1 - env.means, env.means], axis=1)
    else:
        value, probability = env.values.copy(), env.probabilities.copy()
    if horizon * np.log2(value.shape[1]) > np.log2(MAX_SEQUENCES):
        raise DomainError(f"{value.shape[1]}^{horizon} reward sequences are too many; the limit is {MAX_SEQUENCES}")
    regret = np.zeros(horizon)
    play = _compiled(_sequences, policy)
    bad = play(tuple(_fresh(policy.tables(env.arms, horizon))), value, probability, env.gaps.copy(), regret)
    _refuse_arm(np.array([bad]), 0, policy, env.arms)
    return regret


def identify(
    policy: Identification,
    env: Bernoulli | Bounded,
    replicates: int,
    *,
    max_pulls: int = 1_000_000,
    first_replicate: int = 0,
    seed: int,
) -> xr.Dataset:
    """Pull until the policy names the best arm, many times over.

    Parameters
    ----------
    policy : SuccessiveElimination or LUCB
        With its own `delta`.
    env : Bernoulli or Bounded
    replicates : int
    max_pulls : int
        Where a replicate gives up.
    first_replicate : int
    seed : int

    Returns
    -------
    xarray.Dataset
        ``arm`` (replicate): the answer, -1 where the limit came first; ``pulls`` (replicate); ``gap`` (replicate):
        how much worse than the best arm the answer is, the largest gap where there is none.

    Raises
    ------
    TypeError, DomainError
        For bad input, before any round; a `SuccessiveElimination` without a delta.
    """
    if not isinstance(policy, Identification):
        raise TypeError(f"policy must be SuccessiveElimination or LUCB, got {type(policy).__name__}")
    if policy.delta is None:
        raise DomainError("delta must lie in (0, 1), got None: identification has no horizon to take it from")
    limit = check_integer("max_pulls", max_pulls, env.arms)
    replicates, first = check_replicates(replicates, first_replicate)
    check_pairing(policy, env, limit)
    if not isinstance(env, (Bernoulli, Bounded)):
        raise TypeError(f"the best arm is identified for Bernoulli and Bounded, not for {type(env).__name__}")
    seed = check_seed(seed)
    params, tables = _arguments(policy, env, limit)
    answer, pulls = np.empty((2, replicates), dtype=np.int64)
    _compiled(_identifications, policy)(params, tables, limit, np.uint64(first), np.uint64(seed), answer, pulls)
    gap = np.where(answer >= 0, env.gaps[answer], env.gaps.max())
    return dataset(
        {
            "arm": (("replicate",), answer, "arm, -1 for none"),
            "pulls": (("replicate",), pulls, "pulls"),
            "gap": (("replicate",), gap, "reward"),
        },
        {"replicate": np.arange(first, first + replicates, dtype=np.uint64)},
        policy=repr(policy),
        env=type(env).__name__,
        backend="sims",
        seed=seed,
        max_pulls=limit,
    )
