"""Mean fields of batches on tensors, by the solvers of `lemmata.sims.monotone_dbm`; every sample stops by itself.

The host waits for the device only where the certificate is looked at: after 0, 4, 8, ... steps, later after every
eighth of the steps so far. Samples that have met the tolerance leave the batch there.

Nodes of two states are a single number each, q_i1 - q_i2, and so are their fields: where all nodes have two states, a
CPU takes the same steps with half the numbers and without a softmax. A GPU takes the fused step instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.kernels.monotone_dbm.interactions import Interactions, interactions_of, resolvent
from lemmata.kernels.monotone_dbm.prox import activate, check_tensor, each_node, fused, log_odds, softmax
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
    check_rows,
    check_solve,
    check_start,
    check_step,
    check_trajectory,
    default_tolerance,
    raise_unless_converged,
    singular,
)

if TYPE_CHECKING:
    from lemmata.kernels.monotone_dbm.model import MonotoneDBM

__all__ = ["solve", "trajectory"]

#: share of a step that may remain after two of them where a run is called oscillating
PERIOD_TWO = 1e-2
#: steps between two looks at first
PATIENCE = 4
#: methods that keep every node's total, so that differences of two states say all
HALVED: tuple[Method, ...] = ("forward-backward", "averaged", "parallel")
#: the certificate carries the rounding of the field: no tolerance below this many units of the dtype is asked for
FLOOR = 8

Step = Callable[..., tuple[Tensor, Tensor]]


class _Nodes:
    """What a loop does to points and fields [B, n]: probabilities, a softmax and an activation for each node."""

    def __init__(self, states: tuple[int, ...]) -> None:
        self.states = states

    def softmax(self, field: Tensor) -> Tensor:
        return softmax(field, self.states)

    def prox(self, x: Tensor, alpha: float, u: Tensor) -> tuple[Tensor, Tensor]:
        """The activation, and what the next one may start from in place of u."""
        return activate(x, alpha, self.states), u

    def length(self, change: Tensor) -> Tensor:
        """Euclidean length of each row, less its mean over every node."""
        return torch.linalg.vector_norm(each_node(lambda y: y - y.mean(-1, keepdim=True), change, self.states), dim=1)

    def largest(self, change: Tensor) -> Tensor:
        """Largest change of a probability in each row."""
        return change.abs().amax(1)


class _Differences(_Nodes):
    """The same for nodes of two states, by differences [B, N] of their two entries: half the numbers, no softmax."""

    def softmax(self, field: Tensor) -> Tensor:
        return torch.tanh(field / 2)

    def prox(self, x: Tensor, alpha: float, u: Tensor) -> tuple[Tensor, Tensor]:
        odds = log_odds(x, alpha, u.abs())
        return torch.copysign(torch.tanh(odds / 2), x), odds

    def length(self, change: Tensor) -> Tensor:
        return torch.linalg.vector_norm(change, dim=1) / 2**0.5

    def largest(self, change: Tensor) -> Tensor:
        return change.abs().amax(1) / 2


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
        In place of the model's. Device and dtype are those of a `MonotoneDBM`. For the other models bias, or else
        `observed` or `start`, says them where it is a tensor of floats, and else it is float64 on the CPU.
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
        1e-10 by default, 1e-5 for float32, or what rounding leaves of the certificate if that is more.
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
    with torch.no_grad():
        phi = _interactions(model, like)
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


@torch.no_grad()
def trajectory(
    model: PairwiseModel | MonotoneModel | MonotoneDBM,
    start: Any,
    steps: int,
    *,
    bias: Any = None,
    method: Method = "forward-backward",
    alpha: float | None = None,
) -> Tensor:
    """Iterates of a method as they are: any positive step is allowed, also one at which it diverges.

    Parameters
    ----------
    model : PairwiseModel, MonotoneModel or MonotoneDBM
    start : tensor [n] or [B, n]
        For Peaceman-Rachford its driving variable u, any numbers; else points of the simplices. A `PairwiseModel`
        enters as Pi phi Pi, which moves u by a constant on each node and q not at all.
    steps : int
    bias : tensor [n] or [B, n], optional
        Device and dtype as of `solve`.
    method : str
    alpha : float, optional

    Returns
    -------
    tensor [B, steps + 1, n]
        q, or u for Peaceman-Rachford.

    Raises
    ------
    ShapeError, DomainError, NonFiniteError
    """
    step = check_trajectory(model, method, alpha, steps)  # type: ignore[arg-type]
    like = _like(model, bias, start)
    phi, nodes, driven = _interactions(model, like), _Nodes(tuple(model.states)), method == "peaceman-rachford"
    given = _host(start)
    begin = check_rows("start", given, model.n) if driven else check_start(model, given)  # type: ignore[arg-type]
    u, shift = torch.tensor(begin).to(like), _biases(model, bias).to(like)
    if len(u) != len(shift) and 1 not in (len(u), len(shift)):
        raise ShapeError(f"bias and start have {len(shift)} and {len(u)} samples; give as many of each, or one")
    u, shift = (x.expand(max(len(u), len(shift)), -1) for x in (u, shift))
    q = activate(u, step, nodes.states) if driven else u
    held = torch.zeros_like(q, dtype=torch.bool)
    advance, out = _method(model, phi, nodes, method, step), [u]
    for _ in range(steps):
        q, u = advance(q, u, phi(q) + shift, shift, held)
        out.append(u if driven else q)
    return torch.stack(out, 1)


def _like(model: Any, *given: Any) -> Tensor:
    """An empty tensor of the device and dtype to work in."""
    if isinstance(model.bias, Tensor):
        return model.bias.detach().new_empty(0)
    for value in given:
        if isinstance(value, Tensor) and value.is_floating_point():
            single = value.dtype == torch.float32
            return value.new_empty(0, dtype=torch.float32 if single else torch.float64)
    return torch.empty(0, dtype=torch.float64)


def _interactions(model: Any, like: Tensor) -> Interactions:
    made = getattr(model, "interactions", None)
    return interactions_of(model, like) if made is None else made()


def _host(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value


def _biases(model: Any, bias: Any) -> Tensor:
    """Biases [B, n] that go with the interactions, in the dtype in which they came."""
    made = torch.atleast_2d(check_tensor("bias", model.bias if bias is None else bias, model.n))
    return made + torch.tensor(model.gauge).to(made) if isinstance(model, PairwiseModel) else made


def prepare(
    model: Any, like: Tensor, bias: Any, observed: Any, mask: Any, soft: bool, start: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Start with the evidence in place [B, n], entries of observed nodes bool [B, n], and biases [B, n] or [1, n]."""
    shift = _biases(model, bias)
    # what the states of a node have in common says nothing, and would cost the others their digits
    shift = each_node(lambda y: y - y.amax(-1, keepdim=True), shift, model.states)
    shift = shift.to(like).clamp_min(torch.finfo(like.dtype).min)
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
    tol = default_tolerance(model, eps) if tol is None else tol
    check_solve(tol, max_steps)
    if tol < FLOOR * eps:
        raise DomainError(f"tol = {tol:g} is below what {q.dtype} can tell, {FLOOR * eps:.2g}; use float64")
    limits = (float(model.convexity), float(tol), int(max_steps))
    halved = phi.of_differences() if method in HALVED and not fused(q) else None
    if halved is None:
        nodes = _Nodes(phi.states)
        run = _loop(phi, _method(model, phi, nodes, method, step), nodes, q, held, bias, *limits)
        logits = run.q
    else:
        nodes = _Differences(phi.states)
        shift = bias + phi(torch.full_like(q[:1], 0.5))
        parts = (q[:, ::2] - q[:, 1::2], held[:, ::2], shift[:, ::2] - shift[:, 1::2])
        run = _loop(halved, _method(model, halved, nodes, method, step), nodes, *parts, *limits)
        logits = torch.stack([run.q, torch.zeros_like(run.q)], -1).flatten(1)
    solution = replace(run, q=torch.where(held, q, softmax(logits, phi.states)))
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


def _method(model: Any, phi: Interactions, nodes: _Nodes, method: Method, alpha: float) -> Step:
    """One step ``(q, u, field, bias, held) -> (q, u)``, u the driving variable of Peaceman-Rachford or log odds.

    Nodes that are held may move: the loop puts them back.
    """
    if method == "peaceman-rachford":
        A = getattr(model, "A_hat", None)
        A = (A() if callable(A) else torch.tensor(A)).to(_like_of(phi)) if phi.dense is None and A is not None else None
        try:
            inverse = resolvent(phi, A, alpha)
        except torch.linalg.LinAlgError:
            raise DomainError(singular(alpha, model.modulus)) from None

        def split(q: Tensor, u: Tensor, field: Tensor, bias: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
            u = 2 * q - u
            u = 2 * inverse(u + alpha * bias) - u
            return nodes.prox(u, alpha, u)

        return split
    if method == "averaged":
        return lambda q, u, field, bias, held: (torch.lerp(q, nodes.softmax(field), alpha), u)
    if method == "sequential":
        return _sweep(phi.as_matrix(), tuple(model.states))

    def forward_backward(q: Tensor, u: Tensor, field: Tensor, bias: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
        if fused(q):
            from lemmata.kernels.monotone_dbm._prox_triton import step

            return step(q, field, held, alpha, nodes.states), u
        return nodes.prox(torch.lerp(q, field, alpha), alpha, u)

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


@dataclass(frozen=True)
class _Batch:
    """The samples that are still on their way.

    `fixed` holds what is observed and zeros elsewhere, `free` is 1 where nothing is and 0 elsewhere: products with it
    are several times faster than a choice by a mask. Both are None where nothing is observed at all.
    """

    q: Tensor
    u: Tensor
    bias: Tensor
    held: Tensor
    fixed: Tensor | None
    free: Tensor | None

    @classmethod
    def of(cls, q: Tensor, held: Tensor, bias: Tensor) -> _Batch:
        seen = bool(held.any())
        return cls(q, q, bias, held, q * held if seen else None, (~held).to(q) if seen else None)

    def keep(self, rows: Tensor) -> _Batch:
        fixed, free = (x if x is None else x[rows] for x in (self.fixed, self.free))
        return _Batch(self.q[rows], self.u[rows], self.bias[rows], self.held[rows], fixed, free)

    def observe(self, q: Tensor) -> Tensor:
        """q with what is observed in its place."""
        return q if self.fixed is None or self.free is None else torch.addcmul(self.fixed, q, self.free)

    def unseen(self, change: Tensor) -> Tensor:
        """A change, 0 where nodes are observed."""
        return change if self.free is None else change * self.free


def _look(phi: Interactions, nodes: _Nodes, batch: _Batch, pull: Tensor, convexity: float) -> tuple[Tensor, Tensor]:
    """Residual and certificate of ``p = softmax(Phi q + b)``, from Phi q.

    The gradient of the free energy at p, up to constants on each node, is ``Phi (q - p)``: no logarithm of p is needed.
    """
    p = batch.observe(nodes.softmax(pull + batch.bias))
    other = phi(p)
    residual = nodes.largest(batch.unseen(p - nodes.softmax(other + batch.bias)))
    length = nodes.length(batch.unseen(pull - other))  # without the biases, in whose digits it would drown
    return residual, length / convexity if convexity > 0 else torch.full_like(length, torch.inf)


def _loop(
    phi: Interactions,
    advance: Step,
    nodes: _Nodes,
    q: Tensor,
    held: Tensor,
    bias: Tensor,
    convexity: float,
    tol: float,
    max_steps: int,
) -> Solution:
    """Iterate until every sample has met its tolerance, or the limit; those that have leave the batch.

    In place of q the result has the field ``Phi q' + b`` of the last iterate.
    """
    B = len(q)
    answer = q.clone()
    residual, certificate = q.new_full((2, B), torch.nan)
    steps = torch.zeros(B, dtype=torch.int64, device=q.device)
    status = torch.full_like(steps, MAX_STEPS)
    at = torch.arange(B, device=q.device)
    batch = _Batch.of(q, held, bias)
    k = look = 0
    while len(at):
        pull = phi(batch.q)
        field = pull + batch.bias
        if k in (look, max_steps):
            small, near = _look(phi, nodes, batch, pull, convexity)
            met = (near if convexity > 0 else small) <= tol
            over = met | ~torch.isfinite(small) | (k == max_steps)
            if k == max_steps and not bool(met.all()):
                status[at] = torch.where(_swings(phi, advance, batch, field) & ~met, OSCILLATING, status[at])
            if bool(over.any()):
                ended = at[over]
                answer[ended], residual[ended], certificate[ended] = field[over], small[over], near[over]
                steps[ended] = k
                status[at[met]] = CONVERGED
                at, field, batch = at[~over], field[~over], batch.keep(~over)
            look = k + max(PATIENCE, k // 8)
        if len(at):
            q, u = advance(batch.q, batch.u, field, batch.bias, batch.held)
            batch = replace(batch, q=batch.observe(q), u=u)
            k += 1
    return Solution(answer, residual, certificate, steps, status)


def _swings(phi: Interactions, advance: Step, batch: _Batch, field: Tensor) -> Tensor:
    """Whether two more steps cancel: bool [B]."""
    once, u = advance(batch.q, batch.u, field, batch.bias, batch.held)
    once = batch.observe(once)
    twice, _ = advance(once, u, phi(once) + batch.bias, batch.bias, batch.held)
    twice = batch.observe(twice)
    return torch.linalg.vector_norm(twice - batch.q, dim=1) < PERIOD_TWO * torch.linalg.vector_norm(
        once - batch.q, dim=1
    )
