"""Networks that learn to add modulo M from a share of all pairs: how they start, how they are trained, checks on both.

References
----------
Prieto, Barsbey, Mediano and Birdal, "Grokking at the edge of numerical stability", ICLR 2025.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems.learning_dynamics.li2 import Addition
from lemmata.random import check_seed

__all__ = ["ModularActivation", "ModularLoss", "Projection", "Recipe", "check_modular", "modular_networks"]

ModularActivation = Literal["relu", "square"]
ModularLoss = Literal["softmax", "stablemax", "squared"]
#: of each weight matrix's gradient, against the matrix: plain, or stretched to its length before
Projection = Literal["none", "plain", "rescaled"]


@dataclass(frozen=True)
class Recipe:
    """Full-batch AdamW on a loss.

    Attributes
    ----------
    loss : {"softmax", "stablemax", "squared"}
        Cross-entropy, in the weights' precision; cross-entropy of StableMax, in float64; half the squared distance to
        the centred targets.
    projection : {"none", "plain", "rescaled"}
        What of the gradient is kept, matrix by matrix: all, the part orthogonal to the weights, or that part
        stretched to the gradient's length, as in the authors' code.
    activation : {"relu", "square"}
    rate, decay : float
        Learning rate, and weight decay, which AdamW multiplies by it.
    epsilon : float
        Of AdamW. Gradients far below it hardly move the weights: at the usual 1e-8 it ends training much like
        softmax does.
    betas : (float, float)
    """

    loss: ModularLoss = "softmax"
    projection: Projection = "none"
    activation: ModularActivation = "relu"
    rate: float = 0.01
    decay: float = 0.0
    epsilon: float = 1e-30
    betas: tuple[float, float] = (0.9, 0.99)

    def __post_init__(self) -> None:
        for name, words in (("loss", ModularLoss), ("projection", Projection), ("activation", ModularActivation)):
            if getattr(self, name) not in get_args(words):
                raise DomainError(f"{name} must be one of {', '.join(get_args(words))}, got {getattr(self, name)!r}")
        if not 0 < self.rate < np.inf:
            raise DomainError(f"rate must be > 0 and finite, got {self.rate}")
        if not 0 <= self.decay * self.rate < 1:
            raise DomainError(f"decay times rate must lie in [0, 1), got {self.decay} times {self.rate}")
        if not 0 < self.epsilon < np.inf:
            raise DomainError(f"epsilon must be > 0 and finite, got {self.epsilon}: AdamW would divide 0 by 0")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise DomainError(f"betas must lie in [0, 1), got {self.betas}")


def modular_networks(
    modulus: int, hidden: Sequence[int], shares: Sequence[float], *, seed: int
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Networks without biases, and the pairs that each is trained on: arguments of `modular_training`.

    Parameters
    ----------
    modulus : int
        M >= 2.
    hidden : sequence of int
        Widths of the hidden layers, L - 1 of them.
    shares : sequence of float
        Share of all pairs in training, one a network.
    seed : int
        Network i, with its training set, is the same in any list with this i-th share; within a list all differ.

    Returns
    -------
    tuple of float64[B, fan_in, fan_out]
        L matrices, uniform in +-1/sqrt(fan_in); the first has 2 M rows.
    bool[B, M^2]
        Whether the pair (a, b), in column a M + b, is for training.
    """
    pairs = Addition(modulus).modulus ** 2
    sizes = [2 * modulus, *hidden, modulus]
    if min(sizes) < 1:
        raise DomainError(f"hidden widths must be at least 1, got {list(hidden)}")
    counts = [round(share * pairs) for share in shares]
    if not counts or not all(1 <= count < pairs for count in counts):
        raise DomainError(f"each share must leave pairs for training and for a test, got {list(shares)}")
    mask, networks = np.zeros((len(counts), pairs), dtype=bool), []
    for i, count in enumerate(counts):
        rng = np.random.default_rng([check_seed(seed), i])
        mask[i, rng.permutation(pairs)[:count]] = True
        networks.append([rng.uniform(-1, 1, (m, n)) / np.sqrt(m) for m, n in pairwise(sizes)])
    return tuple(np.array(layer) for layer in zip(*networks, strict=True)), mask


def check_modular(weights: Sequence[Any], mask: Any, at: Any) -> tuple[int, np.ndarray]:
    """Refuse networks and training sets that do not fit together; the modulus and the recorded steps, int64[T].

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, TypeError
    """
    if str(mask.dtype).removeprefix("torch.") != "bool":
        raise TypeError(f"mask must be of bool, got {mask.dtype}, whose ~ does not give the other pairs")
    shapes = [tuple(w.shape) for w in weights]
    pairs = tuple(mask.shape)
    chained = len(shapes) >= 2 and all(len(s) == 3 for s in shapes)
    chained = chained and all(s[0] == t[0] and s[2] == t[1] for s, t in pairwise(shapes))
    M = shapes[-1][-1] if chained else 0
    if M < 2 or shapes[0][1] != 2 * M or pairs != (shapes[0][0], M * M):
        raise ShapeError(
            f"weights must be two or more matrices (B, 2 M, h), ..., (B, h', M) and mask (B, M^2), got {shapes} "
            f"and {pairs}"
        )
    for i, w in enumerate(weights):
        if not bool((abs(w) < np.inf).all()):
            raise NonFiniteError(f"weights {i} are not finite")
    if not bool((mask.any(1) & (~mask).any(1)).all()):
        raise DomainError("each network needs pairs for training and for a test")
    given = np.asarray(at)
    steps = given.astype(np.int64)
    if steps.ndim != 1 or not steps.size or (steps != given).any() or steps[0] < 0 or (np.diff(steps) < 0).any():
        raise DomainError(f"at must be whole steps >= 0 that do not fall, got {given.ravel().tolist()}")
    return M, steps
