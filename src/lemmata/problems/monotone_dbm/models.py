"""A pairwise model as it stands, and the parametrisation that makes its mean field unique."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from lemmata.errors import AssumptionError, DomainError, NonFiniteError, ShapeError

__all__ = [
    "MonotoneModel",
    "NonUniqueWarning",
    "PairwiseModel",
    "block_slices",
    "centred",
    "check_states",
    "condition",
    "from_the_largest",
    "node_offsets",
]

#: largest asymmetry of a user's Phi, relative to its largest entry: what rounding in its making can leave
SYMMETRIC = 1e-12
#: dimension up to which the largest eigenvalue is computed; beyond it the bound ``1 + ||A_hat||^2`` is used
DENSE = 2048
#: sum of interactions that no field may exceed
LARGE = 1e300


class NonUniqueWarning(UserWarning):
    """The interactions are so attractive that nothing guarantees a single mean field."""


def check_states(states: Sequence[int]) -> tuple[int, ...]:
    """The numbers of states as a tuple, each at least 2.

    Raises
    ------
    DomainError
        Where there is no node, or a node has fewer than two states.
    """
    made = tuple(int(k) for k in states)
    if not made or min(made) < 2 or any(k != given for k, given in zip(made, states, strict=True)):
        raise DomainError(
            f"every node needs at least 2 states, and there must be a node; got {tuple(states)}. Drop a node of 1 "
            "state: it is constant, and its interactions belong to the biases of the others"
        )
    return made


def node_offsets(states: Sequence[int]) -> np.ndarray:
    """int64[N + 1]: node i owns the entries ``offsets[i]`` to ``offsets[i + 1]``."""
    return np.concatenate([[0], np.cumsum(states)]).astype(np.int64)


def block_slices(states: Sequence[int]) -> list[slice]:
    """The entries of each node as a slice."""
    offsets = node_offsets(states)
    return [slice(int(a), int(b)) for a, b in pairwise(offsets)]


def centred(x: np.ndarray, states: Sequence[int]) -> np.ndarray:
    """Pi x: the mean over each node's states is taken away, along the last axis."""
    offsets = node_offsets(states)
    means = np.add.reduceat(x, offsets[:-1], axis=-1) / np.asarray(states)
    return x - np.repeat(means, states, axis=-1)


def from_the_largest(x: np.ndarray, states: Sequence[int]) -> np.ndarray:
    """x less the largest entry of each node, along the last axis: as biases they mean the same."""
    largest = np.maximum.reduceat(x, node_offsets(states)[:-1], axis=-1)
    with np.errstate(over="ignore"):
        return np.maximum(x - np.repeat(largest, states, axis=-1), np.finfo(x.dtype).min)


def _real(name: str, value: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """A read-only float64 copy of the right shape, finite."""
    made = np.array(value, dtype=np.float64, order="C")
    if made.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, made.shape, strict=True)):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ShapeError(f"{name} must have shape ({wanted}), got {made.shape}")
    if not np.isfinite(made).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(made))[0])
        raise NonFiniteError(f"{name} is {made[index]} at {index}", index=index)
    made.flags.writeable = False
    return made


@dataclass(frozen=True, eq=False)
class PairwiseModel:
    """``p(x) = exp(x' phi x / 2 + bias' x - log Z)`` over one-hot x: any symmetric interactions.

    Attributes
    ----------
    states : tuple of int
        States of each node, K_i >= 2; n is their sum.
    phi : float64[n, n]
        Symmetric, zero within each node; the rounding of ``phi - phi'`` is taken out.
    bias : float64[n]
    guarantee : {"warn", "required", "none"}
        What to do where `attraction` reaches 2, so that the mean field may not be unique.

    Raises
    ------
    ShapeError, DomainError, NonFiniteError
        Where phi is not n x n, not symmetric, or couples the states of one node, with the number that shows it.
    AssumptionError
        Where a guarantee is required and there is none.
    """

    states: tuple[int, ...]
    phi: np.ndarray
    bias: np.ndarray
    guarantee: Literal["warn", "required", "none"] = "warn"

    def __post_init__(self) -> None:
        states = check_states(self.states)
        n = sum(states)
        phi = _real("phi", self.phi, (n, n))
        largest = np.abs(phi).max()
        if largest > LARGE / n:
            raise DomainError(f"phi has an entry of {largest:g}: fields would overflow. Scale it down")
        asymmetry = np.abs(phi - phi.T).max()
        if asymmetry > SYMMETRIC * largest:
            raise DomainError(f"phi must be symmetric; phi - phi' has an entry of {asymmetry:g}. Try (phi + phi') / 2")
        for i, own in enumerate(block_slices(states)):
            if phi[own, own].any():
                raise DomainError(
                    f"phi couples the states of node {i} to one another (largest {np.abs(phi[own, own]).max():g}); add "
                    "half the diagonal of that block to bias and set the block to zero: x x' = diag(x) for one-hot x"
                )
        if self.guarantee not in ("warn", "required", "none"):
            raise DomainError(f"guarantee must be 'warn', 'required' or 'none', got {self.guarantee!r}")
        even = _real("phi", (phi + phi.T) / 2, (n, n))
        for name, value in (("states", states), ("phi", even), ("bias", _real("bias", self.bias, (n,)))):
            object.__setattr__(self, name, value)
        if self.guarantee != "none" and self.attraction >= 2:
            words = (
                f"the largest eigenvalue of Pi phi Pi is {self.attraction:.6g}, not below 2: the mean field may not be "
                "unique. Scale phi down, or use MonotoneModel"
            )
            if self.guarantee == "required":
                raise AssumptionError(words)
            warnings.warn(words, NonUniqueWarning, stacklevel=3)

    @property
    def n(self) -> int:
        """Entries of a state vector, the sum of the K_i."""
        return sum(self.states)

    @property
    def offsets(self) -> np.ndarray:
        """int64[N + 1], see `node_offsets`."""
        return node_offsets(self.states)

    @cached_property
    def projected(self) -> np.ndarray:
        """float64[n, n]: Pi phi Pi, which with `gauge` added to the biases has the same mean fields."""
        made = centred(centred(self.phi, self.states).T, self.states)
        made = (made + made.T) / 2
        made.flags.writeable = False
        return made

    @property
    def gauge(self) -> np.ndarray:
        """float64[n]: the field of the uniform point, ``phi (I - Pi) q`` of every q."""
        return self.phi @ np.repeat(1 / np.array(self.states), self.states)

    @cached_property
    def _spectrum(self) -> tuple[float, float]:
        """Extreme eigenvalues of Pi phi Pi, zero included."""
        values = np.linalg.eigvalsh(self.projected)
        return float(values[0]), float(values[-1])

    @property
    def attraction(self) -> float:
        """Largest eigenvalue of Pi phi Pi: below 2 the mean field is unique."""
        return self._spectrum[1]

    @property
    def modulus(self) -> float:
        """Least eigenvalue of I - phi along changes that keep every node's total, ``1 - attraction``."""
        return 1 - self.attraction

    @property
    def convexity(self) -> float:
        """Modulus of strong convexity of the mean-field free energy, ``1 + modulus``; not positive: no guarantee."""
        return 1 + self.modulus

    @property
    def lipschitz(self) -> float:
        """Largest eigenvalue of I - phi along changes that keep every node's total."""
        return 1 - self._spectrum[0]

    @property
    def step(self) -> float:
        """The step of forward-backward with the best bound, ``2 / (modulus + lipschitz)``.

        Where nothing guarantees a single mean field, half the limit: the free energy falls there all the same.
        """
        return 2 / (self.modulus + self.lipschitz) if self.convexity > 0 else self.step_limit / 2

    @property
    def step_limit(self) -> float:
        """Steps of forward-backward below it contract: ``2 / (lipschitz - 1)``, infinite where lipschitz <= 1."""
        return 2 / (self.lipschitz - 1) if self.lipschitz > 1 else np.inf


@dataclass(frozen=True, eq=False)
class MonotoneModel:
    """A pairwise model with ``I - Phi >= m I``: its mean field is unique whatever A is.

    ``A_hat_i = A_i min(1, sqrt(1 - m) / ||A_i||_2)`` for the columns of each node, ``D = blkdiag(A_hat_i' A_hat_i)``
    and ``Phi = D - A_hat' A_hat``: symmetric, zero within each node, strongly repulsive and weakly attractive. Both
    sides of the product are scaled; scaling one side only would make Phi asymmetric.

    Attributes
    ----------
    states : tuple of int
        States of each node, K_i >= 2; n is their sum.
    A : float64[r, n]
        Free parameter.
    bias : float64[n]
    m : float
        Modulus of monotonicity, in (0, 1).

    Raises
    ------
    ShapeError, DomainError, NonFiniteError

    References
    ----------
    .. [1] Z. Feng, E. Winston, J. Z. Kolter, "Monotone deep Boltzmann machines", TMLR 2023.
    """

    states: tuple[int, ...]
    A: np.ndarray
    bias: np.ndarray
    m: float = 0.1

    def __post_init__(self) -> None:
        states = check_states(self.states)
        n = sum(states)
        if not 0 < self.m < 1:  # a NaN is refused too
            raise DomainError(f"m must lie in (0, 1), got {self.m!r}; for interactions of your own use PairwiseModel")
        arrays = (("A", _real("A", self.A, (None, n))), ("bias", _real("bias", self.bias, (n,))))
        for name, value in (("states", states), *arrays):
            object.__setattr__(self, name, value)

    @property
    def n(self) -> int:
        """Entries of a state vector, the sum of the K_i."""
        return sum(self.states)

    @property
    def offsets(self) -> np.ndarray:
        """int64[N + 1], see `node_offsets`."""
        return node_offsets(self.states)

    @cached_property
    def A_hat(self) -> np.ndarray:
        """float64[r, n]: A with the columns of each node shrunk to spectral norm at most sqrt(1 - m)."""
        made = self.A.copy()
        for own in block_slices(self.states):
            norm = np.linalg.norm(made[:, own], 2) if len(made) else 0.0
            if norm**2 > 1 - self.m:
                made[:, own] *= np.sqrt(1 - self.m) / norm
        made.flags.writeable = False
        return made

    @cached_property
    def blocks(self) -> np.ndarray:
        """float64[sum K_i^2]: the blocks of D one after the other, row by row."""
        made = np.concatenate(
            [(self.A_hat[:, own].T @ self.A_hat[:, own]).ravel() for own in block_slices(self.states)]
        )
        made.flags.writeable = False
        return made

    @cached_property
    def phi(self) -> np.ndarray:
        """float64[n, n]: the interactions as one matrix; its blocks on the diagonal are exactly zero."""
        gram = self.A_hat.T @ self.A_hat
        made = -(gram + gram.T) / 2
        for own in block_slices(self.states):
            made[own, own] = 0.0
        made.flags.writeable = False
        return made

    @cached_property
    def lipschitz(self) -> float:
        """L, the largest eigenvalue of I - Phi; from 2048 entries on its upper bound ``1 + ||A_hat||^2``."""
        if self.n < DENSE:
            return 1 - float(np.linalg.eigvalsh(self.phi)[0])
        return 1 + float(np.linalg.norm(self.A_hat, 2)) ** 2

    @property
    def modulus(self) -> float:
        """m: every eigenvalue of I - Phi is at least this."""
        return self.m

    @property
    def convexity(self) -> float:
        """The mean-field free energy is strongly convex with this modulus, ``1 + m``."""
        return 1 + self.m

    @property
    def step(self) -> float:
        """The step of forward-backward with the best bound, ``2 / (m + L)``."""
        return 2 / (self.m + self.lipschitz)

    @property
    def step_limit(self) -> float:
        """Steps of forward-backward below it contract: ``2 / (L - 1)``, infinite where L <= 1."""
        return 2 / (self.lipschitz - 1) if self.lipschitz > 1 else np.inf


def condition(model: PairwiseModel | MonotoneModel, observed: Any, mask: Any) -> PairwiseModel:
    """The model of the nodes that are not observed, given those that are.

    ``p(x_U | x_C)`` has interactions ``Phi_UU`` and bias ``b_U + Phi_UC x_C``; a principal submatrix of
    ``I - Phi >= m I`` is one too, so the guarantee holds for every mask.

    Parameters
    ----------
    model : PairwiseModel or MonotoneModel
    observed : float64[n]
        Values; only those of observed nodes are read.
    mask : bool[N]
        True where a node is observed; at least one is not.

    Returns
    -------
    PairwiseModel

    Raises
    ------
    ShapeError, DomainError, NonFiniteError
    """
    mask, given = np.asarray(mask), np.asarray(observed, dtype=np.float64)
    if mask.shape != (len(model.states),) or mask.dtype != bool:
        raise ShapeError(f"mask must be bool[{len(model.states)}], got {mask.dtype}{list(mask.shape)}")
    if given.shape != (model.n,):
        raise ShapeError(f"observed must have shape ({model.n},), got {given.shape}")
    if mask.all():
        raise DomainError(f"all {mask.size} nodes are observed: no model of others is left")
    held = np.repeat(mask, model.states)
    values = _real("observed", np.where(held, given, 0.0), (model.n,))
    free = ~held
    bias = model.bias[free] + model.phi[free] @ values
    states = tuple(k for k, seen in zip(model.states, mask, strict=True) if not seen)
    return PairwiseModel(states, model.phi[np.ix_(free, free)], bias, guarantee="none")
