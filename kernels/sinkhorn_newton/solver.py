"""Entropic optimal transport for a batch: log-domain Sinkhorn, dense Newton and Sinkhorn-Newton-Sparse.

The same iterations as `lemmata.sims.sinkhorn_newton`, on the reduced cost and the dual

    D(f, g) = <r, f> + <c, g> - eps sum_ij P_ij,     P_ij = exp((f_i + g_j - C_ij)/eps).

Every item has its own state. Sinkhorn and conjugate-gradient steps run on the device and an item that is done stays
put; the host looks at them every `check_every` steps only. A Newton step is looked at once, and once more for each
time that its length is halved.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from lemmata.errors import DomainError
from lemmata.kernels.sinkhorn_newton.batch import Batch, Data, check, check_float32, check_potential, reduce
from lemmata.kernels.sinkhorn_newton.directions import Direction, budgeted, dense_direction, sparse_direction, top
from lemmata.kernels.sinkhorn_newton.plans import Potentials
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
    check_hall,
    check_options,
    check_symmetric,
    raise_unless_converged,
    record,
)

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["METHODS", "divergence", "solve"]

Method = Literal["sns", "log", "averaged", "newton"]
METHODS: tuple[Method, ...] = ("sns", "log", "averaged", "newton")

#: Sinkhorn steps between two comparisons of delta, for an item that has stalled.
WINDOW = 100


# ------------------------------------------------------------------------------------------- the state


class _Run:
    """Potentials of a batch, kept at a point where rows are exact, with the column sums S there."""

    STATE = ("f", "g", "S", "delta", "eps", "sinkhorn_steps", "newton_steps", "cg_steps")

    def __init__(self, batch: Batch, eps: Tensor, g: Tensor, check_every: int) -> None:
        self.batch, self.eps, self.g, self.check_every = batch, eps, g, check_every
        self.f, self.S = torch.zeros_like(batch.r), torch.zeros_like(g)
        self.delta = torch.full_like(eps, torch.inf)
        counts = torch.zeros(3, len(eps), dtype=torch.int64, device=g.device)
        self.sinkhorn_steps, self.newton_steps, self.cg_steps = counts
        self.items = torch.arange(len(eps), device=g.device)
        self.log: list[tuple[Any, ...]] = []
        self.start = time.perf_counter()

    def take(self, items: Tensor) -> _Run:
        """A run of some of the items; `put` brings it back."""
        if len(items) == len(self.items):
            return self
        part = object.__new__(_Run)
        for name in self.STATE:
            setattr(part, name, getattr(self, name)[items])
        part.batch, part.items = self.batch.take(items), self.items[items]
        part.check_every, part.log, part.start = self.check_every, self.log, self.start
        return part

    def put(self, items: Tensor, part: _Run) -> None:
        """What became of the items that `take` gave."""
        if part is not self:
            for name in self.STATE:
                setattr(self, name, getattr(self, name).index_copy(0, items, getattr(part, name)))

    def plan(self) -> Tensor:
        return self.batch.plan(self.f, self.g, self.eps)

    def record(self, kind: str, deltas: Tensor, active: Tensor, kept: Any = 0, cg_steps: Any = 0) -> None:
        """Steps [k, B] of the items where `active` [k, B]; the time since the last record is theirs in equal parts."""
        now = time.perf_counter() - self.start
        self.log.append((kind, self.items, self.eps, deltas, active, kept, cg_steps, now))

    def sweep(self, steps: int, tol: Tensor, *, watch: bool = False) -> Tensor:
        """A row update and up to `steps` Sinkhorn steps behind it, of the items that have not met tol.

        Returns which items stalled: with `watch`, those whose delta fell by less than 1e-4 of it in `WINDOW` steps.
        """
        batch, eps = self.batch, self.eps
        self.f, self.S = batch.update_rows(self.g, eps)
        self.delta = mark = batch.delta(self.S)
        active, stalled = self.delta > tol, torch.zeros_like(tol, dtype=torch.bool)
        deltas: list[Tensor] = []
        moved: list[Tensor] = []
        for k in range(steps):
            if k % self.check_every == 0:
                self._flush(deltas, moved)
                if not bool(active.any()):
                    break
            deltas.append(self.delta)
            moved.append(active)
            g = batch.update_columns(self.g, self.S, eps)
            f, S = batch.update_rows(g, eps)
            self.f, self.g, self.S = (
                torch.where(active[:, None], new, old) for new, old in ((f, self.f), (g, self.g), (S, self.S))
            )
            self.delta = torch.where(active, batch.delta(S), self.delta)
            self.sinkhorn_steps = self.sinkhorn_steps + active
            active = active & (self.delta > tol)
            if watch and (k + 1) % WINDOW == 0:
                stalled = stalled | (active & (self.delta > 0.9999 * mark))
                active, mark = active & ~stalled, self.delta
        self._flush(deltas, moved)
        return stalled

    def _flush(self, deltas: list[Tensor], moved: list[Tensor]) -> None:
        if deltas:
            self.record("sinkhorn", torch.stack(deltas), torch.stack(moved))
            deltas.clear()
            moved.clear()


# ----------------------------------------------------------------------------------------- the methods


def _averaged(run: _Run, tol: Tensor, max_steps: int) -> Tensor:
    """``f <- (f + T f)/2`` with g = f, for symmetric problems."""
    p, eps = run.batch, run.eps[:, None]
    f = run.g + p.v
    active = torch.ones_like(tol, dtype=torch.bool)
    for k in range(max_steps):
        target, _ = p.update_rows(f - p.v, run.eps)
        change = (target - (f - p.u)) / eps  # log r less the logarithm of the row sums at (f, f)
        delta = 2 * (p.r * (torch.exp(-change) - 1)).abs().sum(-1)
        active = active & (delta > tol)
        if k % run.check_every == 0 and not bool(active.any()):
            break
        run.record("sinkhorn", delta[None], active[None])
        run.sinkhorn_steps = run.sinkhorn_steps + active
        f = torch.where(active[:, None], f + 0.5 * eps * change, f)
    run.g = f - p.v
    run.sweep(0, tol)
    return torch.zeros_like(active)


def _newton(run: _Run, direction: Callable[[_Run, Tensor], Direction], tol: Tensor, max_steps: Tensor) -> None:
    """Newton steps on the semi-dual until delta meets tol or falls no more, item by item.

    Each step is followed by a row update, so that the run stays where rows are exact; `direction` is told by how
    much to tighten its budget after failures. Only items that still move are computed.
    """
    tight, best = torch.ones_like(tol), run.delta
    failures, idle = torch.zeros(2, len(tol), dtype=torch.int64, device=tol.device)
    least = torch.finfo(tol.dtype).tiny * 1e10
    while True:
        active = (run.delta > tol) & (run.newton_steps < max_steps) & (idle < PATIENCE) & (failures < 2)
        # a column that the plan has lost: the system has no scale for it
        lost = (torch.where(run.batch.c > 0, run.S, torch.inf).amin(-1) < least) & active
        look = torch.stack([lost, active & ~lost]).cpu()
        if not bool(look.any()):
            return
        for which, is_lost in zip(look, (True, False), strict=True):
            items = torch.nonzero(which)[:, 0].to(tol.device)
            if not len(items):
                continue
            part = run.take(items)
            if is_lost:
                part.sweep(1, tol[items])
                idle[items] += 1
            else:
                rejected = _newton_step(part, direction(part, tight[items]), tol[items])
                fell = ~rejected & (part.delta < best[items] / 2)
                best = best.index_copy(0, items, torch.where(fell, part.delta, best[items]))
                idle[items] = torch.where(fell, 0, idle[items] + ~rejected)
                failures[items] += rejected
                tight[items] = torch.where(rejected, tight[items] / 10, tight[items])
            run.put(items, part)


def _newton_step(run: _Run, step: Direction, tol: Tensor) -> Tensor:
    """One step, of the longest length of 1, 1/2, 1/4, ... that raises the dual enough; where there is none, a Sinkhorn
    step. Returns where there was none."""
    p, eps = run.batch, run.eps[:, None]
    f0, g0, delta = run.f, run.g, run.delta
    slope = ((p.c - run.S) * step.b).sum(-1)
    size = LARGEST_MOVE / step.b.abs().amax(-1).clamp_min(LARGEST_MOVE)
    pending = torch.ones_like(delta, dtype=torch.bool)
    for _ in range(20):
        g = g0 + size[:, None] * eps * step.b
        f, S = p.update_rows(g, run.eps)
        gain = (p.r * (f - f0) / eps).sum(-1) + size * (p.c * step.b).sum(-1)
        error = p.delta(S)
        good = torch.where(delta > RESOLVED * p.mass, gain >= INCREASE * size * slope, error < delta)
        take = pending & good
        run.f, run.g, run.S = (
            torch.where(take[:, None], new, old) for new, old in ((f, run.f), (g, run.g), (S, run.S))
        )
        run.delta = torch.where(take, error, run.delta)
        pending = pending & ~good
        if not bool(pending.any()):
            break
        size = torch.where(pending, size / 2, size)
    run.newton_steps = run.newton_steps + ~pending
    run.cg_steps = run.cg_steps + torch.where(pending, 0, step.cg_steps)
    run.record("newton", delta[None], ~pending[None], step.kept, step.cg_steps)
    if bool(pending.any()):
        items = torch.nonzero(pending)[:, 0]
        part = run.take(items)
        part.sweep(1, tol[items])
        run.put(items, part)
    return pending


def _dense(run: _Run, tight: Tensor) -> Direction:
    return dense_direction(run.plan(), run.batch.r, run.batch.c, run.S)


def _sparse(run: _Run, tight: Tensor, density: float | None) -> Direction:
    P, p = run.plan(), run.batch
    error = run.delta / p.mass
    if density is None:
        keep = budgeted(P, p.r, p.c, tight * (BUDGET * error).clamp_max(LARGEST_BUDGET))
    else:
        keep = top(P, density)
    tol = (0.1 * error.sqrt()).clamp_max(1e-2)
    return sparse_direction(P, keep, p.r, p.c, run.S, shift=SHIFT * error, tol=tol, check_every=run.check_every)


def _second_order(
    run: _Run,
    direction: Callable[[_Run, Tensor], Direction],
    tol: Tensor,
    max_steps: int,
    warmup: int,
    anneal: bool | None,
    cool: bool,
) -> tuple[Tensor, Tensor]:
    """Sinkhorn steps, then Newton steps: at eps itself, and down a ladder of temperatures where that fails.

    Returns which items stalled and the number of temperatures of each.
    """
    g, C = run.g, run.batch.C
    hottest = HOTTEST * torch.where(torch.isfinite(C), C, 0.0).flatten(1).amax(-1)
    rungs = torch.where(hottest > 0, torch.log2(hottest / run.eps).ceil().clamp_min(0), 0).long()
    stages = torch.ones_like(rungs)
    if anneal is True:
        _climb(run, direction, rungs, tol, max_steps, warmup)
        return (run.delta > tol) & (run.newton_steps < max_steps), rungs + 1
    cooled = int(COOLED * warmup) if cool else 0
    _cool(run, hottest, cooled, tol)
    _climb(run, direction, torch.zeros_like(rungs), tol, max_steps, warmup - cooled)
    if anneal is None:
        items = torch.nonzero((run.delta > tol) & (rungs > 0))[:, 0]
        if len(items):
            part = run.take(items)
            part.g = g[items]
            _climb(part, direction, rungs[items], tol[items], max_steps, warmup)
            run.put(items, part)
            stages[items] = rungs[items] + 1
    return (run.delta > tol) & (run.newton_steps < max_steps), stages


def _cool(run: _Run, hottest: Tensor, steps: int, tol: Tensor) -> None:
    """Sinkhorn steps at temperatures that fall from `hottest` towards eps, so that the potentials travel far first.

    Items that are hotter than that take theirs at eps.
    """
    eps = run.eps
    cold = hottest > eps
    for which, cools in ((cold, True), (~cold, False)):
        items = torch.nonzero(which)[:, 0]
        if not len(items) or not steps:
            continue
        part = run.take(items)
        if cools:
            everyone = torch.ones_like(part.items, dtype=torch.bool)
            for k in range(steps):
                part.eps = hottest[items] * (eps[items] / hottest[items]) ** (k / steps)
                part.sweep(0, tol[items])
                part.g = part.batch.update_columns(part.g, part.S, part.eps)
                part.record("sinkhorn", part.delta[None], everyone[None])
                part.sinkhorn_steps = part.sinkhorn_steps + 1
            part.eps = eps[items]
        else:
            part.sweep(steps, tol[items])
        run.put(items, part)


def _climb(
    run: _Run,
    direction: Callable[[_Run, Tensor], Direction],
    ladder: Tensor,
    tol: Tensor,
    max_steps: int,
    warmup: int,
) -> None:
    """Solve at ``2^k eps`` for k = ladder, ..., 1, 0; an item joins at its own highest rung."""
    eps = run.eps
    for k in range(int(ladder.max()), -1, -1):
        items = torch.nonzero(ladder >= k)[:, 0]
        part = run.take(items)
        part.eps = eps[items] * 2.0**k
        target = torch.maximum(tol[items], LOOSE * part.batch.mass) if k else tol[items]
        part.sweep(warmup, target)
        _newton(part, direction, target, part.newton_steps + max_steps)
        run.put(items, part)


# ---------------------------------------------------------------------------------------------- public


def solve(
    C: Any,
    r: Any,
    c: Any,
    eps: Any,
    *,
    method: Method = "sns",
    tol: float = 1e-9,
    max_steps: int | None = None,
    warmup: int = 20,
    density: float | None = None,
    anneal: bool | None = None,
    g: Any = None,
    normalize: bool = False,
    allow_forbidden: bool = False,
    on_fail: Literal["raise", "return"] = "raise",
    check_every: int = 10,
) -> OTResult:
    """Solve ``min <C, P> + eps sum P (log P - 1)`` over P >= 0 with row sums r and column sums c, for a batch.

    Parameters
    ----------
    C : float64 or float32 tensor, (n, m) or (B, n, m)
        Cost. Problems of several sizes make one batch when rows and columns of mass 0 fill them up.
    r, c : tensor, (n,) or (B, n), and (m,) or (B, m)
        Masses >= 0 of equal total. What has no batch axis is the same for every item.
    eps : float or tensor (B,)
        Temperature, in the unit of the cost. Tang et al. 2024 write ``eta = 1/eps``.
    method : str
        - ``"sns"``: Sinkhorn-Newton-Sparse, `warmup` Sinkhorn steps and then Newton steps with a sparse Hessian;
        - ``"log"``: Sinkhorn in the log domain;
        - ``"averaged"``: ``f <- (f + T f)/2``, for C symmetric and r = c;
        - ``"newton"``: like "sns" with the whole Hessian and a Cholesky factorisation.
    tol, max_steps, warmup, density, anneal, g, normalize, allow_forbidden, on_fail
        As for `lemmata.sims.sinkhorn_newton.solve`; g is a tensor (m,) or (B, m). `NotConverged` is raised where one
        item fails, with the results of all.
    check_every : int
        Sinkhorn steps, and conjugate-gradient steps, between two looks of the host at the device. An item that is
        done stays put meanwhile.

    Returns
    -------
    OTResult
        For a batch where any argument has a batch axis. Where C, r, c or eps require a gradient, so do the
        potentials, the plan and what is made of them, by the implicit function theorem; `dual` and `kl_value` by the
        envelope theorem, without a linear system. Gradients in r and c hold along changes of sum zero.

    Raises
    ------
    TypeError, ShapeError, NonFiniteError, DomainError, NotConverged
        As for `lemmata.sims.sinkhorn_newton.solve`. In float32 also DomainError for "sns" and "newton", whose steps are
        differences that float32 rounds away, for a cost that ranges over more than 1e5 eps, and for
        ``tol < 1e-6 max(1, range/(100 eps))``.

    Notes
    -----
    Memory: the cost, the reduced cost and one more array of that size for "log"; about six more for "sns", which sorts
    the plan; ``m x m`` for each item with "newton" and in the backward pass.

    An item has the same numbers whatever stands beside it in the batch, to the rounding of products of matrices.

    References
    ----------
    Tang, Shavlovsky, Rahmanian, Tardini, Thekumparampil, Xiao and Ying 2024.
    """
    tol, max_steps = check_options(
        METHODS, method=method, tol=tol, max_steps=max_steps, warmup=warmup, density=density, on_fail=on_fail
    )
    if check_every < 1:
        raise DomainError(f"check_every must be >= 1, got {check_every}")
    data = check(C, r, c, eps, normalize=normalize, allow_forbidden=allow_forbidden)
    if data.C.dtype == torch.float32:
        if method in ("sns", "newton"):
            raise DomainError(f"{method} needs float64: pass the cost and the masses as float64, or take method='log'")
        check_float32(data.ratio(), tol)
    if method == "averaged":
        _check_symmetric(data)
    with torch.no_grad():
        batch = reduce(data)
        run = _Run(batch, data.eps.clone(), _start(data, batch, g), check_every)
        bound = tol * batch.mass
        stages = torch.ones_like(run.items)
        if method == "log":
            stalled = run.sweep(max_steps, bound, watch=True)
        elif method == "averaged":
            stalled = _averaged(run, bound, max_steps)
        else:
            direction = _dense if method == "newton" else partial(_sparse, density=density)
            cool = g is None and density is None
            stalled, stages = _second_order(run, direction, bound, max_steps, warmup, anneal, cool)
        failure = np.where(stalled.cpu().numpy(), "stalled", "max_steps")
        status = np.where((run.delta <= bound).cpu().numpy(), "converged", failure)
    result = _result(data, batch, run, method, status, stages)
    if allow_forbidden:
        for b in np.flatnonzero(status != "converged"):
            C, r, c, _ = data.item(int(b))
            check_hall(C, r, c, result.f.reshape(len(status), -1)[b].detach().double().cpu().numpy())
    if on_fail == "raise":
        raise_unless_converged(result, bound.cpu().numpy())
    return result


def _check_symmetric(data: Data) -> None:
    C, r, c = data.C, data.r, data.c
    if C.shape[-1] != C.shape[-2]:
        check_symmetric(*data.item(0)[:3])
        return
    same = (C.mT == C).all(-1).all(-1) & (r == c).all(-1)
    if not bool(same.all()):
        check_symmetric(*data.item(int(torch.nonzero(~same)[0, 0]))[:3])


def _start(data: Data, batch: Batch, g: Any) -> Tensor:
    if g is None:
        return torch.zeros_like(data.c)
    start = check_potential("g", g, data.c).detach() - batch.v
    return start if batch.columns is None else torch.where(batch.columns, start, 0.0)


def _result(data: Data, batch: Batch, run: _Run, method: str, status: np.ndarray, stages: Tensor) -> OTResult:
    """Potentials of the whole problem, with the canonical gauge and the c-transform where there is no mass."""
    inputs = (data.C, data.r, data.c, data.eps)
    f, g = run.f, run.g
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        batch = reduce(data)  # again, with its graph
        f, g = Potentials.apply(batch.C, batch.r, batch.c, data.eps, f, g)
    shift = ((data.c * (g + batch.v)).sum(-1) - (data.r * (f + batch.u)).sum(-1)) / (2 * batch.mass)
    whole_f, whole_g = f + batch.u + shift[:, None], g + batch.v - shift[:, None]
    if batch.rows is not None and batch.columns is not None:
        over_columns = torch.where(batch.columns[:, None, :], data.C - whole_g[:, None, :], torch.inf).amin(-1)
        over_rows = torch.where(batch.rows[:, :, None], data.C - whole_f[:, :, None], torch.inf).amin(-2)
        whole_f = torch.where(batch.rows, whole_f, over_columns)
        whole_g = torch.where(batch.columns, whole_g, over_rows)
    counts = (run.sinkhorn_steps, run.newton_steps, run.cg_steps, stages)
    host: list[Any] = [run.delta.double().cpu().numpy(), status, *(x.cpu().numpy() for x in counts)]
    arrays = [*inputs, whole_f, whole_g, batch.C, batch.u, batch.v, f, g]
    if data.single:
        arrays = [x[0] for x in arrays]
        host = [x[0].item() for x in host]
    C, r, c, eps, whole_f, whole_g, cost, u, v, f, g = arrays
    hidden: list[Any] = [cost, (u, v), (f, g), partial(_trace, run, data.single, host[0], method)]
    return OTResult(C, r, c, eps, method, whole_f, whole_g, *host, *hidden)


def _trace(run: _Run, single: bool, delta: Any, method: str) -> xr.Dataset:
    """The log of a run, gathered by item."""
    size, before = len(run.items), 0.0
    found: list[list[tuple[Any, ...]]] = [[] for _ in range(size)]
    for kind, items, eps, deltas, active, kept, cg_steps, now in run.log:
        times = np.linspace(before, now, len(deltas) + 1)[1:]
        before = now
        eps, deltas, active = eps.cpu().numpy(), deltas.cpu().numpy(), active.cpu().numpy()
        kept, cg_steps = (np.broadcast_to(np.asarray(torch.as_tensor(x).cpu()), eps.shape) for x in (kept, cg_steps))
        for b, item in enumerate(items.tolist()):
            steps = np.flatnonzero(active[:, b])
            found[item] += [(kind, eps[b], deltas[k, b], kept[b], cg_steps[b], times[k]) for k in steps]
    for item in range(size):
        found[item].append(("end", float(run.eps[item]), np.atleast_1d(delta)[item], 0, 0, before))
    provenance = {"method": method, "backend": "kernels", "eps_final": run.eps.cpu().numpy()}
    if single:
        columns = [np.array(column) for column in zip(*found[0], strict=True)]
        return record(columns, ("step",), **provenance | {"eps_final": float(run.eps[0])})
    length = max(map(len, found))
    rest = ("", np.nan, np.nan, 0, 0, np.nan)
    padded = [rows + [rest] * (length - len(rows)) for rows in found]
    columns = [np.array([[row[k] for row in rows] for rows in padded]) for k in range(6)]
    return record(columns, ("item", "step"), **provenance)


def divergence(C: Any, C_rr: Any, C_cc: Any, r: Any, c: Any, eps: Any, *, tol: float = 1e-9) -> Tensor:
    """Sinkhorn divergence ``OT(r, c) - OT(r, r)/2 - OT(c, c)/2``, for a problem or a batch, differentiable.

    Parameters
    ----------
    C, C_rr, C_cc : float64 tensor, (n, m), (n, n), (m, m), or with a batch axis
        Cost between the two supports, and within each; the last two symmetric.
    r, c : tensor, (n,) or (B, n), and (m,) or (B, m)
    eps : float or tensor (B,)
    tol : float
        As for `solve`; the divergence is known to about ``eps tol^2``.

    Returns
    -------
    float64[] or float64[B]
        As from `lemmata.sims.sinkhorn_newton.divergence`.

    References
    ----------
    Feydy, Séjourné, Vialard, Amari, Trouvé and Peyré 2019, Theorem 1.
    """
    across = solve(C, r, c, eps, tol=tol)
    within = [solve(D, mass, mass, eps, method="averaged", tol=tol) for D, mass in ((C_rr, r), (C_cc, c))]
    return across.dual - 0.5 * (within[0].dual + within[1].dual)
