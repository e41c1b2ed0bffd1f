"""Rewards that depend on the last switch: how long an arm has been played in a row, or left alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.bandits.environments import _array
from lemmata.problems.bandits.recovering import Recovering
from lemmata.problems.bandits.runs import check_integer
from lemmata.random import check_seed

__all__ = ["LastSwitch", "last_switch_equal", "last_switch_pair", "last_switch_random", "never_rested"]


@dataclass(frozen=True, eq=False)
class LastSwitch:
    """One arm or none is played a round; arm i pays ``f_i(s)``, s its state before the round.

    ``s > 0`` rounds have passed without it, or it was just played in ``-s > 0`` rounds in a row. Monotone: ``f_i(-m) <=
    ... <= f_i(-1) <= f_i(1) <= ... <= f_i(D)``.

    Attributes
    ----------
    rested : float64[N, D]
        ``f_i(1), ..., f_i(D)``, which depends on ``min(s, D)``. Arms start at D.
    worn : float64[N, m]
        ``f_i(-1), ..., f_i(-m)``, which depends on ``min(-s, m)``.

    Raises
    ------
    ShapeError, DomainError, NonFiniteError

    References
    ----------
    Foussoul, Goyal, Papadigenopoulos and Zeevi, "Last switch dependent bandits with monotone payoff
    functions", ICML 2023.
    """

    rested: np.ndarray
    worn: np.ndarray

    def __post_init__(self) -> None:
        for name in ("rested", "worn"):
            object.__setattr__(self, name, _array(name, getattr(self, name), 2))
        if not self.rested.size or not self.worn.size or len(self.rested) != len(self.worn):
            raise ShapeError(f"rested [N, D], worn [N, m]: a row an arm, got {self.rested.shape}, {self.worn.shape}")
        table = np.concatenate([self.worn[:, ::-1], self.rested], axis=1)
        if table.min() < 0 or table.max() > 1:
            raise DomainError(f"rewards must lie in [0, 1], got {table.min():g} to {table.max():g}")
        falls = np.diff(table, axis=1)
        if (falls < 0).any():
            arm, at = np.unravel_index(int(falls.argmin()), falls.shape)
            raise DomainError(
                f"payoffs must not fall; that of arm {arm} does by {-falls.min():g}, at {at - self.worn.shape[1]}"
            )

    @property
    def arms(self) -> int:
        """N."""
        return len(self.rested)

    @property
    def recharging(self) -> Recovering:
        """The recharging bandit that pays no more: delay tau pays ``f_i(tau - 1)``, and delay 1 ``f_i(-m)``.

        It is the same game where m = 1, or where plays in a row all pay alike.
        """
        return Recovering(np.concatenate([self.worn[:, -1:], self.rested], axis=1))


def last_switch_pair() -> LastSwitch:
    """``.9, .7`` rested for 2 rounds and 1, ``.4, .2`` worn; ``.5, .5; .45, .35``: 37/60 a round at best."""
    return LastSwitch(np.array([[0.7, 0.9], [0.5, 0.5]]), np.array([[0.4, 0.2], [0.45, 0.35]]))


def last_switch_equal(arms: int) -> LastSwitch:
    """N equal arms that pay 1 when the N - 1 others have been played since, and nothing earlier."""
    arms = check_integer("arms", arms, 1)
    rested = np.zeros((arms, max(arms - 1, 1)))
    rested[:, -1] = 1.0
    return LastSwitch(rested, np.full((arms, 1), float(arms == 1)))


def last_switch_random(arms: int, delays: int, worn: int, *, seed: int, steep: bool = True) -> LastSwitch:
    """Sorted random payoffs; `steep`: cubes of uniforms, so that rest pays."""
    arms, delays, worn = (check_integer(n, v, 1) for n, v in (("arms", arms), ("delays", delays), ("worn", worn)))
    rng = np.random.default_rng([check_seed(seed), arms, delays, worn])
    table = np.sort(rng.random((arms, worn + delays)) ** (3 if steep else 1), axis=1)
    return LastSwitch(table[:, worn:], table[:, :worn][:, ::-1])


def never_rested(delays: int = 4) -> LastSwitch:
    """One arm: .02 when worn, .04 after a round of rest, 1 after `delays`. Who always plays never sees the 1."""
    rested = np.full(check_integer("delays", delays, 2), 0.04)
    rested[-1] = 1.0
    return LastSwitch(rested[None], np.array([[0.02]]))
