"""Experiments on neural tangent kernels, split by what they speak of."""

from lemmata.experiments.ntk import dynamics, finite_width, infinite_width, permutation

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = (
    *dynamics.EXPERIMENTS,
    *finite_width.EXPERIMENTS,
    *infinite_width.EXPERIMENTS,
    *permutation.EXPERIMENTS,
)
