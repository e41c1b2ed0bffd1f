"""Ensembles of wide networks in training: how each eigenvector of the tangent kernel decays.

For ``c sum (f - y)^2 / 2`` (c = 1 for the sum, 2/(N C) for the mean, see `loss_factor`) the outputs at the N training
points X and elsewhere are, with ``Theta = Theta(X, X) = Q Lambda Q^T``,

    f_t(x) = f_0(x) + Theta(x, X) Q g_t(Lambda) Q^T (y - f_0(X)),        g_t(lambda) = (1 - d_t(lambda)) / lambda,

with ``d_t = e^{-eta c lambda t}`` in gradient flow and ``(1 - eta c lambda)^t`` after t steps of gradient descent. As
f_0 is a Gaussian process of mean 0 and covariance K, so is f_t. What `sims` and `kernels` share is here: which inputs
have a law, and the functions d and g, which are finite as lambda -> 0.

References
----------
Lee, Xiao, Schoenholz, Bahri, Novak, Sohl-Dickstein and Pennington, "Wide neural networks of any depth evolve as linear
models under gradient descent", NeurIPS 2019, Section 2.2.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems.ntk.networks import Loss, loss_factor

__all__ = ["Covariance", "Dynamics", "EnsembleLaw", "LawTask", "check_descent", "check_law", "decays"]

Dynamics = Literal["flow", "descent"]
Covariance = Literal["full", "diagonal", "none"]

#: Relative error that rounding of the kernel may bring into its slowest mode before the caller is warned.
DIGITS = 1e-3


@dataclass(frozen=True, eq=False)
class EnsembleLaw:
    """Mean and covariance of the outputs of an ensemble in training; arrays are of the caller's kind.

    Attributes
    ----------
    times : float64[T]
    mean : float[T, M, C]
        The N training points first.
    covariance : float[T, M, M] or None
        Of one output; outputs are independent.
    variance : float[T, M] or None
        Its diagonal.
    eigenvalues : float64[N], numpy
        Of Theta(X, X), in ascending order, as they were used (`diag_reg` added).
    condition : float
        Largest over smallest eigenvalue; infinite for a singular kernel.
    largest_eta : float
        ``2 / (c lambda_max)``: gradient descent diverges from there on.
    """

    times: np.ndarray
    mean: Any
    covariance: Any
    variance: Any
    eigenvalues: np.ndarray = field(repr=False)
    condition: float
    largest_eta: float


@dataclass(frozen=True, eq=False)
class LawTask:
    """Kernels, targets and how they are trained on, for experiments.

    Attributes
    ----------
    K, theta : float64[M, M]
        The N training points first.
    Y : float64[N, C]
    eta : float
    loss : {"half_sum", "mean"}
    times : tuple of float
    """

    K: np.ndarray
    theta: np.ndarray
    Y: np.ndarray
    eta: float
    loss: Loss
    times: tuple[float, ...]


def check_law(
    xp: Any,
    nngp: Any,
    ntk: Any,
    y: Any,
    times: Any,
    *,
    eta: float,
    loss: Loss,
    dynamics: Dynamics,
    covariance: Covariance,
    diag_reg: float,
) -> tuple[np.ndarray, float]:
    """Refuse what has no law; the times, float64[T], and the rate ``eta c``.

    Parameters
    ----------
    xp : module
        numpy or torch, whichever the arrays belong to.
    nngp, ntk, y, times, eta, loss, dynamics, covariance, diag_reg
        See `ensemble_law` of `sims` and `kernels`.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    """
    for name, value, words in (
        ("loss", loss, Loss),
        ("dynamics", dynamics, Dynamics),
        ("covariance", covariance, Covariance),
    ):
        if value not in get_args(words):
            hint = ": they differ by the factor 2/(N C) in time" if name == "loss" else ""
            raise DomainError(f"{name} must be one of {', '.join(get_args(words))}, got {value!r}{hint}")
    if y.ndim != 2 or 0 in y.shape:
        raise ShapeError(f"y must have shape (N, C), one row a training point, got {tuple(y.shape)}")
    points = y.shape[0]
    if ntk.ndim != 2 or ntk.shape[0] < points or ntk.shape[1] not in (points, ntk.shape[0]):
        raise ShapeError(
            f"ntk must have shape (M, M) or (M, {points}), the {points} training points of y first, got "
            f"{tuple(ntk.shape)}; a finite network's kernel of several outputs is another matter: it mixes them"
        )
    if nngp is None and covariance != "none":
        raise DomainError("a covariance needs nngp, the covariance at initialisation; or ask for covariance='none'")
    if nngp is not None and tuple(nngp.shape) != (ntk.shape[0],) * 2:
        raise ShapeError(f"nngp must have shape {(ntk.shape[0],) * 2} like ntk, got {tuple(nngp.shape)}")
    for name, array in (("y", y), ("ntk", ntk), ("nngp", nngp)):
        if array is not None and not bool(xp.isfinite(array).all()):
            bad = ~xp.isfinite(array)
            row = int(bad.any(1).nonzero()[0][0])
            raise NonFiniteError(
                f"{name} is not finite: {int(bad.sum())} of its entries, first in row {row}", index=(row,)
            )
    _check_symmetric("ntk", ntk[:points, :points])
    if nngp is not None:
        _check_symmetric("nngp", nngp)
        root = xp.sqrt(xp.clip(nngp.diagonal(), 0.0, None))
        excess = float((abs(nngp) - root[:, None] * root[None, :]).max())
        if excess > _rounding(nngp) * float(abs(nngp).max()):
            raise DomainError(
                f"nngp is no covariance: |K(x, x')| exceeds sqrt(K(x, x) K(x', x')) by {excess:.3g}; were nngp and ntk "
                "exchanged, or rows of different points mixed?"
            )
    if not 0 < eta < math.inf:
        raise DomainError(f"eta must be > 0 and finite, got {eta}")
    if not 0 <= diag_reg < math.inf:
        raise DomainError(f"diag_reg must be >= 0 and finite, got {diag_reg}")
    t = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if t.ndim != 1 or t.size == 0 or np.isnan(t).any() or (t < 0).any():
        raise DomainError(f"times must be numbers >= 0, infinity among them, got {times!r}")
    finite = t[np.isfinite(t)]
    if dynamics == "descent" and (finite != np.floor(finite)).any():
        raise DomainError(
            f"gradient descent is recorded after whole steps, got {finite[finite != np.floor(finite)][0]}"
        )
    return t, eta * loss_factor(loss, *y.shape)


def _rounding(array: Any) -> float:
    """Relative difference that sums taken in another order may leave in an entry of a kernel."""
    return 1e-10 if "64" in str(array.dtype) else 1e-4


def _check_symmetric(name: str, array: Any) -> None:
    gap = float(abs(array - array.T).max())
    if gap > _rounding(array) * float(abs(array).max()):
        raise DomainError(f"{name} is not symmetric: it differs from its transpose by {gap:.3g}")


def check_descent(J: Any, f0: Any, y: Any, rate: Any, at: Any) -> np.ndarray:
    """Refuse linear models that do not fit together or are not finite; the steps, int64[T].

    Parameters
    ----------
    J, f0, y, rate, at
        See `linear_descent` of `sims` and `kernels`.

    Raises
    ------
    TypeError, ShapeError, NonFiniteError, DomainError
    """
    for name, array in (("J", J), ("f0", f0), ("y", y), ("rate", rate)):
        if "complex" in str(array.dtype):
            raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    shapes = [tuple(a.shape) for a in (J, f0, y, rate)]
    if [len(shape) for shape in shapes] != [2, 2, 2, 1] or not (
        shapes[0][0] == shapes[1][0] >= shapes[2][0] > 0 and shapes[1][1] == shapes[2][1] == shapes[3][0]
    ):
        raise ShapeError(
            "J, f0, y and rate must have shapes (M, P), (M, R), (N, R) with 1 <= N <= M, and (R,), got "
            + ", ".join(map(str, shapes))
        )
    for name, array in (("J", J), ("f0", f0), ("y", y), ("rate", rate)):
        if bad := int((~(abs(array) < math.inf)).sum()):
            raise NonFiniteError(f"{name} is not finite: {bad} of its entries")
    steps = np.asarray(at)
    if (
        steps.ndim != 1
        or steps.size == 0
        or (steps != steps.astype(np.int64)).any()
        or (np.diff(steps, prepend=0) < 0).any()
    ):
        raise DomainError(f"at must be whole steps >= 0 that do not fall, got {at!r}")
    return steps.astype(np.int64)


def decays(
    eigenvalues: np.ndarray, times: np.ndarray, *, rate: float, dynamics: Dynamics, dtype: str = "float64"
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """``d_t`` and ``g_t`` of every eigenvalue at every time.

    Parameters
    ----------
    eigenvalues : float64[N]
        Ascending.
    times : float64[T]
    rate : float
        ``eta c``.
    dynamics : {"flow", "descent"}
    dtype : str
        Arithmetic in which the kernel was computed: eigenvalues are known to ``sqrt(N) eps lambda_max``.

    Returns
    -------
    eigenvalues : float64[N]
        Rounding below 0 removed.
    decay, gain : float64[T, N]
        ``gain -> rate t`` as lambda -> 0.
    condition : float

    Raises
    ------
    DomainError
        An eigenvalue below 0 by more than rounding; a singular kernel at an infinite time; in gradient descent a rate
        of 2/lambda_max or more.

    Warns
    -----
    UserWarning
        Rounding of the kernel moves the gain of some mode by more than `DIGITS`, relatively.
    """
    least, largest = float(eigenvalues[0]), float(eigenvalues[-1])
    rounding = math.sqrt(eigenvalues.size) * float(np.finfo(dtype).eps) * max(largest, 0.0)
    if least < -10 * rounding or largest <= 0:
        raise DomainError(
            f"ntk is no kernel: its eigenvalues at the training points run from {least:.4g} to {largest:.4g}"
        )
    values = np.maximum(eigenvalues, 0.0)
    condition = largest / values[0] if values[0] > 0 else math.inf
    advice = "are rows equal, or collinear without biases? Take finite (shorter) times, or diag_reg"
    forever = np.isinf(times)
    if forever.any() and least <= rounding:
        raise DomainError(
            f"the kernel at the training points is singular to rounding, and has no limit in time: eigenvalues from "
            f"{least:.4g} to {largest:.4g} in {dtype}; {advice}"
        )
    x = rate * values
    if dynamics == "descent" and x[-1] >= 2:
        raise DomainError(
            f"gradient descent diverges: eta times the loss factor is {rate:.4g}, not below 2/lambda_max = "
            f"{2 / largest:.4g}; divide eta by more than {x[-1] / 2:.4g}"
        )
    t = np.where(forever, 0.0, times)[:, None]
    if dynamics == "flow":
        decay, filled = np.exp(-x * t), -np.expm1(-x * t)
    else:
        decay = (1 - x) ** t
        filled = np.where(x < 0.5, -np.expm1(t * np.log1p(-np.minimum(x, 0.5))), 1 - decay)
    small = x < np.finfo(np.float64).tiny  # also where the product underflowed
    gain = np.where(small, rate * t, filled / np.where(small, 1.0, values))
    decay[forever], gain[forever] = 0.0, 1 / values if forever.any() else 0.0
    lost = rounding * float(gain.max())  # |g'| <= g^2: the relative error of g is at most g times that of lambda
    if lost > DIGITS:
        warnings.warn(
            f"rounding in {dtype} may change the slowest mode of training by {min(lost, 1.0):.1%}: the kernel's "
            f"condition number is {condition:.3g}; {advice}",
            stacklevel=3,
        )
    return values, decay, gain, condition
