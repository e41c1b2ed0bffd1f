"""Finite sums of linear components, their on-average constants, and the options of the variance-reduced methods.

A component of every sum here is linear about the centre, ``F_i(u) = A_i (u - c)``, so that the centre is a zero of
``F = (1/n) sum_i F_i``. One oracle call is one evaluation of one F_i: the full F costs n calls, the difference
of two points on a batch of b indices 2b.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, NotConverged, ShapeError
from lemmata.problems.halpern.operators import real_array, simplices
from lemmata.problems.halpern.steps import anchor_weights, recorded_steps
from lemmata.results import dataset

__all__ = [
    "COINS",
    "INDICES",
    "INNER",
    "Components",
    "FiniteSum",
    "FiniteSumProblem",
    "Inexact",
    "Inner",
    "Loopless",
    "Page",
    "balanced_diagonal",
    "check_page",
    "check_start",
    "game_sum",
    "inexact",
    "loopless",
    "ouyang_xu",
    "page",
    "page_batch",
    "page_probabilities",
    "rank_one_sum",
    "recorded",
    "replicate_ids",
    "resolvents",
    "sampled",
    "skew_sum",
]

#: Streams of `lemmata.random`: the coins and the indices of PAGE (blocks k and k ceil(b/2) + j), and both of a loopless
#: method (block t of its step t: words 0 and 1 give the index, word 2 the coin).
COINS, INDICES, INNER = 0, 1, 2


class Components(IntEnum):
    """What A_i is."""

    COLUMNS = 0  # A_i has the columns data[i, r] at the places index[i, r], zeros elsewhere
    DIAGONAL = 1  # A_i = diag(data[i, 0])
    RANK_ONE = 2  # A_i = a a' with a = data[i, 0]


@dataclass(frozen=True, eq=False)
class FiniteSum:
    """The field ``F(u) = (1/n) sum_i A_i (u - c)``.

    Built by the class methods. Calling it evaluates F; `component` and `component_diff` average a batch of
    components, with the same signature as an operator of the user's for `lemmata.kernels.halpern`.

    Attributes
    ----------
    kind : Components
    data : float64[n, rows, d]
        See `Components`.
    index : int64[n, rows]
        Places of the columns; of shape (n, 0) where `kind` has none.
    mean : float64[rows, d]
        ``(1/n) sum_i A_i``: its diagonal (one row) for `DIAGONAL`, else its transpose (d rows).
    centre : float64[d]
        c.
    lipschitz : float
        Least L with ``(1/n) sum_i ||F_i u - F_i v||^2 <= L^2 ||u - v||^2``.
    cocoercive : float or None
        Least L with ``(1/n) sum_i ||F_i u - F_i v||^2 <= L <Fu - Fv, u - v>``, where there is one.
    mean_lipschitz : float
        L_F, the Lipschitz constant of F itself.
    """

    kind: Components
    data: np.ndarray
    index: np.ndarray
    mean: np.ndarray
    centre: np.ndarray
    lipschitz: float
    cocoercive: float | None
    mean_lipschitz: float
    is_map: ClassVar[bool] = False

    # ---- constructors

    @classmethod
    def _of(cls, kind: Components, data: np.ndarray, index: np.ndarray, mean: np.ndarray, centre: Any) -> FiniteSum:
        dim = data.shape[2]
        centre = real_array("centre", np.zeros(dim) if centre is None else centre, 1)
        if centre.shape != (dim,):
            raise ShapeError(f"centre must have shape ({dim},), got {centre.shape}")
        # written first without constants, which are read off the matrices
        bare = cls(kind, data, index, mean, centre, np.nan, None, np.nan)
        lipschitz, cocoercive, mean_lipschitz = bare._constants()
        return cls(kind, data, index, mean, centre, lipschitz, cocoercive, mean_lipschitz)

    @classmethod
    def dense(cls, matrices: Any, *, centre: Any = None) -> FiniteSum:
        """Components A_i given as float64[n, d, d]."""
        matrices = _components("matrices", matrices, 3)
        n, d, columns = matrices.shape
        if d != columns:
            raise ShapeError(f"the matrices must be square, got {matrices.shape}")
        data = np.ascontiguousarray(matrices.transpose(0, 2, 1))
        index = np.broadcast_to(np.arange(d), (n, d)).copy()
        return cls._of(Components.COLUMNS, data, index, np.ascontiguousarray(data.mean(axis=0)), centre)

    @classmethod
    def coordinates(cls, matrix: Any, blocks: Any, *, centre: Any = None) -> FiniteSum:
        """``F(u) = M (u - c)`` sampled by blocks of coordinates: ``F_i(u) = n sum_{j in J_i} M[:, j] (u_j - c_j)``.

        Parameters
        ----------
        matrix : float64[d, d]
            M.
        blocks : int64[n, rows]
            J_i, the rows of a partition of 0..d-1.
        centre : float64[d], optional

        Raises
        ------
        DomainError
            Where the blocks are not a partition of the coordinates.
        """
        matrix = real_array("matrix", matrix, 2)
        blocks = np.array(blocks, dtype=np.int64, order="C")
        d = len(matrix)
        if matrix.shape != (d, d) or blocks.ndim != 2:
            raise ShapeError(f"need a square matrix and blocks with 2 axes, got {matrix.shape} and {blocks.shape}")
        if not np.array_equal(np.sort(blocks, axis=None), np.arange(d)):
            raise DomainError(f"the blocks must be a partition of 0..{d - 1}")
        data = len(blocks) * matrix.T[blocks]
        return cls._of(Components.COLUMNS, data, blocks, np.ascontiguousarray(matrix.T), centre)

    @classmethod
    def diagonal(cls, weights: Any, *, centre: Any = None) -> FiniteSum:
        """Components ``A_i = diag(weights[i])``, weights of shape (n, d)."""
        data = _components("weights", weights, 2)[:, None, :]
        return cls._of(Components.DIAGONAL, data, _no_index(data), data.mean(axis=0), centre)

    @classmethod
    def rank_one(cls, vectors: Any, *, centre: Any = None) -> FiniteSum:
        """Components ``A_i = a_i a_i'``, vectors a_i of shape (n, d)."""
        vectors = _components("vectors", vectors, 2)
        data = vectors[:, None, :]
        return cls._of(Components.RANK_ONE, data, _no_index(data), vectors.T @ vectors / len(vectors), centre)

    def _constants(self) -> tuple[float, float | None, float]:
        """Lipschitz and cocoercivity constants on average, and the Lipschitz constant of the mean."""
        if self.kind == Components.DIAGONAL:
            mean, square = self.mean[0], self.second_moment().diagonal()
            lipschitz = float(np.sqrt(square.max()))
            fits = (mean > 0) | (square == 0)
            ratio = np.divide(square, mean, out=np.zeros_like(mean), where=mean > 0)
            return lipschitz, float(ratio.max()) if fits.all() else None, float(np.abs(mean).max())
        square = self.second_moment()
        lipschitz = float(np.sqrt(np.linalg.eigvalsh(square)[-1]))
        # square <= L sym(mean): on the range of sym(mean), and square must vanish off it
        values, basis = np.linalg.eigh((self.mean + self.mean.T) / 2)
        kept = values > 1e-12 * max(abs(values[0]), abs(values[-1]))
        cocoercive = None
        if values[0] >= -1e-12 * lipschitz and kept.any():
            off = basis[:, ~kept]
            scaled = basis[:, kept] / np.sqrt(values[kept])
            if np.abs(np.einsum("ij,ik,kj->j", off, square, off)).sum() <= 1e-12 * lipschitz**2:
                cocoercive = float(np.linalg.eigvalsh(scaled.T @ square @ scaled)[-1])
        return lipschitz, cocoercive, float(np.linalg.norm(self.mean, 2))

    def second_moment(self) -> np.ndarray:
        """``(1/n) sum_i A_i' A_i``, float64[d, d]: its form at u - v is the mean of ``||F_i u - F_i v||^2``."""
        if self.kind == Components.DIAGONAL:
            return np.diag((self.data[:, 0] ** 2).mean(axis=0))
        if self.kind == Components.RANK_ONE:
            a = self.data[:, 0]
            return (a * (a**2).sum(axis=1, keepdims=True)).T @ a / self.n
        square = np.zeros((self.dim, self.dim))
        gram = np.matmul(self.data, self.data.transpose(0, 2, 1)) / self.n
        np.add.at(square, (self.index[:, :, None], self.index[:, None, :]), gram)
        return square

    # ---- use

    @property
    def n(self) -> int:
        """Number of components."""
        return len(self.data)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.data.shape[2]

    @property
    def matrix(self) -> np.ndarray:
        """``(1/n) sum_i A_i`` in full, float64[d, d]."""
        return np.diag(self.mean[0]) if self.kind == Components.DIAGONAL else self.mean.T

    def __call__(self, u: Any) -> np.ndarray:
        """F at points (..., d)."""
        delta = np.asarray(u, dtype=np.float64) - self.centre
        return delta * self.mean[0] if self.kind == Components.DIAGONAL else delta @ self.mean

    def component(self, i: Any, u: Any) -> np.ndarray:
        """Mean of F_i over a batch of indices: i of shape (B, b), u of shape (B, d), result of shape (B, d)."""
        return self.component_diff(i, u, self.centre)

    def component_diff(self, i: Any, u: Any, v: Any) -> np.ndarray:
        """Mean of ``F_i(u) - F_i(v)`` over a batch of indices, the same ones at both points; shapes as `component`."""
        delta = np.asarray(u, dtype=np.float64) - v
        data = self.data[i]
        if self.kind == Components.DIAGONAL:
            return data[:, :, 0].mean(axis=1) * delta
        if self.kind == Components.RANK_ONE:
            weight = np.einsum("bsd,bd->bs", data[:, :, 0], delta)
        else:
            weight = np.take_along_axis(delta[:, None], self.index[i].reshape(len(delta), 1, -1), axis=2)[:, 0]
            data = data.reshape(len(delta), -1, 1, self.dim)
        return np.einsum("bs,bsd->bd", weight, data[:, :, 0]) / np.shape(i)[1]


def _components(name: str, value: Any, ndim: int) -> np.ndarray:
    array = real_array(name, value, ndim)
    if array.shape[0] < 1:
        raise DomainError(f"a finite sum needs n >= 1 components, got n = {array.shape[0]}")
    return array


def _no_index(data: np.ndarray) -> np.ndarray:
    return np.zeros((len(data), 0), dtype=np.int64)


# ------------------------------------------------------------------------------------------- instances


@dataclass(frozen=True, eq=False)
class FiniteSumProblem:
    """Find u with ``0 in F(u) + G(u)``, F a finite sum, G zero or the normal cone of two simplices.

    Attributes
    ----------
    name : str
    operator : FiniteSum
        F.
    x0 : float64[d]
        Starting point, which is the anchor too.
    solution : float64[d] or None
        A solution, where one is known.
    simplices : int
        0: G = 0. s > 0: the first s entries and the rest lie in their probability simplices.
    at : dict
        Coordinates that name the problem in a verdict.
    """

    name: str
    operator: FiniteSum
    x0: np.ndarray
    solution: np.ndarray | None
    simplices: int = 0
    at: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("x0", "solution"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, real_array(name, value, 1))
                if len(value) != self.operator.dim:
                    raise ShapeError(f"{name} has {len(value)} entries, the operator acts on {self.operator.dim}")

    @property
    def dist(self) -> float:
        """D = ||x_0 - x*||; NaN where no solution is known."""
        return float("nan") if self.solution is None else float(np.linalg.norm(self.x0 - self.solution))


def balanced_diagonal(n: int, dim: int = 40, *, seed: int) -> FiniteSumProblem:
    """Diagonal components ``A_i = diag(lam w_i)``, w in {1/2, 3/2}, each value n/2 times in each column.

    The mean is diag(lam), lam log-spaced from 1e-4 to 1, so that the 1/k regime is visible. On average cocoercive with
    L = 1.25 exactly, L_F = 1. ``x_0 - x* = (1, ..., 1)/sqrt(d)``, so D = 1; x* is Gaussian.

    Parameters
    ----------
    n : int
        Number of components, even.
    dim : int
    seed : int

    Raises
    ------
    DomainError
        Where n is odd or < 2.
    """
    if n < 2 or n % 2:
        raise DomainError(f"n must be even and >= 2 to balance the columns, got {n}")
    rng = np.random.default_rng(seed)
    half = np.repeat([0.5, 1.5], n // 2)
    weights = rng.permuted(np.broadcast_to(half, (dim, n)), axis=1).T
    centre = rng.standard_normal(dim)
    operator = FiniteSum.diagonal(np.logspace(-4, 0, dim) * weights, centre=centre)
    x0 = centre + np.full(dim, dim**-0.5)
    return FiniteSumProblem("balanced diagonal", operator, x0, centre, at={"n": n})


def skew_sum(n: int, dim: int = 10, *, noise: float = 0.5, seed: int) -> FiniteSumProblem:
    """Skew components: a common Gaussian skew matrix plus `noise` times one of its own, scaled to L = 1 on average.

    Monotone and Lipschitz on average, not cocoercive. ``x_0 - x*`` is a random unit vector, so D = 1.
    """
    rng = np.random.default_rng(seed)
    base, own = rng.standard_normal((dim, dim)), rng.standard_normal((n, dim, dim))
    skew = (base - base.T) + noise * (own - own.transpose(0, 2, 1))
    skew /= np.sqrt(np.linalg.eigvalsh(np.einsum("nki,nkj->ij", skew, skew) / n)[-1])
    centre, direction = rng.standard_normal((2, dim))
    x0 = centre + direction / np.linalg.norm(direction)
    return FiniteSumProblem("skew", FiniteSum.dense(skew, centre=centre), x0, centre, at={"n": n})


def rank_one_sum(n: int, dim: int = 20, *, seed: int) -> FiniteSumProblem:
    """Least squares with rows a_i on the unit sphere: ``A_i = a_i a_i'``.

    On average cocoercive with L = 1 exactly, but L_F is about 1/d: there is little for variance reduction to gain.
    ``x_0 - x*`` is a random unit vector, so D = 1.
    """
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    centre, direction = rng.standard_normal((2, dim))
    x0 = centre + direction / np.linalg.norm(direction)
    return FiniteSumProblem("rank-one", FiniteSum.rank_one(vectors, centre=centre), x0, centre, at={"n": n})


def game_sum(matrix: Any) -> FiniteSumProblem:
    """The game ``min_x max_y <y, A x>`` over two simplices, sampled by coordinates.

    ``F(x, y) = (A'y, -A x)`` on z = (x, y). Component i uses row i and column i of the square A:
    ``F_i(x, y) = n (A[i, :] y_i, -A[:, i] x_i)``, so that F is their mean. x_0 is uniform; the solution is not
    known in closed form.

    Parameters
    ----------
    matrix : float64[n, n]
        A, for instance `matrix_game`.
    """
    matrix = real_array("matrix", matrix, 2)
    n = len(matrix)
    if matrix.shape != (n, n):
        raise ShapeError(f"the game must be square to sample one row and one column a call, got {matrix.shape}")
    zero = np.zeros((n, n))
    operator = FiniteSum.coordinates(np.block([[zero, matrix.T], [-matrix, zero]]), _pairs(n))
    return FiniteSumProblem("matrix game", operator, np.full(2 * n, 1 / n), None, simplices=n, at={"n": n})


def ouyang_xu(n: int = 200) -> FiniteSumProblem:
    """The quadratic program that is hard for first-order methods, sampled by coordinates.

    ``min_x max_y <x, H x>/2 - <h, x> - <y, A x - b>``: ``F(x, y) = (H x - h - A'y, A x - b)`` with
    ``A[i, n-1-i] = 1/4``, ``A[i, n-2-i] = -1/4``, ``H = 2 A'A``, b = 1/4 everywhere, h = e_n / 4. Component i moves
    the i-th coordinates of x and of y: ``F_i(x, y) = n (H[:, i] (x - x*)_i - A[i, :] (y - y*)_i, A[:, i] (x - x*)_i)``.
    x_0 = 1/n everywhere. Monotone and not cocoercive on average; D grows like n^1.5.

    References
    ----------
    Ouyang and Xu, "Lower complexity bounds of first-order methods for convex-concave bilinear saddle-point
    problems", Mathematical Programming 185 (2021).
    """
    if n < 1:
        raise DomainError(f"n must be >= 1, got {n}")
    matrix = np.zeros((n, n))
    rows = np.arange(n)
    matrix[rows, n - 1 - rows] = 0.25
    matrix[rows[:-1], n - 2 - rows[:-1]] = -0.25
    h = np.zeros(n)
    h[-1] = 0.25
    hessian = 2 * matrix.T @ matrix
    full = np.block([[hessian, -matrix.T], [matrix, np.zeros((n, n))]])
    solution = np.linalg.solve(full, np.concatenate([h, np.full(n, 0.25)]))
    operator = FiniteSum.coordinates(full, _pairs(n), centre=solution)
    return FiniteSumProblem("Ouyang-Xu QP", operator, np.full(2 * n, 1 / n), solution, at={"n": n})


def _pairs(n: int) -> np.ndarray:
    return np.stack([np.arange(n), n + np.arange(n)], axis=1)


# --------------------------------------------------------------------------------------------- options


@dataclass(frozen=True, eq=False)
class Page:
    """Options of Algorithm 1, Halpern's iteration with the PAGE estimator; built by `page`.

    Attributes
    ----------
    eta : float
        Step.
    batch : int
        b, number of component differences where F is not recomputed.
    weights : float64[steps]
        Anchor weights lam_k.
    probabilities : float64[steps]
        p_k, probability that F is recomputed at u_k; p_0 = 1.
    """

    eta: float
    batch: int
    weights: np.ndarray
    probabilities: np.ndarray

    @property
    def steps(self) -> int:
        """Number of steps N."""
        return len(self.weights)

    def expected_calls(self, n: int) -> np.ndarray:
        """``sum_{j<k} [p_j n + (1 - p_j) 2 b]``, the expected calls of the first k steps, float64[steps + 1]."""
        each = self.probabilities * n + (1 - self.probabilities) * 2 * self.batch
        return np.concatenate([[0.0], np.cumsum(each)])


def page_batch(n: int) -> int:
    """Batch for which Algorithm 1 has its guarantee: ``ceil(sqrt n)``, or ``ceil(1.5 sqrt n)`` for n <= 16."""
    _check_count(n)
    if n == 1:
        return 1
    return min(n, int(np.ceil((1.5 if n <= 16 else 1.0) * np.sqrt(n))))


def page_probabilities(n: int, steps: int) -> np.ndarray:
    """p_0 = 1, ``p_k = 4/(k+5)`` up to k = sqrt n and ``4/(sqrt n + 5)`` beyond; all ones for n = 1."""
    _check_count(n)
    if n == 1:
        return np.ones(steps)
    p = 4 / (np.minimum(np.arange(steps), np.sqrt(n)) + 5)
    p[0] = 1.0
    return p


def page(
    n: int,
    steps: int,
    *,
    lipschitz: float | None = None,
    eta: float | None = None,
    batch: int | None = None,
    weights: Any = None,
    probabilities: Any = None,
    certify: bool = False,
) -> Page:
    """Options of Algorithm 1, by default those of its theorem.

    Parameters
    ----------
    n : int
        Number of components.
    steps : int
        Number of steps N.
    lipschitz : float, optional
        L, constant of cocoercivity on average.
    eta : float, optional
        Step; ``1/(4L)`` by default.
    batch : int, optional
        b in 1..n; `page_batch` by default.
    weights, probabilities : array_like, (steps,), optional
        lam_k in [0, 1], ``2/(k+4)`` by default; p_k in (0, 1], `page_probabilities` by default.
    certify : bool
        Refuse whatever the theorem does not cover: eta > 1/(4L), a batch below `page_batch`, other weights or
        probabilities.

    Returns
    -------
    Page

    Raises
    ------
    DomainError
        Where an option lies outside its set: eta outside (0, 2/L), b outside 1..n, a weight outside [0, 1], a
        probability outside (0, 1], or outside the theorem where `certify` is set.
    """
    _check_count(n)
    lam = anchor_weights(steps, shift=4, numerator=2) if weights is None else _series("weights", weights, steps)
    p = page_probabilities(n, steps) if probabilities is None else _series("probabilities", probabilities, steps)
    eta = _eta(eta, lipschitz)
    default = page_batch(n)
    batch = default if batch is None else batch
    if isinstance(batch, bool) or not isinstance(batch, (int, np.integer)):
        raise TypeError(f"the batch b must be an int, got {type(batch).__name__}")
    if not 1 <= batch <= n:
        raise DomainError(f"the batch b must lie in 1..n = 1..{n}, got {batch}")
    for name, values, inside in (("lambda_k", lam, (lam >= 0) & (lam <= 1)), ("p_k", p, (p > 0) & (p <= 1))):
        if not inside.all():
            k = int(np.argmin(inside))
            interval = "[0, 1]" if name == "lambda_k" else "(0, 1]"
            raise DomainError(f"{name} must lie in {interval}, got {values[k]} at k = {k}")
    if p[0] != 1:
        raise DomainError(f"p_0 must be 1: there is nothing yet to correct, got {p[0]}")
    if certify:
        if lipschitz is None:
            raise DomainError("certify needs lipschitz, the constant L of cocoercivity on average")
        if eta > (1 + 1e-12) / (4 * lipschitz):
            raise DomainError(
                f"eta must lie in (0, 1/(4L)] = (0, {1 / (4 * lipschitz):.6g}] to be certified, got {eta}"
            )
        if n == 2:
            raise DomainError("n must not be 2 to be certified: the proof asks for a batch b = 3 > n")
        if batch < default:
            raise DomainError(f"the batch b must lie in {default}..{n} to be certified, got {batch}")
        if weights is not None or probabilities is not None:
            raise DomainError("certify goes with the default weights lambda_k and probabilities p_k")
    return Page(eta, int(batch), lam, p)


class Inner(IntEnum):
    """Loopless variance-reduced solver of ``0 in F(v) + mu (v - u) + G(v)``."""

    EXTRAGRADIENT = 0
    FORWARD_REFLECTED = 1


@dataclass(frozen=True, eq=False)
class Loopless:
    """Options of a loopless variance-reduced method; built by `loopless`.

    Attributes
    ----------
    method : Inner
    step : float
        tau, step on the finite sum.
    probability : float
        p, probability that the snapshot moves after a step.
    """

    method: Inner
    step: float
    probability: float


def loopless(
    n: int,
    *,
    lipschitz: float | None = None,
    method: Inner | str = Inner.EXTRAGRADIENT,
    step: float | None = None,
    probability: float | None = None,
) -> Loopless:
    """Options of loopless extragradient or of forward-reflected-backward with variance reduction.

    Parameters
    ----------
    n : int
    lipschitz : float, optional
        Lipschitz constant on average of the finite sum.
    method : Inner or {"extragradient", "forward-reflected"}
    step : float, optional
        tau; by default ``0.99 sqrt(p) / L`` (extragradient) or ``0.99 sqrt(p (1-p)) / (2 L)`` (forward-reflected;
        ``0.99 / (2 L)`` for p = 1, where the method is deterministic).
    probability : float, optional
        p in (0, 1]; 1/n by default.

    Raises
    ------
    DomainError
        Where p or tau lies outside its set, or neither tau nor L is given.

    References
    ----------
    Alacaoglu and Malitsky, "Stochastic variance reduction for variational inequality methods", COLT 2022.
    Alacaoglu, Malitsky and Cevher, "Forward-reflected-backward method with variance reduction", Computational
    Optimization and Applications 80 (2021).
    """
    _check_count(n)
    if isinstance(method, str):
        names = {m.name.lower().replace("_", "-"): m for m in Inner}
        if method not in names:
            raise DomainError(f"method must be one of {', '.join(names)}, got {method!r}")
        method = names[method]
    p = 1 / n if probability is None else probability
    if not 0 < p <= 1:
        raise DomainError(f"p must lie in (0, 1], got {p!r}")
    if step is None:
        if lipschitz is None:
            raise DomainError("give tau (step) or L (lipschitz)")
        spread = np.sqrt(p) if method == Inner.EXTRAGRADIENT else np.sqrt(p * (1 - p)) / 2 if p < 1 else 0.5
        step = 0.99 * float(spread) / _positive("L", lipschitz)
    return Loopless(method, _positive("tau", step), float(p))


@dataclass(frozen=True, eq=False)
class Inexact:
    """Options of Algorithm 2, Halpern's iteration on an approximate resolvent; built by `inexact`.

    Attributes
    ----------
    eta : float
        Step of the resolvent ``J = (I + eta (F + G))^{-1}``.
    weights : float64[steps]
        Anchor weights lam_k.
    tolerances : float64[steps]
        Largest admitted error ``||v_k - J u_k||``; zeros where `counts` says when to stop.
    counts : int64[steps]
        Number of inner steps; zeros where `tolerances` says when to stop.
    inner : Loopless
        The solver of the resolvent, its step that of ``eta F``.
    reflected : bool
        Whether the map is ``2J - I`` instead of J.
    """

    eta: float
    weights: np.ndarray
    tolerances: np.ndarray
    counts: np.ndarray
    inner: Loopless
    reflected: bool

    @property
    def steps(self) -> int:
        """Number of resolvents N."""
        return len(self.weights)

    @property
    def certified(self) -> bool:
        """Whether each resolvent is computed to its tolerance."""
        return not self.counts.any()


def inexact(
    n: int,
    steps: int,
    *,
    lipschitz: float,
    eta: float | None = None,
    guess: float = 1.0,
    tolerances: Any = None,
    counts: Any = None,
    method: Inner | str = Inner.EXTRAGRADIENT,
    step: float | None = None,
    probability: float | None = None,
    weights: Any = None,
    reflected: bool = True,
) -> Inexact:
    """Options of Algorithm 2.

    Parameters
    ----------
    n, steps : int
    lipschitz : float
        L, Lipschitz constant on average.
    eta : float, optional
        ``sqrt(n)/L`` by default.
    guess : float
        D_0, a guess of ``D = ||u_0 - u*||``. The default tolerances ``D_0 / (10 (k+1)^2 (k+2))`` then add
        ``0.2 D_0/(k+1)`` to the bound on ``||u_k - J u_k||``; a poor guess costs only logarithms.
    tolerances : array_like, (steps,), optional
        Other tolerances.
    counts : array_like of int, (steps,), optional
        A fixed number of inner steps instead, as in the experiments of the paper: nothing is certified then.
    method, step, probability
        Of the inner solver, as in `loopless`, tau being the step on ``eta F``.
    weights : array_like, (steps,), optional
        lam_k in [0, 1]; ``1/(k+2)`` by default.
    reflected : bool
        Use ``2J - I``, which halves the bound.

    Raises
    ------
    DomainError
        Where an option lies outside its set, or both tolerances and counts are given.
    """
    _check_count(n)
    lam = anchor_weights(steps) if weights is None else _series("weights", weights, steps)
    if not ((lam >= 0) & (lam <= 1)).all():
        raise DomainError(f"lambda_k must lie in [0, 1], got {lam}")
    lipschitz = _positive("L", lipschitz)
    eta = float(np.sqrt(n)) / lipschitz if eta is None else _positive("eta", eta)
    if tolerances is not None and counts is not None:
        raise DomainError("give tolerances or counts, not both")
    k = np.arange(steps)
    tolerance: np.ndarray = np.zeros(steps)
    fixed = np.zeros(steps, dtype=np.int64)
    if counts is not None:
        given = np.asarray(counts)
        if given.dtype.kind not in "iu" or given.shape != (steps,):
            raise ShapeError(f"counts must be integers of shape ({steps},), got {given.dtype} {given.shape}")
        if (given < 0).any() or not given.any():
            raise DomainError("counts must be >= 0 and not all zero")
        fixed = given.astype(np.int64)
    else:
        tolerance = (
            _positive("D_0", guess) / (10 * (k + 1.0) ** 2 * (k + 2))
            if tolerances is None
            else _series("tolerances", tolerances, steps)
        )
        if not (tolerance > 0).all():
            raise DomainError(f"tolerances must be positive, got {tolerance.min()}")
    inner = loopless(n, lipschitz=eta * lipschitz, method=method, step=step, probability=probability)
    return Inexact(eta, lam, tolerance, fixed, inner, bool(reflected))


# ------------------------------------------------------------------- what simulators and kernels share


def replicate_ids(replicates: Any) -> np.ndarray:
    """Ids of the replicates as uint64[R]: 0..R-1 for a number R, or the ids themselves."""
    if isinstance(replicates, bool) or not (isinstance(replicates, (int, np.integer)) or np.ndim(replicates) == 1):
        raise TypeError(f"replicates must be a number or a vector of ids, got {replicates!r}")
    ids = np.arange(replicates) if np.ndim(replicates) == 0 else np.asarray(replicates)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"replicate ids must be integers, got {ids.dtype}")
    if ids.size == 0 or (ids.dtype.kind == "i" and ids.min() < 0):
        raise DomainError(f"need at least one replicate, with ids >= 0, got {replicates!r}")
    return ids.astype(np.uint64)


def check_start(x0: np.ndarray, split: int) -> None:
    """Refuse a starting point that is not finite, a bad split, and a point outside the two simplices."""
    if not np.isfinite(x0).all():
        where = int(np.argmin(np.isfinite(x0)))
        raise NonFiniteError(f"x0 is {x0[where]} at index {where}", index=(where,))
    if not 0 <= split < len(x0):
        raise DomainError(f"simplices must split 0..{len(x0) - 1}, got {split}")
    if split:
        off = float(np.abs(simplices(x0, split) - x0).max())
        if off > 1e3 * np.finfo(x0.dtype).eps:
            raise DomainError(f"x0 must lie in the two simplices, it is off by {off:.3g} in some entry")


def check_page(options: Page, n: int) -> None:
    """Refuse a batch larger than n, and more indices than a stream has blocks."""
    if not 1 <= options.batch <= n:
        raise DomainError(f"the batch b must lie in 1..n = 1..{n}, got {options.batch}")
    if options.steps * ((options.batch + 1) // 2) >= 2**32:
        raise DomainError(
            f"{options.steps} steps with batches of {options.batch} need more than 2^32 blocks of a stream"
        )


def recorded(at: Any, steps: int, split: int) -> np.ndarray:
    """Steps to record, as `recorded_steps`; with a constraint from step 1 on.

    The residual ``||F(u_k) + g_k||`` needs the element g_k of the normal cone that a resolvent step gives, and x_0 is
    not the result of one.
    """
    if at is None and split:
        at = np.arange(1, steps + 1)
    at = recorded_steps(at, steps)
    if split and at[0] == 0:
        raise DomainError("with a constraint the residual of F + G is defined from step 1 on, got 0 in at")
    return at


def resolvents(at: Any, steps: int) -> np.ndarray:
    """Which of the resolvents 0..steps-1 of Algorithm 2 to record; every one for None."""
    at = np.arange(steps) if at is None else recorded_steps(at, steps)
    if at[-1] == steps:
        raise DomainError(f"the resolvents are numbered 0..{steps - 1}, got {steps} in at")
    return at


def sampled(
    method: str,
    backend: str,
    ids: np.ndarray,
    x: np.ndarray,
    blocks: np.ndarray,
    traces: Mapping[str, np.ndarray],
    at: np.ndarray | None = None,
    iterates: np.ndarray | None = None,
    *,
    tol: float | None = None,
    on_fail: str = "return",
) -> Any:
    """The result of some replicates: `traces` are (replicate, step) where `at` gives the steps, else (replicate,).

    Raises
    ------
    NotConverged
        Where `tol` is given, `on_fail` is "raise" and some replicate's residual is above it.
    """
    dims = ("replicate",) if at is None else ("replicate", "step")
    units = {"calls": "component evaluations", "steps": "steps taken"}
    variables: dict[str, Any] = {name: (dims, values, units.get(name, "1")) for name, values in traces.items()}
    variables["x"] = (("replicate", "dim"), x, "1")
    variables["blocks"] = (("replicate",), blocks, "blocks of the random stream drawn")
    if iterates is not None and iterates.shape[1]:
        variables["iterate"] = (("replicate", "step", "dim"), iterates, "1")
    coords: dict[str, Any] = {"replicate": ids}
    if at is not None:
        coords["step"] = at
    provenance: dict[str, Any] = {"method": method, "backend": backend, "dtype": str(x.dtype)}
    if tol is None:
        return dataset(variables, coords, **provenance)
    residual = traces["residual"]
    variables["converged"] = (dims, residual <= tol, "residual <= tol")
    result = dataset(variables, coords, tol=tol, **provenance)
    missed = ~(residual <= tol)
    if on_fail == "raise" and missed.any():
        b = int(missed.argmax())
        raise NotConverged(
            f"{int(missed.sum())} of {len(ids)} replicates did not reach tol = {tol:g}; replicate {ids[b]} stopped "
            f"after {int(traces['steps'][b])} steps at residual {residual[b]:.6g}. Give more steps, or loosen tol.",
            result,
        )
    return result


def _check_count(n: int) -> None:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"n must be an int, got {type(n).__name__}")
    if not 1 <= n < 2**31:
        raise DomainError(f"the number of components n must lie in [1, 2^31), got {n}")


def _positive(name: str, value: float) -> float:
    if not (np.isfinite(value) and value > 0):
        raise DomainError(f"{name} must be positive and finite, got {value!r}")
    return float(value)


def _eta(eta: float | None, lipschitz: float | None) -> float:
    if lipschitz is not None:
        lipschitz = _positive("L", lipschitz)
        eta = 1 / (4 * lipschitz) if eta is None else eta
        if not 0 < eta < 2 / lipschitz:
            raise DomainError(f"eta must lie in (0, 2/L) = (0, {2 / lipschitz:.6g}), got {eta!r}")
    if eta is None:
        raise DomainError("give eta or L (lipschitz); a field without cocoercivity on average has no default step")
    return _positive("eta", eta)


def _series(name: str, value: Any, steps: int) -> np.ndarray:
    series = real_array(name, value, 1)
    if series.shape != (steps,):
        raise ShapeError(f"{name} must have shape ({steps},), got {series.shape}")
    return series
