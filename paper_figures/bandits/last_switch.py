"""Rewards that depend on the last switch: interleaving, optimum and relaxation, instance by instance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.problems.bandits import last_switch_equal, last_switch_random
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

RATIO = 1 - math.exp(-1)
EQUAL = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24])


def simulate(budget: Budget, seed: int, progress: Progress, *, instances: int = 0, replicates: int = 0) -> xr.Dataset:
    """Over the relaxation: optimum, interleaving and greed on random payoffs; interleaving of equal arms."""
    from lemmata.sims import bandits

    draws = instances or (60 if budget == "quick" else 300)
    n, rounds = replicates or (2000 if budget == "quick" else 20_000), 240
    optimum, interleaved, promised, greedy = np.empty((4, draws))
    for i in range(draws):
        progress(0.7 * i / draws, f"instance {i + 1} of {draws}")
        env = last_switch_random(3, 3, 2, seed=seed + i)
        above = bandits.last_switch_relaxation(env)
        optimum[i] = bandits.last_switch_optimum(env) / above
        interleaved[i] = bandits.interleave(env, rounds, n, seed=seed).mean() / above
        promised[i] = RATIO * bandits.recovering_relaxation(env.recharging)[1] / above
        greedy[i] = bandits.greedy_last_switch(env, 6000) / above
    order = np.argsort(promised)
    crowd = np.empty(EQUAL.size)
    for k, arms in enumerate(map(int, EQUAL)):
        progress(0.7 + 0.3 * k / EQUAL.size, f"{arms} equal arms")
        crowd[k] = bandits.interleave(last_switch_equal(arms), 24 * arms, n, seed=seed).mean()
    named = {"optimum": optimum, "interleaved": interleaved, "promised": promised, "greedy": greedy}
    return dataset(
        {
            **{name: (("instance",), values[order], "of the relaxation") for name, values in named.items()},
            "crowd": (("arms",), crowd, "of the relaxation"),
            "exact": (("arms",), 1 - (1 - 1 / EQUAL) ** EQUAL, "of the relaxation"),
        },
        {"instance": np.arange(draws), "arms": EQUAL},
        replicates=n,
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    kept = float((ds.interleaved / ds.promised).values.min())
    below = float((ds.interleaved - ds.optimum).values.max())
    off = float(np.abs(ds.crowd - ds.exact).values.max())
    return [
        Check("interleaving keeps its promise", kept > 1, kept),
        Check("interleaving earns no more than the optimum", below < 0, below),
        Check(
            "the optimum is below the relaxation",
            float(ds.optimum.values.max()) <= 1 + 1e-12,
            float(ds.optimum.values.max()),
        ),
        Check("equal arms: 1 - (1 - 1/N)^N, to a hundredth", off < 0.01, off),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    return (
        f"Rewards that depend on the last switch, monotone; the settings are ours. (a) {ds.sizes['instance']} random "
        f"instances of three arms, D = 3, m = 2, sorted by their guarantee, over the relaxation: exact optimum at "
        f"least {float(ds.optimum.min()):.2f}, randomised interleaving at least {float(ds.interleaved.min()):.2f} "
        f"(mean of {int(ds.attrs['replicates'])} drawn schedules), and 1 - 1/e of the relaxation of the recharging "
        f"bandit below it (dashed), which is what is proved. Greed has no guarantee: least "
        f"{float(ds.greedy.min()):.2f}. (b) N equal arms that pay 1 after N rounds: interleaving earns "
        f"1 - (1 - 1/N)^N (dashed), which falls to 1 - 1/e."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Instances in order; equal arms."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=2.9)
    for name, color, marker in (("optimum", "C2", "s"), ("interleaved", "C1", "^"), ("greedy", "C0", "o")):
        left.plot(ds.instance, ds[name], marker, ms=3, color=color, label=name)
    theory(left, ds.instance, ds.promised, "guarantee")
    left.set(title="(a) random payoffs", xlabel="instance", ylim=(0.4, 1.02))
    left.set_ylabel("value / relaxation")
    measured(right, ds.arms, ds.crowd, "interleaved", color="C1", marker="^")
    theory(right, ds.arms, ds.exact, "$1 - (1 - 1/N)^N$")
    right.axhline(RATIO, color="0.5", lw=0.8, ls=":", label="$1 - 1/e$")
    right.set(title="(b) equal arms", xlabel="arms $N$", ylim=(0.4, 1.02))
    right.set_ylabel("value / relaxation")
    for axes in (left, right):
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("bandits/last-switch", "Rested and worn arms: interleaving and the optimum", simulate, draw, caption, check),
)
