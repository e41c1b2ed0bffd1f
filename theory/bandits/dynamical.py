"""Linear bandits with a memory: what persistence is worth, confidence sets, rates and a lower bound."""

from __future__ import annotations

import math
from typing import Any

import sympy as sp

from lemmata.claims import Assumption, Claim, Source
from lemmata.theory.bandits.stochastic import HORIZON

__all__ = [
    "dynamical_lower",
    "dynamical_memoryless",
    "dynamical_regret",
    "dynlin_bias",
    "dynlin_confidence",
    "dynlin_rate",
]

MUSSI = Source(
    "mussi2023",
    "Mussi, Marco and Metelli, Alberto Maria and Restelli, Marcello",
    "Dynamical linear bandits",
    "International Conference on Machine Learning, PMLR 202, 25563-25587",
    2023,
    arxiv="2211.08997",
)


def _underestimated(game: Any) -> str | None:
    rho, given = game.env.spectral_radius, game.policy.rho
    return None if rho <= given + 1e-12 else f"the spectral radius is {rho:.6g} > rho = {given:g}"


def _constants(game: Any) -> str | None:
    import numpy as np

    env, policy = game.env, game.policy
    rho = policy.rho if policy.radius_rho is None else policy.radius_rho
    for what, value, given in (
        ("||theta||", np.linalg.norm(env.theta), policy.theta_norm),
        ("||omega||", np.linalg.norm(env.omega), policy.omega_norm),
        ("||B||", np.linalg.norm(env.B, 2), policy.input_norm),
        ("||A^tau|| / rho^tau", env.transient(rho) if rho >= env.spectral_radius else math.inf, policy.transient),
        ("sigma", max(env.sigma, env.state_sigma), policy.sigma),
    ):
        if value > given * (1 + 1e-9):
            return f"{what} reaches {value:.6g}, and the policy was told {given:g}"
    return None


def _far(game: Any) -> str | None:
    env, policy = game.env, game.policy
    rho = policy.rho if policy.radius_rho is None else policy.radius_rho
    driven = policy.transient * policy.input_norm * policy.action_norm / (1 - rho)
    shaken = 8 * policy.transient * env.state_sigma * math.sqrt(env.omega.size / (1 - rho**2))
    reach = driven + shaken
    return None if reach <= policy.state_norm + 1e-9 else f"states may reach {reach:.6g} > X = {policy.state_norm:g}"


def _visible(game: Any) -> str | None:
    env = game.env
    return None if env.sigma == 0 and env.state_sigma > 0 else "the noise is not in the state alone"


RADIUS = Assumption("rho is at least the spectral radius of A", _underestimated)
CONSTANTS = Assumption("the policy's constants bound those of the system", _constants)
#: eight standard deviations of the noise: left with a probability below 1e-14 a round and coordinate
STATES = Assumption("no state exceeds X, up to eight deviations of its noise", _far)
IN_STATE = Assumption("the noise is Gaussian and in the state", _visible)

_static, _owed = sp.symbols("static owed", real=True)
_Omega, _Phi, _U, _B, _X = sp.symbols("omega transient action input state", positive=True)
_rho, _hold, _T, _d, _sigma = sp.symbols("rho hold horizon dim sigma", positive=True)

dynamical_regret = Claim(
    id="bandits/dynamical-regret",
    kind="identity",
    quantity="T max J - Σ_t E[y_t | u_1, ..., u_t]",
    expression=_static + _owed,
    symbols={
        "static": "Σ_t (max J - J(u_t))",
        "owed": "ω^T (I - A)^-1 E[x_{T+1} | u_1, ..., u_T], paid after the end",
    },
    assumptions=(),
    source=MUSSI,
    # sum_t x_t = (I - A)^-1 (sum_t B u_t - x_{T+1}), by adding x_{t+1} = A x_t + B u_t over t, x_1 = 0
    tolerance=1e-9,
    statement="What T rounds pay is what their actions are worth for ever, less what the last state still owes.",
)

dynlin_bias = Claim(
    id="bandits/dynlin-bias",
    kind="bound",
    quantity="|y - <h, u>| at the end of an epoch, no noise",
    expression=_Omega * _Phi * _rho**_hold * (_X + _B * _U / (1 - _rho)),
    symbols={
        "omega": "‖ω‖",
        "transient": "sup_τ ‖A^τ‖ / ρ^τ",
        "rho": "ρ",
        "hold": "H, rounds of the epoch before the last",
        "state": "X, largest state",
        "input": "‖B‖",
        "action": "U, largest action",
    },
    assumptions=(RADIUS, CONSTANTS, STATES),
    source=MUSSI,
    # y - <h, u> = omega^T A^H (x - (I - A)^-1 B u), with x the state in which the epoch began
    statement="After H rounds of the same action a reward is within ‖ω‖ Φ ρ^H (X + B U / (1 - ρ)) of J(u).",
    hard_problem="actions that push a scalar state up and down in turn: 1/sqrt 2, ‖B‖ against the largest ‖B u‖",
)

dynlin_confidence = Claim(
    id="bandits/dynlin-confidence",
    kind="tail-bound",
    quantity="max_m ‖ĥ_m - h‖ in V_m / β_m",
    expression=sp.Integer(1),
    symbols={},
    assumptions=(RADIUS, CONSTANTS, STATES),
    source=MUSSI,
    delta=0.05,
    statement=(
        "With probability 1 - δ, ‖ĥ - h‖ in V is at most β in every epoch of DynLin-UCB, with s_m = Σ_{k<m} ρ^{H_k} "
        "in the part of β that pays for the unsettled state."
    ),
)

dynlin_rate = Claim(
    id="bandits/dynlin-rate",
    kind="rate",
    quantity="R_T of DynLin-UCB with λ = ln T and δ = 1/T",
    expression=sp.sqrt(_T) * sp.log(_T) ** 2,
    symbols=HORIZON,
    assumptions=(RADIUS, CONSTANTS, STATES),
    source=MUSSI,
    standing="quoted",
    constant="order-only",
    exponent=-0.5,
    logs=2.0,
    order="O",
    statement=(
        "The regret of DynLin-UCB is of order d σ sqrt(T) (ln T)^{3/2} / (1 - ρ) + sqrt(dT) (ln T)^2 / (1 - ρ)^{3/2}."
    ),
)

dynamical_memoryless = Claim(
    id="bandits/dynamical-memoryless",
    kind="demonstration",
    quantity="R_T / T of policies that know no state",
    expression=sp.Rational(27, 100),
    symbols={},
    assumptions=(),
    source=MUSSI,
    statement=(
        "Where the better action pays late, who tries it for a round at a time sees the worse one's past: UCB1, OFUL "
        "and Exp3 lose almost the whole gap .3 in every round; DynLin-UCB loses less and less."
    ),
)

dynamical_lower = Claim(
    id="bandits/dynamical-lower",
    kind="mean-bound",
    direction="lower",
    quantity="R_T averaged over the signs",
    expression=sp.exp(-2) * _d * _sigma * sp.sqrt(_T) / (4 * (1 - _rho))
    - _d * _sigma / (sp.sqrt(_T) * (1 - _rho) ** 2),
    symbols={**HORIZON, "dim": "dimension d", "sigma": "σ of the state's noise", "rho": "spectral radius ρ"},
    assumptions=(IN_STATE,),
    source=MUSSI,
    # y_{t+1} given the past is N(rho y_t + gap <s, u_t>, sigma^2): to flip a sign changes the law of T rounds by a
    # divergence of at most T (2 gap)^2 / (2 sigma^2) = 2, so (Bretagnolle and Huber) the probabilities, under the one
    # sign and the other, to have it wrong in half of the rounds add up to exp(-2)/2 at least. Each such round costs
    # 2 gap / (1 - rho): T/2 of them, averaged over the two signs, exp(-2)/4 sigma sqrt(T) / (1 - rho). The last term
    # is the least that omega^T (I - A)^-1 x can be.
    statement=(
        "Every policy has a regret of at least e^-2 d σ sqrt(T) / (4 (1 - ρ)), less a term that vanishes, on some of "
        "the 2^d systems whose coordinates are worth ± σ / ((1 - ρ) sqrt(T)) through a state with noise σ."
    ),
    hard_problem="sign_system, gap σ/sqrt(T)",
)
