"""Polynomial regression between the lazy and the rich regime, by the two statistics of its weights that count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from lemmata.problems.learning_dynamics import check_lazy_rich, real_arrays

__all__ = ["LazyRichPath", "lazy_rich_train"]


class LazyRichPath(NamedTuple):
    """Recorded steps of R runs: m float64[R, T, D], S float64[R, T, D, D] and the training loss float64[R, T]."""

    mean: np.ndarray
    second: np.ndarray
    loss: np.ndarray


def lazy_rich_train(
    X: Any,
    beta: Any,
    mean: Any,
    second: Any,
    alpha: Any,
    eps: Any,
    *,
    rate: float = 1.0,
    at: Sequence[int],
    linearised: bool = False,
) -> LazyRichPath:
    """Full-batch gradient descent on the mean squared error with learning rate ``rate N / alpha^2``, run by run.

    All weight vectors make the same affine step ``w <- A w + d`` with ``A = I - (2 rate eps/alpha) mean(r x x^T)``,
    ``d = -(2 rate/alpha) mean(r x)``, r the residuals. So m and S follow by themselves, for any width:
    ``S <- A S A + A m d^T + d (A m)^T + d d^T``.

    The linearised model is the network's tangent at the start, trained alike. It moves m and S by the same step to
    first order, with m and S of the start on the right: ``m <- m + (A - I) m_0 + d`` and ``S <- S + C + C^T`` with
    ``C = S_0 (A - I) + m_0 d^T``.

    Parameters
    ----------
    X : float64[R, P, D]
    beta, mean : float64[R, D]
    second : float64[R, D, D]
    alpha, eps : float64[R]
        See `lazy_rich_batch`, which makes the six of them.
    rate : float
    at : sequence of int
        Steps at which to record, not falling.
    linearised : bool
        Whether to train the linearised model in place of the network.

    Returns
    -------
    LazyRichPath
        Memory: this, and ``P D + 4 D^2`` numbers a thread. A run that diverges is infinite or NaN in `loss`.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError, TypeError
    """
    X, beta, m, S, alpha, eps = real_arrays(X=X, beta=beta, mean=mean, second=second, alpha=alpha, eps=eps)
    steps = check_lazy_rich(X, beta, m, S, alpha, eps, rate, at)
    R, _, D = X.shape
    path = LazyRichPath(np.empty((R, steps.size, D)), np.empty((R, steps.size, D, D)), np.empty((R, steps.size)))
    _train(X, beta, m, S, alpha, eps, float(rate), steps, linearised, path.mean, path.second, path.loss)
    return path


@njit(cache=True, parallel=True)
def _train(X, beta, m, S, alpha, eps, rate, at, linearised, means, seconds, losses):  # type: ignore[no-untyped-def]
    R, P, D = X.shape
    for p in prange(R):
        b = np.int64(p)  # prange counts in uint64
        x = X[b]
        xs, y, r = np.empty((P, D)), np.empty(P), np.empty(P)
        A, left, am, d = np.empty((D, D)), np.empty((D, D)), np.empty(D), np.empty(D)
        a, e = alpha[b], eps[b]
        m0, S0 = m[b].copy(), S[b].copy()
        for i in range(P):
            h = 0.0
            for j in range(D):
                h += beta[b, j] * x[i, j]
            y[i] = h * h / 2
        record = 0
        for step in range(at[-1] + 1):
            np.dot(x, S[b], xs)
            loss = 0.0
            for i in range(P):
                f = 0.0
                for j in range(D):
                    f += (a * m[b, j] + a * e / 2 * xs[i, j]) * x[i, j]
                r[i] = f - y[i]
                loss += r[i] * r[i] / P
            while record < at.size and at[record] == step:
                losses[b, record] = loss
                for j in range(D):
                    means[b, record, j] = m[b, j]
                    for k in range(D):
                        seconds[b, record, j, k] = S[b, j, k]
                record += 1
            for i in range(P):
                for j in range(D):
                    xs[i, j] = r[i] * x[i, j]
            np.dot(xs.T, x, A)
            for j in range(D):
                d[j] = 0.0
                for k in range(D):
                    A[j, k] *= -2 * rate * e / (a * P)
                A[j, j] += 0.0 if linearised else 1.0
            for i in range(P):
                for j in range(D):
                    d[j] -= 2 * rate / (a * P) * xs[i, j]
            if linearised:  # A without the identity
                np.dot(A, m0, am)
                np.dot(S0, A, left)
                for j in range(D):
                    m[b, j] += am[j] + d[j]
                    for k in range(D):
                        S[b, j, k] += left[j, k] + left[k, j] + m0[j] * d[k] + d[j] * m0[k]
                continue
            np.dot(A, m[b], am)
            np.dot(A, S[b], left)
            np.dot(left, A, S[b])  # A is symmetric
            for j in range(D):
                for k in range(D):
                    S[b, j, k] += am[j] * d[k] + d[j] * am[k] + d[j] * d[k]
            for j in range(D):
                m[b, j] = am[j] + d[j]
