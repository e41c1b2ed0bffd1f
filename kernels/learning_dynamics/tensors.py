"""What the kernels of the family take for numbers: they work in the dtype of their inputs."""

from __future__ import annotations

from torch import Tensor

__all__ = ["check_floating"]


def check_floating(**tensors: Tensor) -> None:
    """Refuse what is no tensor of real floating-point numbers, and tensors of different dtypes.

    Raises
    ------
    TypeError
    """
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name} must be a torch.Tensor, got {type(value).__name__}; lemmata.sims takes numpy arrays"
            )
    dtypes = {name: value.dtype for name, value in tensors.items()}
    if len(set(dtypes.values())) > 1 or not all(dtype.is_floating_point for dtype in dtypes.values()):
        given = ", ".join(f"{name} of {dtype}" for name, dtype in dtypes.items())
        raise TypeError(f"tensors must hold floating-point numbers of one dtype, got {given}: try .double()")
