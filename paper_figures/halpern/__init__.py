"""Figures on Halpern-type iterations, one module each."""

from lemmata.figures import Figure
from lemmata.paper_figures.halpern import certificates, envelopes, matrix_game, restarts

__all__ = ["FIGURES"]

FIGURES: tuple[Figure, ...] = (
    *matrix_game.FIGURES,
    *certificates.FIGURES,
    *envelopes.FIGURES,
    *restarts.FIGURES,
)
