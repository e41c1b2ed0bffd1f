"""Figures on learning whose course is known exactly, one module each."""

from lemmata.figures import Figure
from lemmata.paper_figures.learning_dynamics import deep_linear, eggroll, lazy_rich, li2, perceptron, stability

__all__ = ["FIGURES"]

FIGURES: tuple[Figure, ...] = (
    *deep_linear.FIGURES,
    *eggroll.FIGURES,
    *lazy_rich.FIGURES,
    *li2.FIGURES,
    *perceptron.FIGURES,
    *stability.FIGURES,
)
