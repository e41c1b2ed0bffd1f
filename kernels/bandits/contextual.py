"""Inverse-gap weighting on contextual bandits in torch, all replicates in step: linear, tabular and neural oracles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.kernels._philox import bernoulli_threshold, integer, normal, uniform64, words
from lemmata.problems.bandits import POLICY
from lemmata.problems.bandits.contextual import (
    CONTEXT,
    NETWORK,
    Contextual,
    InverseGap,
    LinearOracle,
    NeuralOracle,
    TabularOracle,
    check_contextual,
    contextual_result,
)

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["perturbed_outputs", "simulate_contextual"]


#: Rounds whose random words are made at once.
AHEAD = 128


# ---------------------------------------------------------------------------------------------- oracles
# An oracle holds n replicates: predict(m) gives [n, K], learn(m, a, loss) takes int64[n], int64[n], float64[n].


class _Linear:
    def __init__(self, oracle: LinearOracle, features: Tensor, n: int) -> None:
        d = features.shape[2]
        self.features = features
        self.inverse = (torch.eye(d, dtype=features.dtype, device=features.device) / oracle.ridge).repeat(n, 1, 1)
        self.moment = torch.zeros(n, d, 1, dtype=features.dtype, device=features.device)

    def predict(self, m: Tensor) -> Tensor:
        x = self.features[m]
        direction = x @ self.inverse  # [n, K, d]
        mean, width = (direction @ self.moment)[..., 0], (direction * x).sum(dim=2)
        return (0.5 + mean / (1 + width)).clamp(0, 1)

    def learn(self, m: Tensor, a: Tensor, loss: Tensor) -> None:
        x = self.features[m, a][..., None]
        direction = self.inverse @ x
        growth = 1 + (direction * x).sum(dim=1, keepdim=True)
        self.inverse -= direction @ direction.mT / growth
        self.moment += x * (loss - 0.5)[:, None, None]


class _Tabular:
    def __init__(self, oracle: TabularOracle, features: Tensor, n: int) -> None:
        self.oracle, self.row = oracle, torch.arange(n, device=features.device)
        self.pulls, self.total = torch.zeros(2, n, *features.shape[:2], dtype=features.dtype, device=features.device)

    def predict(self, m: Tensor) -> Tensor:
        pulls, total = self.pulls[self.row, m], self.total[self.row, m]
        return (total + self.oracle.weight * self.oracle.prior) / (pulls + self.oracle.weight)

    def learn(self, m: Tensor, a: Tensor, loss: Tensor) -> None:
        self.pulls[self.row, m, a] += 1
        self.total[self.row, m, a] += loss


def _output(inner: Tensor, outer: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """``<v, tanh(W x)> / sqrt(m)`` for W [n, m, d], v [n, m], x [n, K, d]; gives f [n, K] and tanh(W x) [n, K, m]."""
    hidden = torch.tanh(x @ inner.mT)
    return (hidden @ outer[..., None])[..., 0] / math.sqrt(outer.shape[1]), hidden


def _shift(oracle: NeuralOracle, moved: Tensor, signs: Tensor) -> Tensor:
    """``perturbation m^{-1/4} <theta - theta_0, e_s>``, [n, S], of theta - theta_0 [n, p] and signs [n, S, p]."""
    return oracle.perturbation * oracle.width**-0.25 * (signs @ moved[..., None])[..., 0]


class _Network:
    """W and v side by side in theta [n, p], p = m (d + 1)."""

    def __init__(self, oracle: NeuralOracle, features: Tensor, replicate: Tensor, seed: int) -> None:
        m, d = oracle.width, features.shape[2]
        self.oracle, self.features, self.inner = oracle, features, m * d
        half = m // 2 * (d + 1)  # the second half of the units is the first with v of the other sign: f = 0
        block = torch.arange((half + 1) // 2, device=features.device)
        w0, w1, w2, w3 = words(block, NETWORK, replicate[:, None], seed=seed).unbind(-1)
        drawn = torch.stack(normal(w0, w1, w2, w3), dim=-1)
        drawn = drawn.flatten(1)[:, :half].to(features.dtype)
        w, v = drawn[:, : m // 2 * d], drawn[:, m // 2 * d :]
        self.start = torch.cat([w, w, v, -v], dim=1)
        self.theta = self.start.clone()
        p = m * (d + 1)
        block = torch.arange(-(-oracle.members * p // 128), device=features.device)
        word = words(block, NETWORK + 1, replicate[:, None], seed=seed).flatten(1)
        bits = (word[..., None] >> torch.arange(32, device=features.device)) & 1
        self.signs = 1.0 - 2 * bits.flatten(1)[:, : oracle.members * p].reshape(-1, oracle.members, p).to(
            features.dtype
        )

    def _parts(self) -> tuple[Tensor, Tensor]:
        n, m = self.theta.shape[0], self.oracle.width
        return self.theta[:, : self.inner].view(n, m, -1), self.theta[:, self.inner :]

    def _answer(self, output: Tensor) -> Tensor:
        return torch.sigmoid(output) if self.oracle.loss == "kl" else 0.5 + output

    def predict(self, m: Tensor) -> Tensor:
        output, _ = _output(*self._parts(), self.features[m])
        shift = _shift(self.oracle, self.theta - self.start, self.signs)
        return self._answer(output[..., None] + shift[:, None]).mean(dim=2).clamp(0, 1)

    def gradient(self, m: Tensor, a: Tensor, loss: Tensor) -> Tensor:
        """Gradient [n, p] of the loss of what was played, averaged over the members."""
        inner, outer = self._parts()
        x = self.features[m, a][:, None]
        output, hidden = _output(inner, outer, x)
        shift = _shift(self.oracle, self.theta - self.start, self.signs)
        # d/d output of (1/2 + output - loss)^2, and of -ln of the probability of the loss
        wrong = (2 if self.oracle.loss == "square" else 1) * (self._answer(output + shift) - loss[:, None])  # [n, S]
        by_outer = hidden[:, 0] / math.sqrt(self.oracle.width)
        by_inner = (outer * (1 - hidden[:, 0] ** 2))[..., None] * x / math.sqrt(self.oracle.width)
        of_output = torch.cat([by_inner.flatten(1), by_outer], dim=1)
        of_shift = self.oracle.perturbation * self.oracle.width**-0.25 * (wrong[:, None] @ self.signs)[:, 0]
        return wrong.mean(dim=1, keepdim=True) * of_output + of_shift / self.oracle.members

    def learn(self, m: Tensor, a: Tensor, loss: Tensor) -> None:
        self.theta = self.theta - self.oracle.rate * self.gradient(m, a, loss)


def perturbed_outputs(
    oracle: NeuralOracle, start: Any, moved: Any, signs: Any, x: Any, *, device: str | torch.device | None = None
) -> tuple[float, np.ndarray]:
    """The output of one network at one x, plain and with each perturbation.

    Parameters
    ----------
    oracle : NeuralOracle
    start, moved : array_like, (m (d + 1),)
        Parameters at the start and now: the rows of W one after another, then v.
    signs : array_like, (S, m (d + 1))
    x : array_like, (d,)
    device : optional

    Returns
    -------
    float
        ``f(x)``.
    float64[S]
        ``f(x) + perturbation m^{-1/4} <moved - start, e_s>``.

    Raises
    ------
    ShapeError
        Shapes that do not fit.
    """
    first, theta, e, point = (
        torch.as_tensor(np.asarray(v, np.float64), device=device) for v in (start, moved, signs, x)
    )
    p = oracle.width * (point.numel() + 1)
    if first.shape != (p,) or theta.shape != (p,) or e.ndim != 2 or e.shape[1] != p:
        shapes = tuple(first.shape), tuple(theta.shape), tuple(e.shape)
        raise ShapeError(f"m (d + 1) = {p}: start, moved and signs must be ({p},), ({p},) and (S, {p}), got {shapes}")
    inner, outer = theta[: -oracle.width].view(1, oracle.width, -1), theta[-oracle.width :][None]
    output, _ = _output(inner, outer, point[None, None])
    return float(output), (output + _shift(oracle, (theta - first)[None], e[None]))[0].cpu().numpy()


# ------------------------------------------------------------------------------------------------ public


def _weigh(predicted: Tensor, gamma: float, fast: bool) -> Tensor:
    """`inverse_gap` on the device, [n, K]."""
    arms = predicted.shape[1]
    best = predicted.argmin(dim=1, keepdim=True)
    least = predicted.gather(1, best)
    gap = predicted - least
    if math.isinf(gamma):
        p = torch.zeros_like(predicted)
    elif not fast:
        p = 1 / (arms + gamma * gap)
    else:
        below = arms * least + gamma * gap
        p = torch.where(below > 0, least / torch.where(below > 0, below, torch.ones_like(below)), 1 / arms)
    p = p.scatter(1, best, 0.0)
    return p.scatter(1, best, 1 - p.sum(dim=1, keepdim=True))


def _draws(rounds: Tensor, replicate: Tensor, env: Contextual, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Context, word of the loss and coin of each round and replicate, [rounds, n]."""
    w0, w1, w2, _ = words(rounds[:, None], CONTEXT, replicate, seed=seed).unbind(-1)
    m = ((rounds - 1) % env.contexts)[:, None].expand(w0.shape) if env.turn else integer(w0, w1, env.contexts)
    return m, w2, uniform64(*words(rounds[:, None], POLICY, replicate, seed=seed).unbind(-1)[:2])


@torch.no_grad()
def simulate_contextual(
    policy: InverseGap,
    env: Contextual,
    horizon: int,
    replicates: int,
    *,
    checkpoints: object = None,
    device: str | torch.device | None = None,
    first_replicate: int = 0,
    path: bool = False,
    seed: int,
) -> xr.Dataset:
    """Play inverse-gap weighting on a contextual bandit, all replicates in step.

    Parameters
    ----------
    policy : InverseGap
        With any oracle, learning round by round: generations are played by `lemmata.sims.bandits`.
    env : Contextual
    horizon, replicates, checkpoints, first_replicate, path, seed
        As in `lemmata.sims.bandits.simulate_contextual`, which plays linear and tabular oracles with the same words.
    device : str or torch.device, optional
        The GPU where there is one, else the CPU.

    Returns
    -------
    xarray.Dataset
        As there.

    Raises
    ------
    TypeError, ShapeError, DomainError
        For bad input, before any round.
    NonFiniteError
        A network that diverged.

    Notes
    -----
    Memory: 8 R (K d + d^2 + 2,000) bytes, of the tabular oracle 16 R M K, of a network 8 R m (d + 1) (S + 4), and the
    path.
    The device is waited for only at the end.
    """
    checked = check_contextual(policy, env, horizon, replicates, checkpoints, first_replicate, seed)
    if (policy.generation, policy.keep) != (1, "all"):
        raise DomainError("generations are played by lemmata.sims.bandits alone: use generation 1 here")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    n, seed = checked.replicates, checked.seed
    # numbers from 2^63 on wrap, which the words undo
    numbers = np.arange(checked.first, checked.first + n, dtype=np.uint64).view(np.int64)
    replicate = torch.as_tensor(numbers, device=where)
    features, means = (torch.as_tensor(a.copy(), device=where) for a in (env.features, env.means))
    threshold = torch.as_tensor(bernoulli_threshold(means))
    gaps, least = means - means.amin(dim=1, keepdim=True), means.amin(dim=1)
    oracle: _Linear | _Tabular | _Network
    if isinstance(policy.oracle, LinearOracle):
        oracle = _Linear(policy.oracle, features, n)
    elif isinstance(policy.oracle, TabularOracle):
        oracle = _Tabular(policy.oracle, features, n)
    else:
        oracle = _Network(policy.oracle, features, replicate, seed)
    sums = torch.zeros(3, n, dtype=means.dtype, device=where)
    reported = torch.zeros(3, n, checked.points.size, dtype=means.dtype, device=where)
    kept = torch.zeros(5, n, checked.horizon if path else 0, dtype=means.dtype, device=where)
    column = {int(t): c for c, t in enumerate(checked.points)}
    for start in range(1, checked.horizon + 1, AHEAD):
        rounds = torch.arange(start, min(start + AHEAD, checked.horizon + 1), device=where)
        contexts, words_of_loss, coins = _draws(rounds, replicate, env, seed)
        for i, t in enumerate(range(start, start + len(rounds))):
            m = contexts[i]
            predicted = oracle.predict(m)
            probability = _weigh(predicted, policy.gamma, policy.rule == "fast")
            a = (probability.cumsum(dim=1)[:, :-1] <= coins[i, :, None]).sum(dim=1)
            loss = (words_of_loss[i] < threshold[m, a]).to(means.dtype)
            chosen = predicted.gather(1, a[:, None])[:, 0]
            sums += torch.stack([gaps[m, a], (chosen - means[m, a]) ** 2, least[m]])
            if path:
                kept[:, :, t - 1] = torch.stack([m, a, loss, chosen, probability.gather(1, a[:, None])[:, 0]])
            oracle.learn(m, a, loss)
            if t in column:
                reported[:, :, column[t]] = sums
    if not bool(torch.isfinite(sums).all()):
        bad = int((~torch.isfinite(sums).all(dim=0)).sum())
        raise NonFiniteError(f"the network of {bad} of {n} replicates diverged: lower its rate, {policy.oracle!r}")
    results = (reported.cpu().numpy(), kept.cpu().numpy())
    return contextual_result(policy, checked, *results, backend="kernels", device=str(where))
