"""Experiments on Koopman operators learned from data, split by what they speak of."""

from lemmata.experiments.koopman import limits, quadrature, residuals, spectral

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = (*quadrature.EXPERIMENTS, *residuals.EXPERIMENTS, *spectral.EXPERIMENTS, *limits.EXPERIMENTS)
