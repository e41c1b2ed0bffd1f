"""Random losses and losses chosen by an adversary: who does well in one world, who in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.bandits.shared import LEVEL, STYLES, band, mean_and_half, octaves
from lemmata.problems.bandits import UCB1, Bernoulli, Exp3, Game, Switching, TsallisINF
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES", "alternating"]

POLICIES = {"UCB1": UCB1(), "Exp3": Exp3(), "Tsallis-INF": TsallisINF(), "Tsallis-INF, rv": TsallisINF("rv")}
BOUNDS = {"Exp3": "exp3_bound", "Tsallis-INF": "tsallis_bound", "Tsallis-INF, rv": "tsallis_rv_bound"}
WORLDS = ("random", "alternating")


def alternating(horizon: int) -> Switching:
    """Arm 0 costs 1 in odd rounds and 0 in even ones, arm 1 costs 1 always.

    A policy that sees nothing but losses of 1 and then takes the arms in turn pulls arm 0 in odd rounds and arm 1 in
    even ones, and loses in every round.
    """
    return Switching(np.tile([[1.0, 1.0], [0.0, 1.0]], (horizon // 2, 1)), np.arange(1, horizon + 1))


#: the losses of `alternating` in another order: arm 0 costs 1 with probability 1/2
RANDOM = Bernoulli(np.array([0.5, 0.0]))


def simulate(budget: Budget, seed: int, progress: Progress, *, last: int = 0, replicates: int = 0) -> xr.Dataset:
    """Mean regret at T = 2^8, ..., 2^last in both worlds; Exp3 is tuned to every T and played for itself there."""
    from lemmata.sims.bandits import simulate as play
    from lemmata.theory import bandits as claims

    horizons = octaves(8, last or (15 if budget == "quick" else 17))
    replicates = replicates or (128 if budget == "quick" else 2048)
    longest = int(horizons[-1])
    worlds = dict(zip(WORLDS, (RANDOM, alternating(longest)), strict=True))
    mean, half = np.empty((2, len(WORLDS), len(POLICIES), horizons.size))
    for w, (world, env) in enumerate(worlds.items()):
        for p, (name, policy) in enumerate(POLICIES.items()):
            progress((w + p / len(POLICIES)) / len(WORLDS), f"{name}, {world} losses")
            if name in BOUNDS:
                getattr(claims, BOUNDS[name]).check(Game(policy, env, longest))
            if policy.anytime:
                run = play(policy, env, longest, replicates, checkpoints=horizons, samples=True, seed=seed)
                mean[w, p], half[w, p] = mean_and_half(run["regret"].values)
                continue
            for h, horizon in enumerate(map(int, horizons)):
                run = play(policy, env, horizon, replicates, checkpoints=[horizon], samples=True, seed=seed)
                (mean[w, p, h],), (half[w, p, h],) = mean_and_half(run["regret"].values)
    bounds = [getattr(claims, name)(horizon=horizons, arms=2) for name in BOUNDS.values()]
    dims = ("world", "policy", "horizon")
    return dataset(
        {
            "mean": (dims, mean, "regret"),
            "half": (dims, half, "half-width of the interval"),
            "bound": (("bounded", "horizon"), np.stack(bounds), "the theorem's"),
        },
        {"world": list(WORLDS), "policy": list(POLICIES), "bounded": list(BOUNDS), "horizon": horizons},
        replicates=replicates,
    )


def _slope(ds: xr.Dataset, world: str, policy: str) -> float:
    """Slope of ln R_T in ln T over the last two octaves."""
    curve = ds["mean"].sel(world=world, policy=policy)
    return float(np.log(curve[-1] / curve[-3]) / np.log(4))


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    upper = (ds["mean"] + ds.half).sel(policy=list(BOUNDS)).rename(policy="bounded")
    share = float((upper / ds.bound).values.max())
    fixed = ds["mean"].sel(world="alternating")
    lost = float(abs(fixed.sel(policy="UCB1") / ds.horizon - 0.5).values.max())
    exp3 = _slope(ds, "random", "Exp3")
    tsallis = np.max([_slope(ds, "random", name) for name in BOUNDS if name != "Exp3"])
    end = ds["mean"].isel(horizon=-1)
    gain = float(
        (end.sel(world="random") / end.sel(world="random", policy="Exp3")).sel(policy=list(BOUNDS)[1:]).values.max()
    )
    price = float((fixed[:, -1].sel(policy=list(BOUNDS)) / fixed[:, -1].sel(policy="UCB1")).values.max())
    return [
        Check("no interval exceeds its bound, in either world: largest share", share <= 1, share),
        Check("alternating: UCB1 loses in every round, R_T = T/2: largest |R_T/T - 1/2|", lost == 0, lost),
        Check("alternating: the others lose a tenth of that at most: largest ratio at the end", price <= 0.1, price),
        Check("random: Exp3 pays like √T: slope over the last two octaves in .5 ± .1", abs(exp3 - 0.5) <= 0.1, exp3),
        Check("random: Tsallis-INF like ln T: largest slope at most .3", tsallis <= 0.3, tsallis),
        Check("random: at the end it pays less than a third of Exp3: largest ratio", gain < 1 / 3, gain),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    end = ds.isel(horizon=-1)

    def values(world: str) -> str:
        at = end.sel(world=world)
        return ", ".join(
            f"{float(at['mean'].sel(policy=p)):.1f} ± {float(at.half.sel(policy=p)):.1f} ({p})" for p in POLICIES
        )

    bounds = ", ".join(f"{float(end.bound.sel(bounded=p)):.0f} ({p})" for p in BOUNDS)
    slopes = ", ".join(f"{_slope(ds, 'random', p):.2f} ({p})" for p in POLICIES)
    return (
        f"Two arms, mean regret against T, {int(ds.attrs['replicates']):,} replicates, bands {100 * (1 - LEVEL):g} % "
        f"intervals of the mean. Arm 1 always costs 1. (a) Arm 0 costs 1 with probability 1/2, else 0. (b) It costs 1 "
        f"in odd rounds and 0 in even ones: the same shares in an order that was chosen beforehand. UCB1 pulls arm 0 "
        f"in odd rounds and arm 1 in even ones, and loses in every round. Exp3 has the learning rate √(2 ln K/(KT)) "
        f"of its bound, tuned to each T; Tsallis-INF knows nothing, and rv is its estimator of reduced variance. At T "
        f"= {int(ds.horizon[-1]):,}: random, {values('random')}; alternating, {values('alternating')}. Dashed: the "
        f"bounds, which hold against every sequence of losses: √(2TK ln K), 4√(KT) + 1 and 2√(KT) + 10 K ln T + 16; "
        f"there {bounds}. Slopes of ln R_T in ln T over the last two octaves of (a): {slopes}."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Regret against T in both worlds, under the bounds of those that have one."""
    figure, panels = canvas(1, 2, width=DOUBLE_COLUMN, height=2.9, sharey=True)
    titles = ("(a) random losses", "(b) the same losses, alternating")
    for axes, world, title in zip(panels, WORLDS, titles, strict=True):
        at = ds.sel(world=world)
        for name in POLICIES:
            color, marker = STYLES[name]
            mean, half = (a.sel(policy=name) for a in (at["mean"], at.half))
            measured(axes, ds.horizon, mean, name, color=color, marker=marker, band=band(mean, half))
        for name in BOUNDS:
            theory(axes, ds.horizon, ds.bound.sel(bounded=name), f"{name}, bound")
        axes.set(title=title, yscale="log", xlabel="horizon $T$")
        axes.set_xscale("log", base=2)
    panels[0].set_ylabel("mean regret $R_T$")
    for name, end in zip(BOUNDS, (0, -1, 0), strict=True):
        note = {"textcoords": "offset points", "rotation": 9, "fontsize": 7, "color": STYLES[name][0]}
        where = (float(ds.horizon[end]), float(ds.bound.sel(bounded=name)[end]))
        panels[0].annotate(name, where, (0, 4), ha="left" if end == 0 else "right", **note)
    handles, labels = panels[0].get_legend_handles_labels()
    count = len(POLICIES) + 1
    figure.legend(handles[:count], [*labels[: count - 1], "bounds"], loc="outside lower center", ncols=count)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "bandits/both-worlds",
        "Random and adversarial losses: Exp3, Tsallis-INF and UCB1",
        simulate,
        draw,
        caption,
        check,
    ),
)
