"""Fully connected networks of finite width: shape, scales of the draw, and what one learning rate means to each layer.

``z^l = W^l h^{l-1} + b^l``, ``h^l = phi(z^l)``, ``f = W^{L+1} h^L + b^{L+1}``, with ``h^0 = x``.

A parametrisation decides how the entries of W and b are drawn and how far one gradient step moves them. Everything here
is said of the weights that act, whatever factors a parametrisation writes in front of them: `Network.scales` are their
standard deviations and `Network.speeds` the factors in ``dW/dt = -eta speed dLoss/dW``, so that the tangent kernel is
``sum_p speed_p (df/dp)(df/dp)^T``. With fan_in inputs of a layer, and n units in the hidden one:

=============== ===================== ==================== ========================= ===============
parametrisation scale of W            scale of b           speed of W                speed of b
=============== ===================== ==================== ========================= ===============
``ntk``         sqrt(sw2 / fan_in)    sqrt(sb2)            sw2 / fan_in              sb2
``standard``    sqrt(sw2 / fan_in)    sqrt(sb2)            1                         1
``mean_field``  hidden as above,      none                 hidden n sw2 / fan_in,    none
                readout sqrt(sw2) / n                      readout sw2 / n
=============== ===================== ==================== ========================= ===============

Under ``ntk`` the kernel has a limit as n grows and all layers share it. Under ``standard`` the readout's part of the
kernel is n times larger than the others', so that a wide network with one learning rate of order 1/n trains its readout
alone; ``rates = (sw2 / fan_in of each layer)`` gives back the ``ntk`` kernel without its biases. Under ``mean_field``
(one hidden layer, the learning rate times n of Mei et al.) the kernel is that of ``ntk`` at initialisation, but it
moves by order one in training: that is feature learning, not the lazy regime.

References
----------
Jacot, Gabriel and Hongler, "Neural tangent kernel: convergence and generalization in neural networks", NeurIPS 2018.
Mei, Montanari and Nguyen, "A mean field view of the landscape of two-layer neural networks", PNAS 115, 2018.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.random import check_integer, check_integers, check_seed

__all__ = [
    "FiniteActivation",
    "Loss",
    "Network",
    "Parametrization",
    "Regression",
    "check_points",
    "check_targets",
    "check_training",
    "loss_factor",
    "replicate_ids",
    "sphere_points",
]

Parametrization = Literal["ntk", "standard", "mean_field"]
Loss = Literal["half_sum", "mean"]
FiniteActivation = Literal["relu", "erf", "tanh", "linear"]


@dataclass(frozen=True)
class Network:
    """A fully connected network with L hidden layers of n units.

    Attributes
    ----------
    inputs, width, outputs : int
        d, n and C.
    depth : int
        L, the number of hidden layers.
    activation : {"relu", "erf", "tanh", "linear"}
    sw2, sb2 : float
        Variances of weights (times fan_in) and of biases.
    parametrization : {"ntk", "standard", "mean_field"}
        No default: the kernels differ by factors of n. See the module.
    biases : bool, optional
        Whether biases are trained; by default where ``sb2 > 0``. A standard network may train biases that start at 0.
    rates : tuple of float, optional
        Multiples of the learning rate, one a layer (L + 1 of them); 1 by default, 0 freezes a layer.

    Raises
    ------
    TypeError
        A size that is no integer.
    DomainError
        A size below 1, a negative or infinite variance, an unknown name, a negative rate, mean-field scaling with other
        than one hidden layer or with biases, a number of rates other than L + 1.
    """

    inputs: int
    width: int
    outputs: int = 1
    depth: int = 1
    activation: FiniteActivation = "relu"
    sw2: float = 1.0
    sb2: float = 0.0
    biases: bool | None = None
    rates: tuple[float, ...] | None = None
    parametrization: Parametrization = field(kw_only=True)

    def __post_init__(self) -> None:
        if self.parametrization not in get_args(Parametrization):
            raise DomainError(
                f"parametrization must be one of {', '.join(get_args(Parametrization))}, got {self.parametrization!r}: "
                "under 'standard' one learning rate gives the readout n times the weight that it has under 'ntk'"
            )
        if self.activation not in get_args(FiniteActivation):
            raise DomainError(
                f"activation must be one of {', '.join(get_args(FiniteActivation))}, got {self.activation!r}"
            )
        for name in ("inputs", "width", "outputs", "depth"):
            object.__setattr__(self, name, check_integer(name, getattr(self, name), 1))
        for name in ("sw2", "sb2"):
            if not 0 <= getattr(self, name) < math.inf:
                raise DomainError(f"{name} must be >= 0 and finite, got {getattr(self, name)}")
        if self.biases is None:
            object.__setattr__(self, "biases", self.sb2 > 0)
        elif self.sb2 > 0 and not self.biases:
            raise DomainError(f"sb2 = {self.sb2:g} draws biases, but biases=False; set sb2 = 0")
        if self.parametrization == "mean_field" and (self.depth != 1 or self.biases):
            raise DomainError(
                f"mean-field scaling is defined here for one hidden layer without biases, got depth = {self.depth}, "
                f"biases = {self.biases}"
            )
        if self.rates is not None:
            if len(self.rates) != self.depth + 1:
                raise DomainError(f"{self.depth} hidden layers need {self.depth + 1} rates, got {len(self.rates)}")
            if not all(0 <= rate < math.inf for rate in self.rates):
                raise DomainError(f"rates must be >= 0 and finite, got {self.rates}")

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Shapes (fan_out, fan_in) of the L + 1 weight matrices."""
        sizes = (self.inputs, *(self.width,) * self.depth, self.outputs)
        return tuple((sizes[i + 1], sizes[i]) for i in range(self.depth + 1))

    @property
    def scales(self) -> tuple[tuple[float, float], ...]:
        """Standard deviations of W and b of each layer at initialisation."""
        bias = math.sqrt(self.sb2)
        found = [(math.sqrt(self.sw2 / fan_in), bias) for _, fan_in in self.shapes]
        if self.parametrization == "mean_field":
            found[-1] = (math.sqrt(self.sw2) / self.width, bias)
        return tuple(found)

    @property
    def speeds(self) -> tuple[tuple[float, float], ...]:
        """Factors of the learning rate for W and b of each layer: see the module."""
        if self.parametrization == "standard":
            found = [(1.0, float(bool(self.biases)))] * (self.depth + 1)
        else:
            found = [(self.sw2 / fan_in, self.sb2) for _, fan_in in self.shapes]
        if self.parametrization == "mean_field":
            found[0] = (self.width * found[0][0], 0.0)
        return tuple(
            (rate * w, rate * b) for rate, (w, b) in zip(self.rates or (1.0,) * len(found), found, strict=True)
        )

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(out * (fan_in + bool(self.biases)) for out, fan_in in self.shapes)


@dataclass(frozen=True, eq=False)
class Regression:
    """A network and what it is trained on.

    Attributes
    ----------
    network : Network
    X : float64[N, d]
        Training points.
    Y : float64[N, C]
        Targets.
    X_test : float64[M, d]
        Points that are watched; none by default.

    Raises
    ------
    ShapeError, NonFiniteError
        See `check_points` and `check_targets`.
    """

    network: Network
    X: np.ndarray
    Y: np.ndarray
    X_test: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_points(self.X, self.network.inputs)
        check_targets(self.Y, len(self.X), self.network.outputs)
        if self.X_test is not None:
            check_points(self.X_test, self.network.inputs, "X_test")

    @property
    def points(self) -> np.ndarray:
        """X, then X_test, float64[N + M, d]."""
        return self.X if self.X_test is None else np.concatenate((self.X, self.X_test))


def sphere_points(points: int, inputs: int, *, seed: int) -> np.ndarray:
    """Uniform points on the sphere of radius sqrt(d), float64[N, d]: ``x.x/d = 1``.

    Parameters
    ----------
    points, inputs : int
        N and d.
    seed : int
    """
    X = np.random.default_rng(check_seed(seed)).standard_normal((points, inputs))
    return X * math.sqrt(inputs) / np.linalg.norm(X, axis=1, keepdims=True)


# ------------------------------------------------------------------------------------------------ checks


def check_points(X: Any, inputs: int | None = None, name: str = "X") -> None:
    """Refuse inputs that are not a finite, nonempty matrix of the expected number of columns.

    Parameters
    ----------
    X : array_like, numpy
    inputs : int, optional
        d.
    name : str
        For the message.

    Raises
    ------
    TypeError
        Complex numbers, truth values, or no numbers.
    ShapeError
        Not of shape (N, d) with N >= 1 and d >= 1.
    NonFiniteError
        A NaN or infinite entry; its first row is named.
    """
    X = np.asarray(X)
    if X.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers, got dtype {X.dtype}")
    if X.ndim != 2 or 0 in X.shape or (inputs is not None and X.shape[1] != inputs):
        raise ShapeError(f"{name} must have shape (N, {'d' if inputs is None else inputs}), got {X.shape}")
    bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if bad.size:
        raise NonFiniteError(f"{name} is not finite in row {bad[0]}", index=(int(bad[0]),))


def check_targets(Y: Any, points: int, outputs: int) -> None:
    """Refuse targets that are not finite of shape (N, C).

    Raises
    ------
    TypeError, ShapeError, NonFiniteError
    """
    Y = np.asarray(Y)
    if Y.shape != (points, outputs):
        raise ShapeError(
            f"Y must have shape ({points}, {outputs}), one row a point and one column an output, got {Y.shape}"
        )
    check_points(Y, outputs, "Y")


def check_training(eta: float, steps: int, loss: Loss | None, at: Sequence[int] | None) -> np.ndarray:
    """The recorded steps, int64, after the options of gradient descent were checked; (0, steps) by default.

    Raises
    ------
    TypeError
        Steps that are no integers.
    DomainError
    """
    if loss not in get_args(Loss):
        raise DomainError(
            f"loss must be one of {', '.join(get_args(Loss))}, got {loss!r}: they differ by the factor 2/(N C) in time"
        )
    if not 0 < eta < math.inf:
        raise DomainError(f"eta must be > 0 and finite, got {eta}")
    steps = check_integer("steps", steps, 0)
    kept = np.unique(check_integers("recorded step", (0, steps) if at is None else at, 0, steps))
    if kept.size == 0:
        raise DomainError("at must hold a step to be recorded, got none")
    return kept.astype(np.int64)


def loss_factor(loss: Loss, points: int, outputs: int) -> float:
    """Factor of ``f - y`` in the gradient in f: 1 for ``sum (f-y)^2 / 2``, 2/(N C) for the mean of ``(f-y)^2``."""
    return 1.0 if loss == "half_sum" else 2.0 / (points * outputs)


def replicate_ids(replicates: int | Sequence[int]) -> np.ndarray:
    """Ids of the members of an ensemble: 0, ..., replicates - 1, or those given.

    Returns
    -------
    int64[B]

    Raises
    ------
    TypeError
        No integers.
    DomainError
        None, a negative or a repeated one.
    """
    if np.ndim(replicates) == 0:
        return np.arange(check_integer("replicates", replicates, 1), dtype=np.int64)
    ids = check_integers("replicate", replicates, 0, 2**63 - 1).astype(np.int64)
    if ids.ndim != 1 or ids.size == 0 or np.unique(ids).size != ids.size:
        raise DomainError(f"replicates must be a number >= 1 or distinct ids >= 0, got {replicates!r}")
    return ids
