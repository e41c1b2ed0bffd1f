"""Figures on Sinkhorn-Newton, one module each."""

from lemmata.figures import Figure
from lemmata.paper_figures.sinkhorn_newton import convergence, published, sparsity, sweeps, temperature, wall_time

__all__ = ["FIGURES"]

FIGURES: tuple[Figure, ...] = (
    *convergence.FIGURES,
    *wall_time.FIGURES,
    *sparsity.FIGURES,
    *sweeps.FIGURES,
    *temperature.FIGURES,
    *published.FIGURES,
)
