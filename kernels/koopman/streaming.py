"""Sections from more snapshots than the device holds; see `lemmata.sims.koopman.streaming`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.kernels.koopman.features import features
from lemmata.kernels.koopman.section import Section, _unit, section_from_gram, section_from_triangle
from lemmata.problems.koopman import check_snapshots
from lemmata.random import check_integer

__all__ = ["stream", "stream_gram", "stream_triangle"]

Block = Callable[[int], tuple[Tensor, Tensor, Tensor]]


@torch.no_grad()
def stream(
    block: Block,
    blocks: int,
    psi: Callable[[Any], Any],
    *,
    form: Literal["gram", "triangle"] = "gram",
    rtol: float | None = None,
) -> Section:
    """The finite section of K from ``block(0), ..., block(blocks - 1)``.

    Parameters
    ----------
    block : callable
        ``block(i) -> (x (m, d), y (m, d), w (m,))``, tensors of one device; weights are relative to the whole.
    blocks : int
    psi : Dictionary
        See `features`.
    form : {"gram", "triangle"}
        As in `lemmata.sims.koopman.stream`.
    rtol : float, optional

    Returns
    -------
    Section

    Raises
    ------
    ShapeError, DomainError, NonFiniteError, ResidualVacuousError

    Notes
    -----
    Memory: the features of one block, four times 8 m N bytes (16 where complex), and a few matrices [N, N].
    """
    if form not in ("gram", "triangle"):
        raise DomainError(f"form must be 'gram' or 'triangle', got {form!r}")
    unit = torch.finfo(torch.float64).eps

    def watched(x: Tensor) -> Tensor:
        nonlocal unit
        values = features(psi, x)
        unit = max(unit, _unit(values))
        return values

    if form == "gram":
        return section_from_gram(*stream_gram(block, blocks, watched), rtol=rtol, unit=unit)
    return section_from_triangle(stream_triangle(block, blocks, watched), rtol=rtol, unit=unit)


@torch.no_grad()
def stream_gram(block: Block, blocks: int, psi: Callable[[Any], Any]) -> tuple[Tensor, Tensor, Tensor]:
    """G, A and L (N, N) of all blocks. Products and sums are float64 whatever the features; the host waits at the end.

    Both images of a block go through the dictionary together, and three products add to what is there.

    Parameters
    ----------
    block, blocks, psi
        As in `stream`.

    Returns
    -------
    G, A, L : float64 or complex128 tensor (N, N)
    """
    total: Any = None
    weighed = _Weights()
    for x, y, w in _parts(block, blocks):
        b_x, b_y = _weighted(psi, x, y, weighed(w))
        if total is None:
            total = b_x.new_zeros(3, b_x.shape[1], b_x.shape[1])
        for sum_, left, right in zip(total, (b_x, b_x, b_y), (b_x, b_y, b_y), strict=True):
            sum_.addmm_(left.mH, right)
    check_snapshots(weighed.count(), total.shape[1])
    if not bool(torch.isfinite(total).all()):
        raise NonFiniteError("a feature of some block is not finite")
    return total[0], total[1], total[2]


@torch.no_grad()
def stream_triangle(block: Block, blocks: int, psi: Callable[[Any], Any]) -> Tensor:
    """The triangular factor (min(M, 2N), 2N) of ``W^{1/2} [Psi_X Psi_Y]`` of all blocks.

    Parameters
    ----------
    block, blocks, psi
        As in `stream`.

    Returns
    -------
    float64 or complex128 tensor (min(M, 2N), 2N)
    """
    total: Any = None
    weighed = _Weights()
    for x, y, w in _parts(block, blocks):
        rows = torch.cat(_weighted(psi, x, y, weighed(w)), dim=1)
        total = rows if total is None else torch.cat([total, rows])
        if len(total) > total.shape[1]:
            total = torch.linalg.qr(total, mode="r").R
    check_snapshots(weighed.count(), total.shape[1] // 2)
    if not bool(torch.isfinite(total).all()):
        raise NonFiniteError("a feature of some block is not finite")
    # few rows in all are no triangle yet
    return torch.linalg.qr(total, mode="r").R


class _Weights:
    """Passes weights on; what is wrong with them waits on the device until `count` asks."""

    def __init__(self) -> None:
        self.positive: Any = 0
        self.refused: Any = 0

    def __call__(self, w: Tensor) -> Tensor:
        self.positive += (w > 0).sum()
        self.refused += (~(w >= 0)).sum()
        return w

    def count(self) -> int:
        """Snapshots of positive weight."""
        if bad := int(self.refused):
            raise DomainError(f"weights must be >= 0; {bad} are negative or no numbers")
        return int(self.positive)


def _weighted(psi: Callable[[Any], Any], x: Tensor, y: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """``W^{1/2} Psi_X`` and ``W^{1/2} Psi_Y`` in double precision."""
    if x.shape != y.shape or w.shape != x.shape[:1]:
        raise ShapeError(f"a block has x {tuple(x.shape)}, y {tuple(y.shape)} and w {tuple(w.shape)}")
    root = w.double().sqrt()
    values = features(psi, torch.cat([x, y]))
    if values.ndim != 2 or len(values) != 2 * len(x) or not values.numel():
        raise ShapeError(f"psi of {2 * len(x)} states must be ({2 * len(x)}, N), got {tuple(values.shape)}")
    both = torch.cat([root, root])[:, None] * values
    return both[: len(x)], both[len(x) :]


def _parts(block: Block, blocks: int) -> Any:
    check_integer("blocks", blocks, 1)
    return (block(i) for i in range(blocks))
