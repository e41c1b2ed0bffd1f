"""Marginal error against steps: Sinkhorn's straight line, and the cliff of Newton's steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, theory
from lemmata.paper_figures.sinkhorn_newton.shared import (
    CASES,
    COLORS,
    LEVELS,
    STYLES,
    TOLERANCE,
    crosswise,
    last_decades,
    make,
    one_thread,
    plain_sinkhorn,
    settled,
    sigma_squared,
    spread,
    stated,
    title_of,
    trace_of,
)
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

METHODS = ("SNS", "Sinkhorn")
#: Sinkhorn steps after which a run is given up
LIMIT = 250_000
#: points of a trace that are kept
POINTS = 200
#: between these values of delta the slope of Sinkhorn's line is read
HIGH, LOW = 1e-9, 1e-12
#: decades of Sinkhorn's line that are drawn on the axis of the rate
DECADES = 10


def apart(steps: int, points: int) -> np.ndarray:
    """At most `points` of the indices 0..steps - 1: the first 100, the last, and log-spaced ones between."""
    late = np.geomspace(100, max(steps, 101), points - 100).astype(int) - 1
    return np.unique(np.concatenate([np.arange(100), late, [steps - 1]]).clip(max=steps - 1))


def simulate(
    budget: Budget, seed: int, progress: Progress, *, rows: int = 0, size: int = 0, instances: int = 0
) -> xr.Dataset:
    """The trace of both methods on the first instance of each problem, and the steps to each delta on all of them.

    With the full budget the sizes are those of the paper, and there are ten instances.
    """
    from lemmata.sims.sinkhorn_newton import solve

    quick = budget == "quick"
    rows, size = rows or (300 if quick else 500), size or (20 if quick else 28)
    instances = instances or (3 if quick else 10)
    shape = (len(CASES), len(METHODS))
    step, delta = np.full((2, *shape, POINTS), np.nan)
    steps = np.full((*shape, instances, LEVELS.size), np.nan)
    final = np.full((*shape, instances), np.nan)
    sinkhorn, newton, stages, rate, slope = np.full((5, len(CASES), instances), np.nan)
    with one_thread():
        for i, case in enumerate(CASES):
            for k in range(instances):
                progress((i + k / instances) / len(CASES), case)
                problem = make(case, k, (rows, size), seed)
                fast = solve(problem.C, problem.r, problem.c, problem.eps, tol=TOLERANCE, on_fail="return")
                sinkhorn[i, k], newton[i, k], stages[i, k] = fast.sinkhorn_steps, fast.newton_steps, fast.stages
                rate[i, k] = np.log10(sigma_squared(fast.P))
                for j, runs in enumerate(([fast], plain_sinkhorn(problem, LIMIT))):
                    d, _ = trace_of(runs)
                    steps[i, j, k], final[i, j, k] = settled(d, np.arange(len(d))), d[-1]
                    if k == 0:
                        at = apart(len(d), POINTS)
                        step[i, j, : len(at)], delta[i, j, : len(at)] = at, d[at]
                slope[i, k] = np.log10(LOW / HIGH) / last_decades(d, HIGH, LOW)
    axes = ("case", "algorithm")
    return dataset(
        {
            "step": ((*axes, "point"), step, "steps, first instance"),
            "delta": ((*axes, "point"), delta, "L1 marginal error, at the temperature of the stage"),
            "steps": ((*axes, "instance", "level"), steps, "steps after which delta stays below the level"),
            "final": ((*axes, "instance"), final, "L1 marginal error at the end"),
            "sinkhorn": ((axes[0], "instance"), sinkhorn, "Sinkhorn steps of SNS"),
            "newton": ((axes[0], "instance"), newton, "Newton steps of SNS"),
            "stages": ((axes[0], "instance"), stages, "temperatures that SNS solved for"),
            "slope": ((axes[0], "instance"), slope, "decades a step, Sinkhorn, over the last decades"),
            "rate": ((axes[0], "instance"), rate, "decades a step, log10 of the squared second singular value"),
        },
        {"case": list(CASES), "algorithm": list(METHODS), "level": LEVELS},
        rows=rows,
        size=size,
    )


def _ends(ds: xr.Dataset) -> xr.DataArray:
    """Steps until delta meets the tolerance: (case, algorithm, instance), inf where it does not."""
    return ds.steps.isel(level=-1)


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    reached = float(ds.final.sel(algorithm="SNS").max(skipna=False))
    straight = ds.newton.where(ds.stages == 1)
    newton = float(straight.max())
    # what the last Newton step makes of delta, first instance of random assignment
    trace = ds.delta.sel(case="random assignment", algorithm="SNS")
    cliff = float((trace.shift(point=-1) / trace).min())
    off = abs(ds.slope / ds.rate - 1)
    within = float((off <= 0.05).sum() / ds.slope.notnull().sum())
    unread = int(ds.slope.isnull().sum())
    ends = _ends(ds)
    share = ends.sel(algorithm="SNS") / ends.sel(algorithm="Sinkhorn")
    middle = float(share.median("instance").max())
    annealed = float(ds.stages.sel(case="digits, L1 distance").min())
    return [
        Check(f"SNS brings delta to {TOLERANCE:g} on every instance: largest delta", reached <= TOLERANCE, reached),
        Check("it takes at most 25 Newton steps where it need not anneal: most", newton <= 25, newton),
        Check("random assignment ends in a cliff: a Newton step divides delta by 1,000: ratio", cliff <= 1e-3, cliff),
        Check("Sinkhorn's line has the slope log10 of sigma^2: median error", off.median() <= 0.01, off.median()),
        Check("to 5 % on nine instances of ten: share of those whose line was read", within >= 0.9, within),
        Check(
            "at most one instance in ten ends before its line can be read: instances",
            unread <= off.size / 10,
            unread,
        ),
        Check("SNS takes at most a fifth of Sinkhorn's steps in the median: largest share", middle <= 0.2, middle),
        Check("it takes fewer on every instance: largest share", float(share.max()) < 1, float(share.max())),
        Check("on the L1 cost of digits SNS has to anneal on every instance: temperatures", annealed > 1, annealed),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    ends = _ends(ds)

    def told(case: str) -> str:
        at = ds.sel(case=case)
        plain = ends.sel(case=case, algorithm="Sinkhorn")
        lost = int(np.isinf(plain).sum())
        given_up = f" ({lost} given up at {LIMIT:,} steps)" if lost else ""
        annealed = int((at.stages > 1).sum())
        return (
            f"{case}: SNS {spread(at.sinkhorn)} Sinkhorn and {spread(at.newton)} Newton steps ({annealed} of "
            f"{ds.sizes['instance']} annealed), Sinkhorn {spread(plain.where(np.isfinite(plain)))} steps{given_up}"
        )

    off = abs(ds.slope / ds.rate - 1)
    return (
        f"Marginal error delta = |P1 - r|_1 + |P'1 - c|_1 against steps of either kind, until {TOLERANCE:g}, at "
        f"{stated(ds)}. (a) to (e) lines: the first instance; bands: steps after which delta stays below a level, "
        f"range over {ds.sizes['instance']} instances. Dashed: a line of slope log10 sigma^2 a step through the end of "
        f"Sinkhorn's, sigma the second singular value of the normalised plan. Dotted: the 20 Sinkhorn steps before "
        f"Newton's, 15 of them at temperatures that fall to eps. While SNS cools or anneals, delta is that of the "
        f"temperature at hand, and rises when that is lowered. (f) "
        f"Sinkhorn's steps before the end, times -log10 sigma^2: every curve ends with slope -1; medians and ranges. "
        f"Slopes read between {HIGH:g} and {LOW:g} differ from log10 sigma^2 by {100 * float(off.median()):.2g} % in "
        f"the median and {100 * float(off.max()):.2g} % at most; where that is much, further singular values are close "
        f"to the second. Median [range]: {'. '.join(told(case) for case in CASES)}."
    )


def _traces(axes: Axes, ds: xr.Dataset) -> None:
    """The first instance of a problem, and the ranges."""
    for name in METHODS:
        color, marker = STYLES[name]
        row = ds.sel(algorithm=name)
        row = row.isel(point=slice(int(row.delta.count())))
        low, high = row.steps.min("instance") + 1, row.steps.max("instance") + 1
        # a run that was given up leaves the frame
        axes.fill_betweenx(LEVELS, low, np.minimum(high, 1e7), color=color, alpha=0.25, linewidth=0)
        for edge, x in (("low", low), ("high", high)):
            seen = np.isfinite(x.values)
            axes.plot(x[seen], LEVELS[seen], color=color, linewidth=0.3, gid=f"{name}, {edge}")
        last = row.sizes["point"] - 1
        if name == "Sinkhorn":
            marked = np.searchsorted(row.step + 1, np.geomspace(1, float(row.step[-1]) + 1, 14))
        else:
            marked = np.arange(0, last, 1 if last < 60 else 5)
        marked = np.unique([*marked, last]).clip(max=last)
        axes.plot(
            row.step + 1, row.delta, color=color, marker=marker, markevery=marked.tolist(), linewidth=0.7, label=name
        )


def draw(ds: xr.Dataset) -> Canvas:
    """One panel a problem, and Sinkhorn's curves on the axis of their rates."""
    figure, grid = canvas(2, 3, width=DOUBLE_COLUMN, height=4.4, sharey=True)
    *panels, last = grid.flat
    for letter, axes, case in zip("abcde", panels, CASES, strict=True):
        at = ds.sel(case=case)
        _traces(axes, at)
        row = at.sel(algorithm="Sinkhorn")
        points = int(row.delta.count())
        end, lowest = float(row.step[points - 1]), float(row.delta[points - 1])
        k = np.geomspace(1, end + 1, 300)
        line = lowest * 10 ** (float(at.rate[0]) * (k - 1 - end))
        theory(axes, k[line < 2], line[line < 2], r"slope $\log_{10}\sigma^2$")
        axes.axvline(21, color="0.5", linestyle=":", linewidth=0.8, zorder=1)
        axes.set(title=title_of(ds, case, letter), xlabel="steps + 1", xscale="log", ylim=(1e-16, 4))
        axes.set(xlim=(0.9, 1.5 * float((_ends(at).where(np.isfinite(_ends(at))) + 1).max())))
    for case in CASES:
        color, marker = COLORS[case]
        at = ds.steps.sel(case=case, algorithm="Sinkhorn").where(
            np.isfinite(_ends(ds.sel(case=case, algorithm="Sinkhorn")))
        )
        before = (at - at.isel(level=-1)) * -ds.rate.sel(case=case)
        before = before.dropna("instance", how="all")
        crosswise(last, before.where(before >= -DECADES), color, marker, case)
    x = np.array([-DECADES, 0.0])
    theory(last, x, TOLERANCE * 10**-x, "slope $-1$")
    last.set(title="(f) Sinkhorn, on the axis of its rate", xlabel=r"steps to the end $\times\,\log_{10}\sigma^{2}$")
    last.legend(loc="lower left", fontsize=5.5, labelspacing=0.25, handlelength=1.6)
    for axes in grid[:, 0]:
        axes.set(yscale="log", ylabel=r"marginal error $\delta$")
        axes.set_yticks(10.0 ** np.arange(-15, 1, 5))
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "sinkhorn_newton/convergence",
        "Marginal error of Sinkhorn's iteration and of its sparse Newton acceleration, by steps",
        simulate,
        draw,
        caption,
        check,
    ),
)
