"""Experiments on Halpern-type iterations, split by algorithm."""

from lemmata.experiments.halpern import certificates, extragradient, fixed_point

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = (*fixed_point.EXPERIMENTS, *extragradient.EXPERIMENTS, *certificates.EXPERIMENTS)
