"""Exact expected regret over few rounds, by rational enumeration: what no loose bound can tell from a wrong constant.

Written from the formulas of the papers and apart from the simulators, which it is there to check. For policies whose
choice depends on counts and sums alone, the law of (counts, sums) is carried forward round by round; for exponential
weights and Tsallis-INF every history of arms and rewards is followed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from lemmata.errors import DomainError
from lemmata.problems.bandits import (
    KLUCB,
    MOSS,
    UCB1,
    AsymptoticUCB,
    ConfidenceUCB,
    EpsilonGreedy,
    Exp3,
    ExploreThenCommit,
    Policy,
    SuccessiveElimination,
    ThompsonBeta,
    TsallisINF,
    kl_bernoulli,
)

__all__ = ["beta_greater", "exact_regret", "history_regret", "index_of", "kl_ucb_index", "tsallis_weights"]

#: Indices closer than this are a tie: equal ones may differ by rounding.
TIE = 1e-12

Counts = tuple[int, ...]
#: (counts, sums of rewards, what else the policy remembers)
State = tuple[Counts, Counts, Any]


def exact_regret(policy: Policy, means: Sequence[Fraction | str | int], horizon: int) -> tuple[Fraction, ...]:
    """Expected pseudo-regret R_1, ..., R_T on Bernoulli arms, as fractions.

    Parameters
    ----------
    policy : Policy
        UCB1, AsymptoticUCB, ConfidenceUCB, MOSS, KLUCB, ExploreThenCommit, SuccessiveElimination, EpsilonGreedy, or
        ThompsonBeta with a prior of integers on two arms.
    means : sequence of Fraction or str
        Probabilities, such as ``("1/4", "1/2")``.
    horizon : int
        T; the states of K arms are some ``T^(2K-1)``.

    Returns
    -------
    tuple of Fraction
        ``R_t = sum_i gap_i E n_i(t)`` for t = 1..T.

    Raises
    ------
    DomainError
        Where the policy's law is not rational, or means are no probabilities.

    Examples
    --------
    >>> exact_regret(UCB1(), ("1/4", "1/2"), 6)[-1]
    Fraction(1351, 2048)
    """
    p = tuple(Fraction(m) for m in means)
    if not p or any(not 0 <= m <= 1 for m in p):
        raise DomainError(f"means must lie in [0, 1], got {means}")
    choose = _chooser(policy, len(p), horizon)
    gaps = tuple(max(p) - m for m in p)
    zero = (0,) * len(p)
    law: dict[State, Fraction] = {(zero, zero, None): Fraction(1)}
    total, values = Fraction(0), []
    for t in range(1, horizon + 1):
        after: dict[State, Fraction] = defaultdict(Fraction)
        for (n, s, memory), weight in law.items():
            arms, kept = choose(n, s, t, memory)
            for a, chance in arms:
                total += weight * chance * gaps[a]
                for reward, probability in ((1, p[a]), (0, 1 - p[a])):
                    if probability:
                        after[_bump(n, a, 1), _bump(s, a, reward), kept] += weight * chance * probability
        law = after
        values.append(total)
    return tuple(values)


def _bump(counts: Counts, arm: int, by: int) -> Counts:
    return (*counts[:arm], counts[arm] + by, *counts[arm + 1 :])


def _first_largest(values: Sequence[Any], tolerance: float = 0) -> int:
    most = max(values)
    return next(i for i, v in enumerate(values) if v >= most - tolerance)


Choice = tuple[list[tuple[int, Fraction]], Any]


def _chooser(policy: Policy, arms: int, horizon: int) -> Callable[[Counts, Counts, int, Any], Choice]:
    """``choose(counts, sums, t, memory) -> (arms with their probabilities, memory)`` of a policy."""
    if isinstance(policy, ExploreThenCommit):
        exploring = policy.pulls * arms

        def etc(n: Counts, s: Counts, t: int, memory: Any) -> Choice:
            if t <= exploring:
                return [((t - 1) % arms, Fraction(1))], None
            arm = _first_largest(s) if memory is None else memory
            return [(arm, Fraction(1))], arm

        return etc
    if isinstance(policy, SuccessiveElimination):
        delta = 1 / horizon if policy.delta is None else policy.delta

        def elimination(n: Counts, s: Counts, t: int, memory: Any) -> Choice:
            active, position = (tuple(range(arms)), 0) if memory is None else memory
            if position == len(active):  # a pass is complete
                r = n[active[0]]
                radius = policy.scale * math.sqrt(math.log(4 * arms * r * r / delta) / (2 * r))
                most = max(s[i] for i in active) / r
                active, position = tuple(i for i in active if s[i] / r + radius >= most - radius), 0
            if len(active) == 1:
                return [(active[0], Fraction(1))], (active, 0)
            return [(active[position], Fraction(1))], (active, position + 1)

        return elimination
    if isinstance(policy, ThompsonBeta):
        if arms != 2 or policy.a != int(policy.a) or policy.b != int(policy.b):
            raise DomainError(f"the law is rational for two arms and a prior of integers, got {arms} arms, {policy}")
        a, b = int(policy.a), int(policy.b)

        def thompson(n: Counts, s: Counts, t: int, memory: Any) -> Choice:
            first = beta_greater(a + s[0], b + n[0] - s[0], a + s[1], b + n[1] - s[1])
            return [(0, first), (1, 1 - first)], None

        return thompson

    def in_order(t: int) -> Choice | None:
        return ([(t - 1, Fraction(1))], None) if t <= arms else None

    if isinstance(policy, EpsilonGreedy):
        explore = Fraction(policy.epsilon).limit_denominator(10**9)

        def greedy(n: Counts, s: Counts, t: int, memory: Any) -> Choice:
            best = _first_largest([Fraction(s[i], n[i]) for i in range(arms)]) if t > arms else 0
            return in_order(t) or (
                [(i, explore / arms + (1 - explore if i == best else 0)) for i in range(arms)],
                None,
            )

        return greedy

    def index_policy(n: Counts, s: Counts, t: int, memory: Any) -> Choice:
        if t <= arms:
            return [(t - 1, Fraction(1))], None
        values = [index_of(policy, s[i], n[i], t, arms, horizon) for i in range(arms)]
        return [(_first_largest(values, TIE), Fraction(1))], None

    return index_policy


def index_of(policy: Policy, total: float, pulls: int, t: int, arms: int, horizon: int) -> float:
    """Index of an arm that paid `total` in `pulls` pulls, in round t > K, by the formula of its paper.

    Raises
    ------
    DomainError
        Where the policy has no index.
    """
    mean = total / pulls
    if isinstance(policy, UCB1):
        return mean + math.sqrt(policy.exploration * math.log(t - 1) / pulls)
    if isinstance(policy, AsymptoticUCB):
        return mean + policy.sigma * math.sqrt(2 * math.log(1 + t * math.log(t) ** 2) / pulls)
    if isinstance(policy, ConfidenceUCB):
        delta = 1 / horizon**2 if policy.delta is None else policy.delta
        return mean + policy.sigma * math.sqrt(2 * math.log(1 / delta) / pulls)
    if isinstance(policy, MOSS):
        rounds = t if policy.form == "anytime" else horizon
        factor = 4 * policy.sigma**2 if policy.form == "subgaussian" else 1.0
        return mean + math.sqrt(factor * max(0.0, math.log(rounds / (arms * pulls))) / pulls)
    if isinstance(policy, KLUCB):
        log = math.log(t)
        return kl_ucb_index(mean, pulls, log + (policy.c * math.log(log) if policy.c else 0.0))
    raise DomainError(f"{policy!r} has no index")


@cache
def kl_ucb_index(mean: float, pulls: float, level: float) -> float:
    """``max{q in [mean, 1] : pulls kl(mean, q) <= level}`` by bisection, within 2^-60.

    1 where the mean is 1, and ``1 - exp(-level / pulls)`` where it is 0; never above
    ``mean + sqrt(level / (2 pulls))`` (Pinsker).
    """
    if mean >= 1.0:
        return 1.0
    low, high = mean, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if pulls * kl_bernoulli(mean, middle) <= level else (low, middle)
    return low


@cache
def beta_greater(a: int, b: int, c: int, d: int) -> Fraction:
    """P(X > Y) for independent X ~ Beta(a, b), Y ~ Beta(c, d) with integer parameters, as a fraction.

    ``sum_{i<a} B(c+i, b+d) / ((b+i) B(1+i, b) B(c, d))``.

    References
    ----------
    Miller, "Formulas for Bayesian A/B testing", 2015; Cook, "Exact calculation of beta inequalities", 2005.
    """
    return sum(
        (_beta(c + i, b + d) / ((b + i) * _beta(1 + i, b) * _beta(c, d)) for i in range(a)),
        Fraction(0),
    )


def _beta(a: int, b: int) -> Fraction:
    return Fraction(math.factorial(a - 1) * math.factorial(b - 1), math.factorial(a + b - 1))


# ------------------------------------------------------------------------------------- whole histories


def history_regret(policy: Exp3 | TsallisINF, means: Sequence[float], horizon: int) -> np.ndarray:
    """Expected pseudo-regret R_1, ..., R_T of exponential weights or Tsallis-INF on Bernoulli arms.

    By following all ``(2 K)^T`` histories, in float64.

    Parameters
    ----------
    policy : Exp3 or TsallisINF
    means : sequence of float
    horizon : int
        T with ``(2 K)^T <= 10^6``.

    Returns
    -------
    float64[T]
    """
    p = np.asarray(means, dtype=np.float64)
    arms = p.size
    if (2 * arms) ** horizon > 10**6:
        raise DomainError(f"{2 * arms}^{horizon} histories are too many")
    values = np.zeros(horizon)

    def follow(t: int, estimate: np.ndarray, weight: float, regret: float) -> None:
        if t > horizon:
            return
        chances = _weights(policy, estimate, t, arms, horizon)
        for a in np.flatnonzero(weight * chances):
            here = regret + p.max() - p[a]
            values[t - 1] += weight * chances[a] * here
            for loss, chance in ((0.0, p[a]), (1.0, 1 - p[a])):
                step = _estimate(policy, chances, int(a), loss, t)
                follow(t + 1, estimate + step, weight * chances[a] * chance, here)

    follow(1, np.zeros(arms), 1.0, 0.0)
    return values


def _weights(policy: Exp3 | TsallisINF, estimate: np.ndarray, t: int, arms: int, horizon: int) -> np.ndarray:
    if isinstance(policy, Exp3):
        eta = math.sqrt(2 * math.log(arms) / (arms * horizon)) if policy.eta is None else policy.eta
        w = np.exp(-eta * (estimate - estimate.min()))
        return w / w.sum()
    return tsallis_weights(estimate, _eta(policy, t))


def _eta(policy: TsallisINF, t: int) -> float:
    return (2 if policy.estimator == "iw" else 4) / math.sqrt(t)


def _estimate(policy: Exp3 | TsallisINF, chances: np.ndarray, a: int, loss: float, t: int) -> np.ndarray:
    step = np.zeros(chances.size)
    if isinstance(policy, TsallisINF) and policy.estimator == "rv":
        step = np.where(chances >= _eta(policy, t) ** 2, 0.5, 0.0)
    step[a] += (loss - step[a]) / chances[a]
    return step


def tsallis_weights(estimate: np.ndarray, eta: float) -> np.ndarray:
    """The probabilities ``4 / (eta (estimate_i - x))^2``, with x < min estimate by bisection.

    Parameters
    ----------
    estimate : float64[K]
        Estimated total losses.
    eta : float

    Returns
    -------
    float64[K]
        Summing to 1, ordered against `estimate`.
    """
    # below, every term is at most 1/K; above, the largest is at least 1
    low = estimate.min() - 2 * math.sqrt(estimate.size) / eta
    high = estimate.min() - 2 / eta
    for _ in range(100):
        x = (low + high) / 2
        total = float(np.sum(4 / (eta * (estimate - x)) ** 2))
        low, high = (x, high) if total < 1 else (low, x)
    p = 4 / (eta * (estimate - (low + high) / 2)) ** 2
    return p / p.sum()
