"""Batched PyTorch implementations of Halpern-type iterations, with the names of `lemmata.sims.halpern`."""

from lemmata.kernels.halpern.iterations import extragradient, halpern, krasnoselskii_mann, operator_on, restarted, solve

__all__ = ["extragradient", "halpern", "krasnoselskii_mann", "operator_on", "restarted", "solve"]
