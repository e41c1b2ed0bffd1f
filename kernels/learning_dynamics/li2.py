"""`lemmata.sims.learning_dynamics.li2` on a device: all units climb side by side, by Fourier transforms."""

from __future__ import annotations

import torch
from torch import Tensor

from lemmata.kernels.learning_dynamics.tensors import check_floating
from lemmata.problems.learning_dynamics import check_ascent

__all__ = ["energy_ascent"]


@torch.no_grad()
def energy_ascent(w: Tensor, *, steps: int) -> Tensor:
    """Projected gradient ascent of ``E(w) = |Y^T (X w)^2|^2 / 2`` on the unit sphere, tensor (B, 2 M).

    Arguments and result of `lemmata.sims.learning_dynamics.energy_ascent`. Memory: 8 B M complex numbers. The host
    waits for the checks alone.
    """
    check_floating(w=w)
    check_ascent(w, steps)
    M = w.shape[1] // 2
    largest = w.abs().amax(dim=1, keepdim=True)
    w = w / (largest / (2 * largest.frexp().mantissa))  # powers of two: exact, and squares cannot over- or underflow
    w = w / w.norm(dim=1, keepdim=True)
    for _ in range(steps):
        u, v = (torch.fft.rfft(part) for part in w.split(M, dim=1))
        sums = 2 * u * v
        sums[:, 0] = 0  # the mean
        slope = torch.cat([torch.fft.irfft(2 * sums * other.conj(), n=M) for other in (v, u)], dim=1)
        w = w + slope / M
        w = w / w.norm(dim=1, keepdim=True)
    return w
