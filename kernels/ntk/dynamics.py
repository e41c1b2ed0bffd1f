"""`lemmata.sims.ntk.dynamics` on a device: the law of an ensemble in training, and linear models step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lemmata.problems.ntk.dynamics import Covariance, Dynamics, EnsembleLaw, check_descent, check_law, decays
from lemmata.problems.ntk.networks import Loss

__all__ = ["ensemble_law", "linear_descent"]


@torch.no_grad()
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
    device: torch.device | str | None = None,
) -> EnsembleLaw:
    """Mean and covariance of the outputs of wide networks, trained from independent draws, at any time.

    As `lemmata.sims.ntk.ensemble_law`, formula and arguments alike, for tensors.

    Parameters
    ----------
    nngp : tensor (M, M) or None
        K at all points, the N training points first. None with ``covariance="none"``.
    ntk : tensor (M, M) or (M, N)
        Theta. numpy arrays are taken along.
    y : tensor (N, C)
    times : float or sequence of float
        >= 0, infinity included; whole steps with ``dynamics="descent"``.
    eta : float
    loss : {"half_sum", "mean"}
        No default: they differ by the factor 2/(N C) in time.
    dynamics : {"flow", "descent"}
    covariance : {"full", "diagonal", "none"}
    diag_reg : float
    device : torch.device or str, optional
        Where to work; by default where ntk is.

    Returns
    -------
    EnsembleLaw
        Tensors on the device, in the dtype of ntk. The work is done in float64 whatever that is: a solve in float32
        keeps no digit from a condition number of 1e6 on. Memory: T M (M + C) numbers, for "diagonal" T M (C + 1), and
        some 5 M^2 of 8 bytes on the way. The device waits for the host once, with the N eigenvalues.

    Raises
    ------
    TypeError
        ntk is neither float64 nor float32.
    ShapeError, NonFiniteError, DomainError
        See `check_law` and `decays`.

    Warns
    -----
    UserWarning
        A kernel so ill-conditioned that rounding changes its slowest mode by more than 0.1 % at the times asked for.

    References
    ----------
    Lee et al., "Wide neural networks of any depth evolve as linear models under gradient descent", NeurIPS 2019,
    Section 2.2.
    """
    theta = torch.as_tensor(ntk, device=device)
    K = None if nngp is None else torch.as_tensor(nngp, device=theta.device)
    targets = torch.as_tensor(y, device=theta.device)
    dtype = theta.dtype
    if dtype not in (torch.float64, torch.float32):
        raise TypeError(f"ntk must be float64 or float32, got {dtype}")
    t, rate = check_law(
        torch, K, theta, targets, times, eta=eta, loss=loss, dynamics=dynamics, covariance=covariance, diag_reg=diag_reg
    )
    theta, targets, points = theta.double(), targets.double(), len(targets)
    K = None if K is None else K.double()
    shift = diag_reg * float(theta.diagonal()[:points].mean())
    values, Q = torch.linalg.eigh(theta[:points, :points])
    name = str(dtype).removeprefix("torch.")
    used, *functions, condition = decays(values.cpu().numpy() + shift, t, rate=rate, dynamics=dynamics, dtype=name)
    decay, gain = (torch.tensor(f, device=theta.device) for f in functions)

    kept = decay + shift * gain  # eigenvalues of I - Theta g, exact also where they are small
    cross, along = theta[points:, :points] @ Q, Q.mT @ targets
    fitted = targets - Q @ (kept[:, :, None] * along)
    mean = torch.cat((fitted, cross @ (gain[:, :, None] * along)), 1)
    shapes = {"full": (t.size, len(theta), len(theta)), "diagonal": (t.size, len(theta)), "none": (0,)}
    found = torch.empty(shapes[covariance], dtype=dtype, device=theta.device)
    if covariance != "none":
        for i, (left, g) in enumerate(zip(kept, gain, strict=True)):  # one time at once, for the memory
            S = torch.cat((Q * left, cross * -g)) @ Q.mT  # f_t = mean + S f_0(X) + (0, f_0(x))
            found[i] = _covariance(S, K) if covariance == "full" else _variance(S, K)
    whole = found if covariance == "full" else None
    variance = None if covariance == "none" else found
    if whole is not None:
        variance = torch.diagonal(whole, dim1=1, dim2=2).clamp(min=0)
    return EnsembleLaw(t, mean.to(dtype), whole, variance, used, condition, 2 * eta / (rate * float(used[-1])))


def _covariance(S: Tensor, K: Any) -> Tensor:
    """Of ``S f_0(X) + (0, f_0(x))``, symmetric to the bit."""
    points = S.shape[1]
    moved = S @ K[:points]
    found = moved[:, :points] @ S.mT
    found[:, points:] += moved[:, points:]
    found[points:] += moved[:, points:].mT
    found[points:, points:] += K[points:, points:]
    return (found + found.mT) / 2


def _variance(S: Tensor, K: Any) -> Tensor:
    """Its diagonal."""
    points = S.shape[1]
    found = torch.linalg.vecdot(S @ K[:points, :points], S)
    found[points:] += 2 * torch.linalg.vecdot(S[points:], K[points:, :points]) + K.diagonal()[points:]
    return found.clamp_(min=0)


@torch.no_grad()
def linear_descent(J: Tensor, f0: Tensor, y: Tensor, rate: Tensor, at: Sequence[int]) -> Tensor:
    """Gradient descent on the parameters of linear models ``f = f_0 + J theta``, theta from 0, one step at a time.

    ``theta <- theta - rate J_X^T (f(X) - y)``: no kernel is formed.

    Parameters
    ----------
    J : tensor (M, P)
        Features, the N training points first.
    f0 : tensor (M, R)
        Outputs at theta = 0, a column a model.
    y : tensor (N, R)
    rate : tensor (R,)
        Learning rates times the loss factor.
    at : sequence of int
        Steps at which to record, increasing.

    Returns
    -------
    tensor (T, M, R)
        f, which overflows where a rate is too large. Memory: this, and R (P + 3 N) numbers. The host waits for the
        check of the data, and for nothing behind it.

    Raises
    ------
    TypeError, ShapeError, NonFiniteError, DomainError
        See `check_descent`.
    """
    steps = check_descent(J, f0, y, rate, at)
    points = len(y)
    features, start = J[:points], f0[:points] - y
    theta = J.new_zeros(J.shape[1], f0.shape[1])
    found, step = [], 0
    for stop in steps.tolist():
        for _ in range(step, stop):
            residual = torch.addmm(start, features, theta)
            theta -= rate * (features.mT @ residual)
        step = stop
        found.append(f0 + J @ theta)
    return torch.stack(found)
