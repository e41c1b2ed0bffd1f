"""Entropic optimal transport: one entry point, five methods, and the trajectories behind them.

Log-domain Sinkhorn, its over-relaxed, averaged and exp-domain forms, dense Newton and Sinkhorn-Newton-Sparse. All work
on the reduced cost ``C_ij - u_i - v_j >= 0`` with a zero in every row and column, so that a large common part of the
costs loses no digits, and on the dual

    D(f, g) = <r, f> + <c, g> - eps sum_ij P_ij,     P_ij = exp((f_i + g_j - C_ij)/eps),

whose maximum is the value of the primal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.sinkhorn_newton import (
    BUDGET,
    COOLED,
    HOTTEST,
    INCREASE,
    LARGEST_BUDGET,
    LARGEST_MOVE,
    LOOSE,
    PATIENCE,
    RESOLVED,
    SHIFT,
    OTResult,
    TransportProblem,
    check_hall,
    check_options,
    check_symmetric,
    check_trajectory,
    raise_unless_converged,
    real_array,
    record,
)
from lemmata.results import dataset
from lemmata.sims.sinkhorn_newton.directions import (
    Direction,
    Sparse,
    dense_direction,
    sparse_direction,
    sparse_plan,
    top_plan,
)
from lemmata.sims.sinkhorn_newton.sweeps import HUGE, plan, row_log_sums, scaled_steps, sinkhorn_steps, update_columns

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["METHODS", "divergence", "newton", "sinkhorn", "solve"]

Method = Literal["sns", "log", "stabilised", "over-relaxed", "averaged", "newton"]
METHODS: tuple[Method, ...] = ("sns", "log", "stabilised", "over-relaxed", "averaged", "newton")

#: Sinkhorn steps between two looks at the progress.
CHUNK = 100
#: Largest logarithm of a scaling in the exp domain.
LARGEST_LOG = 50.0


# ------------------------------------------------------------------------------------------- the state


class _Reduced:
    """The rows and columns with mass, on the cost less its row and column minima."""

    def __init__(self, problem: TransportProblem) -> None:
        self.rows, self.columns = np.flatnonzero(problem.r), np.flatnonzero(problem.c)
        whole = self.rows.size == problem.r.size and self.columns.size == problem.c.size
        C = problem.C if whole else problem.C[np.ix_(self.rows, self.columns)]
        self.r, self.c = problem.r[self.rows], problem.c[self.columns]
        self.u = C.min(axis=1)
        self.C = C - self.u[:, None]
        self.v = self.C.min(axis=0)
        self.C -= self.v
        self.log_r, self.log_c = np.log(self.r), np.log(self.c)
        self.offset = float(self.r @ self.u + self.c @ self.v)


class _Run:
    """Potentials on the reduced cost, kept at a point where rows are exact, with the column sums S there."""

    def __init__(self, problem: TransportProblem, g: np.ndarray | None) -> None:
        self.problem, self.reduced = problem, _Reduced(problem)
        n, m = self.reduced.C.shape
        self.eps, self.mass = problem.eps, float(self.reduced.r.sum())
        self.g = np.zeros(m) if g is None else g[self.reduced.columns] - self.reduced.v
        self.f = np.zeros(n)
        self.S, self.change = np.empty(m), np.empty(n)
        self.delta = self.dual = np.inf
        self.sinkhorn_steps = self.newton_steps = self.cg_steps = 0
        self.stages = 1
        self.log: list[tuple[Any, ...]] = []
        self.work: tuple[np.ndarray, np.ndarray] | None = None
        self.start = time.perf_counter()

    def record(self, kind: str, delta: float, kept: int = 0, cg_steps: int = 0) -> None:
        self.log.append((kind, self.eps, delta, kept, cg_steps, time.perf_counter() - self.start))

    def sweep(self, steps: int, tol: float, omega: float = 1.0) -> None:
        """A row update and up to `steps` Sinkhorn steps behind it."""
        p, deltas, duals = self.reduced, np.empty(steps + 1), np.empty(steps + 1)
        begin = time.perf_counter() - self.start
        cost = (p.C, self.f, self.g, p.r, p.c, p.log_r, p.log_c, self.eps)
        done = sinkhorn_steps(*cost, omega, steps, tol, self.S, self.change, deltas, duals) - 1
        self.delta, self.dual = float(deltas[done]), float(duals[done])
        self.log_steps(deltas[:done], begin)

    def log_steps(self, deltas: np.ndarray, begin: float) -> None:
        """Record Sinkhorn steps, delta before each; the time since `begin` is theirs in equal parts."""
        self.sinkhorn_steps += len(deltas)
        seconds = np.linspace(begin, time.perf_counter() - self.start, len(deltas) + 1)[1:]
        self.log += [("sinkhorn", self.eps, float(d), 0, 0, s) for d, s in zip(deltas, seconds, strict=True)]

    def plan(self) -> np.ndarray:
        P = np.empty(self.reduced.C.shape)
        plan(self.reduced.C, self.f, self.g, self.eps, P)
        return P

    def result(self, method: str, status: str) -> OTResult:
        """Potentials of the whole problem, with the canonical gauge and the c-transform where there is no mass."""
        problem, p = self.problem, self.reduced
        self.record("end", self.delta)
        n, m = problem.shape
        f, g = np.full(n, np.nan), np.full(m, np.nan)
        f[p.rows], g[p.columns] = self.f + p.u, self.g + p.v
        shift = (p.c @ g[p.columns] - p.r @ f[p.rows]) / (2 * p.r.sum())
        f, g = f + shift, g - shift
        f_out, g_out = np.isnan(f), np.isnan(g)
        f[f_out] = (problem.C[np.ix_(f_out, p.columns)] - g[p.columns]).min(axis=1)
        g[g_out] = (problem.C[np.ix_(p.rows, g_out)] - f[p.rows, None]).min(axis=0)
        return OTResult(
            problem.C,
            problem.r,
            problem.c,
            problem.eps,
            method,
            f,
            g,
            self.delta,
            status,
            self.sinkhorn_steps,
            self.newton_steps,
            self.cg_steps,
            self.stages,
            p.C if p.C.shape == problem.shape else _placed(p.C, np.inf, (n, m), p.rows, p.columns),
            (_placed(p.u, 0.0, n, p.rows), _placed(p.v, 0.0, m, p.columns)),
            (_placed(self.f, 0.0, n, p.rows), _placed(self.g, 0.0, m, p.columns)),
            partial(self.trace, method),
        )

    def trace(self, method: str) -> xr.Dataset:
        columns = [np.array(column) for column in zip(*self.log, strict=True)]
        return record(columns, ("step",), method=method, backend="sims", eps_final=self.problem.eps)


def _placed(values: np.ndarray, rest: float, shape: Any, *index: np.ndarray) -> np.ndarray:
    """An array with the values at the index and something else elsewhere."""
    whole = np.full(shape, rest)
    whole[np.ix_(*index)] = values
    return whole


# ----------------------------------------------------------------------------------------- the methods


def _log_domain(run: _Run, tol: float, max_steps: int) -> str:
    run.sweep(0, tol)
    while run.delta > tol and run.sinkhorn_steps < max_steps:
        before = run.delta
        run.sweep(min(CHUNK, max_steps - run.sinkhorn_steps), tol)
        if run.delta > max(tol, 0.9999 * before):
            return "stalled"
    return "converged" if run.delta <= tol else "max_steps"


def _over_relaxed(run: _Run, tol: float, max_steps: int, omega: float | None) -> str:
    """Sinkhorn with the relaxation that is best for the rate seen so far; plain steps again where D falls.

    With relaxation w and rate rho, ``sigma^2 = (rho + w - 1)^2 / (w^2 rho)`` while w is below the best one,
    ``2/(1 + sqrt(1 - sigma^2))``; above it the rate is w - 1 and tells nothing.
    """
    chunk, w = 10, 1.0
    run.sweep(0, tol)
    mark = run.delta
    while run.delta > tol and run.sinkhorn_steps < max_steps:
        before, dual = run.delta, run.dual
        run.sweep(min(chunk, max_steps - run.sinkhorn_steps), tol, w)
        rate = (run.delta / before) ** (1 / chunk)
        fell = run.dual < dual - 1e-12 * (abs(dual) + run.eps)
        if w > 1 and (fell or rate >= 1):
            w = 1.0
        elif run.delta < 0.1 * run.mass and rate > 1.05 * (w - 1):
            sigma_squared = min((rate + w - 1) ** 2 / (w**2 * rate), 1 - 1e-6)
            w = omega if omega is not None else max(w, 2 / (1 + np.sqrt(1 - sigma_squared)))
        if run.sinkhorn_steps % CHUNK == 0:
            if run.delta > max(tol, 0.9999 * mark):
                return "stalled"
            mark = run.delta
    run.sweep(0, tol)  # the last word is a plain row update, so that rows are exact
    return "converged" if run.delta <= tol else "max_steps"


def _averaged(run: _Run, tol: float, max_steps: int) -> str:
    """``f <- (f + T f)/2`` with g = f, for a symmetric problem."""
    p = run.reduced
    f = run.g + p.v
    logs = np.empty(f.size)
    for _ in range(max_steps):
        row_log_sums(p.C, f - p.u, f - p.v, run.eps, logs)
        delta = 2 * float(np.abs(np.exp(logs) - p.r).sum())
        if delta <= tol:
            break
        f += 0.5 * run.eps * (p.log_r - logs)
        run.record("sinkhorn", delta)
        run.sinkhorn_steps += 1
    run.f[:], run.g[:] = f - p.u, f - p.v
    run.sweep(0, tol)
    return "converged" if run.delta <= tol else "max_steps"


def _stabilised(run: _Run, tol: float, max_steps: int) -> str:
    """Products with a kernel, whose scalings are absorbed before they leave the range of a double."""
    p = run.reduced
    run.sweep(min(1, max_steps), tol)
    while run.delta > tol and run.sinkhorn_steps < max_steps:
        before, begin = run.delta, time.perf_counter() - run.start
        deltas = np.empty(min(CHUNK, max_steps - run.sinkhorn_steps))
        u, v = np.ones(p.r.size), np.ones(p.c.size)
        rows = scaled_steps(run.plan(), u, v, p.r, p.c, LARGEST_LOG, len(deltas), tol, deltas)
        if np.isfinite(u).all() and np.isfinite(v).all() and u.all() and v.all():
            run.f += run.eps * np.log(u)
            run.g += run.eps * np.log(v)
            taken = rows - bool(deltas[rows - 1] <= tol)  # the last row update ends it
            run.log_steps(deltas[:taken], begin)
            run.sweep(0 if taken else 1, tol)  # the two domains may differ in the rounding of delta <= tol: go on
        else:
            run.sweep(rows, tol)  # nothing is left of some row or column of the kernel: the log domain does better
        if rows == CHUNK and run.delta > max(tol, 0.9999 * before):
            return "stalled"
    return "converged" if run.delta <= tol else "max_steps"


def _newton(run: _Run, direction: Callable[[_Run, float], Direction], tol: float, max_steps: int) -> None:
    """Newton steps on the semi-dual until delta meets tol or falls no more.

    Each step is followed by a row update, so that the run stays where rows are exact; `direction` is told by how
    much to tighten its budget after a failure.
    """
    p, tight, failures = run.reduced, 1.0, 0
    best, idle = run.delta, 0
    while run.delta > tol and run.newton_steps < max_steps:
        if idle == PATIENCE or failures == 2:
            return
        if run.S.min() < 1 / HUGE:  # a column that the plan has lost: the system has no scale for it
            run.sweep(1, tol)
            idle += 1
            continue
        f, g, delta = run.f.copy(), run.g.copy(), run.delta
        step = direction(run, tight)
        slope = (p.c - run.S) @ step.b
        size = LARGEST_MOVE / max(np.abs(step.b).max(), LARGEST_MOVE)
        for _ in range(20):
            np.add(f, size * run.eps * step.a, out=run.f)
            np.add(g, size * run.eps * step.b, out=run.g)
            run.sweep(0, tol)
            gain = p.r @ (size * step.a + run.change / run.eps) + size * (p.c @ step.b)
            if gain >= INCREASE * size * slope if delta > RESOLVED * run.mass else run.delta < delta:
                break
            size /= 2
        else:
            run.f[:], run.g[:] = f, g
            run.sweep(1, tol)
            tight, failures = tight / 10, failures + 1
            continue
        run.newton_steps += 1
        run.cg_steps += step.cg_steps
        run.record("newton", delta, step.kept, step.cg_steps)
        best, idle = (run.delta, 0) if run.delta < best / 2 else (best, idle + 1)


def _dense(run: _Run, tight: float) -> Direction:
    return dense_direction(run.plan(), run.reduced.r, run.reduced.c, run.S)


def _budgeted(run: _Run, tight: float) -> Direction:
    p = run.reduced
    if run.work is None:
        # of these only the pages that hold kept entries are ever touched
        run.work = np.empty(p.C.shape), np.empty(p.C.shape, dtype=np.int32)
    nu = tight * min(LARGEST_BUDGET, BUDGET * run.delta / run.mass)
    return _sparse(run, sparse_plan(p.C, run.f, run.g, p.r, p.c, run.eps, nu, run.work))


def _fixed_density(run: _Run, tight: float, density: float) -> Direction:
    return _sparse(run, top_plan(run.plan(), density))


def _sparse(run: _Run, P: Sparse) -> Direction:
    error = run.delta / run.mass
    tol = min(1e-2, 0.1 * error**0.5)
    return sparse_direction(P, run.reduced.r, run.reduced.c, run.S, shift=SHIFT * error, tol=tol)


def _second_order(
    run: _Run,
    direction: Callable[[_Run, float], Direction],
    tol: float,
    max_steps: int,
    warmup: int,
    anneal: bool | None,
    cool: bool,
) -> str:
    """Sinkhorn steps, then Newton steps: at eps itself, and down a ladder of temperatures where that fails."""
    g = run.g.copy()
    hottest = HOTTEST * float(run.reduced.C[np.isfinite(run.reduced.C)].max())
    rungs = max(math.ceil(math.log2(hottest / run.eps)), 0) if hottest > 0 else 0
    ladders = [0] if anneal is False or not rungs else [rungs] if anneal else [0, rungs]
    cooled = int(COOLED * warmup) if cool and hottest > run.eps else 0
    for ladder in ladders:
        run.g[:] = g
        run.stages = ladder + 1
        for k in range(ladder, -1, -1):
            run.eps = run.problem.eps * 2.0**k
            target = max(tol, LOOSE * run.mass) if k else tol
            if not ladder:
                _cool(run, hottest, cooled)
            run.sweep(warmup if ladder else warmup - cooled, target)
            _newton(run, direction, target, run.newton_steps + max_steps)
        if run.delta <= tol:
            return "converged"
    return "max_steps" if run.newton_steps >= max_steps else "stalled"


def _cool(run: _Run, hottest: float, steps: int) -> None:
    """Sinkhorn steps at temperatures that fall from `hottest` towards eps, so that the potentials travel far first."""
    p, eps = run.reduced, run.eps
    for k in range(steps):
        run.eps = hottest * (eps / hottest) ** (k / steps)
        run.sweep(0, 0.0)
        update_columns(p.C, run.f, run.g, run.S, p.log_c, run.eps, 1.0)
        run.record("sinkhorn", run.delta)
        run.sinkhorn_steps += 1
    run.eps = eps


# ---------------------------------------------------------------------------------------------- public


def solve(
    C: Any,
    r: Any,
    c: Any,
    eps: float,
    *,
    method: Method = "sns",
    tol: float = 1e-9,
    max_steps: int | None = None,
    warmup: int = 20,
    density: float | None = None,
    anneal: bool | None = None,
    omega: float | None = None,
    g: Any = None,
    normalize: bool = False,
    allow_forbidden: bool = False,
    on_fail: Literal["raise", "return"] = "raise",
) -> OTResult:
    """Solve ``min <C, P> + eps sum P (log P - 1)`` over P >= 0 with row sums r and column sums c.

    Parameters
    ----------
    C : array_like, (n, m)
        Cost. Computations are in float64, whatever its type.
    r, c : array_like, (n,) and (m,)
        Masses >= 0 of equal total. Rows and columns without mass are left out and put back with zeros.
    eps : float
        Temperature, in the unit of the cost. Tang et al. 2024 write ``eta = 1/eps``.
    method : str
        - ``"sns"``: Sinkhorn-Newton-Sparse, `warmup` Sinkhorn steps and then Newton steps with a sparse Hessian;
        - ``"log"``: Sinkhorn in the log domain;
        - ``"over-relaxed"``: the same, f and g moved `omega` times as far once the rate is known;
        - ``"averaged"``: ``f <- (f + T f)/2``, for C symmetric and r = c;
        - ``"stabilised"``: Sinkhorn by products with a kernel, rebuilt when its scalings grow;
        - ``"newton"``: like "sns" with the whole Hessian and a Cholesky factorisation.
    tol : float
        Bound on ``delta = |P 1 - r|_1 + |P^T 1 - c|_1``, relative to the total mass.
    max_steps : int, optional
        Limit of Sinkhorn steps (100,000 by default), or of Newton steps at a temperature (60 by default).
    warmup : int
        Sinkhorn steps before the first Newton step at a temperature. Without `g` and `density`, three quarters of the
        first ones are taken at temperatures that fall to eps; `density` is the rule of the paper, all at eps.
    density : float, optional
        For "sns": keep the ``ceil(density n m)`` largest entries of P in every Newton step, the rule of the paper.
        By default a budget decides: each row and column may lose a share ``min(.05, delta/10)`` of its mass.
        With a fixed density the convergence is linear.
    anneal : bool, optional
        For "sns" and "newton": True solves down a ladder of temperatures, each half the one before, False never
        does, None does where Newton steps at eps itself come to a halt.
    omega : float, optional
        Over-relaxation in [1, 2); by default the best one for the rate seen.
    g : array_like, (m,), optional
        Where to start, in the unit of the cost; f follows from it. By default the column minima of the cost, after
        its row minima are taken off.
    normalize : bool
        Divide r and c each by its sum.
    allow_forbidden : bool
        Whether C may hold +inf, for pairs that carry no mass.
    on_fail : {"raise", "return"}
        What to do where `tol` is not met.

    Returns
    -------
    OTResult

    Raises
    ------
    TypeError, ShapeError, NonFiniteError
        For arrays of the wrong type or shape, or with NaN or infinity.
    DomainError
        For eps <= 0, a negative mass, unequal totals, a bad option, or forbidden pairs that leave no plan.
    NotConverged
        Where `tol` is not met; `result` is attached.

    Notes
    -----
    Memory: the cost twice; "stabilised", "newton" and a fixed density keep a plan too. Time of a Sinkhorn step: n m
    exponentials, in parallel over rows. Newton steps cost one or two times that and sparse linear algebra.

    Newton steps from a warm-up at eps alone are many times longer than the 10 eps that one may move where the
    potentials have far to go; they then gain little. The cooled warm-up is what helps: over the 55 pairs of digits at
    eta = 1200 it takes the median of the Newton steps from 11 to 6, the most from 15 to 8, and no pair has to anneal.

    References
    ----------
    Tang, Shavlovsky, Rahmanian, Tardini, Thekumparampil, Xiao and Ying 2024; Schmitzer 2019 for the stabilised form;
    Thibault, Chizat, Dossal and Papadakis 2021 for over-relaxation.
    """
    tol, max_steps = check_options(
        METHODS, method=method, tol=tol, max_steps=max_steps, warmup=warmup, density=density, on_fail=on_fail
    )
    if omega is not None and not 1 <= omega < 2:
        raise DomainError(f"omega must lie in [1, 2), got {omega!r}")
    problem = TransportProblem(C, r, c, eps, normalize=normalize, allow_forbidden=allow_forbidden)
    if method == "averaged":
        check_symmetric(problem.C, problem.r, problem.c)
    run = _Run(problem, None if g is None else _potential("g", g, problem.c.size))
    tol *= run.mass
    if method == "log":
        status = _log_domain(run, tol, max_steps)
    elif method == "over-relaxed":
        status = _over_relaxed(run, tol, max_steps, omega)
    elif method == "averaged":
        status = _averaged(run, tol, max_steps)
    elif method == "stabilised":
        status = _stabilised(run, tol, max_steps)
    else:
        direction = _dense if method == "newton" else _budgeted
        if method == "sns" and density is not None:
            direction = partial(_fixed_density, density=density)
        status = _second_order(run, direction, tol, max_steps, warmup, anneal, g is None and density is None)
    result = run.result(method, status)
    if status != "converged" and allow_forbidden:
        check_hall(problem.C, problem.r, problem.c, result.f)
    if on_fail == "raise":
        raise_unless_converged(result, tol)
    return result


def _potential(name: str, value: Any, size: int) -> np.ndarray:
    potential = real_array(name, value, 1)
    if potential.size != size:
        raise ShapeError(f"{name} must have {size} entries, got {potential.size}")
    return potential


def divergence(C: Any, C_rr: Any, C_cc: Any, r: Any, c: Any, eps: float, *, tol: float = 1e-9) -> float:
    """Sinkhorn divergence ``OT(r, c) - OT(r, r)/2 - OT(c, c)/2``.

    Parameters
    ----------
    C, C_rr, C_cc : array_like, (n, m), (n, n), (m, m)
        Cost between the two supports, and within each; the last two symmetric.
    r, c : array_like, (n,) and (m,)
    eps : float
    tol : float
        As for `solve`; the divergence is known to about ``eps tol^2``.

    Returns
    -------
    float
        The same in either normalisation of the entropy. Nonnegative where ``exp(-cost/eps)`` is a positive definite
        kernel, as for |x - y| and |x - y|^2.

    References
    ----------
    Feydy, Séjourné, Vialard, Amari, Trouvé and Peyré 2019, Theorem 1.
    """
    across = solve(C, r, c, eps, tol=tol)
    within = [solve(D, mass, mass, eps, method="averaged", tol=tol) for D, mass in ((C_rr, r), (C_cc, c))]
    return across.dual - 0.5 * (within[0].dual + within[1].dual)


def sinkhorn(
    C: Any, r: Any, c: Any, eps: float, steps: int, *, omega: float = 1.0, f: Any = None, g: Any = None
) -> xr.Dataset:
    """The potentials along Sinkhorn's iteration, after each half step.

    Half step 1, 3, ... updates f, half step 2, 4, ... updates g.

    Parameters
    ----------
    C, r, c, eps
        As for `solve`; masses positive.
    steps : int
        Full steps.
    omega : float
        Over-relaxation in (0, 2).
    f, g : array_like, (n,) and (m,), optional
        Where to start; zero by default. Without over-relaxation f has no influence.

    Returns
    -------
    xarray.Dataset
        ``f`` (half_step, row), ``g`` (half_step, column); ``delta`` and ``dual`` (half_step).
    """
    check_trajectory(steps, omega=omega)
    run = _trajectory(C, r, c, eps, np.zeros(np.size(c)) if g is None else g)
    p = run.reduced
    run.f = (0.0 if f is None else _potential("f", f, p.r.size)) - p.u
    points = [(run.f.copy(), run.g.copy())]
    for _ in range(steps):
        run.sweep(0, 0.0, omega)
        points.append((run.f.copy(), run.g.copy()))
        update_columns(p.C, run.f, run.g, run.S, p.log_c, run.eps, omega)
        points.append((run.f.copy(), run.g.copy()))
    return _points(run, points, "half_step", "sinkhorn")


def newton(
    C: Any,
    r: Any,
    c: Any,
    eps: float,
    f: Any,
    g: Any,
    steps: int,
    *,
    density: float | None = None,
    diagonal: Literal["exact", "kept"] = "exact",
    damped: bool = False,
) -> xr.Dataset:
    """The potentials along Newton's iteration on D, both moved at once, nothing in between.

    The step (eps a, eps b) solves ``[[diag(P1), S], [S^T, diag(P^T 1)]] (a, b) = (r - P1, c - P^T 1)`` in the sense of
    least squares and least norm.

    Parameters
    ----------
    C, r, c, eps
        As for `solve`; masses positive.
    f, g : array_like, (n,) and (m,)
        Where to start.
    steps : int
    density : float, optional
        S holds the ``ceil(density n m)`` largest entries of P and zeros; by default all.
    diagonal : {"exact", "kept"}
        Row and column sums of P, or of S, as when the Hessian is thresholded as a whole.
    damped : bool
        Step ``log(1 + d)/d`` with ``d = max |a_i + b_j|``, which never decreases D, instead of 1.

    Returns
    -------
    xarray.Dataset
        ``f`` (step, row), ``g`` (step, column); ``delta`` and ``dual`` (step).

    References
    ----------
    Sun and Tran-Dinh 2019 for the damped step of a generalised self-concordant function of order 2.
    """
    if diagonal not in ("exact", "kept"):
        raise DomainError(f"diagonal must be 'exact' or 'kept', got {diagonal!r}")
    check_trajectory(steps, density=density)
    run = _trajectory(C, r, c, eps, g)
    p = run.reduced
    run.f[:] = _potential("f", f, p.r.size) - p.u
    points = [(run.f.copy(), run.g.copy())]
    for _ in range(steps):
        P = run.plan()
        S = P if density is None else np.where(np.sort(P, axis=None)[-math.ceil(density * P.size)] <= P, P, 0.0)
        D = P if diagonal == "exact" else S
        M = np.block([[np.diag(D.sum(1)), S], [S.T, np.diag(D.sum(0))]])
        right = np.concatenate([p.r - P.sum(1), p.c - P.sum(0)])
        step = np.linalg.lstsq(M, right, rcond=None)[0]
        a, b = step[: p.r.size], step[p.r.size :]
        move = np.abs(a[:, None] + b).max()
        size = np.log1p(move) / move if damped and move > 0 else 1.0
        run.f += size * eps * a
        run.g += size * eps * b
        points.append((run.f.copy(), run.g.copy()))
    return _points(run, points, "step", "newton")


def _trajectory(C: Any, r: Any, c: Any, eps: float, g: Any) -> _Run:
    problem = TransportProblem(C, r, c, eps)
    if not (problem.r.all() and problem.c.all()):
        raise DomainError("a trajectory needs positive masses: leave the rows and columns without mass out")
    return _Run(problem, _potential("g", g, problem.c.size))


def _points(run: _Run, points: list[tuple[np.ndarray, np.ndarray]], axis: str, method: str) -> xr.Dataset:
    p = run.reduced
    delta, dual = np.empty(len(points)), np.empty(len(points))
    for k, (run.f, run.g) in enumerate(points):
        P = run.plan()
        delta[k] = np.abs(P.sum(1) - p.r).sum() + np.abs(P.sum(0) - p.c).sum()
        dual[k] = p.r @ run.f + p.c @ run.g - run.eps * P.sum() + p.offset
    return dataset(
        {
            "f": ((axis, "row"), np.array([f for f, _ in points]) + p.u, "unit of the cost"),
            "g": ((axis, "column"), np.array([g for _, g in points]) + p.v, "unit of the cost"),
            "delta": ((axis,), delta, "L1 marginal error"),
            "dual": ((axis,), dual, "unit of the cost"),
        },
        {axis: np.arange(len(points))},
        method=method,
        backend="sims",
        eps=run.eps,
    )
