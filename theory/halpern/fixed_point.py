"""Fixed points of nonexpansive and contractive maps: Halpern, Krasnoselskii-Mann, optimal, inexact, restarted.

Notation: T nonexpansive with fixed point x*, D = ||x_0 - x*|| (``dist``), residual ||x_k - T x_k||, F a field with
Lipschitz or cocoercivity constant L (``lipschitz``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from lemmata.claims import Assumption, Claim, Source

__all__ = [
    "cocoercive_certificate",
    "cocoercive_residual",
    "cocoercive_residual_tight",
    "inexact_residual",
    "km_certificate",
    "km_rate",
    "km_residual",
    "km_residual_tight",
    "ohm_certificate",
    "ohm_residual",
    "ohm_residual_tight",
    "potential",
    "rate",
    "residual",
    "residual_certificate",
    "residual_tight",
    "restart_contraction",
]

# ---------------------------------------------------------------------------------------------- sources

LIEDER = Source(
    "lieder2021",
    "Lieder, Felix",
    "On the convergence rate of the Halpern-iteration",
    "Optimization Letters 15, 405-418",
    2021,
    "Theorem 2.1",
    doi="10.1007/s11590-020-01617-9",
)
LIEDER_THESIS = Source(
    "lieder2018",
    "Lieder, Felix",
    "Projection based methods for conic linear programming: optimal first order complexities and norm "
    "constrained quasi Newton methods",
    "PhD thesis, Universitäts- und Landesbibliothek der Heinrich-Heine-Universität Düsseldorf",
    2018,
    "Theorem 4.9",
)
DIAKONIKOLAS = Source(
    "diakonikolas2020",
    "Diakonikolas, Jelena",
    "Halpern iteration for near-optimal and parameter-free monotone inclusion and strong solutions to "
    "variational inequalities",
    "Conference on Learning Theory, PMLR 125, 1428-1451",
    2020,
    "Section 2",
    arxiv="2002.08872",
)

PARK_RYU = Source(
    "park2022",
    "Park, Jisun and Ryu, Ernest K.",
    "Exact optimal accelerated complexity for fixed-point iterations",
    "International Conference on Machine Learning, PMLR 162, 17420-17457",
    2022,
    "Theorem 3.2",
    arxiv="2201.11413",
)

# ------------------------------------------------------------------------------------------ assumptions


def _expansive(problem: Any) -> str | None:
    constant = problem.lipschitz
    return None if constant <= 1 + 1e-9 else f"T is expansive: Lipschitz constant {constant:.9g} > 1"


def _moves(problem: Any) -> str | None:
    image, point = problem.operator(problem.solution), problem.solution
    target = point if problem.operator.is_map else np.zeros_like(point)
    gap = np.linalg.norm(image - target, axis=-1)
    allowed = 1e-9 * (1 + np.linalg.norm(point, axis=-1))
    worst = int(np.argmax(gap - allowed))
    if gap[worst] <= allowed[worst]:
        return None
    return f"the stated solution of row {worst} has residual {gap[worst]:.6g}"


def _not_cocoercive(problem: Any) -> str | None:
    if problem.operator.cocoercive is None:
        return "F has no cocoercivity constant: a field that is only monotone needs an extragradient method"
    return None


def _not_contractive(problem: Any) -> str | None:
    gamma = problem.at["gamma"]
    excess = np.max(problem.operator.lipschitz * gamma)
    return None if excess <= 1 + 1e-9 else f"gamma times the Lipschitz constant of T is {excess:.9g} > 1"


def _not_sharp(problem: Any) -> str | None:
    alpha, gap = problem.at["alpha"], problem.x0 - problem.operator(problem.x0)
    ratio = np.min(np.linalg.norm(gap, axis=1) / (alpha * problem.dist))
    return None if ratio >= 1 - 1e-9 else f"||x_0 - T x_0|| is {ratio:.9g} < 1 times alpha dist(x_0, Fix T)"


NONEXPANSIVE = Assumption("T is nonexpansive", _expansive)
FIXED_POINT = Assumption("x* is a fixed point of T", _moves)
ZERO = Assumption("x* is a zero of F", _moves)
COCOERCIVE = Assumption("F is 1/L-cocoercive", _not_cocoercive)
CONTRACTIVE = Assumption("T is Lipschitz with constant 1/gamma", _not_contractive)
SHARP = Assumption("alpha dist(z, Fix T) <= ||z - T z||", _not_sharp)
ANCHOR = Assumption("the anchor weights are 1/(k+2)")

# ----------------------------------------------------------------------------------------------- claims

_k = sp.Symbol("k", integer=True, nonnegative=True)
_dist, _step, _L = sp.symbols("dist step lipschitz", positive=True)
_r, _p = sp.symbols("residual anchor_product", real=True)

_K = "step, counted from 0"
_D = "D = ||x_0 - x*||"

residual = Claim(
    id="halpern/residual",
    kind="bound",
    quantity="‖x_k - T x_k‖",
    expression=2 * _dist / (_k + 1),
    symbols={"k": _K, "dist": _D},
    assumptions=(NONEXPANSIVE, FIXED_POINT, ANCHOR),
    source=LIEDER,
    statement="Halpern's iteration with weights 1/(k+2) has a last-iterate residual of at most 2D/(k+1).",
    hard_problem="T(x) = x - 2 clip(x, -δ, δ) on the line, δ = 1/(N+1), x_0 = 1: met at k = N",
)

residual_tight = Claim(
    id="halpern/residual-tight",
    kind="bound",
    direction="tight",
    quantity="‖x_N - T x_N‖ on the N-th hard problem",
    expression=2 * _dist / (_k + 1),
    symbols={"k": "number of steps N", "dist": _D},
    assumptions=residual.assumptions,
    source=LIEDER,
    statement="No smaller constant holds: for each N there is a T with residual 2D/(N+1) after N steps.",
    hard_problem=residual.hard_problem,
)

potential = Claim(
    id="halpern/potential",
    kind="bound",
    direction="lower",
    quantity="-V_{k+1}",
    # V_k = k(k+1) ||G_k||^2 + (k+1) <G_k, x_k - x_0> with G = (I - T)/2
    expression=-(_k * (_k + 1) * _r**2 / 4 + (_k + 1) * _p / 2),
    symbols={
        "k": _K,
        "residual": "||x_k - T x_k||",
        "anchor_product": "<x_k - T x_k, x_k - x_0>",
    },
    assumptions=(NONEXPANSIVE, ANCHOR),
    source=DIAKONIKOLAS,
    statement=(
        "The potential V_k = k(k+1)‖G_k‖² + (k+1)⟨G_k, x_k - x_0⟩, G = (I - T)/2, never increases: "
        "V_k - V_{k+1} = (k+1)(k+2) [⟨G_{k+1} - G_k, x_{k+1} - x_k⟩ - ‖G_{k+1} - G_k‖²] >= 0."
    ),
)

#: largest step for which the first branch of the Krasnoselskii-Mann bound holds, after k steps
_threshold = (1 + sp.sqrt(_k / (_k + 1))) / 2
_small = _dist * sp.sqrt((_k / (_k + 1)) ** _k / (_step * (1 - _step) * (_k + 1)))
_large = 2 * _dist * (2 * _step - 1) ** _k

km_residual = Claim(
    id="halpern/km-residual",
    kind="bound",
    quantity="‖x_k - T x_k‖",
    expression=sp.Piecewise((_small, _step <= _threshold), (_large, True)),
    symbols={"k": _K, "step": "g in [1/2, 1), weight of T x_k", "dist": _D},
    assumptions=(NONEXPANSIVE, FIXED_POINT),
    source=LIEDER_THESIS,
    standing="checked",
    statement=(
        "Krasnoselskii-Mann with step g: the residual after k steps is at most "
        "D sqrt((k/(k+1))^k / (g(1-g)(k+1))) up to a threshold of g, and 2D(2g-1)^k beyond it."
    ),
    hard_problem="planar rotation with 1 - cos θ = 1/(2g(1-g)(N+1)); the half turn beyond the threshold",
)

km_residual_tight = Claim(
    id="halpern/km-residual-tight",
    kind="bound",
    direction="tight",
    quantity="‖x_N - T x_N‖ on the N-th rotation",
    expression=km_residual.expression,
    symbols={"k": "number of steps N", "step": "g in [1/2, 1), weight of T x_k", "dist": _D},
    assumptions=km_residual.assumptions,
    source=LIEDER_THESIS,
    statement="The Krasnoselskii-Mann bound is met with equality on a planar rotation, on both branches.",
    hard_problem=km_residual.hard_problem,
)

cocoercive_residual = Claim(
    id="halpern/cocoercive-residual",
    kind="bound",
    quantity="‖F(x_k)‖",
    expression=_L * _dist / (_k + 1),
    symbols={"k": _K, "dist": _D, "lipschitz": "L, inverse of the cocoercivity constant"},
    assumptions=(COCOERCIVE, ZERO, ANCHOR),
    source=DIAKONIKOLAS,
    statement="Halpern's iteration on T = I - (2/L)F has ‖F(x_k)‖ of at most LD/(k+1).",
    hard_problem="F = L clip(x, -δ, δ) on the line, δ = 1/(N+1), x_0 = 1: met at k = N",
)

cocoercive_residual_tight = Claim(
    id="halpern/cocoercive-residual-tight",
    kind="bound",
    direction="tight",
    quantity="‖F(x_N)‖ on the N-th Huber gradient",
    expression=_L * _dist / (_k + 1),
    symbols={"k": "number of steps N", "dist": _D, "lipschitz": "L, inverse of the cocoercivity constant"},
    assumptions=cocoercive_residual.assumptions,
    source=DIAKONIKOLAS,
    statement="No smaller constant holds for cocoercive fields: the Huber gradient meets LD/(N+1).",
    hard_problem=cocoercive_residual.hard_problem,
)

_gamma, _alpha = sp.symbols("gamma alpha", positive=True)
_weighted = sp.Symbol("weighted_error", nonnegative=True)
_epoch = sp.Symbol("epoch", integer=True, nonnegative=True)
_GAMMA = "gamma > 1, inverse of the Lipschitz constant of T"

ohm_residual = Claim(
    id="halpern/ohm-residual",
    kind="bound",
    quantity="‖x_k - T x_k‖",
    # sum_{i=0..k} gamma^i = (gamma^(k+1) - 1) / (gamma - 1)
    expression=(1 + 1 / _gamma) * _dist * (_gamma - 1) / (_gamma ** (_k + 1) - 1),
    symbols={"k": _K, "gamma": _GAMMA, "dist": _D},
    assumptions=(CONTRACTIVE, FIXED_POINT),
    source=PARK_RYU,
    statement=(
        "The optimal contractive Halpern method, with anchor weights 1/φ_{k+1}, φ_k = Σ_{i<=k} γ^{2i}, has a residual "
        "of at most (1 + 1/γ) D / Σ_{i<=k} γ^i."
    ),
    standing="checked",
    hard_problem="T(x) = (x - 2 clip(x, -δ, δ))/γ on the line, δ = 1/Σ_{i<=N} γ^i, x_0 = 1: met at k = N",
)

ohm_residual_tight = Claim(
    id="halpern/ohm-residual-tight",
    kind="bound",
    direction="tight",
    quantity="‖x_N - T x_N‖ on the N-th contractive hard problem",
    expression=ohm_residual.expression,
    symbols={"k": "number of steps N", "gamma": _GAMMA, "dist": _D},
    assumptions=ohm_residual.assumptions,
    source=PARK_RYU,
    statement="No smaller constant holds for the optimal contractive Halpern method.",
    hard_problem=ohm_residual.hard_problem,
)

inexact_residual = Claim(
    id="halpern/inexact-residual",
    kind="bound",
    quantity="‖x_k - T x_k‖",
    expression=(2 * _dist + 2 * _weighted) / (_k + 1),
    symbols={"k": _K, "dist": _D, "weighted_error": "Σ_{j<k} (j+1) ||e_j||, e_j the error of the j-th evaluation"},
    assumptions=(NONEXPANSIVE, FIXED_POINT, ANCHOR),
    source=LIEDER,
    statement=(
        "With an error e_j in the j-th evaluation of T the residual is at most "
        "2D/(k+1) + (2/(k+1)) Σ_{j<k} (j+1)‖e_j‖, along every run: compare with the exact one, whose distance obeys "
        "(k+2) d_{k+1} <= (k+1)(d_k + ‖e_k‖)."
    ),
)

restart_contraction = Claim(
    id="halpern/restart-contraction",
    kind="bound",
    quantity="‖z_m - T z_m‖ / ‖z_0 - T z_0‖ after m epochs",
    expression=sp.exp(-_epoch),
    symbols={"epoch": "number m of epochs of ceil(2e/alpha) steps"},
    assumptions=(NONEXPANSIVE, FIXED_POINT, SHARP),
    source=LIEDER,
    statement=(
        "On a map of sharpness α, Halpern restarted every ceil(2e/α) steps reduces the residual by 1/e an epoch: "
        "2 dist/(K+1) <= (2/(αK)) ‖z - T z‖."
    ),
)

rate = Claim(
    id="halpern/rate",
    kind="rate",
    quantity="largest ‖x_k - T x_k‖ over rotations with D = 1",
    expression=1 / _k,
    symbols={"k": "number of steps"},
    exponent=1.0,
    constant="order-only",
    assumptions=(NONEXPANSIVE, ANCHOR),
    source=LIEDER,
    statement="The worst residual of Halpern's iteration over planar rotations falls like 1/k.",
)

km_rate = Claim(
    id="halpern/km-rate",
    kind="rate",
    quantity="largest ‖x_k - T x_k‖ over rotations with D = 1, step 1/2",
    expression=1 / sp.sqrt(_k),
    symbols={"k": "number of steps"},
    exponent=0.5,
    constant="order-only",
    assumptions=(NONEXPANSIVE,),
    source=LIEDER_THESIS,
    statement="Over planar rotations the worst Krasnoselskii-Mann residual falls like 1/sqrt(k).",
)

_WORST = "exact worst value of ‖x_N - T x_N‖² over all T in all dimensions"


def _certificate(of: Claim, quantity: str = _WORST) -> Claim:
    """The claim that the exact worst case, a semidefinite programme, is the square of a bound."""
    return Claim(
        id=of.id.replace("-residual", "") + "-certificate",
        kind="identity",
        quantity=quantity,
        expression=of.expression**2,
        symbols={**of.symbols, "k": "number of steps N"},
        assumptions=(),
        source=of.source,
        standing="checked",
        tolerance=1e-5,
        statement="The bound is the exact worst case: performance estimation gives its square, no less.",
    )


residual_certificate = _certificate(residual)
km_certificate = _certificate(km_residual)
ohm_certificate = _certificate(ohm_residual)
cocoercive_certificate = _certificate(cocoercive_residual, _WORST.replace("x_N - T x_N", "F(x_N)"))
