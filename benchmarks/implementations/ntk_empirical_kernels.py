"""lemmata.kernels on an nn.Sequential."""

import runpy
from pathlib import Path

import torch
from torch import nn

from lemmata.kernels.ntk import empirical_ntk

start = runpy.run_path(str(Path(__file__).with_name("ntk_empirical_problem.py")))["start"]
torch.set_num_threads(1)


def sequential(layers):
    modules = []
    for weight, bias in layers:
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weight))
            linear.bias.copy_(torch.tensor(bias))
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def prepare(case):
    layers, points = start(case)
    model, X = sequential(layers), torch.tensor(points)
    return lambda: empirical_ntk(model, X, method=case["method"], outputs="trace").numpy()
