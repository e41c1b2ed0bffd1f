"""The prox activation, a block of nodes a program: both Newton iterations in registers, and the step around them.

A program goes on until its last node is done; nothing waits for the host. Apart from
`lemmata.kernels.monotone_dbm.prox` so that it does not need Triton. Where there is no GPU, set ``TRITON_INTERPRET=1``
before Triton is first imported and the kernel runs interpreted on the CPU.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lemmata.kernels.monotone_dbm.prox import node_runs

__all__ = ["activate", "step"]

#: logarithm of a probability that floating point holds as zero, and Newton steps of an equation at most
NOTHING, LIMIT = tl.constexpr(1000.0), tl.constexpr(100)
#: entries of a program
BLOCK = 1024
#: what is not a size is compiled once for all problems
LOOSE = ("count", "n", "start", "nodes")


@triton.jit
def _expm1(u, DOUBLE: tl.constexpr):
    """``e^u - 1`` for u <= 0, by its series near 0; terms that are left out are below rounding."""
    near = tl.maximum(u, -0.25)
    p = near * 0.0 + 1.0
    for k in tl.static_range(13 if DOUBLE else 7, 1, -1):
        p = 1.0 + p * near / k
    return tl.where(u > -0.25, near * p, tl.exp(u) - 1.0)


@triton.jit
def _binary(difference, alpha, EPS: tl.constexpr):
    """The smaller of two probabilities: see `_binary` of `lemmata.kernels.monotone_dbm.prox`."""
    d = tl.minimum(tl.abs(difference), 2.0 + NOTHING * alpha)
    beyond = (d - 1.0) + alpha
    near, far = 2.0 * d / (1.0 + alpha), beyond / alpha
    below = alpha < 1.0
    odds = tl.where(below, tl.maximum(near, far), tl.minimum(near, far))
    moving = 1
    k = 0
    while (moving > 0) & (k < LIMIT):
        s = tl.exp(-odds) / (1.0 + tl.exp(-odds))
        t = 1.0 - 2.0 * s
        # whichever form cancels nothing
        left = tl.where(below, alpha * odds - 2.0 * (1.0 - alpha) * s - beyond, alpha * odds + (1.0 - alpha) * t - d)
        curved = tl.where(below, alpha + 2.0 * (1.0 - alpha) * s * (1.0 - s), (1.0 + alpha + (alpha - 1.0) * t * t) / 2)
        change = left / curved
        odds = odds - change
        moving = tl.max((tl.abs(change) > tl.exp(0.75 * tl.log(EPS)) * tl.maximum(odds, 1.0)).to(tl.int32), 0)
        k += 1
    small = tl.exp(-odds)
    return small / (1.0 + small)


@triton.jit
def _log_many(x, alpha, EPS: tl.constexpr, DOUBLE: tl.constexpr, K: tl.constexpr):
    """log z of rows of states up to a constant: see `_many` of `lemmata.kernels.monotone_dbm.prox`."""
    below = tl.maximum(x - tl.max(x, 1)[:, None], -2.0 - NOTHING * alpha)
    close = tl.exp(0.75 * tl.log(EPS))
    small = alpha < 1.0
    right, least = tl.where(small, 1.0 - alpha, 0.0), tl.where(small, alpha, 1.0)
    u = (below + 1.0 - alpha) / alpha
    u = tl.where(small, tl.minimum(u, below), tl.maximum(u, below))
    nu = tl.max(x, 1) * 0.0
    outer = 1
    k = 0
    while (outer > 0) & (k < LIMIT):
        y = right + (below + nu[:, None])
        inner = 1
        j = 0
        while (inner > 0) & (j < LIMIT):
            w = tl.where(small, tl.exp(u), _expm1(u, DOUBLE))
            change = (alpha * u + (1.0 - alpha) * w - y) / (least + (1.0 - alpha) * w)
            u = tl.minimum(u - change, 0.0)
            inner = tl.max(tl.max((tl.abs(change) > close * tl.maximum(tl.abs(u), 1.0)).to(tl.int32), 1), 0)
            j += 1
        e = tl.exp(u)
        slope = least + (1.0 - alpha) * tl.where(small, e, _expm1(u, DOUBLE))
        excess = tl.sum(e, 1) - 1.0
        shift = excess / tl.sum(e / slope, 1)
        nu = nu - shift
        u = tl.minimum(u - shift[:, None] / slope, 0.0)
        open = (tl.abs(shift) > close * tl.minimum(alpha, 1.0)) & (tl.abs(excess) > 4.0 * K * EPS)
        outer = tl.max(open.to(tl.int32), 0)
        k += 1
    return u


@triton.jit(do_not_specialize=LOOSE)
def _step(
    q,
    field,
    held,
    step_of,
    out,
    count,
    n,
    start,
    nodes,
    K: tl.constexpr,
    KP: tl.constexpr,
    ROWS: tl.constexpr,
    EPS: tl.constexpr,
    DOUBLE: tl.constexpr,
    SOFTMAX: tl.constexpr,
    FLAT: tl.constexpr,
    ALONE: tl.constexpr,
):
    """``out <- prox((1 - alpha) q + alpha field)`` for `count` nodes of K states, or q where held.

    FLAT: no other nodes lie between, so that a program reads one stretch of memory. ALONE: ``out <- prox(q)``, nothing
    else is read.
    """
    alpha = tl.load(step_of)
    node = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    seen = node < count
    first = node * K if FLAT else node // nodes * n + start + node % nodes * K
    k = tl.arange(0, KP)
    at = first[:, None] + k[None, :]
    real = seen[:, None] & (k < K)[None, :]
    old = tl.load(q + at, mask=real, other=0.0)
    x = old
    if K == 2:
        q0, q1 = tl.split(old)
        difference = q0 - q1
        if not ALONE:
            f0, f1 = tl.split(tl.load(field + at, mask=real, other=0.0))
            difference += alpha * ((f0 - f1) - difference)
        small = _binary(difference, alpha, EPS)
        up = difference >= 0
        z = tl.join(tl.where(up, 1.0 - small, small), tl.where(up, small, 1.0 - small))
    else:
        if not ALONE:
            x = old + alpha * (tl.load(field + at, mask=real, other=0.0) - old)
        x = tl.where((k < K)[None, :], x, -float("inf"))
        u = x if SOFTMAX else _log_many(x, alpha, EPS, DOUBLE, K)
        z = tl.exp(u - tl.max(u, 1)[:, None])
        z = tl.where((k < K)[None, :], z, 0.0)
        z = z / tl.sum(z, 1)[:, None]
    if not ALONE:
        z = tl.where(tl.load(held + at, mask=real, other=0) > 0, old, z)
    tl.store(out + at, z, mask=real)


def step(q: Tensor, field: Tensor, held: Tensor, alpha: float, states: tuple[int, ...]) -> Tensor:
    """``prox_{alpha f}((1 - alpha) q + alpha field)``, or q where held: a launch a run of nodes of as many states.

    Parameters
    ----------
    q, field : tensor [B, n]
        float32 or float64.
    held : bool tensor [B, n]
    alpha : float
    states : tuple of int
    """
    return _launch(q, field, held, alpha, states)


def activate(x: Tensor, alpha: float) -> Tensor:
    """``prox_{alpha f}`` along the last axis of x [..., K], float32 or float64."""
    return _launch(x.reshape(-1, x.shape[-1]), None, None, alpha, (x.shape[-1],)).view(x.shape)


def _launch(q: Tensor, field: Tensor | None, held: Tensor | None, alpha: float, states: tuple[int, ...]) -> Tensor:
    """`step`, or without a field the prox of q alone."""
    q = q.contiguous()
    out = torch.empty_like(q)
    # what is not read is a pointer of any kind
    others = (q, q) if field is None or held is None else (field.contiguous(), held.contiguous().view(torch.uint8))
    # a Python number would come as float32
    given = torch.full((1,), alpha, dtype=q.dtype, device=q.device)
    runs = node_runs(states)
    for own, K in runs:
        nodes = (own.stop - own.start) // K
        count, KP = len(q) * nodes, triton.next_power_of_2(K)
        rows = BLOCK if K == 2 else max(1, BLOCK // KP)
        if count:
            _step[(triton.cdiv(count, rows),)](
                *(q, *others, given, out, count, q.shape[1], own.start, nodes),
                K=K,
                KP=KP,
                ROWS=rows,
                EPS=torch.finfo(q.dtype).eps,
                DOUBLE=q.dtype == torch.float64,
                SOFTMAX=alpha == 1,
                FLAT=len(runs) == 1,
                ALONE=field is None,
            )
    return out
