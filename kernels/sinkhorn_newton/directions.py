"""Newton directions of the dual for a batch: dense, and sparse with conjugate gradients.

With rows exact (``P 1 = r``) the Newton system of the dual is, after elimination of the rows, the one of the
semi-dual ``h(g) = max_f D(f, g)``:

    (diag(S) - P' diag(1/r) P) b = c - S,      S = P' 1,

for the step ``eps b`` of g; f follows by a row update. Its kernel is the constant vector. With
``B_ij = P_ij / sqrt(r_i S_j)`` and ``y = sqrt(S) b`` it reads ``(I - B'B) y = (c - S)/sqrt(S)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "Direction",
    "budgeted",
    "conjugate_gradients",
    "dense_direction",
    "factorised",
    "scaled",
    "sparse_direction",
    "top",
]

#: First shift of a matrix that rounding has made indefinite.
FLOOR = 1e-13
#: A row or column with more than this share of its entries is not worth storing by indices.
DENSE = 1 / 8


class Direction(NamedTuple):
    """Step of g in units of eps, the entries kept of P and the conjugate-gradient steps spent, by item."""

    b: Tensor
    kept: Tensor
    cg_steps: Tensor


def scaled(P: Tensor, r: Tensor, S: Tensor) -> tuple[Tensor, Tensor]:
    """``B_ij = P_ij / sqrt(r_i S_j)`` and the roots of S, with ones where there is no mass."""
    left, root = torch.where(r > 0, r, 1.0).sqrt(), torch.where(S > 0, S, 1.0).sqrt()
    return P / (left[:, :, None] * root[:, None, :]), root


def factorised(B: Tensor, gauge: Tensor, right: Tensor, shift: Tensor) -> Tensor:
    """y with ``((1 + shift) I - B'B) y = right`` off the gauge, by Cholesky factorisation.

    Parameters
    ----------
    B : float64[B, n, m]
    gauge : float64[B, m]
        Kernel of ``I - B'B``, of length 1.
    right : float64[B, m]
    shift : float64[B]
        Raised where a plan in nearly separate parts has left more kernel than one dimension, up to rounding.
    """
    product = B.mT @ B
    product -= gauge[:, :, None] * gauge[:, None, :]
    while True:
        lifted = -product
        lifted.diagonal(dim1=-2, dim2=-1).add_(1 + shift[:, None])
        factor, info = torch.linalg.cholesky_ex(lifted)
        if not bool(info.any()):
            return torch.cholesky_solve(right[:, :, None], factor)[:, :, 0]
        shift = torch.where(info > 0, (10 * shift).clamp_min(FLOOR), shift)


def dense_direction(P: Tensor, r: Tensor, c: Tensor, S: Tensor) -> Direction:
    """The exact Newton direction, by Cholesky factorisation of m x m matrices.

    Parameters
    ----------
    P : float64[B, n, m]
        Plans with row sums r and column sums S.
    r, c, S : float64[B, n], float64[B, m], float64[B, m]
    """
    B, root = scaled(P, r, S)
    gauge = (S / S.sum(-1, True)).sqrt()
    b = factorised(B, gauge, (c - S) / root, torch.zeros_like(S[:, 0])) / root
    count = torch.full(S.shape[:1], P[0].numel(), device=S.device)
    return Direction(b, count, torch.zeros_like(count))


# --------------------------------------------------------------------------------- which entries are kept


def budgeted(P: Tensor, r: Tensor, c: Tensor, nu: Tensor) -> Tensor:
    """Entries that stay when each row and each column may lose a share nu of its mass, bool[B, n, m].

    An entry is kept if its row or its column needs it: the smallest entries of row i are dropped while their mass is
    at most ``nu r_i``, and of column j while it is at most ``nu c_j``. Sorts P twice.
    """
    return (_cut(P, nu[:, None] * r)[:, :, None] <= P) | (_cut(P.mT, nu[:, None] * c)[:, None, :] <= P)


def _cut(P: Tensor, spare: Tensor) -> Tensor:
    """The least entry of each row that the budget cannot spare, infinite where it can spare all."""
    ordered = P.sort(-1).values
    count = (ordered.cumsum(-1) <= spare[:, :, None]).sum(-1, True)
    least = ordered.gather(-1, count.clamp_max(P.shape[-1] - 1))
    return torch.where(count < P.shape[-1], least, torch.inf)[:, :, 0]


def top(P: Tensor, density: float) -> Tensor:
    """The ``ceil(density n m)`` largest entries of each plan, the rule of Tang et al. 2024, bool[B, n, m]."""
    size = P[0].numel()
    count = min(int(-(-density * size // 1)), size)
    least = P.flatten(1).kthvalue(size - count + 1).values
    return least[:, None, None] <= P


# ------------------------------------------------------------------------------------- the sparse system


def _products(B: Tensor, keep: Tensor) -> Callable[[Tensor], Tensor]:
    """``y -> B'B y`` for what is kept of B.

    Few entries a row: gathered by rows and by columns, so that sums run in one order and nothing is added atomically.
    """
    n, m = B.shape[-2:]
    widths = torch.stack([keep.sum(-1).amax(), keep.sum(-2).amax()]).tolist()
    B = torch.where(keep, B, 0.0)
    if widths[0] > DENSE * m or widths[1] > DENSE * n:
        return lambda y: (B.mT @ (B @ y[:, :, None]))[:, :, 0]
    by_row, by_column = B.topk(widths[0], -1), B.mT.topk(widths[1], -1)

    def gather(x: Tensor, index: Tensor) -> Tensor:
        return x.gather(-1, index.flatten(1)).view(index.shape)

    def product(y: Tensor) -> Tensor:
        x = (by_row.values * gather(y, by_row.indices)).sum(-1)
        return (by_column.values * gather(x, by_column.indices)).sum(-1)

    return product


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    gauge: Tensor,
    residual: Tensor,
    shift: Tensor,
    tol: Tensor,
    max_steps: int,
    check_every: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """y with ``((1 + shift) I - B'B) y = residual`` off the gauge, the steps spent, and whether tol was met, by item.

    Items that are done stay put; that all are is looked at every `check_every` steps.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(-1, True)

    residual = residual - dot(gauge, residual) * gauge
    y, p = torch.zeros_like(residual), residual
    square = dot(residual, residual)
    target = tol[:, None] ** 2 * square
    active = square > target
    steps = torch.zeros(len(y), dtype=torch.int64, device=y.device)
    for k in range(max_steps):
        if k % check_every == 0 and not bool(active.any()):
            break
        image = (1 + shift[:, None]) * p - product(p)
        image = image - dot(gauge, image) * gauge
        curvature = dot(p, image)
        active = active & (curvature > 0)
        alpha = torch.where(active, square / curvature, 0.0)
        y, residual = y + alpha * p, residual - alpha * image
        before, square = square, torch.where(active, dot(residual, residual), square)
        p = torch.where(active, residual + (square / before) * p, p)
        steps += active[:, 0]
        active = active & (square > target)
    return y, steps, (square <= target)[:, 0]


def sparse_direction(
    P: Tensor, keep: Tensor, r: Tensor, c: Tensor, S: Tensor, *, shift: Tensor, tol: Tensor, check_every: int
) -> Direction:
    """A Newton direction with P truncated off the diagonal of the system, the diagonal itself exact.

    The exact diagonal keeps the system positive semidefinite whatever is dropped; thresholded, it would be singular,
    with one dimension of kernel for each connected part of what is kept.

    Parameters
    ----------
    P : float64[B, n, m]
    keep : bool[B, n, m]
        Entries kept.
    r, c, S : float64[B, n], float64[B, m], float64[B, m]
        Row sums, the column sums wanted, and those of the whole plan.
    shift : float64[B]
        Bounds the condition number by 2/shift.
    tol : float64[B]
        Relative residual at which conjugate gradients stop. Where they do not within m/2 + 100 steps, the system
        is factorised.
    check_every : int
    """
    B, root = scaled(P, r, S)
    gauge, right = (S / S.sum(-1, True)).sqrt(), (c - S) / root
    solved = conjugate_gradients(_products(B, keep), gauge, right, shift, tol, S.shape[-1] // 2 + 100, check_every)
    y, steps, done = solved
    if not bool(done.all()):
        items = torch.nonzero(~done)[:, 0]
        kept = torch.where(keep[items], B[items], 0.0)
        y[items] = factorised(kept, gauge[items], right[items], shift[items])
    return Direction(y / root, keep.sum((-2, -1)), steps)
