"""Four ways to the mean field of a pairwise model, each with a bound on its error, and their trajectories.

`solve` runs every sample of a batch until its certificate meets the tolerance; `trajectory` records the iterates of a
method as they are, also where it diverges.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
from numba import njit, prange

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems.monotone_dbm import (
    CONVERGED,
    MAX_STEPS,
    METHODS,
    OSCILLATING,
    Method,
    MonotoneModel,
    PairwiseModel,
    Solution,
    block_slices,
    check_evidence,
    check_rows,
    check_solve,
    check_start,
    check_step,
    check_trajectory,
    default_tolerance,
    from_the_largest,
    raise_unless_converged,
    singular,
)
from lemmata.sims.monotone_dbm.prox import prox_node, softmax_node

__all__ = ["solve", "trajectory"]

# numba reads these as compile-time constants; "parallel" is forward-backward with step 1
FORWARD_BACKWARD, PEACEMAN_RACHFORD, AVERAGED, SEQUENTIAL = range(4)
CODES = dict(zip(METHODS, (FORWARD_BACKWARD, PEACEMAN_RACHFORD, AVERAGED, SEQUENTIAL, FORWARD_BACKWARD), strict=True))
#: steps after which the certificate is looked at although the last look promised nothing yet
PATIENCE = 64
#: entries of a batch from which its samples are shared among threads
PARALLEL = 10_000
#: share of a step that may remain after two of them where a run is called oscillating
PERIOD_TWO = 1e-2


class _Operator(NamedTuple):
    """A symmetric matrix as numba sees it: `dense`, or where that is empty ``blkdiag(blocks) - A' A``."""

    dense: np.ndarray
    A: np.ndarray
    blocks: np.ndarray


def _read_only(x: np.ndarray) -> np.ndarray:
    """A contiguous view that numba always sees with one type."""
    view = np.ascontiguousarray(x).view()
    view.flags.writeable = False
    return view


def _operator(dense: np.ndarray | None, A: np.ndarray | None = None, blocks: np.ndarray | None = None) -> _Operator:
    empty = np.empty((0, 0))
    return _Operator(
        _read_only(empty if dense is None else dense),
        _read_only(empty if A is None else A),
        _read_only(np.empty(0) if blocks is None else blocks),
    )


def _interactions(model: PairwiseModel | MonotoneModel) -> _Operator:
    """Phi, or Pi Phi Pi of a user's; of low rank where that takes fewer products than the matrix."""
    if isinstance(model, PairwiseModel):
        return _operator(model.projected)
    if 2 * len(model.A) < model.n:
        return _operator(None, model.A_hat, model.blocks)
    return _operator(model.phi)


def _biases(model: PairwiseModel | MonotoneModel, bias: Any) -> np.ndarray:
    """Biases float64[B, n] that go with `_interactions`."""
    made = check_rows("bias", model.bias if bias is None else bias, model.n)
    return made + model.gauge if isinstance(model, PairwiseModel) else made


def _resolvent(model: PairwiseModel | MonotoneModel, alpha: float) -> _Operator:
    """``(I + alpha (I - Phi))^{-1}``; of low rank where Phi is, by the Woodbury identity.

    With ``E = (I + alpha (I - D))^{-1}``, block diagonal, it is ``E - E A' (I/alpha + A E A')^{-1} A E``.
    """
    dense = _interactions(model).dense
    try:
        if dense.size:
            return _operator(np.linalg.inv((1 + alpha) * np.eye(model.n) - alpha * dense))
        A = cast(MonotoneModel, model).A_hat
        blocks, AE = [], np.empty_like(A)
        for own in block_slices(model.states):
            part = A[:, own]
            E = np.linalg.inv((1 + alpha) * np.eye(part.shape[1]) - alpha * part.T @ part)
            blocks.append(((E + E.T) / 2).ravel())
            AE[:, own] = part @ E
        inner = np.linalg.cholesky(np.eye(len(A)) / alpha + AE @ A.T)
    except np.linalg.LinAlgError:
        raise DomainError(singular(alpha, model.modulus)) from None
    return _operator(None, np.linalg.solve(inner, AE), np.concatenate(blocks))


@njit(cache=True)
def _apply(op, offsets, x, out, low):  # type: ignore[no-untyped-def]
    """out <- op x; `low` has room for A x."""
    if op.dense.shape[0] > 0:
        np.dot(op.dense, x, out)
        return
    np.dot(op.A, x, low)
    np.dot(low, op.A, out)
    at = 0
    for i in range(offsets.size - 1):
        for k in range(offsets[i], offsets[i + 1]):
            out[k] = -out[k]
            for j in range(offsets[i], offsets[i + 1]):
                out[k] += op.blocks[at] * x[j]
                at += 1


@njit(cache=True)
def _field(op, offsets, bias, q, out, low):  # type: ignore[no-untyped-def]
    """out <- Phi q + b."""
    _apply(op, offsets, q, out, low)
    for k in range(q.size):
        out[k] += bias[k]


@njit(cache=True)
def _sweep(op, offsets, bias, held, q, field, p, low):  # type: ignore[no-untyped-def]
    """Every node in turn takes the softmax of its field: the free energy is minimised over it, exactly."""
    dense = op.dense.shape[0] > 0
    _field(op, offsets, bias, q, field, low)  # leaves A q in low
    moved, at = 0.0, 0
    for i in range(offsets.size - 1):
        lo, hi = offsets[i], offsets[i + 1]
        if not dense:
            for k in range(lo, hi):
                field[k] = bias[k]
                for j in range(lo, hi):
                    field[k] += op.blocks[at] * q[j]
                    at += 1
                for r in range(low.size):
                    field[k] -= op.A[r, k] * low[r]
        if held[i]:
            continue
        softmax_node(field, lo, hi, p)
        for k in range(lo, hi):
            change = p[k] - q[k]
            moved += change * change
            q[k] = p[k]
            if dense:
                for j in range(q.size):
                    field[j] += op.dense[k, j] * change
            else:
                for r in range(low.size):
                    low[r] += op.A[r, k] * change
    return np.sqrt(moved)


@njit(cache=True)
def _advance(method, alpha, op, resolvent, offsets, bias, held, q, u, field, p, low):  # type: ignore[no-untyped-def]
    """One step of a method, in q (and in u for Peaceman-Rachford); returns how far q moved.

    `field`, `p` and `low` are scratch. Nodes that are held keep their values.
    """
    if method == SEQUENTIAL:
        return _sweep(op, offsets, bias, held, q, field, p, low)
    if method == PEACEMAN_RACHFORD:
        for k in range(q.size):
            u[k] = 2.0 * q[k] - u[k]
            p[k] = u[k] + alpha * bias[k]
        _apply(resolvent, offsets, p, field, low)
        for k in range(q.size):
            u[k] = 2.0 * field[k] - u[k]
            field[k] = u[k]
    else:
        _field(op, offsets, bias, q, field, low)
        if method == FORWARD_BACKWARD:
            for k in range(q.size):
                field[k] = (1.0 - alpha) * q[k] + alpha * field[k]
    moved = 0.0
    for i in range(offsets.size - 1):
        if held[i]:
            continue
        lo, hi = offsets[i], offsets[i + 1]
        if method == AVERAGED:
            softmax_node(field, lo, hi, p)
            for k in range(lo, hi):
                p[k] = (1.0 - alpha) * q[k] + alpha * p[k]
        else:
            prox_node(field, lo, hi, alpha, p)
        for k in range(lo, hi):
            moved += (p[k] - q[k]) ** 2
            q[k] = p[k]
    return np.sqrt(moved)


@njit(cache=True)
def _look(op, offsets, bias, held, convexity, q, p, field, other, low):  # type: ignore[no-untyped-def]
    """p <- softmax(Phi q + b); returns its residual and certificate.

    The gradient of the free energy at p, up to constants on each node, is ``Phi (q - p)``: no logarithm of p is needed.
    """
    _apply(op, offsets, q, field, low)
    for k in range(q.size):
        other[k] = field[k] + bias[k]
    for i in range(offsets.size - 1):
        if held[i]:
            for k in range(offsets[i], offsets[i + 1]):
                p[k] = q[k]
        else:
            softmax_node(other, offsets[i], offsets[i + 1], p)
    _apply(op, offsets, p, other, low)
    square, residual = 0.0, 0.0
    for i in range(offsets.size - 1):
        if held[i]:
            continue
        lo, hi = offsets[i], offsets[i + 1]
        mean = 0.0
        for k in range(lo, hi):
            field[k] -= other[k]  # without the biases, in whose digits it would drown
            mean += field[k] / (hi - lo)
            other[k] += bias[k]
        for k in range(lo, hi):
            square += (field[k] - mean) ** 2
        softmax_node(other, lo, hi, field)
        for k in range(lo, hi):
            residual = max(residual, abs(p[k] - field[k]))
    return residual, (np.sqrt(square) / convexity if convexity > 0.0 else np.inf)


@njit(cache=True)
def _solve_row(  # type: ignore[no-untyped-def]
    method, alpha, op, resolvent, offsets, bias, held, convexity, tol, max_steps, q
):
    """Iterate one sample until its certificate meets tol; q becomes the answer.

    Returns (residual, certificate, steps, status).
    """
    n = q.size
    u, field, other, p = q.copy(), np.empty(n), np.empty(n), np.empty(n)
    low = np.empty(max(op.A.shape[0], resolvent.A.shape[0]))
    # the certificate falls in proportion to the moves: it is looked at when the last look promised enough
    promise, last, moved = np.inf, 0, 0.0
    residual, certificate, status, k = np.inf, np.inf, MAX_STEPS, 0
    while True:
        if k == max_steps or moved <= promise or k - last >= PATIENCE:
            last = k
            residual, certificate = _look(op, offsets, bias, held, convexity, q, p, field, other, low)
            size = certificate if convexity > 0.0 else residual
            if size <= tol:
                status = CONVERGED
                break
            if k > 0:
                promise = moved * tol / size
        if k == max_steps:
            break
        moved = _advance(method, alpha, op, resolvent, offsets, bias, held, q, u, field, p, low)
        k += 1
        if not np.isfinite(moved):
            q[:] = np.nan
            return np.nan, np.nan, k, MAX_STEPS
    if status != CONVERGED:
        begin = q.copy()
        first = _advance(method, alpha, op, resolvent, offsets, bias, held, q, u, field, p, low)
        _advance(method, alpha, op, resolvent, offsets, bias, held, q, u, field, p, low)
        twice = 0.0
        for i in range(n):
            twice += (q[i] - begin[i]) ** 2
        if np.sqrt(twice) < PERIOD_TWO * first:
            status = OSCILLATING
        _look(op, offsets, bias, held, convexity, begin, p, field, other, low)
    for i in range(n):
        q[i] = p[i]
    return residual, certificate, k, status


def _rows(  # type: ignore[no-untyped-def]
    method, alpha, op, resolvent, offsets, bias, held, convexity, tol, max_steps, q, report
):
    """Each sample of q by itself; a row of `report` is its residual, certificate, steps and status."""
    for row in prange(q.shape[0]):
        b = np.int64(row)
        report[b, 0], report[b, 1], report[b, 2], report[b, 3] = _solve_row(
            method, alpha, op, resolvent, offsets, bias[b], held[b], convexity, tol, max_steps, q[b]
        )


_serial, _parallel = njit(cache=True)(_rows), njit(cache=True, parallel=True)(_rows)


@njit(cache=True)
def _trajectory_rows(method, alpha, op, resolvent, offsets, bias, held, q, out):  # type: ignore[no-untyped-def]
    n = q.shape[1]
    low = np.empty(max(op.A.shape[0], resolvent.A.shape[0]))
    u, field, p = np.empty(n), np.empty(n), np.empty(n)
    for b in range(q.shape[0]):
        for k in range(n):
            u[k] = q[b, k]
        if method == PEACEMAN_RACHFORD:
            for i in range(offsets.size - 1):
                prox_node(u, offsets[i], offsets[i + 1], alpha, q[b])
        for step in range(out.shape[1]):
            if step > 0:
                _advance(method, alpha, op, resolvent, offsets, bias[b], held[b], q[b], u, field, p, low)
            for k in range(n):
                out[b, step, k] = u[k] if method == PEACEMAN_RACHFORD else q[b, k]


def _batch(*arrays: np.ndarray) -> list[np.ndarray]:
    """The arrays with as many rows as the longest, of one layout."""
    rows = {len(a) for a in arrays} - {1}
    if len(rows) > 1:
        raise ShapeError(f"bias, observed, mask and start have {sorted(rows)} samples; give as many of each, or one")
    size = rows.pop() if rows else 1
    return [_read_only(np.broadcast_to(a, (size, a.shape[1]))) for a in arrays]


def solve(
    model: PairwiseModel | MonotoneModel,
    *,
    bias: Any = None,
    method: Method = "forward-backward",
    alpha: float | None = None,
    observed: Any = None,
    mask: Any = None,
    soft: bool = False,
    start: Any = None,
    tol: float | None = None,
    max_steps: int = 10_000,
    raise_on_fail: bool = True,
) -> Solution:
    """The mean field ``q_i = softmax((Phi q + b)_i)``, given what is observed.

    Each sample stops by itself once its certificate, a bound on the Euclidean distance to the mean field, is at most
    `tol`; where nothing guarantees that there is only one mean field, once its residual is.

    Parameters
    ----------
    model : PairwiseModel or MonotoneModel
    bias : float64[n] or float64[B, n], optional
        In place of the model's.
    method : {"forward-backward", "peaceman-rachford", "averaged", "sequential", "parallel"}
        ``q <- prox_{alpha f}((1 - alpha) q + alpha (Phi q + b))``; splitting with the resolvent of I - Phi; ``q <- (1 -
        alpha) q + alpha softmax(Phi q + b)``; node after node; all nodes at once, which may oscillate.
    alpha : float, optional
        Step, with a safe default (`lemmata.problems.monotone_dbm.check_step`).
    observed : float64[n] or float64[B, n], optional
        Values of the observed nodes, imposed at every step; not read elsewhere.
    mask : bool[N] or bool[B, N], optional
        True where a node is observed; an entry each, bool[B, n], will do too.
    soft : bool
        Whether observations may be points of the simplex in place of states.
    start : float64[n] or float64[B, n], optional
        On the simplex of each node; uniform by default.
    tol : float, optional
        1e-10 by default, or what rounding leaves of the certificate if that is more.
    max_steps : int
    raise_on_fail : bool
        Whether to raise, or to return with the status that says what happened.

    Returns
    -------
    Solution

    Raises
    ------
    ShapeError, DomainError, NonFiniteError
        Before any work.
    NotConverged
        With the solution attached.

    Notes
    -----
    A matrix of low rank r is never multiplied out where ``2 r < n``; L takes one n x n matrix below 2048 entries, and
    so does Peaceman-Rachford for a dense model. Beside that: a few vectors of length n a thread, and the batch.
    """
    step = check_step(model, method, alpha)
    tol = default_tolerance(model, np.finfo(np.float64).eps) if tol is None else tol
    check_solve(tol, max_steps)
    values, seen = check_evidence(model, observed, mask, soft=soft)
    shift = from_the_largest(_biases(model, bias), model.states)
    uniform = np.repeat(1 / np.array(model.states), model.states)[None]
    q = uniform if start is None else check_start(model, start)
    shift, values, seen, q = _batch(shift, values, seen, q)
    q = np.where(np.repeat(seen, model.states, axis=1), values, q)
    code, B = CODES[method], len(q)
    resolvent = _resolvent(model, step) if code == PEACEMAN_RACHFORD else _operator(None)
    problem = (_interactions(model), resolvent, _read_only(model.offsets), shift, seen, model.convexity)
    report = np.empty((B, 4))
    # to wake the other threads takes as long as a small batch
    rows = _parallel if B > 1 and q.size >= PARALLEL else _serial
    rows(code, step, *problem, float(tol), int(max_steps), q, report)
    residual, certificate = report[:, 0], report[:, 1]
    steps, status = report[:, 2:].T.astype(np.int64)
    finite = np.isfinite(q).all(axis=1)  # a maximum passes over a NaN: the residual does not tell
    if not finite.all():
        b = int(np.argmin(finite))
        raise NonFiniteError(
            f"the iterates of sample {b} overflowed: its interactions or biases are too large", index=(b,)
        )
    solution = Solution(q, residual, certificate, steps, status)
    if raise_on_fail:
        raise_unless_converged(solution, method=method, alpha=step, tol=tol, max_steps=max_steps)
    return solution


def trajectory(
    model: PairwiseModel | MonotoneModel,
    start: Any,
    steps: int,
    *,
    bias: Any = None,
    method: Method = "forward-backward",
    alpha: float | None = None,
) -> np.ndarray:
    """Iterates of a method as they are: any positive step is allowed, also one at which it diverges.

    Parameters
    ----------
    model : PairwiseModel or MonotoneModel
    start : float64[n] or float64[B, n]
        For Peaceman-Rachford its driving variable u, any numbers; else points of the simplices. A `PairwiseModel`
        enters as Pi phi Pi, which moves u by a constant on each node and q not at all.
    steps : int
    bias : float64[n] or float64[B, n], optional
    method : str
    alpha : float, optional

    Returns
    -------
    float64[B, steps + 1, n]
        q, or u for Peaceman-Rachford.

    Raises
    ------
    ShapeError, DomainError, NonFiniteError
    """
    step = check_trajectory(model, method, alpha, steps)
    code = CODES[method]
    begin = check_rows("start", start, model.n) if code == PEACEMAN_RACHFORD else check_start(model, start)
    shift, begin = _batch(_biases(model, bias), begin)
    held = _read_only(np.zeros((len(begin), len(model.states)), dtype=bool))
    out = np.empty((len(begin), steps + 1, model.n))
    resolvent = _resolvent(model, step) if code == PEACEMAN_RACHFORD else _operator(None)
    _trajectory_rows(
        *(code, step, _interactions(model), resolvent, _read_only(model.offsets), shift, held, begin.copy(), out)
    )
    return out
