"""How fast the matrices of a dictionary converge with the number of snapshots, and what their eigenvalues inherit.

The entries of ``A = Psi_x* W Psi_y`` are quadratures of ``conj(psi_j) psi_k(F)``. Independent points give errors of
exactly ``Var/M``; equispaced and Gaussian nodes what the smoothness of F allows; an orbit of a rotation ``1/M`` by a
geometric series.

Eigenvalues do not inherit the rate of the matrices. On the doubling map the section is nilpotent, its longest chain ``1
-> 2 -> ... -> 2^{p-1}`` a Jordan block of size p, and a perturbation of size e moves the eigenvalue 0 by ``e^{1/p}``:
``M^{-1/2}`` becomes ``M^{-1/(2p)}``.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from lemmata.claims import Assumption, Claim
from lemmata.theory.koopman.sources import KORDA, LIDSKII, TREFETHEN, WEIDEMAN, WILLIAMS

__all__ = [
    "defective_eigenvalues",
    "ergodic_rotation",
    "finite_section",
    "gauss_quadrature",
    "monte_carlo",
    "riemann_quadrature",
    "trapezium_quadrature",
]


def _no_rotation(problem: Any) -> str | None:
    return None if problem.system.name == "rotation" else f"the system is the {problem.system.name}"


def _smooth(problem: Any) -> str | None:
    kinked = ("tent map", "doubling map")
    return f"the {problem.system.name} is not smooth" if problem.system.name in kinked else None


INDEPENDENT = Assumption("snapshots are independent, drawn from the measure of the space")
ROTATION = Assumption("the system is a rotation", _no_rotation)
SMOOTH = Assumption("the map is smooth", _smooth)
ANALYTIC = Assumption("the map and the dictionary are analytic around the interval", _smooth)

_M, _p = sp.Symbol("M", positive=True), sp.Symbol("p", positive=True)
_SNAPSHOTS = {"M": "snapshots"}

monte_carlo = Claim(
    id="koopman/monte-carlo",
    kind="mean-identity",
    quantity="M ‖Â - A‖²_F / Σ_jk Var(ψ̄_j ψ_k∘F)",
    expression=sp.Integer(1),
    symbols={},
    assumptions=(INDEPENDENT,),
    source=WILLIAMS,
    tolerance=0.05,
    statement=(
        "With M independent snapshots E ||A_M - A||_F^2 = (1/M) sum_jk Var(conj(psi_j) psi_k(F)), at every M; for "
        "Fourier functions the sum is N^2 - ||A||_F^2."
    ),
)

trapezium_quadrature = Claim(
    id="koopman/trapezium-quadrature",
    kind="rate",
    quantity="max |A_M - A|, trapezium rule, not periodic",
    expression=_M**-2,
    symbols=_SNAPSHOTS,
    assumptions=(SMOOTH,),
    source=WEIDEMAN,
    exponent=2.0,
    constant="asymptotic",
    statement="The trapezium rule gives A an error of order M^-2 once M >> N^2 resolves the dictionary.",
)

riemann_quadrature = Claim(
    id="koopman/riemann-quadrature",
    kind="rate",
    quantity="max |A_M - A|, equal weights at left ends of cells, not periodic",
    expression=1 / _M,
    symbols=_SNAPSHOTS,
    assumptions=(SMOOTH,),
    source=WEIDEMAN,
    exponent=1.0,
    constant="asymptotic",
    statement="Equal weights on an equispaced grid give A an error of order 1/M where the integrand is not periodic.",
)

gauss_quadrature = Claim(
    id="koopman/gauss-quadrature",
    kind="bound",
    quantity="|A_M - A|_jk, Gauss-Legendre nodes",
    expression=sp.Symbol("ellipse"),
    symbols={"ellipse": "32/15 B r^(-2M)/(1 - r^-2), B the largest value on the ellipse of radius r, the best r"},
    assumptions=(ANALYTIC,),
    source=TREFETHEN,
    statement="For analytic maps Gauss-Legendre nodes give A a geometrically falling error, below an explicit bound.",
)

ergodic_rotation = Claim(
    id="koopman/ergodic-rotation",
    kind="bound",
    quantity="|G_M - I|_jk along one orbit",
    expression=1 / (_M * sp.Symbol("sine", positive=True)),
    symbols={"M": "snapshots", "sine": "|sin(π(k - j)α)|"},
    assumptions=(ROTATION,),
    source=KORDA,
    statement="Along an orbit of a rotation the Fourier functions are orthogonal up to 1/(M |sin(pi (k - j) alpha)|).",
)

finite_section = Claim(
    id="koopman/finite-section",
    kind="rate",
    quantity="‖G_M⁺A_M - P_N K P_N‖_F",
    expression=1 / sp.sqrt(_M),
    symbols=_SNAPSHOTS,
    assumptions=(INDEPENDENT,),
    source=KORDA,
    exponent=0.5,
    constant="asymptotic",
    statement="EDMD's matrix converges to the finite section P_N K P_N like M^-1/2.",
)

defective_eigenvalues = Claim(
    id="koopman/defective-eigenvalues",
    kind="rate",
    quantity="largest |eigenvalue| of EDMD where the section has 0, in a Jordan block of size p = 4",
    expression=_M ** (-1 / (2 * _p)),
    symbols={"M": "snapshots", "p": "size of the largest Jordan block"},
    assumptions=(INDEPENDENT,),
    source=LIDSKII,
    exponent=0.125,
    tolerance=0.045,  # p = 3 and p = 5 would give 1/6 and 1/10; shorter chains still count at these M
    constant="asymptotic",
    statement="Eigenvalues of a defective section converge like M^(-1/2p), far slower than its entries.",
)
