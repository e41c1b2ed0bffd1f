"""The price of a low temperature: steps of Sinkhorn's iteration and of SNS, and the bias that is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, theory
from lemmata.paper_figures.sinkhorn_newton.shared import (
    CASES,
    DENSITIES_NOTE,
    DIGITS_NOTE,
    decade_steps,
    last_decades,
    make,
    median_range,
    one_thread,
    plain_sinkhorn,
    sigma_squared,
    trace_of,
)
from lemmata.problems.sinkhorn_newton import TransportProblem
from lemmata.results import dataset
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]

ETAS = (10.0, 100.0, 1000.0, 1200.0, 5000.0)
#: Sinkhorn steps after which a run is given up
LIMIT = 50_000
#: delta at which runs end, and the decades in which Sinkhorn's steps are counted
HIGH, LOW = 1e-7, 1e-11
#: smallest bias that is drawn: delta leaves about 1e-11 of a cost of at most 1
FLOOR = 1e-10
#: problems whose unregularised optimum is known exactly
EXACT = ("random assignment", "densities, squared distance", "densities, L1 distance")


def optimum(problem: TransportProblem) -> float:
    """Exact least cost without entropy: of an assignment, or known; NaN elsewhere."""
    from lemmata.theory.sinkhorn_newton import slack

    if problem.optimum is not None:
        return problem.optimum
    if not problem.is_assignment:
        return np.nan
    s, _ = slack(problem.C)
    return float(problem.C[np.arange(len(s)), s].mean())


def simulate(
    budget: Budget, seed: int, progress: Progress, *, rows: int = 0, size: int = 0, instances: int = 0, limit: int = 0
) -> xr.Dataset:
    """Steps of both methods, Sinkhorn's asymptotic rate and the excess cost at each temperature, for every instance.

    With the full budget the sizes are those of the paper, and there are five instances.
    """
    from lemmata.sims.sinkhorn_newton import solve
    from lemmata.theory.sinkhorn_newton import entropic_bias, entropy

    quick = budget == "quick"
    rows, size = rows or (200 if quick else 500), size or (14 if quick else 28)
    instances, limit = instances or (3 if quick else 5), limit or (20_000 if quick else LIMIT)
    shape = (len(CASES), len(ETAS), instances)
    plain, sns, newton, stages, delta, rate, bias, bound = np.full((8, *shape), np.nan)
    with one_thread():
        for i, case in enumerate(CASES):
            for j, eta in enumerate(ETAS):
                for k in range(instances):
                    progress((i + (j + k / instances) / len(ETAS)) / len(CASES), f"{case}, eta = {eta:g}")
                    problem = make(case, k, (rows, size), seed, eta=eta)
                    best = solve(problem.C, problem.r, problem.c, problem.eps, tol=LOW, on_fail="return")
                    sns[i, j, k], newton[i, j, k] = best.sinkhorn_steps + best.newton_steps, best.newton_steps
                    stages[i, j, k], delta[i, j, k], rate[i, j, k] = best.stages, best.delta, sigma_squared(best.P)
                    found, _ = trace_of(plain_sinkhorn(problem, limit, tol=LOW / 2))
                    plain[i, j, k] = last_decades(found, HIGH, LOW)
                    bias[i, j, k] = float((problem.C * best.P).sum()) - optimum(problem)
                    least = min(entropy(problem.r), entropy(problem.c))
                    bound[i, j, k] = entropic_bias(eps=problem.eps, entropy=least)
    axes = ("case", "eta", "instance")
    return dataset(
        {
            "plain": (axes, plain, "Sinkhorn steps for the last four decades"),
            "predicted": (axes, decade_steps(rate, np.log10(HIGH / LOW)), "the same at its asymptotic rate"),
            "rate": (axes, rate, "second singular value squared"),
            "sns": (axes, sns, "steps of SNS, of either kind, from the start"),
            "newton": (axes, newton, "Newton steps among them"),
            "stages": (axes, stages, "temperatures that SNS solved for"),
            "delta": (axes, delta, "L1 marginal error of SNS"),
            "bias": (axes, bias, "unit of the cost, <C, P> less the exact optimum"),
            "bound": (axes, bound, "unit of the cost, its bound eps min(H(r), H(c))"),
        },
        {"case": list(CASES), "eta": list(ETAS)},
        rows=rows,
        size=size,
        limit=limit,
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    reached = float(ds.delta.max(skipna=False))
    most = float(ds.sns.max(skipna=False))
    off = abs(ds.plain / ds.predicted - 1)
    counted = off.notnull()
    within = float((off <= 0.05).sum() / counted.sum())
    # a run that is given up should have needed more steps than it was given, up to the decades before
    soon = ds.predicted.where(~counted)
    early = float(soon.min() / ds.attrs["limit"]) if bool((~counted).any()) else np.inf
    over = ds.bias.sel(case=list(EXACT)) / ds.bound.sel(case=list(EXACT))
    middle = ds.bias.sel(case=list(EXACT)).median("instance").clip(min=FLOOR)
    falls = float((middle.diff("eta") / middle.isel(eta=slice(1, None))).max())
    growth = ds.predicted.median("instance").sel(eta=5000.0) / ds.predicted.median("instance").sel(eta=10.0)
    cold = ds.predicted.sel(case="random assignment", eta=5000.0).median()
    return [
        Check(f"SNS brings delta to {LOW:g} at every temperature: largest delta", reached <= LOW, reached),
        Check("it never takes more than 400 steps: most", most <= 400, most),
        Check("Sinkhorn's steps are the predicted ones: median error", off.median() <= 0.01, off.median()),
        Check("to 5 % in nine runs of ten: share", within >= 0.9, within),
        Check(
            "a run given up would need a twentieth of its limit for these decades alone: least share",
            early >= 0.05,
            early,
        ),
        Check(
            "Sinkhorn's predicted steps grow from eta = 10 to 5,000 on every problem: least factor",
            growth.min() > 1,
            growth.min(),
        ),
        Check("random assignment at eta = 5,000 would take over 1e6 Sinkhorn steps: predicted", cold > 1e6, cold),
        Check("the excess cost is nonnegative: least share of the bound", over.min(skipna=False) >= -1e-9, over.min()),
        Check("and at most eps min(H(r), H(c)): largest share", over.max(skipna=False) <= 1, over.max()),
        Check("it falls as the temperature does: largest relative change", falls <= 0, falls),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    rows, size = int(ds.attrs["rows"]), int(ds.attrs["size"])

    def told(case: str) -> str:
        at = ds.sel(case=case, eta=5000.0).median("instance")
        lost = int(ds.plain.sel(case=case).isnull().sum())
        given_up = f" ({lost} runs given up at all temperatures)" if lost else ""
        return f"{case}: SNS {float(at.sns):.0f} steps, Sinkhorn {float(at.predicted):,.3g} predicted{given_up}"

    over = (ds.bias / ds.bound).sel(case=list(EXACT))
    off = abs(ds.plain / ds.predicted - 1)
    note = "" if rows == 500 else f", where eta is multiplied by n/500 = {rows / 500:g}"
    return (
        f"Inverse temperatures eta = 1/eps of {', '.join(f'{eta:g}' for eta in ETAS)}, costs at most 1; medians and "
        f"ranges of {ds.sizes['instance']} instances. Random assignment with n = {rows}{note}, digits of {size} × "
        f"{size} pixels, densities on n = {rows} nodes. {DIGITS_NOTE.format(size=size)}. {DENSITIES_NOTE}. (a) "
        f"Sinkhorn steps in which delta falls from {HIGH:g} to {LOW:g}, where fewer than half of the runs were given "
        f"up after {int(ds.attrs['limit']):,} steps, with a band where none was. Dashed: at the asymptotic rate "
        f"sigma^2 they are 4 ln 10 / -ln sigma^2; error {100 * float(off.median()):.2g} % in the median and "
        f"{100 * float(off.max()):.2g} % at most. What exceeds 1e8 is not shown. (b) Steps of SNS of either kind, from "
        f"the start to delta = {LOW:g}. (c) Excess of the cost <C, P> over the optimum without entropy, where that is "
        f"known exactly and the excess above {FLOOR:g}. Dashed: its bound eps min(H(r), H(c)), of which it is "
        f"{100 * float(over.max()):.0f} % at most. At eta = 5,000, medians: "
        f"{'; '.join(told(case) for case in CASES)}."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """Sinkhorn's steps with their prediction, the steps of SNS, and the bias with its bound."""
    figure, (left, middle, right) = canvas(1, 3, width=DOUBLE_COLUMN, height=2.8)
    for case in CASES:
        at = ds.sel(case=case)
        # a run that was given up takes longer than any other
        plain = at.plain.fillna(np.inf)
        most = (plain.median("instance") < np.inf).values
        median_range(left, ds.eta[most], plain[most], case)
        theory(left, ds.eta, at.predicted.median("instance"), f"{case}, predicted")
        median_range(middle, ds.eta, at.sns, case)
        if case in EXACT:
            # what delta leaves of a cost of at most 1 is all that is seen below
            median_range(right, ds.eta, at.bias.where(at.bias > FLOOR), case)
            theory(right, ds.eta, at.bound.median("instance"), f"{case}, bound")
    left.set(title="(a) Sinkhorn, four decades", ylabel="steps", yscale="log", ylim=(1, 1e8))
    middle.set(title="(b) SNS, from the start", ylabel="steps", yscale="log")
    right.set(title="(c) bias of the cost", ylabel=r"$\langle C,P\rangle-$ optimum", yscale="log")
    for axes in (left, middle, right):
        axes.set(xscale="log", xlabel=r"inverse temperature $\eta=1/\varepsilon$")
    handles, labels = middle.get_legend_handles_labels()
    handles.append(next(line for line in left.lines if line.get_linestyle() == "--"))
    figure.legend(handles, [*labels, "theory"], loc="outside lower center", ncols=3)
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "sinkhorn_newton/temperature",
        "Steps and bias against the temperature",
        simulate,
        draw,
        caption,
        check,
    ),
)
