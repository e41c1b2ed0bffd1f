"""Entropic against exact transport: rounding, bias, eps to zero, closed forms, divergences, invariances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import sympy as sp

from lemmata.claims import Assumption, Claim, Source
from lemmata.theory.sinkhorn_newton.closed_forms import vertex_gap
from lemmata.theory.sinkhorn_newton.sinkhorn import ALTSCHULER, CUTURI, KNIGHT, MASS_ONE, POSITIVE

__all__ = [
    "assignment_mean",
    "atom_splitting",
    "cost_by_gap",
    "cycle_exponent",
    "divergence_limit",
    "divergence_nonnegative",
    "entropic_bias",
    "entropy_link",
    "gaussian_rate",
    "gaussian_transport",
    "lower_bound",
    "plan_invariance",
    "rounding",
    "rounding_marginals",
    "rounding_sharp",
    "two_by_two",
    "upper_bound",
    "value_equivariance",
    "vertex_distance",
]

# ---------------------------------------------------------------------------------------------- sources

ROUNDING = replace(ALTSCHULER, theorem="Lemma 7")
WEED = Source(
    "weed2018",
    "Weed, Jonathan",
    "An explicit analysis of the entropic penalty in linear programming",
    "Conference on Learning Theory, PMLR 75, 1841-1855",
    2018,
    "Theorem 5",
    arxiv="1806.01879",
)
JANATI = Source(
    "janati2020",
    "Janati, Hicham and Muzellec, Boris and Peyré, Gabriel and Cuturi, Marco",
    "Entropic optimal transport between unbalanced Gaussian measures has a closed form",
    "Advances in Neural Information Processing Systems 33",
    2020,
    arxiv="2006.02572",
)
FEYDY = Source(
    "feydy2019",
    "Feydy, Jean and Séjourné, Thibault and Vialard, François-Xavier and Amari, Shun-ichi and Trouvé, Alain and "
    "Peyré, Gabriel",
    "Interpolating between optimal transport and MMD using Sinkhorn divergences",
    "International Conference on Artificial Intelligence and Statistics, PMLR 89, 2681-2690",
    2019,
    "Theorem 1",
    arxiv="1810.08278",
)
LINUSSON = Source(
    "linusson2004",
    "Linusson, Svante and Wästlund, Johan",
    "A proof of Parisi's conjecture on the random assignment problem",
    "Probability Theory and Related Fields 128, 419-440",
    2004,
    doi="10.1007/s00440-003-0308-9",
)

# ------------------------------------------------------------------------------------------ assumptions


def _not_assignment(problem: Any) -> str | None:
    n, m = problem.shape
    if n != m:
        return f"the problem is {n} x {m}"
    spread = max(np.ptp(problem.r), np.ptp(problem.c))
    return None if problem.is_assignment else f"masses differ by up to {spread:g}"


def _too_hot(problem: Any) -> str | None:
    gap, n = vertex_gap(problem.C), len(problem.r)
    needed = (1 + np.log(n)) / gap if gap > 0 else np.inf
    eta = 1 / problem.eps
    return (
        None if eta >= needed * (1 - 1e-9) else f"eta = {eta:.6g} < (1 + log n)/Delta = {needed:.6g}, Delta = {gap:.3g}"
    )


def _indefinite(problem: Any) -> str | None:
    C = problem.C
    if C.shape[0] != C.shape[1] or not np.array_equal(C, C.T) or np.diag(C).any():
        return "the cost is not symmetric with zeros on the diagonal"
    least = float(np.linalg.eigvalsh(np.exp(-C / problem.eps))[0])
    return None if least >= -1e-9 else f"the smallest eigenvalue of exp(-C/eps) is {least:.6g}"


ASSIGNMENT = Assumption("rows and columns are equal in number and mass", _not_assignment)
COLD = Assumption("eta >= (1 + log n)/Delta", _too_hot)
POSITIVE_DEFINITE = Assumption("exp(-C/eps) is positive definite on the common support", _indefinite)

# --------------------------------------------------------------------------------- rounding and bounds

_delta, _mass_of = sp.symbols("delta mass", nonnegative=True)
_optimum, _eps, _entropy = sp.symbols("optimum eps entropy", real=True)
_DELTA = "|F1 - r|_1 + |F'1 - c|_1"

rounding = Claim(
    id="sinkhorn_newton/rounding",
    kind="bound",
    quantity="|G - F|_1, G the rounded plan",
    expression=2 * _delta,
    symbols={"delta": _DELTA},
    assumptions=(MASS_ONE,),
    source=ROUNDING,
    statement="Rounding moves a plan by at most twice the error of its marginals.",
)

rounding_sharp = Claim(
    id="sinkhorn_newton/rounding-sharp",
    kind="bound",
    quantity="|G - F|_1, G the rounded plan",
    # removed: (|F1 - r| + mass - 1)/2 in rows, at most (|F'1 - c| + mass - 1)/2 in columns; added: 1 - mass + removed
    expression=_delta + _mass_of - 1,
    symbols={"delta": _DELTA, "mass": "total mass of F"},
    assumptions=(MASS_ONE,),
    source=ROUNDING,
    statement=(
        "The factor 2 is never needed: |G - F|_1 <= delta + mass - 1, which is delta for a plan of mass one and at "
        "most 3/2 delta for any."
    ),
    hard_problem="F = [[0, p], [q, 0]] with too much in row 1 and in column 1: met",
)

rounding_marginals = Claim(
    id="sinkhorn_newton/rounding-marginals",
    kind="identity",
    quantity="row and column sums of the rounded plan",
    expression=_mass_of,
    symbols={"mass": "the mass asked for, r_i or c_j"},
    assumptions=(MASS_ONE,),
    source=ROUNDING,
    tolerance=1e-13,
    statement="The rounded plan has the marginals asked for, whatever it was made from.",
)

lower_bound = Claim(
    id="sinkhorn_newton/lower-bound",
    kind="bound",
    quantity="<r, f> + <c, g>, g the c-transform of f",
    expression=_optimum,
    symbols={"optimum": "least <C, P> over all plans"},
    assumptions=(MASS_ONE,),
    source=CUTURI,
    statement="Any f and its c-transform bound the exact optimum from below.",
)

upper_bound = Claim(
    id="sinkhorn_newton/upper-bound",
    kind="bound",
    direction="lower",
    quantity="<C, G>, G the rounded plan",
    expression=_optimum,
    symbols={"optimum": "least <C, P> over all plans"},
    assumptions=(MASS_ONE,),
    source=ROUNDING,
    statement="The cost of a rounded plan bounds the exact optimum from above, converged or not.",
)

entropic_bias = Claim(
    id="sinkhorn_newton/entropic-bias",
    kind="bound",
    quantity="<C, P_eps> - OT",
    expression=_eps * _entropy,
    symbols={"eps": "temperature", "entropy": "min(H(r), H(c)), at most log n"},
    assumptions=(POSITIVE, MASS_ONE),
    source=CUTURI,
    statement=(
        "The entropic plan costs at most eps min(H(r), H(c)) too much, since H(P_eps) <= H(r) + H(c) and any plan has "
        "H >= max(H(r), H(c)). Half of the bound eps log(n m) often quoted."
    ),
    hard_problem="cost 0 on the diagonal and 1 elsewhere, eps a little above 1/log n, n to infinity",
)

entropy_link = Claim(
    id="sinkhorn_newton/entropy-link",
    kind="bound",
    quantity="<C, P_eps> - OT",
    expression=_eps * _entropy,
    symbols={"eps": "temperature", "entropy": "H(P_eps) - H(P_0), P_0 an optimal plan"},
    assumptions=(POSITIVE, MASS_ONE),
    source=CUTURI,
    statement="The entropic plan costs at most eps (H(P_eps) - H(P_0)) too much: it beats P_0 in the entropic problem.",
    hard_problem="two by two, eps small",
)

# ------------------------------------------------------------------------------------------ eps to zero

_eta, _gap, _R_H, _mu = sp.symbols("eta vertex_gap entropy_radius mean_cycle", positive=True)
_VERTEX_GAP = "Delta: cost of the second-best less the best vertex"
_RADIUS = "R_H: largest less smallest entropy of a plan, log n for masses 1/n"

cost_by_gap = Claim(
    id="sinkhorn_newton/cost-by-gap",
    kind="bound",
    quantity="<C, P_eta> - OT",
    expression=_gap * sp.exp(1 + _R_H - _eta * _gap),
    symbols={"eta": "1/eps", "vertex_gap": _VERTEX_GAP, "entropy_radius": _RADIUS},
    assumptions=(ASSIGNMENT, MASS_ONE, COLD),
    source=WEED,
    standing="checked",
    statement="Once eta >= (1 + R_H)/Delta the excess cost falls exponentially.",
)

vertex_distance = Claim(
    id="sinkhorn_newton/vertex-distance",
    kind="bound",
    quantity="|P_eta - X|_1, X the optimal vertex",
    expression=2 * sp.exp(1 + _R_H - _eta * _gap),
    symbols={"eta": "1/eps", "vertex_gap": _VERTEX_GAP, "entropy_radius": _RADIUS},
    assumptions=(ASSIGNMENT, MASS_ONE, COLD),
    source=WEED,
    standing="checked",
    statement=(
        "Once eta >= (1 + R_H)/Delta the plan is exponentially close to the optimal vertex. With R_H <= 2 log n this "
        "is 6 n² exp(-eta Delta); for masses 1/n it is 2e n exp(-eta Delta)."
    ),
)

cycle_exponent = Claim(
    id="sinkhorn_newton/cycle-exponent",
    kind="identity",
    quantity="-d log|P_eta - X|_1 / d eta over 8 <= eta mu <= 14",
    expression=_mu,
    symbols={"mean_cycle": "mu: least mean cost of a cycle in the slack graph"},
    assumptions=(ASSIGNMENT,),
    source=WEED,
    constant="asymptotic",
    tolerance=0.07,
    statement=(
        "The sharp exponent is the minimum mean cycle of the slack graph, between Delta and n Delta/2: the vertex gap "
        "is far from sharp."
    ),
)

two_by_two = Claim(
    id="sinkhorn_newton/two-by-two",
    kind="identity",
    quantity="|P_eta - X|_1 for C = [[0, a], [a, 0]], masses 1/2",
    expression=2 / (1 + sp.exp(_eta * _gap)),
    symbols={"eta": "1/eps", "vertex_gap": "Delta = (C_12 + C_21 - C_11 - C_22)/2 = a"},
    assumptions=(ASSIGNMENT,),
    source=WEED,
    tolerance=1e-9,
    statement="With two atoms on each side the distance to the vertex is 2/(1 + exp(eta Delta)), exactly.",
)

# ---------------------------------------------------------------------------------------- closed forms

_m1, _m2 = sp.symbols("mean_1 mean_2", real=True)
_s1, _s2, _e = sp.symbols("deviation_1 deviation_2 eps", positive=True)
_q = _e / 2
_d = sp.sqrt(4 * _s1**2 * _s2**2 + _q**2)
_GAUSSIAN = {
    "mean_1": "mean of a",
    "deviation_1": "standard deviation of a",
    "mean_2": "mean of b",
    "deviation_2": "standard deviation of b",
    "eps": "temperature",
}

gaussian_transport = Claim(
    id="sinkhorn_newton/gaussian-transport",
    kind="identity",
    quantity="min <(x - y)², P> + eps KL(P | a b) between two normal laws",
    expression=(_m1 - _m2) ** 2 + _s1**2 + _s2**2 - _d + _q * (1 - sp.log(2 * _q)) + _q * sp.log(_d + _q),
    symbols=_GAUSSIAN,
    assumptions=(MASS_ONE,),
    source=JANATI,
    standing="checked",
    tolerance=1e-8,
    statement="Entropic transport between Gaussians has a closed form.",
)

gaussian_rate = Claim(
    id="sinkhorn_newton/gaussian-rate",
    kind="identity",
    quantity="delta_{t+1}/delta_t over the last decades, two normal laws",
    expression=((_d - _q) / (2 * _s1 * _s2)) ** 2,
    symbols={name: _GAUSSIAN[name] for name in ("deviation_1", "deviation_2", "eps")},
    assumptions=(MASS_ONE,),
    source=KNIGHT,
    constant="asymptotic",
    tolerance=1e-3,
    statement=(
        "Between Gaussians Sinkhorn's rate is the squared correlation of the plan, its maximal correlation: singular "
        "vectors are Hermite polynomials."
    ),
)

# ------------------------------------------------------------------------------------------ divergences

_across, _limit = sp.symbols("across half_energy", real=True)

divergence_nonnegative = Claim(
    id="sinkhorn_newton/divergence-nonnegative",
    kind="bound",
    quantity="OT_eps(a, a)/2 + OT_eps(b, b)/2",
    expression=_across,
    symbols={"across": "OT_eps(a, b), in the form with eps KL(P | a b)"},
    assumptions=(POSITIVE_DEFINITE, MASS_ONE),
    source=FEYDY,
    standing="checked",
    statement="Sinkhorn's divergence OT(a, b) - OT(a, a)/2 - OT(b, b)/2 is nonnegative.",
    hard_problem="a = b: met",
)

divergence_limit = Claim(
    id="sinkhorn_newton/divergence-limit",
    kind="limit",
    quantity="Sinkhorn's divergence of a and b, eps to infinity (distance relative to the limit)",
    expression=_limit,
    symbols={"half_energy": "-1/2 (a - b)' C (a - b)"},
    assumptions=(MASS_ONE,),
    source=FEYDY,
    standing="checked",
    exponent=1.0,
    tolerance=1e-2,
    constant="asymptotic",
    statement="As eps grows Sinkhorn's divergence becomes half an energy distance, at rate 1/eps.",
)

# ------------------------------------------------------------------------------------ random assignment

_series = sp.Symbol("series", positive=True)

assignment_mean = Claim(
    id="sinkhorn_newton/assignment-mean",
    kind="mean-identity",
    quantity="n <C, G>, costs exponential with mean 1",
    expression=_series,
    symbols={"series": "1 + 1/4 + ... + 1/n², n the number of rows"},
    assumptions=(ASSIGNMENT,),
    source=LINUSSON,
    standing="checked",
    tolerance=0.1,
    statement=(
        "The expected cost of the best assignment with independent exponential costs is 1 + 1/4 + ... + 1/n², which "
        "tends to π²/6; the rounded entropic plan at small eps costs no more than n eps log n above it."
    ),
)

# ------------------------------------------------------------------------------------------ invariances

_x = sp.Symbol("value", real=True)

plan_invariance = Claim(
    id="sinkhorn_newton/plan-invariance",
    kind="identity",
    quantity="entries of the plan of the transformed problem, put back in place",
    expression=_x,
    symbols={"value": "entries of the plan"},
    assumptions=(POSITIVE,),
    source=CUTURI,
    tolerance=1e-9,
    statement=(
        "The plan does not change when a_i + b_j is added to the cost or cost and eps are scaled together; it follows "
        "permutations and transposition."
    ),
)

value_equivariance = Claim(
    id="sinkhorn_newton/value-equivariance",
    kind="identity",
    quantity="optimal value of the transformed problem",
    expression=_x,
    symbols={"value": "V + <r, a> + <c, b> for the cost plus a_i + b_j; s V for cost and eps times s"},
    assumptions=(POSITIVE,),
    source=CUTURI,
    tolerance=1e-9,
    statement="The optimal value moves with the cost: by <r, a> + <c, b> under shifts, in proportion under scaling.",
)

atom_splitting = Claim(
    id="sinkhorn_newton/atom-splitting",
    kind="identity",
    quantity="min <C, P> + eps KL(P | r c') after an atom was split in two halves",
    expression=_x,
    symbols={"value": "the same before the split"},
    assumptions=(POSITIVE,),
    source=FEYDY,
    tolerance=1e-9,
    statement=(
        "In the form with KL an atom may be split without changing the value; in the form with entropy the value moves "
        "by -eps r_i log 2."
    ),
)
