"""Linear bandits with a memory: an action moves a hidden linear system, and what it pays comes later too."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.bandits.environments import Environment, RewardTables, _array, _nonnegative
from lemmata.problems.bandits.policies import Policy, _positive, _probability
from lemmata.problems.bandits.runs import check_checkpoints, check_integer, check_replicates
from lemmata.random import check_seed

__all__ = [
    "STATE",
    "DynLinUCB",
    "DynamicalLinear",
    "advertising_system",
    "budget_system",
    "check_dynamical",
    "delayed_reward",
    "hold_lengths",
    "sign_system",
]

#: Stream of the state noise; that of the reward's own noise is `REWARD`, as for `Gaussian`.
STATE = 2**30


@dataclass(frozen=True, eq=False)
class DynamicalLinear(Environment):
    """``y_t = <omega, x_t> + <theta, u_t> + sigma z_t``, then ``x_{t+1} = A x_t + B u_t + state_sigma e_t``; x_1 = 0.

    The reward is paid before the state moves. An action u kept for ever pays ``J(u) = <h, u>`` a round in the long
    run, with ``h = theta + B^T (I - A)^-T omega``; the best sequence keeps the best action. The regret is
    ``T max J - sum_t E[y_t | u_1, ..., u_t]``, kind ``"average-reward"``: its mean is that of ``T max J - sum y_t``,
    since the noise enters linearly, and its variance is smaller. It may be negative for actions whose state is still
    rich from earlier ones.

    `lemmata.sims.bandits.simulate_dynamical` plays it; `simulate`, which knows no state, refuses it.

    Attributes
    ----------
    A : float64[n, n]
        Spectral radius below 1.
    B : float64[n, d]
    omega : float64[n]
    theta : float64[d]
    actions : float64[K, d]
        The arms are its rows.
    sigma, state_sigma : float
        Standard deviations >= 0 of the reward's noise and of each coordinate of the state's.

    Raises
    ------
    ShapeError, DomainError, NonFiniteError
        Shapes that do not fit, a spectral radius of 1 or more, a negative deviation.

    References
    ----------
    Mussi, Metelli and Restelli, "Dynamical linear bandits", ICML 2023, section 2.
    """

    A: np.ndarray
    B: np.ndarray
    omega: np.ndarray
    theta: np.ndarray
    actions: np.ndarray
    sigma: float = 0.01
    state_sigma: float = 0.01
    regret_kind: ClassVar[str] = "average-reward"

    def __post_init__(self) -> None:
        for name, ndim in (("A", 2), ("B", 2), ("omega", 1), ("theta", 1), ("actions", 2)):
            object.__setattr__(self, name, _array(name, getattr(self, name), ndim))
        for name in ("sigma", "state_sigma"):
            object.__setattr__(self, name, _nonnegative(name, getattr(self, name)))
        n, d = self.omega.size, self.theta.size
        for name, shape in (("A", (n, n)), ("B", (n, d))):
            if getattr(self, name).shape != shape:
                given = getattr(self, name).shape
                raise ShapeError(f"omega has {n} entries and theta {d}: {name} must be {shape}, got {given}")
        if self.actions.shape[1] != d:
            raise ShapeError(f"theta has {d} entries, actions have {self.actions.shape[1]} columns")
        if self.spectral_radius >= 1:
            raise DomainError(f"the spectral radius of A must be below 1, got {self.spectral_radius:.6g}: rescale A")

    @cached_property
    def spectral_radius(self) -> float:
        """Largest absolute value of an eigenvalue of A."""
        return float(np.abs(np.linalg.eigvals(self.A)).max())

    @cached_property
    def markov(self) -> np.ndarray:
        """``h = theta + B^T (I - A)^-T omega``: what a unit of each coordinate pays a round when kept, float64[d]."""
        return self.theta + self.B.T @ np.linalg.solve(np.eye(len(self.A)) - self.A.T, self.omega)

    @cached_property
    def means(self) -> np.ndarray:  # type: ignore[override]
        """``J(u) = <h, u>`` of each action, float64[K]."""
        return self.actions @ self.markov

    def impulse(self, length: int) -> np.ndarray:
        """``theta, B^T omega, B^T A^T omega, ...``: what a unit of each coordinate pays 0, 1, 2, ... rounds later.

        Parameters
        ----------
        length : int

        Returns
        -------
        float64[length, d]
        """
        rows, w = [self.theta], self.omega
        for _ in range(length - 1):
            rows.append(self.B.T @ w)
            w = self.A.T @ w
        return np.array(rows[:length])

    @cached_property
    def range(self) -> tuple[float, float]:
        """Least and largest mean reward that any sequence of actions could reach, to 1e-12 of them."""
        rho = max(self.spectral_radius, 1e-3)
        paid = self.impulse(2 + 2 * math.ceil(math.log(1e-13) / math.log(rho))) @ self.actions.T
        return float(paid.min(axis=1).sum()), float(paid.max(axis=1).sum())

    def transient(self, rho: float, *, steps: int = 0) -> float:
        """``Phi(A) = sup_tau ||A^tau|| / rho^tau`` over tau <= steps, by default until ``||A^tau|| < 1e-12``.

        Raises
        ------
        DomainError
            rho outside [0, 1), or below the spectral radius: the supremum would be infinite.
        """
        _radius("rho", rho)
        if rho < self.spectral_radius * (1 - 1e-12):
            raise DomainError(f"rho = {rho:g} is below the spectral radius {self.spectral_radius:.6g} of A")
        power, largest, tau = np.eye(len(self.A)), 1.0, 0
        while (tau < steps) if steps else np.linalg.norm(power, 2) > 1e-12:
            power, tau = power @ self.A, tau + 1
            size = float(np.linalg.norm(power, 2))
            if size > 0:
                largest = max(largest, size / rho**tau if rho else math.inf)
        return largest

    def tables(self) -> RewardTables:
        """Refused: a reward depends on earlier actions."""
        raise TypeError("a dynamical bandit has a state: play it with lemmata.sims.bandits.simulate_dynamical")


# --------------------------------------------------------------------------------------------- the policy


def hold_lengths(rho: float, horizon: int) -> np.ndarray:
    """Rounds ``1 + floor(ln m / ln(1/rho))`` of epoch m = 1, 2, ..., as many epochs as a horizon needs.

    At exact powers of 1/rho the quotient of logarithms may fall short of the integer by its rounding: 1e-12 is added.

    Parameters
    ----------
    rho : float
        In [0, 1); 0 gives epochs of one round.
    horizon : int

    Returns
    -------
    int64[M]
        The last epoch may reach beyond the horizon.
    """
    _radius("rho", rho)
    m = np.arange(1, horizon + 1)
    hold = np.ones(horizon, np.int64)
    if rho > 0:
        hold += np.floor(np.log(m) / math.log(1 / rho) + 1e-12).astype(np.int64)
    return hold[: int(np.searchsorted(np.cumsum(hold), horizon)) + 1]


@dataclass(frozen=True, eq=False)
class DynLinUCB(Policy):
    """Optimism with persistence: play an action until the state has settled, and learn from the last reward alone.

    Epoch m plays ``argmax <h_hat, u> + beta_m ||u||_{V^-1}`` for ``1 + H_m`` rounds, ``H_m = floor(ln m / ln(1/rho))``,
    and adds (u, last reward) to the ridge regression ``V = ridge I + sum u u^T``. With t the rounds played before
    it

        beta_m = c_A sqrt(ridge) + c_B s_m / sqrt(ridge)
                 + sqrt(2 s^2 (ln(1/delta) + (d/2) ln(1 + t U^2 / (d ridge)))),
        c_A = Theta + Omega B Phi / (1 - rho),    c_B = U Omega Phi (U B / (1 - rho) + X),
        s^2 = sigma^2 (1 + Omega^2 Phi^2 / (1 - rho^2)).

    ``s_m = ln(e (t + 1))`` in the paper. `bias` = "derived" takes ``s_m = sum_{k<m} rho^{H_k}``, for which the
    confidence sets are proved (`lemmata.theory.bandits.dynlin_confidence`): floor(.) leaves ``rho^{H_k}`` as large as
    ``1 / (rho k)``, and the paper's sum of 1/k then falls short of it by up to 1/rho.

    `tables`: ``(actions, ridge, beta float64[M], hold int64[M])``.

    Attributes
    ----------
    actions : float64[K, d]
    rho : float
        A bound in [0, 1) on the spectral radius. 0: no persistence, which is `OFUL` with another radius.
    theta_norm, omega_norm, input_norm : float
        Theta, Omega and B, bounds on ``||theta||``, ``||omega||`` and ``||B||_2``.
    action_norm, state_norm : float
        U and X, bounds on the norms of actions and states.
    transient : float
        Phi, a bound on ``sup_tau ||A^tau||_2 / rho^tau``.
    sigma : float
        Both noises are sigma-subgaussian.
    ridge, delta : float or None
        ``ln T`` and ``1/T`` by default, which makes the policy depend on its horizon.
    bias : {"paper", "derived"}
    radius_rho : float, optional
        The rho of c_A, c_B and s, where it is not that of the persistence.

    References
    ----------
    Mussi, Metelli and Restelli, "Dynamical linear bandits", ICML 2023, Algorithm 1.
    """

    actions: np.ndarray
    rho: float
    theta_norm: float = 1.0
    omega_norm: float = 1.0
    input_norm: float = 1.0
    action_norm: float = 1.0
    state_norm: float = 1.0
    transient: float = 1.0
    sigma: float = 0.01
    ridge: float | None = None
    delta: float | None = None
    bias: Literal["paper", "derived"] = "paper"
    radius_rho: float | None = None
    kind: ClassVar[str] = "dynlin"
    pulls_each_first: ClassVar[bool] = False
    anytime: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", _array("actions", self.actions, 2))
        _radius("rho", self.rho)
        if self.radius_rho is not None:
            _radius("radius_rho", self.radius_rho)
        for name in ("theta_norm", "omega_norm", "input_norm", "state_norm", "sigma"):
            _positive(name, getattr(self, name), zero=True)
        _positive("action_norm", self.action_norm)
        if not self.transient >= 1:
            raise DomainError(f"transient must be >= 1 (tau = 0 gives 1), got {self.transient!r}")
        if self.ridge is not None:
            _positive("ridge", self.ridge)
        _probability("delta", self.delta)
        if self.bias not in ("paper", "derived"):
            raise DomainError(f"bias must be 'paper' or 'derived', got {self.bias!r}")
        norms = np.linalg.norm(self.actions, axis=1)
        if norms.max() > self.action_norm * (1 + 1e-12):
            k = int(norms.argmax())
            raise DomainError(f"action {k} has norm {norms[k]:.6g} > action_norm = {self.action_norm:g}")

    @classmethod
    def of(cls, env: DynamicalLinear, rho: float | None = None, **given: Any) -> DynLinUCB:
        """The policy that knows the constants of `env`, and `rho` in place of its spectral radius.

        X is ``U / (1 - rho)``, as in the paper's experiments, or what B and Phi say where that is more. An overestimate
        of rho keeps the constants valid; with an underestimate they are computed as if Phi were that of the true
        radius, which is what somebody who believes in it would do.
        """
        rho = env.spectral_radius if rho is None else rho
        _radius("rho", rho)
        size = float(np.linalg.norm(env.actions, axis=1).max())
        into = float(np.linalg.norm(env.B, 2))
        phi = env.transient(max(rho, env.spectral_radius))
        known: dict[str, Any] = {
            "theta_norm": float(np.linalg.norm(env.theta)),
            "omega_norm": float(np.linalg.norm(env.omega)),
            "input_norm": into,
            "action_norm": size,
            "state_norm": size / (1 - rho) * max(1.0, into * phi),
            "transient": phi,
            "sigma": max(env.sigma, env.state_sigma),
        }
        return cls(env.actions, rho, **{**known, **given})

    def radii(self, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """``beta_m`` and the rounds of each epoch.

        Returns
        -------
        beta : float64[M]
        hold : int64[M]
        """
        hold = hold_lengths(self.rho, horizon)
        before = np.cumsum(hold) - hold  # rounds played when an epoch begins
        rho = self.rho if self.radius_rho is None else self.radius_rho
        ridge = max(math.log(horizon), 1e-6) if self.ridge is None else self.ridge
        delta = 1 / max(horizon, 2) if self.delta is None else self.delta
        d, size = self.actions.shape[1], self.action_norm
        c_a = self.theta_norm + self.omega_norm * self.input_norm * self.transient / (1 - rho)
        c_b = size * self.omega_norm * self.transient * (size * self.input_norm / (1 - rho) + self.state_norm)
        s2 = self.sigma**2 * (1 + (self.omega_norm * self.transient) ** 2 / (1 - rho**2))
        if self.bias == "paper":
            s = 1 + np.log(before + 1)
        else:
            decay = float(rho) ** (hold - 1)
            s = np.cumsum(decay) - decay
        log = math.log(1 / delta) + d / 2 * np.log1p(before * size**2 / (d * ridge))
        return c_a * math.sqrt(ridge) + c_b / math.sqrt(ridge) * s + np.sqrt(2 * s2 * log), hold

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
        """Actions, ridge, radii and lengths of the epochs."""
        if len(self.actions) != arms:
            raise ShapeError(f"the policy has {len(self.actions)} actions, the environment {arms}")
        ridge = max(math.log(horizon), 1e-6) if self.ridge is None else float(self.ridge)
        return (self.actions, ridge, *self.radii(horizon))


# ----------------------------------------------------------------------------------------------- systems


def budget_system(sigma: float = 0.01) -> DynamicalLinear:
    """The synthetic system of the paper: three campaigns, the six ways to spend 1, 1/2 and 0 on them.

    ``h = (.5625, .5, .1111)``: the best action (1, .5, 0) pays .8125, and theta alone prefers (0, 1, .5).

    References
    ----------
    Mussi, Metelli and Restelli, "Dynamical linear bandits", ICML 2023, section 6; sigma in {.001, .01, .1}. Its reward
    adds three noisy outputs; here it has one noise of deviation sigma.
    """
    A, B = np.diag([0.2, 0.0, 0.1]), np.diag([0.45, 0.0, 0.1])
    return DynamicalLinear(A, B, np.array([1.0, 0.0, 0.1]), np.array([0.0, 0.5, 0.1]), _SPLITS, sigma, sigma)


def advertising_system(sigma: float = 0.01) -> DynamicalLinear:
    """The system that the paper identified from data of advertising campaigns, with the same six actions.

    References
    ----------
    Mussi, Metelli and Restelli, "Dynamical linear bandits", ICML 2023, section 6; matrices to two digits, from the
    authors' code.
    """
    A = np.array([[0.38, 0.33, 0.60], [0.07, 0.76, -0.54], [0.18, 0.34, 0.05]])
    B = np.array([[0.14, 0.34, -0.05], [-0.17, 0.03, -0.01], [0.04, -0.09, 0.17]])
    omega, theta = np.array([-0.61, -0.04, -0.13]), np.array([0.13, 0.41, 0.02])
    return DynamicalLinear(A, B, omega, theta, _SPLITS, sigma, sigma)


_SPLITS = np.array([[1, 0.5, 0], [1, 0, 0.5], [0.5, 1, 0], [0, 1, 0.5], [0.5, 0, 1], [0, 0.5, 1]])


def delayed_reward(rho: float, *, late: float = 0.8, now: float = 0.5, sigma: float = 0.1) -> DynamicalLinear:
    """Two actions: e_1 pays nothing at once and `late` a round in the long run, e_2 pays `now` at once, for good.

    ``A = rho, B = (1 - rho, 0), omega = late, theta = (0, now)``. One round of e_1 after many of e_2 pays nothing:
    who tries it for a single round never sees what it is worth.
    """
    B, theta = np.array([[1 - rho, 0.0]]), np.array([0.0, now])
    return DynamicalLinear(np.array([[rho]]), B, np.array([late]), theta, np.eye(2), sigma, 0.0)


def sign_system(
    signs: Any, rho: float, horizon: int, *, sigma: float = 1.0, gap: float | None = None
) -> DynamicalLinear:
    """d actions' coordinates, each worth ``+-gap / (1 - rho)`` a round through a common state; noise in the state.

    ``x_{t+1} = rho x_t + gap <signs, u_t> + sigma e_t`` is seen without noise. The actions are the 2^d corners of the
    cube. With ``gap = sigma / sqrt(T)`` no policy finds the signs in T rounds.

    Parameters
    ----------
    signs : array_like, (d,)
        +1 or -1.
    rho : float
    horizon : int
    sigma : float
        Of the state's noise.
    gap : float, optional
        ``sigma / sqrt(horizon)`` by default.
    """
    s = _array("signs", signs, 1)
    if not (np.abs(s) == 1).all():
        raise DomainError(f"signs must be +1 or -1, got {s}")
    size = sigma / math.sqrt(horizon) if gap is None else gap
    corners = 1.0 - 2.0 * ((np.arange(2**s.size)[:, None] >> np.arange(s.size)) & 1)
    return DynamicalLinear(np.array([[rho]]), size * s[None], np.ones(1), np.zeros(s.size), corners, 0.0, sigma)


# ------------------------------------------------------------------------------------------------ checks


def _radius(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise DomainError(f"{name} must lie in [0, 1), got {value!r}")


@dataclass(frozen=True)
class _Checked:
    horizon: int
    replicates: int
    points: np.ndarray
    first: int
    seed: int
    scale: tuple[float, float] = field(default=(0.0, 1.0))


def check_dynamical(
    policy: Any, env: Any, horizon: Any, replicates: Any, checkpoints: Any, first_replicate: Any, seed: Any
) -> _Checked:
    """Check the arguments of `simulate_dynamical`.

    Returns
    -------
    object
        ``horizon, replicates, points int64[C], first, seed``, and ``scale``: a policy that needs rewards in [0, 1] is
        given ``(y - scale[0]) * scale[1]``, clipped.

    Raises
    ------
    TypeError, ShapeError, DomainError
    """
    if not isinstance(policy, Policy):
        raise TypeError(f"policy must be a lemmata.problems.bandits policy, got {type(policy).__name__}")
    if not isinstance(env, DynamicalLinear):
        raise TypeError(f"env must be a DynamicalLinear, got {type(env).__name__}: simulate plays the others")
    horizon = check_integer("horizon", horizon, 1)
    replicates, first = check_replicates(replicates, first_replicate)
    if horizon * env.omega.size >= 2**32:
        raise DomainError(f"T times the dimension of the state must stay below 2^32, got {horizon * env.omega.size}")
    if policy.rewards == "binary":
        raise DomainError(f"{type(policy).__name__} needs rewards 0 or 1: use UCB1, Exp3, OFUL or DynLinUCB")
    if policy.pulls_each_first and horizon < env.arms:
        raise DomainError(f"{type(policy).__name__} pulls each of the {env.arms} arms first, and T = {horizon}")
    points = check_checkpoints(checkpoints, horizon)
    scale = (0.0, 1.0)
    if policy.rewards == "unit":
        low, high = env.range
        scale = (low, 1 / max(high - low, 1e-300))
    return _Checked(horizon, replicates, points, first, check_seed(seed), scale)
