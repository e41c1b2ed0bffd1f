"""Weighted tallying bandits: elimination by blocks, what a long memory costs, and who never sees the best arm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sympy as sp

from lemmata.claims import Assumption, Claim, Source
from lemmata.theory.bandits.stochastic import HORIZON

__all__ = [
    "tallying_bound",
    "tallying_exact",
    "tallying_failure",
    "tallying_lower",
    "tallying_rate",
    "tallying_terms",
]

MALIK = Source(
    "malik2023",
    "Malik, Dhruv and Igoe, Conor and Li, Yuanzhi and Singh, Aarti",
    "Weighted tallying bandits: overcoming intractability via repeated exposure optimality",
    "International Conference on Machine Learning, PMLR 202",
    2023,
    arxiv="2305.02955",
)


def tallying_terms(gaps: Any, level: float, horizon: int) -> dict[str, float]:
    """What `tallying_bound` is made of, for gaps ``D_i = h_i(sum w) - h*``.

    An arm that stays after phase s has ``D_i <= 4 r_s``, which is ``2^s <= 8 level / D_i^2``: it is active in no more
    than ``P_i = 1 + floor(log2(8 level / D_i^2))`` phases, one at least, with ``2^{P_i + 1}`` kept rounds in all. The
    best arm is active as long as any other.

    Parameters
    ----------
    gaps : array_like, (K,)
        One of them 0.
    level : float
        ``ln(2 K S / delta)``.
    horizon : int

    Returns
    -------
    dict
        ``phases = sum_i P_i`` and ``kept = sum_i D_i (2^{P_i + 1} - 2)``.
    """
    gaps = np.asarray(gaps, dtype=np.float64)
    most = max(1, math.ceil(math.log2(horizon)))
    worse = gaps[gaps > 0]
    count = np.clip(1 + np.floor(np.log2(8 * level / worse**2)), 1, most)
    return {
        "phases": float(count.sum() + (gaps.size - worse.size) * count.max(initial=0)),
        "kept": float(np.sum(worse * (2 ** (count + 1) - 2))),
    }


def _exposed(game: Any) -> str | None:
    return None if game.env.repeated_exposure else "an arm costs less at a smaller tally than the best one at the full"


def _known(game: Any) -> str | None:
    m, told = game.env.memory, getattr(game.policy, "discarded", None)
    return None if told is None or told >= m - 1 else f"m = {m}, and a block discards {told} rewards: take m - 1"


EXPOSED = Assumption("no arm at any tally costs less than the best arm at the full one", _exposed)
KNOWN = Assumption("M >= m - 1 rewards of a block are discarded", _known)

_T, _K = sp.symbols("horizon arms", positive=True)
_M, _m, _phases, _kept = sp.symbols("discarded memory phases kept", nonnegative=True)
_S, _moved = sp.symbols("rounds_of_phases moved", nonnegative=True)
_MEMORY = {"discarded": "M rewards discarded in a block", "memory": "memory m"}

tallying_bound = Claim(
    id="bandits/tallying-bound",
    kind="mean-bound",
    direction="upper",
    quantity="complete policy regret of elimination by blocks",
    expression=1 + _m + _M * _phases + _kept,
    symbols={
        **_MEMORY,
        "phases": "Σ_i P_i, phases in which arm i is active",
        "kept": "Σ_i D_i (2^(P_i + 1) - 2), what the kept rounds cost",
    },
    assumptions=(EXPOSED, KNOWN),
    source=MALIK,
    # Hoeffding for KS averages, each of rounds with a full tally: with probability 1 - 1/T all are within r_s, the best
    # arm stays and the others go in time. Else at most T is paid, 1 in the mean; the last arm fills its tally in m.
    statement=(
        "Elimination by blocks has a complete policy regret of at most 1 + m + M Σ P_i + Σ D_i (2^(P_i + 1) - 2) under "
        "repeated-exposure optimality: the memory is paid once a block, not once a round."
    ),
    hard_problem="loose: 1.7 times the measured regret behind a threshold of 256 plays, 4 to 5 times on smooth losses",
)

tallying_exact = Claim(
    id="bandits/tallying-exact",
    kind="identity",
    quantity="complete policy regret of elimination by blocks where every loss is 1 until the best arm's tally is full",
    expression=(_K - 1) * (_M * _S + 2 ** (_S + 1) - 2) + (_m - 1) * (_S + _moved),
    symbols={
        **_MEMORY,
        "arms": "arms K",
        "rounds_of_phases": "S, phases until 2^S > 2 ln(2 K ceil(log2 T) T)",
        "moved": "1 where the best arm is not the last one, whose block goes on, else 0",
    },
    assumptions=(EXPOSED, KNOWN),
    source=MALIK,
    # nothing is random: averages are 1 and 0, and the worse are dropped once 2 r_S < 1
    tolerance=1e-12,
    statement="Memory costs (K - 1) S a unit of M and S + 1 a unit of m, added to what T costs and not multiplied.",
)

tallying_lower = Claim(
    id="bandits/tallying-lower",
    kind="mean-bound",
    direction="lower",
    quantity="complete policy regret averaged over the place of the hidden arm",
    expression=_m * (_K + 1) / 2 - 1,
    symbols={"memory": _MEMORY["memory"], "arms": "arms K"},
    assumptions=(EXPOSED,),
    source=MALIK,
    # until the hidden arm was played m times in a row every loss is 1, so nothing is learned; the j-th arm to be played
    # m times in a row cannot be so before round jm, and jm - 1 rounds have cost 1. j averages to (K + 1) / 2
    statement="Every policy pays m (K + 1) / 2 - 1 and more, T >= mK: each arm has to be tried for m rounds in a row.",
)

tallying_rate = Claim(
    id="bandits/tallying-rate",
    kind="rate",
    quantity="complete policy regret of elimination by blocks",
    expression=sp.sqrt(_K * _T * sp.log(_T)),
    symbols={**HORIZON, "arms": "arms K"},
    exponent=-1 / 2,
    logs=1 / 2,
    order="O",
    constant="order-only",
    assumptions=(EXPOSED, KNOWN),
    source=MALIK,
    standing="quoted",
    statement="Under repeated-exposure optimality the regret grows like sqrt(KT) up to logarithms, m and M added.",
)

tallying_failure = Claim(
    id="bandits/tallying-failure",
    kind="demonstration",
    quantity="complete policy regret a round of policies that know no tally",
    expression=sp.Rational(1, 10),
    symbols={},
    assumptions=(),
    source=MALIK,
    statement=(
        "Where the best arm shows only after 16 plays in a row, UCB1 and Exp3 lose a tenth and more in every round, "
        "and elimination by blocks less and less. Where losses fall gradually UCB1 is the better one."
    ),
)
