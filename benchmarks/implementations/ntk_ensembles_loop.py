"""The loop that anybody would write: one network after the other, torch.optim.SGD."""

import runpy
from pathlib import Path

import torch

problem = runpy.run_path(str(Path(__file__).with_name("ntk_ensembles_problem.py")))
torch.set_num_threads(1)


def prepare(case):
    _, X, Y, eta = problem["start"](case)
    stacks, speeds = problem["weights"](case)

    def run():
        outputs = []
        for member in zip(*stacks, strict=True):
            W, V = (w.clone().requires_grad_() for w in member)
            groups = [{"params": [p], "lr": eta * speed} for p, speed in zip((W, V), speeds, strict=True)]
            optimizer = torch.optim.SGD(groups)
            for _ in range(case["steps"]):
                optimizer.zero_grad()
                (((torch.relu(X @ W.mT) @ V.mT - Y) ** 2).sum() / 2).backward()
                optimizer.step()
            outputs.append(torch.relu(X @ W.mT) @ V.mT)
        return torch.stack(outputs).detach().numpy()

    run.work = case["networks"]
    return run
