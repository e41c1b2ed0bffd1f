"""Fully connected networks of infinite width: what a kernel is asked for, and what its entries need of each point.

With ``q^1 = sw2 x.x'/d + sb2`` and ``Theta^1 = q^1``, layer by layer for l = 1, ..., L,

    q^{l+1} = sw2 T(q^l) + sb2,        Theta^{l+1} = q^{l+1} + sw2 T'(q^l) Theta^l,

T and T' the dual of the activation and its slope at the variances q^l(x, x), q^l(x', x'). The outputs of the network at
initialisation are a Gaussian process of covariance q^{L+1} (the NNGP kernel), and Theta^{L+1} is its tangent kernel.
All that depends on one point alone, its variance in each layer above all, is computed here, once for each point; `sims`
and `kernels` do the pairs.

References
----------
Jacot, Gabriel and Hongler, "Neural tangent kernel: convergence and generalization in neural networks", NeurIPS 2018.
Lee et al., "Deep neural networks as Gaussian processes", ICLR 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np

from lemmata.errors import DomainError
from lemmata.problems.ntk.activations import Activation, as_activation, dual_diagonal, hermite_coefficients
from lemmata.random import check_integer

__all__ = ["InfiniteNetwork", "KernelTask", "Lazy", "Tables", "tables"]

Lazy = Literal["ntk", "standard"]

#: Variances and kernels must stay between these, so that products of two of them are numbers.
LARGEST, SMALLEST = 1e150, 1e-150


@dataclass(frozen=True)
class InfiniteNetwork:
    """A fully connected network with L hidden layers of infinite width.

    Attributes
    ----------
    depth : int
        L, the number of hidden layers.
    activation : Activation
        A name is looked up.
    sw2, sb2 : float
        Variances of weights (times fan_in) and of biases, as in `Network`.
    rates : tuple of float, optional
        Multiples of the learning rate, one a layer (L + 1 of them); 1 by default, 0 freezes a layer.
    parametrization : {"ntk", "standard"}
        No default. ``ntk``: the limit of the tangent kernel. ``standard``: the limit of 1/n times it, since with one
        learning rate it grows like the width n; all weights but the first layer's are left, each with sw2 = 1 in front,
        and no bias: ``Theta^1 = 0, Theta^{l+1} = T + sw2 T' Theta^l``.

    Raises
    ------
    TypeError
        A depth that is no integer.
    DomainError
        depth below 1, a negative or infinite variance, an unknown name, a number of rates other than L + 1, a negative
        rate.
    """

    depth: int
    activation: Activation
    sw2: float = 1.0
    sb2: float = 0.0
    rates: tuple[float, ...] | None = None
    parametrization: Lazy = field(kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", as_activation(self.activation))
        if self.parametrization not in get_args(Lazy):
            raise DomainError(
                f"parametrization must be one of {', '.join(get_args(Lazy))}, got {self.parametrization!r}: under "
                "'standard' the kernel grows with the width; under 'mean_field' it moves in training and no fixed "
                "kernel describes it"
            )
        depth = check_integer("depth, the number of hidden layers,", self.depth, 1)
        object.__setattr__(self, "depth", depth)
        for name in ("sw2", "sb2"):
            if not 0 <= getattr(self, name) < math.inf:
                raise DomainError(f"{name} is a variance, >= 0 and finite, got {getattr(self, name)}")
        if self.rates is not None:
            if len(self.rates) != self.depth + 1:
                raise DomainError(f"{self.depth} hidden layers need {self.depth + 1} rates, got {len(self.rates)}")
            if not all(0 <= rate < math.inf for rate in self.rates):
                raise DomainError(f"rates must be >= 0 and finite, got {self.rates}")

    @property
    def shares(self) -> tuple[tuple[float, float], ...]:
        """What training of a layer's weights and biases adds, (g_l, h_l) for l = 0, ..., L.

        ``Theta^1 = g_0 q^1 + h_0``, ``Theta^{l+1} = g_l T + h_l + sw2 T' Theta^l``.
        """
        first, *rates = self.rates or (1.0,) * (self.depth + 1)
        if self.parametrization == "standard":
            return ((0.0, 0.0), *((rate, 0.0) for rate in rates))
        return ((first, 0.0), *((rate * self.sw2, rate * self.sb2) for rate in rates))


class Tables(NamedTuple):
    """What the entries of both kernels need of each point.

    Attributes
    ----------
    roots : float64[L + 1, N]
        ``sqrt(q^l(x, x))``.
    inverse : float64[L + 1, N]
        Their inverses, 0 where they are 0.
    sizes : float64[L, N]
        s with ``T(x, x) = k s^2``: the roots, and for the step 1 where they are not 0. For erf ``sqrt(1 + 2 q^l)``.
    coefficients : float64[L, K, N]
        Hermite coefficients, for a smooth activation; else of shape (0, 0, 0).
    """

    roots: np.ndarray
    inverse: np.ndarray
    sizes: np.ndarray
    coefficients: np.ndarray


def tables(network: InfiniteNetwork, square_norms: np.ndarray, inputs: int) -> Tables:
    """The recursion on the diagonal, at every point.

    Parameters
    ----------
    network : InfiniteNetwork
    square_norms : float64[N]
        ``x.x``.
    inputs : int
        d.

    Returns
    -------
    Tables
        Memory: 8 N (3 L + 2) bytes, and 8 N K L for a smooth activation.

    Raises
    ------
    DomainError
        The variance or the kernel of a point leaves [1e-150, 1e150] in some layer (0 may stay 0), or the Hermite series
        of a smooth activation does not converge.
    """
    activation, smooth = network.activation, network.activation.family == "smooth"
    with np.errstate(over="ignore"):  # looked at in _check_range
        q = network.sw2 / inputs * square_norms + network.sb2
    theta = network.shares[0][0] * q
    variances, coefficients = [q], []
    for layer in range(network.depth + 1):
        _check_range(network, layer, q, theta)
        if layer == network.depth:
            break
        a = hermite_coefficients(activation, q) if smooth else None
        value, slope = dual_diagonal(activation, q, a)
        gain, shift = network.shares[layer + 1]
        q = network.sw2 * value + network.sb2
        theta = gain * value + shift + network.sw2 * slope * theta
        variances.append(q)
        if a is not None:
            coefficients.append(a)
    roots = np.sqrt(np.stack(variances))
    inverse = np.divide(1.0, roots, out=np.zeros_like(roots), where=roots > 0)
    sizes = roots[:-1]
    if activation.family == "step":
        sizes = (sizes > 0).astype(np.float64)
    elif activation.family == "erf":
        sizes = np.sqrt(1 + 2 * np.stack(variances[:-1]))
    degree = max((-(-len(a) // 4) * 4 for a in coefficients), default=0)
    filled = np.zeros((len(coefficients), degree, q.size if degree else 0))
    for a, place in zip(coefficients, filled, strict=True):
        place[: len(a)] = a
    return Tables(roots, inverse, sizes, filled)


def _check_range(network: InfiniteNetwork, layer: int, q: np.ndarray, theta: np.ndarray) -> None:
    for name, value in (("variance", q), ("tangent kernel", theta)):
        good = (value <= LARGEST) & ((value >= SMALLEST) | (value == 0))
        if not good.all():
            bad = np.flatnonzero(~good)
            raise DomainError(
                f"the {name} of row {bad[0]} leaves [{SMALLEST:g}, {LARGEST:g}] in layer {layer + 1} of "
                f"{network.depth + 1}: {value[bad[0]]:.4g}. It grows or shrinks by a factor a layer with sw2 = "
                f"{network.sw2:g}; a ReLU network keeps it at sw2 = 2. Or rescale the inputs."
            )


@dataclass(frozen=True, eq=False)
class KernelTask:
    """A network of infinite width and the points at which its kernels are asked for.

    Attributes
    ----------
    network : InfiniteNetwork
    X : float64[N, d]
    """

    network: InfiniteNetwork
    X: np.ndarray
