"""Hidden units of a network for modular addition climb to one frequency each: an odd and an even modulus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas
from lemmata.results import dataset
from lemmata.theory.learning_dynamics import spectral_energy, spectrum
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

MODULI = (23, 10)


def simulate(budget: Budget, seed: int, progress: Progress, *, starts: int = 0) -> xr.Dataset:
    """Energies along the ascent, and the frequency in which each start ends."""
    from lemmata.problems.learning_dynamics import random_units
    from lemmata.sims.learning_dynamics import energy_ascent

    starts = starts or (60 if budget == "quick" else 600)
    step = np.unique(np.geomspace(1, 100, 25).round().astype(int))
    energy = np.empty((len(MODULI), starts, step.size))
    frequency, purity = np.empty((2, len(MODULI), starts))
    for i, M in enumerate(MODULI):
        progress(i / len(MODULI), f"M = {M}")
        w = random_units(M, starts, seed=seed)
        for j, more in enumerate(np.diff(step, prepend=0)):
            w = energy_ascent(w, steps=int(more))
            energy[i, :, j] = spectral_energy(w) / M
        found = spectrum(w)[:, 1 : M // 2 + 1]
        frequency[i] = found.argmax(axis=1) + 1
        purity[i] = found.max(axis=1) / found.sum(axis=1)
    dims = ("modulus", "start")
    return dataset(
        {
            "energy": ((*dims, "step"), energy, "E / M"),
            "frequency": (dims, frequency, "of the largest product of amplitudes"),
            "purity": (dims, purity, "its share"),
        },
        {"modulus": np.array(MODULI), "start": np.arange(starts), "step": step},
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    last = ds.energy.isel(step=-1)
    expected = 0.25 + 0.25 * (2 * ds.frequency == ds.modulus)
    apart, pure = float(abs(last - expected).max()), float(ds.purity.min())
    kinds = np.unique(ds.frequency.sel(modulus=MODULI[0])).size
    middle = float((ds.frequency.sel(modulus=MODULI[1]) == MODULI[1] / 2).mean())
    return [
        Check("every start ends at 1/4, or 1/2 at frequency M/2: largest distance", apart < 1e-6, apart),
        Check("in a single frequency: least share", pure > 1 - 1e-6, pure),
        Check("all frequencies of the odd modulus appear", kinds == MODULI[0] // 2, kinds),
        Check("some but not all units of the even modulus end at M/2: share", 0 < middle < 1, middle),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    middle = float((ds.frequency.sel(modulus=MODULI[1]) == MODULI[1] / 2).mean())
    kinds = np.unique(ds.frequency.sel(modulus=MODULI[0])).size
    return (
        f"Energy of a hidden unit with square activation along gradient ascent on the sphere, over the modulus, from "
        f"{ds.sizes['start']} random starts. Dashed: the local maxima 1/4 and, for an even modulus, 1/2. (a) All units "
        f"end in a single frequency; all {kinds} frequencies appear. (b) {100 * middle:.0f} % end at frequency M/2."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """A panel a modulus."""
    figure, panels = canvas(1, 2, width=DOUBLE_COLUMN, height=2.6, sharey=True)
    for letter, axes, M in zip("ab", panels, MODULI, strict=True):
        at = ds.sel(modulus=M)
        middle = 2 * at.frequency == M
        for chosen, color, label in ((~middle, "C0", "other frequencies"), (middle, "C1", "frequency $M/2$")):
            curves = at.energy.values[chosen.values]
            for i, curve in enumerate(curves):
                axes.plot(ds.step, curve, color=color, linewidth=0.5, alpha=0.7, label=label if i == 0 else None)
        for level in (0.25, 0.5)[: 1 + (M % 2 == 0)]:
            axes.axhline(level, color="black", linestyle="--", linewidth=1, zorder=3)
        axes.set(xscale="log", xlabel="step", title=f"({letter}) $M = {M}$", ylim=(0, 0.55))
    panels[1].legend(loc="center right", bbox_to_anchor=(1.0, 0.68))
    panels[0].set_ylabel("$E(w)/M$")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("learning_dynamics/li2", "What a hidden unit climbs", simulate, draw, caption, check),
)
