r"""Hypothesis strategies for the operators of fixed-point theory, with their solution and constants known.

Every draw is built from maps :math:`T_i` that keep a common point c, each a product of elementary ones:
projections (balls, boxes, halfspaces, subspaces), proxes, rotations, reflections and orthogonal maps. With
:math:`T = \sum_i w_i T_i`, a convex average,

=============== ============================================================================================
`nonexpansive`  :math:`T`
`contractive`   :math:`c + q (T - c)`, the general form of a q-Lipschitz map with fixed point c
`cocoercive`    :math:`F = (L/2)(I - T)`, the general form of a 1/L-cocoercive field with zero c
`monotone`      :math:`F = S + (L/2)(I - T)`, S linear and monotone: skew, bilinear, or skew plus semidefinite
=============== ============================================================================================

>>> from hypothesis import given
>>> from lemmata.testing.strategies import nonexpansive
>>> @given(nonexpansive())
... def test_residual(drawn):
...     iterates = my_algorithm(drawn.operator, drawn.x0, 50)
...     residual = np.linalg.norm(iterates[-1] - drawn.operator(iterates[-1]))
...     assert residual <= 2 * drawn.dist / 51 + 1e-12

This module needs Hypothesis: ``pip install 'lemmata[testing]'``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, reduce

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lemmata.errors import DomainError
from lemmata.problems.halpern import Operator, bilinear

__all__ = ["Combination", "Drawn", "cocoercive", "contractive", "monotone", "nonexpansive"]


@dataclass(frozen=True, eq=False)
class Combination:
    """``x -> sum_i weights_i terms_i(x)``: an average of maps, or a sum of fields.

    Attributes
    ----------
    weights : tuple of float
    terms : tuple of Operator
    """

    weights: tuple[float, ...]
    terms: tuple[Operator, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Evaluate on float64[d] or float64[B, d]."""
        return sum((w * term(x) for w, term in zip(self.weights, self.terms, strict=True)), np.zeros(np.shape(x)))


@dataclass(frozen=True, eq=False)
class Drawn:
    """An operator with what is known about it, and a point to start from.

    Attributes
    ----------
    operator : Operator or Combination
        Callable on float64[d] and float64[B, d]; an `Operator` runs compiled on every backend.
    is_map : bool
        True for a map T (``T(solution) = solution``), False for a monotone field F (``F(solution) = 0``).
    solution, x0 : float64[d]
    lipschitz : float
        ``||T x - T y|| <= lipschitz ||x - y||``.
    cocoercive : float or None
        Of a field: L with ``<Fx - Fy, x - y> >= ||Fx - Fy||^2 / L``, where one is known.
    """

    operator: Operator | Combination
    is_map: bool
    solution: np.ndarray
    x0: np.ndarray
    lipschitz: float
    cocoercive: float | None = None

    @cached_property
    def dist(self) -> float:
        """D = ||x_0 - x*||."""
        return float(np.linalg.norm(self.x0 - self.solution))


# --------------------------------------------------------------------------- elementary maps that keep the origin


def _numbers(low: float, high: float) -> st.SearchStrategy[float]:
    # subnormal numbers add nothing to a theorem, and some libraries flush them to zero
    return st.floats(low, high, allow_subnormal=False)


def _array(shape: int | tuple[int, ...], size: float = 1.0) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, shape, elements=_numbers(-size, size), fill=st.nothing())


def _unit(dim: int) -> st.SearchStrategy[np.ndarray]:
    def normalise(v: np.ndarray) -> np.ndarray:
        length = np.linalg.norm(v)
        return v / length if length > 1e-3 else np.eye(dim)[0]

    return _array(dim).map(normalise)


def _orthogonal_matrix(dim: int) -> st.SearchStrategy[np.ndarray]:
    # Householder's Q is orthogonal to rounding, also where the drawn matrix is singular
    return _array((dim, dim)).map(lambda a: np.linalg.qr(a)[0])


def _box(dim: int) -> st.SearchStrategy[Operator]:
    return _numbers(0.01, 2).map(lambda radius: Operator.clip(radius, dim))


def _ball(dim: int) -> st.SearchStrategy[Operator]:
    def contain_origin(direction: np.ndarray, radius: float, inside: float) -> Operator:
        return Operator.ball(inside * radius * direction, radius)

    return st.builds(contain_origin, _unit(dim), _numbers(0.01, 2), _numbers(0, 1))


def _halfspace(dim: int) -> st.SearchStrategy[Operator]:
    return st.builds(Operator.halfspace, _unit(dim), _numbers(0, 1))


def _subspace(dim: int) -> st.SearchStrategy[Operator]:
    def projection(q: np.ndarray, rank: int) -> Operator:
        return Operator.affine(q[:, :rank] @ q[:, :rank].T)

    return st.builds(projection, _orthogonal_matrix(dim), st.integers(0, dim))


def _soft(dim: int) -> st.SearchStrategy[Operator]:
    return _numbers(0.01, 1).map(lambda threshold: Operator.soft_threshold(threshold, dim))


def _quadratic(dim: int) -> st.SearchStrategy[Operator]:
    """Prox of ``<x, H x>/2``: the eigenvalues of ``(I + H)^-1`` lie in (0, 1]."""

    def prox(q: np.ndarray, eigenvalues: np.ndarray) -> Operator:
        return Operator.affine(q * np.abs(eigenvalues) @ q.T)

    return st.builds(prox, _orthogonal_matrix(dim), _array(dim))


def _rotation(dim: int) -> st.SearchStrategy[Operator]:
    return _array(dim // 2, np.pi).map(Operator.rotation)


def _firm(dim: int) -> st.SearchStrategy[Operator]:
    """Firmly nonexpansive maps: projections and proxes."""
    return st.one_of(_box(dim), _ball(dim), _halfspace(dim), _subspace(dim), _soft(dim), _quadratic(dim))


def _isometry(dim: int) -> st.SearchStrategy[Operator]:
    turns = [_rotation(dim)] if dim % 2 == 0 else []
    return st.one_of(_unit(dim).map(Operator.reflection), _orthogonal_matrix(dim).map(Operator.affine), *turns)


def _relaxed(operator: Operator, weight: float) -> Operator:
    # the constant is known from the theory; what `relax` and matrix norms compute is cruder or carries rounding
    return replace(operator.relax(weight), lipschitz=np.ones(1))


# Hypothesis checks a strategy when it first draws from it, which costs more than the draw
@cache
def _term(dim: int) -> st.SearchStrategy[Operator]:
    """Nonexpansive maps about the origin: ``(1-w) I + w T``, w <= 1 for a product and w <= 2 for a firm map."""

    def relaxed_product(stages: Sequence[Operator], weight: float) -> Operator:
        return _relaxed(reduce(Operator.then, stages), weight)

    products = st.lists(_firm(dim) | _isometry(dim), min_size=1, max_size=4)
    return st.one_of(
        st.builds(relaxed_product, products, st.just(1.0) | _numbers(0, 1)),
        st.builds(_relaxed, _firm(dim), st.just(2.0) | _numbers(1, 2)),
    )


# ------------------------------------------------------------------------------------- the same maps, transformed


def _shrunk(operator: Operator, rate: float) -> Operator:
    return replace(operator, alpha=rate * operator.alpha, beta=rate * operator.beta, lipschitz=np.array([rate]))


def _displacement(operator: Operator, lipschitz: float) -> Operator:
    """``(L/2)(I - T)``, 1/L-cocoercive exactly where T is nonexpansive."""
    constant = np.array([lipschitz])
    return replace(
        operator,
        alpha=lipschitz / 2 * (1 - operator.alpha),
        beta=-lipschitz / 2 * operator.beta,
        is_map=False,
        lipschitz=constant,
        cocoercive=constant,
    )


def _combine(weights: Sequence[float], terms: Sequence[Operator], centre: np.ndarray) -> Operator | Combination:
    moved = tuple(term.centred(centre) for term in terms)
    return moved[0] if len(moved) == 1 else Combination(tuple(weights), moved)


def _average(draw: st.DrawFn, dim: int, plain: bool) -> tuple[list[float], list[Operator]]:
    """Positive weights with sum 1, and as many nonexpansive maps about the origin."""
    terms = draw(st.lists(_term(dim), min_size=1, max_size=1 if plain else 3))
    parts = [1 if len(terms) == 1 else draw(st.integers(1, 9)) for _ in terms]
    return [part / sum(parts) for part in parts], terms


def _points(draw: st.DrawFn, dim: int) -> tuple[np.ndarray, np.ndarray]:
    centre = draw(_array(dim, 3.0))
    return centre, centre + draw(_array(dim, 2.0))


def _dimensions(dim: int | None) -> st.SearchStrategy[int]:
    if dim is None:
        return st.integers(1, 6)
    if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)):
        raise TypeError(f"dim must be an int, got {type(dim).__name__}")
    if dim < 1:
        raise DomainError(f"dim must be >= 1, got {dim}")
    return st.just(int(dim))


# --------------------------------------------------------------------------------------------------- public


def nonexpansive(*, dim: int | None = None, plain: bool = False) -> st.SearchStrategy[Drawn]:
    r"""Nonexpansive maps ``||Tx - Ty|| <= ||x - y||`` with a known fixed point.

    Products and convex averages of projections onto balls, boxes, halfspaces and subspaces, proxes, their
    reflections :math:`2P - I`, rotations, reflections and orthogonal maps, all about one point.

    Parameters
    ----------
    dim : int, optional
        Dimension d; 1 to 6 by default.
    plain : bool
        Only draws whose operator is an `lemmata.problems.halpern.Operator`, which every backend runs: products,
        but no averages of two products.

    Returns
    -------
    SearchStrategy of Drawn
        Coordinates of the fixed point lie in [-3, 3], those of ``x0 - solution`` in [-2, 2].

    Raises
    ------
    TypeError, DomainError
        Where `dim` is not a positive int.
    """

    @st.composite
    def build(draw: st.DrawFn) -> Drawn:
        d = draw(dimensions)
        weights, terms = _average(draw, d, plain)
        centre, x0 = _points(draw, d)
        return Drawn(_combine(weights, terms, centre), True, centre, x0, 1.0)

    dimensions = _dimensions(dim)
    return build()


def contractive(*, dim: int | None = None, plain: bool = False) -> st.SearchStrategy[Drawn]:
    """Contractions ``||Tx - Ty|| <= q ||x - y||``, q in [0.1, 1], with a known fixed point.

    The drawn `Drawn.lipschitz` is q. Parameters and errors as for `nonexpansive`.
    """

    @st.composite
    def build(draw: st.DrawFn) -> Drawn:
        d = draw(dimensions)
        rate = draw(_numbers(0.1, 1))
        weights, terms = _average(draw, d, plain)
        centre, x0 = _points(draw, d)
        return Drawn(_combine(weights, [_shrunk(t, rate) for t in terms], centre), True, centre, x0, rate)

    dimensions = _dimensions(dim)
    return build()


def cocoercive(*, dim: int | None = None, plain: bool = False) -> st.SearchStrategy[Drawn]:
    """Fields with ``<Fx - Fy, x - y> >= ||Fx - Fy||^2 / L``, L in [0.1, 3], and a known zero.

    Among them the gradients of Huber functions and of convex quadratics, but also fields that are no gradient.
    Parameters and errors as for `nonexpansive`.
    """

    @st.composite
    def build(draw: st.DrawFn) -> Drawn:
        d = draw(dimensions)
        constant = draw(_numbers(0.1, 3))
        weights, terms = _average(draw, d, plain)
        centre, x0 = _points(draw, d)
        operator = _combine(weights, [_displacement(t, constant) for t in terms], centre)
        return Drawn(operator, False, centre, x0, constant, constant)

    dimensions = _dimensions(dim)
    return build()


def monotone(*, dim: int | None = None, plain: bool = False) -> st.SearchStrategy[Drawn]:
    """Monotone Lipschitz fields ``<Fx - Fy, x - y> >= 0`` with a known zero, in general not cocoercive.

    Linear ones (skew, bilinear, or skew plus positive semidefinite) and, where not `plain`, sums of one of them
    and a nonlinear cocoercive field. Parameters and errors as for `nonexpansive`.
    """

    @st.composite
    def build(draw: st.DrawFn) -> Drawn:
        d = draw(dimensions)
        constant = draw(_numbers(0.1, 2))
        terms = [replace(draw(_linear(d, constant)), lipschitz=np.array([constant]))]
        if not plain and draw(st.booleans()):
            extra = draw(_numbers(0.1, 2))
            weights, maps = _average(draw, d, plain=False)
            terms += [_displacement(t, w * extra) for w, t in zip(weights, maps, strict=True)]
            constant += extra
        centre, x0 = _points(draw, d)
        return Drawn(_combine([1.0] * len(terms), terms, centre), False, centre, x0, constant)

    dimensions = _dimensions(dim)
    return build()


def _scaled(matrix: np.ndarray, norm: float, fallback: np.ndarray) -> np.ndarray:
    """`matrix` scaled to a spectral norm, `fallback` (of norm 1) where it vanishes."""
    length = np.linalg.norm(matrix, 2)
    return norm * (matrix / length if length > 1e-3 else fallback)


def _linear(dim: int, constant: float) -> st.SearchStrategy[Operator]:
    """Linear monotone fields of Lipschitz constant `constant`."""

    def skew_plus(a: np.ndarray, b: np.ndarray, weight: float) -> Operator:
        matrix = _scaled(a - a.T + weight * b @ b.T, constant, np.eye(dim))
        return Operator.affine(matrix, is_map=False)

    square = _array((dim, dim))
    affine = st.builds(skew_plus, square, square, st.just(0.0) | _numbers(0, 1))
    if dim < 2:
        return affine

    def game(rows: int, entries: np.ndarray) -> Operator:
        block = entries[:rows, rows:]
        return bilinear(_scaled(block, constant, np.eye(*block.shape)))

    return affine | st.builds(game, st.integers(1, dim - 1), square)
