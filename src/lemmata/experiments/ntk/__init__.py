"""Experiments on neural tangent kernels, split by what they speak of."""

from lemmata.experiments.ntk import finite_width, permutation

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = (
    *finite_width.EXPERIMENTS,
    *permutation.EXPERIMENTS,
)
