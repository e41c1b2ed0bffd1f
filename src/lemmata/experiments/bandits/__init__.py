"""Experiments on bandits, split by what is claimed."""

from lemmata.experiments.bandits import (
    adversarial,
    contextual,
    dynamical,
    exact,
    last_switch,
    linear,
    recovering,
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
    *recovering.EXPERIMENTS,
    *last_switch.EXPERIMENTS,
)
