"""Step rules of fixed-point and extragradient methods, and the checks that simulators and kernels share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems.halpern.operators import real_array

__all__ = [
    "Extragradient",
    "anchor_weights",
    "check_schedule",
    "check_solve",
    "eag_c",
    "eag_v",
    "eg",
    "evaluation_errors",
    "feg",
    "halpern_weights",
    "mann_weights",
    "ohm_weights",
    "raise_if_not_finite",
    "recorded_steps",
    "restart_rule",
]


def anchor_weights(steps: int, *, shift: int = 2, numerator: int = 1) -> np.ndarray:
    """``lam_k = numerator / (k + shift)`` for k = 0, ..., steps - 1; the default is Halpern's 1/(k+2)."""
    _check_steps(steps)
    return numerator / (np.arange(steps) + shift)


def ohm_weights(steps: int, gamma: float) -> np.ndarray:
    """Anchor weights ``1/phi_{k+1}``, ``phi_k = sum_{i<=k} gamma^{2i}``, of the optimal contractive Halpern method.

    Raises
    ------
    DomainError
        Where gamma < 1; gamma = 1 gives Halpern's weights.
    """
    _check_steps(steps)
    if not (np.isfinite(gamma) and gamma >= 1):
        raise DomainError(f"gamma must be >= 1 and finite, got {gamma!r}")
    with np.errstate(over="ignore"):  # the sum may overflow to infinity: the weight is then 0, as it should be
        return 1 / np.cumsum(gamma ** (2.0 * np.arange(steps + 1)))[1:]


@dataclass(frozen=True, eq=False)
class Extragradient:
    """Step schedule of an extragradient method with anchor z_0.

    ``h = P(z + b_k (z_0 - z) - a_k F(z))``, ``z+ = P(z + b_k (z_0 - z) - c_k F(h))``.

    Attributes
    ----------
    name : str
    anchor, half, full : float64[steps]
        b_k, a_k and c_k.
    """

    name: str
    anchor: np.ndarray
    half: np.ndarray
    full: np.ndarray

    def __post_init__(self) -> None:
        for name in ("anchor", "half", "full"):
            object.__setattr__(self, name, real_array(name, getattr(self, name), 1))
        sizes = len(self.anchor), len(self.half), len(self.full)
        if len(set(sizes)) > 1 or not sizes[0]:
            raise ShapeError(f"anchor, half and full must have one entry a step, got {sizes}")

    @property
    def steps(self) -> int:
        """Number of steps N."""
        return len(self.anchor)


def eg(steps: int, eta: float) -> Extragradient:
    """Extragradient (Korpelevich 1976) with step eta."""
    _check_steps(steps)
    return Extragradient("EG", np.zeros(steps), np.full(steps, _step("eta", eta)), np.full(steps, eta))


def eag_c(steps: int, eta: float) -> Extragradient:
    """Extra anchored gradient with constant step (Yoon and Ryu 2021); its theorem asks for eta <= 1/(8L)."""
    return replace(eg(steps, eta), name="EAG-C", anchor=anchor_weights(steps))


def eag_v(steps: int, eta: float = 0.618, lipschitz: float = 1.0) -> Extragradient:
    """Extra anchored gradient with varying step (Yoon and Ryu 2021), first step ``eta/L``, eta in (0, 3/4).

    ``a_{k+1} = a_k (1 - (a_k L)^2 / ((k+1)(k+3)(1 - (a_k L)^2)))``
    """
    _check_steps(steps)
    if not 0 < eta < 0.75:
        raise DomainError(f"eta must lie in (0, 3/4), got {eta!r}")
    a = np.empty(steps)
    a[0] = eta
    for k in range(steps - 1):
        a[k + 1] = a[k] * (1 - a[k] ** 2 / ((k + 1) * (k + 3) * (1 - a[k] ** 2)))
    a /= _step("lipschitz", lipschitz)
    return Extragradient("EAG-V", anchor_weights(steps), a, a)


def feg(steps: int, lipschitz: float = 1.0) -> Extragradient:
    """Fast extragradient (Lee and Kim 2021) of a monotone L-Lipschitz field."""
    b = anchor_weights(steps, shift=1)
    eta = 1 / _step("lipschitz", lipschitz)
    return Extragradient("FEG", b, (1 - b) * eta, np.full(steps, eta))


def _check_steps(steps: int) -> None:
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)):
        raise TypeError(f"steps must be an int, got {type(steps).__name__}")
    if steps < 1:
        raise DomainError(f"steps must be >= 1, got {steps}")


def _step(name: str, value: float) -> float:
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not (np.isfinite(value) and value > 0):
        raise DomainError(f"{name} must be positive and finite, got {value!r}")
    return float(value)


# ------------------------------------------------------------------- checks shared by sims and kernels


def recorded_steps(at: Any, steps: int) -> np.ndarray:
    """Steps to record as int64, all of 0..steps for None; they must increase strictly within that range."""
    _check_steps(steps)
    if at is None:
        return np.arange(steps + 1)
    at = np.asarray(at)
    if at.dtype.kind not in "iu":
        raise TypeError(f"at must hold integers, got {at.dtype}")
    at = at.astype(np.int64)  # differences of unsigned integers never fall
    if at.ndim != 1 or at.size == 0 or (np.diff(at) <= 0).any() or at[0] < 0 or at[-1] > steps:
        raise DomainError(f"at must increase strictly within 0..{steps}, got {at}")
    return at


def halpern_weights(weights: Any, steps: int, batch: int) -> np.ndarray:
    """Anchor weights lam_k in [0, 1] as float64 (1 or B, steps); 1/(k+2) for None."""
    _check_steps(steps)
    lam = np.atleast_2d(anchor_weights(steps) if weights is None else np.asarray(weights, dtype=np.float64))
    if lam.ndim != 2 or lam.shape[1] != steps or lam.shape[0] not in (1, batch):
        raise ShapeError(f"weights must have shape ({steps},) or ({batch}, {steps}), got {np.shape(weights)}")
    outside = ~((lam >= 0) & (lam <= 1))
    if outside.any():
        row, k = (int(i) for i in np.argwhere(outside)[0])
        raise DomainError(f"lambda_k must lie in [0, 1], got {lam[row, k]} at k = {k}")
    return lam


def mann_weights(step: Any, steps: int, batch: int) -> np.ndarray:
    """The Krasnoselskii-Mann step g in (0, 1), a number or (B,), as float64 (1 or B, steps)."""
    _check_steps(steps)
    g = np.atleast_1d(np.asarray(step, dtype=np.float64))
    if g.ndim != 1 or g.size not in (1, batch):
        raise ShapeError(f"step must be a number or have shape ({batch},), got {np.shape(step)}")
    inside = (g > 0) & (g < 1)
    if not inside.all():
        raise DomainError(f"the Krasnoselskii-Mann step g must lie in (0, 1), got {g[~inside][0]} (at every k)")
    return np.repeat(g[:, None], steps, axis=1)


def evaluation_errors(errors: Any, steps: int, shape: tuple[int, ...]) -> np.ndarray | None:
    """Errors of the operator's evaluations as float64 (1 or B, steps, d); None where there are none."""
    if errors is None:
        return None
    e = np.asarray(errors, dtype=np.float64)
    e = e[None] if e.ndim == 2 else e
    if e.ndim != 3 or e.shape[0] not in (1, shape[0]) or e.shape[1:] != (steps, shape[1]):
        raise ShapeError(
            f"errors must have shape {(steps, shape[1])} or {(shape[0], steps, shape[1])}, got {np.shape(errors)}"
        )
    if not np.isfinite(e).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(e))[0])
        raise NonFiniteError(f"errors is {e[where]} at index {where}", index=where)
    return e


def restart_rule(period: int | None, decrease: float | None) -> tuple[int, float]:
    """The rule of a restarted method as (period, decrease), 0 where it is not used; exactly one must be given."""
    if (period is None) == (decrease is None):
        raise DomainError(f"give either period or decrease, got period = {period!r} and decrease = {decrease!r}")
    if period is not None:
        if isinstance(period, bool) or not isinstance(period, (int, np.integer)):
            raise TypeError(f"period must be an int, got {type(period).__name__}")
        if period < 1:
            raise DomainError(f"period must be >= 1, got {period}")
        return int(period), 0.0
    if not 0 < decrease < 1:  # type: ignore[operator]
        raise DomainError(f"decrease must lie in (0, 1), got {decrease!r}")
    return 0, float(decrease)  # type: ignore[arg-type]


def check_schedule(schedule: Any, simplices: int, dim: int) -> None:
    """Refuse what is not an `Extragradient`, and a split outside 0..dim - 1."""
    if not isinstance(schedule, Extragradient):
        raise TypeError(f"schedule must be an Extragradient, such as eg(steps, eta), got {type(schedule).__name__}")
    if not 0 <= simplices < dim:
        raise DomainError(f"simplices must split 0..{dim - 1}, got {simplices}")


def check_solve(tol: float, on_fail: str) -> None:
    """Refuse a tolerance that is not positive and finite, and an unknown `on_fail`."""
    _step("tol", tol)
    if on_fail not in ("raise", "return"):
        raise DomainError(f"on_fail must be 'raise' or 'return', got {on_fail!r}")


def raise_if_not_finite(what: str, bad: np.ndarray, at: np.ndarray, residual: np.ndarray) -> None:
    """Raise `NonFiniteError` where some row's operator value was not finite.

    Parameters
    ----------
    what : str
        The value, in words: "T(x)".
    bad : int64[B]
        Step of the first bad value, or -1.
    at : int64[R]
        Recorded steps.
    residual : float[B, R]
        Recorded residuals; those before the bad step are finite.
    """
    rows = np.flatnonzero(bad >= 0)
    if rows.size == 0:
        return
    b = int(rows[np.argmin(bad[rows])])
    step = int(bad[b])
    seen = residual[b][at < step]
    last = float(seen[-1]) if seen.size else None
    raise NonFiniteError(
        f"{what} is not finite at step k = {step}, row {b}"
        + (f"; last recorded residual {last:.6g}" if last is not None else "")
        + ". Check that the operator is defined at every iterate and does not expand.",
        step=step,
        index=(b,),
        last_residual=last,
    )
