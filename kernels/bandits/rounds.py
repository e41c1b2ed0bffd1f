"""All replicates of a chunk in step, round by round, in torch: what `lemmata.sims.bandits` plays, on any device.

Rounds are a loop on the host, which waits for nothing on a GPU. Tensors are [K, n], arms first; an arm is int64[1, n].
Formulas stand in the order of the simulator's, one operation a call, so that no multiplication melts into an addition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lemmata.kernels._philox import integer, normal, uniform64, words
from lemmata.problems.bandits import POLICY, POSTERIOR, REWARD, Environment, Policy, Reward

__all__ = ["KINDS", "Replicates"]

#: Two indices closer than this are a tie where they come from an iteration, as in `lemmata.sims.bandits`.
TIE = 1e-12
#: Most steps of an iteration, and attempts at a draw, on a GPU, which is not asked whether they were needed.
STEPS, ATTEMPTS = 12, 12
REALS = {"exact": torch.float64, "fast": torch.float32}


class Replicates:
    """n replicates of one policy on one environment.

    Parameters
    ----------
    policy : Policy
        Of a kind in `KINDS`.
    env : Environment
    horizon : int
    replicate : int64[n]
        Their numbers; the device of this tensor is where they are played.
    seed : int
    precision : {"exact", "fast"}

    Attributes
    ----------
    pulls : int64[K, n]
    """

    def __init__(
        self, policy: Policy, env: Environment, horizon: int, replicate: Tensor, seed: int, precision: str
    ) -> None:
        draw = _Draws(replicate, seed, REALS[precision])
        tables = [_on(table, replicate.device) for table in policy.tables(env.arms, horizon)]
        self.pulls = torch.zeros(env.arms, replicate.numel(), dtype=torch.int64, device=replicate.device)
        self._rewards = _Rewards(env, draw)
        self._player = KINDS[policy.kind](tables, env.arms, draw)
        self._first = env.arms if policy.pulls_each_first and policy.kind not in ("etc", "elimination") else 0
        self._round = 0

    def play(self, last: int, phase: int) -> None:
        """Go on to the end of round `last`."""
        for t in range(self._round + 1, last + 1):
            arm = torch.full_like(self.pulls[:1], t - 1) if t <= self._first else self._player.select(t)
            reward = self._rewards(t, phase, arm)
            count = _add(self.pulls, arm, 1)
            self._player.update(t, arm, reward, count)
        self._round = last


class _Draws:
    """The words of these replicates, and real numbers made from them."""

    def __init__(self, replicate: Tensor, seed: int, real: torch.dtype) -> None:
        self.replicate, self.seed, self.real = replicate, seed, real
        self.n, self.device = replicate.numel(), replicate.device

    def words(self, block: int, stream: int | Tensor) -> tuple[Tensor, ...]:
        """Four int64[1, n], or [k, n] for streams int64[k, 1]."""
        return words(block, stream, self.replicate[None], seed=self.seed).unbind(-1)

    def zeros(self, *shape: int) -> Tensor:
        return torch.zeros(*shape, self.n, dtype=self.real, device=self.device)

    def normals(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Two normals by Box and Muller from two words: 32 bits of radius, 32 of angle."""
        radius = torch.sqrt(-2.0 * torch.log(_unit(u)))
        angle = (2.0 * math.pi) * _unit(v)
        return radius * torch.cos(angle), radius * torch.sin(angle)


class _Rewards:
    """The reward of a round, from the words that `lemmata.problems.bandits.runs` names."""

    def __init__(self, env: Environment, draw: _Draws) -> None:
        self.tables, self.draw = env.tables(), draw
        self.threshold, self.value, self.cumulative = (
            _on(table, draw.device) for table in (self.tables.threshold, self.tables.value, self.tables.cumulative)
        )
        self.mean, self.pay = (_on(x, draw.device) for x in (self.tables.mean, 1.0 - self.tables.cost))
        self.four: tuple[Tensor, ...] = ()

    def __call__(self, t: int, phase: int, arm: Tensor) -> Tensor:
        kind, draw = self.tables.kind, self.draw
        if kind == Reward.TABLE:
            return self.pay[phase][arm].to(draw.real)
        every = 2 if kind == Reward.GAUSSIAN else 4
        part = (t - 1) % every
        if part == 0 or not self.four:
            self.four = draw.words((t - 1) // every, REWARD)
            if kind == Reward.GAUSSIAN:
                self.four = normal(self.four[0], self.four[1], self.four[2], self.four[3])
        if kind == Reward.BERNOULLI:
            return (self.four[part] < self.threshold[arm]).to(draw.real)
        if kind == Reward.GAUSSIAN:
            return (self.mean[arm] + self.tables.sigma * self.four[part]).to(draw.real)
        outcome = (self.four[part][..., None] >= self.cumulative[arm]).sum(-1)
        return self.value[arm, outcome].to(draw.real)


# ------------------------------------------------------------------------------------ indices and means


class _UCB:
    def __init__(self, tables: list[Any], arms: int, draw: _Draws) -> None:
        self.width, self.scales = tables[0].tolist(), tables[1].to(draw.real)
        self.total, self.mean, self.scale = draw.zeros(arms), draw.zeros(arms), draw.zeros(arms)

    def select(self, t: int) -> Tensor:
        return _largest(self.mean + self.width[t] * self.scale)

    def update(self, t: int, arm: Tensor, reward: Tensor, count: Tensor) -> None:
        self.mean.scatter_(0, arm, _add(self.total, arm, reward) / count)
        self.scale.scatter_(0, arm, self.scales[count])


class _MOSS:
    def __init__(self, tables: list[Any], arms: int, draw: _Draws) -> None:
        self.width = tables[0].to(draw.real)
        self.total, self.index = draw.zeros(arms), draw.zeros(arms)

    def select(self, t: int) -> Tensor:
        return _largest(self.index)

    def update(self, t: int, arm: Tensor, reward: Tensor, count: Tensor) -> None:
        self.index.scatter_(0, arm, _add(self.total, arm, reward) / count + self.width[count])


class _MOSSAnytime:
    def __init__(self, tables: list[Any], arms: int, draw: _Draws) -> None:
        self.log_round = tables[0].tolist()
        self.log_counts, self.scales = tables[1].to(draw.real), tables[2].to(draw.real)
        self.total, self.mean, self.scale, self.log_count = (draw.zeros(arms) for _ in range(4))

    def select(self, t: int) -> Tensor:
        return _largest(self.mean + (self.log_round[t] - self.log_count).clamp_min(0.0).sqrt() * self.scale)

    def update(self, t: int, arm: Tensor, reward: Tensor, count: Tensor) -> None:
        self.mean.scatter_(0, arm, _add(self.total, arm, reward) / count)
        self.scale.scatter_(0, arm, self.scales[count])
        self.log_count.scatter_(0, arm, self.log_counts[count])


class _KLUCB:
    """Every index solved in every round, from where it was last."""

    def __init__(self, tables: list[Any], arms: int, draw: _Draws) -> None:
        self.level = tables[0].tolist()
        self.pulls, self.total, self.q = draw.zeros(arms), draw.zeros(arms), draw.zeros(arms)

    def select(self, t: int) -> Tensor:
        self.q = kl_index(self.total, self.pulls, self.level[t], self.q)
        return (self.q >= self.q.amax(0) - TIE).to(torch.uint8).argmax(0, keepdim=True)

    def update(self, t: int, arm: Tensor, reward: Tensor, count: Tensor) -> None:
        self.pulls.scatter_(0, arm, count.to(self.pulls.dtype))
        _add(self.total, arm, reward)
        self.q.scatter_(0, arm, 0.0)  # start anew


def kl_index(total: Tensor, pulls: Tensor, level: float, start: Tensor) -> Tensor:
    """Largest q with ``pulls kl(total/pulls, q) <= level``, by Newton's and Halley's steps from `start`.

    ``f(q) = n kl(m, q) - L`` is convex and increasing right of the mean: a Newton step from a point right of the mean
    ends right of the root. Where `start` is not right of the mean, or its step passes the bound of
    ``kl(m, q) >= max(2 (q - m)^2, m ln m + (1-m) ln((1-m)/(1-q)))``, that bound is the start.
    """
    failures = pulls - total
    mean = total / pulls
    plain = (total > 0.0) & (failures > 0.0)
    entropy = torch.xlogy(total, mean) + torch.xlogy(failures, 1.0 - mean)
    constant = entropy - level
    top = torch.minimum(mean + torch.sqrt(0.5 * level / pulls), 1.0 - torch.exp(constant / failures))
    top = torch.where(plain & (level > 0.0), top, 0.5 * (1.0 + mean))
    q = torch.where((start > mean) & (start < 1.0), start, top)
    for k in range(STEPS):
        gap, spread = q - mean, q * (1.0 - q)
        room = torch.minimum(gap, 1.0 - q)
        inverse = 1.0 / (pulls * gap)
        value = (constant - total * torch.log(q) - failures * torch.log(1.0 - q)) * inverse
        step = value * spread
        halley = step / (1.0 - 0.5 * value * (spread * pulls * inverse - (1.0 - 2.0 * q)))
        step = torch.where((k > 0) & (step.abs() < 0.25 * room), halley, step)
        new = q - step
        q = torch.where((new > top) | ~(new > mean), top, new)
        if q.device.type == "cpu" and k and bool(((step.abs() ** 3 <= 1e-14 * room * room) | ~plain).all()):
            break
    # the ends: no failure yet, no success yet, no level
    q = torch.where(failures <= 0.0, 1.0, torch.where(total <= 0.0, 1.0 - torch.exp(-level / pulls), q))
    return q if level > 0.0 else torch.where(failures <= 0.0, 1.0, mean)


# --------------------------------------------------------------------------------------------- sampling


class _ThompsonBeta:
    def __init__(self, tables: list[Any], arms: int, draw: _Draws) -> None:
        self.draw, a, b = draw, *tables
        self.a, self.b = draw.zeros(arms) + a, draw.zeros(arms) + b
        self.stream = POSTERIOR + torch.arange(arms, device=draw.device)[:, None]

    def select(self, t: int) -> Tensor:
        shape = torch.stack([self.a, self.b]) - 1.0 / 3.0
        draw, slope = self._attempt(t, shape, 0)
        for j in range(1, ATTEMPTS):
            if shape.device.type == "cpu" and bool(slope.all()):
                break
            again, accepted = self._attempt(t, shape, j)
            draw = torch.where(slope, draw, again)
            slope = slope | accepted
        return _largest(draw[0] / (draw[0] + draw[1]))

    def _attempt(self, t: int, d: Tensor, j: int) -> tuple[Tensor, Tensor]:
        """Marsaglia and Tsang's gamma variates of shape d + 1/3, and which are accepted: attempt j of round t."""
        u, v, *coins = self.draw.words(t, self.stream + (j << 16))
        x = torch.stack(self.draw.normals(u, v)).to(d.dtype)
        v3 = (1.0 + x / torch.sqrt(9.0 * d)) ** 3
        log_coin = torch.log(torch.stack([_unit(c) for c in coins])).to(d.dtype)
        positive = v3 > 0.0
        v3 = torch.where(positive, v3, 1.0)
        return d * v3, positive & (log_coin < 0.5 * x * x + d * (1.0 - v3 + torch.log(v3)))

    def update(self, t: int, arm: Tensor, reward: Tensor, count: Tensor) -> None:
        _add(self.a, arm, reward)
        _add(self.b, arm, 1.0 - reward)


class _ThompsonGaussian:
    def __init__(self, tables: list[Any], arms: int, draw: _Draws) -> None:
        self.draw, self.arms, (self.sigma, self.weight) = draw, arms, tables
        self.total, self.mean = draw.zeros(arms), draw.zeros(arms)
        self.scale = draw.zeros(arms) + (self.sigma / math.sqrt(self.weight) if self.weight > 0.0 else 0.0)
        self.stream = POSTERIOR + torch.arange(-(-arms // 4), device=draw.device)[:, None]

    def select(self, t: int) -> Tensor:
        w = self.draw.words(t, self.stream)
        four = torch.stack([*self.draw.normals(w[0], w[1]), *self.draw.normals(w[2], w[3])], 1)
        z = four.flatten(0, 1)[: self.arms].to(self.mean.dtype)
        return _largest(self.mean + self.scale * z)

    def update(self, t: int, arm: Tensor, reward: Tensor, count: Tensor) -> None:
        weight = count + self.weight
        self.mean.scatter_(0, arm, _add(self.total, arm, reward) / weight)
        self.scale.scatter_(0, arm, (self.sigma / weight.sqrt()).to(self.scale.dtype))


# ---------------------------------------------------------- epsilon-greedy, explore-then-commit, elimination


class _Greedy:
    def __init__(self, tables: list[Any], arms: int, draw: _Draws) -> None:
        self.draw, self.arms, self.threshold = draw, arms, tables[0].tolist()
        self.total, self.mean = draw.zeros(arms), draw.zeros(arms)

    def select(self, t: int) -> Tensor:
        w0, w1, w2, _ = self.draw.words(t, POLICY)
        return torch.where(w0 < self.threshold[t], integer(w1, w2, self.arms), _largest(self.mean))

    def update(self, t: int, arm: Tensor, reward: Tensor, count: Tensor) -> None:
        self.mean.scatter_(0, arm, _add(self.total, arm, reward) / count)


class _Commit:
    def __init__(self, tables: list[Any], arms: int, draw: _Draws) -> None:
        self.arms, self.exploring = arms, tables[0] * arms
        self.total = draw.zeros(arms)
        self.choice = torch.zeros(1, draw.n, dtype=torch.int64, device=draw.device)

    def select(self, t: int) -> Tensor:
        if t <= self.exploring:
            return torch.full_like(self.choice, (t - 1) % self.arms)
        if t == self.exploring + 1:
            self.choice = _largest(self.total)
        return self.choice

    def update(self, t: int, arm: Tensor, reward: Tensor, count: Tensor) -> None:
        if t <= self.exploring:
            _add(self.total, arm, reward)


class _Elimination:
    def __init__(self, tables: list[Any], arms: int, draw: _Draws) -> None:
        self.radius = tables[0].to(draw.real)
        self.total = draw.zeros(arms)
        self.active = torch.ones_like(self.total, dtype=torch.bool)
        self.number = self.active.sum(0)
        self.place, self.passes = torch.zeros_like(self.number), torch.zeros_like(self.number)

    def select(self, t: int) -> Tensor:
        rank = self.active.cumsum(0) - 1
        return (self.active & (rank == self.place)).to(torch.uint8).argmax(0, keepdim=True)

    def update(self, t: int, arm: Tensor, reward: Tensor, count: Tensor) -> None:
        going = self.number > 1
        _add(self.total, arm, torch.where(going, reward, 0.0))
        self.place = self.place + going
        done = going & (self.place >= self.number)
        self.place = torch.where(done, 0, self.place)
        self.passes = self.passes + done
        mean = self.total / self.passes
        radius = self.radius[self.passes]
        least = torch.where(self.active, mean, -torch.inf).amax(0) - radius
        self.active = self.active & (~done | (mean + radius >= least))
        self.number = self.active.sum(0)


# ------------------------------------------------------------------------------------------- adversarial


class _Exp3:
    def __init__(self, tables: list[Any], arms: int, draw: _Draws) -> None:
        self.draw, self.eta = draw, tables[0]
        self.estimate, self.base = draw.zeros(arms), draw.zeros(1)
        self.weight = draw.zeros(arms) + 1.0
        self.sum = draw.zeros(1)

    def select(self, t: int) -> Tensor:
        running = self.weight.cumsum(0)
        self.sum = running[-1:]
        return _first_above(running, self.sum, self.draw, t)

    def update(self, t: int, arm: Tensor, reward: Tensor, count: Tensor) -> None:
        estimate = _add(self.estimate, arm, (1.0 - reward) * self.sum / self.weight.gather(0, arm))
        self.weight.scatter_(0, arm, torch.exp(-self.eta * (estimate - self.base)))
        # losses only grow: start again from the smallest before all weights vanish
        low = self.weight.amax(0) < 1e-100
        self.base = torch.where(low, self.estimate.amin(0), self.base)
        self.weight = torch.where(low, torch.exp(-self.eta * (self.estimate - self.base)), self.weight)


class _Tsallis:
    def __init__(self, tables: list[Any], arms: int, draw: _Draws) -> None:
        self.draw, self.eta, self.reduced = draw, tables[0].tolist(), tables[1]
        self.estimate, self.p = draw.zeros(arms), draw.zeros(arms)
        self.x = draw.zeros() - torch.inf

    def select(self, t: int) -> Tensor:
        scale = 2.0 / self.eta[t]
        top = self.estimate.amin(0) - scale
        self.x = torch.where(self.x > -torch.inf, torch.minimum(self.x, top), top)
        for k in range(STEPS + 1):
            root = scale / (self.estimate - self.x)
            self.p = root * root
            excess = self.p.sum(0) - 1.0
            if k == STEPS or (excess.device.type == "cpu" and bool((excess.abs() < 1e-12).all())):
                break
            self.x = torch.minimum(self.x - excess / (self.eta[t] * (self.p * root).sum(0)), top)
        self.p = self.p / self.p.sum(0)
        running = self.p.cumsum(0)
        return _first_above(running, running[-1:].clamp_max(1.0), self.draw, t)

    def update(self, t: int, arm: Tensor, reward: Tensor, count: Tensor) -> None:
        loss, p = 1.0 - reward, self.p.gather(0, arm)
        if not self.reduced:
            _add(self.estimate, arm, loss / p)
            return
        baseline = 0.5 * (self.p >= self.eta[t] * self.eta[t])
        self.estimate = self.estimate + baseline
        _add(self.estimate, arm, (loss - baseline.gather(0, arm)) / p)


#: What plays each kind of policy: ``kind(tables, arms, draws)`` with ``select(t) -> arm`` and
#: ``update(t, arm, reward, count)``, where count is the arm's pulls with this one.
KINDS: dict[str, Callable[..., Any]] = {
    "ucb": _UCB,
    "moss": _MOSS,
    "moss-anytime": _MOSSAnytime,
    "kl-ucb": _KLUCB,
    "thompson-beta": _ThompsonBeta,
    "thompson-gaussian": _ThompsonGaussian,
    "epsilon-greedy": _Greedy,
    "etc": _Commit,
    "elimination": _Elimination,
    "exp3": _Exp3,
    "tsallis": _Tsallis,
}


# --------------------------------------------------------------------------------------------- arithmetic


def _on(value: Any, device: torch.device) -> Any:
    """An array as a tensor there, integers in int64; a number as it is."""
    if not isinstance(value, np.ndarray):
        return value
    return torch.from_numpy(value.astype(np.float64 if value.dtype.kind == "f" else np.int64)).to(device)


def _add(values: Tensor, arm: Tensor, amount: Any) -> Tensor:
    """``values[arm] += amount`` in each column, and the sums, [1, n]."""
    new = values.gather(0, arm) + amount
    values.scatter_(0, arm, new)
    return new


def _largest(values: Tensor) -> Tensor:
    """The lowest arm of largest value."""
    return values.argmax(0, keepdim=True)


def _first_above(running: Tensor, total: Tensor, draw: _Draws, t: int) -> Tensor:
    """The first arm at which the running sum exceeds ``u total``, u from the policy's words of round t."""
    w0, w1, _, _ = draw.words(t, POLICY)
    below = running <= uniform64(w0, w1) * total
    return below.sum(0, keepdim=True).clamp_max(len(running) - 1)


def _unit(word: Tensor) -> Tensor:
    """A word as a float64 inside (0, 1)."""
    return (word.to(torch.float64) + 0.5) * 2.0**-32
