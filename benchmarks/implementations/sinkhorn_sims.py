"""lemmata.sims: log-domain steps, or sparse Newton until the marginals are exact to `tol`; the result is <C, P>."""

import runpy
from pathlib import Path

import numpy as np

from lemmata.sims.sinkhorn_newton import solve

problem = runpy.run_path(str(Path(__file__).with_name("sinkhorn_problem.py")))["problem"]


def prepare(case):
    C, r, c, eps = problem(case)
    if "steps" in case:
        options = {"method": "log", "tol": 1e-300, "max_steps": case["steps"], "on_fail": "return"}
    else:
        options = {"tol": case["tol"]}

    def run():
        return np.array([np.sum(C * solve(C, r, c, eps, **options).P)])

    run.work = case.get("steps", 1)
    return run
