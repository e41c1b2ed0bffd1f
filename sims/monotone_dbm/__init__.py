"""Numba solvers of the mean field of pairwise models: the prox activation, four solvers, and their trajectories."""

from lemmata.problems.monotone_dbm import Solution
from lemmata.sims.monotone_dbm.prox import prox, prox_jacobian
from lemmata.sims.monotone_dbm.solvers import solve, trajectory

__all__ = ["Solution", "prox", "prox_jacobian", "solve", "trajectory"]
