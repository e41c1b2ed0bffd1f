"""How fast the atoms of mpEDMD approach a spectral measure: Wasserstein's distance against the number of delays."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, theory
from lemmata.results import dataset
from lemmata.theory.koopman import distribution, favard_bound, favard_constant, poisson_moments, shift_moments
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

#: Observables of the cat map, by the moments of their spectral measures.
OBSERVABLES = ("three modes of a chain", "all modes of a chain")
METHODS = {"mpedmd": "mpEDMD", "edmd": "EDMD, moved to the circle"}


def _moments(count: int) -> tuple[np.ndarray, np.ndarray]:
    three = np.zeros(count, dtype=np.complex128)
    three[:3] = shift_moments(np.array([1, 0.5, 0.25j]))
    return three, poisson_moments(0.6 * np.exp(0.7j), count)


def simulate(budget: Budget, seed: int, progress: Progress, *, sizes: tuple[int, ...] = ()) -> xr.Dataset:
    """W_1 of the atoms on the circle by observable, method and N; nothing is random."""
    from lemmata.experiments.koopman.shared import quiet
    from lemmata.problems.koopman import PolarNonUniqueWarning
    from lemmata.sims.koopman import (
        circle_distance,
        coordinates,
        delay_gram,
        edmd,
        mpedmd,
        section_from_gram,
        spectral_measure,
    )

    sizes = sizes or ((1, 2, 3, 5, 8, 12, 18, 27, 40, 60, 90) + (() if budget == "quick" else (135, 200, 300, 450)))
    found = np.empty((len(METHODS), len(OBSERVABLES), len(sizes)))
    norm = np.empty(len(OBSERVABLES))
    for i, moments in enumerate(_moments(max(sizes) + 1)):
        norm[i] = moments[0].real
        last = np.flatnonzero(np.abs(moments) > 1e-17)[-1]
        known = partial(distribution, moments=moments[: last + 1])
        for k, size in enumerate(sizes):
            progress((i + k / len(sizes)) / 2, f"N = {size}")
            made = section_from_gram(*delay_gram(moments, size))
            g = coordinates(made, np.eye(size)[0])
            # the last direction of a smooth density is singular: its phase turns the atoms and leaves the moments
            atoms = spectral_measure(quiet(partial(mpedmd, made), PolarNonUniqueWarning), g)
            eigen = edmd(made)
            weights = np.abs(eigen.vectors.conj().T @ g) ** 2
            moved = np.angle(eigen.values), weights * norm[i] / weights.sum()
            found[:, i, k] = circle_distance(*atoms, known), circle_distance(*moved, known)
    return dataset(
        {
            "distance": (("algorithm", "observable", "size"), found, "radians"),
            "norm": (("observable",), norm, "squared norm of g"),
        },
        {"algorithm": list(METHODS), "observable": list(OBSERVABLES), "size": np.array(sizes)},
    )


def _scaled(ds: xr.Dataset) -> xr.DataArray:
    return ds.distance * ds["size"] / ds.norm


def _slopes(ds: xr.Dataset) -> np.ndarray:
    """Slopes of mpEDMD's distances for N >= 20."""
    late = ds.sel(algorithm="mpedmd").isel(size=np.flatnonzero(ds["size"].values >= 20))
    x = np.log(late["size"].values.astype(float))
    return np.array([np.polyfit(x, np.log(row), 1)[0] for row in late.distance.values])


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    scaled = _scaled(ds)
    over = float(np.max(scaled.sel(algorithm="mpedmd").values / float(favard_bound(N=1, norm=1))))
    slope = float(np.max(np.abs(_slopes(ds) + 1)))
    limit = float(np.max(np.abs(scaled.sel(algorithm="mpedmd").isel(size=-1).values / float(favard_constant(N=1)) - 1)))
    other = float(np.min(scaled.sel(algorithm="edmd").isel(size=-1).values)) / float(favard_bound(N=1, norm=1))
    return [
        Check("mpEDMD's distance over the bound: largest", over <= 1 + 1e-9, over),
        Check("its slope is -1 within 0.03", slope <= 0.03, slope),
        Check("N W_1 ends at half of the bound, to 2 %", limit <= 0.02, limit),
        Check("eigenvalues of EDMD break the bound at the largest N: least ratio", other > 1, other),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    slopes = " and ".join(f"{s:.3f}" for s in _slopes(ds))
    ends = " and ".join(f"{v:.4f}" for v in _scaled(ds).sel(algorithm="mpedmd").isel(size=-1).values)
    return (
        f"Wasserstein's distance on the circle of length 2π between the spectral measure of an observable of the cat "
        f"map and the N atoms that mpEDMD finds with N delays of it, from exact moments. Solid: the bound π‖g‖²/N; "
        f"dashed: the rate π‖g‖²/(2N) for smooth positive densities. Slopes from N = 20 on: {slopes}; N W₁/‖g‖² ends "
        f"at {ends} (π/2 = 1.5708). Open: EDMD's eigenvalues moved to the circle, weights normalised, which keep no "
        f"bound; most are eigenvalues 0 of a defective matrix, scattered by rounding."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Distances, and what they are times N."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=2.8)
    N = ds["size"].values.astype(float)
    scaled, distance = _scaled(ds), ds.distance / ds.norm
    for axes, shown, power in ((left, distance, 1), (right, scaled, 0)):
        for j, (name, label) in enumerate(METHODS.items()):
            for i, observable in enumerate(OBSERVABLES):
                axes.plot(
                    N,
                    shown.sel(algorithm=name, observable=observable),
                    color=f"C{i}",
                    marker="os"[i],
                    markerfacecolor="white" if j else f"C{i}",
                    linewidth=0.7,
                    label=f"{label}: {observable}",
                )
        axes.plot(N, np.pi / N**power, color="0.4", label=r"bound $\pi/N$" if power else r"bound $\pi$")
        theory(axes, N, np.pi / 2 / N**power, r"rate $\pi/(2N)$" if power else r"$\pi/2$")
        axes.set(xscale="log", xlabel="delays $N$")
    left.set(title=r"(a) distance", yscale="log", ylabel=r"$W_1/\|g\|^2$")
    right.set(title=r"(b) scaled", ylabel=r"$N\, W_1/\|g\|^2$", ylim=(0, 6))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, columnspacing=1.2)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("koopman/wasserstein", "How fast spectral measures converge", simulate, draw, caption, check),
)
