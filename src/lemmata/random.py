"""The random stream of lemmata: which number a (seed, stream, replicate, block) stands for.

Every draw is a function of four uint32 words of Philox4x32-10 [1]_, keyed by the seed and indexed by a
counter:

    key     = (seed mod 2**32, seed div 2**32)
    counter = (block, stream, replicate mod 2**32, replicate div 2**32)

There is no state to carry. Any replicate can be recomputed alone, a batch equals the loop over its members,
and two algorithms that read the same (seed, stream, replicate, block) see the same randomness. A stream is
one source of randomness inside a replicate (rewards, coins, initial points); a block is the running index
within it, often the step.

This module is the reference, vectorised and checked. `lemmata.sims._philox` (Numba, scalar) and
`lemmata.kernels._philox` (torch) have functions of the same names and arguments. Words, `bernoulli`,
`uniform32`, `uniform64` and `integer` agree bit for bit everywhere; `normal` and `exponential` call log1p,
cos and sin and agree to a few units in the last place of float64.

References
----------
.. [1] J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
   SC11, 2011, section 3.3.
.. [2] D. Lemire, "Fast random integer generation in an interval", ACM Trans. Model. Comput. Simul. 29, 2019.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lemmata.errors import DomainError

__all__ = [
    "bernoulli",
    "bernoulli_threshold",
    "check_integer",
    "check_integers",
    "check_seed",
    "exponential",
    "integer",
    "normal",
    "philox4x32",
    "uniform32",
    "uniform64",
    "words",
]

Word: TypeAlias = np.uint32 | NDArray[np.uint32]

MASK = np.uint64(0xFFFFFFFF)
MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL_0, WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
S32 = np.uint64(32)


def check_integer(name: str, value: Any, least: int) -> int:
    """An int of at least `least`; a bool, and a float even if integral, are refused with `TypeError`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if value < least:
        raise DomainError(f"{name} must be >= {least}, got {value}")
    return int(value)


def check_integers(name: str, value: Any, low: int, high: int) -> NDArray[np.uint64]:
    """Refuse whatever is not an integer, or an array of integers, in [low, high].

    Parameters
    ----------
    name : str
        Symbol for the message.
    value : int or array_like of int
        A bool is not an integer here.
    low, high : int
        Admissible range, both ends included, 0 <= low.

    Returns
    -------
    uint64[...]
        The value, in its shape.

    Raises
    ------
    TypeError
        The value is not of an integer type.
    DomainError
        An entry lies outside [low, high].
    """
    if isinstance(value, int) and not isinstance(value, bool):
        smallest = largest = value  # Python's integers may fit no dtype
    else:
        array = np.asarray(value)
        if array.size == 0:
            return array.astype(np.uint64)
        if array.dtype.kind not in "iu":
            raise TypeError(f"{name} must be an integer, got {value!r} ({array.dtype})")
        smallest, largest = int(array.min()), int(array.max())
    if smallest < low or largest > high:
        bad = smallest if smallest < low else largest
        raise DomainError(f"{name} = {bad} lies outside [{low}, {high}]")
    return np.asarray(value).astype(np.uint64)


def check_seed(seed: int) -> int:
    """Refuse whatever is not a seed: an int with 0 <= seed < 2**64.

    Returns
    -------
    int
        The seed. For a Numba kernel wrap it in `numpy.uint64`, so that one compiled version serves all seeds.

    Raises
    ------
    TypeError
        Not an integer; a bool and a float are refused.
    DomainError
        Negative, or 2**64 and above.
    """
    array = check_integers("seed", seed, 0, 2**64 - 1)
    if array.ndim:
        raise TypeError(f"seed must be one integer, got an array of shape {array.shape}")
    return int(array)


def philox4x32(
    c0: NDArray[np.uint64],
    c1: NDArray[np.uint64],
    c2: NDArray[np.uint64],
    c3: NDArray[np.uint64],
    k0: np.uint64,
    k1: np.uint64,
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Ten rounds of Philox4x32: counter (c0, c1, c2, c3), key (k0, k1).

    A round takes the 64-bit products p0 = M0 c0, p1 = M1 c2 and sets (c0, c1, c2, c3) = (hi p1 ^ c1 ^ k0, lo
    p1, hi p0 ^ c3 ^ k1, lo p0); then the key grows by its Weyl constants.

    Parameters
    ----------
    c0, c1, c2, c3 : uint64[...]
        32-bit values held in uint64, broadcast against each other.
    k0, k1 : uint64
        32-bit values held in uint64.

    Returns
    -------
    tuple of four uint64[...]
        The words, 32-bit values held in uint64.
    """
    for _ in range(10):
        p0, p1 = MULTIPLIER_0 * c0, MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (p1 >> S32) ^ c1 ^ k0, p1 & MASK, (p0 >> S32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + WEYL_0) & MASK, (k1 + WEYL_1) & MASK
    return c0, c1, c2, c3


def words(block: ArrayLike, stream: ArrayLike, replicate: ArrayLike, *, seed: int) -> NDArray[np.uint32]:
    """The four words of each (block, stream, replicate).

    Parameters
    ----------
    block, stream : array_like of int
        In [0, 2**32), broadcast against each other and `replicate`.
    replicate : array_like of int
        In [0, 2**64).
    seed : int
        0 <= seed < 2**64.

    Returns
    -------
    uint32[..., 4]
        Independent uniform words, in the broadcast shape.

    Raises
    ------
    TypeError
        An argument is not of an integer type.
    DomainError
        An argument lies outside its range.

    Examples
    --------
    >>> [f"{word:08x}" for word in words(0, 0, 0, seed=0)]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    key = np.uint64(check_seed(seed))
    c0 = check_integers("block", block, 0, 2**32 - 1)
    c1 = check_integers("stream", stream, 0, 2**32 - 1)
    long = check_integers("replicate", replicate, 0, 2**64 - 1)
    four = philox4x32(c0, c1, long & MASK, long >> S32, key & MASK, key >> S32)
    return np.stack(four, axis=-1).astype(np.uint32)


def bernoulli_threshold(p: ArrayLike) -> NDArray[np.uint64]:
    """floor(p 2**32): how many of the 2**32 words count as a success.

    Parameters
    ----------
    p : array_like of float
        Probability in [0, 1].

    Returns
    -------
    uint64[...]
        In [0, 2**32]; 2**32 itself, which no uint32 holds, means always.

    Raises
    ------
    TypeError
        `p` is not a real number.
    DomainError
        `p` lies outside [0, 1] or is NaN.
    """
    array = np.asarray(p)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"p must be a real number, got {p!r} ({array.dtype})")
    array = array.astype(np.float64)
    inside = (array >= 0) & (array <= 1)  # false for NaN
    if not inside.all():
        raise DomainError(f"p = {array[~inside].flat[0]} lies outside [0, 1]")
    return np.floor(array * 2.0**32).astype(np.uint64)


def bernoulli(word: Word, p: ArrayLike) -> NDArray[np.bool_]:
    """True with probability floor(p 2**32) / 2**32: word < floor(p 2**32), compared in uint64.

    Always false for p = 0, always true for p = 1, below p by less than 2**-32 in between.

    Parameters
    ----------
    word : uint32[...]
    p : array_like of float
        Probability in [0, 1], broadcast against `word`.

    Returns
    -------
    bool[...]

    Raises
    ------
    TypeError
        `word` is not uint32, or `p` not a real number.
    DomainError
        `p` lies outside [0, 1] or is NaN.
    """
    return _wide(word) < bernoulli_threshold(p)


def uniform32(word: Word) -> NDArray[np.float32]:
    """A multiple of 2**-24 in [0, 1): (word >> 8) 2**-24, the upper 24 bits of the word.

    Parameters
    ----------
    word : uint32[...]

    Returns
    -------
    float32[...]

    Raises
    ------
    TypeError
        `word` is not uint32.
    """
    return (_wide(word) >> 8).astype(np.float32) * np.float32(2.0**-24)


def uniform64(word0: Word, word1: Word) -> NDArray[np.float64]:
    """A multiple of 2**-53 in [0, 1): (word0 2**21 + (word1 >> 11)) 2**-53.

    Its leading 32 bits are all of `word0`, the other 21 are the upper 21 bits of `word1`.

    Parameters
    ----------
    word0, word1 : uint32[...]

    Returns
    -------
    float64[...]

    Raises
    ------
    TypeError
        A word is not uint32.
    """
    return ((_wide(word0) << 21) | (_wide(word1) >> 11)).astype(np.float64) * 2.0**-53


def normal(word0: Word, word1: Word, word2: Word, word3: Word) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A pair of independent standard normals from the four words of one block (Box-Muller).

    With u = uniform64(word0, word1) and v = uniform64(word2, word3), r = sqrt(-2 log(1 - u)) and the pair is
    (r cos(2 pi v), r sin(2 pi v)). Since 1 - u >= 2**-53 the logarithm is finite, and no draw exceeds 8.58 in
    absolute value.

    Parameters
    ----------
    word0, word1, word2, word3 : uint32[...]

    Returns
    -------
    pair of float64[...]

    Raises
    ------
    TypeError
        A word is not uint32.
    """
    radius = np.sqrt(-2.0 * np.log1p(-uniform64(word0, word1)))
    angle = 2.0 * np.pi * uniform64(word2, word3)
    return radius * np.cos(angle), radius * np.sin(angle)


def exponential(word0: Word, word1: Word) -> NDArray[np.float64]:
    """A standard exponential, -log(1 - u) with u = uniform64(word0, word1), by inversion.

    Parameters
    ----------
    word0, word1 : uint32[...]

    Returns
    -------
    float64[...]
        In [0, 53 log 2], mean 1.

    Raises
    ------
    TypeError
        A word is not uint32.
    """
    return -np.log1p(-uniform64(word0, word1))


def integer(word0: Word, word1: Word, n: ArrayLike) -> NDArray[np.int64]:
    """A number of {0, ..., n - 1}: floor(n x / 2**64), x = word0 2**32 + word1.

    The multiply-high step of [2]_ without its rejection, so that the words spent never depend on their
    values. No value is likelier or rarer than 1/n by more than 2**-64, in relative terms n 2**-64 <= 2**-33,
    which no experiment can see; one word alone would leave n 2**-32, some 2e-4 at n = 10**6.

    Parameters
    ----------
    word0, word1 : uint32[...]
    n : array_like of int
        In [1, 2**31], broadcast against the words. The limit keeps every intermediate inside int64.

    Returns
    -------
    int64[...]

    Raises
    ------
    TypeError
        A word is not uint32, or `n` not an integer.
    DomainError
        `n` lies outside [1, 2**31].
    """
    size = check_integers("n", n, 1, 2**31)
    return ((_wide(word0) * size + ((_wide(word1) * size) >> 32)) >> 32).astype(np.int64)


def _wide(word: Word) -> NDArray[np.uint64]:
    """The word in uint64, where shifts and products of words do not overflow."""
    if np.asarray(word).dtype != np.uint32:
        raise TypeError(f"a word must be uint32, got {np.asarray(word).dtype}")
    return np.asarray(word, dtype=np.uint64)
