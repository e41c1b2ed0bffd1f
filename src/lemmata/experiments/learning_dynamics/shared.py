"""What the experiments of the family share."""

from __future__ import annotations

from typing import Any

import numpy as np

from lemmata.verification import Setup

__all__ = ["run_on"]


def run_on(setup: Setup, name: str, *arrays: Any, **options: Any) -> np.ndarray:
    """The function of that name of the setup's backend, on arrays; float64 whatever the backend works in."""
    if setup.backend == "sims":
        from lemmata.sims import learning_dynamics as sims

        return getattr(sims, name)(*arrays, **options)
    import torch

    from lemmata.kernels import learning_dynamics as kernels

    dtype = getattr(torch, setup.dtype)
    tensors = [torch.tensor(a, dtype=dtype, device=setup.device) if isinstance(a, np.ndarray) else a for a in arrays]
    return getattr(kernels, name)(*tensors, **options).double().cpu().numpy()
