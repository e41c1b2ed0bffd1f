"""lemmata.kernels, with Phi of low rank or as a matrix."""

import runpy
from pathlib import Path

import torch

from lemmata.kernels.monotone_dbm import MonotoneDBM, solve
from lemmata.problems.monotone_dbm import PairwiseModel

parts = runpy.run_path(str(Path(__file__).with_name("monotone_dbm_problem.py")))
torch.set_num_threads(1)


def prepare(case):
    A, _, b = parts["problem"](case)
    bias = torch.tensor(b)
    states = (2,) * case["nodes"]
    model = MonotoneDBM(states, torch.tensor(A), m=parts["M"])
    if case["task"] == "product":
        with torch.no_grad():
            phi = model.interactions()
        return lambda: phi(bias).numpy()
    if case.get("matrix"):
        phi = parts["interactions"](A.astype(float))
        model = PairwiseModel(states, (phi + phi.T) / 2, b[0], "required")
    method = case.get("method", "averaged")
    return lambda: solve(model, bias=bias, method=method, tol=parts["CERTIFICATE"]).q.numpy()
