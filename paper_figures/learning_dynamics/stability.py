"""Where softmax cross-entropy ends in half, single and double precision, and where StableMax is then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import SINGLE_COLUMN, Check, Figure, Progress, canvas, theory
from lemmata.problems.learning_dynamics import Precision
from lemmata.results import dataset
from lemmata.theory.learning_dynamics import collapse_lower, collapse_upper
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

PRECISIONS: tuple[Precision, ...] = ("float16", "float32", "float64")
CLASSES = 113


def simulate(budget: Budget, seed: int, progress: Progress, *, points: int = 0) -> xr.Dataset:
    """Losses by gap; nothing is random."""
    from lemmata.problems.learning_dynamics import CollapseCase
    from lemmata.sims.learning_dynamics import softmax_loss, stablemax

    gap = np.linspace(1, 45, points or (441 if budget == "quick" else 4401))
    cases = [CollapseCase(precision, CLASSES, "pairwise") for precision in PRECISIONS]
    loss = [softmax_loss(case.logits(gap), order="pairwise").astype(np.float64) for case in cases]
    return dataset(
        {
            "loss": (("precision", "gap"), loss, "computed softmax cross-entropy"),
            "exact": (("gap",), np.log1p((CLASSES - 1) * np.exp(-gap)), "softmax cross-entropy"),
            "stable": (("gap",), -np.log(stablemax(cases[2].logits(gap))[:, 0]), "StableMax cross-entropy"),
            "upper": (("precision",), [float(collapse_upper(p=c.bits, C=CLASSES)) for c in cases], "gap"),
            "lower": (("precision",), [float(collapse_lower(p=c.bits)) for c in cases], "gap"),
        },
        {"precision": list(PRECISIONS), "gap": gap},
    )


def _ends(ds: xr.Dataset) -> xr.DataArray:
    """The last gap with a loss above 0."""
    return ds.gap.where(ds.loss > 0).max("gap")


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    step, ends = float(ds.gap[1] - ds.gap[0]), _ends(ds)
    above = float((ends - ds.upper).max())
    below = float((ds.lower - ends).max())
    stable = float(ds.stable.min())
    return [
        Check("no loss is left beyond the upper threshold", above <= 0.02, above),
        Check("and some up to the lower one, within a step of the grid", below <= step, below),
        Check("StableMax leaves a loss above 1 at every gap shown", stable > 1, stable),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    ends = ", ".join(f"{float(e):.1f} ({p})" for e, p in zip(_ends(ds), PRECISIONS, strict=True))
    return (
        f"Cross-entropy of {CLASSES} logits, the right one larger than the others by a gap, computed in three "
        f"precisions, and exactly (dashed). The last gaps with a loss above 0 are {ends}; shaded: between the "
        f"thresholds of any order of summation. StableMax (dotted) leaves a loss of {float(ds.stable.min()):.1f} at "
        f"the largest gap."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """One panel."""
    figure, axes = canvas(1, 1, width=SINGLE_COLUMN, height=2.7)
    for precision, color in zip(PRECISIONS[::-1], ("C0", "C2", "C1"), strict=True):  # the short ones over the long
        at = ds.sel(precision=precision)
        axes.axvspan(float(at.lower), float(at.upper), color=color, alpha=0.15, linewidth=0)
        axes.plot(ds.gap, at.loss.where(at.loss > 0), color=color, linewidth=1.8, label=precision)
    theory(axes, ds.gap, ds.exact, "exact")
    axes.plot(ds.gap, ds.stable, color="0.4", linestyle=":", label="StableMax")
    axes.set(yscale="log", xlabel="gap between logits", ylabel="cross-entropy", title="Where softmax ends")
    axes.set_ylim(1e-18, 1e5)
    axes.legend(loc="lower left")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("learning_dynamics/softmax-collapse", "Where softmax ends", simulate, draw, caption, check),
)
