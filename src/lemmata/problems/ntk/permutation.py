"""Learning a permutation from unit vectors: data, binary test inputs, and the rule that reads bits from signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError

__all__ = ["Permutation", "binary_inputs", "check_binary", "normalized", "read_bits"]


@dataclass(frozen=True, eq=False)
class Permutation:
    """A permutation pi of k places as a training set: ``e_i -> e_{pi(i)}`` for i = 0..k-1.

    Attributes
    ----------
    images : int64[k]
        pi(0), ..., pi(k-1).

    Raises
    ------
    DomainError
        Not a bijection of 0..k-1; the missing values are named.
    """

    images: np.ndarray

    def __post_init__(self) -> None:
        images = np.asarray(self.images)
        if images.ndim != 1 or images.size == 0 or images.dtype.kind not in "iu":
            raise DomainError(f"a permutation is a list of integers 0..k-1, got {self.images!r}")
        missing = sorted(set(range(images.size)) - set(images.tolist()))
        if missing:
            raise DomainError(f"{images.tolist()} is no permutation of 0..{images.size - 1}: it misses {missing}")
        images = images.astype(np.int64)
        images.setflags(write=False)
        object.__setattr__(self, "images", images)

    @classmethod
    def shift(cls, k: int) -> Permutation:
        """The cyclic shift of k places."""
        if k < 1:
            raise DomainError(f"k must be at least 1, got {k}")
        return cls(np.roll(np.arange(k), -1))

    @property
    def k(self) -> int:
        """Number of places."""
        return self.images.size

    @property
    def X(self) -> np.ndarray:
        """Training inputs, the unit vectors, float64[k, k]."""
        return np.eye(self.k)

    @property
    def Y(self) -> np.ndarray:
        """Training targets, row i is e_{pi(i)}, float64[k, k]."""
        return np.eye(self.k)[self.images]

    def __call__(self, bits: Any) -> np.ndarray:
        """The permuted bits: place pi(i) gets bit i.

        Parameters
        ----------
        bits : array_like [..., k]
        """
        bits = np.asarray(bits)
        out = np.empty_like(bits)
        out[..., self.images] = bits
        return out


def check_binary(bits: Any, k: int) -> np.ndarray:
    """Test inputs as bool[N, k], after a check.

    Raises
    ------
    ShapeError
        Not of shape (N, k).
    DomainError
        An entry other than 0 and 1, or a zero row, which no network without biases sees.
    """
    bits = np.asarray(bits)
    if bits.ndim != 2 or bits.shape[1] != k or not len(bits):
        raise ShapeError(f"binary inputs must have shape (N, {k}), got {bits.shape}")
    wrong = np.argwhere((bits != 0) & (bits != 1))
    if wrong.size:
        raise DomainError(f"row {wrong[0][0]} holds {bits[tuple(wrong[0])]}, which is neither 0 nor 1")
    zero = np.flatnonzero(~bits.astype(bool).any(axis=1))
    if zero.size:
        raise DomainError(f"row {zero[0]} is zero: without biases every network maps it to 0, and no sign can be read")
    return bits.astype(bool)


def binary_inputs(k: int, ones: int | Sequence[int] | None = None) -> np.ndarray:
    """All binary inputs with so many ones, in lexicographic order.

    Parameters
    ----------
    k : int
    ones : int or sequence of int, optional
        Every m in 2..k by default: one 1 is a training point.

    Returns
    -------
    bool[N, k]
        `normalized` makes inputs of a network of them.

    Raises
    ------
    DomainError
        A number of ones outside 1..k.
    """
    every = range(2, k + 1) if ones is None else np.atleast_1d(ones).tolist()
    rows = []
    for m in every:
        if not 1 <= m <= k:
            raise DomainError(f"m = {m} ones of k = {k}: a binary input that is not zero has between 1 and k")
        for support in combinations(range(k), m):
            rows.append(np.isin(np.arange(k), support))
    return np.array(rows, dtype=bool).reshape(-1, k)


def normalized(bits: Any) -> np.ndarray:
    """Test inputs of norm 1, ``x / sqrt(m)``, float64[N, k].

    Raises
    ------
    ShapeError, DomainError
        As `check_binary`.
    """
    bits = np.asarray(bits)
    checked = check_binary(bits, bits.shape[-1] if bits.ndim else 0)
    return checked / np.sqrt(checked.sum(axis=1, keepdims=True))


def read_bits(outputs: Any, threshold: float = 0.0) -> np.ndarray:
    """Bits of mean outputs: True where a coordinate exceeds the threshold.

    Parameters
    ----------
    outputs : float array [..., k]
        Mean over the ensemble.
    threshold : float
        0 by default. At a training input coordinates are 1 and 0 exactly, and rounding decides at 0: use 1/2 there.

    Raises
    ------
    NonFiniteError
    """
    outputs = np.asarray(outputs)
    if not np.isfinite(outputs).all():
        raise NonFiniteError("the mean outputs are not finite")
    return outputs > threshold
