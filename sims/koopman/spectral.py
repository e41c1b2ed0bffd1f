"""Spectral measures, generalised eigenfunctions and stochastic residuals.

``m_n = <K^n g, g> = int e^{i n theta} d mu_g(theta)`` and ``m_{-n} = conj(m_n)``, so the density is ``rho(theta) =
(1/2 pi) sum_n m_n e^{-i n theta}``. Angles lie in (-pi, pi]; an atomic measure is a pair (angles, weights).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg as la

from lemmata.errors import AssumptionError, DomainError, ShapeError
from lemmata.problems.koopman import (
    ResolutionWarning,
    check_finite,
    check_pair,
    check_real,
    check_snapshots,
    check_weights,
    check_width,
)
from lemmata.random import check_integer
from lemmata.sims.koopman.section import rounding_unit, wide

__all__ = [
    "FILTERS",
    "TwoImages",
    "atom_density",
    "autocorrelation",
    "circle_distance",
    "coordinates",
    "delay_gram",
    "filtered_density",
    "moment_density",
    "project",
    "rational_kernel",
    "resolvent_density",
    "spectral_measure",
    "two_images",
    "wave_packet",
]

#: Order above which the residues of equispaced poles cost more digits than the order gains.
MAX_ORDER = 10

# ------------------------------------------------------------------------------------ atomic measures


def coordinates(section: Any, c: np.ndarray) -> np.ndarray:
    """The observable ``psi @ c`` in the orthonormal basis of a `Section`, projected where truncation cut it off.

    Parameters
    ----------
    section : Section
        ``basis`` complex128[N, r].
    c : complex128[N]

    Returns
    -------
    complex128[r]
    """
    c = np.asarray(c)
    if c.shape != section.basis.shape[:1]:
        raise ShapeError(
            f"the observable has the shape {c.shape}; the dictionary has {section.basis.shape[0]} functions"
        )
    return np.linalg.lstsq(section.basis, check_finite("c", c), rcond=None)[0]


def project(
    section: Any, psi_x: np.ndarray, g: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """An observable known by its values, in the orthonormal basis of a `Section`, and what the dictionary misses of it.

    Parameters
    ----------
    section : Section
    psi_x : complex128[M, N]
        The dictionary at the snapshots that the section was made of.
    g : complex128[M]
        The observable there.
    weights : float64[M], optional

    Returns
    -------
    coordinates : complex128[r]
    missing : float
        ``||g - P_N g||``: what is said of the projection is said of g up to this.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    psi_x, g = np.asarray(psi_x), np.asarray(g)
    if psi_x.ndim != 2 or psi_x.shape[1] != len(section.basis) or g.shape != psi_x.shape[:1] or not g.size:
        raise ShapeError(
            f"psi_x {psi_x.shape}, g {g.shape} must hold {len(section.basis)} functions and g at the same snapshots"
        )
    root = np.sqrt(check_weights(weights, len(psi_x)))
    b = root[:, None] * (check_finite("psi_x", psi_x) @ section.basis)
    v = b.conj().T @ (root * check_finite("g", g))
    return v, float(np.linalg.norm(root * g - b @ v))


def spectral_measure(eigen: Any, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The spectral measure of g under the unitary matrix of mpEDMD: atoms at its eigenvalues.

    Parameters
    ----------
    eigen : Eigen
        ``values`` complex128[r] on the unit circle, ``vectors`` complex128[r, r] with orthonormal columns.
    g : complex128[r]
        Coordinates in the same basis (`coordinates`).

    Returns
    -------
    angles : float64[r]
        Increasing, in (-pi, pi].
    weights : float64[r]
        ``|v_j* g|^2``; they sum to ``||g||^2``.

    Raises
    ------
    ShapeError, NonFiniteError
    DomainError
        Eigenvalues off the circle, or vectors that are not orthonormal: those of EDMD carry no measure.
    """
    values, _, along = _unitary(eigen, g)
    order = np.argsort(np.angle(values), kind="stable")
    return np.angle(values)[order], np.abs(along[order]) ** 2


def _unitary(eigen: Any, g: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues and vectors of a unitary matrix, and the coordinates of g along these."""
    values, vectors, g = np.asarray(eigen.values), np.asarray(eigen.vectors), wide(check_finite("g", np.asarray(g)))
    if not values.size or vectors.shape != (values.size, values.size) or g.shape != values.shape:
        raise ShapeError(f"{values.size} values need square vectors and g of that size, got {vectors.shape}, {g.shape}")
    off = float(np.abs(np.abs(check_finite("values", values)) - 1).max())
    if off > 1e-8:
        raise DomainError(f"a measure on the circle needs |lambda| = 1; one is off by {off:.3g}: use mpedmd")
    along = check_finite("vectors", vectors).conj().T @ g
    # that of all vectors would cost their cube
    size = float(np.linalg.norm(g))
    if abs(float(np.linalg.norm(along)) - size) > 1e-8 * size:
        raise DomainError("the eigenvectors are not orthonormal: their matrix changes the norm of g; use mpedmd")
    return values, vectors, along


def circle_distance(
    angles: np.ndarray,
    weights: np.ndarray,
    other: tuple[np.ndarray, np.ndarray] | Callable[[np.ndarray], np.ndarray],
    *,
    cells: int = 4096,
) -> float:
    """Wasserstein's W_1 on the circle of length 2 pi: ``min_c int |F_1 - F_2 - c|``, c a median of the difference.

    The distribution functions on (-pi, pi] alone, that is c = 0, would measure a cut circle and give too much.

    Parameters
    ----------
    angles, weights : float64[n]
        The first measure.
    other : (angles, weights) or callable
        The second, or its distribution function ``F(theta) = mu(-pi, theta]``.
    cells : int
        A distribution function is taken to be linear between the atoms and the ends of so many cells: an error of
        order ``cells^-2`` where it is smooth. Two atomic measures are compared exactly.

    Returns
    -------
    float

    Raises
    ------
    ShapeError, NonFiniteError
    DomainError
        A negative weight, or two different masses.
    """
    first = _atoms(angles, weights)
    check_integer("cells", cells, 1)
    if callable(other):
        cuts = np.union1d(first[0], np.linspace(-np.pi, np.pi, cells + 1))
        known = check_finite("the distribution function", check_real("the distribution function", other(cuts)))
        if known.shape != cuts.shape:
            raise ShapeError(f"a distribution function at {cuts.shape} angles has the shape {known.shape}")
        left, right, mass = known[:-1], known[1:], float(known[-1])
    else:
        second = _atoms(*other)
        cuts = np.unique(np.concatenate((first[0], second[0], [-np.pi, np.pi])))
        left = right = _distribution(*second, cuts[:-1])
        mass = float(second[1].sum())
    total = float(first[1].sum())
    if abs(total - mass) > 1e-8 * max(total, mass):
        raise DomainError(f"the masses {total:.12g} and {mass:.12g} differ: normalise both measures")
    width, steps = np.diff(cuts), _distribution(*first, cuts[:-1])
    a, b = steps - left, steps - right
    order = np.argsort(a + b)
    # the weighted median
    half = int(np.searchsorted(np.cumsum(width[order]), np.pi))
    centre = (a + b)[order][min(half, a.size - 1)] / 2
    a, b = a - centre, b - centre
    size = np.abs(a) + np.abs(b)
    # the mean of |linear function| over a cell, through a change of sign too
    mean = np.where(a * b >= 0, size / 2, (a**2 + b**2) / (2 * np.where(size > 0, size, 1)))
    return float(mean @ width)


def _atoms(angles: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    angles, weights = check_real("angles", angles), check_real("weights", weights)
    if angles.ndim != 1 or angles.shape != weights.shape or not angles.size:
        raise ShapeError(f"an atomic measure has as many angles as weights, got {angles.shape} and {weights.shape}")
    check_finite("angles", angles)
    check_finite("weights", weights)
    if weights.min() < 0 or weights.sum() <= 0:
        raise DomainError(f"weights must be >= 0 with a positive sum; the least is {weights.min():g}")
    angles = np.pi - (np.pi - angles) % (2 * np.pi)
    order = np.argsort(angles, kind="stable")
    return angles[order], weights[order]


def _distribution(angles: np.ndarray, weights: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.concatenate(([0.0], np.cumsum(weights)))[np.searchsorted(angles, at, side="right")]


# --------------------------------------------------------------------------------------- rational kernels


def rational_kernel(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Poles and residues of the m-th order kernel: equispaced poles ``a_j = 2j/(m + 1) - 1 + i``.

    The residues solve ``sum_j alpha_j a_j^k = delta_k0``, ``k < m``: the moments of the kernel vanish from 1 to m - 1.

    Parameters
    ----------
    order : int
        m in 1..10. The residues grow (79 in modulus at m = 6), and rounding with their sum.

    Returns
    -------
    poles, residues : complex128[m]

    Raises
    ------
    DomainError
    """
    if check_integer("order", order, 1) > MAX_ORDER:
        raise DomainError(f"the order m must lie in 1..{MAX_ORDER}, got {order}: beyond, cancellation eats the digits")
    poles = 2 * np.arange(1, order + 1) / (order + 1) - 1 + 1j
    unit = np.zeros(order)
    unit[0] = 1
    return poles, np.linalg.solve(np.vander(poles, increasing=True).T, unit)


def _points(theta: np.ndarray, epsilon: float, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the Carathéodory function is read, ``z_j = e^{i theta - i epsilon a_j}`` [..., m], and the residues."""
    poles, residues = rational_kernel(order)
    check_width(epsilon)
    return np.exp(1j * (check_finite("theta", check_real("theta", theta))[..., None] - epsilon * poles)), residues


def _smooth(caratheodory: np.ndarray, residues: np.ndarray) -> np.ndarray:
    return -(caratheodory @ residues).real / (2 * np.pi)


def atom_density(
    theta: np.ndarray, epsilon: float, angles: np.ndarray, weights: np.ndarray, *, order: int = 1
) -> np.ndarray:
    """An atomic measure smoothed by the rational kernel: the form for a unitary matrix.

    ``rho_eps(theta) = -(1/2 pi) sum_j Re(alpha_j C(z_j))`` with ``C(z) = sum_l w_l (lambda_l + z)/(lambda_l - z)``,
    ``|z_j| > 1``. Of first order it is positive; of order m its error is ``O(eps^m)`` for smooth densities, once the
    atoms lie closer than eps.

    Parameters
    ----------
    theta : float64[...]
    epsilon : float
    angles, weights : float64[n]
    order : int

    Returns
    -------
    float64[...]
        ``32 m n`` bytes of scratch for each theta.

    Warns
    -----
    ResolutionWarning
        ``epsilon < 3 (2 pi/n)``: what is seen are the atoms.

    Raises
    ------
    DomainError, ShapeError, NonFiniteError
    """
    angles, weights = _atoms(angles, weights)
    z, residues = _points(theta, epsilon, order)
    spacing = 2 * np.pi / angles.size
    if epsilon < 3 * spacing:
        warnings.warn(
            f"epsilon = {epsilon:.3g} is below three spacings 2 pi/{angles.size} = {spacing:.3g} of the eigenvalues: "
            "the atoms show through; raise N or epsilon",
            ResolutionWarning,
            stacklevel=2,
        )
    values = np.exp(1j * angles)
    return _smooth(((values + z[..., None]) / (values - z[..., None])) @ weights, residues)


def moment_density(theta: np.ndarray, epsilon: float, moments: np.ndarray, *, order: int = 1) -> np.ndarray:
    """The measure with the given moments smoothed by the rational kernel.

    ``C(z) = -(m_0 + 2 sum_{n >= 1} m_n z^{-n})`` for ``|z| > 1``: moments that are left out count ``e^{-n eps}``.

    Parameters
    ----------
    theta : float64[...]
    epsilon : float
    moments : complex128[n]
        m_0, m_1, ...
    order : int

    Returns
    -------
    float64[...]

    Raises
    ------
    DomainError, ShapeError, NonFiniteError
    """
    m = _moments(moments)
    z, residues = _points(theta, epsilon, order)
    # Horner's rule in 1/z
    total = np.zeros_like(z)
    for value in m[:0:-1]:
        total = (total + value) / z
    return _smooth(-(m[0] + 2 * total), residues)


def resolvent_density(
    theta: np.ndarray, epsilon: float, A: np.ndarray, g: np.ndarray, *, order: int = 1, chunk: int = 64
) -> np.ndarray:
    """The spectral measure of g under an isometry, smoothed: from resolvents outside of the circle alone.

    ``C(z) = ||g||^2 + 2z <(K - z)^{-1} g, g>`` needs no inverse of K, so it serves where F is not invertible, and no
    polar factor.

    Parameters
    ----------
    theta : float64[...]
    epsilon : float
    A : complex128[r, r]
        The compression of K in an orthonormal basis.
    g : complex128[r]
    order : int
    chunk : int
        Triangular systems solved together: ``16 r chunk`` bytes, beside five matrices [r, r].

    Returns
    -------
    float64[...]

    Raises
    ------
    ShapeError, NonFiniteError
    DomainError
        An eigenvalue of A on or outside the circle of radius ``e^epsilon``, where the resolvents are: no isometry has
        such a compression.
    """
    check_integer("chunk", chunk, 1)
    A, g = np.asarray(A, dtype=np.complex128), np.asarray(g, dtype=np.complex128)
    if g.ndim != 1 or not g.size or A.shape != (g.size, g.size):
        raise ShapeError(f"g of size r needs a square A of that size, got {g.shape} and {A.shape}")
    check_finite("A", A)
    check_finite("g", g)
    z, residues = _points(theta, epsilon, order)
    T, Z = la.schur(A, output="complex")
    if (radius := float(np.abs(np.diagonal(T)).max())) >= math.exp(epsilon):
        raise DomainError(
            f"A has an eigenvalue of modulus {radius:.6g}, and resolvents are read at e^epsilon = "
            f"{math.exp(epsilon):.6g}: raise epsilon, or A compresses no isometry"
        )
    h = Z.conj().T @ g
    flat = z.ravel()
    found = np.empty(flat.size, dtype=np.complex128)
    for start in range(0, flat.size, chunk):
        part = flat[start : start + chunk]
        # back substitution for all shifts at once
        x = np.empty((g.size, part.size), dtype=np.complex128)
        for i in range(g.size - 1, -1, -1):
            x[i] = (h[i] - T[i, i + 1 :] @ x[i + 1 :]) / (T[i, i] - part)
        found[start : start + chunk] = h.conj() @ x
    caratheodory = (h.conj() @ h).real + 2 * z * found.reshape(z.shape)
    return _smooth(caratheodory, residues)


def wave_packet(theta: np.ndarray, epsilon: float, eigen: Any, g: np.ndarray, *, order: int = 1) -> np.ndarray:
    """A generalised eigenfunction, smoothed (Rigged DMD): ``g_theta = sum_l K_eps(theta - theta_l) (v_l* g) v_l``.

    ``g_theta = -(1/4 pi) sum_j [alpha_j (K + z_j)(K - z_j)^{-1} - conj(alpha_j) (K + z'_j)(K - z'_j)^{-1}] g`` with
    ``z'_j = 1/conj(z_j)``, K the unitary matrix of mpEDMD; the two terms are conjugate, which leaves the real kernel.
    ``<g_theta, g>`` is the smoothed density.

    Parameters
    ----------
    theta : float64[...]
    epsilon : float
    eigen : Eigen
        Of `mpedmd`.
    g : complex128[r]
    order : int

    Returns
    -------
    complex128[..., r]
        Coordinates in the section's orthonormal basis; ``32 m r`` bytes of scratch for each theta.

    Raises
    ------
    ShapeError, NonFiniteError
    DomainError
        As of `spectral_measure`.
    """
    values, vectors, along = _unitary(eigen, g)
    z, residues = _points(theta, epsilon, order)
    kernel = _smooth((values[:, None] + z[..., None, :]) / (values[:, None] - z[..., None, :]), residues)
    return (kernel * along) @ vectors.T


# --------------------------------------------------------------------------------------- moments, filters

#: Filters on [0, 1]: 1 at 0, 0 at 1. Order 1, 2, 4, and beyond every order.
FILTERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "fejer": lambda x: 1 - x,
    "cosine": lambda x: (1 + np.cos(np.pi * x)) / 2,
    "vandeven": lambda x: 1 - x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3),
    "bump": lambda x: _bump(x),
}


def _bump(x: np.ndarray) -> np.ndarray:
    inside = np.clip(np.asarray(x, dtype=np.float64), 1e-3, 1 - 1e-12)
    return np.where(x >= 1, 0.0, np.exp(-2 / (1 - inside) * np.exp(-0.109550455106347 / inside**4)))


def _moments(moments: np.ndarray) -> np.ndarray:
    m = np.asarray(moments)
    if m.ndim != 1 or not m.size:
        raise ShapeError(f"moments m_0, m_1, ... are a vector, got the shape {m.shape}")
    return check_finite("moments", m)


def filtered_density(theta: np.ndarray, moments: np.ndarray, name: str = "bump") -> np.ndarray:
    """``(1/2 pi) sum_{|n| < N} phi(|n|/N) m_n e^{-i n theta}``.

    Parameters
    ----------
    theta : float64[...]
    moments : complex128[N]
        m_0, m_1, ..., of one observable.
    name : {"fejer", "cosine", "vandeven", "bump"}
        Errors against a smooth test function fall like N^-1, N^-2, N^-4 and faster than any power.

    Returns
    -------
    float64[...]
        ``32 N`` bytes of scratch for each theta.

    Raises
    ------
    DomainError, ShapeError, NonFiniteError
    """
    if name not in FILTERS:
        raise DomainError(f"no filter is called {name!r}; there are {', '.join(FILTERS)}")
    m, theta = _moments(moments), check_finite("theta", check_real("theta", theta))
    n = np.arange(m.size)
    damped = m * FILTERS[name](n / m.size)
    damped[1:] *= 2
    return (np.exp(-1j * theta[..., None] * n) @ damped).real / (2 * np.pi)


def autocorrelation(signal: np.ndarray, count: int) -> np.ndarray:
    """``m_n ~ (1/(T - n)) sum_t g(x_{t+n}) conj(g(x_t))`` from one orbit, by the fast Fourier transform.

    Parameters
    ----------
    signal : complex128[T]
        g along the orbit.
    count : int
        Moments m_0, ..., m_{count - 1}; at most T.

    Returns
    -------
    complex128[count]

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    signal = np.asarray(signal)
    if signal.ndim != 1:
        raise ShapeError(f"a signal has one axis, got {signal.shape}")
    if check_integer("count", count, 1) > signal.size:
        raise DomainError(f"a signal of {signal.size} values has 1..{signal.size} moments, not {count}")
    spectrum = np.fft.fft(check_finite("signal", signal), 2 * signal.size)
    return np.fft.ifft(np.abs(spectrum) ** 2)[:count] / (signal.size - np.arange(count))


def delay_gram(moments: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """G, A and L of the dictionary ``g, Kg, ..., K^{N-1} g`` of an isometry: Toeplitz matrices of the moments.

    ``G_jk = <K^k g, K^j g> = m_{k-j}``, ``A_jk = m_{k+1-j}``, ``L = G``.

    Parameters
    ----------
    moments : complex128[>= size + 1]
        m_0, ..., m_N.
    size : int
        N.

    Returns
    -------
    G, A, L : complex128[N, N]

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    m = _moments(moments)
    if check_integer("size", size, 1) >= m.size:
        raise DomainError(f"N delays need the moments m_0..m_N; got {m.size} moments for N = {size}")
    G = la.toeplitz(m[:size].conj(), m[:size])
    A = la.toeplitz(np.concatenate((m[1:2], m[: size - 1].conj())), m[1 : size + 1])
    return G, A, G.copy()


# ------------------------------------------------------------------------------------------- two images


@dataclass(frozen=True, eq=False)
class TwoImages:
    """Eigenpairs of the averaged operator of a stochastic map, with what can be said of each.

    Attributes
    ----------
    values : complex128[r]
    vectors : complex128[N, r]
        Dictionary coefficients; ``psi @ v`` has norm 1.
    residuals : float64[r]
        ``||(K - lambda) g||``, K the averaged operator: the error of the pair. 0 where sampling left its square
        negative.
    variances : float64[r]
        ``E ||g(F(x)) - lambda g(x)||^2`` to the power 1/2: the error along single steps. Its square is the residual's
        plus the mean variance of ``g(F(x))``.
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    variances: np.ndarray


def two_images(
    psi_x: np.ndarray, psi_y: np.ndarray, psi_y2: np.ndarray | None, weights: np.ndarray | None = None
) -> TwoImages:
    """Eigenpairs and residuals of the averaged operator from two independent images of each point.

    ``A = Psi_x* W (Psi_y + Psi_y')/2``, ``L = Psi_y* W Psi_y`` (both images, averaged) for the variance residual, ``H =
    Psi_y* W Psi_y'`` for the residual: it has the mean ``<K psi_k, K psi_j>`` because the images are independent. With
    one image L would be taken for H and every residual would be the variance residual.

    Parameters
    ----------
    psi_x, psi_y, psi_y2 : complex128[M, N]
        Dictionary at the points and at their two images.
    weights : float64[M], optional

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
    Memory: six times the 16 M N bytes (8 where real) of one of the three matrices.
    """
    if psi_y2 is None or psi_y2 is psi_y or np.array_equal(psi_y, psi_y2):
        raise AssumptionError(
            "the residual of the averaged operator needs two independent images of each point: with one image "
            "<K psi, K psi> cannot be told from the mean of |psi(F(x))|^2; draw psi_y2 with new noise"
        )
    psi_x, psi_y = check_pair("psi_x", psi_x, "psi_y", psi_y)
    _, psi_y2 = check_pair("psi_x", psi_x, "psi_y2", psi_y2)
    unit, functions = rounding_unit(psi_x, psi_y, psi_y2), psi_x.shape[1]
    root = np.sqrt(check_weights(weights, len(psi_x)))[:, None]
    check_snapshots(int(np.count_nonzero(root)), functions)
    # one triangle holds all products of the three, as in `section`
    rows = wide(np.concatenate([root * psi for psi in (psi_x, psi_y, psi_y2)], axis=1))
    triangle = np.asarray(np.linalg.qr(rows, mode="r"))
    R = triangle[:functions, :functions]
    diagonal = np.abs(np.diagonal(R))
    if diagonal.min() <= 10 * functions * unit * diagonal.max():
        raise DomainError(f"the dictionary is linearly dependent on these points: {diagonal.min():.3g} on R's diagonal")
    C1, C2 = (la.solve_triangular(R, part.T, trans=1).T for part in np.split(triangle[:, functions:], 2, axis=1))
    values, v = np.linalg.eig((C1[:functions] + C2[:functions]) / 2)
    first, second, own = C1 @ v, C2 @ v, np.eye(len(C1), functions) @ v
    # on the data, the residuals of the two images: their product has the mean of the averaged operator's square
    e1, e2 = first - own * values, second - own * values
    product = np.einsum("mk,mk->k", e1.conj(), e2).real
    variance = (np.abs(e1) ** 2 + np.abs(e2) ** 2).sum(axis=0) / 2
    vectors = la.solve_triangular(R, v)
    return TwoImages(values, vectors, np.sqrt(np.maximum(product, 0.0)), np.sqrt(variance))
