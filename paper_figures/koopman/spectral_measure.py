"""Smoothed spectral measures of the cat map: kernels of orders 1 to 6, and the order of two limits."""

from __future__ import annotations

from math import factorial
from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, theory
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

ORDERS = (1, 2, 3, 4, 5, 6)
#: Width of the densities that are shown.
WIDE = 0.5
#: Errors below this are rounding.
ROUNDING = 1e-12


def _leading(moments: np.ndarray, order: int, theta: np.ndarray) -> float:
    """The constant of eps^m: the kernel multiplies m_n by ``1 + (i n eps)^m/m! sum_j alpha_j a_j^m + ...``."""
    from lemmata.theory.koopman import RESIDUES, density

    poles = 2 * np.arange(1, order + 1) / (order + 1) - 1 + 1j
    n = np.arange(moments.size)
    first = (1j * n) ** order / factorial(order) * (np.array(RESIDUES[order]) @ poles**order)
    return float(np.max(np.abs(density(theta, moments * first))))


def simulate(
    budget: Budget, seed: int, progress: Progress, *, grid: int = 0, delays: int = 0, widths: int = 0
) -> xr.Dataset:
    """Moments on a grid, densities from them, and from the atoms of mpEDMD on delays; nothing is random."""
    from lemmata.experiments.koopman.shared import quiet
    from lemmata.experiments.koopman.spectral import CHAIN, simulated_moments
    from lemmata.problems.koopman import PolarNonUniqueWarning, ResolutionWarning, cat
    from lemmata.sims.koopman import (
        atom_density,
        coordinates,
        delay_gram,
        moment_density,
        mpedmd,
        section_from_gram,
        spectral_measure,
    )
    from lemmata.theory.koopman import density, shift_moments, smoothed_density

    quick = budget == "quick"
    grid, delays, widths = grid or 64, delays or (80 if quick else 320), widths or (15 if quick else 29)
    theta = np.linspace(-np.pi, np.pi, 201)
    epsilon = np.geomspace(WIDE, 2.0**-7, widths)
    moments, exact = simulated_moments(cat(), 6, grid), shift_moments(CHAIN)
    known = density(theta, exact)
    shown = np.array([moment_density(theta, WIDE, moments, order=m) for m in ORDERS])
    error, claim = np.empty((2, len(ORDERS), widths))
    for i, m in enumerate(ORDERS):
        for j, e in enumerate(epsilon):
            error[i, j] = np.max(np.abs(moment_density(theta, e, moments, order=m) - known))
            claim[i, j] = np.max(np.abs(smoothed_density(theta, exact, e, m) - known))
    progress(0.3, "mpEDMD on delays")
    padded = np.concatenate([exact, np.zeros(delays)])
    made = section_from_gram(*delay_gram(padded, delays))
    eigen = quiet(lambda: mpedmd(made), PolarNonUniqueWarning)
    angles, weights = spectral_measure(eigen, coordinates(made, np.eye(delays)[0]))

    def from_atoms(e: float, m: int) -> np.ndarray:
        return np.asarray(quiet(lambda: atom_density(theta, e, angles, weights, order=m), ResolutionWarning))

    atoms = [[np.max(np.abs(from_atoms(e, m) - known)) for e in epsilon] for m in ORDERS]
    return dataset(
        {
            "density": (("order", "theta"), shown, "smoothed density"),
            "known": (("theta",), known, "density"),
            "error": (("order", "epsilon"), error, "largest error, exact moments"),
            "claim": (("order", "epsilon"), claim, "largest error, closed form"),
            "atoms": (("order", "epsilon"), atoms, "largest error, atoms of mpEDMD"),
            "constant": (("order",), [_leading(exact, m, theta) for m in ORDERS], "error over eps^m as eps falls"),
        },
        {"order": list(ORDERS), "theta": theta, "epsilon": epsilon},
        delays=delays,
        grid=grid,
    )


def _slopes(ds: xr.Dataset) -> np.ndarray:
    """Slopes of the errors over the four narrowest widths that are not rounding."""
    found = []
    for error in ds.error.values:
        kept = np.flatnonzero(~(error <= ROUNDING))[-4:]
        found.append(np.polyfit(np.log(ds.epsilon.values[kept]), np.log(error[kept]), 1)[0])
    return np.array(found)


def _leading_ratios(ds: xr.Dataset) -> np.ndarray:
    """Errors over the leading term at the narrowest width of each order at which the error is 100 times rounding."""
    found = []
    for m, error, constant in zip(ds.order.values, ds.error.values, ds.constant.values, strict=True):
        last = np.flatnonzero(~(error <= 100 * ROUNDING))[-1]
        found.append(error[last] / (constant * ds.epsilon.values[last] ** m))
    return np.array(found)


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    orders = ds.order.values
    off = float(np.max(np.abs(_slopes(ds) - orders)))
    closed = float(np.max(np.abs(ds.error - ds.claim).values))
    leading = float(np.max(np.abs(_leading_ratios(ds) - 1)))
    # atoms alias the moments by e^{-N eps} = e^{-6 pi} = 7e-9 at most, times the residues' moduli, whose sum is 270
    resolved = ds.epsilon.values >= 3 * 2 * np.pi / int(ds.attrs["delays"])
    agree = float(np.max(np.abs(ds.atoms - ds.error).values[:, resolved]))
    spikes = float(np.min((ds.atoms / ds.error).values[1:, -1]))
    # the densities shown have the widest epsilon
    shown = float(np.max(np.abs(np.max(np.abs(ds.density - ds.known).values, axis=1) - ds.claim.values[:, 0])))
    positive = float(np.min(ds.density.values[0]))
    return [
        Check("the error of order m falls like eps^m: largest error of a slope", off < 0.1, off),
        Check("errors are those of the closed form", closed < 1e-10, closed),
        Check("they end on the leading term: largest relative distance", leading < 0.1, leading),
        Check("atoms give the same above three spacings", agree < 2e-6, agree),
        Check("and not below: least growth of the error at the narrowest", spikes > 10, spikes),
        Check("the densities shown err by as much", shown < 1e-10, shown),
        Check("that of order 1 is positive", positive > 0, positive),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    slopes = ", ".join(f"{s:.2f}" for s in _slopes(ds))
    delays = int(ds.attrs["delays"])
    return (
        f"Spectral measure of an observable of the cat map with three modes of one chain, smoothed by rational kernels "
        f"of orders 1 to 6. (a) Densities at ε = {WIDE:g}, and the exact one (dashed). (b) Largest error against ε, "
        f"moments from images of a grid of {int(ds.attrs['grid'])}² points; dashed: the leading term of the error in "
        f"closed form. Slopes at the narrow end: {slopes}. (c) The same from the {delays} atoms that mpEDMD "
        f"finds with {delays} delays: below three spacings, ε = 6π/{delays} = {6 * np.pi / delays:.2f} (dotted), atoms "
        f"show through. First N grows, then ε falls."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Densities, errors of moments, errors of atoms."""
    figure, (left, middle, right) = canvas(1, 3, width=DOUBLE_COLUMN, height=2.9)
    for i, m in enumerate(ORDERS):
        color, marker = f"C{i}", "osD^v<"[i]
        if m in (1, 2, 4):
            left.plot(ds.theta, ds.density.sel(order=m), color=color, label=f"$m = {m}$")
        error, leading = ds.error.sel(order=m), ds.constant.sel(order=m) * ds.epsilon**m
        middle.plot(
            ds.epsilon, error.where(error > ROUNDING), color=color, marker=marker, linestyle="", label=f"$m = {m}$"
        )
        last = m == ORDERS[-1]
        style = {"color": "black", "linestyle": "--", "linewidth": 0.7, "gid": f"leading term, m = {m}"}
        middle.plot(
            ds.epsilon,
            leading.where(leading > ROUNDING),
            label="exact (a), leading term (b)" if last else None,
            **style,
        )
        right.plot(ds.epsilon, ds.atoms.sel(order=m), color=color, marker=marker, linewidth=0.7, label=f"$m = {m}$")
    theory(left, ds.theta, ds.known, "exact")
    left.set(title=rf"(a) $\varepsilon = {WIDE:g}$", xlabel=r"$\theta$", ylabel=r"density", ylim=(0, None))
    left.set_xticks([-np.pi, 0, np.pi], [r"$-\pi$", "0", r"$\pi$"])
    right.axvline(6 * np.pi / int(ds.attrs["delays"]), color="black", linestyle=":")
    for axes, title in ((middle, "(b) exact moments"), (right, f"(c) {int(ds.attrs['delays'])} atoms")):
        axes.set(title=title, xscale="log", yscale="log", xlabel=r"$\varepsilon$", ylabel="largest error")
    middle.set_ylim(ROUNDING, 1)
    figure.legend(*middle.get_legend_handles_labels(), loc="outside lower center", ncols=7, columnspacing=1.2)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("koopman/spectral-measure", "Smoothed spectral measures", simulate, draw, caption, check),
)
