"""What cannot be left out: one product, an arccosine for each pair and layer at vector speed, one write."""

import runpy
from pathlib import Path

import numpy as np
from numba import njit
from scipy.linalg.blas import dsyrk

from lemmata.sims.ntk.infinite_width import FAST, angle

points = runpy.run_path(str(Path(__file__).with_name("ntk_infinite_problem.py")))["points"]


@njit(fastmath=FAST)
def angles(times, w):
    for _ in range(times):
        for j in range(w.size):
            w[j] = angle(np.sqrt(w[j] * (2.0 - w[j])), 1.0 - w[j])


def prepare(case):
    X, n = points(case), case["n"]
    w = np.random.default_rng(0).random(64)
    times = case["depth"] * n * (n + 1) // (2 * w.size)

    def run():
        angles(times, w)
        kernel = dsyrk(1.0, X.T, trans=1, lower=1)
        for i in range(n):  # the mirror image of the half that the product wrote
            kernel[i] = 1.0
        return kernel[:1, :1]

    return run
