"""The random stream of `lemmata.random` inside Triton kernels, by Triton's own Philox4x32-10.

Apart from `lemmata.kernels._philox` so that the torch functions do not need Triton. Where there is no GPU,
set ``TRITON_INTERPRET=1`` before Triton is first imported and the kernels run interpreted on the CPU.

A Bernoulli decision is ``word.to(tl.int64) < threshold`` with the integer
`lemmata.random.bernoulli_threshold(p)` passed in: a Python float reaches a kernel as float32, whose rounding
would change decisions.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lemmata.errors import ShapeError
from lemmata.random import check_integers, check_seed

__all__ = ["fill_uniform32", "fill_words", "uniform32", "words"]

BLOCK_SIZE = 512


@triton.jit
def words(block, stream, replicate, seed):
    """The four uint32 words of (block, stream, replicate), integer tensors of one shape, under a seed."""
    low = replicate.to(tl.uint32)
    high = (replicate.to(tl.uint64) >> 32).to(tl.uint32)
    return tl.philox(seed, block.to(tl.uint32), stream.to(tl.uint32), low, high)


@triton.jit
def uniform32(word):
    """float32 in [0, 1): (word >> 8) 2**-24."""
    return (word >> 8).to(tl.float32) * (2.0**-24)


# Annotated and not specialised: one compiled kernel serves every seed and range.
@triton.jit(do_not_specialize=["n_cells", "n_blocks", "first_block", "stream", "first_replicate", "seed"])
def _fill(
    out,
    n_cells: tl.int64,
    n_blocks: tl.int64,
    first_block: tl.int64,
    stream: tl.int64,
    first_replicate: tl.uint64,
    seed: tl.uint64,
    AS_UNIFORM: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
):
    cell = tl.program_id(0).to(tl.int64) * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)
    block = first_block + cell % n_blocks
    replicate = first_replicate.to(tl.uint64) + (cell // n_blocks).to(tl.uint64)
    word0, word1, word2, word3 = words(block, stream + tl.zeros_like(block), replicate, seed)
    four = out + 4 * cell
    inside = cell < n_cells
    if AS_UNIFORM:
        tl.store(four, uniform32(word0), mask=inside)
        tl.store(four + 1, uniform32(word1), mask=inside)
        tl.store(four + 2, uniform32(word2), mask=inside)
        tl.store(four + 3, uniform32(word3), mask=inside)
    else:
        tl.store(four, word0.to(tl.int64), mask=inside)
        tl.store(four + 1, word1.to(tl.int64), mask=inside)
        tl.store(four + 2, word2.to(tl.int64), mask=inside)
        tl.store(four + 3, word3.to(tl.int64), mask=inside)


def fill_words(out: Tensor, *, first_block: int = 0, stream: int = 0, first_replicate: int = 0, seed: int) -> Tensor:
    """Fill out[r, b, :] with the words of block ``first_block + b``, replicate ``first_replicate + r``.

    Parameters
    ----------
    out : int64[n_replicates, n_blocks, 4]
        Contiguous; filled in place with values in [0, 2**32).
    first_block, stream : int
        All blocks, and the stream, in [0, 2**32).
    first_replicate : int
        All replicates in [0, 2**64).
    seed : int
        0 <= seed < 2**64.

    Returns
    -------
    int64[n_replicates, n_blocks, 4]
        `out`.

    Raises
    ------
    TypeError
        `out` is not int64, or another argument not an integer.
    ShapeError
        `out` is not a contiguous [n_replicates, n_blocks, 4].
    DomainError
        A seed, stream, block or replicate lies outside its range.
    """
    return _launch(out, torch.int64, first_block, stream, first_replicate, seed)


def fill_uniform32(
    out: Tensor, *, first_block: int = 0, stream: int = 0, first_replicate: int = 0, seed: int
) -> Tensor:
    """Fill out[r, b, :] with the `uniform32` of the words that `fill_words` gives.

    Parameters
    ----------
    out : float32[n_replicates, n_blocks, 4]
        Contiguous; filled in place with values in [0, 1).
    first_block, stream, first_replicate, seed : int
        As in `fill_words`.

    Returns
    -------
    float32[n_replicates, n_blocks, 4]
        `out`.

    Raises
    ------
    TypeError
        `out` is not float32, or another argument not an integer.
    ShapeError, DomainError
        As in `fill_words`.
    """
    return _launch(out, torch.float32, first_block, stream, first_replicate, seed)


def _launch(out: Tensor, dtype: torch.dtype, first_block: int, stream: int, first_replicate: int, seed: int) -> Tensor:
    if out.dtype != dtype:
        raise TypeError(f"out must be {dtype}, got {out.dtype}")
    if out.ndim != 3 or out.shape[2] != 4 or not out.is_contiguous():
        raise ShapeError(f"out must be a contiguous [n_replicates, n_blocks, 4], got {tuple(out.shape)}")
    n_replicates, n_blocks, _ = out.shape
    seed = check_seed(seed)
    check_integers("stream", stream, 0, 2**32 - 1)
    check_integers("first_block", first_block, 0, 2**32 - n_blocks)
    check_integers("first_replicate", first_replicate, 0, 2**64 - n_replicates)
    n_cells = n_replicates * n_blocks
    if n_cells:
        with torch.cuda.device_of(out):
            _fill[(triton.cdiv(n_cells, BLOCK_SIZE),)](
                out,
                n_cells,
                n_blocks,
                first_block,
                stream,
                first_replicate,
                seed,
                AS_UNIFORM=dtype == torch.float32,
                BLOCK_SIZE=BLOCK_SIZE,
                enable_fp_fusion=False,
            )
    return out
