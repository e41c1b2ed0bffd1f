"""Zeros of monotone Lipschitz fields: extragradient, its anchored forms EAG-C and EAG-V, and FEG."""

from __future__ import annotations

from typing import Any

import sympy as sp

from lemmata.claims import Assumption, Claim, Source
from lemmata.theory.halpern.fixed_point import ZERO

__all__ = [
    "eag_c_residual",
    "eag_rate",
    "eag_v_residual",
    "eg_rate",
    "feg_certificate",
    "feg_residual",
    "feg_residual_tight",
]

YOON_RYU = Source(
    "yoon2021",
    "Yoon, TaeHo and Ryu, Ernest K.",
    "Accelerated algorithms for smooth convex-concave minimax problems with O(1/k^2) rate on squared gradient norm",
    "International Conference on Machine Learning, PMLR 139, 12098-12109",
    2021,
    arxiv="2102.07922",
)
LEE_KIM = Source(
    "lee2021",
    "Lee, Sucheol and Kim, Donghwan",
    "Fast extra gradient methods for smooth structured nonconvex-nonconcave minimax problems",
    "Advances in Neural Information Processing Systems 34",
    2021,
    "Theorem 4.1",
    arxiv="2106.02326",
)
GOLOWICH = Source(
    "golowich2020",
    "Golowich, Noah and Pattathil, Sarath and Daskalakis, Constantinos and Ozdaglar, Asuman",
    "Last iterate is slower than averaged iterate in smooth convex-concave saddle point problems",
    "Conference on Learning Theory, PMLR 125, 1758-1784",
    2020,
    arxiv="2002.00057",
)


def _not_monotone(problem: Any) -> str | None:
    worst = problem.at["monotone"].min()
    return None if worst >= -1e-9 else f"the symmetric part of F has eigenvalue {worst:.9g} < 0"


MONOTONE = Assumption("F is monotone", _not_monotone)
LIPSCHITZ = Assumption("F is L-Lipschitz")

_k = sp.Symbol("k", integer=True, nonnegative=True)
_dist, _L, _a0, _limit = sp.symbols("dist lipschitz first_step last_step", positive=True)
_SYMBOLS = {"k": "step, counted from 0", "dist": "D = ||z_0 - z*||", "lipschitz": "L"}
_ASSUMPTIONS = (MONOTONE, LIPSCHITZ, ZERO)

eag_c_residual = Claim(
    id="halpern/eag-c-residual",
    kind="bound",
    quantity="‖F(z_k)‖",
    expression=sp.sqrt(260) * _L * _dist / (_k + 1),
    symbols=_SYMBOLS,
    assumptions=_ASSUMPTIONS,
    source=YOON_RYU,
    standing="quoted",
    statement="Extra anchored gradient with constant step 1/(8L) has ‖F(z_k)‖² of at most 260 L²D²/(k+1)².",
)

eag_v_residual = Claim(
    id="halpern/eag-v-residual",
    kind="bound",
    quantity="‖F(z_k)‖",
    expression=2 * sp.sqrt((1 + _a0 * _limit * _L**2) / ((_k + 1) * (_k + 2))) * _dist / _limit,
    symbols={**_SYMBOLS, "first_step": "a_0, in (0, 3/(4L))", "last_step": "limit of the steps a_k"},
    assumptions=_ASSUMPTIONS,
    source=YOON_RYU,
    standing="quoted",
    statement=(
        "Extra anchored gradient with varying step has ‖F(z_k)‖² of at most "
        "4(1 + a_0 a_∞ L²)/a_∞² · D²/((k+1)(k+2)); for a_0 = 0.618/L the constant is 26.65 L²."
    ),
)

feg_residual = Claim(
    id="halpern/feg-residual",
    kind="bound",
    quantity="‖F(z_k)‖",
    expression=2 * _L * _dist / _k,
    symbols=_SYMBOLS,
    assumptions=_ASSUMPTIONS,
    source=LEE_KIM,
    standing="checked",
    statement=(
        "The fast extragradient method has ‖F(z_k)‖ of at most 2LD/k, k >= 1. Rational multipliers prove it for each "
        "number of steps that `lemmata.theory.halpern.prove` was asked for."
    ),
    hard_problem="planar rotation by a right angle, F = LJ: k z_k = -i(1 - (-i)^k) z_0, so met at k = 2, 6, 10, ...",
)

feg_residual_tight = Claim(
    id="halpern/feg-residual-tight",
    kind="bound",
    direction="tight",
    quantity="‖F(z_k)‖ on the right-angle rotation, k = 2, 6, 10, ...",
    expression=2 * _L * _dist / _k,
    symbols=_SYMBOLS,
    assumptions=_ASSUMPTIONS,
    source=LEE_KIM,
    statement="The constant 2 of the fast extragradient method is met at every k that leaves 2 when divided by 4.",
    hard_problem=feg_residual.hard_problem,
)

eg_rate = Claim(
    id="halpern/eg-rate",
    kind="rate",
    quantity="largest ‖F(z_k)‖ over rotations θJ, θ <= L = 1, D = 1, step 1/2",
    expression=1 / sp.sqrt(_k),
    symbols={"k": "number of steps"},
    exponent=0.5,
    constant="order-only",
    assumptions=(MONOTONE, LIPSCHITZ),
    source=GOLOWICH,
    statement="The last iterate of plain extragradient is no better than 1/sqrt(k) on bilinear problems.",
)

eag_rate = Claim(
    id="halpern/eag-rate",
    kind="rate",
    quantity="largest ‖F(z_k)‖ over rotations θJ, θ <= L = 1, D = 1, step 1/8",
    expression=1 / _k,
    symbols={"k": "number of steps"},
    exponent=1.0,
    constant="order-only",
    assumptions=(MONOTONE, LIPSCHITZ),
    source=YOON_RYU,
    statement="With an anchor the last iterate of extragradient improves to 1/k on bilinear problems.",
)

feg_certificate = Claim(
    id="halpern/feg-certificate",
    kind="identity",
    quantity="value of the semidefinite relaxation of the worst ‖F(z_N)‖²",
    expression=sp.Piecewise((2 * _L**2 * _dist**2, sp.Eq(_k, 1)), (4 * _L**2 * _dist**2 / _k**2, True)),
    symbols={**_SYMBOLS, "k": "number of steps N"},
    assumptions=(),
    source=LEE_KIM,
    standing="checked",
    tolerance=1e-5,
    statement=(
        "Pairwise monotonicity and Lipschitz inequalities allow 4L²D²/N² after N >= 2 steps and 2L²D² after one. They "
        "are necessary, not sufficient, for a field to exist, so for N >= 3 the value is an upper bound."
    ),
)
