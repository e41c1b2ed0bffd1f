"""Variance-reduced methods on finite sums in PyTorch, batched over replicates.

Names, arguments and results are those of `lemmata.sims.halpern`, and so are the coins and indices: both read the same
words of the random stream. The operator is a `FiniteSum` or any object with

``n``
    number of components;
``operator(u)``
    F at points (R, d);
``operator.component(i, u)``
    mean of F_i(u) over a batch of indices i, int64 (R, b), row by row: (R, d);
``operator.component_diff(i, u, v)``, optional
    mean of ``F_i(u) - F_i(v)``, the same indices at both points.

R is the number of replicates concerned at that step, which varies. The work of a step is that of its calls: F is
evaluated for the rows whose coin says so, differences for the others.

Memory: some ten arrays ``(R, d)``, what the operator allocates, and for a `FiniteSum` of matrices the components of
one batch, in pieces of at most `PIECE` numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lemmata import random
from lemmata.errors import DomainError, NotConverged, ShapeError
from lemmata.kernels import _philox
from lemmata.kernels.halpern.iterations import _simplices
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

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["inexact_halpern", "inexact_solve", "loopless_vr", "vr_halpern", "vr_solve"]

#: Numbers gathered at once from the matrices of a finite sum, and steps whose coins are drawn at once.
PIECE, CHUNK = 2**24, 256


class _Sum:
    """A `FiniteSum` on tensors."""

    def __init__(self, operator: FiniteSum, like: Tensor) -> None:
        def tensor(array: np.ndarray) -> Tensor:
            return torch.tensor(array, device=like.device, dtype=like.dtype)

        self.n, self.kind = operator.n, operator.kind
        self.data, self.mean, self.centre = tensor(operator.data), tensor(operator.mean), tensor(operator.centre)
        self.index = torch.tensor(operator.index, device=like.device)

    def __call__(self, u: Tensor) -> Tensor:
        delta = u - self.centre
        return delta * self.mean[0] if self.kind == Components.DIAGONAL else delta @ self.mean

    def component_diff(self, i: Tensor, u: Tensor, v: Tensor) -> Tensor:
        delta = u - v
        if self.kind == Components.DIAGONAL:
            return self.data[i, 0].mean(dim=1) * delta
        if self.kind == Components.RANK_ONE:
            rows = self.data[i, 0]
            return torch.bmm(torch.bmm(rows, delta[:, :, None]).mT, rows)[:, 0] / i.shape[1]
        total = torch.zeros_like(delta)
        for piece in i.split(max(1, PIECE // (len(delta) * self.data[0].numel())), dim=1):
            weight = delta.gather(1, self.index[piece].flatten(1))
            total += torch.bmm(weight[:, None], self.data[piece].flatten(1, 2))[:, 0]
        return total / i.shape[1]


class _Users:
    """An operator of the user's, with a difference made of two components where it has none of its own."""

    def __init__(self, operator: Any) -> None:
        self.n, self.operator = int(operator.n), operator
        self.component_diff = getattr(operator, "component_diff", self._difference)

    def __call__(self, u: Tensor) -> Tensor:
        return self.operator(u)

    def _difference(self, i: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return self.operator.component(i, u) - self.operator.component(i, v)


def _start(operator: Any, x0: Any, split: int) -> tuple[_Sum | _Users, Tensor]:
    """The operator on tensors, after every check that needs no iteration."""
    if not isinstance(x0, Tensor):
        raise TypeError(f"x0 must be a torch.Tensor, got {type(x0).__name__}; lemmata.sims takes numpy arrays")
    if x0.dtype not in (torch.float64, torch.float32):
        raise TypeError(f"x0 must be float64 or float32, got {x0.dtype}")
    if x0.ndim != 1 or x0.numel() == 0:
        raise ShapeError(f"x0 must have shape (d,), got {tuple(x0.shape)}")
    check_start(x0.cpu().numpy(), split)
    if isinstance(operator, FiniteSum):
        if x0.shape != (operator.dim,):
            raise ShapeError(f"x0 must have shape ({operator.dim},), got {tuple(x0.shape)}")
        return _Sum(operator, x0), x0
    if not callable(operator) or not hasattr(operator, "n") or not hasattr(operator, "component"):
        raise TypeError(
            "the operator must be a FiniteSum or an object with n, operator(u) and operator.component(i, u), got "
            f"{type(operator).__name__}"
        )
    if not 1 <= operator.n < 2**31:
        raise DomainError(f"the number of components n must lie in [1, 2^31), got {operator.n}")
    users = _Users(operator)
    point = x0[None].clone()
    first = torch.zeros(1, 1, dtype=torch.int64, device=x0.device)
    for name, value in (("F", users(point)), ("component_diff", users.component_diff(first, point, point))):
        if not isinstance(value, Tensor) or value.shape != point.shape:
            raise ShapeError(f"{name} maps (1, {x0.numel()}) to {tuple(np.shape(value))}; expected the same shape")
    return users, x0


def _project(split: int, point: Tensor) -> Tensor:
    return _simplices(point, split) if split else point


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=1)


def _ids(ids: np.ndarray, like: Tensor) -> Tensor:
    """Replicate ids as int64, which stands for its value modulo 2^64."""
    return torch.tensor(ids.astype(np.int64), device=like.device)


class _Run:
    """What is kept of a run, on the device: traces, calls and iterates at the recorded steps, first bad step."""

    def __init__(self, x0: Tensor, count: int, at: np.ndarray, iterates: bool) -> None:
        self.at, self.r = at, 0
        self.trace = x0.new_zeros(count, 2, at.size, dtype=torch.float64)
        self.calls = torch.zeros(count, at.size, dtype=torch.int64, device=x0.device)
        self.iterates = x0.new_empty(count, at.size if iterates else 0, x0.numel())
        # number of steps whose values were all finite: it stops growing at the first bad one
        self.good = torch.zeros(count, dtype=torch.int64, device=x0.device)

    def watch(self, k: int, value: Tensor) -> None:
        self.good += (self.good == k) & torch.isfinite(value.sum(dim=1))

    def due(self, k: int) -> bool:
        return self.r < self.at.size and k == self.at[self.r]

    def record(self, split: int, u: Tensor, f: Tensor, residual: Tensor, calls: Tensor) -> None:
        self.trace[:, 0, self.r] = residual
        self.trace[:, 1, self.r] = _norm(u - _project(split, u - f))
        self.calls[:, self.r] = calls
        if self.iterates.shape[1]:
            self.iterates[:, self.r] = u
        self.r += 1

    def check(self, what: str, steps: int) -> None:
        good = self.good.cpu().numpy()
        raise_if_not_finite(what, np.where(good < steps, good, -1), self.at, self.trace[:, 0].cpu().numpy())


# ------------------------------------------------------------------------------- Algorithm 1, with PAGE


class _Batches:
    """The indices of the batches, for the rows that ask for one."""

    def __init__(self, n: int, batch: int, replacement: bool, ids: Tensor, seed: int) -> None:
        self.n, self.batch, self.ids, self.seed = n, batch, ids, seed
        self.half = (batch + 1) // 2
        self.block = torch.arange(self.half, device=ids.device)
        self.order = None if replacement else torch.arange(n, device=ids.device).repeat(len(ids), 1)

    def draw(self, k: int, rows: Tensor) -> Tensor:
        """Indices of step k, int64 (len(rows), b)."""
        four = _philox.words(k * self.half + self.block, INDICES, self.ids[rows, None], seed=self.seed)
        first, second = (four[..., s::2].flatten(1)[:, : self.batch] for s in (0, 1))
        if self.order is None:
            return _philox.integer(first, second, self.n)
        order = self.order[rows]
        for place in range(self.batch):
            # one swap of a Fisher-Yates shuffle; any order to start from gives a uniform subset
            other = place + _philox.integer(first[:, place], second[:, place], self.n - place)[:, None]
            chosen = order.gather(1, other)
            order.scatter_(1, other, order[:, place, None].clone())
            order[:, place] = chosen[:, 0]
        self.order[rows] = order
        return order[:, : self.batch]


def _refreshes(options: Page, ids: np.ndarray, first: int, last: int, seed: int) -> np.ndarray:
    """Which replicates recompute F at steps first..last-1, bool[R, last - first]; drawn on the host.

    The host must know them to send each row to its evaluation without waiting for the device.
    """
    p = options.probabilities[first:last]
    if (p == 1).all():
        return np.ones((len(ids), len(p)), dtype=bool)
    word = random.words(np.arange(first, last), COINS, ids[:, None], seed=seed)[..., 0]
    return random.bernoulli(word, p)


class _Page(NamedTuple):
    x: Tensor
    run: _Run
    reached: Tensor
    residual: Tensor
    calls: Tensor
    blocks: Tensor


@torch.no_grad()
def _page(
    operator: Any,
    x0: Any,
    options: Page,
    split: int,
    replacement: bool,
    tol: float,
    every: int,
    at: np.ndarray,
    iterates: bool,
    ids: np.ndarray,
    seed: int,
) -> _Page:
    F, x0 = _start(operator, x0, split)
    check_page(options, F.n)
    count, steps, device = len(ids), options.steps, x0.device
    batches = _Batches(F.n, options.batch, replacement, _ids(ids, x0), seed)
    u = x0.repeat(count, 1)
    before, g, normal = u, torch.zeros_like(u), torch.zeros_like(u)
    run = _Run(x0, count, at, iterates)
    calls, blocks = torch.zeros(2, count, dtype=torch.int64, device=device)
    done = torch.zeros(count, dtype=torch.bool, device=device)
    reached = torch.full((count,), steps, dtype=torch.int64, device=device)
    residual = x0.new_full((count,), torch.inf)
    keep, p = (1 - options.weights).tolist(), options.probabilities
    for k in range(steps + 1):
        due = run.due(k)
        if due or tol > 0:
            f = F(u)
            # x_0 is not the result of a resolvent step
            now = torch.full_like(residual, torch.inf) if split and k == 0 else _norm(f + normal)
            residual = torch.where(done, residual, now)
            if due:
                run.record(split, u, f, now, calls)
        if tol > 0:
            new = ~done & (residual <= tol)
            reached = torch.where(new, k, reached)
            done = done | new
            if k % every == 0 and bool(done.all()):
                break
        if k == steps:
            break
        if k % CHUNK == 0:
            coins = _refreshes(options, ids, k, min(k + CHUNK, steps), seed)
        coin = coins[:, k % CHUNK]
        full, rest = (torch.tensor(np.flatnonzero(c), device=device) for c in (coin, ~coin))
        g = g.clone()
        if len(full):
            g[full] = F(u[full])
        if len(rest):
            g[rest] += F.component_diff(batches.draw(k, rest), u[rest], before[rest])
        spent = torch.where(torch.tensor(coin, device=device), F.n, 2 * options.batch)
        drawn = torch.where(torch.tensor(coin, device=device), 0, batches.half) + int(p[k] < 1)
        calls = calls + torch.where(done, 0, spent)
        blocks = blocks + torch.where(done, 0, drawn)
        run.watch(k, g)
        # g now belongs to this point, recomputed or not
        before = u
        point = x0 + keep[k] * (u - x0) - options.eta * g
        image = _project(split, point)
        if split:
            normal = (point - image) / options.eta
        u = torch.where(done[:, None], u, image) if tol > 0 else image
    run.check("F(u) or its estimate", k)
    return _Page(u, run, reached, residual, calls, blocks)


def _numpy(*tensors: Tensor) -> list[np.ndarray]:
    return [t.cpu().numpy() for t in tensors]


def _traced(method: str, ids: np.ndarray, x: Tensor, run: _Run, blocks: Tensor) -> xr.Dataset:
    x_, trace, calls, kept, blocks_ = _numpy(x, run.trace, run.calls, run.iterates, blocks)
    traces = {"residual": trace[:, 0], "natural_residual": trace[:, 1], "calls": calls}
    return sampled(method, "kernels", ids, x_, blocks_, traces, run.at, kept)


def vr_halpern(
    operator: Any,
    x0: Tensor,
    options: Page,
    *,
    simplices: int = 0,
    replacement: bool = True,
    at: Any = None,
    iterates: bool = False,
    replicates: Any = 1,
    seed: int,
) -> xr.Dataset:
    """Variance-reduced Halpern iteration (Algorithm 1), with the PAGE estimator, of all replicates at once.

    Parameters, returns and errors as in `lemmata.sims.halpern.vr_halpern`.

    Parameters
    ----------
    operator : FiniteSum or object
        See the module; it gets and returns tensors on the device and in the dtype of `x0`.
    x0 : float64 or float32 tensor, (d,)
    replacement : bool
        Batches without replacement are drawn in b small operations a step.

    Raises
    ------
    NonFiniteError
        Where a value is NaN or infinite. The loop does not wait for the device, so it is raised after the last step;
        it carries the step at which it happened.
    """
    at = recorded(at, options.steps, simplices)
    ids = replicate_ids(replicates)
    r = _page(operator, x0, options, simplices, replacement, 0.0, 1, at, iterates, ids, check_seed(seed))
    return _traced("vr_halpern", ids, r.x, r.run, r.blocks)


def vr_solve(
    operator: Any,
    x0: Tensor,
    options: Page,
    *,
    tol: float,
    simplices: int = 0,
    replacement: bool = True,
    every: int = 100,
    replicates: Any = 1,
    on_fail: str = "raise",
    seed: int,
) -> xr.Dataset:
    """Run `vr_halpern` until the residual is at most `tol`, for at most N steps.

    Parameters, returns and errors as in `lemmata.sims.halpern.vr_solve`.

    Parameters
    ----------
    every : int
        Steps between two looks at the device, to see whether every replicate is done; those that are stay put.
    """
    check_solve(tol, on_fail)
    if every < 1:
        raise DomainError(f"every must be >= 1, got {every}")
    ids, none = replicate_ids(replicates), np.empty(0, dtype=np.int64)
    r = _page(operator, x0, options, simplices, replacement, tol, every, none, False, ids, check_seed(seed))
    x, residual, steps, calls, blocks = _numpy(r.x, r.residual, r.reached, r.calls, r.blocks)
    traces = {"residual": residual, "steps": steps, "calls": calls}
    return sampled("vr_halpern", "kernels", ids, x, blocks, traces, tol=tol, on_fail=on_fail)


# --------------------------------------------------------------- loopless methods, alone and inside Algorithm 2


class _State(NamedTuple):
    """Rows of a loopless method: iterate, snapshot, the one before, F at the snapshot, element of G at the iterate."""

    z: Tensor
    w: Tensor
    w_before: Tensor
    fw: Tensor
    normal: Tensor


def _loopless_step(
    F: Any,
    options: Loopless,
    scale: float,
    mu: float,
    split: int,
    t: int,
    ids: Tensor,
    seed: int,
    u: Tensor,
    s: _State,
) -> tuple[_State, Tensor]:
    """One step of ``0 in scale F(v) + mu (v - u) + G(v)``; returns the rows and which of them moved their snapshot."""
    tau, p = options.step, options.probability
    i = torch.zeros(len(u), 1, dtype=torch.int64, device=u.device)
    moved = torch.ones(len(u), dtype=torch.bool, device=u.device)
    if _random(F.n, p):
        four = _philox.words(t, INNER, ids, seed=seed)
        i = _philox.integer(four[:, 0], four[:, 1], F.n)[:, None]
        moved = _philox.bernoulli(four[:, 2], p)

    def prox(q: Tensor) -> tuple[Tensor, Tensor]:
        point = (q + tau * mu * u) / (1 + tau * mu)
        image = _project(split, point)
        return image, (point - image) * ((1 + tau * mu) / tau)

    q = (1 - p) * s.z + p * s.w - tau * scale * s.fw
    if options.method == Inner.EXTRAGRADIENT:
        difference = F.component_diff(i, prox(q)[0], s.w)
    else:
        difference = F.component_diff(i, s.z, s.w_before)
    z, normal = prox(q - tau * scale * difference)
    w = torch.where(moved[:, None], z, s.w)
    fw = s.fw
    rows = moved.nonzero()[:, 0]
    if len(rows):
        fw = fw.clone()
        fw[rows] = F(w[rows])
    return _State(z, w, s.w, fw, normal), moved


def _random(n: int, p: float) -> bool:
    """Whether a loopless method draws anything."""
    return n > 1 or p < 1


@torch.no_grad()
def loopless_vr(
    operator: Any,
    x0: Tensor,
    options: Loopless,
    steps: int,
    *,
    simplices: int = 0,
    at: Any = None,
    iterates: bool = False,
    replicates: Any = 1,
    seed: int,
) -> xr.Dataset:
    """Loopless variance-reduced extragradient or forward-reflected-backward method of all replicates at once.

    Parameters, returns and errors as in `lemmata.sims.halpern.loopless_vr`, the operator as in `vr_halpern`.
    """
    at = recorded(at, steps, simplices)
    F, x0 = _start(operator, x0, simplices)
    ids, seed = replicate_ids(replicates), check_seed(seed)
    key = _ids(ids, x0)
    u = x0.repeat(len(ids), 1)
    s = _State(u, u, u, F(u), torch.zeros_like(u))
    run = _Run(x0, len(ids), at, iterates)
    calls = torch.full((len(ids),), F.n, dtype=torch.int64, device=x0.device)
    for k in range(steps + 1):
        if run.due(k):
            f = F(s.z)
            run.record(simplices, s.z, f, _norm(f + s.normal), calls)
        if k < steps:
            s, moved = _loopless_step(F, options, 1.0, 0.0, simplices, k, key, seed, u, s)
            calls = calls + 2 + F.n * moved
            run.watch(k, s.z)
    run.check("F(z)", steps)
    blocks = torch.full((len(ids),), steps * _random(F.n, options.probability), dtype=torch.int64)
    return _traced("loopless_vr", ids, s.z, run, blocks)


class _Inexact:
    """Algorithm 2, each replicate at its own resolvent k; one step of the inner solver at a time for all of them.

    A replicate whose inner iterate is accepted goes on to its next resolvent at once, so that all that are not done
    take the same step t of the random stream.
    """

    def __init__(
        self,
        operator: Any,
        x0: Any,
        options: Inexact,
        split: int,
        tol: float,
        max_inner: int,
        at: np.ndarray,
        iterates: bool,
        ids: np.ndarray,
        seed: int,
    ) -> None:
        self.F, self.x0 = _start(operator, x0, split)
        self.options, self.split, self.tol, self.max_inner, self.seed = options, split, tol, max_inner, seed
        count, x0, device = len(ids), self.x0, self.x0.device
        self.ids, self.key, self.at = ids, _ids(ids, x0), at
        self.keep = x0.new_tensor(1 - options.weights)
        self.tolerances = torch.tensor(options.tolerances, device=device)
        self.counts = torch.tensor(options.counts, device=device)
        place = np.full(options.steps, -1)
        place[at] = np.arange(at.size)
        self.place = torch.tensor(place, device=device)
        self.trace = torch.zeros(count, 4, at.size, dtype=torch.float64, device=device)
        self.recorded_calls = torch.zeros(count, at.size, dtype=torch.int64, device=device)
        self.iterates = x0.new_empty(count, at.size if iterates else 0, x0.numel())
        self.u = x0.repeat(count, 1)
        self.v, self.snapshot = self.u.clone(), torch.zeros_like(self.u)
        self.s = _State(self.u, self.u, self.u, self.F(self.u), torch.zeros_like(self.u))
        self.k, self.inner, self.blocks = torch.zeros(3, count, dtype=torch.int64, device=device)
        self.calls = torch.full((count,), self.F.n, dtype=torch.int64, device=device)
        self.residual = x0.new_full((count,), torch.inf)
        self.active = torch.ones(count, dtype=torch.bool, device=device)
        self.error = self._error(slice(None))

    def _error(self, rows: Any) -> Tensor:
        """The certificate of the snapshot."""
        s, eta = self.s, self.options.eta
        return _norm(s.w[rows] - self.u[rows] + eta * s.fw[rows] + self.snapshot[rows])

    def run(self) -> None:
        t = 0
        while True:
            self._accept()
            rows = self.active.nonzero()[:, 0]
            if len(rows) == 0:
                return
            late = self.inner[rows] >= self.max_inner
            if bool(late.any()):
                b = int(rows[late][0])
                k = int(self.k[b])
                raise NotConverged(
                    f"resolvent {k} of replicate {self.ids[b]} is not within its tolerance "
                    f"{self.options.tolerances[k]:.3g} after {self.max_inner} inner steps. Raise max_inner, or check L "
                    "and the step.",
                    self.s.w.cpu().numpy(),
                )
            self._tick(t, rows)
            t += 1

    def _tick(self, t: int, rows: Tensor) -> None:
        part = _State(*(x[rows] for x in self.s))
        inner = self.options.inner
        part, moved = _loopless_step(
            self.F, inner, self.options.eta, 1.0, self.split, t, self.key[rows], self.seed, self.u[rows], part
        )
        self.s = _State(*(x.index_copy(0, rows, y) for x, y in zip(self.s, part, strict=True)))
        self.snapshot[rows[moved]] = part.normal[moved]
        self.inner[rows] += 1
        self.blocks[rows] += int(_random(self.F.n, inner.probability))
        self.calls[rows] += 2 + self.F.n * moved
        self.error[rows] = self._error(rows)
        finite = torch.isfinite(part.z.sum(dim=1))
        if not bool(finite.all()):
            bad = np.full(len(self.ids), -1)
            hit = rows[~finite].cpu().numpy()
            bad[hit] = self.k.cpu().numpy()[hit]
            raise_if_not_finite("F(v)", bad, self.at, self.trace[:, 0].cpu().numpy())

    def _accept(self) -> None:
        options, eta, certified = self.options, self.options.eta, self.options.certified
        while True:
            at = self.k.clamp(max=options.steps - 1)
            fine = self.error <= self.tolerances[at] if certified else self.inner >= self.counts[at]
            rows = (self.active & fine).nonzero()[:, 0]
            if len(rows) == 0:
                return
            k = self.k[rows]
            u = self.u[rows]
            if certified:
                v, f, normal = self.s.w[rows], self.s.fw[rows], self.snapshot[rows]
            else:
                v, normal = self.s.z[rows], self.s.normal[rows]
                f = self.F(v)  # for the record only: not an oracle call
            self.v[rows] = v
            residual = _norm(f + normal / eta)
            self.residual[rows] = residual
            place = self.place[k]
            kept = place >= 0
            to, where = rows[kept], place[kept]
            values = (residual, _norm(v - _project(self.split, v - f)), _norm(u - v), _norm(v - u + eta * f + normal))
            for i, value in enumerate(values):
                self.trace[to, i, where] = value[kept].to(torch.float64)
            self.recorded_calls[to, where] = self.calls[to]
            if self.iterates.shape[1]:
                self.iterates[to, where] = u[kept]

            stop = residual <= self.tol if self.tol > 0 else torch.zeros_like(kept)
            self.active[rows[stop]] = False
            go, k = rows[~stop], k[~stop]
            target = 2 * v - u if options.reflected else v
            self.u[go] = self.x0 + self.keep[k, None] * (target[~stop] - self.x0)
            self.k[go] += 1
            self.inner[go] = 0
            self.active[go[k + 1 == options.steps]] = False
            go = go[k + 1 < options.steps]
            s = self.s
            if certified:
                self.s = s._replace(z=s.z.index_copy(0, go, s.w[go]), w_before=s.w_before.index_copy(0, go, s.w[go]))
            else:
                start = self.u[go]
                fw = self.F(start) if len(go) else start
                values_ = (start, start, start, fw)
                fields = ("z", "w", "w_before", "fw")
                self.s = s._replace(
                    **{n: getattr(s, n).index_copy(0, go, x) for n, x in zip(fields, values_, strict=True)}
                )
                self.calls[go] += self.F.n
            self.error[go] = self._error(go)


def inexact_halpern(
    operator: Any,
    x0: Tensor,
    options: Inexact,
    *,
    simplices: int = 0,
    max_inner: int = 1_000_000,
    at: Any = None,
    iterates: bool = False,
    replicates: Any = 1,
    seed: int,
) -> xr.Dataset:
    """Halpern's iteration on an approximate resolvent (Algorithm 2) of all replicates at once.

    Parameters, returns and errors as in `lemmata.sims.halpern.inexact_halpern`, the operator as in `vr_halpern`.
    Every inner step waits for the device once or twice, to see which replicates are accepted.
    """
    run = _run_inexact(operator, x0, options, simplices, 0.0, max_inner, at, iterates, replicates, seed)
    v, trace, calls, kept, blocks = _numpy(run.v, run.trace, run.recorded_calls, run.iterates, run.blocks)
    names = ("residual", "natural_residual", "displacement", "certificate")
    traces = {name: trace[:, i] for i, name in enumerate(names)} | {"calls": calls}
    return sampled("inexact_halpern", "kernels", run.ids, v, blocks, traces, run.at, kept)


def inexact_solve(
    operator: Any,
    x0: Tensor,
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

    Parameters, returns and errors as in `lemmata.sims.halpern.inexact_solve`, the operator as in `vr_halpern`.
    """
    check_solve(tol, on_fail)
    run = _run_inexact(operator, x0, options, simplices, tol, max_inner, [0], False, replicates, seed)
    v, residual, steps, calls, blocks = _numpy(run.v, run.residual, run.k, run.calls, run.blocks)
    traces = {"residual": residual, "steps": steps, "calls": calls}
    return sampled("inexact_halpern", "kernels", run.ids, v, blocks, traces, tol=tol, on_fail=on_fail)


@torch.no_grad()
def _run_inexact(operator, x0, options, split, tol, max_inner, at, iterates, replicates, seed) -> _Inexact:  # type: ignore[no-untyped-def]
    at = resolvents(at, options.steps)
    ids = replicate_ids(replicates)
    run = _Inexact(operator, x0, options, split, tol, max_inner, at, iterates, ids, check_seed(seed))
    run.run()
    return run
