"""Figures on monotone deep Boltzmann machines, one module each."""

from lemmata.figures import Figure
from lemmata.paper_figures.monotone_dbm import contraction, elbo_gap, oscillation

__all__ = ["FIGURES"]

FIGURES: tuple[Figure, ...] = (*contraction.FIGURES, *oscillation.FIGURES, *elbo_gap.FIGURES)
