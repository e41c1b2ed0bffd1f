"""lemmata.kernels on the CPU."""

import runpy
from pathlib import Path

import torch

from lemmata.kernels.ntk import ntk

points = runpy.run_path(str(Path(__file__).with_name("ntk_infinite_problem.py")))["points"]
torch.set_num_threads(1)


def prepare(case):
    X = torch.tensor(points(case))
    return lambda: ntk(X, depth=case["depth"], activation="relu", sw2=2.0, parametrization="ntk").numpy()
