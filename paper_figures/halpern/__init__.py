"""Figures on Halpern-type iterations, one module each."""

from lemmata.figures import Figure
from lemmata.paper_figures.halpern import (
    certificates,
    crossover,
    envelopes,
    matrix_game,
    paper_game,
    paper_qp,
    restarts,
)

__all__ = ["FIGURES"]

FIGURES: tuple[Figure, ...] = (
    *matrix_game.FIGURES,
    *certificates.FIGURES,
    *envelopes.FIGURES,
    *restarts.FIGURES,
    *paper_game.FIGURES,
    *paper_qp.FIGURES,
    *crossover.FIGURES,
)
