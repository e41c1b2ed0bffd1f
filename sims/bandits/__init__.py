"""Numba simulators of bandit policies."""

from lemmata.sims.bandits.contextual import simulate_contextual
from lemmata.sims.bandits.dynamical import simulate_dynamical
from lemmata.sims.bandits.engine import expectation, identify, simulate, trajectory
from lemmata.sims.bandits.last_switch import (
    greedy_last_switch,
    interleave,
    last_switch_optimum,
    last_switch_relaxation,
    recharging_optimum,
)
from lemmata.sims.bandits.linear import elliptical_potential
from lemmata.sims.bandits.policies import policy_words
from lemmata.sims.bandits.recovering import (
    best_cycle,
    periodic_optimum,
    periodic_policy,
    play_periodic,
    recovering_relaxation,
    simulate_recovering,
)
from lemmata.sims.bandits.streaming import simulate_stream
from lemmata.sims.bandits.tallying import simulate_tallying

__all__ = [
    "best_cycle",
    "elliptical_potential",
    "expectation",
    "greedy_last_switch",
    "identify",
    "interleave",
    "last_switch_optimum",
    "last_switch_relaxation",
    "periodic_optimum",
    "periodic_policy",
    "play_periodic",
    "policy_words",
    "recharging_optimum",
    "recovering_relaxation",
    "simulate",
    "simulate_contextual",
    "simulate_dynamical",
    "simulate_recovering",
    "simulate_stream",
    "simulate_tallying",
    "trajectory",
]
