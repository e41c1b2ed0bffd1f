"""Figures on monotone deep Boltzmann machines, one module each."""

from lemmata.figures import Figure
from lemmata.paper_figures.monotone_dbm import completion, contraction, elbo_gap, missing, oscillation

__all__ = ["FIGURES"]

FIGURES: tuple[Figure, ...] = (
    *contraction.FIGURES,
    *oscillation.FIGURES,
    *elbo_gap.FIGURES,
    *completion.FIGURES,
    *missing.FIGURES,
)
