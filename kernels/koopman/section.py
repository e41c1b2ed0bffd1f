"""Finite sections of a Koopman operator and their residuals, on a device; see `lemmata.sims.koopman.section`.

Features may be of either precision. Everything behind them is float64 or complex128: no reduced-precision product
(TF32) touches a residual, and float32 features leave their own rounding in `Section.floor`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems.koopman import (
    CertificateError,
    MeasureMismatchWarning,
    PolarNonUniqueWarning,
    PrecisionError,
    check_least,
    check_rank,
    check_snapshots,
    check_unit,
)
from lemmata.random import check_integer

__all__ = [
    "Eigen",
    "Modes",
    "Section",
    "certified_set",
    "dmd",
    "edmd",
    "kernel_features",
    "mpedmd",
    "pseudospectrum",
    "residuals",
    "section",
    "section_from_gram",
    "section_from_triangle",
]

EPS = torch.finfo(torch.float64).eps
#: As in `lemmata.sims.koopman.section`.
SQUARES = 1e-4
#: Entries of the matrices that are factorised at once: 256 MiB of complex128.
BATCH = 1 << 24


@dataclass(frozen=True, eq=False)
class Section:
    """K on the span of a dictionary, as in `lemmata.sims.koopman.Section`.

    Attributes
    ----------
    A : tensor (r, r)
    S : tensor (q, r)
    basis : tensor (N, r)
    rank : int
    condition, discarded, floor : float
    """

    A: Tensor
    S: Tensor
    basis: Tensor
    rank: int
    condition: float
    discarded: float
    floor: float

    @property
    def growth(self) -> Tensor:
        """``A*A + S*S`` (r, r)."""
        return self.A.mH @ self.A + self.S.mH @ self.S


@dataclass(frozen=True, eq=False)
class Eigen:
    """Eigenvalues with the residual of each, as in `lemmata.sims.koopman.Eigen`.

    Attributes
    ----------
    values : complex128 tensor (r,)
    vectors : complex128 tensor (r, r)
    residuals : float64 tensor (r,)
    polar_nonunique : bool
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    polar_nonunique: bool = False


@dataclass(frozen=True, eq=False)
class Modes:
    """Eigenvalues, modes and residuals, as in `lemmata.sims.koopman.Modes`.

    Attributes
    ----------
    values : complex128 tensor (r,)
    modes : complex128 tensor (d, r)
    residuals : float64 tensor (r,)
    """

    values: Tensor
    modes: Tensor
    residuals: Tensor


# ------------------------------------------------------------------------------------------- sections


@torch.no_grad()
def section(
    psi_x: Tensor,
    psi_y: Tensor,
    weights: Tensor | None = None,
    *,
    rtol: float | None = None,
    measure_preserving: bool = False,
) -> Section:
    """The finite section of K from the values of a dictionary at snapshots; see `lemmata.sims.koopman.section`.

    Parameters
    ----------
    psi_x, psi_y : tensor (M, N)
    weights : tensor (M,), optional
    rtol : float, optional
        By default N times the rounding unit of the features.
    measure_preserving : bool
        Check that the images have the Gram matrix of the dictionary, to ``5 sqrt(N/M)``.

    Returns
    -------
    Section

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, ResidualVacuousError

    Warns
    -----
    ResidualVacuousWarning, RankDeficientWarning, MeasureMismatchWarning

    Notes
    -----
    Memory: three times the 16 M N bytes (8 where real) of the two matrices.
    """
    psi_x, psi_y, unit = _pair("psi_x", psi_x, "psi_y", psi_y)
    functions, root = psi_x.shape[1], _root(weights, psi_x)
    size = int(torch.count_nonzero(root))
    check_snapshots(size, functions)
    triangle = _triangle(torch.cat([root * psi_x, root * psi_y], dim=1))
    made = section_from_triangle(triangle, rtol=rtol, unit=unit)
    if measure_preserving and (off := _off_isometry(made)) > (allowed := 5 * math.sqrt(made.rank / size)):
        warnings.warn(
            f"declared measure preserving, but the images' Gram matrix differs from the identity by {off:.2g}, more "
            f"than 5 sqrt(N/M) = {allowed:.2g}",
            MeasureMismatchWarning,
            stacklevel=2,
        )
    return made


@torch.no_grad()
def section_from_triangle(triangle: Tensor, *, rtol: float | None = None, unit: float | None = None) -> Section:
    """The section from the triangular factor (2N, 2N) of ``W^{1/2} [Psi_X Psi_Y]``.

    Parameters
    ----------
    triangle : tensor (2N, 2N)
    rtol : float, optional
    unit : float, optional
        Rounding unit of the features; that of the triangle by default.

    Returns
    -------
    Section

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    if triangle.ndim != 2 or not triangle.numel() or triangle.shape[1] % 2:
        raise ShapeError(f"a triangle has 2N columns, got the shape {tuple(triangle.shape)}")
    unit = _unit(triangle) if unit is None else unit
    check_unit(unit)
    triangle = _finite("triangle", _wide(triangle))
    # as in sims: rows that are no triangle are made one
    if bool(triangle.tril(-1).any()):
        triangle = _triangle(triangle)
    functions = triangle.shape[1] // 2
    first, images = triangle[:, :functions], triangle[:, functions:]
    U, s, Vh = torch.linalg.svd(first[:functions])
    rank = _rank(s, functions * unit if rtol is None else rtol, functions)
    basis = Vh[:rank].mH / s[:rank]
    moved = U.mH @ (images[:functions] @ basis)
    rest = torch.cat([moved[rank:], images[functions:] @ basis])
    S = _triangle(rest) if rest.shape[0] > rank else rest
    spread, size = float(s[0] / s[rank - 1]), float(torch.linalg.matrix_norm(images, 2) / s[0])
    floor = 10 * functions * unit * spread * max(1.0, size)
    return Section(moved[:rank], S, basis, rank, _condition(s), _share(s, rank), floor)


@torch.no_grad()
def section_from_gram(
    G: Tensor, A: Tensor, L: Tensor, *, rtol: float | None = None, unit: float | None = None
) -> Section:
    """The section from G, A and L (N, N); see `lemmata.sims.koopman.section_from_gram`.

    Parameters
    ----------
    G, A, L : tensor (N, N)
    rtol : float, optional
    unit : float, optional
        Rounding unit of the features; that of G, A and L, the coarsest, by default.

    Returns
    -------
    Section

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    if G.ndim != 2 or not G.numel() or not G.shape == A.shape == L.shape == (len(G), len(G)):
        shapes = ", ".join(str(tuple(m.shape)) for m in (G, A, L))
        raise ShapeError(f"G, A and L must be three square matrices of one shape, got {shapes}")
    unit = _unit(G, A, L) if unit is None else unit
    check_unit(unit)
    G, A, L = _alike(*(_finite(name, _wide(m)) for name, m in (("G", G), ("A", A), ("L", L))))
    functions = len(G)
    for name, m in (("G", G), ("L", L)):
        if (off := float((m - m.mH).abs().max())) > (1e-6 + 100 * unit) * float(m.abs().max()):
            raise DomainError(
                f"{name} is not Hermitian, by {off:.3g}: it holds <psi_k, psi_j> of the {functions} functions"
            )
    values, vectors = torch.linalg.eigh(G)
    check_least("G", float(values[0]), (1e-6 + 10 * functions * unit) * abs(float(values[-1])))
    s = values.flip(0).clamp(min=0).sqrt()
    rank = _rank(s, math.sqrt(max(functions * unit, 1e-12)) if rtol is None else rtol, functions)
    basis = vectors.flip(1)[:, :rank] / s[:rank]
    compressed, grown = basis.mH @ A @ basis, basis.mH @ L @ basis
    left, out = torch.linalg.eigh(grown - compressed.mH @ compressed)
    size = max(float(torch.linalg.matrix_norm(grown, 2)), 1.0)
    floor = math.sqrt(functions * unit * size) * float(s[0] / s[rank - 1])
    check_least("L - A* G^-1 A", float(left[0]), 1e-6 * size + 100 * floor**2)
    S = left.clamp(min=0).sqrt()[:, None] * out.mH
    return Section(compressed, S, basis, rank, _condition(s), _share(s, rank), floor)


@torch.no_grad()
def kernel_features(
    x: Tensor, y: Tensor, kernel: Callable[[Tensor, Tensor], Tensor], rank: int
) -> tuple[Tensor, Tensor]:
    """The leading principal functions of a kernel at x and y; see `lemmata.sims.koopman.kernel_features`.

    Parameters
    ----------
    x, y : tensor (M, d)
    kernel : callable
        ``kernel(a (m, d), b (n, d)) -> (m, n)``.
    rank : int

    Returns
    -------
    psi_x, psi_y : tensor (M, rank)

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    x, y, _ = _pair("x", x, "y", y)
    if check_integer("rank", rank, 1) > len(x):
        raise DomainError(f"rank must lie in 1..{len(x)}, the number of snapshots, got {rank}")
    gram = _kernel_matrix(kernel, x, x)
    unit, gram = _unit(gram), _wide(gram)
    if (off := float((gram - gram.mH).abs().max())) > 1e-6 * float(gram.abs().max()):
        raise DomainError(f"the kernel is not Hermitian on these points, by {off:.3g}")
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0), vectors.flip(1)
    # of a kernel that is not positive definite the largest may be rounding
    allowed = int((values > len(x) * unit * values.abs().max()).sum())
    if allowed < rank:
        raise DomainError(f"the kernel has rank {allowed} on these points, not {rank}: ask for at most {allowed}")
    s, Q = values[:rank].sqrt(), vectors[:, :rank]
    return Q * s, _wide(_kernel_matrix(kernel, y, x)) @ (Q / s)


def _kernel_matrix(kernel: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    found = kernel(a, b)
    if found.shape != (len(a), len(b)):
        raise ShapeError(f"the kernel of {len(a)} and {len(b)} points has the shape {tuple(found.shape)}")
    return _finite("the kernel", found)


def _unit(*values: Tensor) -> float:
    """The coarsest rounding unit: that of float64 for integers."""
    return max(EPS if not (v.is_floating_point() or v.is_complex()) else torch.finfo(v.dtype).eps for v in values)


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.complex128 if values.is_complex() else torch.float64)


def _alike(*values: Tensor) -> tuple[Tensor, ...]:
    """All of them complex if one is: torch multiplies no others."""
    return tuple(v.to(torch.complex128) for v in values) if any(v.is_complex() for v in values) else values


def _finite(name: str, values: Tensor) -> Tensor:
    if not bool(torch.isfinite(values).all()):
        raise NonFiniteError(f"{name} holds a value that is not finite")
    return values


def _real(name: str, values: Tensor) -> Tensor:
    """Finite numbers as float64; torch would drop an imaginary part with a warning."""
    if values.is_complex():
        raise TypeError(f"{name} must hold real numbers, got {values.dtype}")
    return _finite(name, values.double())


def _pair(name_x: str, x: Tensor, name_y: str, y: Tensor) -> tuple[Tensor, Tensor, float]:
    if x.ndim != 2 or x.shape != y.shape or not x.numel():
        raise ShapeError(f"{name_x} {tuple(x.shape)} and {name_y} {tuple(y.shape)} must be two matrices of one shape")
    return _finite(name_x, _wide(x)), _finite(name_y, _wide(y)), _unit(x, y)


def _root(weights: Tensor | None, psi: Tensor) -> Tensor:
    """``W^{1/2}`` (M, 1), 1/M each where no weights are given."""
    size = len(psi)
    if weights is None:
        return torch.full((size, 1), size**-0.5, dtype=torch.float64, device=psi.device)
    if weights.shape != (size,):
        raise ShapeError(f"w has the shape {tuple(weights.shape)}; {size} snapshots need ({size},)")
    w = _real("w", weights)
    if float(w.min()) < 0 or float(w.sum()) <= 0:
        raise DomainError(
            f"weights must be >= 0 with a positive sum; the least is {float(w.min()):g}, the sum {float(w.sum()):g}"
        )
    return w.sqrt()[:, None]


def _off_isometry(made: Section) -> float:
    one = torch.eye(made.rank, dtype=made.A.dtype, device=made.A.device)
    return float(torch.linalg.matrix_norm(made.growth - one, 2))


def _triangle(matrix: Tensor) -> Tensor:
    return torch.linalg.qr(matrix, mode="r").R


def _rank(s: Tensor, rtol: float, functions: int) -> int:
    if not 0 <= rtol < 1:
        raise DomainError(f"rtol must lie in [0, 1), got {rtol:g}")
    rank = int((s > rtol * s[0]).sum())
    check_rank(rank, functions, rtol)
    return rank


def _condition(s: Tensor) -> float:
    return float(s[0] / s[-1]) if float(s[-1]) > 0 else math.inf


def _share(s: Tensor, rank: int) -> float:
    squares = (s / s[0]) ** 2
    return float(squares[rank:].sum() / squares.sum())


# ------------------------------------------------------------------------------- eigenvalues, residuals


@torch.no_grad()
def edmd(section: Section) -> Eigen:
    """The eigenvalues of the compression and the residual of each; see `lemmata.sims.koopman.edmd`.

    Parameters
    ----------
    section : Section

    Returns
    -------
    Eigen
    """
    # a generic basis, for the reason given there
    generic = torch.randn(section.A.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    Q = torch.linalg.qr(generic.to(section.A))[0]
    values, vectors = torch.linalg.eig(Q.mH @ section.A @ Q)
    vectors = Q.to(vectors) @ vectors
    return Eigen(values, vectors, residuals(section, values, vectors))


@torch.no_grad()
def mpedmd(section: Section) -> Eigen:
    """The unitary matrix nearest to the compression in place of it; see `lemmata.sims.koopman.mpedmd`.

    There is no Schur form on a device. The Cayley transform ``i (1 - e^{-ia} U)(1 + e^{-ia} U)^{-1}`` with
    ``-e^{ia}`` in the widest gap of the eigenvalues is Hermitian, has the eigenvalues ``tan((theta - a)/2)``, at most
    some N large, and gives orthonormal vectors.

    Parameters
    ----------
    section : Section

    Returns
    -------
    Eigen

    Warns
    -----
    PolarNonUniqueWarning
    """
    left, s, right = torch.linalg.svd(section.A.to(torch.complex128))
    U = left @ right
    unclear = bool(s[-1] < 1e-8)
    if unclear:
        warnings.warn(
            f"{int((s < 1e-8).sum())} singular values of the compression are below 1e-8: its polar factor is unique "
            "only up to a rotation of their directions",
            PolarNonUniqueWarning,
            stacklevel=2,
        )
    theta = torch.linalg.eigvals(U).angle().sort().values
    gap = torch.cat([theta[1:], theta[:1] + 2 * math.pi]) - theta
    widest = gap.argmax()
    turned = -U * torch.exp(-1j * (theta[widest] + gap[widest] / 2))  # the gap now lies at -1
    one = torch.eye(section.rank, dtype=U.dtype, device=U.device)
    cayley = 1j * torch.linalg.solve(one + turned, one - turned)
    vectors = torch.linalg.eigh((cayley + cayley.mH) / 2).eigenvectors
    values = (vectors.conj() * (U @ vectors)).sum(dim=0)
    values = values / values.abs()
    return Eigen(values, vectors, residuals(section, values, vectors), unclear)


@torch.no_grad()
def residuals(section: Section, z: Tensor, vectors: Tensor, *, tolerance: float | None = None) -> Tensor:
    """``||(K - z_k) g_k|| / ||g_k||``; see `lemmata.sims.koopman.residuals`.

    Parameters
    ----------
    section : Section
    z : tensor (k,)
    vectors : tensor (r, k)
    tolerance : float, optional

    Returns
    -------
    float64 tensor (k,)

    Raises
    ------
    ShapeError, NonFiniteError
    DomainError
        A vector is 0.
    PrecisionError
        The tolerance is below what the section resolves.
    """
    if tolerance is not None and not tolerance >= section.floor:
        raise PrecisionError(section.floor, tolerance)
    if z.ndim != 1 or vectors.shape != (section.rank, len(z)):
        raise ShapeError(
            f"{tuple(z.shape)} values need vectors of shape ({section.rank}, {z.numel()}), got {tuple(vectors.shape)}"
        )
    z, v = _finite("z", z), _finite("vectors", vectors.to(torch.complex128))
    if zero := int((~(v != 0).any(dim=0)).sum()):
        raise DomainError(f"{zero} of the vectors are 0 and have no residual")
    inside = torch.linalg.vector_norm(section.A.to(v.dtype) @ v - z * v, dim=0)
    outside = torch.linalg.vector_norm(section.S.to(v.dtype) @ v, dim=0)
    return torch.hypot(inside, outside) / torch.linalg.vector_norm(v, dim=0)


# --------------------------------------------------------------------------------------- pseudospectra


@torch.no_grad()
def pseudospectrum(section: Section, z: Tensor, *, method: Literal["auto", "angles", "general"] = "auto") -> Tensor:
    """``tau(z)``, the least residual of any function of the span; see `lemmata.sims.koopman.pseudospectrum`.

    Parameters
    ----------
    section : Section
    z : complex128 tensor (...)
    method : {"auto", "angles", "general"}

    Returns
    -------
    float64 tensor (...)

    Raises
    ------
    CertificateError, NonFiniteError, DomainError

    Notes
    -----
    Memory: some six batches of `BATCH` complex numbers, and 41 r for each z of a batch. The host waits once a batch, to
    learn which z must be done by singular values.
    """
    if method not in ("auto", "angles", "general"):
        raise DomainError(f"method must be 'auto', 'angles' or 'general', got {method!r}")
    shape, z = z.shape, _finite("z", z.to(section.A.device, torch.complex128)).flatten()
    if not len(z):
        return z.real.reshape(shape)
    off = _off_isometry(section)
    isometric = off <= 1e3 * EPS * section.rank
    if method == "angles" and not isometric:
        raise CertificateError(f"one eigenproblem an angle needs an isometry; the images differ from one by {off:.2g}")
    A, S = section.A.to(torch.complex128), section.S.to(torch.complex128)
    angle, where = torch.unique(torch.round(z.angle(), decimals=12), return_inverse=True)
    if method == "angles" or (method == "auto" and isometric and 2 * len(angle) <= len(z)):
        count = torch.bincount(where, minlength=len(angle))
        angle = torch.zeros_like(angle).index_add_(0, where, z.angle()) / count
        top = torch.cat([_turned(A, part) for part in angle.split(max(1, BATCH // section.rank**2))])
        radius = z.abs()
        tau = (1 + radius**2 - 2 * radius * top[where]).clamp(min=0).sqrt()
        low = tau < SQUARES * (1 + radius)
        tau[low] = _singular(A, S, z[low])
    elif section.rank <= 40:
        tau = _singular(A, S, z)
    else:
        growth = section.growth.to(torch.complex128)
        tau = torch.cat([_from_gram(A, S, growth, part) for part in z.split(max(1, BATCH // section.rank**2))])
    return tau.reshape(shape)


def _turned(A: Tensor, angle: Tensor) -> Tensor:
    turned = torch.exp(-1j * angle)[:, None, None] * A
    return torch.linalg.eigvalsh((turned + turned.mH) / 2)[:, -1]


def _singular(A: Tensor, S: Tensor, z: Tensor) -> Tensor:
    """The least singular value of ``[A - z; S]``."""
    one = torch.eye(len(A), dtype=A.dtype, device=A.device)
    found = [A.new_empty(0, dtype=torch.float64)]
    for part in z.split(max(1, BATCH // len(A) ** 2)):
        stacked = torch.cat([A - part[:, None, None] * one, S.expand(len(part), *S.shape)], dim=1)
        found.append(torch.linalg.svdvals(stacked)[:, -1])
    return torch.cat(found)


def _from_gram(A: Tensor, S: Tensor, growth: Tensor, z: Tensor, steps: int = 40) -> Tensor:
    """Lanczos on the inverses of ``A*A + S*S - z A* - conj(z) A + |z|^2``, all z in step."""
    w = z[:, None, None]
    H = growth - w * A.mH - w.conj() * A
    H.diagonal(dim1=1, dim2=2).add_(z[:, None].abs() ** 2)
    factor, info = torch.linalg.cholesky_ex(H)
    r = len(A)
    start = torch.sin(1.7 * torch.arange(1, r + 1, dtype=torch.float64, device=z.device) ** 2)  # any vector
    q = (start / torch.linalg.vector_norm(start)).to(A.dtype).expand(len(z), r)
    Q = A.new_zeros(len(z), steps, r)
    T = A.new_zeros(len(z), steps, steps, dtype=torch.float64)
    beta = T[:, 0, 0]
    for k in range(steps):
        Q[:, k] = q
        v = torch.cholesky_solve(q[:, :, None], factor)[:, :, 0]
        T[:, k, k] = (q.conj() * v).sum(dim=1).real
        for _ in range(2):
            v = v - (Q.mT @ (Q.conj() @ v[:, :, None]))[:, :, 0]
        beta = torch.linalg.vector_norm(v, dim=1)
        if k + 1 < steps:
            T[:, k, k + 1] = T[:, k + 1, k] = beta
        # where an invariant space is full, zeros go on
        q = torch.where(beta > EPS * T[:, 0, 0], 1 / beta, 0.0)[:, None] * v
    bad = info > 0
    values, vectors = torch.linalg.eigh(torch.where(bad[:, None, None] | ~torch.isfinite(T), 0.0, T))
    ritz, error = values[:, -1], beta * vectors[:, -1, -1].abs()
    tau = 1 / ritz.clamp(min=1e-300).sqrt()
    # what bounds the error of a value even where singular values cluster
    again = bad | ~(error <= 2e-7 * ritz) | (tau < SQUARES * (1 + z.abs()))
    tau[again] = _singular(A, S, z[again])
    return tau


@torch.no_grad()
def certified_set(
    section: Section,
    z: Tensor,
    *,
    operator: Literal["normal", "isometry", "unitary"] | None = None,
    ball: float = 5.0,
) -> tuple[Tensor, float]:
    """Points near the approximate point spectrum, and how near; see `lemmata.sims.koopman.certified_set`.

    Parameters
    ----------
    section : Section
    z : complex128 tensor (n,)
    operator : {"normal", "isometry", "unitary"}
    ball : float

    Returns
    -------
    points : complex128 tensor (k,)
        In the order of the grid.
    bound : float

    Raises
    ------
    CertificateError, NonFiniteError, DomainError

    Notes
    -----
    Memory: distances of `BATCH` pairs of points at a time.
    """
    if operator not in ("normal", "isometry", "unitary"):
        raise CertificateError(
            f"a distance to the spectrum needs operator = 'normal', 'isometry' or 'unitary', got {operator!r}; "
            "pseudospectrum says what is true of every operator"
        )
    z = z.to(section.A.device, torch.complex128).flatten()
    if not len(z) or not 0 < ball < math.inf:
        raise DomainError(f"a grid of {len(z)} points and ball = {ball:g}: neither may be empty or without size")
    distance = pseudospectrum(section, z)
    if operator != "normal":
        distance = torch.maximum(distance, (1 - z.abs()).abs())
    kept = torch.zeros_like(distance, dtype=torch.bool)
    seen = distance < 1
    for at, near in zip(*(v[seen].split(max(1, BATCH // max(1, len(z)))) for v in (z, distance)), strict=True):
        within = (z - at[:, None]).abs() <= ball * near[:, None]
        within |= z == at[:, None]
        least = torch.where(within, distance, math.inf).amin(dim=1)
        kept |= (within & (distance <= least[:, None])).any(dim=0)
    return z[kept], float(distance[kept].max()) if bool(kept.any()) else math.inf


# ------------------------------------------------------------------------------------------------ DMD


@torch.no_grad()
def dmd(x: Tensor, y: Tensor, rank: int) -> Modes:
    """Exact dynamic mode decomposition of snapshots in columns; see `lemmata.sims.koopman.dmd`.

    Parameters
    ----------
    x, y : tensor (d, M)
    rank : int

    Returns
    -------
    Modes

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    x, y, unit = _pair("x", x, "y", y)
    x, y = _alike(x, y)
    if check_integer("rank", rank, 1) > min(x.shape):
        raise DomainError(f"rank must lie in 1..{min(x.shape)}, got {rank}")
    # squares must neither overflow nor vanish
    if (size := float(x.abs().max())) > 0 and not 1e-100 < size < 1e100:
        x, y = x / size, y / size
    U, s, Vh = torch.linalg.svd(x, full_matrices=False)
    have = int((s > max(x.shape) * unit * s[0]).sum())
    if have < rank:
        raise DomainError(f"x has rank {have}, less than the {rank} asked for")
    U, s, Vh = U[:, :rank], s[:rank], Vh[:rank]
    image = (y @ Vh.mH) / s
    compressed = U.mH @ image
    values, vectors = torch.linalg.eig(compressed)
    modes = image.to(vectors.dtype) @ vectors
    norm = torch.linalg.vector_norm(modes, dim=0)
    modes = torch.where(norm > 0, modes / torch.where(norm > 0, norm, 1.0), U.to(vectors.dtype) @ vectors)
    data = torch.cat([s[:, None] * Vh, U.mH @ y], dim=1).to(vectors.dtype)
    if float(torch.linalg.cond(vectors)) < 1e5:
        along = torch.linalg.solve(vectors, data)
    else:
        # near a Jordan block the inverse is rounding: there is no LAPACK's left vector, but each is a null vector
        one = torch.eye(rank, dtype=vectors.dtype, device=vectors.device)
        left = [torch.linalg.svd(compressed - value * one)[0][:, -1].conj() for value in values]
        along = torch.stack(left) @ data
    now, then = along[:, : x.shape[1]], along[:, x.shape[1] :]
    off = torch.linalg.vector_norm(then - values[:, None] * now, dim=1) / torch.linalg.vector_norm(now, dim=1)
    return Modes(values, modes, off)
