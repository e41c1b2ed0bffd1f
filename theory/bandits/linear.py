"""Linear bandits: the elliptical potential, and regret and confidence sets of OFUL."""

from __future__ import annotations

from typing import Any

import sympy as sp

from lemmata.claims import Assumption, Claim, Source
from lemmata.theory.bandits.stochastic import HORIZON, _book

__all__ = ["elliptical_potential", "oful_radius", "oful_regret"]

ABBASI = Source(
    "abbasi2011",
    "Abbasi-Yadkori, Yasin and Pál, Dávid and Szepesvári, Csaba",
    "Improved algorithms for linear stochastic bandits",
    "Advances in Neural Information Processing Systems 24, 2312-2320",
    2011,
    "Lemma 11",
)


def _wide_gap(game: Any) -> str | None:
    gap = float(game.env.gaps.max())
    return None if gap <= 1 + 1e-12 else f"the largest gap is {gap:.6g} > 1"


def _long_theta(game: Any) -> str | None:
    import numpy as np

    norm = float(np.linalg.norm(game.env.theta))
    return None if norm <= game.policy.norm + 1e-12 else f"||theta|| = {norm:.6g} > S = {game.policy.norm:g}"


def _noisy(game: Any) -> str | None:
    own, told = game.env.sigma, game.policy.sigma
    return None if own <= told else f"the noise has standard deviation {own:g} > {told:g}"


GAPS = Assumption("no gap exceeds 1", _wide_gap)
NORM = Assumption("||theta|| <= S", _long_theta)
NOISE = Assumption("the noise is sigma-subgaussian for the policy's sigma", _noisy)

_T, _d = sp.symbols("horizon dim", positive=True, integer=True)
_det, _beta, _ridge, _length = sp.symbols("log_det beta ridge length", positive=True)

elliptical_potential = Claim(
    id="bandits/elliptical-potential",
    kind="bound",
    quantity="Σ_t min(1, ‖x_t‖² in V_{t-1}^-1)",
    expression=2 * _det,
    symbols={"log_det": "ln(det V_T / det V_0), V_t = V_0 + Σ_{s<=t} x_s x_sᵀ"},
    assumptions=(),
    source=ABBASI,
    statement="For every sequence of vectors Σ min(1, ‖x_t‖²) in the norm of V_{t-1}^-1 is <= 2 ln(det V_T / det V_0).",
    hard_problem="vectors of squared norm 1 in V_{t-1}^-1: the ratio is 1/(2 ln 2) = .72",
)

oful_regret = Claim(
    id="bandits/oful-regret",
    kind="tail-bound",
    quantity="R_T of OFUL",
    expression=sp.sqrt(8 * _d * _T * _beta * sp.log(1 + _T * _length**2 / (_d * _ridge))),
    symbols={
        **HORIZON,
        "dim": "dimension d",
        "beta": "the radius (σ sqrt(2 ln(1/δ) + d ln(1 + T L²/(dλ))) + sqrt(λ) S)², at least 1",
        "length": "largest ||x||, L",
        "ridge": "λ",
    },
    assumptions=(GAPS, NORM, NOISE),
    source=_book("Theorem 19.2"),
    standing="quoted",
    delta=0.05,
    statement="With probability 1 - δ OFUL has R_T <= sqrt(8 d T β_T ln((dλ + T L²)/(dλ))).",
)


def oful_radius(*, horizon: Any, dim: Any, length: float, ridge: float, sigma: float, norm: float, delta: float) -> Any:
    """``(sigma sqrt(2 ln(1/delta) + d ln(1 + T L^2 / (d lambda))) + sqrt(lambda) S)^2``, at least 1.

    ``ln det V_T / lambda^d <= d ln(1 + T L^2 / (d lambda))`` by the inequality of the means.
    """
    import numpy as np

    log = 2 * np.log(1 / delta) + dim * np.log(1 + horizon * length**2 / (dim * ridge))
    return np.maximum(1.0, (sigma * np.sqrt(log) + np.sqrt(ridge) * norm) ** 2)
