"""A linear system with a memory: who keeps an action until the state has settled, and what a wrong radius costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.bandits.shared import LEVEL, mean_and_half, octaves
from lemmata.problems.bandits import (
    UCB1,
    DynLinUCB,
    Exp3,
    LinUCB,
    Policy,
    budget_system,
    delayed_reward,
    log_checkpoints,
)
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

#: the paper's system, its reward with one noise of deviation .01 in place of three
SYSTEM = budget_system()
STYLES = {"DynLin-UCB": ("C1", "^"), "LinUCB": ("C4", "v"), "UCB1": ("C0", "o"), "Exp3": ("C3", "D")}
#: assumed spectral radius over the true one, .2, and deviations of the noise
FACTORS, SIGMAS = np.arange(9) / 4, (0.001, 0.01, 0.1)
#: assumed spectral radii where the true one is .8 and the better action, worth .8, pays nothing at once
ASSUMED, TRUE = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]), 0.8
COLORS = ("C2", "C1", "C0")


def _policies() -> dict[str, Policy]:
    rules = (DynLinUCB.of(SYSTEM), LinUCB(SYSTEM.actions), UCB1(), Exp3())
    return dict(zip(STYLES, rules, strict=True))


def simulate(budget: Budget, seed: int, progress: Progress, *, last: int = 0, replicates: int = 0) -> xr.Dataset:
    """Regret of four policies on the paper's system, and R_T of DynLin-UCB against the radius it assumes, twice."""
    from lemmata.sims.bandits import simulate_dynamical as play

    horizon = 2 ** (last or (17 if budget == "quick" else 20))
    n = replicates or (16 if budget == "quick" else 48)
    few = max(3, n // 4)  # runs of DynLin-UCB differ little
    points = log_checkpoints(horizon, per_octave=2)
    points = points[points >= 64]
    runs = []
    for i, (name, policy) in enumerate(_policies().items()):
        progress(0.5 * i / len(STYLES), f"{name} on the paper's system")
        runs.append(play(policy, SYSTEM, horizon, n, checkpoints=points, seed=seed)["regret"].values)
    regret = np.stack(runs)
    wrong, wrong_half = np.empty((2, len(SIGMAS), FACTORS.size))
    for s, sigma in enumerate(SIGMAS):
        env = budget_system(sigma)
        for f, factor in enumerate(FACTORS):
            progress(0.5 + 0.3 * (s + f / FACTORS.size) / len(SIGMAS), f"assumed radius {factor:g} of the true one")
            policy = DynLinUCB.of(env, factor * env.spectral_radius)
            run = play(policy, env, horizon, few, checkpoints=[horizon], seed=seed)["regret"].values
            (wrong[s, f],), (wrong_half[s, f],) = mean_and_half(run)
    late = delayed_reward(TRUE)
    horizons = octaves(0, 2) ** 3 * (horizon // 64)  # three of them, a factor 8 apart
    lost, lost_half = np.empty((2, horizons.size, ASSUMED.size))
    for h, rounds in enumerate(map(int, horizons)):
        progress(0.8 + 0.2 * h / horizons.size, f"late rewards, T = {rounds}")
        for i, rho in enumerate(ASSUMED):
            run = play(DynLinUCB.of(late, rho), late, rounds, n, checkpoints=[rounds], seed=seed)["regret"].values
            (lost[h, i],), (lost_half[h, i],) = mean_and_half(run / rounds)
    return dataset(
        {
            "mean": (("policy", "round"), regret.mean(axis=1), "regret"),
            "least": (("policy", "round"), regret.min(axis=1), "regret of the best run"),
            "most": (("policy", "round"), regret.max(axis=1), "regret of the worst run"),
            "wrong": (("sigma", "multiple"), wrong, "regret at T"),
            "wrong_half": (("sigma", "multiple"), wrong_half, "half-width of the interval"),
            "lost": (("horizon", "assumed"), lost, "regret a round"),
            "lost_half": (("horizon", "assumed"), lost_half, "half-width of the interval"),
        },
        {
            "policy": list(STYLES),
            "round": points,
            "sigma": list(SIGMAS),
            "multiple": FACTORS,
            "horizon": horizons,
            "assumed": ASSUMED,
        },
        replicates=n,
        few=few,
    )


def _slopes(ds: xr.Dataset) -> xr.DataArray:
    """Slope of ln R_t in ln t over the last three octaves, by policy."""
    end = ds["mean"][:, -7:]
    return np.log(end[:, -1] / end[:, 0]) / np.log(8)


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    slopes, end = _slopes(ds), ds.isel(round=-1)
    own = end.most.sel(policy="DynLin-UCB")
    rivals = float((end["mean"].drop_sel(policy="DynLin-UCB") / own).values.min())
    grows = float(slopes.sel(policy="DynLin-UCB"))
    exp3 = float(slopes.sel(policy="Exp3"))
    erratic = float((end.most / end.least).sel(policy="LinUCB"))
    over = ds.wrong.sel(multiple=ds.multiple >= 1) / ds.wrong.sel(multiple=1.0)
    most = float(over.values.max())
    blind = float(ds.lost.sel(assumed=0.0)[-1])
    kept = ds.lost.sel(assumed=ds.assumed >= 0.2)
    falls = float((kept[-1] / kept[0]).values.max())
    return [
        Check("DynLin-UCB: its worst run is below the mean of every other policy: least ratio", rivals > 1, rivals),
        Check("its slope over the last three octaves lies in .45 to .72", 0.45 <= grows <= 0.72, grows),
        Check("Exp3 loses like t: slope above .9", exp3 > 0.9, exp3),
        Check("LinUCB is erratic: worst over best run, more than 5", erratic > 5, erratic),
        Check("to assume up to twice the radius costs a factor below 2", most < 2, most),
        Check(
            "late rewards: without persistence .25 and more of .3 is lost a round at the largest T",
            blind >= 0.25,
            blind,
        ),
        Check("with an assumed radius of .2 and more the loss a round falls: largest ratio", falls < 0.95, falls),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    horizon, slopes = int(ds["round"][-1]), _slopes(ds)
    at = ds.isel(round=-1)
    ends = ", ".join(
        f"{name} {float(at['mean'].sel(policy=name)):,.0f} (runs {float(at.least.sel(policy=name)):,.0f} to "
        f"{float(at.most.sel(policy=name)):,.0f}; slope {float(slopes.sel(policy=name)):.2f})"
        for name in STYLES
    )
    twice = ", ".join(f"{float(v):.2f}" for v in (ds.wrong.sel(multiple=2.0) / ds.wrong.sel(multiple=1.0)).values)
    none = ", ".join(f"{float(v):.2f}" for v in (ds.wrong.sel(multiple=0.0) / ds.wrong.sel(multiple=1.0)).values)
    best = ds.assumed.values[ds.lost[-1].values.argmin()]
    return (
        f"DynLin-UCB on linear systems with a memory, {int(ds.attrs['replicates'])} replicates. (a) The paper's "
        f"synthetic system (three campaigns, six ways to spend a budget, spectral radius .2, σ = .01): mean regret "
        f"T J* - Σ E[y], bands from the best run to the worst. DynLin-UCB and Exp3 are tuned to T = {horizon:,}; "
        f"LinUCB has the constant radius α = 1. Dashed: order √t, through DynLin-UCB's last point. At T: {ends}; "
        f"slopes over the last three octaves. (b) Its regret at T when it is told a multiple of the true spectral "
        f"radius, {int(ds.attrs['few'])} replicates: twice the radius costs a factor {twice} for σ = .001, .01, .1, "
        f"and 0, which is no persistence, {none}. (c) Two actions, spectral radius {TRUE}: one pays .5 at once, the "
        f"other nothing at once and .8 a round in the long run. Regret a round against the radius it is told. Without "
        f"persistence nearly the whole gap, .3 (dashed), is lost at every T. A moderate underestimate "
        f"is no harm here: the least loss at the largest T is at {best:g}. What an overestimate costs is longer epochs "
        f"and a wider radius. Bands in (b) and (c): {100 * (1 - LEVEL):g} % intervals of the mean."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Regret against t; regret against the assumed radius on two systems."""
    figure, panels = canvas(1, 3, width=DOUBLE_COLUMN, height=2.9)
    for name, (color, marker) in STYLES.items():
        at = ds.sel(policy=name)
        ends = (at.least.values, at.most.values)
        measured(panels[0], ds["round"], at["mean"], name, color=color, marker=marker, band=ends)
    end = float(ds["mean"].sel(policy="DynLin-UCB")[-1])
    late = ds["round"][-15:]
    theory(panels[0], late, end * np.sqrt(late / late[-1]), r"order $\sqrt{t}$")
    panels[0].set(title="(a) the paper's system", xscale="log", yscale="log", xlabel="round $t$")
    panels[0].set_ylabel("mean regret")
    for i, (sigma, color, marker) in enumerate(zip(SIGMAS, COLORS, "^os", strict=True)):
        _curve(panels[1], ds.multiple, ds.wrong[i], ds.wrong_half[i], rf"$\sigma={sigma:g}$", color, marker)
    panels[1].set(title="(b) a wrong radius", xlabel=r"assumed over true radius", ylim=(0, None))
    panels[1].set_ylabel("mean regret $R_T$")
    for i, (horizon, color, marker) in enumerate(zip(ds.horizon.values, COLORS, "^os", strict=True)):
        label = f"$T=2^{{{int(np.log2(horizon))}}}$"
        _curve(panels[2], ds.assumed, ds.lost[i], ds.lost_half[i], label, color, marker)
    theory(panels[2], [0, 0.9], [0.3, 0.3], "the whole gap")
    panels[2].set(title=f"(c) late rewards, radius {TRUE}", xlabel="assumed radius", ylim=(0, 0.34))
    panels[2].set_ylabel("mean regret a round")
    for axes in panels:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)
    return figure


def _curve(axes, x, mean, half, label, color, marker):  # type: ignore[no-untyped-def]
    axes.fill_between(x, mean - half, mean + half, color=color, alpha=0.25, linewidth=0)
    axes.plot(x, mean, color=color, marker=marker, linewidth=0.7, label=label)


FIGURES: tuple[Figure, ...] = (
    Figure(
        "bandits/dynamical",
        "Linear systems with a memory: persistence, and a wrong spectral radius",
        simulate,
        draw,
        caption,
        check,
    ),
)
