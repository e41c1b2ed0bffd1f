"""Pixels and labels that are right against the share of pixels that is missing, beside three other models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata.experiments.monotone_dbm.digits import (
    COPIES,
    MISSING,
    digits,
    machine,
    masks,
    most_frequent,
    named,
    parallel_mean_field,
    regression,
)
from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured
from lemmata.paper_figures.monotone_dbm.shared import STRENGTH, trained
from lemmata.results import dataset
from lemmata.stats import student_interval
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

SHARES = np.arange(1, 10) / 10
#: colour and marker
STYLES = {
    "monotone": ("C0", "o"),
    "most frequent": ("C3", "v"),
    "logistic regression": ("C2", "^"),
    "restricted Boltzmann machine": ("C1", "s"),
}


def simulate(
    budget: Budget,
    seed: int,
    progress: Progress,
    *,
    splits: int = 0,
    masks_each: int = 0,
    epochs: int = 0,
    copies: int = 0,
) -> xr.Dataset:
    """Every model fitted once a split with 60 % missing, and judged on the same masks at every share."""
    from lemmata.kernels.monotone_dbm.learning import accuracy

    splits, masks_each = splits or (2 if budget == "quick" else 5), masks_each or (1 if budget == "quick" else 10)
    pixels, labels = np.full((2, len(STYLES), len(SHARES), splits), np.nan)
    swinging = np.empty((len(SHARES), splits))

    def report(split: int) -> Callable[[float], object]:
        return lambda share: progress((split + share / 2) / splits, f"split {split}")

    for k in range(splits):
        own = 1000 * seed + k
        data = digits(2, seed=own)
        model = trained(data, budget, epochs=epochs, progress=report(k), seed=own)
        fitted = regression(data, MISSING, copies=copies or COPIES, strength=STRENGTH, seed=own)
        boltzmann = machine(data, 64, seed=own)
        level, label = most_frequent(data), np.bincount(data.train_labels).argmax()
        for j, share in enumerate(SHARES):
            seen = masks(masks_each, data.test, float(share), seed=100 * own + j)
            pixels[0, j, k], labels[0, j, k] = accuracy(model, data.test, data.test_labels, seen, tol=1e-3)
            pixels[1, j, k] = np.broadcast_to(data.test == level, seen.shape)[~seen].mean()
            labels[1, j, k] = (data.test_labels == label).mean()
            labels[2, j, k] = (named(fitted, data, seen) == data.test_labels).mean()
            found = parallel_mean_field(*boltzmann, data, seen, 100)
            pixels[3, j, k], labels[3, j, k], swinging[j, k] = (found[x] for x in ("pixels", "labels", "swinging"))
    return dataset(
        {
            "pixels": (("model", "share", "split"), pixels, "share of the missing pixels that is right"),
            "labels": (("model", "share", "split"), labels, "share of the labels that is right"),
            "swinging": (("share", "split"), swinging, "share of the parallel mean fields that oscillate"),
        },
        {"model": list(STYLES), "share": SHARES, "split": np.arange(splits)},
        masks=masks_each,
    )


def _gain(ds: xr.Dataset, name: str, other: str, **where: Any) -> np.ndarray:
    """By how much the monotone model is right more often than another, for each share and split."""
    at = ds[name].sel(**where)
    return (at.sel(model="monotone") - at.sel(model=other)).values


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    frequent = _gain(ds, "pixels", "most frequent").min()
    many = {"share": slice(MISSING - 0.01, None)}
    machine = (_gain(ds, name, "restricted Boltzmann machine", **many) for name in ("pixels", "labels"))
    pixels, labels = (gain.mean(axis=-1).min() for gain in machine)
    behind = _gain(ds, "labels", "logistic regression").min()
    chance = ds.labels.sel(model="monotone").values.min()
    swings = ds.swinging.sel(**many).values.min()
    return [
        Check("missing pixels beat the most frequent level everywhere: least gain", frequent > 0, frequent),
        Check("and the Boltzmann machine from 60 % on: least mean gain", pixels > 0, pixels),
        Check("so do labels: least mean gain", labels > 0, labels),
        Check("labels are nowhere far behind logistic regression: least gain", behind > -0.06, behind),
        Check("90 % missing leave labels far above chance: least share", chance > 0.25, chance),
        Check("the machine's mean field often oscillates from 60 % on: least share", swings > 0.05, swings),
    ]


def _interval(gain: np.ndarray) -> str:
    low, high = student_interval(100 * gain.ravel(), level=0.05)[:2]
    return f"{100 * gain.mean():.1f} points (95 % interval {low:.1f} to {high:.1f})"


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    at = {"share": slice(MISSING - 0.01, MISSING + 0.01)}
    swings = ds.swinging.sel(**at).values.mean()
    masks = int(ds.attrs["masks"])
    times = f"{masks} masks" if masks > 1 else "one mask"
    return (
        f"Digits at two levels, every model fitted with {100 * MISSING:.0f} % of the pixels missing and judged on "
        f"{ds.sizes['split']} splits of the images, with {times} of every test image; mean and range of the splits. "
        f"At {100 * MISSING:.0f} % the monotone model's gain over the most frequent level is "
        f"{_interval(_gain(ds, 'pixels', 'most frequent', **at))} in the pixels, over logistic regression on masked "
        f"images {_interval(_gain(ds, 'labels', 'logistic regression', **at))} in the labels, paired by splits. The "
        f"restricted Boltzmann machine's mean field, updated in parallel, oscillates for {100 * swings:.0f} % of the "
        "images there; the monotone model's is certified."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Pixels on the left, labels on the right."""
    figure, panels = canvas(1, 2, width=DOUBLE_COLUMN, height=2.8)
    for axes, name, title in zip(panels, ("pixels", "labels"), ("(a) missing pixels", "(b) labels"), strict=True):
        for model, (color, marker) in STYLES.items():
            values = ds[name].sel(model=model)
            if not values.isnull().all():
                band = values.min("split"), values.max("split")
                measured(axes, ds.share, values.mean("split"), model, color=color, marker=marker, band=band)
        axes.axvline(MISSING, color="black", linewidth=0.6, linestyle=":")
        axes.set(xlabel="share of the pixels that is missing", ylabel="share that is right", title=title)
        axes.set_xlim(0.05, 0.95)
    panels[1].set_ylim(0, 1)
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "monotone_dbm/missing",
        "Pixels and labels against the share of pixels that is missing",
        simulate,
        draw,
        caption,
        check,
    ),
)
