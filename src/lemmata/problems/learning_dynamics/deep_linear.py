"""Deep linear networks: a target, weights that start aligned with it or at random, and the checks on both.

A network of depth D is the product ``W_D ... W_1`` of D weight matrices. On whitened inputs it learns the map
``Sigma = U diag(s) V^T`` from inputs to outputs.

References
----------
Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
ICLR 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems.learning_dynamics.arrays import real_arrays
from lemmata.random import check_seed

__all__ = [
    "DeepLinear",
    "aligned_network",
    "check_descent",
    "check_network",
    "gaussian_weights",
    "orthogonal_weights",
    "random_network",
    "stack",
]


@dataclass(frozen=True, eq=False)
class DeepLinear:
    """Weights at the start and the map that they are to learn.

    Attributes
    ----------
    weights : tuple of float64[n_l, n_{l-1}]
        W_1 first.
    U : float64[n_D, K]
    strengths : float64[K]
        s, singular values of the target.
    V : float64[n_0, K]
    """

    weights: tuple[np.ndarray, ...]
    U: np.ndarray
    strengths: np.ndarray
    V: np.ndarray

    @property
    def depth(self) -> int:
        """D, the number of weight matrices."""
        return len(self.weights)

    @property
    def target(self) -> np.ndarray:
        """``Sigma = U diag(s) V^T``, float64[n_D, n_0]."""
        return (self.U * self.strengths) @ self.V.T

    @property
    def product(self) -> np.ndarray:
        """``W_D ... W_1``, float64[n_D, n_0]."""
        return product(self.weights)

    def modes(self, maps: np.ndarray) -> np.ndarray:
        """``U^T W V`` of maps W, float64[..., n_D, n_0] to float64[..., K, K]: strengths on the diagonal."""
        return self.U.T @ maps @ self.V

    def imbalance(self) -> float:
        """Largest entry of ``W_{l+1}^T W_{l+1} - W_l W_l^T`` over l, which gradient flow conserves."""
        pairs = zip(self.weights[1:], self.weights[:-1], strict=True)
        return max((float(abs(after.T @ after - before @ before.T).max()) for after, before in pairs), default=0.0)


def product(weights: Sequence[np.ndarray]) -> np.ndarray:
    """``W_D ... W_1``."""
    found = weights[0]
    for W in weights[1:]:
        found = W @ found
    return found


def check_network(weights: Sequence[np.ndarray], target: np.ndarray) -> None:
    """Refuse weights that cannot be multiplied to a map of the target's shape.

    Raises
    ------
    ShapeError, NonFiniteError
    """
    if not weights or any(W.ndim != 2 for W in weights):
        raise ShapeError(f"weights must be matrices, W_1 first, got shapes {[np.shape(W) for W in weights]}")
    shapes = [W.shape for W in weights]
    if any(after[1] != before[0] for after, before in zip(shapes[1:], shapes[:-1], strict=True)):
        raise ShapeError(f"W_l has as many rows as W_(l+1) has columns; got shapes {shapes}, W_1 first")
    if target.shape != (shapes[-1][0], shapes[0][1]):
        raise ShapeError(f"target must have shape {(shapes[-1][0], shapes[0][1])}, got {target.shape}")
    for name, array in (("target", target), *((f"W_{i + 1}", W) for i, W in enumerate(weights))):
        if not np.isfinite(array).all():
            raise NonFiniteError(f"{name} is not finite: {int((~np.isfinite(array)).sum())} of its entries")


def _orthonormal(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Columns of a random orthogonal matrix (Haar: signs of R's diagonal are taken out)."""
    Q, R = np.linalg.qr(rng.standard_normal((rows, columns)))
    return Q * np.sign(R.diagonal())


def _check_widths(widths: Sequence[int]) -> None:
    if len(widths) < 2 or min(widths) < 1:
        raise ShapeError(f"a network has D >= 1 layers, so two widths n_0, ..., n_D at least, >= 1; got {list(widths)}")


def aligned_network(
    widths: Sequence[int], strengths: Sequence[float], initial: Sequence[float], *, skew: float = 1.0, seed: int
) -> DeepLinear:
    """Balanced weights aligned with a random target: each mode starts at strength u_0 and never meets another.

    ``W_l = R_l diag(u_0^(1/D)) R_{l-1}^T`` with orthonormal columns R_l, ``R_0 = V``, ``R_D = U``.

    Parameters
    ----------
    widths : sequence of int
        n_0, ..., n_D.
    strengths, initial : sequence of float
        s and u_0 of the K modes, 0 < u_0 < s.
    skew : float
        Factor of W_1, not 0, divided out of W_2: 1 is balanced.
    seed : int

    Raises
    ------
    ShapeError, DomainError
    """
    _check_widths(widths)
    rng = np.random.default_rng(check_seed(seed))
    s, u0 = real_arrays(strengths=strengths, initial=initial)
    if s.ndim != 1 or s.shape != u0.shape or not 1 <= s.size <= min(widths):
        raise ShapeError(
            f"strengths and initial must have the same length, from 1 to the smallest width {min(widths)}; "
            f"got shapes {s.shape} and {u0.shape}"
        )
    grows = (u0 > 0) & (u0 < s) & (s < np.inf)
    if not grows.all():
        bad = int(np.argmin(grows))
        raise DomainError(f"a mode starts at 0 < u_0 < s < inf; mode {bad} has u_0 = {u0[bad]:g}, s = {s[bad]:g}")
    if not 0 < abs(skew) < np.inf:
        raise DomainError(f"skew must be finite and not 0, got {skew}")
    bases = [_orthonormal(n, s.size, rng) for n in widths]
    depth = len(widths) - 1
    weights = [(bases[layer + 1] * u0 ** (1 / depth)) @ bases[layer].T for layer in range(depth)]
    if depth > 1:
        weights[0], weights[1] = weights[0] * skew, weights[1] / skew
    return DeepLinear(tuple(weights), bases[-1], s, bases[0])


def random_network(widths: Sequence[int], strengths: Sequence[float], *, scale: float, seed: int) -> DeepLinear:
    """Independent normal weights of standard deviation `scale`, a random target; nothing is aligned or balanced."""
    _check_widths(widths)
    rng = np.random.default_rng(check_seed(seed))
    if not 0 < scale < np.inf:
        raise DomainError(f"scale must be > 0 and finite, got {scale}: from 0 nothing moves")
    (s,) = real_arrays(strengths=strengths)
    if s.ndim != 1 or not 1 <= s.size <= min(widths[0], widths[-1]):
        raise ShapeError(
            f"strengths must be from 1 to {min(widths[0], widths[-1])} numbers, the smaller of n_0 and n_D; got shape "
            f"{s.shape}"
        )
    if not ((s >= 0) & (s < np.inf)).all():
        raise DomainError(f"strengths are singular values, >= 0 and finite; got {s.tolist()}")
    U, V = (_orthonormal(n, s.size, rng) for n in (widths[-1], widths[0]))
    weights = tuple(scale * rng.standard_normal((after, before)) for before, after in pairwise(widths))
    return DeepLinear(weights, U, s, V)


def orthogonal_weights(depth: int, width: int, *, seed: int) -> tuple[np.ndarray, ...]:
    """D random orthogonal matrices, float64[width, width] each."""
    rng = np.random.default_rng(check_seed(seed))
    return tuple(_orthonormal(width, width, rng) for _ in range(depth))


def gaussian_weights(depth: int, width: int, *, seed: int) -> tuple[np.ndarray, ...]:
    """D matrices of independent normal entries of variance 1/width, which keep lengths on average."""
    rng = np.random.default_rng(check_seed(seed))
    return tuple(rng.standard_normal((width, width)) / np.sqrt(width) for _ in range(depth))


def stack(networks: Sequence[DeepLinear]) -> tuple[np.ndarray, np.ndarray]:
    """Weights of networks of one depth in one array, and their targets, filled with zeros to squares.

    Rows and columns of zeros have gradients of zero, so gradient descent leaves them alone.

    Returns
    -------
    weights : float64[B, D, m, m]
        m the largest width of all.
    targets : float64[B, m, m]

    Raises
    ------
    ShapeError
        Networks of different depths.
    """
    depths = {network.depth for network in networks}
    if len(depths) != 1:
        raise ShapeError(f"a stack holds networks of one depth, got depths {sorted(depths)}")
    width = max(max(W.shape) for network in networks for W in network.weights)
    weights = np.zeros((len(networks), depths.pop(), width, width))
    targets = np.zeros((len(networks), width, width))
    for i, network in enumerate(networks):
        for layer, W in enumerate(network.weights):
            weights[i, layer, : W.shape[0], : W.shape[1]] = W
        rows, columns = network.target.shape
        targets[i, :rows, :columns] = network.target
    return weights, targets


def check_descent(weights: Any, target: Any, eta: float, at: Sequence[int]) -> np.ndarray:
    """Refuse what is no stack of networks, rates and steps; the steps, int64[T].

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    shape = tuple(weights.shape)
    if len(shape) != 4 or 0 in shape or shape[2] != shape[3] or tuple(target.shape) != (shape[0], *shape[2:]):
        raise ShapeError(
            f"weights and target must have shapes (B, D, m, m) and (B, m, m), got {shape} and {tuple(target.shape)}"
        )
    for name, array in (("weights", weights), ("target", target)):
        if not bool((abs(array) < np.inf).all()):
            raise NonFiniteError(f"not all entries of {name} are finite")
    if not 0 < eta < np.inf:
        raise DomainError(f"eta must be > 0 and finite, got {eta}")
    given = np.asarray(at)
    steps = given.astype(np.int64)
    if steps.ndim != 1 or not steps.size or (steps != given).any() or steps[0] < 0 or (np.diff(steps) < 0).any():
        raise DomainError(f"at must be whole steps >= 0 that do not fall, got {given.ravel().tolist()}")
    return steps
