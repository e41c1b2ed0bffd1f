"""Experiments on Halpern-type iterations, split by algorithm."""

from lemmata.experiments.halpern import certificates, extragradient, fixed_point, variance_reduced

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = (
    *fixed_point.EXPERIMENTS,
    *extragradient.EXPERIMENTS,
    *variance_reduced.EXPERIMENTS,
    *certificates.EXPERIMENTS,
)
