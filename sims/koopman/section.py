"""Finite sections of a Koopman operator from snapshots, and the residuals that say which part of them to believe.

With ``B_X = W^{1/2} Psi_X`` and ``B_Y = W^{1/2} Psi_Y`` one triangular factorisation of the columns of both,

    [B_X  B_Y] = Q [R11 R12; 0 R22],

holds all that the data say: in an orthonormal basis of the dictionary's span the compression of K is
``A = R12 R11^{-1}`` and what K sends out of the span is ``S = R22 R11^{-1}``, so that
``||(K - z) g||^2 = |(A - z) v|^2 + |S v|^2`` without a difference of large numbers. The Gram form
``L - z A* - conj(z) A + |z|^2`` is the same in exact arithmetic and has lost it below 1e-8 in floating point; it is
used here where it can be trusted.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numba
import numpy as np
import scipy.linalg as la
from scipy.spatial import cKDTree
from threadpoolctl import threadpool_limits

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.koopman import (
    CertificateError,
    MeasureMismatchWarning,
    PolarNonUniqueWarning,
    PrecisionError,
    check_finite,
    check_least,
    check_pair,
    check_rank,
    check_snapshots,
    check_unit,
    check_weights,
)
from lemmata.random import check_integer

__all__ = [
    "Eigen",
    "Section",
    "certified_set",
    "edmd",
    "kernel_features",
    "mpedmd",
    "pseudospectrum",
    "rates",
    "residuals",
    "section",
    "section_from_gram",
    "section_from_triangle",
]

EPS = float(np.finfo(np.float64).eps)
#: A pseudospectrum below this, relative to 1 + |z|, is not read off squares: they err by 1e-15, it by 1e-7 then.
SQUARES = 1e-4


@dataclass(frozen=True, eq=False)
class Section:
    """K on the span of a dictionary, in an orthonormal basis ``psi @ basis`` of r functions.

    Attributes
    ----------
    A : float64 or complex128 [r, r]
        ``<K b_k, b_j>``: the compression, whose eigenvalues are those of EDMD.
    S : float64 or complex128 [q, r]
        What leaves the span: ``||(K - z) sum v_k b_k||^2 = |(A - z) v|^2 + |S v|^2``; q <= r.
    basis : float64 or complex128 [N, r]
        Coefficients in the dictionary are ``basis @ v``.
    rank : int
        r; N less than that number of directions were cut off.
    condition : float
        Ratio of the singular values of ``W^{1/2} Psi_X``, the largest to the smallest, before the cut.
    discarded : float
        Share of ``tr Psi_X* W Psi_X`` that was cut off.
    floor : float
        Residuals below it are rounding.
    """

    A: np.ndarray
    S: np.ndarray
    basis: np.ndarray
    rank: int
    condition: float
    discarded: float
    floor: float

    @property
    def growth(self) -> np.ndarray:
        """``A*A + S*S``, the Gram matrix [r, r] of the images; the identity for an isometry."""
        return self.A.conj().T @ self.A + self.S.conj().T @ self.S


@dataclass(frozen=True, eq=False)
class Eigen:
    """Eigenvalues with the residual of each.

    Attributes
    ----------
    values : complex128[r]
    vectors : complex128[r, r]
        Columns of norm 1 in the basis of the section; ``section.basis @ vectors`` are coefficients in the dictionary.
    residuals : float64[r]
        ``||(K - lambda) g|| / ||g||``: an upper bound on the distance to the spectrum if K is normal.
    polar_nonunique : bool
        For `mpedmd`: the compression is singular, and the values valid only up to a rotation of its kernel.
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    polar_nonunique: bool = False


# ------------------------------------------------------------------------------------------- sections


def section(
    psi_x: np.ndarray,
    psi_y: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    rtol: float | None = None,
    measure_preserving: bool = False,
) -> Section:
    """The finite section of K from the values of a dictionary at snapshots ``y = F(x)``.

    Parameters
    ----------
    psi_x, psi_y : float64 or complex128 [M, N]
        Row m holds the N functions at ``x_m``, and at ``y_m``.
    weights : float64[M], optional
        Of a quadrature, >= 0; 1/M each by default. Snapshots of weight 0 are not there: M does not count them,
        though they have to be finite.
    rtol : float, optional
        Directions whose singular value in ``W^{1/2} Psi_X`` is below ``rtol`` times the largest are cut off; by default
        ``N`` times the rounding unit.
    measure_preserving : bool
        Check that the images have the Gram matrix of the dictionary, to ``5 sqrt(N/M)``.

    Returns
    -------
    Section

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    ResidualVacuousError
        M < N: every residual is 0 on the data, whatever the system is.

    Warns
    -----
    ResidualVacuousWarning
        M < 2N: hold snapshots out.
    RankDeficientWarning, MeasureMismatchWarning

    Notes
    -----
    Memory: three times the 16 M N bytes (8 where real) of the two matrices. Colbrook and Townsend, "Rigorous
    data-driven computation of spectral properties of Koopman operators for dynamical systems", CPAM 2024.
    """
    psi_x, psi_y = check_pair("psi_x", psi_x, "psi_y", psi_y)
    unit, functions = rounding_unit(psi_x, psi_y), psi_x.shape[1]
    w = check_weights(weights, len(psi_x))
    size = int(np.count_nonzero(w))
    check_snapshots(size, functions)
    root = np.sqrt(w)[:, None]
    triangle = _triangle(wide(np.concatenate([root * psi_x, root * psi_y], axis=1)))
    made = section_from_triangle(triangle, rtol=rtol, unit=unit)
    if measure_preserving:
        _check_measure(made, size)
    return made


def section_from_triangle(triangle: np.ndarray, *, rtol: float | None = None, unit: float | None = None) -> Section:
    """The section from the triangular factor [<= 2N, 2N] of ``W^{1/2} [Psi_X Psi_Y]``; see `section`.

    `unit` is the rounding unit of the features, from which `Section.floor` follows; that of the triangle by default.
    Rows that are no triangle are made one: what stands below the diagonal counts.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    triangle = check_finite("triangle", np.asarray(triangle))
    if triangle.ndim != 2 or not triangle.size or triangle.shape[1] % 2:
        raise ShapeError(f"a triangle has 2N columns, got the shape {triangle.shape}")
    unit = rounding_unit(triangle) if unit is None else unit
    check_unit(unit)
    triangle = wide(triangle)
    if np.tril(triangle, -1).any():
        triangle = _triangle(triangle)
    functions = triangle.shape[1] // 2
    first, images = triangle[:, :functions], triangle[:, functions:]
    U, s, Vh = np.linalg.svd(first[:functions])
    rtol = functions * unit if rtol is None else rtol
    rank = _rank(s, rtol, functions)
    basis = Vh[:rank].conj().T / s[:rank]
    moved = U.conj().T @ (images[:functions] @ basis)
    A = moved[:rank]
    rest = np.concatenate([moved[rank:], images[functions:] @ basis])
    S = _triangle(rest) if rest.shape[0] > rank else rest
    condition = float(s[0] / s[-1]) if s[-1] > 0 else math.inf
    floor = 10 * functions * unit * float(s[0] / s[rank - 1]) * max(1.0, float(np.linalg.norm(images, 2) / s[0]))
    discarded = _share(s, rank)
    return Section(A, S, basis, rank, condition, discarded, floor)


def section_from_gram(
    G: np.ndarray, A: np.ndarray, L: np.ndarray, *, rtol: float | None = None, unit: float | None = None
) -> Section:
    """The section from the matrices that a stream of snapshots adds up.

    Parameters
    ----------
    G, A, L : float64 or complex128 [N, N]
        ``Psi_X* W Psi_X``, ``Psi_X* W Psi_Y`` and ``Psi_Y* W Psi_Y``.
    rtol : float, optional
        As in `section`, of singular values: the eigenvalues of G are cut at ``rtol^2``. By default the square root of
        ``max(N u, 1e-12)``: G has squared the condition number.
    unit : float, optional
        u, the rounding unit of the features; that of G, A and L, the coarsest, by default.

    Returns
    -------
    Section
        Its `floor` is near 1e-8 and more: smaller residuals need `section`, or a triangle streamed.

    Raises
    ------
    ShapeError, NonFiniteError
    DomainError
        G or L is not Hermitian, G has a negative eigenvalue, or ``L - A* G^{-1} A`` has, which no three matrices of the
        same snapshots leave: to 1e-6 of their size or what `unit` leaves.
    """
    G, A, L = (check_finite(name, np.asarray(m)) for name, m in (("G", G), ("A", A), ("L", L)))
    if G.ndim != 2 or not G.size or not G.shape == A.shape == L.shape == (len(G), len(G)):
        raise ShapeError(f"G {G.shape}, A {A.shape} and L {L.shape} must be three square matrices of one shape")
    unit = rounding_unit(G, A, L) if unit is None else unit
    check_unit(unit)
    G, A, L = wide(G), wide(A), wide(L)
    functions = len(G)
    for name, m in (("G", G), ("L", L)):
        if (off := float(np.abs(m - m.conj().T).max())) > (1e-6 + 100 * unit) * float(np.abs(m).max()):
            raise DomainError(
                f"{name} is not Hermitian, by {off:.3g}: it holds <psi_k, psi_j> of the {functions} functions"
            )
    rtol = math.sqrt(max(functions * unit, 1e-12)) if rtol is None else rtol
    values, vectors = np.linalg.eigh(G)
    values, vectors = values[::-1], vectors[:, ::-1]
    check_least("G", values[-1], (1e-6 + 10 * functions * unit) * abs(values[0]))
    s = np.sqrt(np.clip(values, 0.0, None))
    rank = _rank(s, rtol, functions)
    basis = vectors[:, :rank] / s[:rank]
    compressed = basis.conj().T @ A @ basis
    grown = basis.conj().T @ L @ basis
    left, out = np.linalg.eigh(grown - compressed.conj().T @ compressed)
    size = max(float(np.linalg.norm(grown, 2)), 1.0)
    floor = math.sqrt(functions * unit * size) * float(s[0] / s[rank - 1])
    check_least("L - A* G^-1 A", left[0], 1e-6 * size + 100 * floor**2)
    S = np.sqrt(np.clip(left, 0.0, None))[:, None] * out.conj().T
    condition = float(s[0] / s[-1]) if s[-1] > 0 else math.inf
    return Section(compressed, S, basis, rank, condition, _share(s, rank), floor)


def kernel_features(
    x: np.ndarray, y: np.ndarray, kernel: Callable[[np.ndarray, np.ndarray], np.ndarray], rank: int
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel EDMD: the dictionary of the `rank` leading principal functions of a kernel on the data.

    ``k(x, x') = Q s^2 Q*`` on the snapshots; the functions ``k(., x) Q / s`` take the values ``Q s`` at the x and
    ``k(y, x) Q / s`` at the y. Give both to `section`.

    Parameters
    ----------
    x, y : float64[M, d]
    kernel : callable
        ``kernel(a [m, d], b [n, d]) -> [m, n]``, positive definite.
    rank : int
        At most M/2, else the residuals say little.

    Returns
    -------
    psi_x, psi_y : [M, rank]

    Raises
    ------
    ShapeError, NonFiniteError
    DomainError
        The rank exceeds M, or that of the kernel on these points; or the kernel is not Hermitian on them.

    Notes
    -----
    Memory: 24 M^2 bytes. Williams, Rowley and Kevrekidis, "A kernel-based method for data-driven Koopman spectral
    analysis", J. Comput. Dyn. 2015.
    """
    x, y = (wide(v) for v in check_pair("x", x, "y", y))
    if check_integer("rank", rank, 1) > len(x):
        raise DomainError(f"rank must lie in 1..{len(x)}, the number of snapshots, got {rank}")
    gram = _kernel_matrix(kernel, x, x)
    unit, gram = rounding_unit(gram), wide(gram)
    if (off := float(np.abs(gram - gram.conj().T).max())) > 1e-6 * float(np.abs(gram).max()):
        raise DomainError(f"the kernel is not Hermitian on these points, by {off:.3g}")
    values, vectors = np.linalg.eigh(gram)
    # of a kernel that is not positive definite the largest may be rounding
    least = len(x) * unit * max(abs(values[0]), abs(values[-1]))
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    if values[-1] <= least:
        allowed = int((values > least).sum())
        raise DomainError(f"the kernel has rank {allowed} on these points, not {rank}: ask for at most {allowed}")
    s = np.sqrt(values)
    return vectors * s, _kernel_matrix(kernel, y, x) @ (vectors / s)


def _kernel_matrix(kernel: Callable[[np.ndarray, np.ndarray], np.ndarray], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    found = np.asarray(kernel(a, b))
    if found.shape != (len(a), len(b)):
        raise ShapeError(f"the kernel of {len(a)} and {len(b)} points has the shape {found.shape}")
    return check_finite("the kernel", found)


def rounding_unit(*arrays: np.ndarray) -> float:
    """The coarsest of them: that of float64 for integers."""
    return max(float(np.finfo(a.dtype).eps) if a.dtype.kind in "fc" else EPS for a in arrays)


def wide(array: np.ndarray) -> np.ndarray:
    """float64 or complex128."""
    return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64, copy=False)


def _share(s: np.ndarray, rank: int) -> float:
    """What is cut off of the sum of squares, which themselves may overflow or vanish."""
    squares = (s / s[0]) ** 2
    return float(squares[rank:].sum() / squares.sum())


def _triangle(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.qr(matrix, mode="r"))


def _rank(s: np.ndarray, rtol: float, functions: int) -> int:
    if not 0 <= rtol < 1:
        raise DomainError(f"rtol must lie in [0, 1), got {rtol:g}")
    rank = int((s > rtol * s[0]).sum())
    check_rank(rank, functions, rtol)
    return rank


def _check_measure(made: Section, size: int) -> None:
    off = float(np.linalg.norm(made.growth - np.eye(made.rank), 2))
    allowed = 5 * math.sqrt(made.rank / size)
    if off > allowed:
        warnings.warn(
            f"declared measure preserving, but the images' Gram matrix differs from the identity by {off:.2g}, more "
            f"than 5 sqrt(N/M) = {allowed:.2g}",
            MeasureMismatchWarning,
            stacklevel=3,
        )


# ------------------------------------------------------------------------------- eigenvalues, residuals


def edmd(section: Section) -> Eigen:
    """Extended dynamic mode decomposition: the eigenvalues of the compression, and the residual of each.

    Those of large residual are no approximations of anything: the spectrum of a compression may lie anywhere within the
    numerical range of K.

    Returns
    -------
    Eigen
        In no order.
    """
    # LAPACK scales rows and columns to equal norms; where some are rounding errors only it scales by 1e7 and loses as
    # much of the residual. In a generic basis there is nothing to scale.
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal(section.A.shape))[0]
    values, vectors = np.linalg.eig((Q.T @ section.A @ Q).astype(np.complex128))
    vectors = Q @ vectors
    return Eigen(values, vectors, residuals(section, values, vectors))


def mpedmd(section: Section) -> Eigen:
    """Measure-preserving EDMD: the unitary matrix nearest to the compression in place of it.

    It is the polar factor; its complex Schur form is diagonal and, unlike an eigenvalue routine, gives orthonormal
    vectors where eigenvalues are close.

    Returns
    -------
    Eigen
        Values of modulus 1.

    Warns
    -----
    PolarNonUniqueWarning
        The least singular value of the compression is below 1e-8.

    References
    ----------
    Colbrook, "The mpEDMD algorithm for data-driven computations of measure-preserving dynamical systems", SINUM 2023.
    """
    U, s, Vh = np.linalg.svd(section.A)
    unclear = bool(s[-1] < 1e-8)
    if unclear:
        warnings.warn(
            f"{int((s < 1e-8).sum())} singular values of the compression are below 1e-8: its polar factor is unique "
            "only up to a rotation of their directions",
            PolarNonUniqueWarning,
            stacklevel=2,
        )
    T, Z = la.schur((U @ Vh).astype(np.complex128), output="complex")
    values = np.diagonal(T) / np.abs(np.diagonal(T))
    return Eigen(values, Z, residuals(section, values, Z), unclear)


def residuals(section: Section, z: np.ndarray, vectors: np.ndarray, *, tolerance: float | None = None) -> np.ndarray:
    """``||(K - z_k) g_k|| / ||g_k||`` float64[k] for ``g_k`` with the coefficients ``vectors[:, k]`` [r, k].

    To judge on data that were not learned from, take the section of those and the coefficients there.

    Parameters
    ----------
    section : Section
    z : complex128[k]
    vectors : complex128[r, k]
    tolerance : float, optional
        What they will be compared with.

    Returns
    -------
    float64[k]

    Raises
    ------
    ShapeError, NonFiniteError
    DomainError
        A vector is 0.
    PrecisionError
        The tolerance is below `Section.floor`: float32 features, a Gram form or an ill-conditioned dictionary.
    """
    if tolerance is not None and not tolerance >= section.floor:
        raise PrecisionError(section.floor, tolerance)
    z, v = check_finite("z", np.asarray(z)), check_finite("vectors", np.asarray(vectors))
    if z.ndim != 1 or v.shape != (section.rank, z.size):
        raise ShapeError(f"{z.shape} values need vectors of shape ({section.rank}, {z.size}), got {v.shape}")
    if not (nonzero := v.any(axis=0)).all():
        raise DomainError(f"vector {int(np.argmin(nonzero))} is 0 and has no residual")
    inside = np.linalg.norm(section.A @ v - z * v, axis=0)
    return np.hypot(inside, np.linalg.norm(section.S @ v, axis=0)) / np.linalg.norm(v, axis=0)


def rates(values: np.ndarray, dt: float, *, band: float) -> np.ndarray:
    """``log(lambda) / dt``: growth rates and angular frequencies of a flow sampled every `dt`.

    A frequency is seen only up to multiples of ``2 pi / dt``: `band` states that all those of the flow are below it.

    Parameters
    ----------
    values : complex128[...]
    dt : float
        Unit of time between snapshots.
    band : float
        Radians per unit of time.

    Returns
    -------
    complex128[...]
        Of real part -inf and imaginary part 0 for an eigenvalue 0.

    Raises
    ------
    NonFiniteError
    DomainError
        The band is not within ``pi / dt``: its frequencies alias. Sample more often.
    """
    if not (dt > 0 and 0 < band <= math.pi / dt):
        raise DomainError(
            f"frequencies up to {band:g} alias at dt = {dt:g}, which shows those below pi/dt = {math.pi / dt:g}"
            if dt > 0
            else f"dt must be positive, got {dt:g}"
        )
    values = check_finite("values", np.asarray(values, dtype=np.complex128))
    out = np.empty_like(values)
    with np.errstate(divide="ignore"):
        # a complex quotient would make infinity over dt a NaN
        out.real, out.imag = np.log(np.abs(values)) / dt, np.angle(values) / dt
    return out


# --------------------------------------------------------------------------------------- pseudospectra


def pseudospectrum(
    section: Section, z: np.ndarray, *, method: Literal["auto", "angles", "general"] = "auto"
) -> np.ndarray:
    """``tau(z)``, the least residual of any function of the span: the least singular value of ``[A - z; S]``.

    Parameters
    ----------
    section : Section
    z : complex128[...]
    method : {"auto", "angles", "general"}
        Where ``A*A + S*S = I``, ``tau^2 = 1 + |z|^2 - 2|z| lambda_max(Re e^{-i arg z} A)``: one eigenproblem serves all
        radii of an angle. "general" is inverse iteration with the Cholesky factor of the Gram form at each z, and one
        decomposition of the matrix itself for up to 40 functions. "auto" takes the angles where the data are isometric
        to rounding and several z share an angle.

    Returns
    -------
    float64[...]
        To 1e-7 relatively, and to rounding for up to 40 functions: below ``1e-4 (1 + |z|)``, where the squares of both
        other routes have lost their digits, a triangular factor of ``[A - z; S]`` takes their place.

    Raises
    ------
    CertificateError
        Angles were asked for, and the data are no isometry.
    NonFiniteError, DomainError

    Notes
    -----
    Memory a thread: some 10 matrices [r, r], and 60 vectors. There are as many threads as Numba has.
    """
    if method not in ("auto", "angles", "general"):
        raise DomainError(f"method must be 'auto', 'angles' or 'general', got {method!r}")
    z = np.asarray(z, dtype=np.complex128)
    flat = check_finite("z", z.ravel())
    if not flat.size:
        return np.zeros(z.shape)
    off = float(np.linalg.norm(section.growth - np.eye(section.rank), 2))
    isometric = off <= 1e3 * EPS * section.rank
    if method == "angles" and not isometric:
        raise CertificateError(f"one eigenproblem an angle needs an isometry; the images differ from one by {off:.2g}")
    angle, where = np.unique(np.round(np.angle(flat), 12), return_inverse=True)
    if method == "angles" or (method == "auto" and isometric and 2 * angle.size <= flat.size):
        # the mean angle of those that are one angle to rounding
        angle = np.bincount(where, np.angle(flat)) / np.bincount(where)
        A = section.A.astype(np.complex128)

        def largest(phi: float) -> float:
            turned = np.exp(-1j * phi) * A
            return float(np.linalg.eigvalsh((turned + turned.conj().T) / 2)[-1])

        radius = np.abs(flat)
        tau = np.sqrt(np.clip(1 + radius**2 - 2 * radius * np.array(_each(largest, angle))[where], 0.0, None))
        low = np.flatnonzero(tau < SQUARES * (1 + radius))
        tau[low] = _each(lambda point: _from_triangle(section, point), flat[low])
    elif section.rank <= 40:
        # 2 MiB of matrices at a time
        parts = np.array_split(flat, 1 + len(flat) * section.rank**2 // 2**16)
        tau = np.concatenate([np.linalg.svd(_stacked(section, part), compute_uv=False)[:, -1] for part in parts])
    else:
        growth = section.growth.astype(np.complex128)
        tau = np.array(_each(lambda point: _from_gram(section, point, growth), flat))
    return tau.reshape(z.shape)


def _each(function: Callable[[Any], float], values: np.ndarray) -> list[float]:
    """The function of every value, on as many threads as Numba has, with one of linear algebra each: none waits."""
    with threadpool_limits(1), ThreadPoolExecutor(numba.get_num_threads()) as pool:
        return list(pool.map(function, values))


def _stacked(section: Section, z: Any) -> np.ndarray:
    """``[A - z; S]`` for every z: complex128[..., r + q, r]."""
    z = np.asarray(z, dtype=np.complex128)
    inside = section.A - z[..., None, None] * np.eye(section.rank)
    outside = np.broadcast_to(section.S, (*z.shape, *section.S.shape))
    return np.concatenate([inside, outside], axis=-2)


def _from_gram(section: Section, z: complex, growth: np.ndarray) -> float:
    """The least singular value of ``[A - z; S]`` from ``A*A + S*S - z A* - conj(z) A + |z|^2``."""
    H = growth - z * section.A.conj().T
    H -= np.conj(z) * section.A
    H[np.diag_indices_from(H)] += abs(z) ** 2
    try:
        tau = _inverse_lanczos(la.cholesky(H, lower=False, overwrite_a=True, check_finite=False))
    except la.LinAlgError:
        tau = 0.0
    return tau if tau >= SQUARES * (1 + abs(z)) else _from_triangle(section, z)


def _from_triangle(section: Section, z: complex) -> float:
    """The least singular value of ``[A - z; S]`` from its triangular factor."""
    factor = _triangle(_stacked(section, z))
    diagonal = np.abs(np.diagonal(factor))
    if diagonal.min() <= EPS * diagonal.max():  # a singular triangle cannot be inverted
        return float(np.linalg.svd(factor, compute_uv=False)[-1])
    return _inverse_lanczos(factor)


def _inverse_lanczos(R: np.ndarray, steps: int = 60) -> float:
    """The least singular value of a triangle R [r, r]: Lanczos with full orthogonalisation on ``(R*R)^{-1}``.

    It ends with a Ritz pair whose residual is below 2e-7 of its value, which bounds the error of that even where
    singular values cluster, and whose value has stopped to grow; else by a singular value decomposition.
    """
    R = np.asfortranarray(R, dtype=np.complex128)
    r = len(R)
    q = np.random.default_rng(0).standard_normal(r) + 0j
    q /= np.linalg.norm(q)
    Q = np.empty((min(steps, r), r), dtype=np.complex128)
    alpha, beta = np.zeros(len(Q)), np.zeros(len(Q))
    best = 0.0
    for k in range(len(Q)):
        Q[k] = q
        u = la.blas.ztrsv(R, q, trans=2)
        w = la.blas.ztrsv(R, u)
        alpha[k] = np.vdot(u, u).real
        for _ in range(2):
            w -= Q[: k + 1].T @ (Q[: k + 1].conj() @ w)
        beta[k] = np.linalg.norm(w)
        value, vector = la.eigh_tridiagonal(alpha[: k + 1], beta[:k], select="i", select_range=(k, k))
        ritz, error = float(value[0]), beta[k] * abs(vector[-1, 0])
        if error <= 1e-14 * ritz or (error <= 2e-7 * ritz and ritz - best <= 1e-9 * ritz):
            return 1 / math.sqrt(ritz)
        best, q = ritz, w / beta[k]
    return float(np.linalg.svd(R, compute_uv=False)[-1])


def certified_set(
    section: Section,
    z: np.ndarray,
    *,
    operator: Literal["normal", "isometry", "unitary"] | None = None,
    ball: float = 5.0,
) -> tuple[np.ndarray, float]:
    """Points near the approximate point spectrum, and how near: an answer with an error bar.

    For every z of the grid with ``tau(z) < 1`` look within ``ball * tau(z)`` for the points of least tau; keep them.
    Every point kept is within its tau of the spectrum, if K is normal or an isometry.

    Parameters
    ----------
    section : Section
    z : complex128[n]
        A grid.
    operator : {"normal", "isometry", "unitary"}
        What is known of K. For a unitary, ``|1 - |z||`` bounds the distance from below too, and the larger one counts.
    ball : float

    Returns
    -------
    points : complex128[k]
    bound : float
        Largest distance of a point from the approximate point spectrum, on these data; infinite if no point is kept.

    Raises
    ------
    CertificateError
        Nothing is known of K: for others a small residual proves nothing about distance. Use `pseudospectrum`.
    NonFiniteError
    DomainError
        An empty grid, or a ball that is not positive.
    """
    if operator not in ("normal", "isometry", "unitary"):
        raise CertificateError(
            f"a distance to the spectrum needs operator = 'normal', 'isometry' or 'unitary', got {operator!r}; "
            "pseudospectrum says what is true of every operator"
        )
    z = np.asarray(z, dtype=np.complex128).ravel()
    if not z.size or not 0 < ball < math.inf:
        raise DomainError(f"a grid of {z.size} points and ball = {ball:g}: neither may be empty or without size")
    distance = pseudospectrum(section, z)
    if operator != "normal":
        distance = np.maximum(distance, np.abs(1 - np.abs(z)))
    plane = np.column_stack([z.real, z.imag])
    tree = cKDTree(plane)
    kept: set[int] = set()
    for i in np.flatnonzero(distance < 1):
        near = np.array(tree.query_ball_point(plane[i], ball * distance[i]) or [i])
        kept.update(near[distance[near] <= distance[near].min()].tolist())
    index = np.array(sorted(kept), dtype=np.int64)
    return z[index], float(distance[index].max()) if index.size else math.inf
