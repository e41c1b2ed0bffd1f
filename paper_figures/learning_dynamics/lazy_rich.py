"""Losses of lazy and rich runs, and the delay of generalisation over a grid of laziness and sample size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured
from lemmata.results import dataset
from lemmata.theory.learning_dynamics import population_loss
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

ALPHA, RATIOS, EPS, LOW = (0.25, 0.5, 1.0, 2.0), (4, 8), 0.1, 0.2


def simulate(
    budget: Budget, seed: int, progress: Progress, *, D: int = 20, seeds: int = 0, last: int = 0
) -> xr.Dataset:
    """Training and population losses of all runs; a batch for each sample size."""
    import torch

    from lemmata.kernels.learning_dynamics import lazy_rich_train
    from lemmata.problems.learning_dynamics import lazy_rich_batch, random_lazy_rich

    seeds = seeds or (10 if budget == "quick" else 50)
    step = np.unique(np.append(0, np.geomspace(1, last or 6000, 80).round().astype(int)))
    losses = []
    for i, ratio in enumerate(RATIOS):
        progress(i / len(RATIOS), f"{ratio} points a dimension")
        runs = [
            random_lazy_rich(D, ratio * D, 200, alpha=alpha, eps=EPS, seed=1000 * seed + s)
            for alpha in ALPHA
            for s in range(seeds)
        ]
        path = lazy_rich_train(*map(torch.tensor, lazy_rich_batch(runs)), at=step.tolist())
        beta, alpha = np.array([r.beta for r in runs])[:, None], np.array([[r.alpha] for r in runs])
        population = population_loss(path.mean, path.second, beta, alpha, np.full_like(alpha, EPS))
        losses.append([part.reshape(len(ALPHA), seeds, -1) for part in (path.loss.numpy(), population)])
    both = np.array(losses)
    dims = ("ratio", "alpha", "start", "step")
    return dataset(
        {"train": (dims, both[:, 0], "mean squared error"), "test": (dims, both[:, 1], "population loss")},
        {"ratio": np.array(RATIOS), "alpha": np.array(ALPHA), "start": np.arange(seeds), "step": step},
        D=D,
    )


def _delay(ds: xr.Dataset) -> xr.DataArray:
    """Steps between both losses' first values below LOW; the last step stands for never."""
    test, train = (ds.step.where(loss < LOW).min("step").fillna(ds.step[-1]) for loss in (ds.test, ds.train))
    return test - train


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    delay = _delay(ds).median("start")
    growth = float((delay.isel(alpha=slice(1, None)).values / delay.isel(alpha=slice(0, -1)).values).min())
    four = ds.sel(ratio=RATIOS[0])
    hump = float((four.test.max("step") / four.test.isel(step=0)).median("start").min())
    more = float((delay.isel(ratio=1) / delay.isel(ratio=0)).max())
    return [
        Check("the median delay grows with alpha: least ratio", growth > 1, growth),
        Check("at four points a dimension the test loss first rises: ratio", hump > 1.1, hump),
        Check("with twice the points the delay is shorter: largest ratio", more < 1, more),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    delay = _delay(ds).median("start").sel(ratio=RATIOS[0])
    return (
        f"Polynomial regression in D = {int(ds.attrs['D'])} dimensions, ε = {EPS:g}, learning rate N/α². (a) Training "
        f"(open) and population loss (filled), medians over {ds.sizes['start']} starts with the band from the first to "
        f"the third quartile, four points a dimension. (b) Steps from training loss {LOW:g} to population loss "
        f"{LOW:g}, medians and quartiles; at four points a dimension from {float(delay[0]):.0f} "
        f"to {float(delay[-1]):.0f}."
    )


def _quartiles(values: xr.DataArray) -> list[xr.DataArray]:
    return [values.quantile(q, "start") for q in (0.25, 0.5, 0.75)]


def draw(ds: xr.Dataset) -> Canvas:
    """Losses on the left, delays on the right."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=2.8)
    for alpha, color in ((0.25, "C0"), (2.0, "C1")):
        at = ds.sel(ratio=RATIOS[0], alpha=alpha).isel(step=slice(1, None))
        for name, filled, marker in (("test", True, "o"), ("train", False, "s")):
            low, middle, high = _quartiles(at[name])
            label = rf"{name}, $\alpha = {alpha:g}$"
            measured(left, at.step, middle, label, color=color, marker=marker, filled=filled, band=(low, high))
    left.axhline(LOW, color="0.4", linestyle=":")
    left.set(title="(a) losses", xscale="log", yscale="log", xlabel="step", ylabel="mean squared error")
    left.set_ylim(bottom=1e-3)
    left.legend(loc="lower left")
    for ratio, color, marker in zip(RATIOS, ("C0", "C2"), ("o", "s"), strict=True):
        low, middle, high = _quartiles(_delay(ds).sel(ratio=ratio))
        measured(right, ds.alpha, middle, f"$P/D = {ratio}$", color=color, marker=marker, band=(low, high))
    right.set(title="(b) delay of generalisation", xscale="log", yscale="log", xlabel=r"$\alpha$", ylabel="steps")
    right.set_xticks(ALPHA, [f"{alpha:g}" for alpha in ALPHA])
    right.minorticks_off()
    right.legend(loc="upper left")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("learning_dynamics/lazy-rich", "From lazy to rich", simulate, draw, caption, check),
)
