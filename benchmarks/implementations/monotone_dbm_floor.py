"""The bytes of each step alone: a state and biases are read, a state is written, and A is read twice."""

import runpy
from pathlib import Path

import numpy as np

parts = runpy.run_path(str(Path(__file__).with_name("monotone_dbm_problem.py")))


def prepare(case):
    A, _, b = parts["problem"](case)
    q, copy = np.zeros_like(b), np.empty_like(A)

    def run():
        for _ in range(case["steps"]):
            np.add(q, b, out=q)
            np.copyto(copy, A)
        return q

    return run
