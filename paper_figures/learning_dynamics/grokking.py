"""Addition modulo M learned by seven recipes: which of them generalise, and where softmax has come to an end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured
from lemmata.problems.learning_dynamics import Recipe
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

#: of two in one color the first has filled markers
RECIPES: dict[str, tuple[Recipe, str, str, str]] = {
    "softmax": (Recipe(), "float32", "C1", "o"),
    "softmax, double": (Recipe(), "float64", "C1", "s"),
    "weight decay": (Recipe(decay=1.0), "float32", "C2", "o"),
    "perpGrad": (Recipe(projection="plain"), "float32", "C0", "o"),
    "perpGrad, rescaled": (Recipe(projection="rescaled"), "float32", "C0", "s"),
    "StableMax": (Recipe(loss="stablemax"), "float32", "C3", "o"),
    "StableMax, AdamW ε = 1e-8": (Recipe(loss="stablemax", epsilon=1e-8), "float32", "C3", "s"),
}
GROKKED = 0.9


def simulate(
    budget: Budget,
    seed: int,
    progress: Progress,
    *,
    modulus: int = 0,
    width: int = 0,
    seeds: int = 0,
    last: int = 0,
    recipes: tuple[str, ...] = tuple(RECIPES),
) -> xr.Dataset:
    """Accuracies and losses of every recipe, on the same networks and the same pairs."""
    from dataclasses import replace

    from lemmata.experiments.learning_dynamics.grokking import train

    modulus, width = modulus or (23 if budget == "quick" else 31), width or (64 if budget == "quick" else 128)
    seeds, last = seeds or (2 if budget == "quick" else 5), last or 6000
    step = np.unique(np.append(0, np.geomspace(1, last, 60).round().astype(int)))
    values = []
    for i, name in enumerate(recipes):
        progress(i / len(recipes), name)
        recipe, dtype, _, _ = RECIPES[name]
        recipe = replace(recipe, rate=0.02 if budget == "quick" else 0.01)
        path = train(modulus, (width, width), [0.85] * seeds, recipe, at=step.tolist(), dtype=dtype, seed=seed)
        values.append([part.double().numpy() for part in path])
    train_, test, dead, loss = np.moveaxis(np.array(values), 1, 0)
    dims = ("recipe", "start", "step")
    return dataset(
        {
            "train": (dims, train_, "accuracy on the pairs for training"),
            "test": (dims, test, "accuracy on the others"),
            "dead": (dims, dead, "share of the training pairs with loss exactly 0"),
            "loss": (dims, loss, "mean over the training pairs"),
        },
        {"recipe": list(recipes), "start": np.arange(seeds), "step": step},
        modulus=modulus,
        width=width,
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    last = ds.isel(step=-1)
    fitted = float(last.train.min())
    plain = float(last.test.sel(recipe=["softmax", "softmax, double"]).max())
    perp = float(ds.test.sel(recipe=["perpGrad", "perpGrad, rescaled"]).max("step").min())
    decay = float(ds.test.sel(recipe="weight decay").max("step").min())
    stable, stopped = (last.test.sel(recipe=name) for name in ("StableMax", "StableMax, AdamW ε = 1e-8"))
    gap = float((stable - stopped).min())
    dead = float(last.dead.sel(recipe="softmax").max())
    alive = float(last.dead.sel(recipe=["StableMax", "StableMax, AdamW ε = 1e-8"]).max())
    single, double = (_ends(ds, name) for name in ("softmax", "softmax, double"))
    return [
        Check("every recipe fits the pairs for training: least accuracy", fitted > 0.99, fitted),
        Check("cross-entropy gets almost none of the others right: largest accuracy", plain < 0.2, plain),
        Check("perpGrad generalises: least accuracy", perp > GROKKED, perp),
        Check("weight decay does: least accuracy", decay > GROKKED, decay),
        Check("StableMax does, much later: median accuracy", float(stable.median()) > 0.75, float(stable.median())),
        Check("less so where AdamW's epsilon is 1e-8: least difference", gap > 0.1, gap),
        Check("most losses of softmax end at exactly 0: share", dead > 0.5, dead),
        Check(
            "in double precision much later: ratio of the steps to one in four", double > 2 * single, double / single
        ),
        Check("and none of StableMax: share", alive == 0, alive),
    ]


def _ends(ds: xr.Dataset, recipe: str) -> float:
    """First step at which a loss in four is exactly 0; the last step where there is none."""
    dead = ds.dead.sel(recipe=recipe).mean("start")
    return float(ds.step.where(dead >= 0.25).min().fillna(ds.step[-1]))


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    last = ds.test.isel(step=-1).median("start")
    table = ", ".join(f"{name} {float(last.sel(recipe=name)):.2f}" for name in ds.recipe.values)
    return (
        f"Addition modulo {int(ds.attrs['modulus'])} learned from 85 % of all pairs by networks with two hidden layers "
        f"of {int(ds.attrs['width'])} units without biases, full-batch AdamW; medians and range of "
        f"{ds.sizes['start']} starts. (a) Accuracy on the pairs left out; at the last step: {table}. (b) Share of the "
        f"training pairs whose computed loss is exactly 0: one in four by step {_ends(ds, 'softmax'):.0f} in single "
        f"and {_ends(ds, 'softmax, double'):.0f} in double precision."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Accuracy on the left, dead losses on the right."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=3.0)
    shown = ds.isel(step=slice(1, None))
    for name in ds.recipe.values:
        _, _, color, marker = RECIPES[str(name)]
        for axes, values in ((left, shown.test), (right, shown.dead)):
            at = values.sel(recipe=name)
            band = (at.min("start"), at.max("start"))
            label = str(name)
            measured(
                axes,
                ds.step[1:],
                at.median("start"),
                label,
                color=color,
                marker=marker,
                filled=marker == "o",
                band=band,
            )
    left.set(title="(a) generalisation", xscale="log", xlabel="step", ylabel="accuracy on the pairs left out")
    right.set(title="(b) losses that are exactly 0", xscale="log", xlabel="step", ylabel="share of the training pairs")
    for axes in (left, right):
        axes.set_ylim(-0.03, 1.03)
    right.legend(loc="upper left")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("learning_dynamics/grokking", "Which loss generalises", simulate, draw, caption, check),
)
