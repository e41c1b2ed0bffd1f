"""Numba simulators of Halpern-type iterations."""

from lemmata.sims.halpern.iterations import extragradient, halpern, krasnoselskii_mann, restarted, solve

__all__ = ["extragradient", "halpern", "krasnoselskii_mann", "restarted", "solve"]
