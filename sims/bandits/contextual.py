"""Inverse-gap weighting on contextual bandits, with a linear or a tabular oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from lemmata.errors import DomainError
from lemmata.problems.bandits import POLICY as _POLICY
from lemmata.problems.bandits.contextual import CONTEXT as _CONTEXT
from lemmata.problems.bandits.contextual import (
    Contextual,
    InverseGap,
    LinearOracle,
    NeuralOracle,
    check_contextual,
    contextual_result,
)
from lemmata.random import bernoulli_threshold
from lemmata.sims._philox import integer, uniform64, words

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["simulate_contextual"]

STREAM_CONTEXT, STREAM_POLICY = np.uint64(_CONTEXT), np.uint64(_POLICY)


@njit(cache=True)
def _reset(linear, first, weights, moments):  # type: ignore[no-untyped-def]
    """(A^-1, b) of the linear oracle, or (pulls, losses) of the tabular one, before any round."""
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            weights[i, j] = 1.0 / first if linear and i == j else 0.0
    for i in range(moments.shape[0]):
        for j in range(moments.shape[1]):
            moments[i, j] = 0.0


@njit(cache=True)
def _predict(linear, oracle, features, m, weights, moments, predicted):  # type: ignore[no-untyped-def]
    for a in range(predicted.size):
        if not linear:
            prior, weight = oracle
            predicted[a] = (moments[m, a] + weight * prior) / (weights[m, a] + weight)
            continue
        d = features.shape[2]
        mean, width = 0.0, 0.0
        for i in range(d):
            s = 0.0  # (A^-1 x)_i
            for j in range(d):
                s += weights[i, j] * features[m, a, j]
            mean += s * moments[0, i]
            width += s * features[m, a, i]
        predicted[a] = min(max(0.5 + mean / (1.0 + width), 0.0), 1.0)


@njit(cache=True)
def _learn(linear, features, m, a, loss, weights, moments, direction):  # type: ignore[no-untyped-def]
    if not linear:
        weights[m, a] += 1.0
        moments[m, a] += loss
        return
    d = features.shape[2]
    growth = 1.0
    for i in range(d):
        s = 0.0
        for j in range(d):
            s += weights[i, j] * features[m, a, j]
        direction[i] = s
        growth += s * features[m, a, i]
        moments[0, i] += features[m, a, i] * (loss - 0.5)
    for i in range(d):
        for j in range(i + 1):
            weights[i, j] -= direction[i] * direction[j] / growth
            weights[j, i] = weights[i, j]


@njit(cache=True)
def _weigh(predicted, gamma, fast, probability):  # type: ignore[no-untyped-def]
    """`inverse_gap`; gives the action of least prediction."""
    arms = predicted.size
    b = 0
    for a in range(1, arms):
        if predicted[a] < predicted[b]:
            b = a
    rest = 1.0
    for a in range(arms):
        if a != b:
            gap = predicted[a] - predicted[b]
            if np.isinf(gamma):
                p = 0.0
            elif not fast:
                p = 1.0 / (arms + gamma * gap)
            else:
                below = arms * predicted[b] + gamma * gap
                p = predicted[b] / below if below > 0.0 else 1.0 / arms
            probability[a] = p
            rest -= p
    probability[b] = rest
    return b


@njit(cache=True)
def _runs(  # type: ignore[no-untyped-def]
    features, means, threshold, turn, gamma, fast, linear, oracle, generation, last, points, first, seed, sums, kept
):
    """Play replicates first, first + 1, ...

    Fills sums[0..2, R, C], regret, squared error of the prediction of what is played, and the least mean losses; and
    where it has rounds kept[0..4, R, T]: context, action, loss, prediction and probability.
    """
    contexts, arms, d = features.shape
    shape = (d, d) if linear else (contexts, arms)
    weights, moments = np.zeros(shape), np.zeros((1, d) if linear else shape)
    # of the rounds since the fit in use, where that is not renewed after each of them
    seen, sums_seen = (weights, moments) if generation == 1 and not last else (weights.copy(), moments.copy())
    predicted, probability, direction = np.zeros(arms), np.zeros(arms), np.zeros(d)
    for r in range(sums.shape[1]):
        replicate = first + np.uint64(r)
        _reset(linear, oracle[0], weights, moments)
        _reset(linear, oracle[0], seen, sums_seen)
        regret, error, least, c = 0.0, 0.0, 0.0, 0
        for t in range(1, points[-1] + 1):
            w0, w1, w2, _ = words(t, STREAM_CONTEXT, replicate, seed)
            m = (t - 1) % contexts if turn else integer(w0, w1, contexts)
            _predict(linear, oracle, features, m, weights, moments, predicted)
            _weigh(predicted, gamma, fast, probability)
            u0, u1, _, _ = words(t, STREAM_POLICY, replicate, seed)
            u = uniform64(u0, u1)
            a, total = 0, probability[0]
            while a + 1 < arms and total <= u:
                a += 1
                total += probability[a]
            loss = 1.0 if np.uint64(w2) < threshold[m, a] else 0.0
            best = means[m, 0]
            for i in range(1, arms):
                best = min(best, means[m, i])
            regret += means[m, a] - best
            error += (predicted[a] - means[m, a]) ** 2
            least += best
            if kept.shape[2]:
                kept[0, r, t - 1], kept[1, r, t - 1], kept[2, r, t - 1] = m, a, loss
                kept[3, r, t - 1], kept[4, r, t - 1] = predicted[a], probability[a]
            _learn(linear, features, m, a, loss, seen, sums_seen, direction)
            if t % generation == 0 and (generation > 1 or last):
                for i in range(weights.shape[0]):
                    for j in range(weights.shape[1]):
                        weights[i, j] = seen[i, j]
                for i in range(moments.shape[0]):
                    for j in range(moments.shape[1]):
                        moments[i, j] = sums_seen[i, j]
                if last:
                    _reset(linear, oracle[0], seen, sums_seen)
            if t == points[c]:
                sums[0, r, c], sums[1, r, c], sums[2, r, c] = regret, error, least
                c += 1


def simulate_contextual(
    policy: InverseGap,
    env: Contextual,
    horizon: int,
    replicates: int,
    *,
    checkpoints: object = None,
    device: str | None = None,
    first_replicate: int = 0,
    path: bool = False,
    seed: int,
) -> xr.Dataset:
    """Play inverse-gap weighting on a contextual bandit, many times over.

    Parameters
    ----------
    policy : InverseGap
        With a `LinearOracle` or a `TabularOracle`.
    env : Contextual
    horizon, replicates : int
        Rounds T >= 1 and runs R >= 1.
    checkpoints : array_like of int, (C,), optional
        Rounds to report, increasing in 1..T; eight an octave by default.
    device : {None, "cpu"}
        Here for the kernels' sake.
    first_replicate : int
        Number of the first run.
    path : bool
        Whether to keep every round, 40 R T bytes.
    seed : int

    Returns
    -------
    xarray.Dataset
        ``regret`` (replicate, round): ``sum mean of what was played - least mean``; ``error``: the sum of ``(prediction
        - mean)^2`` of what was played; ``least``: the sum of the least means. With `path` also ``context``, ``arm``,
        ``loss``, ``prediction`` and ``probability`` (replicate, step).

    Raises
    ------
    TypeError, ShapeError, DomainError
        For bad input, before any round; a `NeuralOracle`.

    Notes
    -----
    Memory: 24 R C bytes, and the path. Runs follow one another in one thread; `CONTEXT` says which words they read.

    Examples
    --------
    >>> from lemmata.problems.bandits import InverseGap, linear_contexts
    >>> env = linear_contexts(50, 4, 3, seed=0)
    >>> run = simulate_contextual(InverseGap(60.0), env, 1000, 20, checkpoints=[1000], seed=0)
    >>> round(float(run["regret"].mean()))
    43
    """
    if device not in (None, "cpu"):
        raise DomainError(f"this backend runs on the cpu, not on {device!r}: use lemmata.kernels.bandits")
    checked = check_contextual(policy, env, horizon, replicates, checkpoints, first_replicate, seed)
    if isinstance(policy.oracle, NeuralOracle):
        raise DomainError("a NeuralOracle is played by lemmata.kernels.bandits.contextual")
    if isinstance(policy.oracle, LinearOracle):
        linear, oracle = True, (float(policy.oracle.ridge), 0.0)
    else:
        linear, oracle = False, (float(policy.oracle.prior), float(policy.oracle.weight))
    points = checked.points if checked.points[-1] == checked.horizon else np.append(checked.points, checked.horizon)
    sums = np.zeros((3, checked.replicates, points.size))
    kept = np.zeros((5, checked.replicates, checked.horizon if path else 0))
    _runs(
        env.features.copy(),
        env.means.copy(),
        bernoulli_threshold(env.means),
        bool(env.turn),
        float(policy.gamma),
        policy.rule == "fast",
        linear,
        oracle,
        policy.generation,
        policy.keep == "last",
        points,
        np.uint64(checked.first),
        np.uint64(checked.seed),
        sums,
        kept,
    )
    return contextual_result(policy, checked, sums[..., : checked.points.size], kept, backend="sims", device="cpu")
