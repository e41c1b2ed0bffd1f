"""How many pairs a network needs to generalise in addition modulo M: accuracies, and the threshold against M."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]


def simulate(
    budget: Budget,
    seed: int,
    progress: Progress,
    *,
    moduli: tuple[int, ...] = (),
    starts: int = 0,
    steps: int = 0,
) -> xr.Dataset:
    """Accuracies on the pairs left out by modulus and number of pairs; the networks of a modulus in one batch."""
    from lemmata.experiments.learning_dynamics.grokking import train
    from lemmata.experiments.learning_dynamics.li2 import SQUARED

    moduli = moduli or ((13, 17, 23, 31) if budget == "quick" else (13, 17, 23, 31, 41, 53))
    starts, steps = starts or (2 if budget == "quick" else 5), steps or (500 if budget == "quick" else 1500)
    count = np.linspace(1.5, 4.5, 9)
    test, fitted = [], []
    for i, M in enumerate(moduli):
        progress(i / len(moduli), f"M = {M}")
        shares = [c * np.log(M) / M for c in count for _ in range(starts)]
        path = train(M, (128,), shares, SQUARED, at=[steps], seed=seed)
        test.append(path.test.double().numpy().reshape(count.size, starts))
        fitted.append(path.train.double().numpy().reshape(count.size, starts))
    dims = ("modulus", "count", "start")
    return dataset(
        {
            "test": (dims, test, "accuracy on the pairs left out"),
            "train": (dims, fitted, "accuracy on the pairs for training"),
        },
        {"modulus": list(moduli), "count": count, "start": np.arange(starts)},
        steps=steps,
    )


def _threshold(ds: xr.Dataset) -> np.ndarray:
    """Pairs over M ln M where the accuracy first reaches 1/2, interpolated, float[modulus, start]; NaN for never."""
    accuracy, count = ds.test.transpose("modulus", "start", "count").values, ds["count"].values
    found = np.full(accuracy.shape[:2], np.nan)
    for index in np.ndindex(found.shape):
        above = np.flatnonzero(accuracy[index] >= 0.5)
        if above.size and above[0]:
            k = above[0]
            low, high = accuracy[index][k - 1 : k + 1]
            found[index] = count[k - 1] + (count[k] - count[k - 1]) * (0.5 - low) / (high - low)
    return found


def _exponent(ds: xr.Dataset) -> float:
    """Slope of the logarithm of the median threshold, in pairs, by that of M."""
    M = ds.modulus.values
    return float(np.polyfit(np.log(M), np.log(np.median(_threshold(ds), axis=1) * M * np.log(M)), 1)[0])


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    few, many = (ds.test.isel(count=i) for i in (0, -1))
    slope, train = _exponent(ds), float(ds.train.min())
    return [
        Check("all pairs for training are fitted: least accuracy", train > 0.99, train),
        Check(
            "on 1.5 M ln M pairs almost nothing is learned: largest accuracy", float(few.max()) < 0.3, float(few.max())
        ),
        Check("on 4.5 M ln M the sum is: least accuracy", float(many.min()) > 0.7, float(many.min())),
        Check("the threshold grows far more slowly than the number of pairs: exponent in M", slope < 1.8, slope),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    middle = np.median(_threshold(ds), axis=1)
    each = ", ".join(f"{c:.2f} (M = {M})" for c, M in zip(middle, ds.modulus.values, strict=True))
    return (
        f"Addition modulo M by a hidden layer of 128 units with square activation, trained on n pairs by "
        f"{int(ds.attrs['steps'])} steps of AdamW on the squared loss with weight decay 1; medians and range of "
        f"{ds.sizes['start']} starts. (a) Accuracy on the pairs left out. (b) Pairs at which it passes 1/2, "
        f"interpolated; over M ln M they are {each}; their exponent in M is {_exponent(ds):.2f} (a constant "
        f"share of all pairs would give 2). Dashed: a multiple of M ln M."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Accuracies on the left, thresholds on the right."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=2.8)
    for i, M in enumerate(ds.modulus.values):
        at = ds.test.sel(modulus=M)
        band = (at.min("start"), at.max("start"))
        measured(left, ds["count"], at.median("start"), f"$M = {M}$", color=f"C{i}", marker="osD^v<"[i], band=band)
    left.set(title="(a) generalisation", xlabel=r"$n/(M \ln M)$", ylabel="accuracy on the pairs left out")
    left.set_ylim(-0.03, 1.03)
    left.legend(loc="upper left")
    M = ds.modulus.values
    pairs = _threshold(ds) * (M * np.log(M))[:, None]
    middle = np.median(pairs, axis=1)
    spread = (middle - pairs.min(axis=1), pairs.max(axis=1) - middle)
    right.errorbar(M, middle, yerr=spread, fmt="o", color="C0", capsize=2, label="measured")
    grid = np.geomspace(M[0], M[-1], 50)
    level = np.exp(np.mean(np.log(middle / (M * np.log(M)))))
    theory(right, grid, level * grid * np.log(grid), rf"${level:.1f}\, M \ln M$")
    right.plot(grid, grid**2, color="0.4", linestyle=":", label="all $M^2$ pairs")
    right.set(title="(b) pairs needed", xscale="log", yscale="log", xlabel="$M$", ylabel="$n$")
    right.set_xticks(M, [str(m) for m in M])
    right.minorticks_off()
    right.legend(loc="upper left")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("learning_dynamics/li2-samples", "How many pairs it takes", simulate, draw, caption, check),
)
