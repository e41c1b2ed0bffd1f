"""What a solver hands back, in numpy or in torch, for one problem or for a batch.

Written once for both libraries: only operations that numpy and torch spell alike are used. Batches have their axis in
front, so that ``[..., :, None]`` runs over rows and ``[..., None, :]`` over columns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lemmata.errors import DomainError, NotConverged
from lemmata.results import dataset

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Gradient", "OTResult", "raise_unless_converged", "record", "rounded"]


class Gradient(NamedTuple):
    """Derivatives by cost, masses and temperature: float[n, m], float[n], float[m], float.

    Those in r and c hold for changes that keep the total masses equal: along changes of sum zero.
    """

    C: Any
    r: Any
    c: Any
    eps: Any


def _library(array: Any) -> Any:
    """numpy, or the library whose tensor this is."""
    return np if isinstance(array, np.ndarray) else sys.modules[type(array).__module__.partition(".")[0]]


def _held(array: Any) -> Any:
    """The array as a constant, where its library differentiates."""
    return array.detach() if hasattr(array, "detach") else array


def _lift(eps: Any) -> Any:
    """Temperatures of a batch, to stand beside its matrices."""
    return eps if isinstance(eps, float) else eps[..., None, None]


def _entropy_terms(x: Any) -> Any:
    """x log x, entrywise, with 0 log 0 = 0."""
    xp = _library(x)
    return x * xp.log(xp.where(x > 0, x, 1.0))


def rounded(F: Any, r: Any, c: Any) -> Any:
    """The nearby plan with exact marginals: scale rows down, scale columns down, add what is missing.

    The formula of ``round_plan``, without its checks.

    Parameters
    ----------
    F : float[..., n, m]
    r, c : float[..., n], float[..., m]

    Returns
    -------
    float[..., n, m]
    """
    xp = _library(F)

    def shrink(mass: Any, sums: Any) -> Any:
        return xp.clip(mass / xp.where(sums > 0, sums, 1.0), None, 1.0)

    G = F * shrink(r, F.sum(-1))[..., :, None]
    G = G * shrink(c, G.sum(-2))[..., None, :]
    # rounding can leave a mass below zero by its last digit
    missing_r, missing_c = xp.clip(r - G.sum(-1), 0.0, None), xp.clip(c - G.sum(-2), 0.0, None)
    total = missing_r.sum(-1)[..., None]
    share = missing_r / xp.where(total > 0, total, 1.0)
    return G + share[..., :, None] * missing_c[..., None, :]


@dataclass(frozen=True, eq=False)
class OTResult:
    """What a solver reached, for one problem or for a batch of B.

    Arrays are numpy's or, from `lemmata.kernels`, tensors where the problem lay. What counts or names (`delta`,
    `status`, steps) lies on the host: a number or a word for one problem, a numpy array of B of them for a batch.

    Attributes
    ----------
    C, r, c : float[..., n, m], float[..., n], float[..., m]
        The problem.
    eps : float or float[B]
        Temperature.
    method : str
    f, g : float[..., n], float[..., m]
        Potentials in the unit of the cost, shifted so that ``<r, f> = <c, g>``. A row without mass has
        ``f_i = min_j (C_ij - g_j)``, and a column alike.
    delta : float
        ``|P 1 - r|_1 + |P^T 1 - c|_1``.
    status : {"converged", "stalled", "max_steps"}
        "stalled": delta stopped falling before it met the tolerance.
    sinkhorn_steps, newton_steps, cg_steps : int
    stages : int
        Temperatures that were solved for, 1 without annealing.
    """

    C: Any
    r: Any
    c: Any
    eps: Any
    method: str
    f: Any
    g: Any
    delta: Any
    status: Any
    sinkhorn_steps: Any
    newton_steps: Any
    cg_steps: Any
    stages: Any
    # the cost less row and column minima, the shifts; infinite in rows and columns without mass; its own potentials
    _cost: Any = field(repr=False)
    _shifts: tuple[Any, Any] = field(repr=False)
    _potentials: tuple[Any, Any] = field(repr=False)
    _trace: Callable[[], xr.Dataset] = field(repr=False)

    @property
    def converged(self) -> Any:
        """Whether delta met the tolerance."""
        return self.status == "converged"

    def numpy(self) -> OTResult:
        """The same result on the host, in numpy."""

        def host(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(host, value))
            return value.detach().cpu().numpy() if hasattr(value, "detach") else value

        moved = replace(self, **{f.name: host(getattr(self, f.name)) for f in fields(self)})
        return replace(moved, eps=float(moved.eps)) if np.ndim(moved.eps) == 0 else moved

    def item(self, b: int) -> OTResult:
        """One problem of a batch, 0 <= b < B."""
        size = 0 if isinstance(self.status, str) else len(self.status)
        if not size:
            raise DomainError("this is the result of one problem and no batch: it has no items")
        if not 0 <= b < size:
            raise DomainError(f"the batch has items 0..{size - 1}, got {b}")

        def one(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(one, value))
            return value[b if len(value) > 1 else 0]  # a cost may be the same for all

        def trace() -> xr.Dataset:
            found = self.trace.isel(item=b)
            return found.isel(step=slice(int((found["kind"] != "").sum())))

        kept = {f.name: one(getattr(self, f.name)) for f in fields(self) if f.name not in ("method", "_trace")}
        return replace(self, **kept, _trace=trace)

    def _plan(self, f: Any, g: Any) -> Any:
        return _library(f).exp((f[..., :, None] + g[..., None, :] - self._cost) / _lift(self.eps))

    @cached_property
    def P(self) -> Any:
        """The plan ``exp((f_i + g_j - C_ij)/eps)``, with zero rows and columns where there is no mass.

        Its marginals are off by `delta`; `rounded` has exact ones.
        """
        return self._plan(*self._potentials)

    @cached_property
    def rounded(self) -> Any:
        """The plan G near P with exact marginals, ``round_plan``."""
        return rounded(self.P, self.r, self.c)

    @cached_property
    def _offset(self) -> Any:
        """What the shifts of the cost add to every value."""
        return (self.r * self._shifts[0]).sum(-1) + (self.c * self._shifts[1]).sum(-1)

    @cached_property
    def dual(self) -> Any:
        """D(f, g), a lower bound of the entropic optimum. Differentiated with the potentials held: the envelope."""
        f, g = map(_held, self._potentials)
        mass = self._plan(f, g).sum((-2, -1))
        return (self.r * f).sum(-1) + (self.c * g).sum(-1) - self.eps * mass + self._offset

    @cached_property
    def cost(self) -> Any:
        """<C, G>, an upper bound of the unregularised optimum."""
        G = self.rounded
        return (_library(G).where(G > 0, self.C, 0.0) * G).sum((-2, -1))

    @cached_property
    def primal(self) -> Any:
        """``<C, G> + eps sum G (log G - 1)``, an upper bound of the entropic optimum."""
        G = self.rounded
        return self.cost + self.eps * (_entropy_terms(G) - G).sum((-2, -1))

    @cached_property
    def interval(self) -> tuple[Any, Any]:
        """Bounds of the unregularised optimum that hold whatever the solver did: (lower, upper).

        Lower by c-transforms of f, upper by the cost of `rounded` (infinite where that needs a forbidden pair).
        """
        xp = _library(self.f)
        g = xp.amin(self._cost - self._potentials[0][..., :, None], -2)
        g = xp.where(self.c > 0, g, 0.0)  # a column without mass has no finite cost
        f = xp.amin(self._cost - g[..., None, :], -1)
        f = xp.where(self.r > 0, f, 0.0)
        return (self.r * f).sum(-1) + (self.c * g).sum(-1) + self._offset, self.cost

    @cached_property
    def kl_value(self) -> Any:
        """``min <C, P> + eps KL(P | r c^T / mass)``, the form of OTT and GeomLoss.

        With H(r) = -sum r log r it is ``D + eps (mass + H(r) + H(c) + mass log mass)``.
        """
        mass = self.r.sum(-1)
        entropies = _entropy_terms(self.r).sum(-1) + _entropy_terms(self.c).sum(-1)
        return self.dual + self.eps * (mass - entropies + _entropy_terms(mass))

    @cached_property
    def log_error(self) -> Any:
        """``max |log(P 1 / r)|, |log(P^T 1 / c)|`` over rows and columns with mass: it sees the light ones too."""
        xp, found = _library(self.f), []
        for sums, mass in ((self.P.sum(-1), self.r), (self.P.sum(-2), self.c)):
            ratio = xp.where(mass > 0, sums / xp.where(mass > 0, mass, 1.0), 1.0)
            with np.errstate(divide="ignore"):
                found.append(xp.amax(abs(xp.log(ratio)), -1))
        return xp.maximum(*found)

    def value_gradient(self) -> Gradient:
        """Gradient of the optimal value by the envelope theorem: (P, f, g, sum P (log P - 1)).

        Those in r and c hold along changes of sum zero. An error delta leaves an error of that order.
        """
        return Gradient(self.P, self.f, self.g, (_entropy_terms(self.P) - self.P).sum((-2, -1)))

    @cached_property
    def trace(self) -> xr.Dataset:
        """One value for each step: delta, temperature, kind of step, entries kept and conjugate-gradient steps.

        For a batch (item, step), filled up with NaN, 0 and "" behind the end of an item.
        """
        return self._trace()


# ------------------------------------------------------------------------------------------- the trace


def record(columns: Sequence[Any], dims: tuple[str, ...], **provenance: Any) -> xr.Dataset:
    """The dataset of a trace from its six columns: kind, eps, delta, kept, cg_steps, seconds.

    Parameters
    ----------
    columns : sequence of six arrays
        With the axes `dims`, the last of them "step".
    dims : tuple of str
    **provenance
        Attributes.
    """
    kinds, eps, delta, kept, cg, seconds = columns
    return dataset(
        {
            "delta": (dims, delta, "L1 marginal error before the step"),
            "kind": (dims, kinds, "sinkhorn, newton, or end"),
            "eps": (dims, eps, "unit of the cost"),
            "kept": (dims, kept, "entries of the plan in the Newton system"),
            "cg_steps": (dims, cg, "1"),
            "seconds": (dims, seconds, "s, from the start to the end of the step"),
        },
        {"step": np.arange(np.shape(delta)[-1])},
        **provenance,
    )


def raise_unless_converged(result: OTResult, tol: Any) -> None:
    """Raise `NotConverged` with the result attached where an item did not meet `tol`, the bound on its delta."""
    failed = np.flatnonzero(np.atleast_1d(result.status) != "converged")
    if not failed.size:
        return
    b = int(failed[0])
    status, delta, bound, sinkhorn, newton = (
        np.atleast_1d(x)[b] for x in (result.status, result.delta, tol, result.sinkhorn_steps, result.newton_steps)
    )
    where = "" if isinstance(result.status, str) else f"{failed.size} of {len(result.status)} items failed; item {b}: "
    raise NotConverged(
        f"{where}{result.method} {'stalled' if status == 'stalled' else 'spent its steps'} at delta = {delta:.3g} > "
        f"{bound:.3g} after {sinkhorn} Sinkhorn and {newton} Newton steps; "
        "raise max_steps or eps, loosen tol, or take on_fail='return' and read `interval`",
        result,
    )
