"""Tangent kernels, finite and infinite, and ensembles of networks in PyTorch."""

from lemmata.kernels.ntk.dynamics import ensemble_law, linear_descent
from lemmata.kernels.ntk.empirical import FullyConnected, empirical_ntk, kernel_memory, kernel_vector_product
from lemmata.kernels.ntk.ensembles import empirical_kernels, train
from lemmata.kernels.ntk.infinite_width import Kernels, fc_kernels, nngp, ntk

__all__ = [
    "FullyConnected",
    "Kernels",
    "empirical_kernels",
    "empirical_ntk",
    "ensemble_law",
    "fc_kernels",
    "kernel_memory",
    "kernel_vector_product",
    "linear_descent",
    "nngp",
    "ntk",
    "train",
]
