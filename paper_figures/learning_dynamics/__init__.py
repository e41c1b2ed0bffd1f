"""Figures on learning whose course is known exactly, one module each."""

from lemmata.figures import Figure
from lemmata.paper_figures.learning_dynamics import (
    deep_linear,
    eggroll,
    grokking,
    lazy_rich,
    lazy_rich_grid,
    li2,
    li2_samples,
    perceptron,
    stability,
)

__all__ = ["FIGURES"]

FIGURES: tuple[Figure, ...] = (
    *deep_linear.FIGURES,
    *eggroll.FIGURES,
    *grokking.FIGURES,
    *lazy_rich.FIGURES,
    *lazy_rich_grid.FIGURES,
    *li2.FIGURES,
    *li2_samples.FIGURES,
    *perceptron.FIGURES,
    *stability.FIGURES,
)
