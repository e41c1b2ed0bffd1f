"""Figures on Koopman operators learned from data, one module each."""

from lemmata.figures import Figure
from lemmata.paper_figures.koopman import (
    adversarial_disc,
    certified_error,
    limits,
    pollution,
    pseudospectrum,
    spectral_measure,
    torus,
    wasserstein,
)

__all__ = ["FIGURES"]

FIGURES: tuple[Figure, ...] = (
    *adversarial_disc.FIGURES,
    *certified_error.FIGURES,
    *limits.FIGURES,
    *pollution.FIGURES,
    *pseudospectrum.FIGURES,
    *spectral_measure.FIGURES,
    *torus.FIGURES,
    *wasserstein.FIGURES,
)
