"""Spectral measures, wave packets and stochastic residuals on a device; see `lemmata.sims.koopman.spectral`.

Everything is complex128; angles lie in (-pi, pi].
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from lemmata.errors import AssumptionError, DomainError, ShapeError
from lemmata.kernels.koopman.section import BATCH, _finite, _pair, _real, _root, _triangle
from lemmata.problems.koopman import ResolutionWarning, check_snapshots, check_width
from lemmata.random import check_integer

__all__ = [
    "FILTERS",
    "TwoImages",
    "atom_density",
    "coordinates",
    "filtered_density",
    "moment_density",
    "rational_kernel",
    "resolvent_density",
    "spectral_measure",
    "two_images",
    "wave_packet",
]

#: As in `lemmata.sims.koopman.spectral`.
MAX_ORDER = 10


@torch.no_grad()
def coordinates(section: Any, c: Tensor) -> Tensor:
    """The observable ``psi @ c`` in the orthonormal basis of a section: complex128 (r,) from (N,).

    Raises
    ------
    ShapeError, NonFiniteError
    """
    if c.shape != section.basis.shape[:1]:
        raise ShapeError(
            f"the observable has the shape {tuple(c.shape)}, the dictionary {len(section.basis)} functions"
        )
    basis = section.basis.to(torch.complex128)
    # full column rank: its columns are orthogonal
    return (basis.mH @ _finite("c", c.to(basis))) / torch.linalg.vector_norm(basis, dim=0) ** 2


@torch.no_grad()
def spectral_measure(eigen: Any, g: Tensor) -> tuple[Tensor, Tensor]:
    """Atoms of the spectral measure of g under the unitary matrix of mpEDMD.

    Parameters
    ----------
    eigen : Eigen
        Of `mpedmd`.
    g : tensor (r,)

    Returns
    -------
    angles : float64 tensor (r,)
        Increasing.
    weights : float64 tensor (r,)

    Raises
    ------
    ShapeError, NonFiniteError
    DomainError
        Eigenvalues off the circle, or vectors that are not orthonormal.
    """
    along = _along(eigen, g)
    angles, order = eigen.values.angle().sort(stable=True)
    return angles, along[order].abs() ** 2


def _along(eigen: Any, g: Tensor) -> Tensor:
    """The coordinates of g along the eigenvectors of a unitary matrix."""
    size = eigen.values.numel()
    if not size or eigen.vectors.shape != (size, size) or g.shape != (size,):
        raise ShapeError(
            f"{size} values need square vectors and g of that size, got {tuple(eigen.vectors.shape)}, {tuple(g.shape)}"
        )
    off = float((_finite("values", eigen.values).abs() - 1).abs().max())
    if off > 1e-8:
        raise DomainError(f"a measure on the circle needs |lambda| = 1; one is off by {off:.3g}: use mpedmd")
    g = _finite("g", g.to(eigen.vectors))
    along = _finite("vectors", eigen.vectors).mH @ g
    norm = float(torch.linalg.vector_norm(g))
    if abs(float(torch.linalg.vector_norm(along)) - norm) > 1e-8 * norm:
        raise DomainError("the eigenvectors are not orthonormal: their matrix changes the norm of g; use mpedmd")
    return along


# --------------------------------------------------------------------------------------- rational kernels


def rational_kernel(order: int, *, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Poles ``2j/(m + 1) - 1 + i`` and residues, complex128 (m,), of the m-th order kernel, m in 1..10.

    Raises
    ------
    DomainError
    """
    if check_integer("order", order, 1) > MAX_ORDER:
        raise DomainError(f"the order m must lie in 1..{MAX_ORDER}, got {order}: beyond, cancellation eats the digits")
    # on the host: m numbers
    poles = 2 * torch.arange(1, order + 1, dtype=torch.float64) / (order + 1) - 1 + 1j
    unit = torch.zeros(order, dtype=torch.complex128)
    unit[0] = 1
    powers = poles ** torch.arange(order)[:, None]
    return poles.to(device), torch.linalg.solve(powers, unit).to(device)


def _points(theta: Tensor, epsilon: float, order: int) -> tuple[Tensor, Tensor]:
    """``z_j = e^{i theta - i epsilon a_j}`` (..., m), and the residues."""
    poles, residues = rational_kernel(order, device=theta.device)
    check_width(epsilon)
    return torch.exp(1j * (_real("theta", theta)[..., None] - epsilon * poles)), residues


def _smooth(caratheodory: Tensor, residues: Tensor) -> Tensor:
    return -(caratheodory @ residues).real / (2 * math.pi)


@torch.no_grad()
def atom_density(theta: Tensor, epsilon: float, angles: Tensor, weights: Tensor, *, order: int = 1) -> Tensor:
    """An atomic measure smoothed by the rational kernel: the form for a unitary matrix.

    Parameters
    ----------
    theta : float64 tensor (...)
    epsilon : float
    angles, weights : float64 tensor (n,)
    order : int

    Returns
    -------
    float64 tensor (...)
        ``48 m n`` bytes of scratch for each theta.

    Raises
    ------
    DomainError, ShapeError, NonFiniteError

    Warns
    -----
    ResolutionWarning
        ``epsilon < 3 (2 pi/n)``.
    """
    if angles.ndim != 1 or angles.shape != weights.shape or not len(angles):
        raise ShapeError(f"as many angles as weights, got {tuple(angles.shape)} and {tuple(weights.shape)}")
    z, residues = _points(theta, epsilon, order)
    spacing = 2 * math.pi / len(angles)
    if epsilon < 3 * spacing:
        warnings.warn(
            f"epsilon = {epsilon:.3g} is below three spacings 2 pi/{len(angles)} = {spacing:.3g} of the eigenvalues: "
            "the atoms show through; raise N or epsilon",
            ResolutionWarning,
            stacklevel=2,
        )
    values, w = torch.exp(1j * _real("angles", angles)), _real("weights", weights)
    if not float(w.min()) >= 0 or not float(w.sum()) > 0:
        raise DomainError(f"weights must be >= 0 with a positive sum; the least is {float(w.min()):g}")
    return _smooth(((values + z[..., None]) / (values - z[..., None])) @ w.to(values.dtype), residues)


@torch.no_grad()
def moment_density(theta: Tensor, epsilon: float, moments: Tensor, *, order: int = 1) -> Tensor:
    """The measure with the given moments smoothed by the rational kernel: float64 (...) at theta (...).

    The n moments take ``32 sqrt(n)`` bytes of scratch for each theta and pole.

    Raises
    ------
    DomainError, ShapeError, NonFiniteError
    """
    m = _moments(moments)
    z, residues = _points(theta, epsilon, order)
    # Horner's rule in blocks: a product of matrices and sqrt(n) steps in place of n steps
    width = max(1, math.isqrt(len(m) - 1))
    blocks = pad(m[1:], (0, -(len(m) - 1) % width)).reshape(-1, width)
    powers = (1 / z)[..., None].expand(*z.shape, width).cumprod(-1)
    total = torch.zeros_like(z)
    for block in (powers @ blocks.T).flip(-1).unbind(-1):
        total = block + powers[..., -1] * total
    return _smooth(-(m[0] + 2 * total), residues)


@torch.no_grad()
def resolvent_density(theta: Tensor, epsilon: float, A: Tensor, g: Tensor, *, order: int = 1) -> Tensor:
    """The spectral measure of g under an isometry, smoothed, from resolvents outside of the circle alone.

    Parameters
    ----------
    theta : float64 tensor (...)
    epsilon : float
    A : tensor (r, r)
    g : tensor (r,)
    order : int

    Returns
    -------
    float64 tensor (...)
        One linear system for each theta and pole, three batches of `BATCH` entries at a time.

    Raises
    ------
    ShapeError, NonFiniteError
    DomainError
        An eigenvalue of A on or outside the circle of radius ``e^epsilon``.
    """
    if g.ndim != 1 or not len(g) or A.shape != (len(g), len(g)):
        raise ShapeError(f"g of size r needs a square A of that size, got {tuple(g.shape)} and {tuple(A.shape)}")
    A, g = _finite("A", A.to(torch.complex128)), _finite("g", g.to(torch.complex128))
    z, residues = _points(theta, epsilon, order)
    if (radius := float(torch.linalg.eigvals(A).abs().max())) >= math.exp(epsilon):
        raise DomainError(
            f"A has an eigenvalue of modulus {radius:.6g}, and resolvents are read at e^epsilon = "
            f"{math.exp(epsilon):.6g}: raise epsilon, or A compresses no isometry"
        )
    one = torch.eye(len(A), dtype=A.dtype, device=A.device)
    parts = z.flatten().split(max(1, BATCH // len(A) ** 2))
    found = torch.cat(
        [z.new_empty(0, len(A))]
        + [torch.linalg.solve(A - part[:, None, None] * one, g.expand(len(part), -1)) for part in parts]
    )
    caratheodory = torch.linalg.vector_norm(g) ** 2 + 2 * z * (found @ g.conj()).reshape(z.shape)
    return _smooth(caratheodory, residues)


@torch.no_grad()
def wave_packet(theta: Tensor, epsilon: float, eigen: Any, g: Tensor, *, order: int = 1) -> Tensor:
    """Generalised eigenfunctions, smoothed (Rigged DMD), for all angles at once.

    Parameters
    ----------
    theta : float64 tensor (...)
    epsilon : float
    eigen : Eigen
        Of `mpedmd`.
    g : tensor (r,)
    order : int

    Returns
    -------
    complex128 tensor (..., r)

    Raises
    ------
    DomainError, ShapeError, NonFiniteError
    """
    along = _along(eigen, g)
    z, residues = _points(theta, epsilon, order)
    values = eigen.values[:, None]
    kernel = _smooth((values + z[..., None, :]) / (values - z[..., None, :]), residues)
    return (kernel * along) @ eigen.vectors.T


# --------------------------------------------------------------------------------------- moments, filters


def _bump(x: Tensor) -> Tensor:
    inside = x.clamp(1e-3, 1 - 1e-12)
    return torch.where(x >= 1, 0.0, torch.exp(-2 / (1 - inside) * torch.exp(-0.109550455106347 / inside**4)))


#: Filters on [0, 1]: 1 at 0, 0 at 1. Order 1, 2, 4, and beyond every order.
FILTERS: dict[str, Callable[[Tensor], Tensor]] = {
    "fejer": lambda x: 1 - x,
    "cosine": lambda x: (1 + torch.cos(math.pi * x)) / 2,
    "vandeven": lambda x: 1 - x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3),
    "bump": _bump,
}


def _moments(moments: Tensor) -> Tensor:
    if moments.ndim != 1 or not len(moments):
        raise ShapeError(f"moments m_0, m_1, ... are a vector, got the shape {tuple(moments.shape)}")
    return _finite("moments", moments.to(torch.complex128))


@torch.no_grad()
def filtered_density(theta: Tensor, moments: Tensor, name: str = "bump") -> Tensor:
    """``(1/2 pi) sum_{|n| < N} phi(|n|/N) m_n e^{-i n theta}``: float64 (...) at theta (...).

    Raises
    ------
    DomainError, ShapeError, NonFiniteError
    """
    if name not in FILTERS:
        raise DomainError(f"no filter is called {name!r}; there are {', '.join(FILTERS)}")
    m, theta = _moments(moments), _real("theta", theta)
    n = torch.arange(len(m), dtype=torch.float64, device=m.device)
    damped = m * FILTERS[name](n / len(m)) * torch.where(n > 0, 2.0, 1.0)
    return (torch.exp(-1j * theta[..., None] * n) @ damped).real / (2 * math.pi)


# ------------------------------------------------------------------------------------------- two images


@dataclass(frozen=True, eq=False)
class TwoImages:
    """Eigenpairs of the averaged operator of a stochastic map, as in `lemmata.sims.koopman.TwoImages`.

    Attributes
    ----------
    values : complex128 tensor (r,)
    vectors : complex128 tensor (N, r)
    residuals, variances : float64 tensor (r,)
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    variances: Tensor


@torch.no_grad()
def two_images(psi_x: Tensor, psi_y: Tensor, psi_y2: Tensor | None, weights: Tensor | None = None) -> TwoImages:
    """Eigenpairs and residuals of the averaged operator from two independent images of each point.

    Parameters
    ----------
    psi_x, psi_y, psi_y2 : tensor (M, N)
    weights : tensor (M,), optional

    Returns
    -------
    TwoImages

    Raises
    ------
    AssumptionError
        One image only, or the same image twice.
    ShapeError, NonFiniteError, DomainError, ResidualVacuousError

    Notes
    -----
    Memory: some nine times the 16 M N bytes (8 where real) of one of the three matrices.
    """
    if psi_y2 is None or psi_y2 is psi_y or (psi_y.shape == psi_y2.shape and bool((psi_y == psi_y2).all())):
        raise AssumptionError(
            "the residual of the averaged operator needs two independent images of each point: with one image "
            "<K psi, K psi> cannot be told from the mean of |psi(F(x))|^2; draw psi_y2 with new noise"
        )
    psi_x, psi_y, unit = _pair("psi_x", psi_x, "psi_y", psi_y)
    _, psi_y2, other = _pair("psi_x", psi_x, "psi_y2", psi_y2)
    unit, functions = max(unit, other), psi_x.shape[1]
    root = _root(weights, psi_x)
    check_snapshots(int(torch.count_nonzero(root)), functions)
    # one triangle holds all products of the three
    triangle = _triangle(torch.cat([root * psi for psi in (psi_x, psi_y, psi_y2)], dim=1))
    R = triangle[:functions, :functions]
    diagonal = R.diagonal().abs()
    least = float(diagonal.min())
    if least <= 10 * functions * unit * float(diagonal.max()):
        raise DomainError(f"the dictionary is linearly dependent on these points: {least:.3g} on R's diagonal")
    images = triangle[:, functions:].split(functions, dim=1)
    C1, C2 = (torch.linalg.solve_triangular(R, part, upper=True, left=False) for part in images)
    values, v = torch.linalg.eig((C1[:functions] + C2[:functions]) / 2)
    own = torch.eye(len(C1), functions, dtype=v.dtype, device=v.device) @ v
    first, second = (C.to(v.dtype) @ v for C in (C1, C2))
    e1, e2 = first - own * values, second - own * values
    product = (e1.conj() * e2).sum(dim=0).real
    variance = (e1.abs() ** 2 + e2.abs() ** 2).sum(dim=0) / 2
    vectors = torch.linalg.solve_triangular(R.to(v.dtype), v, upper=True)
    return TwoImages(values, vectors, product.clamp(min=0).sqrt(), variance.sqrt())
