"""Single-pass streams: the law of the champion, the rate of two thirds and what levels save."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from scipy.stats import binom

from lemmata.claims import Assumption, Claim, Source
from lemmata.theory.bandits.stochastic import HORIZON

__all__ = [
    "champion_law",
    "champion_regret",
    "stream_champion",
    "stream_floor",
    "stream_lower",
    "stream_rate",
    "stream_savings",
    "stream_uniform_rate",
]

WANG = Source(
    "wang2023",
    "Wang, Chen",
    "Tight regret bounds for single-pass streaming multi-armed bandits",
    "International Conference on Machine Learning, PMLR 202, 35525-35547",
    2023,
    arxiv="2306.02208",
)


def champion_law(means: Any, pulls: int) -> np.ndarray:
    """Probability of each arm to be the champion of a stream, `pulls` pulls an arm.

    The champion gives way to strictly more successes. With G_i the distribution function of Binomial(N, mu_i), arm i is
    champion at the end where it beats all before it and none after it does better:
    ``sum_s P(s_i = s) prod_{j<i} G_j(s - 1) prod_{j>i} G_j(s)``.

    Parameters
    ----------
    means : array_like, (K,)
        In the order of the stream.
    pulls : int
        N.

    Returns
    -------
    float64[K]
        Adds up to 1.
    """
    means = np.asarray(means, dtype=np.float64)
    s = np.arange(pulls + 1)
    below, upto = (binom.cdf(s - shift, pulls, means[:, None]) for shift in (1, 0))
    law = binom.pmf(s, pulls, means[:, None])
    before = np.cumprod(np.vstack([np.ones(pulls + 1), below[:-1]]), axis=0)
    after = np.cumprod(np.vstack([np.ones(pulls + 1), upto[:0:-1]]), axis=0)[::-1]
    return np.sum(law * before * after, axis=1)


def champion_regret(means: Any, pulls: int, horizon: int) -> float:
    """``N sum_i D_i + (T - K N) sum_i P(champion = i) D_i``, the exact mean regret."""
    gaps = np.max(means) - np.asarray(means, dtype=np.float64)
    return float(pulls * gaps.sum() + (horizon - gaps.size * pulls) * (champion_law(means, pulls) @ gaps))


def _bounded_memory(game: Any) -> str | None:
    stored = len(game.policy.levels(game.stream.arms, game.horizon)[0])
    return None if stored <= max(1, game.stream.arms // 4) else f"{stored} of {game.stream.arms} arms are remembered"


def _long(game: Any) -> str | None:
    """Exploring must leave rounds to commit."""
    batch = int(game.policy.levels(game.stream.arms, game.horizon)[0][0])
    spent = batch * game.stream.arms
    return None if spent <= game.horizon else f"{batch} pulls of {game.stream.arms} arms exceed T = {game.horizon}"


MEMORY = Assumption("of o(K) arms the statistics are remembered", _bounded_memory)
LONG = Assumption("the horizon is longer than one batch of every arm", _long)

_T, _K, _N = sp.symbols("horizon arms pulls", positive=True)
_explore, _commit = sp.symbols("exploring committed", nonnegative=True)
_SYMBOLS = {**HORIZON, "arms": "arms K"}

stream_champion = Claim(
    id="bandits/stream-champion",
    kind="mean-identity",
    quantity="R_T of the champion of a stream",
    expression=_explore + _commit,
    symbols={
        "exploring": "N Σ_i D_i, N pulls of each arm",
        "committed": "(T - KN) Σ_i P(champion = i) D_i, by the law of the champion",
    },
    assumptions=(LONG,),
    source=WANG,
    # 40,000 replicates of deviation 30 leave an interval of +- .8 at the level of the decider
    tolerance=1.0,
    statement="The champion has the mean regret N Σ D_i + (T - KN) Σ P(champion = i) D_i, a finite sum of binomials.",
)

stream_rate = Claim(
    id="bandits/stream-rate",
    kind="rate",
    quantity="mean R_T of a champion of 1/eps² or ln K / eps² pulls, eps = (K/T)^(1/3), on the hard family",
    expression=_K ** sp.Rational(1, 3) * _T ** sp.Rational(2, 3),
    symbols=_SYMBOLS,
    exponent=-2 / 3,
    tolerance=0.03,
    constant="order-only",
    assumptions=(MEMORY, LONG),
    source=WANG,
    statement="On the hard family eps-best arm and commit has a regret of order T^(2/3), with one arm stored.",
)

stream_uniform_rate = Claim(
    id="bandits/stream-uniform-rate",
    kind="rate",
    quantity="mean R_T of uniform exploration on the hard family",
    expression=_K ** sp.Rational(1, 3) * _T ** sp.Rational(2, 3) * sp.log(_T) ** sp.Rational(1, 3),
    symbols=_SYMBOLS,
    exponent=-2 / 3,
    logs=1 / 3,
    order="O",
    tolerance=0.03,
    constant="order-only",
    assumptions=(MEMORY, LONG),
    source=WANG,
    statement="Uniform exploration pays the order of K^(1/3) T^(2/3) (ln T)^(1/3).",
)

stream_lower = Claim(
    id="bandits/stream-lower",
    kind="demonstration",
    quantity="least mean R_T / (K^(1/3) T^(2/3)) over all numbers of pulls, on the hard family",
    expression=sp.Rational(1, 3),
    symbols={},
    assumptions=(),
    source=WANG,
    standing="quoted",
    statement=(
        "Every policy of one pass and o(K) memory has a regret of order K^(1/3) T^(2/3) at least (no constant is "
        "quoted). Seen here: no number of pulls an arm brings the champion below a third of it, at any horizon; where "
        "no better arm ever comes last, it goes far below."
    ),
)

stream_floor = Claim(
    id="bandits/stream-floor",
    kind="mean-bound",
    direction="lower",
    quantity="R_T of a champion of N pulls on the hard family",
    expression=_N * (_K - 2) / 4,
    symbols={"pulls": "pulls N of each arm", "arms": "arms K"},
    assumptions=(MEMORY, LONG),
    source=WANG,
    # with probability 1/2 the last arm pays 1, and the K - 2 arms of mean 1/2 before it have cost N/2 each
    statement="The champion pays N (K - 2) / 4 and more on the hard family: a pull before the better arm is lost.",
)

stream_savings = Claim(
    id="bandits/stream-savings",
    kind="demonstration",
    quantity="regret of log-levels and log-star over that of uniform exploration, at T = 1000 K³",
    expression=sp.Rational(8, 25),
    symbols={},
    assumptions=(),
    source=WANG,
    # at this horizon nearly all regret is exploration, of 1/eps² pulls an arm and more: saving 1 - (ln T)^(-1/3) at
    # most where gaps are equal, 66 % at K = 500 and 69 % at K = 5,000
    statement=(
        "Charged to the arm that is pulled, levels cost .32 and more of uniform exploration at T = 1000 K³: they save "
        "two thirds. Savings above are seen where a challenge is charged to the arm stored, which is the better one."
    ),
)
