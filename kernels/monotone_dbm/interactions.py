"""Interactions Phi as a symmetric operator on batches of state vectors: a matrix, or a block diagonal less A' A."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from lemmata.kernels.monotone_dbm.prox import node_runs
from lemmata.problems.monotone_dbm import MonotoneModel, PairwiseModel

__all__ = ["Interactions", "blocks_of", "interactions_of", "low_rank", "resolvent", "same_node"]

Linear = Callable[[Tensor], Tensor]
Part = tuple[slice, int, Tensor]

#: states up to which a block diagonal is multiplied by its diagonals, and beyond them the entries of a group of blocks:
#: both take a third of the time of a product for every node
FEW, GROUP = 3, 32


def blocks_of(A: Tensor, states: tuple[int, ...]) -> tuple[Tensor, ...]:
    """``A_i' A_i`` of every node, a tensor [nodes, K, K] for each run of nodes with as many states."""
    parts = (A[:, own].unflatten(1, (-1, k)) for own, k in node_runs(states))
    return tuple(torch.einsum("rnk,rnl->nkl", part, part) for part in parts)


def prepared(blocks: tuple[Tensor, ...], states: tuple[int, ...]) -> tuple[Tensor, tuple[Part, ...]]:
    """The same block diagonal as its diagonal, tensor [n], and the rest in parts that are multiplied fast.

    Of nodes of few states its other diagonals one by one, (entries, offset, tensor [entries]), zero where the neighbour
    of an entry belongs to another node. Of nodes of more states several at a time, (entries, 0, tensor [groups, k, k]).
    """
    made: list[Part] = []
    for block, (own, k) in zip(blocks, node_runs(states), strict=True):
        if k <= FEW:
            for s in (*range(1 - k, 0), *range(1, k)):
                band = pad(block.diagonal(s, 1, 2), (max(-s, 0), max(s, 0))).flatten()
                inside = slice(own.start + max(-s, 0), own.stop - max(s, 0))
                made.append((inside, s, band[inside.start - own.start : inside.stop - own.start]))
            continue
        off = block * (1 - torch.eye(k).to(block))
        size = max(1, GROUP // k)
        whole = len(block) // size * size
        middle = own.start + whole * k
        for part, entries, count in (
            (off[:whole], slice(own.start, middle), size),
            (off[whole:], slice(middle, own.stop), len(block) - whole),
        ):
            if len(part):
                several = part.unflatten(0, (-1, count))
                apart = torch.eye(count).to(part)[:, None, :, None]
                made.append((entries, 0, (several[:, :, :, None] * apart).flatten(3, 4).flatten(1, 2)))
    return torch.cat([block.diagonal(0, 1, 2).flatten() for block in blocks]), tuple(made)


def block_product(diagonal: Tensor, parts: tuple[Part, ...], x: Tensor) -> Tensor:
    """``blkdiag x`` for what `prepared` made of symmetric blocks, x [B, n]."""
    out = x * diagonal
    for own, s, block in parts:
        if block.ndim == 1:
            out[:, own].addcmul_(x[:, own.start + s : own.stop + s], block)
        else:
            shape = len(x), len(block), block.shape[1]
            some, shown = out[:, own].view(shape), x[:, own].view(shape)
            some.transpose(0, 1).baddbmm_(shown.transpose(0, 1), block)
    return out


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
    A : tensor [r, n], optional
        In place of `forward` and `adjoint`, where they are a matrix and its transpose.
    """

    states: tuple[int, ...]
    dense: Tensor | None = None
    forward: Linear | None = None
    adjoint: Linear | None = None
    blocks: tuple[Tensor, ...] = ()
    A: Tensor | None = None
    _prepared: tuple[Tensor, tuple[Part, ...]] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # at once, so that they have derivatives wherever the blocks do
        object.__setattr__(self, "_prepared", prepared(self.blocks, self.states) if self.dense is None else None)

    def __call__(self, x: Tensor) -> Tensor:
        """Phi x of every sample."""
        if self.dense is not None:
            return x @ self.dense
        assert self._prepared is not None
        out = block_product(*self._prepared, x)
        if self.A is not None:
            return out.addmm_(x @ self.A.T, self.A, alpha=-1)
        assert self.forward is not None
        assert self.adjoint is not None
        return out.sub_(self.adjoint(self.forward(x)))

    def matrix(self) -> Tensor:
        """Phi as a matrix [n, n]; blocks on its diagonal are exactly zero."""
        if self.dense is not None:
            return self.dense
        made = self(torch.eye(sum(self.states), dtype=self.blocks[0].dtype, device=self.blocks[0].device))
        return torch.where(same_node(self.states, made.device), 0.0, (made + made.T) / 2)

    def as_matrix(self) -> Interactions:
        """The same with Phi multiplied out."""
        return replace(self, dense=self.matrix())

    def of_differences(self) -> Interactions | None:
        """How differences q_i1 - q_i2 of nodes of two states act on differences of their fields.

        Phi is seen through E, which takes d to (d_i, -d_i): ``E' Phi E / 2``, with half the rows and columns. None
        where not every node has two states, or Phi is neither a matrix nor of low rank.
        """
        if set(self.states) != {2} or (self.dense is None and self.A is None):
            return None
        ones = (1,) * len(self.states)
        if self.dense is not None:
            half = (self.dense[:, ::2] - self.dense[:, 1::2]) / 2
            return Interactions(ones, half[::2] - half[1::2])
        assert self.A is not None
        A = (self.A[:, ::2] - self.A[:, 1::2]) / 2**0.5
        (block,) = self.blocks
        return low_rank(ones, A, ((block[:, :1, :1] - 2 * block[:, :1, 1:] + block[:, 1:, 1:]) / 2,))


def low_rank(states: tuple[int, ...], A: Tensor, blocks: tuple[Tensor, ...]) -> Interactions:
    """``blkdiag(blocks) - A' A``."""
    return Interactions(states, blocks=blocks, A=A)


def same_node(states: tuple[int, ...], device: Any = None) -> Tensor:
    """bool[n, n]: whether two entries belong to one node."""
    node = torch.repeat_interleave(torch.tensor(states)).to(device)
    return node[:, None] == node


def interactions_of(model: PairwiseModel | MonotoneModel, like: Tensor) -> Interactions:
    """Phi of a model, or Pi Phi Pi of a user's, in the dtype of `like`; of low rank where that takes fewer products."""

    def tensor(x: np.ndarray) -> Tensor:
        return torch.tensor(x).to(like)

    if isinstance(model, MonotoneModel) and 2 * len(model.A) < model.n:
        A = tensor(model.A_hat)
        return low_rank(model.states, A, blocks_of(A, model.states))
    return Interactions(model.states, tensor(model.phi if isinstance(model, MonotoneModel) else model.projected))


def resolvent(phi: Interactions, A: Tensor | None, alpha: float) -> Interactions:
    """``(I + alpha (I - Phi))^{-1}``; of low rank where Phi is, by the Woodbury identity.

    With ``E = (I + alpha (I - D))^{-1}``, block diagonal, it is ``E - E A' (I/alpha + A E A')^{-1} A E``.

    Parameters
    ----------
    phi : Interactions
    A : tensor [r, n], optional
        With ``Phi = D - A' A``; without it Phi is multiplied out.
    alpha : float

    Raises
    ------
    torch.linalg.LinAlgError
        Where it is singular to rounding.
    """
    if phi.dense is not None or A is None:
        dense = phi.matrix()
        return Interactions(phi.states, torch.linalg.inv((1 + alpha) * torch.eye(len(dense)).to(dense) - alpha * dense))
    blocks = tuple(torch.linalg.inv((1 + alpha) * torch.eye(b.shape[1]).to(b) - alpha * b) for b in phi.blocks)
    blocks = tuple((b + b.mT) / 2 for b in blocks)
    AE = block_product(*prepared(blocks, phi.states), A)
    inner = torch.linalg.cholesky(torch.eye(len(A)).to(A) / alpha + AE @ A.T)
    return low_rank(phi.states, torch.linalg.solve_triangular(inner, AE, upper=False), blocks)
