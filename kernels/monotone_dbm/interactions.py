"""Interactions Phi as a symmetric operator on batches of state vectors: a matrix, or a block diagonal less A' A."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lemmata.kernels.monotone_dbm.prox import node_runs
from lemmata.problems.monotone_dbm import MonotoneModel, PairwiseModel

__all__ = ["Interactions", "block_apply", "blocks_of", "interactions_of", "resolvent"]

Linear = Callable[[Tensor], Tensor]


def blocks_of(A: Tensor, states: tuple[int, ...]) -> tuple[Tensor, ...]:
    """``A_i' A_i`` of every node, a tensor [nodes, K, K] for each run of nodes with as many states."""
    parts = (A[:, own].unflatten(1, (-1, k)) for own, k in node_runs(states))
    return tuple(torch.einsum("rnk,rnl->nkl", part, part) for part in parts)


def block_apply(blocks: tuple[Tensor, ...], x: Tensor, states: tuple[int, ...]) -> Tensor:
    """``blkdiag(blocks) x`` for x [..., n]; the blocks are symmetric."""
    parts = []
    for block, (own, k) in zip(blocks, node_runs(states), strict=True):
        y = x[..., own].unflatten(-1, (-1, k))
        # K products of whole arrays are faster than a product of small matrices for every node
        total = y[..., :1] * block[:, 0]
        for j in range(1, k):
            total = torch.addcmul(total, y[..., j : j + 1], block[:, j])
        parts.append(total.flatten(-2))
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


@dataclass(frozen=True)
class Interactions:
    """``x -> Phi x`` for x [B, n].

    Attributes
    ----------
    states : tuple of int
    dense : tensor [n, n], optional
        Phi itself, symmetric. Without it:
    forward, adjoint : callable
        ``[B, n] -> [B, r]`` and back, adjoint to one another.
    blocks : tuple of tensors [nodes, K, K]
        A block a node: ``Phi x = blkdiag(blocks) x - adjoint(forward(x))``.
    """

    states: tuple[int, ...]
    dense: Tensor | None = None
    forward: Linear | None = None
    adjoint: Linear | None = None
    blocks: tuple[Tensor, ...] = ()

    def __call__(self, x: Tensor) -> Tensor:
        """Phi x of every sample."""
        if self.dense is not None:
            return x @ self.dense
        assert self.forward is not None
        assert self.adjoint is not None
        return block_apply(self.blocks, x, self.states) - self.adjoint(self.forward(x))

    def matrix(self) -> Tensor:
        """Phi as a matrix [n, n]; blocks on its diagonal are exactly zero."""
        if self.dense is not None:
            return self.dense
        made = self(torch.eye(sum(self.states), dtype=self.blocks[0].dtype, device=self.blocks[0].device))
        return torch.where(same_node(self.states, made.device), 0.0, (made + made.T) / 2)

    def as_matrix(self) -> Interactions:
        """The same with Phi multiplied out."""
        return replace(self, dense=self.matrix())


def low_rank(states: tuple[int, ...], A: Tensor, blocks: tuple[Tensor, ...]) -> Interactions:
    """``blkdiag(blocks) - A' A`` with A [r, n]; the rows may be fewer than the entries."""
    return Interactions(states, forward=lambda x: x @ A.T, adjoint=lambda y: y @ A, blocks=blocks)


def same_node(states: tuple[int, ...], device: Any = None) -> Tensor:
    """bool[n, n]: whether two entries belong to one node."""
    node = torch.repeat_interleave(torch.tensor(states)).to(device)
    return node[:, None] == node


def interactions_of(model: PairwiseModel | MonotoneModel, like: Tensor) -> Interactions:
    """Phi of a model on the device and in the dtype of `like`; of low rank where that takes fewer products."""

    def tensor(x: np.ndarray) -> Tensor:
        return torch.tensor(x).to(like)

    if isinstance(model, MonotoneModel) and 2 * len(model.A) < model.n:
        A = tensor(model.A_hat)
        return low_rank(model.states, A, blocks_of(A, model.states))
    return Interactions(model.states, tensor(model.phi))


def resolvent(phi: Interactions, A: Tensor | None, alpha: float) -> Interactions:
    """``(I + alpha (I - Phi))^{-1}``; of low rank where Phi is, by the Woodbury identity.

    With ``E = (I + alpha (I - D))^{-1}``, block diagonal, it is ``E - E A' (I/alpha + A E A')^{-1} A E``.

    Parameters
    ----------
    phi : Interactions
    A : tensor [r, n], optional
        With ``Phi = D - A' A``; without it Phi is multiplied out.
    alpha : float
    """
    if phi.dense is not None or A is None:
        dense = phi.matrix()
        return Interactions(phi.states, torch.linalg.inv((1 + alpha) * torch.eye(len(dense)).to(dense) - alpha * dense))
    blocks = tuple(torch.linalg.inv((1 + alpha) * torch.eye(b.shape[1]).to(b) - alpha * b) for b in phi.blocks)
    blocks = tuple((b + b.mT) / 2 for b in blocks)
    AE = block_apply(blocks, A, phi.states)
    inner = torch.linalg.cholesky(torch.eye(len(A)).to(A) / alpha + AE @ A.T)
    return low_rank(phi.states, torch.linalg.solve_triangular(inner, AE, upper=False), blocks)
