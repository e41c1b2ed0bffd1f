"""Contextual bandits: contexts as data, regression oracles, and inverse-gap weighting of what they predict."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.problems.bandits.environments import _array, _inside
from lemmata.problems.bandits.policies import _positive
from lemmata.problems.bandits.runs import check_checkpoints, check_integer, check_replicates
from lemmata.random import check_seed
from lemmata.results import dataset

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "CONTEXT",
    "NETWORK",
    "Contextual",
    "InverseGap",
    "LinearOracle",
    "NeuralOracle",
    "TabularOracle",
    "check_contextual",
    "classes",
    "contextual_hard",
    "contextual_result",
    "inverse_gap",
    "linear_contexts",
    "ring_contexts",
    "squarecb_gamma",
]

#: Stream of contexts and losses: block t gives ``integer(word0, word1, M)``, the context of round t, and the loss of
#: the action played is 1 where ``word2 < floor(mean 2^32)``. The action is drawn by ``uniform64(word0, word1)`` of
#: block t of stream `POLICY`.
CONTEXT = 2**29
#: Stream of the parameters with which a network starts; the signs of its perturbations are on ``NETWORK + 1``.
NETWORK = 2**28


@dataclass(frozen=True, eq=False)
class Contextual:
    """M contexts of K actions; in context m action a costs 1 with probability ``means[m, a]``, else 0.

    In every round a context is drawn uniformly, or taken in turn. The regret is ``sum_t means[m_t, a_t] -
    min_a means[m_t, a]``, kind ``"pseudo"``.

    Attributes
    ----------
    features : float64[M, K, d]
        What an oracle reads of each action in each context.
    means : float64[M, K]
        Mean losses, in [0, 1]. They may be any function of the features, or none.
    turn : bool
        Whether round t has context ``(t - 1) % M``; else uniform.

    Raises
    ------
    ShapeError, DomainError, NonFiniteError
        Shapes that do not fit, an entry outside [0, 1].
    """

    features: np.ndarray
    means: np.ndarray
    turn: bool = False

    def __post_init__(self) -> None:
        means = _inside("means", _array("means", self.means, 2), 0.0, 1.0, " (rescale losses to [0, 1])")
        if np.ndim(self.features) != 3:
            raise ShapeError(f"features must have shape (M, K, d), got {np.shape(self.features)}")
        m, k, d = np.shape(self.features)
        features = _array("features", np.reshape(self.features, (m * k, d)), 2).reshape(m, k, d)
        if means.shape != (m, k):
            raise ShapeError(f"features have M, K = {m}, {k}: means must be ({m}, {k}), got {means.shape}")
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "means", means)

    @property
    def contexts(self) -> int:
        """Number M of contexts."""
        return self.means.shape[0]

    @property
    def arms(self) -> int:
        """Number K of actions."""
        return self.means.shape[1]

    @cached_property
    def gaps(self) -> np.ndarray:
        """``means - min_a means``, float64[M, K]."""
        return self.means - self.means.min(axis=1, keepdims=True)

    @cached_property
    def misfit(self) -> float:
        """Largest ``|means - 1/2 - <theta, x>|`` for the theta of least squares: 0 where the linear oracle is right."""
        x = self.features.reshape(-1, self.features.shape[2])
        y = self.means.ravel() - 0.5
        return float(np.abs(x @ np.linalg.lstsq(x, y, rcond=None)[0] - y).max())


# ----------------------------------------------------------------------------------------------- oracles


@dataclass(frozen=True)
class LinearOracle:
    """The forecaster of Vovk, Azoury and Warmuth on ``loss - 1/2``, clipped to [0, 1].

    ``y_hat(x) = 1/2 + <b, A^-1 x> / (1 + <x, A^-1 x>)``, ``A = ridge I + sum x x^T``, ``b = sum x (loss - 1/2)``: the
    ridge regression that counts x itself beforehand. On any sequence of losses in [0, 1] its square loss exceeds
    that of any theta by at most ``ridge ||theta||^2 + ln(det A_T / det A_0) / 4``.

    Attributes
    ----------
    ridge : float
        > 0.

    References
    ----------
    Azoury and Warmuth, "Relative loss bounds for on-line density estimation with the exponential family of
    distributions", Machine Learning 43, 2001, Theorem 5.3.
    """

    ridge: float = 1.0

    def __post_init__(self) -> None:
        _positive("ridge", self.ridge)


@dataclass(frozen=True)
class TabularOracle:
    """``(losses + weight prior) / (pulls + weight)`` of each context and action; it reads no feature.

    With prior 1/2 and weight 1 it is the estimator of Krichevsky and Trofimov, whose logarithmic loss over n rounds
    exceeds that of the best constant by at most ``ln(n) / 2 + ln 2``.

    Attributes
    ----------
    prior : float
        In [0, 1].
    weight : float
        > 0.

    References
    ----------
    Krichevsky and Trofimov, "The performance of universal encoding", IEEE Trans. Inf. Theory 27, 1981.
    """

    prior: float = 0.5
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.prior <= 1:
            raise DomainError(f"prior must lie in [0, 1], got {self.prior!r}")
        _positive("weight", self.weight)


@dataclass(frozen=True)
class NeuralOracle:
    """A network with one hidden layer, trained round by round on the loss of what was played, its output perturbed.

    ``f(x) = <v, tanh(W x)> / sqrt(m)``. At the start W and v are standard normal in half of the units, and the other
    half repeats them with v negated, so that f = 0. The s-th perturbed output is ``f(x) +
    perturbation m^{-1/4} <theta - theta_0, e_s>``, with theta all parameters and e_s fixed random signs. Loss and
    prediction are means over s. Averaged over all signs the square loss is that of f plus ``perturbation^2 m^{-1/2}
    ||theta - theta_0||^2``: the perturbation makes it strongly convex where the network is nearly linear.

    ======== ========================== =======================================
    loss     prediction                 trained on
    ======== ========================== =======================================
    "square" ``1/2 + output``, clipped  ``(1/2 + output - loss)^2``
    "kl"     ``sigmoid(output)``        ``-ln P(loss)``, P = sigmoid(output)
    ======== ========================== =======================================

    Only `lemmata.kernels.bandits` plays it.

    Attributes
    ----------
    width : int
        m >= 2, even.
    loss : {"square", "kl"}
    rate : float
        Step size > 0 of the gradient descent.
    perturbation : float
        >= 0.
    members : int
        Number S >= 1 of perturbed outputs.

    References
    ----------
    Deb, Ban, Zuo, He and Banerjee, "Contextual bandits with online neural regression", ICLR 2024, Algorithms 1 and 2.
    """

    width: int = 64
    loss: Literal["square", "kl"] = "square"
    rate: float = 0.1
    perturbation: float = 0.1
    members: int = 8

    def __post_init__(self) -> None:
        if check_integer("width", self.width, 2) % 2:
            raise DomainError(f"width must be even, half of the units being the others' negatives, got {self.width}")
        check_integer("members", self.members, 1)
        if self.loss not in ("square", "kl"):
            raise DomainError(f"loss must be 'square' or 'kl', got {self.loss!r}")
        _positive("rate", self.rate)
        _positive("perturbation", self.perturbation, zero=True)


Oracle = LinearOracle | TabularOracle | NeuralOracle


# ------------------------------------------------------------------------------------ inverse-gap weights


def _check_rule(gamma: float, rule: str) -> None:
    if not gamma >= 0:
        raise DomainError(f"gamma must lie in [0, inf], got {gamma!r}")
    if rule not in ("square", "fast"):
        raise DomainError(f"rule must be 'square' or 'fast', got {rule!r}")


def inverse_gap(predicted: Any, gamma: float, rule: Literal["square", "fast"] = "square") -> np.ndarray:
    """Probabilities of the actions, from their predicted losses; b is the lowest action of least prediction.

    ======== =========================================================== ====================
    rule     a != b                                                      b
    ======== =========================================================== ====================
    "square" ``1 / (K + gamma (y_a - y_b))``                             what is left, >= 1/K
    "fast"   ``y_b / (K y_b + gamma (y_a - y_b))``                       what is left, >= 1/K
    ======== =========================================================== ====================

    gamma = 0 is the uniform law; gamma = inf plays b. The second rule, for which y_b = 0 leaves nothing to a worse
    action, gives 1/K where both its terms vanish.

    Parameters
    ----------
    predicted : array_like, (..., K)
    gamma : float
        In [0, inf].
    rule : {"square", "fast"}

    Returns
    -------
    float64[..., K]

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
        No action; a prediction, gamma or rule outside its range.

    References
    ----------
    Abe and Long 1999; Foster and Rakhlin, "Beyond UCB: optimal and efficient contextual bandits with regression
    oracles", ICML 2020; Foster and Krishnamurthy, "Efficient first-order contextual bandits", NeurIPS 2021.
    """
    y = np.asarray(predicted, dtype=np.float64)
    if y.ndim == 0 or y.size == 0:
        raise ShapeError(f"predicted must have shape (..., K), none of them 0, got {y.shape}")
    if not np.isfinite(y).all():
        raise NonFiniteError(f"predicted losses must be finite, got {y[~np.isfinite(y)][0]}")
    _check_rule(gamma, rule)
    k = y.shape[-1]
    best = y.argmin(axis=-1, keepdims=True)
    least = np.take_along_axis(y, best, axis=-1)
    gap = y - least
    if math.isinf(gamma):
        p = np.zeros(y.shape)
    elif rule == "square":
        p = 1 / (k + gamma * gap)
    else:
        below = k * least + gamma * gap
        p = np.where(below > 0, least / np.where(below > 0, below, 1.0), 1 / k)
    np.put_along_axis(p, best, 0.0, axis=-1)
    np.put_along_axis(p, best, 1 - p.sum(axis=-1, keepdims=True), axis=-1)
    return p


@dataclass(frozen=True)
class InverseGap:
    """Play the actions with `inverse_gap` probabilities of what an oracle predicts: SquareCB, FastCB and their kin.

    ================================== ======================================
    square, `LinearOracle`             SquareCB
    fast, `TabularOracle`              FastCB
    square, `NeuralOracle` ("square")  NeuSquareCB
    fast, `NeuralOracle` ("kl")        NeuFastCB
    gamma = 0                          uniform exploration
    gamma = inf                        greedy
    ================================== ======================================

    Attributes
    ----------
    gamma : float
        In [0, inf]; `squarecb_gamma` has the one of the theorem.
    rule : {"square", "fast"}
    oracle : LinearOracle, TabularOracle or NeuralOracle
    generation : int
        Rounds for which one fit is in use; 1 learns after every round. Where logs come in batches, and late, what is
        in use during a generation was fitted to earlier ones.
    keep : {"all", "last"}
        Whether a fit sees all earlier generations, or the last alone.
    """

    gamma: float
    rule: Literal["square", "fast"] = "square"
    oracle: Oracle = field(default_factory=LinearOracle)
    generation: int = 1
    keep: Literal["all", "last"] = "all"

    def __post_init__(self) -> None:
        _check_rule(self.gamma, self.rule)
        if self.keep not in ("all", "last"):
            raise DomainError(f"keep must be 'all' or 'last', got {self.keep!r}")
        if not isinstance(self.oracle, (LinearOracle, TabularOracle, NeuralOracle)):
            raise TypeError(f"oracle must be a Linear-, Tabular- or NeuralOracle, got {type(self.oracle).__name__}")
        check_integer("generation", self.generation, 1)
        if isinstance(self.oracle, NeuralOracle) and (self.generation, self.keep) != (1, "all"):
            raise DomainError(f"a NeuralOracle learns round by round: generation must be 1, got {self.generation}")


def squarecb_gamma(arms: int, horizon: int, squares: float) -> float:
    """``sqrt(8 (K - 1) T / squares)``, which makes ``2 (K - 1) T / gamma + gamma squares / 4`` least.

    Parameters
    ----------
    arms, horizon : int
    squares : float
        A bound > 0 on the oracle's ``sum_t (y_hat - mean)^2``.
    """
    _positive("squares", squares)
    return math.sqrt(8 * (arms - 1) * horizon / squares)


# --------------------------------------------------------------------------------------------- instances


def linear_contexts(contexts: int, arms: int, dim: int, *, seed: int) -> Contextual:
    """Features uniform on the unit sphere, mean loss ``1/2 + <theta, x>`` with ``||theta|| = 1/2``."""
    rng = np.random.default_rng(check_seed(seed))
    x = rng.standard_normal((contexts, arms, dim))
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    theta = rng.standard_normal(dim)
    theta /= 2 * np.linalg.norm(theta)
    return Contextual(x, np.clip(0.5 + x @ theta, 0.0, 1.0))


def contextual_hard(contexts: int, arms: int, gap: float, *, seed: int) -> Contextual:
    """Contexts in turn, each a bandit of its own: losses 1/2, one action at ``1/2 - gap``, drawn uniformly.

    The features are one-hot, d = M K: no context tells of another. With ``gap = c sqrt(M K / T)``, c < 1, no policy
    finds all the good actions in T rounds.
    """
    if not 0 <= gap <= 0.5:
        raise DomainError(f"gap must lie in [0, 1/2], got {gap!r}")
    rng = np.random.default_rng(check_seed(seed))
    means = np.full((contexts, arms), 0.5)
    means[np.arange(contexts), rng.integers(arms, size=contexts)] -= gap
    return Contextual(np.eye(contexts * arms).reshape(contexts, arms, -1), means, turn=True)


def ring_contexts(contexts: int, arms: int) -> Contextual:
    """Points of the circle; mean loss ``sin^2`` of twice an angle: a linear oracle sees none of it.

    Context m is the angle ``2 pi m / M``; action a looks at it from ``pi a / K`` further, and costs ``sin^2`` of twice
    that angle. The features are ``(cos, sin, 1)`` of the angle; least squares on them have theta = 0.
    """
    angle = 2 * np.pi * np.arange(contexts)[:, None] / contexts + np.pi * np.arange(arms) / arms
    features = np.stack([np.cos(angle), np.sin(angle), np.ones(angle.shape)], axis=2)
    return Contextual(features, np.sin(2 * angle) ** 2)


def classes(contexts: int, arms: int, dim: int, *, spread: float = 0.4, noise: float = 0.02, seed: int) -> Contextual:
    """Classification with the labels as arms: points around K centres; a wrong label costs 1, the right one 0.

    The features of action a hold the point in block a of K, as is usual. The label is flipped with probability `noise`.

    Parameters
    ----------
    contexts : int
        Points.
    arms, dim : int
        Classes K, and the dimension of a point; d = K dim.
    spread : float
        Standard deviation around a centre of norm 1.
    noise : float
        In [0, 1/2].
    seed : int
    """
    rng = np.random.default_rng(check_seed(seed))
    centres = rng.standard_normal((arms, dim))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    label = rng.integers(arms, size=contexts)
    x = centres[label] + spread * rng.standard_normal((contexts, dim))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    features = np.einsum("mj,ab->mabj", x, np.eye(arms)).reshape(contexts, arms, arms * dim)
    means = np.where(label[:, None] == np.arange(arms), noise, 1 - noise / max(arms - 1, 1))
    return Contextual(features, means)


# ------------------------------------------------------------------------------------------------ checks


@dataclass(frozen=True)
class _Checked:
    horizon: int
    replicates: int
    points: np.ndarray
    first: int
    seed: int


def check_contextual(
    policy: Any, env: Any, horizon: Any, replicates: Any, checkpoints: Any, first_replicate: Any, seed: Any
) -> _Checked:
    """Check the arguments of `simulate_contextual`.

    Returns
    -------
    object
        ``horizon, replicates, points int64[C], first, seed``.

    Raises
    ------
    TypeError, ShapeError, DomainError
    """
    if not isinstance(policy, InverseGap):
        raise TypeError(f"policy must be an InverseGap, got {type(policy).__name__}")
    if not isinstance(env, Contextual):
        raise TypeError(f"env must be a Contextual, got {type(env).__name__}: simulate plays bandits without contexts")
    horizon = check_integer("horizon", horizon, 1)
    replicates, first = check_replicates(replicates, first_replicate)
    if horizon >= 2**32:
        raise DomainError(f"T must be below 2^32, the rounds that the random words count; got {horizon}")
    points = check_checkpoints(checkpoints, horizon)
    return _Checked(horizon, replicates, points, first, check_seed(seed))


def contextual_result(
    policy: InverseGap, checked: Any, sums: np.ndarray, kept: np.ndarray, **provenance: Any
) -> xr.Dataset:
    """The dataset of `simulate_contextual`.

    Parameters
    ----------
    policy : InverseGap
    checked : object
        What `check_contextual` gave.
    sums : float64[3, R, C]
        Regret, squared errors and least means.
    kept : float64[5, R, T or 0]
        Context, action, loss, prediction and probability of each round.
    **provenance
        Stored in the attrs.
    """
    over = ("replicate", "round")
    variables: dict[str, Any] = {
        "regret": (over, sums[0], "loss"),
        "error": (over, sums[1], "loss^2"),
        "least": (over, sums[2], "loss"),
    }
    coords = {
        "round": checked.points,
        "replicate": np.arange(checked.first, checked.first + checked.replicates, dtype=np.uint64),
    }
    if kept.shape[2]:
        over = ("replicate", "step")
        variables |= {
            "context": (over, kept[0].astype(np.int64), "context"),
            "arm": (over, kept[1].astype(np.int64), "action played"),
            "loss": (over, kept[2], "loss"),
            "prediction": (over, kept[3], "predicted loss of what was played"),
            "probability": (over, kept[4], "probability of what was played"),
        }
        coords["step"] = np.arange(1, checked.horizon + 1)
    return dataset(
        variables,
        coords,
        regret="pseudo",
        policy=repr(policy),
        horizon=checked.horizon,
        seed=checked.seed,
        **provenance,
    )
