"""The law of an ensemble of wide networks in training, and linear models trained step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from lemmata.problems.ntk.dynamics import Covariance, Dynamics, EnsembleLaw, check_descent, check_law, decays
from lemmata.problems.ntk.networks import Loss

__all__ = ["ensemble_law", "linear_descent"]


def ensemble_law(
    nngp: Any,
    ntk: Any,
    y: Any,
    times: Any,
    *,
    eta: float,
    loss: Loss,
    dynamics: Dynamics = "flow",
    covariance: Covariance = "full",
    diag_reg: float = 0.0,
) -> EnsembleLaw:
    """Mean and covariance of the outputs of wide networks, trained from independent draws, at any time.

    With c the `loss_factor`, ``P_t = Theta(., X) Theta^{-1} (I - e^{-eta c Theta t})``: the mean is ``P_t y``, the
    covariance ``(I - P_t) K (I - P_t)^T``, P_t acting on the values at X. At t = 0 that is the prior, at infinity the
    training points are interpolated; the variance elsewhere is then that of no posterior unless the readout alone is
    trained (Theta = K). One eigendecomposition serves all times.

    Parameters
    ----------
    nngp : float64[M, M] or None
        K at all points, the N training points first. None with ``covariance="none"``.
    ntk : float64[M, M] or [M, N]
        Theta, whose first N columns are needed. `fc_kernels` gives both.
    y : float64[N, C]
    times : float or sequence of float
        >= 0, infinity included; whole steps with ``dynamics="descent"``.
    eta : float
        Learning rate.
    loss : {"half_sum", "mean"}
        ``sum (f - y)^2 / 2`` over points and outputs, or the mean of ``(f - y)^2`` over both. No default: they differ
        by the factor 2/(N C) in time. (neural-tangents' half mean of squares is "mean" at half the learning rate.)
    dynamics : {"flow", "descent"}
        Gradient flow, or gradient descent: ``(I - eta c Theta)^t`` for the exponential.
    covariance : {"full", "diagonal", "none"}
    diag_reg : float
        s, as a share of the mean diagonal entry of Theta(X, X): ``Theta + s I`` in place of the Theta that is inverted
        and exponentiated. That is training with the penalty ``c s |theta - theta_0|^2 / 2`` on the parameters, and for
        s > 0 the training points are no longer interpolated.

    Returns
    -------
    EnsembleLaw
        With the condition number. Memory: T M (M + C) numbers, for "diagonal" T M (C + 1), and some 5 M^2 on the way.

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
        See `check_law` and `decays`: a wrong shape, a matrix that is not symmetric, a kernel with a negative
        eigenvalue, an infinite time with a singular kernel, gradient descent with eta at or above
        `EnsembleLaw.largest_eta`.

    Warns
    -----
    UserWarning
        A kernel so ill-conditioned that rounding changes its slowest mode by more than 0.1 % at the times asked for.
        float32 kernels are taken to be rounded in float32.

    References
    ----------
    Lee et al., "Wide neural networks of any depth evolve as linear models under gradient descent", NeurIPS 2019,
    Section 2.2.
    """
    K = None if nngp is None else np.asarray(nngp)
    theta, targets = np.asarray(ntk), np.asarray(y, dtype=np.float64)
    dtype = "float32" if theta.dtype == np.float32 else "float64"
    t, rate = check_law(
        np, K, theta, targets, times, eta=eta, loss=loss, dynamics=dynamics, covariance=covariance, diag_reg=diag_reg
    )
    theta, points = theta.astype(np.float64, copy=False), len(targets)
    K = None if K is None else K.astype(np.float64, copy=False)
    shift = diag_reg * float(theta.diagonal()[:points].mean())
    values, Q = np.linalg.eigh(theta[:points, :points])
    used, decay, gain, condition = decays(values + shift, t, rate=rate, dynamics=dynamics, dtype=dtype)

    cross, along = theta[points:, :points] @ Q, Q.T @ targets
    size = len(theta)
    shapes = {"full": (t.size, size, size), "diagonal": (t.size, size), "none": (0,)}
    mean, found = np.empty((t.size, size, targets.shape[1])), np.empty(shapes[covariance])
    for i, g in enumerate(gain):
        left = decay[i] + shift * g  # eigenvalues of I - Theta g, exact also where they are small
        mean[i, :points] = targets - Q @ (left[:, None] * along)
        mean[i, points:] = cross @ (g[:, None] * along)
        if covariance != "none":
            S = np.concatenate((Q * left, -cross * g)) @ Q.T  # f_t = mean + S f_0(X) + (0, f_0(x))
            found[i] = _covariance(S, K) if covariance == "full" else _variance(S, K)
    whole = found if covariance == "full" else None
    variance = None if covariance == "none" else found
    if whole is not None:
        variance = np.maximum(np.diagonal(whole, axis1=1, axis2=2), 0.0)
    return EnsembleLaw(t, mean, whole, variance, used, condition, 2 * eta / (rate * float(used[-1])))


def _covariance(S: np.ndarray, K: Any) -> np.ndarray:
    """Of ``S f_0(X) + (0, f_0(x))``, symmetric to the bit."""
    points = S.shape[1]
    moved = S @ K[:points]
    found = moved[:, :points] @ S.T
    found[:, points:] += moved[:, points:]
    found[points:] += moved[:, points:].T
    found[points:, points:] += K[points:, points:]
    return (found + found.T) / 2


def _variance(S: np.ndarray, K: Any) -> np.ndarray:
    """Its diagonal."""
    points = S.shape[1]
    found = ((S @ K[:points, :points]) * S).sum(axis=1)
    found[points:] += 2 * (S[points:] * K[points:, :points]).sum(axis=1) + K.diagonal()[points:]
    return np.maximum(found, 0.0)


def linear_descent(J: Any, f0: Any, y: Any, rate: Any, at: Any) -> np.ndarray:
    """Gradient descent on the parameters of linear models ``f = f_0 + J theta``, theta from 0, one step at a time.

    ``theta <- theta - rate J_X^T (f(X) - y)``: no kernel is formed.

    Parameters
    ----------
    J : float64[M, P]
        Features, the N training points first.
    f0 : float64[M, R]
        Outputs at theta = 0, a column a model.
    y : float64[N, R]
    rate : float64[R]
        Learning rates times the loss factor.
    at : sequence of int
        Steps at which to record, increasing.

    Returns
    -------
    float64[T, M, R]
        f, which overflows where a rate is too large. Memory: this, and N + P numbers.

    Raises
    ------
    TypeError, ShapeError, NonFiniteError, DomainError
        See `check_descent`.
    """
    J, f0, y, rate = (np.asarray(a) for a in (J, f0, y, rate))
    at = _read_only(check_descent(J, f0, y, rate, at), np.int64)
    J, f0, y, rate = (_read_only(a, np.float64) for a in (J, f0, y, rate))
    found = np.empty((at.size, *f0.shape))
    _descend(J, f0, y, rate, at, np.zeros(J.shape[1]), np.empty(len(y)), found)
    return found


def _read_only(array: Any, dtype: Any) -> np.ndarray:
    """One type for numba."""
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.setflags(write=False)
    return view


@njit(cache=True)
def _descend(J, f0, y, rate, at, theta, residual, found):  # type: ignore[no-untyped-def]
    for r in range(rate.size):
        for p in range(theta.size):
            theta[p] = 0.0
        step = 0
        for k in range(at.size):
            while step < at[k]:
                for i in range(residual.size):
                    total = f0[i, r] - y[i, r]
                    for p in range(theta.size):
                        total += J[i, p] * theta[p]
                    residual[i] = total
                for i in range(residual.size):
                    for p in range(theta.size):
                        theta[p] -= rate[r] * residual[i] * J[i, p]
                step += 1
            for i in range(f0.shape[0]):
                total = f0[i, r]
                for p in range(theta.size):
                    total += J[i, p] * theta[p]
                found[k, i, r] = total
