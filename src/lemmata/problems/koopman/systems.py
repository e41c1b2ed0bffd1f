"""The systems whose Koopman operators are known, and the flows that everybody learns."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.koopman.data import Rule
from lemmata.random import check_integer

__all__ = [
    "GOLDEN",
    "Kind",
    "System",
    "cat",
    "contraction",
    "doubling",
    "duffing",
    "gauss_iterated",
    "linear",
    "logistic",
    "lorenz",
    "ornstein_uhlenbeck",
    "pendulum",
    "random_rule",
    "rossler",
    "rotation",
    "skew",
    "tent",
]

#: (sqrt(5) - 1)/2, the rotation number that rationals approximate worst.
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


class Kind(IntEnum):
    """How a system is advanced; flows from PENDULUM on."""

    ROTATION = 0
    LINEAR = 1
    CAT = 2
    SKEW = 3
    DOUBLING = 4
    TENT = 5
    LOGISTIC = 6
    GAUSS_ITERATED = 7
    CONTRACTION = 8
    PENDULUM = 9
    DUFFING = 10
    LORENZ = 11
    ROSSLER = 12


@dataclass(frozen=True, eq=False)
class System:
    """A map F, or a flow sampled every `dt`, and what is known of its Koopman operator K on L^2 of a probability.

    Attributes
    ----------
    name : str
    kind : Kind
    dim : int
        d.
    parameters : float64[p]
    lower, upper : float64[d]
        Box of the uniform law, or of the arcsine law; where `measure` is "none" a place to start from.
    measure : str
        "uniform", "arcsine", "normal" or "none" (the invariant law is not known in closed form).
    isometric, unitary : bool
        K is an isometry (the law is invariant); K is unitary (F is invertible too).
    norm : float
        ||K||, infinite where K is unbounded.
    dt : float
        Time between snapshots of a flow.
    substeps : int
        Integration steps within dt.
    period : float64[d]
        0 for a coordinate that is no angle.
    """

    name: str
    kind: Kind
    dim: int
    parameters: np.ndarray = field(default_factory=lambda: np.zeros(0))
    lower: np.ndarray = field(default_factory=lambda: np.zeros(1))
    upper: np.ndarray = field(default_factory=lambda: np.ones(1))
    measure: str = "uniform"
    isometric: bool = False
    unitary: bool = False
    norm: float = math.inf
    dt: float = 0.0
    substeps: int = 1
    period: np.ndarray = field(default_factory=lambda: np.zeros(1))

    def __post_init__(self) -> None:
        for name in ("parameters", "lower", "upper", "period"):
            array = np.array(getattr(self, name), dtype=np.float64)
            if name != "parameters":
                array = np.broadcast_to(array, (self.dim,)).copy()
            if not np.isfinite(array).all():
                raise DomainError(f"{self.name}: {name} must be finite, got {array}")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        check_integer("substeps", self.substeps, 1)
        if self.is_flow and not 0 < self.dt < math.inf:
            raise DomainError(f"{self.name}: a flow needs a finite dt > 0, got {self.dt}")

    @property
    def is_flow(self) -> bool:
        """Whether F is the time-dt map of a vector field."""
        return self.kind >= Kind.PENDULUM

    @property
    def normal(self) -> bool:
        """Whether K is known to be normal: here, unitary."""
        return self.unitary


def random_rule(system: System, size: int, *, seed: int) -> Rule:
    """Independent points of the system's law with weights 1/M: a Monte Carlo rule.

    Parameters
    ----------
    system : System
        Where its `measure` is "none", points are uniform in the box; they need a burn-in before they mean anything.
    size : int
        M >= 1.
    seed : int

    Returns
    -------
    Rule

    Raises
    ------
    DomainError, TypeError
    """
    check_integer("size", size, 1)
    random = np.random.default_rng(seed)
    if system.measure == "normal":
        x = random.standard_normal((size, system.dim))
    else:
        u = random.random((size, system.dim))
        u = (1 - np.cos(np.pi * u)) / 2 if system.measure == "arcsine" else u
        x = system.lower + (system.upper - system.lower) * u
    return Rule(x, np.full(size, 1 / size))


_UNITARY: dict[str, Any] = {"isometric": True, "unitary": True, "norm": 1.0}
_ISOMETRY: dict[str, Any] = {"isometric": True, "norm": 1.0}


def rotation(alpha: float = GOLDEN) -> System:
    """x + alpha on the circle of length 1: eigenvalues ``e^{2 pi i k alpha}``, eigenfunctions ``e^{2 pi i k x}``."""
    return System("rotation", Kind.ROTATION, 1, np.array([alpha]), period=np.ones(1), **_UNITARY)


def linear(matrix: np.ndarray) -> System:
    """Bx: eigenfunctions are polynomials, eigenvalues the products of those of B."""
    B = np.asarray(matrix, dtype=np.float64)
    if B.ndim != 2 or B.shape[0] != B.shape[1] or not B.size:
        raise ShapeError(f"a linear map needs a square matrix, got {B.shape}")
    return System("linear map", Kind.LINEAR, len(B), B.ravel(), lower=-np.ones(1), measure="none")


def cat() -> System:
    """Arnold's cat map (2x + y, x + y) mod 1: Lebesgue spectrum on the circle, and the constants."""
    return System("cat map", Kind.CAT, 2, period=np.ones(2), **_UNITARY)


def skew(alpha: float = GOLDEN) -> System:
    """(x + alpha, y + x) mod 1: eigenfunctions ``e^{2 pi i j x}``, Lebesgue spectrum for every other frequency."""
    return System("skew product", Kind.SKEW, 2, np.array([alpha]), period=np.ones(2), **_UNITARY)


def doubling() -> System:
    """2x mod 1: a non-unitary isometry, a shift on the chains k -> 2k."""
    return System("doubling map", Kind.DOUBLING, 1, period=np.ones(1), **_ISOMETRY)


def tent() -> System:
    """1 - |2x - 1|: a shift on the chains cos(pi k x) -> cos(2 pi k x)."""
    return System("tent map", Kind.TENT, 1, **_ISOMETRY)


def logistic() -> System:
    """4x(1 - x) under the arcsine law: a shift on the chains ``T_k(1 - 2x) -> T_{2k}(1 - 2x)``."""
    return System("logistic map", Kind.LOGISTIC, 1, measure="arcsine", **_ISOMETRY)


def gauss_iterated() -> System:
    """exp(-2x^2) - 1 - e^{-2} on [-1, 0]; K is unbounded on L^2(dx), for F'(0) = 0."""
    return System("Gaussian iterated map", Kind.GAUSS_ITERATED, 1, lower=-np.ones(1), upper=np.zeros(1))


def contraction(a: float = 0.5) -> System:
    """ax on [0, 1]: every ``x^s`` with Re s > -1/2 is an eigenfunction in L^2(dx), ||K|| = a^{-1/2}."""
    if not 0 < a < 1:
        raise DomainError(f"a contraction needs 0 < a < 1, got {a:g}")
    return System("contraction", Kind.CONTRACTION, 1, np.array([a]), norm=a**-0.5)


def pendulum(dt: float = 0.5, substeps: int = 20) -> System:
    """x'' = -sin x on the cylinder, |y| <= 4: unitary, spectrum the circle. Yoshida's scheme of order 4."""
    box: dict[str, Any] = {
        "lower": np.array([-np.pi, -4.0]),
        "upper": np.array([np.pi, 4.0]),
        "period": np.array([2 * np.pi, 0.0]),
    }
    return System("pendulum", Kind.PENDULUM, 2, dt=dt, substeps=substeps, **box, **_UNITARY)


def duffing(delta: float = 0.0, dt: float = 0.3, substeps: int = 12) -> System:
    """x'' = x - x^3 - delta x'; unitary on the plane for delta = 0 (Yoshida), else Runge-Kutta of order 4."""
    if delta < 0:
        raise DomainError(f"Duffing's damping must be >= 0, got {delta:g}")
    kept: dict[str, Any] = _UNITARY if delta == 0 else {"norm": math.exp(delta * dt / 2)}
    box: dict[str, Any] = {"lower": -2 * np.ones(2), "upper": 2 * np.ones(2), "measure": "none"}
    return System("Duffing", Kind.DUFFING, 2, np.array([delta]), dt=dt, substeps=substeps, **box, **kept)


def lorenz(sigma: float = 10.0, rho: float = 28.0, beta: float = 8 / 3, dt: float = 0.05, substeps: int = 10) -> System:
    """Lorenz's flow; its exponents sum to -(sigma + 1 + beta)."""
    box: dict[str, Any] = {"lower": -np.ones(3), "upper": np.ones(3), "measure": "none"}
    return System("Lorenz", Kind.LORENZ, 3, np.array([sigma, rho, beta]), dt=dt, substeps=substeps, **box)


def rossler(a: float = 0.2, b: float = 0.2, c: float = 5.7, dt: float = 0.05, substeps: int = 10) -> System:
    """Rössler's flow."""
    box: dict[str, Any] = {"lower": -np.ones(3), "upper": np.ones(3), "measure": "none"}
    return System("Rössler", Kind.ROSSLER, 3, np.array([a, b, c]), dt=dt, substeps=substeps, **box)


def ornstein_uhlenbeck(
    x: np.ndarray, noise: np.ndarray, time: float, *, theta: float = 1.0, sigma: float = math.sqrt(2.0)
) -> np.ndarray:
    """The exact transition of ``dX = -theta X + sigma dW`` over `time`: ``e^{-theta t} x + s noise``.

    ``s^2 = sigma^2 (1 - e^{-2 theta t})/(2 theta)``; the invariant law is N(0, sigma^2/(2 theta)), by default N(0, 1),
    and Hermite polynomials have the eigenvalues ``e^{-k theta t}``.

    Parameters
    ----------
    x, noise : float64[...]
        State, and a standard normal draw.
    time : float
        >= 0.
    theta, sigma : float
        > 0.

    Returns
    -------
    float64[...]

    Raises
    ------
    DomainError
    """
    if not (0 <= time < math.inf and 0 < theta < math.inf and 0 < sigma < math.inf):
        raise DomainError(f"need time >= 0, theta > 0 and sigma > 0, got {time:g}, {theta:g} and {sigma:g}")
    # 1 - e^{-2 theta t} would lose the digits of a short time
    return math.exp(-theta * time) * x + sigma * math.sqrt(-math.expm1(-2 * theta * time) / (2 * theta)) * noise
