"""Linear maps A of a monotone model in layers: matrices, convolutions, and blocks of them.

A layer is a run of nodes of as many states. An image's nodes are laid row by row, at each place its `groups` nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.monotone_dbm import check_states

__all__ = ["Convolution", "Layered", "Matrix"]


class Matrix(nn.Module):
    """A matrix on one layer.

    Parameters
    ----------
    nodes, states : int
        Of the layer, with ``nodes * states`` entries.
    weight : tensor [r, nodes * states]
        Initial value of the parameter.

    Raises
    ------
    ShapeError
    """

    def __init__(self, nodes: int, states: int, weight: Tensor) -> None:
        super().__init__()
        if weight.ndim != 2 or weight.shape[1] != nodes * states:
            raise ShapeError(f"weight must have shape (any, {nodes * states}), got {tuple(weight.shape)}")
        self.nodes, self.states = nodes, states
        self.weight = nn.Parameter(weight.clone())

    @property
    def rows(self) -> int:
        """Rows of A."""
        return len(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """A x of every sample."""
        return x @ self.weight.T

    def adjoint(self, y: Tensor) -> Tensor:
        """A' y of every sample."""
        return y @ self.weight

    def blocks(self) -> tuple[Tensor, ...]:
        """``A_i' A_i`` of every node, one tensor [nodes, K, K]."""
        part = self.weight.unflatten(1, (self.nodes, self.states))
        return (torch.einsum("rnk,rnl->nkl", part, part),)


class Convolution(nn.Module):
    """A convolution on an image whose every pixel has `groups` nodes of as many states.

    Padding is full, ``kernel - 1`` zeros at every border, so that each pixel meets the same taps: then ``A_i' A_i``
    depends only on where the pixel lies within a stride, at the borders too, and Phi has exactly zero blocks.

    Parameters
    ----------
    size : (int, int)
        Height and width of the image.
    states : int
        Of every node.
    weight : tensor [channels, groups * states, kernel, kernel]
        Initial value of the parameter; its kernel is at least the stride.
    groups : int
    stride : int

    Raises
    ------
    ShapeError, DomainError
    """

    def __init__(self, size: tuple[int, int], states: int, weight: Tensor, groups: int = 1, stride: int = 1) -> None:
        super().__init__()
        if weight.ndim != 4 or weight.shape[1] != groups * states or weight.shape[2] != weight.shape[3]:
            raise ShapeError(
                f"weight must have shape (any, {groups * states}, kernel, kernel), got {tuple(weight.shape)}"
            )
        if not 1 <= stride <= weight.shape[-1]:
            raise DomainError(
                f"a stride of {stride} leaves out pixels under a kernel of {weight.shape[-1]}; it may be 1 to that size"
            )
        self.size, self.states, self.groups, self.stride = size, states, groups, stride
        self.nodes = size[0] * size[1] * groups
        self.weight = nn.Parameter(weight.clone())

    @property
    def out_size(self) -> tuple[int, int]:
        """Height and width of what comes out."""
        height, width = ((s + self.weight.shape[-1] - 2) // self.stride + 1 for s in self.size)
        return height, width

    @property
    def rows(self) -> int:
        """Rows of A."""
        return len(self.weight) * self.out_size[0] * self.out_size[1]

    def forward(self, x: Tensor) -> Tensor:
        """A x of every sample."""
        image = x.unflatten(-1, (*self.size, -1)).movedim(-1, -3)
        return conv2d(image, self.weight, stride=self.stride, padding=self.weight.shape[-1] - 1).flatten(-3)

    def adjoint(self, y: Tensor) -> Tensor:
        """A' y of every sample."""
        image = y.unflatten(-1, (len(self.weight), *self.out_size))
        pad, s = self.weight.shape[-1] - 1, self.stride
        # pixels at the far border that a stride skips over
        left = [(size + pad - 1) % s for size in self.size]
        x = conv_transpose2d(image, self.weight, stride=s, padding=pad, output_padding=cast(list, left))
        return x.movedim(-3, -1).flatten(-3)

    def blocks(self) -> tuple[Tensor, ...]:
        """``A_i' A_i`` of every node, one tensor [nodes, K, K]: the sum over the taps that its pixel meets."""
        kernel, s = self.weight.shape[-1], self.stride
        taps = self.weight.unflatten(1, (self.groups, self.states))
        squares = torch.einsum("cgkij,cglij->ijgkl", taps, taps)
        at = torch.arange(kernel, device=squares.device)
        # pixel p meets tap t where p + kernel - 1 - t is a multiple of the stride
        rows, columns = (
            ((torch.arange(size, device=squares.device)[:, None] + kernel - 1 - at) % s == 0).to(squares)
            for size in self.size
        )
        return (torch.einsum("pi,qj,ijgkl->pqgkl", rows, columns, squares).flatten(0, 2),)


class Layered(nn.Module):
    """A in blocks: each row of blocks adds up the maps of some layers, and the rows are laid end to end.

    Parameters
    ----------
    layers : sequence of (int, int)
        Nodes and states of each layer.
    rows : sequence of dict
        For each row the layers that take part, by their number, and their maps, all with as many rows.

    Raises
    ------
    ShapeError, DomainError
    """

    def __init__(self, layers: Sequence[tuple[int, int]], rows: Sequence[Mapping[int, Matrix | Convolution]]) -> None:
        super().__init__()
        self.layers = tuple(layers)
        if not rows:
            raise DomainError("A needs at least one row of blocks")
        for i, row in enumerate(rows):
            for j, part in row.items():
                if not 0 <= j < len(self.layers):
                    raise DomainError(f"row {i} has a map for layer {j}; there are {len(self.layers)}")
                if (part.nodes, part.states) != self.layers[j]:
                    raise ShapeError(
                        f"the map of layer {j} in row {i} is for {part.nodes} nodes of {part.states} states; the layer "
                        f"has {self.layers[j][0]} of {self.layers[j][1]}"
                    )
            if len({part.rows for part in row.values()}) != 1:
                raise ShapeError(f"the maps of row {i} have {[part.rows for part in row.values()]} rows")
        self.parts = nn.ModuleList(nn.ModuleDict({str(j): part for j, part in row.items()}) for row in rows)

    @property
    def states(self) -> tuple[int, ...]:
        """States of every node, layer after layer."""
        return check_states([k for nodes, k in self.layers for _ in range(nodes)])

    def _rows(self) -> list[dict[int, Matrix | Convolution]]:
        return [{int(j): part for j, part in cast(nn.ModuleDict, row).items()} for row in self.parts]  # type: ignore[misc]

    def forward(self, x: Tensor) -> Tensor:
        """A x of every sample."""
        parts = x.split([nodes * k for nodes, k in self.layers], -1)
        return torch.cat([sum(part.forward(parts[j]) for j, part in row.items()) for row in self._rows()], -1)  # type: ignore[misc]

    def adjoint(self, y: Tensor) -> Tensor:
        """A' y of every sample."""
        rows = self._rows()
        outs = y.split([next(iter(row.values())).rows for row in rows], -1)
        made = [y.new_zeros(*y.shape[:-1], nodes * k) for nodes, k in self.layers]
        for row, out in zip(rows, outs, strict=True):
            for j, part in row.items():
                made[j] = made[j] + part.adjoint(out)
        return torch.cat(made, -1)

    def blocks(self) -> tuple[Tensor, ...]:
        """``A_i' A_i`` of every node: tensors [nodes, K, K], one for each run of nodes with as many states."""
        like = next(self.parameters())
        made = [like.new_zeros(nodes, k, k) for nodes, k in self.layers]
        for row in self._rows():
            for j, part in row.items():
                made[j] = made[j] + part.blocks()[0]
        return tuple(torch.cat(list(run)) for _, run in groupby(made, key=lambda block: block.shape[-1]))
