"""Rewards that depend on the last switch: exact optimum, relaxation, and what randomised interleaving guarantees.

The ratio of the paper's algorithm and the exponent of its regret are not restated here: what is claimed below is
derived. With monotone payoffs the game pays no less than the recharging one that takes every play in a row for the most
worn one, and interleaving earns ``1 - 1/e`` of *its* relaxation; where plays in a row all pay alike (m = 1), that is
``1 - 1/e`` of the optimum. Beyond m = 1 the gap between the two relaxations is an instance's own.
"""

from __future__ import annotations

import sympy as sp

from lemmata.claims import Claim, Source

__all__ = [
    "last_switch_crowd",
    "last_switch_failure",
    "last_switch_interleaving",
    "last_switch_one_arm",
    "last_switch_relaxation",
]

FOUSSOUL = Source(
    "foussoul2023",
    "Foussoul, Ayoub and Goyal, Vineet and Papadigenopoulos, Orestis and Zeevi, Assaf",
    "Last switch dependent bandits with monotone payoff functions",
    "International Conference on Machine Learning, PMLR 202",
    2023,
)

_L, _low, _best = sp.symbols("relaxation recharging best", positive=True)

last_switch_one_arm = Claim(
    id="bandits/last-switch-one-arm",
    kind="identity",
    quantity="mean reward a round of the best schedule of one arm",
    expression=_best,
    symbols={"best": "max over τ, r of (f(τ) + f(-1) + ... + f(1 - r))/(τ + r), and f(-m)"},
    assumptions=(),
    source=FOUSSOUL,
    tolerance=1e-12,
    statement="One arm is best played in one kind of cycle: rest for τ rounds, play r, again and again.",
)

last_switch_relaxation = Claim(
    id="bandits/last-switch-relaxation",
    kind="bound",
    direction="upper",
    quantity="mean reward a round of the best schedule",
    expression=_L,
    symbols={"relaxation": "the best mixture of cycles, Σ (τ + r) w <= 1 an arm and Σ r w <= 1 in all"},
    assumptions=(),
    source=FOUSSOUL,
    # between two rests an arm makes a cycle; the shares of cycles in a schedule are feasible
    statement="No schedule earns more in the long run than the best mixture of cycles of rest and plays.",
)

last_switch_interleaving = Claim(
    id="bandits/last-switch-interleaving",
    kind="mean-bound",
    direction="lower",
    quantity="mean reward a round of randomised interleaving",
    expression=(1 - sp.exp(-1)) * _low,
    symbols={"recharging": "relaxation of the recharging bandit that pays f(τ - 1) at delay τ and f(-m) at delay 1"},
    assumptions=(),
    source=FOUSSOUL,
    # candidates of a round are independent; the best of independent ones is worth 1 - 1/e of what they would be if they
    # excluded one another (correlation gap of the maximum); who is passed over is better rested, and pays no less
    statement="Arms that are candidates at independent random offsets, best candidate played, earn 1 - 1/e of it.",
    hard_problem="N equal arms of delay N: 1 - (1 - 1/N)^N of the optimum, 1.03 times what is promised at N = 12",
)

_N = sp.Symbol("arms", positive=True)

last_switch_crowd = Claim(
    id="bandits/last-switch-crowd",
    kind="mean-identity",
    quantity="mean reward a round of randomised interleaving, N equal arms that pay 1 at delay N and nothing earlier",
    expression=1 - (1 - 1 / _N) ** _N,
    symbols={"arms": "arms N"},
    assumptions=(),
    source=FOUSSOUL,
    tolerance=0.01,  # a third of what a plan of a round too long costs at N = 12
    # every arm has one candidate round in N; a round that is nobody's is lost
    statement="Interleaving loses a round with probability (1 - 1/N)^N where a schedule in turn loses none.",
)

last_switch_failure = Claim(
    id="bandits/last-switch-failure",
    kind="demonstration",
    quantity="share of the optimum that is lost by playing what pays most at once",
    expression=sp.Rational(1, 2),
    symbols={},
    assumptions=(),
    source=FOUSSOUL,
    statement="Who always plays what pays most now never rests an arm, and can lose more than half; there is no ratio.",
)
