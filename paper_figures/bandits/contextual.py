"""Inverse-gap weighting between its bounds on the hard family, at fixed gaps, and where good actions cost little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.bandits.shared import LEVEL, band, mean_and_half, octaves
from lemmata.problems.bandits import Contextual, InverseGap, TabularOracle, contextual_hard, squarecb_gamma
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

STYLES = {"SquareCB": ("C0", "o"), "FastCB": ("C2", "s"), "greedy": ("C3", "D"), "uniform": ("C4", "v")}
#: contexts M, actions K, and c in the gap c sqrt(MK/T) of the hard family; the gap where it is fixed
CONTEXTS, ARMS, C, GAP = 2, 3, 0.45, 0.4
LEAST = (0.0, 0.003, 0.01, 0.03, 0.1, 0.25)


def _squares(env: Contextual, horizon: int) -> float:
    """What the linear oracle's squared errors add up to at most: one-hot features, d = M K, ridge 1."""
    return float(((env.means - 0.5) ** 2).sum() + env.means.size / 4 * np.log1p(horizon / env.means.size))


def _policies(env: Contextual, horizon: int, least: float) -> dict[str, InverseGap]:
    """Each with its gamma for this horizon; FastCB knows what the best actions cost a round."""
    code = env.means.size * (np.log(horizon) / 2 + np.log(2))
    fast = max(4.0 * env.arms, float(np.sqrt(env.arms * least * horizon / code)))
    return {
        "SquareCB": InverseGap(squarecb_gamma(env.arms, horizon, _squares(env, horizon))),
        "FastCB": InverseGap(fast, "fast", TabularOracle()),
        "greedy": InverseGap(np.inf),
        "uniform": InverseGap(0.0),
    }


def simulate(budget: Budget, seed: int, progress: Progress, *, last: int = 0, replicates: int = 0) -> xr.Dataset:
    """Mean regret against T on the hard family and at fixed gaps, and at the largest T against the least losses."""
    from lemmata.sims.bandits import simulate_contextual as play
    from lemmata.theory import bandits as claims

    horizons = octaves(8, last or (14 if budget == "quick" else 17))
    n = replicates or (128 if budget == "quick" else 1024)
    final = int(horizons[-1])
    fixed = contextual_hard(CONTEXTS, ARMS, GAP, seed=seed)
    mean, half = np.empty((2, 2, len(STYLES), horizons.size))
    upper, lower = np.empty((2, horizons.size))
    for h, horizon in enumerate(map(int, horizons)):
        progress(0.7 * h / horizons.size, f"T = {horizon:,}")
        rounds = horizon / CONTEXTS
        gap = C * float(np.sqrt(ARMS / rounds))
        lower[h] = claims.contextual_lower(arms=ARMS, contexts=CONTEXTS, rounds=rounds, gap=gap)
        for p, name in enumerate(STYLES):
            # the good actions are drawn anew for every eighth of the replicates
            hard = [contextual_hard(CONTEXTS, ARMS, gap, seed=seed + i) for i in range(8)]
            parts = []
            for i, env in enumerate(hard):
                policy, first = _policies(env, horizon, 0.5 - gap)[name], i * n
                run = play(policy, env, horizon, n // 8, checkpoints=[horizon], first_replicate=first, seed=seed)
                parts.append(run["regret"].values)
            (mean[0, p, h],), (half[0, p, h],) = mean_and_half(np.concatenate(parts))
            policy = _policies(fixed, horizon, 0.5 - GAP)[name]
            run = play(policy, fixed, horizon, n, checkpoints=[horizon], seed=seed)
            (mean[1, p, h],), (half[1, p, h],) = mean_and_half(run["regret"].values)
        upper[h] = claims.squarecb_regret(arms=ARMS, horizon=horizon, squares=_squares(hard[0], horizon))
    first_order, first_half = np.empty((2, 2, len(LEAST)))
    for i, least in enumerate(LEAST):
        progress(0.7 + 0.3 * i / len(LEAST), f"least loss {least:g}")
        env = Contextual(fixed.features, np.where(fixed.gaps == 0, least, 0.5), turn=True)
        for p, name in enumerate(("SquareCB", "FastCB")):
            run = play(_policies(env, final, least)[name], env, final, n, checkpoints=[final], seed=seed)
            (first_order[p, i],), (first_half[p, i],) = mean_and_half(run["regret"].values)
    dims = ("family", "policy", "horizon")
    return dataset(
        {
            "mean": (dims, mean, "regret"),
            "half": (dims, half, "half-width of the interval"),
            "upper": (("horizon",), upper, "SquareCB's theorem, hard family"),
            "lower": (("horizon",), lower, "every policy's, hard family"),
            "first_order": (("rule", "least"), first_order, "regret at the largest T"),
            "first_half": (("rule", "least"), first_half, "half-width of the interval"),
        },
        {
            "family": ["hard", "fixed"],
            "policy": list(STYLES),
            "horizon": horizons,
            "rule": ["SquareCB", "FastCB"],
            "least": list(LEAST),
        },
        replicates=n,
    )


def _slope(ds: xr.Dataset, policy: str) -> float:
    """Slope of ln R_T in ln T at fixed gaps, over the last three octaves."""
    curve = ds["mean"].sel(family="fixed", policy=policy)
    return float(np.log(curve[-1] / curve[-4]) / np.log(8))


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    hard, half = ds["mean"].sel(family="hard"), ds.half.sel(family="hard")
    share = float(((hard + half).sel(policy="SquareCB") / ds.upper).values.max())
    above = float(((hard + half) / ds.lower).values.min())
    near = float((hard.sel(policy="SquareCB") / ds.lower).values.max())
    square, greedy, uniform = (_slope(ds, name) for name in ("SquareCB", "greedy", "uniform"))
    ends = ds.first_order.sel(rule="SquareCB") / ds.first_order.sel(rule="FastCB")
    gain, rise = float(ends[0]), float(ds.first_order.sel(rule="FastCB")[-2] / ds.first_order.sel(rule="FastCB")[0])
    return [
        Check("hard family: SquareCB stays below its bound: largest share", share <= 1, share),
        Check("no policy is below the lower bound: least ratio of an upper end", above >= 1, above),
        Check("SquareCB is within a factor 4 of it: largest ratio", near <= 4, near),
        Check("fixed gaps: SquareCB pays like √(T ln T): slope in .5 to .65", 0.5 <= square <= 0.65, square),
        Check("greedy is worse by a power: slope above .7", greedy > 0.7, greedy),
        Check("uniform pays in every round: slope within .02 of 1", abs(uniform - 1) <= 0.02, uniform),
        Check("where the best actions cost nothing FastCB pays a third of SquareCB at most: ratio", gain >= 3, gain),
        Check("and FastCB pays more where they cost .1: ratio", rise > 1.5, rise),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    slopes = ", ".join(f"{_slope(ds, name):.2f} ({name})" for name in STYLES)
    end = ds.isel(horizon=-1)
    hard = end["mean"].sel(family="hard", policy="SquareCB")
    costs = "; ".join(
        f"{float(least):g}: {float(ds.first_order.sel(rule='SquareCB', least=least)):.0f} and "
        f"{float(ds.first_order.sel(rule='FastCB', least=least)):.0f}"
        for least in ds.least.values
    )
    return (
        f"Inverse-gap weighting with {CONTEXTS} contexts in turn, {ARMS} actions, one-hot features, "
        f"{int(ds.attrs['replicates']):,} replicates, each T played for itself with the γ of its theorem. Bands: "
        f"{100 * (1 - LEVEL):g} % intervals of the mean. SquareCB predicts by the forecaster of Vovk, Azoury and "
        f"Warmuth, FastCB by that of Krichevsky and Trofimov. (a) The hard family: losses 1/2, and {C} √(MK/T) less "
        f"for one action of each context. Dashed: SquareCB's bound √(2(K-1)TS); dotted: the lower bound for every "
        f"policy; at T = {int(ds.horizon[-1]):,} {float(end.upper):.0f} and {float(end.lower):.1f}, measured "
        f"{float(hard):.1f}. (b) The gap is {GAP} for every T. Slopes of ln R_T over the last three octaves: {slopes}. "
        f"Greedy may lose the good action of a context for ever; inverse-gap weights pay for never losing it. FastCB "
        f"still has its least γ, 4K, for nearly all these T, and explores at a constant rate. Dashed: order √(T ln T). "
        f"(c) Bad actions cost 1/2, good ones ℓ*: regret at T = {int(ds.horizon[-1]):,} against ℓ*, on an axis that is "
        f"linear below .003. SquareCB and FastCB, by ℓ*: {costs}. FastCB, whose γ is max(4K, √(K L*/Reg)), explores in "
        f"proportion to what is lost anyway."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Regret on the hard family, at fixed gaps, and against the least loss."""
    figure, panels = canvas(1, 3, width=DOUBLE_COLUMN, height=3.0)
    titles = ("(a) hard family", f"(b) gap {GAP}", "(c) small losses")
    for axes, family in zip(panels, ds.family.values, strict=False):
        for name, (color, marker) in STYLES.items():
            mean, half = (a.sel(family=family, policy=name) for a in (ds["mean"], ds.half))
            measured(axes, ds.horizon, mean, name, color=color, marker=marker, band=band(mean, half))
        axes.set(yscale="log", xlabel="horizon $T$")
        axes.set_xscale("log", base=2)
    theory(panels[0], ds.horizon, ds.upper, "bound of SquareCB")
    panels[0].plot(ds.horizon, ds.lower, color="black", linestyle=":", zorder=3, label="lower bound")
    order = np.sqrt(ds.horizon * np.log(ds.horizon))
    end = float(ds["mean"].sel(family="fixed", policy="SquareCB")[-1])
    theory(panels[1], ds.horizon, end * order / order[-1], r"order $\sqrt{T\,\ln T}$")
    for rule, mean, half in zip(ds.rule.values, ds.first_order, ds.first_half, strict=True):
        color, marker = STYLES[rule]
        low, high = band(mean, half)
        panels[2].fill_between(ds.least, low, high, color=color, alpha=0.25, linewidth=0)
        panels[2].plot(ds.least, mean, color=color, marker=marker, linewidth=0.7, label=rule)
    panels[2].set_xscale("symlog", linthresh=0.003)
    panels[2].set(yscale="log", xlabel=r"least loss $\ell^*$", xticks=[0, 0.01, 0.1], xticklabels=["0", "0.01", "0.1"])
    panels[0].set_ylabel("mean regret $R_T$")
    for axes, title in zip(panels, titles, strict=True):
        axes.set(title=title)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "bandits/contextual",
        "Inverse-gap weighting: hard family, fixed gaps, small losses",
        simulate,
        draw,
        caption,
        check,
    ),
)
