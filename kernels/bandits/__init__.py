"""Batched PyTorch and Triton simulation of bandit policies, with the name and arguments of `lemmata.sims.bandits`."""

from lemmata.kernels.bandits.simulation import simulate

__all__ = ["simulate"]
