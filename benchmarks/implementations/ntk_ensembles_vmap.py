"""torch.func: vmap over the gradient of one network, weights stacked."""

import runpy
from pathlib import Path

import torch
from torch.func import grad, vmap

problem = runpy.run_path(str(Path(__file__).with_name("ntk_ensembles_problem.py")))
torch.set_num_threads(1)


def prepare(case):
    _, X, Y, eta = problem["start"](case)
    (W0, V0), (w_speed, v_speed) = problem["weights"](case)

    def loss(W, V):
        return ((torch.relu(X @ W.mT) @ V.mT - Y) ** 2).sum() / 2

    gradient = vmap(grad(loss, argnums=(0, 1)))

    def run():
        W, V = W0.clone(), V0.clone()
        for _ in range(case["steps"]):
            dW, dV = gradient(W, V)
            W.sub_(dW, alpha=eta * w_speed)
            V.sub_(dV, alpha=eta * v_speed)
        return (torch.relu(X @ W.mT) @ V.mT).numpy()

    run.work = case["networks"]
    return run
