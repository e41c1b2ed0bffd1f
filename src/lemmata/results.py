"""Labelled results: xarray datasets with units and provenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata.errors import NotConverged

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["dataset", "solved", "trace"]


def dataset(
    variables: Mapping[str, tuple[tuple[str, ...], Any, str]],
    coords: Mapping[str, Any],
    **provenance: Any,
) -> xr.Dataset:
    """Build a dataset from ``name: (dims, values, unit or meaning)``.

    Parameters
    ----------
    variables : mapping
        Name to (dimension names, array, unit); the unit is stored in the variable's attrs.
    coords : mapping
        Coordinate name to values.
    **provenance
        Stored in the dataset's attrs as they are (strings and numbers).

    Returns
    -------
    xarray.Dataset
    """
    import xarray as xr

    from lemmata import __version__

    data = {name: (dims, values, {"units": unit}) for name, (dims, values, unit) in variables.items()}
    return xr.Dataset(data, coords=dict(coords), attrs={"lemmata": __version__, **provenance})


def trace(
    method: str, backend: str, at: np.ndarray, x: np.ndarray, iterates: np.ndarray, **traces: np.ndarray
) -> xr.Dataset:
    """A recorded trajectory: ``traces`` (instance, step), the last iterate ``x`` and the iterates kept.

    Parameters
    ----------
    method, backend : str
    at : int64[R]
        Recorded steps.
    x : float[B, d]
    iterates : float[B, R or 0, d]
    **traces : float[B, R]
    """
    variables: dict[str, Any] = {name: (("instance", "step"), values, "1") for name, values in traces.items()}
    variables["x"] = (("instance", "dim"), x, "1")
    if iterates.shape[1]:
        variables["iterate"] = (("instance", "step", "dim"), iterates, "1")
    return dataset(variables, {"step": at}, method=method, backend=backend, dtype=str(x.dtype))


def solved(
    backend: str,
    x: np.ndarray,
    residual: np.ndarray,
    steps: np.ndarray,
    *,
    tol: float,
    max_steps: int,
    on_fail: str,
) -> xr.Dataset:
    """The result of a solver with one residual a row; raises `NotConverged` with it unless every row met tol.

    Parameters
    ----------
    backend : str
    x : float[B, d]
    residual : float[B]
    steps : int64[B]
    tol, max_steps, on_fail
        As given to the solver.
    """
    result = dataset(
        {
            "x": (("instance", "dim"), x, "1"),
            "residual": (("instance",), residual, "1"),
            "steps": (("instance",), steps, "steps taken"),
            "converged": (("instance",), residual <= tol, "residual <= tol"),
        },
        {},
        backend=backend,
        tol=tol,
        max_steps=max_steps,
    )
    if on_fail == "raise" and not (residual <= tol).all():
        b = int(residual.argmax())
        raise NotConverged(
            f"{int((residual > tol).sum())} of {len(residual)} rows stopped at the limit of {max_steps} steps; the "
            f"largest residual is {residual[b]:.6g} > tol = {tol:g} (row {b}). Raise max_steps, or loosen tol.",
            result,
        )
    return result
