"""The activation of a monotone deep Boltzmann machine on tensors, with its exact derivative.

``prox_{alpha f}`` with ``f(q) = sum q log q - |q|^2 / 2`` on the simplex, as in `lemmata.sims.monotone_dbm`: at
alpha = 1, and only there, the softmax. The logarithm of z is solved for, by Newton's method from the side on which it
is monotone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lemmata.errors import NonFiniteError, ShapeError
from lemmata.problems.monotone_dbm import check_alpha, check_states

__all__ = ["each_node", "node_runs", "prox", "prox_jacobian", "softmax"]

#: Newton steps of the inner and outer equations at most: it stops when nothing moves
LIMIT = 100
#: logarithm of a probability that floating point holds as zero
NOTHING = 1000.0


@lru_cache(maxsize=64)
def node_runs(states: tuple[int, ...]) -> tuple[tuple[slice, int], ...]:
    """Runs of neighbouring nodes with as many states, as (entries, states): each is one array ``[..., nodes, K]``."""
    runs, start = [], 0
    for k, same in groupby(states):
        stop = start + k * len(list(same))
        runs.append((slice(start, stop), k))
        start = stop
    return tuple(runs)


def each_node(function: Callable[[Tensor], Tensor], x: Tensor, states: tuple[int, ...]) -> Tensor:
    """A function of tensors ``[..., nodes, K]`` on the entries of every node of x, ``[..., n]``."""
    parts = [function(x[..., own].unflatten(-1, (-1, k))).flatten(-2) for own, k in node_runs(states)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def softmax(x: Tensor, states: tuple[int, ...]) -> Tensor:
    """The softmax of every node, ``[..., n]``."""
    return each_node(_softmax, x, states)


def _softmax(x: Tensor) -> Tensor:
    if x.shape[-1] == 2:  # several times faster than the general one on the CPU
        difference = x[..., :1] - x[..., 1:]
        return torch.sigmoid(torch.cat([difference, -difference], -1))
    return torch.softmax(x, -1)


def _still(step: Tensor, size: Any = 1.0) -> bool:
    """Whether what is left, half the square of a step relative to `size` or less, is below rounding.

    On a GPU the host waits for the answer; with Triton the question is not asked.
    """
    return bool((step.abs() <= torch.finfo(step.dtype).eps ** 0.75 * size).all())


def log_odds(difference: Tensor, alpha: float, start: Tensor | None = None) -> Tensor:
    """|l| of two states, from x_1 - x_2: ``alpha l + (1 - alpha) tanh(l/2) = x_1 - x_2``, odd and increasing.

    Of d > 0, ``2 d/(1 + alpha)`` and ``(d - 1 + alpha)/alpha`` lie on one side of l: below it for alpha < 1, where the
    left-hand side is concave, above it for alpha > 1. From the nearer one Newton's method moves one way only. A step of
    it from anywhere (`start`, not negative) ends on that side, too: an earlier answer saves most of the way.

    Below 1 the equation is solved with ``tanh(l/2) = 1 - 2 s``, s the smaller probability: nothing cancels then where
    the odds are long and alpha is small.
    """
    d = difference.abs().clamp_max(2 + NOTHING * alpha)  # beyond it the odds are infinite in floating point
    beyond = (d - 1) + alpha
    bounds = d * (2 / (1 + alpha)), beyond / alpha
    nearer = torch.maximum if alpha < 1 else torch.minimum
    odds = nearer(*bounds)
    if alpha == 1:
        return odds

    def newton(odds: Tensor) -> Tensor:
        if alpha < 1:
            s = torch.sigmoid(-odds)
            slope = torch.addcmul(s, s, s, value=-1).mul_(2 * (1 - alpha)).add_(alpha)
            return s.mul_(2 * (alpha - 1)).add_(odds, alpha=alpha).sub_(beyond).div_(slope)
        t = torch.tanh(odds / 2)
        slope = (t * t).mul_((alpha - 1) / 2).add_((1 + alpha) / 2)
        return t.mul_(1 - alpha).add_(odds, alpha=alpha).sub_(d).div_(slope)

    if start is not None:
        odds = nearer(odds, start - newton(start))
    tight = torch.finfo(odds.dtype).eps ** 0.75
    for _ in range(LIMIT):
        step = newton(odds)
        odds = odds - step
        # what is left is half the square of the step or less, and rounding is about eps odds. The largest of
        # differences is faster to find than whether all are negative
        if not odds.numel() or float(step.abs_().sub_(odds, alpha=tight).amax()) <= tight:
            break
    return odds


def _binary(x: Tensor, alpha: float) -> Tensor:
    """Two states, by their log odds."""
    difference = x[..., 0] - x[..., 1]
    odds = log_odds(difference, alpha)
    # the smaller probability keeps its relative precision
    small = torch.exp(-odds) / (1 + torch.exp(-odds))
    first = torch.where(difference >= 0, 1 - small, small)
    return torch.stack([first, torch.where(difference >= 0, small, 1 - small)], -1)


def _many(x: Tensor, alpha: float) -> Tensor:
    """Any number of states: ``alpha u_k + (1 - alpha) e^{u_k} = y_k`` for u = log z inside, ``sum z = 1`` outside."""
    below = (x - x.amax(-1, keepdim=True)).clamp_min(-2 - NOTHING * alpha)  # below it z is zero, whatever nu
    # nu is counted from 1 - max x, where the largest z is 1 and the sum too large: it is convex in nu, which only falls
    nu = torch.zeros_like(below[..., :1])
    # above 1, e^u is counted from 1 and y from 1 - alpha: nothing cancels on either side
    exponential, right, least = (torch.exp, 1 - alpha, alpha) if alpha < 1 else (torch.expm1, 0.0, 1.0)
    nearer = torch.minimum if alpha < 1 else torch.maximum
    floor = 4 * x.shape[-1] * torch.finfo(x.dtype).eps ** 0.25
    u = nearer((below + 1 - alpha) / alpha, below)
    for _ in range(LIMIT):
        y = right + (below + nu)
        for _ in range(LIMIT):
            w = exponential(u)
            step = w.mul(1 - alpha).add_(u, alpha=alpha).sub_(y).div_(least + (1 - alpha) * w)
            u = (u - step).clamp_max(0)
            if _still(step, u.abs().clamp_min(1)):
                break
        e = torch.exp(u)
        slope = least + (1 - alpha) * exponential(u)
        excess = e.sum(-1, keepdim=True) - 1
        change = excess / (e / slope).sum(-1, keepdim=True)
        nu = nu - change
        u = (u - change / slope).clamp_max(0)  # u is concave in y: its tangent stays on the side of the root
        # log z moves by at most 1/alpha times nu; the sum itself is rounded
        if _still(torch.minimum(change.abs() / min(alpha, 1.0), excess.abs() / floor)):
            break
    return torch.softmax(u, -1)


class _Prox(torch.autograd.Function):
    """z of one run of nodes ``[..., nodes, K]``; backwards by the exact Jacobian, itself differentiable."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: float) -> Tensor:  # type: ignore[override]
        if fused(x):
            from lemmata.kernels.monotone_dbm._prox_triton import activate

            z = activate(x, alpha)
        else:
            z = _binary(x, alpha) if x.shape[-1] == 2 else torch.softmax(x, -1) if alpha == 1 else _many(x, alpha)
        ctx.save_for_backward(z)
        ctx.alpha = alpha
        return z

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        g = z / (ctx.alpha + (1 - ctx.alpha) * z)
        weighted = g * grads[0]
        return weighted - g * (weighted.sum(-1, keepdim=True) / g.sum(-1, keepdim=True)), None


def fused(x: Tensor) -> bool:
    """Whether Triton takes the prox: on a GPU."""
    return x.is_cuda and find_spec("triton") is not None


def check_tensor(name: str, value: Any, n: int, like: Tensor | None = None) -> Tensor:
    """A finite tensor [n] or [B, n] of float32 or float64, on the device and in the dtype of `like` if there is one.

    Raises
    ------
    ShapeError, NonFiniteError
        The latter names the first bad sample.
    """
    made = value if isinstance(value, Tensor) else torch.tensor(np.asarray(value))  # a list of floats is float64 then
    if like is not None:
        made = made.to(like)
    if made.dtype not in (torch.float32, torch.float64):
        made = made.double()
    if made.ndim not in (1, 2) or made.shape[-1] != n:
        raise ShapeError(f"{name} must have shape ({n},) or (batch, {n}), got {tuple(made.shape)}")
    if not bool(torch.isfinite(made).all()):
        rows = torch.atleast_2d(made)
        b, k = (int(i) for i in torch.nonzero(~torch.isfinite(rows))[0])
        raise NonFiniteError(f"{name} of sample {b} is {float(rows[b, k])} at entry {k}", index=(b, k))
    return made


def prox(x: Any, alpha: float, states: Sequence[int]) -> Tensor:
    """prox_{alpha f}(x) of every node, to the precision of its dtype at any step; differentiable in x, twice.

    Parameters
    ----------
    x : tensor [n] or [B, n]
        float32 or float64 on any device; what is not a tensor becomes one.
    alpha : float
        Step, from 1e-30 to 1e30. At 1 this is the softmax; towards 0 the projection onto the simplex; towards infinity
        uniform.
    states : sequence of int
        States of each node, of sum n.

    Returns
    -------
    tensor, as x
        Points of the product of simplices. Memory: some ten times x.

    Raises
    ------
    DomainError, ShapeError, NonFiniteError
    """
    nodes, step = check_states(states), check_alpha(alpha)
    return activate(check_tensor("x", x, sum(nodes)), step, nodes)


def activate(x: Tensor, alpha: float, states: tuple[int, ...]) -> Tensor:
    """`prox` without its checks, for loops."""
    return each_node(lambda y: _Prox.apply(y, alpha), x, states)


def prox_jacobian(z: Any, alpha: float, states: Sequence[int]) -> Tensor:
    """Jacobian of the prox at ``z = prox(x)``: ``diag(g) - g g' / sum g`` with ``g = z / (alpha + (1 - alpha) z)``.

    Symmetric, positive semidefinite, of spectral norm at most ``1/(1 + alpha)``.

    Parameters
    ----------
    z : tensor [n]
    alpha : float
    states : sequence of int

    Returns
    -------
    tensor [n, n]
        Block diagonal, a block a node.
    """
    nodes, alpha = check_states(states), check_alpha(alpha)
    row = check_tensor("z", z, sum(nodes))
    if row.ndim != 1:
        raise ShapeError(f"z must have shape ({sum(nodes)},), got {tuple(row.shape)}")
    g = row / (alpha + (1 - alpha) * row)
    share = each_node(lambda y: y / y.sum(-1, keepdim=True), g, nodes)
    node = torch.repeat_interleave(torch.tensor(nodes)).to(row.device)
    return torch.diag(g) - torch.where(node[:, None] == node, g[:, None] * share, 0.0)
