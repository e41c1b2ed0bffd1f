"""Recovering rewards: what periodic plans earn of the relaxation, and what it costs to learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.bandits.shared import LEVEL, band, mean_and_half, octaves
from lemmata.problems.bandits import PeriodicUCB, recovering_ladder, recovering_late, recovering_level, recovering_steps
from lemmata.results import dataset
from lemmata.theory.bandits import recovering_lower, recovering_periodic
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

CAPACITY = np.array([1, 2, 4, 9, 16, 36, 64])
ARMS = 4
#: the last on arms that need no rest, the others on arms of delays 8, 8, 4 and 2
CURVES = {"planning": ("C1", "^"), "UCB1": ("C0", "o"), "planning, hard": ("C3", "s")}


def simulate(
    budget: Budget, seed: int, progress: Progress, *, instances: int = 0, last: int = 0, replicates: int = 0
) -> xr.Dataset:
    """Value of periodic plans over the relaxation against K; regret of learning against T."""
    from lemmata.sims.bandits import periodic_policy, recovering_relaxation, simulate_recovering

    draws = instances or (60 if budget == "quick" else 500)
    ratio, without = np.empty((2, CAPACITY.size, draws))
    late = np.empty(CAPACITY.size)
    promise, mixed = np.empty(CAPACITY.size), np.empty((CAPACITY.size, draws))
    for k, K in enumerate(map(int, CAPACITY)):
        progress(0.5 * k / CAPACITY.size, f"K = {K}")
        base = max(1, round(K**0.5))
        promise[k] = float(recovering_periodic(relaxation=1, capacity=K, base=base, mixed=0))
        hard = recovering_late(K, base, 3)
        late[k] = periodic_policy(hard, base).value / recovering_relaxation(hard)[1]
        for draw in range(draws):
            env = recovering_steps(3 * K + 2, K, seed=seed + draw)
            plan, value = periodic_policy(env, base), recovering_relaxation(env)[1]
            ratio[k, draw], mixed[k, draw] = plan.value / value, plan.mixed / value
            without[k, draw] = periodic_policy(env, 1).value / value
    horizons = octaves(9, last or (18 if budget == "quick" else 21))
    n = replicates or (40 if budget == "quick" else 200)
    mean, half = np.empty((2, len(CURVES), horizons.size))
    for h, horizon in enumerate(map(int, horizons)):
        progress(0.5 + 0.5 * h / horizons.size, f"T = {horizon}")
        for p, name in enumerate(CURVES):
            policy: PeriodicUCB | str = "UCB1" if name == "UCB1" else PeriodicUCB()
            envs = [recovering_ladder()]
            if name == "planning, hard":
                envs = [recovering_level(ARMS, horizon, best=best) for best in range(ARMS)]
            runs = [simulate_recovering(policy, env, horizon, n, seed=seed)["regret"].values for env in envs]
            (mean[p, h],), (half[p, h],) = mean_and_half(np.mean(runs, axis=0))
    return dataset(
        {
            "ratio": (("capacity", "draw"), ratio, "of the relaxation"),
            "without": (("capacity", "draw"), without, "of the relaxation"),
            "mixed": (("capacity", "draw"), mixed, "of the relaxation"),
            "late": (("capacity",), late, "of the relaxation"),
            "promise": (("capacity",), promise, "of the relaxation"),
            "lower": (("horizon",), [float(recovering_lower(horizon=t, arms=ARMS)) for t in horizons], "regret"),
            "mean": (("policy", "horizon"), mean, "regret"),
            "half": (("policy", "horizon"), half, "half-width of the interval"),
        },
        {"capacity": CAPACITY, "draw": np.arange(draws), "policy": list(CURVES), "horizon": horizons},
        replicates=n,
    )


def _slope(ds: xr.Dataset, policy: str) -> float:
    end = ds["mean"].sel(policy=policy)
    return float(np.log(end[-1] / end[-4]) / np.log(8))


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    margin = float((ds.ratio - ds.promise + ds.mixed).values.min())
    planning, unaware, hard = (_slope(ds, name) for name in ("planning", "UCB1", "planning, hard"))
    base = np.maximum(1, np.round(CAPACITY**0.5))
    met = float(np.abs(ds.late / ds.promise - 1 - 1 / (8 * base)).values.max())
    above = float((ds["mean"].sel(policy="planning, hard") / ds.lower).values.min())
    return [
        Check("every plan keeps its promise, but for one arm", margin >= -1e-12, margin),
        Check(
            "no plan earns more than the relaxation",
            float(ds.ratio.values.max()) <= 1 + 1e-12,
            float(ds.ratio.values.max()),
        ),
        Check("late arms: 1 + 1/(8a) of the promise, to 1e-9", met < 1e-9, met),
        Check("planning: regret grows by at most the power .6", planning < 0.6, planning),
        Check("UCB1: regret grows like T, slope above .9", unaware > 0.9, unaware),
        Check("hard arms: regret grows by the power .43 to .57", 0.43 <= hard <= 0.57, hard),
        Check("hard arms: regret above the lower bound", above > 1, above),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    worst = ds.ratio.min("draw")
    listed = ", ".join(f"{float(worst.sel(capacity=K)):.3f} at K = {K}" for K in (4, 16, 64))
    return (
        f"Recovering rewards; the settings are ours. (a) What a purely periodic plan earns of the relaxation, least, "
        f"median and largest of {ds.sizes['draw']} random instances of N = 3K + 2 arms of three steps, D = 24: at "
        f"least {listed} with base a = round(sqrt K), where the theorem promises (1 - (a - 1)/K) a/(a + 1) but for one "
        f"arm. With a = 1 the worst is {float(ds.without[-1].min()):.2f} at K = {int(ds.capacity[-1])}. Late arms: K d "
        f"equal ones that pay from d = 8a + 1 rounds on, for which the period is (a + 1)8. (b) Regret against the best "
        f"plan of one who knows the rewards, of four arms whose best delays 8, 8, 4, 2 fill every round, and (hard) of "
        f"four that need no rest, one better by 1.5 sqrt(4/T), averaged over its place; "
        f"{int(ds.attrs['replicates'])} replicates, policies tuned to each T; bands {100 * (1 - LEVEL):g} % intervals; "
        f"dotted the lower bound sqrt(4T)/20 of the hard arms. Slopes over the last three octaves: planning "
        f"{_slope(ds, 'planning'):.2f}, UCB1 {_slope(ds, 'UCB1'):.2f}, hard {_slope(ds, 'planning, hard'):.2f}."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Ratio against K; regret against T."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=2.9)
    for name, variable, color, marker in (("$a = \\sqrt{K}$", "ratio", "C1", "^"), ("$a = 1$", "without", "C2", "s")):
        value = ds[variable]
        ends = value.min("draw"), value.max("draw")
        measured(left, ds.capacity, value.median("draw"), name, color=color, marker=marker, band=ends)
    measured(left, ds.capacity, ds.late, "late arms, $a = \\sqrt{K}$", color="C3", marker="v")
    theory(left, ds.capacity, ds.promise, "guarantee but for one arm")
    left.set(title="(a) periodic plans", xscale="log", xlabel="pulls a round $K$", ylim=(0.4, 1.02))
    left.set_xticks(CAPACITY, [str(K) for K in CAPACITY])
    left.minorticks_off()
    left.set_ylabel("value / relaxation")
    for name, (color, marker) in CURVES.items():
        at = ds.sel(policy=name)
        measured(right, ds.horizon, at["mean"], name, color=color, marker=marker, band=band(at["mean"], at.half))
    scale = float(ds["mean"].sel(policy="planning, hard")[-1]) / float(ds.horizon[-1]) ** 0.5
    theory(right, ds.horizon, scale * ds.horizon**0.5, "$\\propto \\sqrt{T}$")
    right.plot(ds.horizon, ds.lower, color="0.5", lw=0.8, ls=":", label="lower bound, hard")
    right.set(title="(b) learning", xscale="log", yscale="log", xlabel="rounds $T$")
    right.set_ylabel("mean regret")
    for axes in (left, right):
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("bandits/recovering", "Arms that recover: periodic plans and learning", simulate, draw, caption, check),
)
