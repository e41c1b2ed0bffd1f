"""lemmata.sims on the same problem; the residual is recorded once, at the end."""

import runpy
from pathlib import Path

import numpy as np

from lemmata.problems.halpern import Operator
from lemmata.sims.halpern import halpern

start = runpy.run_path(str(Path(__file__).with_name("halpern_numpy.py")))["start"]


def prepare(case):
    data, x0 = start(case)
    operator = Operator.rotation(data) if case["operator"] == "rotation" else Operator.affine(data)

    def run():
        trace = halpern(operator, x0, case["steps"], at=[case["steps"]])
        return np.append(trace["x"].values[0], trace["residual"].values[0])

    return run
