"""Three pairs of limits that do not commute: time and dimension, width and atoms, snapshots and functions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

DIMENSIONS = (1, 10, 100, 1000)
ATOMS = (20, 80, 320)
#: Largest frequency of the Fourier functions whose residuals are shown.
FREQUENCY = 10


def _residuals(random: np.random.Generator, size: int) -> tuple[float, float]:
    """Medians of the residuals of EDMD for the doubling map, on its own snapshots and by exact quadrature."""
    from lemmata.experiments.koopman.shared import quiet
    from lemmata.problems.koopman import Fourier, ResidualVacuousWarning, rule
    from lemmata.sims.koopman import edmd, section

    psi, x = Fourier(FREQUENCY), random.random((size, 1))
    made = quiet(lambda: section(psi(x), psi(2 * x)), ResidualVacuousWarning)
    eigen, exact = edmd(made), rule("periodic", 16 * FREQUENCY, 0, 1)
    c = made.basis @ eigen.vectors
    own = psi(exact.x) @ c
    off = np.linalg.norm(psi(2 * exact.x) @ c - eigen.values * own, axis=0) / np.linalg.norm(own, axis=0)
    return float(np.median(eigen.residuals)), float(np.median(off))


def simulate(
    budget: Budget, seed: int, progress: Progress, *, last: int = 0, dimensions: tuple[int, ...] = (), sets: int = 0
) -> xr.Dataset:
    """Averages to the time `last`, densities of atoms, and `sets` of snapshots for each size."""
    from lemmata.experiments.koopman.shared import quiet
    from lemmata.problems.koopman import ResolutionWarning
    from lemmata.sims.koopman import atom_density, rage_average

    quick = budget == "quick"
    last, sets = last or (10**5 if quick else 10**6), sets or (20 if quick else 200)
    dimensions = dimensions or (DIMENSIONS[:3] if quick else DIMENSIONS)
    length = np.unique(np.append(0, np.geomspace(1, last, 40).round().astype(np.int64)))
    average = [rage_average(n, length) for n in dimensions]
    progress(0.4, "atoms")
    spacings = np.geomspace(0.02, 5, 25)
    spikes = np.empty((len(ATOMS), spacings.size))
    for i, size in enumerate(ATOMS):
        angles = 2 * np.pi * (np.arange(size) + 0.5) / size - np.pi
        # the density is largest at an atom
        theta = np.append(np.linspace(-np.pi, np.pi, 401), angles[0])
        for j, s in enumerate(spacings):
            epsilon = s * 2 * np.pi / size
            density = quiet(partial(atom_density, theta, epsilon, angles, np.full(size, 1 / size)), ResolutionWarning)
            spikes[i, j] = np.max(np.abs(2 * np.pi * density - 1))
    progress(0.6, "snapshots")
    functions = 2 * FREQUENCY + 1
    ratio = np.array([1, 1.5, 2, 3, 5, 10, 30, 100])
    found = np.empty((2, ratio.size, sets))
    for i, r in enumerate(ratio):
        for k in range(sets):
            found[:, i, k] = _residuals(np.random.default_rng([seed, i, k]), round(r * functions))
    return dataset(
        {
            "average": (("dimension", "length"), average, "mean of ||P_n K^l g||^2, l <= L"),
            "spikes": (("atoms", "spacing"), spikes, "largest error of the density, over the density"),
            "residual": (("judge", "ratio", "set"), found, "median residual of a section"),
        },
        {
            "dimension": np.array(dimensions),
            "length": length,
            "atoms": np.array(ATOMS),
            "spacing": spacings,
            "judge": ["own snapshots", "exact"],
            "ratio": ratio,
        },
    )


def _rage(ds: xr.Dataset) -> np.ndarray:
    n, L = ds.dimension.values[:, None], ds.length.values
    return np.asarray(0.5 + np.minimum(1, (n + 1) / (L + 1)) / 2)


def _spikes(spacing: np.ndarray) -> np.ndarray:
    """``coth(N eps/2) - 1`` for N equispaced atoms of weight 1/N and the kernel of order 1, ``N eps = 2 pi spacing``.

    Their density is ``(1/2 pi) sum_k e^{-|k| N eps} e^{i k N theta}``.
    """
    return np.asarray(2 / np.expm1(2 * np.pi * spacing))


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    off = float(np.max(np.abs(ds.average.values - _rage(ds))))
    early = float(np.min(ds.average.values[-1, ds.length.values <= ds.dimension.values[-1]]))
    late = float(np.max(np.abs(ds.average.values[0, -1] - 0.5)))
    claim = _spikes(ds.spacing.values)
    # 1e-11 is rounding
    spikes = float(np.max(np.abs(ds.spikes.values - claim) / (claim + 1e-7)))
    own, true = np.median(ds.residual.values, axis=2)
    return [
        Check("the averages are those of the closed form", off < 1e-12, off),
        Check("n first: the average is 1 up to the largest n", early == 1, early),
        Check("L first: it ends at 1/2", late < 1e-3, late),
        Check("the density of atoms errs by the closed form", spikes < 1e-4, spikes),
        Check("with as many snapshots as functions residuals vanish on them", own[0] < 1e-6, own[0]),
        Check("and the true ones do not: median", true[0] > 0.5, true[0]),
        Check("with a hundred times as many they agree", abs(own[-1] / true[-1] - 1) < 0.05, own[-1] / true[-1]),
        Check("and are those of a shift, 1", abs(true[-1] - 1) < 0.05, true[-1]),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    own, true = np.median(ds.residual.values, axis=2)
    return (
        f"(a) Averages over the times l ≤ L of ‖P_n K^l g‖² for g half in an eigenfunction, half in the continuous "
        f"spectrum of the cat map; P_n keeps n + 1 modes of the latter (dashed: ½ + ½ min(1, (n+1)/(L+1))). First L, "
        f"then n: ½, the weight of the eigenfunction; first n, then L: 1. (b) Error of the density of N equispaced "
        f"atoms, smoothed to the width ε (dashed: coth(Nε/2) − 1): it falls with N at fixed ε and grows as ε falls at "
        f"fixed N. (c) Medians of the residuals of EDMD for the doubling map, N = {2 * FREQUENCY + 1} Fourier "
        f"functions, by the number of random snapshots; shaded: quartiles of {ds.sizes['set']} sets. On the snapshots "
        f"learned from they are {own[0]:.0e} at M = N, where the true ones are {true[0]:.2f}; all but one eigenvalue "
        f"are false, with the true residual 1 (dashed)."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """A panel a pair of limits."""
    figure, (left, middle, right) = canvas(1, 3, width=DOUBLE_COLUMN, height=2.6)
    L = ds.length.values
    for i, n in enumerate(ds.dimension.values):
        measured(
            left, L[1:], ds.average.sel(dimension=n)[1:], f"$n = {n}$", color=f"C{i}", marker="osD^"[i], filled=False
        )
        line = left.plot(L[1:], _rage(ds)[i, 1:], color="black", linestyle="--", zorder=3, linewidth=0.8)[0]
        line.set(gid=f"closed form, n = {n}", label="closed form" if i + 1 == ds.sizes["dimension"] else "_closed form")
    left.set(
        title="(a) time, dimension", xscale="log", xlabel="$L$", ylabel=r"mean of $\|P_nK^lg\|^2$", ylim=(0.45, 1.3)
    )
    left.legend(loc="upper right", ncols=2, columnspacing=1.0)
    for i, size in enumerate(ds.atoms.values):
        epsilon = ds.spacing * 2 * np.pi / size
        middle.plot(epsilon, ds.spikes.sel(atoms=size), "osD"[i], color=f"C{i}", label=f"$N = {size}$")
        line = middle.plot(epsilon, _spikes(ds.spacing.values), color="black", linestyle="--", linewidth=0.8, zorder=3)[
            0
        ]
        line.set(gid=f"closed form, N = {size}")
    middle.set(
        title="(b) width, atoms",
        xscale="log",
        yscale="log",
        xlabel=r"$\varepsilon$",
        ylabel="largest relative error",
        ylim=(1e-13, 1e4),
    )
    middle.legend(loc="lower left")
    for i, (judge, label) in enumerate((("own snapshots", "on the same snapshots"), ("exact", "true"))):
        at = ds.residual.sel(judge=judge).values
        band = tuple(np.quantile(at, (0.25, 0.75), axis=1))
        measured(
            right, ds.ratio.values, np.median(at, axis=1), label, color=f"C{i}", marker="os"[i], band=(band[0], band[1])
        )
    theory(right, ds.ratio.values[[0, -1]], [1, 1], "shift: 1")
    right.set(title="(c) snapshots, functions", xscale="log", xlabel="$M/N$", ylabel="residual", ylim=(0, None))
    right.legend(loc="upper right")
    return figure


FIGURES: tuple[Figure, ...] = (Figure("koopman/limits", "Limits that do not commute", simulate, draw, caption, check),)
