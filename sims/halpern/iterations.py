"""Numba simulators of fixed-point and extragradient iterations.

`halpern`, `krasnoselskii_mann` and `extragradient` run a whole trajectory for each row of a batch. The operator is an
`lemmata.problems.halpern.Operator` (served by one compiled loop, cached on disk), a user's own ``@njit`` function
(compiled with the same loop once per process) or any Python callable (the same loop, interpreted). All three give
the same numbers.

Memory: five vectors of length d a row in flight and the recorded quantities; the operator's arrays are never
copied.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit, prange
from numba.extending import is_jitted

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems.halpern import (
    Extragradient,
    Operator,
    Stage,
    check_schedule,
    check_solve,
    evaluation_errors,
    halpern_weights,
    mann_weights,
    raise_if_not_finite,
    recorded_steps,
    restart_rule,
)
from lemmata.results import solved, trace

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["extragradient", "halpern", "krasnoselskii_mann", "restarted", "solve"]

# numba reads these as compile-time constants
AFFINE, ROTATION, CLIP, SOFT, BALL, HALFSPACE, REFLECTION, SIMPLICES, BILINEAR, PDHG = (int(s) for s in Stage)


class _Arrays(NamedTuple):
    """An `Operator` as numba sees it."""

    stages: np.ndarray
    matrices: np.ndarray
    vectors: np.ndarray
    scalars: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray
    centre: np.ndarray
    is_map: bool


# ---------------------------------------------------------------------------------- built-in operators


@njit(cache=True)
def _simplex(x: np.ndarray, out: np.ndarray) -> None:
    ordered = np.sort(x)
    n = x.size
    top = ordered[n - 1]  # taken off, it leaves the projection as it is, and large entries keep the 1
    total = 0.0
    threshold = 0.0
    for i in range(n):
        value = ordered[n - 1 - i] - top
        total += value
        candidate = (total - 1.0) / (i + 1)
        if value <= candidate:
            break
        threshold = candidate
    for i in range(n):
        out[i] = max(x[i] - top - threshold, 0.0)


@njit(cache=True)
def _dot(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@njit(cache=True)
def _stage(code, M, v, s, x, y):  # type: ignore[no-untyped-def]
    """y <- stage(x); x and y may not overlap."""
    d = x.size
    if code == AFFINE:
        if d <= 16:  # a BLAS call costs more than so few products
            for i in range(d):
                y[i] = _dot(M[i], x)
        else:
            np.dot(M, x, y)
    elif code == ROTATION:
        for i in range(d // 2):
            a, b = x[2 * i], x[2 * i + 1]
            c, n = v[2 * i], v[2 * i + 1]
            y[2 * i] = s * (c * a - n * b)
            y[2 * i + 1] = s * (n * a + c * b)
    elif code == CLIP:
        for i in range(d):
            y[i] = min(max(x[i], -s), s)
    elif code == SOFT:
        for i in range(d):
            y[i] = x[i] - min(max(x[i], -s), s)
    elif code == BALL:
        length = 0.0
        for i in range(d):
            length += (x[i] - v[i]) ** 2
        length = np.sqrt(length)
        shrink = 1.0 if length <= s else s / length
        for i in range(d):
            y[i] = v[i] + shrink * (x[i] - v[i])
    elif code == HALFSPACE:
        excess = max(_dot(v, x) - s, 0.0)
        for i in range(d):
            y[i] = x[i] - excess * v[i]
    elif code == REFLECTION:
        twice = 2.0 * _dot(v, x)
        for i in range(d):
            y[i] = x[i] - twice * v[i]
    elif code == SIMPLICES:
        n = int(s)
        _simplex(x[:n], y[:n])
        _simplex(x[n:], y[n:])
    elif code == BILINEAR:
        n = M.shape[1]
        np.dot(M.T, x[n:], y[:n])
        np.dot(M, x[:n], y[n:])
        for i in range(n, d):
            y[i] = -y[i]
    elif code == PDHG:
        n = M.shape[1]
        point = np.empty_like(x)
        np.dot(M.T, x[n:], point[:n])
        for i in range(n):
            point[i] = x[i] - s * point[i]
        _simplex(point[:n], y[:n])
        over = np.empty_like(x[:n])
        for i in range(n):
            over[i] = 2.0 * y[i] - x[i]
        np.dot(M, over, point[n:])
        for i in range(n, d):
            point[i] = x[i] + s * point[i]
        _simplex(point[n:], y[n:])


# inlined: a call would count a reference to each of the operator's arrays, at every step
@njit(cache=True, inline="always")
def _apply(op, b, x, out, work):  # type: ignore[no-untyped-def]
    """out <- operator of row b at x; `work` holds two vectors of scratch."""
    d = x.size
    c = b if op.centre.shape[0] > 1 else 0
    centred = op.centre.shape[1] > 0
    source = x
    if centred:
        for i in range(d):
            work[0, i] = x[i] - op.centre[c, i]
        source = work[0]
    current = source
    last = op.stages.shape[0] - 1
    m = b if op.matrices.shape[0] > 1 else 0
    v = b if op.vectors.shape[0] > 1 else 0
    q = b if op.scalars.shape[0] > 1 else 0
    for s in range(last + 1):
        code, i, j = op.stages[s, 0], op.stages[s, 1], op.stages[s, 2]
        # the stages alternate between two buffers and end in out
        target = out if (last - s) % 2 == 0 else work[1]
        _stage(code, op.matrices[m, max(i, 0)], op.vectors[v, max(j, 0)], op.scalars[q, s], current, target)
        current = target
    alpha = op.alpha[b if op.alpha.size > 1 else 0]
    beta = op.beta[b if op.beta.size > 1 else 0]
    if alpha != 0.0 or beta != 1.0:
        for i in range(d):
            out[i] = alpha * source[i] + beta * out[i]
    if centred and op.is_map:
        for i in range(d):
            out[i] += op.centre[c, i]


# --------------------------------------------------------------------------------------- inner kernels


@njit(cache=True)
def _copy(source: np.ndarray, target: np.ndarray) -> None:
    # as target[:] = source, without the seconds that numba takes to compile its shape errors
    for i in range(source.size):
        target[i] = source[i]


@njit(cache=True)
def _finite(x: np.ndarray) -> bool:
    bad = False
    for i in range(x.size):
        bad |= not np.isfinite(x[i])
    return not bad


@njit(cache=True, forceinline=True)
def _towards(x: np.ndarray, base: np.ndarray, target: np.ndarray, weight: float) -> None:
    """x <- base + weight (target - base): one rounding error a step, however large k is."""
    for i in range(x.size):
        x[i] = base[i] + weight * (target[i] - base[i])


@njit(cache=True)
def _distance(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for i in range(a.size):
        total += (a[i] - b[i]) ** 2
    return np.sqrt(total)


@njit(cache=True)
def _record(x: np.ndarray, tx: np.ndarray, x0: np.ndarray, r: int, residual: np.ndarray, product: np.ndarray) -> None:
    """``||x - Tx||`` and ``<x - Tx, x - x0>``."""
    square = 0.0
    inner = 0.0
    for i in range(x.size):
        gap = x[i] - tx[i]
        square += gap * gap
        inner += gap * (x[i] - x0[i])
    residual[r] = np.sqrt(square)
    product[r] = inner


@njit(cache=True)
def _extra(z: np.ndarray, z0: np.ndarray, f: np.ndarray, anchor: float, step: float, out: np.ndarray) -> None:
    """out <- z + anchor (z0 - z) - step f."""
    for i in range(z.size):
        out[i] = z[i] + anchor * (z0[i] - z[i]) - step * f[i]


@njit(cache=True)
def _project(split: int, x: np.ndarray, work: np.ndarray) -> None:
    """Project x in place onto the two simplices that `split` separates; nothing for split 0."""
    if split > 0:
        _simplex(x[:split], work[:split])
        _simplex(x[split:], work[split:])
        _copy(work, x)


# The loops below are written once. `_apply` is the only name in them that depends on the operator: a user's own
# operator takes its place in `_bind`.


def _fixed_point_row(  # type: ignore[no-untyped-def]
    op, b, x0, weights, anchored, errors, period, decrease, tol, at, x, iterates, residual, product, restarts
):
    """Iterate one row, in x; returns (step of the first non-finite operator value or -1, step reached)."""
    steps = weights.size
    _copy(x0, x)
    tx = np.empty_like(x0)
    work = np.empty((2, x0.size), dtype=x0.dtype)
    restarting = period > 0 or decrease > 0.0
    anchor = x0.copy()
    base = anchor if anchored else x
    since, count, start = 0, 0, 0.0
    r = 0
    for k in range(steps + 1):
        _apply(op, b, x, tx, work)
        if not _finite(tx):
            return k, k
        if restarting:
            gap = _distance(x, tx)
            if k == 0:
                start = gap
            elif since == period or (decrease > 0.0 and gap <= decrease * start):
                _copy(x, anchor)
                since, count, start = 0, count + 1, gap
        if r < at.size and k == at[r]:
            _record(x, tx, x0, r, residual, product)
            restarts[r] = count
            if iterates.shape[0] > 0:
                _copy(x, iterates[r])
            r += 1
        if tol > 0.0 and _distance(x, tx) <= tol:
            return -1, k
        if k < steps:
            if errors.shape[0] > 0:
                _extra(tx, tx, errors[k], 0.0, -1.0, tx)
            _towards(x, base, tx, weights[since])
            since += 1
    return -1, steps


def _extragradient_row(op, b, z0, anchor, half, full, split, at, z, iterates, residual):  # type: ignore[no-untyped-def]
    """Iterate one row, in z; returns the step of the first non-finite operator value, or -1."""
    steps = anchor.size
    _copy(z0, z)
    h = np.empty_like(z0)
    f = np.empty_like(z0)
    work = np.empty((2, z0.size), dtype=z0.dtype)
    r = 0
    for k in range(steps + 1):
        _apply(op, b, z, f, work)
        if not _finite(f):
            return k
        if r < at.size and k == at[r]:
            # ||F(z)||, or the natural residual ||z - P(z - F(z))|| where there is a constraint
            _extra(z, z0, f, 0.0, 1.0, h)
            _project(split, h, work[0])
            residual[r] = _distance(z, h)
            if iterates.shape[0] > 0:
                _copy(z, iterates[r])
            r += 1
        if k < steps:
            _extra(z, z0, f, anchor[k], half[k], h)
            _project(split, h, work[0])
            _apply(op, b, h, f, work)
            if not _finite(f):
                return k
            _extra(z, z0, f, anchor[k], full[k], z)
            _project(split, z, work[0])
    return -1


_fixed_point_jit = njit(cache=True)(_fixed_point_row)
_extragradient_jit = njit(cache=True)(_extragradient_row)


@njit(cache=True, parallel=True)
def _fixed_point_rows(  # type: ignore[no-untyped-def]
    op, x0, weights, anchored, errors, period, decrease, tol, at, x, iterates, residual, product, restarts
):
    bad = np.empty(x0.shape[0], dtype=np.int64)
    reached = np.empty(x0.shape[0], dtype=np.int64)
    for i in prange(x0.shape[0]):
        b = np.int64(i)  # prange counts in uint64, which mixes with int64 into float64
        w = weights[b if weights.shape[0] > 1 else 0]
        e = errors[b if errors.shape[0] > 1 else 0]
        bad[b], reached[b] = _fixed_point_jit(
            op,
            b,
            x0[b],
            w,
            anchored,
            e,
            period,
            decrease,
            tol,
            at,
            x[b],
            iterates[b],
            residual[b],
            product[b],
            restarts[b],
        )
    return bad, reached


@njit(cache=True, parallel=True)
def _extragradient_rows(op, z0, anchor, half, full, split, at, z, iterates, residual):  # type: ignore[no-untyped-def]
    bad = np.empty(z0.shape[0], dtype=np.int64)
    for i in prange(z0.shape[0]):
        b = np.int64(i)
        bad[b] = _extragradient_jit(op, b, z0[b], anchor, half, full, split, at, z[b], iterates[b], residual[b])
    return bad


# -------------------------------------------------------------------------------------- user operators


def _in_place(operator: Any) -> bool:
    """Whether a jitted operator takes ``(x, out)``; a second argument with a default is a parameter."""
    if not is_jitted(operator):
        return False
    function = operator.py_func
    return function.__code__.co_argcount - len(function.__defaults__ or ()) == 2


def _bind(loop: Any, operator: Callable[..., Any]) -> Callable[..., Any]:
    """The same loop around a user's operator: compiled where the operator is jitted, interpreted otherwise."""
    # only a compilation is worth keeping, and a callable object need not be hashable
    return _compiled(loop, operator) if is_jitted(operator) else _bound(loop, operator)


def _bound(loop: Any, operator: Callable[..., Any]) -> Callable[..., Any]:
    compiled = is_jitted(operator)
    if _in_place(operator):

        def apply(op, b, x, out, work):  # type: ignore[no-untyped-def]
            operator(x, out)

    elif compiled:

        def apply(op, b, x, out, work):  # type: ignore[no-untyped-def]
            out[:] = operator(x)

    else:

        def apply(op, b, x, out, work):  # type: ignore[no-untyped-def]
            point = x.view()
            point.flags.writeable = False  # an operator that changes its argument fails here, not silently
            out[:] = operator(point)

    scope = {**loop.__globals__, "_apply": njit(apply) if compiled else apply}
    bound = FunctionType(loop.__code__, scope, loop.__name__)
    return njit(bound) if compiled else bound


_compiled = lru_cache(maxsize=128)(_bound)


def _arrays(operator: Operator, dtype: np.dtype) -> _Arrays:
    names = ("matrices", "vectors", "scalars", "alpha", "beta", "centre")
    floats = {name: _frozen(getattr(operator, name), dtype) for name in names}
    for name in ("matrices", "vectors"):
        if not floats[name].shape[1]:  # a slot to point to for stages that have none: no allocation in the loop
            floats[name] = _frozen(np.zeros((1, 1, *floats[name].shape[2:]), dtype=dtype))
    return _Arrays(stages=_frozen(operator.stages), **floats, is_map=operator.is_map)


def _frozen(array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """A contiguous read-only view: numba compiles once for each mix of read-only and writable arguments."""
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


def _start(operator: Any, x0: Any) -> np.ndarray:
    """The starting points as (B, d), after every check that needs no iteration."""
    x0 = np.asarray(x0)
    if x0.dtype not in (np.float64, np.float32):
        raise TypeError(f"x0 must be float64 or float32, got {x0.dtype}; convert it with x0.astype(float)")
    if x0.ndim not in (1, 2) or x0.size == 0:
        raise ShapeError(f"x0 must have shape (d,) or (B, d), got {x0.shape}")
    if not np.isfinite(x0).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(x0))[0])
        raise NonFiniteError(f"x0 is {x0[where]} at index {where}", index=where)
    x0 = _frozen(np.atleast_2d(x0))
    if isinstance(operator, Operator):
        if operator.dim != x0.shape[1]:
            raise ShapeError(f"the operator acts on {operator.dim} entries, x0 has {x0.shape[1]}")
        if operator.batch not in (1, len(x0)):
            raise ShapeError(f"{operator.batch} operators for {len(x0)} starting points")
    elif not callable(operator):
        raise TypeError(f"the operator must be an Operator or a callable, got {type(operator).__name__}")
    else:
        _probe(operator, x0[0])
    return x0


def _probe(operator: Callable[..., Any], start: np.ndarray) -> None:
    """Refuse a user's operator that leaves its argument changed, another shape or entries of `out` unfilled."""
    point = start.copy()
    if _in_place(operator):
        ones, twos = np.full((2, point.size), [[1.0], [2.0]], dtype=point.dtype)
        operator(point, ones)
        _unchanged(point, start, "let it write to out alone")
        operator(point, twos)
        if (left := np.flatnonzero((ones == 1.0) & (twos == 2.0))).size:
            raise DomainError(f"the operator leaves {left.size} entries of out as they were, the first {left[0]}")
        return
    value = np.asarray(operator(point))
    _unchanged(point, start, "let it return a new array")
    if value.shape != start.shape:
        raise ShapeError(f"the operator maps shape {start.shape} to {value.shape}; expected {start.shape}")


def _unchanged(point: np.ndarray, start: np.ndarray, advice: str) -> None:
    if not np.array_equal(point, start):
        raise DomainError(f"the operator changes its argument: {advice}")


class _Run(NamedTuple):
    """What a run of `_iterate` leaves: last iterate, traces, iterates kept, steps reached."""

    x: np.ndarray
    residual: np.ndarray
    product: np.ndarray
    restarts: np.ndarray
    iterates: np.ndarray
    reached: np.ndarray


def _iterate(  # type: ignore[no-untyped-def]
    operator, x0, weights, at, *, anchored=True, errors=None, period=0, decrease=0.0, tol=0.0, keep=False
) -> _Run:
    """Run every row of ``x+ = base + weight (T x + error - base)``, base the anchor or x itself."""
    batch, dim = x0.shape
    x = np.empty_like(x0)
    residual, product = np.zeros((2, batch, at.size))
    restarts = np.zeros((batch, at.size), dtype=np.int64)
    iterates = np.empty((batch, at.size if keep else 0, dim), dtype=x0.dtype)
    errors = np.empty((1, 0, dim)) if errors is None else errors
    weights, errors, at = _frozen(weights), _frozen(errors, x0.dtype), _frozen(at)
    rule = (anchored, errors, period, decrease, tol, at)
    if isinstance(operator, Operator):
        op = _arrays(operator, x0.dtype)
        bad, reached = _fixed_point_rows(op, x0, weights, *rule, x, iterates, residual, product, restarts)
    else:
        loop = _bind(_fixed_point_row, operator)
        bad, reached = np.empty((2, batch), dtype=np.int64)
        for b in range(batch):
            w, e = weights[b if len(weights) > 1 else 0], errors[b if len(errors) > 1 else 0]
            out = (x[b], iterates[b], residual[b], product[b], restarts[b])
            bad[b], reached[b] = loop((), b, x0[b], w, anchored, e, period, decrease, tol, at, *out)
    raise_if_not_finite("T(x)", bad, at, residual)
    return _Run(x, residual, product, restarts, iterates, reached)


# ---------------------------------------------------------------------------------------------- public


def halpern(
    operator: Any,
    x0: Any,
    steps: int,
    *,
    weights: Any = None,
    errors: Any = None,
    at: Any = None,
    iterates: bool = False,
) -> xr.Dataset:
    """Halpern iteration ``x_{k+1} = lam_k x_0 + (1 - lam_k) (T x_k + e_k)``.

    Parameters
    ----------
    operator : Operator or callable
        Map T. A callable takes one row, float[d], and returns a new array; an ``@njit`` function may instead take
        ``(x, out)`` and fill out.
    x0 : float64 or float32 array, (d,) or (B, d)
        Starting points, which are the anchors.
    steps : int
        Number of steps N.
    weights : array_like, (steps,) or (B, steps), optional
        Anchor weights lam_k in [0, 1]; ``1/(k+2)`` by default. The optimal contractive method has those of
        `lemmata.problems.halpern.ohm_weights`.
    errors : array_like, (steps, d) or (1 or B, steps, d), optional
        Errors e_k of the evaluations; zero by default. The recorded residuals are those of T itself.
    at : array_like of int, optional
        Steps to record, increasing, within 0..N; every step by default.
    iterates : bool
        Whether to keep the iterates at those steps.

    Returns
    -------
    xarray.Dataset
        ``residual`` (instance, step): ``||x_k - T x_k||``; ``anchor_product`` (instance, step):
        ``<x_k - T x_k, x_k - x_0>``; ``x`` (instance, dim): the last iterate; ``iterate`` where asked for.

    Raises
    ------
    TypeError, ShapeError, DomainError
        For bad input, before any step.
    NonFiniteError
        Where T gives NaN or infinity; it carries the step.

    Notes
    -----
    Memory: ``5 d`` numbers a thread beside the input and the recorded ``2 B len(at)``.

    References
    ----------
    Halpern 1967; Lieder 2021, Theorem 2.1 for the rate ``||x_k - T x_k|| <= 2 D / (k+1)``.
    """
    x0 = _start(operator, x0)
    lam = halpern_weights(weights, steps, len(x0))
    at = recorded_steps(at, steps)
    run = _iterate(operator, x0, 1 - lam, at, errors=evaluation_errors(errors, steps, x0.shape), keep=iterates)
    return trace("halpern", "sims", at, run.x, run.iterates, residual=run.residual, anchor_product=run.product)


def krasnoselskii_mann(
    operator: Any, x0: Any, steps: int, *, step: Any = 0.5, at: Any = None, iterates: bool = False
) -> xr.Dataset:
    """Krasnoselskii-Mann iteration ``x_{k+1} = (1 - g) x_k + g T x_k``.

    Parameters
    ----------
    operator, x0, steps, at, iterates
        As for `halpern`.
    step : float or array_like, (B,)
        g in (0, 1).

    Returns
    -------
    xarray.Dataset
        As for `halpern`.

    Raises
    ------
    DomainError
        Where g lies outside (0, 1); else as for `halpern`.

    References
    ----------
    Lieder 2018; performance-estimation values in `lemmata.theory.halpern`.
    """
    x0 = _start(operator, x0)
    weights = mann_weights(step, steps, len(x0))
    at = recorded_steps(at, steps)
    run = _iterate(operator, x0, weights, at, anchored=False, keep=iterates)
    return trace(
        "krasnoselskii_mann", "sims", at, run.x, run.iterates, residual=run.residual, anchor_product=run.product
    )


def restarted(
    operator: Any,
    x0: Any,
    steps: int,
    *,
    period: int | None = None,
    decrease: float | None = None,
    at: Any = None,
    iterates: bool = False,
) -> xr.Dataset:
    """Halpern's iteration that takes its current point as a new anchor, every `period` steps or on enough decrease.

    Parameters
    ----------
    operator, x0, steps, at, iterates
        As for `halpern`.
    period : int, optional
        Steps of an epoch K. With sharpness ``alpha dist(z, Fix T) <= ||z - T z||`` and ``K = ceil(2e/alpha)`` the
        residual falls by 1/e an epoch.
    decrease : float, optional
        Restart once the residual is at most this fraction, in (0, 1), of what it was at the last restart. Exactly
        one of `period` and `decrease` is given.

    Returns
    -------
    xarray.Dataset
        ``residual`` (instance, step) and ``restarts`` (instance, step): restarts made by that step, the one at that
        step included; ``x``; ``iterate`` where asked for.

    Raises
    ------
    DomainError
        Where both or neither rule is given, or one is out of range; else as for `halpern`.
    """
    x0 = _start(operator, x0)
    lam = halpern_weights(None, steps, len(x0))
    at = recorded_steps(at, steps)
    period, decrease = restart_rule(period, decrease)
    run = _iterate(operator, x0, 1 - lam, at, period=period, decrease=decrease, keep=iterates)
    return trace("restarted", "sims", at, run.x, run.iterates, residual=run.residual, restarts=run.restarts)


def solve(
    operator: Any,
    x0: Any,
    *,
    tol: float,
    max_steps: int = 10_000,
    weights: Any = None,
    on_fail: str = "raise",
) -> xr.Dataset:
    """Run Halpern's iteration until ``||x_k - T x_k|| <= tol``.

    Parameters
    ----------
    operator, x0, weights
        As for `halpern`.
    tol : float
        Residual at which a row stops; its theorem promises it after ``2 D / tol`` steps.
    max_steps : int
        Step limit.
    on_fail : {"raise", "return"}
        What happens where a row reaches the limit first.

    Returns
    -------
    xarray.Dataset
        ``x`` (instance, dim), ``residual`` (instance), ``steps`` (instance), ``converged`` (instance).

    Raises
    ------
    NotConverged
        Where a row reaches the limit, with the dataset as its `result`.
    """
    x0 = _start(operator, x0)
    lam = halpern_weights(weights, max_steps, len(x0))
    check_solve(tol, on_fail)
    run = _iterate(operator, x0, 1 - lam, np.empty(0, dtype=np.int64), tol=tol)
    final = halpern(operator, run.x, 1, at=[0])["residual"].values[:, 0]
    return solved("sims", run.x, final, run.reached, tol=tol, max_steps=max_steps, on_fail=on_fail)


def extragradient(
    operator: Any,
    z0: Any,
    schedule: Extragradient,
    *,
    simplices: int = 0,
    at: Any = None,
    iterates: bool = False,
) -> xr.Dataset:
    """Extragradient iteration with anchor: EG, EAG-C, EAG-V and FEG by their schedules.

    ``h = P(z + b_k (z_0 - z) - a_k F(z))``, ``z+ = P(z + b_k (z_0 - z) - c_k F(h))``

    Parameters
    ----------
    operator : Operator or callable
        Field F, as for `halpern`.
    z0 : float array, (d,) or (B, d)
    schedule : lemmata.problems.halpern.Extragradient
        Steps and anchor weights, from `eg`, `eag_c`, `eag_v` or `feg`.
    simplices : int
        n > 0: P projects the first n entries and the rest onto their probability simplices. 0: no constraint.
    at, iterates
        As for `halpern`.

    Returns
    -------
    xarray.Dataset
        ``residual`` (instance, step): ``||F(z_k)||``, or with a constraint the natural residual
        ``||z_k - P(z_k - F(z_k))||``; ``x``: the last iterate; ``iterate`` where asked for. Each step costs two
        evaluations of F.

    Raises
    ------
    TypeError, ShapeError, DomainError
        For bad input, before any step.
    NonFiniteError
        Where F gives NaN or infinity; it carries the step.

    References
    ----------
    Korpelevich 1976; Yoon and Ryu 2021; Lee and Kim 2021.
    """
    z0 = _start(operator, z0)
    batch, dim = z0.shape
    check_schedule(schedule, simplices, dim)
    at = recorded_steps(at, schedule.steps)
    z = np.empty_like(z0)
    residual = np.zeros((batch, at.size))
    kept = np.empty((batch, at.size if iterates else 0, dim), dtype=z0.dtype)
    arrays = (*map(_frozen, (schedule.anchor, schedule.half, schedule.full)), simplices, _frozen(at))
    if isinstance(operator, Operator):
        op = _arrays(operator, z0.dtype)
        bad = _extragradient_rows(op, z0, *arrays, z, kept, residual)  # type: ignore[call-arg]
    else:
        loop = _bind(_extragradient_row, operator)
        bad = np.array([loop((), b, z0[b], *arrays, z[b], kept[b], residual[b]) for b in range(batch)])
    raise_if_not_finite("F(z)", bad, at, residual)
    return trace(schedule.name, "sims", at, z, kept, residual=residual)
