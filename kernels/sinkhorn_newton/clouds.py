"""Sinkhorn between point clouds of up to a million points: the cost is computed again whenever it is needed.

Memory is linear in the number of points. On a CUDA device tiles are worked off by Triton; anywhere else, and for a
user's cost, by torch in chunks of rows or columns. Both sides know P only by its row and column sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lemmata.errors import DomainError, NonFiniteError, NotConverged, ShapeError
from lemmata.kernels.sinkhorn_newton.batch import MASSES, check_float32, check_tensor
from lemmata.problems.sinkhorn_newton import NO_ENTROPY, check_masses, check_positive

__all__ = ["COSTS", "OnlineResult", "online", "to_tf32"]

Cost = Callable[[Tensor, Tensor], Tensor]

#: Numbers in a chunk of the cost, for a cost of d coordinates a pair divided by d.
ENTRIES = 2**22
#: Dimensions below which squared distances are summed from differences, which lose no digits.
FEW = 16
#: Steps after which delta must have fallen by 1e-4 of it.
WINDOW = 100


def to_tf32(x: Tensor) -> Tensor:
    """float32 rounded to the 10 bits of mantissa that a matrix unit reads."""
    return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def _sqeuclidean(x: Tensor, y: Tensor) -> Tensor:
    if x.shape[1] < FEW:
        total = (x[:, :1] - y[:, 0]).square()
        for k in range(1, x.shape[1]):
            total = total + (x[:, k, None] - y[:, k]).square()
        return total
    return x.square().sum(1)[:, None] + y.square().sum(1) - 2 * (x @ y.T)


def _euclidean(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _l1(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, p=1.0)


#: The named costs, as functions of points (n, d) and (m, d).
COSTS: dict[str, Cost] = {"sqeuclidean": _sqeuclidean, "euclidean": _euclidean, "l1": _l1}


def _log_sum(t: Tensor, dim: int) -> Tensor:
    """logsumexp, float64, that leaves out what is below the last digit before a CPU meets subnormals."""
    top = t.amax(dim, keepdim=True)
    low = -80.0 if t.dtype == torch.float32 else -700.0
    return (t - top).clamp_min_(low).exp_().sum(dim).double().log() + top.squeeze(dim).double()


class _TorchEngine:
    """The sums and gradients of `TritonEngine` for any cost, in chunks."""

    def __init__(self, x: Tensor, y: Tensor, cost: Cost, eps: float, numbers: int) -> None:
        self.x, self.y, self.cost, self.eps = x, y, cost, eps
        self.numbers = numbers  # that the cost needs for a pair
        self.lost = torch.zeros((), dtype=torch.bool, device=x.device)  # never: a maximum is kept throughout

    def _chunks(self, many: Tensor, other: Tensor, numbers: int) -> list[slice]:
        size = max(1, ENTRIES // (len(other) * numbers))
        return [slice(k, k + size) for k in range(0, len(many), size)]

    def rows(self, f: Tensor, g: Tensor, safe: bool) -> Tensor:
        """``log sum_j P_ij``, float64[n]."""
        F, G = f / self.eps, (g / self.eps).to(self.x.dtype)
        found = []
        for part in self._chunks(self.x, self.y, self.numbers):
            base = F[part].to(self.x.dtype)
            t = base[:, None] + G - self.cost(self.x[part], self.y) / self.eps
            found.append(_log_sum(t, 1) + (F[part] - base))  # what rounding took from F is put back
        return torch.cat(found)

    def columns(self, f: Tensor, g: Tensor, safe: bool) -> Tensor:
        """``log sum_i P_ij``, float64[m]."""
        F, G = (f / self.eps).to(self.x.dtype), g / self.eps
        found = []
        for part in self._chunks(self.y, self.x, self.numbers):
            base = G[part].to(self.x.dtype)
            t = F[:, None] + base - self.cost(self.x, self.y[part]) / self.eps
            found.append(_log_sum(t, 0) + (G[part] - base))
        return torch.cat(found)

    @torch.enable_grad()
    def gradient(self, f: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """``sum_j P_ij dC_ij/dx_i`` and ``sum_i P_ij dC_ij/dy_j``, by differentiating each chunk of the cost."""
        F, G = ((p / self.eps).to(self.x.dtype) for p in (f, g))
        y, by_x, by_y = self.y.detach().requires_grad_(), [], torch.zeros_like(self.y, dtype=torch.float64)
        for part in self._chunks(self.x, self.y, 2 * self.numbers + 4):
            x = self.x[part].detach().requires_grad_()
            C = self.cost(x, y)
            P = (F[part, None] + G - C.detach() / self.eps).exp()
            found = torch.autograd.grad((P * C).sum(), (x, y), materialize_grads=True)
            by_x.append(found[0])
            by_y += found[1]
        return torch.cat(by_x).double(), by_y

    def transform(self, g: Tensor) -> Tensor:
        """``min_j (C_ij - g_j)``, float64[n]."""
        chunks = self._chunks(self.x, self.y, self.numbers)
        return torch.cat([(self.cost(self.x[part], self.y) - g).amin(1) for part in chunks]).double()


class _Value(torch.autograd.Function):
    """The dual value, with the derivatives that the envelope theorem gives it, by one more pass over the pairs."""

    @staticmethod
    def forward(ctx, x, y, r, c, dual, f, g, engine):  # type: ignore[no-untyped-def]
        """The dual as it is."""
        ctx.save_for_backward(f, g)
        ctx.engine, ctx.dtypes = engine, [z.dtype for z in (x, y, r, c)]
        return dual.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, by_dual):  # type: ignore[no-untyped-def]
        """Gradients by points and masses."""
        f, g = ctx.saved_tensors
        by_x, by_y = ctx.engine.gradient(f, g) if any(ctx.needs_input_grad[:2]) else (None, None)
        found = [
            None if part is None or not needed else (by_dual * part).to(dtype)
            for part, needed, dtype in zip((by_x, by_y, f, g), ctx.needs_input_grad, ctx.dtypes, strict=False)
        ]
        return (*found, None, None, None, None)


@dataclass(frozen=True, eq=False)
class OnlineResult:
    """What `online` reached.

    Attributes
    ----------
    f, g : float64[n], float64[m]
        Potentials in the unit of the cost, shifted so that ``<r, f> = <c, g>``; the plan is
        ``exp((f_i + g_j - C_ij)/eps)``. Where there is no mass, ``f_i = min_j (C_ij - g_j)``.
    dual : float64[]
        D(f, g) of ``min <C, P> + eps sum P (log P - 1)``. Differentiable by points and masses.
    delta : float
        ``|P 1 - r|_1 + |P^T 1 - c|_1``, as measured by the last pass.
    status : {"converged", "stalled", "max_steps"}
    steps : int
        Sinkhorn steps.
    deltas : float64[steps + 1]
        delta before each step and at the end.
    eps : float
    engine : {"triton", "torch"}
    precision : {"float64", "float32", "tf32"}
        Of the sums over pairs.
    """

    f: Tensor
    g: Tensor
    dual: Tensor
    delta: float
    status: str
    steps: int
    deltas: np.ndarray = field(repr=False)
    eps: float
    engine: str
    precision: str

    @property
    def converged(self) -> bool:
        """Whether delta met the tolerance."""
        return self.status == "converged"


def online(
    x: Any,
    y: Any,
    r: Any,
    c: Any,
    eps: float,
    *,
    cost: Literal["sqeuclidean", "euclidean", "l1"] | Cost = "sqeuclidean",
    tol: float = 1e-4,
    max_steps: int = 1000,
    g: Any = None,
    precision: Literal["full", "tf32"] = "full",
    engine: Literal["auto", "triton", "torch"] = "auto",
    normalize: bool = False,
    on_fail: Literal["raise", "return"] = "raise",
    check_every: int | None = None,
) -> OnlineResult:
    """Sinkhorn's iteration between two clouds of points, without their cost matrix.

    Parameters
    ----------
    x, y : float64 or float32 tensor, (n, d) and (m, d)
        Points. Their type is that of the sums over pairs; potentials are float64 throughout.
    r, c : float tensor, (n,) and (m,)
        Masses >= 0 of equal total.
    eps : float
        Temperature, in the unit of the cost.
    cost : str or callable
        A name, or a torch function of ``(k, d)`` and ``(l, d)`` that returns ``(k, l)``; it is called on chunks and,
        for gradients by the points, differentiated.
    tol : float
        Bound on ``delta = |P 1 - r|_1 + |P^T 1 - c|_1``, relative to the total mass; it is measured by the pass that
        updates g.
    max_steps : int
        Limit of Sinkhorn steps, each two passes over the pairs.
    g : float tensor, (m,), optional
        Where to start: another result's g, from a higher temperature say.
    precision : {"full", "tf32"}
        "tf32": for squared distances of float32 points, products by the matrix units in TF32. The points, taken from
        their centre, are rounded to 10 bits of mantissa, and the problem solved is exactly that of the rounded
        points, delta included: a point at distance R from the centre moves by up to ``2^-11 R``, so that a squared
        distance s changes by up to ``2^-9 R sqrt(s)``.
    engine : {"auto", "triton", "torch"}
        "auto" takes Triton for a named cost on a CUDA device.
    normalize : bool
        Divide r and c each by its sum.
    on_fail : {"raise", "return"}
        What to do where `tol` is not met.
    check_every : int, optional
        Steps between two looks of the host at the device; by default 10, and 1 from 10^8 pairs on.

    Returns
    -------
    OnlineResult

    Raises
    ------
    TypeError, ShapeError, NonFiniteError
        For arrays of the wrong type or shape, or with NaN or infinity, from the cost too.
    DomainError
        For eps <= 0, a negative mass, unequal totals or a bad option. In float32 also for costs that reach more than
        1e5 eps, and for ``tol < 1e-6 max(1, largest cost/(100 eps))``, which its rounding hides.
    NotConverged
        Where `tol` is not met; `result` is attached.

    Notes
    -----
    Memory: about ``2 (n + m) (d + 10)`` numbers, and with torch a few chunks of 4 million.

    In float32 a potential of F temperatures carries a relative error of about ``6e-8 F`` into a row of the plan, and
    delta falls no lower than that. The distances add little below 16 dimensions; from 16 on, where they are made of
    products, they are off by about ``6e-8 R^2``, which delta, measured with the same distances, does not show.

    References
    ----------
    Cuturi 2013; Feydy, Séjourné, Vialard, Amari, Trouvé and Peyré 2019 for the form without a cost matrix.
    """
    x, y = check_tensor("x", x, 2), check_tensor("y", y, 2)
    r, c = check_tensor("r", r, 1), check_tensor("c", c, 1)
    _check_points(x, y, r, c)
    eps, tol = check_positive("eps", eps, NO_ENTROPY), check_positive("tol", tol)
    chosen = _check_options(x.detach(), y.detach(), cost, eps, tol, max_steps, precision, engine, on_fail, check_every)
    if check_every is None:
        check_every = 1 if len(x) * len(y) >= 10**8 else 10
    host = [mass.detach().double().cpu().numpy() for mass in (r, c)]
    check_masses(*host, normalize=normalize, tolerance=max(MASSES[r.dtype], MASSES[c.dtype]))
    if normalize:
        r, c = r / r.sum(), c / c.sum()
    rows, columns = (None if mass.all() else torch.from_numpy(mass > 0).to(x.device) for mass in host)
    some_x, some_r = (x, r) if rows is None else (x[rows], r[rows])
    some_y, some_c = (y, c) if columns is None else (y[columns], c[columns])
    start = None if g is None else check_tensor("g", g, 1)
    if start is not None and len(start) != len(c):
        raise ShapeError(f"g must have {len(c)} entries, got {len(start)}")
    if start is not None and columns is not None:
        start = start[columns]
    with torch.no_grad():
        sums = _engine(chosen, some_x.detach(), some_y.detach(), cost, eps, precision)
        masses = some_r.detach().double(), some_c.detach().double()
        some_f, some_g, S, deltas, status = _iterate(sums, *masses, eps, tol, max_steps, start, check_every)
        total = masses[0].sum()
        shift = ((masses[1] * some_g).sum() - (masses[0] * some_f).sum()) / (2 * total)
        some_f, some_g = some_f + shift, some_g - shift
        dual = (masses[0] * some_f).sum() + (masses[1] * some_g).sum() - eps * S.sum()
        whole_f = _everywhere(some_f, rows, x, some_y, some_g, cost, False)
        whole_g = _everywhere(some_g, columns, y, some_x, some_f, cost, True)
    if torch.is_grad_enabled() and any(z.requires_grad for z in (x, y, r, c)):
        dual = _Value.apply(some_x, some_y, some_r, some_c, dual, some_f, some_g, sums)
    label = "tf32" if precision == "tf32" else str(x.dtype).removeprefix("torch.")
    steps = len(deltas) - 1
    result = OnlineResult(whole_f, whole_g, dual, float(deltas[-1]), status, steps, deltas, eps, chosen, label)
    if status != "converged" and on_fail == "raise":
        raise NotConverged(
            f"online Sinkhorn {'stalled' if status == 'stalled' else 'spent its steps'} at delta = {deltas[-1]:.3g} > "
            f"{tol * float(total):.3g} after {steps} steps; raise max_steps or eps, loosen tol, pass float64 points, "
            "or take on_fail='return'",
            result,
        )
    return result


def _check_points(x: Tensor, y: Tensor, r: Tensor, c: Tensor) -> None:
    if x.dtype != y.dtype:
        raise TypeError(f"x and y must have one dtype, got {x.dtype} and {y.dtype}")
    if not x.device == y.device == r.device == c.device:
        where = ", ".join(f"{name} on {z.device}" for name, z in (("x", x), ("y", y), ("r", r), ("c", c)))
        raise DomainError(f"points and masses must lie on one device, got {where}")
    if x.shape[1] != y.shape[1]:
        raise ShapeError(f"x has {x.shape[1]} coordinates, y has {y.shape[1]}")
    for name, mass, other, points in (("r", r, "x", x), ("c", c, "y", y)):
        if len(mass) != len(points):
            raise ShapeError(f"{other} has {len(points)} points, {name} has {len(mass)} entries")


def _check_options(
    x: Tensor,
    y: Tensor,
    cost: Any,
    eps: float,
    tol: float,
    max_steps: int,
    precision: str,
    engine: str,
    on_fail: str,
    check_every: int | None,
) -> str:
    """The engine to take."""
    if not callable(cost) and cost not in COSTS:
        raise DomainError(f"cost must be a function or one of {', '.join(COSTS)}, got {cost!r}")
    if on_fail not in ("raise", "return"):
        raise DomainError(f"on_fail must be 'raise' or 'return', got {on_fail!r}")
    if max_steps < 0 or (check_every is not None and check_every < 1):
        raise DomainError(f"max_steps must be >= 0 and check_every >= 1, got {max_steps} and {check_every}")
    if precision not in ("full", "tf32"):
        raise DomainError(f"precision must be 'full' or 'tf32', got {precision!r}")
    if precision == "tf32" and (cost != "sqeuclidean" or x.dtype != torch.float32):
        raise DomainError(f"TF32 is for squared distances of float32 points, got cost {cost!r} and {x.dtype}")
    if engine not in ("auto", "triton", "torch"):
        raise DomainError(f"engine must be 'auto', 'triton' or 'torch', got {engine!r}")
    numbers = x.shape[1] * max(len(x), len(y))
    if engine == "triton" and (callable(cost) or numbers >= 2**31):
        raise DomainError(f"Triton knows the costs {', '.join(COSTS)}, of fewer than 2^31 coordinates; take 'torch'")
    if x.dtype == torch.float32 and not callable(cost):
        span = torch.maximum(x.amax(0), y.amax(0)).double() - torch.minimum(x.amin(0), y.amin(0)).double()
        largest = float({"sqeuclidean": span.square().sum(), "euclidean": span.norm(), "l1": span.sum()}[cost])
        check_float32(largest / eps, tol)
    if engine == "auto":
        able = x.is_cuda and not callable(cost) and numbers < 2**31 and find_spec("triton")
        engine = "triton" if able else "torch"
    return engine


def _engine(name: str, x: Tensor, y: Tensor, cost: Any, eps: float, precision: str) -> Any:
    if name == "triton":
        from lemmata.kernels.sinkhorn_newton._clouds_triton import TritonEngine

        return TritonEngine(x, y, cost, eps, precision)
    if callable(cost):
        probe, expected = cost(x[:2], y[:3]), (len(x[:2]), len(y[:3]))
        if not isinstance(probe, Tensor) or probe.shape != expected:
            got = tuple(probe.shape) if isinstance(probe, Tensor) else type(probe).__name__
            raise ShapeError(
                f"the cost of {expected[0]} and {expected[1]} points must have shape {expected}, got {got}"
            )
        return _TorchEngine(x, y, cost, eps, x.shape[1])
    centre = (x.mean(0) + y.mean(0)) / 2  # squares lose no digits to a common shift
    x, y = x - centre, y - centre
    if precision == "tf32":
        x, y = to_tf32(x), to_tf32(y)
    return _TorchEngine(x, y, COSTS[cost], eps, 1)


def _iterate(
    sums: Any, r: Tensor, c: Tensor, eps: float, tol: float, max_steps: int, g: Tensor | None, check_every: int
) -> tuple[Tensor, Tensor, Tensor, np.ndarray, str]:
    """Potentials at which rows are exact, the column sums there, delta before each step and at the end, and status."""
    log_r, log_c, bound = r.log(), c.log(), tol * r.sum()
    g = torch.zeros_like(c) if g is None else g.to(c).clone()
    f = eps * (log_r - sums.rows(torch.zeros_like(r), g, False))
    S, active = torch.zeros_like(c), torch.ones((), dtype=torch.bool, device=c.device)
    deltas: list[Tensor] = []
    seen, status, safe = np.empty(0), "max_steps", False
    for k in range(max_steps + 1):
        L = sums.columns(f, g, safe)
        S = torch.where(active, L.exp(), S)
        deltas.append((S - c).abs().sum())
        active = deltas[-1] > bound
        if k % check_every == 0 or k == max_steps:
            seen = np.concatenate([seen, torch.stack(deltas).cpu().numpy()])
            deltas.clear()
            if not np.isfinite(seen[-1]):
                raise NonFiniteError(f"the sums of the plan are not finite at step {k}: look at the cost", step=k)
            if not bool(active):
                status = "converged"
                break
            if k >= WINDOW and seen[-1] > 0.9999 * seen[k - WINDOW]:
                status = "stalled"
                break
            safe = k > 0 and not bool(sums.lost)
            sums.lost.zero_()
        if k < max_steps:
            g = torch.where(active, g + eps * (log_c - L), g)
            f = torch.where(active, f + eps * (log_r - sums.rows(f, g, safe)), f)
    # behind the step that met the tolerance nothing moved
    last = int(np.argmax(seen <= float(bound))) if status == "converged" else len(seen) - 1
    return f, g, S, seen[: last + 1], status


def _everywhere(
    some: Tensor, mask: Tensor | None, points: Tensor, others: Tensor, potential: Tensor, cost: Any, swapped: bool
) -> Tensor:
    """Potentials of all points: by the c-transform where there is no mass."""
    if mask is None:
        return some
    function = cost if callable(cost) else COSTS[cost]
    turned = (lambda a, b: function(b, a).T) if swapped else function
    whole = some.new_empty(len(points))
    whole[mask] = some
    rest = _TorchEngine(points[~mask].detach(), others.detach(), turned, 1.0, points.shape[1])
    whole[~mask] = rest.transform(potential)
    return whole
