"""Statements on deep linear networks: how each mode is learned, how long that takes, and what depth costs.

Notation: D the number of weight matrices, s the strength of a mode in the target, u its strength in the network, tau
the time constant. Aligned and balanced, each mode follows ``tau u' = D u^(2-2/D) (s - u)`` and ignores the others.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sympy as sp
from scipy.special import hyp2f1

from lemmata.claims import Assumption, Claim, Source
from lemmata.errors import DomainError

__all__ = [
    "deep_mode",
    "depth_delay",
    "descent_deviation",
    "exponential_delay",
    "gaussian_spread",
    "learning_time",
    "learning_time_limit",
    "mode_strength",
    "mode_time",
    "orthogonal_isometry",
    "sigmoid_mode",
    "strongest_first",
]

SAXE = Source(
    "saxe2014",
    "Saxe, Andrew M. and McClelland, James L. and Ganguli, Surya",
    "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
    "International Conference on Learning Representations",
    2014,
    arxiv="1312.6120",
)

# ----------------------------------------------------------------------------------------- closed forms


def _check_mode(initial: Any, strength: Any, depth: float, tau: float) -> None:
    u0, s = np.broadcast_arrays(np.asarray(initial, dtype=np.float64), np.asarray(strength, dtype=np.float64))
    inside = (u0 > 0) & (u0 < s) & np.isfinite(s)
    if not inside.all():
        i = np.unravel_index(int(inside.argmin()), inside.shape)
        raise DomainError(f"a mode grows from 0 < u_0 < s; got u_0 = {u0[i]:g}, s = {s[i]:g}")
    if not (depth >= 1 and depth == np.floor(depth)) or depth == math.inf:
        raise DomainError(f"depth must be a whole number >= 1, got {depth}; for its limit see learning_time_limit")
    if not 0 < tau < math.inf:
        raise DomainError(f"tau must be > 0 and finite, got {tau}")


def _primitive(v: np.ndarray, depth: float) -> np.ndarray:
    """A primitive of ``v^(2/D-2) / (1-v)``."""
    if depth == 2:
        return np.log(v) - np.log1p(-v)
    b = 2 / depth - 1
    return v**b / b * hyp2f1(1.0, b, b + 1, v)


def learning_time(initial: Any, final: Any, strength: Any, *, depth: int, tau: float = 1.0) -> np.ndarray:
    """Time in which a mode grows from u_0 to u_f.

    ``(tau/D) s^(2/D-2) [F(u_f/s) - F(u_0/s)]`` with ``F(v) = v^b 2F1(1, b; b+1; v) / b``, ``b = 2/D - 1``, a primitive
    of ``v^(2/D-2)/(1-v)``; for D = 2, where b = 0, ``F(v) = ln(v/(1-v))``.

    Parameters
    ----------
    initial, final, strength : array_like
        0 < u_0 <= u_f < s.
    depth : int
        D >= 1.
    tau : float

    Returns
    -------
    float64[...]
        In the unit of `tau`.

    Raises
    ------
    DomainError

    References
    ----------
    Saxe, McClelland and Ganguli, ICLR 2014: D = 2 and the limit of large D. The form for every D is the
    integral of their scalar equation.
    """
    _check_mode(initial, strength, depth, tau)
    u0, uf, s = (np.asarray(a, dtype=np.float64) for a in (initial, final, strength))
    if not ((u0 <= uf) & (uf < s)).all():
        raise DomainError(f"a mode grows to u_0 <= u_f < s; got u_f from {uf.min():g} to {uf.max():g}")
    return tau / depth * s ** (2 / depth - 2) * (_primitive(uf / s, depth) - _primitive(u0 / s, depth))


def learning_time_limit(initial: Any, final: Any, strength: Any, *, tau: float = 1.0) -> np.ndarray:
    """The limit of ``D * learning_time`` for D to infinity with u_0 fixed.

    ``tau [ln(u_f (s - u_0) / (u_0 (s - u_f))) / s^2 + 1/(s u_0) - 1/(s u_f)]``; arguments of `learning_time`.
    """
    _check_mode(initial, strength, 1, tau)
    u0, uf, s = (np.asarray(a, dtype=np.float64) for a in (initial, final, strength))
    return tau * (np.log(uf * (s - u0) / (u0 * (s - uf))) / s**2 + 1 / (s * u0) - 1 / (s * uf))


def mode_strength(time: Any, initial: Any, strength: Any, *, depth: int, tau: float = 1.0) -> np.ndarray:
    """Strength u(t) of a mode at any time.

    D = 1: ``s - (s - u_0) e^{-t/tau}``, as fast for every mode; D = 2: a sigmoid; D > 2: the inverse of
    `learning_time`, by bisection in ``ln(u/(s-u))``.

    Parameters
    ----------
    time : array_like
        >= 0.
    initial, strength, depth, tau
        See `learning_time`.

    Returns
    -------
    float64[...]
        To rounding of s.

    Raises
    ------
    DomainError
    """
    _check_mode(initial, strength, depth, tau)
    t, u0, s = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in (time, initial, strength)))
    if not (t >= 0).all():
        raise DomainError(f"time must be >= 0, got {t.min()}")
    if depth == 1:
        return s - (s - u0) * np.exp(-t / tau)
    if depth == 2:
        return s / (1 + (s / u0 - 1) * np.exp(-2 * s * t / tau))
    start = np.log(u0 / (s - u0))
    # the logit grows at D s u^(1-2/D) / tau at most; beyond 36 the mode is s to rounding
    low, high = start, np.minimum(start + depth * s ** (2 - 2 / depth) * t / tau, np.maximum(start, 36.0))
    goal = depth * t / tau * s ** (2 - 2 / depth) + _primitive(u0 / s, depth)
    for _ in range(60):  # 40 / 2^60 is below rounding
        middle = (low + high) / 2
        late = _primitive(1 / (1 + np.exp(-middle)), depth) > goal
        low, high = np.where(late, low, middle), np.where(late, middle, high)
    return s / (1 + np.exp(-(low + high) / 2))


# ------------------------------------------------------------------------------------------ assumptions


def _unbalanced(problem: Any) -> str | None:
    defect = problem.imbalance()
    size = max(float(abs(W).max()) for W in problem.weights) ** 2
    return None if defect <= 1e-12 * size else f"W_(l+1)^T W_(l+1) and W_l W_l^T differ by {defect:.3g}"


def _unaligned(problem: Any) -> str | None:
    modes = problem.modes(problem.product)
    leak = float(abs(modes - np.diag(modes.diagonal())).max())
    return None if leak <= 1e-12 * problem.strengths.max() else f"U^T W V has {leak:.3g} off the diagonal"


WHITE = Assumption("the inputs are white: E x x^T = I")
BALANCED = Assumption("the weights are balanced: W_(l+1)^T W_(l+1) = W_l W_l^T", _unbalanced)
ALIGNED = Assumption("the weights are aligned with the singular vectors of the target", _unaligned)
CHAIN = Assumption("the mode is alone and balanced: all D layers have the strength u_0^(1/D)")

# ----------------------------------------------------------------------------------------------- claims

t, s, u0, uf, tau, D = sp.symbols("t s u0 uf tau D", positive=True)
_MODE = {
    "t": "time",
    "s": "strength of the mode in the target",
    "u0": "its strength at the start",
    "tau": "time constant",
}

sigmoid_mode = Claim(
    id="learning_dynamics/sigmoid-mode",
    kind="identity",
    quantity="mode strengths of a network of two layers in gradient flow",
    expression=s / (1 + (s / u0 - 1) * sp.exp(-2 * s * t / tau)),
    symbols=_MODE,
    assumptions=(WHITE, BALANCED, ALIGNED),
    source=SAXE,
    tolerance=1e-8,  # the integrator is asked for 1e-10 a step
    statement="With two layers every mode grows along its own sigmoid, at the rate 2 s/tau: strong modes first.",
)

deep_mode = Claim(
    id="learning_dynamics/deep-mode",
    kind="identity",
    quantity="U^T W V, the network in the singular vectors of the target, in gradient flow",
    expression=sp.Symbol("strength"),
    symbols={"strength": "solution of tau u' = D u^(2-2/D) (s - u) on the diagonal, 0 off it"},
    assumptions=(WHITE, BALANCED, ALIGNED),
    source=SAXE,
    tolerance=1e-8,
    statement="At every depth the modes are learned independently, each along the solution of one scalar equation.",
)

mode_time = Claim(
    id="learning_dynamics/mode-time",
    kind="identity",
    quantity="time in which D layers in a chain bring their product from u_0 to u_f",
    expression=sp.Symbol("time"),
    symbols={"time": "learning_time: (tau/D) s^(2/D-2) [F(u_f/s) - F(u_0/s)]"},
    assumptions=(CHAIN,),
    source=SAXE,
    tolerance=1e-8,
    statement="The learning time of a mode is a difference of hypergeometric functions at every depth.",
)

depth_delay = Claim(
    id="learning_dynamics/depth-delay",
    kind="limit",
    quantity="1 - D t(D) / lim D t(D), t(D) the learning time of a chain of D layers from the same u_0",
    expression=1 / D,
    symbols={"D": "number of weight matrices"},
    assumptions=(CHAIN,),
    source=SAXE,
    exponent=1.0,
    tolerance=0.01,
    statement=(
        "From a fixed product u_0 the learning time times D tends to a limit: with a learning rate of order 1/D the "
        "number of steps does not grow with depth."
    ),
)

exponential_delay = Claim(
    id="learning_dynamics/exponential-delay",
    kind="bound",
    direction="lower",
    quantity="learning time from layers of strength a < 1, D > 2",
    expression=tau * (sp.Symbol("a") ** (2 - D) - uf ** (2 / D - 1)) / (s * (D - 2)),
    symbols={
        "a": "strength of each layer at the start",
        "uf": "strength of the mode at the end",
        "s": _MODE["s"],
        "D": "number of weight matrices",
        "tau": _MODE["tau"],
    },
    assumptions=(CHAIN,),
    source=SAXE,
    statement="From layers of a fixed strength a < 1, hence u_0 = a^D, the learning time grows exponentially in depth.",
)

descent_deviation = Claim(
    id="learning_dynamics/descent-deviation",
    kind="rate",
    quantity="largest distance of gradient descent with learning rate 1/x from the modes of gradient flow",
    expression=1 / sp.Symbol("x"),
    symbols={"x": "steps in a unit of time"},
    assumptions=(WHITE, BALANCED, ALIGNED),
    source=SAXE,
    exponent=1.0,
    statement="Gradient descent follows the exact solution up to an error of first order in the learning rate.",
)

orthogonal_isometry = Claim(
    id="learning_dynamics/orthogonal-isometry",
    kind="identity",
    quantity="singular values of a product of D orthogonal matrices",
    expression=sp.Integer(1),
    symbols={},
    assumptions=(),
    source=SAXE,
    tolerance=1e-12,  # 50 products of 100 columns round to 1e-14
    statement="A product of orthogonal weights is an isometry at every depth, and so is backpropagation through it.",
)

gaussian_spread = Claim(
    id="learning_dynamics/gaussian-spread",
    kind="demonstration",
    quantity="ln of the condition number of a product of D matrices, by depth",
    expression=sp.Symbol("D"),
    symbols={"D": "number of weight matrices"},
    assumptions=(),
    source=SAXE,
    statement=(
        "Normal weights of variance 1/n keep lengths on average and yet are no isometry: the condition number of their "
        "product grows exponentially in depth, by e a layer at least. (Control: orthogonal weights.)"
    ),
)

strongest_first = Claim(
    id="learning_dynamics/strongest-first",
    kind="bound",
    direction="lower",
    quantity="time at which a mode is half learned over that of the next stronger one, small random weights",
    expression=sp.Integer(1),
    symbols={},
    assumptions=(WHITE,),
    source=SAXE,
    standing="checked",
    statement="From small random weights, aligned with nothing, modes are learned in the order of their strengths.",
)
