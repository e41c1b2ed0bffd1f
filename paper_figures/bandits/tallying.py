"""Losses that depend on recent plays: who sees the best arm, and what memory costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.bandits.shared import LEVEL, band, mean_and_half, octaves
from lemmata.problems.bandits import (
    UCB1,
    Exp3,
    TallyingElimination,
    hidden_tallying,
    smooth_tallying,
    threshold_tallying,
)
from lemmata.results import dataset
from lemmata.theory.bandits import tallying_exact
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

INSTANCES = {"threshold": threshold_tallying(16), "smooth": smooth_tallying()}
RULES = {"elimination": TallyingElimination(16), "UCB1": UCB1(), "Exp3": Exp3()}
STYLES = {"elimination": ("C1", "^"), "UCB1": ("C0", "o"), "Exp3": ("C3", "D")}
DISCARDED = np.array([3, 8, 16, 32, 64, 128])
ARMS, MEMORY = 3, 4


def simulate(budget: Budget, seed: int, progress: Progress, *, last: int = 0, replicates: int = 0) -> xr.Dataset:
    """Regret against T of three policies, tuned to each T, and of elimination against M."""
    from lemmata.sims.bandits import simulate_tallying as play

    horizons = octaves(9, last or (16 if budget == "quick" else 19))
    n = replicates or (100 if budget == "quick" else 400)
    mean, half = np.empty((2, len(INSTANCES), len(RULES), horizons.size))
    for i, env in enumerate(INSTANCES.values()):
        for h, horizon in enumerate(map(int, horizons)):
            progress(0.8 * (i + h / horizons.size) / 2, f"T = {horizon}")
            for p, policy in enumerate(RULES.values()):
                run = play(policy, env, horizon, n, checkpoints=[horizon], seed=seed)["regret"].values
                (mean[i, p, h],), (half[i, p, h],) = mean_and_half(run)
    horizon = 2**14
    smooth, smooth_half = np.empty((2, DISCARDED.size))
    hidden, exact = np.empty((2, DISCARDED.size))
    env = hidden_tallying(ARMS, MEMORY, 0)
    for i, discarded in enumerate(map(int, DISCARDED)):
        progress(0.8 + 0.2 * i / DISCARDED.size, f"M = {discarded}")
        policy = TallyingElimination(discarded)
        run = play(policy, smooth_tallying(), horizon, n, checkpoints=[horizon], seed=seed)["regret"].values
        (smooth[i],), (smooth_half[i],) = mean_and_half(run)
        hidden[i] = play(policy, env, horizon, 1, checkpoints=[horizon], seed=seed)["regret"][0, 0]
        phases = int(np.log2(2 * policy.level(ARMS, horizon))) + 1
        exact[i] = tallying_exact(arms=ARMS, discarded=discarded, memory=MEMORY, rounds_of_phases=phases, moved=1)
    return dataset(
        {
            "mean": (("instance", "policy", "horizon"), mean, "complete policy regret"),
            "half": (("instance", "policy", "horizon"), half, "half-width of the interval"),
            "smooth": (("discarded",), smooth, "complete policy regret"),
            "smooth_half": (("discarded",), smooth_half, "half-width of the interval"),
            "hidden": (("discarded",), hidden, "complete policy regret"),
            "exact": (("discarded",), exact, "complete policy regret"),
        },
        {"instance": list(INSTANCES), "policy": list(RULES), "horizon": horizons, "discarded": DISCARDED},
        replicates=n,
    )


def _slopes(ds: xr.Dataset, instance: str) -> dict[str, float]:
    """Slope of ln R_T in ln T over the last three octaves."""
    end = ds["mean"].sel(instance=instance)
    return {name: float(np.log(end.sel(policy=name)[-1] / end.sel(policy=name)[-4]) / np.log(8)) for name in RULES}


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    slopes = _slopes(ds, "threshold")
    end = ds["mean"][:, :, -1]
    smooth = float(end.sel(instance="smooth", policy="UCB1") / end.sel(instance="smooth", policy="elimination"))
    behind = float(end.sel(instance="threshold", policy="UCB1") / end.sel(instance="threshold", policy="elimination"))
    off = float(abs(ds.hidden - ds.exact).values.max())
    unit = float((ds.smooth[-1] - ds.smooth[0]) / (ds.discarded[-1] - ds.discarded[0]))
    return [
        Check("threshold: UCB1 loses like a power above .6", slopes["UCB1"] > 0.6, slopes["UCB1"]),
        Check("threshold: Exp3 loses like t, slope above .9", slopes["Exp3"] > 0.9, slopes["Exp3"]),
        Check(
            "threshold: elimination grows by less than the power .3", slopes["elimination"] < 0.3, slopes["elimination"]
        ),
        Check("threshold: UCB1 pays more than elimination at the largest T", behind > 1, behind),
        Check("smooth: UCB1 pays less", smooth < 1, smooth),
        Check("hidden arm: the exact cost, to the last round", off == 0, off),
        Check("smooth: a unit of M costs between 4 and 8", 4 < unit < 8, unit),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    top = int(ds.horizon[-1])

    def ends(instance: str) -> str:
        at, slopes = ds["mean"].sel(instance=instance)[:, -1], _slopes(ds, instance)
        return ", ".join(f"{name} {float(at.sel(policy=name)):,.0f} (slope {slopes[name]:.2f})" for name in RULES)

    slope = float(np.polyfit(ds.discarded, ds.smooth, 1)[0])
    return (
        f"Weighted tallying, complete policy regret against T h*, {int(ds.attrs['replicates'])} replicates, policies "
        f"tuned to each T; bands {100 * (1 - LEVEL):g} % intervals. The settings are ours. (a) The best arm costs .2 "
        f"after 16 plays in a row and .8 before; the others .5 and .6. At T = {top:,}: {ends('threshold')}, slopes "
        f"over the last three octaves. (b) The best arm's loss falls from .8 to .2 with a tally of weights 1, 1/2, "
        f"1/4, 1/8: {ends('smooth')}; here UCB1 is better. (c) Regret of elimination by blocks against the rewards M "
        f"that a block discards, T = 2^14: {slope:.1f} a unit of M on (b)'s losses; where one of {ARMS} arms is hidden "
        f"behind m = {MEMORY} plays the exact cost (dashed) is met to the last round."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Regret against T on two instances; against M."""
    figure, panels = canvas(1, 3, width=DOUBLE_COLUMN, height=2.9)
    for axes, letter, instance in zip(panels[:2], "ab", INSTANCES, strict=True):
        for name, (color, marker) in STYLES.items():
            at = ds.sel(instance=instance, policy=name)
            ends = band(at["mean"], at.half)
            measured(axes, ds.horizon, at["mean"], name, color=color, marker=marker, band=ends)
        axes.set(title=f"({letter}) {instance} losses", xscale="log", yscale="log", xlabel="rounds $T$")
        axes.set_ylabel("mean regret $R_T$")
    theory(panels[0], ds.horizon, 0.3 * ds.horizon, "the gap .3 a round")
    measured(panels[2], ds.discarded, ds.smooth, "smooth", color="C1", marker="^", band=band(ds.smooth, ds.smooth_half))
    measured(panels[2], ds.discarded, ds.hidden, "hidden arm", color="C2", marker="s")
    theory(panels[2], ds.discarded, ds.exact, "exact")
    panels[2].set(title="(c) rewards discarded", xlabel="$M$", ylim=(0, None))
    panels[2].set_ylabel("regret $R_T$")
    for axes in panels:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "bandits/tallying", "Losses that depend on recent plays: who sees the best arm", simulate, draw, caption, check
    ),
)
