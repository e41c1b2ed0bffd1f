"""Mean regret on two instances of ten arms: who leads when, and what Lai and Robbins' constant says about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.bandits.shared import LEVEL, STYLES, band, mean_and_half
from lemmata.problems.bandits import (
    KLUCB,
    MOSS,
    UCB1,
    EpsilonGreedy,
    ThompsonBeta,
    instance_a,
    instance_b,
    log_checkpoints,
)
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

#: every one of them plays the same whatever the horizon, so that a curve is the regret after t rounds
GREEDY = EpsilonGreedy(0.1)
POLICIES = {
    "UCB1": UCB1(),
    "MOSS": MOSS("anytime"),
    "KL-UCB": KLUCB(),
    "Thompson": ThompsonBeta(),
    "ε-greedy": GREEDY,
}
INSTANCES = {"A": instance_a(), "B": instance_b()}
#: on A epsilon-greedy leads in this round, and has fallen behind these at the horizon
EARLY, AHEAD = 512, ("Thompson", "KL-UCB", "MOSS")
#: first round that is drawn
FIRST = 64


def simulate(budget: Budget, seed: int, progress: Progress, *, horizon: int = 0, replicates: int = 0) -> xr.Dataset:
    """Mean regret of five policies on instances A and B, and its slope in ln t over each octave."""
    from lemmata.sims.bandits import simulate as play

    horizon = horizon or (2**15 if budget == "quick" else 2**17)
    replicates = replicates or (256 if budget == "quick" else 2048)
    rounds = log_checkpoints(horizon)
    rounds = rounds[rounds >= FIRST]
    doubled = np.flatnonzero(np.log2(rounds) % 1 == 0)
    shape = len(INSTANCES), len(POLICIES)
    mean, half = np.empty((2, *shape, rounds.size))
    slope, slope_half = np.empty((2, *shape, doubled.size - 1))
    for i, env in enumerate(INSTANCES.values()):
        for j, (name, policy) in enumerate(POLICIES.items()):
            progress((i + j / shape[1]) / shape[0], name)
            run = play(policy, env, horizon, replicates, checkpoints=rounds, samples=True, seed=seed)
            regret = run["regret"].values
            mean[i, j], half[i, j] = mean_and_half(regret)
            growth = np.diff(regret[:, doubled], axis=1)
            slope[i, j], slope_half[i, j] = mean_and_half(growth / (env.lai_robbins * np.log(2)))
    dims = ("instance", "policy", "round")
    return dataset(
        {
            "mean": (dims, mean, "regret"),
            "half": (dims, half, "half-width of the interval"),
            "slope": ((*dims[:2], "octave"), slope, "(R_2t - R_t) / (C ln 2)"),
            "slope_half": ((*dims[:2], "octave"), slope_half, "half-width of the interval"),
            "constant": (("instance",), [env.lai_robbins for env in INSTANCES.values()], "C"),
            "explored": (("instance",), [env.gaps.mean() for env in INSTANCES.values()], "mean gap"),
        },
        {"instance": list(INSTANCES), "policy": list(POLICIES), "round": rounds, "octave": rounds[doubled[:-1]]},
        replicates=replicates,
    )


def crossing(ds: xr.Dataset, instance: str, leader: str, other: str) -> float:
    """The round from which `leader` pays more than `other`, interpolated between logarithms; infinite if never."""
    at = ds["mean"].sel(instance=instance)
    gap = np.log((at.sel(policy=leader) / at.sel(policy=other)).values)
    below = np.flatnonzero(gap <= 0)
    if below.size == 0:
        return float(ds["round"][0])
    i = below[-1]
    if i == gap.size - 1:
        return float("inf")
    t = ds["round"].values.astype(float)
    return float(t[i] * (t[i + 1] / t[i]) ** (gap[i] / (gap[i] - gap[i + 1])))


def _late_slope(ds: xr.Dataset, instance: str, policy: str) -> float:
    """(R_T - R_{T/4}) / (C ln 4)."""
    return float(ds.slope.sel(instance=instance, policy=policy)[-2:].mean())


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    a = ds["mean"].sel(instance="A")
    greedy, others = a.sel(policy="ε-greedy"), a.drop_sel(policy="ε-greedy")
    early = float((greedy / others).sel(round=EARLY).values.max())
    late = float((greedy / others.sel(policy=list(AHEAD)))[-1].values.min())
    last = int(ds["round"][-1])
    below = float(a.sel(policy="Thompson")[-1] / (ds.constant.sel(instance="A") * np.log(last)))
    rate = _late_slope(ds, "A", "ε-greedy") * float(ds.constant.sel(instance="A")) * np.log(4) / (0.75 * last)
    share = rate / (GREEDY.epsilon * float(ds.explored.sel(instance="A")))
    thompson, kl, ucb = (_late_slope(ds, "B", name) for name in ("Thompson", "KL-UCB", "UCB1"))
    return [
        Check(f"A: ε-greedy pays least at t = {EARLY}: largest ratio to another", early < 1, early),
        Check(f"A: at t = {last:,} it pays more than {', '.join(AHEAD)}: least ratio", late > 1, late),
        Check("A: it goes on to pay ε times the mean gap a round, within 20 %: share", abs(share - 1) <= 0.2, share),
        Check("A: Thompson lies below C ln t all the same: ratio at the end", below < 1, below),
        Check(
            "B: the late slope of Thompson is C within 35 %: (R_T - R_{T/4}) / (C ln 4)",
            abs(thompson - 1) <= 0.35,
            thompson,
        ),
        Check("B: that of KL-UCB lies between C and 2 C", 1 <= kl <= 2, kl),
        Check("B: that of UCB1 exceeds 4 C", ucb > 4, ucb),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    end = ds.isel(round=-1)

    def values(instance: str) -> str:
        at = end.sel(instance=instance)
        return ", ".join(
            f"{float(at['mean'].sel(policy=p)):.1f} ± {float(at.half.sel(policy=p)):.1f} ({p})" for p in POLICIES
        )

    def number(t: float) -> str:
        return "never" if np.isinf(t) else f"at t ≈ {float(f'{t:.2g}'):,.0f}"

    crossings = ", ".join(f"{p} {number(crossing(ds, 'A', 'ε-greedy', p))}" for p in (*AHEAD, "UCB1"))
    slopes = ", ".join(f"{_late_slope(ds, 'B', p):.2f} ({p})" for p in POLICIES)
    c = [float(v) for v in ds.constant]
    return (
        f"Mean pseudo-regret after t rounds of Bernoulli bandits with K = 10: (a) means .9 and nine times .8, C = "
        f"{c[0]:.3f}; (b) means .50, .45, ..., .05, C = {c[1]:.3f}. No policy knows the horizon: MOSS is its anytime "
        f"form, ε = .1. {int(ds.attrs['replicates']):,} replicates; bands are {100 * (1 - LEVEL):g} % intervals of "
        f"the mean. At t = {int(ds['round'][-1]):,}: A, {values('A')}; B, {values('B')}. On A ε-greedy leads at "
        f"first, and falls behind (circles): {crossings}. Dashed in (a), (b): C ln t, C = Σ D_i/kl(μ_i, μ*). It is no "
        f"bound on R_t: Lai and Robbins bound the limit of R_t/ln t for policies that are consistent, and Thompson "
        f"sampling lies below the line. (c) What they say is seen in the slope: growth over the octave from t to 2t "
        f"on B, in units of C ln 2. Over the last two octaves it is {slopes}. ε-greedy is not consistent: its regret "
        f"is linear."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Regret on A and on B, and its slope on B."""
    figure, (left, middle, right) = canvas(1, 3, width=DOUBLE_COLUMN, height=2.8)
    middle.sharey(left)
    for axes, instance, letter in ((left, "A", "a"), (middle, "B", "b")):
        at = ds.sel(instance=instance)
        for name in POLICIES:
            color, marker = STYLES[name]
            mean, half = at["mean"].sel(policy=name), at.half.sel(policy=name)
            measured(axes, ds["round"], mean, name, color=color, marker=marker, band=band(mean, half))
        theory(axes, ds["round"], at.constant * np.log(ds["round"]), r"Lai and Robbins: $C\,\ln t$, slope $C$")
        behind = [crossing(ds, instance, "ε-greedy", name) for name in POLICIES if name != "ε-greedy"]
        behind = [t for t in behind if np.isfinite(t)]
        paid = np.exp(np.interp(np.log(behind), np.log(ds["round"]), np.log(at["mean"].sel(policy="ε-greedy"))))
        ring = {"marker": "o", "markersize": 6, "markerfacecolor": "none", "markeredgewidth": 0.8, "zorder": 4}
        axes.plot(behind, paid, color="black", linestyle="none", label="ε-greedy falls behind", **ring)
        axes.set(title=f"({letter}) instance {instance}", xscale="log", yscale="log", xlabel="round $t$")
    left.set_ylabel("mean regret $R_t$")
    for name in POLICIES:
        color, marker = STYLES[name]
        at = ds.sel(instance="B", policy=name)
        measured(right, ds.octave, at.slope, name, color=color, marker=marker, band=band(at.slope, at.slope_half))
    theory(right, ds.octave, np.ones(ds.sizes["octave"]), "$C$")
    right.set(title="(c) slope on instance B", xscale="log", yscale="log", xlabel="round $t$")
    right.set_ylabel(r"$(R_{2t}-R_t)\,/\,(C\,\ln 2)$")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "bandits/instances",
        "Regret of five policies on two instances, and the slope of Lai and Robbins",
        simulate,
        draw,
        caption,
        check,
    ),
)
