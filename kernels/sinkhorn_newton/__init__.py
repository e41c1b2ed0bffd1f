"""Batched PyTorch solvers of entropic optimal transport, and a memory-free one in PyTorch and Triton.

The names and arguments of `lemmata.sims.sinkhorn_newton`; tensors stay where they are. One convention: ``eps`` is the
temperature, in the unit of the cost; ``eta = 1/eps`` in Tang et al. 2024.
"""

from lemmata.kernels.sinkhorn_newton.clouds import COSTS, OnlineResult, online
from lemmata.kernels.sinkhorn_newton.plans import c_transform, plan_gradient, round_plan
from lemmata.kernels.sinkhorn_newton.solver import METHODS, divergence, solve
from lemmata.kernels.sinkhorn_newton.trajectories import newton, sinkhorn
from lemmata.problems.sinkhorn_newton import Gradient, OTResult

__all__ = [
    "COSTS",
    "METHODS",
    "Gradient",
    "OTResult",
    "OnlineResult",
    "c_transform",
    "divergence",
    "newton",
    "online",
    "plan_gradient",
    "round_plan",
    "sinkhorn",
    "solve",
]
