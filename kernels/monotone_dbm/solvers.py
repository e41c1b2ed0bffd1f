"""Mean fields of batches on tensors, by the solvers of `lemmata.sims.monotone_dbm`; every sample stops by itself.

The host waits for the device only where the certificate is looked at: after 0, 4, 8, ... steps, later after every
eighth of the steps so far. Samples that have met the tolerance leave the batch there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.kernels.monotone_dbm.interactions import Interactions, interactions_of, resolvent
from lemmata.kernels.monotone_dbm.prox import activate, check_tensor, each_node, fused, softmax
from lemmata.problems.monotone_dbm import (
    CONVERGED,
    MAX_STEPS,
    OSCILLATING,
    Method,
    MonotoneModel,
    PairwiseModel,
    Solution,
    block_slices,
    check_evidence,
    check_solve,
    check_start,
    check_step,
    raise_unless_converged,
)

if TYPE_CHECKING:
    from lemmata.kernels.monotone_dbm.model import MonotoneDBM

__all__ = ["solve"]

#: share of a step that may remain after two of them where a run is called oscillating
PERIOD_TWO = 1e-2
#: steps between two looks at first
PATIENCE = 4
#: the certificate carries the rounding of the field: no tolerance below this many units of the dtype is asked for
FLOOR = 8

Step = Callable[..., tuple[Tensor, Tensor]]


def solve(
    model: PairwiseModel | MonotoneModel | MonotoneDBM,
    *,
    bias: Any = None,
    method: Method = "forward-backward",
    alpha: float | None = None,
    observed: Any = None,
    mask: Any = None,
    soft: bool = False,
    start: Any = None,
    tol: float | None = None,
    max_steps: int = 10_000,
    raise_on_fail: bool = True,
) -> Solution:
    """The mean field ``q_i = softmax((Phi q + b)_i)``, given what is observed. No derivatives: see `MonotoneDBM`.

    Each sample stops once its certificate, a bound on the Euclidean distance to the mean field up to the rounding of
    Phi q + b, is at most `tol`; where nothing guarantees that there is only one mean field, once its residual is.

    Parameters
    ----------
    model : PairwiseModel, MonotoneModel or MonotoneDBM
    bias : tensor [n] or [B, n], optional
        In place of the model's. Where it, or else `observed` or `start`, is a tensor of floats, that says device and
        dtype; else a `MonotoneDBM` does, and else it is float64 on the CPU.
    method : {"forward-backward", "peaceman-rachford", "averaged", "sequential", "parallel"}
        As in `lemmata.sims.monotone_dbm.solve`. Sequential takes N launches a sweep, and Phi as a matrix.
    alpha : float, optional
        Step, with a safe default (`lemmata.problems.monotone_dbm.check_step`).
    observed : tensor [n] or [B, n], optional
        Values of the observed nodes, imposed at every step; not read elsewhere.
    mask : bool tensor [N] or [B, N], optional
        True where a node is observed; an entry each, bool [B, n], will do too.
    soft : bool
        Whether observations may be points of the simplex in place of states.
    start : tensor [n] or [B, n], optional
        On the simplex of each node; uniform by default.
    tol : float, optional
        1e-10 by default, 1e-5 for float32.
    max_steps : int
    raise_on_fail : bool
        Whether to raise, or to return with the status that says what happened.

    Returns
    -------
    Solution
        Of tensors. Memory: Phi (``n^2`` numbers, or ``r n`` where it is of low rank) and some 20 arrays [B, n].

    Raises
    ------
    ShapeError, DomainError, NonFiniteError
        Before any work.
    NotConverged
        With the solution attached.
    """
    like = _like(model, bias, observed, start)
    made = getattr(model, "interactions", None)
    with torch.no_grad():
        phi = interactions_of(model, like) if made is None else made()  # type: ignore[arg-type]
        q, held, shift = prepare(model, like, bias, observed, mask, soft, start)
        return iterate(
            model,
            phi,
            q,
            held,
            shift,
            method=method,
            alpha=alpha,
            tol=tol,
            max_steps=max_steps,
            raise_on_fail=raise_on_fail,
        )


def _like(model: Any, *given: Any) -> Tensor:
    """An empty tensor of the device and dtype to work in."""
    for value in given:
        if isinstance(value, Tensor) and value.is_floating_point():
            return value.new_empty(0)
    if isinstance(model.bias, Tensor):
        return model.bias.detach().new_empty(0)
    return torch.empty(0, dtype=torch.float64)


def _host(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value


def prepare(
    model: Any, like: Tensor, bias: Any, observed: Any, mask: Any, soft: bool, start: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Start with the evidence in place [B, n], entries of observed nodes bool [B, n], and biases [B, n] or [1, n]."""
    shift = torch.atleast_2d(check_tensor("bias", model.bias if bias is None else bias, model.n, like))
    values, seen = check_evidence(model, _host(observed), _host(mask), soft=soft)
    states = torch.tensor(model.states)
    if start is None:
        begin = torch.repeat_interleave(1 / states.to(torch.float64), states)[None].to(like)
    else:
        begin = torch.tensor(check_start(model, _host(start))).to(like)
    rows = {len(x) for x in (shift, values, seen, begin)} - {1}
    if len(rows) > 1:
        raise ShapeError(f"bias, observed, mask and start have {sorted(rows)} samples; give as many of each, or one")
    size = rows.pop() if rows else 1
    held = torch.repeat_interleave(torch.tensor(np.ascontiguousarray(seen)), states, 1).to(like.device)
    held = held.expand(size, -1)
    q = torch.where(held, torch.tensor(values).to(like), begin)
    return q, held, shift.expand(size, -1)


def iterate(
    model: Any,
    phi: Interactions,
    q: Tensor,
    held: Tensor,
    bias: Tensor,
    *,
    method: Method,
    alpha: float | None,
    tol: float | None,
    max_steps: int,
    raise_on_fail: bool,
) -> Solution:
    """`solve` with its input prepared, without derivatives."""
    step = check_step(model, method, alpha)
    eps = torch.finfo(q.dtype).eps
    tol = (1e-10 if q.dtype == torch.float64 else 1e-5) if tol is None else tol
    check_solve(tol, max_steps)
    if tol < FLOOR * eps:
        raise DomainError(f"tol = {tol:g} is below what {q.dtype} can tell, {FLOOR * eps:.2g}; use float64")
    advance = _method(model, phi, method, step)
    solution = _loop(phi, advance, q, held, bias, float(model.convexity), float(tol), int(max_steps))
    finite = torch.isfinite(solution.residual)
    if not bool(finite.all()):
        b = int(torch.nonzero(~finite)[0])
        raise NonFiniteError(
            f"the iterates of sample {b} overflowed: its interactions or biases are too large", index=(b,)
        )
    if raise_on_fail and bool((solution.status != CONVERGED).any()):
        here = Solution(**{name: getattr(solution, name).cpu() for name in Solution.__annotations__})
        raise_unless_converged(here, method=method, alpha=step, tol=tol, max_steps=max_steps)
    return solution


def _method(model: Any, phi: Interactions, method: Method, alpha: float) -> Step:
    """One step ``(q, u, field, bias, held) -> (q, u)``, u the driving variable of Peaceman-Rachford."""
    states = tuple(model.states)
    if method == "peaceman-rachford":
        A = getattr(model, "A_hat", None)
        A = (A() if callable(A) else torch.tensor(A)).to(_like_of(phi)) if phi.dense is None and A is not None else None
        inverse = resolvent(phi, A, alpha)

        def split(q: Tensor, u: Tensor, field: Tensor, bias: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
            u = 2 * q - u
            u = 2 * inverse(u + alpha * bias) - u
            return torch.where(held, q, activate(u, alpha, states)), u

        return split
    if method == "averaged":
        return lambda q, u, field, bias, held: (torch.where(held, q, torch.lerp(q, softmax(field, states), alpha)), u)
    if method == "sequential":
        return _sweep(phi.as_matrix(), states)

    def forward_backward(q: Tensor, u: Tensor, field: Tensor, bias: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
        if fused(q):
            from lemmata.kernels.monotone_dbm._prox_triton import step

            return step(q, field, held, alpha, states), u
        return torch.where(held, q, activate(torch.lerp(q, field, alpha), alpha, states)), u

    return forward_backward


def _like_of(phi: Interactions) -> Tensor:
    return phi.dense if phi.dense is not None else phi.blocks[0]


def _sweep(phi: Interactions, states: tuple[int, ...]) -> Step:
    """Every node in turn takes the softmax of its field."""
    matrix = phi.matrix()

    def sweep(q: Tensor, u: Tensor, field: Tensor, bias: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
        q, field = q.clone(), field.clone()
        for own in block_slices(states):
            new = torch.where(held[:, own], q[:, own], torch.softmax(field[:, own], -1))
            field += (new - q[:, own]) @ matrix[own]
            q[:, own] = new
        return q, u

    return sweep


def _look(
    phi: Interactions, q: Tensor, field: Tensor, bias: Tensor, held: Tensor, convexity: float
) -> tuple[Tensor, Tensor, Tensor]:
    """``p = softmax(Phi q + b)``, its residual and its certificate.

    The gradient of the free energy at p, up to constants on each node, is ``Phi (q - p)``: no logarithm of p is needed.
    """
    p = torch.where(held, q, softmax(field, phi.states))
    other = phi(p) + bias
    change = each_node(lambda y: y - y.mean(-1, keepdim=True), field - other, phi.states)
    length = torch.linalg.vector_norm(change.masked_fill(held, 0.0), dim=1)
    residual = (p - softmax(other, phi.states)).abs().masked_fill(held, 0.0).amax(1)
    return p, residual, length / convexity if convexity > 0 else torch.full_like(length, torch.inf)


def _loop(
    phi: Interactions,
    advance: Step,
    q: Tensor,
    held: Tensor,
    bias: Tensor,
    convexity: float,
    tol: float,
    max_steps: int,
) -> Solution:
    """Iterate until every sample has met its tolerance, or the limit; those that have leave the batch."""
    B = len(q)
    answer, u = q.clone(), q
    residual, certificate = q.new_full((2, B), torch.nan)
    steps = torch.zeros(B, dtype=torch.int64, device=q.device)
    status = torch.full_like(steps, MAX_STEPS)
    at = torch.arange(B, device=q.device)
    k = look = 0
    while len(at):
        field = phi(q) + bias
        if k in (look, max_steps):
            p, small, near = _look(phi, q, field, bias, held, convexity)
            met = (near if convexity > 0 else small) <= tol
            over = met | ~torch.isfinite(small) | (k == max_steps)
            if k == max_steps and not bool(met.all()):
                swings = _swings(phi, advance, q, u, field, bias, held)
                status[at] = torch.where(swings & ~met, OSCILLATING, status[at])
            if bool(over.any()):
                ended = at[over]
                answer[ended], residual[ended], certificate[ended] = p[over], small[over], near[over]
                steps[ended] = k
                status[at[met]] = CONVERGED
                at, q, u, field, bias, held = (x[~over] for x in (at, q, u, field, bias, held))
            look = k + max(PATIENCE, k // 8)
        if len(at):
            q, u = advance(q, u, field, bias, held)
            k += 1
    return Solution(answer, residual, certificate, steps, status)


def _swings(
    phi: Interactions, advance: Step, q: Tensor, u: Tensor, field: Tensor, bias: Tensor, held: Tensor
) -> Tensor:
    """Whether two more steps cancel: bool [B]."""
    once, u = advance(q, u, field, bias, held)
    twice, _ = advance(once, u, phi(once) + bias, bias, held)
    return torch.linalg.vector_norm(twice - q, dim=1) < PERIOD_TWO * torch.linalg.vector_norm(once - q, dim=1)
