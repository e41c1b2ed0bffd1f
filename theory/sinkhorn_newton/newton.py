"""Newton's method on the dual, dense and sparse, and derivatives of the solution."""

from __future__ import annotations

import sympy as sp

from lemmata.claims import Claim, Source
from lemmata.theory.sinkhorn_newton.accuracy import ASSIGNMENT, COLD
from lemmata.theory.sinkhorn_newton.sinkhorn import CUTURI, MASS_ONE, POSITIVE

__all__ = [
    "damped_newton",
    "envelope",
    "frozen_rate",
    "implicit_gradient",
    "newton_order",
    "newton_residual",
    "sparse_order",
    "sparse_support",
]

TANG = Source(
    "tang2024",
    "Tang, Xun and Shavlovsky, Michael and Rahmanian, Holakou and Tardini, Elisa and Thekumparampil, Kiran Koshy and "
    "Xiao, Tesi and Ying, Lexing",
    "Accelerating Sinkhorn algorithm with sparse Newton iterations",
    "International Conference on Learning Representations",
    2024,
    "Theorem 1",
    arxiv="2401.12253",
)
SUN = Source(
    "sun2019",
    "Sun, Tianxiao and Tran-Dinh, Quoc",
    "Generalized self-concordant functions: a recipe for Newton-type methods",
    "Mathematical Programming 178, 145-213",
    2019,
    arxiv="1703.04599",
)

_kl, _eta, _gap, _R_H = sp.symbols("kl eta vertex_gap entropy_radius", positive=True)
_remainder, _rho, _eps, _value = sp.symbols("remainder rho eps value", real=True)
_decrement, _move, _x = sp.symbols("decrement move x", positive=True)

newton_residual = Claim(
    id="sinkhorn_newton/newton-residual",
    kind="identity",
    quantity="delta after a Newton step from anywhere",
    expression=2 * _remainder,
    symbols={"remainder": "Σ P (exp(s) - 1 - s), s_ij = (a_i + b_j) the step in units of eps"},
    assumptions=(POSITIVE,),
    source=CUTURI,
    tolerance=1e-9,
    statement=(
        "A full Newton step leaves exactly the second-order remainder: r - P⁺1 = -Σ_j P (exp(s) - 1 - s), whose terms "
        "have one sign. So it is quadratic wherever the step is small, and the mass after it is never below one."
    ),
)

newton_order = Claim(
    id="sinkhorn_newton/newton-order",
    kind="rate",
    quantity="delta after one Newton step, from a distance 1/x of the solution",
    expression=_x**-2,
    symbols={"x": "inverse of the distance from the solution, in units of eps"},
    assumptions=(POSITIVE,),
    source=SUN,
    exponent=2.0,
    constant="order-only",
    statement="Dense Newton steps converge quadratically.",
)

damped_newton = Claim(
    id="sinkhorn_newton/damped-newton",
    kind="bound",
    direction="lower",
    quantity="(D after the step - D before it)/eps",
    # maximum over t of t lambda^2 - lambda^2 (exp(t d) - 1 - t d)/d^2
    expression=_decrement**2 * ((1 + _move) * sp.log(1 + _move) - _move) / _move**2,
    symbols={
        "decrement": "λ with λ² = Σ P s², s_ij = a_i + b_j the Newton step in units of eps",
        "move": "d = max |s_ij|",
    },
    assumptions=(POSITIVE,),
    source=SUN,
    statement="The step log(1 + d)/d along Newton's direction raises the dual from anywhere, by at least this much.",
    hard_problem="one row and one column with mass below one: met",
)

sparse_support = Claim(
    id="sinkhorn_newton/sparse-support",
    kind="bound",
    quantity="|P_k - X|_1, X the optimal vertex, P_k Sinkhorn's plan of mass one",
    expression=2 * sp.exp(1 + _R_H - _eta * _gap) + sp.sqrt(2 * _kl),
    symbols={
        "eta": "1/eps",
        "vertex_gap": "Delta: cost of the second-best less the best vertex",
        "entropy_radius": "R_H: largest less smallest entropy of a plan, log n for masses 1/n",
        "kl": "KL(P* | P_k) = eta (D* - D_k)",
    },
    assumptions=(ASSIGNMENT, MASS_ONE, COLD),
    source=TANG,
    statement=(
        "Sinkhorn's plan is close to the vertex, which has n nonzero entries out of n²: so it is (1/n, e)-sparse with "
        "this e. The paper bounds the second term by a constant of the problem over sqrt(k)."
    ),
)

frozen_rate = Claim(
    id="sinkhorn_newton/frozen-rate",
    kind="identity",
    quantity="error after a sparse Newton step over error before it, near the solution, along its slowest mode",
    expression=_rho,
    symbols={
        "rho": "spectral radius of I - M~^{-1} M off the common shift, M~ the Hessian with a fixed share of entries"
    },
    assumptions=(POSITIVE,),
    source=TANG,
    constant="asymptotic",
    tolerance=1e-3,
    statement="Newton steps with a fixed density converge linearly, at a rate that is zero only if nothing is dropped.",
)

sparse_order = Claim(
    id="sinkhorn_newton/sparse-order",
    kind="rate",
    order="O",
    quantity="delta after one sparse Newton step, from delta = 1/x",
    expression=_x ** sp.Rational(-3, 2),
    symbols={"x": "inverse of delta before the step"},
    assumptions=(POSITIVE,),
    source=TANG,
    standing="checked",
    exponent=1.5,
    tolerance=0.2,
    constant="order-only",
    statement=(
        "With a budget of dropped mass proportional to delta and a relative residual of sqrt(delta)/10 in the linear "
        "solver, sparse Newton steps are superlinear, of order about 3/2."
    ),
)

envelope = Claim(
    id="sinkhorn_newton/envelope",
    kind="identity",
    quantity="directional derivative of the optimal value, by central differences",
    expression=_value,
    symbols={"value": "<P, dC> + <f, dr> + <g, dc> + Σ P (log P - 1) deps"},
    assumptions=(POSITIVE,),
    source=CUTURI,
    tolerance=1e-6,
    statement="The value has the gradient (P, f, g, Σ P (log P - 1)): no differentiation of the solver is needed.",
)

implicit_gradient = Claim(
    id="sinkhorn_newton/implicit-gradient",
    kind="identity",
    quantity="directional derivative of <W, P>, by central differences",
    expression=_value,
    symbols={"value": "the adjoint of one linear system with the Hessian"},
    assumptions=(POSITIVE,),
    source=CUTURI,
    tolerance=1e-6,
    statement="Derivatives of a function of the plan follow from one linear solve with the Hessian of the dual.",
)
