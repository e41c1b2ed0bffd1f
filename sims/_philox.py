"""The random stream of `lemmata.random` for Numba kernels: scalar functions, compiled into their callers.

Names and arguments are those of the reference, with the seed positional because Numba has no keyword-only
arguments. Nothing is checked here: the public simulator checks its seed with `lemmata.random.check_seed` and
passes ``np.uint64(seed)``; counters wrap modulo 2**32 (block, stream) and 2**64 (replicate).

Every constant and every intermediate is np.uint64: Numba turns uint64 with a signed integer into float64, and
32 of the 64 bits of a product are then lost without a word. Words come out as uint32, which mixes safely with
signed integers.

Numba's on-disk cache watches the caller's file and not this one, so a change here would leave old code in
every cached simulator. These functions are frozen by the known-answer tests; whoever changes them all the
same must delete the caches.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

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

MASK = np.uint64(0xFFFFFFFF)
MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL_0, WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
S8, S11, S21, S32 = np.uint64(8), np.uint64(11), np.uint64(21), np.uint64(32)


@njit(cache=True)
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Ten rounds of Philox4x32: counter (c0, c1, c2, c3), key (k0, k1), each taken modulo 2**32.

    Returns
    -------
    tuple of four uint32
        The words.

    References
    ----------
    Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, 2011, section 3.3.
    """
    c0, c1, c2, c3 = np.uint64(c0) & MASK, np.uint64(c1) & MASK, np.uint64(c2) & MASK, np.uint64(c3) & MASK
    k0, k1 = np.uint64(k0) & MASK, np.uint64(k1) & MASK
    for _ in range(10):
        p0, p1 = MULTIPLIER_0 * c0, MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (p1 >> S32) ^ c1 ^ k0, p1 & MASK, (p0 >> S32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + WEYL_0) & MASK, (k1 + WEYL_1) & MASK
    return np.uint32(c0), np.uint32(c1), np.uint32(c2), np.uint32(c3)


@njit(cache=True)
def words(block, stream, replicate, seed):
    """The four uint32 words of (block, stream, replicate) under a seed.

    Parameters
    ----------
    block, stream : integer
        Taken modulo 2**32.
    replicate, seed : integer
        Taken modulo 2**64.

    Returns
    -------
    tuple of four uint32
    """
    long, key = np.uint64(replicate), np.uint64(seed)
    return philox4x32(block, stream, long & MASK, long >> S32, key & MASK, key >> S32)


@njit(cache=True)
def bernoulli_threshold(p):
    """floor(p 2**32) in uint64, for p in [0, 1]; hoist it out of the loop where p is fixed."""
    return np.uint64(math.floor(p * 4294967296.0))


@njit(cache=True)
def bernoulli(word, p):
    """True with probability floor(p 2**32) / 2**32: word < floor(p 2**32), for p in [0, 1]."""
    return np.uint64(word) < bernoulli_threshold(p)


@njit(cache=True)
def uniform32(word):
    """float32 in [0, 1): (word >> 8) 2**-24."""
    return np.float32(np.uint64(word) >> S8) * np.float32(2.0**-24)


@njit(cache=True)
def uniform64(word0, word1):
    """float64 in [0, 1): (word0 2**21 + (word1 >> 11)) 2**-53."""
    return np.float64((np.uint64(word0) << S21) | (np.uint64(word1) >> S11)) * 2.0**-53


@njit(cache=True)
def normal(word0, word1, word2, word3):
    """A pair of independent standard normals, float64, by Box-Muller from two uniform64."""
    radius = math.sqrt(-2.0 * math.log1p(-uniform64(word0, word1)))
    angle = 2.0 * math.pi * uniform64(word2, word3)
    return radius * math.cos(angle), radius * math.sin(angle)


@njit(cache=True)
def exponential(word0, word1):
    """A standard exponential, float64: -log(1 - uniform64(word0, word1))."""
    return -math.log1p(-uniform64(word0, word1))


@njit(cache=True)
def integer(word0, word1, n):
    """int64 in {0, ..., n - 1}, 1 <= n <= 2**31: floor(n (word0 2**32 + word1) / 2**64)."""
    size = np.uint64(n)
    return np.int64((np.uint64(word0) * size + ((np.uint64(word1) * size) >> S32)) >> S32)
