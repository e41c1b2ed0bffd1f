"""Evolution strategies with low-rank noise for any batched fitness, on a device."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lemmata.kernels import _philox
from lemmata.kernels.learning_dynamics.tensors import check_floating
from lemmata.problems.learning_dynamics import check_population

__all__ = ["eggroll_gradient", "eggroll_sine"]

#: matrices that are evaluated at once
CHUNK = 1 << 16


@torch.no_grad()
def eggroll_gradient(
    fitness: Callable[[Tensor], Tensor],
    M: Tensor,
    *,
    sigma: float,
    rank: int,
    pairs: int,
    replicates: int,
    antithetic: bool = True,
    seed: int,
) -> Tensor:
    """Estimates of ``(1/sigma) E[E f(M + sigma E)]``, ``E = A B^T / sqrt(rank)``; see `eggroll_sine` of `sims`.

    The official code standardises fitness and scales the update by the root of the population; this is the plain
    estimate, an unbiased one of the low-rank score.

    Parameters
    ----------
    fitness : callable
        From (P, m, n) to (P,): the whole population at once.
    M : tensor (m, n)
    sigma : float
    rank, pairs, replicates : int
    antithetic : bool
    seed : int
        Pair k of replicate i is the same in any run of this rank, however it is cut into chunks.

    Returns
    -------
    tensor (replicates, m, n)
        Memory: this, and some ``(m + n) rank * 40 + 32 m n`` bytes for each of 65,536 matrices. The host waits for the
        checks alone.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, TypeError
    """
    check_floating(M=M)
    rank, pairs, replicates = check_population(M, M, sigma, rank, pairs, replicates)
    m, n = M.shape
    blocks = -(-(m + n) * rank // 2)
    found = M.new_zeros(replicates, m, n)
    together, length = max(CHUNK // pairs, 1), min(pairs, CHUNK)
    for first in range(0, replicates, together):
        owner = torch.arange(first, min(first + together, replicates), device=M.device)
        for begin in range(0, pairs, length):
            pair = torch.arange(begin, min(begin + length, pairs), device=M.device)
            block = pair[:, None] * blocks + torch.arange(blocks, device=M.device)
            w = _philox.words(block, 0, owner[:, None, None], seed=seed)
            draws = torch.stack(_philox.normal(w[..., 0], w[..., 1], w[..., 2], w[..., 3], M.dtype), dim=-1)
            A, B, _ = draws.flatten(2).split((m * rank, n * rank, 2 * blocks - (m + n) * rank), dim=2)
            E = (A.unflatten(2, (m, rank)) @ B.unflatten(2, (n, rank)).mT / math.sqrt(rank)).flatten(0, 1)
            value = fitness(M + sigma * E)
            if antithetic:
                value = (value - fitness(M - sigma * E)) / 2
            # sums within a replicate, by matrix products: in the same order every time, on a GPU too
            sums = value.view(owner.numel(), 1, -1) @ E.view(owner.numel(), -1, m * n)
            found[first : first + together] += sums.view(-1, m, n) / (sigma * pairs)
    return found


def eggroll_sine(
    C: Tensor, M: Tensor, *, sigma: float, rank: int, pairs: int, replicates: int, antithetic: bool = True, seed: int
) -> Tensor:
    """`eggroll_gradient` for ``f(W) = sin<C, W>``; arguments of `lemmata.sims.learning_dynamics.eggroll_sine`."""
    check_floating(C=C, M=M)
    check_population(C, M, sigma, rank, pairs, replicates)
    return eggroll_gradient(
        lambda W: torch.sin((C * W).sum((1, 2))),
        M,
        sigma=sigma,
        rank=rank,
        pairs=pairs,
        replicates=replicates,
        antithetic=antithetic,
        seed=seed,
    )
