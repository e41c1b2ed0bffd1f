"""Plans of a batch: rounding to exact marginals, bounds on the exact optimum, gradients through the solution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lemmata.errors import DomainError, ShapeError
from lemmata.kernels.sinkhorn_newton.batch import batch_size, check_masses_of_items, check_tensor
from lemmata.kernels.sinkhorn_newton.directions import factorised, scaled
from lemmata.problems.sinkhorn_newton import NO_ENTROPY, Gradient, check_positive, rounded

__all__ = ["Potentials", "c_transform", "plan_gradient", "round_plan"]


def round_plan(F: Any, r: Any, c: Any) -> Tensor:
    """The nearby plan with exact marginals: scale rows down, scale columns down, add what is missing.

    As `lemmata.sims.sinkhorn_newton.round_plan`, differentiable.

    Parameters
    ----------
    F : float tensor, (n, m) or (B, n, m)
        Nonnegative.
    r, c : float tensor, (n,) or (B, n), and (m,) or (B, m)
        Masses of equal total.

    Returns
    -------
    float[n, m] or float[B, n, m]

    Raises
    ------
    ShapeError, DomainError
        For arrays that do not fit, a negative entry or mass, or unequal totals.
    """
    F, r, c = check_tensor("F", F, 2, 3), check_tensor("r", r, 1, 2), check_tensor("c", c, 1, 2)
    if F.shape[-2:] != (r.shape[-1], c.shape[-1]):
        raise ShapeError(f"F has shape {tuple(F.shape[-2:])}, the masses ask for {(r.shape[-1], c.shape[-1])}")
    batch_size((F, 2), (r, 1), (c, 1))
    if bool((F < 0).any()):
        raise DomainError(f"F holds a negative entry, {float(F.min()):g}")
    check_masses_of_items(r, c)
    return rounded(F, r, c)


def c_transform(C: Any, f: Any) -> Tensor:
    """``g_j = min_i (C_ij - f_i)``, the largest g that is feasible with f for the unregularised dual.

    For any f, ``<r, f> + <c, g>`` is a lower bound of the exact optimum.

    Parameters
    ----------
    C : float tensor, (n, m) or (B, n, m)
        Cost; +inf forbids a pair.
    f : float tensor, (n,) or (B, n)

    Returns
    -------
    float[m] or float[B, m]
    """
    C, f = check_tensor("cost", C, 2, 3, allow_infinite=True), check_tensor("f", f, 1, 2)
    if f.shape[-1] != C.shape[-2]:
        raise ShapeError(f"the cost has {C.shape[-2]} rows, f has {f.shape[-1]} entries")
    batch_size((C, 2), (f, 1))
    return (C - f[..., :, None]).amin(-2)


def adjoint(P: Tensor, right_r: Tensor, right_c: Tensor) -> tuple[Tensor, Tensor]:
    """(x, y) with ``M (x, y) = (right_r, right_c)``, ``M = [[diag(P1), P], [P^T, diag(P^T 1)]]``, float[B, ...].

    The right side must be orthogonal to (1, -1), the kernel of M.
    """
    r, c = P.sum(-1), P.sum(-2)
    B, root = scaled(P, r, c)
    r = torch.where(r > 0, r, 1.0)
    schur = right_c - (P.mT @ (right_r / r)[:, :, None])[:, :, 0]
    y = factorised(B, (c / c.sum(-1, True)).sqrt(), schur / root, torch.zeros_like(c[:, 0])) / root
    return (right_r - (P @ y[:, :, None])[:, :, 0]) / r, y


def plan_gradient(C: Any, P: Any, eps: Any, W: Any) -> Gradient:
    """Gradient of L(P(C, r, c, eps)) where dL/dP = W at the solution P, by the implicit function theorem.

    As `lemmata.sims.sinkhorn_newton.plan_gradient`, for a problem or a batch.

    Parameters
    ----------
    C, P, W : float tensor, (n, m) or (B, n, m)
        Cost, the converged plan, and dL/dP.
    eps : float or tensor (B,)

    Returns
    -------
    Gradient

    Notes
    -----
    One Cholesky factorisation of m x m an item, nothing unrolled. The same comes from
    ``solve(C, r, c, eps).P.backward(W)`` where C requires a gradient.
    """
    C = check_tensor("cost", C, 2, 3, allow_infinite=True)
    P, W = check_tensor("P", P, 2, 3), check_tensor("W", W, 2, 3)
    if not C.shape == P.shape == W.shape:
        raise ShapeError(f"C, P and W must have one shape, got {tuple(C.shape)}, {tuple(P.shape)}, {tuple(W.shape)}")
    eps = torch.as_tensor(eps, dtype=P.dtype, device=P.device)
    items = len(P) if P.ndim == 3 else 1
    if eps.ndim > 1 or eps.numel() not in (1, items):
        raise ShapeError(f"eps must be one number or one for each of {items} items, got shape {tuple(eps.shape)}")
    for value in eps.reshape(-1).tolist():
        check_positive("eps", value, NO_ENTROPY)
    if bool((P < 0).any()):
        raise DomainError(f"P holds a negative entry, {float(P.min()):g}")
    if not bool((P.sum(-1) > 0).all() and (P.sum(-2) > 0).all()):
        raise DomainError("P has an empty row or column: leave rows and columns without mass out")
    single = P.ndim == 2
    C, P, W = (x.reshape(-1, *x.shape[-2:]) for x in (C, P, W))
    eps = eps.expand(items)
    x, y = adjoint(P, (W * P).sum(-1), (W * P).sum(-2))
    by_cost = -P * (W - x[:, :, None] - y[:, None, :]) / eps[:, None, None]
    by_eps = -(by_cost * torch.where(P > 0, C, 0.0)).sum((-2, -1)) / eps
    found = Gradient(by_cost, x, y, by_eps)
    return Gradient(*(part[0] for part in found)) if single else found


class Potentials(torch.autograd.Function):
    """Attaches a solution (f, g) to the cost, masses and temperatures that it solves for.

    Forward gives f and g as they are. Backward is the implicit function theorem: for gradients (f', g') solve
    ``M (x, y) = eps (f', g')``; then ``dL/dr = x``, ``dL/dc = y``, ``dL/dC_ij = P_ij (x_i + y_j)/eps``.
    """

    @staticmethod
    def forward(ctx, C, r, c, eps, f, g):  # type: ignore[no-untyped-def]
        """(f, g), any solution for C [B or 1, n, m], r [B, n], c [B, m], eps [B]."""
        ctx.save_for_backward(C, eps, f, g)
        return f.clone(), g.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, by_f, by_g):  # type: ignore[no-untyped-def]
        """Gradients by C, r, c and eps."""
        C, eps, f, g = ctx.saved_tensors
        s = (f[:, :, None] + g[:, None, :] - C) / eps[:, None, None]
        P = s.exp()
        x, y = adjoint(P, eps[:, None] * by_f, eps[:, None] * by_g)
        by_cost = P * (x[:, :, None] + y[:, None, :]) / eps[:, None, None]
        by_eps = (by_cost * torch.where(P > 0, s, 0.0)).sum((-2, -1))
        return by_cost.sum_to_size(C.shape), x, y, by_eps, None, None
