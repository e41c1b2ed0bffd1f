"""Numba simulators of bandit policies."""

from lemmata.sims.bandits.contextual import simulate_contextual
from lemmata.sims.bandits.dynamical import simulate_dynamical
from lemmata.sims.bandits.engine import expectation, identify, simulate, trajectory
from lemmata.sims.bandits.linear import elliptical_potential
from lemmata.sims.bandits.policies import policy_words
from lemmata.sims.bandits.streaming import simulate_stream
from lemmata.sims.bandits.tallying import simulate_tallying

__all__ = [
    "elliptical_potential",
    "expectation",
    "identify",
    "policy_words",
    "simulate",
    "simulate_contextual",
    "simulate_dynamical",
    "simulate_stream",
    "simulate_tallying",
    "trajectory",
]
