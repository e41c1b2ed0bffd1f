"""Every finite upper bound on a mean regret beside what is measured: which have the right shape, and how loose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.bandits.shared import LEVEL, mean_and_half, octaves
from lemmata.problems.bandits import (
    MOSS,
    UCB1,
    Bernoulli,
    ConfidenceUCB,
    Environment,
    Exp3,
    ExploreThenCommit,
    Game,
    Gaussian,
    Policy,
    TsallisINF,
    hard_instance,
    instance_a,
    instance_b,
)
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["CASES", "FIGURES", "Case"]


@dataclass(frozen=True)
class Case:
    """A bound and where it is measured.

    Attributes
    ----------
    claim : str
        Its name in `lemmata.theory.bandits`.
    label : str
    policy, env : callable
        Of the horizon.
    gaps : bool
        Whether the bound is one in the gaps, logarithmic in T; else it holds for all gaps at once.
    color, marker : str
    """

    claim: str
    label: str
    policy: Callable[[int], Policy]
    env: Callable[[int], Environment]
    gaps: bool
    color: str
    marker: str

    def bound(self, claims: object, horizon: int) -> float:
        """Its value on `env`, once its assumptions are checked."""
        claim, env = getattr(claims, self.claim), self.env(horizon)
        claim.check(Game(self.policy(horizon), env, horizon))
        gaps = env.gaps[env.gaps > 0]
        values = {
            "horizon": horizon,
            "arms": env.arms,
            "gaps": gaps.sum(),
            "inverse_gaps": np.sum(1 / gaps),
            "gap": gaps.max(),
        }
        return float(claim(**{name: values[name] for name in claim.symbols}))


def _tuned(horizon: int) -> ExploreThenCommit:
    from lemmata.theory.bandits import etc_optimal_pulls

    return ExploreThenCommit(etc_optimal_pulls(0.5, horizon))


def _gaussian(horizon: int) -> Gaussian:
    """The hard family for rewards of variance 1: means 0 and one 4 sqrt(K/T), K = 4."""
    return Gaussian(4 * np.sqrt(4 / horizon) * (np.arange(4) == 0))


PAIR = Bernoulli(np.array([0.75, 0.25]))
FIVE = Gaussian(np.array([0.5, 0.0, 0.0, 0.0, 0.0]))
NORMAL = Gaussian(np.array([0.0, 0.5]))
A, B = instance_a(), instance_b()


def _hard(horizon: int) -> Bernoulli:
    return hard_instance(4, horizon, 2.0)


CASES = (
    Case("etc_bound", "ETC, tuned, Gaussian", _tuned, lambda t: NORMAL, True, "C5", "P"),
    Case("ucb1_bound", "UCB1, two arms", lambda t: UCB1(), lambda t: PAIR, True, "C0", "o"),
    Case("ucb1_bound", "UCB1, instance B", lambda t: UCB1(), lambda t: B, True, "C0", "v"),
    Case("ucb1_bound", "UCB1, instance A", lambda t: UCB1(), lambda t: A, True, "C0", "^"),
    Case("confidence_ucb_bound", "UCB, δ = 1/T², Gaussian", lambda t: ConfidenceUCB(), lambda t: FIVE, True, "C4", "s"),
    Case("exp3_bound", "Exp3", lambda t: Exp3(), _hard, False, "C3", "D"),
    Case("tsallis_bound", "Tsallis-INF", lambda t: TsallisINF(), _hard, False, "C2", "s"),
    Case("tsallis_rv_bound", "Tsallis-INF, rv", lambda t: TsallisINF("rv"), _hard, False, "C2", "v"),
    Case(
        "confidence_ucb_worst_case", "UCB, δ = 1/T², Gaussian", lambda t: ConfidenceUCB(), _gaussian, False, "C4", "s"
    ),
    Case("moss_subgaussian_bound", "MOSS, Gaussian", lambda t: MOSS("subgaussian"), _gaussian, False, "C1", "^"),
    Case("moss_bound", "MOSS", lambda t: MOSS(), _hard, False, "C1", "o"),
)
#: one run in T/2 or so commits to the worse arm and pays T/2: a mean needs many runs, and more the larger T
RARE, LAST = "etc_bound", 2**11
#: bounds of the right order in T, logarithm included, and of whatever constant
SHAPED = ("exp3_bound", "tsallis_bound", "confidence_ucb_worst_case", "moss_subgaussian_bound", "moss_bound")


def simulate(budget: Budget, seed: int, progress: Progress, *, last: int = 0, replicates: int = 0) -> xr.Dataset:
    """Mean regret at T = 2^8, ..., 2^last, each horizon played for itself, and the bounds."""
    from lemmata.sims.bandits import simulate as play
    from lemmata.theory import bandits as claims

    horizons = octaves(8, last or (14 if budget == "quick" else 17))
    replicates = replicates or (192 if budget == "quick" else 1024)
    mean, half = np.full((2, len(CASES), horizons.size), np.nan)
    for i, case in enumerate(CASES):
        progress(i / len(CASES), case.label)
        rare = case.claim == RARE
        for h, horizon in enumerate(map(int, horizons[horizons <= LAST] if rare else horizons)):
            policy, env, runs = case.policy(horizon), case.env(horizon), replicates * (32 if rare else 1)
            run = play(policy, env, horizon, runs, checkpoints=[horizon], samples=True, seed=seed)
            (mean[i, h],), (half[i, h],) = mean_and_half(run["regret"].values)
    etc = [claims.etc_optimal_pulls(0.5, int(t)) for t in horizons]
    exact = claims.etc_gaussian(pulls=etc, gap=0.5, horizon=horizons, error=claims.etc_error(etc, 0.5))
    bound = [[case.bound(claims, int(t)) for t in horizons] for case in CASES]
    dims = ("case", "horizon")
    return dataset(
        {
            "mean": (dims, mean, "regret"),
            "half": (dims, half, "half-width of the interval"),
            "bound": (dims, bound, "the theorem's"),
            "etc_exact": (("horizon",), exact, "E R_T of explore-then-commit"),
            "claim": (dims[:1], [case.claim for case in CASES], "name"),
            "gaps": (dims[:1], [case.gaps for case in CASES], "whether the bound is one in the gaps"),
        },
        {"horizon": horizons},
        replicates=replicates,
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    rare = (ds.claim == RARE).values
    etc, others = ds.isel(case=rare).sel(horizon=ds.horizon <= LAST), ds.isel(case=~rare)
    upper = np.max([((d["mean"] + d.half) / d.bound).max(skipna=False) for d in (etc, others)])
    ratio = others["mean"] / others.bound
    shaped = ratio[np.isin(others.claim, SHAPED)]
    drift = float((shaped.max("horizon", skipna=False) / shaped.min("horizon", skipna=False)).max(skipna=False))
    ucb = ratio[np.isin(others.claim, ("ucb1_bound", "confidence_ucb_bound"))]
    rise = float((ucb[:, -1] / ucb[:, 0]).values.min())
    most = float(ucb.values.max())
    exact = float((abs(etc["mean"] - etc.etc_exact) / etc.half).max(skipna=False))
    near = float((ds.etc_exact / ds.bound[rare]).values.min())
    moss = float(ratio[(others.claim == "moss_bound").values].values.max())
    return [
        Check("no interval exceeds its bound: largest ratio of its upper end", upper <= 1, upper),
        Check(
            "bounds of the form √(KT) keep their ratio over all horizons, within 25 %: largest drift",
            drift <= 1.25,
            drift,
        ),
        Check("the ratio to bounds in the gaps of UCB rises with T: least factor", rise > 1.5, rise),
        Check("it stays below 1/4", most < 0.25, most),
        Check("ETC has its exact regret: largest distance in half-widths", exact <= 2, exact),
        Check("its bound is within a factor 3/2 of that: least ratio", near >= 2 / 3, near),
        Check("that of MOSS is 60 times the regret at least: largest ratio", moss <= 1 / 60, moss),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    measured_or_exact = ds["mean"].where(ds.claim != RARE, ds.etc_exact)
    factor = (ds.bound / measured_or_exact).values

    def row(i: int, case: Case) -> str:
        return f"{case.label} {factor[i, 0]:.3g} and {factor[i, -1]:.3g}"

    def rows(gaps: bool) -> str:
        return ", ".join(row(i, case) for i, case in enumerate(CASES) if case.gaps == gaps)

    return (
        f"Mean regret over its bound, {int(ds.attrs['replicates']):,} replicates, bands {100 * (1 - LEVEL):g} % "
        f"intervals; each T is played for itself. (a) Bounds in the gaps: UCB1 on Bernoulli arms .75, .25 and on the "
        f"instances A and B of ten arms; UCB with δ = 1/T² on Gaussian arms .5, 0, 0, 0, 0; explore-then-commit tuned "
        f"to the gap of N(0, 1) and N(.5, 1), its exact mean dashed, and simulated up to T = {LAST:,} with 32 times as "
        f"many replicates: once in some T/2 runs it commits to the worse arm and pays T/2. Dotted: 1/4, where UCB "
        f"would be if it pulled an arm until its radius is the gap; the proofs need half the gap. (b) Bounds for all "
        f"gaps, on the hard family of four arms: Bernoulli, c = 2, or Gaussian, c = 4, with UCB and MOSS in their "
        f"subgaussian forms. A level curve has the right order in T, and its height says how much the constant gives "
        f"away. Bound over regret at T = {int(ds.horizon[0])} and {int(ds.horizon[-1]):,}: (a) {rows(True)}; "
        f"(b) {rows(False)}."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Measured over bound: in the gaps on the left, for all gaps on the right."""
    figure, panels = canvas(1, 2, width=DOUBLE_COLUMN, height=3.3, sharey=True)
    ratio, half = ds["mean"] / ds.bound, ds.half / ds.bound
    for axes, gaps, title in zip(
        panels, (True, False), ("(a) bounds in the gaps", "(b) bounds for all gaps"), strict=True
    ):
        for i, case in enumerate(CASES):
            if case.gaps == gaps:
                ends = ((ratio - half)[i], (ratio + half)[i])
                measured(axes, ds.horizon, ratio[i], case.label, color=case.color, marker=case.marker, band=ends)
        theory(axes, ds.horizon, np.ones(ds.sizes["horizon"]), "bound")
        if gaps:
            theory(axes, ds.horizon, ds.etc_exact / ds.bound[(ds.claim == RARE).values][0], "ETC, exact")
            quarter = np.full(ds.sizes["horizon"], 0.25)
            axes.plot(ds.horizon, quarter, color="black", linestyle=":", label="pulled until radius = gap")
        axes.set(title=title, yscale="log", xlabel="horizon $T$")
        axes.set_xscale("log", base=2)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    panels[0].set_ylabel("mean regret over its bound")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "bandits/bounds",
        "Measured regret over every finite upper bound",
        simulate,
        draw,
        caption,
        check,
    ),
)
