"""Three general products of matrices that are there already, on as many threads as the others have."""

import os
import runpy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

parts = runpy.run_path(str(Path(__file__).with_name("koopman_problem.py")))
THREADS = int(os.environ["OMP_NUM_THREADS"])


def prepare(case):
    x, y, centres = parts["problem"](case)
    X, Y = (np.array_split(parts["radial"](p, centres), THREADS) for p in (x, y))

    def products(x, y):  # of a matrix with itself numpy would compute one half
        return np.stack([x.T @ y, y.T @ x, x.T @ y])

    def run():
        with threadpool_limits(1), ThreadPoolExecutor(THREADS) as pool:
            return sum(pool.map(products, X, Y))

    return run
