"""Figures on bandits, one module each."""

from lemmata.figures import Figure
from lemmata.paper_figures.bandits import (
    both_worlds,
    bounds,
    contextual,
    dynamical,
    generations,
    instances,
    last_switch,
    minimax_ratio,
    neural,
    recovering,
    regret_laws,
    streaming,
    tallying,
)

__all__ = ["FIGURES"]

FIGURES: tuple[Figure, ...] = (
    *instances.FIGURES,
    *minimax_ratio.FIGURES,
    *regret_laws.FIGURES,
    *both_worlds.FIGURES,
    *bounds.FIGURES,
    *dynamical.FIGURES,
    *contextual.FIGURES,
    *neural.FIGURES,
    *generations.FIGURES,
    *streaming.FIGURES,
    *tallying.FIGURES,
    *recovering.FIGURES,
    *last_switch.FIGURES,
)
