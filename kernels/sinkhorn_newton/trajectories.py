"""The potentials along Sinkhorn's and Newton's iterations of a batch, every point kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from lemmata.errors import DomainError
from lemmata.kernels.sinkhorn_newton.batch import Batch, Data, check, check_potential, reduce
from lemmata.kernels.sinkhorn_newton.directions import top
from lemmata.problems.sinkhorn_newton import check_trajectory
from lemmata.results import dataset

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["newton", "sinkhorn"]

#: Entries of plans that are formed at once when a trajectory is measured.
ENTRIES = 2**22


@torch.no_grad()
def sinkhorn(
    C: Any, r: Any, c: Any, eps: Any, steps: int, *, omega: float = 1.0, f: Any = None, g: Any = None
) -> xr.Dataset:
    """The potentials along Sinkhorn's iteration, after each half step, of a problem or a batch.

    Parameters and returns as in `lemmata.sims.sinkhorn_newton.sinkhorn`, for tensors as in `solve`; for a batch with an
    axis "item" in front. The loop never waits for the device. Memory: ``2 steps (n + m)`` numbers an item.
    """
    check_trajectory(steps, omega=omega)
    data = _positive(C, r, c, eps)
    batch, f, g = _start(data, f, g)
    cost, scale = batch.C, data.eps[:, None]
    points = [(f, g)]
    for _ in range(steps):
        exact = scale * (batch.log_r - ((g[:, None, :] - cost) / scale[:, None]).logsumexp(-1))
        f = f + omega * (exact - f)
        points.append((f, g))
        exact = scale * (batch.log_c - ((f[:, :, None] - cost) / scale[:, None]).logsumexp(-2))
        g = g + omega * (exact - g)
        points.append((f, g))
    return _points(data, batch, points, "half_step", "sinkhorn")


@torch.no_grad()
def newton(
    C: Any,
    r: Any,
    c: Any,
    eps: Any,
    f: Any,
    g: Any,
    steps: int,
    *,
    density: float | None = None,
    diagonal: Literal["exact", "kept"] = "exact",
    damped: bool = False,
) -> xr.Dataset:
    """The potentials along Newton's iteration on D, both moved at once, nothing in between, of a problem or a batch.

    Parameters and returns as in `lemmata.sims.sinkhorn_newton.newton`, for tensors as in `solve`; for a batch with an
    axis "item" in front. Memory: a few matrices ``(n + m) x (n + m)`` an item.
    """
    if diagonal not in ("exact", "kept"):
        raise DomainError(f"diagonal must be 'exact' or 'kept', got {diagonal!r}")
    check_trajectory(steps, density=density)
    data = _positive(C, r, c, eps)
    batch, f, g = _start(data, f, g)
    scale = data.eps[:, None]
    points = [(f, g)]
    for _ in range(steps):
        P = batch.plan(f, g, data.eps)
        S = P if density is None else torch.where(top(P, density), P, 0.0)
        D = P if diagonal == "exact" else S
        M = torch.cat(
            [
                torch.cat([torch.diag_embed(D.sum(-1)), S], -1),
                torch.cat([S.mT, torch.diag_embed(D.sum(-2))], -1),
            ],
            -2,
        )
        right = torch.cat([data.r - P.sum(-1), data.c - P.sum(-2)], -1)
        step = (torch.linalg.pinv(M, hermitian=True) @ right[:, :, None])[:, :, 0]
        a, b = step.split([f.shape[-1], g.shape[-1]], -1)
        if damped:
            move = (a[:, :, None] + b[:, None, :]).abs().amax((-2, -1))
            size = torch.where(move > 0, torch.log1p(move) / move, 1.0)[:, None]
            a, b = size * a, size * b
        f, g = f + scale * a, g + scale * b
        points.append((f, g))
    return _points(data, batch, points, "step", "newton")


def _positive(C: Any, r: Any, c: Any, eps: Any) -> Data:
    data = check(C, r, c, eps, normalize=False, allow_forbidden=False)
    if not bool((data.r > 0).all() and (data.c > 0).all()):
        raise DomainError("a trajectory needs positive masses: leave the rows and columns without mass out")
    return data


def _start(data: Data, f: Any, g: Any) -> tuple[Batch, Tensor, Tensor]:
    """The reduced problems, whose exponents keep digits that a large common part of the cost would take, and (f, g)."""
    given = (("f", f, data.r), ("g", g, data.c))
    f, g = (torch.zeros_like(mass) if x is None else check_potential(name, x, mass) for name, x, mass in given)
    batch = reduce(data)
    return batch, f - batch.u, g - batch.v


def _points(data: Data, batch: Batch, points: list[tuple[Tensor, Tensor]], axis: str, method: str) -> xr.Dataset:
    cost, u, v = batch.C, batch.u, batch.v
    fs, gs = (torch.stack(x, 1) for x in zip(*points, strict=True))
    eps, delta, mass = data.eps[:, None, None, None], [], []
    size = max(1, ENTRIES // (len(fs) * cost[0].numel()))
    for f, g in zip(fs.split(size, 1), gs.split(size, 1), strict=True):
        P = ((f[:, :, :, None] + g[:, :, None, :] - cost[:, None]) / eps).exp_()
        rows, columns = P.sum(-1), P.sum(-2)
        delta.append((rows - data.r[:, None]).abs().sum(-1) + (columns - data.c[:, None]).abs().sum(-1))
        mass.append(rows.sum(-1))
    offset = (data.r * u).sum(-1) + (data.c * v).sum(-1)
    dual = (data.r[:, None] * fs).sum(-1) + (data.c[:, None] * gs).sum(-1)
    dual = dual - data.eps[:, None] * torch.cat(mass, 1) + offset[:, None]
    found = [fs + u[:, None], gs + v[:, None], torch.cat(delta, 1), dual]
    values = [(x[0] if data.single else x).cpu().numpy() for x in found]
    dims = (axis,) if data.single else ("item", axis)
    return dataset(
        {
            "f": ((*dims, "row"), values[0], "unit of the cost"),
            "g": ((*dims, "column"), values[1], "unit of the cost"),
            "delta": (dims, values[2], "L1 marginal error"),
            "dual": (dims, values[3], "unit of the cost"),
        },
        {axis: np.arange(len(points))},
        method=method,
        backend="kernels",
        eps=float(data.eps[0]) if data.single else data.eps.cpu().numpy(),
    )
