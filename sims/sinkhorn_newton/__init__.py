"""Numba solvers of entropic optimal transport: Sinkhorn in several forms and sparse Newton.

One convention: ``eps`` is the temperature, in the unit of the cost; ``eta = 1/eps`` in Tang et al. 2024.
"""

from lemmata.problems.sinkhorn_newton import Gradient, OTResult
from lemmata.sims.sinkhorn_newton.plans import c_transform, plan_gradient, round_plan
from lemmata.sims.sinkhorn_newton.solver import METHODS, divergence, newton, sinkhorn, solve

__all__ = [
    "METHODS",
    "Gradient",
    "OTResult",
    "c_transform",
    "divergence",
    "newton",
    "plan_gradient",
    "round_plan",
    "sinkhorn",
    "solve",
]
