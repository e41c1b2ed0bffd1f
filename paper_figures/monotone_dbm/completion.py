"""Digits of which 60 % of the pixels are missing, completed and named by one monotone model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.experiments.monotone_dbm.digits import COPIES, MISSING, digits, masks, most_frequent, named, regression
from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas
from lemmata.paper_figures.monotone_dbm.shared import STRENGTH, trained
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

#: test images that are drawn at random, and of the others the first that the model names wrongly
RANDOM, FAILURES = 7, 3


def simulate(
    budget: Budget, seed: int, progress: Progress, *, levels: int = 0, epochs: int = 0, copies: int = 0
) -> xr.Dataset:
    """Every test image of a split under one mask: what is seen of it, and what is made of it."""
    import torch

    data = digits(levels or 4, seed=seed)
    model = trained(data, budget, epochs=epochs, progress=lambda share: progress(0.8 * share, "training"), seed=seed)
    seen = masks(1, data.test, MISSING, seed=seed + 1)[0]
    with torch.no_grad():
        pixels, classes = model(torch.tensor(data.test), torch.tensor(seen), tol=1e-4)
    probability = torch.softmax(pixels.double(), -1).numpy()
    progress(0.8, "logistic regression")
    fitted = regression(data, MISSING, copies=copies or COPIES, strength=STRENGTH, seed=seed)
    label = named(fitted, data, seen[None])[0]
    found = classes.argmax(-1).numpy()
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(seen))[:RANDOM]
    wrong = [i for i in np.flatnonzero(found != data.test_labels) if i not in chosen][:FAILURES]
    return dataset(
        {
            "truth": (("image", "pixel"), data.test.astype(np.int32), "levels"),
            "seen": (("image", "pixel"), seen.astype(np.int32), "1 where observed"),
            "filled": (
                ("image", "pixel"),
                np.where(seen, data.test, probability.argmax(-1)).astype(np.int32),
                "levels",
            ),
            "mean": (("image", "pixel"), np.where(seen, data.test, probability @ np.arange(data.levels)), "mean level"),
            "frequent": (("pixel",), most_frequent(data).astype(np.int32), "most frequent training level"),
            "label": (("image",), data.test_labels.astype(np.int32), "true"),
            "named": (("image",), found.astype(np.int32), "by the monotone model"),
            "regression": (("image",), label.astype(np.int32), "by logistic regression"),
            "shown": (("panel",), np.concatenate([chosen, wrong]).astype(np.int32), "images in the picture"),
        },
        {"image": np.arange(len(seen)), "pixel": np.arange(seen.shape[1])},
        levels=data.levels,
    )


def _right(ds: xr.Dataset, filled: xr.DataArray) -> np.ndarray:
    """Share of each image's missing pixels that `filled` has right, float64[image]."""
    missing = ds.seen.values == 0
    return ((filled.values == ds.truth.values) & missing).sum(axis=1) / missing.sum(axis=1)


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    kept = abs(ds["mean"] - ds.truth).values[ds.seen.values == 1].max()
    gain = _right(ds, ds.filled) - _right(ds, ds.frequent)
    sure = gain.mean() / (gain.std(ddof=1) / np.sqrt(len(gain)))
    share = (ds.named == ds.label).values.mean()
    inside = ds["mean"].values
    off = max(-inside.min(), inside.max() - (ds.attrs["levels"] - 1))
    shown = ds.isel(image=ds.shown.values)
    failures = (shown.named != shown.label).values[RANDOM:]
    return [
        Check("observed pixels are kept: largest change", kept == 0, kept),
        Check("levels stay in their range: by how much one leaves it", off <= 0, off),
        Check("missing pixels beat the most frequent level: gain in standard errors", sure > 4, sure),
        Check("the label is found six times as often as by chance: share", share > 0.6, share),
        Check("failures are shown: number", failures.all() and failures.size == FAILURES, failures.sum()),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    model, common = _right(ds, ds.filled).mean(), _right(ds, ds.frequent).mean()
    named_, regression_ = ((ds[name] == ds.label).values.mean() for name in ("named", "regression"))
    return (
        f"Test digits at {int(ds.attrs['levels'])} levels of grey, {100 * MISSING:.0f} % of whose pixels are missing "
        "(hatched), completed and named by one monotone deep Boltzmann machine: mean level of the missing pixels, and "
        "the label below. Last row: the most frequent training level in place of the missing pixels, and the label of "
        f"logistic regression fitted to masked images. Wrong labels bear a cross. The first {RANDOM} are drawn at "
        f"random, the last {ds.sizes['panel'] - RANDOM} are the first others that the model names wrongly. All "
        f"{ds.sizes['image']} test images: missing pixels right {model:.3f} (most frequent level {common:.3f}), "
        f"labels right {named_:.3f} (logistic regression {regression_:.3f})."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """A column for each digit, a row for each way to look at it."""
    shown = ds.isel(image=ds.shown.values)
    columns, side, top = ds.sizes["panel"], int(ds.sizes["pixel"] ** 0.5), ds.attrs["levels"] - 1
    figure, grid = canvas(4, columns, width=DOUBLE_COLUMN, height=3.3)
    filled = np.where(shown.seen, shown.truth, shown.frequent)
    rows = (
        ("truth", shown.truth.values, shown.label),
        ("observed", np.where(shown.seen, shown.truth, np.nan), None),
        ("monotone", shown["mean"].values, shown.named),
        ("frequent level,\nregression", filled, shown.regression),
    )
    for line, (name, images, labels) in zip(grid, rows, strict=True):
        for j, axes in enumerate(line):
            image = images[j].reshape(side, side)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.patch.set(hatch="xxxxxx", edgecolor="0.75", facecolor="white")
            axes.imshow(np.ma.masked_invalid(image), cmap="gray_r", vmin=0, vmax=top, interpolation="nearest")
            for spine in axes.spines.values():
                spine.set(visible=True, linewidth=0.4)
            if labels is not None:
                wrong = int(labels[j]) != int(shown.label[j])
                axes.set_xlabel(f"{int(labels[j])} ×" if wrong else str(int(labels[j])), color="C1" if wrong else "C0")
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    grid[0, 0].set_title("random")
    grid[0, RANDOM].set_title("failures")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "monotone_dbm/completion",
        "Digits completed and named by one monotone model",
        simulate,
        draw,
        caption,
        check,
    ),
)
