"""Two systems with the same data and different spectra: whatever is computed from them is wrong for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, theory
from lemmata.paper_figures.koopman.shared import circle, spectral_plane
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

    from lemmata.sims.koopman import Section

__all__ = ["FIGURES"]

ALGORITHMS = {"edmd": "EDMD", "mpedmd": "mpEDMD", "certified": "certified set"}
SYSTEMS = ("twist", "involution")
AMPLITUDE = 0.3


def _delta(s: np.ndarray) -> np.ndarray:
    return AMPLITUDE * (1 + s)


def _answers(made: Section) -> dict[str, np.ndarray]:
    """What each algorithm says the spectrum is."""
    from lemmata.sims.koopman import certified_set, edmd, mpedmd

    grid = np.arange(0.9, 1.101, 0.05)[:, None] * np.exp(2j * np.pi * np.arange(72) / 72)
    return {
        "edmd": edmd(made).values,
        "mpedmd": mpedmd(made).values,
        "certified": certified_set(made, grid, operator="unitary")[0],
    }


def _wrap(angle: np.ndarray) -> np.ndarray:
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


def simulate(budget: Budget, seed: int, progress: Progress, *, sizes: tuple[int, ...] = ()) -> xr.Dataset:
    """Random points of the disc, their images under both maps, and what three algorithms make of them."""
    from lemmata.experiments.koopman.limits import Disc, disc_dictionary
    from lemmata.sims.koopman import circle_gap, hausdorff, interpolating_involution, section, twist

    sizes = sizes or ((50, 100, 200, 400) if budget == "quick" else (50, 100, 200, 400, 800, 1600, 3200))
    gaps = np.empty((len(ALGORITHMS), len(sizes), 2))
    apart = np.empty((len(ALGORITHMS), len(sizes)))
    missed = np.empty((2, len(sizes)))
    for k, size in enumerate(sizes):
        progress(k / len(sizes), f"M = {size}")
        draw = np.random.default_rng([seed, size])
        s = (np.arange(size) + 0.2 + 0.6 * draw.random(size)) / size
        disc = Disc(np.column_stack([s, 2 * np.pi * draw.random(size)]), AMPLITUDE)
        made = interpolating_involution(disc.x, disc.delta)
        images = {"twist": twist(disc.x, disc.delta), "involution": made(disc.x)}
        other = draw.random((size, 2)) * [1, 2 * np.pi]
        missed[0, k] = np.max(np.abs(_wrap(images["twist"][:, 1] - images["involution"][:, 1])))
        missed[1, k] = np.max(np.abs(_wrap(made(made(other))[:, 1] - other[:, 1])))
        found = {name: _answers(section(disc_dictionary(disc.x), disc_dictionary(y))) for name, y in images.items()}
        for i, name in enumerate(ALGORITHMS):
            one, two = found["twist"][name], found["involution"][name]
            gaps[i, k] = circle_gap(one), hausdorff(two, np.array([1, -1]))
            apart[i, k] = hausdorff(one, two)
    # the last sample is shown
    turned = {
        "twist_data": images["twist"][:, 1] - disc.x[:, 1],
        "involution_data": images["involution"][:, 1] - disc.x[:, 1],
        "involution_other": made(other)[:, 1] - other[:, 1],
    }
    shown = {name: (("point",), _wrap(turn - np.pi), "angle beyond half a turn") for name, turn in turned.items()}
    for system in SYSTEMS:
        for part in ("real", "imag"):
            values = getattr(found[system]["edmd"], part)
            shown[f"{system}_{part}"] = (("eigen",), values, "eigenvalues of EDMD")
    return dataset(
        {
            "gap": (("algorithm", "size", "system"), gaps, "Hausdorff distance from the spectrum"),
            "apart": (("algorithm", "size"), apart, "Hausdorff distance of the two answers"),
            "missed": (("test", "size"), missed, "radians"),
            "s": (("point",), disc.x[:, 0], "1"),
            "other": (("point",), other[:, 0], "1"),
            **shown,
        },
        {
            "algorithm": list(ALGORITHMS),
            "size": np.array(sizes),
            "system": list(SYSTEMS),
            "test": ["data of both", "G(G(x)) - x"],
        },
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    data, back = (float(np.max(ds.missed.values[i])) for i in (0, 1))
    apart = float(np.max(ds.apart.values))
    worse, both = float(np.min(np.max(ds.gap.values, axis=2))), float(np.min(np.sum(ds.gap.values, axis=2)))
    line = float(np.max([np.abs(ds[f"{system}_data"].values - _delta(ds.s.values)) for system in SYSTEMS]))
    at_rest = float(np.median(np.abs(ds.involution_other.values)))
    one, two = (ds[f"{system}_real"].values + 1j * ds[f"{system}_imag"].values for system in SYSTEMS)
    between = np.abs(one[:, None] - two)
    eigen = float(np.max([between.min(axis=0), between.min(axis=1)]))
    return [
        Check("both maps take the data to the same images: largest difference", data < 1e-9, data),
        Check("those lie on the twist's line: largest distance", line < 1e-9, line),
        Check("two steps of the involution lead back: largest error", back < 1e-8, back),
        Check("elsewhere it is half a turn: median of the rest", at_rest < 1e-9, at_rest),
        Check("each algorithm answers the same for both: largest distance", apart < 1e-6, apart),
        Check("so do EDMD's eigenvalues that are shown", eigen < 1e-6, eigen),
        Check("every answer is wrong by 1/sqrt(2) for one of them: least of the worse", worse >= 0.5**0.5, worse),
        # the distance from the circle is computed on 4096 points of it
        Check("its two errors add up to sqrt(2) and more: least sum", both >= 2**0.5 - 1e-3, both),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    size, sizes = ds.sizes["point"], ", ".join(map(str, ds["size"].values))
    return (
        f"A twist of the disc, whose spectrum is the circle, and an involution through the same {size} data, whose "
        f"spectrum is {{1, −1}}; both preserve area. (a) Angle beyond half a turn in one step against s = r²: the "
        f"twist's, δ(s) = {AMPLITUDE:g} (1 + s) (dashed), the involution's at the data (circles, on the line to "
        f"{float(ds.missed[0, -1]):.0e}) and at {size} other points (crosses). (b) Eigenvalues of EDMD with 18 "
        f"functions of both, which differ by {float(ds.apart[0, -1]):.0e} at most, and the two spectra. (c) How "
        f"far each answer is from the circle and from {{1, −1}}, for {sizes} data: the "
        f"spectra are √2 apart, so no answer lies below the dashed line, and none is right. Squares: the answers "
        f"{{1, −1}} and the circle themselves."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """The data, the answers, their errors."""
    figure, (left, middle, right) = canvas(1, 3, width=DOUBLE_COLUMN, height=2.75)
    every = max(1, ds.sizes["point"] // 40)
    some = slice(None, None, max(1, ds.sizes["point"] // 200))
    left.plot(
        ds.s[::every], ds.involution_data[::every], "o", color="C0", markerfacecolor="white", label="involution, data"
    )
    left.plot(ds.other[some], ds.involution_other[some], "x", color="C1", markersize=2.4, label="involution, elsewhere")
    grid = np.linspace(0, 1, 101)
    theory(left, grid, _delta(grid), "twist")
    left.set(title="(a) one step", xlabel="$s = r^2$", ylabel="angle beyond half a turn", ylim=(-0.7, 1.35))
    left.legend(loc="upper left")
    circle(middle, color="black", linestyle="--", label="spectrum, twist")
    middle.plot([1, -1], [0, 0], "s", color="black", markersize=8, markerfacecolor="none", label="spectrum, involution")
    middle.plot(
        ds.twist_real, ds.twist_imag, "o", color="C0", markerfacecolor="none", markersize=5, label="EDMD, twist"
    )
    middle.plot(ds.involution_real, ds.involution_imag, "x", color="C1", markersize=3.5, label="EDMD, involution")
    spectral_plane(middle, 2.2, title="(b) answers")
    middle.legend(loc="upper center", ncols=2, fontsize=5.5, columnspacing=0.8, handlelength=1.6)
    right.fill_between([0, 2**0.5], [2**0.5, 0], color="0.9", linewidth=0)
    theory(right, [0, 2**0.5], [2**0.5, 0], r"$\sqrt{2}$ apart")
    right.plot([0, 2**0.5], [2**0.5, 0], "s", color="black", markersize=5, label="the spectra")
    for i, (name, label) in enumerate(ALGORITHMS.items()):
        at, marker, size = ds.gap.sel(algorithm=name), "oxD"[i], (5, 4, 3.2)[i]
        face = "none" if marker == "o" else None
        right.plot(
            at.sel(system="twist"),
            at.sel(system="involution"),
            marker,
            color=f"C{i}",
            markerfacecolor=face,
            markersize=size,
            label=label,
        )
    right.set(title="(c) errors", xlabel="distance from the circle", ylabel=r"distance from $\{1, -1\}$")
    right.set(xlim=(-0.1, 2.1), ylim=(-0.1, 2.1), aspect="equal")
    right.legend(loc="upper right")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("koopman/adversarial-disc", "Two systems with the same data", simulate, draw, caption, check),
)
