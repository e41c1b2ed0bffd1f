"""Derivatives of a mean field by the implicit function theorem.

At ``q = softmax(t)`` with ``t = Phi q + b`` a change of t by dt moves q by ``dq = J (dt + Phi dq)``, J the covariance
of the nodes. ``J = R R'`` with ``R = diag(s)(I - s s')``, ``s = sqrt(q)`` in every node, so that

    dq = R (I - R' Phi R)^{-1} R' dt,

symmetric and positive semidefinite. The matrix has eigenvalues in ``[(1 + m)/2, (1 + L)/2]``: conjugate gradients need
of order ``sqrt(L)`` products with Phi. There is no logarithm and no quotient of q, which may be zero.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lemmata.errors import DomainError, NotConverged
from lemmata.kernels.monotone_dbm.interactions import Interactions
from lemmata.kernels.monotone_dbm.prox import each_node

__all__ = ["attach", "check_tol", "response"]

#: conjugate-gradient steps between two looks at the residuals
LOOK = 4


def _node_sum(x: Tensor, states: tuple[int, ...]) -> Tensor:
    """The sum over each node, at all its entries."""
    return each_node(lambda y: y.sum(-1, keepdim=True).expand_as(y), x, states)


def check_tol(tol: float | None) -> None:
    """Refuse a relative tolerance of the derivatives outside (0, 1)."""
    if tol is not None and not 0 < tol < 1:  # a NaN is refused too; from 1 on the answer would be 0
        raise DomainError(f"the tolerance of derivatives is relative: it must lie in (0, 1), got {tol!r}")


@torch.no_grad()
def response(
    phi: Interactions, q: Tensor, held: Tensor, v: Tensor, *, tol: float | None = None, max_steps: int = 1000
) -> Tensor:
    """``dq/db v``, the response of the mean field q to a change v of the biases, for every sample.

    Parameters
    ----------
    phi : Interactions
    q : tensor [B, n]
        A mean field.
    held : bool tensor [B, n]
        Entries of nodes that are observed: they do not respond.
    v : tensor [B, n]
    tol : float, optional
        Of the residual relative to the right-hand side; by default ``eps^0.7`` of the dtype, 1e-11 for float64.
    max_steps : int

    Returns
    -------
    tensor [B, n]
        NaN in the samples whose v is not finite.

    Raises
    ------
    DomainError
        Where tol is not in (0, 1).
    NotConverged
    """
    check_tol(tol)
    states = phi.states
    s = q.sqrt().masked_fill(held, 0.0)
    tol = torch.finfo(q.dtype).eps ** 0.7 if tol is None else tol

    def project(x: Tensor) -> Tensor:
        return x - s * _node_sum(s * x, states)

    def dot(x: Tensor, y: Tensor) -> Tensor:
        return (x * y).sum(1, keepdim=True)

    def shrink(x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of largest entry 1, and what they were: squares neither overflow nor vanish then."""
        size = x.abs().amax(1, keepdim=True)
        size = torch.where(size > 0, size, 1.0)
        return x / size, size

    v = v.masked_fill(held, 0.0)
    usable = torch.isfinite(v).all(1, keepdim=True)
    v, large = shrink(torch.where(usable, v, 0.0))
    r, small = shrink(project(s * v))
    x, p, square = torch.zeros_like(r), r, dot(r, r)
    target = tol**2 * square
    for k in range(max_steps + 1):
        open_ = ~(square <= target)  # a NaN stays open
        if k % LOOK == 0 and not bool(open_.any()):
            return torch.where(usable | held, s * project(x) * small * large, torch.nan)
        Ap = p - project(s * phi(s * project(p)))
        length = torch.where(open_, square / dot(p, Ap), 0.0)  # samples that are done stand still
        x, r = x + length * p, r - length * Ap
        new = dot(r, r)
        p, square = r + torch.where(open_, new / square, 0.0) * p, torch.where(open_, new, square)
    worst = float((square / target.clamp_min(torch.finfo(q.dtype).tiny)).amax().sqrt()) * tol
    raise NotConverged(
        f"conjugate gradients left a relative residual of {worst:.3g} after {max_steps} steps, tol = {tol:g}; "
        "the interactions may not be monotone at this mean field"
    )


class _Attach(torch.autograd.Function):
    """q, which solves ``q = softmax(Phi q + b)``, as a function of ``t = Phi q + b`` taken at a constant q."""

    @staticmethod
    def forward(ctx: Any, t: Tensor, q: Tensor, held: Tensor, phi: Interactions, tol: float | None) -> Tensor:
        ctx.save_for_backward(q, held)
        ctx.phi, ctx.tol = phi, tol
        return q.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, held = ctx.saved_tensors
        return response(ctx.phi, q, held, grads[0], tol=ctx.tol), None, None, None, None


def attach(t: Tensor, q: Tensor, held: Tensor, phi: Interactions, *, tol: float | None = None) -> Tensor:
    """q with the derivative of the mean field: what reaches t goes on to Phi, biases and observations by themselves.

    Parameters
    ----------
    t : tensor [B, n]
        ``Phi q + b`` with q constant, and Phi, b and what is observed as far as derivatives are wanted.
    q : tensor [B, n]
    held : bool tensor [B, n]
    phi : Interactions
        Without derivatives.
    tol : float, optional
        See `response`.
    """
    return _Attach.apply(t, q, held, phi, tol)
