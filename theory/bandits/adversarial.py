"""Adversarial bandits: bounds that hold for every sequence of losses, and what they are worth on random ones."""

from __future__ import annotations

from typing import Any

import sympy as sp

from lemmata.claims import Claim, Source
from lemmata.theory.bandits.stochastic import _K, _T, ARMS, HORIZON, NONSTOCHASTIC, UNIT, _exact

__all__ = [
    "exp3_bound",
    "exp3_exact",
    "exp3_fixed_step",
    "tsallis_bound",
    "tsallis_exact",
    "tsallis_rv_bound",
    "ucb1_adversarial",
]

BUBECK = Source(
    "bubeck2012",
    "Bubeck, Sébastien and Cesa-Bianchi, Nicolò",
    "Regret analysis of stochastic and nonstochastic multi-armed bandit problems",
    "Foundations and Trends in Machine Learning 5, 1-122",
    2012,
    "Theorem 3.1",
    arxiv="1204.5721",
)
ZIMMERT = Source(
    "zimmert2021",
    "Zimmert, Julian and Seldin, Yevgeny",
    "Tsallis-INF: an optimal algorithm for stochastic and adversarial bandits",
    "Journal of Machine Learning Research 22, 1-49",
    2021,
    "Theorem 1",
    arxiv="1807.07623",
)

exp3_exact = _exact("exp3-exact", "Exp3", BUBECK, 0.01, "mean-identity")
tsallis_exact = _exact("tsallis-exact", "Tsallis-INF", ZIMMERT, 0.01, "mean-identity")

_LOSS = "loss less that of the best fixed arm"


def _bound(id_: str, policy: str, expression: Any, source: Source, statement: str) -> Claim:
    return Claim(
        id=f"bandits/{id_}",
        kind="mean-bound",
        quantity=f"{_LOSS}, {policy}",
        expression=expression,
        symbols={**HORIZON, **ARMS},
        assumptions=(UNIT,),
        source=source,
        standing="quoted",
        statement=statement,
    )


exp3_bound = _bound(
    "exp3-bound",
    "Exp3",
    sp.sqrt(2 * _T * _K * sp.log(_K)),
    BUBECK,
    "With η = sqrt(2 ln K / (KT)), Exp3 has a regret of at most sqrt(2 T K ln K) against every sequence of losses.",
)
tsallis_bound = _bound(
    "tsallis-bound",
    "Tsallis-INF",
    4 * sp.sqrt(_K * _T) + 1,
    ZIMMERT,
    "Tsallis-INF with importance weighting has a regret of at most 4 sqrt(KT) + 1 against every sequence of losses.",
)
tsallis_rv_bound = _bound(
    "tsallis-rv-bound",
    "Tsallis-INF of reduced variance",
    2 * sp.sqrt(_K * _T) + 10 * _K * sp.log(_T) + 16,
    ZIMMERT,
    "Tsallis-INF of reduced variance has a regret of at most 2 sqrt(KT) + 10 K ln T + 16 against every sequence.",
)

ucb1_adversarial = Claim(
    id="bandits/ucb1-adversarial",
    kind="demonstration",
    quantity=f"({_LOSS}) / T",
    expression=sp.Rational(9, 20),
    symbols={},
    assumptions=(UNIT,),
    source=NONSTOCHASTIC,
    statement=(
        "Two arms whose losses alternate 1, 0: UCB1 pulls the arm that loses in every round, and its regret is T/2; "
        "Tsallis-INF stays below 4 sqrt(KT) + 1."
    ),
)

exp3_fixed_step = Claim(
    id="bandits/exp3-fixed-step",
    kind="demonstration",
    quantity="slope of ln R_T in ln T over the last octave, losses Bernoulli",
    expression=sp.Rational(2, 5),
    symbols={},
    assumptions=(UNIT,),
    source=ZIMMERT,
    statement=(
        "On random losses with a gap, Exp3 with the learning rate of its bound still pays of the order sqrt(T), while "
        "Tsallis-INF, knowing no more, pays of the order ln T."
    ),
)
