"""Experiments on monotone deep Boltzmann machines, split by what they speak of."""

from lemmata.experiments.monotone_dbm import digits, inference, iterations, model

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = (*model.EXPERIMENTS, *iterations.EXPERIMENTS, *inference.EXPERIMENTS, *digits.EXPERIMENTS)
