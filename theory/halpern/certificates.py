r"""Exact worst cases of fixed-step methods, by performance estimation.

A fixed-step method evaluates a residual :math:`g_k` at the points

.. math:: y_k = y_0 - \sum_{j<k} H_{k,j}\, g_j, \qquad k = 1, \dots, m,

where :math:`g_k = y_k - T y_k` for a map T and :math:`g_k = F(y_k)` for an operator F. Its worst case over
all maps or operators of a class, in every dimension, is a semidefinite programme in the Gram matrix of
:math:`y_0 - y_\star, g_0, \dots, g_m`. We solve the dual: find the smallest :math:`\tau` and multipliers
:math:`\lambda \ge 0` of the inequalities :math:`q_p \le 0` that hold between any two points, such that

.. math:: \tau \|y_0 - y_\star\|^2 + \sum_p \lambda_p q_p - \|g_m\|^2 \quad \text{is a sum of squares.}

Whatever :math:`\lambda` is, that proves :math:`\|g_m\|^2 \le \tau \|y_0 - y_\star\|^2`. So a solver is
needed to find a certificate, never to believe it: `Certificate.verify` checks it in rational arithmetic,
and `prove` needs no solver at all where the multipliers are known in closed form.

References
----------
Drori and Teboulle, Math. Program. 145 (2014) 451-482 (performance estimation).
Ryu, Taylor, Bergeling and Giselsson, SIAM J. Optim. 30 (2020) 2251-2271 (interpolation of operators).
Lieder, Optim. Lett. 15 (2021) 405-418 (Halpern).
Lieder, PhD thesis, HHU Düsseldorf, 2018 (Krasnoselskii-Mann).
Park and Ryu, ICML 2022 (contractive maps).
Yoon and Ryu, ICML 2021 (EAG).
Lee and Kim, NeurIPS 2021 (FEG).
Cai, Alacaoglu and Diakonikolas, ICLR 2024, arXiv:2310.02987 (Algorithm 1).
"""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lemmata.errors import DomainError, NonFiniteError, NotConverged, ShapeError, UnknownName

__all__ = ["METHODS", "OPERATORS", "Certificate", "certify", "formula", "prove", "step_matrix"]

OPERATORS = ("nonexpansive", "contractive", "cocoercive", "monotone-lipschitz")
"""Classes of maps T (the first two) and operators F (the others) that `certify` knows."""
_MAPS = OPERATORS[:2]

_CLASS_OF = {
    "halpern": "nonexpansive",
    "km": "nonexpansive",
    "ohm": "contractive",
    "halpern-cocoercive": "cocoercive",
    "algorithm-1": "cocoercive",
    "eg": "monotone-lipschitz",
    "eag-c": "monotone-lipschitz",
    "eag-v": "monotone-lipschitz",
    "feg": "monotone-lipschitz",
}
METHODS = tuple(_CLASS_OF)
"""Names that `certify`, `formula` and `step_matrix` know."""

# symbol, default and open upper end of the free step, in units of 1/L
_STEP = {
    "km": ("g", 0.5, 1.0),
    "algorithm-1": ("eta", 0.25, 2.0),
    "eg": ("a", 0.5, 1.0),
    "eag-c": ("a", 0.125, 1.0),
    "eag-v": ("a_0", 0.618, 0.75),
}
_QUANTITY = {
    "halpern": "‖x_N − T x_N‖²",
    "km": "‖x_N − T x_N‖²",
    "ohm": "‖x_N − T x_N‖²",
    "halpern-cocoercive": "‖F(x_N)‖²",
    "algorithm-1": "‖F(u_N)‖",
    "eg": "‖F(z_N)‖²",
    "eag-c": "‖F(z_N)‖²",
    "eag-v": "‖F(z_N)‖²",
    "feg": "‖F(z_N)‖²",
}
_SOLVED = ("optimal", "optimal_inaccurate")
_SOLVER_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "clarabel": ({"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}, "max_iter"),
    "scs": ({"eps_abs": 1e-9, "eps_rel": 1e-9, "max_iters": 200_000}, "max_iters"),
}

Label = tuple[int | str, ...]


@dataclass(frozen=True, eq=False)
class Certificate:
    r"""An upper bound on the last residual of a method, with the multipliers that prove it.

    Attributes
    ----------
    method : str
        Name of the method, or ``"custom"`` for a step matrix.
    steps : int
        Number of steps N; for ``"custom"`` the number m of rows of the step matrix.
    operator : str
        Class of maps or operators, one of `OPERATORS`.
    quantity : str
        What is bounded: the squared last residual, except for ``"algorithm-1"``, whose norm is not squared.
    value : float
        Dual objective as the solver left it, in units of (lipschitz * dist)^2; of lipschitz * dist where the
        quantity is not squared.
    certified : float
        Dual objective at `multipliers`, which are feasible: a true upper bound. It exceeds `value` by about
        `infeasibility` times the largest trace that the Gram matrix can have.
    primal : float
        Primal objective: the quantity on the solver's worst instance. Not a guarantee.
    gap : float
        ``value - primal``. It can be a little below 0, since neither side is exactly feasible.
    infeasibility : float
        Largest violation of dual feasibility in the solver's answer, for dist = lipschitz = 1 and the
        squared residual: minus the least eigenvalue of the slack matrix or minus the least multiplier,
        whichever is worse, or 0. Computed here in float64, not read from the solver.
    formula : float or None
        Closed form of the worst case, where one is known (see `formula`).
    tight : bool
        True where the inequalities characterise the class, so that an instance attains the worst case.
        False for ``"monotone-lipschitz"``: an upper bound, which may not be attained.
    multipliers : dict
        Multipliers of the inequalities between the points i < j, keyed by ``(i, j)``, with ``"*"`` for the
        fixed point or zero; by ``(i, j, "monotone")`` and ``(i, j, "lipschitz")`` for the class with two
        inequalities. Points are numbered as in the step matrix: iterate k is k, but 2k for extragradient
        methods, whose half points are odd. Coinciding points share the first number. With
        :math:`\Delta y = y_i - y_j` and :math:`\Delta g = g_i - g_j`, the inequalities are, for dist =
        lipschitz = 1,

        - nonexpansive: :math:`\|\Delta g\|^2 - 2\langle\Delta y,\Delta g\rangle \le 0`,
        - contractive:
          :math:`(1-\gamma^{-2})\|\Delta y\|^2-2\langle\Delta y,\Delta g\rangle+\|\Delta g\|^2 \le 0`,
        - cocoercive: :math:`2\|\Delta g\|^2 - 2\langle\Delta y,\Delta g\rangle \le 0`,
        - monotone: :math:`-2\langle\Delta y,\Delta g\rangle \le 0`,
        - lipschitz: :math:`\|\Delta g\|^2 - \|\Delta y\|^2 \le 0`.
    step_matrix : ndarray
        The H that was certified, float64[m, m].
    gamma : float or None
        T is 1/gamma-Lipschitz; None for the other classes.
    lipschitz : float
        L of the operator F; 1 for maps.
    dist : float
        Distance D from the start to the fixed point or zero.
    status : str
        What the solver said: "optimal", "optimal_inaccurate", or why it failed.
    solver : str
        Which solver it was.
    """

    method: str
    steps: int
    operator: str
    quantity: str
    value: float
    certified: float
    primal: float
    gap: float
    infeasibility: float
    formula: float | None
    tight: bool
    multipliers: dict[Label, float]
    step_matrix: NDArray[np.float64]
    gamma: float | None
    lipschitz: float
    dist: float
    status: str
    solver: str

    def verify(self) -> bool:
        r"""Check in rational arithmetic that `multipliers` prove the bound `certified`.

        Every float is a rational number, so the slack matrix
        :math:`S = \tau E + \sum_p \lambda_p A_p - C` of the stored step matrix can be formed and factorised
        without any rounding. No solver, tolerance or floating-point operation has a part in the answer.

        Returns
        -------
        bool
            True if every multiplier is >= 0 and S is positive semidefinite.
        """
        if not math.isfinite(self.certified):
            return False
        unit, power = Fraction(self.lipschitz) * Fraction(self.dist), _power(self.method)
        tau = (Fraction(self.certified) / unit**power) ** (2 // power)
        matrix = np.array([[Fraction(h) for h in row] for row in self.step_matrix.tolist()], dtype=object)
        gamma = None if self.gamma is None else Fraction(self.gamma)
        weights = {label: Fraction(weight) for label, weight in self.multipliers.items()}
        return _is_proof(tau, weights, matrix * Fraction(self.lipschitz), self.operator, gamma)


def certify(
    method: str | ArrayLike,
    steps: int | None = None,
    *,
    operator: str | None = None,
    step: float | None = None,
    gamma: float | None = None,
    lipschitz: float = 1.0,
    dist: float = 1.0,
    solver: Literal["clarabel", "scs"] = "clarabel",
    max_iterations: int | None = None,
    on_fail: Literal["raise", "return"] = "raise",
) -> Certificate:
    r"""Bound the last residual of a method over a whole class of maps or operators, with a proof.

    Parameters
    ----------
    method : str or array_like
        One of `METHODS`, for k = 0, ..., N-1:

        - ``"halpern"``: x_{k+1} = x_0/(k+2) + (k+1)/(k+2) T x_k,
        - ``"km"``: x_{k+1} = (1-g) x_k + g T x_k,
        - ``"ohm"``: x_{k+1} = x_0/phi_{k+1} + (1 - 1/phi_{k+1}) T x_k, phi_k = sum_{i<=k} gamma^{2i},
        - ``"halpern-cocoercive"``: ``"halpern"`` on T = I - (2/L) F,
        - ``"algorithm-1"``: u_{k+1} = lam_k u_0 + (1-lam_k) u_k - eta F(u_k), lam_k = 2/(k+4),
        - ``"eg"``: h = z - a F(z), z+ = z - a F(h),
        - ``"eag-c"``: h = z + b_k (z_0-z) - a F(z), z+ = z + b_k (z_0-z) - a F(h), b_k = 1/(k+2),
        - ``"eag-v"``: the same with a_{k+1} = a_k (1 - (a_k L)^2 / ((k+1)(k+3)(1 - (a_k L)^2))),
        - ``"feg"``: h = z + b_k (z_0-z) - (1-b_k) F(z)/L, z+ = z + b_k (z_0-z) - F(h)/L, b_k = 1/(k+1).

        The quantity is the squared residual \|x_N - T x_N\|^2 or \|F(z_N)\|^2; for ``"algorithm-1"`` it is
        the norm \|F(u_N)\|, not squared.

        Or your own method as its step matrix H, float64[m, m], lower triangular with the diagonal. Row k-1,
        counted from 0, says y_k = y_0 - sum_{j<k} H[k-1, j] g_j for k = 1, ..., m, with g_j = y_j - T y_j
        or g_j = F(y_j); the quantity is the squared residual at y_m. `step_matrix` gives H for the named
        methods.
    steps : int
        Number of steps N >= 1 of a named method; an extragradient step evaluates F twice.
    operator : str
        For a step matrix, one of `OPERATORS`: T ``"nonexpansive"``, T ``"contractive"`` (1/gamma-Lipschitz),
        F ``"cocoercive"`` (1/L), F ``"monotone-lipschitz"`` (monotone and L-Lipschitz).
    step : float, optional
        Free step, as it stands in the iteration: g in (0, 1), default 1/2; eta in (0, 2/L), default 1/(4L);
        a in (0, 1/L), default 1/(2L) for EG and 1/(8L) for EAG-C; a_0 in (0, 3/(4L)), default 0.618/L, for
        EAG-V.
    gamma : float, optional
        gamma >= 1, for ``"ohm"`` and ``"contractive"``.
    lipschitz : float
        L > 0, for operators F.
    dist : float
        D > 0, distance from the start to the fixed point or zero.
    solver : {"clarabel", "scs"}
        Interior points with tolerance 1e-10, or a first-order method with 1e-9 as a second opinion on few
        steps.
    max_iterations : int, optional
        Iteration limit of the solver.
    on_fail : {"raise", "return"}
        What to do when the solver fails.

    Returns
    -------
    Certificate
        Its ``certified`` is a true upper bound. ``value`` is accurate to about 1e-9 (L D)^2, absolutely: a
        worst case far below that is not resolved.

    Raises
    ------
    UnknownName
        If the method, the class or the solver has no such name.
    ShapeError
        If the step matrix is not square.
    DomainError
        If steps < 1, a step or constant lies outside its set, or the step matrix is not lower triangular.
    NonFiniteError
        If the step matrix holds NaN or infinity.
    TypeError
        If an argument is missing or does not belong to the method.
    NotConverged
        If the solver fails; ``result`` is a certificate with the trivial bounds infinity and 0.
    ImportError
        Without cvxpy.

    Notes
    -----
    The inequalities of the first three classes are necessary and sufficient (for maps by Kirszbraun's
    theorem), so the value is the exact worst case. A monotone Lipschitz operator satisfies both families of
    inequalities, which is not known to be sufficient: the value is an upper bound.

    The solver's multipliers violate the constraint a little: :math:`S \succeq -e I`. A second programme,
    with the trace of the Gram matrix in place of the residual, gives multipliers with
    :math:`S' \succeq (1-e') I`. Adding :math:`\theta > e/(1-e')` times these makes the sum feasible: that
    is ``certified``.

    Examples
    --------
    >>> certificate = certify("halpern", 4)
    >>> round(certificate.value, 6), round(certificate.formula, 6), certificate.verify()
    (0.16, 0.16, True)
    >>> [pair for pair, weight in certificate.multipliers.items() if weight > 1e-6]
    [(0, 1), (1, 2), (2, 3), (3, 4), (4, '*')]
    """
    if solver not in _SOLVER_OPTIONS:
        raise UnknownName(f"solver {solver!r}: choose one of {', '.join(_SOLVER_OPTIONS)}")
    _check_positive("dist", dist)
    closed_form = None
    if isinstance(method, str):
        if steps is None:
            raise TypeError(f"steps is missing: certify({method!r}, N)")
        if operator is not None:
            raise TypeError(f"operator goes with a step matrix; {method!r} has its own")
        matrix = step_matrix(method, steps, step=step, gamma=gamma, lipschitz=lipschitz)
        closed_form = formula(method, steps, step=step, gamma=gamma, lipschitz=lipschitz, dist=dist)
        name, operator, steps = method, _CLASS_OF[method], int(steps)
    else:
        if steps is not None or step is not None:
            raise TypeError("steps and step go with a named method; a step matrix holds both")
        matrix = _checked_matrix(method)
        name, operator, steps = "custom", _checked_class(operator, gamma, lipschitz), len(matrix)

    problem = _Interpolation(matrix * lipschitz, operator, gamma)
    residual = problem.residual_form()
    bound = _solve(problem, residual, solver, max_iterations)
    trace = _solve(problem, np.eye(len(residual)), solver, max_iterations)
    solved = bound.status in _SOLVED and trace.status in _SOLVED and trace.violation < 0.5
    # twice what is needed, so that the exact check has room
    theta = 2 * bound.violation / (1 - trace.violation) if solved else math.inf
    weights = bound.weights + theta * trace.weights if solved else np.empty((0, 0))

    power = _power(name)
    unit = (lipschitz * dist) ** power
    value, certified, primal = (
        unit * math.sqrt(max(tau, 0.0)) ** power if solved else trivial
        for tau, trivial in (
            (bound.tau, math.inf),
            (bound.tau + theta * trace.tau, math.inf),
            (bound.primal, 0.0),
        )
    )
    certificate = Certificate(
        method=name,
        steps=steps,
        operator=operator,
        quantity=_QUANTITY.get(name, "‖y_m − T y_m‖²" if operator in _MAPS else "‖F(y_m)‖²"),
        value=value,
        certified=certified,
        primal=primal,
        gap=value - primal,
        infeasibility=bound.infeasibility,
        formula=closed_form,
        tight=operator != "monotone-lipschitz",
        multipliers=dict(zip(problem.labels, weights.ravel().tolist(), strict=True)) if solved else {},
        step_matrix=matrix,
        gamma=gamma,
        lipschitz=lipschitz,
        dist=dist,
        status=bound.status if solved else f"{bound.status}; for the trace {trace.status}",
        solver=solver,
    )
    if not solved and on_fail == "raise":
        raise NotConverged(
            f"{solver} on {name!r} with steps = {steps} stopped with status {certificate.status}: allow more "
            "iterations, take fewer steps, or try the other solver",
            certificate,
        )
    return certificate


def prove(method: str, steps: int, *, gamma: float | Fraction | None = None) -> Fraction:
    r"""Check the closed-form proof of a worst-case bound, in rational arithmetic and without a solver.

    Parameters
    ----------
    method : {"halpern", "ohm", "halpern-cocoercive", "feg"}
        The methods whose multipliers are known in closed form.
    steps : int
        Number of steps N >= 1.
    gamma : float or Fraction, optional
        gamma >= 1, for ``"ohm"``.

    Returns
    -------
    Fraction
        The bound that was proved, on the squared last residual for dist = lipschitz = 1: the `formula` of
        the method, but 4 for ``"feg"`` at N = 1.

    Raises
    ------
    UnknownName, DomainError, TypeError
        As for `certify`; UnknownName also for a method without closed-form multipliers.
    ArithmeticError
        If the proof fails.

    Notes
    -----
    In the normalisation of `Certificate`, with :math:`s_N = \sum_{i\le N}\gamma^i` and
    :math:`\varphi_k = \sum_{i\le k}\gamma^{2i}`, the multipliers that are not zero are

    - ohm: :math:`\lambda_{k,k+1} = (1+\gamma)\gamma^{N-1-2k}\varphi_k\varphi_{k+1}/(s_N\varphi_N)` and
      :math:`\lambda_{N,\star} = (1+\gamma)/s_N`,
    - halpern: these at :math:`\gamma = 1`, that is :math:`2(k+1)(k+2)/(N+1)^2` and :math:`2/(N+1)`,
    - halpern-cocoercive: half of the latter,
    - feg: :math:`2(k+1)^2/N^2` for the Lipschitz inequality between the half point k and the iterate k+1,
      :math:`2k(k+1)/N^2` for monotonicity between the iterates k and k+1, and :math:`2/N` for monotonicity
      between the iterate N and zero.

    Examples
    --------
    >>> prove("halpern", 9)
    Fraction(1, 25)
    """
    proved = ("halpern", "ohm", "halpern-cocoercive", "feg")
    if method not in proved:
        raise UnknownName(f"no closed-form multipliers for {method!r}; there are for {', '.join(proved)}")
    _checked_parameters(method, steps, None, gamma, 1.0)
    n, base = int(steps), Fraction(gamma or 1)
    weights: dict[Label, Fraction] = {}
    if method == "feg":
        bound = Fraction(4, n**2)
        for k in range(n):
            half = 2 * k + 1 if k else 0  # the first half point is z_0
            weights[half, 2 * k + 2, "lipschitz"] = Fraction(2 * (k + 1) ** 2, n**2)
            weights[2 * k, 2 * k + 2, "monotone"] = Fraction(2 * k * (k + 1), n**2)
        weights[2 * n, "*", "monotone"] = Fraction(2, n)
    else:
        phi = [sum(base ** (2 * i) for i in range(k + 1)) for k in range(n + 1)]
        total = sum(base**i for i in range(n + 1))
        scale = Fraction(1, 2) if method == "halpern-cocoercive" else Fraction(1)
        bound = (scale * (1 + 1 / base) / total) ** 2
        for k in range(n):
            weight = (1 + base) * base ** (n - 1 - 2 * k) * phi[k] * phi[k + 1] / (total * phi[n])
            weights[k, k + 1] = scale * weight
        weights[n, "*"] = scale * (1 + base) / total
    k_exact = np.array([Fraction(k) for k in range(n)], dtype=object)
    matrix = _step_matrix(method, k_exact, Fraction(0), base, Fraction(1))
    if not _is_proof(bound, weights, matrix, _CLASS_OF[method], base):
        raise ArithmeticError(f"the closed-form multipliers of {method!r} do not prove {bound} at N = {n}")
    return bound


def formula(
    method: str,
    steps: int,
    *,
    step: float | None = None,
    gamma: float | None = None,
    lipschitz: float = 1.0,
    dist: float = 1.0,
) -> float | None:
    r"""Closed form of the worst case that `certify` computes, in the same units.

    Parameters
    ----------
    method, steps, step, gamma, lipschitz, dist
        As for `certify`.

    Returns
    -------
    float or None
        With D = dist, L = lipschitz, N = steps:

        - halpern: :math:`4D^2/(N+1)^2` (Lieder 2021, Theorem 2.1),
        - km: :math:`\frac{D^2}{g(1-g)(N+1)}\bigl(\frac{N}{N+1}\bigr)^N` for
          :math:`\frac12 \le g \le \frac12\bigl(1+\sqrt{N/(N+1)}\bigr)` and :math:`4(2g-1)^{2N}D^2` for larger
          g (Lieder 2018, Theorem 4.9),
        - ohm: :math:`(1+1/\gamma)^2D^2/\bigl(\sum_{i=0}^N\gamma^i\bigr)^2` (Park and Ryu 2022),
        - halpern-cocoercive: :math:`L^2D^2/(N+1)^2`,
        - algorithm-1, for eta <= 1/(4L): :math:`LD/(1+\eta L S_N)` with
          :math:`S_N=\frac{\sum_{j=1}^N(j+2)(j+3)}{(N+2)(N+3)}`, not squared (checked for N <= 10),
        - feg: :math:`4L^2D^2/N^2`, but :math:`2L^2D^2` at N = 1 (Lee and Kim 2021; the value of the
          programme, an upper bound).

        None where no closed form is known: EG, EAG, km with g < 1/2, algorithm-1 with a larger eta.

    Raises
    ------
    UnknownName, DomainError, TypeError
        As for `certify`.
    """
    step, gamma = _checked_parameters(method, steps, step, gamma, lipschitz)
    _check_positive("dist", dist)
    n = int(steps)
    match method:
        case "halpern":
            return 4 * (dist / (n + 1)) ** 2
        case "km" if step >= 0.5:
            if step <= (1 + math.sqrt(n / (n + 1))) / 2:
                return dist**2 / (step * (1 - step) * (n + 1)) * (n / (n + 1)) ** n
            return 4 * (2 * step - 1) ** (2 * n) * dist**2
        case "ohm":
            total = 1.0
            for _ in range(n):
                total = 1 + gamma * total
            return ((1 + 1 / gamma) * dist / total) ** 2
        case "halpern-cocoercive":
            return (lipschitz * dist / (n + 1)) ** 2
        case "algorithm-1" if step * lipschitz <= 0.25 * (1 + 1e-12):
            # the sum telescopes: 3 i (i+1) = i (i+1) (i+2) - (i-1) i (i+1)
            total = (n + 4) / 3 - 8 / ((n + 2) * (n + 3))
            return lipschitz * dist / (1 + step * lipschitz * total)
        case "feg":
            return (lipschitz * dist) ** 2 * (2.0 if n == 1 else 4 / n**2)
    return None


def step_matrix(
    method: str,
    steps: int,
    *,
    step: float | None = None,
    gamma: float | None = None,
    lipschitz: float = 1.0,
) -> NDArray[np.float64]:
    """Step matrix H of a named method, to read, to change, and to `certify`.

    Parameters
    ----------
    method, steps, step, gamma, lipschitz
        As for `certify`.

    Returns
    -------
    ndarray
        float64[N, N], lower triangular; float64[2N, 2N] for the extragradient methods, whose rows alternate
        between half points and iterates: h_0, z_1, h_1, z_2, ...

    Raises
    ------
    UnknownName, DomainError, TypeError
        As for `certify`.
    """
    step, gamma = _checked_parameters(method, steps, step, gamma, lipschitz)
    return _step_matrix(method, np.arange(steps, dtype=np.float64), step, gamma, lipschitz)


def _step_matrix(method: str, k: NDArray[Any], step: Any, gamma: Any, lipschitz: Any) -> NDArray[Any]:
    """H over the number type of k = 0, ..., N-1: floats or Fractions."""
    constant = step + 0 * k
    match method:
        case "halpern":
            return _anchored(1 / (k + 2), (k + 1) / (k + 2))
        case "km":
            return _anchored(0 * k, constant)
        case "ohm":
            phi, anchor = 1, 0 * k
            for i in range(len(k)):
                phi = 1 + gamma * gamma * phi
                anchor[i] = 1 / phi
            return _anchored(anchor, 1 - anchor)
        case "halpern-cocoercive":
            return _anchored(1 / (k + 2), 2 * (k + 1) / (k + 2) / lipschitz)
        case "algorithm-1":
            return _anchored(2 / (k + 4), constant)
        case "eg":
            return _anchored_extragradient(0 * k, constant, constant)
        case "eag-c":
            return _anchored_extragradient(1 / (k + 2), constant, constant)
        case "eag-v":
            a = constant
            for i in range(len(k) - 1):
                square = (a[i] * lipschitz) ** 2
                a[i + 1] = a[i] * (1 - square / ((i + 1) * (i + 3) * (1 - square)))
            return _anchored_extragradient(1 / (k + 2), a, a)
        case _:  # "feg"
            return _anchored_extragradient(1 / (k + 1), k / (k + 1) / lipschitz, (1 + 0 * k) / lipschitz)


def _anchored(anchor: NDArray[Any], step: NDArray[Any]) -> NDArray[Any]:
    """H of x_{k+1} = anchor_k x_0 + (1 - anchor_k) x_k - step_k g_k."""
    rows = np.zeros((len(step), len(step)), dtype=step.dtype)
    x = np.zeros(len(step), dtype=step.dtype)  # a point is the coefficients of x_0 - x on the residuals
    for k in range(len(step)):
        x = (1 - anchor[k]) * x
        x[k] += step[k]
        rows[k] = x
    return rows


def _anchored_extragradient(anchor: NDArray[Any], half: NDArray[Any], full: NDArray[Any]) -> NDArray[Any]:
    """H of h = z + anchor_k (z_0 - z) - half_k F(z), z+ = z + anchor_k (z_0 - z) - full_k F(h)."""
    m = 2 * len(full)
    rows = np.zeros((m, m), dtype=full.dtype)
    z = np.zeros(m, dtype=full.dtype)
    for k in range(len(full)):
        z = (1 - anchor[k]) * z
        rows[2 * k] = z
        rows[2 * k, 2 * k] += half[k]
        z[2 * k + 1] += full[k]
        rows[2 * k + 1] = z
    return rows


class _Interpolation:
    """Inequalities between a method's points, in the basis y_0 - y*, g_0, ..., g_m; floats or Fractions."""

    def __init__(self, matrix: NDArray[Any], operator: str, gamma: Any) -> None:
        numbers, points, self.last = _distinct_points(matrix)
        n = len(points)
        self.y = np.zeros((n + 1, n + 1), dtype=points.dtype)  # the last row is the fixed point or zero
        self.y[:n, 0] = 1
        self.y[:n, 1:] = -points
        self.g = np.zeros((n + 1, n + 1), dtype=points.dtype)
        self.g[:n, 1:] = np.eye(n, dtype=int)
        # (a, b, c) of a |dy|^2 + 2 b <dy, dg> + c |dg|^2 <= 0; integers, so that Fractions stay exact
        inequalities: dict[str, tuple[Any, int, int]]
        match operator:
            case "nonexpansive":
                inequalities = {"": (0, -1, 1)}
            case "contractive":
                inequalities = {"": (1 - 1 / gamma**2, -1, 1)}
            case "cocoercive":
                inequalities = {"": (0, -1, 2)}
            case _:
                inequalities = {"monotone": (0, -1, 0), "lipschitz": (-1, 0, 1)}
        self.forms = list(inequalities.values())
        first, second = np.triu_indices(n + 1, 1)
        self.incidence = np.eye(n + 1, dtype=int)[first] - np.eye(n + 1, dtype=int)[second]
        names: list[int | str] = [*numbers, "*"]
        self.labels: list[Label] = [
            (names[i], names[j], family) if family else (names[i], names[j])
            for family in inequalities
            for i, j in zip(first, second, strict=True)
        ]

    def residual_form(self) -> NDArray[Any]:
        """C with <C, Gram> = |g_m|^2."""
        form = np.zeros_like(self.g)
        form[self.last + 1, self.last + 1] = 1
        return form

    def laplacian(self, weights: NDArray[Any]) -> NDArray[Any]:
        """Graph Laplacian of the weighted pairs of points."""
        return (self.incidence.T * weights) @ self.incidence

    def slack(self, tau: Any, laplacians: Sequence[Any], target: NDArray[Any]) -> Any:
        """S = tau E + sum_p lambda_p A_p - target, with the multipliers of each inequality as a Laplacian."""
        start = np.zeros_like(target)
        start[0, 0] = 1
        y, g = self.y, self.g
        total = tau * start - target
        for (a, b, c), w in zip(self.forms, laplacians, strict=True):
            total = total + a * (y.T @ w @ y) + b * (y.T @ w @ g + g.T @ w @ y) + c * (g.T @ w @ g)
        return total


def _distinct_points(matrix: NDArray[Any]) -> tuple[list[int], NDArray[Any], int]:
    """Keep one of the points that coincide: F has one value there.

    Returns the numbers of the points kept, their coefficients on the residuals kept, and where y_m is among
    them.
    """
    m = len(matrix)
    rows = np.zeros((m + 1, m + 1), dtype=matrix.dtype)
    rows[1:, :m] = matrix
    kept: list[int] = []
    place = 0
    for k in range(m + 1):
        same = [i for i, j in enumerate(kept) if (rows[j] == rows[k]).all()]
        if same:
            place = same[0]
            rows[:, kept[place]] += rows[:, k]
            rows[:, k] = 0
        else:
            place = len(kept)
            kept.append(k)
    return kept, rows[np.ix_(kept, kept)], place


class _Answer(NamedTuple):
    status: str
    tau: float = math.inf
    weights: NDArray[np.float64] = np.empty((0, 0))
    primal: float = 0.0
    infeasibility: float = math.inf
    violation: float = math.inf  # infeasibility, and the rounding errors of the slack matrix


def _solve(problem: _Interpolation, target: NDArray[Any], solver: str, max_iterations: int | None) -> _Answer:
    """Minimise tau over multipliers >= 0 and a positive semidefinite slack."""
    try:
        import cvxpy as cp
    except ImportError as error:
        raise ImportError("certificates need cvxpy: pip install 'lemmata[certificates]'") from error

    tau = cp.Variable()
    multipliers = [cp.Variable(len(problem.incidence), nonneg=True) for _ in problem.forms]
    laplacians = [problem.incidence.T @ cp.diag(w) @ problem.incidence for w in multipliers]
    constraint = problem.slack(tau, laplacians, target) >> 0
    programme = cp.Problem(cp.Minimize(tau), [constraint])
    options, limit = _SOLVER_OPTIONS[solver]
    if max_iterations is not None:
        options = {**options, limit: max_iterations}
    with warnings.catch_warnings():
        # the inaccuracy is measured below, and corrected for
        warnings.filterwarnings("ignore", message="Solution may be inaccurate", category=UserWarning)
        try:
            programme.solve(solver=solver.upper(), **options)
        except cp.error.SolverError:
            return _Answer("solver_error")
    if programme.status not in _SOLVED:
        return _Answer(programme.status)

    best = float(np.asarray(tau.value))
    found = np.array([w.value for w in multipliers])
    weights = np.maximum(found, 0.0)
    slack = problem.slack(best, [problem.laplacian(w) for w in weights], target)
    infeasibility = max(0.0, -float(np.linalg.eigvalsh(slack)[0]), -float(found.min()))
    size = abs(best) + float(weights.sum()) * (1 + float(np.linalg.norm(problem.y, 2))) ** 2
    rounding = len(slack) * np.finfo(np.float64).eps * size
    primal = float(np.sum(constraint.dual_value * target))
    return _Answer(programme.status, best, weights, primal, infeasibility, infeasibility + rounding)


def _is_proof(
    tau: Fraction,
    weights: Mapping[Label, Fraction],
    matrix: NDArray[Any],
    operator: str,
    gamma: Fraction | None,
) -> bool:
    """Is tau |y_0 - y*|^2 + sum_p lambda_p q_p - |g_m|^2 a sum of squares, with lambda >= 0? Exactly."""
    problem = _Interpolation(matrix, operator, gamma)
    ordered = np.array([weights.get(label, 0) for label in problem.labels], dtype=object)
    laplacians = [problem.laplacian(w) for w in ordered.reshape(len(problem.forms), -1)]
    slack = problem.slack(tau, laplacians, problem.residual_form())
    return min(ordered) >= 0 and _is_positive_semidefinite(slack)


def _is_positive_semidefinite(matrix: NDArray[Any]) -> bool:
    """Symmetric elimination over the rationals: no negative pivot, and a zero pivot only in a zero row."""
    rest = matrix.copy()
    for k in range(len(rest)):
        pivot, row = rest[k, k], rest[k, k + 1 :].copy()
        if pivot < 0 or (pivot == 0 and row.any()):
            return False
        if pivot > 0:
            rest[k + 1 :, k + 1 :] -= np.outer(row / pivot, row)
    return True


def _power(method: str) -> int:
    """2 where the quantity is a squared residual, 1 where it is a residual."""
    return 1 if method == "algorithm-1" else 2


def _checked_parameters(
    method: str, steps: int, step: float | None, gamma: Any, lipschitz: float
) -> tuple[float, float]:
    """Step and gamma of the method, checked; 0 and 1 where it has none."""
    if method not in _CLASS_OF:
        near = difflib.get_close_matches(method, METHODS)
        raise UnknownName(f"method {method!r}: choose one of {', '.join(near or METHODS)}")
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)):
        raise TypeError(f"steps must be an int, not {type(steps).__name__}")
    if steps < 1:
        raise DomainError(f"steps = {steps}: must be >= 1")
    _check_constants(_CLASS_OF[method], gamma, lipschitz)
    if method not in _STEP:
        if step is not None:
            raise TypeError(f"{method!r} has no free step")
        return 0.0, float(gamma or 1)
    symbol, default, end = _STEP[method]
    if step is None:
        return default / lipschitz, 1.0
    if not 0 < step * lipschitz < end:
        raise DomainError(f"step {symbol} = {step}: {method!r} needs 0 < {symbol} < {end / lipschitz:g}")
    return float(step), 1.0


def _checked_class(operator: str | None, gamma: float | None, lipschitz: float) -> str:
    if operator is None:
        raise TypeError(f"a step matrix needs its class: operator = one of {', '.join(OPERATORS)}")
    if operator not in OPERATORS:
        raise UnknownName(f"operator {operator!r}: choose one of {', '.join(OPERATORS)}")
    _check_constants(operator, gamma, lipschitz)
    return operator


def _check_constants(operator: str, gamma: float | None, lipschitz: float) -> None:
    _check_positive("lipschitz", lipschitz)
    if operator in _MAPS and lipschitz != 1:
        raise DomainError(f"lipschitz = {lipschitz}: must stay 1 for a {operator} map")
    if (gamma is not None) != (operator == "contractive"):
        raise TypeError(f"gamma goes with a contractive map, and always with it; the class here is {operator}")
    if gamma is not None and not 1 <= gamma < math.inf:
        raise DomainError(f"gamma = {gamma}: must be finite and >= 1 (T is 1/gamma-Lipschitz)")


def _checked_matrix(matrix: ArrayLike) -> NDArray[np.float64]:
    checked = np.array(matrix, dtype=np.float64)
    if checked.ndim != 2 or checked.shape[0] != checked.shape[1] or len(checked) == 0:
        raise ShapeError(f"step matrix H: expected shape (m, m) with m >= 1, got {checked.shape}")
    for (i, j), entry in np.ndenumerate(checked):
        if not math.isfinite(entry):
            raise NonFiniteError(f"step matrix H: H[{i}, {j}] = {entry}", index=(i, j))
        if j > i and entry != 0:
            raise DomainError(
                f"step matrix H: H[{i}, {j}] = {entry}: must be lower triangular (y_{i + 1} knows g_0..g_{i})"
            )
    return checked


def _check_positive(symbol: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise DomainError(f"{symbol} = {value}: must be positive and finite")
