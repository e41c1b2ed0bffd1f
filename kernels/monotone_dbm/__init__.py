"""Monotone deep Boltzmann machines in PyTorch and Triton, with the names of `lemmata.sims.monotone_dbm`."""

from lemmata.kernels.monotone_dbm.implicit import response
from lemmata.kernels.monotone_dbm.interactions import Interactions
from lemmata.kernels.monotone_dbm.model import MeanField, MonotoneDBM, Operator
from lemmata.kernels.monotone_dbm.operators import Convolution, Layered, Matrix
from lemmata.kernels.monotone_dbm.prox import prox, prox_jacobian
from lemmata.kernels.monotone_dbm.solvers import solve, trajectory
from lemmata.problems.monotone_dbm import Solution

__all__ = [
    "Convolution",
    "Interactions",
    "Layered",
    "Matrix",
    "MeanField",
    "MonotoneDBM",
    "Operator",
    "Solution",
    "prox",
    "prox_jacobian",
    "response",
    "solve",
    "trajectory",
]
