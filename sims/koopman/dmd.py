"""Dynamic mode decomposition: linear observables of a high-dimensional state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la

from lemmata.errors import DomainError
from lemmata.problems.koopman import check_pair
from lemmata.random import check_integer
from lemmata.sims.koopman.section import rounding_unit, wide

__all__ = ["Modes", "dmd"]


@dataclass(frozen=True, eq=False)
class Modes:
    """Eigenvalues, modes, and how far each is from one on the data.

    Attributes
    ----------
    values : complex128[r]
    modes : complex128[d, r]
        Exact DMD modes, eigenvectors of ``Y X^+``; of norm 1.
    residuals : float64[r]
        ``||(Y* - conj(lambda) X*) u|| / ||X* u||`` for the left eigenvector u in the span of the r leading directions:
        the residual of the observable ``x -> u* x`` in the sense of `lemmata.sims.koopman.residuals`.
    """

    values: np.ndarray
    modes: np.ndarray
    residuals: np.ndarray


def dmd(x: np.ndarray, y: np.ndarray, rank: int) -> Modes:
    """Exact dynamic mode decomposition of snapshots ``y_m = F(x_m)``.

    Parameters
    ----------
    x, y : real or complex [d, M]
        A snapshot a column. The arithmetic is double precision, the rank of x what its own precision leaves.
    rank : int
        Leading singular directions of x to be kept.

    Returns
    -------
    Modes

    Raises
    ------
    ShapeError, NonFiniteError
    DomainError
        The rank exceeds that of x.

    Notes
    -----
    Directions come from the smaller Gram matrix of x where that costs them no more than 1e-12, and else from the
    singular value decomposition of x. Memory: three times that of x. Tu et al., "On dynamic mode decomposition",
    J. Comput. Dyn. 2014, Algorithm 2.
    """
    x, y = check_pair("x", x, "y", y)
    unit, x, y = rounding_unit(x, y), wide(x), wide(y)
    if check_integer("rank", rank, 1) > min(x.shape):
        raise DomainError(f"rank must lie in 1..{min(x.shape)}, got {rank}")
    # squares must neither overflow nor vanish
    if (size := float(np.abs(x).max())) > 0 and not 1e-100 < size < 1e100:
        x, y = x / size, y / size
    if x.shape[0] > x.shape[1]:
        U, s, Vh = _leading(x, rank, unit)
    else:
        V, s, Uh = _leading(x.conj().T, rank, unit)
        U, Vh = Uh.conj().T, V.conj().T
    image = (y @ Vh.conj().T) / s
    values, left, vectors = la.eig((U.conj().T @ image).astype(np.complex128), left=True)
    modes = image @ vectors
    norm = np.linalg.norm(modes, axis=0)
    modes = np.where(norm > 0, modes / np.where(norm > 0, norm, 1.0), U @ vectors)
    # the observables are rows of left* U*, which a Jordan block has too, where the modes have no inverse; their values
    # along the data
    along = left.conj().T @ np.concatenate([s[:, None] * Vh, U.conj().T @ y], axis=1)
    now, then = along[:, : x.shape[1]], along[:, x.shape[1] :]
    off = np.linalg.norm(then - values[:, None] * now, axis=1) / np.linalg.norm(now, axis=1)
    return Modes(values, modes, off)


def _leading(x: np.ndarray, rank: int, unit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U, s and V* of the leading directions of a tall matrix, whose entries are known to `unit`."""
    eps, size = float(np.finfo(np.float64).eps), x.shape[1]
    squares, V = la.eigh(x.conj().T @ x, subset_by_index=(max(0, size - rank - 1), size - 1))
    gap = squares[-rank] - (squares[0] if rank < size else 0.0)
    # the span turns by the rounding of the squares over the gap that parts them from the rest
    least = float(max(squares[-rank], 0.0)) ** 0.5
    if eps * squares[-1] < 1e-12 * gap and least > max(x.shape) * unit * float(squares[-1]) ** 0.5:
        V = V[:, -rank:]
        Q, R = np.linalg.qr(x @ V)
        W, s, Zh = np.linalg.svd(R)
        return Q @ W, s, Zh @ V.conj().T
    U, s, Vh = np.linalg.svd(x, full_matrices=False)
    have = int((s > max(x.shape) * unit * s[0]).sum())
    if have < rank:
        raise DomainError(f"x has rank {have}, less than the {rank} asked for")
    return U[:, :rank], s[:rank], Vh[:rank]
