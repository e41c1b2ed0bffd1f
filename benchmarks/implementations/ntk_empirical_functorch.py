"""The recipe of torch's own tutorial: vmap over jacrev, leaves contracted one by one."""

import runpy
from pathlib import Path

import torch
from torch.func import functional_call, jacrev, vmap

HERE = Path(__file__)
start = runpy.run_path(str(HERE.with_name("ntk_empirical_problem.py")))["start"]
sequential = runpy.run_path(str(HERE.with_name("ntk_empirical_kernels.py")))["sequential"]
torch.set_num_threads(1)


def prepare(case):
    layers, points = start(case)
    model, X = sequential(layers), torch.tensor(points)
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def single(p, x):
        return functional_call(model, p, (x[None],))[0]

    def run():
        jacobian = vmap(jacrev(single), (None, 0))(parameters, X)
        leaves = (leaf.flatten(2) for leaf in jacobian.values())
        return (sum(torch.einsum("ncp,mcp->nm", leaf, leaf) for leaf in leaves) / case["sizes"][-1]).numpy()

    return run
