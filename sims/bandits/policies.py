"""The built-in policies as compiled functions: init, select and update for each kind.

A kind reads the tables of its class in `lemmata.problems.bandits`; a state is a tuple of arrays that a replicate owns.
``draw`` is (replicate, seed), from which `policy_words` makes the coins of a round. The functions carry no cache of
their own: the loop of `lemmata.sims.bandits.engine` is compiled with them inside, and cached.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from lemmata.problems.bandits import POLICY as _POLICY
from lemmata.problems.bandits import POSTERIOR as _POSTERIOR
from lemmata.sims._philox import integer, uniform64, words

__all__ = ["KINDS", "Functions", "policy_words"]

# numba turns uint64 with a signed integer into float64: every stream is uint64
STREAM_POLICY, STREAM_POSTERIOR = np.uint64(_POLICY), np.uint64(_POSTERIOR)
#: Two indices closer than this are a tie where they come from an iteration.
TIE = 1e-12


class Functions(NamedTuple):
    """What plays a kind of policy; `stop(params, state, t) -> bool` only where it identifies an arm."""

    init: Callable[..., Any]
    select: Callable[..., Any]
    update: Callable[..., Any]
    stop: Callable[..., Any] | None = None


@njit
def policy_words(t, k, draw):
    """The policy's own four uint32 words number k = 0, 1, ... of round t: stream ``POLICY + k``, block t."""
    replicate, seed = draw
    return words(t, STREAM_POLICY + np.uint64(k), replicate, seed)


@njit
def _largest(values):
    """The lowest index of the largest value."""
    best, most = 0, values[0]
    for i in range(1, values.size):
        if values[i] > most:
            best, most = i, values[i]
    return best


# ---------------------------------------------------------------------- indices m_i + width[t] * scale[n_i]


@njit
def _ucb_init(params, arms, horizon):
    return np.zeros(arms, np.int64), np.zeros(arms), np.zeros(arms), np.zeros(arms)


@njit
def _ucb_select(params, state, t, draw):
    _, _, mean, scale = state
    if t <= mean.size:
        return t - 1
    width = params[0][t]
    best, most = 0, mean[0] + width * scale[0]
    for i in range(1, mean.size):
        index = mean[i] + width * scale[i]
        if index > most:
            best, most = i, index
    return best


@njit
def _ucb_update(params, state, arm, reward, t):
    pulls, total, mean, scale = state
    pulls[arm] += 1
    total[arm] += reward
    mean[arm] = total[arm] / pulls[arm]
    scale[arm] = params[1][pulls[arm]]


# --------------------------------------------------------------------------------------------------- MOSS


@njit
def _moss_init(params, arms, horizon):
    return np.zeros(arms, np.int64), np.zeros(arms), np.zeros(arms)


@njit
def _moss_select(params, state, t, draw):
    index = state[2]
    return t - 1 if t <= index.size else _largest(index)


@njit
def _moss_update(params, state, arm, reward, t):
    pulls, total, index = state
    pulls[arm] += 1
    total[arm] += reward
    index[arm] = total[arm] / pulls[arm] + params[0][pulls[arm]]


@njit
def _moss_anytime_init(params, arms, horizon):
    return np.zeros(arms, np.int64), np.zeros(arms), np.zeros(arms), np.zeros(arms), np.zeros(arms)


@njit
def _moss_anytime_select(params, state, t, draw):
    _, _, mean, scale, log_count = state
    if t <= mean.size:
        return t - 1
    log_round = params[0][t]
    best, most = 0, -np.inf
    for i in range(mean.size):
        index = mean[i] + math.sqrt(max(0.0, log_round - log_count[i])) * scale[i]
        if index > most:
            best, most = i, index
    return best


@njit
def _moss_anytime_update(params, state, arm, reward, t):
    pulls, total, mean, scale, log_count = state
    pulls[arm] += 1
    total[arm] += reward
    mean[arm] = total[arm] / pulls[arm]
    scale[arm] = params[2][pulls[arm]]
    log_count[arm] = params[1][pulls[arm]]


# ------------------------------------------------------------------------------------------------- KL-UCB
#
# The index q_i(L) = max{q : n_i kl(m_i, q) <= L} is concave in L, so its tangent at the L where it was last solved
# is an upper bound, one multiply-add a round. The arm just pulled is solved again, and of the others only one whose
# bound comes out on top. The logarithms of the last point are kept, so that a solve begins with a step that costs none.

# the state is one array, float64[10, K]: numba counts references to each array of a tuple, which costs more than this
PULLS, TOTAL = 0, 1
POINT, LOG_POINT, LOG_REST = 2, 3, 4  # where logarithms were last taken: x, ln x, ln(1 - x)
BASE, SLOPE = 5, 6  # the tangent: its value at L = 0, its slope
BOUND, SOLVED, LAST = 7, 8, 9  # the bound in this round; the round when last solved; the arm last pulled, at 0


@njit
def _kl_index(total, pulls, level, point, log_point, log_rest):
    """Largest q with ``pulls kl(total/pulls, q) <= level``, its derivative in `level`, and a new point.

    ``f(q) = n kl(m, q) - L`` is convex and increasing right of the mean. A Newton step from `point` near the root ends
    right of it; from there Halley's steps go on, or Newton's where they are long. With no point near, the start is an
    upper bound. A point is (x, ln x, ln(1 - x)), x = 0 for none.
    """
    failures = pulls - total
    if failures <= 0.0:
        return 1.0, 0.0, point, log_point, log_rest
    if total <= 0.0:
        power = math.exp(-level / pulls)
        return 1.0 - power, power / pulls, point, log_point, log_rest
    mean = total / pulls
    if level <= 0.0:
        return mean, np.inf, point, log_point, log_rest
    constant = total * math.log(mean) + failures * math.log(1.0 - mean) - level
    top = 1.0
    room = min(point - mean, 1.0 - point)
    if room > 0.0:
        value = constant - total * log_point - failures * log_rest
        step = value * point * (1.0 - point) / (pulls * (point - mean))
        if abs(step) < 0.25 * room:
            top = point - step
    if top >= 1.0:
        top = mean + math.sqrt(0.5 * level / pulls)  # Pinsker
    if top >= 1.0:  # kl(m, q) >= m ln m + (1-m) ln((1-m)/(1-q)), since ln(1/q) >= 0
        top = 1.0 - math.exp(constant / failures)
        if top >= 1.0:
            return 1.0, 0.0, point, log_point, log_rest
    q = top
    for _ in range(60):
        point, log_point, log_rest = q, math.log(q), math.log(1.0 - q)
        gap, spread = q - mean, q * (1.0 - q)
        room = min(gap, 1.0 - q)
        inverse = 1.0 / (pulls * gap)
        value = (constant - total * log_point - failures * log_rest) * inverse
        step = value * spread
        if abs(step) < 0.25 * room:  # f''/f' = 1/(q-m) - (1-2q)/(q(1-q))
            step /= 1.0 - 0.5 * value * (spread * pulls * inverse - (1.0 - 2.0 * q))
        q -= step
        if q > top or q <= mean:
            q = top
        elif abs(step * step * step) <= 1e-14 * room * room:  # what is left is of this order, over room^2
            break
    return q, q * (1.0 - q) / (pulls * (q - mean)), point, log_point, log_rest


@njit
def _kl_init(params, arms, horizon):
    return np.zeros((10, arms))


@njit
def _kl_select(params, w, t, draw):
    arms = w.shape[1]
    if t <= arms:
        return t - 1
    level = params[0][t]
    arm = int(w[LAST, 0])
    w[BASE, arm] = -1.0  # below every index: what follows is about the other arms
    most = -np.inf
    for i in range(arms):
        w[BOUND, i] = w[BASE, i] + w[SLOPE, i] * level
        most = max(most, w[BOUND, i])
    while True:
        q, slope, w[POINT, arm], w[LOG_POINT, arm], w[LOG_REST, arm] = _kl_index(
            w[TOTAL, arm], w[PULLS, arm], level, w[POINT, arm], w[LOG_POINT, arm], w[LOG_REST, arm]
        )
        w[BOUND, arm], w[SOLVED, arm] = q, t
        w[BASE, arm], w[SLOPE, arm] = (q - slope * level, slope) if slope < np.inf else (2.0, 0.0)
        if q > most + TIE:
            return arm
        most = -np.inf
        for i in range(arms):
            most = max(most, w[BOUND, i])
        arm = 0  # the lowest that may tie with the top one
        while w[BOUND, arm] < most - TIE:
            arm += 1
        if w[SOLVED, arm] == t:
            return arm


@njit
def _kl_update(params, w, arm, reward, t):
    w[PULLS, arm] += 1.0
    w[TOTAL, arm] += reward
    w[BASE, arm], w[SLOPE, arm] = 2.0, 0.0  # above every index: solved before it is believed
    w[LAST, 0] = arm


# ---------------------------------------------------------------------------------------------- normals
#
# Marsaglia and Tsang's ziggurat with 256 layers, a 32-bit word a draw: 8 bits of layer, the sign, and 23 bits of
# position within the layer.


def _ziggurat() -> tuple[np.ndarray, np.ndarray]:
    edge, area = 3.6541528853610088, 0.00492867323399
    x = np.zeros(257)
    x[0], x[1] = area / math.exp(-(edge**2) / 2), edge
    for i in range(1, 255):
        x[i + 1] = math.sqrt(-2 * math.log(area / x[i] + math.exp(-(x[i] ** 2) / 2)))
    return x, np.exp(-(x**2) / 2)


EDGE, HEIGHT = _ziggurat()
TAIL = EDGE[1]
W8, W9, LAYER = np.uint64(8), np.uint64(9), np.uint64(255)
ONE = np.uint64(1)
ATTEMPT = np.uint64(1 << 16)  # streams of one arm are this far apart


@njit
def _unit(word):
    """A word as a number inside (0, 1)."""
    return (np.float64(word) + 0.5) * 2.0**-32


@njit
def _quick_normal(word):
    """A normal from a word, and whether it is accepted at once (99 in 100)."""
    w = np.uint64(word)
    layer = np.int64(w & LAYER)
    z = (np.float64(w >> W9) + 0.5) * 2.0**-23 * EDGE[layer]
    return (-z if (w >> W8) & ONE else z), z < EDGE[layer + 1]


@njit
def _slow_normal(word, t, stream, draw):
    """The normal that starts with `word`, whatever it takes; further blocks from `stream`, 2^16 apart."""
    replicate, seed = draw
    while True:
        z, accepted = _quick_normal(word)
        if accepted:
            return z
        layer = np.int64(np.uint64(word) & LAYER)
        stream += ATTEMPT
        w0, w1, _, _ = words(t, stream, replicate, seed)
        if layer == 0:
            x, y = -math.log(_unit(w0)) / TAIL, -math.log(_unit(w1))
            while 2.0 * y < x * x:
                stream += ATTEMPT
                w0, w1, _, _ = words(t, stream, replicate, seed)
                x, y = -math.log(_unit(w0)) / TAIL, -math.log(_unit(w1))
            return math.copysign(TAIL + x, z)
        if HEIGHT[layer] + _unit(w0) * (HEIGHT[layer + 1] - HEIGHT[layer]) < math.exp(-0.5 * z * z):
            return z
        word = w1


# ---------------------------------------------------------------------------------------- Thompson sampling
#
# Beta(a, b) = G_a / (G_a + G_b). Marsaglia and Tsang (2000): G_a = d v with v = (1 + x / sqrt(9 d))^3, d = a - 1/3,
# x normal, accepted at once where u < 1 - .0221 x^4 / d (their .0331 is the case of the smallest d, 2/3).

SQUEEZE = 0.0221


@njit
def _slow_gamma(d, c, word, u, t, stream, draw):
    """The gamma variate that starts with the normal of `word` and the uniform u; further blocks from `stream`."""
    replicate, seed = draw
    attempt = np.uint64(1 << 24)  # leaves 2^7 blocks for the normal of each attempt
    while True:
        x = _slow_normal(word, t, stream, draw)
        v = 1.0 + c * x
        if v > 0.0:
            v = v * v * v
            if math.log(u) < 0.5 * x * x + d * (1.0 - v + math.log(v)):
                return d * v
        stream += attempt
        word, other, _, _ = words(t, stream, replicate, seed)
        u = _unit(other)


@njit
def _beta_init(params, arms, horizon):
    a, b = params
    # a and b of each posterior as (d, 1/sqrt(9 d), squeeze/d), and the words of a round
    shape = np.empty((6, arms))
    for i in range(arms):
        _beta_shape(shape, i, a, b)
    return np.full(arms, a), np.full(arms, b), shape, np.empty((4, arms), np.uint32)


@njit
def _beta_shape(shape, arm, a, b):
    for row, value in ((0, a - 1.0 / 3.0), (3, b - 1.0 / 3.0)):
        shape[row, arm] = value
        shape[row + 1, arm] = 1.0 / math.sqrt(9.0 * value)
        shape[row + 2, arm] = SQUEEZE / value


@njit
def _beta_select(params, state, t, draw):
    _, _, shape, w = state
    arms = w.shape[1]
    replicate, seed = draw
    for i in range(arms):  # apart from what follows, so that the blocks of several arms are computed at once
        w[0, i], w[1, i], w[2, i], w[3, i] = words(t, STREAM_POSTERIOR + np.uint64(i), replicate, seed)
    best, most = 0, -1.0
    for i in range(arms):
        x, accepted = _quick_normal(w[0, i])
        y, accepted_too = _quick_normal(w[1, i])
        v, u = 1.0 + shape[1, i] * x, 1.0 + shape[4, i] * y
        x2, y2 = x * x, y * y
        p, q = _unit(w[2, i]), _unit(w[3, i])
        if accepted and v > 0.0 and p < 1.0 - shape[2, i] * (x2 * x2):
            up = shape[0, i] * (v * v * v)
        else:
            stream = STREAM_POSTERIOR + np.uint64(i)
            up = _slow_gamma(shape[0, i], shape[1, i], w[0, i], p, t, stream, draw)
        if accepted_too and u > 0.0 and q < 1.0 - shape[5, i] * (y2 * y2):
            down = shape[3, i] * (u * u * u)
        else:
            stream = STREAM_POSTERIOR + np.uint64(i + (1 << 23))
            down = _slow_gamma(shape[3, i], shape[4, i], w[1, i], q, t, stream, draw)
        theta = up / (up + down)
        if theta > most:
            best, most = i, theta
    return best


@njit
def _beta_update(params, state, arm, reward, t):
    a, b, shape, _ = state
    a[arm] += reward
    b[arm] += 1.0 - reward
    _beta_shape(shape, arm, a[arm], b[arm])


@njit
def _gauss_init(params, arms, horizon):
    sigma, weight = params
    scale = np.full(arms, sigma / math.sqrt(weight) if weight > 0.0 else 0.0)
    return np.full(arms, weight), np.zeros(arms), np.zeros(arms), scale


@njit
def _gauss_select(params, state, t, draw):
    _, _, mean, scale = state
    replicate, seed = draw
    arms = mean.size
    if params[1] == 0.0 and t <= arms:
        return t - 1
    best, most = 0, -np.inf
    w0, w1, w2, w3 = words(t, STREAM_POSTERIOR, replicate, seed)
    for i in range(arms):
        if i % 4 == 0 and i > 0:
            w0, w1, w2, w3 = words(t, STREAM_POSTERIOR + np.uint64(i // 4), replicate, seed)
        z, accepted = _quick_normal(w0)
        if not accepted:
            z = _slow_normal(w0, t, STREAM_POSTERIOR + np.uint64(i), draw)
        w0, w1, w2 = w1, w2, w3
        theta = mean[i] + scale[i] * z
        if theta > most:
            best, most = i, theta
    return best


@njit
def _gauss_update(params, state, arm, reward, t):
    weight, total, mean, scale = state
    weight[arm] += 1.0
    total[arm] += reward
    mean[arm] = total[arm] / weight[arm]
    scale[arm] = params[0] / math.sqrt(weight[arm])


# ---------------------------------------------------------- epsilon-greedy, explore-then-commit, elimination


@njit
def _greedy_init(params, arms, horizon):
    return np.zeros(arms), np.zeros(arms), np.zeros(arms)


@njit
def _greedy_select(params, state, t, draw):
    mean = state[2]
    if t <= mean.size:
        return t - 1
    w0, w1, w2, _ = policy_words(t, 0, draw)
    if np.uint64(w0) < params[0][t]:
        return integer(w1, w2, mean.size)
    return _largest(mean)


@njit
def _greedy_update(params, state, arm, reward, t):
    pulls, total, mean = state
    pulls[arm] += 1.0
    total[arm] += reward
    mean[arm] = total[arm] / pulls[arm]


@njit
def _etc_init(params, arms, horizon):
    return np.zeros(arms), np.zeros(1, np.int64)


@njit
def _etc_select(params, state, t, draw):
    total, choice = state
    exploring = params[0] * total.size
    if t <= exploring:
        return (t - 1) % total.size
    if t == exploring + 1:
        choice[0] = _largest(total)  # counts are equal, so sums order like means
    return choice[0]


@njit
def _etc_update(params, state, arm, reward, t):
    if t <= params[0] * state[0].size:
        state[0][arm] += reward


@njit
def _elimination_init(params, arms, horizon):
    # sums; active arms in increasing order; (number active, position in the pass, passes done)
    return np.zeros(arms), np.arange(arms), np.array([arms, 0, 0])


@njit
def _elimination_select(params, state, t, draw):
    _, active, where = state
    return active[where[1]]


@njit
def _elimination_update(params, state, arm, reward, t):
    total, active, where = state
    if where[0] == 1:
        return
    total[arm] += reward
    where[1] += 1
    if where[1] < where[0]:
        return
    where[1] = 0
    where[2] += 1
    r = where[2]
    radius = params[0][r]
    most = -np.inf
    for j in range(where[0]):
        most = max(most, total[active[j]] / r)
    kept = 0
    for j in range(where[0]):
        if total[active[j]] / r + radius >= most - radius:
            active[kept] = active[j]
            kept += 1
    where[0] = kept


@njit
def _elimination_stop(params, state, t):
    return state[2][0] == 1


@njit
def _lucb_init(params, arms, horizon):
    # pulls, sums, means, 1/sqrt(n); (leader, rival, passes, 1 if the rival is next, 1 if decided)
    return np.zeros(arms), np.zeros(arms), np.zeros(arms), np.zeros(arms), np.zeros(5, np.int64)


@njit
def _lucb_select(params, state, t, draw):
    _, _, mean, _, where = state
    if t <= mean.size:
        return t - 1
    return where[1] if where[3] else where[0]


@njit
def _lucb_update(params, state, arm, reward, t):
    pulls, total, mean, scale, where = state
    pulls[arm] += 1.0
    total[arm] += reward
    mean[arm] = total[arm] / pulls[arm]
    scale[arm] = 1.0 / math.sqrt(pulls[arm])
    if t < mean.size:
        return
    if t > mean.size:
        where[3] = 1 - where[3]
        if where[3]:
            return  # the pass is half done
    where[2] += 1
    level = params[0][where[2]]
    leader = _largest(mean)
    rival, most = leader, -np.inf
    for i in range(mean.size):
        upper = mean[i] + level * scale[i]
        if i != leader and upper > most:
            rival, most = i, upper
    where[0], where[1] = leader, rival
    where[4] = 1 if rival == leader or most - (mean[leader] - level * scale[leader]) < params[1] else 0


@njit
def _lucb_stop(params, state, t):
    return state[4][4] == 1


# ------------------------------------------------------------------------------------------- adversarial


@njit
def _first_above(weights, total, u):
    """The first arm at which the running sum of weights exceeds ``u * total``."""
    target = u * total
    running = 0.0
    last = 0
    for i in range(weights.size):
        if weights[i] > 0.0:
            last = i
            running += weights[i]
            if running > target:
                return i
    return last  # u total rounded up to the sum itself


@njit
def _exp3_init(params, arms, horizon):
    # loss estimates, weights exp(-eta (Lhat_i - base)), (base, sum of weights)
    return np.zeros(arms), np.ones(arms), np.zeros(2)


@njit
def _exp3_select(params, state, t, draw):
    _, weight, scalars = state
    total = 0.0
    for i in range(weight.size):
        total += weight[i]
    scalars[1] = total
    w0, w1, _, _ = policy_words(t, 0, draw)
    return _first_above(weight, total, uniform64(w0, w1))


@njit
def _exp3_update(params, state, arm, reward, t):
    eta = params[0]
    estimate, weight, scalars = state
    estimate[arm] += (1.0 - reward) * scalars[1] / weight[arm]
    weight[arm] = math.exp(-eta * (estimate[arm] - scalars[0]))
    largest = 0.0
    for i in range(weight.size):
        largest = max(largest, weight[i])
    if largest < 1e-100:  # losses only grow: start again from the smallest before all weights vanish
        scalars[0] = estimate.min()
        for i in range(weight.size):
            weight[i] = math.exp(-eta * (estimate[i] - scalars[0]))


@njit
def _tsallis_init(params, arms, horizon):
    # loss estimates, probabilities, (normaliser x)
    return np.zeros(arms), np.empty(arms), np.array([-np.inf])


@njit
def _tsallis_probabilities(estimate, eta, start, p):
    """Fill p with ``4 / (eta (estimate_i - x))^2`` at the x < min estimate where they sum to 1; returns x.

    The sum is convex and increasing in x, so Newton falls monotonically to the root from ``min estimate - 2/eta``,
    where the largest term alone is 1. From `start` left of the root the first step may pass that point, and is cut.
    """
    top = estimate.min() - 2.0 / eta
    x = min(start, top) if start > -np.inf else top
    scale = 2.0 / eta
    for _ in range(60):
        total, cubes = 0.0, 0.0
        for i in range(p.size):
            root = scale / (estimate[i] - x)
            p[i] = root * root
            total += p[i]
            cubes += p[i] * root
        if abs(total - 1.0) < 1e-12:
            break
        x = min(x - (total - 1.0) / (eta * cubes), top)
    total = 0.0
    for i in range(p.size):
        total += p[i]
    for i in range(p.size):
        p[i] /= total
    return x


@njit
def _tsallis_select(params, state, t, draw):
    estimate, p, scalars = state
    scalars[0] = _tsallis_probabilities(estimate, params[0][t], scalars[0], p)
    w0, w1, _, _ = policy_words(t, 0, draw)
    return _first_above(p, 1.0, uniform64(w0, w1))


@njit
def _tsallis_update(params, state, arm, reward, t):
    estimate, p, _ = state
    loss = 1.0 - reward
    if params[1] == 0:
        estimate[arm] += loss / p[arm]
    else:
        least = params[0][t] * params[0][t]
        for i in range(p.size):
            baseline = 0.5 if p[i] >= least else 0.0
            estimate[i] += baseline
            if i == arm:
                estimate[i] += (loss - baseline) / p[i]


# ------------------------------------------------------------------------------------------------ linear

#: Rounds between two recomputations of the inverse; in between it is updated by Sherman and Morrison's formula.
REFRESH = 1000


@njit
def _linear_init(params, arms, horizon):
    d = params[0].shape[1]
    # V^-1; pulls, sums, <theta_hat, x_i> and ||x_i||^2 in V^-1; (ln det V / ridge^d, largest drift when recomputed)
    state = (np.zeros((d, d)), np.zeros(arms), np.zeros(arms), np.zeros(arms), np.zeros(arms), np.zeros(2))
    _linear_refresh(params, state)
    state[5][1] = 0.0
    return state


@njit
def _linear_refresh(params, state):
    """V^-1, the estimates and ln det V from counts and sums, by Cholesky's factorisation ``V = L L^T``."""
    features, ridge = params[0], params[1]
    inverse, pulls, total, mean, width, scalars = state
    arms, d = features.shape
    v = np.zeros((d, d))
    for j in range(d):
        v[j, j] = ridge
    b = np.zeros(d)
    for i in range(arms):
        for j in range(d):
            b[j] += total[i] * features[i, j]
            for k in range(d):
                v[j, k] += pulls[i] * features[i, j] * features[i, k]
    log_det = 0.0
    for j in range(d):
        for k in range(j + 1):
            s = v[j, k]
            for m in range(k):
                s -= v[j, m] * v[k, m]
            v[j, k] = math.sqrt(s) if j == k else s / v[k, k]
        log_det += 2.0 * math.log(v[j, j]) - math.log(ridge)
    drift = 0.0
    column = np.empty(d)
    for c in range(d):
        for j in range(d):  # L y = e_c
            s = 1.0 if j == c else 0.0
            for m in range(j):
                s -= v[j, m] * column[m]
            column[j] = s / v[j, j]
        for j in range(d - 1, -1, -1):  # L^T z = y
            s = column[j]
            for m in range(j + 1, d):
                s -= v[m, j] * column[m]
            column[j] = s / v[j, j]
        for j in range(d):
            drift = max(drift, abs(inverse[j, c] - column[j]))
            inverse[j, c] = column[j]
    theta = np.zeros(d)
    for j in range(d):
        for k in range(d):
            theta[j] += inverse[j, k] * b[k]
    for i in range(arms):
        mean[i], width[i] = 0.0, 0.0
        for j in range(d):
            mean[i] += features[i, j] * theta[j]
            for k in range(d):
                width[i] += features[i, j] * inverse[j, k] * features[i, k]
    scalars[0] = log_det
    scalars[1] = max(scalars[1], drift)


@njit
def _linear_select(params, state, t, draw):
    _, _, sigma, confidence, norm = params
    _, _, _, mean, width, scalars = state
    radius = sigma * math.sqrt(confidence + scalars[0]) + norm
    best, most = 0, -np.inf
    for i in range(mean.size):
        index = mean[i] + radius * math.sqrt(max(width[i], 0.0))
        if index > most:
            best, most = i, index
    return best


@njit
def _linear_update(params, state, arm, reward, t):
    features = params[0]
    inverse, pulls, total, mean, width, scalars = state
    arms, d = features.shape
    pulls[arm] += 1.0
    total[arm] += reward
    direction = np.zeros(d)  # V^-1 x
    growth = 1.0  # of det V: 1 + x^T V^-1 x
    for j in range(d):
        for k in range(d):
            direction[j] += inverse[j, k] * features[arm, k]
        growth += features[arm, j] * direction[j]
    scalars[0] += math.log(growth)
    for j in range(d):
        for k in range(j + 1):
            inverse[j, k] -= direction[j] * direction[k] / growth
            inverse[k, j] = inverse[j, k]
    surprise = (reward - mean[arm]) / growth
    for i in range(arms):
        inner = 0.0
        for j in range(d):
            inner += features[i, j] * direction[j]
        mean[i] += inner * surprise
        width[i] -= inner * inner / growth
    if t % REFRESH == 0:
        _linear_refresh(params, state)


#: Functions of each kind of policy in `lemmata.problems.bandits`.
KINDS: dict[str, Functions] = {
    "ucb": Functions(_ucb_init, _ucb_select, _ucb_update),
    "moss": Functions(_moss_init, _moss_select, _moss_update),
    "moss-anytime": Functions(_moss_anytime_init, _moss_anytime_select, _moss_anytime_update),
    "kl-ucb": Functions(_kl_init, _kl_select, _kl_update),
    "thompson-beta": Functions(_beta_init, _beta_select, _beta_update),
    "thompson-gaussian": Functions(_gauss_init, _gauss_select, _gauss_update),
    "epsilon-greedy": Functions(_greedy_init, _greedy_select, _greedy_update),
    "etc": Functions(_etc_init, _etc_select, _etc_update),
    "elimination": Functions(_elimination_init, _elimination_select, _elimination_update, _elimination_stop),
    "lucb": Functions(_lucb_init, _lucb_select, _lucb_update, _lucb_stop),
    "exp3": Functions(_exp3_init, _exp3_select, _exp3_update),
    "tsallis": Functions(_tsallis_init, _tsallis_select, _tsallis_update),
    "linear": Functions(_linear_init, _linear_select, _linear_update),
}
