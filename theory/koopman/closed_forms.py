"""What is known in closed form about the operators that are learned: pseudospectra, moments, densities, errors.

Nothing here reads data. K is the Koopman operator, ``(Kg)(x) = g(F(x))``; ``tau_N(z)`` the least of ``||(K - z)g|| /
||g||`` over the span of a dictionary of N functions; ``m_n = <K^n g, g> = int e^{i n theta} d mu_g``.

Shifts. For the doubling map ``e^{2 pi i k x} -> e^{2 pi i 2k x}``, for the tent map the cosines of ``pi k x`` and for
the logistic map ``T_k(1 - 2x)`` do the same. On a chain of p functions of a dictionary, the image of the last outside
of it, ``(K - z)*(K - z) = (1 + |z|^2) I - z A* - conj(z) A`` with A a nilpotent shift, whose least eigenvalue is that
of a tridiagonal Toeplitz matrix.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from lemmata.errors import DomainError, NonFiniteError, NotConverged

__all__ = [
    "RESIDUES",
    "WIRSING",
    "chain_length",
    "density",
    "distribution",
    "gauss_error",
    "poisson_moments",
    "rotation_gram",
    "shift_moments",
    "smoothed_density",
    "tau_contraction",
    "tau_rotation",
    "tau_shift",
]

#: The second eigenvalue of the Gauss map's transfer operator (Gauss, Kuzmin, Wirsing).
WIRSING = -0.30366300289873265860

#: Residues of the rational kernels of order 1 to 6 at equispaced poles ``2j/(m + 1) - 1 + i``, as fractions.
RESIDUES: dict[int, tuple[complex, ...]] = {
    1: (1,),
    2: ((1 + 3j) / 2, (1 - 3j) / 2),
    3: (-2 + 1j, 5, -2 - 1j),
    4: ((-39 - 65j) / 24, (17 + 85j) / 8, (17 - 85j) / 8, (-39 + 65j) / 24),
    5: ((15 - 10j) / 4, (-39 + 13j) / 2, 65 / 2, (-39 - 13j) / 2, (15 + 10j) / 4),
    6: (
        (725 + 1015j) / 192,
        (-2775 - 6475j) / 192,
        (1073 + 7511j) / 96,
        (1073 - 7511j) / 96,
        (-2775 + 6475j) / 192,
        (725 - 1015j) / 192,
    ),
}

# ------------------------------------------------------------------------------------------- quadrature


def rotation_gram(difference: np.ndarray, alpha: float, size: Any) -> np.ndarray:
    """What an orbit of the rotation by `alpha` can leave of ``<e_k, e_j>``, ``k - j`` the difference.

    ``|sum_{m < M} e^{2 pi i m d alpha}|/M = |sin(pi M d alpha)|/(M |sin(pi d alpha)|) <= 1/(M |sin(pi d alpha)|)``.

    Parameters
    ----------
    difference : int64 array
        Not 0.
    alpha : float
    size : array_like
        M.

    Returns
    -------
    float64 array

    Raises
    ------
    DomainError
    """
    if not np.all(difference):
        raise DomainError("the difference 0 is the diagonal, where G is 1")
    return 1 / (np.asarray(size) * np.abs(np.sin(np.pi * np.asarray(difference) * alpha)))


def gauss_error(function: Callable[[np.ndarray], np.ndarray], points: int, radii: np.ndarray) -> np.ndarray:
    """A bound on the error of Gauss-Legendre quadrature of the mean over [-1, 1] of analytic functions.

    With ``|f| <= B`` on the ellipse of radius r about [-1, 1] the Chebyshev coefficients are at most ``2B r^{-k}``. The
    rule is exact up to degree ``2M - 1``, odd terms cancel, and a mean and its quadrature differ on an even T_k by at
    most ``1 + 1/(k^2 - 1) <= 16/15``: the sum is ``32/15 B r^{-2M}/(1 - r^{-2})``, and the best radius counts. B is
    read at 256 points of each ellipse.

    Parameters
    ----------
    function : callable
        ``function(z complex128[n]) -> complex128[n, ...]``, entire.
    points : int
        M >= 2.
    radii : float64[k]
        All > 1.

    Returns
    -------
    float64[...]

    References
    ----------
    Trefethen, "Approximation Theory and Approximation Practice" (2013), Theorem 19.3.
    """
    if points < 2 or not np.min(radii, initial=np.inf) > 1 or not np.size(radii):
        raise DomainError(f"need 2 points and radii > 1, got {points} and {radii}")
    unit = np.exp(2j * np.pi * np.arange(256) / 256)
    bounds = []
    for r in np.asarray(radii, dtype=np.float64):
        largest = np.abs(function((r * unit + 1 / (r * unit)) / 2)).max(axis=0)
        bounds.append(32 / 15 * largest * r ** (-2.0 * points) / (1 - r**-2))
    return np.min(bounds, axis=0)


# ----------------------------------------------------------------------------------------- pseudospectra


def tau_rotation(z: np.ndarray, alpha: float, order: int) -> np.ndarray:
    """``tau(z) = min_{|k| <= K} |e^{2 pi i k alpha} - z|``: the functions ``e^{2 pi i k x}`` are eigenfunctions.

    Parameters
    ----------
    z : complex array
    alpha : float
    order : int
        K; the dictionary has ``N = 2K + 1`` functions.

    Returns
    -------
    float64 array
    """
    values = np.exp(2j * np.pi * alpha * np.arange(-order, order + 1))
    return np.abs(np.asarray(z)[..., None] - values).min(axis=-1)


def chain_length(order: int) -> int:
    """The longest chain ``1 -> 2 -> 4 -> ...`` within 1..K: ``p = floor(log2 K) + 1``.

    Raises
    ------
    DomainError
        K < 1.
    """
    if order < 1:
        raise DomainError(f"a chain needs K >= 1, got {order}")
    return order.bit_length()


def tau_shift(z: np.ndarray, chain: int) -> np.ndarray:
    """tau(z) for the constant and chains of at most p functions of a shift, whatever the map.

    ``tau^2 = min(|1 - z|^2, 1 + |z|^2 - 2|z| cos(pi/(p + 1)))``. It falls to ``|1 - |z||``, the distance from the
    approximate point spectrum (the circle), only like ``1/p^2``, that is like ``1/log(N)^2``; on the circle, where tau
    is ``2 sin(pi/(2p + 2))``, like ``1/p``.

    Parameters
    ----------
    z : complex array
    chain : int
        p >= 1.

    Returns
    -------
    float64 array

    Raises
    ------
    DomainError
    """
    if chain < 1:
        raise DomainError(f"a chain has p >= 1 functions, got {chain}")
    z = np.asarray(z)
    r = np.abs(z)
    # 1 + r^2 - 2r cos a without cancellation
    square = (1 - r) ** 2 + 4 * r * math.sin(math.pi / (2 * (chain + 1))) ** 2
    return np.sqrt(np.minimum(np.abs(1 - z) ** 2, square))


def tau_contraction(z: complex, degree: int, a: float = 0.5, *, digits: int = 60) -> float:
    """tau(z) of the contraction ``x -> ax`` on L^2(0, 1), polynomials below `degree`, in long arithmetic.

    The Gram matrices of monomials are those of Hilbert: ``G_jk = 1/(j + k + 1)``, ``A_jk = a^k G_jk``, ``L_jk = a^{j+k}
    G_jk``. The least eigenvalue of ``L - z A* - conj(z) A + |z|^2 G`` relative to G comes from inverse iteration.

    Parameters
    ----------
    z : complex
    degree : int
        N.
    a : float
        In (0, 1).
    digits : int
        Of the arithmetic, ``1.6 N + 15`` at least: cond(G) grows like ``34^N``.

    Returns
    -------
    float
        0 at an eigenvalue ``a^k``, k < N.

    Raises
    ------
    DomainError, NonFiniteError, NotConverged
    """
    if not 0 < a < 1 or degree < 1:
        raise DomainError(f"need 0 < a < 1 and N >= 1, got {a:g} and {degree}")
    if digits < (least := math.ceil(1.6 * degree + 15)):
        raise DomainError(f"Hilbert's matrix of size {degree} needs {least} digits, got {digits}")
    if not cmath.isfinite(z):
        raise NonFiniteError(f"z must be finite, got {z}")
    with mpmath.workdps(digits):
        z, a = mpmath.mpc(z), mpmath.mpf(a)
        powers = [a**k - z for k in range(degree)]
        if 0 in powers:
            return 0.0
        G = mpmath.matrix(degree, degree)
        H = mpmath.matrix(degree, degree)
        for j in range(degree):
            for k in range(degree):
                G[j, k] = mpmath.mpf(1) / (j + k + 1)
                H[j, k] = mpmath.conj(powers[j]) * powers[k] * G[j, k]
        # H = D* G D, D the diagonal of a^k - z: its inverse needs that of G alone
        inverse = G**-1
        v = mpmath.matrix([mpmath.mpf(1) / (1 + k) for k in range(degree)])
        before = mpmath.mpf(0)
        for _ in range(200):
            w = inverse * mpmath.matrix([(G[j, :] * v)[0] / mpmath.conj(powers[j]) for j in range(degree)])
            v = mpmath.matrix([w[j] / powers[j] for j in range(degree)])
            v /= mpmath.norm(v)
            quotient = mpmath.re((v.H * H * v)[0] / (v.H * G * v)[0])
            if abs(quotient - before) <= mpmath.mpf(10) ** -14 * quotient:
                return float(mpmath.sqrt(quotient))
            before = quotient
    raise NotConverged(f"the least eigenvalue still moves after 200 steps, near {mpmath.nstr(quotient, 8)}")


# ------------------------------------------------------------------------------------ spectral measures


def shift_moments(coefficients: np.ndarray) -> np.ndarray:
    """``m_0, ..., m_{p-1}`` of ``g = sum_j c_j e_j`` on a chain of orthonormal functions with ``K e_j = e_{j+1}``.

    ``m_n = sum_j c_j conj(c_{j+n})``, and ``m_n = 0`` from p on: the density is a trigonometric polynomial.

    Parameters
    ----------
    coefficients : complex128[p]

    Returns
    -------
    complex128[p]
    """
    c = np.asarray(coefficients, dtype=np.complex128)
    return np.array([c[: c.size - n] @ c[n:].conj() for n in range(c.size)])


def density(theta: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """``rho(theta) = (m_0 + 2 Re sum_{n >= 1} m_n e^{-i n theta})/(2 pi)``, given all moments that are not 0.

    Parameters
    ----------
    theta : float64[...]
    moments : complex128[n]

    Returns
    -------
    float64[...]
        Per unit of angle.
    """
    theta, m = np.asarray(theta), np.asarray(moments)
    n = np.arange(1, m.size)
    return (m[0].real + 2 * (np.exp(-1j * theta[..., None] * n) @ m[1:]).real) / (2 * np.pi)


def poisson_moments(r: complex, count: int) -> np.ndarray:
    """``m_n = r^n``: of ``g = sqrt(1 - |r|^2) sum_k conj(r)^k e_k`` on an infinite chain, density Poisson's kernel.

    Parameters
    ----------
    r : complex
        Within the unit disc.
    count : int

    Returns
    -------
    complex128[count]

    Raises
    ------
    DomainError
        ``|r| >= 1``.
    """
    if not abs(r) < 1:
        raise DomainError(f"|r| must be < 1, got {abs(r):g}")
    return complex(r) ** np.arange(count)


def distribution(theta: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """``mu(-pi, theta]``, the integral of `density` term by term.

    Parameters
    ----------
    theta : float64[...]
        In [-pi, pi].
    moments : complex128[n]

    Returns
    -------
    float64[...]
    """
    theta, m = np.asarray(theta), np.asarray(moments)
    n = np.arange(1, m.size)
    waves = (np.exp(-1j * theta[..., None] * n) - (-1.0) ** n) / (-1j * n)
    return (m[0].real * (theta + np.pi) + 2 * (waves @ m[1:]).real) / (2 * np.pi)


def smoothed_density(theta: np.ndarray, moments: np.ndarray, epsilon: float, order: int) -> np.ndarray:
    """`density` after convolution with the rational kernel: ``m_n`` is multiplied by ``sum_j alpha_j e^{i n eps a_j}``.

    Parameters
    ----------
    theta : float64[...]
    moments : complex128[n]
        All that are not 0.
    epsilon : float
    order : int
        1 to 6, from the printed residues.

    Returns
    -------
    float64[...]

    Raises
    ------
    DomainError
    """
    if order not in RESIDUES:
        raise DomainError(f"residues are printed for the orders 1..6, not {order}")
    poles = 2 * np.arange(1, order + 1) / (order + 1) - 1 + 1j
    m = np.asarray(moments)
    damping = np.exp(1j * epsilon * np.arange(m.size)[:, None] * poles) @ np.array(RESIDUES[order])
    return density(theta, m * damping)
