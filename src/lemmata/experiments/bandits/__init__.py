"""Experiments on bandits, split by what is claimed."""

from lemmata.experiments.bandits import (
    adversarial,
    contextual,
    dynamical,
    exact,
    linear,
    stochastic,
    streaming,
    tallying,
)

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = (
    *exact.EXPERIMENTS,
    *stochastic.EXPERIMENTS,
    *adversarial.EXPERIMENTS,
    *linear.EXPERIMENTS,
    *dynamical.EXPERIMENTS,
    *contextual.EXPERIMENTS,
    *streaming.EXPERIMENTS,
    *tallying.EXPERIMENTS,
)
