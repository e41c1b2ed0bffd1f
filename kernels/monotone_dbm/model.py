"""The monotone deep Boltzmann machine as a module whose mean field can be trained through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.kernels.monotone_dbm.implicit import attach, check_tol
from lemmata.kernels.monotone_dbm.interactions import Interactions, blocks_of, low_rank, same_node
from lemmata.kernels.monotone_dbm.prox import check_tensor, node_runs
from lemmata.kernels.monotone_dbm.solvers import iterate, prepare
from lemmata.problems.monotone_dbm import Method, MonotoneModel, check_states, node_offsets

__all__ = ["MeanField", "MonotoneDBM", "Operator"]

#: entries up to which L is computed, and beyond which a bound from the Gram matrix of A_hat's rows takes its place
DENSE = 256
#: steps of Lanczos' method where there is an operator in place of A, and the factor on what it finds
LANCZOS, MARGIN = 32, 1.02


@runtime_checkable
class Operator(Protocol):
    """A linear map A from state vectors [B, n] to [B, r]; a module, so that it may hold parameters."""

    def forward(self, x: Tensor) -> Tensor:
        """A x of every sample."""
        ...

    def adjoint(self, y: Tensor) -> Tensor:
        """A' y of every sample."""
        ...

    def blocks(self) -> tuple[Tensor, ...]:
        """``A_i' A_i`` of every node: tensors [nodes, K, K], one for each run of nodes with as many states."""
        ...


class MeanField(NamedTuple):
    """What a call of `MonotoneDBM` returns, tensors [B, n].

    Attributes
    ----------
    q : Tensor
        Observed nodes hold their values.
    logits : Tensor
        ``Phi q + b``, for losses: at nodes that are not observed ``q = softmax(logits)``, to the tolerance.
    """

    q: Tensor
    logits: Tensor


def _same(x: Tensor, y: Tensor) -> bool:
    return x.device == y.device and x.dtype == y.dtype and torch.equal(x, y)


class MonotoneDBM(nn.Module):
    """A pairwise model with ``I - Phi >= m I`` whatever its parameters are, and its mean field.

    ``A_hat_i = A_i min(1, sqrt(1 - m)/||A_i||_2)`` for the columns of each node and
    ``Phi = blkdiag(A_hat_i' A_hat_i) - A_hat' A_hat``, as `lemmata.problems.monotone_dbm.MonotoneModel`. Derivatives
    pass through the scaling, by the top singular vectors of each A_i.

    Parameters
    ----------
    states : sequence of int
        States of each node, K_i >= 2; n is their sum.
    A : tensor [r, n] or Operator
        Initial value of the parameter `A`, or a module with maps of its own: then Phi is never multiplied out. Its maps
        are tried on a sample and on a few nodes.
    bias : tensor [n], optional
        Zero by default.
    m : float
        In (0, 1).

    Raises
    ------
    ShapeError, DomainError, NonFiniteError

    References
    ----------
    .. [1] Z. Feng, E. Winston, J. Z. Kolter, "Monotone deep Boltzmann machines", TMLR 2023.
    """

    def __init__(self, states: Sequence[int], A: Any, bias: Any = None, m: float = 0.1) -> None:
        super().__init__()
        self.states = check_states(states)
        self.n = sum(self.states)
        if not 0 < m < 1:  # a NaN is refused too
            raise DomainError(f"m must lie in (0, 1), got {m!r}")
        self.m = float(m)
        if isinstance(A, nn.Module):
            if not isinstance(A, Operator):
                raise DomainError("an operator needs forward, adjoint and blocks")
            self.A: Any = A
            like = next(A.parameters(), A.blocks()[0]).detach()
            self._check_operator(like)
        else:
            like = A if isinstance(A, Tensor) else torch.tensor(np.asarray(A))  # a list of floats is float64 then
            if like.ndim != 2 or like.shape[1] != self.n:
                raise ShapeError(f"A must have shape (any, {self.n}), got {tuple(like.shape)}")
            rows = [check_tensor("A", row, self.n) for row in like]
            kept = like.dtype if like.dtype == torch.float32 else torch.float64
            like = torch.stack(rows) if rows else like.to(kept)
            self.A = nn.Parameter(like.clone())
        start = like.new_zeros(self.n) if bias is None else check_tensor("bias", bias, self.n, like)
        if start.ndim != 1:
            raise ShapeError(f"bias must have shape ({self.n},), got {tuple(start.shape)}")
        self.bias = nn.Parameter(start.clone())
        self.register_buffer("_same", same_node(self.states, like.device) if self._multiplied else None, False)
        self._held: tuple[list[Tensor], float] = ([], 0.0)

    @classmethod
    def from_model(cls, model: MonotoneModel, dtype: torch.dtype = torch.float64) -> MonotoneDBM:
        """The module of a model."""
        return cls(model.states, torch.tensor(model.A, dtype=dtype), torch.tensor(model.bias, dtype=dtype), model.m)

    def to_model(self) -> MonotoneModel:
        """The model as it stands, for `lemmata.sims`; an operator is multiplied out."""
        A = self.A if isinstance(self.A, Tensor) else self.A.forward(torch.eye(self.n).to(self.bias)).T
        weights, bias = (x.detach().cpu().double().numpy() for x in (A, self.bias))
        return MonotoneModel(self.states, weights, bias, self.m)

    @property
    def offsets(self) -> np.ndarray:
        """int64[N + 1], see `lemmata.problems.monotone_dbm.node_offsets`."""
        return node_offsets(self.states)

    @property
    def _multiplied(self) -> bool:
        """Whether Phi is held as a matrix: where that takes fewer products."""
        return isinstance(self.A, Tensor) and 2 * len(self.A) >= self.n

    def get_extra_state(self) -> float:
        """m: with another one the same parameters are another model."""
        return self.m

    def set_extra_state(self, state: float) -> None:
        """Take m from what was saved."""
        self.m = state

    @torch.no_grad()
    def _check_operator(self, like: Tensor) -> None:
        """Refuse an operator whose maps do not fit the states, or one another: one sample, and three nodes of a run."""
        g = torch.Generator().manual_seed(0)
        x = torch.randn(1, self.n, generator=g).to(like)
        try:
            out = self.A.forward(x)
            y = torch.randn(out.shape, generator=g).to(like)
            back = self.A.adjoint(y)
        except RuntimeError as caught:
            raise ShapeError(f"the operator does not take state vectors of {self.n} entries: {caught}") from None
        if out.ndim != 2 or len(out) != 1 or back.shape != x.shape:
            raise ShapeError(
                f"an operator takes [1, {self.n}] to [1, r] and back; got {list(out.shape)} and {list(back.shape)}"
            )
        close = torch.finfo(like.dtype).eps ** 0.5
        there, again = float((out * y).sum()), float((x * back).sum())
        if abs(there - again) > close * float(torch.linalg.vector_norm(out) * torch.linalg.vector_norm(y)):
            raise DomainError(f"adjoint is not the adjoint of forward: y' A x = {there:g} and x' A' y = {again:g}")
        blocks, runs = self.A.blocks(), node_runs(self.states)
        wanted = [((own.stop - own.start) // k, k, k) for own, k in runs]
        if [tuple(block.shape) for block in blocks] != wanted:
            raise ShapeError(f"blocks must have shapes {wanted}, got {[tuple(block.shape) for block in blocks]}")
        for block, (own, k) in zip(blocks, runs, strict=True):
            for i in {0, len(block) // 2, len(block) - 1}:
                unit = x.new_zeros(k, self.n)
                unit[:, own.start + i * k : own.start + (i + 1) * k] = torch.eye(k).to(like)
                columns = self.A.forward(unit)
                error = float((columns @ columns.T - block[i]).abs().amax())
                if error > close * float(block[i].abs().amax()):
                    raise DomainError(
                        f"blocks must hold A_i' A_i of every node; node {i} of the run of {k} states is off by "
                        f"{error:g}. A convolution needs full padding for its blocks to be alike at the borders"
                    )

    # ------------------------------------------------------------------------------------ interactions

    def _scale(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The factor of every entry's column [n], and the blocks of D."""
        blocks = blocks_of(self.A, self.states) if isinstance(self.A, Tensor) else self.A.blocks()
        factors, made = [], []
        for block, (_, k) in zip(blocks, node_runs(self.states), strict=True):
            if not bool(torch.isfinite(block).all()):
                raise NonFiniteError(
                    f"A' A is not finite in {block.dtype}: A has diverged, or its entries are too large. Lower the "
                    "learning rate, or scale A down"
                )
            square = torch.linalg.eigvalsh(block)[:, -1].clamp_min(1 - self.m)
            factors.append(((1 - self.m) / square).sqrt().repeat_interleave(k))
            made.append(block * ((1 - self.m) / square)[:, None, None])
        return torch.cat(factors), tuple(made)

    def A_hat(self) -> Tensor:
        """[r, n]: A with the columns of each node shrunk to spectral norm at most sqrt(1 - m)."""
        A = self.A if isinstance(self.A, Tensor) else self.A.forward(torch.eye(self.n).to(self.bias)).T
        return A * self._scale()[0]

    def interactions(self) -> Interactions:
        """Phi as an operator, differentiable in the parameters."""
        scale, blocks = self._scale()
        if isinstance(self.A, Tensor):
            A = self.A * scale
            if self._same is None:
                return low_rank(self.states, A, blocks)
            return Interactions(self.states, -(A.T @ A).masked_fill(cast(Tensor, self._same), 0.0))
        operator = self.A
        return Interactions(
            self.states,
            forward=lambda x: operator.forward(scale * x),
            adjoint=lambda y: scale * operator.adjoint(y),
            blocks=blocks,
        )

    def phi(self) -> Tensor:
        """[n, n]: the interactions as one matrix."""
        return self.interactions().matrix()

    # ------------------------------------------------------------------------- what solvers ask of a model

    @property
    def lipschitz(self) -> float:
        """L, the largest eigenvalue of I - Phi, or beyond 256 entries the bound ``1 + ||A_hat||^2``.

        With an operator in place of A it is what 32 steps of Lanczos' method find plus 2 %: not a bound, but the
        default step 2/(m + L) bears an L that is too small by 1 + m. Computed anew when A or m has changed; a copy of
        what A was is kept to tell.
        """
        now = [self.A.detach()] if isinstance(self.A, Tensor) else [x.detach() for x in self._tensors()]
        now.append(torch.tensor(self.m))
        before, L = self._held
        if len(before) != len(now) or any(not _same(x, y) for x, y in zip(before, now, strict=True)):
            with torch.no_grad():
                L = self._largest_eigenvalue()
            self._held = [x.clone() for x in now], L
        return L

    def _tensors(self) -> Iterator[Tensor]:
        yield from self.A.parameters()
        yield from self.A.buffers()

    def _largest_eigenvalue(self) -> float:
        if self.n <= DENSE:
            return 1 - float(torch.linalg.eigvalsh(self.phi().double())[0])
        if isinstance(self.A, Tensor):
            A = self.A_hat().double()
            gram = A @ A.T if len(A) < self.n else A.T @ A
            return 1 + float(torch.linalg.eigvalsh(gram)[-1]) if len(gram) else 1.0
        phi = self.interactions()
        v = torch.randn(1, self.n, generator=torch.Generator().manual_seed(0)).to(self.bias)
        basis = v / torch.linalg.vector_norm(v)
        seen = []
        for _ in range(LANCZOS):
            v = basis[-1:] - phi(basis[-1:])
            seen.append(v)
            whole = torch.linalg.vector_norm(v)
            for _ in range(2):  # once leaves what rounding makes of it
                v = v - (v @ basis.T) @ basis
            left = torch.linalg.vector_norm(v)
            # where nothing but rounding is left, all that the start can see has been seen
            basis = torch.cat([basis, torch.where(left > torch.finfo(v.dtype).eps ** 0.75 * whole, v / left, 0.0)])
        ritz = basis[:-1] @ torch.cat(seen).T
        return MARGIN * float(torch.linalg.eigvalsh((ritz + ritz.T) / 2)[-1])

    @property
    def modulus(self) -> float:
        """m: every eigenvalue of I - Phi is at least this."""
        return self.m

    @property
    def convexity(self) -> float:
        """The mean-field free energy is strongly convex with this modulus, ``1 + m``."""
        return 1 + self.m

    @property
    def step(self) -> float:
        """The step of forward-backward with the best bound, ``2 / (m + L)``."""
        return 2 / (self.m + self.lipschitz)

    @property
    def step_limit(self) -> float:
        """Steps of forward-backward below it contract: ``2 / (L - 1)``, infinite where L <= 1."""
        return 2 / (self.lipschitz - 1) if self.lipschitz > 1 else float("inf")

    # --------------------------------------------------------------------------------------- mean field

    def field(self, q: Tensor, bias: Tensor | None = None) -> Tensor:
        """``Phi q + b`` [B, n]: at a mean field the logits of every node."""
        return self.interactions()(q) + (self.bias if bias is None else bias)

    def forward(
        self,
        bias: Tensor | None = None,
        *,
        observed: Tensor | None = None,
        mask: Tensor | None = None,
        soft: bool = False,
        start: Tensor | None = None,
        method: Method = "forward-backward",
        alpha: float | None = None,
        tol: float | None = None,
        max_steps: int = 10_000,
        backward_tol: float | None = None,
    ) -> MeanField:
        """The mean field and its logits, differentiable in the parameters, `bias` and the values of `observed`.

        Parameters
        ----------
        bias, observed, mask, soft, start, method, alpha, tol, max_steps
            See `lemmata.kernels.monotone_dbm.solve`.
        backward_tol : float, optional
            See `lemmata.kernels.monotone_dbm.response`.

        Raises
        ------
        ShapeError, DomainError, NonFiniteError, NotConverged
        """
        check_tol(backward_tol)
        phi, like = self.interactions(), self.bias.detach()
        with torch.no_grad():
            q, held, shift = prepare(self, like, bias, observed, mask, soft, start)
            constant = phi if phi.dense is None else replace(phi, dense=phi.dense.detach())
            q = iterate(
                self,
                constant,
                q,
                held,
                shift,
                method=method,
                alpha=alpha,
                tol=tol,
                max_steps=max_steps,
                raise_on_fail=True,
            ).q
        b = self.bias if bias is None else torch.as_tensor(bias).to(q)
        known = q if observed is None else torch.where(held, torch.as_tensor(observed).to(q), q)
        q = torch.where(held, known, attach(phi(known) + b, q, held, constant, tol=backward_tol))
        return MeanField(q, phi(q) + b)
