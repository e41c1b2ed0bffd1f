"""Targets, learning rate and initial weights of every implementation: the cyclic shift of k places."""

import math

import torch

from lemmata.kernels.ntk.ensembles import draw
from lemmata.problems.ntk import Network, Permutation


def start(case):
    """The network, X, Y and eta, in float32."""
    k = case["k"]
    pi = Permutation.shift(k)
    X, Y = torch.eye(k), torch.tensor(pi.Y, dtype=torch.float32)
    return Network(k, case["width"], k, parametrization="ntk"), X, Y, k / (1 + (k - 1) / (2 * math.pi))


def weights(case):
    """Weights that act, (B, n, k) and (B, k, n)."""
    network, X, _, _ = start(case)
    layers = draw(network, torch.arange(case["networks"]), X, seed=0)
    return [layer.weight for layer in layers], [layer.speed for layer in layers]
