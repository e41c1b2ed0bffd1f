"""Experiments on Koopman operators learned from data, split by what they speak of."""

from lemmata.experiments.koopman import limits, quadrature, residuals, series, spectral
from lemmata.experiments.koopman.shared import single_threaded

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = tuple(
    single_threaded(experiment)
    for family in (quadrature, residuals, spectral, limits, series)
    for experiment in family.EXPERIMENTS
)
