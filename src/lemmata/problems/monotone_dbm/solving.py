"""What solvers of the mean field in both rooms agree on: methods, steps, evidence, results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, NotConverged, ShapeError
from lemmata.problems.monotone_dbm.models import MonotoneModel, PairwiseModel, block_slices

__all__ = [
    "CONVERGED",
    "MAX_STEPS",
    "METHODS",
    "OSCILLATING",
    "STATUS",
    "Method",
    "Solution",
    "check_alpha",
    "check_evidence",
    "check_rows",
    "check_solve",
    "check_start",
    "check_step",
    "check_trajectory",
    "default_tolerance",
    "raise_unless_converged",
    "singular",
]

Method = Literal["forward-backward", "peaceman-rachford", "averaged", "sequential", "parallel"]
METHODS: tuple[Method, ...] = get_args(Method)
#: meaning of the codes in `Solution.status`
STATUS = ("converged", "max_steps", "oscillating")
CONVERGED, MAX_STEPS, OSCILLATING = range(3)
#: how far a start or soft evidence may lie from the simplex
OFF_SIMPLEX = 1e-6
#: steps that do not overflow single precision; at the ends the prox is the projection and the uniform point to 1e-28
LEAST, MOST = 1e-30, 1e30
#: modulus that the default step of Peaceman-Rachford takes for a smaller one, where the bound on its rate says nothing
SMALL = 1e-2


@dataclass(frozen=True, eq=False)
class Solution:
    """A batch of mean fields; arrays of numpy or of torch.

    Attributes
    ----------
    q : float[B, n]
        ``softmax(Phi q' + b)`` of the last iterate q'; observed nodes hold their values.
    residual : float[B]
        Largest entry of ``|q - softmax(Phi q + b)|`` over the nodes that are not observed.
    certificate : float[B]
        Bound on the Euclidean distance to the mean field, ``||Pi Phi (q' - q)|| / convexity`` (over the nodes that are
        not observed): the gradient of the free energy at q over its modulus of strong convexity. Infinite where
        nothing guarantees that there is only one.
    steps : int64[B]
        Steps taken, sweeps of the sequential method.
    status : int64[B]
        Index into `STATUS`. "oscillating" where the limit of steps was met and two more of them cancel.
    """

    q: Any
    residual: Any
    certificate: Any
    steps: Any
    status: Any

    @property
    def converged(self) -> Any:
        """bool[B]"""
        return self.status == CONVERGED


def check_alpha(alpha: float) -> float:
    """Refuse a step that is not positive and finite, or too small or large for single precision.

    Raises
    ------
    DomainError
    """
    if not 0 < alpha < np.inf:  # a NaN is refused too
        raise DomainError(f"alpha must be positive and finite, got {alpha!r}")
    if not LEAST <= alpha <= MOST:
        raise DomainError(f"alpha must lie between {LEAST:g} and {MOST:g}, got {alpha:g}: beyond them nothing changes")
    return float(alpha)


def check_step(model: PairwiseModel | MonotoneModel, method: Method, alpha: float | None) -> float:
    """The step of a method, its default where `alpha` is None.

    forward-backward: below ``2/(L - 1)``, default ``2/(m + L)``. peaceman-rachford: any, default ``1/sqrt(m L)``
    (with m at least .01). averaged: the weight t of the new point, at most 1 and below ``4/(L + 1)``, default
    ``4/(2 + m + L)`` (at most 1). sequential and parallel have none (1). Where nothing guarantees a single mean field
    the defaults are half the limits, at which the free energy falls fastest by the bounds of its descent.

    Raises
    ------
    DomainError
        Where the method is unknown, or the step outside its range, with the limit.
    """
    if method not in METHODS:
        raise DomainError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    m, L = model.modulus, model.lipschitz
    if method in ("sequential", "parallel"):
        if alpha not in (None, 1):
            raise DomainError(f"the {method} method has no step, got alpha = {alpha!r}")
        return 1.0
    if method == "peaceman-rachford" and m <= 0:
        raise DomainError(f"peaceman-rachford needs I - Pi phi Pi > 0, but its modulus is {m:g}; use forward-backward")
    if alpha is None:
        if method == "forward-backward":
            return model.step
        if method == "peaceman-rachford":
            return 1 / float(np.sqrt(max(m, SMALL) * L))
        return min(1.0, 4 / (2 + m + L) if model.convexity > 0 else 2 / (L + 1))
    alpha = check_alpha(alpha)
    if method == "forward-backward" and alpha >= model.step_limit:
        raise DomainError(
            f"forward-backward needs alpha < 2/(L - 1) = {model.step_limit:.6g} (L = {L:.6g}), got {alpha:g}; the best "
            f"bound is at {model.step:.6g}"
        )
    if method == "averaged" and (alpha > 1 or alpha >= 4 / (L + 1)):
        raise DomainError(
            f"averaging needs a weight of at most 1 and below 4/(L + 1) = {4 / (L + 1):.6g} (L = {L:.6g}), got "
            f"{alpha:g}"
        )
    return alpha


def check_trajectory(model: PairwiseModel | MonotoneModel, method: Method, alpha: float | None, steps: int) -> float:
    """The step of a trajectory: as `check_step`, but a step that is given may lie beyond its limit.

    Raises
    ------
    DomainError
    """
    if steps < 0:
        raise DomainError(f"steps must be >= 0, got {steps!r}")
    if alpha is not None and method in ("forward-backward", "peaceman-rachford", "averaged"):
        return check_alpha(alpha)
    return check_step(model, method, alpha)


def singular(alpha: float, m: float) -> str:
    """What to say where rounding takes the resolvent of Peaceman-Rachford its definiteness."""
    return (
        f"I + alpha (I - Phi) is singular to rounding at alpha = {alpha:g} and modulus {m:g}; lower alpha, or use "
        "forward-backward"
    )


def default_tolerance(model: PairwiseModel | MonotoneModel, eps: float) -> float:
    """The tolerance of a dtype: 1e-10 in double precision, 1e-5 in single, or what rounding leaves of a certificate.

    A field ``Phi q + b`` is rounded by about ``eps (1 + L) sqrt(N)`` in all, and the certificate divides by the strong
    convexity.
    """
    base = 1e-10 if eps < 1e-10 else 1e-5
    if model.convexity <= 0:
        return base
    return max(base, eps * (1 + model.lipschitz) * len(model.states) ** 0.5 / model.convexity)


def check_solve(tol: float, max_steps: int) -> None:
    """Refuse a tolerance that is not positive and finite, or a negative number of steps."""
    if not 0 < tol < np.inf:
        raise DomainError(f"tol must be positive and finite, got {tol!r}")
    if max_steps < 1:
        raise DomainError(f"max_steps must be at least 1, got {max_steps!r}")


def check_rows(name: str, value: Any, n: int) -> np.ndarray:
    """A finite float64[B, n] from float[n] or float[B, n].

    Raises
    ------
    ShapeError, NonFiniteError
        The latter names the first bad sample.
    """
    made = np.atleast_2d(np.asarray(value, dtype=np.float64))
    if made.ndim != 2 or made.shape[1] != n:
        raise ShapeError(f"{name} must have shape ({n},) or (batch, {n}), got {np.shape(value)}")
    if not np.isfinite(made).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(made))[0])
        raise NonFiniteError(f"{name} of sample {index[0]} is {made[index]} at entry {index[1]}", index=index)
    return made


def check_evidence(
    model: PairwiseModel | MonotoneModel, observed: Any, mask: Any, *, soft: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Values of observed nodes and which they are, as batches that broadcast against one another.

    Parameters
    ----------
    model : PairwiseModel or MonotoneModel
    observed : float[n] or float[B, n]
        One-hot on observed nodes; not read elsewhere.
    mask : bool[N], bool[B, N], bool[n] or bool[B, n]
        True where observed: a node each, or an entry each with all entries of a node alike.
    soft : bool
        Whether observed nodes may hold any point of the simplex.

    Returns
    -------
    observed : float64[B, n]
        Zero on the nodes that are not observed.
    mask : bool[B, N]

    Raises
    ------
    ShapeError, DomainError, NonFiniteError
    """
    N, n = len(model.states), model.n
    if (observed is None) != (mask is None):
        raise ShapeError("observed and mask go together: give both or neither")
    if observed is None:
        return np.zeros((1, n)), np.zeros((1, N), dtype=bool)
    seen = np.atleast_2d(np.asarray(mask))
    if seen.dtype != bool or seen.ndim != 2 or seen.shape[1] not in (N, n):
        raise ShapeError(f"mask must be bool[batch, {N}] or bool[batch, {n}], got {seen.dtype}{list(np.shape(mask))}")
    if seen.shape[1] == n:
        first = model.offsets[:-1]
        whole = seen[:, first]
        if (np.repeat(whole, model.states, axis=1) != seen).any():
            b, i = np.argwhere(np.repeat(whole, model.states, axis=1) != seen)[0]
            node = int(np.searchsorted(model.offsets, i, side="right")) - 1
            raise DomainError(f"mask covers only a part of node {node} of sample {b}: observe all its entries or none")
        seen = whole
    values = np.atleast_2d(np.asarray(observed, dtype=np.float64))
    if values.ndim != 2 or values.shape[1] != n:
        raise ShapeError(f"observed must have shape ({n},) or (batch, {n}), got {np.shape(observed)}")
    try:
        entries = np.broadcast_arrays(values, np.repeat(seen, model.states, axis=1))
    except ValueError:
        raise ShapeError(f"observed has {len(values)} samples and mask has {len(seen)}") from None
    values = check_rows("observed", np.where(entries[1], entries[0], 0.0), n)
    held = np.broadcast_to(seen, (len(values), N))
    _check_simplex("observed", values, held, model)
    if not soft and (np.maximum.reduceat(values, model.offsets[:-1], axis=1)[held] != 1).any():
        b, i = np.argwhere(held & (np.maximum.reduceat(values, model.offsets[:-1], axis=1) != 1))[0]
        own = block_slices(model.states)[i]
        raise DomainError(f"observed node {i} of sample {b} is {values[b, own]}, not one-hot; soft=True allows it")
    return values, held


def check_start(model: PairwiseModel | MonotoneModel, start: Any) -> np.ndarray:
    """A start float64[B, n] on the product of simplices."""
    made = check_rows("start", start, model.n)
    _check_simplex("start", made, np.ones((len(made), len(model.states)), dtype=bool), model)
    return made


def _check_simplex(name: str, values: np.ndarray, where: np.ndarray, model: PairwiseModel | MonotoneModel) -> None:
    """Raise `DomainError` where a node in `where` is off its simplex."""
    first = model.offsets[:-1]
    least = np.minimum.reduceat(values, first, axis=1)
    error = np.maximum(np.abs(np.add.reduceat(values, first, axis=1) - 1), -least) * where
    if (error > OFF_SIMPLEX).any():
        b, i = np.argwhere(error > OFF_SIMPLEX)[0]
        raise DomainError(
            f"{name} must lie on the simplex of each node; node {i} of sample {b} is off by {error[b, i]:g}"
        )


def raise_unless_converged(solution: Solution, *, method: str, alpha: float, tol: float, max_steps: int) -> None:
    """Raise `NotConverged`, with the solution and the worst sample in words, unless every sample met its tolerance."""
    status = np.asarray(solution.status)
    failed = status != CONVERGED
    if not failed.any():
        return
    certificate, residual = np.asarray(solution.certificate), np.asarray(solution.residual)
    size = np.where(np.isfinite(certificate), certificate, residual)
    b = int(np.argmax(np.where(failed, size, -np.inf)))
    remedy = "use forward-backward" if method == "parallel" else "lower alpha"
    words = f" It alternates between two points: {remedy}." if (status == OSCILLATING).any() else ""
    raise NotConverged(
        f"{int(failed.sum())} of {len(status)} samples stopped at the limit of {max_steps} steps of {method} with "
        f"alpha = {alpha:.6g}; sample {b} has residual {float(residual[b]):.3g} and certificate "
        f"{float(certificate[b]):.3g}, tol = {tol:g}.{words} Raise max_steps, or loosen tol.",
        solution,
    )
