"""Stochastic bandits: exact values, finite bounds, rates on the hard families, lower bounds, identification."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import sympy as sp
from scipy.special import ndtr

from lemmata.claims import Assumption, Claim, Source
from lemmata.errors import DomainError

__all__ = [
    "confidence_ucb_bound",
    "confidence_ucb_worst_case",
    "elimination_best_arm",
    "elimination_exact",
    "epsilon_greedy_exact",
    "epsilon_greedy_linear",
    "epsilon_greedy_lower",
    "etc_bound",
    "etc_error",
    "etc_exact",
    "etc_gaussian",
    "etc_optimal_pulls",
    "etc_rate",
    "kl_ucb_exact",
    "kl_ucb_lai_robbins",
    "lucb_best_arm",
    "minimax_lower",
    "moss_bound",
    "moss_exact",
    "moss_rate",
    "moss_subgaussian_bound",
    "thompson_exact",
    "thompson_lai_robbins",
    "ucb1_bound",
    "ucb1_exact",
    "ucb1_rate",
]

# ---------------------------------------------------------------------------------------------- sources

AUER = Source(
    "auer2002",
    "Auer, Peter and Cesa-Bianchi, Nicolò and Fischer, Paul",
    "Finite-time analysis of the multiarmed bandit problem",
    "Machine Learning 47, 235-256",
    2002,
    "Theorem 1",
    doi="10.1023/A:1013689704352",
)
LATTIMORE = "Lattimore, Tor and Szepesvári, Csaba"


def _book(theorem: str) -> Source:
    return Source(
        "lattimore2020",
        LATTIMORE,
        "Bandit Algorithms",
        "Cambridge University Press",
        2020,
        theorem,
        doi="10.1017/9781108571401",
    )


AUDIBERT = Source(
    "audibert2009",
    "Audibert, Jean-Yves and Bubeck, Sébastien",
    "Minimax policies for adversarial and stochastic bandits",
    "Conference on Learning Theory",
    2009,
)
GARIVIER = Source(
    "garivier2011",
    "Garivier, Aurélien and Cappé, Olivier",
    "The KL-UCB algorithm for bounded stochastic bandits and beyond",
    "Conference on Learning Theory, PMLR 19, 359-376",
    2011,
    "Theorem 1",
    arxiv="1102.2490",
)
AGRAWAL = Source(
    "agrawal2013",
    "Agrawal, Shipra and Goyal, Navin",
    "Further optimal regret bounds for Thompson sampling",
    "Artificial Intelligence and Statistics, PMLR 31, 99-107",
    2013,
    "Theorem 1",
    arxiv="1209.3353",
)
LAI_ROBBINS = Source(
    "lai1985",
    "Lai, Tze Leung and Robbins, Herbert",
    "Asymptotically efficient adaptive allocation rules",
    "Advances in Applied Mathematics 6, 4-22",
    1985,
    "Theorem 1",
    doi="10.1016/0196-8858(85)90002-8",
)
NONSTOCHASTIC = Source(
    "auer2002b",
    "Auer, Peter and Cesa-Bianchi, Nicolò and Freund, Yoav and Schapire, Robert E.",
    "The nonstochastic multiarmed bandit problem",
    "SIAM Journal on Computing 32, 48-77",
    2002,
    "Theorem 5.1",
    doi="10.1137/S0097539701398375",
)
EVEN_DAR = Source(
    "evendar2006",
    "Even-Dar, Eyal and Mannor, Shie and Mansour, Yishay",
    "Action elimination and stopping conditions for the multi-armed bandit and reinforcement learning problems",
    "Journal of Machine Learning Research 7, 1079-1105",
    2006,
    "Theorem 8",
)
KALYANAKRISHNAN = Source(
    "kalyanakrishnan2012",
    "Kalyanakrishnan, Shivaram and Tewari, Ambuj and Auer, Peter and Stone, Peter",
    "PAC subset selection in stochastic multi-armed bandits",
    "International Conference on Machine Learning, 227-234",
    2012,
    "Section 3",
)

# ------------------------------------------------------------------------------------------ assumptions


def _outside_unit(game: Any) -> str | None:
    return None if game.env.unit else f"{type(game.env).__name__} pays rewards outside [0, 1]"


def _not_bernoulli(game: Any) -> str | None:
    return None if game.env.binary else f"{type(game.env).__name__} pays rewards other than 0 and 1"


def _too_noisy(game: Any) -> str | None:
    scale = 0.5 if game.env.unit else game.env.sigma
    return None if scale <= 1 else f"the rewards have standard deviation {scale:g} > 1"


def _not_gaussian_pair(game: Any) -> str | None:
    sigma = getattr(game.env, "sigma", None)
    return None if game.env.arms == 2 and sigma == 1 else f"K = {game.env.arms}, sigma = {sigma}"


def _short(game: Any) -> str | None:
    horizon, explored = game.horizon, game.policy.pulls * game.env.arms
    return None if horizon >= explored else f"T = {horizon} < m K = {explored}"


UNIT = Assumption("rewards lie in [0, 1]", _outside_unit)
BERNOULLI = Assumption("rewards are Bernoulli", _not_bernoulli)
SUBGAUSSIAN = Assumption("rewards are 1-subgaussian", _too_noisy)
GAUSSIAN_PAIR = Assumption("two Gaussian arms of variance 1", _not_gaussian_pair)
LONG = Assumption("the horizon covers the exploration", _short)

# -------------------------------------------------------------------------------------------- symbols

_T, _K = sp.symbols("horizon arms", positive=True, integer=True)
_inverse, _gaps, _D, _m = sp.symbols("inverse_gaps gaps gap pulls", positive=True)
_value, _error, _eps, _mean_gap = sp.symbols("value error epsilon mean_gap", nonnegative=True)

HORIZON = {"horizon": "rounds T"}
ARMS = {"arms": "number of arms K"}
SUMS = {"inverse_gaps": "sum of 1/D_i over D_i > 0", "gaps": "sum of D_i"}

# ---------------------------------------------------------------------------------------- exact values


def _exact(id_: str, policy: str, source: Source, tolerance: float = 1e-12, kind: Any = "identity") -> Claim:
    return Claim(
        id=f"bandits/{id_}",
        kind=kind,
        quantity=f"{'' if kind == 'mean-identity' else 'E '}R_T of {policy}",
        expression=_value,
        symbols={"value": "R_T by rational enumeration over counts and sums, or over histories"},
        assumptions=(BERNOULLI,),
        source=source,
        standing="checked",
        tolerance=tolerance,
        statement=f"Over a few rounds the expected regret of {policy} is a known number.",
    )


GREEDY = replace(AUER, theorem="Figure 3")

ucb1_exact = _exact("ucb1-exact", "UCB1", replace(AUER, theorem="Figure 1"))
moss_exact = _exact("moss-exact", "MOSS", AUDIBERT)
kl_ucb_exact = _exact("kl-ucb-exact", "KL-UCB", GARIVIER)
etc_exact = _exact("etc-exact", "explore-then-commit", _book("Algorithm 1"))
elimination_exact = _exact("elimination-exact", "successive elimination", EVEN_DAR)
# two arms, T = 8: the regret has a standard deviation of .4, and 10^5 replicates an interval of +- .007
thompson_exact = _exact("thompson-exact", "Thompson sampling, Beta(1, 1)", AGRAWAL, 0.01, "mean-identity")
epsilon_greedy_exact = _exact("epsilon-greedy-exact", "epsilon-greedy", GREEDY, 0.04, "mean-identity")

# ------------------------------------------------------------------------------------------- bounds

ucb1_bound = Claim(
    id="bandits/ucb1-bound",
    kind="mean-bound",
    quantity="R_T of UCB1",
    expression=8 * sp.log(_T) * _inverse + (1 + sp.pi**2 / 3) * _gaps,
    symbols={**HORIZON, **SUMS},
    assumptions=(UNIT,),
    source=AUER,
    standing="quoted",
    statement="UCB1 has an expected regret of at most 8 Σ ln T / D_i + (1 + π²/3) Σ D_i after any number of rounds.",
    hard_problem="loose: 11 times the measured regret on ten arms with gap .1, T = 10^4",
)

confidence_ucb_bound = Claim(
    id="bandits/confidence-ucb-bound",
    kind="mean-bound",
    quantity="R_T of UCB with delta = 1/T²",
    expression=3 * _gaps + 16 * sp.log(_T) * _inverse,
    symbols={**HORIZON, **SUMS},
    assumptions=(SUBGAUSSIAN,),
    source=_book("Theorem 7.1"),
    standing="quoted",
    statement="UCB with radius sqrt(4 ln T / n_i) has E R_T <= 3 Σ D_i + Σ 16 ln T / D_i on 1-subgaussian rewards.",
)

confidence_ucb_worst_case = Claim(
    id="bandits/confidence-ucb-worst-case",
    kind="mean-bound",
    quantity="R_T of UCB with delta = 1/T²",
    expression=8 * sp.sqrt(_K * _T * sp.log(_T)) + 3 * _gaps,
    symbols={**HORIZON, **ARMS, "gaps": SUMS["gaps"]},
    assumptions=(SUBGAUSSIAN,),
    source=_book("Theorem 7.2"),
    standing="quoted",
    statement="Whatever the gaps, UCB with radius sqrt(4 ln T / n_i) has E R_T <= 8 sqrt(KT ln T) + 3 Σ D_i.",
)

moss_bound = Claim(
    id="bandits/moss-bound",
    kind="mean-bound",
    quantity="R_T of MOSS",
    expression=49 * sp.sqrt(_K * _T),
    symbols={**HORIZON, **ARMS},
    assumptions=(UNIT,),
    source=AUDIBERT,
    standing="quoted",
    statement="MOSS has E R_T <= 49 sqrt(KT) on rewards in [0, 1], whatever the gaps: no logarithm.",
    hard_problem="loose by a factor of about 70 on the family 1/2, 1/2 + c sqrt(K/T)",
)

moss_subgaussian_bound = Claim(
    id="bandits/moss-subgaussian-bound",
    kind="mean-bound",
    quantity="R_T of MOSS, subgaussian form",
    expression=39 * sp.sqrt(_K * _T) + _gaps,
    symbols={**HORIZON, **ARMS, "gaps": SUMS["gaps"]},
    assumptions=(SUBGAUSSIAN,),
    source=_book("Theorem 9.1"),
    standing="quoted",
    statement="MOSS with radius sqrt((4/n_i) ln⁺(T/(K n_i))) has E R_T <= 39 sqrt(KT) + Σ D_i, rewards 1-subgaussian.",
)

# ---------------------------------------------------------------------------- explore-then-commit


def etc_error(pulls: Any, gap: Any) -> np.ndarray:
    """``Phi(-gap sqrt(pulls / 2))``: the worse of two Gaussian arms of variance 1 has the larger mean of `pulls`."""
    return ndtr(-np.asarray(gap) * np.sqrt(np.asarray(pulls) / 2))


def etc_optimal_pulls(gap: float, horizon: int) -> int:
    """``max(1, ceil((4 / gap^2) ln(T gap^2 / 4)))``, the exploration for which `etc_bound` is proved."""
    if not (gap > 0 and horizon >= 1):
        raise DomainError(f"the gap must be > 0 and T >= 1, got gap = {gap}, T = {horizon}")
    return max(1, math.ceil(4 / gap**2 * math.log(horizon * gap**2 / 4)))


etc_gaussian = Claim(
    id="bandits/etc-gaussian",
    kind="mean-identity",
    quantity="R_T of explore-then-commit",
    expression=_m * _D + (_T - 2 * _m) * _D * _error,
    symbols={
        "pulls": "pulls m of each arm before it commits",
        "gap": "D, between two arms N(., 1)",
        **HORIZON,
        "error": "Φ(-D sqrt(m/2)), the probability that it commits to the worse arm",
    },
    assumptions=(GAUSSIAN_PAIR, LONG),
    source=_book("Chapter 6"),
    # the regret has a standard deviation of some 45, and 10^5 replicates an interval of +- .9
    tolerance=1.5,
    statement="On two arms N(., 1) explore-then-commit has E R_T = mD + (T - 2m) D Φ(-D sqrt(m/2)) exactly.",
)

etc_bound = Claim(
    id="bandits/etc-bound",
    kind="mean-bound",
    quantity="R_T of explore-then-commit, m = max(1, ceil((4/D²) ln(T D²/4)))",
    expression=sp.Min(_T * _D, _D + (4 / _D) * (1 + sp.Max(0, sp.log(_T * _D**2 / 4)))),
    symbols={**HORIZON, "gap": "D, between two arms"},
    assumptions=(SUBGAUSSIAN, LONG),
    source=_book("Equation 6.6"),
    standing="quoted",
    statement="Tuned to its gap, explore-then-commit has E R_T <= min(TD, D + (4/D)(1 + max(0, ln(T D²/4)))).",
    hard_problem="two Gaussian arms: the bound is 1.2 to 1.3 times the exact regret",
)

etc_rate = Claim(
    id="bandits/etc-rate",
    kind="rate",
    quantity="mean R_T of explore-then-commit with m = ceil((T/K)^(2/3) (ln T)^(1/3))",
    expression=_T ** sp.Rational(2, 3) * sp.log(_T) ** sp.Rational(1, 3),
    symbols=HORIZON,
    exponent=-2 / 3,
    logs=1 / 3,
    tolerance=0.04,
    constant="order-only",
    assumptions=(UNIT,),
    source=_book("Chapter 6"),
    statement="Tuned to the horizon alone, explore-then-commit pays of the order T^(2/3) (ln T)^(1/3) for exploring.",
)

# -------------------------------------------------------------------------------------- epsilon-greedy

epsilon_greedy_lower = Claim(
    id="bandits/epsilon-greedy-lower",
    kind="mean-bound",
    direction="lower",
    quantity="R_T of constant epsilon-greedy",
    expression=_gaps + _eps * (_T - _K) * _mean_gap,
    symbols={
        **HORIZON,
        **ARMS,
        "gaps": SUMS["gaps"],
        "epsilon": "probability of exploring",
        "mean_gap": "average of D_i over all arms, the best included",
    },
    assumptions=(),
    source=GREEDY,
    statement="Exploring with probability ε for ever costs at least Σ D_i + ε (T - K) (1/K) Σ D_i.",
)

epsilon_greedy_linear = Claim(
    id="bandits/epsilon-greedy-linear",
    kind="rate",
    quantity="mean R_T of constant epsilon-greedy",
    expression=_T,
    symbols=HORIZON,
    exponent=-1.0,
    constant="order-only",
    assumptions=(),
    source=GREEDY,
    statement="The regret of epsilon-greedy with a constant ε is linear.",
)

# --------------------------------------------------------------------------- rates on the hard family

_FAMILY = "K arms of mean 1/2, one of them 1/2 + c sqrt(K/T)"

ucb1_rate = Claim(
    id="bandits/ucb1-rate",
    kind="rate",
    quantity=f"mean R_T of UCB1 on {_FAMILY}",
    expression=sp.sqrt(_T * sp.log(_T)),
    symbols=HORIZON,
    exponent=-0.5,
    logs=0.5,
    constant="order-only",
    assumptions=(UNIT,),
    source=AUER,
    statement="On the hard family of gaps c sqrt(K/T) UCB1 pays of the order sqrt(T ln T).",
    hard_problem=_FAMILY,
)

moss_rate = Claim(
    id="bandits/moss-rate",
    kind="rate",
    quantity=f"mean R_T of MOSS on {_FAMILY}",
    expression=sp.sqrt(_T),
    symbols=HORIZON,
    exponent=-0.5,
    constant="order-only",
    assumptions=(UNIT,),
    source=AUDIBERT,
    statement="On the hard family of gaps c sqrt(K/T) MOSS pays of the order sqrt(T), without a logarithm.",
    hard_problem=_FAMILY,
)

# ------------------------------------------------------------------------------------- lower bounds

minimax_lower = Claim(
    id="bandits/minimax-lower",
    kind="mean-bound",
    direction="lower",
    quantity=f"R_T averaged over the place of the best arm, {_FAMILY}",
    expression=sp.Min(sp.sqrt(_K * _T), _T) / 20,
    symbols={**HORIZON, **ARMS},
    assumptions=(BERNOULLI,),
    source=NONSTOCHASTIC,
    standing="quoted",
    statement="Every policy has a regret of at least min(sqrt(KT), T)/20 on some Bernoulli instance of K arms.",
    hard_problem=_FAMILY,
)


def _lai_robbins(id_: str, policy: str, source: Source, tolerance: float, seen: str) -> Claim:
    return Claim(
        id=f"bandits/{id_}",
        kind="mean-identity",
        quantity=f"(R_2T - R_T) / (C ln 2) of {policy}",
        expression=sp.Integer(1),
        symbols={},
        assumptions=(BERNOULLI,),
        source=source,
        standing="checked",
        constant="asymptotic",
        tolerance=tolerance,
        statement=(
            f"R_T of {policy} grows like C ln T, the least that Lai and Robbins allow, C = Σ D_i / kl(μ_i, μ*); R_T "
            f"itself may lie far below C ln T. Its slope in ln T nears C slowly: {seen}."
        ),
    )


thompson_lai_robbins = _lai_robbins(
    "thompson-lai-robbins",
    "Thompson sampling",
    AGRAWAL,
    0.35,
    "from below, within 35 per cent at T = 4,000 on means .5, .1 and on .50, .45, ..., .05",
)
kl_ucb_lai_robbins = _lai_robbins(
    "kl-ucb-lai-robbins",
    "KL-UCB",
    GARIVIER,
    0.6,
    "from above, within 60 per cent at T = 4,000 on means .5, .1, and within 41 near 10^5 on .50, .45, ..., .05",
)

# ------------------------------------------------------------------------------------ identification


def _best_arm(id_: str, policy: str, source: Source) -> Claim:
    return Claim(
        id=f"bandits/{id_}",
        kind="tail-bound",
        quantity=f"gap of the arm that {policy} names",
        expression=sp.Integer(0),
        symbols={},
        assumptions=(UNIT,),
        source=source,
        delta=0.1,
        standing="checked",
        statement=f"{policy} at confidence 1 - δ names an arm that is not the best with probability at most δ.",
    )


elimination_best_arm = _best_arm("elimination-best-arm", "Successive elimination", EVEN_DAR)
lucb_best_arm = _best_arm("lucb-best-arm", "LUCB", KALYANAKRISHNAN)
