"""lemmata.kernels on the CPU, on the same problem."""

import runpy
from pathlib import Path

import numpy as np
import torch

from lemmata.kernels.halpern import halpern
from lemmata.problems.halpern import Operator

start = runpy.run_path(str(Path(__file__).with_name("halpern_numpy.py")))["start"]
torch.set_num_threads(1)


def prepare(case):
    data, x0 = start(case)
    operator = Operator.rotation(data) if case["operator"] == "rotation" else Operator.affine(data)
    anchor = torch.tensor(x0)

    def run():
        trace = halpern(operator, anchor, case["steps"], at=[case["steps"]])
        return np.append(trace["x"].values[0], trace["residual"].values[0])

    return run
