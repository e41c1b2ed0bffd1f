"""Logs that come in batches, and late: each policy is fitted to what an earlier one has logged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured
from lemmata.paper_figures.bandits.shared import LEVEL, band, mean_and_half
from lemmata.problems.bandits import Contextual, InverseGap, TabularOracle
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

STYLES = {
    "uniform": ("C4", "v"),
    "greedy": ("C3", "D"),
    "inverse gap": ("C0", "o"),
    "inverse gap, all logs": ("C1", "^"),
}
#: losses of two actions in four contexts
MEANS = np.array([[0.3, 0.6], [0.6, 0.3], [0.4, 0.5], [0.7, 0.4]])
GAMMA, ROUNDS = 20.0, 200


def _policies() -> dict[str, InverseGap]:
    # an action without logs is believed to cost nothing
    oracle = TabularOracle(0.0)
    gammas = dict(zip(STYLES, (0.0, np.inf, GAMMA, GAMMA), strict=True))
    made = {name: InverseGap(g, "square", oracle, ROUNDS, "last") for name, g in gammas.items()}
    made["inverse gap, all logs"] = replace(made["inverse gap"], keep="all")
    return made


def simulate(budget: Budget, seed: int, progress: Progress, *, generations: int = 0, replicates: int = 0) -> xr.Dataset:
    """Mean loss of each generation, and what its logs are worth to somebody who evaluates the best policy."""
    from lemmata.sims.bandits import simulate_contextual as play

    generations = generations or (12 if budget == "quick" else 24)
    n = replicates or (200 if budget == "quick" else 2000)
    env = Contextual(np.zeros((*MEANS.shape, 1)), MEANS)
    loss, loss_half, worth, worth_half = np.empty((4, len(STYLES), generations))
    for p, (name, policy) in enumerate(_policies().items()):
        progress(p / len(STYLES), name)
        run = play(policy, env, generations * ROUNDS, n, checkpoints=[generations * ROUNDS], path=True, seed=seed)
        cut = {k: run[k].values.reshape(n, generations, ROUNDS) for k in ("context", "arm", "probability")}
        loss[p], loss_half[p] = mean_and_half(MEANS[cut["context"], cut["arm"]].mean(axis=2))
        weight = np.where(cut["arm"] == MEANS.argmin(axis=1)[cut["context"]], 1 / cut["probability"], 0.0)
        squares = (weight**2).sum(axis=2)
        share = np.where(squares > 0, weight.sum(axis=2) ** 2 / np.maximum(squares, 1e-300), 0.0) / ROUNDS
        worth[p], worth_half[p] = mean_and_half(share)
    dims = ("policy", "generation")
    return dataset(
        {
            "loss": (dims, loss, "mean loss a round"),
            "loss_half": (dims, loss_half, "half-width of the interval"),
            "worth": (dims, worth, "effective share of the logs"),
            "worth_half": (dims, worth_half, "half-width of the interval"),
        },
        {"policy": list(STYLES), "generation": np.arange(1, generations + 1)},
        replicates=n,
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    late, uniform = ds.loss[:, 2:], float(MEANS.mean())
    greedy, gap = late.sel(policy="greedy"), late.sel(policy="inverse gap")
    flips = float(np.abs(np.diff(greedy.values)).min())
    upper = float((gap + ds.loss_half[:, 2:].sel(policy="inverse gap")).values.max())
    every = float(np.maximum(greedy.values[1:], greedy.values[:-1]).min())
    worth = ds.worth[:, 2:].mean("generation")
    half = float(worth.sel(policy="uniform"))
    more = float(worth.sel(policy="inverse gap"))
    longer = float(late.sel(policy="inverse gap, all logs")[-1] / gap[-1])
    return [
        Check("greedy flips from generation to generation: least change of its loss", flips > 0.02, flips),
        Check("of two generations of it one is worse than uniform: least of the larger", every > uniform, every),
        Check("inverse-gap weights are always better than uniform", upper < uniform, upper),
        Check("fitted to all logs they lose less still: ratio of the last losses", longer < 0.97, longer),
        Check("uniform logs are worth 1/K to the best policy: share", abs(half - 0.5) < 0.02, half),
        Check("those of inverse-gap weights are worth more: share", more > 0.55, more),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    late = ds.isel(generation=slice(2, None))
    greedy = late.loss.sel(policy="greedy").values
    gap = late.loss.sel(policy="inverse gap").values
    every = float(late.loss.sel(policy="inverse gap, all logs")[-1])
    worth = {name: float(late.worth.sel(policy=name).mean()) for name in STYLES}
    return (
        f"Logs in batches: {ROUNDS} rounds a generation, each policy fitted to the logs of the generation before, one "
        f"to those of all before. Two actions in four contexts, an action without logs is believed to cost nothing; "
        f"the instance is ours. {int(ds.attrs['replicates']):,} replicates, bands {100 * (1 - LEVEL):g} % intervals of "
        f"the mean. (a) Mean loss by generation. Greedy plays one action of each context, learns nothing of the "
        f"other, and flips: from the third generation on it costs {greedy[::2].mean():.3f} and "
        f"{greedy[1::2].mean():.3f} in turn, against {MEANS.mean():g} at random (dashed). Inverse-gap weights, γ = "
        f"{GAMMA:g}, keep logs of both: {gap.mean():.3f} on the whole, {every:.3f} in the last generation where all "
        f"logs are kept; the best actions cost {MEANS.min(axis=1).mean():g} (dotted). (b) Effective share "
        f"(Σw)²/(n Σw²) of the logs for importance-weighted evaluation of the best policy: "
        + "; ".join(f"{name} {value:.2f}" for name, value in worth.items())
        + ". That of greedy comes from the contexts in which it plays the best action; of the others it has no log."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Loss by generation, and the worth of its logs."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=2.9)
    for name, (color, marker) in STYLES.items():
        for axes, value, half in ((left, ds.loss, ds.loss_half), (right, ds.worth, ds.worth_half)):
            mean = value.sel(policy=name)
            ends = band(mean, half.sel(policy=name))
            measured(axes, ds.generation, mean, name, color=color, marker=marker, band=ends)
    for level, line, label in ((MEANS.mean(), "--", "at random"), (MEANS.min(axis=1).mean(), ":", "best actions")):
        left.plot(ds.generation, np.full(ds.sizes["generation"], level), line, color="black", zorder=0, label=label)
    left.set(title="(a) loss", xlabel="generation", ylabel="mean loss a round")
    right.set(title="(b) worth of the logs", xlabel="generation", ylabel="effective share", ylim=(0, 1))
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "bandits/generations",
        "Policies fitted to the logs of the last generation",
        simulate,
        draw,
        caption,
        check,
    ),
)
