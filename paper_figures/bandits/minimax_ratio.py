"""Regret over sqrt(KT) on the hard family: a logarithm for UCB1, none for MOSS, and the lower bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.bandits.shared import LEVEL, STYLES, band, mean_and_half, octaves
from lemmata.problems.bandits import MOSS, UCB1, Game, Policy, ThompsonBeta, hard_instance
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

POLICIES = {"UCB1": UCB1(), "MOSS": MOSS(), "Thompson": ThompsonBeta()}
ARMS = (4, 16)
#: gaps in units of sqrt(K/T)
GAPS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


def _regret(policy: Policy, arms: int, gap: float, horizon: int, replicates: int, seed: int) -> np.ndarray:
    """R_T, float64[R]: the best arm is the first in half of the runs and the last in the others, all independent."""
    from lemmata.sims.bandits import simulate as play

    part, found = replicates // 2, []
    for first, best in ((0, 0), (part, arms - 1)):
        env = hard_instance(arms, horizon, gap, best=best)
        run = play(policy, env, horizon, part, checkpoints=[horizon], samples=True, first_replicate=first, seed=seed)
        found.append(run["regret"].values[:, 0])
    return np.concatenate(found)


def simulate(
    budget: Budget, seed: int, progress: Progress, *, last: int = 0, replicates: int = 0, sampled: int = 0
) -> xr.Dataset:
    """R_T / sqrt(KT) at T = 2^10, ..., 2^last for every gap.

    `replicates` of UCB1 and MOSS, `sampled` of Thompson sampling, which costs ten times as much.
    """
    from lemmata.theory import bandits as claims

    horizons = octaves(10, last or (14 if budget == "quick" else 16))
    runs = dict.fromkeys(POLICIES, replicates or (192 if budget == "quick" else 1024))
    runs["Thompson"] = sampled or (32 if budget == "quick" else 384)
    ratio, half = np.full((2, len(POLICIES), len(ARMS), len(GAPS), horizons.size), np.nan)
    for p, (name, policy) in enumerate(POLICIES.items()):
        for k, arms in enumerate(ARMS):
            progress((p + k / len(ARMS)) / len(POLICIES), f"{name}, K = {arms}")
            for c, h in np.ndindex(len(GAPS), horizons.size):
                horizon = int(horizons[h])
                if GAPS[c] * np.sqrt(arms / horizon) > 0.5:
                    continue  # a mean above 1
                claims.minimax_lower.check(Game(policy, hard_instance(arms, horizon, GAPS[c]), horizon))
                regret = _regret(policy, arms, GAPS[c], horizon, runs[name], seed)
                ratio[p, k, c, h], half[p, k, c, h] = mean_and_half(regret / np.sqrt(arms * horizon))
    dims = ("policy", "arms", "gap", "horizon")
    root = np.sqrt(np.multiply.outer(ARMS, horizons))
    lower = claims.minimax_lower(horizon=horizons, arms=np.array(ARMS)[:, None]) / root
    return dataset(
        {
            "ratio": (dims, ratio, "R_T / sqrt(KT)"),
            "half": (dims, half, "half-width of the interval"),
            "lower": (dims[1::2], lower, "of every policy, on some instance"),
            "replicates": (dims[:1], [runs[name] for name in POLICIES], "replicates"),
        },
        {"policy": list(POLICIES), "arms": list(ARMS), "gap": list(GAPS), "horizon": horizons},
    )


def worst(ds: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Largest ratio over the gaps, and its half-width: (policy, arms, horizon)."""
    # only a mean above 1 is left out: any other NaN is passed on
    played = ds.ratio.where(ds.gap * np.sqrt(ds.arms / ds.horizon) <= 0.5, -np.inf)
    at = played.transpose(*ds.ratio.dims).argmax("gap", skipna=False)
    return ds.ratio.isel(gap=at), ds.half.isel(gap=at)


def _over_root_log(ds: xr.Dataset, policy: str) -> xr.DataArray:
    """Growth of the largest ratio from the first horizon to the last over that of sqrt(ln T): (arms)."""
    largest = worst(ds)[0].sel(policy=policy)
    root = np.sqrt(np.log(ds.horizon))
    return (largest / root).isel(horizon=-1) / (largest / root).isel(horizon=0)


def _drift(ds: xr.Dataset, policy: str) -> float:
    """Largest slope of the largest ratio in ln T, between the first horizon and the last."""
    largest = worst(ds)[0].sel(policy=policy)
    rise = largest.isel(horizon=-1) - largest.isel(horizon=0)
    return float(abs(rise).values.max() / np.log(ds.horizon[-1] / ds.horizon[0]))


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    largest, half = worst(ds)
    above = float(((largest - half) / ds.lower).values.min())
    growth = _over_root_log(ds, "UCB1")
    off = float(abs(growth - 1).values.max())
    drift = _drift(ds, "MOSS")
    beside = float((largest.sel(policy="Thompson") / largest.sel(policy="UCB1")).values.max())
    at = ds.ratio.isel(horizon=-1).argmax("gap")
    inside = float(((at > 0) & (at < len(GAPS) - 1)).mean())
    return [
        Check("every policy lies above min(√(KT), T)/20 on some gap: least ratio to it", above > 1, above),
        Check("UCB1's largest ratio grows like √ln T, within 8 %: distance", off <= 0.08, off),
        Check("MOSS's does not grow: its slope in ln T is at most .03", drift <= 0.03, drift),
        Check("Thompson stays below UCB1: largest ratio", beside < 1, beside),
        Check("at the last T no worst gap is at the edge of the grid: share inside", inside == 1, inside),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    largest, half = worst(ds)
    last, most = int(ds.horizon[-1]), max(ARMS)

    def ends(policy: str) -> str:
        rows = []
        for arms in ARMS:
            v, h = (a.sel(policy=policy, arms=arms) for a in (largest, half))
            rows.append(f"{float(v[0]):.2f} and {float(v[-1]):.2f} ± {float(h[-1]):.2f} (K = {arms})")
        return f"{policy} {', '.join(rows)}"

    runs = ", ".join(f"{int(n):,} ({p})" for p, n in zip(POLICIES, ds.replicates.values, strict=True))
    growth = ", ".join(f"{float(g):.3f}" for g in _over_root_log(ds, "UCB1"))
    return (
        f"Bernoulli bandits, every mean 1/2 but one, 1/2 + c √(K/T), the best arm first in half of the runs and "
        f"last in the others. "
        f"(a) R_T/√(KT) against c at T = {last:,}, K = {most}: every policy has a gap of its own on which it is worst. "
        f"(b) The largest value over c = {', '.join(f'{c:g}' for c in GAPS)} against T, filled for K = {most} and open "
        f"for K = {min(ARMS)}; MOSS knows T. At the first and the last T: {'; '.join(map(ends, POLICIES))}. Dotted: "
        f"√ln T through the mean of UCB1's points, whose growth is {growth} times that of √ln T. Dashed: the lower "
        f"bound 1/20, which holds for every policy on some instance of K arms. MOSS's upper bound is 49. Replicates: "
        f"{runs}; bands are {100 * (1 - LEVEL):g} % intervals of the mean."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Ratio against the gap, and its largest value against T."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=2.8, sharey=True)
    gap = ds.isel(horizon=-1).sel(arms=max(ARMS))
    largest, half = worst(ds)
    for name in POLICIES:
        color, marker = STYLES[name]
        at = gap.sel(policy=name)
        measured(left, ds.gap, at.ratio, name, color=color, marker=marker, band=band(at.ratio, at.half))
        for arms in reversed(ARMS):
            mean, width = (a.sel(policy=name, arms=arms) for a in (largest, half))
            label, filled = f"{name}, $K={arms}$", arms == max(ARMS)
            measured(right, ds.horizon, mean, label, color=color, marker=marker, filled=filled, band=band(mean, width))
    root = np.sqrt(np.log(ds.horizon))
    for arms in ARMS:
        level = float((largest.sel(policy="UCB1", arms=arms) / root).mean())
        guide = {"color": "black", "linestyle": ":", "linewidth": 1.2, "zorder": 3}
        right.plot(ds.horizon, level * root, label=r"order $\sqrt{\ln T}$", **guide)
    theory(left, ds.gap, np.full(ds.sizes["gap"], float(gap.lower)), "lower bound 1/20")
    theory(right, ds.horizon, ds.lower.sel(arms=max(ARMS)), "lower bound 1/20")
    left.set(
        title=f"(a) {max(ARMS)} arms, $T$ = {int(ds.horizon[-1]):,}", ylabel=r"$R_T\,/\,\sqrt{KT}$", ylim=(0, None)
    )
    left.set_xlabel(r"gap $c$, in units of $\sqrt{K/T}$")
    right.set(title="(b) largest over the gaps", xlabel="horizon $T$")
    right.set_xscale("log", base=2)
    handles, labels = right.get_legend_handles_labels()
    entries = dict(zip(labels, handles, strict=True))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=4)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "bandits/minimax-ratio",
        "Regret over sqrt(KT) on the hard family of gaps",
        simulate,
        draw,
        caption,
        check,
    ),
)
