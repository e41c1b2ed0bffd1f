"""Numba simulators of the tangent-kernel family: kernels of infinite width, and ensembles in training."""

from lemmata.problems.ntk import EnsembleLaw
from lemmata.sims.ntk.dynamics import ensemble_law, linear_descent
from lemmata.sims.ntk.infinite_width import Kernels, fc_kernels, nngp, ntk

__all__ = ["EnsembleLaw", "Kernels", "ensemble_law", "fc_kernels", "linear_descent", "nngp", "ntk"]
