"""Experiments on entropic optimal transport, split by what they speak of."""

from lemmata.experiments.sinkhorn_newton import accuracy, newton, sinkhorn

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = (*sinkhorn.EXPERIMENTS, *accuracy.EXPERIMENTS, *newton.EXPERIMENTS)
