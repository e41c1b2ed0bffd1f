"""The loop that a numpy user would write, and the operators it runs on."""

import numpy as np


def start(case):
    """The same problem for every implementation: angles or a matrix, and x0."""
    rng = np.random.default_rng(0)
    dim = case["dim"]
    x0 = rng.standard_normal(dim)
    if case["operator"] == "rotation":
        return rng.uniform(0, np.pi, dim // 2), x0
    matrix = rng.standard_normal((dim, dim))
    return matrix / np.linalg.norm(matrix, 2), x0


def prepare(case):
    data, x0 = start(case)
    if case["operator"] == "rotation":
        cosine, sine = np.cos(data), np.sin(data)

        def operator(x):
            y = np.empty_like(x)
            y[0::2] = cosine * x[0::2] - sine * x[1::2]
            y[1::2] = sine * x[0::2] + cosine * x[1::2]
            return y
    else:

        def operator(x):
            return data @ x

    def run():
        x = x0
        for k in range(case["steps"]):
            x = x0 / (k + 2) + (k + 1) / (k + 2) * operator(x)
        return np.append(x, np.linalg.norm(x - operator(x)))

    return run
