"""Operators as data: a short list of stages with their arrays.

Parameters have a leading axis P, which is 1 (shared by the batch) or B (one set a row of the batch).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np

from lemmata.errors import AssumptionError, DomainError, NonFiniteError, ShapeError

__all__ = ["Operator", "Stage", "check_constant", "simplices"]


class Stage(IntEnum):
    """One elementary map; ``s`` is the stage's scalar, ``v`` its vector, ``M`` its matrix."""

    AFFINE = 0  # x -> M x
    ROTATION = 1  # each pair (x_2i, x_2i+1) turned by the angle with (cos, sin) = (v_2i, v_2i+1), times s
    CLIP = 2  # projection onto the box [-s, s]^d
    SOFT = 3  # soft threshold, the prox of s ||.||_1
    BALL = 4  # projection onto the ball of centre v and radius s
    HALFSPACE = 5  # projection onto {x : <v, x> <= s}, v a unit vector
    REFLECTION = 6  # x -> x - 2 <v, x> v, v a unit vector
    SIMPLICES = 7  # projection of (x_1..x_s) and of the rest onto their probability simplices
    BILINEAR = 8  # the field (x, y) -> (M' y, -M x) of min_x max_y <y, M x>
    PDHG = 9  # primal-dual step of that game over two simplices, both steps s


def real_array(name: str, value: Any, ndim: int) -> np.ndarray:
    """A read-only contiguous float64 copy of `value` with `ndim` axes, every entry finite."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be a real array, got dtype {array.dtype}")
    array = np.array(array, dtype=np.float64, order="C")
    if array.ndim != ndim:
        raise ShapeError(f"{name} must have {ndim} axes, got shape {array.shape}")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise NonFiniteError(f"{name} is {array[where]} at index {where}", index=where)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Operator:
    """``x -> is_map * c + alpha (x - c) + beta S(x - c)`` where S is the composition of the stages.

    Built by the class methods; combined by `then`, `relax`, `forward` and `centred`.

    Attributes
    ----------
    dim : int
        Dimension d.
    stages : int64[S, 3]
        Code of the stage, its slot in `matrices`, its slot in `vectors`.
    matrices : float64[P, n_matrices, rows, columns]
    vectors : float64[P, n_vectors, d]
    scalars : float64[P, S]
    alpha, beta : float64[P]
    centre : float64[P, d] or float64[P, 0]
        Centre c; the empty array stands for the origin.
    is_map : bool
        True for a map T (its fixed points are sought), False for a field F (its zeros are sought).
    lipschitz : float64[P]
        Smallest Lipschitz constant known to hold.
    cocoercive : float64[P] or None
        Of a field: L with ``<Fx - Fy, x - y> >= ||Fx - Fy||^2 / L``, where it has one.
    """

    dim: int
    stages: np.ndarray
    matrices: np.ndarray
    vectors: np.ndarray
    scalars: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray
    centre: np.ndarray
    is_map: bool
    lipschitz: np.ndarray
    cocoercive: np.ndarray | None = None

    def __post_init__(self) -> None:
        _one_batch(**{name: a for name in _PARAMETERS if (a := getattr(self, name)) is not None})

    # ---- constructors

    @classmethod
    def single(
        cls,
        code: Stage,
        dim: int,
        *,
        matrix: np.ndarray | None = None,
        vector: np.ndarray | None = None,
        scalar: Any = 0.0,
        is_map: bool = True,
        lipschitz: Any = 1.0,
        cocoercive: Any = None,
    ) -> Operator:
        """One stage about the origin, its parameters with the leading axis P."""
        scalars = real_array("scalar", np.atleast_1d(scalar)[:, None], 2)
        matrices = np.zeros((1, 0, 0, 0)) if matrix is None else matrix[:, None]
        vectors = np.zeros((1, 0, dim)) if vector is None else vector[:, None]
        stages = np.array([[code, 0 if matrix is not None else -1, 0 if vector is not None else -1]])
        return cls(
            dim=dim,
            stages=stages,
            matrices=matrices,
            vectors=vectors,
            scalars=scalars,
            alpha=np.zeros(1),
            beta=np.ones(1),
            centre=np.zeros((1, 0)),
            is_map=is_map,
            lipschitz=np.atleast_1d(np.array(lipschitz, dtype=np.float64)),
            cocoercive=None if cocoercive is None else np.atleast_1d(np.array(cocoercive, dtype=np.float64)),
        )

    @classmethod
    def affine(cls, matrix: Any, *, is_map: bool = True, cocoercive: Any = None) -> Operator:
        """``x -> M x`` with M of shape (d, d) or (P, d, d); shift it with `centred`."""
        matrix = real_array("matrix", np.asarray(matrix)[None] if np.ndim(matrix) == 2 else matrix, 3)
        if matrix.shape[1] != matrix.shape[2]:
            raise ShapeError(f"the matrix of an operator must be square, got {matrix.shape[1:]}")
        norm = np.linalg.norm(matrix, 2, axis=(1, 2))
        return cls.single(
            Stage.AFFINE, matrix.shape[1], matrix=matrix, is_map=is_map, lipschitz=norm, cocoercive=cocoercive
        )

    @classmethod
    def rotation(cls, angles: Any, *, gain: Any = 1.0, is_map: bool = True) -> Operator:
        """Direct sum of planar rotations by `angles` (radians, shape (d/2,) or (P, d/2)), times `gain`."""
        angles = real_array("angles", np.atleast_2d(angles), 2)
        vector = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(len(angles), -1)
        return cls.single(
            Stage.ROTATION, vector.shape[1], vector=vector, scalar=gain, is_map=is_map, lipschitz=np.abs(gain)
        )

    @classmethod
    def clip(cls, radius: Any, dim: int) -> Operator:
        """Projection onto the box ``[-radius, radius]^d``; radius a number or (P,)."""
        return cls.single(Stage.CLIP, dim, scalar=_positive("radius", radius))

    @classmethod
    def huber(cls, radius: Any, dim: int, lipschitz: Any = 1.0) -> Operator:
        """The field ``F(x) = L clip(x, -radius, radius)``, gradient of a Huber function; 1/L-cocoercive."""
        lipschitz = np.atleast_1d(_positive("lipschitz", lipschitz))
        box = cls.clip(radius, dim)
        return replace(box, beta=lipschitz, is_map=False, lipschitz=lipschitz, cocoercive=lipschitz)

    @classmethod
    def soft_threshold(cls, threshold: Any, dim: int) -> Operator:
        """Prox of ``threshold * ||.||_1``."""
        return cls.single(Stage.SOFT, dim, scalar=_positive("threshold", threshold))

    @classmethod
    def ball(cls, centre: Any, radius: Any) -> Operator:
        """Projection onto the ball of `centre` (d,) or (P, d) and `radius` (a number or (P,))."""
        centre = real_array("centre", np.atleast_2d(centre), 2)
        return cls.single(Stage.BALL, centre.shape[1], vector=centre, scalar=_positive("radius", radius))

    @classmethod
    def halfspace(cls, normal: Any, offset: Any) -> Operator:
        """Projection onto ``{x : <normal, x> <= offset}``; `normal` (d,) or (P, d) is scaled to unit length."""
        normal, length = _unit("normal", normal)
        return cls.single(Stage.HALFSPACE, normal.shape[1], vector=normal, scalar=np.atleast_1d(offset) / length)

    @classmethod
    def reflection(cls, normal: Any) -> Operator:
        """Reflection in the hyperplane orthogonal to `normal`, (d,) or (P, d)."""
        normal, _ = _unit("normal", normal)
        return cls.single(Stage.REFLECTION, normal.shape[1], vector=normal)

    # ---- combinations

    def then(self, other: Operator) -> Operator:
        """The map ``x -> other(self(x))`` of two maps that are plain compositions of stages about the origin."""
        for op in (self, other):
            if not op.is_map or op.alpha.any() or (op.beta != 1).any() or op.centre.size:
                raise DomainError("only plain maps about the origin compose; relax and centre the composition")
        if self.dim != other.dim:
            raise ShapeError(f"cannot compose dimensions {self.dim} and {other.dim}")
        _one_batch(first=self.scalars, second=other.scalars, lipschitz=self.lipschitz, other=other.lipschitz)
        shift = np.array([0, self.matrices.shape[1], self.vectors.shape[1]])
        stages = other.stages + np.where(other.stages >= 0, shift, 0)
        matrices = other.matrices if not self.matrices.shape[1] else self.matrices
        if self.matrices.shape[1] and other.matrices.shape[1]:
            matrices = _side_by_side(self.matrices, other.matrices)
        return replace(
            self,
            stages=np.vstack([self.stages, stages]),
            matrices=matrices,
            vectors=_side_by_side(self.vectors, other.vectors),
            scalars=_side_by_side(self.scalars, other.scalars),
            lipschitz=self.lipschitz * other.lipschitz,
        )

    def centred(self, centre: Any) -> Operator:
        """The operator moved so that what happened at the origin happens at `centre`, (d,) or (P, d)."""
        centre = real_array("centre", np.atleast_2d(centre), 2)
        if centre.shape[1] != self.dim:
            raise ShapeError(f"centre must have {self.dim} entries, got {centre.shape[1]}")
        if self.centre.size:
            _one_batch(centre=centre, old=self.centre)
            centre = centre + self.centre
        return replace(self, centre=centre)

    def relax(self, weight: Any) -> Operator:
        """``(1 - w) I + w T`` of a map T; w = 2 is the reflected map ``2T - I``."""
        if not self.is_map:
            raise DomainError("relax is for a map; use forward(eta) on a field")
        w = real_array("weight", np.atleast_1d(weight), 1)
        _one_batch(weight=w, operator=np.empty(self.batch))
        return replace(
            self,
            alpha=1 - w + w * self.alpha,
            beta=w * self.beta,
            lipschitz=np.abs(1 - w) + np.abs(w) * self.lipschitz,
        )

    def scale(self, factor: float) -> Operator:
        """``factor`` times the operator, about its centre: a map keeps its fixed point."""
        return replace(
            self,
            alpha=factor * self.alpha,
            beta=factor * self.beta,
            lipschitz=abs(factor) * self.lipschitz,
            cocoercive=None if self.cocoercive is None else abs(factor) * self.cocoercive,
        )

    def forward(self, eta: Any) -> Operator:
        """The map ``I - eta F`` of a field F.

        Its Lipschitz constant is 1 where F is cocoercive with constant L and ``0 <= eta <= 2/L`` [derived: the
        map ``I - (2/L)F`` is nonexpansive and ``I - eta F`` is an average of it and the identity].
        """
        if self.is_map:
            raise DomainError("forward is for a field; use relax(w) on a map")
        eta = real_array("eta", np.atleast_1d(eta), 1)
        _one_batch(eta=eta, operator=np.empty(self.batch))
        lipschitz = 1 + np.abs(eta) * self.lipschitz
        if self.cocoercive is not None:
            inside = (eta >= 0) & (eta * self.cocoercive <= 2 * (1 + 1e-12))
            # beyond 2/L an affine or Huber field expands by |1 - eta L|
            lipschitz = np.where(inside, 1.0, np.abs(1 - eta * self.cocoercive))
        return replace(
            self,
            alpha=1 - eta * self.alpha,
            beta=-eta * self.beta,
            is_map=True,
            lipschitz=lipschitz,
            cocoercive=None,
        )

    # ---- use

    @property
    def batch(self) -> int:
        """Number of parameter sets P (1: shared by the whole batch)."""
        return max(len(a) for name in _PARAMETERS if (a := getattr(self, name)) is not None)

    def row(self, b: int) -> Operator:
        """The operator of row b alone (P = 1)."""
        picked = {}
        for name in _PARAMETERS:
            value = getattr(self, name)
            picked[name] = value if value is None or len(value) == 1 else value[b : b + 1]
        return replace(self, **picked)

    def __call__(self, x: Any) -> np.ndarray:
        """Evaluate on numpy arrays, ``(d,)`` or ``(B, d)``, in float64: the reference for the simulators."""
        x = np.asarray(x, dtype=np.float64)
        if x.shape[-1] != self.dim:
            raise ShapeError(f"the operator acts on {self.dim} entries, got shape {x.shape}")
        points = np.atleast_2d(x)
        shifted = points - self.centre if self.centre.size else points
        y = shifted
        for s, (code, i, j) in enumerate(self.stages):
            y = _STAGES[code](
                y,
                self.matrices[:, i] if i >= 0 else None,
                self.vectors[:, j] if j >= 0 else None,
                self.scalars[:, s, None],
            )
        y = self.alpha[:, None] * shifted + self.beta[:, None] * y
        if self.is_map and self.centre.size:
            y = y + self.centre
        return y.reshape(x.shape) if y.size == x.size else y


#: fields of an `Operator` with the leading axis P
_PARAMETERS = ("matrices", "vectors", "scalars", "alpha", "beta", "centre", "lipschitz", "cocoercive")


def _one_batch(**arrays: np.ndarray) -> None:
    """Refuse leading axes that are neither 1 nor one common P."""
    if len({len(a) for a in arrays.values()} - {1}) > 1:
        sizes = ", ".join(f"{name} {len(a)}" for name, a in arrays.items() if len(a) != 1)
        raise ShapeError(f"parameters must be shared (1) or have one set for each of P rows, got {sizes}")


def _positive(name: str, value: Any) -> np.ndarray:
    array = np.array(value, dtype=np.float64)
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise DomainError(f"{name} must be positive and finite, got {value!r}")
    return array


def _unit(name: str, value: Any) -> tuple[np.ndarray, np.ndarray]:
    array = real_array(name, np.atleast_2d(value), 2)
    length = np.linalg.norm(array, axis=1)
    if not (length > 0).all():
        raise DomainError(f"{name} must not vanish, got {value!r}")
    return array / length[:, None], length


def _side_by_side(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    p = max(len(a), len(b))
    return np.concatenate([np.broadcast_to(t, (p, *t.shape[1:])) for t in (a, b)], axis=1)


def simplices(x: np.ndarray, first: int) -> np.ndarray:
    """Project ``x[..., :first]`` and ``x[..., first:]`` each onto the probability simplex.

    By sorting: the largest threshold t with ``sum max(x - t, 0) = 1``. Shape and dtype are kept.
    """
    if not 0 < first < x.shape[-1]:
        raise DomainError(f"first must split the {x.shape[-1]} entries in two, 1..{x.shape[-1] - 1}, got {first}")
    parts = []
    for block in (x[..., :first], x[..., first:]):
        block = block - block.max(axis=-1, keepdims=True)  # the projection is the same, and large entries keep the 1
        ordered = -np.sort(-block, axis=-1)
        excess = np.cumsum(ordered, axis=-1) - 1
        count = np.arange(1, block.shape[-1] + 1)
        last = np.sum(ordered * count > excess, axis=-1, keepdims=True)
        parts.append(np.maximum(block - np.take_along_axis(excess, last - 1, -1) / last, 0))
    return np.concatenate(parts, axis=-1)


def _rotate(x: np.ndarray, matrix: Any, v: Any, s: np.ndarray) -> np.ndarray:
    c, n, a, b = v[:, 0::2], v[:, 1::2], x[:, 0::2], x[:, 1::2]
    return s * np.stack([c * a - n * b, n * a + c * b], axis=-1).reshape(len(a), -1)


def _project_ball(x: np.ndarray, matrix: Any, v: Any, s: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x - v, axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        return v + (x - v) * np.minimum(1.0, s / length)


def _project_halfspace(x: np.ndarray, matrix: Any, v: Any, s: np.ndarray) -> np.ndarray:
    return x - np.maximum((x * v).sum(axis=1, keepdims=True) - s, 0) * v


def _bilinear(x: np.ndarray, matrix: Any, v: Any, s: Any) -> np.ndarray:
    n = matrix.shape[2]
    return np.concatenate(
        [np.einsum("pmn,bm->bn", matrix, x[:, n:]), -np.einsum("pmn,bn->bm", matrix, x[:, :n])], axis=1
    )


def _pdhg(x: np.ndarray, matrix: Any, v: Any, s: np.ndarray) -> np.ndarray:
    m, n = matrix.shape[1:]
    primal, dual = x[:, :n], x[:, n:]
    pad = np.zeros((len(x), m))
    step = s * np.einsum("pmn,bm->bn", matrix, dual)
    new = simplices(np.concatenate([primal - step, pad], axis=1), n)[:, :n]
    ascent = s * np.einsum("pmn,bn->bm", matrix, 2 * new - primal)
    return simplices(np.concatenate([new, dual + ascent], axis=1), n)


_STAGES: dict[int, Callable[..., np.ndarray]] = {
    Stage.AFFINE: lambda x, M, v, s: np.matmul(M, x[..., None])[..., 0],
    Stage.ROTATION: _rotate,
    Stage.CLIP: lambda x, M, v, s: np.clip(x, -s, s),
    Stage.SOFT: lambda x, M, v, s: x - np.clip(x, -s, s),
    Stage.BALL: _project_ball,
    Stage.HALFSPACE: _project_halfspace,
    Stage.REFLECTION: lambda x, M, v, s: x - 2 * (x * v).sum(axis=1, keepdims=True) * v,
    Stage.SIMPLICES: lambda x, M, v, s: simplices(x, int(s.flat[0])),
    Stage.BILINEAR: _bilinear,
    Stage.PDHG: _pdhg,
}


def check_constant(
    operator: Callable[[np.ndarray], np.ndarray],
    dim: int,
    *,
    lipschitz: float | None = None,
    cocoercive: float | None = None,
    monotone: bool = False,
    pairs: int = 100,
    scale: float = 1.0,
    seed: int,
) -> float:
    """Look for a pair of points that contradicts a declared constant.

    Parameters
    ----------
    operator : callable
        ``(d,) -> (d,)``.
    dim : int
    lipschitz, cocoercive : float, optional
        Declared L of ``||Fx - Fy|| <= L ||x - y||`` and of ``<Fx - Fy, x - y> >= ||Fx - Fy||^2 / L``.
    monotone : bool
        Whether ``<Fx - Fy, x - y> >= 0`` is declared.
    pairs, scale : int, float
        Number of Gaussian pairs and their spread.
    seed : int

    Returns
    -------
    float
        Largest ratio ``||Fx - Fy|| / ||x - y||`` seen: a lower estimate of the Lipschitz constant.

    Raises
    ------
    AssumptionError
        With the pair's ratio, where a declared constant is contradicted by more than 1e-9.
    """
    rng = np.random.default_rng(seed)
    largest = 0.0
    for _ in range(pairs):
        x, y = scale * rng.standard_normal((2, dim))
        fx, fy = np.asarray(operator(x)), np.asarray(operator(y))
        dx, df = x - y, fx - fy
        ratio, inner = float(np.linalg.norm(df) / np.linalg.norm(dx)), float(df @ dx)
        largest = max(largest, ratio)
        # the images are known to their own rounding, which dwarfs df where F is nearly constant
        sizes = sum(float(np.linalg.norm(v)) for v in (x, y, fx, fy))
        room = (1e-9 * float(np.linalg.norm(df)) + 8 * np.finfo(float).eps * sizes) * float(np.linalg.norm(dx))
        if lipschitz is not None and ratio > lipschitz * (1 + 1e-9):
            raise AssumptionError(f"Lipschitz constant {lipschitz:g} is contradicted: ratio {ratio:.9g}, x {x}, y {y}")
        if monotone and inner < -room:
            raise AssumptionError(f"the operator is not monotone: <Fx - Fy, x - y> = {inner:.6g}, x {x}, y {y}")
        if cocoercive is not None and inner < float(df @ df) / cocoercive - room:
            raise AssumptionError(
                f"cocoercivity with L = {cocoercive:g} is contradicted: <Fx - Fy, x - y> = {inner:.6g} "
                f"< ||Fx - Fy||^2 / L = {float(df @ df) / cocoercive:.6g}, x {x}, y {y}"
            )
    return largest
