"""Numba simulators of variance-reduced methods on finite sums of linear components.

`vr_halpern` is Algorithm 1 (Halpern with the PAGE estimator), `inexact_halpern` Algorithm 2 (Halpern on an approximate
resolvent), `loopless_vr` the loopless method on its own, which is also the inner solver of Algorithm 2. Replicates
run in parallel threads, each by one compiled loop with its own counters of the random stream: a batch equals its
replicates one by one, bit for bit.

Memory: some ten vectors of length d a thread and, without replacement, n indices; the arrays of the finite sum are
shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit, prange

from lemmata.errors import NotConverged, ShapeError
from lemmata.problems.halpern.finite_sums import (
    COINS,
    INDICES,
    INNER,
    Components,
    FiniteSum,
    Inexact,
    Inner,
    Loopless,
    Page,
    check_page,
    check_start,
    recorded,
    replicate_ids,
    resolvents,
    sampled,
)
from lemmata.problems.halpern.steps import check_solve, raise_if_not_finite
from lemmata.random import check_seed
from lemmata.sims._philox import bernoulli, integer, words
from lemmata.sims.halpern.iterations import _distance, _finite, _simplex

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["inexact_halpern", "inexact_solve", "loopless_vr", "vr_halpern", "vr_solve"]

# numba reads these as compile-time constants
DIAGONAL, RANK_ONE = int(Components.DIAGONAL), int(Components.RANK_ONE)
EXTRAGRADIENT = int(Inner.EXTRAGRADIENT)


class _Sum(NamedTuple):
    """A `FiniteSum` as numba sees it."""

    kind: int
    data: np.ndarray
    places: np.ndarray
    mean: np.ndarray
    centre: np.ndarray


class _Page(NamedTuple):
    """A `Page`: eta, 1 - lam_k, p_k, b, and whether batches are drawn with replacement."""

    eta: float
    keep: np.ndarray
    p: np.ndarray
    batch: int
    replacement: bool


class _Loopless(NamedTuple):
    """A `Loopless`."""

    method: int
    tau: float
    p: float


class _Inexact(NamedTuple):
    """An `Inexact`, without its inner solver."""

    eta: float
    keep: np.ndarray
    tolerances: np.ndarray
    counts: np.ndarray
    certified: bool
    reflected: bool


class _State(NamedTuple):
    """Vectors of a loopless method: iterate, snapshot, the one before, F at the snapshot, element of G at the iterate.

    The last three are scratch.
    """

    z: np.ndarray
    w: np.ndarray
    w_before: np.ndarray
    fw: np.ndarray
    normal: np.ndarray
    q: np.ndarray
    point: np.ndarray
    h: np.ndarray


# ------------------------------------------------------------------------------------------ components


@njit(cache=True)
def _full(F, u, out):  # type: ignore[no-untyped-def]
    """out <- F(u)."""
    d = u.size
    if F.kind == DIAGONAL:
        for j in range(d):
            out[j] = F.mean[0, j] * (u[j] - F.centre[j])
    else:
        out[:] = 0.0
        for r in range(d):
            weight = u[r] - F.centre[r]
            for j in range(d):
                out[j] += weight * F.mean[r, j]


@njit(cache=True)
def _add_component(F, i, delta, scale, out):  # type: ignore[no-untyped-def]
    """out <- out + scale A_i delta."""
    d = delta.size
    if F.kind == DIAGONAL:
        for j in range(d):
            out[j] += scale * (F.data[i, 0, j] * delta[j])
    elif F.kind == RANK_ONE:
        weight = 0.0
        for j in range(d):
            weight += F.data[i, 0, j] * delta[j]
        weight *= scale
        for j in range(d):
            out[j] += weight * F.data[i, 0, j]
    else:
        for r in range(F.data.shape[1]):
            weight = scale * delta[F.places[i, r]]
            for j in range(d):
                out[j] += weight * F.data[i, r, j]


@njit(cache=True)
def _to_constraint(split, point, out):  # type: ignore[no-untyped-def]
    """out <- projection of the point onto two simplices, or the point itself for split 0."""
    if split > 0:
        _simplex(point[:split], out[:split])
        _simplex(point[split:], out[split:])
    else:
        out[:] = point


@njit(cache=True)
def _norm_of_sum(a, b):  # type: ignore[no-untyped-def]
    total = 0.0
    for j in range(a.size):
        total += (a[j] + b[j]) ** 2
    return np.sqrt(total)


@njit(cache=True)
def _natural(split, u, f, point, image):  # type: ignore[no-untyped-def]
    """``||u - P(u - F(u))||``."""
    for j in range(u.size):
        point[j] = u[j] - f[j]
    _to_constraint(split, point, image)
    return _distance(u, image)


# ------------------------------------------------------------------------------- Algorithm 1, with PAGE


@njit(cache=True)
def _add_batch(F, o, order, k, replicate, seed, delta, g):  # type: ignore[no-untyped-def]
    """g <- g + mean of A_i delta over the batch of step k; returns the number of blocks drawn."""
    n = F.data.shape[0]
    scale = 1.0 / o.batch
    half = (o.batch + 1) // 2
    for block in range(half):
        w = words(k * half + block, INDICES, replicate, seed)
        for side in range(min(2, o.batch - 2 * block)):
            first, second = (w[0], w[1]) if side == 0 else (w[2], w[3])
            if o.replacement:
                i = integer(first, second, n)
            else:
                # one swap of a Fisher-Yates shuffle; any order to start from gives a uniform subset
                place = 2 * block + side
                other = place + integer(first, second, n - place)
                i = order[other]
                order[other] = order[place]
                order[place] = i
            _add_component(F, i, delta, scale, g)
    return half


@njit(cache=True)
def _page_row(F, o, x0, split, tol, at, replicate, seed, x, iterates, trace, count):  # type: ignore[no-untyped-def]
    """Iterate one replicate, in x.

    `trace` is (residual, natural residual) and `count` the calls at the recorded steps. Returns (step of the first
    non-finite value or -1, step reached, calls, blocks drawn, last residual).
    """
    n, d = F.data.shape[0], x0.size
    steps = o.keep.size
    x[:] = x0
    before = x0.copy()
    g, f, point, delta = np.empty_like(x0), np.empty_like(x0), np.empty_like(x0), np.empty_like(x0)
    normal = np.zeros_like(x0)
    order = np.arange(0 if o.replacement else n)
    calls, blocks, r, k = 0, 0, 0, 0
    residual = np.inf
    while True:
        due = r < at.size and at[r] == k
        if due or tol > 0.0:
            _full(F, x, f)
            if not _finite(f):
                return k, k, calls, blocks, residual
            # x is the result of a resolvent step from k = 1 on
            residual = np.inf if split > 0 and k == 0 else _norm_of_sum(f, normal)
        if due:
            trace[0, r] = residual
            trace[1, r] = _natural(split, x, f, point, delta)
            count[r] = calls
            if iterates.shape[0] > 0:
                iterates[r] = x
            r += 1
        if k == steps or (tol > 0.0 and residual <= tol):
            return -1, k, calls, blocks, residual

        recompute = o.p[k] >= 1.0
        if not recompute:
            recompute = bernoulli(words(k, COINS, replicate, seed)[0], o.p[k])
            blocks += 1
        if recompute:
            _full(F, x, g)
            calls += n
        else:
            for j in range(d):
                delta[j] = x[j] - before[j]
            blocks += _add_batch(F, o, order, k, replicate, seed, delta, g)
            calls += 2 * o.batch
        if not _finite(g):
            return k, k, calls, blocks, residual
        # g now belongs to this point, recomputed or not
        before[:] = x
        for j in range(d):
            point[j] = x0[j] + o.keep[k] * (x[j] - x0[j]) - o.eta * g[j]
        _to_constraint(split, point, x)
        if split > 0:
            for j in range(d):
                normal[j] = (point[j] - x[j]) / o.eta
        k += 1


@njit(cache=True, parallel=True)
def _page_rows(F, o, x0, split, tol, at, ids, seed, x, iterates, trace, count, ends, last):  # type: ignore[no-untyped-def]
    bad = np.empty(ids.size, dtype=np.int64)
    for i in prange(ids.size):
        b = np.int64(i)  # prange counts in uint64, which mixes with int64 into float64
        bad[b], ends[b, 0], ends[b, 1], ends[b, 2], last[b] = _page_row(
            F, o, x0, split, tol, at, ids[b], seed, x[b], iterates[b], trace[b], count[b]
        )
    return bad


# --------------------------------------------------------------- loopless methods, alone and inside Algorithm 2


@njit(cache=True)
def _state(x0):  # type: ignore[no-untyped-def]
    new = np.empty_like
    return _State(x0.copy(), x0.copy(), x0.copy(), new(x0), np.zeros_like(x0), new(x0), new(x0), new(x0))


@njit(cache=True)
def _prox(split, q, u, tau, mu, point, out):  # type: ignore[no-untyped-def]
    """out <- the v with ``q in v + tau (mu (v - u) + G(v))``; point <- the argument of the projection."""
    for j in range(q.size):
        point[j] = (q[j] + tau * mu * u[j]) / (1.0 + tau * mu)
    _to_constraint(split, point, out)


@njit(cache=True)
def _loopless_step(F, o, scale, mu, split, t, replicate, seed, u, s):  # type: ignore[no-untyped-def]
    """One step of ``0 in scale F(v) + mu (v - u) + G(v)`` in the state s; its w moves where the coin says so.

    Of the state, F(w) is left to the caller. Returns (moved, blocks drawn).
    """
    n, d = F.data.shape[0], u.size
    blocks = 0
    i = 0
    moved = True
    if n > 1 or o.p < 1.0:
        word = words(t, INNER, replicate, seed)
        blocks = 1
        i = integer(word[0], word[1], n)
        moved = bernoulli(word[2], o.p)
    step = o.tau * scale
    for j in range(d):
        s.q[j] = (1.0 - o.p) * s.z[j] + o.p * s.w[j] - step * s.fw[j]
    if o.method == EXTRAGRADIENT:
        _prox(split, s.q, u, o.tau, mu, s.point, s.h)
        for j in range(d):
            s.point[j] = s.h[j] - s.w[j]
    else:
        for j in range(d):
            s.point[j] = s.z[j] - s.w_before[j]
        s.w_before[:] = s.w
    _add_component(F, i, s.point, -step, s.q)
    _prox(split, s.q, u, o.tau, mu, s.point, s.z)
    if split > 0:
        for j in range(d):
            s.normal[j] = (s.point[j] - s.z[j]) * (1.0 + o.tau * mu) / o.tau
    if moved:
        s.w[:] = s.z
    return moved, blocks


@njit(cache=True)
def _loopless_row(F, o, x0, split, at, steps, replicate, seed, x, iterates, trace, count):  # type: ignore[no-untyped-def]
    """The loopless method alone (mu = 0); returns (first non-finite step or -1, calls, blocks drawn)."""
    n = F.data.shape[0]
    s = _state(x0)
    f = np.empty_like(x0)
    _full(F, s.w, s.fw)
    calls, blocks, r = n, 0, 0
    for k in range(steps + 1):
        if r < at.size and at[r] == k:
            _full(F, s.z, f)
            if not _finite(f):
                return k, calls, blocks
            trace[0, r] = np.inf if split > 0 and k == 0 else _norm_of_sum(f, s.normal)
            trace[1, r] = _natural(split, s.z, f, s.point, s.h)
            count[r] = calls
            if iterates.shape[0] > 0:
                iterates[r] = s.z
            r += 1
        if k < steps:
            moved, drawn = _loopless_step(F, o, 1.0, 0.0, split, k, replicate, seed, x0, s)
            calls += 2
            blocks += drawn
            if moved:
                _full(F, s.w, s.fw)
                calls += n
            if not _finite(s.z):
                return k, calls, blocks
    x[:] = s.z
    return -1, calls, blocks


@njit(cache=True, parallel=True)
def _loopless_rows(F, o, x0, split, at, steps, ids, seed, x, iterates, trace, count, ends):  # type: ignore[no-untyped-def]
    bad = np.empty(ids.size, dtype=np.int64)
    for i in prange(ids.size):
        b = np.int64(i)
        bad[b], ends[b, 1], ends[b, 2] = _loopless_row(
            F, o, x0, split, at, steps, ids[b], seed, x[b], iterates[b], trace[b], count[b]
        )
        ends[b, 0] = steps
    return bad


@njit(cache=True)
def _certificate(u, v, eta, f, normal):  # type: ignore[no-untyped-def]
    """``||v - u + eta F(v) + g||`` with g, an element of the normal cone at v, in `normal`."""
    total = 0.0
    for j in range(u.size):
        total += (v[j] - u[j] + eta * f[j] + normal[j]) ** 2
    return np.sqrt(total)


@njit(cache=True)
def _inexact_row(F, o, inner, x0, split, tol, max_inner, at, replicate, seed, v, iterates, trace, count):  # type: ignore[no-untyped-def]
    """Algorithm 2 of one replicate; v becomes the last resolvent.

    `trace` is (residual, natural residual, ||u - v||, certificate) and `count` the calls at the recorded resolvents.
    Returns (status, resolvent reached, calls, blocks drawn, last residual): status -1 is fine, -2 a resolvent that
    was not found, else the number of the one in which a value was not finite.
    """
    n, d = F.data.shape[0], x0.size
    u = x0.copy()
    s = _state(x0)
    f = np.empty_like(x0)
    snapshot = np.zeros_like(x0)  # element of eta G at w
    _full(F, s.w, s.fw)
    calls, blocks, t, r = n, 0, 0, 0
    residual = np.inf
    for k in range(o.keep.size):
        if o.certified:
            # start from the last resolvent, where F and an element of the normal cone are known
            s.z[:] = s.w
        else:
            s.z[:] = u
            s.w[:] = u
            if k > 0:
                _full(F, s.w, s.fw)
                calls += n
        s.w_before[:] = s.w
        error = _certificate(u, s.w, o.eta, s.fw, snapshot)
        count_inner = 0
        while (error > o.tolerances[k]) if o.certified else (count_inner < o.counts[k]):
            if count_inner == max_inner:
                v[:] = s.w
                return -2, k, calls, blocks, residual
            moved, drawn = _loopless_step(F, inner, o.eta, 1.0, split, t, replicate, seed, u, s)
            t += 1
            count_inner += 1
            calls += 2
            blocks += drawn
            if moved:
                _full(F, s.w, s.fw)
                calls += n
                snapshot[:] = s.normal
                error = _certificate(u, s.w, o.eta, s.fw, snapshot)
            if not _finite(s.z):
                return k, k, calls, blocks, residual
        if o.certified:
            v[:] = s.w
            f[:] = s.fw
        else:
            v[:] = s.z
            snapshot[:] = s.normal
            _full(F, v, f)  # for the record only: not an oracle call
        for j in range(d):
            s.h[j] = snapshot[j] / o.eta
        residual = _norm_of_sum(f, s.h)
        if r < at.size and at[r] == k:
            trace[0, r] = residual
            trace[1, r] = _natural(split, v, f, s.point, s.h)
            trace[2, r] = _distance(u, v)
            trace[3, r] = _certificate(u, v, o.eta, f, snapshot)
            count[r] = calls
            if iterates.shape[0] > 0:
                iterates[r] = u
            r += 1
        if tol > 0.0 and residual <= tol:
            return -1, k, calls, blocks, residual
        for j in range(d):
            target = 2.0 * v[j] - u[j] if o.reflected else v[j]
            u[j] = x0[j] + o.keep[k] * (target - x0[j])
    return -1, o.keep.size, calls, blocks, residual


@njit(cache=True, parallel=True)
def _inexact_rows(F, o, inner, x0, split, tol, max_inner, at, ids, seed, v, iterates, trace, count, ends, last):  # type: ignore[no-untyped-def]
    status = np.empty(ids.size, dtype=np.int64)
    for i in prange(ids.size):
        b = np.int64(i)
        status[b], ends[b, 0], ends[b, 1], ends[b, 2], last[b] = _inexact_row(
            F, o, inner, x0, split, tol, max_inner, at, ids[b], seed, v[b], iterates[b], trace[b], count[b]
        )
    return status


# ---------------------------------------------------------------------------------------------- public


def _start(operator: Any, x0: Any, split: int) -> tuple[_Sum, np.ndarray]:
    """The finite sum and the starting point in one dtype, after every check that needs no iteration."""
    if not isinstance(operator, FiniteSum):
        raise TypeError(
            f"the operator must be a FiniteSum, got {type(operator).__name__}; "
            "lemmata.kernels.halpern takes any operator with component methods"
        )
    x0 = np.asarray(x0)
    if x0.dtype not in (np.float64, np.float32):
        raise TypeError(f"x0 must be float64 or float32, got {x0.dtype}; convert it with x0.astype(float)")
    if x0.shape != (operator.dim,):
        raise ShapeError(f"x0 must have shape ({operator.dim},), got {x0.shape}")
    check_start(x0, split)
    data, mean, centre = (_writable(a, x0.dtype) for a in (operator.data, operator.mean, operator.centre))
    return _Sum(int(operator.kind), data, _writable(operator.index), mean, centre), _writable(x0)


def _writable(array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """The array, copied where it is read-only: numba would compile every kernel once more for that."""
    return np.require(array, dtype=dtype, requirements=["C", "W"])


class _Space(NamedTuple):
    """Arrays that a run fills: last points, iterates, traces, calls, ends (step, calls, blocks)."""

    x: np.ndarray
    iterates: np.ndarray
    trace: np.ndarray
    calls: np.ndarray
    ends: np.ndarray


def _space(count: int, at: np.ndarray, x0: np.ndarray, iterates: bool, traces: int = 2) -> _Space:
    return _Space(
        np.empty((count, x0.size), dtype=x0.dtype),
        np.empty((count, at.size if iterates else 0, x0.size), dtype=x0.dtype),
        np.zeros((count, traces, at.size)),
        np.zeros((count, at.size), dtype=np.int64),
        np.zeros((count, 3), dtype=np.int64),
    )


def _page(
    operator: FiniteSum,
    x0: Any,
    options: Page,
    split: int,
    replacement: bool,
    tol: float,
    at: np.ndarray,
    iterates: bool,
    ids: np.ndarray,
    seed: int,
) -> tuple[_Space, np.ndarray]:
    F, x0 = _start(operator, x0, split)
    check_page(options, operator.n)
    space, last = _space(len(ids), at, x0, iterates), np.empty(len(ids))
    o = _Page(options.eta, 1 - options.weights, _writable(options.probabilities), options.batch, bool(replacement))
    bad = _page_rows(F, o, x0, split, tol, at, ids, np.uint64(check_seed(seed)), *space, last)
    raise_if_not_finite("F(u) or its estimate", bad, at, space.trace[:, 0])
    return space, last


def _traced(method: str, ids: np.ndarray, space: _Space, at: np.ndarray) -> xr.Dataset:
    traces = {"residual": space.trace[:, 0], "natural_residual": space.trace[:, 1], "calls": space.calls}
    return sampled(method, "sims", ids, space.x, space.ends[:, 2], traces, at, space.iterates)


def _solved(method: str, ids: np.ndarray, space: _Space, residual: np.ndarray, tol: float, on_fail: str) -> xr.Dataset:
    traces = {"residual": residual, "steps": space.ends[:, 0], "calls": space.ends[:, 1]}
    return sampled(method, "sims", ids, space.x, space.ends[:, 2], traces, tol=tol, on_fail=on_fail)


def vr_halpern(
    operator: FiniteSum,
    x0: Any,
    options: Page,
    *,
    simplices: int = 0,
    replacement: bool = True,
    at: Any = None,
    iterates: bool = False,
    replicates: Any = 1,
    seed: int,
) -> xr.Dataset:
    """Variance-reduced Halpern iteration (Algorithm 1), with the PAGE estimator.

    ``u_{k+1} = P(lam_k u_0 + (1 - lam_k) u_k - eta g_k)`` where ``g_k = F(u_k)`` with probability p_k, else ``g_k =
    g_{k-1} + (1/b) sum_{i in S} (F_i(u_k) - F_i(u_{k-1}))`` for a batch S of b indices.

    Parameters
    ----------
    operator : FiniteSum
        F.
    x0 : float64 or float32 array, (d,)
        u_0, starting point and anchor of every replicate.
    options : lemmata.problems.halpern.Page
        eta, b, lam_k and p_k, from `lemmata.problems.halpern.page`; their number is the number of steps N.
    simplices : int
        s > 0: P projects the first s entries and the rest onto their probability simplices, and x0 lies in them.
        0: no constraint.
    replacement : bool
        Whether a batch is drawn with replacement.
    at : array_like of int, optional
        Steps to record, increasing, within 0..N (1..N with a constraint); every step by default.
    iterates : bool
        Whether to keep the iterates at those steps.
    replicates : int or array_like of int
        How many, numbered from 0, or their ids: each can be recomputed alone.
    seed : int
        Seed of the random stream; coins are read from stream `COINS`, indices from `INDICES`.

    Returns
    -------
    xarray.Dataset
        ``residual`` (replicate, step): ``||F(u_k) + g||``, g the element of the normal cone that the projection
        gave; ``natural_residual``: ``||u_k - P(u_k - F(u_k))||``, never larger; ``calls``: component
        evaluations spent to reach u_k (residuals are not counted); ``x`` (replicate, dim): u_N; ``blocks``
        (replicate): blocks of the random stream drawn; ``iterate`` where asked for.

    Raises
    ------
    TypeError, ShapeError, DomainError
        For bad input, before any step.
    NonFiniteError
        Where a value is NaN or infinite; it carries the step.

    Notes
    -----
    With n = 1 the iteration is the deterministic anchored forward-backward method and draws nothing.

    References
    ----------
    Cai, Alacaoglu and Diakonikolas, "Variance reduced Halpern iteration for finite-sum monotone inclusions", ICLR
    2024, Algorithm 1. Li, Bao, Zhang and Richtarik, "PAGE", ICML 2021.
    """
    at = recorded(at, options.steps, simplices)
    ids = replicate_ids(replicates)
    space, _ = _page(operator, x0, options, simplices, replacement, 0.0, at, iterates, ids, seed)
    return _traced("vr_halpern", ids, space, at)


def vr_solve(
    operator: FiniteSum,
    x0: Any,
    options: Page,
    *,
    tol: float,
    simplices: int = 0,
    replacement: bool = True,
    replicates: Any = 1,
    on_fail: str = "raise",
    seed: int,
) -> xr.Dataset:
    """Run `vr_halpern` until the residual is at most `tol`, for at most N steps.

    The residual is looked at after every step, and not counted as calls.

    Parameters
    ----------
    operator, x0, options, simplices, replacement, replicates, seed
        As for `vr_halpern`.
    tol : float
    on_fail : {"raise", "return"}
        What happens where a replicate takes all N steps first.

    Returns
    -------
    xarray.Dataset
        ``x`` (replicate, dim), ``residual``, ``steps``, ``calls``, ``blocks``, ``converged`` (replicate).

    Raises
    ------
    NotConverged
        Where a replicate did not reach `tol`, with the dataset as its `result`.
    """
    check_solve(tol, on_fail)
    ids, none = replicate_ids(replicates), np.empty(0, dtype=np.int64)
    space, last = _page(operator, x0, options, simplices, replacement, tol, none, False, ids, seed)
    return _solved("vr_halpern", ids, space, last, tol, on_fail)


def loopless_vr(
    operator: FiniteSum,
    x0: Any,
    options: Loopless,
    steps: int,
    *,
    simplices: int = 0,
    at: Any = None,
    iterates: bool = False,
    replicates: Any = 1,
    seed: int,
) -> xr.Dataset:
    """Loopless variance-reduced extragradient or forward-reflected-backward method.

    With a snapshot w, ``zbar = (1-p) z + p w`` and one index i a step:
    extragradient ``h = P(zbar - tau F(w))``, ``z+ = P(zbar - tau (F(w) + F_i(h) - F_i(w)))``;
    forward-reflected ``z+ = P(zbar - tau (F(w) + F_i(z) - F_i(w-)))``, w- the snapshot one step before. Then w
    becomes z+ with probability p. A step costs two calls, a new snapshot n.

    Parameters
    ----------
    operator, x0, simplices, at, iterates, replicates, seed
        As for `vr_halpern`; index and coin are read from stream `INNER`.
    options : lemmata.problems.halpern.Loopless
    steps : int
        Number of steps N.

    Returns
    -------
    xarray.Dataset
        As for `vr_halpern`.

    Raises
    ------
    TypeError, ShapeError, DomainError, NonFiniteError
        As for `vr_halpern`.

    References
    ----------
    Alacaoglu and Malitsky, COLT 2022 (extragradient). Alacaoglu, Malitsky and Cevher, Computational Optimization
    and Applications 80 (2021) (forward-reflected-backward).
    """
    at = recorded(at, steps, simplices)
    F, x0 = _start(operator, x0, simplices)
    ids = replicate_ids(replicates)
    space = _space(len(ids), at, x0, iterates)
    o = _Loopless(int(options.method), options.step, options.probability)
    bad = _loopless_rows(F, o, x0, simplices, at, steps, ids, np.uint64(check_seed(seed)), *space)
    raise_if_not_finite("F(z)", bad, at, space.trace[:, 0])
    return _traced("loopless_vr", ids, space, at)


def _inexact(
    operator: FiniteSum,
    x0: Any,
    options: Inexact,
    split: int,
    tol: float,
    max_inner: int,
    at: np.ndarray,
    iterates: bool,
    ids: np.ndarray,
    seed: int,
) -> tuple[_Space, np.ndarray]:
    F, x0 = _start(operator, x0, split)
    space, last = _space(len(ids), at, x0, iterates, traces=4), np.empty(len(ids))
    inner = _Loopless(int(options.inner.method), options.inner.step, options.inner.probability)
    o = _Inexact(
        options.eta,
        1 - options.weights,
        _writable(options.tolerances),
        options.counts,
        options.certified,
        options.reflected,
    )
    status = _inexact_rows(F, o, inner, x0, split, tol, max_inner, at, ids, np.uint64(check_seed(seed)), *space, last)
    raise_if_not_finite("F(v)", status, at, space.trace[:, 0])
    if (status == -2).any():
        b = int((status == -2).argmax())
        k = int(space.ends[b, 0])
        raise NotConverged(
            f"resolvent {k} of replicate {ids[b]} is not within its tolerance {options.tolerances[k]:.3g} after "
            f"{max_inner} inner steps. Raise max_inner, or check L and the step.",
            space.x,
        )
    return space, last


def inexact_halpern(
    operator: FiniteSum,
    x0: Any,
    options: Inexact,
    *,
    simplices: int = 0,
    max_inner: int = 1_000_000,
    at: Any = None,
    iterates: bool = False,
    replicates: Any = 1,
    seed: int,
) -> xr.Dataset:
    """Halpern's iteration on an approximate resolvent (Algorithm 2).

    ``u_{k+1} = lam_k u_0 + (1 - lam_k) (2 v_k - u_k)``, or with v_k alone where `options.reflected` is off;
    v_k approximates ``J u_k = (I + eta (F + G))^{-1} u_k`` by a loopless variance-reduced method. It is
    accepted at a snapshot w where ``||w - u_k + eta (F(w) + g)|| <= tolerance``, which bounds ``||w - J u_k||`` since
    that operator is 1-strongly monotone, and which costs nothing: F(w) is known and g comes from the projection. The
    next solve starts from there, where F is known.

    Parameters
    ----------
    operator, x0, simplices, iterates, replicates, seed
        As for `vr_halpern`.
    options : lemmata.problems.halpern.Inexact
        With `counts`, each solve starts from u_k and returns its last iterate after that many steps.
    max_inner : int
        Largest number of inner steps of one solve.
    at : array_like of int, optional
        Which of the resolvents k = 0..N-1 to record; every one by default.

    Returns
    -------
    xarray.Dataset
        ``residual`` (replicate, step): ``||F(v_k) + g||``; ``natural_residual`` at v_k; ``displacement``: ``||u_k -
        v_k||``; ``certificate``: the bound on ``||v_k - J u_k||``; ``calls`` spent to find v_k; ``x``: the last v;
        ``blocks``; ``iterate`` where asked for: u_k.

    Raises
    ------
    TypeError, ShapeError, DomainError, NonFiniteError
        As for `vr_halpern`.
    NotConverged
        Where a resolvent is not within its tolerance after `max_inner` steps.

    References
    ----------
    Cai, Alacaoglu and Diakonikolas, ICLR 2024, Algorithms 2 and 3.
    """
    at = resolvents(at, options.steps)
    ids = replicate_ids(replicates)
    space, _ = _inexact(operator, x0, options, simplices, 0.0, max_inner, at, iterates, ids, seed)
    names = ("residual", "natural_residual", "displacement", "certificate")
    traces = {name: space.trace[:, i] for i, name in enumerate(names)} | {"calls": space.calls}
    return sampled("inexact_halpern", "sims", ids, space.x, space.ends[:, 2], traces, at, space.iterates)


def inexact_solve(
    operator: FiniteSum,
    x0: Any,
    options: Inexact,
    *,
    tol: float,
    simplices: int = 0,
    max_inner: int = 1_000_000,
    replicates: Any = 1,
    on_fail: str = "raise",
    seed: int,
) -> xr.Dataset:
    """Run `inexact_halpern` until ``||F(v_k) + g|| <= tol``, for at most N resolvents.

    Parameters, returns and errors as for `vr_solve` and `inexact_halpern`; ``x`` is v_k.
    """
    check_solve(tol, on_fail)
    ids, none = replicate_ids(replicates), np.empty(0, dtype=np.int64)
    space, last = _inexact(operator, x0, options, simplices, tol, max_inner, none, False, ids, seed)
    return _solved("inexact_halpern", ids, space, last, tol, on_fail)
