"""Images, orbits and Lyapunov exponents of the systems, in Numba.

A built-in `lemmata.problems.koopman.System` is served by loops that are compiled once and cached on disk. A user's own
map is an ``@njit`` function ``step(x, out)`` that fills ``out``, compiled with the same loops once a process.

Flows take fixed steps: Yoshida's composition of three leapfrogs (order 4, symplectic, reversible) for the pendulum and
undamped Duffing, Runge-Kutta of order 4 for the others.

Orbits of the expanding maps are exact. A binary fraction loses a bit at each doubling and is 0 after 53; here x = n/P
with integer n and P a prime of which 2 is a primitive root, so that orbits neither collapse nor close before P - 1
steps. The logistic map follows the tent map through ``sin^2(pi y/2)``, the cat map the lattice modulo P.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numba.extending import is_jitted

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.koopman import CollapseError, Kind, System, check_finite, check_real
from lemmata.random import check_integer

__all__ = ["PRIME", "exponents", "images", "orbit"]

#: The largest safe prime below 2^60 of which 2 is a primitive root: 2n and 2n + m fit in int64.
PRIME = 1152921504606843299

# numba reads these as compile-time constants
ROTATION, LINEAR, CAT, SKEW, DOUBLING, TENT, LOGISTIC = (int(k) for k in list(Kind)[:7])
GAUSS_ITERATED, CONTRACTION, PENDULUM, DUFFING, LORENZ, ROSSLER = (int(k) for k in list(Kind)[7:])
YOSHIDA = 1.0 / (2.0 - 2.0 ** (1.0 / 3.0))


# ------------------------------------------------------------------------------------ maps and fields


@njit(cache=True)
def _wrap(x):  # type: ignore[no-untyped-def]
    """x mod 1; of a negative x near 0 the remainder rounds to 1, which is no point of the circle."""
    y = x % 1.0
    return y if y < 1.0 else 0.0


@njit(cache=True)
def _map(kind, p, x, out):  # type: ignore[no-untyped-def]
    if kind == ROTATION:
        out[0] = _wrap(x[0] + p[0])
    elif kind == LINEAR:
        d = x.size
        for i in range(d):
            total = 0.0
            for j in range(d):
                total += p[i * d + j] * x[j]
            out[i] = total
    elif kind == CAT:
        a, b = x[0], x[1]
        out[0] = _wrap(2.0 * a + b)
        out[1] = _wrap(a + b)
    elif kind == SKEW:
        a, b = x[0], x[1]
        out[0] = _wrap(a + p[0])
        out[1] = _wrap(b + a)
    elif kind == DOUBLING:
        out[0] = _wrap(2.0 * x[0])
    elif kind == TENT:
        out[0] = 1.0 - abs(2.0 * x[0] - 1.0)
    elif kind == LOGISTIC:
        out[0] = 4.0 * x[0] * (1.0 - x[0])
    elif kind == GAUSS_ITERATED:
        out[0] = math.exp(-2.0 * x[0] * x[0]) - 1.0 - math.exp(-2.0)
    else:
        out[0] = p[0] * x[0]


@njit(cache=True)
def _derivative(kind, p, x, J):  # type: ignore[no-untyped-def]
    """Jacobian of a map, or of the field of a flow."""
    if kind == ROTATION:
        J[0, 0] = 1.0
    elif kind == LINEAR:
        d = x.size
        for i in range(d):
            for j in range(d):
                J[i, j] = p[i * d + j]
    elif kind == CAT:
        J[0, 0], J[0, 1], J[1, 0], J[1, 1] = 2.0, 1.0, 1.0, 1.0
    elif kind == SKEW:
        J[0, 0], J[0, 1], J[1, 0], J[1, 1] = 1.0, 0.0, 1.0, 1.0
    elif kind == DOUBLING:
        J[0, 0] = 2.0
    elif kind == TENT:
        J[0, 0] = 2.0 if x[0] < 0.5 else -2.0
    elif kind == LOGISTIC:
        J[0, 0] = 4.0 - 8.0 * x[0]
    elif kind == GAUSS_ITERATED:
        J[0, 0] = -4.0 * x[0] * math.exp(-2.0 * x[0] * x[0])
    elif kind == CONTRACTION:
        J[0, 0] = p[0]
    elif kind == PENDULUM:
        J[0, 0], J[0, 1], J[1, 0], J[1, 1] = 0.0, 1.0, -math.cos(x[0]), 0.0
    elif kind == DUFFING:
        J[0, 0], J[0, 1], J[1, 0], J[1, 1] = 0.0, 1.0, 1.0 - 3.0 * x[0] * x[0], -p[0]
    elif kind == LORENZ:
        J[0, 0], J[0, 1], J[0, 2] = -p[0], p[0], 0.0
        J[1, 0], J[1, 1], J[1, 2] = p[1] - x[2], -1.0, -x[0]
        J[2, 0], J[2, 1], J[2, 2] = x[1], x[0], -p[2]
    else:
        J[0, 0], J[0, 1], J[0, 2] = 0.0, -1.0, -1.0
        J[1, 0], J[1, 1], J[1, 2] = 1.0, p[0], 0.0
        J[2, 0], J[2, 1], J[2, 2] = x[2], 0.0, x[0] - p[2]


@njit(cache=True)
def _field(kind, p, x, out):  # type: ignore[no-untyped-def]
    if kind == PENDULUM:
        out[0], out[1] = x[1], -math.sin(x[0])
    elif kind == DUFFING:
        out[0], out[1] = x[1], x[0] - x[0] ** 3 - p[0] * x[1]
    elif kind == LORENZ:
        out[0] = p[0] * (x[1] - x[0])
        out[1] = x[0] * (p[1] - x[2]) - x[1]
        out[2] = x[0] * x[1] - p[2] * x[2]
    else:
        out[0] = -x[1] - x[2]
        out[1] = x[0] + p[0] * x[1]
        out[2] = p[1] + x[2] * (x[0] - p[2])


@njit(cache=True)
def _leapfrog(kind, x, v, h):  # type: ignore[no-untyped-def]
    """Kick, drift, kick with the force of the pendulum or of Duffing's double well."""
    v += 0.5 * h * (-math.sin(x) if kind == PENDULUM else x - x**3)
    x += h * v
    v += 0.5 * h * (-math.sin(x) if kind == PENDULUM else x - x**3)
    return x, v


@njit(cache=True)
def _runge_kutta(kind, p, x, h, k, y):  # type: ignore[no-untyped-def]
    """One step in place; k float64[4, d] and y float64[d] are scratch."""
    d = x.size
    _field(kind, p, x, k[0])
    for stage in range(1, 4):
        c = 0.5 * h if stage < 3 else h
        for i in range(d):
            y[i] = x[i] + c * k[stage - 1, i]
        _field(kind, p, y, k[stage])
    for i in range(d):
        x[i] += h / 6.0 * (k[0, i] + 2.0 * k[1, i] + 2.0 * k[2, i] + k[3, i])


@njit(cache=True)
def _advance(kind, p, dt, substeps, x, out, k, y):  # type: ignore[no-untyped-def]
    """out <- F(x)."""
    if kind < PENDULUM:
        _map(kind, p, x, out)
        return
    h = dt / substeps
    for i in range(x.size):
        out[i] = x[i]
    if kind == PENDULUM or (kind == DUFFING and p[0] == 0.0):
        a, b = out[0], out[1]
        for _ in range(substeps):
            a, b = _leapfrog(kind, a, b, YOSHIDA * h)
            a, b = _leapfrog(kind, a, b, (1.0 - 2.0 * YOSHIDA) * h)
            a, b = _leapfrog(kind, a, b, YOSHIDA * h)
        out[0], out[1] = a, b
    else:
        for _ in range(substeps):
            _runge_kutta(kind, p, out, h, k, y)


# --------------------------------------------------------------------------------------------- loops


@njit(cache=True)
def _images(kind, p, dt, substeps, x, y):  # type: ignore[no-untyped-def]
    d = x.shape[1]
    k, scratch = np.empty((4, d)), np.empty(d)
    for m in range(x.shape[0]):
        _advance(kind, p, dt, substeps, x[m], y[m], k, scratch)


@njit(cache=True)
def _orbit(kind, p, dt, substeps, burn_in, x):  # type: ignore[no-untyped-def]
    """Fill x[1:] from x[0], after `burn_in` steps."""
    d = x.shape[1]
    k, scratch, last = np.empty((4, d)), np.empty(d), np.empty(d)
    for _ in range(burn_in):
        for i in range(d):
            last[i] = x[0, i]
        _advance(kind, p, dt, substeps, last, x[0], k, scratch)
    for t in range(1, x.shape[0]):
        _advance(kind, p, dt, substeps, x[t - 1], x[t], k, scratch)


@njit(cache=True)
def _exact_orbit(kind, prime, n, burn_in, x):  # type: ignore[no-untyped-def]
    """The orbit of n/prime, n int64[d]: integers modulo the prime, written as float64."""
    for t in range(-burn_in, x.shape[0]):
        if t >= 0:
            for i in range(n.size):
                x[t, i] = n[i] / prime
        if kind == CAT:
            a, b = n[0], n[1]
            n[0], n[1] = (2 * a + b) % prime, (a + b) % prime
        elif kind == DOUBLING:
            n[0] = (2 * n[0]) % prime
        else:
            n[0] = min(2 * n[0], 2 * (prime - n[0]))


@njit(cache=True)
def _exponents(kind, p, dt, substeps, burn_in, steps, x):  # type: ignore[no-untyped-def]
    """Means of log diag R of the tangent vectors, orthonormalised after every (sub)step; x float64[d] is moved.

    And the step at which one of them vanished, -1 if none did.
    """
    d = x.size
    flow = kind >= PENDULUM
    h = dt / substeps if flow else 1.0
    inner = substeps if flow else 1
    k, y, J, out = np.empty((4, d)), np.empty(d), np.zeros((d, d)), np.empty(d)
    V, W, slope = np.eye(d), np.empty((d, d)), np.empty((4, d, d))
    total = np.zeros(d)
    for t in range(-burn_in * inner, steps * inner):
        if flow:
            # Runge-Kutta for the state and its variation together
            for stage in range(4):
                c = 0.0 if stage == 0 else (h if stage == 3 else 0.5 * h)
                before = max(stage - 1, 0)
                for i in range(d):
                    y[i] = x[i] + (c * k[before, i] if stage > 0 else 0.0)
                    for j in range(d):
                        W[i, j] = V[i, j] + (c * slope[before, i, j] if stage > 0 else 0.0)
                _field(kind, p, y, k[stage])
                _derivative(kind, p, y, J)
                for i in range(d):
                    for j in range(d):
                        s = 0.0
                        for q in range(d):
                            s += J[i, q] * W[q, j]
                        slope[stage, i, j] = s
            for i in range(d):
                x[i] += h / 6.0 * (k[0, i] + 2.0 * k[1, i] + 2.0 * k[2, i] + k[3, i])
                for j in range(d):
                    V[i, j] += h / 6.0 * (slope[0, i, j] + 2.0 * slope[1, i, j] + 2.0 * slope[2, i, j] + slope[3, i, j])
        else:
            _derivative(kind, p, x, J)
            for i in range(d):
                for j in range(d):
                    s = 0.0
                    for q in range(d):
                        s += J[i, q] * V[q, j]
                    W[i, j] = s
            for i in range(d):
                for j in range(d):
                    V[i, j] = W[i, j]
            _map(kind, p, x, out)
            for i in range(d):
                x[i] = out[i]
        for j in range(d):
            for q in range(j):
                dot = 0.0
                for i in range(d):
                    dot += V[i, q] * V[i, j]
                for i in range(d):
                    V[i, j] -= dot * V[i, q]
            length = 0.0
            for i in range(d):
                length += V[i, j] * V[i, j]
            length = math.sqrt(length)
            if length == 0.0:
                return total, t + burn_in * inner
            for i in range(d):
                V[i, j] /= length
            if t >= 0:
                total[j] += math.log(length)
    return total / (steps * (dt if flow else 1.0)), -1


@lru_cache(maxsize=128)
def _bound(step: Callable[..., None]) -> tuple[Callable[..., None], Callable[..., None]]:
    """The loops `images` and `orbit` around a user's step, compiled with it."""

    @njit
    def bound_images(x, y):  # type: ignore[no-untyped-def]
        for m in range(x.shape[0]):
            step(x[m], y[m])

    @njit
    def bound_orbit(burn_in, x):  # type: ignore[no-untyped-def]
        last = np.empty_like(x[0])
        for _ in range(burn_in):
            last[:] = x[0]
            x[0] = np.nan
            step(last, x[0])
        for t in range(1, x.shape[0]):
            # a step that works in its argument must not rewrite the orbit
            last[:] = x[t - 1]
            step(last, x[t])

    return bound_images, bound_orbit


# -------------------------------------------------------------------------------------------- public


def _read(system: Any, x: Any, ndim: int) -> np.ndarray:
    x = np.array(check_real("the states", x), order="C")  # a copy
    if x.ndim != ndim or not x.size:
        raise ShapeError(f"the states must have {ndim} axes and not be empty, got {x.shape}")
    if isinstance(system, System):
        if x.shape[-1] != system.dim:
            raise ShapeError(f"{system.name} has dimension {system.dim}; the states have {x.shape[-1]}")
    elif not is_jitted(system):
        raise TypeError(f"a map is a System or an @njit function step(x, out), got {type(system).__name__}")
    return check_finite("x", x)


def _flow(system: System) -> tuple[int, np.ndarray, float, int]:
    return int(system.kind), system.parameters, float(system.dt), int(system.substeps)


def images(system: System | Callable[..., None], x: Any) -> np.ndarray:
    """y = F(x) for every row.

    Parameters
    ----------
    system : System or @njit function ``step(x, out)``
    x : array_like, (M, d)

    Returns
    -------
    float64[M, d]
        Angles are not wrapped for flows; maps of the torus return into [0, 1).

    Raises
    ------
    ShapeError, NonFiniteError, TypeError
    """
    x = _read(system, x, 2)
    y = np.full_like(x, np.nan)  # what a user's step does not fill
    if isinstance(system, System):
        _images(*_flow(system), x, y)
    else:
        _bound(system)[0](x, y)
    return check_finite("F(x)", y)


def orbit(system: System | Callable[..., None], x0: Any, steps: int, *, burn_in: int = 0) -> np.ndarray:
    """x, F(x), ..., F^steps(x); `burn_in` steps are made and thrown away first.

    Orbits of the doubling, tent, logistic and cat maps are exact modulo a large prime and start at the lattice point
    next to x0, or where that is the fixed point 0 one further: they leave it, after some sixty steps.

    Parameters
    ----------
    system : System or @njit function ``step(x, out)``
    x0 : array_like, (d,)
    steps, burn_in : int

    Returns
    -------
    float64[steps + 1, d]
        ``8 d (steps + 1)`` bytes.

    Raises
    ------
    ShapeError, DomainError, NonFiniteError
    CollapseError
        A coordinate of a user's map ended on a number, be it for the last step, and stays there although the map pushes
        it away: an expanding map in binary arithmetic.
    """
    start = _read(system, x0, 1)
    steps, burn_in = check_integer("steps", steps, 1), check_integer("burn_in", burn_in, 0)
    x = np.full((steps + 1, start.size), np.nan)  # what a user's step does not fill
    x[0] = start
    if not isinstance(system, System):
        _bound(system)[1](burn_in, x)
        _check_collapse(system, start, check_finite("the orbit", x))
    elif system.kind in (Kind.CAT, Kind.DOUBLING, Kind.TENT, Kind.LOGISTIC):
        if start.min() < 0 or start.max() > 1:
            raise DomainError(f"{system.name} lives on [0, 1], x0 = {start}")
        y = 2 / math.pi * np.arcsin(np.sqrt(start)) if system.kind == Kind.LOGISTIC else start
        n = np.clip((y * PRIME).astype(np.int64), 1, PRIME - 1)
        _exact_orbit(int(system.kind), PRIME, n, burn_in, x)
        if system.kind == Kind.LOGISTIC:
            x = np.sin(math.pi / 2 * x) ** 2
    else:
        _orbit(*_flow(system), burn_in, x)
    return check_finite("the orbit", x)


def _check_collapse(step: Callable[..., None], start: np.ndarray, x: np.ndarray) -> None:
    """Refuse an orbit that ended on a point by rounding; where that point attracts it ends with good reason."""
    last = x[-1]
    # a few steps more: coordinates of a moving state agree with their images by chance, but not for long
    ahead = np.tile(last, (9, 1))
    _bound(step)[1](0, ahead)
    for i in np.flatnonzero((ahead == last).all(axis=0) & (start != last)):
        stretch = []
        for off in (1e-9, -1e-9):
            beside, image = last.copy(), np.empty_like(last)
            beside[i] += off * max(1.0, abs(last[i]))
            apart = abs(beside[i] - last[i])
            step(beside, image)
            stretch.append(abs(image[i] - last[i]) / apart)
        # beyond it is a jump
        if any(1.5 < factor < 1e4 for factor in stretch):
            since = int(np.flatnonzero(x[:, i] != last[i]).max(initial=-1)) + 1
            raise CollapseError(
                f"coordinate {i} of the orbit is {last[i]:g} from step {since} on, where the map pushes it away: "
                "binary fractions lose a bit at each doubling; iterate integers modulo a prime, or a conjugate map"
            )


def exponents(system: System, x0: Any, steps: int, *, burn_in: int = 0) -> np.ndarray:
    """The Lyapunov spectrum by orthonormalisation of tangent vectors (Benettin's QR method).

    Parameters
    ----------
    system : System
        The float map, not its exact orbit: an expanding map is followed for at most 50 steps from one point. A fixed
        point has exponents of its own.
    x0 : array_like, (d,)
    steps, burn_in : int
        In units of one application of F.

    Returns
    -------
    float64[d]
        Decreasing on the average, per unit of time of a flow and per step of a map.

    Raises
    ------
    ShapeError, DomainError, NonFiniteError
    """
    if not isinstance(system, System):
        raise TypeError("exponents need a System, whose derivative is known")
    x = _read(system, x0, 1)
    steps, burn_in = check_integer("steps", steps, 1), check_integer("burn_in", burn_in, 0)
    if system.kind in (Kind.DOUBLING, Kind.TENT) and steps + burn_in > 50:
        raise CollapseError(f"{system.name} is 0 in floats after 53 steps; {steps + burn_in} were asked for")
    found, lost = _exponents(*_flow(system), burn_in, steps, x)
    if lost >= 0:
        raise DomainError(f"the derivative of the {system.name} is singular at step {lost}: an exponent is -inf")
    return check_finite("the exponents", found)
