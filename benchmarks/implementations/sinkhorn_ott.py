"""OTT's log-domain Sinkhorn, compiled; float64."""

import runpy
from pathlib import Path

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

from ott.geometry.geometry import Geometry  # noqa: E402
from ott.problems.linear.linear_problem import LinearProblem  # noqa: E402
from ott.solvers.linear.sinkhorn import Sinkhorn  # noqa: E402

problem = runpy.run_path(str(Path(__file__).with_name("sinkhorn_problem.py")))["problem"]


def prepare(case):
    C, r, c, eps = problem(case)
    steps = case["steps"]
    # one look at the error, after the last step
    solver = Sinkhorn(threshold=-1.0, lse_mode=True, min_iterations=steps, max_iterations=steps, inner_iterations=steps)

    @jax.jit
    def cost(C, r, c):
        out = solver(LinearProblem(Geometry(cost_matrix=C, epsilon=eps), a=r, b=c))
        return (C * out.matrix).sum()

    data = [jax.numpy.asarray(value) for value in (C, r, c)]

    def run():
        return np.array([float(cost(*data))])

    run.work = steps
    return run
