"""The dictionaries of `lemmata.problems.koopman` on tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from lemmata.errors import ShapeError
from lemmata.problems.koopman import Chebyshev, Cosine, Fourier, Hermite, Legendre, Product, Radial

__all__ = ["features"]


@torch.no_grad()
def features(psi: Callable[[Any], Any], x: Tensor) -> Tensor:
    """The N functions at M states, on the states' device and in their precision.

    Parameters
    ----------
    psi : Dictionary
        One of `lemmata.problems.koopman`, or any callable of tensors, which is called.
    x : float32 or float64 tensor (M, d)

    Returns
    -------
    tensor (M, N)
        Complex for `Fourier`. Distances of `Radial` come from differences, in both precisions.

    Raises
    ------
    ShapeError
    TypeError
        One of the dictionaries here, and states that are of neither precision.
    """
    if x.ndim != 2:
        raise ShapeError(f"x must be [M, d], got {tuple(x.shape)}")
    known = isinstance(psi, Fourier | Radial | Product | Cosine | Legendre | Chebyshev | Hermite)
    if known and x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"the states must be float32 or float64, got {x.dtype}")
    if isinstance(psi, Fourier):
        _check_dim(x, psi.dim)
        k = _constants(psi, x.dtype, x.device)
        # no product of matrices, which TF32 may round; and whole turns go before the sine is taken
        turns = x[:, :1] / psi.period * k[:, 0]
        for i in range(1, psi.dim):
            turns += x[:, i : i + 1] / psi.period * k[:, i]
        turns -= turns.round()
        turns *= 2 * math.pi
        return torch.polar(torch.ones_like(turns), turns)
    if isinstance(psi, Radial):
        _check_dim(x, psi.centres.shape[1])
        return _radial(psi, x)
    if isinstance(psi, Product):
        _check_dim(x, len(psi.factors))
        out = features(psi.factors[0], x[:, :1])
        for i, factor in enumerate(psi.factors[1:], start=1):
            out = (out[:, :, None] * features(factor, x[:, i : i + 1])[:, None, :]).flatten(1)
        return out
    if isinstance(psi, Cosine | Legendre | Chebyshev | Hermite):
        _check_dim(x, 1)
        return _polynomials(psi, x[:, 0])
    return psi(x)  # type: ignore[no-any-return]


def _check_dim(x: Tensor, dim: int) -> None:
    if x.shape[1] != dim:
        raise ShapeError(f"x must be [M, {dim}], got {tuple(x.shape)}")


@lru_cache(maxsize=8)
def _constants(psi: Fourier | Radial, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Frequencies or centres, on the device once and not once a block: a copy from the host would make it wait."""
    values = psi.frequencies if isinstance(psi, Fourier) else psi.centres.copy()
    return torch.as_tensor(values, dtype=dtype, device=device)


def _radial(psi: Radial, x: Tensor) -> Tensor:
    centres = _constants(psi, x.dtype, x.device)
    # in place from here: one array of M N numbers lives
    r = torch.cdist(x, centres, compute_mode="donot_use_mm_for_euclid_dist").div_(psi.scale)
    if psi.shape == "exponential":
        return r.neg_().exp_()
    if psi.shape == "gaussian":
        return r.square_().neg_().exp_()
    if psi.shape == "inverse":
        return r.square_().add_(1).reciprocal_()
    return torch.xlogy(r.square(), r)


def _polynomials(psi: Cosine | Legendre | Chebyshev | Hermite, x: Tensor) -> Tensor:
    """Orthonormal ones by their recurrences."""
    k = torch.arange(psi.size, dtype=x.dtype, device=x.device)
    # of two Python numbers `torch.where` makes float32, and sqrt 2 would lose half of its digits
    root = torch.full_like(k, math.sqrt(2))
    root[0] = 1.0
    if isinstance(psi, Cosine):
        return root * torch.cos(math.pi * k * x[:, None])
    out = x.new_empty(psi.size, len(x))
    out[0] = 1.0
    if isinstance(psi, Hermite):
        u = x / psi.scale
        if psi.weighted:
            out[0] = torch.exp(-(u**2) / 4)
        for n in range(psi.size - 1):
            out[n + 1] = u * out[n] / math.sqrt(n + 1)
            if n:
                out[n + 1] -= math.sqrt(n / (n + 1)) * out[n - 1]
        return out.T
    u = (2 * x - psi.lower - psi.upper) / (psi.upper - psi.lower)
    for n in range(psi.size - 1):
        # a_n u p_n - c_n p_{n-1}
        a = (2 * n + 1) / (n + 1) if isinstance(psi, Legendre) else (2.0 if n else 1.0)
        out[n + 1] = a * u * out[n]
        if n:
            out[n + 1] -= (n / (n + 1) if isinstance(psi, Legendre) else 1.0) * out[n - 1]
    return out.T * (torch.sqrt(2 * k + 1) if isinstance(psi, Legendre) else root)
