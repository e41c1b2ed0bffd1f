"""What the two parameters of SNS do: the density that it keeps, and the Sinkhorn steps before Newton's first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigvalsh

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, theory
from lemmata.paper_figures.sinkhorn_newton.shared import (
    CASES,
    COLORS,
    TOLERANCE,
    make,
    median_range,
    one_thread,
    stated,
)
from lemmata.problems.sinkhorn_newton import OTResult
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES", "contraction", "frozen_rate"]

#: entries kept, in units of n; the paper keeps 2, and 15 for the L1 cost
ENTRIES = (2, 3, 5, 7, 10, 15, 20, 30, 50, 70)
#: Sinkhorn steps before the first of Newton at a temperature; the paper takes 20, and 700 for the L1 cost
WARMUPS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
#: where the contraction of a run is read: values of delta, distance to the solution in temperatures, and by how much
#: ratios may differ
HIGH, LOW, NEAR, AGREE = 1e-4, 1e-12, 0.1, 0.05


def frozen_rate(P: np.ndarray, entries: float) -> float:
    """Contraction of Newton steps that keep the largest entries of P, near the solution P, each with a row update.

    After the update of the rows the error b of the columns is multiplied by ``I - M~^{-1} M``, with the Hessians
    ``M = diag(c) - P' diag(1/r) P`` of the semi-dual and M~, which has the truncated plan in place of P.

    Parameters
    ----------
    P : float64[n, m]
        Optimal plan.
    entries : float
        Entries kept, in units of n.

    Returns
    -------
    float
        The spectral radius, off constants.
    """
    r, c = P.sum(axis=1), P.sum(axis=0)
    B = P / np.sqrt(r)[:, None] / np.sqrt(c)
    count = int(np.ceil(entries * len(P)))
    kept = np.where(np.partition(P, P.size - count, axis=None)[P.size - count] <= P, B, 0.0)
    gauge = np.outer(np.sqrt(c), np.sqrt(c)) / c.sum()
    off = np.eye(c.size) - gauge
    # both are one along the gauge, which gives an error of zero there
    values = eigvalsh(np.eye(c.size) - B.T @ B + gauge, off @ (np.eye(c.size) - kept.T @ kept) @ off + gauge)
    return float(np.abs(1 - values).max())


def contraction(run: OTResult, best: OTResult) -> float:
    """What a Newton step makes of delta at the end of a run: the geometric mean of the last two ratios.

    NaN where these are not yet the asymptotic ones: the run ends further than `NEAR` from the solution `best`, or the
    mean of the two ratios before, one of them shared, differs by more than `AGREE`.
    """
    if np.ptp(run.g - best.g) > NEAR * run.eps:
        return np.nan
    trace = run.trace
    at = (trace["kind"] == "newton").values & (trace["eps"] == run.eps).values
    delta = np.append(trace["delta"].values[at], run.delta)
    # what came before the last increase was an attempt that failed
    increases = np.flatnonzero(np.diff(delta) > 0)
    delta = delta[increases[-1] + 1 :] if len(increases) else delta
    delta = delta[(delta < HIGH) & (delta > LOW)]
    if len(delta) < 4:
        return np.nan
    last, before = np.sqrt(delta[-1] / delta[-3]), np.sqrt(delta[-2] / delta[-4])
    return float(last) if abs(last / before - 1) <= AGREE else np.nan


def simulate(
    budget: Budget, seed: int, progress: Progress, *, rows: int = 0, size: int = 0, instances: int = 0
) -> xr.Dataset:
    """Newton steps, contraction and temperatures for each density and each number of first steps.

    With the full budget the sizes are those of the paper, and there are ten instances.
    """
    from lemmata.sims.sinkhorn_newton import solve

    quick = budget == "quick"
    rows, size = rows or (200 if quick else 500), size or (14 if quick else 28)
    instances = instances or (3 if quick else 10)
    shape = (len(CASES), instances)
    newton, measured, predicted = np.full((3, *shape, len(ENTRIES)), np.nan)
    steps, stages = np.full((2, *shape, len(WARMUPS)), np.nan)
    with one_thread():
        for i, case in enumerate(CASES):
            for k in range(instances):
                progress((i + k / instances) / len(CASES), case)
                problem = make(case, k, (rows, size), seed)
                data = (problem.C, problem.r, problem.c, problem.eps)
                best = solve(*data, tol=TOLERANCE)
                for j, entries in enumerate(ENTRIES):
                    run = solve(*data, tol=TOLERANCE, density=entries / problem.shape[1], on_fail="return")
                    newton[i, k, j] = run.newton_steps if run.converged else np.inf
                    measured[i, k, j] = contraction(run, best)
                    if np.isfinite(measured[i, k, j]):
                        predicted[i, k, j] = frozen_rate(best.P, entries)
                for j, warmup in enumerate(WARMUPS):
                    run = solve(*data, tol=TOLERANCE, warmup=warmup, on_fail="return")
                    steps[i, k, j] = run.newton_steps if run.converged else np.inf
                    stages[i, k, j] = run.stages
    axes = ("case", "instance")
    return dataset(
        {
            "newton": ((*axes, "entries"), newton, "Newton steps with a fixed density, inf where it fails"),
            "measured": ((*axes, "entries"), measured, "delta after over delta before a step, last decades"),
            "predicted": ((*axes, "entries"), predicted, "spectral radius at the optimal plan, where measured"),
            "steps": ((*axes, "warmup"), steps, "Newton steps with a budget, inf where it fails"),
            "stages": ((*axes, "warmup"), stages, "temperatures that were solved for"),
        },
        {"case": list(CASES), "entries": list(ENTRIES), "warmup": list(WARMUPS)},
        rows=rows,
        size=size,
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    middle = ds.newton.median("instance")
    printed = float(middle.sel(case="random assignment", entries=2))
    ten = float(ds.newton.sel(case="random assignment", entries=10).max())
    squared = float(np.isfinite(ds.newton.sel(case="digits, squared distance", entries=2)).sum())
    off = abs(ds.measured / ds.predicted - 1)
    read = int(off.count())
    within = float((off <= 0.2).sum() / read) if read else np.nan
    solved = float(np.isfinite(ds.steps).mean())
    most = float(ds.steps.sel(warmup=0).max())
    fewer = ds.steps.median("instance")
    gain = float((fewer.sel(warmup=500) / fewer.sel(warmup=0)).max())
    hard = float(ds.stages.sel(case="digits, L1 distance", warmup=20).min())
    return [
        Check(
            "random assignment, 2 n entries: twice the paper's 9 Newton steps or more: median", printed >= 18, printed
        ),
        Check("and at most 13 with 10 n: most", ten <= 13, ten),
        Check("digits, squared: none is solved with 2 n entries: solved", squared == 0, squared),
        Check("a fixed density converges linearly, as predicted: median error", off.median() <= 0.05, off.median()),
        Check("to 20 % in 19 runs of 20: share of those that are read", within >= 0.95, within),
        Check("such contractions are read in at least one run in ten: runs", read >= off.size / 10, read),
        Check("the budget solves every instance whatever N1: share", solved == 1, solved),
        Check("also without any Sinkhorn step, in at most 80 Newton steps: most", most <= 80, most),
        Check("500 of them save a third of the Newton steps: largest ratio of medians", gain <= 2 / 3, gain),
        Check("digits, L1: at N1 = 20 every instance has to anneal: least temperatures", hard > 1, hard),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    middle, budget = ds.newton.median("instance"), ds.steps.sel(warmup=20)

    def told(case: str) -> str:
        enough = [e for e in ENTRIES if np.isfinite(ds.newton.sel(case=case, entries=e)).all()]
        found = f"no density up to {ENTRIES[-1]} n solves every instance"
        if enough:
            steps = float(middle.sel(case=case, entries=enough[0]))
            found = f"with {enough[0]} n entries every instance is solved, in {steps:.0f}"
        annealed = int((ds.stages.sel(case=case, warmup=20) > 1).sum())
        return (
            f"{case}: {found}; the budget takes {float(budget.sel(case=case).median()):.0f} ({annealed} of "
            f"{ds.sizes['instance']} annealed)"
        )

    off = abs(ds.measured / ds.predicted - 1)
    return (
        f"Newton steps to delta = {TOLERANCE:g} at {stated(ds)}. Medians and ranges of {ds.sizes['instance']} "
        f"instances. (a) The largest entries of the plan are kept, a fixed number in units of n, after N1 = 20 "
        f"Sinkhorn steps; crosses where half of the instances fail: delta does not halve in 8 steps, or 60 are spent, "
        f"at the temperature itself and down a ladder of temperatures. (b) What the last two Newton steps make of "
        f"delta, one point a run, where they agree to {100 * AGREE:.0f} % with the ones before and delta exceeds "
        f"{LOW:g}, against the spectral radius of I - M~^(-1) M at the optimal plan, M the Hessian of the semi-dual "
        f"and M~ its truncation; error {100 * float(off.median()):.2g} % in the median and "
        f"{100 * float(off.max()):.2g} % at most, over {int(off.count())} runs. Dashed: equality. (c) A budget instead "
        f"of a density, and N1 Sinkhorn steps first at each "
        f"temperature; open markers where half of the instances have to anneal. Newton steps in the median, N1 = 20: "
        f"{'. '.join(told(case) for case in CASES)}."
    )


def _failures(axes: Axes, ds: xr.Dataset, top: float) -> None:
    """A cross for each problem and density where half of the instances fail, on a line of its own."""
    for i, case in enumerate(CASES):
        failed = np.isinf(ds.newton.sel(case=case).median("instance"))
        y = np.full(int(failed.sum()), top * 1.16**i)
        axes.plot(ds.entries[failed], y, "x", color=COLORS[case][0], gid=f"{case}, failed")


def draw(ds: xr.Dataset) -> Canvas:
    """Newton steps against the density, their contraction, and Newton steps against the first steps."""
    figure, (left, middle, right) = canvas(1, 3, width=DOUBLE_COLUMN, height=2.8)
    for case in CASES:
        color, marker = COLORS[case]
        at = ds.sel(case=case)
        solved = np.isfinite(at.newton.median("instance")).values
        median_range(left, ds.entries[solved], at.newton.where(np.isfinite(at.newton))[:, solved], case)
        points = {"color": color, "markerfacecolor": "none", "markeredgewidth": 0.7, "label": case}
        middle.plot(at.predicted.values.ravel(), at.measured.values.ravel(), marker, **points)
        median_range(right, ds.warmup + 1, at.steps, case)
        annealed = ((at.stages > 1).mean("instance") >= 0.5).values
        right.plot(
            ds.warmup[annealed] + 1,
            at.steps.median("instance")[annealed],
            marker,
            color=color,
            markerfacecolor="white",
            zorder=3,
            gid=f"{case}, annealed",
        )
    _failures(left, ds, 170)
    diagonal = np.array([0.5 * float(ds.measured.min()), 1.0])
    theory(middle, diagonal, diagonal, "theory")
    left.set(title="(a) fixed density", ylabel="Newton steps", yscale="log", ylim=(3, 400))
    middle.set(title="(b) its contraction", xlabel="predicted", ylabel=r"$\delta$ after / before a step")
    middle.set(xscale="log", yscale="log")
    right.set(title="(c) first steps", xlabel="$N_1+1$, Sinkhorn steps first", ylabel="Newton steps", ylim=(0, None))
    left.set(xscale="log", xlabel="entries kept, in units of $n$")
    left.set_xticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"])
    left.minorticks_off()
    right.set_xscale("log")
    handles, labels = right.get_legend_handles_labels()
    figure.legend([*handles, middle.lines[-1]], [*labels, "theory"], loc="outside lower center", ncols=3)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "sinkhorn_newton/sweeps",
        "Newton steps against density and first steps",
        simulate,
        draw,
        caption,
        check,
    ),
)
