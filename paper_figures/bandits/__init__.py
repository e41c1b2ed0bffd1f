"""Figures on bandits, one module each."""

from lemmata.figures import Figure
from lemmata.paper_figures.bandits import both_worlds, bounds, instances, minimax_ratio, regret_laws

__all__ = ["FIGURES"]

FIGURES: tuple[Figure, ...] = (
    *instances.FIGURES,
    *minimax_ratio.FIGURES,
    *regret_laws.FIGURES,
    *both_worlds.FIGURES,
    *bounds.FIGURES,
)
