"""Figures on tangent kernels of finite networks and on learning permutations, one module each."""

from lemmata.figures import Figure
from lemmata.paper_figures.ntk import accuracy, models, training, width

__all__ = ["FIGURES"]

FIGURES: tuple[Figure, ...] = (
    *width.FIGURES,
    *training.FIGURES,
    *accuracy.FIGURES,
    *models.FIGURES,
)
