"""Tangent kernels and ensembles of networks in PyTorch."""

from lemmata.kernels.ntk.empirical import FullyConnected, empirical_ntk, kernel_memory, kernel_vector_product
from lemmata.kernels.ntk.ensembles import empirical_kernels, train

__all__ = [
    "FullyConnected",
    "empirical_kernels",
    "empirical_ntk",
    "kernel_memory",
    "kernel_vector_product",
    "train",
]
