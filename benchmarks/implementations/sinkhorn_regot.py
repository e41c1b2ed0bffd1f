"""RegOT's safeguarded sparse Newton."""

import runpy
from pathlib import Path

import numpy as np
import regot

problem = runpy.run_path(str(Path(__file__).with_name("sinkhorn_problem.py")))["problem"]


def prepare(case):
    C, r, c, eps = problem(case)
    return lambda: np.array([np.sum(C * regot.sinkhorn_ssns(C, r, c, eps, tol=1e-8, max_iter=300).plan)])
