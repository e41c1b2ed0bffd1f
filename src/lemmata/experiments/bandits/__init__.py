"""Experiments on bandits, split by what is claimed."""

from lemmata.experiments.bandits import adversarial, exact, linear, stochastic

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = (
    *exact.EXPERIMENTS,
    *stochastic.EXPERIMENTS,
    *adversarial.EXPERIMENTS,
    *linear.EXPERIMENTS,
)
