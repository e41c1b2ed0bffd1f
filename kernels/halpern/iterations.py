"""Batched PyTorch fixed-point and extragradient iterations, with the names and arguments of `lemmata.sims.halpern`.

The state is ``(B, d)`` on the device and in the dtype of `x0`; the loop updates it in place and never waits for the
device. An operator is an `lemmata.problems.halpern.Operator` or any callable ``(B, d) -> (B, d)``.

Memory: the state, the anchor, one operator value and one scratch array, ``4 B d`` numbers, what the operator itself
allocates, and the recorded ``2 B len(at)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

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

__all__ = ["extragradient", "halpern", "krasnoselskii_mann", "operator_on", "restarted", "solve"]

Field = Callable[[torch.Tensor], torch.Tensor]


# ---------------------------------------------------------------------------------- built-in operators


def _simplex(x: torch.Tensor) -> torch.Tensor:
    x = x - x.amax(dim=-1, keepdim=True)  # the projection is the same, and large entries keep the 1
    ordered = torch.sort(x, dim=-1, descending=True).values
    excess = torch.cumsum(ordered, dim=-1) - 1
    count = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=x.dtype)
    last = (ordered * count > excess).sum(dim=-1, keepdim=True)
    return torch.clamp(x - excess.gather(-1, last - 1) / last, min=0)


def _simplices(x: torch.Tensor, first: int) -> torch.Tensor:
    return torch.cat([_simplex(x[:, :first]), _simplex(x[:, first:])], dim=1)


def _rotation(x: torch.Tensor, M: Any, v: torch.Tensor, s: Any) -> torch.Tensor:
    # a turn is a complex product: one pass over the data; the gain is in v
    pairs = (torch.view_as_complex(a.contiguous().unflatten(1, (-1, 2))) for a in (x, v))
    return torch.view_as_real(torch.mul(*pairs)).flatten(1)


def _clip(x: torch.Tensor, M: Any, v: Any, s: torch.Tensor) -> torch.Tensor:
    return torch.minimum(torch.maximum(x, -s), s)


def _ball(x: torch.Tensor, M: Any, v: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    gap = x - v
    length = torch.linalg.vector_norm(gap, dim=1, keepdim=True)
    return v + gap * torch.where(length <= s, 1.0, s / length)


def _halfspace(x: torch.Tensor, M: Any, v: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    return x - torch.clamp((x * v).sum(1, keepdim=True) - s, min=0) * v


def _reflection(x: torch.Tensor, M: Any, v: torch.Tensor, s: Any) -> torch.Tensor:
    return x - 2 * (x * v).sum(1, keepdim=True) * v


def _matvec(M: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    # one matrix for the whole batch is a matrix product; one a row is a batched one
    return x @ M[0].T if len(M) == 1 else torch.bmm(M, x[:, :, None])[:, :, 0]


def _bilinear(x: torch.Tensor, M: torch.Tensor, v: Any, s: Any) -> torch.Tensor:
    n = M.shape[2]
    return torch.cat([_matvec(M.mT, x[:, n:]), -_matvec(M, x[:, :n])], dim=1)


def _pdhg(x: torch.Tensor, M: torch.Tensor, v: Any, s: torch.Tensor) -> torch.Tensor:
    n = M.shape[2]
    primal, dual = x[:, :n], x[:, n:]
    new = _simplex(primal - s * _matvec(M.mT, dual))
    return torch.cat([new, _simplex(dual + s * _matvec(M, 2 * new - primal))], dim=1)


_STAGES: dict[int, Callable[..., torch.Tensor]] = {
    Stage.AFFINE: lambda x, M, v, s: _matvec(M, x),
    Stage.ROTATION: _rotation,
    Stage.CLIP: _clip,
    Stage.SOFT: lambda x, M, v, s: x - _clip(x, M, v, s),
    Stage.BALL: _ball,
    Stage.HALFSPACE: _halfspace,
    Stage.REFLECTION: _reflection,
    Stage.SIMPLICES: lambda x, M, v, s: _simplices(x, int(s.flatten()[0])),
    Stage.BILINEAR: _bilinear,
    Stage.PDHG: _pdhg,
}


def operator_on(operator: Operator, like: torch.Tensor) -> Field:
    """The operator as a function of tensors ``(B, d)`` on the device and in the dtype of `like`.

    Its arrays are copied to the device once, here.
    """

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array, device=like.device, dtype=like.dtype)

    matrices, vectors, scalars = (tensor(a) for a in (operator.matrices, operator.vectors, operator.scalars))
    # a single-stage split is read here, not in the loop, where it would wait for the device
    parts = []
    for s, (code, i, j) in enumerate(operator.stages):
        scalar = scalars[:, s, None]
        vector = vectors[:, j] if j >= 0 else None
        if code == Stage.SIMPLICES:
            scalar = torch.tensor(operator.scalars[:, s, None])
        if code == Stage.ROTATION and vector is not None:
            vector = scalar * vector
        parts.append((_STAGES[code], matrices[:, i] if i >= 0 else None, vector, scalar))
    alpha, beta = tensor(operator.alpha[:, None]), tensor(operator.beta[:, None])
    plain = not operator.alpha.any() and bool((operator.beta == 1).all())
    centre = tensor(operator.centre) if operator.centre.size else None

    def apply(x: torch.Tensor) -> torch.Tensor:
        source = x if centre is None else x - centre
        y = source
        for stage, matrix, vector, scalar in parts:
            y = stage(y, matrix, vector, scalar)
        if not plain:
            y = alpha * source + beta * y
        return y + centre if centre is not None and operator.is_map else y

    return apply


# --------------------------------------------------------------------------------------------- checks


def _start(operator: Any, x0: Any) -> tuple[Field, torch.Tensor]:
    """The operator on tensors and the starting points as (B, d), after every check that needs no iteration."""
    if not isinstance(x0, torch.Tensor):
        raise TypeError(f"x0 must be a torch.Tensor, got {type(x0).__name__}; lemmata.sims takes numpy arrays")
    if x0.dtype not in (torch.float64, torch.float32):
        raise TypeError(f"x0 must be float64 or float32, got {x0.dtype}")
    if x0.ndim not in (1, 2) or x0.numel() == 0:
        raise ShapeError(f"x0 must have shape (d,) or (B, d), got {tuple(x0.shape)}")
    x0 = torch.atleast_2d(x0)
    if not bool(torch.isfinite(x0).all()):
        where = tuple(int(i) for i in torch.nonzero(~torch.isfinite(x0))[0])
        raise NonFiniteError(f"x0 is {float(x0[where])} at index {where}", index=where)
    if isinstance(operator, Operator):
        if operator.dim != x0.shape[1]:
            raise ShapeError(f"the operator acts on {operator.dim} entries, x0 has {x0.shape[1]}")
        if operator.batch not in (1, len(x0)):
            raise ShapeError(f"{operator.batch} operators for {len(x0)} starting points")
        return operator_on(operator, x0), x0
    if not callable(operator):
        raise TypeError(f"the operator must be an Operator or a callable, got {type(operator).__name__}")
    point = x0.clone()
    value = operator(point)
    if not torch.equal(point, x0):
        raise DomainError("the operator changes its argument: let it return a new tensor")
    if not isinstance(value, torch.Tensor) or value.dtype != x0.dtype:
        kind = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
        raise TypeError(f"the operator must return a tensor of {x0.dtype}, as x0 is; got {kind}")
    if value.shape != x0.shape:
        raise ShapeError(
            f"the operator maps shape {tuple(x0.shape)} to {tuple(value.shape)}; expected {tuple(x0.shape)}"
        )
    return operator, x0


# ----------------------------------------------------------------------------------------------- loops


#: steps between two looks, on the device, at whether the operator's values were finite
_WINDOW = 128
_NEVER = torch.iinfo(torch.int64).max


class _Recorder:
    """What is kept of a run, on the device: residuals, anchor products, iterates, and the first bad step."""

    def __init__(self, x0: torch.Tensor, at: np.ndarray, iterates: bool) -> None:
        self.at, self.x0, self.r = at, x0, 0
        self.residual, self.product = x0.new_zeros(2, len(x0), at.size)
        self.restarts = torch.zeros(len(x0), at.size, dtype=torch.int64, device=x0.device)
        self.count = torch.zeros(len(x0), dtype=torch.int64, device=x0.device)
        self.iterates = x0.new_empty(len(x0), at.size if iterates else 0, x0.shape[1])
        # sums of the operator values of the last steps, and the first step at which one was not finite
        self.sums = x0.new_zeros(_WINDOW, len(x0))
        self.bad = torch.full((len(x0),), _NEVER, dtype=torch.int64, device=x0.device)

    def watch(self, k: int, value: torch.Tensor) -> None:
        """Note whether the operator value of step k is finite: the sum of its entries tells, in one kernel a step."""
        torch.sum(value, dim=1, out=self.sums[k % _WINDOW])
        if k % _WINDOW == _WINDOW - 1:
            self.fold(k)

    def fold(self, k: int) -> None:
        """Look at the window that ends with step k."""
        first = k - k % _WINDOW
        window = self.sums[: k - first + 1]
        step = torch.arange(first, k + 1, device=window.device)[:, None]
        at = torch.where(torch.isfinite(window), _NEVER, step).amin(dim=0)
        self.bad = torch.minimum(self.bad, at)

    def due(self, k: int) -> bool:
        return self.r < self.at.size and k == self.at[self.r]

    def record(self, x: torch.Tensor, gap: torch.Tensor, product: bool) -> None:
        self.residual[:, self.r] = torch.linalg.vector_norm(gap, dim=1)
        self.restarts[:, self.r] = self.count
        if product:
            self.product[:, self.r] = (gap * (x - self.x0)).sum(dim=1)
        if self.iterates.shape[1]:
            self.iterates[:, self.r] = x
        self.r += 1

    def check(self, what: str, steps: int) -> None:
        """Raise where some value up to the last step was not finite; the one place that waits for the device."""
        self.fold(steps)
        bad = self.bad.cpu().numpy()
        raise_if_not_finite(what, np.where(bad == _NEVER, -1, bad), self.at, self.residual.cpu().numpy())


@torch.no_grad()
def _iterate(
    apply: Field,
    x0: torch.Tensor,
    weights: np.ndarray,
    at: np.ndarray,
    *,
    anchored: bool = True,
    errors: np.ndarray | None = None,
    period: int = 0,
    decrease: float = 0.0,
    keep: bool = False,
) -> tuple[torch.Tensor, _Recorder]:
    """x <- base + weight (T x + error - base) with base the anchor or x, for every row at once."""
    steps = weights.shape[1]
    # the weights of one step are a column; a shared weight stays a Python number and costs no traffic
    shared = [float(w) for w in weights[0]] if len(weights) == 1 else None
    columns = torch.tensor(weights.T[:, :, None], device=x0.device, dtype=x0.dtype)
    noise = None if errors is None else torch.tensor(errors, device=x0.device, dtype=x0.dtype)
    x = x0.clone()
    recorder = _Recorder(x0, at, keep)
    adaptive = decrease > 0
    anchor = x0.clone() if period or adaptive else x0
    since = torch.zeros(len(x0), dtype=torch.int64, device=x0.device)  # steps since the last restart, adaptive rule
    start = x0.new_zeros(len(x0))
    for k in range(steps + 1):
        value = apply(x)
        recorder.watch(k, value)
        if period and k and k % period == 0:
            anchor.copy_(x)
            recorder.count += 1
        if adaptive:
            gap = torch.linalg.vector_norm(x - value, dim=1)
            if k:
                due = gap <= decrease * start
                recorder.count += due
                since.masked_fill_(due, 0)
                anchor = torch.where(due[:, None], x, anchor)
                start = torch.where(due, gap, start)
            else:
                start = gap
        if recorder.due(k):
            recorder.record(x, x - value, product=True)
        if k < steps:
            if noise is not None:
                value = value + noise[:, k]
            base = anchor if anchored else x
            if adaptive:
                torch.lerp(base, value, columns[since, 0], out=x)
                since += 1
            else:
                j = k % period if period else k
                torch.lerp(base, value, shared[j] if shared else columns[j], out=x)
    recorder.check("T(x)", steps)
    return x, recorder


def _numpy(*tensors: torch.Tensor) -> list[np.ndarray]:
    return [t.cpu().numpy() for t in tensors]


def halpern(
    operator: Any,
    x0: torch.Tensor,
    steps: int,
    *,
    weights: Any = None,
    errors: Any = None,
    at: Any = None,
    iterates: bool = False,
) -> xr.Dataset:
    """Halpern iteration ``x_{k+1} = lam_k x_0 + (1 - lam_k) (T x_k + e_k)`` of a whole batch.

    Parameters
    ----------
    operator : Operator or callable
        Map T; a callable takes ``(B, d)`` on the device of `x0`, returns a new tensor and changes nothing.
    x0 : float64 or float32 tensor, (d,) or (B, d)
    steps, weights, errors, at, iterates
        As in `lemmata.sims.halpern.halpern`.

    Returns
    -------
    xarray.Dataset
        As in `lemmata.sims.halpern.halpern`, on the host.

    Raises
    ------
    TypeError, ShapeError, DomainError
        For bad input, before any step.
    NonFiniteError
        Where T gave NaN or infinity. The loop does not wait for the device, so it is raised after the last step;
        it carries the step at which it happened.
    """
    apply, x0 = _start(operator, x0)
    lam = halpern_weights(weights, steps, len(x0))
    at = recorded_steps(at, steps)
    e = evaluation_errors(errors, steps, tuple(x0.shape))
    x, run = _iterate(apply, x0, 1 - lam, at, errors=e, keep=iterates)
    last, residual, product, kept = _numpy(x, run.residual, run.product, run.iterates)
    return trace("halpern", "kernels", at, last, kept, residual=residual, anchor_product=product)


def krasnoselskii_mann(
    operator: Any, x0: torch.Tensor, steps: int, *, step: Any = 0.5, at: Any = None, iterates: bool = False
) -> xr.Dataset:
    """Krasnoselskii-Mann iteration ``x_{k+1} = (1 - g) x_k + g T x_k`` of a whole batch.

    Parameters, returns and errors as in `lemmata.sims.halpern.krasnoselskii_mann`, for tensors as in `halpern`.
    """
    apply, x0 = _start(operator, x0)
    weights = mann_weights(step, steps, len(x0))
    at = recorded_steps(at, steps)
    x, run = _iterate(apply, x0, weights, at, anchored=False, keep=iterates)
    last, residual, product, kept = _numpy(x, run.residual, run.product, run.iterates)
    return trace("krasnoselskii_mann", "kernels", at, last, kept, residual=residual, anchor_product=product)


def restarted(
    operator: Any,
    x0: torch.Tensor,
    steps: int,
    *,
    period: int | None = None,
    decrease: float | None = None,
    at: Any = None,
    iterates: bool = False,
) -> xr.Dataset:
    """Halpern's iteration with restarts, of a whole batch; each row restarts by its own residual.

    Parameters, returns and errors as in `lemmata.sims.halpern.restarted`, for tensors as in `halpern`.
    """
    apply, x0 = _start(operator, x0)
    lam = halpern_weights(None, steps, len(x0))
    at = recorded_steps(at, steps)
    period, decrease = restart_rule(period, decrease)
    x, run = _iterate(apply, x0, 1 - lam, at, period=period, decrease=decrease, keep=iterates)
    last, residual, restarts, kept = _numpy(x, run.residual, run.restarts, run.iterates)
    return trace("restarted", "kernels", at, last, kept, residual=residual, restarts=restarts)


@torch.no_grad()
def solve(
    operator: Any,
    x0: torch.Tensor,
    *,
    tol: float,
    max_steps: int = 10_000,
    weights: Any = None,
    every: int = 100,
    on_fail: str = "raise",
) -> xr.Dataset:
    """Run Halpern's iteration until ``||x_k - T x_k|| <= tol`` in every row.

    Parameters, returns and errors as in `lemmata.sims.halpern.solve`; a row keeps the first iterate that met
    the tolerance.

    Parameters
    ----------
    every : int
        Steps between two looks at the device, the only times the loop waits for it. Rows that are done stay put.
    """
    apply, x0 = _start(operator, x0)
    lam = halpern_weights(weights, max_steps, len(x0))
    check_solve(tol, on_fail)
    if every < 1:
        raise DomainError(f"every must be >= 1, got {every}")
    columns = torch.tensor(1 - lam.T[:, :, None], device=x0.device, dtype=x0.dtype)
    x = x0.clone()
    recorder = _Recorder(x0, np.empty(0, dtype=np.int64), False)
    done = torch.zeros(len(x0), 1, dtype=torch.bool, device=x0.device)
    reached = torch.full((len(x0),), max_steps, dtype=torch.int64, device=x0.device)
    residual = x0.new_full((len(x0),), torch.inf)
    for k in range(max_steps + 1):
        value = apply(x)
        recorder.watch(k, value)
        gap = torch.linalg.vector_norm(x - value, dim=1)
        residual = torch.where(done[:, 0], residual, gap)
        new = ~done[:, 0] & (gap <= tol)
        reached[new] = k
        done |= new[:, None]
        if k % every == 0 and bool(done.all()):
            break
        if k < max_steps:
            x = torch.where(done, x, torch.lerp(x0, value, columns[k]))
    recorder.check("T(x)", k)
    return solved("kernels", *_numpy(x, residual, reached), tol=tol, max_steps=max_steps, on_fail=on_fail)


@torch.no_grad()
def extragradient(
    operator: Any,
    z0: torch.Tensor,
    schedule: Extragradient,
    *,
    simplices: int = 0,
    at: Any = None,
    iterates: bool = False,
) -> xr.Dataset:
    """Extragradient iteration with anchor of a whole batch: EG, EAG-C, EAG-V and FEG by their schedules.

    Parameters, returns and errors as in `lemmata.sims.halpern.extragradient`, for tensors as in `halpern`.
    """
    apply, z0 = _start(operator, z0)
    check_schedule(schedule, simplices, z0.shape[1])
    at = recorded_steps(at, schedule.steps)

    def project(z: torch.Tensor) -> torch.Tensor:
        return _simplices(z, simplices) if simplices else z

    steps = [np.asarray(s, dtype=float).tolist() for s in (schedule.anchor, schedule.half, schedule.full)]
    z = z0.clone()
    recorder = _Recorder(z0, at, iterates)
    for k in range(schedule.steps + 1):
        value = apply(z)
        if recorder.due(k):
            recorder.record(z, z - project(z - value), product=False)
        if k == schedule.steps:
            recorder.watch(k, value)
            break
        b, half, full = (s[k] for s in steps)
        towards = z + b * (z0 - z)
        value_half = apply(project(towards - half * value))
        recorder.watch(k, value + value_half)
        z.copy_(project(towards - full * value_half))
    recorder.check("F(z)", schedule.steps)
    x, residual, kept = _numpy(z, recorder.residual, recorder.iterates)
    return trace(schedule.name, "kernels", at, x, kept, residual=residual)
