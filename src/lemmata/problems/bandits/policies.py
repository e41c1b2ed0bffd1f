"""Policies: which arm to pull next, as data.

A policy is a kind, which names the compiled functions that play it, and the tables these functions read. Logarithms
of rounds and of counts are in the tables, computed once here: what is left to do in a round needs only integers and
IEEE + - * / sqrt, without fused multiply-add, for UCB, MOSS, epsilon-greedy, explore-then-commit, elimination and
Tsallis-INF, so that every backend takes the same decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.bandits.environments import _array
from lemmata.random import bernoulli_threshold

__all__ = [
    "KLUCB",
    "LUCB",
    "MOSS",
    "OFUL",
    "UCB1",
    "AsymptoticUCB",
    "ConfidenceUCB",
    "Custom",
    "DecayingEpsilonGreedy",
    "EpsilonGreedy",
    "Exp3",
    "ExploreThenCommit",
    "Identification",
    "LinUCB",
    "Policy",
    "SuccessiveElimination",
    "ThompsonBeta",
    "ThompsonGaussian",
    "TsallisINF",
]


Rewards = Literal["any", "unit", "binary"]


class Policy:
    """What every policy says of itself.

    Attributes
    ----------
    kind : str
        The compiled functions that play it.
    pulls_each_first : bool
        Whether rounds 1..K pull arms 0..K-1 in order, so that a horizon below K makes no sense.
    anytime : bool
        Whether its play up to round t does not depend on the horizon. The curve of a policy that is tuned to T, read
        at t < T, is not the regret of that policy tuned to t.
    rewards : {"any", "unit", "binary"}
        The rewards it can be run on: any, those in [0, 1], or 0 and 1 only.
    """

    kind: ClassVar[str]
    pulls_each_first: ClassVar[bool] = True
    anytime: ClassVar[bool] = True
    rewards: ClassVar[Rewards] = "any"

    def tables(self, arms: int, horizon: int) -> tuple[Any, ...]:
        """The arrays and numbers that the compiled functions read; see each policy for their meaning."""
        raise NotImplementedError


# ----------------------------------------------------------------------------------- confidence bounds


@dataclass(frozen=True)
class UCB1(Policy):
    """Pull the arm of largest ``m_i + sqrt(exploration ln(t-1) / n_i)``.

    `tables`: ``(width, scale)``, both float64[T+1], the index in round t being ``m_i + width[t] * scale[n_i]`` with
    ``scale[n] = 1 / sqrt(n)``.

    Attributes
    ----------
    exploration : float
        2 in the paper. m_i is the mean reward of arm i after n_i pulls, and t - 1 the pulls so far.

    References
    ----------
    Auer, Cesa-Bianchi and Fischer, "Finite-time analysis of the multiarmed bandit problem", Machine Learning 47,
    2002, Figure 1.
    """

    exploration: float = 2.0
    kind: ClassVar[str] = "ucb"

    def __post_init__(self) -> None:
        _positive("exploration", self.exploration, zero=True)

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """``width[t] = sqrt(exploration ln(t-1))``, and the scales."""
        width = np.zeros(horizon + 1)
        width[2:] = np.sqrt(self.exploration * np.log(np.arange(1, horizon)))
        return width, _scales(horizon)


@dataclass(frozen=True)
class AsymptoticUCB(Policy):
    """Pull the arm of largest ``m_i + sigma sqrt(2 ln f(t) / n_i)``, ``f(t) = 1 + t ln^2 t``.

    `tables`: as for `UCB1`.

    Attributes
    ----------
    sigma : float
        The rewards are sigma-subgaussian.

    References
    ----------
    Lattimore and Szepesvari, "Bandit Algorithms", 2020, Algorithm 6 and Theorem 8.1.
    """

    sigma: float = 1.0
    kind: ClassVar[str] = "ucb"

    def __post_init__(self) -> None:
        _positive("sigma", self.sigma, zero=True)

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """``width[t] = sigma sqrt(2 ln(1 + t ln^2 t))``, and the scales."""
        t = np.arange(1, horizon + 1)
        return _from_one(self.sigma * np.sqrt(2 * np.log1p(t * np.log(t) ** 2))), _scales(horizon)


@dataclass(frozen=True)
class ConfidenceUCB(Policy):
    """Pull the arm of largest ``m_i + sigma sqrt(2 ln(1/delta) / n_i)``.

    `tables`: as for `UCB1`.

    Attributes
    ----------
    delta : float or None
        Error probability in (0, 1); ``1/T^2`` by default, which ties the policy to its horizon.
    sigma : float
        The rewards are sigma-subgaussian; 1/2 for rewards in [0, 1].

    References
    ----------
    Lattimore and Szepesvari, "Bandit Algorithms", 2020, Algorithm 3 and Theorem 7.1.
    """

    delta: float | None = None
    sigma: float = 1.0
    kind: ClassVar[str] = "ucb"
    anytime: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _positive("sigma", self.sigma, zero=True)
        _probability("delta", self.delta)

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """``width[t] = sigma sqrt(2 ln(1/delta))``, and the scales."""
        log = 2 * math.log(horizon) if self.delta is None else -math.log(self.delta)
        return np.full(horizon + 1, self.sigma * math.sqrt(2 * log)), _scales(horizon)


@dataclass(frozen=True)
class MOSS(Policy):
    """Minimax optimal strategy in the stochastic case.

    ============= ======================================================= ====================
    form          index                                                   rewards
    ============= ======================================================= ====================
    "bounded"     ``m_i + sqrt(max(0, ln(T / (K n_i))) / n_i)``           in [0, 1]
    "subgaussian" ``m_i + sigma sqrt(4 max(0, ln(T / (K n_i))) / n_i)``   sigma-subgaussian
    "anytime"     ``m_i + sqrt(max(0, ln(t / (K n_i))) / n_i)``           in [0, 1]
    ============= ======================================================= ====================

    Rewards in [0, 1] are 1/2-subgaussian, and at sigma = 1/2 the second form is the first; at sigma = 1 its radius is
    twice as long. Never mix the constant of one with the scale of the other.

    `tables`: ``(width float64[T+1],)`` by count, the index being ``m_i + width[n_i]``; for the anytime form
    ``(log_round, log_count, scale)``, all float64[T+1], the index being
    ``m_i + sqrt(max(0, log_round[t] - log_count[n_i])) * scale[n_i]``.

    Attributes
    ----------
    form : {"bounded", "subgaussian", "anytime"}
    sigma : float
        Read by the subgaussian form alone.

    References
    ----------
    Audibert and Bubeck, "Minimax policies for adversarial and stochastic bandits", COLT 2009; Lattimore and
    Szepesvari, "Bandit Algorithms", 2020, Algorithm 7.
    """

    form: Literal["bounded", "subgaussian", "anytime"] = "bounded"
    sigma: float = 1.0

    def __post_init__(self) -> None:
        if self.form not in ("bounded", "subgaussian", "anytime"):
            raise DomainError(f"form must be 'bounded', 'subgaussian' or 'anytime', got {self.form!r}")
        _positive("sigma", self.sigma, zero=True)

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The compiled functions that play it."""
        return "moss-anytime" if self.form == "anytime" else "moss"

    @property
    def anytime(self) -> bool:  # type: ignore[override]
        """Whether its play does not depend on the horizon."""
        return self.form == "anytime"

    @property
    def rewards(self) -> Rewards:  # type: ignore[override]
        """The rewards it can be run on."""
        return "any" if self.form == "subgaussian" else "unit"

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray, ...]:
        """Widths by count, or logarithms of rounds and counts for the anytime form."""
        n = np.arange(1, horizon + 1)
        if self.form == "anytime":
            return _from_one(np.log(n / arms)), _from_one(np.log(n)), _scales(horizon)
        factor = 1.0 if self.form == "bounded" else 4 * self.sigma**2
        return (_from_one(np.sqrt(factor * np.maximum(0.0, np.log(horizon / (arms * n))) / n)),)


@dataclass(frozen=True)
class KLUCB(Policy):
    """Pull the arm of largest ``max{q : n_i kl(m_i, q) <= ln t + c ln ln t}``, rewards in [0, 1].

    `tables`: ``(level float64[T+1],)``, ``level[t] = max(0, ln t + c ln ln t)``.

    Attributes
    ----------
    c : float
        3 in the proof, 0 in practice.

    References
    ----------
    Garivier and Cappe, "The KL-UCB algorithm for bounded stochastic bandits and beyond", COLT 2011, Algorithm 1.
    """

    c: float = 0.0
    kind: ClassVar[str] = "kl-ucb"
    rewards: ClassVar[Rewards] = "unit"

    def __post_init__(self) -> None:
        _positive("c", self.c, zero=True)

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray]:
        """Logarithmic levels by round."""
        log = np.log(np.arange(1, horizon + 1))
        with np.errstate(divide="ignore"):
            extra = self.c * np.log(log) if self.c else 0.0
        return (_from_one(np.maximum(0.0, log + extra)),)


# -------------------------------------------------------------------------------------------- sampling


@dataclass(frozen=True)
class ThompsonBeta(Policy):
    """Draw ``theta_i ~ Beta(a + s_i, b + n_i - s_i)`` for every arm and pull the largest; rewards 0 or 1.

    `tables`: ``(a, b)``.

    Attributes
    ----------
    a, b : float
        The prior, each at least 1; Beta(1, 1) by default.

    References
    ----------
    Thompson 1933; Agrawal and Goyal, "Analysis of Thompson sampling for the multi-armed bandit problem", COLT 2012.
    """

    a: float = 1.0
    b: float = 1.0
    kind: ClassVar[str] = "thompson-beta"
    pulls_each_first: ClassVar[bool] = False
    rewards: ClassVar[Rewards] = "binary"

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            if not 1 <= getattr(self, name) < math.inf:
                raise DomainError(f"the prior's {name} must be finite and >= 1, got {getattr(self, name)!r}")

    def tables(self, arms: int, horizon: int) -> tuple[float, float]:
        """The prior."""
        return float(self.a), float(self.b)


@dataclass(frozen=True)
class ThompsonGaussian(Policy):
    """Draw ``theta_i`` from the Gaussian posterior of every arm and pull the largest.

    ======== ==================================================== ==========================
    prior    posterior                                            first rounds
    ======== ==================================================== ==========================
    "flat"   ``N(m_i, sigma^2 / n_i)``                            every arm once
    "normal" ``N(s_i / (n_i + 1), sigma^2 / (n_i + 1))``          like the others
    ======== ==================================================== ==========================

    `tables`: ``(sigma, weight)``, weight 0 for the flat prior and 1 for the normal one, which is worth one pull that
    paid 0.

    Attributes
    ----------
    prior : {"flat", "normal"}
    sigma : float
        Standard deviation of the rewards, > 0.

    References
    ----------
    Agrawal and Goyal, "Near-optimal regret bounds for Thompson sampling", J. ACM 64, 2017, Algorithm 2.
    """

    prior: Literal["flat", "normal"] = "flat"
    sigma: float = 1.0
    kind: ClassVar[str] = "thompson-gaussian"

    def __post_init__(self) -> None:
        if self.prior not in ("flat", "normal"):
            raise DomainError(f"prior must be 'flat' or 'normal', got {self.prior!r}")
        _positive("sigma", self.sigma)

    @property
    def pulls_each_first(self) -> bool:  # type: ignore[override]
        """Whether rounds 1..K pull every arm once."""
        return self.prior == "flat"

    def tables(self, arms: int, horizon: int) -> tuple[float, float]:
        """The scale, and the pulls that the prior is worth."""
        return float(self.sigma), 0.0 if self.prior == "flat" else 1.0


# ------------------------------------------------------------------------- exploring and then committing


@dataclass(frozen=True)
class EpsilonGreedy(Policy):
    """With probability epsilon pull a uniform arm (the greedy one included), else the one of largest mean.

    `tables`: ``(threshold uint64[T+1],)``: round t explores where its word is below ``threshold[t]``, which is
    ``floor(epsilon_t 2^32)``.

    Attributes
    ----------
    epsilon : float
        In [0, 1]. A constant epsilon > 0 has linear regret.
    """

    epsilon: float = 0.1
    kind: ClassVar[str] = "epsilon-greedy"

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise DomainError(f"epsilon must lie in [0, 1], got {self.epsilon!r}")

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray]:
        """The constant threshold."""
        return (np.full(horizon + 1, bernoulli_threshold(self.epsilon)),)


@dataclass(frozen=True)
class DecayingEpsilonGreedy(Policy):
    """Epsilon-greedy with ``epsilon_t = min(1, c K / (gap^2 t))``.

    `tables`: as for `EpsilonGreedy`.

    Attributes
    ----------
    c : float
        Above 5 in the paper.
    gap : float
        At most the smallest positive gap, in (0, 1].

    References
    ----------
    Auer, Cesa-Bianchi and Fischer 2002, Figure 3 and Theorem 3.
    """

    c: float
    gap: float
    kind: ClassVar[str] = "epsilon-greedy"

    def __post_init__(self) -> None:
        _positive("c", self.c)
        if not 0 < self.gap <= 1:
            raise DomainError(f"gap must lie in (0, 1], got {self.gap!r}")

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray]:
        """Thresholds by round."""
        t = np.arange(1, horizon + 1)
        epsilon = np.minimum(1.0, self.c * arms / (self.gap**2 * t))
        return (np.concatenate([[np.uint64(0)], bernoulli_threshold(epsilon)]),)


@dataclass(frozen=True)
class ExploreThenCommit(Policy):
    """Pull arms 0..K-1 in turn, `pulls` times each, then the one of largest mean for ever.

    `tables`: ``(pulls,)``.

    Attributes
    ----------
    pulls : int
        m >= 1.

    References
    ----------
    Lattimore and Szepesvari, "Bandit Algorithms", 2020, Algorithm 1.
    """

    pulls: int
    kind: ClassVar[str] = "etc"
    # the choice of `pulls` may depend on the horizon, the play does not
    anytime: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.pulls, bool) or not isinstance(self.pulls, (int, np.integer)):
            raise TypeError(f"pulls must be an int, got {type(self.pulls).__name__}")
        if self.pulls < 1:
            raise DomainError(f"pulls must be >= 1, got {self.pulls}")

    def tables(self, arms: int, horizon: int) -> tuple[int]:
        """The pulls of each arm."""
        return (int(self.pulls),)


@dataclass(frozen=True)
class SuccessiveElimination(Policy):
    """Pull every active arm once a pass; after pass r drop i where ``m_i + c_r < max_j m_j - c_r``.

    ``c_r = scale sqrt(ln(4 K r^2 / delta) / (2 r))``, rewards in [0, 1]. At scale 1 the best arm stays with probability
    1 - delta.
    In `lemmata.sims.bandits.identify` the last active arm is the answer.

    `tables`: ``(radius float64[T+1],)`` by pass.

    Attributes
    ----------
    delta : float or None
        In (0, 1); 1/T by default.
    scale : float
        Of the radius; below 1 the promise is void.

    References
    ----------
    Even-Dar, Mannor and Mansour, "Action elimination and stopping conditions for the multi-armed bandit and
    reinforcement learning problems", JMLR 7, 2006, Algorithm 3.
    """

    delta: float | None = None
    scale: float = 1.0
    kind: ClassVar[str] = "elimination"
    anytime: ClassVar[bool] = False
    rewards: ClassVar[Rewards] = "unit"

    def __post_init__(self) -> None:
        _probability("delta", self.delta)
        _positive("scale", self.scale)

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray]:
        """Radius by pass."""
        delta = 1 / horizon if self.delta is None else self.delta
        r = np.arange(1, horizon + 1)
        return (_from_one(self.scale * np.sqrt(np.log(4 * arms * r**2.0 / delta) / (2 * r))),)


@dataclass(frozen=True)
class LUCB(Policy):
    """Fixed-confidence identification: pull the leader and its strongest rival until their intervals part.

    With radius ``sqrt(ln(5 K t^4 / (4 delta)) / (2 n_i))`` in pass t, the leader h has the largest mean and the rival
    the largest upper limit among the others; stop where the rival's upper limit is below the leader's lower limit
    plus `epsilon`.

    `tables`: ``(level float64[T+1], epsilon)``, ``level[t] = sqrt(ln(5 K t^4 / (4 delta)) / 2)`` by pass.

    Attributes
    ----------
    delta : float
        In (0, 1): the answer is within epsilon of the best arm with probability 1 - delta.
    epsilon : float
        >= 0.

    References
    ----------
    Kalyanakrishnan, Tewari, Auer and Stone, "PAC subset selection in stochastic multi-armed bandits", ICML 2012.
    """

    delta: float
    epsilon: float = 0.0
    kind: ClassVar[str] = "lucb"
    rewards: ClassVar[Rewards] = "unit"

    def __post_init__(self) -> None:
        _probability("delta", self.delta)
        _positive("epsilon", self.epsilon, zero=True)

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray, float]:
        """Levels by pass, and epsilon."""
        t = np.arange(1.0, horizon + 1)
        return _from_one(np.sqrt(np.log(1.25 * arms * t**4 / self.delta) / 2)), float(self.epsilon)


#: Policies that know when to stop: `lemmata.sims.bandits.identify` runs them.
Identification = SuccessiveElimination | LUCB


# ------------------------------------------------------------------------------------------ adversarial


@dataclass(frozen=True)
class Exp3(Policy):
    """Exponential weights on importance-weighted losses: ``p_i ~ exp(-eta Lhat_i)``, ``Lhat_a += loss / p_a``.

    Losses are 1 - reward, in [0, 1]. There is no mixing with the uniform law.

    `tables`: ``(eta,)``.

    Attributes
    ----------
    eta : float or None
        Learning rate > 0; ``sqrt(2 ln K / (K T))`` by default.

    References
    ----------
    Auer, Cesa-Bianchi, Freund and Schapire 2002; in loss form Bubeck and Cesa-Bianchi, "Regret analysis of
    stochastic and nonstochastic multi-armed bandit problems", 2012, Theorem 3.1.
    """

    eta: float | None = None
    kind: ClassVar[str] = "exp3"
    pulls_each_first: ClassVar[bool] = False
    anytime: ClassVar[bool] = False
    rewards: ClassVar[Rewards] = "unit"

    def __post_init__(self) -> None:
        if self.eta is not None:
            _positive("eta", self.eta)

    def tables(self, arms: int, horizon: int) -> tuple[float]:
        """The learning rate."""
        return (math.sqrt(2 * math.log(arms) / (arms * horizon)) if self.eta is None else float(self.eta),)


@dataclass(frozen=True)
class TsallisINF(Policy):
    """Follow the regularised leader with Tsallis entropy of power 1/2: ``p_i = 4 / (eta_t (Lhat_i - x))^2``.

    x < min Lhat makes the p_i sum to 1. Losses are 1 - reward, in [0, 1].

    ========= ================= ================================================================================
    estimator eta_t             added to Lhat_i
    ========= ================= ================================================================================
    "iw"      ``2 / sqrt(t)``   ``1[a = i] loss / p_i``
    "rv"      ``4 / sqrt(t)``   ``1[a = i] (loss - B_i) / p_i + B_i``, ``B_i = 1/2 if p_i >= eta_t^2 else 0``
    ========= ================= ================================================================================

    `tables`: ``(eta float64[T+1], reduced)``, reduced 1 for "rv" and 0 for "iw".

    Attributes
    ----------
    estimator : {"iw", "rv"}
        Importance-weighted, or of reduced variance.

    References
    ----------
    Zimmert and Seldin, "Tsallis-INF: an optimal algorithm for stochastic and adversarial bandits", JMLR 22, 2021,
    Algorithm 1 and Theorem 1.
    """

    estimator: Literal["iw", "rv"] = "iw"
    kind: ClassVar[str] = "tsallis"
    pulls_each_first: ClassVar[bool] = False
    rewards: ClassVar[Rewards] = "unit"

    def __post_init__(self) -> None:
        if self.estimator not in ("iw", "rv"):
            raise DomainError(f"estimator must be 'iw' or 'rv', got {self.estimator!r}")

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray, int]:
        """Learning rates by round, and the estimator."""
        reduced = int(self.estimator == "rv")
        return _from_one((2 + 2 * reduced) / np.sqrt(np.arange(1, horizon + 1))), reduced


# ---------------------------------------------------------------------------------------------- linear


class _Features(Policy):
    features: np.ndarray
    ridge: float
    kind = "linear"
    pulls_each_first: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", _array("features", self.features, 2))
        _positive("ridge", self.ridge)

    def _rows(self, arms: int) -> np.ndarray:
        if len(self.features) != arms:
            raise ShapeError(f"the policy has features of {len(self.features)} arms, the environment {arms} arms")
        return self.features


@dataclass(frozen=True, eq=False)
class OFUL(_Features):
    """Optimism in the face of uncertainty for linear bandits.

    Pull the arm of largest ``<theta_hat, x> + sqrt(beta_t) ||x||_{V^-1}`` with ``V = ridge I + sum x x^T``,
    ``theta_hat = V^-1 sum x reward`` and
    ``sqrt(beta_t) = sigma sqrt(2 ln(1/delta) + ln(det V / ridge^d)) + sqrt(ridge) norm``.

    `tables`: ``(features, ridge, sigma, 2 ln(1/delta), sqrt(ridge) norm)``.

    Attributes
    ----------
    features : float64[K, d]
    ridge : float
        > 0.
    delta : float
        In (0, 1): the confidence sets hold theta in every round with probability 1 - delta.
    sigma : float
        The noise is sigma-subgaussian.
    norm : float
        A bound S on ``||theta||``.

    References
    ----------
    Abbasi-Yadkori, Pal and Szepesvari, "Improved algorithms for linear stochastic bandits", NeurIPS 2011, Theorem 2;
    Lattimore and Szepesvari 2020, Theorems 19.2 and 20.5.
    """

    features: np.ndarray
    ridge: float = 1.0
    delta: float = 0.01
    sigma: float = 1.0
    norm: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _probability("delta", self.delta)
        _positive("sigma", self.sigma, zero=True)
        _positive("norm", self.norm, zero=True)

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray, float, float, float, float]:
        """Features and the constants of the radius."""
        return (
            self._rows(arms),
            float(self.ridge),
            float(self.sigma),
            -2 * math.log(self.delta),
            math.sqrt(self.ridge) * self.norm,
        )


@dataclass(frozen=True, eq=False)
class LinUCB(_Features):
    """The index of `OFUL` with a constant radius: ``<theta_hat, x> + alpha ||x||_{V^-1}``. It has no guarantee.

    `tables`: as for `OFUL`.

    Attributes
    ----------
    features : float64[K, d]
    ridge : float
        > 0.
    alpha : float
        >= 0.

    References
    ----------
    Li, Chu, Langford and Schapire, "A contextual-bandit approach to personalized news article recommendation",
    WWW 2010, Algorithm 1.
    """

    features: np.ndarray
    ridge: float = 1.0
    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive("alpha", self.alpha, zero=True)

    def tables(self, arms: int, horizon: int) -> tuple[np.ndarray, float, float, float, float]:
        """Features and the constants of the radius, which does not grow."""
        return self._rows(arms), float(self.ridge), 0.0, 0.0, float(self.alpha)


# --------------------------------------------------------------------------------------------- a user's


@dataclass(frozen=True, eq=False)
class Custom(Policy):
    """A policy of your own: three ``numba.njit`` functions, run by the loop that runs ours, at the same speed.

    - ``init(params, arms, horizon) -> state``: what a replicate remembers, usually a tuple of arrays;
    - ``select(params, state, t, draw) -> arm``: the arm of round t = 1, 2, ...; an index in 0..arms-1;
    - ``update(params, state, arm, reward, t)``: change the arrays of the state.

    Random numbers come from ``policy_words(t, k, draw)`` of `lemmata.sims.bandits`, four uint32 words for each round
    t and each k = 0, 1, ..., made into uniforms or normals by `lemmata.sims._philox`. They depend on nothing but the
    seed, the replicate, t and k: never use ``numpy.random`` in these functions.

    Attributes
    ----------
    init, select, update : callable
        Compiled with the loop once a process, some seconds.
    params : tuple
        Arrays and numbers passed to all three; another value needs no new compilation, another type does.
    name : str

    Examples
    --------
    Always the arm of largest mean so far, after one pull of each:

    >>> import numpy as np
    >>> from numba import njit
    >>> @njit
    ... def init(params, arms, horizon):
    ...     return np.zeros(arms), np.zeros(arms)
    >>> @njit
    ... def select(params, state, t, draw):
    ...     pulls, total = state
    ...     return t - 1 if t <= pulls.size else np.argmax(total / pulls)
    >>> @njit
    ... def update(params, state, arm, reward, t):
    ...     state[0][arm] += 1
    ...     state[1][arm] += reward
    >>> greedy = Custom(init, select, update, name="greedy")
    """

    init: Callable[..., Any]
    select: Callable[..., Any]
    update: Callable[..., Any]
    params: tuple[Any, ...] = field(default=(), repr=False)
    name: str = "custom"
    kind: ClassVar[str] = "custom"
    pulls_each_first: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("init", "select", "update"):
            if not hasattr(getattr(self, name), "py_func"):
                raise TypeError(f"{name} must be a numba.njit function, got {type(getattr(self, name)).__name__}")

    def tables(self, arms: int, horizon: int) -> tuple[Any, ...]:
        """The params."""
        return self.params


# ----------------------------------------------------------------------------------------------- checks


def _from_one(values: np.ndarray) -> np.ndarray:
    """A table indexed from 1: entry 0 is never read."""
    return np.concatenate([[0.0], values])


def _scales(horizon: int) -> np.ndarray:
    """``1 / sqrt(n)`` for n = 1..T."""
    return _from_one(1 / np.sqrt(np.arange(1, horizon + 1)))


def _positive(name: str, value: float, *, zero: bool = False) -> None:
    if not (np.isfinite(value) and (value > 0 or (zero and value == 0))):
        raise DomainError(f"{name} must be finite and {'>= 0' if zero else '> 0'}, got {value!r}")


def _probability(name: str, value: float | None) -> None:
    if value is not None and not 0 < value < 1:
        raise DomainError(f"{name} must lie in (0, 1), got {value!r}")
