"""A block of replicates on chip, and the loop over rounds inside the kernel: one launch for each checkpoint.

`_play_by_index` holds a tuple of K vectors [B], one an arm, its loops over arms unrolled: no arm but these takes part,
and nothing passes between threads. `_play_by_state`, where an arm takes long, holds [KP, B], KP the power of two above
K, whose arms lie in the registers of one thread. What a launch leaves in memory are pulls and sums; means, widths and
weights are made from them anew.

Tables by round and by count come from `lemmata.problems.bandits`, so that exact mode needs no logarithm for UCB, MOSS,
epsilon-greedy and explore-then-commit, and multiplications do not melt into additions. Thompson's draws are float32 in
both modes: normals and acceptance carry its rounding, 6e-8, as no sample could tell. Where there is no GPU, set
``TRITON_INTERPRET=1`` before Triton is first imported and the kernels run interpreted on the CPU.
"""

# ruff: noqa: RUF005 - Triton has no starred tuples
# Tuples grow in loops that Triton unrolls; a type of its own for each length is more than mypy can say.
# mypy: disable-error-code="assignment, misc"

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from lemmata.kernels._philox_triton import words
from lemmata.problems.bandits import MOSS, Environment, Policy, Reward
from lemmata.problems.bandits import POLICY as _POLICY
from lemmata.problems.bandits import POSTERIOR as _POSTERIOR
from lemmata.problems.bandits import REWARD as _REWARD

__all__ = ["Replicates"]

STREAM_REWARD, STREAM_POLICY = tl.constexpr(_REWARD), tl.constexpr(_POLICY)
STREAM_POSTERIOR = tl.constexpr(_POSTERIOR)
BERNOULLI, GAUSSIAN, BOUNDED = (tl.constexpr(int(k)) for k in (Reward.BERNOULLI, Reward.GAUSSIAN, Reward.BOUNDED))
#: Kinds played by `_play_by_index`.
BY_INDEX = frozenset({"ucb", "moss", "moss-anytime", "epsilon-greedy", "etc"})
#: Most steps of an iteration, and attempts at a draw; a block goes on until its last replicate is done.
STEPS, ATTEMPTS = tl.constexpr(60), tl.constexpr(60)
#: Replicates of a block and its warps. A block waits for the slowest draw or step of its replicates: one warp there.
BLOCKS = {"thompson-beta": (32, 1), "kl-ucb": (32, 1), "tsallis": (32, 1)}
DEFAULT_BLOCK = (128, 4)
INTERPRETED_BLOCK = (1024, 4)


# ------------------------------------------------------------------------------------------ random numbers


@triton.jit
def _unit(word):
    """A word as a float32 inside (0, 1], 2^-33 the least."""
    return (word.to(tl.float32) + 0.5) * (2.0**-32)


@triton.jit
def _uniform64(w0, w1):
    long = (w0.to(tl.int64) << 21) | (w1.to(tl.int64) >> 11)
    return long.to(tl.float64) * (2.0**-53)


@triton.jit
def _normals(u, v):
    """Two normals by Box and Muller from two words, float32."""
    radius = tl.sqrt(-2.0 * tl.log(_unit(u)))
    angle = 6.283185307179586 * _unit(v)
    return radius * tl.cos(angle), radius * tl.sin(angle)


@triton.jit
def _normal_pair(w0, w1, w2, w3):
    """`lemmata.random.normal`, float64."""
    radius = tl.sqrt(-2.0 * tl.log(1.0 - _uniform64(w0, w1)))
    u = _uniform64(w2, w3)
    angle = u * tl.full(u.shape, 6.283185307179586, tl.float64)
    return radius * tl.cos(angle), radius * tl.sin(angle)


@triton.jit
def _block_words(t, stream, name, seed):
    """Words of round t: `name` is the number of each replicate, `stream` of the same shape."""
    return words(tl.zeros_like(name) + t, stream, name, seed)


@triton.jit
def _gamma(d, x, coin):
    """Marsaglia and Tsang's gamma variate of shape d + 1/3, over d, and whether it is accepted."""
    single = d.to(tl.float32)
    v = 1.0 + x / tl.sqrt(9.0 * single)
    v = v * v * v
    positive = v > 0.0
    v = tl.where(positive, v, 1.0)
    return v, positive & (tl.log(_unit(coin)) < 0.5 * x * x + single * (1.0 - v + tl.log(v)))


@triton.jit
def _beta(d, e, wanted, t, stream, name, seed):
    """Beta variates of parameters d + 1/3, e + 1/3 where `wanted`; attempt j reads stream + j 2^16."""
    up = tl.zeros(d.shape, tl.float32) + 1.0
    down = up
    wait_up = wanted
    wait_down = wanted
    attempt = 0
    while (tl.max(tl.max((wait_up | wait_down).to(tl.int32), 0), 0) > 0) & (attempt < ATTEMPTS):
        w0, w1, w2, w3 = _block_words(t, stream + attempt * 65536, name, seed)
        x, y = _normals(w0, w1)
        v, accepted = _gamma(d, x, w2)
        up = tl.where(wait_up, v, up)
        wait_up = wait_up & (accepted == 0)
        v, accepted = _gamma(e, y, w3)
        down = tl.where(wait_down, v, down)
        wait_down = wait_down & (accepted == 0)
        attempt += 1
    return d * up / (d * up + e * down)


# ------------------------------------------------------------------------------------------------ choosing


@triton.jit
def _pick(values, hit):
    """The entry of each column where `hit`, of which there is one."""
    return tl.sum(tl.where(hit, values, 0), 0)


@triton.jit
def _largest(values, rows, K: tl.constexpr):
    """The lowest arm of largest value."""
    most = tl.max(values, 0)
    return tl.min(tl.where(values == most[None, :], rows, K - 1), 0)


@triton.jit
def _first_above(weights, u, rows, K: tl.constexpr):
    """The first arm at which the running sum exceeds u times the whole, and the whole."""
    running = tl.cumsum(weights, 0)
    total = tl.max(running, 0)
    below = (running <= (u * total)[None, :]) & (rows < K)
    return tl.minimum(tl.sum(below.to(tl.int32), 0), K - 1), total


@triton.jit
def _kl_index(total, pulls, level, start, real):
    """Largest q with ``pulls kl(total/pulls, q) <= level``: `kl_index` of `lemmata.kernels.bandits.rounds`."""
    level = level + tl.zeros_like(total)
    failures = pulls - total
    mean = total / pulls
    plain = (total > 0.0) & (failures > 0.0) & real & (level > 0.0)
    m = tl.where(plain, mean, 0.5)
    constant = total * tl.log(m) + failures * tl.log(1.0 - m) - level
    top = tl.minimum(m + tl.sqrt(0.5 * level / pulls), 1.0 - tl.exp(constant / tl.maximum(failures, 0.5)))
    top = tl.where(plain, top, 0.75)
    q = tl.where(plain & (start > m) & (start < 1.0), start, top)
    pending = plain
    begun = plain & (m != m)
    k = 0
    while (tl.max(tl.max(pending.to(tl.int32), 0), 0) > 0) & (k < STEPS):
        gap = q - m
        spread = q * (1.0 - q)
        room = tl.minimum(gap, 1.0 - q)
        inverse = 1.0 / (pulls * gap)
        value = (constant - total * tl.log(q) - failures * tl.log(1.0 - q)) * inverse
        step = value * spread
        halley = step / (1.0 - 0.5 * value * (spread * pulls * inverse - (1.0 - 2.0 * q)))
        step = tl.where(begun & (tl.abs(step) < 0.25 * room), halley, step)
        new = q - step
        inside = (new <= top) & (new > m)
        new = tl.where(inside, new, top)
        q = tl.where(pending, new, q)
        small = tl.abs(step * step * step) <= 1e-14 * (room * room)
        pending = pending & ((begun & small & inside) == 0)
        begun = plain
        k += 1
    low = 1.0 - tl.exp(-level / pulls)
    q = tl.where(failures <= 0.0, 1.0, tl.where(total <= 0.0, low, tl.where(level > 0.0, q, mean)))
    return tl.where(real, q, -1.0)


@triton.jit
def _tsallis(estimate, eta, start, real):
    """Probabilities ``4 / (eta (estimate_i - x))^2`` that sum to 1, and x, from `start`."""
    scale = 2.0 / eta
    top = tl.min(tl.where(real, estimate, float("inf")), 0) - scale
    x = tl.minimum(start, top)
    pending = x == x
    p = tl.zeros_like(estimate)
    k = 0
    while (tl.max(pending.to(tl.int32), 0) > 0) & (k < STEPS):
        root = tl.where(real, scale / tl.where(real, estimate - x[None, :], 1.0), 0.0)
        p = root * root
        excess = tl.sum(p, 0) - 1.0
        pending = pending & (tl.abs(excess) >= 1e-12)
        x = tl.where(pending, tl.minimum(x - excess / (eta * tl.sum(p * root, 0)), top), x)
        k += 1
    return p / tl.sum(p, 0)[None, :], x


@triton.jit
def _scale(count, table, FAST: tl.constexpr):
    """1/sqrt(n). A thread's own n, so that each load is one of a cache line: float32 is computed sooner."""
    return tl.rsqrt(count.to(tl.float32)) if FAST else tl.load(table + count)


@triton.jit
def _log(count, table, FAST: tl.constexpr):
    """ln n."""
    return tl.log(count.to(tl.float32)) if FAST else tl.load(table + count)


@triton.jit
def _moss_width(count, table, numbers, FAST: tl.constexpr):
    """sqrt(factor max(0, ln(T/K) - ln n) / n)."""
    if FAST:
        n = count.to(tl.float32)
        width = tl.sqrt(tl.load(numbers) * tl.maximum(tl.load(numbers + 1) - tl.log(n), 0.0) / n)
    else:
        width = tl.load(table + count)
    return width


# ------------------------------------------------------------------------------------------------ rewards


@triton.jit
def _begin(first, name, seed, REWARDS: tl.constexpr):
    """Words and normals of the rounds that a launch begins amidst."""
    zero = tl.zeros_like(name)
    z = tl.zeros(name.shape, tl.float64)
    z_next = z
    w0, w1, w2, w3 = words(zero + (first - 1) // 4, zero + STREAM_REWARD, name, seed)
    for _ in range((first - 1) % 4):
        w0 = w1
        w1 = w2
        w2 = w3
    if REWARDS == GAUSSIAN:
        w0, w1, w2, w3 = words(zero + (first - 1) // 2, zero + STREAM_REWARD, name, seed)
        z, z_next = _normal_pair(w0, w1, w2, w3)
        if (first - 1) % 2 == 1:
            z = z_next
    return w0, w1, w2, w3, z, z_next


@triton.jit
def _reward(
    t, first, arm, name, seed, w0, w1, w2, w3, z, z_next,
    threshold, mean_of, value, cumulative, pay, outcomes, K: tl.constexpr, REWARDS: tl.constexpr,
):  # fmt: skip
    """The reward of round t, float64, and the words and normals of the next."""
    zero = tl.zeros_like(name)
    if REWARDS == GAUSSIAN:
        if ((t - 1) % 2 == 0) & (t > first):
            w0, w1, w2, w3 = words(zero + (t - 1) // 2, zero + STREAM_REWARD, name, seed)
            z, z_next = _normal_pair(w0, w1, w2, w3)
        reward = tl.load(mean_of + arm) + tl.load(mean_of + K) * z
        z = z_next
    else:
        if ((t - 1) % 4 == 0) & (t > first):
            w0, w1, w2, w3 = words(zero + (t - 1) // 4, zero + STREAM_REWARD, name, seed)
        if REWARDS == BERNOULLI:
            reward = (w0.to(tl.int64) < tl.load(threshold + arm)).to(tl.float64)
        elif REWARDS == BOUNDED:
            outcome = tl.zeros(arm.shape, tl.int32)
            for s in range(outcomes):
                outcome += (w0.to(tl.int64) >= tl.load(cumulative + arm * outcomes + s)).to(tl.int32)
            reward = tl.load(value + arm * outcomes + outcome)
        else:
            reward = tl.load(pay + arm)
        w0 = w1
        w1 = w2
        w2 = w3
    return reward, w0, w1, w2, w3, z, z_next


# ------------------------------------------------------------------------------------- an index for each arm


@triton.jit
def _held(count, sum, by_count, by_count_too, numbers, KIND: tl.constexpr, FAST: tl.constexpr):
    """What `_index` reads of an arm of `count` pulls: its mean or index, 1/sqrt(n), ln n."""
    a = sum / count
    b = a
    c = a
    if KIND == "moss":
        a = a + _moss_width(count, by_count, numbers, FAST)
    if (KIND == "ucb") | (KIND == "moss-anytime"):
        b = _scale(count, by_count, FAST)
    if KIND == "moss-anytime":
        c = _log(count, by_count_too, FAST)
    return a, b, c


@triton.jit
def _index(now, sum, a, b, c, KIND: tl.constexpr, FAST: tl.constexpr):
    """The index of an arm, `now` being the table's entry of the round."""
    if KIND == "ucb":
        index = b * (now + sum * b) if FAST else a + now * b
    elif KIND == "moss-anytime":
        index = a + tl.sqrt(tl.maximum(now - c, 0.0)) * b
    elif KIND == "etc":
        index = sum
    else:
        index = a
    return index


@triton.jit
def _aside(t, arm, now, name, seed, exploring, K: tl.constexpr, KIND: tl.constexpr, FIRST: tl.constexpr):
    """The arm of round t where it is not that of largest index."""
    if KIND == "epsilon-greedy":
        w0, w1, w2, _ = _block_words(t, tl.zeros_like(name) + STREAM_POLICY, name, seed)
        uniform = ((w1.to(tl.int64) * K + ((w2.to(tl.int64) * K) >> 32)) >> 32).to(tl.int32)
        arm = tl.where(w0.to(tl.int64) < now, uniform, arm)
    if KIND == "etc":
        arm = tl.where(t <= exploring, (t - 1) % K, arm)
    if FIRST:
        arm = tl.where(t <= K, t - 1, arm)
    return arm


@triton.jit(do_not_specialize=["n", "first", "last", "outcomes", "exploring", "seed"])
def _play_by_index(
    pulls_out, total_out, replicate, by_round, by_count, by_count_too, numbers,
    threshold, mean_of, value, cumulative, pay,
    n: tl.int64, first: tl.int32, last: tl.int32, outcomes: tl.int32, exploring: tl.int64, seed: tl.uint64,
    FIRST: tl.constexpr, KIND: tl.constexpr, REWARDS: tl.constexpr, FAST: tl.constexpr,
    K: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Rounds first..last of B replicates."""
    columns = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    inside = columns < n
    name = tl.load(replicate + columns, mask=inside, other=0)
    pulls = ()
    total = ()
    a = ()
    b = ()
    c = ()
    for i in tl.static_range(K):
        count = tl.load(pulls_out + i * n + columns, mask=inside, other=0)
        sum = tl.load(total_out + i * n + columns, mask=inside, other=0.0)
        kept = _held(tl.maximum(count, 1), sum, by_count, by_count_too, numbers, KIND, FAST)
        pulls = pulls + (count,)
        total = total + (sum,)
        a = a + (kept[0],)
        b = b + (kept[1],)
        c = c + (kept[2],)
    w0, w1, w2, w3, z, z_next = _begin(first, name, seed, REWARDS)

    for t in range(first, last + 1):
        now = t
        if (KIND == "ucb") | (KIND == "moss-anytime") | (KIND == "epsilon-greedy"):
            now = tl.load(by_round + t)
        arm = tl.zeros([B], tl.int32)
        most = _index(now, total[0], a[0], b[0], c[0], KIND, FAST)
        for i in tl.static_range(1, K):
            index = _index(now, total[i], a[i], b[i], c[i], KIND, FAST)
            better = index > most
            arm = tl.where(better, i, arm)
            most = tl.where(better, index, most)
        arm = _aside(t, arm, now, name, seed, exploring, K, KIND, FIRST)
        reward, w0, w1, w2, w3, z, z_next = _reward(
            t, first, arm, name, seed, w0, w1, w2, w3, z, z_next,
            threshold, mean_of, value, cumulative, pay, outcomes, K, REWARDS,
        )  # fmt: skip
        if KIND == "etc":
            reward = tl.where(t <= exploring, reward, 0.0)
        pulls = _add(pulls, arm, 1, K)
        total = _add(total, arm, reward.to(total[0].dtype), K)
        held = _held(_at(pulls, arm, K), _at(total, arm, K), by_count, by_count_too, numbers, KIND, FAST)
        a = _replace(a, arm, held[0], K)
        b = _replace(b, arm, held[1], K)
        c = _replace(c, arm, held[2], K)

    for i in tl.static_range(K):
        tl.store(pulls_out + i * n + columns, pulls[i], mask=inside)
        tl.store(total_out + i * n + columns, total[i], mask=inside)


@triton.jit
def _at(values, arm, K: tl.constexpr):
    """The value of the arm."""
    value = values[0]
    for i in tl.static_range(1, K):
        value = tl.where(arm == i, values[i], value)
    return value


@triton.jit
def _add(values, arm, amount, K: tl.constexpr):
    """`values` with `amount` more at the arm."""
    out = ()
    for i in tl.static_range(K):
        out = out + (values[i] + tl.where(arm == i, amount, 0),)
    return out


@triton.jit
def _replace(values, arm, new, K: tl.constexpr):
    """`values` with `new` at the arm."""
    out = ()
    for i in tl.static_range(K):
        out = out + (tl.where(arm == i, new, values[i]),)
    return out


# ------------------------------------------------------------------------------------- a longer way to an arm


@triton.jit
def _derive(pulls, total, x, numbers, rows, K: tl.constexpr, KIND: tl.constexpr):
    """What `_select` reads besides pulls and sums, from these: two [KP, B] whose meaning is the kind's."""
    real = rows < K
    a = tl.zeros_like(total)
    b = a
    if KIND == "thompson-gaussian":
        weight = tl.load(numbers + 1) + pulls
        held = tl.where(weight > 0, weight, 1)
        a = tl.where(real, total / held, -float("inf"))
        b = tl.where(real & (weight > 0), tl.load(numbers) / tl.sqrt(held), 0.0)
    if KIND == "exp3":
        a = tl.where(real, tl.exp(-tl.load(numbers) * (total - x[None, :])), 0.0)
    return a, b


@triton.jit
def _select(
    t, pulls, total, a, b, x, name, seed, by_round, numbers, rows, K: tl.constexpr, KIND: tl.constexpr
):  # fmt: skip
    """The arm of round t; a, x and another scalar as they are then."""
    real = rows < K
    aside = x
    if KIND == "kl-ucb":
        a = _kl_index(total, tl.where(pulls > 0, pulls, 1).to(total.dtype), tl.load(by_round + t), a, real)
        most = tl.max(a, 0)
        arm = tl.min(tl.where(a >= (most - 1e-12)[None, :], rows, K - 1), 0)
    elif KIND == "thompson-beta":
        every = tl.zeros(total.shape, tl.int64)
        stream = rows + every + STREAM_POSTERIOR
        names = name[None, :] + every
        third = tl.load(numbers + 2)
        d = tl.where(real, tl.load(numbers) - third + total, 1.0)
        e = tl.where(real, tl.load(numbers + 1) - third + (pulls - total), 1.0)
        theta = _beta(d, e, real & (every == 0), t, stream, names, seed)
        arm = _largest(tl.where(real, theta, -1.0), rows, K)
    elif KIND == "thompson-gaussian":
        every = tl.zeros(total.shape, tl.int64)
        w0, w1, w2, w3 = _block_words(t, rows // 4 + every + STREAM_POSTERIOR, name[None, :] + every, seed)
        part = rows % 4
        z0, z1 = _normals(tl.where(part < 2, w0, w2), tl.where(part < 2, w1, w3))
        arm = _largest(a + b * tl.where(part % 2 == 0, z0, z1), rows, K)
    elif KIND == "exp3":
        w0, w1, w2, w3 = _block_words(t, tl.zeros_like(name) + STREAM_POLICY, name, seed)
        arm, aside = _first_above(a, _uniform64(w0, w1), rows, K)
    else:
        a, x = _tsallis(total, tl.load(by_round + t), x, real)
        w0, w1, w2, w3 = _block_words(t, tl.zeros_like(name) + STREAM_POLICY, name, seed)
        arm, _ = _first_above(a, _uniform64(w0, w1), rows, K)
    return arm, a, x, aside


@triton.jit
def _update(
    t, hit, reward, count, total, a, b, x, aside, by_round, numbers, rows,
    K: tl.constexpr, KIND: tl.constexpr, REDUCED: tl.constexpr,
):  # fmt: skip
    """Sums, a, b and x after a reward, the `count`-th of its arm."""
    if KIND == "exp3":
        eta = tl.load(numbers)
        estimate = _pick(total, hit) + (1.0 - reward) * aside / _pick(a, hit)
        total = tl.where(hit, estimate[None, :], total)
        a = tl.where(hit, tl.exp(-eta * (estimate - x))[None, :], a)
        # losses only grow: start again from the smallest before all weights vanish
        low = tl.max(a, 0) < 1e-100
        x = tl.where(low, tl.min(tl.where(rows < K, total, float("inf")), 0), x)
        if tl.max(low.to(tl.int32), 0) > 0:
            again = tl.where(rows < K, tl.exp(-eta * (total - x[None, :])), 0.0)
            a = tl.where(low[None, :], again, a)
    elif KIND == "tsallis":
        loss = 1.0 - reward
        if REDUCED:
            eta = tl.load(by_round + t)
            baseline = tl.where((a >= eta * eta) & (rows < K), 0.5, 0.0).to(total.dtype)
            total = total + baseline
            total = total + tl.where(hit, (loss[None, :] - baseline) / tl.where(hit, a, 1.0), 0.0)
        else:
            total = total + tl.where(hit, loss[None, :] / tl.where(hit, a, 1.0), 0.0)
    else:
        sum = _pick(total, hit) + reward
        total = tl.where(hit, sum[None, :], total)
        if KIND == "kl-ucb":
            a = tl.where(hit, 0.0, a)
        elif KIND == "thompson-gaussian":
            weight = tl.load(numbers + 1) + count
            a = tl.where(hit, (sum / weight)[None, :], a)
            b = tl.where(hit, (tl.load(numbers) / tl.sqrt(weight))[None, :], b)
    return total, a, b, x


# ------------------------------------------------------------------------------------------------- rounds


@triton.jit(do_not_specialize=["n", "first", "last", "outcomes", "seed"])
def _play_by_state(
    pulls_out, total_out, x_out, replicate, by_round, numbers,
    threshold, mean_of, value, cumulative, pay,
    n: tl.int64, first: tl.int32, last: tl.int32, outcomes: tl.int32, seed: tl.uint64,
    FIRST: tl.constexpr, KIND: tl.constexpr, REDUCED: tl.constexpr, REWARDS: tl.constexpr,
    K: tl.constexpr, KP: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Rounds first..last of B replicates."""
    columns = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    inside = columns < n
    rows = tl.arange(0, KP)[:, None]
    real = rows < K
    at = rows.to(tl.int64) * n + columns[None, :]
    here = real & inside[None, :]
    name = tl.load(replicate + columns, mask=inside, other=0)
    pulls = tl.load(pulls_out + at, mask=here, other=0)
    total = tl.load(total_out + at, mask=here, other=0.0)
    x = tl.load(x_out + columns, mask=inside, other=0.0)
    a, b = _derive(pulls, total, x, numbers, rows, K, KIND)

    w0, w1, w2, w3, z, z_next = _begin(first, name, seed, REWARDS)

    for t in range(first, last + 1):
        arm, a, x, aside = _select(t, pulls, total, a, b, x, name, seed, by_round, numbers, rows, K, KIND)
        if FIRST:
            arm = tl.where(t <= K, t - 1, arm)
        reward, w0, w1, w2, w3, z, z_next = _reward(
            t, first, arm, name, seed, w0, w1, w2, w3, z, z_next,
            threshold, mean_of, value, cumulative, pay, outcomes, K, REWARDS,
        )  # fmt: skip
        hit = arm[None, :] == rows
        count = _pick(pulls, hit) + 1
        pulls = tl.where(hit, count[None, :], pulls)
        total, a, b, x = _update(
            t, hit, reward.to(total.dtype), count, total, a, b, x, aside, by_round, numbers, rows, K, KIND, REDUCED
        )

    tl.store(pulls_out + at, pulls, mask=here)
    tl.store(total_out + at, total, mask=here)
    tl.store(x_out + columns, x, mask=inside)


class Replicates:
    """n replicates of one policy on one environment: as in `lemmata.kernels.bandits.rounds`, on chip.

    Attributes
    ----------
    pulls : int32[K, n]
    """

    def __init__(
        self, policy: Policy, env: Environment, horizon: int, replicate: Tensor, seed: int, precision: str
    ) -> None:
        device, n = replicate.device, replicate.numel()
        fast = precision == "fast"
        real = torch.float32 if fast else torch.float64
        self.pulls = torch.zeros(env.arms, n, dtype=torch.int32, device=device)
        total = torch.zeros(env.arms, n, dtype=real, device=device)
        tables = [_on(table, device, real) for table in _tables(policy, env.arms, horizon)]
        rewards, outcomes = _reward_tables(env, device)
        self._pay = _on(1.0 - env.tables().cost, device, torch.float64)
        self._round = 0
        interpreted = device.type != "cuda"
        block, warps = INTERPRETED_BLOCK if interpreted else BLOCKS.get(policy.kind, DEFAULT_BLOCK)
        self._block = min(block, triton.next_power_of_2(n)) if interpreted else block
        self._constants = {
            "FIRST": policy.pulls_each_first and policy.kind != "etc",
            "KIND": policy.kind,
            "REWARDS": int(env.tables().kind),
            "K": env.arms,
            "B": self._block,
            "num_warps": warps,
            "enable_fp_fusion": fast,
        }
        self._numbers: tuple[int, ...]
        if policy.kind in BY_INDEX:
            self._kernel = _play_by_index
            self._arrays = [self.pulls, total, replicate, *tables, *rewards]
            self._numbers = outcomes, getattr(policy, "pulls", 0) * env.arms, seed
            self._constants |= {"FAST": fast}
        else:
            x = torch.zeros(n, dtype=real, device=device)
            self._kernel = _play_by_state
            self._arrays = [self.pulls, total, x, replicate, tables[0], tables[3], *rewards]
            self._numbers = outcomes, seed
            reduced = getattr(policy, "estimator", "iw") == "rv"
            self._constants |= {"REDUCED": reduced, "KP": triton.next_power_of_2(env.arms)}

    def play(self, last: int, phase: int) -> None:
        """Go on to the end of round `last`."""
        if last == self._round:
            return
        n = self.pulls.shape[1]
        with torch.cuda.device_of(self.pulls):
            self._kernel[(triton.cdiv(n, self._block),)](
                *self._arrays, self._pay[phase], n, self._round + 1, last, *self._numbers, **self._constants
            )
        self._round = last


#: An entry for a table that a kind does not read.
UNUSED = np.zeros(1)


def _tables(policy: Policy, arms: int, horizon: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two tables by count between one by round and the numbers of a policy."""
    given = policy.tables(arms, horizon)
    match policy.kind:
        case "ucb":
            return given[0], given[1], UNUSED, UNUSED
        case "moss":
            assert isinstance(policy, MOSS)
            factor = 1.0 if policy.form == "bounded" else 4 * policy.sigma**2
            return UNUSED, given[0], UNUSED, np.array([factor, np.log(horizon / arms)])
        case "moss-anytime":
            return given[0], given[2], given[1], UNUSED
        case "kl-ucb" | "epsilon-greedy" | "tsallis":
            return given[0], UNUSED, UNUSED, UNUSED
        case "thompson-beta":
            return UNUSED, UNUSED, UNUSED, np.array([*given, 1.0 / 3.0])
        case "thompson-gaussian" | "exp3":
            return UNUSED, UNUSED, UNUSED, np.array(given)
        case _:
            return UNUSED, UNUSED, UNUSED, UNUSED


def _reward_tables(env: Environment, device: torch.device) -> tuple[list[Tensor], int]:
    """Thresholds, means followed by sigma, values and cumulative thresholds; and how many outcomes there are."""
    tables = env.tables()
    arrays = (tables.threshold, np.append(tables.mean, tables.sigma), tables.value, tables.cumulative)
    whole = [array if array.size else np.zeros(1, array.dtype) for array in arrays]
    return [_on(array, device, torch.float64) for array in whole], tables.value.shape[1]


def _on(value: Any, device: torch.device, real: torch.dtype) -> Tensor:
    """An array there, integers in int64 and others in `real`."""
    if value.dtype.kind == "f":
        return torch.from_numpy(value.astype(np.float64)).to(device, real)
    return torch.from_numpy(value.astype(np.int64)).to(device)
