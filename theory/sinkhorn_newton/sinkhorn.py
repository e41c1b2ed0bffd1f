"""Sinkhorn's iteration: ascent of the dual, contraction, local rates, explicit iteration counts."""

from __future__ import annotations

from typing import Any

import sympy as sp

from lemmata.claims import Assumption, Claim, Source

__all__ = [
    "ascent",
    "duality_gap",
    "gap_by_marginal",
    "hilbert_error",
    "hilbert_rate",
    "local_rate",
    "marginal_by_gap",
    "marginal_by_kernel",
    "marginal_by_radius",
    "marginal_decrease",
    "relaxed_rate",
]

# ---------------------------------------------------------------------------------------------- sources

CUTURI = Source(
    "cuturi2013",
    "Cuturi, Marco",
    "Sinkhorn distances: lightspeed computation of optimal transport",
    "Advances in Neural Information Processing Systems 26",
    2013,
    arxiv="1306.0895",
)
ALTSCHULER = Source(
    "altschuler2017",
    "Altschuler, Jason and Weed, Jonathan and Rigollet, Philippe",
    "Near-linear time approximation algorithms for optimal transport via Sinkhorn iteration",
    "Advances in Neural Information Processing Systems 30",
    2017,
    "Lemma 2 and Theorem 2",
    arxiv="1705.09634",
)
FRANKLIN = Source(
    "franklin1989",
    "Franklin, Joel and Lorenz, Jens",
    "On the scaling of multidimensional matrices",
    "Linear Algebra and its Applications 114-115, 717-735",
    1989,
    doi="10.1016/0024-3795(89)90490-4",
)
KNIGHT = Source(
    "knight2008",
    "Knight, Philip A.",
    "The Sinkhorn-Knopp algorithm: convergence and applications",
    "SIAM Journal on Matrix Analysis and Applications 30, 261-275",
    2008,
    doi="10.1137/060659624",
)
THIBAULT = Source(
    "thibault2021",
    "Thibault, Alexis and Chizat, Lénaïc and Dossal, Charles and Papadakis, Nicolas",
    "Overrelaxed Sinkhorn-Knopp algorithm for regularized optimal transport",
    "Algorithms 14, 143",
    2021,
    arxiv="1711.01851",
)
DVURECHENSKY = Source(
    "dvurechensky2018",
    "Dvurechensky, Pavel and Gasnikov, Alexander and Kroshnin, Alexey",
    "Computational optimal transport: complexity by accelerated gradient descent is better than by Sinkhorn's "
    "algorithm",
    "International Conference on Machine Learning, PMLR 80, 1367-1376",
    2018,
    "Theorem 1",
    arxiv="1802.04367",
)

# ------------------------------------------------------------------------------------------ assumptions


def _empty(problem: Any) -> str | None:
    least = min(problem.r.min(), problem.c.min())
    return None if least > 0 else f"a mass is {least:g}"


def _mass(problem: Any) -> str | None:
    total = problem.r.sum()
    return None if abs(total - 1) <= 1e-9 else f"the masses sum to {total:.12g}"


def _negative_cost(problem: Any) -> str | None:
    least = problem.C.min()
    return None if least >= 0 else f"a cost is {least:g}"


POSITIVE = Assumption("all masses are positive", _empty)
MASS_ONE = Assumption("the masses sum to one", _mass)
NONNEGATIVE_COST = Assumption("the costs are nonnegative", _negative_cost)
FROM_ZERO = Assumption("the iteration starts from f = g = 0")

# ----------------------------------------------------------------------------------------------- claims

_eps, _kl, _distance = sp.symbols("eps kl distance", positive=True)
_theta, _sigma, _delta = sp.symbols("log_theta sigma delta", nonnegative=True)
_k = sp.Symbol("k", integer=True, positive=True)
_EPS = "temperature"

duality_gap = Claim(
    id="sinkhorn_newton/duality-gap",
    kind="identity",
    quantity="D(f*, g*) - D(f, g)",
    expression=_eps * _kl,
    symbols={"eps": _EPS, "kl": "KL(P* | P(f, g)) = Σ P* log(P*/P) - P* + P"},
    assumptions=(POSITIVE,),
    source=CUTURI,
    tolerance=1e-10,
    statement="The dual gap of any pair of potentials is eps times the divergence of their plan from the optimal one.",
)

ascent = Claim(
    id="sinkhorn_newton/ascent",
    kind="identity",
    quantity="D after a half step - D before it",
    expression=_eps * _kl,
    symbols={"eps": _EPS, "kl": "KL(r | P1) for a step in f, KL(c | P'1) for a step in g"},
    assumptions=(POSITIVE,),
    source=ALTSCHULER,
    tolerance=1e-8,
    statement="A half step raises the dual by eps times the divergence of the marginal that it repairs, exactly.",
)

marginal_decrease = Claim(
    id="sinkhorn_newton/marginal-decrease",
    kind="bound",
    quantity="delta_{k+1}",
    expression=_delta,
    symbols={"delta": "delta_k, the L1 marginal error after half step k >= 1"},
    assumptions=(POSITIVE,),
    source=ALTSCHULER,
    statement=(
        "From the first half step on the marginal error never grows: the error of one marginal is carried to the other "
        "by a stochastic matrix."
    ),
    hard_problem="eps small against the costs, where that matrix is nearly a permutation",
)

hilbert_rate = Claim(
    id="sinkhorn_newton/hilbert-rate",
    kind="bound",
    quantity="d_H(u_{t+1}, u*), u = exp(f/eps)",
    expression=sp.tanh(_theta / 4) ** 2 * _distance,
    symbols={
        "log_theta": "logarithm of the largest cross ratio of exp(-C/eps)",
        "distance": "d_H(u_t, u*) = max log(u/v) - min log(u/v)",
    },
    assumptions=(POSITIVE,),
    source=FRANKLIN,
    statement="A full step contracts Hilbert's metric by tanh(log(theta)/4)².",
    hard_problem="C = [[0, a], [a, 0]] with masses 1/2, close to the solution",
)

hilbert_error = Claim(
    id="sinkhorn_newton/hilbert-error",
    kind="bound",
    quantity="d_H(u_t, u*)",
    # 1 - tanh^2 cancels for large theta
    expression=_distance * sp.cosh(_theta / 4) ** 2,
    symbols={
        "log_theta": "logarithm of the largest cross ratio of exp(-C/eps)",
        "distance": "d_H(P_t 1, r) where columns are exact",
    },
    assumptions=(POSITIVE,),
    source=FRANKLIN,
    statement="The error of the scalings is at most d_H(P_t 1, r)/(1 - kappa²), which needs no knowledge of u*.",
    hard_problem=hilbert_rate.hard_problem,
)

local_rate = Claim(
    id="sinkhorn_newton/local-rate",
    kind="identity",
    quantity="delta_{t+1}/delta_t near the solution, along the slowest mode",
    expression=_sigma**2,
    symbols={"sigma": "second singular value of diag(r)^{-1/2} P* diag(c)^{-1/2}"},
    assumptions=(POSITIVE,),
    source=KNIGHT,
    constant="asymptotic",
    tolerance=1e-3,
    statement="Sinkhorn's marginal error falls by the square of the second singular value in each full step.",
)

relaxed_rate = Claim(
    id="sinkhorn_newton/relaxed-rate",
    kind="identity",
    quantity="delta_{t+1}/delta_t with over-relaxation 2/(1 + sqrt(1 - sigma²)), a factor t divided out, as above",
    expression=2 / (1 + sp.sqrt(1 - _sigma**2)) - 1,
    symbols={"sigma": "second singular value of diag(r)^{-1/2} P* diag(c)^{-1/2}"},
    assumptions=(POSITIVE,),
    source=THIBAULT,
    constant="asymptotic",
    tolerance=3e-2,
    statement=(
        "Close to the solution over-relaxation by ω = 2/(1 + sqrt(1 - sigma²)) has rate ω - 1, as for successive "
        "over-relaxation of a linear system."
    ),
)

_log_ratio, _gap, _T, _R = sp.symbols("log_ratio gap steps radius", positive=True)

marginal_by_kernel = Claim(
    id="sinkhorn_newton/marginal-by-kernel",
    kind="bound",
    quantity="least delta_k over 1 <= k <= T",
    expression=sp.sqrt(2 * _log_ratio / _T),
    symbols={"log_ratio": "log(Σ K / min K), K = exp(-C/eps)", "steps": "half steps T"},
    assumptions=(POSITIVE, MASS_ONE, FROM_ZERO),
    source=ALTSCHULER,
    statement="The marginal error is at most e' after 2 log(Σ K/min K)/e'² half steps: gains add up, and Pinsker.",
)

marginal_by_gap = Claim(
    id="sinkhorn_newton/marginal-by-gap",
    kind="bound",
    quantity="least delta_k over 1 <= k <= T",
    expression=sp.sqrt(2 * _gap / _T),
    symbols={"gap": "KL(P* | P_1), P_1 the plan after the first half step", "steps": "half steps T"},
    assumptions=(POSITIVE, MASS_ONE),
    source=ALTSCHULER,
    statement="The same count with the true gap in place of its bound by the kernel.",
    hard_problem="separable costs [[0, a], [0, a]] with masses 1/2, a small: met at T = 1",
)

gap_by_marginal = Claim(
    id="sinkhorn_newton/gap-by-marginal",
    kind="bound",
    quantity="(D* - D_k)/eps",
    expression=_R * _delta,
    symbols={"radius": "R = max C/eps - log min(r, c)", "delta": "delta_k, k >= 1"},
    assumptions=(POSITIVE, MASS_ONE, NONNEGATIVE_COST, FROM_ZERO),
    source=DVURECHENSKY,
    statement="Along Sinkhorn's iteration the dual gap is at most R times the marginal error.",
)

marginal_by_radius = Claim(
    id="sinkhorn_newton/marginal-by-radius",
    kind="bound",
    quantity="delta_k",
    expression=4 * _R / (_k - 2),
    symbols={"radius": "R = max C/eps - log min(r, c)", "k": "half steps, k > 2"},
    assumptions=(POSITIVE, MASS_ONE, NONNEGATIVE_COST, FROM_ZERO),
    source=DVURECHENSKY,
    standing="checked",
    statement="The marginal error is at most e' after 2 + 4R/e' half steps.",
)
