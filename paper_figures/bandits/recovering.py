"""Recovering rewards: what periodic plans earn of the relaxation, and what it costs to learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.bandits.shared import LEVEL, band, mean_and_half, octaves
from lemmata.problems.bandits import PeriodicUCB, recovering_ladder, recovering_steps
from lemmata.results import dataset
from lemmata.theory.bandits import recovering_periodic
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

CAPACITY = np.array([1, 2, 4, 9, 16, 36, 64])
RULES: dict[str, PeriodicUCB | str] = {"planning": PeriodicUCB(), "UCB1": "UCB1"}
STYLES = {"planning": ("C1", "^"), "UCB1": ("C0", "o")}


def simulate(
    budget: Budget, seed: int, progress: Progress, *, instances: int = 0, last: int = 0, replicates: int = 0
) -> xr.Dataset:
    """Value of periodic plans over the relaxation against K, of the best base; regret of learning against T."""
    from lemmata.sims.bandits import periodic_policy, recovering_relaxation, simulate_recovering

    draws = instances or (60 if budget == "quick" else 500)
    ratio, without = np.empty((2, CAPACITY.size, draws))
    promise, mixed = np.empty(CAPACITY.size), np.empty((CAPACITY.size, draws))
    for k, K in enumerate(map(int, CAPACITY)):
        progress(0.5 * k / CAPACITY.size, f"K = {K}")
        base = max(1, round(K**0.5))
        promise[k] = float(recovering_periodic(relaxation=1, capacity=K, base=base, mixed=0))
        for draw in range(draws):
            env = recovering_steps(3 * K + 2, K, seed=seed + draw)
            plan, value = periodic_policy(env, base), recovering_relaxation(env)[1]
            ratio[k, draw], mixed[k, draw] = plan.value / value, plan.mixed / value
            without[k, draw] = periodic_policy(env, 1).value / value
    horizons = octaves(9, last or (18 if budget == "quick" else 21))
    n = replicates or (40 if budget == "quick" else 200)
    mean, half = np.empty((2, len(RULES), horizons.size))
    for h, horizon in enumerate(map(int, horizons)):
        progress(0.5 + 0.5 * h / horizons.size, f"T = {horizon}")
        for p, policy in enumerate(RULES.values()):
            run = simulate_recovering(policy, recovering_ladder(), horizon, n, seed=seed)["regret"].values
            (mean[p, h],), (half[p, h],) = mean_and_half(run)
    return dataset(
        {
            "ratio": (("capacity", "draw"), ratio, "of the relaxation"),
            "without": (("capacity", "draw"), without, "of the relaxation"),
            "mixed": (("capacity", "draw"), mixed, "of the relaxation"),
            "promise": (("capacity",), promise, "of the relaxation"),
            "mean": (("policy", "horizon"), mean, "regret"),
            "half": (("policy", "horizon"), half, "half-width of the interval"),
        },
        {"capacity": CAPACITY, "draw": np.arange(draws), "policy": list(RULES), "horizon": horizons},
        replicates=n,
    )


def _slope(ds: xr.Dataset, policy: str) -> float:
    end = ds["mean"].sel(policy=policy)
    return float(np.log(end[-1] / end[-4]) / np.log(8))


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    margin = float((ds.ratio - ds.promise + ds.mixed).values.min())
    planning, unaware = _slope(ds, "planning"), _slope(ds, "UCB1")
    return [
        Check("every plan keeps its promise, but for one arm", margin >= -1e-12, margin),
        Check(
            "no plan earns more than the relaxation",
            float(ds.ratio.values.max()) <= 1 + 1e-12,
            float(ds.ratio.values.max()),
        ),
        Check("planning: regret grows by at most the power .6", planning < 0.6, planning),
        Check("UCB1: regret grows like T, slope above .9", unaware > 0.9, unaware),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    worst = ds.ratio.min("draw")
    listed = ", ".join(f"{float(worst.sel(capacity=K)):.3f} at K = {K}" for K in (4, 16, 64))
    return (
        f"Recovering rewards; the settings are ours. (a) What a purely periodic plan earns of the relaxation, least, "
        f"median and largest of {ds.sizes['draw']} random instances of N = 3K + 2 arms of three steps, D = 24: at "
        f"least {listed} with base a = round(sqrt K), where the theorem promises (1 - (a - 1)/K) a/(a + 1) but for one "
        f"arm. With a = 1 the worst is {float(ds.without[-1].min()):.2f} at K = {int(ds.capacity[-1])}. (b) Regret "
        f"against the plan of one who knows the rewards, of four arms whose best delays 8, 8, 4, 2 fill every round, "
        f"{int(ds.attrs['replicates'])} replicates, policies tuned to each T; bands {100 * (1 - LEVEL):g} % intervals. "
        f"Slopes over the last three octaves: planning {_slope(ds, 'planning'):.2f}, UCB1 {_slope(ds, 'UCB1'):.2f}."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Ratio against K; regret against T."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=2.9)
    for name, variable, color, marker in (("$a = \\sqrt{K}$", "ratio", "C1", "^"), ("$a = 1$", "without", "C2", "s")):
        value = ds[variable]
        ends = value.min("draw"), value.max("draw")
        measured(left, ds.capacity, value.median("draw"), name, color=color, marker=marker, band=ends)
    theory(left, ds.capacity, ds.promise, "guarantee but for one arm")
    left.set(title="(a) periodic plans", xscale="log", xlabel="pulls a round $K$", ylim=(0.4, 1.02))
    left.set_xticks(CAPACITY, [str(K) for K in CAPACITY])
    left.minorticks_off()
    left.set_ylabel("value / relaxation")
    for name, (color, marker) in STYLES.items():
        at = ds.sel(policy=name)
        measured(right, ds.horizon, at["mean"], name, color=color, marker=marker, band=band(at["mean"], at.half))
    scale = float(ds["mean"].sel(policy="planning")[0]) / float(ds.horizon[0]) ** 0.5
    theory(right, ds.horizon, scale * ds.horizon**0.5, "$\\propto \\sqrt{T}$")
    right.set(title="(b) learning", xscale="log", yscale="log", xlabel="rounds $T$")
    right.set_ylabel("mean regret")
    for axes in (left, right):
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("bandits/recovering", "Arms that recover: periodic plans and learning", simulate, draw, caption, check),
)
