"""Numba simulators of bandit policies."""

from lemmata.sims.bandits.engine import expectation, identify, simulate, trajectory
from lemmata.sims.bandits.linear import elliptical_potential
from lemmata.sims.bandits.policies import policy_words

__all__ = ["elliptical_potential", "expectation", "identify", "policy_words", "simulate", "trajectory"]
