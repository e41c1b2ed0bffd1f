"""The law of the regret, not its mean alone: rare disasters, and a policy that is wrong for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta, binom

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.bandits.shared import LEVEL, STYLES, band, mean_and_half
from lemmata.problems.bandits import UCB1, Bernoulli, EpsilonGreedy, ExploreThenCommit, ThompsonBeta, log_checkpoints
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES", "wrong_commitment"]

ENV = Bernoulli(np.array([0.6, 0.4]))
GAP = float(ENV.gaps.max())
ETC, GREEDY = ExploreThenCommit(25), EpsilonGreedy(0.1)
POLICIES = {"UCB1": UCB1(), "Thompson": ThompsonBeta(), "ε-greedy": GREEDY, "ETC": ETC}
HORIZON = 4096
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
#: first round that is drawn
FIRST = 16


def wrong_commitment(pulls: int, better: float, worse: float) -> float:
    """Probability that `pulls` of each arm show the worse one ahead, ties going to the better: two binomials."""
    k = np.arange(pulls + 1)
    return float(np.sum(binom.pmf(k, pulls, worse) * binom.cdf(k - 1, pulls, better)))


def simulate(budget: Budget, seed: int, progress: Progress, *, replicates: int = 0) -> xr.Dataset:
    """Law of the regret of four policies at T = 4,096 on means .6, .4, and its mean on the way there."""
    from lemmata.sims.bandits import simulate as play
    from lemmata.theory import bandits as claims

    replicates = replicates or (16_000 if budget == "quick" else 400_000)
    rounds = log_checkpoints(HORIZON, per_octave=4)
    rounds = rounds[rounds >= FIRST]
    # between two multiples of the gap, where no regret lies
    value = (np.unique(np.geomspace(1, HORIZON, 300).round()) - 0.5) * GAP
    count, quantiles, largest = [], [], []
    mean, half = np.empty((2, len(POLICIES), rounds.size))
    for i, (name, policy) in enumerate(POLICIES.items()):
        progress(i / len(POLICIES), name)
        run = play(policy, ENV, HORIZON, replicates, checkpoints=rounds, samples=True, seed=seed)
        regret = run["regret"].values
        last = np.sort(regret[:, -1])
        count.append(replicates - np.searchsorted(last, value))
        quantiles.append(np.quantile(last, LEVELS))
        largest.append(last[-1])
        mean[i], half[i] = mean_and_half(regret)

    wrong = wrong_commitment(ETC.pulls, *ENV.means)
    exploring = ETC.pulls * ENV.arms
    etc = GAP * np.where(rounds <= exploring, rounds // 2, ETC.pulls + (rounds - exploring) * wrong)
    greedy = claims.epsilon_greedy_lower(
        horizon=rounds, arms=2, gaps=GAP, epsilon=GREEDY.epsilon, mean_gap=float(ENV.gaps.mean())
    )
    late = GAP * (HORIZON - ETC.pulls)
    return dataset(
        {
            "count": (("policy", "value"), np.array(count), "replicates with R_T above it"),
            "quantiles": (("policy", "level"), np.array(quantiles), "regret"),
            "largest": (("policy",), largest, "regret"),
            "mean": (("policy", "round"), mean, "regret"),
            "half": (("policy", "round"), half, "half-width of the interval"),
            "etc_law": (("value",), np.where(value < GAP * ETC.pulls, 1.0, wrong * (value < late)), "P(R_T > value)"),
            "etc_mean": (("round",), etc, "E R_t"),
            "greedy_lower": (("round",), greedy, "E R_t is at least this"),
            "wrong": ((), wrong, "probability"),
        },
        {"policy": list(POLICIES), "value": value, "level": list(LEVELS), "round": rounds},
        replicates=replicates,
    )


def _interval(count: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Clopper and Pearson's interval of a probability from `count` of n."""
    with np.errstate(invalid="ignore"):
        low = np.where(count == 0, 0.0, beta.ppf(LEVEL / 2, count, n - count + 1))
        high = np.where(count == n, 1.0, beta.isf(LEVEL / 2, count + 1, n - count))
    return low, high


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    n, wrong = int(ds.attrs["replicates"]), float(ds.wrong)
    # above the first atom of its law, below the second
    inside = ds["count"].sel(policy="ETC").isel(value=np.flatnonzero((ds.etc_law > 0) & (ds.etc_law < 1)))
    error = abs(inside / n - wrong) / np.sqrt(wrong * (1 - wrong) / n)
    ones = float(
        abs(ds["count"].sel(policy="ETC") / n - ds.etc_law).where(ds.etc_law.isin([0.0, 1.0]), drop=True).values.max()
    )
    # nothing is left to chance while it explores: 1e-9 is more than rounding
    etc = float((abs(ds["mean"] - ds.etc_mean) / (ds.half + 1e-9)).sel(policy="ETC").values.max())
    greedy = ds["mean"].sel(policy="ε-greedy")
    least = float(((greedy + ds.half.sel(policy="ε-greedy")) / ds.greedy_lower).values.min())
    half_way = int(np.flatnonzero(ds["round"] == HORIZON // 2)[0])
    paid = float((greedy[-1] - greedy[half_way]) / (ds.greedy_lower[-1] - ds.greedy_lower[half_way]))
    mean, largest = ds["mean"].isel(round=-1), ds.largest
    cheaper = float(mean.sel(policy="Thompson") / mean.sel(policy="UCB1"))
    worse = float(largest.sel(policy="Thompson") / largest.sel(policy="UCB1"))
    skew = float(mean.sel(policy="ETC") / ds.quantiles.sel(policy="ETC", level=0.5))
    return [
        Check(
            "ETC commits to the worse arm as often as two binomials say: largest error in s.e.",
            error.max() <= 5,
            error.max(),
        ),
        Check("its regret takes no other value than the two: largest share astray", ones == 0, ones),
        Check("its mean is the exact one: largest distance in half-widths", etc <= 2, etc),
        Check("ε-greedy never falls below its lower bound: least ratio of the upper limit", least >= 1, least),
        Check(
            "ε-greedy goes on to pay ε D/2 a round, within 10 %: share over the last octave", abs(paid - 1) <= 0.1, paid
        ),
        Check("Thompson pays less than a third of UCB1 on average: ratio", cheaper < 1 / 3, cheaper),
        Check("Thompson's worst run is worse than UCB1's: ratio", worse > 1, worse),
        Check("the mean of ETC exceeds five medians: ratio", skew > 5, skew),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    n = int(ds.attrs["replicates"])

    def row(name: str) -> str:
        at = ds.sel(policy=name)
        middle, high = (float(at.quantiles.sel(level=v)) for v in (0.5, 0.999))
        return (
            f"{name} {float(at['mean'][-1]):.2f} ± {float(at.half[-1]):.2f}, {middle:.1f}, {high:.1f}, "
            f"{float(at.largest):.1f}"
        )

    return (
        f"Two Bernoulli arms of means .6 and .4, T = {HORIZON:,}, {n:,} replicates; ETC explores {ETC.pulls} pulls an "
        f"arm, ε = {GREEDY.epsilon:g}. (a) Share of runs whose pseudo-regret exceeds x, with pointwise "
        f"{100 * (1 - LEVEL):g} % bands (Clopper and Pearson). Dashed: the exact law of ETC, which commits to the "
        f"worse arm with probability {float(ds.wrong):.5f}, by two binomials. (b) Boxes from the 25 % to the 75 % "
        f"quantile, whiskers from 5 % to 95 %, a bar at the median, a dot at 99 %, a cross at 99.9 %; black diamonds "
        f"are means. Mean, median, 99.9 % quantile and largest: {'; '.join(map(row, POLICIES))}. (c) Mean against t, "
        f"{100 * (1 - LEVEL):g} % intervals. Dashed: the exact mean of ETC, and the lower bound D + ε (t - 2) D/2 of "
        f"ε-greedy; both are linear, the others logarithmic. A mean hides that a policy is mostly right and rarely, "
        f"at great cost, wrong."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """The law at the horizon, its quantiles, and the mean on the way."""
    n = int(ds.attrs["replicates"])
    figure, (left, middle, right) = canvas(1, 3, width=DOUBLE_COLUMN, height=2.7)
    for name in POLICIES:
        color, marker = STYLES[name]
        count = ds["count"].sel(policy=name).values
        seen = count > 0
        low, high = (v[seen] for v in _interval(count, n))
        x = ds.value.values[seen]
        measured(left, x, count[seen] / n, name, color=color, marker=marker, band=(np.maximum(low, 0.1 / n), high))
        at = ds.sel(policy=name)
        measured(right, ds["round"], at["mean"], name, color=color, marker=marker, band=band(at["mean"], at.half))
    possible = ds.etc_law.values > 0
    theory(left, ds.value[possible], ds.etc_law[possible], "ETC, exact")
    left.set(
        title=f"(a) law of $R_T$, $T$ = {HORIZON:,}", xscale="log", yscale="log", xlim=(2, 1200), ylim=(0.3 / n, 2)
    )
    left.set(xlabel="regret $x$", ylabel="share of runs with $R_T>x$")

    for row, name in enumerate(reversed(POLICIES)):
        color, at = STYLES[name][0], ds.sel(policy=name)
        q = {level: float(at.quantiles.sel(level=level)) for level in LEVELS}
        middle.plot([q[0.05], q[0.95]], [row, row], color=color, linewidth=0.8, gid=f"{name}, 5 % and 95 %")
        middle.plot(
            [q[0.25], q[0.75]],
            [row, row],
            color=color,
            linewidth=5,
            solid_capstyle="butt",
            gid=f"{name}, 25 % and 75 %",
        )
        middle.plot(q[0.5], row, color="black", marker="|", markersize=7, gid=f"{name}, median")
        middle.plot(q[0.99], row, color=color, marker="o", gid=f"{name}, 99 %")
        middle.plot(q[0.999], row, color=color, marker="x", gid=f"{name}, 99.9 %")
        middle.plot(float(at["mean"][-1]), row - 0.25, color="black", marker="D", markersize=2.6, gid=f"{name}, mean")
    middle.set_yticks(range(len(POLICIES)), [f"{name}" for name in reversed(POLICIES)])
    middle.set(title="(b) quantiles and mean", xscale="log", xlabel="regret at $T$", ylim=(-0.6, 3.6))

    theory(right, ds["round"], ds.etc_mean, "ETC, exact mean")
    theory(right, ds["round"], ds.greedy_lower, "ε-greedy, lower bound")
    right.set(title="(c) mean on the way", xlabel="round $t$", ylabel="mean regret $R_t$", ylim=(0, None))
    where = (HORIZON, 0.5 * float(ds.greedy_lower[-1]))
    right.annotate("ε-greedy,\nlower bound", where, ha="right", va="center", fontsize=7)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, [*labels[:-1], "theory"], loc="outside lower center", ncols=5)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "bandits/regret-laws",
        "The law of the regret: tails, quantiles and means of four policies",
        simulate,
        draw,
        caption,
        check,
    ),
)
