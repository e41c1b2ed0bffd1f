"""Recovering rewards: a relaxation that nobody beats, periodic plans with a guarantee, what learning costs."""

from __future__ import annotations

import sympy as sp

from lemmata.claims import Claim, Source
from lemmata.theory.bandits.stochastic import HORIZON, NONSTOCHASTIC

__all__ = [
    "recovering_failure",
    "recovering_hard_rate",
    "recovering_lower",
    "recovering_periodic",
    "recovering_rate",
    "recovering_relaxation",
]

SIMCHI_LEVI = Source(
    "simchilevi2021",
    "Simchi-Levi, David and Zheng, Zeyu and Zhu, Feng",
    "Dynamic planning and learning under recovering rewards",
    "International Conference on Machine Learning, PMLR 139",
    2021,
)

_L, _K, _a = sp.symbols("relaxation capacity base", positive=True)
_mixed = sp.Symbol("mixed", nonnegative=True)
_RELAXATION = {"relaxation": "max Σ R_i(τ) z_iτ subject to Σ z <= K and Σ_τ τ z_iτ <= 1, a round"}

recovering_relaxation = Claim(
    id="bandits/recovering-relaxation",
    kind="bound",
    direction="upper",
    quantity="mean reward a round of the best schedule",
    expression=_L,
    symbols=_RELAXATION,
    assumptions=(),
    source=SIMCHI_LEVI,
    # z_iτ, the share of rounds in which arm i is pulled at delay τ, is feasible: delays add up to time
    statement="No schedule earns more in the long run than the relaxation, which keeps only how often arms are pulled.",
)

recovering_periodic = Claim(
    id="bandits/recovering-periodic",
    kind="bound",
    direction="lower",
    quantity="mean reward a round of a purely periodic schedule of base a",
    expression=(1 - (_a - 1) / _K) * _a / (_a + 1) * _L - _mixed,
    symbols={
        **_RELAXATION,
        "capacity": "K, pulls a round",
        "base": "a, 1 to K",
        "mixed": "share of the one arm whose rate is no whole period",
    },
    assumptions=(),
    source=SIMCHI_LEVI,
    # the relaxation is concave in K and 0 at K = 0, so K - a + 1 pulls are worth 1 - (a-1)/K of it; a period is at most
    # (a+1)/a times the delay asked for, and pays no less; arms of one odd part fill whole slots but one
    statement=(
        "Periodic pulls earn (1 - (a-1)/K) a/(a+1) of the relaxation, 1 - 2/sqrt(K) for a = sqrt(K), but for one arm."
    ),
    hard_problem="K d equal arms that pay from d = a 2^j + 1 rounds on: 1 + 1/(a 2^j) of what is promised",
)

_T, _N = sp.symbols("horizon arms", positive=True)
_ARMS = {**HORIZON, "arms": "arms N"}

recovering_rate = Claim(
    id="bandits/recovering-rate",
    kind="rate",
    quantity="regret of learning against the best plan of periods 1, 2, 4, ... of the true rewards",
    expression=_N * sp.sqrt(_T * sp.log(_T)),
    symbols=_ARMS,
    exponent=-1 / 2,
    logs=1 / 2,
    order="O",
    constant="order-only",
    assumptions=(),
    source=SIMCHI_LEVI,
    # limits hold but for a chance of N D / T^3. A plan that is best under upper limits promises no less than the true
    # best one, so a phase loses what its pulls' limits exceed their means by, and a first pull an arm. There are
    # sqrt(2T/L) phases; the excess 2 sqrt(2 ln T / n) sums to O(sqrt(N K T ln T log D)), and an arm and period that is
    # new in a phase of at most sqrt(2TL) rounds costs 2 sqrt(2TL)/d. The paper plans by the relaxation.
    statement="Planning exactly with upper limits loses O(N sqrt(T ln T)) to one who knows the rewards.",
)

recovering_hard_rate = Claim(
    id="bandits/recovering-hard-rate",
    kind="rate",
    quantity="regret of learning on arms that need no rest, one of them better by sqrt(N/T)",
    expression=sp.sqrt(_N * _T),
    symbols=_ARMS,
    exponent=-1 / 2,
    constant="order-only",
    tolerance=0.07,  # what is left of the logarithm on two decades
    assumptions=(),
    source=SIMCHI_LEVI,
    standing="checked",
    statement="Where an arm is better by sqrt(N/T) only, the square root is met.",
)

recovering_lower = Claim(
    id="bandits/recovering-lower",
    kind="mean-bound",
    direction="lower",
    quantity="regret averaged over the place of the best arm, arms that need no rest, c = 1",
    expression=sp.Min(sp.sqrt(_N * _T), _T) / 20,
    symbols=_ARMS,
    assumptions=(),
    source=NONSTOCHASTIC,
    standing="quoted",
    statement="Arms that need no rest are a bandit: nobody loses less than min(sqrt(NT), T)/20 on all of them.",
)

recovering_failure = Claim(
    id="bandits/recovering-failure",
    kind="demonstration",
    quantity="regret a round of UCB1, which knows of no recovery",
    expression=sp.Rational(1, 10),
    symbols={},
    assumptions=(),
    source=SIMCHI_LEVI,
    statement="Where arms pay only after a rest, UCB1 loses a tenth and more in every round, and a plan less and less.",
)
