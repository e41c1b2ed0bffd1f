"""The random stream of `lemmata.random` for torch, on any device, without a host synchronisation.

Names and arguments are those of the reference. Words are int64 tensors with values in [0, 2**32), since torch
has no arithmetic in uint64. Python numbers are checked; tensors are not, because reading one would stall the
device: a counter wraps modulo 2**32 (block, stream) or 2**64 (replicate), and p or n must have been checked
before.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor

from lemmata import random as reference
from lemmata.random import check_integers, check_seed

__all__ = [
    "bernoulli",
    "bernoulli_threshold",
    "exponential",
    "integer",
    "normal",
    "philox4x32",
    "uniform32",
    "uniform64",
    "words",
]

Integers: TypeAlias = int | Tensor

MASK = 0xFFFFFFFF
MULTIPLIER_0, MULTIPLIER_1 = 0xD2511F53, 0xCD9E8D57
WEYL_0, WEYL_1 = 0x9E3779B9, 0xBB67AE85


def philox4x32(
    c0: Integers, c1: Integers, c2: Integers, c3: Integers, k0: int, k1: int
) -> tuple[Integers, Integers, Integers, Integers]:
    """Ten rounds of Philox4x32: counter (c0, c1, c2, c3), key (k0, k1).

    Parameters
    ----------
    c0, c1, c2, c3 : int or int64[...]
        In [0, 2**32), broadcast against each other.
    k0, k1 : int
        In [0, 2**32).

    Returns
    -------
    tuple of four int64[...]
        The words, in [0, 2**32).

    References
    ----------
    Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, 2011, section 3.3.
    """
    for _ in range(10):
        hi0, lo0 = _multiply(MULTIPLIER_0, c0)
        hi1, lo1 = _multiply(MULTIPLIER_1, c2)
        c0, c1, c2, c3 = hi1 ^ c1 ^ k0, lo1, hi0 ^ c3 ^ k1, lo0
        k0, k1 = (k0 + WEYL_0) & MASK, (k1 + WEYL_1) & MASK
    return c0, c1, c2, c3


def words(block: Integers, stream: Integers, replicate: Integers, *, seed: int) -> Tensor:
    """The four words of each (block, stream, replicate).

    Parameters
    ----------
    block, stream : int or integer tensor [...]
        In [0, 2**32), broadcast against each other and `replicate`.
    replicate : int or integer tensor [...]
        In [0, 2**64); an int64 tensor stands for its value modulo 2**64.
    seed : int
        0 <= seed < 2**64.

    Returns
    -------
    int64[..., 4]
        Independent uniform words in [0, 2**32), on the device of the tensors given.

    Raises
    ------
    TypeError
        An argument is not of an integer type, or none is a tensor, which would leave the device open.
    DomainError
        A Python int lies outside its range.
    """
    seed = check_seed(seed)
    c0 = _counter("block", block, 32)
    c1 = _counter("stream", stream, 32)
    long = _counter("replicate", replicate, 64)
    if not any(isinstance(c, Tensor) for c in (c0, c1, long)):
        raise TypeError("one of block, stream, replicate must be a tensor: it says on which device to work")
    four = philox4x32(c0 & MASK, c1 & MASK, long & MASK, (long >> 32) & MASK, seed & MASK, seed >> 32)
    return torch.stack(four, dim=-1)  # type: ignore[arg-type]


def bernoulli_threshold(p: float | Tensor) -> Integers:
    """floor(p 2**32): an int for a number p, int64[...] for a tensor, in [0, 2**32].

    Raises
    ------
    DomainError
        A number p lies outside [0, 1] or is NaN.
    """
    if isinstance(p, Tensor):
        return torch.floor(p.to(torch.float64) * 2.0**32).to(torch.int64)
    return int(reference.bernoulli_threshold(p))


def bernoulli(word: Tensor, p: float | Tensor) -> Tensor:
    """True with probability floor(p 2**32) / 2**32: word < floor(p 2**32).

    Parameters
    ----------
    word : int64[...]
    p : float or tensor [...]
        Probability in [0, 1], broadcast against `word`.

    Returns
    -------
    bool[...]

    Raises
    ------
    DomainError
        A number p lies outside [0, 1] or is NaN.
    """
    return word < bernoulli_threshold(p)


def uniform32(word: Tensor) -> Tensor:
    """float32[...] in [0, 1): (word >> 8) 2**-24."""
    return (word >> 8).to(torch.float32) * 2.0**-24


def uniform64(word0: Tensor, word1: Tensor) -> Tensor:
    """float64[...] in [0, 1): (word0 2**21 + (word1 >> 11)) 2**-53."""
    return ((word0 << 21) | (word1 >> 11)).to(torch.float64) * 2.0**-53


def normal(
    word0: Tensor, word1: Tensor, word2: Tensor, word3: Tensor, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """A pair of independent standard normals by Box-Muller from two uniform64.

    Parameters
    ----------
    word0, word1, word2, word3 : int64[...]
    dtype : torch.dtype
        The pair is computed in float64 and rounded once, so that float32 follows the same draws.

    Returns
    -------
    pair of dtype[...]
    """
    radius = torch.sqrt(-2.0 * torch.log1p(-uniform64(word0, word1)))
    angle = 2.0 * math.pi * uniform64(word2, word3)
    return (radius * torch.cos(angle)).to(dtype), (radius * torch.sin(angle)).to(dtype)


def exponential(word0: Tensor, word1: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """A standard exponential, -log(1 - uniform64(word0, word1)), in float64 then rounded to dtype[...]."""
    return (-torch.log1p(-uniform64(word0, word1))).to(dtype)


def integer(word0: Tensor, word1: Tensor, n: Integers) -> Tensor:
    """int64[...] in {0, ..., n - 1}: floor(n (word0 2**32 + word1) / 2**64).

    Parameters
    ----------
    word0, word1 : int64[...]
    n : int or int64[...]
        In [1, 2**31], so that no product leaves int64.

    Raises
    ------
    TypeError
        n is a number but not an integer.
    DomainError
        An int n lies outside [1, 2**31].
    """
    if not isinstance(n, Tensor):
        n = int(check_integers("n", n, 1, 2**31))
    return (word0 * n + ((word1 * n) >> 32)) >> 32


def _multiply(multiplier: int, c: Integers) -> tuple[Integers, Integers]:
    """High and low 32 bits of multiplier * c, for 2**31 <= multiplier < 2**32 and 0 <= c < 2**32.

    The product itself may exceed int64. (multiplier - 2**32) c does not, and adding c to its high half
    restores it.
    """
    p = c * (multiplier - 2**32)
    return (p >> 32) + c, p & MASK


def _counter(name: str, value: Integers, bits: int) -> Integers:
    if not isinstance(value, Tensor):
        return int(check_integers(name, value, 0, 2**bits - 1))
    if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        raise TypeError(f"{name} must be an integer tensor, got {value.dtype}")
    return value.to(torch.int64)
