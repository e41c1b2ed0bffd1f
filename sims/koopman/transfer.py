"""The transfer operator of the Gauss map, in long arithmetic."""

from __future__ import annotations

from typing import Any

import mpmath

from lemmata.random import check_integer

__all__ = ["gauss_map_eigenvalues"]


def gauss_map_eigenvalues(degree: int, *, digits: int = 40, clustered: bool = True) -> list[Any]:
    """Eigenvalues of the transfer operator of ``1/x mod 1``, collocated on monomials.

    ``L t^j (x) = sum_k (k + x)^{-2-j} = zeta(2 + j, 1 + x)``, Hurwitz's zeta. Among them are 1 and Wirsing's constant,
    and others that belong to nothing: compare two degrees before you believe one.

    Parameters
    ----------
    degree : int
        n >= 2 monomials.
    digits : int
        Of the arithmetic. A Vandermonde matrix on [0, 1] loses about 0.8 n of them.
    clustered : bool
        Chebyshev points; otherwise equispaced ones.

    Returns
    -------
    list of mpmath.mpc
        Decreasing in modulus.

    Raises
    ------
    DomainError, TypeError
    """
    check_integer("degree", degree, 2)
    check_integer("digits", digits, 15)
    with mpmath.workdps(digits):
        if clustered:
            x = [(1 + mpmath.cos(mpmath.pi * (2 * i + 1) / (2 * degree))) / 2 for i in range(degree)]
        else:
            x = [mpmath.mpf(2 * i + 1) / (2 * degree) for i in range(degree)]
        V = mpmath.matrix([[point**j for j in range(degree)] for point in x])
        B = mpmath.matrix([[mpmath.zeta(2 + j, 1 + point) for j in range(degree)] for point in x])
        return sorted(mpmath.eig(V**-1 * B, left=False, right=False), key=lambda value: -abs(value))
