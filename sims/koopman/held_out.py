"""Eigenpairs judged on data that they were not learned from, and how far others would have come out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.koopman import check_finite, check_pair, check_weights
from lemmata.random import check_integer
from lemmata.sims.koopman.section import Eigen, Section, edmd, section

__all__ = ["block_bootstrap", "held_out"]


def held_out(
    section: Section, eigen: Eigen, psi_x: np.ndarray, psi_y: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """``||(K - lambda) g|| / ||g||`` of learned eigenpairs, both norms on other snapshots.

    On the data they were learned from residuals are too small, and vanish where there are as many functions as
    snapshots. These do not: they converge to the residuals of the operator whatever the number of functions.

    Parameters
    ----------
    section : Section
        What the pairs were learned from; its `basis` gives their coefficients in the dictionary.
    eigen : Eigen
    psi_x, psi_y : float64 or complex128 [M, N]
        The same dictionary on snapshots held out; M may be less than N.
    weights : float64[M], optional

    Returns
    -------
    float64[r]

    Raises
    ------
    ShapeError, NonFiniteError
    DomainError
        An eigenfunction vanishes on the snapshots held out.
    """
    psi_x, psi_y = check_pair("psi_x", psi_x, "psi_y", psi_y)
    if psi_x.shape[1] != len(section.basis):
        raise ShapeError(
            f"learned with {len(section.basis)} functions, held out with {psi_x.shape[1]}: use one dictionary"
        )
    root = np.sqrt(check_weights(weights, len(psi_x)))[:, None]
    values = check_finite("values", np.asarray(eigen.values))
    vectors = check_finite("vectors", np.asarray(eigen.vectors))
    if values.ndim != 1 or vectors.shape != (section.rank, values.size):
        raise ShapeError(
            f"{values.shape} values need vectors of shape ({section.rank}, {values.size}), got {vectors.shape}"
        )
    c = section.basis @ vectors
    now, then = root * (psi_x @ c), root * (psi_y @ c)
    size = np.linalg.norm(now, axis=0)
    if not size.all():
        raise DomainError(f"eigenfunction {int(np.argmin(size))} vanishes on the {len(psi_x)} snapshots held out")
    return np.linalg.norm(then - values * now, axis=0) / size


def block_bootstrap(
    psi_x: np.ndarray,
    psi_y: np.ndarray,
    values: np.ndarray,
    *,
    block: int,
    replicates: int = 200,
    learn: Callable[[Section], Eigen] = edmd,
    seed: int,
) -> np.ndarray:
    """Eigenvalues learned anew from resampled blocks of successive snapshots (the moving-block bootstrap).

    Parameters
    ----------
    psi_x, psi_y : float64 or complex128 [M, N]
        Rows in the order of time.
    values : complex128[k]
        Of each replicate the eigenvalue nearest to each of them is kept.
    block : int
        Rows of a block: longer than the memory of the system, much shorter than M.
    replicates : int
    learn : callable
        `edmd`, or `mpedmd`.
    seed : int

    Returns
    -------
    complex128[replicates, k]
        Quantiles of a function of them are an interval for it, for systems that forget: an approximation, without a
        guaranteed level.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, ResidualVacuousError

    Notes
    -----
    Memory: that of one section, and 8 M/block bytes for each replicate.

    References
    ----------
    Künsch, "The jackknife and the bootstrap for general stationary observations", Annals of Statistics 17, 1989.
    """
    psi_x, psi_y = check_pair("psi_x", psi_x, "psi_y", psi_y)
    size, values = len(psi_x), check_finite("values", np.atleast_1d(np.asarray(values, dtype=np.complex128)))
    if values.ndim != 1:
        raise ShapeError(f"values have one axis, got {values.shape}")
    check_integer("replicates", replicates, 1)
    if check_integer("block", block, 1) > size:
        raise DomainError(f"need 1 <= block <= {size}, the snapshots, got {block}")
    count = -(-size // block)
    first = np.random.default_rng(seed).integers(0, size - block + 1, (replicates, count))
    out = np.empty((replicates, values.size), dtype=np.complex128)
    for i, starts in enumerate(first):
        row = (starts[:, None] + np.arange(block)).ravel()[:size]
        found = learn(section(psi_x[row], psi_y[row])).values
        out[i] = found[np.abs(found[:, None] - values).argmin(axis=0)]
    return out
