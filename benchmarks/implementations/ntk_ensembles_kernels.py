"""lemmata.kernels: all networks at once, gradients by hand."""

import runpy
from pathlib import Path

import torch

from lemmata.kernels.ntk import train

start = runpy.run_path(str(Path(__file__).with_name("ntk_ensembles_problem.py")))["start"]
torch.set_num_threads(1)


def prepare(case):
    network, X, Y, eta = start(case)

    def run():
        options = {"eta": eta, "steps": case["steps"], "loss": "half_sum", "at": [case["steps"]]}
        return train(network, X, Y, **options, replicates=case["networks"], seed=0)["output"].values[:, 0]

    run.work = case["networks"]
    return run
