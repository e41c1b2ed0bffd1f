"""Problems with a known solution: random ones, structured ones, and the hard ones on which a bound is met."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.halpern.operators import Operator, Stage, real_array

__all__ = [
    "FixedPointProblem",
    "bilinear",
    "halpern_hard",
    "km_hard",
    "matrix_game",
    "ohm_hard",
    "pdhg",
    "random_cocoercive",
    "random_monotone",
    "random_nonexpansive",
    "rotations",
    "skew_rotations",
]


@dataclass(frozen=True, eq=False)
class FixedPointProblem:
    """B instances of "find x with T x = x" (or F x = 0), with a known solution.

    Attributes
    ----------
    name : str
    operator : Operator
    x0 : float64[B, d]
        Starting points, which are the anchors too.
    solution : float64[B, d]
        A fixed point of the map (zero of the field) for each row.
    at : dict of str to array of shape (B,)
        Coordinates of the rows, used to name the worst one.
    """

    name: str
    operator: Operator
    x0: np.ndarray
    solution: np.ndarray
    at: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "x0", real_array("x0", np.atleast_2d(self.x0), 2))
        shape = self.x0.shape
        if shape[1] != self.operator.dim:
            raise ShapeError(f"x0 has {shape[1]} columns, the operator acts on {self.operator.dim}")
        if self.operator.batch not in (1, shape[0]):
            raise ShapeError(f"{self.operator.batch} operators for {shape[0]} starting points")
        solution = real_array("solution", np.broadcast_to(np.asarray(self.solution, dtype=np.float64), shape), 2)
        object.__setattr__(self, "solution", solution)

    @cached_property
    def dist(self) -> np.ndarray:
        """D = ||x_0 - x*||, float64[B]."""
        return np.linalg.norm(self.x0 - self.solution, axis=1)

    @property
    def lipschitz(self) -> float:
        """Largest Lipschitz constant of the operators."""
        return float(self.operator.lipschitz.max())


def halpern_hard(sizes: Sequence[int], *, dim: int = 1, lipschitz: float | None = None) -> FixedPointProblem:
    """The instances on which Halpern's bound is met: one row for each N in `sizes`.

    ``T(x) = x - 2 clip(x, -delta, delta)`` with ``delta = 1/(N+1)``, from x_0 = 1 along the first axis, with fixed
    point 0. Then ``x_k = 1 - k delta`` for k <= N and the residual at k = N is ``2/(N+1)`` [derived]. With `lipschitz`
    the field ``F = L clip`` is returned instead, for which ``||F(x_N)|| = L/(N+1)``.
    """
    n = np.asarray(sizes, dtype=np.float64)
    field_ = Operator.huber(1 / (n + 1), dim, 1.0 if lipschitz is None else lipschitz)
    operator = field_.forward(2.0) if lipschitz is None else field_
    x0 = np.zeros((len(n), dim))
    x0[:, 0] = 1.0
    name = "sweep" if lipschitz is None else "Huber sweep"
    return FixedPointProblem(name, operator, x0, np.zeros(dim), {"N": np.asarray(sizes)})


def ohm_hard(sizes: Sequence[int], gamma: float) -> FixedPointProblem:
    """The 1-D instances on which the optimal contractive Halpern method meets its bound, one row for each N.

    ``T(x) = (x - 2 clip(x, -delta, delta)) / gamma``, ``delta = 1 / sum_{i<=N} gamma^i``; then x_N = delta [derived].
    """
    n = np.asarray(sizes)
    if not (np.isfinite(gamma) and gamma >= 1):
        raise DomainError(f"gamma must be >= 1 and finite, got {gamma!r}")
    delta = np.array([1 / np.sum(float(gamma) ** np.arange(k + 1)) for k in n])
    operator = Operator.huber(delta, 1).forward(2.0).scale(1 / gamma)
    at = {"N": n, "gamma": np.full(len(n), gamma)}
    return FixedPointProblem("contractive sweep", operator, np.ones((len(n), 1)), np.zeros(1), at)


def km_hard(sizes: Sequence[int], step: float) -> FixedPointProblem:
    """Planar rotations on which Krasnoselskii-Mann with this step meets its bound at k = N, one row for each N.

    ``1 - cos(theta) = 1 / (2 g (1-g) (N+1))`` on the first branch (g below ``(1 + sqrt(N/(N+1)))/2``), the half
    turn on the second [derived].
    """
    n = np.asarray(sizes, dtype=np.float64)
    if not 0 < step < 1:
        raise DomainError(f"the Krasnoselskii-Mann step g must lie in (0, 1), got {step!r}")
    with np.errstate(divide="ignore"):
        cosine = np.maximum(1 - 1 / (2 * step * (1 - step) * (n + 1)), -1.0)
    cosine = np.where(step <= (1 + np.sqrt(n / (n + 1))) / 2, cosine, -1.0)
    operator = Operator.rotation(np.arccos(cosine)[:, None])
    x0 = np.tile([1.0, 0.0], (len(n), 1))
    return FixedPointProblem("planar rotations", operator, x0, np.zeros(2), {"N": np.asarray(sizes)})


def rotations(batch: int, dim: int, *, gain: float = 1.0, seed: int) -> FixedPointProblem:
    """Random block rotations about random centres; `gain` > 1 makes them expansive."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, np.pi, (batch, dim // 2))
    # a few small angles, where the rate is slow
    angles[:, 0] = np.pi * 10 ** rng.uniform(-3, 0, batch)
    centre = rng.standard_normal((batch, dim))
    operator = Operator.rotation(angles, gain=gain).centred(centre)
    x0 = centre + rng.standard_normal((batch, dim))
    return FixedPointProblem("rotations", operator, x0, centre, {"row": np.arange(batch)})


def random_nonexpansive(batch: int, dim: int, stages: int, *, seed: int) -> FixedPointProblem:
    """Random compositions of projections, proxes, reflections, rotations and orthogonal maps about a common point.

    The kinds of stage are drawn once for the batch, their parameters for each row. Every set contains the
    origin, so the composition, moved to a random centre, has a known fixed point.
    """
    rng = np.random.default_rng(seed)

    def positive(shape: Any) -> np.ndarray:
        return rng.uniform(0.05, 1.0, shape)

    def orthogonal() -> Operator:
        q, r = np.linalg.qr(rng.standard_normal((batch, dim, dim)))
        return Operator.affine(q * np.sign(np.einsum("pii->pi", r))[:, None, :])

    def ball() -> Operator:
        radius = positive(batch)
        middle = rng.standard_normal((batch, dim))
        middle *= (rng.uniform(0, 1, batch) * radius / np.linalg.norm(middle, axis=1))[:, None]
        return Operator.ball(middle, radius)

    makers: list[Callable[[], Operator]] = [
        orthogonal,
        ball,
        lambda: Operator.halfspace(rng.standard_normal((batch, dim)), positive(batch) - 0.05),
        lambda: Operator.reflection(rng.standard_normal((batch, dim))),
        lambda: Operator.clip(positive(batch), dim),
        lambda: Operator.soft_threshold(0.1 * positive(batch), dim),
        lambda: Operator.rotation(rng.uniform(0, np.pi, (batch, dim // 2))),
    ]
    operator = orthogonal()
    for which in rng.integers(len(makers), size=stages - 1):
        operator = operator.then(makers[which]())
    operator = replace(operator, lipschitz=np.ones(1))  # every stage is nonexpansive; norms carry rounding
    centre = rng.standard_normal((batch, dim))
    x0 = centre + rng.standard_normal((batch, dim))
    return FixedPointProblem("random operators", operator.centred(centre), x0, centre, {"row": np.arange(batch)})


def random_cocoercive(batch: int, dim: int, *, lipschitz: float = 1.0, seed: int) -> FixedPointProblem:
    """Random fields ``F(x) = M (x - c)``, M symmetric positive semidefinite with largest eigenvalue L.

    F is then 1/L-cocoercive. Eigenvalues are log-spaced over four decades, so that the slow regime is visible.
    """
    if not 0 < lipschitz < np.inf:
        raise DomainError(f"lipschitz must be positive and finite, got {lipschitz!r}")
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.standard_normal((batch, dim, dim)))
    values = lipschitz * 10 ** rng.uniform(-4, 0, (batch, dim))
    values[:, 0] = lipschitz
    operator = Operator.affine(np.einsum("pij,pj,pkj->pik", q, values, q), is_map=False)
    operator = replace(operator, lipschitz=np.array([lipschitz]), cocoercive=np.array([lipschitz]))
    centre = rng.standard_normal((batch, dim))
    x0 = centre + rng.standard_normal((batch, dim))
    return FixedPointProblem("random cocoercive", operator.centred(centre), x0, centre, {"row": np.arange(batch)})


def random_monotone(batch: int, dim: int, *, lipschitz: float = 1.0, seed: int) -> FixedPointProblem:
    """Random fields ``F(x) = M (x - c)``, M a skew matrix plus a small positive semidefinite one, ``||M|| = L``.

    F is monotone and L-Lipschitz and, its symmetric part being singular, not strongly monotone. ``at["monotone"]``
    holds the smallest eigenvalue of the symmetric part.
    """
    if not 0 < lipschitz < np.inf:
        raise DomainError(f"lipschitz must be positive and finite, got {lipschitz!r}")
    rng = np.random.default_rng(seed)
    skew = rng.standard_normal((batch, dim, dim))
    half = rng.standard_normal((batch, dim, dim // 2))
    matrix = skew - np.swapaxes(skew, 1, 2) + 0.1 * half @ np.swapaxes(half, 1, 2)
    matrix *= lipschitz / np.linalg.norm(matrix, 2, axis=(1, 2))[:, None, None]
    lowest = np.linalg.eigvalsh(matrix + np.swapaxes(matrix, 1, 2))[:, 0] / 2
    centre = rng.standard_normal((batch, dim))
    x0 = centre + rng.standard_normal((batch, dim))
    operator = replace(Operator.affine(matrix, is_map=False), lipschitz=np.array([lipschitz])).centred(centre)
    at = {"row": np.arange(batch), "monotone": lowest}
    return FixedPointProblem("random monotone", operator, x0, centre, at)


def skew_rotations(angular: Any) -> FixedPointProblem:
    """The fields ``F(z) = theta J z`` in the plane, J the right-angle rotation, from unit length; a row a theta > 0.

    Monotone, theta-Lipschitz, nowhere cocoercive: the bilinear problem ``min_x max_y theta x y``.
    """
    theta = np.atleast_1d(np.asarray(angular, dtype=np.float64))
    operator = Operator.rotation(np.full((1, 1), np.pi / 2), gain=theta, is_map=False)
    z0 = np.tile([1.0, 0.0], (len(theta), 1))
    at = {"theta": theta, "monotone": np.zeros(len(theta))}
    return FixedPointProblem("skew rotations", operator, z0, np.zeros(2), at)


def matrix_game(size: int = 500, *, theta: float = 0.8, seed: int = 1) -> np.ndarray:
    """Payoff matrix of the policeman and burglar game, float64[size, size].

    ``A_ij = w_j (1 - exp(-theta |i - j|))`` with ``w = |N(0, 1)|`` from numpy's legacy generator, so that the
    matrix is that of the published experiments.
    """
    weights = np.abs(np.random.RandomState(seed).standard_normal(size))
    i = np.arange(size)
    return weights * (1 - np.exp(-theta * np.abs(i[:, None] - i)))


def pdhg(matrix: Any, step: float) -> Operator:
    """Primal-dual hybrid gradient map of ``min_x max_y <y, A x>`` over two simplices, A of shape (m, n).

    ``x' = P(x - s A'y)``, ``y' = P(y + s A(2x' - x))`` on z = (x, y) in R^(n+m). Firmly nonexpansive in the norm
    ``||z||_M^2 = ||x||^2/s - 2 <y, A x> + ||y||^2/s`` where ``s ||A|| < 1``.
    """
    matrix = real_array("matrix", matrix, 2)
    m, n = matrix.shape
    norm = float(np.linalg.norm(matrix, 2))
    if not 0 < step * norm < 1:
        raise DomainError(f"step * ||A|| must lie in (0, 1), got {step * norm:.6g} with ||A|| = {norm:.6g}")
    return Operator.single(Stage.PDHG, n + m, matrix=matrix[None], scalar=step)


def bilinear(matrix: Any) -> Operator:
    """The field ``F(x, y) = (A'y, -A x)`` of ``min_x max_y <y, A x>``, A of shape (m, n), on z = (x, y) in R^(n+m).

    Monotone and Lipschitz with constant ``||A||``, and not cocoercive.
    """
    matrix = real_array("matrix", matrix, 2)
    norm = float(np.linalg.norm(matrix, 2))
    return Operator.single(Stage.BILINEAR, sum(matrix.shape), matrix=matrix[None], is_map=False, lipschitz=norm)
